"""The compiled parts of UMAP: widths of the fuzzy neighbourhoods, and one epoch of the layout.

The layout gathers: each vertex reads where its neighbours were at the end of the last epoch and writes only its
own position. Its random numbers come from a counter (seed, epoch, vertex, draw), not from a stream. So an epoch
is the same however vertices are shared among threads.
"""

from __future__ import annotations

import numpy as np

from kernels._parallel import njit

SMOOTH_STEPS = 64
GROUP = 16  # pulls on a vertex whose pushes are worked out together
NEGATIVES = 5  # vertices that push a vertex away whenever an edge pulls it


@njit(error_model="numpy")
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


@njit(inline="always")
def _mix(x):  # type: ignore[no-untyped-def]
    """32 random bits of a 32-bit counter (Wellons' lowbias32)."""
    x = np.uint32(x)
    x ^= x >> np.uint32(16)
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x ^= x >> np.uint32(15)
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(inline="always")
def _clip(x):  # type: ignore[no-untyped-def]
    return min(max(x, np.float32(-4.0)), np.float32(4.0))


@njit(inline="always")
def _power(x, b):  # type: ignore[no-untyped-def]
    """``x ** b`` of positive normal float32 within 1e-4, in operations that vectorise (minimax log2 and exp2)."""
    bits = np.float32(x).view(np.int32)
    m = np.int32((bits & np.int32(0x7FFFFF)) | np.int32(0x3F800000)).view(np.float32)
    t = m - np.float32(1.0)
    log2 = np.float32(-0.0258411228) * t + np.float32(0.1217970128)
    log2 = log2 * t - np.float32(0.2776886265)
    log2 = log2 * t + np.float32(0.4575485901)
    log2 = log2 * t - np.float32(0.7181451002)
    log2 = log2 * t + np.float32(1.4423235968)
    y = b * (np.float32((bits >> np.int32(23)) - np.int32(127)) + log2 * t)
    y = min(max(y, np.float32(-126.0)), np.float32(126.0))
    whole = np.floor(y)
    f = y - whole
    exp2 = np.float32(0.0018775767) * f + np.float32(0.0089893397)
    exp2 = exp2 * f + np.float32(0.0558263180)
    exp2 = exp2 * f + np.float32(0.2401536094)
    exp2 = exp2 * f + np.float32(0.6931530732)
    exp2 = exp2 * f + np.float32(0.9999999404)
    return exp2 * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)


@njit(fastmath=True, error_model="numpy")
def epoch(  # type: ignore[no-untyped-def]
    first, last, old, new, tail, indptr, indices, rate, clock, alpha, a, b, pull, seed, repulsion
):
    """Move vertices first..last by one epoch: ``old`` (n, 2) is read, ``new`` (n, 2) written.

    ``tail`` (m, 2) holds the positions of neighbours (``old`` itself in a fit), ``rate`` (edges,) the share of
    epochs in which an edge is used, ``clock`` the number of this epoch (from 1), ``pull`` how often an edge pulls
    its vertex when used: 2 where each pair is stored twice and moves both ends, 1 in a transform. The
    pushes of up to GROUP pulls are worked out side by side; a hub takes several such steps, lest it be thrown out.
    """
    m = np.uint64(len(tail))
    one, eps, least = np.float32(1.0), np.float32(1e-3), np.float32(1e-12)
    two_ab, two_b = np.float32(-2.0 * a * b), np.float32(2.0 * b * repulsion)
    a, b, alpha = np.float32(a), np.float32(b), np.float32(alpha)
    now, before = np.float32(clock), np.float32(clock - 1)
    active = np.empty(GROUP, np.int32)
    off_x, off_y = np.empty(GROUP * NEGATIVES, np.float32), np.empty(GROUP * NEGATIVES, np.float32)
    start = _mix(np.uint32(seed) ^ _mix(np.uint32(clock)))
    for i in range(first, last):
        x, y = old[i, 0], old[i, 1]
        state = _mix(start ^ _mix(np.uint32(i)))
        e, high = indptr[i], indptr[i + 1]
        while e < high:
            used = 0
            while e < high and used < GROUP:
                active[used] = indices[e]
                used += int(now * rate[e]) - int(before * rate[e])
                e += 1
            for t in range(used):
                j = active[t]
                dx, dy = x - tail[j, 0], y - tail[j, 1]
                square = max(dx * dx + dy * dy, least)
                power = _power(square, b)
                force = two_ab * power / (square * (a * power + one))
                steps = np.float32(pull) * alpha
                x += _clip(force * dx) * steps
                y += _clip(force * dy) * steps
            count = used * NEGATIVES
            for t in range(count):
                c = np.int64((np.uint64(_mix(state + np.uint32(t) * np.uint32(0x9E3779B9))) * m) >> np.uint64(32))
                off_x[t], off_y[t] = x - tail[c, 0], y - tail[c, 1]
            sum_x, sum_y = np.float32(0.0), np.float32(0.0)
            for t in range(count):
                square = max(off_x[t] * off_x[t] + off_y[t] * off_y[t], least)
                force = two_b / ((eps + square) * (a * _power(square, b) + one))
                sum_x += _clip(force * off_x[t])
                sum_y += _clip(force * off_y[t])
            x += sum_x * alpha
            y += sum_y * alpha
            state = _mix(state + np.uint32(count))
        new[i, 0], new[i, 1] = x, y


@njit
def count_above(first, last, score, chosen, rank):  # type: ignore[no-untyped-def]
    """``rank`` (m, k): one more than the scores of a row (m, n) that exceed the score at ``chosen`` (m, k)."""
    for i in range(first, last):
        for e in range(chosen.shape[1]):
            at = score[i, chosen[i, e]]
            above = np.int32(1)
            for j in range(score.shape[1]):
                above += np.int32(score[i, j] > at)
            rank[i, e] = above
