"""How far a layout can be trusted: trustworthiness and neighbour recall on a sample of its rows."""

from __future__ import annotations

from functools import partial

import numpy as np

from kernels._parallel import in_threads
from kernels.search import Neighbours, exact, join
from kernels.search._rows import Rows, Space

SAMPLE = 10_000
K = 15
BLOCK = 1024


def layout_quality(space: Space, rows: Rows, xy: np.ndarray, k: int = K, sample: int = SAMPLE, seed: int = 0) -> dict:
    """Quality of the layout ``xy`` (n, 2) of prepared ``rows`` (n, d), among at most ``sample`` of them.

    Returns ``trustworthiness`` (Venna & Kaski 2001, as scikit-learn computes it) and ``neighbour_recall`` (the mean
    share of a row's k neighbours that are its neighbours in the layout), both in 0..1 and NaN where the sample is
    too small, with ``k`` and ``sample``.
    """
    n = len(rows)
    chosen = np.arange(n) if n <= sample else np.sort(np.random.default_rng(seed).choice(n, sample, replace=False))
    m = len(chosen)
    k = min(k, (m - 1) // 2)
    if k < 1 or 2 * m - 3 * k - 1 <= 0:
        return {"trustworthiness": float("nan"), "neighbour_recall": float("nan"), "k": int(max(k, 0)), "sample": m}
    mine = rows.take(chosen)
    near = join.self_join(space, mine, k)[1]
    placed = Neighbours("euclidean", "exact").fit(xy[chosen]).self_join(k)[1]
    found = (placed[:, :, None] == near[:, None, :]).any(axis=2)
    excess = np.maximum(_ranks(space, mine, placed) - k, 0) * ~found
    trust = 1.0 - 2.0 * excess.sum() / (m * k * (2.0 * m - 3.0 * k - 1.0))
    return {"trustworthiness": float(trust), "neighbour_recall": float(found.mean()), "k": k, "sample": m}


def _ranks(space: Space, rows: Rows, placed: np.ndarray) -> np.ndarray:
    """(m, k) int64: the rank in the original space (1 nearest) of each row ``placed`` (m, k) beside a row."""
    from kernels.layout import _umap_kernels

    m = len(rows)
    rank = np.empty(placed.shape, np.int64)
    for start in range(0, m, BLOCK):
        own = slice(start, min(m, start + BLOCK))
        score = rows.a[own] @ rows.a.T - rows.w
        score[np.arange(own.stop - start), np.arange(start, own.stop)] = -np.inf
        given = (score, placed[own], rank[own])
        in_threads(partial(_umap_kernels.count_above, *part, *given) for part in exact.parts(own.stop - start))
    return rank
