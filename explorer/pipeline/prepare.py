"""From a survey's pixels and spectra to spaces, scores and layouts, one resumable step after another."""

from __future__ import annotations

import hashlib
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from typing import Any

import numpy as np

from explorer.pipeline.batches import batches, rows_with
from explorer.survey.files import write_atomically
from explorer.survey.progress import Progress, bar
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS
from kernels.embedding.batches import Batch
from kernels.scoring import SCORERS

FEWEST = 4
"""Rows below which a modality makes no space: nothing can be odd among three."""


@dataclass(frozen=True)
class Step:
    """One thing to do: ``kind`` is ``"embed"``, ``"score"`` or ``"lay out"``; ``what`` names a scorer or layout."""

    kind: str
    space: str
    what: str = ""

    @property
    def column(self) -> str:
        """The column of the survey that the step makes."""
        kind = {"embed": "space", "score": "score", "lay out": "layout"}[self.kind]
        return f"{kind}:{self.space}" + (f":{self.what}" if self.what else "")


def plan(
    survey: Survey,
    encoders: Sequence[str] = ("pca",),
    scorers: Sequence[str] = ("isolation-forest", "knn"),
    layouts: Sequence[str] = ("umap",),
) -> list[Step]:
    """All steps, done or not, in order: a space is whole before the next begins."""
    steps = []
    for name in encoders:
        known = ENCODERS.get(name).modalities
        present = [m for m in known if len(rows_with(survey, m)) >= FEWEST]
        both = len(present) > 1 and np.logical_and.reduce([survey.has(m) for m in present]).sum() >= FEWEST
        for modality in [*present, *(["joint"] if both else [])]:
            space = f"{name}/{modality}"
            steps.append(Step("embed", space))
            steps += [Step("score", space, s) for s in scorers]
            steps += [Step("lay out", space, n) for n in layouts]
    steps += [
        step
        for space in survey.spaces
        if space.split("/")[0] not in encoders
        for step in [Step("score", space, s) for s in scorers] + [Step("lay out", space, n) for n in layouts]
    ]
    return steps


def todo(survey: Survey, steps: Iterable[Step]) -> list[Step]:
    """The steps whose column is not there yet, or is older than rows that came later."""
    return [s for s in steps if s.column not in survey.schema.names or _stale(survey, s)]


def _stale(survey: Survey, step: Step) -> bool:
    return survey.provenance(step.column).get("rows") != len(survey)


def prepare(
    survey: Survey,
    encoders: Sequence[str] = ("pca",),
    scorers: Sequence[str] = ("isolation-forest", "knn"),
    layouts: Sequence[str] = ("umap",),
    progress: Progress | None = None,
    seed: int = 0,
) -> list[Step]:
    """Embed, score and lay out a survey; returns the steps that were done, skipping those that stand already.

    Each step is one atomic version of the survey: a run that is killed goes on where it stopped.

    Parameters
    ----------
    encoders, scorers, layouts : registered names.
    progress : called as ``progress(done, total, label)``; by default a bar on a terminal and in a notebook.
    seed : random state of every step.
    """
    encoders, scorers, layouts = ([n] if isinstance(n, str) else list(n) for n in (encoders, scorers, layouts))
    for name in scorers:
        SCORERS.get(name)
    for name in layouts:
        layout_class(name)
    if not len(survey):
        raise ValueError(
            f"survey {survey.name} has no rows: ingest data first (see {survey.path / 'ingest_report.csv'})"
        )
    steps = plan(survey, encoders, scorers, layouts)
    if not steps and not survey.modalities:  # a catalogue alone is explored by its columns
        steps = plan(survey, ("columns",), scorers, layouts)
    if not steps:
        kinds = ", ".join(f"{survey.has(m).sum()} rows with {m}" for m in survey.modalities) or "a catalogue alone"
        raise ValueError(
            f"nothing to embed in {survey.name}: it has {kinds} and no embeddings of its own; a space needs images "
            f"or spectra of at least {FEWEST} rows"
        )
    return prepare_steps(survey, todo(survey, steps), bar() if progress is None else progress, seed)


def prepare_steps(survey: Survey, steps: list[Step], progress: Progress | None = None, seed: int = 0) -> list[Step]:
    """Do these steps in order, each an atomic version; returns them."""
    for i, step in enumerate(steps):
        if progress:
            progress(i, len(steps), f"{step.kind} {step.space} {step.what}".strip())
        _DO[step.kind](survey, step, seed)
    if progress:
        progress(len(steps), len(steps), "ready")
    return steps


def layout_class(name: str) -> Any:
    """The projection of that name."""
    from kernels import layout
    from kernels.registry import UnknownName

    known = {"umap": "UMAP", "pca": "PCA", "tsne": "TSNE"}
    if name not in known:
        raise UnknownName("layout", name, sorted(known))
    return getattr(layout, known[name])


def _told(survey: Survey, seed: int, started: float, **more: Any) -> dict[str, Any]:
    return {
        "rows": len(survey),
        "seed": seed,
        "seconds": round(time.monotonic() - started, 2),
        "astro_explorer": package_version("astro-explorer"),
        "python": platform.python_version(),
        **more,
    }


def _embed(survey: Survey, step: Step, seed: int) -> None:
    started = time.monotonic()
    name, modality = step.space.split("/")
    kind = ENCODERS.get(name)
    if modality == "joint":
        parts = {m: survey.embedding(f"{name}/{m}") for m in kind.modalities if f"{name}/{m}" in survey.spaces}
        survey.put_embedding(step.space, kind.join(parts), _told(survey, seed, started, parts=sorted(parts)))
        return
    rows = rows_with(survey, modality)
    encoder = kind(modality, random_state=seed)
    rng = np.random.default_rng(seed)
    sample = np.sort(rng.choice(rows, min(len(rows), encoder.fit_rows), replace=False))
    asked: dict[str, Any] = {"size": getattr(encoder, "input_side", 64), "grid": getattr(encoder, "input_grid", None)}
    blocks: Iterable[Batch] = batches(survey, modality, sample, **asked)
    if len(sample) == len(rows):
        blocks = list(blocks)
    encoder.fit(blocks)
    vectors: np.ndarray | None = None
    done = 0
    for batch in blocks if isinstance(blocks, list) else batches(survey, modality, rows, **asked):
        block = encoder.encode(batch)
        if vectors is None:
            vectors = np.full((len(survey), block.shape[1]), np.nan, dtype=np.float32)
        vectors[rows[done : done + len(block)]] = block
        done += len(block)
    assert vectors is not None
    digest = save_encoder(survey, step.space, encoder)
    published = {"published": encoder.provenance()} if hasattr(encoder, "provenance") else {}
    survey.put_embedding(
        step.space, vectors, _told(survey, seed, started, weights_sha256=digest, fitted_on=len(sample), **published)
    )


def save_encoder(survey: Survey, space: str, encoder: Any) -> str:
    """Write the fitted arrays to ``encoders/NAME-MODALITY.safetensors`` in the survey; returns their SHA-256."""
    from safetensors.numpy import save

    folder = survey.path / "encoders"
    folder.mkdir(exist_ok=True)
    data = save({k: np.ascontiguousarray(v) for k, v in encoder.state().items()})
    write_atomically(folder / f"{space.replace('/', '-')}.safetensors", data)
    return hashlib.sha256(data).hexdigest()


def _standard(survey: Survey, space: str) -> tuple[np.ndarray, np.ndarray]:
    """``(rows, vectors)``: the rows that have a vector, each column brought to mean 0 and scatter 1 (P0.8)."""
    vectors = survey.embedding(space)
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    here = vectors[rows].astype(np.float32)
    spread = here.std(axis=0)
    return rows, (here - here.mean(axis=0)) / np.where(spread > 0, spread, 1.0).astype(np.float32)


def _score(survey: Survey, step: Step, seed: int) -> None:
    started = time.monotonic()
    rows, vectors = _standard(survey, step.space)
    scores = np.full(len(survey), np.nan)
    scorer = SCORERS.get(step.what)(random_state=seed)
    scores[rows] = scorer.fit_score(vectors)
    told = {k: v for k, v in vars(scorer).items() if not k.endswith("_")}
    more = {"parameters": told, "input": "standardised", "dims": vectors.shape[1]}
    survey.put_score(step.space, step.what, scores, _told(survey, seed, started, **more))


def _lay_out(survey: Survey, step: Step, seed: int) -> None:
    started = time.monotonic()
    vectors = survey.embedding(step.space)
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    positions = np.full((len(survey), 2), np.nan, dtype=np.float32)
    projection = layout_class(step.what)(random_state=seed)
    positions[rows] = projection.fit_transform(vectors[rows])
    quality = getattr(projection, "quality_", {})
    survey.put_layout(step.space, step.what, positions, _told(survey, seed, started, quality=quality))


_DO = {"embed": _embed, "score": _score, "lay out": _lay_out}
