"""More like these, less like those: the nearest rows to a query composed of examples (P0.15)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from explorer.session.columns import Shared
from explorer.session.maps import neighbours

if TYPE_CHECKING:
    import pandas as pd

    from explorer.survey.store import Survey

PAIRS = 20_000
"""Random pairs of a space that a distance is compared with."""
_pairs = Shared(16)


def composed(vectors: np.ndarray, minus: np.ndarray | None = None) -> np.ndarray:
    """(d,) unit vector: the mean direction of ``vectors`` (m, d) less that of ``minus`` (k, d)."""
    query = _mean_direction(vectors)
    if minus is not None and len(minus):
        query = query - _mean_direction(minus)
    length = np.linalg.norm(query)
    if length < 1e-6:
        raise ValueError("the examples and what is taken from them cancel: leave one of them out")
    return query / length


def _mean_direction(vectors: np.ndarray) -> np.ndarray:
    vectors = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0).mean(axis=0)


def find(
    survey: Survey,
    space: str,
    rows: np.ndarray,
    minus: np.ndarray,
    k: int,
    mask: np.ndarray | None = None,
    *,
    least: bool = False,
    apart: float = 0.0,
    given: np.ndarray | None = None,
    names: Sequence[str] = (),
) -> pd.DataFrame:
    """The examples, then the ``k`` nearest other rows of a space by cosine distance to the composed query.

    Columns ``id``, ``distance`` (1 - cosine, to the composed query), ``closer`` (share of random pairs of the space
    that lie nearer to each other than that, see :func:`closer_pairs`) and ``example``; the index is the row. Rows in
    ``minus`` are left out; ``mask`` (n,) bool restricts where it looks.

    Parameters
    ----------
    least : the ``k`` rows that are least similar instead, the farthest first.
    apart : rows within this angle (degrees) of a nearer one, or of an example, count as the same thing and are set
        aside, as are other rows of an example's object. 0 keeps all.
    given : (m, d) vectors of examples that are no rows of the survey, called ``names``; their index is -1.
    """
    import pandas as pd

    rows, minus = np.asarray(rows, np.int64), np.asarray(minus, np.int64)
    if k < 1 or int(k) != k:
        raise ValueError(f"k={k!r}: ask for one neighbour or more")
    if not len(rows) and given is None:
        raise ValueError("give at least one id to find what is similar to it")
    if not apart >= 0:
        raise ValueError(f"apart={apart!r}: near-duplicates lie within 0 or more degrees")
    vectors = survey.embedding(space)
    _check_vectors(survey, space, vectors, np.concatenate([rows, minus]))
    examples = vectors[rows] if given is None else np.concatenate([vectors[rows], _of_width(given, vectors, space)])
    query = composed(examples, vectors[minus])
    left_out = np.union1d(rows, minus)
    if apart:
        left_out = np.union1d(left_out, _same_objects(survey, rows))
    distance, found = _search(survey, space, -query if least else query, left_out, int(k), mask, apart, examples)
    if least:
        distance = 2 - distance
    unit = examples.astype(np.float64)
    length = np.linalg.norm(unit, axis=1)
    own = np.maximum(1 - np.divide(unit @ query, length, out=np.zeros(len(unit)), where=length > 0), 0.0)
    outside = [str(n) for n in names] or [f"given {i + 1}" for i in range(len(examples) - len(rows))]
    order = np.concatenate([rows, np.full(len(examples) - len(rows), -1), found]).astype(np.int64)
    every = np.concatenate([own, distance])
    ids = [*survey.ids_of(rows), *outside[: len(examples) - len(rows)], *survey.ids_of(found)]
    table = {"id": ids, "distance": every, "closer": closer_pairs(survey, space, every)}
    table["example"] = np.arange(len(order)) < len(examples)
    return pd.DataFrame(table, index=pd.Index(order, name="row"))


def _check_vectors(survey: Survey, space: str, vectors: np.ndarray, rows: np.ndarray) -> None:
    for row in rows:
        if not np.isfinite(vectors[row]).all():
            others = [s for s in survey.spaces if np.isfinite(survey.embedding(s)[row]).all()]
            told = f"It has one in {', '.join(others)}" if others else "It has none in any space"
            raise ValueError(f"{survey.ids_of([row])[0]} has no vector in the space {space}. {told}")


def _of_width(given: np.ndarray, vectors: np.ndarray, space: str) -> np.ndarray:
    given = np.atleast_2d(np.asarray(given, np.float32))
    if given.shape[1] != vectors.shape[1]:
        raise ValueError(
            f"the example has {given.shape[1]} numbers and vectors of {space} have {vectors.shape[1]}: embed it with "
            "the encoder of that space"
        )
    if not np.isfinite(given).all():
        raise ValueError("the example's vector is not finite: it has no usable data")
    return given


def _same_objects(survey: Survey, rows: np.ndarray) -> np.ndarray:
    return np.flatnonzero(np.isin(survey.object_ids, survey.object_ids[rows])) if len(rows) else rows


def _search(
    survey: Survey, space: str, query: np.ndarray, left_out: np.ndarray, k: int, mask: np.ndarray | None, apart: float,
    examples: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Distances and rows of the nearest ``k`` to a direction, ``left_out`` and near-duplicates not among them."""
    from kernels.search import distinct

    index, asked = neighbours(survey, space), query[None].astype(np.float32)
    if apart:
        allowed = np.ones(len(survey), bool) if mask is None else mask.copy()
        allowed[left_out] = False
        distance, found = distinct(index, asked, min(k + len(examples), len(survey)), degrees=apart, mask=allowed)
    else:
        distance, found = index.query(asked, min(len(survey), k + len(left_out)), mask=mask)
    distance, found = np.asarray(distance[0]), np.asarray(found[0])
    kept = (found >= 0) & ~np.isin(found, left_out)
    if apart and kept.any():
        kept[kept] = ~_within(survey.embedding(space)[found[kept]], examples, apart)
    return distance[kept][:k], found[kept][:k].astype(np.int64)


def _within(vectors: np.ndarray, examples: np.ndarray, degrees: float) -> np.ndarray:
    """(m,) bool: whether a vector lies within an angle of one of the examples."""
    a, b = (
        v.astype(np.float64) / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-30) for v in (vectors, examples)
    )
    return (a @ b.T).max(axis=1) >= np.cos(np.radians(degrees)) - 1e-12


def closer_pairs(survey: Survey, space: str, distance: np.ndarray) -> np.ndarray:
    """(m,) what cosine distances mean: the share of random pairs of the space that are nearer to each other.

    0.001 is as near as one pair in a thousand; 0.5 is what two objects chosen blindly are apart.
    """

    def build(vectors: np.ndarray) -> np.ndarray:
        good = np.flatnonzero(np.isfinite(vectors).all(axis=1))
        if len(good) < 2:
            return np.empty(0)
        rng = np.random.default_rng(0)
        a, b = rng.choice(good, PAIRS), rng.choice(good, PAIRS)
        a, b = a[a != b], b[a != b]
        x, y = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-30) for v in (vectors[a], vectors[b]))
        return np.sort(1 - (x * y).sum(axis=1, dtype=np.float64))

    pairs = _pairs.get((str(survey.path), space), survey.embedding(space), build)
    if not len(pairs):
        return np.full(len(distance), np.nan)
    return np.searchsorted(pairs, distance) / len(pairs)
