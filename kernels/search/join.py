"""The exact join of a matrix with itself, each tile of products computed once for its rows and its columns.

That is half the arithmetic of a search of all rows against all. Diagonal tiles go first: they give every row a
k-th distance, and from then on only pairs that beat the k-th of their row or of their column are looked at.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from kernels._parallel import in_threads
from kernels.search._products import Products, half_pays
from kernels.search._rows import Rows, Space
from kernels.search.exact import NEVER, STRIPS, Progress, first_bound, heaps, parts, settle, tile_rows


def self_join(
    space: Space,
    a: Rows,
    k: int,
    memory: int = 1 << 30,
    progress: Progress = None,
    half: bool | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest other rows of each row: distances (n, k) float64 ascending, rows (n, k) int64.

    ``half`` says whether products are taken in bfloat16 (None: where that is faster); the result is the same.
    """
    n = len(a)
    step = tile_rows(memory)
    join = Join(space, a, min(k, max(n - 1, 1)), step, half_pays(*a.a.shape) if half is None else half)
    starts = range(0, n, step)
    pairs = [(i, i) for i in starts] + [(i, j) for i in starts for j in range(0, i, step)]
    for made, (i, j) in enumerate(pairs, 1):
        rows, columns = slice(i, min(n, i + step)), slice(j, min(n, j + step))
        join.diagonal(rows) if i == j else join.both_sides(rows, columns)
        if progress is not None:
            progress(made / len(pairs))
    return settle(space, a, a, join.heap_row, k)


class Join:
    """Heaps, bounds and buffers of one self-join."""

    def __init__(self, space: Space, a: Rows, k: int, step: int, half: bool):
        n = len(a)
        self.space, self.a = space, a
        self.heap_loss, self.heap_row = heaps((n, k))
        self.products = Products(a, space.offset, step, half)
        self.base = (space.offset + a.w - self.products.margin).astype(np.float32)
        self.delta = np.float32(self.products.delta)
        self.bound = np.full(n, NEVER, np.float32)
        room = 4 * step
        self.kept = (
            np.zeros(STRIPS, np.int64),
            np.empty((STRIPS, room), np.float32),
            np.empty((STRIPS, room), np.int32),
            np.empty((STRIPS, room), np.int32),
        )

    def diagonal(self, r: slice) -> None:
        """A tile on the diagonal, offered to its rows."""
        tile = self.products.tile(r, r)
        self.bound[r] = first_bound(tile, self.a.w[r], self.products.slack[r], self.heap_loss.shape[1])
        self._scan(tile, r, r, np.full(tile.shape[1], -NEVER, np.float32))

    def both_sides(self, r: slice, c: slice) -> None:
        """A tile off the diagonal, offered to its rows at once and to its columns through buffers."""
        self._scan(self.products.tile(r, c), r, c, self.bound[c])

    def _scan(self, tile: np.ndarray, r: slice, c: slice, bound_c: np.ndarray) -> None:
        from kernels.search import _kernels

        a, slope = self.a, np.float32(self.space.slope)
        stretches = parts(r.stop - r.start)
        done = np.array([first for first, _ in stretches], np.int64)
        last = np.array([last for _, last in stretches], np.int64)
        given = (
            tile, r.start, c.start, self.space.code, slope, self.delta, a.a, a.sq, self.bound, bound_c, self.base,
            a.w, self.heap_loss, self.heap_row, done, *self.kept,
        )  # fmt: skip
        width = c.stop - c.start
        self.kept[0][:] = 0
        while (done < last).any():
            in_threads(partial(_kernels.scan_pairs, s, stop, *given) for s, stop in enumerate(last))
            if not self.kept[0].any():
                continue
            in_threads(
                partial(
                    _kernels.give_columns, c.start + first, c.start + stop, self.space.code, slope, self.bound,
                    self.base, self.heap_loss, self.heap_row, *self.kept,
                )
                for first, stop in parts(width)
            )  # fmt: skip
