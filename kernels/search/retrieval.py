"""How well a ranked list finds what it should: recall, median rank, accuracy, discounted gain.

Ranks count from 1. Every function takes numpy or lists and returns plain numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

GAINS = ("exponential", "linear")


def ranks_of_pairs(similarity: Any) -> np.ndarray:
    """(n,) float64 rank of the true partner of each query, where query ``i`` belongs to candidate ``i``.

    ``similarity`` (n, m) with m >= n: higher is nearer. A candidate that ties with the partner counts one half,
    so that a constant matrix gives the mean rank of chance, (m + 1) / 2. NaN never matches: a query whose partner
    is NaN gets rank m, and NaN candidates stand behind it.
    """
    matrix = np.asarray(similarity, np.float64)
    if matrix.ndim != 2 or matrix.shape[1] < matrix.shape[0] or not len(matrix):
        raise ValueError(f"similarity has shape {matrix.shape}; expected (n, m) with n >= 1 queries and m >= n")
    own = matrix[np.arange(len(matrix)), np.arange(len(matrix))]
    with np.errstate(invalid="ignore"):
        above = (matrix > own[:, None]).sum(1)
        ties = (matrix == own[:, None]).sum(1) - 1
    return np.where(np.isnan(own), float(matrix.shape[1]), 1.0 + above + ties / 2)


def recall_at(ranks: Any, k: int | float, n: int | None = None) -> float:
    """Share of queries whose partner stands among the first ``k``; Recall@k of P3.3.

    ``ranks`` (q,) count from 1. ``k`` is a count (int >= 1) or, where it is a float in (0, 1), a share of the
    ``n`` candidates: Recall@1 % of 1,719 looks at the first ``ceil(17.19)`` = 18.
    """
    ranks = _ranks(ranks)
    if isinstance(k, float) and 0 < k < 1:
        if n is None or n < 1:
            raise ValueError(f"k={k} is a share of the candidates: say how many there are, n=")
        limit = float(np.ceil(k * n - 1e-9))
    elif k >= 1 and int(k) == k:
        limit = float(k)
    else:
        raise ValueError(f"k={k!r}: give a count of 1 or more, or a share between 0 and 1 together with n=")
    return float((ranks <= limit).mean())


def top_k_accuracy(ranks: Any, k: int = 1) -> float:
    """Share of queries whose partner stands among the first ``k`` (P2.5): :func:`recall_at` with a count."""
    if int(k) != k:
        raise ValueError(f"k={k!r}: top-k accuracy takes a whole number of 1 or more")
    return recall_at(ranks, int(k))


def median_rank(ranks: Any) -> float:
    """Median rank of the true partner (P3.3), from 1; the mean of the middle two where their number is even."""
    return float(np.median(_ranks(ranks)))


def dcg(relevance_in_order: Sequence[float] | np.ndarray, k: int | None = None, gain: str = "exponential") -> float:
    r"""Discounted cumulative gain, :math:`\sum_{i=1}^{k} g_i / \log_2(i + 1)`.

    ``relevance_in_order`` (m,) >= 0: relevance of the first, the second, … found. ``gain`` is ``"exponential"``,
    g = 2^rel - 1 (Burges et al. 2005), or ``"linear"``, g = rel (Järvelin & Kekäläinen 2002). The two agree for
    relevance 0 or 1.
    """
    relevance = _relevance(relevance_in_order)
    if gain not in GAINS:
        raise ValueError(f"gain={gain!r} is unknown: choose one of {', '.join(GAINS)}")
    if k is not None:
        if int(k) != k or k < 1:
            raise ValueError(f"k={k!r}: look at one result or more")
        relevance = relevance[: int(k)]
    gains = np.exp2(relevance) - 1 if gain == "exponential" else relevance
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def ndcg(
    relevance_in_order: Sequence[float] | np.ndarray,
    k: int | None = None,
    gain: str = "exponential",
    ideal: Sequence[float] | np.ndarray | None = None,
) -> float:
    """DCG over that of the best order, in [0, 1]; nDCG@k of P4.3 in both definitions of the gain.

    ``ideal`` (any length, any order) holds the relevance of everything that could have been found, the results
    included; without it the best order is that of the results alone, which forgives what was never found. NaN where
    nothing is relevant: there is then no order to judge.

    >>> ndcg([0, 1, 0, 1], ideal=[1, 1, 1])  # doctest: +ELLIPSIS
    0.498...
    """
    best = np.sort(_relevance(relevance_in_order if ideal is None else ideal))[::-1]
    top = dcg(best, k, gain)
    found = dcg(relevance_in_order, k, gain)
    if top == 0:
        return float("nan") if found == 0 else _not_ideal()
    if found > top * (1 + 1e-9):
        _not_ideal()
    return min(found / top, 1.0)


def _not_ideal() -> float:
    raise ValueError("the results are more relevant than `ideal` allows: give the relevance of all candidates")


def _relevance(values: Any) -> np.ndarray:
    relevance = np.asarray(values, np.float64)
    if relevance.ndim != 1:
        raise ValueError(f"relevance is one number a result, in order; got an array of shape {relevance.shape}")
    bad = ~np.isfinite(relevance) | (relevance < 0)
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(f"relevance of result {i + 1} is {relevance[i]}: give finite numbers of 0 or more")
    return relevance


def _ranks(values: Any) -> np.ndarray:
    ranks = np.asarray(values, np.float64)
    if ranks.ndim != 1 or not len(ranks):
        raise ValueError(f"ranks has shape {ranks.shape}; expected (q,), one rank for each of q >= 1 queries")
    bad = ~(ranks >= 1)
    if bad.any():
        i = int(np.argmax(bad))
        raise ValueError(f"rank of query {i} is {ranks[i]}: ranks count from 1")
    return ranks
