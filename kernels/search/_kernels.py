"""Numba kernels of the exact engine: a running top k that computes a pair exactly only where it can matter.

A product tile ``G`` (from BLAS, in whatever order it sums) only *proposes* pairs: a pair passes where ``G``
exceeds the bound of its row or of its column, both kept low enough for the rounding of the product. What passes
is computed again by :func:`_loss`, always in the same order. So the result depends neither on the BLAS, nor on
the number of threads, nor on the precision of the product.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from kernels._parallel import njit

BLOCK = 64  # columns tested at once before any of them is looked at alone


@njit(fastmath=True)
def _loss(code, a, i, b, j, sq_i, sq_j):  # type: ignore[no-untyped-def]
    """Loss of row ``i`` of ``a`` against row ``j`` of ``b`` (0 euclidean, 1 cosine, 2 inner), float32."""
    total = np.float32(0.0)
    if code == 2:
        for t in range(a.shape[1]):
            total += a[i, t] * b[j, t]
        return -total
    for t in range(a.shape[1]):
        step = a[i, t] - b[j, t]
        total += step * step
    if code == 1:
        return np.float32(1.0) if sq_i * sq_j == np.float32(0.0) else np.float32(0.5) * total
    return total


@njit
def _push(loss, row, heap_loss, heap_row):  # type: ignore[no-untyped-def]
    """Replace the worst of a heap (largest loss, then largest row, at its root); False where nothing changed."""
    if loss > heap_loss[0] or (loss == heap_loss[0] and row >= heap_row[0]):
        return False
    k = heap_loss.shape[0]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= k:
            break
        other = child + 1
        if other < k and (
            heap_loss[other] > heap_loss[child]
            or (heap_loss[other] == heap_loss[child] and heap_row[other] > heap_row[child])
        ):
            child = other
        if loss > heap_loss[child] or (loss == heap_loss[child] and row > heap_row[child]):
            break
        heap_loss[at] = heap_loss[child]
        heap_row[at] = heap_row[child]
        at = child
    heap_loss[at] = loss
    heap_row[at] = row
    return True


@njit
def _bound(code, slope, worst, base):  # type: ignore[no-untyped-def]
    """What a product must exceed: ``base - slope * worst``; never again once the k-th distance is zero."""
    if code != 2 and worst <= 0.0:
        return np.float32(3e38)
    if worst == np.inf:
        return np.float32(-3e38)
    return np.float32(base - slope * worst)


def _read(tile, i, j):  # type: ignore[no-untyped-def]
    """Element of a tile of float32, or of bfloat16 seen as uint16."""
    return tile[i, j]


@overload(_read, inline="always")
def _read_compiled(tile, i, j):  # type: ignore[no-untyped-def]
    if tile.dtype == types.uint16:
        return lambda tile, i, j: np.uint32(np.uint32(tile[i, j]) << np.uint32(16)).view(np.float32)
    return lambda tile, i, j: tile[i, j]


@njit
def _some_above(tile, i, low, w_row, delta, bound, w):  # type: ignore[no-untyped-def]
    """Whether any product of row ``i`` of a block passes the bound of its row (``low``) or of its column."""
    some = np.int32(0)
    for j in range(tile.shape[1]):
        need = min(low + w[j], bound[j] + w_row)
        some += np.int32(_read(tile, i, j) >= need - delta * abs(need))
    return some > 0


@njit
def _some_above_row(tile, i, low, delta, w):  # type: ignore[no-untyped-def]
    """Whether any product of row ``i`` of a block passes the bound of its row."""
    some = np.int32(0)
    for j in range(tile.shape[1]):
        need = low + w[j]
        some += np.int32(_read(tile, i, j) >= need - delta * abs(need))
    return some > 0


@njit
def scan_rows(  # type: ignore[no-untyped-def]
    first, last, tile, code, slope, delta, a, sq_a, bound_a, base_a, b, sq_b, w_b, ids, heap_loss, heap_row
):
    """Offer every column of ``tile`` (m, c) to the heaps of rows first..last; returns how many pairs were computed.

    ``bound_a`` (m,) rises as heaps improve. ``ids`` (c,) are the rows written.
    """
    hits = 0
    width = tile.shape[1]
    for i in range(first, last):
        for start in range(0, width, BLOCK):
            part = slice(start, min(width, start + BLOCK))
            if not _some_above_row(tile[:, part], i, bound_a[i], delta, w_b[part]):
                continue
            for j in range(part.start, part.stop):
                need = bound_a[i] + w_b[j]
                if _read(tile, i, j) >= need - delta * abs(need):
                    hits += 1
                    loss = _loss(code, a, i, b, j, sq_a[i], sq_b[j])
                    if _push(loss, ids[j], heap_loss[i], heap_row[i]):
                        bound_a[i] = max(bound_a[i], _bound(code, slope, heap_loss[i, 0], base_a[i]))
    return hits


@njit
def scan_pairs(  # type: ignore[no-untyped-def]
    s, last, tile, r0, c0, code, slope, delta, a, sq, bound, bound_c, base, w, heap_loss, heap_row,
    done, kept, kept_loss, kept_col, kept_row,
):  # fmt: skip
    """One pass over the rows done[s]..last of a tile of the join; returns the pairs computed.

    Rows improve at once; what may improve a column goes to the buffer of strip ``s``. A strip whose buffer is
    full stops with ``done[s] < last`` and is called again after :func:`give_columns`. ``bound_c`` (c,) are the
    bounds of the columns; the tile on the diagonal is for its rows alone, and has bounds that nothing passes.
    """
    hits = 0
    width, room = tile.shape[1], kept_loss.shape[1]
    w_c = w[c0 : c0 + width]
    kept[s] = 0
    while done[s] < last and kept[s] + width <= room:
        i = done[s]
        done[s] += 1
        r = r0 + i
        w_r = w[r]
        for start in range(0, width, BLOCK):
            part = slice(start, min(width, start + BLOCK))
            if not _some_above(tile[:, part], i, bound[r], w_r, delta, bound_c[part], w_c[part]):
                continue
            for j in range(part.start, part.stop):
                need = min(bound[r] + w_c[j], bound_c[j] + w_r)
                c = c0 + j
                if _read(tile, i, j) >= need - delta * abs(need) and c != r:
                    hits += 1
                    loss = _loss(code, a, r, a, c, sq[r], sq[c])
                    if _push(loss, np.int32(c), heap_loss[r], heap_row[r]):
                        bound[r] = max(bound[r], _bound(code, slope, heap_loss[r, 0], base[r]))
                    if r0 != c0 and loss <= heap_loss[c, 0]:
                        kept_loss[s, kept[s]] = loss
                        kept_col[s, kept[s]] = c
                        kept_row[s, kept[s]] = r
                        kept[s] += 1
    return hits


@njit
def give_columns(  # type: ignore[no-untyped-def]
    first, last, code, slope, bound, base, heap_loss, heap_row, kept, kept_loss, kept_col, kept_row
):
    """Hand the buffered pairs to the heaps of columns first..last, which have no other owner."""
    for s in range(len(kept)):
        for e in range(kept[s]):
            c = kept_col[s, e]
            if first <= c < last and _push(kept_loss[s, e], kept_row[s, e], heap_loss[c], heap_row[c]):
                bound[c] = max(bound[c], _bound(code, slope, heap_loss[c, 0], base[c]))


@njit
def stream(ids, code, q, sq_q, a, sq_a, heap_loss, heap_row):  # type: ignore[no-untyped-def]
    """Few queries: read every row of ``ids`` once. Heaps are (queries, k)."""
    for j in ids:
        for i in range(len(q)):
            loss = _loss(code, q, i, a, j, sq_q[i], sq_a[j])
            if loss <= heap_loss[i, 0]:
                _push(loss, j, heap_loss[i], heap_row[i])


@njit
def finish(first, last, code, q, sq_q, a, sq_a, rows, loss):  # type: ignore[no-untyped-def]
    """Losses of chosen pairs again in float64 into ``loss`` (m, k); +inf where ``rows`` (m, k) is negative."""
    for i in range(first, last):
        for e in range(rows.shape[1]):
            j = rows[i, e]
            if j < 0:
                loss[i, e] = np.inf
                continue
            total = 0.0
            if code == 2:
                for t in range(a.shape[1]):
                    total -= np.float64(q[i, t]) * np.float64(a[j, t])
            else:
                for t in range(a.shape[1]):
                    step = np.float64(q[i, t]) - np.float64(a[j, t])
                    total += step * step
                if code == 1:
                    total = 1.0 if sq_q[i] * sq_a[j] == 0 else 0.5 * total
            loss[i, e] = total


@njit
def quantize(first, last, a, codes, scale, lost):  # type: ignore[no-untyped-def]
    """Rows first..last of ``a`` (n, d) as int8 ``codes`` times ``scale`` (n,); ``lost`` (n,) is what that drops."""
    for i in range(first, last):
        most = np.float32(0.0)
        for t in range(a.shape[1]):
            most = max(most, abs(a[i, t]))
        unit = most / np.float32(127.0)
        scale[i] = unit
        total = 0.0
        for t in range(a.shape[1]):
            code = np.float32(0.0)
            if unit > np.float32(0.0):
                code = np.float32(np.rint(a[i, t] / unit))
            codes[i, t] = np.int8(code)
            step = np.float64(a[i, t]) - np.float64(code) * unit
            total += step * step
        lost[i] = np.sqrt(total) * (1.0 + 1e-6)


@njit
def scan_codes(  # type: ignore[no-untyped-def]
    first, last, codes, scale, lost, w, norm, alive, q, q_unit, q_norm, q_lost, rounding, heap, scratch, upper, rows
):
    """First pass of one query over int8 rows first..last; returns how many of them may be among the k best.

    ``heap`` (k,) ends with minus the k largest of the least that ``product - w`` may be (``scratch`` (k,) int32).
    Those that may be are ``rows`` (n,) int32 from ``first`` on, and the most that it may be ``upper`` (n,) float32:
    little of either is written, as most rows fall below the k best that were seen before them. ``q`` (d,) int16
    times ``q_unit`` is the query, ``q_lost`` what that dropped of its length ``q_norm``.
    """
    found = 0
    for i in range(first, last):
        if not alive[i]:
            continue
        total = np.int32(0)
        for t in range(codes.shape[1]):
            total = np.int32(total + np.int32(np.int32(codes[i, t]) * np.int32(q[t])))  # 32 bits, or it is 3x slower
        near = np.float32(total) * (scale[i] * q_unit) - w[i]
        off = lost[i] * q_norm + norm[i] * q_lost + rounding
        if near + off < -heap[0]:
            continue
        upper[first + found] = near + off
        rows[first + found] = i
        found += 1
        least = off - near
        if least < heap[0]:
            _push(least, np.int32(i), heap, scratch)
    return found
