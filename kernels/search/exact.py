"""Exact neighbours on the CPU: tiled products propose, an ordered exact pass decides.

See :mod:`kernels.search._rows` for the bounds, :mod:`kernels.search._kernels` for the passes and
:mod:`kernels.search.join` for the join of a matrix with itself.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from kernels._parallel import in_threads
from kernels.search._products import margin
from kernels.search._rows import Rows, Space

TILE = 4096
NEVER = -3e38  # a bound that every product exceeds
STRIPS = 16  # parts of a tile, each one call on the pool: fixed, so that nothing depends on the cores
BLOCK = 64  # columns of which the largest product is taken for a first bound
FEW = 4  # up to this many queries are answered by reading each row once, without a product
Progress = Callable[[float], None] | None


def tile_rows(memory: int) -> int:
    """Rows per tile: 4,096, or what fits into half of ``memory`` bytes."""
    return int(np.clip(int(np.sqrt(memory / 8)), 128, TILE))


def parts(n: int, count: int = STRIPS) -> list[tuple[int, int]]:
    """``n`` rows cut into at most ``count`` stretches (first, last)."""
    count = max(1, min(count, n))
    return [(s * n // count, (s + 1) * n // count) for s in range(count)]


def strips_for(n: int, dim: int) -> int:
    """Parts for a pass over n rows: no more than are worth a call each."""
    return max(1, min(n * dim >> 19, STRIPS))


def heaps(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.full(shape, np.inf, np.float32), np.full(shape, np.iinfo(np.int32).max, np.int32)


def first_bound(tile: np.ndarray, w: np.ndarray, slack: np.ndarray, k: int) -> np.ndarray:
    """(m,) float32 bounds for empty heaps of k from products ``tile`` (m, c), float32 or bfloat16 seen as uint16.

    Of the largest ``product - w`` of each block of columns the (k + 1)-th is reached by k other rows at least.
    ``slack`` (m,) is twice the error of a product.
    """
    m, blocks = len(tile), tile.shape[1] // BLOCK
    bound = np.full(m, NEVER, np.float32)
    if blocks <= k:
        return bound
    width = blocks * BLOCK

    def strip(first: int, last: int) -> None:
        part = tile[first:last, :width]
        if part.dtype == np.uint16:
            part = (part.astype(np.uint32) << np.uint32(16)).view(np.float32)
        most = (part - w[:width]).reshape(last - first, blocks, BLOCK).max(axis=2)
        bound[first:last] = np.partition(most, blocks - k - 1, axis=1)[:, blocks - k - 1] - slack[first:last]

    in_threads(partial(strip, *part) for part in parts(m))
    return bound


def settle(space: Space, q: Rows, a: Rows, rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Distances (m, k) float64 ascending and rows (m, k) int64 of candidate ``rows`` (m, c); -1 and NaN where short.

    Losses are computed again in float64; ties go to the lower row.
    """
    from kernels.search import _kernels

    loss = np.empty(rows.shape)
    rows = np.where(rows == np.iinfo(np.int32).max, -1, rows).astype(np.int64)
    given = (space.code, q.a, q.sq, a.a, a.sq, rows, loss)
    stretches = parts(len(rows), strips_for(rows.size, a.a.shape[1]))
    in_threads(partial(_kernels.finish, *part, *given) for part in stretches)
    order = np.lexsort((rows, loss), axis=1)[:, :k]
    line = np.arange(len(rows))[:, None]  # for one query half as long as take_along_axis
    loss, rows = loss[line, order], rows[line, order]
    distance = space.distance(np.where(rows < 0, np.nan, loss))
    if rows.shape[1] < k:
        pad = ((0, 0), (0, k - rows.shape[1]))
        return np.pad(distance, pad, constant_values=np.nan), np.pad(rows, pad, constant_values=-1)
    return distance, rows


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
    """Candidate rows (m, strips * k): the best of each strip of rows."""
    from kernels.search import _kernels

    stretches = parts(len(ids), strips_for(len(ids), a.a.shape[1]))
    heap_loss, heap_row = heaps((len(stretches), len(q), k))
    given = (space.code, q.a, q.sq, a.a, a.sq)
    in_threads(
        partial(_kernels.stream, ids[first:last], *given, heap_loss[s], heap_row[s])
        for s, (first, last) in enumerate(stretches)
    )
    return heap_row.transpose(1, 0, 2).reshape(len(q), len(stretches) * k)


def _tiles(space: Space, a: Rows, q: Rows, k: int, ids: np.ndarray, memory: int, progress: Progress) -> np.ndarray:
    """Candidate rows (m, k) by tiles of products, queries inside rows."""
    from kernels.search import _kernels

    heap_loss, heap_row = heaps((len(q), k))
    whole = len(ids) == len(a)
    off = margin(q, a, space.offset)
    base, slack = (space.offset + q.w - off).astype(np.float32), (2 * off).astype(np.float32)
    bound = np.full(len(q), NEVER, np.float32)
    step = tile_rows(memory)
    for start in range(0, len(ids), step):
        part = ids[start : start + step]
        block = a.take(slice(start, start + step)) if whole else a.take(part)
        for first in range(0, len(q), step):
            r = slice(first, min(len(q), first + step))
            tile = q.a[r] @ block.a.T
            if start == 0:
                bound[r] = first_bound(tile, block.w, slack[r], k)
            given = (
                tile, space.code, np.float32(space.slope), np.float32(0), q.a[r], q.sq[r], bound[r], base[r],
                block.a, block.sq, block.w, part, heap_loss[r], heap_row[r],
            )  # fmt: skip
            in_threads(partial(_kernels.scan_rows, *stretch, *given) for stretch in parts(r.stop - first))
        if progress is not None:
            progress(min(1.0, (start + step) / len(ids)))
    return heap_row
