"""Is a ranking only a ranking of brightness? A score against S/N, magnitude, size, redshift and field."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.scoring.ranks import percentile, rank

LEAST = 50  # objects in a bin, below which a percentile within it says little


@dataclass(frozen=True)
class Confounder:
    """How a score follows a column.

    Attributes
    ----------
    name : of the column.
    correlation : Spearman's, in [-1, 1]; for a column of categories the square root of the share of the ranks'
        variance that lies between them, in [0, 1].
    error : its standard error under independence of the objects.
    objects : that have both.
    categorical : which of the two it is.
    """

    name: str
    correlation: float
    error: float
    objects: int
    categorical: bool


def confounders(scores: np.ndarray, columns: dict[str, np.ndarray]) -> list[Confounder]:
    """Each column's correlation with the score (n,), strongest first.

    Numeric columns enter by their ranks, columns of strings or bools as categories. Objects that lack either are
    left out.
    """
    found = [_one(name, *_both(scores, values, name)) for name, values in columns.items()]
    return sorted(found, key=lambda c: -abs(np.nan_to_num(c.correlation)))


def matched_percentile(scores: np.ndarray, columns: dict[str, np.ndarray], bins: int = 10) -> np.ndarray:
    """Percentile (n,) of every object among those like it: in (0, 100], high is anomalous.

    Objects are cut into bins of equal number by the first column, each of these by the second, and so on; a category
    is a bin of its own. Fewer bins are made where they would hold fewer than 50 objects. NaN where a value is missing.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if bins < 1:
        raise ValueError(f"bins={bins}: at least 1")
    known = ~np.isnan(scores)
    for name, values in columns.items():
        known &= _known(_column(values, len(scores), name))
    parts = [np.flatnonzero(known)]
    for name, values in columns.items():
        column = _column(values, len(scores), name)
        parts = [bin_ for part in parts for bin_ in _cut(part, column, bins)]
    out = np.full(len(scores), np.nan)
    for part in parts:
        out[part] = percentile(rank(scores[part]))
    return out


def _cut(part: np.ndarray, column: np.ndarray, bins: int) -> list[np.ndarray]:
    if column.dtype.kind != "f":
        values, at = np.unique(column[part].astype(str), return_inverse=True)
        made = [part[at == i] for i in range(len(values))]
        small = [m for m in made if len(m) < LEAST]
        rest = np.sort(np.concatenate(small)) if small else np.empty(0, np.int64)  # rare categories go together
        return [m for m in made if len(m) >= LEAST] + ([rest] if len(rest) else [])
    count = max(1, min(bins, len(part) // LEAST))
    # equal values stay together: the bin of an object must not depend on the order of the rows
    edges = np.quantile(column[part], np.linspace(0, 1, count + 1)[1:-1]) if count > 1 else np.empty(0)
    at = np.searchsorted(np.unique(edges), column[part], side="right")
    return [part[at == i] for i in np.unique(at)]


def _one(name: str, scores: np.ndarray, values: np.ndarray) -> Confounder:
    from scipy.stats import rankdata

    n, categorical = len(scores), values.dtype.kind != "f"
    if n < 3:
        return Confounder(name, float("nan"), float("nan"), n, categorical)
    places = rankdata(np.where(np.isfinite(scores), scores, np.inf))
    places -= places.mean()
    total = places @ places
    if total == 0:
        return Confounder(name, float("nan"), float("nan"), n, categorical)
    if categorical:
        _, at = np.unique(values.astype(str), return_inverse=True)
        count = np.bincount(at)
        between = (np.bincount(at, places) ** 2 / count).sum()
        chance = (len(count) - 1) / (n - 1)  # what categories explain by chance
        share = max(0.0, (between / total - chance) / max(1 - chance, 1e-12))
        return Confounder(name, float(np.sqrt(share)), float(np.sqrt(max(chance, 0))), n, True)
    other = rankdata(values)
    other -= other.mean()
    norm = np.sqrt(total * (other @ other))
    value = float(places @ other / norm) if norm > 0 else float("nan")
    return Confounder(name, value, float(1 / np.sqrt(n - 1)), n, False)


def _both(scores: np.ndarray, values: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    scores = np.asarray(scores, dtype=np.float64)
    column = _column(values, len(scores), name)
    here = ~np.isnan(scores) & _known(column)
    return scores[here], column[here]


def _column(values: np.ndarray, n: int, name: str) -> np.ndarray:
    column = np.asarray(values)
    if column.shape != (n,):
        raise ValueError(f"column {name!r} has shape {column.shape}, the scores have {n} rows")
    return column.astype(np.float64) if column.dtype.kind in "fiu" else column


def _known(column: np.ndarray) -> np.ndarray:
    if column.dtype.kind == "f":
        return np.isfinite(column)
    if column.dtype.kind == "O":
        return np.array([v is not None and v == v for v in column], dtype=bool)
    return np.ones(len(column), bool)
