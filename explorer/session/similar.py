"""More like these, less like those: the nearest rows to a query composed of examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explorer.session.maps import neighbours

if TYPE_CHECKING:
    import pandas as pd

    from explorer.survey.store import Survey


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
) -> pd.DataFrame:
    """The examples, then the ``k`` nearest other rows of a space by cosine distance to the composed query.

    Columns ``id``, ``distance`` (1 - cosine, to the composed query) and ``example``; the index is the row. Rows in
    ``minus`` are left out; ``mask`` (n,) bool restricts where it looks.
    """
    import pandas as pd

    if k < 1 or int(k) != k:
        raise ValueError(f"k={k!r}: ask for one neighbour or more")
    if not len(rows):
        raise ValueError("give at least one id to find what is similar to it")
    vectors = survey.embedding(space)
    for row in np.concatenate([rows, minus]).astype(np.int64):
        if not np.isfinite(vectors[row]).all():
            others = [s for s in survey.spaces if np.isfinite(survey.embedding(s)[row]).all()]
            told = f"It has one in {', '.join(others)}" if others else "It has none in any space"
            raise ValueError(f"{survey.ids_of([row])[0]} has no vector in the space {space}. {told}")
    query = composed(vectors[rows], vectors[minus])
    index = neighbours(survey, space)
    left_out = np.union1d(rows, minus)
    asked = min(len(survey), int(k) + len(left_out))
    distance, found = (a[0] for a in index.query(query[None].astype(np.float32), asked, mask=mask))
    kept = (found >= 0) & ~np.isin(found, left_out)
    distance, found = distance[kept][:k], found[kept][:k]
    unit = vectors[rows].astype(np.float64)
    length = np.linalg.norm(unit, axis=1)
    own = 1 - np.divide(unit @ query, length, out=np.zeros(len(rows)), where=length > 0)
    order = np.concatenate([rows, found]).astype(np.int64)
    table = {"id": survey.ids_of(order), "distance": np.concatenate([own, distance])}
    table["example"] = np.arange(len(order)) < len(rows)
    return pd.DataFrame(table, index=pd.Index(order, name="row"))
