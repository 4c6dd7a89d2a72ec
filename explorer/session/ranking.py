"""Pages of a ranking without sorting the survey, and steps along it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explorer.session._names import scored
from explorer.session.columns import Shared, Text

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session
    from explorer.survey.store import Survey

_orders = Shared(8)
WALK = 50  # a selection of more than one row in so many is paged along the ranking of all
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


def walked(order: np.ndarray, mask: np.ndarray, offset: int, limit: int) -> np.ndarray:
    """Rows in places offset…offset+limit-1 among those of ``order`` (n,) that ``mask`` (n,) holds.

    It looks only as far along the order as it has to: of a large selection, at a few pages.
    """
    end, have, start, step = offset + limit, 0, 0, 4096
    found = [np.empty(0, order.dtype)]
    while have < end and start < len(order):
        part = order[start : start + step]
        part = part[mask[part]]
        found.append(part)
        have, start, step = have + len(part), start + step, 2 * step
    return np.concatenate(found)[offset:end].astype(np.int64)


def place(survey: Survey, space: str, scorer: str, mask: np.ndarray | None, row: int) -> int:
    """How many rows of ``mask`` (n,) (all, where None) stand before ``row`` in the ranking."""
    before = ranked(survey, space, scorer)
    before = before[: int(np.flatnonzero(before == row)[0])]
    return len(before) if mask is None else int(np.count_nonzero(mask[before]))


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


def rows_on_page(
    session: Session,
    offset: int,
    limit: int,
    scorer: str | None,
    space: str | None,
    within_selection: bool,
    sort: str,
    descending: bool,
) -> np.ndarray:
    """The rows of :meth:`Session.ranked_rows`."""
    if offset < 0 or limit < 0:
        raise ValueError(f"offset and limit are 0 or more, not {offset} and {limit}")
    survey, chosen = session.survey, session.selection
    space, scorer = scored(session, space, scorer)
    within = within_selection and chosen.active
    if within and sort == "rank" and scorer and not descending and len(chosen) * WALK > len(survey):
        return walked(ranked(survey, space, scorer), chosen.mask, offset, limit)
    rows = chosen.rows if within else None
    if sort == "order" and within and chosen.ordered:
        order = chosen.order[::-1] if descending else chosen.order
        return order[offset : offset + limit]
    keys = None
    if sort == "rank" and descending and scorer:
        places = survey.rank(space, scorer)
        keys = sort_keys(np.where(places > 0, places.astype(np.float64), np.nan), rows, True)
    elif sort in ("row", "order") or (sort == "rank" and descending):
        count = np.arange(len(survey) if rows is None else len(rows))
        keys = -count if descending else count
    elif sort != "rank":
        keys = sort_keys(session.values(sort), rows, descending)
    return np.asarray(page(survey, space, scorer, rows, keys, offset, limit))


def frame_of(session: Session, rows: np.ndarray, scorer: str | None, space: str | None) -> pd.DataFrame:
    """The frame of :meth:`Session.ranking_of`."""
    import pandas as pd

    survey = session.survey
    space, scorer = scored(session, space, scorer)
    nothing = np.full(len(rows), np.nan)
    places = survey.rank(space, scorer)[rows] if scorer else np.zeros(len(rows), np.int64)
    table = {
        "rank": pd.arrays.IntegerArray(places.astype(np.int64), places == 0),
        "id": survey.ids_of(rows),
        "score": survey.score(space, scorer)[rows] if scorer else nothing,
        "percentile": survey.percentile(space, scorer)[rows] if scorer else nothing,
        "mark": session.labels(rows),
    }
    return pd.DataFrame(table, index=pd.Index(rows, name="row"))


def next_row(session: Session, by: int) -> int:
    """The row that :meth:`Session.step` goes to."""
    chosen, focus = session.selection, session.focus
    if not chosen.ordered:
        rows = chosen.rows if len(chosen) else None
        return stepped(session.survey, session.space, session.scorer, rows, focus, by)
    order = chosen.order
    here = np.flatnonzero(order == focus)
    to = int(here[0]) + by if len(here) else (0 if by > 0 else len(order) - 1)
    return int(order[int(np.clip(to, 0, len(order) - 1))])
