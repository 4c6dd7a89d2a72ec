"""Exact neighbours on the CPU: tiled products propose, an ordered exact pass decides.

A self-join is symmetric, so each tile of products is computed once and offered to the heaps of its rows and of
its columns: half the arithmetic of a search of all rows against all. See :mod:`kernels.search._rows` for the
bounds and :mod:`kernels.search._kernels` for the passes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.search._rows import Rows, Space

TILE = 4096
FEW = 4  # up to this many queries are answered by reading each row once, without a product
Progress = Callable[[float], None] | None


def _margin(rows: Rows, other_norm: float, offset: float) -> np.ndarray:
    """(n,) how far a float32 product and its bound may be off: Higham & Mary (2019), sqrt(d) u with a factor 4."""
    unit = 2.0**-24
    dim = rows.a.shape[1]
    w_max = float(np.abs(rows.w).max(initial=0.0))
    product = (4 * np.sqrt(dim) + 8) * unit * rows.norm.astype(np.float64) * other_norm
    return product + 8 * unit * (np.abs(rows.w) + w_max + abs(offset))


def tile_rows(dim: int, memory: int) -> int:
    """Rows per tile: 4,096, or what fits into half of ``memory`` bytes."""
    return int(np.clip(int(np.sqrt(memory / 8)), 128, TILE))


def _heaps(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.full(shape, np.inf, np.float32), np.full(shape, np.iinfo(np.int32).max, np.int32)


def settle(space: Space, q: Rows, a: Rows, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances (m, k) float64 ascending and rows (m, k) int64 of candidate ``rows`` (m, c); -1 and NaN where short.

    Losses are computed again in float64; ties go to the lower row.
    """
    from kernels.search import _kernels

    loss = np.empty(rows.shape)
    rows = np.where(rows == np.iinfo(np.int32).max, -1, rows).astype(np.int64)
    _kernels.finish(space.code, q.a, q.sq, a.a, a.sq, rows, loss)
    order = np.lexsort((rows, loss), axis=1)[:, :k]
    loss, rows = np.take_along_axis(loss, order, 1), np.take_along_axis(rows, order, 1)
    distance = space.distance(np.where(rows < 0, np.nan, loss))
    if rows.shape[1] < k:
        pad = ((0, 0), (0, k - rows.shape[1]))
        return np.pad(distance, pad, constant_values=np.nan), np.pad(rows, pad, constant_values=-1)
    return distance, rows


def self_join(
    space: Space, a: Rows, k: int, memory: int = 1 << 30, progress: Progress = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of each row: distances (n, k) float64 ascending, rows (n, k) int64."""
    from kernels.search import _kernels as kern

    n, dim = a.a.shape
    wide = min(k, max(n - 1, 1))
    heap_loss, heap_row = _heaps((n, wide))
    base = (space.offset + a.w - _margin(a, float(a.norm.max(initial=0)), space.offset)).astype(np.float32)
    bound = np.full(n, -3e38, np.float32)
    step = tile_rows(dim, memory)
    starts = range(0, n, step)
    tile = np.empty((min(step, n), min(step, n)), np.float32)
    kept = [np.zeros(16, np.int64), *(np.empty((16, 4 * step), t) for t in (np.float32, np.int32, np.int32))]
    ids = np.arange(n, dtype=np.int32)
    slope, delta = np.float32(space.slope), np.float32(0.0)
    pairs = [(i, i) for i in range(len(starts))] + [(i, j) for i in range(len(starts)) for j in range(i)]
    for made, (i, j) in enumerate(pairs, 1):
        r, c = slice(starts[i], min(n, starts[i] + step)), slice(starts[j], min(n, starts[j] + step))
        out = tile[: r.stop - r.start, : c.stop - c.start]
        if r.stop - r.start == c.stop - c.start == len(tile):
            np.matmul(a.a[r], a.a[c].T, out=tile)
        else:
            out = a.a[r] @ a.a[c].T
        if i == j:
            kern.scan_rows(
                out, space.code, slope, delta, a.a[r], a.sq[r], bound[r], base[r], a.w[r],
                a.a[c], a.sq[c], a.w[c], ids[c], ids[r], heap_loss[r], heap_row[r],
            )  # fmt: skip
        else:
            _both_sides(space, a, out, r, c, slope, delta, bound, base, heap_loss, heap_row, kept)
        if progress is not None:
            progress(made / len(pairs))
    return settle(space, a, a, heap_row, k)


def _both_sides(space, a, out, r, c, slope, delta, bound, base, heap_loss, heap_row, kept):  # type: ignore[no-untyped-def]
    from kernels.search import _kernels as kern

    m, strips = r.stop - r.start, len(kept[0])
    done = np.array([s * m // strips for s in range(strips)], np.int64)
    last = np.array([(s + 1) * m // strips for s in range(strips)], np.int64)
    hits = 0
    while (done < last).any():
        hits += kern.scan_pairs(
            out,
            r.start,
            c.start,
            space.code,
            slope,
            delta,
            a.a,
            a.sq,
            bound,
            base,
            a.w,
            heap_loss,
            heap_row,
            done,
            *kept,
        )
        kern.give_columns(c.start, c.stop - c.start, space.code, slope, bound, base, heap_loss, heap_row, *kept)
    return hits


def query(
    space: Space,
    a: Rows,
    q: Rows,
    k: int,
    ids: np.ndarray | None = None,
    memory: int = 1 << 30,
    progress: Progress = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest rows of ``a`` to each row of ``q``; ``ids`` (m,) restricts the search to those rows."""
    if ids is None:
        ids = np.arange(len(a), dtype=np.int32)
    ids = np.ascontiguousarray(ids, np.int32)
    wide = min(k, max(len(ids), 1))
    if len(q) <= FEW:
        return settle(space, q, a, _stream(space, a, q, wide, ids), k)
    return settle(space, q, a, _tiles(space, a, q, wide, ids, memory, progress), k)


def _stream(space: Space, a: Rows, q: Rows, k: int, ids: np.ndarray) -> np.ndarray:
    from kernels.search import _kernels as kern

    strips = 16
    heap_loss, heap_row = _heaps((strips, len(q), k))
    kern.stream(space.code, q.a, q.sq, a.a, a.sq, ids, heap_loss, heap_row)
    loss = heap_loss.transpose(1, 0, 2).reshape(len(q), -1)
    rows = heap_row.transpose(1, 0, 2).reshape(len(q), -1)
    order = np.lexsort((rows, loss), axis=1)[:, :k]
    return np.take_along_axis(rows, order, 1)


def _tiles(space: Space, a: Rows, q: Rows, k: int, ids: np.ndarray, memory: int, progress: Progress) -> np.ndarray:
    from kernels.search import _kernels as kern

    heap_loss, heap_row = _heaps((len(q), k))
    whole = len(ids) == len(a)
    base = (space.offset + q.w - _margin(q, float(a.norm.max(initial=0)), space.offset)).astype(np.float32)
    base -= np.float32(8 * 2.0**-24 * np.abs(a.w).max(initial=0))
    bound = np.full(len(q), -3e38, np.float32)
    own = np.full(len(q), -1, np.int32)
    step = tile_rows(a.a.shape[1], memory)
    for start in range(0, len(ids), step):
        part = ids[start : start + step]
        block = a.take(slice(start, start + step)) if whole else a.take(part)
        for first in range(0, len(q), step):
            r = slice(first, min(len(q), first + step))
            kern.scan_rows(
                q.a[r] @ block.a.T, space.code, np.float32(space.slope), np.float32(0), q.a[r], q.sq[r], bound[r],
                base[r], q.w[r], block.a, block.sq, block.w, part, own[r], heap_loss[r], heap_row[r],
            )  # fmt: skip
        if progress is not None:
            progress(min(1.0, (start + step) / len(ids)))
    return heap_row
