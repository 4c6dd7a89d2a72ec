"""Rank intervals in a survey: between which places a row stands when a score is made again and again.

The column ``interval:SPACE:SCORER`` holds low, median and high place of every row, 1 for the most anomalous. It is of
one score: once that is computed anew the interval is of another, and is no longer given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.survey import arrays

if TYPE_CHECKING:
    from explorer.survey.store import Survey

LOW, MEDIAN, HIGH = range(3)


def column(space: str, scorer: str) -> str:
    """The name of the column."""
    return f"interval:{space}:{scorer}"


def put(survey: Survey, space: str, scorer: str, intervals: np.ndarray, provenance: dict[str, Any]) -> None:
    """Store (n, 3) low, median and high places of a score, NaN where unknown, as one atomic version."""
    values = survey._checked(intervals, 2)
    if values.shape[1] != 3:
        raise ValueError(f"an interval is low, median and high: (n, 3), not {values.shape}")
    told = {**provenance, "of": _made(survey, space, scorer)}
    survey._put({column(space, scorer): arrays.fixed(values)}, told, "stability")


def of(survey: Survey, space: str, scorer: str) -> np.ndarray | None:
    """(n, 3) float32 low, median and high places, NaN where unknown; None where the score as it is has none."""
    if not known(survey, space, scorer):
        return None
    return survey._cached_column(column(space, scorer), arrays.matrix)


def known(survey: Survey, space: str, scorer: str) -> bool:
    """Whether the score, as it stands in the survey, has intervals for all its rows."""
    name = column(space, scorer)
    if name not in survey.schema.names:
        return False
    told = survey.provenance(name)
    return told.get("of") == _made(survey, space, scorer) and told.get("rows", len(survey)) == len(survey)


def provenance(survey: Survey, space: str, scorer: str) -> dict[str, Any]:
    """How the intervals were made: kind, runs, level, how far the runs agree; empty where there are none."""
    return survey.provenance(column(space, scorer)) if known(survey, space, scorer) else {}


def _made(survey: Survey, space: str, scorer: str) -> str:
    """When the score was made: what tells one score from a later one of the same name."""
    name = f"score:{space}:{scorer}"
    return str(survey.provenance(name).get("time", "")) if name in survey.schema.names else ""
