"""Pages of a ranking without sorting the survey, and steps along it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explorer.session.columns import Shared, Text

if TYPE_CHECKING:
    from explorer.survey.store import Survey

_orders = Shared(8)
_LAST = np.iinfo(np.int64).max


def ranked(survey: Survey, space: str, scorer: str) -> np.ndarray:
    """(n,) int32 rows, the most anomalous first, ties by row, rows without a score last; shared by the process."""
    return _orders.get((str(survey.path), space, scorer), survey.rank(space, scorer), _sorted)


def _sorted(places: np.ndarray) -> np.ndarray:
    here = np.flatnonzero(places > 0).astype(np.int32)
    taken = places[here]
    if np.bincount(taken, minlength=1).max() <= 1:  # no ties: each place says where its row stands
        first = np.empty(len(here), np.int32)
        first[taken - 1] = here
    else:
        first = here[np.argsort(taken, kind="stable")]
    rows = np.concatenate([first, np.flatnonzero(places == 0).astype(np.int32)])
    rows.flags.writeable = False
    return rows


def smallest(keys: np.ndarray, offset: int, limit: int) -> np.ndarray:
    """Positions of the keys in places offset…offset+limit-1 of ascending order, ties by position, NaN last.

    A partial sort: its cost is that of one pass and of sorting what comes up to there.
    """
    end = min(offset + limit, len(keys))
    if offset >= end:
        return np.empty(0, np.int64)
    if keys.dtype.kind == "f":
        keys = np.where(np.isnan(keys), np.inf, keys)
    if end * 4 > len(keys):
        return np.argsort(keys, kind="stable")[offset:end]
    edge = np.partition(keys, end - 1)[end - 1]
    front, tied = np.flatnonzero(keys < edge), np.flatnonzero(keys == edge)
    front = front[np.argsort(keys[front], kind="stable")]
    return np.concatenate([front, tied[: end - len(front)]])[offset:end]


def sort_keys(values: np.ndarray | Text, rows: np.ndarray | None, descending: bool) -> np.ndarray:
    """Keys whose ascending order is the order wanted; missing values last either way."""
    data = values.codes if isinstance(values, Text) else values
    data = data if rows is None else data[rows]
    if isinstance(values, Text):
        missing, data = data < 0, data.astype(np.int64)
    elif data.dtype.kind == "M":
        missing, data = np.isnat(data), data.astype(np.int64)
    elif data.dtype.kind == "f":
        return np.where(np.isnan(data), np.inf, -data if descending else data)
    elif data.dtype.kind == "u":
        missing, data = np.zeros(len(data), bool), np.minimum(data, np.uint64(_LAST)).astype(np.int64)
    else:
        missing, data = np.zeros(len(data), bool), data.astype(np.int64)
    return np.where(missing, _LAST, ~data if descending else data)


def page(
    survey: Survey,
    space: str,
    scorer: str,
    rows: np.ndarray | None,
    keys: np.ndarray | None,
    offset: int,
    limit: int,
) -> np.ndarray:
    """Rows in places offset…offset+limit-1 among ``rows`` (all, where None).

    By ``keys`` (one for each of those rows) where given, else by rank.
    """
    if keys is not None:
        places = smallest(keys, offset, limit)
        return places if rows is None else rows[places]
    if not scorer:
        return np.arange(offset, min(offset + limit, len(survey))) if rows is None else rows[offset : offset + limit]
    if rows is None:
        return ranked(survey, space, scorer)[offset : offset + limit].astype(np.int64)
    places = survey.rank(space, scorer)[rows]
    return rows[smallest(np.where(places > 0, places, _LAST), offset, limit)]


def stepped(survey: Survey, space: str, scorer: str, rows: np.ndarray | None, focus: int, by: int) -> int:
    """The row ``by`` places from ``focus`` along the ranking of ``rows`` (all, where None); it stops at both ends.

    From a focus that is not among the rows, and from none (-1), it goes to the first or the last of them.
    """
    total = len(survey) if rows is None else len(rows)
    if total == 0:
        return focus
    places = None if not scorer else survey.rank(space, scorer)
    if focus < 0 or (rows is not None and not _holds(rows, focus)):
        at = 0 if by > 0 else total - 1
    else:
        at = int(np.clip(_place(places, rows, focus) + by, 0, total - 1))
    return int(page(survey, space, scorer, rows, None, at, 1)[0])


def _holds(rows: np.ndarray, row: int) -> bool:
    at = int(np.searchsorted(rows, row))
    return at < len(rows) and rows[at] == row


def _place(places: np.ndarray | None, rows: np.ndarray | None, focus: int) -> int:
    """How many of the rows (ascending) stand before ``focus``."""
    if places is None:
        return focus if rows is None else int(np.searchsorted(rows, focus))
    mine = places[focus] or _LAST
    among = places if rows is None else places[rows]
    split = focus if rows is None else int(np.searchsorted(rows, focus))
    if mine == _LAST:
        return int(np.count_nonzero(among)) + int(np.count_nonzero(among[:split] == 0))
    before = np.count_nonzero((among < mine) & (among > 0))
    return int(before) + int(np.count_nonzero(among[:split] == mine))
