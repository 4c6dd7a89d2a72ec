"""How far ranks can be trusted: scores made again on halves of the survey, and the rank intervals stored."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from explorer.pipeline.prepare import _standard, _told
from explorer.survey import intervals
from explorer.survey.progress import Progress
from explorer.survey.store import Survey
from kernels.registry import UnknownName
from kernels.scoring import SCORERS

RUNS = 8
LEVEL = 0.9


def waiting(survey: Survey) -> list[tuple[str, str]]:
    """(space, scorer) of every score that a registered scorer can make again and that has no intervals yet."""
    return [
        (space, scorer)
        for space in survey.spaces
        for scorer in survey.scores(space)
        if scorer in SCORERS.names() and not intervals.known(survey, space, scorer)
    ]


def measure(
    survey: Survey,
    space: str,
    scorer: str,
    runs: int = RUNS,
    kind: str = "folds",
    level: float = LEVEL,
    seed: int = 0,
    progress: Progress | None = None,
) -> np.ndarray:
    """Score a space ``runs`` times and store between which places each row stands; one atomic version.

    The interval holds ``level`` of the runs and the place that the row has in the survey.

    Parameters
    ----------
    space, scorer : a score of the survey made by a registered scorer, with the parameters it was made with.
    kind : ``"folds"`` (each half scored by what was fitted on the other, another split each time), ``"seeds"`` or
        ``"bootstrap"``: see :func:`kernels.scoring.stability.repeated_scores`.
    level : share of the runs that an interval holds.

    Returns
    -------
    (n, 3) float32: low, median and high place, NaN where the space has no vector.
    """
    from kernels.scoring.stability import agreement, rank_interval, repeated_scores

    if scorer not in SCORERS.names():
        raise UnknownName("scorer", scorer, SCORERS.names(), "Only what a scorer made can be made again")
    places = survey.rank(space, scorer)
    started = time.monotonic()
    rows, vectors = _standard(survey, space)
    made = _maker(survey, space, scorer)
    steps = _counted(progress, runs, f"stability {space} {scorer}")
    scores = repeated_scores(made, vectors, runs, kind, seed, steps)
    found = rank_interval(scores, level)
    out = np.full((len(survey), 3), np.nan, np.float32)
    low, high = np.fmin(np.floor(found.low), places[rows]), np.fmax(np.ceil(found.high), places[rows])
    out[rows] = np.stack([low, found.median, high], axis=1)
    rho, kept = agreement(scores)
    told = {"kind": kind, "runs": runs, "level": level, "spearman": round(rho, 4), "retention": round(kept, 2)}
    intervals.put(survey, space, scorer, out, _told(survey, seed, started, **told))
    return out


def measure_all(
    survey: Survey, runs: int = RUNS, kind: str = "folds", seed: int = 0, progress: Progress | None = None
) -> list[tuple[str, str]]:
    """:func:`measure` for every score that waits; skips what is there. Returns what was done."""
    steps = waiting(survey)
    for i, (space, scorer) in enumerate(steps):
        if progress:
            progress(i, len(steps), f"stability {space} {scorer}")
        measure(survey, space, scorer, runs, kind, seed=seed)
    if progress:
        progress(len(steps), len(steps), "ready")
    return steps


def _maker(survey: Survey, space: str, scorer: str) -> Callable[[int], Any]:
    """Makes the scorer for a seed, with the parameters that the stored score was made with."""
    kind = SCORERS.get(scorer)
    told = survey.provenance(f"score:{space}:{scorer}").get("parameters", {})
    taken = {k: v for k, v in told.items() if k != "random_state"} if isinstance(told, dict) else {}
    return lambda seed: kind(**taken, random_state=seed)


def _counted(progress: Progress | None, runs: int, label: str) -> Callable[[float], None] | None:
    if progress is None:
        return None
    return lambda share: progress(round(share * runs), runs, label)
