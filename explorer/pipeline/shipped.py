"""The weights that ship with the project, made again by one command: ``python -m explorer.pipeline.shipped``.

Each entry of :data:`RECIPES` says on which simulated survey an encoder is trained, from which seed, for how long. The
surveys have seeds that no card has, and the second recipe (``euclid-desi-check``) is never trained on. An entry of
another kind of training gives a function ``make(survey, folder, seed, progress)`` that returns files.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
    make: Callable[[Survey, Path, int, Progress], Sequence[Path]] | None = None


def _galspec(survey: Survey, folder: Path, seed: int, progress: Progress) -> Sequence[Path]:
    from explorer.pipeline._shipped_galspec import make_galspec

    return make_galspec(survey, folder, seed, progress)


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
) -> list[Path]:
    """Simulate, train and write the weights of these encoders (all, where none is named); returns the files.

    Parameters
    ----------
    folder : where the weights go, ``data/weights`` by default; the logs go to ``log/`` in it.
    work : keeps the simulated surveys and the checkpoints, so that a second call goes on; a temporary folder, gone
        afterwards, by default.
    steps : instead of every recipe's, for a quick look.
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
                written += _make(recipe, folder, work or Path(passing), steps, progress or bar())
    _readme(folder)
    return written


def _make(recipe: Shipped, folder: Path, work: Path, steps: int | None, progress: Progress) -> list[Path]:
    from explorer.pipeline.train import train_encoder
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey

    path = work / f"{recipe.recipe}-{recipe.simulation}-{recipe.n}"
    if not (path / "survey.toml").exists() or len(Survey.open(path)) < recipe.n:
        write(recipe.recipe, path, recipe.n, seed=recipe.simulation, progress=progress)
    survey = Survey.open(path)
    if recipe.make is not None:
        return list(recipe.make(survey, folder, recipe.seed, progress))
    for old in (survey.path / "encoders").glob(f"{recipe.encoder}-*.trained.safetensors"):
        old.unlink()
    train_encoder(
        survey, recipe.encoder, steps or recipe.steps, anew=True, progress=progress, seed=recipe.seed, patience=0
    )
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
        meta = {**load_meta(own), "recipe": recipe.recipe, "n": str(recipe.n), "simulation": str(recipe.simulation)}
        save_weights(folder / name, state, meta)
        written.append(folder / name)
    return written


def _readme(folder: Path) -> None:
    """A table of all weights in the folder, from what each file says of itself."""
    from kernels.embedding.files import digest, load_meta

    lines = [
        "# Weights that ship with the project",
        "",
        "Made by `make weights` (`python -m explorer.pipeline.shipped`), trained on simulated surveys whose seeds no",
        "card has. Half precision, safetensors; the logs of the runs are in `log/`.",
        "",
        "A run again gives weights of the same kind and quality, not the same bytes: the present files of astroclip,",
        "astropt and aion come from the recipes' networks, objectives, seeds and steps on arrays of those surveys that",
        "had been read beforehand, with the last 512 objects held out (none, and no log, for astroclip).",
        "",
        "| file | MB | trained on | objects | simulation seed | steps (best) | seed | seconds | SHA-256 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(folder.glob("*.safetensors")):
        told = load_meta(path)
        steps = f"{told.get('steps', '')} ({told.get('best_step', '')})"
        cells = [
            path.name,
            f"{path.stat().st_size / 1e6:.2f}",
            *(told.get(k, "") for k in ("recipe", "rows", "simulation")),
            steps,
            *(told.get(k, "") for k in ("seed", "seconds")),
            digest(path)[:12],
        ]
        lines.append("| " + " | ".join(cells) + " |")
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
    told = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        files = make_shipped(told.encoders, told.folder, told.work, told.steps)
    except (ValueError, LookupError, OSError, RuntimeError) as error:
        print(f"shipped: {error}", file=sys.stderr)
        return 1
    print(f"{len(files)} files in {time.monotonic() - started:.0f} s: {', '.join(f.name for f in files)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
