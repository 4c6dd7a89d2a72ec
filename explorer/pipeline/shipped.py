"""The weights that ship with the project, made again by one command: ``python -m explorer.pipeline.shipped``.

Each entry of :data:`RECIPES` says on which simulated survey an encoder is trained, from which seed, for how long. The
surveys have seeds that no card has, and the second recipe (``euclid-desi-check``) is never trained on. An entry of
another kind of training gives a function ``make(survey, seed, steps, progress)`` that writes what ``explorer train``
would write.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.survey.progress import Progress, bar
from explorer.survey.resources import data_path

if TYPE_CHECKING:
    from explorer.survey.store import Survey


@dataclass(frozen=True)
class Shipped:
    """How the weights of one encoder are made.

    ``recipe`` of the simulation, ``n`` objects, its ``simulation`` seed; ``steps`` of each training (None: the
    encoder's own), with ``seed``. ``make``, where given, is called instead of the usual training.
    """

    encoder: str
    recipe: str = "euclid-desi"
    n: int = 14_000
    simulation: int = 4711
    steps: int | None = None
    seed: int = 0
    make: Callable[[Survey, int, int | None, Progress], None] | None = None


def _galspec(survey: Survey, seed: int, steps: int | None, progress: Progress) -> None:
    from explorer.pipeline._shipped_galspec import make_galspec

    make_galspec(survey, seed, steps, progress)


RECIPES = [
    Shipped("astroclip", steps=150),
    Shipped("astropt", steps=140),
    Shipped("aion", steps=140),
    Shipped("dae", n=1500, steps=400),
    Shipped("ppad", "simulated-xray", 12_032, simulation=11, steps=5000),
    Shipped("xspec-autoencoder", "simulated-xray", 12_032, simulation=11, steps=520),
    Shipped("galspec", "simulated-sdss", 16, make=_galspec),
]


def make_shipped(
    names: Sequence[str] = (),
    folder: Path | None = None,
    work: Path | None = None,
    steps: int | None = None,
    progress: Progress | None = None,
    objects: int | None = None,
) -> list[Path]:
    """Simulate, train and write the weights of these encoders (all, where none is named); returns the files.

    Parameters
    ----------
    folder : where the weights go, ``data/weights`` by default; the logs go to ``log/`` in it.
    work : keeps the simulated surveys and the checkpoints, so that a second call goes on; a temporary folder, gone
        afterwards, by default.
    steps, objects : instead of every recipe's, for a quick look; say ``folder`` then, for what ships is replaced.
    """
    known = [r.encoder for r in RECIPES]
    unknown = [n for n in names if n not in known]
    if unknown:
        raise ValueError(f"no recipe for the weights of {unknown[0]!r}; there are: {', '.join(known)}")
    folder = folder or data_path("weights")
    (folder / "log").mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with tempfile.TemporaryDirectory() as passing:
        for recipe in RECIPES:
            if not names or recipe.encoder in names:
                own = replace(recipe, steps=steps or recipe.steps, n=min(objects or recipe.n, recipe.n))
                written += _make(own, folder, work or Path(passing), progress or bar())
    _readme(folder)
    return written


def _make(recipe: Shipped, folder: Path, work: Path, progress: Progress) -> list[Path]:
    from explorer.pipeline.train import train_encoder
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey

    path = work / f"{recipe.recipe}-{recipe.simulation}-{recipe.n}"
    if not (path / "survey.toml").exists() or len(Survey.open(path)) < recipe.n:
        write(recipe.recipe, path, recipe.n, seed=recipe.simulation, progress=progress)
    survey = Survey.open(path)
    for old in (survey.path / "encoders").glob(f"{recipe.encoder}-*.trained.safetensors"):
        old.unlink()
    if recipe.make is not None:
        recipe.make(survey, recipe.seed, recipe.steps, progress)
    else:
        train_encoder(survey, recipe.encoder, recipe.steps, anew=True, progress=progress, seed=recipe.seed, patience=0)
    for run in (survey.path / "encoders").glob(f"{recipe.encoder}-*.training"):
        for log in ("log.csv", "log.png"):
            shutil.copyfile(run / log, folder / "log" / f"{run.name.removesuffix('.training')}{Path(log).suffix}")
    return ship(survey, recipe, folder)


def ship(survey: Survey, recipe: Shipped, folder: Path) -> list[Path]:
    """Copy what was trained on ``survey`` to the names that the encoder class ships, at half precision."""
    import torch

    from explorer.pipeline.weights import trained_path
    from kernels.embedding import ENCODERS
    from kernels.embedding.files import load_meta, load_weights, save_weights

    kind: Any = ENCODERS.get(recipe.encoder)
    written = []
    for modality, name in kind.weights.items():
        own = trained_path(survey, recipe.encoder, modality)
        if not own.exists() or folder / name in written:
            continue
        state = {k: v.half() if v.dtype == torch.float32 else v for k, v in load_weights(own).items()}
        made = {"recipe": recipe.recipe, "n": str(recipe.n), "simulation": str(recipe.simulation)}
        meta = {**made, **load_meta(own), "command": f"python -m explorer.pipeline.shipped {recipe.encoder}"}
        save_weights(folder / name, state, meta)
        written.append(folder / name)
    return written


_ARRAYS = "the recipe's networks and seeds on arrays of that survey that had been read beforehand"
BEFORE = {
    "aion.safetensors": _ARRAYS,
    "astroclip-image.safetensors": _ARRAYS,
    "astroclip-spectrum.safetensors": _ARRAYS,
    "astropt-image.safetensors": _ARRAYS,
    "astropt-spectrum.safetensors": _ARRAYS,
    "galspec-spectrum.safetensors": "the recipe, told above a line across each gap instead of an interpolation",
    "dae-image.safetensors": "python -m explorer.pipeline.shipped dae",
    "xspec-autoencoder-xspectrum.safetensors": "explorer train xspec-autoencoder --steps 520 on the recipe's survey",
    "ppad-events.safetensors": _ARRAYS,
}
"""What made the files that do not say it themselves."""


def _readme(folder: Path) -> None:
    """A table of all weights in the folder, from what each file says of itself."""
    from kernels.embedding.files import digest, load_meta

    rows, seconds = [], {}
    for path in sorted(folder.glob("*.safetensors")):
        told = load_meta(path)
        steps = f"{told.get('steps', '')} ({told.get('best_step', '')})"
        made = told.get("command") or BEFORE.get(path.name, "")
        run = f"{told.get('encoder', path.name)} {told.get('seconds', '')}"  # two files of one run say the same
        seconds[run] = float(told.get("seconds") or 0)
        cells = [
            path.name,
            f"{path.stat().st_size / 1e6:.2f}",
            *(told.get(k, "") for k in ("recipe", "rows", "simulation")),
            steps,
            *(told.get(k, "") for k in ("seed", "seconds")),
            digest(path)[:12],
            f"`{made}`" if made.startswith("python") else made,
        ]
        rows.append("| " + " | ".join(cells) + " |")
    size = sum(p.stat().st_size for p in folder.glob("*.safetensors")) / 1e6
    lines = [
        "# Weights that ship with the project",
        "",
        "Made by `make weights` (`python -m explorer.pipeline.shipped`), trained on simulated surveys whose seeds no",
        "card has. Half precision, safetensors; the logs of the runs are in `log/`. A run again gives weights of the",
        "same kind and quality; the same bytes only on the same machine with the same libraries.",
        "",
        f"Together {size:.1f} MB. The trainings took {sum(seconds.values()) / 60:.0f} minutes by their logs, one",
        "thread each on a machine with other work; simulating the surveys comes besides.",
        "",
        "| file | MB | trained on | objects | simulation seed | steps (best) | seed | seconds | SHA-256 | made by |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *rows,
    ]
    (folder / "README.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m explorer.pipeline.shipped", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("encoders", nargs="*", help=f"of {', '.join(r.encoder for r in RECIPES)}; none makes all")
    parser.add_argument("--folder", type=Path, help="where the weights go (default data/weights)")
    parser.add_argument("--work", type=Path, help="keeps simulated surveys and checkpoints, so that a call goes on")
    parser.add_argument("--steps", type=int, help="steps of every training instead of the recipe's")
    parser.add_argument("--objects", type=int, help="objects of every survey, where the recipe has more")
    told = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        files = make_shipped(told.encoders, told.folder, told.work, told.steps, objects=told.objects)
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        print(f"shipped: {error}", file=sys.stderr)
        return 1
    print(f"{len(files)} files in {time.monotonic() - started:.0f} s: {', '.join(f.name for f in files)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
