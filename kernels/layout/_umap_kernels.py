"""The compiled parts of UMAP: widths of the fuzzy neighbourhoods, and one epoch of the layout.

The layout gathers: each vertex reads where its neighbours were at the end of the last epoch and writes only its
own position. Its random numbers come from a counter (seed, epoch, vertex, draw), not from a stream. So an epoch
is the same however vertices are shared among threads.
"""

from __future__ import annotations

import numpy as np

from kernels._parallel import njit

SMOOTH_STEPS = 64


@njit
def smooth_knn(first, last, distances, target, sigmas, rhos):  # type: ignore[no-untyped-def]
    """Widths so that memberships of a row's neighbours sum to ``target`` (McInnes et al. 2018, Alg. 3).

    ``distances`` (n, k) float32 ascending, self left out, NaN where there is none. ``rhos`` is the distance to
    the nearest neighbour that is not at distance zero.
    """
    k = distances.shape[1]
    for i in range(first, last):
        rho, mean, seen = 0.0, 0.0, 0
        for j in range(k):
            d = distances[i, j]
            if np.isnan(d):
                continue
            mean += d
            seen += 1
            if rho == 0.0 and d > 0.0:
                rho = d
        low, high, mid = 0.0, np.inf, 1.0
        for _ in range(SMOOTH_STEPS):
            total = 0.0
            for j in range(k):
                d = distances[i, j]
                if not np.isnan(d):
                    total += np.exp(-(d - rho) / mid) if d > rho else 1.0
            if abs(total - target) < 1e-5:
                break
            if total > target:
                high = mid
                mid = 0.5 * (low + high)
            else:
                low = mid
                mid = 2.0 * mid if high == np.inf else 0.5 * (low + high)
        least = 1e-3 * mean / seen if seen else 1.0
        sigmas[i] = max(mid, least) if max(mid, least) > 0.0 else 1.0
        rhos[i] = rho


@njit
def _mix(x):  # type: ignore[no-untyped-def]
    """32 random bits of a 32-bit counter (Wellons' lowbias32)."""
    x = np.uint32(x)
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(fastmath=True)
def _clip(x):  # type: ignore[no-untyped-def]
    return min(max(x, np.float32(-4.0)), np.float32(4.0))


@njit(fastmath=True)
def epoch(  # type: ignore[no-untyped-def]
    first, last, old, new, tail, indptr, indices, period, clock, alpha, a, b, pull, negatives, seed, repulsion
):
    """Move vertices first..last by one epoch: ``old`` (n, 2) is read, ``new`` (n, 2) written.

    ``tail`` (m, 2) holds the positions of neighbours (``old`` itself in a fit), ``period`` (edges,) the epochs
    between two uses of an edge, ``clock`` the number of this epoch (from 1), ``pull`` how often an edge pulls
    its vertex when used: 2 where each pair is stored twice and moves both ends, 1 in a transform.
    """
    m = np.uint64(len(tail))
    one, eps = np.float32(1.0), np.float32(1e-3)
    two_ab, two_b = np.float32(-2.0 * a * b), np.float32(2.0 * b * repulsion)
    a, b = np.float32(a), np.float32(b)
    alpha = np.float32(alpha)
    start = _mix(np.uint32(seed) ^ _mix(np.uint32(clock)))
    for i in range(first, last):
        x, y = old[i, 0], old[i, 1]
        state = _mix(start ^ _mix(np.uint32(i)))
        for e in range(indptr[i], indptr[i + 1]):
            if np.floor(clock / period[e]) == np.floor((clock - 1) / period[e]):
                continue
            j = indices[e]
            dx, dy = x - tail[j, 0], y - tail[j, 1]
            square = dx * dx + dy * dy
            if square > np.float32(0.0):
                power = square**b
                force = two_ab * power / (square * (a * power + one)) * alpha
                for _ in range(pull):
                    x += _clip(force * dx / alpha) * alpha
                    y += _clip(force * dy / alpha) * alpha
            for _ in range(negatives):
                state = np.uint32(state + np.uint32(0x9E3779B9))
                c = np.int64((np.uint64(_mix(state)) * m) >> np.uint64(32))
                dx, dy = x - tail[c, 0], y - tail[c, 1]
                square = dx * dx + dy * dy
                if square > np.float32(0.0):
                    force = two_b / ((eps + square) * (a * square**b + one))
                    x += _clip(force * dx) * alpha
                    y += _clip(force * dy) * alpha
        new[i, 0], new[i, 1] = x, y
