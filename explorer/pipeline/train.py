"""``explorer train``: an encoder's network trained on a survey, data straight from its store."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib.metadata import version as package_version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.batches import batches
from explorer.pipeline.weights import shipped_path, trained_path
from explorer.survey.progress import Progress, bar
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS

if TYPE_CHECKING:
    from kernels.embedding.training import Training

SAMPLE = 512
"""Rows that a training's statistics are taken from."""
READ = 256
"""Rows of one read from the store."""
MIXED = 8
"""Reads that are shuffled together where the survey does not fit in memory."""


def train_encoder(
    survey: Survey,
    name: str,
    steps: int | None = None,
    batch: int | None = None,
    resume: bool = True,
    anew: bool = False,
    progress: Progress | None = None,
    seed: int = 0,
    validate: float = 0.05,
    patience: int = 5,
) -> list[Path]:
    """Train all that an encoder trains on the modalities of a survey; returns the files of weights that were written.

    They are ``encoders/NAME-MODALITY.trained.safetensors``: the next ``prepare`` takes them, and embeds again what was
    embedded with others. The log of each run (``log.csv``, ``log.png``) stays in ``encoders/NAME-PARTS.training``, and
    so does the checkpoint of one that was stopped.

    Parameters
    ----------
    steps, batch : instead of the encoder's own.
    resume : go on from the checkpoint of a run that was stopped; False deletes it.
    anew : begin with random weights instead of the survey's own or the shipped ones.
    validate : share of the objects (at most 512) that is held out, on which the best weights are chosen.
    """
    kind = ENCODERS.get(name)
    if not hasattr(kind, "training"):
        can = [n for n in ENCODERS.names() if hasattr(ENCODERS.get(n), "training")]
        raise ValueError(f"the {name} encoder has nothing to train: prepare fits it; {', '.join(can)} can be trained")
    written: list[Path] = []
    missing = []
    for parts in kind.trainings:
        rows = _rows(survey, parts)
        if len(rows) < 16:
            missing.append(f"{' + '.join(parts)} ({len(rows)} rows have it)")
            continue
        options = {"steps": steps, "batch": batch, "resume": resume, "anew": anew}
        written += _train_parts(survey, kind, parts, rows, options, progress or bar(), seed, validate, patience)
    if not written:
        raise ValueError(f"{survey.name} holds too little to train {name}: it needs 16 rows of {' or '.join(missing)}")
    return written


def _rows(survey: Survey, parts: tuple[str, ...]) -> np.ndarray:
    if not all(part in survey.modalities for part in parts):
        return np.empty(0, np.int64)
    return np.flatnonzero(np.logical_and.reduce([survey.has(part) for part in parts]))


def _train_parts(
    survey: Survey,
    kind: Any,
    parts: tuple[str, ...],
    rows: np.ndarray,
    options: dict[str, Any],
    progress: Progress,
    seed: int,
    validate: float,
    patience: int,
) -> list[Path]:
    from kernels.embedding.files import save_weights
    from kernels.embedding.training import train

    rng = np.random.default_rng(seed)
    mixed, side = rng.permutation(rows), getattr(kind, "input_side", 64)
    sample = {p: next(batches(survey, p, np.sort(mixed[:SAMPLE]), side, SAMPLE)) for p in parts}
    start = None if options["anew"] else _start(survey, kind, parts)
    training: Training = kind.training(parts, sample, random_state=seed, start=start)
    told = {"patience": patience, "steps": options["steps"], "batch": options["batch"]}
    settings = replace(training.settings, **{k: v for k, v in told.items() if v is not None})
    held = _held_out(survey, rows, min(validate, 512 / len(rows)), seed)
    kept = rows[~np.isin(rows, held)]
    settings = replace(settings, batch=min(settings.batch, len(kept)))
    folder = survey.path / "encoders" / f"{kind.name}-{'+'.join(parts)}.training"
    if not options["resume"]:
        (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    data = Rows(survey, parts, kept, training, settings.batch, side)
    checked = list(Rows(survey, parts, held, training, min(settings.batch, max(1, len(held))), side)(seed)) or None
    label = f"train {kind.name} {'+'.join(parts)}"
    log = train(
        training.model,
        training.objective,
        data,
        settings,
        checked,
        folder,
        lambda done, total, said: progress(done, total, f"{label}: {said}"),
    )
    meta = {
        "encoder": kind.name,
        "survey": survey.name,
        "rows": str(len(kept)),
        "steps": str(log.steps),
        "best_step": str(log.best_step or log.steps),
        "validation": f"{log.best:.6g}",
        "seed": str(seed),
        "seconds": f"{log.seconds:.0f}",
        "start": "random" if start is None else "weights",
        "astro_explorer": package_version("astro-explorer"),
        **training.meta,
    }
    written = []
    for modality, state in training.weights(training.model).items():
        path = trained_path(survey, kind.name, modality)
        save_weights(path, state, {**meta, "modality": modality})
        written.append(path)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    return written


def _start(survey: Survey, kind: Any, parts: tuple[str, ...]) -> dict[str, Path] | None:
    """Weights to go on from, where all parts have some: the survey's own, else the shipped ones."""
    found = {}
    for part in parts:
        own, shipped = trained_path(survey, kind.name, part), shipped_path(kind, part)
        path = own if own.exists() else shipped
        if path is None or not path.exists():
            return None
        found[part] = path
    return found


def _held_out(survey: Survey, rows: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Rows of about ``share`` of the objects; all rows of an object are on one side."""
    objects, group = np.unique(survey.object_ids[rows], return_inverse=True)
    count = int(share * len(objects))
    chosen = np.random.default_rng(seed + 1).choice(len(objects), count, replace=False)
    return rows[np.isin(group, chosen)]


class Rows:
    """The training's arrays of some rows, pass by pass, in an order that the seed fixes: ``data`` of the loop.

    Where all fit in a quarter of the free memory they are read once; else each pass reads the survey in runs of 256
    rows, eight of which are mixed, while the one before is used.
    """

    def __init__(
        self,
        survey: Survey,
        parts: tuple[str, ...],
        rows: np.ndarray,
        training: Training,
        batch: int,
        side: int = 64,
    ) -> None:
        self.survey, self.parts, self.rows, self.training, self.batch = survey, parts, rows, training, batch
        self.side = side
        self._held: dict[str, np.ndarray] | None = None

    def __call__(self, seed: int) -> Pass:
        return Pass(self, seed)

    def read(self, rows: np.ndarray) -> dict[str, np.ndarray]:
        """Arrays of these rows."""
        streams = [batches(self.survey, part, rows, self.side, len(rows)) for part in self.parts]
        found = [dict(zip(self.parts, blocks, strict=True)) for blocks in zip(*streams, strict=True)]
        return self.training.inputs(found[0])

    def held(self) -> dict[str, np.ndarray] | None:
        """All rows' arrays, where they fit in memory."""
        if self._held is not None or not len(self.rows):
            return self._held
        first = self.read(self.rows[:READ])
        size = sum(v.nbytes for v in first.values()) / min(READ, len(self.rows)) * len(self.rows)
        if size > free_memory() / 4:
            return None
        arrays = {k: np.empty((len(self.rows), *v.shape[1:]), v.dtype) for k, v in first.items()}
        starts = range(0, len(self.rows), READ)
        with ThreadPoolExecutor(1) as reader:
            for start, part in zip(
                starts, reader.map(lambda s: self.read(self.rows[s : s + READ]), starts), strict=True
            ):
                for name, values in part.items():
                    arrays[name][start : start + READ] = values
        self._held = arrays
        return arrays


class Pass:
    """One pass over the rows: batches of arrays; the last one that is not full is left out, but for an only one."""

    def __init__(self, rows: Rows, seed: int):
        self.of, self.seed, self.skipped = rows, seed, 0

    def skip(self, batches: int) -> None:
        """Leave out so many batches without reading them."""
        self.skipped = batches

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        rng, batch, n = np.random.default_rng(self.seed), self.of.batch, len(self.of.rows)
        held = self.of.held()
        if held is not None:
            order = rng.permutation(n)
            for start in range(self.skipped * batch, max(n - batch, 0) + 1, batch):
                here = np.sort(order[start : start + batch])
                yield {k: v[here] for k, v in held.items()}
            return
        yield from self._streamed(rng)

    def _streamed(self, rng: np.random.Generator) -> Iterator[dict[str, np.ndarray]]:
        rows, batch = self.of.rows, self.of.batch
        runs = [rows[s : s + READ] for s in range(0, len(rows), READ)]
        order = rng.permutation(len(runs))
        mixes = [np.sort(np.concatenate([runs[i] for i in order[s : s + MIXED]])) for s in range(0, len(runs), MIXED)]
        shuffles = [rng.permutation(len(mix)) for mix in mixes]
        skip = self.skipped
        wanted = []
        for mix, shuffle in zip(mixes, shuffles, strict=True):
            count = len(mix) // batch
            if skip < count:
                wanted.append((mix, shuffle, skip))
            skip = max(0, skip - count)
        with ThreadPoolExecutor(1) as reader:
            waiting = [reader.submit(self.of.read, mix) for mix, _, _ in wanted[:1]]
            for place, (mix, shuffle, first) in enumerate(wanted):
                arrays = waiting.pop(0).result()
                waiting += [reader.submit(self.of.read, wanted[place + 1][0])] if place + 1 < len(wanted) else []
                for start in range(first * batch, len(mix) // batch * batch, batch):
                    here = shuffle[start : start + batch]
                    yield {k: v[here] for k, v in arrays.items()}


def free_memory() -> int:
    """Bytes of memory that are free, 4 GiB where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError):
        return 4 << 30
