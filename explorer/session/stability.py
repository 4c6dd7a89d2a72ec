"""Between which places a row of the present ranking stands, and which rows cannot be told from their neighbours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session._names import scored
from explorer.survey import intervals
from explorer.survey.progress import Progress

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session


def interval_of(session: Session) -> np.ndarray | None:
    """(n, 3) low, median and high place of the session's score, None where it has not been measured."""
    space, scorer = session.space, session.scorer
    return intervals.of(session.survey, space, scorer) if space and scorer else None


def measured(session: Session, runs: int = 8, kind: str = "folds", progress: Progress | None = None) -> pd.DataFrame:
    """Measure the present score's intervals where there are none; the surest rows first, 50 of them."""
    from explorer.pipeline.stability import measure

    space, scorer = scored(session, None, None)
    if not intervals.known(session.survey, space, scorer):
        measure(session.survey, space, scorer, runs, kind, progress=progress)
        session.refresh()
    return surest(session)


def surest(session: Session, offset: int = 0, limit: int = 50) -> pd.DataFrame:
    """The ranking by the worse end of its intervals, with columns ``low``, ``median`` and ``high``."""
    found = interval_of(session)
    if found is None:
        raise ValueError(f"the score {session.scorer} of {session.space} has no rank intervals: session.stability()")
    rows = session.ranked_rows(offset, limit, sort=by_high(session))
    frame = session.ranking_of(rows)
    for place, name in enumerate(("low", "median", "high")):
        frame[name] = found[rows, place]
    return frame


def by_high(session: Session) -> str:
    """The ``sort`` of a ranking that puts first what is strange in every run."""
    return f"rank_high({session.scorer!r}, {session.space!r})"


def blurred(found: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """(m,) bool: rows, in the order of a ranking, that cannot be told apart from the row before or after them.

    ``found`` (n, 3) are intervals; two rows are told apart where their intervals do not overlap. A row without an
    interval counts as blurred.
    """
    low, high = found[rows, intervals.LOW], found[rows, intervals.HIGH]
    missing = np.isnan(low)
    with np.errstate(invalid="ignore"):
        overlap = (low[1:] <= high[:-1]) & (low[:-1] <= high[1:])
    overlap |= missing[1:] | missing[:-1]
    none = np.zeros(1, bool)
    return missing | np.concatenate([none, overlap]) | np.concatenate([overlap, none])


def told(session: Session) -> dict[str, Any]:
    """How the present score's intervals were made; empty where there are none."""
    return intervals.provenance(session.survey, session.space, session.scorer)
