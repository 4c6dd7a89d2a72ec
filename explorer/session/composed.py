"""Queries of several parts: like these objects, in these words, with this in the catalogue, each with a weight.

Every part gives each row a place between 0 and 1 (the share of rows that it ranks below that row), so that a cosine and
a flux can be added; the sum of weight x place orders the rows. A condition without a weight is a filter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import query, similar, words
from explorer.session.columns import Text

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session


@dataclass(frozen=True)
class Like:
    """Similar to these objects, less those, in a space (the session's own where none is named)."""

    ids: Sequence[str | int]
    minus: Sequence[str | int] = ()
    space: str = ""
    weight: float = 1.0


@dataclass(frozen=True)
class Words:
    """What the words say, by whatever the survey can be searched with (:mod:`explorer.session.words`)."""

    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class Condition:
    """A condition or a number in the query language. With a condition, rows that fulfil it stand above the others;
    with a number, higher stands above. ``weight`` None leaves rows that fail the condition out altogether."""

    expression: str
    weight: float | None = None


Part = Like | Words | Condition


def search(session: Session, parts: Sequence[Part], k: int = 50, mask: np.ndarray | None = None) -> pd.DataFrame:
    """The examples of all parts, then the ``k`` rows with the highest weighted sum of places.

    Columns ``id``, ``score`` (weighted mean of places, 0 to 1), one column for the place in each part, ``example``.
    A row that a part cannot judge stands in the middle (0.5) of that part; one that no part can judge is left out.
    """
    import pandas as pd

    if k < 1 or int(k) != k:
        raise ValueError(f"k={k!r}: ask for one row or more")
    weighted = [p for p in parts if p.weight is not None]
    if not weighted or not any(p.weight for p in weighted):
        raise ValueError("a composed query needs at least one part with a weight: examples, words or a number")
    n = len(session.survey)
    allowed = np.ones(n, bool) if mask is None else mask.copy()
    for part in parts:
        if isinstance(part, Condition) and part.weight is None:
            allowed &= query.matches(part.expression, session.scope())
    total, judged = np.zeros(n), np.zeros(n, bool)
    columns: dict[str, np.ndarray] = {}
    examples: list[int] = []
    for part in weighted:
        values = _values(session, part)
        good = np.isfinite(values)
        place = np.where(good, _places(values), 0.5)
        total += float(part.weight or 0) * place
        judged |= good
        columns[_called(part, columns)] = place
        if isinstance(part, Like):
            left = session._rows_of(list(part.minus))
            allowed[left] = False
            if (part.weight or 0) > 0:
                examples += session._rows_of(list(part.ids)).tolist()
    first = np.array(list(dict.fromkeys(examples)), np.int64)
    allowed[first] = False
    score = total / sum(abs(float(p.weight or 0)) for p in weighted)
    rows = np.flatnonzero(allowed & judged)
    order = np.concatenate([first, rows[np.argsort(-score[rows], kind="stable")[:k]]])
    table: dict[str, Any] = {"id": session.survey.ids_of(order), "score": score[order]}
    table |= {name: place[order] for name, place in columns.items()}
    table["example"] = np.arange(len(order)) < len(first)
    return pd.DataFrame(table, index=pd.Index(order, name="row"))


def _values(session: Session, part: Part) -> np.ndarray:
    """(n,) float64, higher is better, NaN where the part cannot tell."""
    if isinstance(part, Words):
        return words.judge(session.survey, part.text).similarity
    if isinstance(part, Condition):
        found = query.values(part.expression, session.scope())
        if isinstance(found, Text):
            raise ValueError(f"{part.expression!r} is text: compare it, as in {part.expression} == 'value'")
        return np.asarray(found, np.float64)
    space = part.space or session.space
    survey = session.survey
    rows, minus = session._rows_of(list(part.ids)), session._rows_of(list(part.minus))
    if not len(rows):
        raise ValueError("give at least one id to find what is similar to it")
    vectors = survey.embedding(space)
    similar._check_vectors(survey, space, vectors, np.concatenate([rows, minus]))
    toward = similar.composed(vectors[rows], vectors[minus]).astype(np.float32)
    length = np.linalg.norm(vectors, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (vectors @ toward / length).astype(np.float64)


def _places(values: np.ndarray) -> np.ndarray:
    """(n,) share of the finite values below each, ties at their middle."""
    from scipy.stats import rankdata

    out = np.full(len(values), np.nan)
    good = np.isfinite(values)
    if good.any():
        out[good] = (rankdata(values[good]) - 0.5) / good.sum()
    return out


def _called(part: Part, taken: dict[str, Any]) -> str:
    name = {"Like": "examples", "Words": "words"}.get(type(part).__name__, getattr(part, "expression", ""))
    return name if name not in taken else f"{name} {len(taken) + 1}"
