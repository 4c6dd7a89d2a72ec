"""From a survey's pixels and spectra to spaces, scores and layouts, one resumable step after another."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version as package_version
from typing import Any

import numpy as np

from explorer.pipeline.batches import rows_with
from explorer.pipeline.embed import Told, clear, current, embed, identity
from explorer.survey.progress import Progress, bar
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS
from kernels.scoring import SCORERS

_log = logging.getLogger("explorer")
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
        present = _present(survey, name)
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


def _present(survey: Survey, encoder: str) -> list[str]:
    """The modalities of an encoder of which the survey has enough."""
    known = [m for m in ENCODERS.get(encoder).modalities if m != "joint"]
    return [m for m in known if len(rows_with(survey, m)) >= FEWEST]


def _tell_idle(survey: Survey, encoders: Sequence[str]) -> None:
    """Say which encoders make no space here, and why: whoever named them waits for one."""
    for name in encoders:
        if not _present(survey, name):
            kinds = " or ".join(m for m in ENCODERS.get(name).modalities if m != "joint")
            _log.warning("%s makes no space of %s: fewer than %d rows have %s", name, survey.name, FEWEST, kinds)


def todo(survey: Survey, steps: Iterable[Step]) -> list[Step]:
    """The steps whose column is not there yet, or is older than rows that came later."""
    return [s for s in steps if s.column not in survey.schema.names or _stale(survey, s)]


def _stale(survey: Survey, step: Step) -> bool:
    """Whether rows came later, or the vectors were made, or are to be made, with other weights."""
    told = survey.provenance(step.column)
    if told.get("rows") != len(survey):
        return True
    if step.kind != "embed":
        made, now = told.get("made_from"), identity(survey.provenance(f"space:{step.space}"))
        if made is not None and made != now:
            return True
    return not current(survey, step.space)


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
    given = ([n] if isinstance(n, str) else n for n in (encoders, scorers, layouts))
    encoders, scorers, layouts = (list(dict.fromkeys(names)) for names in given)  # named twice, done once
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
    _tell_idle(survey, [name for name in encoders if survey.modalities or name != "pca"])
    return prepare_steps(survey, todo(survey, steps), bar() if progress is None else progress, seed)


def prepare_steps(survey: Survey, steps: list[Step], progress: Progress | None = None, seed: int = 0) -> list[Step]:
    """Do these steps in order, each an atomic version; returns them."""
    for i, step in enumerate(steps):
        label = f"{step.kind} {step.space} {step.what}".strip()
        if progress:
            progress(i, len(steps), label)
        if step.kind == "embed":
            _embed(survey, step, seed, _within(progress, i, len(steps), label))
        else:
            _DO[step.kind](survey, step, seed)
    if progress:
        progress(len(steps), len(steps), "ready")
    return steps


def _within(progress: Progress | None, step: int, steps: int, label: str) -> Told | None:
    """How far one step has come, told in its label."""
    if progress is None:
        return None
    return lambda done, total: progress(step, steps, f"{label} {100 * done // max(total, 1)} %")


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


def _embed(survey: Survey, step: Step, seed: int, progress: Told | None = None) -> None:
    started = time.monotonic()
    vectors, told = embed(survey, step.space, seed, progress)
    survey.put_embedding(step.space, vectors, _told(survey, seed, started, **told))
    clear(survey)


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
    made = identity(survey.provenance(f"space:{step.space}"))
    more = {"parameters": told, "input": "standardised", "dims": vectors.shape[1], "made_from": made}
    survey.put_score(step.space, step.what, scores, _told(survey, seed, started, **more))


def _lay_out(survey: Survey, step: Step, seed: int) -> None:
    started = time.monotonic()
    vectors = survey.embedding(step.space)
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    positions = np.full((len(survey), 2), np.nan, dtype=np.float32)
    projection = layout_class(step.what)(random_state=seed)
    positions[rows] = projection.fit_transform(vectors[rows])
    quality = getattr(projection, "quality_", {})
    more = {"quality": quality, "made_from": identity(survey.provenance(f"space:{step.space}"))}
    survey.put_layout(step.space, step.what, positions, _told(survey, seed, started, **more))


_DO = {"score": _score, "lay out": _lay_out}
