"""Frames of a point map: the strips a window meets, in bands of pixel rows that the cores share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kernels._parallel import cores, in_threads
from kernels.layout import pointmap_kernels as kernel
from kernels.layout.pointmap_frame import Frame
from kernels.layout.pointmap_sort import Strips


@dataclass(frozen=True)
class _Visible:
    """What the kernels need of the strips a frame meets: their pixel rows, and each edge's cell."""

    first: int
    last: int
    row_low: NDArray  # (S,) int64, -1 below the window, height above it
    row_high: NDArray
    edge_cell: NDArray  # (width + 1,) int64


def _visible(points: Strips, frame: Frame) -> _Visible:
    row_low = np.searchsorted(frame.y_edges, points.low, side="right") - 1
    row_high = np.searchsorted(frame.y_edges, points.high, side="right") - 1
    height = frame.shape[0]
    met = np.flatnonzero((row_high >= 0) & (row_low < height))
    first, last = (int(met[0]), int(met[-1]) + 1) if len(met) else (0, 0)
    edge_cell = np.searchsorted(points.x_cuts, frame.x_edges, side="right")
    return _Visible(first, last, row_low, row_high, edge_cell)


def _by_rows(points: Strips, frame: Frame, visible: _Visible, work: Callable[[int, int, int, int], None]) -> None:
    """Call ``work(first strip, last strip, first row, last row)`` for bands of pixel rows, at once.

    Each band owns its rows of the frame; a strip across two bands is visited by both.
    """
    height = frame.shape[0]
    shown = int(points.start[visible.last] - points.start[visible.first])
    bands = 1 if shown < 20_000 or cores() == 1 else min(4 * cores(), visible.last - visible.first)
    cuts = np.linspace(visible.first, visible.last, bands + 1).astype(np.int64)[1:-1]
    rows = np.unique(np.clip(np.concatenate([[0], visible.row_low[cuts], [height]]), 0, height))
    calls = []
    for r0, r1 in pairwise(rows):
        inside = np.flatnonzero((visible.row_high >= r0) & (visible.row_low < r1))
        if len(inside):
            calls.append(lambda a=int(inside[0]), b=int(inside[-1]) + 1, r0=int(r0), r1=int(r1): work(a, b, r0, r1))
    in_threads(calls)


_NONE = np.empty(0, np.uint8)


def count_frame(points: Strips, frame: Frame, keep: NDArray | None = None) -> NDArray:
    """Points per pixel, (height, width) uint32; ``keep`` (m,) uint8 of 0 and 1 in sorted order restricts."""
    height, width = frame.shape
    flat = np.zeros(height * width + 1, np.uint32)  # the last takes what a band does not own
    seen = _visible(points, frame)
    kept = _NONE if keep is None else keep
    _by_rows(
        points, frame, seen, lambda a, b, r0, r1: kernel.count(*_common(points, frame, seen, a, b, r0, r1), kept, flat)
    )
    return flat[:-1].reshape(height, width)


def mean_frame(points: Strips, frame: Frame, values: NDArray) -> NDArray:
    """Mean of ``values`` (m,) float32 in sorted order, NaN skipped: (height, width) float32, NaN where empty."""
    height, width = frame.shape
    total, count = np.zeros(height * width + 1), np.zeros(height * width + 1, np.uint32)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: kernel.sum(*_common(points, frame, seen, a, b, r0, r1), values, total, count),
    )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        mean = np.divide(total[:-1], count[:-1], dtype=np.float64).astype(np.float32)
    return mean.reshape(height, width)


def max_frame(points: Strips, frame: Frame, values: NDArray) -> NDArray:
    """Largest of ``values`` (m,) float32 in sorted order, NaN skipped: (height, width) float32, NaN where empty."""
    out = np.full(frame.shape, np.nan, np.float32)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: kernel.max(*_common(points, frame, seen, a, b, r0, r1), values, out),
    )  # fmt: skip
    return out


def colour_frame(points: Strips, frame: Frame, codes: NDArray, palette: NDArray) -> NDArray:
    """Sums of red, green, blue and the count per pixel, (height, width, 4) uint32 or uint64.

    ``codes`` (m,) uint8 or uint16 in sorted order; a code of ``len(palette)`` is no category and not counted.
    """
    height, width = frame.shape
    dtype = np.uint32 if len(points.rows) < 2**24 else np.uint64  # 255 * 2^24 < 2^32
    lanes = np.zeros((len(palette) + 1, 4), dtype)
    lanes[:-1, :3], lanes[:-1, 3] = palette, 1
    packed = np.zeros(len(lanes), np.uint64)
    for lane in range(4):
        packed |= lanes[:, lane].astype(np.uint64) << np.uint64(16 * lane)
    flat = np.zeros((height * width + 1, 4), dtype)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: kernel.colour(*_common(points, frame, seen, a, b, r0, r1), codes, packed, lanes, flat),
    )  # fmt: skip
    return flat[:-1].reshape(height, width, 4)


def planes_frame(points: Strips, frame: Frame, codes: NDArray, categories: int) -> NDArray:
    """Points per category and pixel, (categories, height, width) uint32; other codes are not counted."""
    out = np.zeros((categories, *frame.shape), np.uint32)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: kernel.planes(*_common(points, frame, seen, a, b, r0, r1), codes, out),
    )  # fmt: skip
    return out


def _common(points: Strips, frame: Frame, seen: _Visible, a: int, b: int, r0: int, r1: int) -> tuple:
    return (
        points.x, points.y, points.start, points.cell, seen.row_low, seen.row_high, seen.edge_cell,
        frame.x_edges, frame.y_edges, frame.affine, a, b, r0, r1,
    )  # fmt: skip
