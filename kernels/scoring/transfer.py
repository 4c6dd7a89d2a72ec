"""Do two rankings agree on what is strange? Histograms, retention and correlations (P0.11).

All take scores, higher is more anomalous, of the same objects in the same order: :func:`join` brings two catalogues
there. Objects that lack either score are left out, and places are counted anew among the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kernels.scoring.ranks import rank


@dataclass(frozen=True)
class Retention:
    """How much of the top of one ranking is at the top of another.

    Attributes
    ----------
    share : retained, in percent of the objects taken.
    expected, low, high : what rankings that know nothing of each other give, in percent: the mean, and the band that
        holds ``level`` of the cases (hypergeometric).
    taken, kept : objects at the top of the source, and how many of them are at the top of the target.
    """

    share: float
    expected: float
    low: float
    high: float
    taken: int
    kept: int


def join(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions (m,) in ``a`` and in ``b`` of the ids that both have, in the order of ``a``."""
    a, b = np.asarray(a), np.asarray(b)
    for name, ids in (("first", a), ("second", b)):
        if len(np.unique(ids)) != len(ids):
            raise ValueError(f"the {name} ids repeat: {len(ids) - len(np.unique(ids))} of {len(ids)}; one row an id")
    _, left, right = np.intersect1d(a, b, assume_unique=True, return_indices=True)
    order = np.argsort(left)
    return left[order], right[order]


def top_percents(scores: np.ndarray) -> np.ndarray:
    """Place of every object counted from the top, in percent of all: (n,) in (0, 100], 100 / n for the strangest."""
    places = rank(np.asarray(scores, dtype=np.float64))
    return 100.0 * places / max(len(places), 1)


def top_rows(scores: np.ndarray, percent: float) -> np.ndarray:
    """Rows of the strangest ``percent`` of all, at least one; ties at the cut are broken by row.

    Exactly round(n percent / 100) rows: with as many on both sides the retention is the same both ways.
    """
    if not 0 < percent <= 100:
        raise ValueError(f"percent={percent}: above 0, at most 100")
    places = rank(np.asarray(scores, dtype=np.float64))
    count = min(len(places), max(1, round(len(places) * percent / 100)))
    return np.sort(np.lexsort((np.arange(len(places)), places))[:count])


def histogram(source: np.ndarray, target: np.ndarray, percent: float = 1.0, bins: int = 40) -> np.ndarray:
    """(bins,) float64: where the top ``percent`` of ``source`` lies in ``target``, by top percent 0 to 100.

    Counts as a share of the objects taken, that sum to 1. The first bin is the top of the target.
    """
    source, target = _both(source, target)
    taken = top_rows(source, percent)
    # whole numbers: a place on an edge belongs to the bin that ends there
    at = (rank(target)[taken] - 1) * bins // len(target)
    return np.bincount(at, minlength=bins) / len(taken)


def retention(
    source: np.ndarray, target: np.ndarray, percent: float = 1.0, within: float | None = None, level: float = 0.95
) -> Retention:
    """How many of the top ``percent`` of ``source`` are in the top ``within`` (default: the same) of ``target``."""
    from scipy.stats import hypergeom

    source, target = _both(source, target)
    taken = top_rows(source, percent)
    wanted = top_rows(target, percent if within is None else within)
    kept = len(np.intersect1d(taken, wanted, assume_unique=True))
    chance = hypergeom(len(source), len(wanted), len(taken))
    low, high = chance.interval(level)
    unit = 100 / len(taken)
    return Retention(kept * unit, chance.mean() * unit, max(low, 0) * unit, high * unit, len(taken), kept)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman correlation of two scores over the objects that have both; NaN where one of them is constant."""
    a, b = _both(a, b)
    from scipy.stats import rankdata

    x, y = (rankdata(np.where(np.isfinite(s), s, np.inf)) for s in (a, b))
    x, y = x - x.mean(), y - y.mean()
    norm = np.sqrt((x @ x) * (y @ y))
    return float(x @ y / norm) if norm > 0 else float("nan")


def rank_biased_overlap(a: np.ndarray, b: np.ndarray, p: float = 0.99) -> float:
    """Rank-biased overlap of two rankings of the same objects, with ties: 1 the same, about 0 nothing in common.

    Webber, Moffat & Zobel 2010 (doi:10.1145/1852102.1852106): agreement at every depth, weighted by ``p ** depth``,
    so that the first 1 / (1 - p) places count most; tied objects enter together, and the agreement at a depth is
    2 |A and B| / (|A| + |B|) as in their section 4.5. Evaluated to the end of both lists.

    Parameters
    ----------
    a, b : (n,) scores, higher is more anomalous.
    p : persistence in (0, 1); 0.99 looks at about the first hundred.
    """
    if not 0 < p < 1:
        raise ValueError(f"p={p}: between 0 and 1, both excluded")
    a, b = _both(a, b)
    n = len(a)
    # an object is in the prefix of depth d when its place, shared by ties, is at most d
    first, second = rank(a), rank(b)
    in_first = np.cumsum(np.bincount(first, minlength=n + 1))[1:]
    in_second = np.cumsum(np.bincount(second, minlength=n + 1))[1:]
    in_both = np.cumsum(np.bincount(np.maximum(first, second), minlength=n + 1))[1:]
    agreement = 2 * in_both / (in_first + in_second)
    weight = (1 - p) * p ** np.arange(n)
    # beyond the end nothing new comes: the agreement stays what it is there, which is 1
    return float(agreement @ weight + p**n * agreement[-1])


@dataclass(frozen=True)
class Table:
    """Transfer among several rankings of the same objects: (k, k) matrices, row source, column target.

    ``at_1`` and ``at_10`` are retentions in percent of the source's top 1 % in the target's top 1 and 10 %,
    ``spearman`` and ``overlap`` are symmetric.
    """

    names: tuple[str, ...]
    at_1: np.ndarray
    at_10: np.ndarray
    spearman: np.ndarray
    overlap: np.ndarray


def table(scores: dict[str, np.ndarray]) -> Table:
    """The transfer between every two of the named scores."""
    names = tuple(scores)
    k = len(names)
    at_1, at_10, rho, overlap = (np.full((k, k), np.nan) for _ in range(4))
    for i, one in enumerate(names):
        for j, other in enumerate(names):
            at_1[i, j] = retention(scores[one], scores[other], 1).share
            at_10[i, j] = retention(scores[one], scores[other], 1, 10).share
            if j >= i:
                rho[i, j] = rho[j, i] = spearman(scores[one], scores[other])
                overlap[i, j] = overlap[j, i] = rank_biased_overlap(scores[one], scores[other])
    return Table(names, at_1, at_10, rho, overlap)


def _both(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the objects that have both; NaN is missing, infinity is a score."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(
            f"scores have shapes {a.shape} and {b.shape}: the same objects in the same order; join() first"
        )
    here = ~(np.isnan(a) | np.isnan(b))
    if not here.any():
        raise ValueError("no object has both scores: check that the two spaces hold the same ids")
    return a[here], b[here]


@dataclass(frozen=True)
class Grid:
    """Transfer at one cut among several rankings: (k, k) matrices, row source, column target.

    Attributes
    ----------
    names : of the rankings.
    share, expected, low, high : retention in percent, and what rankings that know nothing of each other give, as in
        :class:`Retention`; NaN where no object has both scores.
    objects : that have both scores.
    spearman : correlation of the two rankings.
    """

    names: tuple[str, ...]
    share: np.ndarray
    expected: np.ndarray
    low: np.ndarray
    high: np.ndarray
    objects: np.ndarray
    spearman: np.ndarray

    @property
    def beyond_chance(self) -> np.ndarray:
        """(k, k) bool: retention above the band of rankings that know nothing of each other."""
        with np.errstate(invalid="ignore"):
            return self.share > self.high


def grid(scores: dict[str, np.ndarray], percent: float = 1.0, level: float = 0.95) -> Grid:
    """:func:`retention` and :func:`spearman` between every two of the named scores, all at once.

    Rankings that lack the same objects share their places and their top, so that k rankings cost k sorts for each
    pattern of missing objects and not k^2; the same numbers as pair by pair.
    """
    from scipy.stats import hypergeom, rankdata

    names, k = tuple(scores), len(scores)
    columns = [np.asarray(s, dtype=np.float64) for s in scores.values()]
    if len({c.shape for c in columns}) > 1:
        raise ValueError(f"scores have shapes {sorted({c.shape for c in columns})}: the same objects in the same order")
    known = [~np.isnan(c) for c in columns]
    share, expected, low, high, rho = (np.full((k, k), np.nan) for _ in range(5))
    objects = np.zeros((k, k), np.int64)
    pairs: dict[bytes, list[tuple[int, int]]] = {}
    for i in range(k):
        for j in range(i, k):
            pairs.setdefault(np.packbits(known[i] & known[j]).tobytes(), []).append((i, j))
    for members in pairs.values():
        here = known[members[0][0]] & known[members[0][1]]
        n = int(here.sum())
        if not n:
            continue
        used = sorted({i for pair in members for i in pair})
        place = {i: at for at, i in enumerate(used)}
        top = np.zeros((len(used), n), np.float32)
        ranks = np.empty((len(used), n))
        for i in used:
            mine = columns[i][here]
            top[place[i], top_rows(mine, percent)] = 1
            ranks[place[i]] = rankdata(np.where(np.isfinite(mine), mine, np.inf))
        taken = int(top[0].sum())
        chance = hypergeom(n, taken, taken)
        band = chance.interval(level)
        both = top @ top.T
        ranks -= ranks.mean(axis=1, keepdims=True)
        norm = np.sqrt((ranks**2).sum(axis=1))
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = ranks @ ranks.T / np.outer(norm, norm)
        for pair in members:
            for i, j in (pair, pair[::-1]):
                share[i, j] = 100 * both[place[i], place[j]] / taken
                rho[i, j] = correlation[place[i], place[j]]
                objects[i, j] = n
                expected[i, j] = 100 * taken / n
                low[i, j], high[i, j] = (100 * max(b, 0) / taken for b in band)
    return Grid(names, share, expected, low, high, objects, rho)
