"""Frames of a point map: every pixel of a window, exactly as Datashader bins the points.

Datashader puts x in column ``int(x * s + t)``, ``s = width / (x1 - x0)``, ``t = -x0 * s``, in float64, the
bounds inclusive and the last column taking ``x == x1``. Rounding is monotone, so each column is an interval
of x, and its lower end is a number of the coordinate's own type: :func:`thresholds` finds it by bisection.
From there on a frame only compares: in a strip the points of column c are the positions between two
thresholds, and a strip that lies in one pixel row adds the difference of the two positions at once.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kernels._parallel import cores, in_threads, njit
from kernels.layout.pointmap_sort import Strips


@dataclass(frozen=True)
class Frame:
    """A window (x0, x1, y0, y1) cut into ``shape`` = (height, width) pixels, for one dtype of coordinates.

    ``x_edges`` (width + 1,): column c holds ``x_edges[c] <= x < x_edges[c + 1]``; ``y_edges`` likewise.
    ``affine`` (4,) float64 is Datashader's (sx, tx, sy, ty).
    """

    window: tuple[float, float, float, float]
    shape: tuple[int, int]
    x_edges: NDArray
    y_edges: NDArray
    affine: NDArray

    @classmethod
    def of(cls, window: tuple[float, float, float, float], shape: tuple[int, int], dtype: np.dtype) -> Frame:
        x0, x1, y0, y1 = window
        height, width = shape
        sx, tx = _scale(x0, x1, width, "x")
        sy, ty = _scale(y0, y1, height, "y")
        return cls(
            window,
            shape,
            thresholds(x0, x1, width, sx, tx, dtype),
            thresholds(y0, y1, height, sy, ty, dtype),
            np.array([sx, tx, sy, ty]),
        )


def _scale(low: float, high: float, pixels: int, axis: str) -> tuple[float, float]:
    extent = high - low
    scale = pixels / extent if extent > 0 else np.inf
    shift = -low * scale
    if not (np.isfinite(extent) and np.isfinite(scale) and np.isfinite(shift) and scale > 0):
        raise ValueError(
            f"window: {axis} from {low!r} to {high!r} cannot be cut into {pixels} pixels; "
            "give finite bounds with the lower one first and some room between them"
        )
    return scale, shift


def thresholds(low: float, high: float, pixels: int, scale: float, shift: float, dtype: np.dtype) -> NDArray:
    """Lower end of each pixel and the end of the last, (pixels + 1,) of ``dtype``.

    The first is the smallest number at or above ``low``, the last the smallest above ``high``, and number c
    between them the smallest v with ``v * scale + shift >= c``.
    """
    first, end = _at_least(low, dtype), _above(high, dtype)
    signed = np.int32 if dtype == np.float32 else np.int64
    lo, hi = _to_ordered(np.array([first, end], dtype), signed).astype(object)
    want = np.arange(1, pixels, dtype=np.float64)
    if lo >= hi:  # no number of this type lies in the window
        return np.full(pixels + 1, end, dtype)
    # Bisection over the numbers between, in unsigned steps from the first: the answer is in [below + 1, above].
    below, above = np.zeros(pixels - 1, np.uint64), np.full(pixels - 1, hi - lo, np.uint64)
    for _ in range(int(hi - lo).bit_length()):
        middle = below + (above - below) // np.uint64(2)
        value = _from_ordered(middle, lo, signed, dtype).astype(np.float64)
        reached = value * scale + shift >= want
        above = np.where(reached, middle, above)
        below = np.where(reached, below, np.minimum(middle + np.uint64(1), above))
    inner = _from_ordered(above, lo, signed, dtype)
    return np.concatenate([[first], inner, [end]]).astype(dtype)


def _to_ordered(values: NDArray, signed: type) -> NDArray:
    """Integers in the order of the floats."""
    bits = (values + 0).view(signed)  # + 0 makes -0.0 the same as 0.0
    return np.where(bits < 0, np.iinfo(signed).min - bits, bits)


def _from_ordered(steps: NDArray, base: int, signed: type, dtype: np.dtype) -> NDArray:
    unsigned = np.uint32 if signed is np.int32 else np.uint64
    with np.errstate(over="ignore"):
        ordered = (steps + np.array(base).astype(np.int64).astype(np.uint64)).astype(unsigned).view(signed)
        bits = np.where(ordered < 0, np.array(np.iinfo(signed).min, signed) - ordered, ordered)
    return bits.astype(signed).view(dtype)


def _at_least(value: float, dtype: np.dtype) -> np.generic:
    with np.errstate(over="ignore"):
        near = np.asarray(value).astype(dtype)[()]
    return near if float(near) >= value else np.nextafter(near, dtype.type(np.inf))


def _above(value: float, dtype: np.dtype) -> np.generic:
    with np.errstate(over="ignore"):
        near = np.asarray(value).astype(dtype)[()]
    return near if float(near) > value else np.nextafter(near, dtype.type(np.inf))


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
    for r0, r1 in itertools.pairwise(rows):
        inside = np.flatnonzero((visible.row_high >= r0) & (visible.row_low < r1))
        if len(inside):
            calls.append(lambda a=int(inside[0]), b=int(inside[-1]) + 1, r0=int(r0), r1=int(r1): work(a, b, r0, r1))
    in_threads(calls)


_NONE = np.empty(0, np.uint8)


def count_frame(points: Strips, frame: Frame, keep: NDArray | None = None) -> NDArray:
    """Points per pixel, (height, width) uint32; ``keep`` (m,) uint8 of 0 and 1 in sorted order restricts."""
    out = np.zeros(frame.shape, np.uint32)
    seen = _visible(points, frame)
    kept = _NONE if keep is None else keep
    _by_rows(points, frame, seen, lambda a, b, r0, r1: _count(*_common(points, frame, seen, a, b, r0, r1), kept, out))
    return out


def mean_frame(points: Strips, frame: Frame, values: NDArray) -> NDArray:
    """Mean of ``values`` (m,) float32 in sorted order, NaN skipped: (height, width) float32, NaN where empty."""
    total, count = np.zeros(frame.shape), np.zeros(frame.shape, np.uint32)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: _sum(*_common(points, frame, seen, a, b, r0, r1), values, total, count),
    )  # fmt: skip
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        return np.divide(total, count).astype(np.float32)


def max_frame(points: Strips, frame: Frame, values: NDArray) -> NDArray:
    """Largest of ``values`` (m,) float32 in sorted order, NaN skipped: (height, width) float32, NaN where empty."""
    out = np.full(frame.shape, np.nan, np.float32)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: _max(*_common(points, frame, seen, a, b, r0, r1), values, out),
    )  # fmt: skip
    return out


def colour_frame(points: Strips, frame: Frame, codes: NDArray, palette: NDArray) -> NDArray:
    """Sums of red, green, blue and the count per pixel, (height, width, 4) uint64.

    ``codes`` (m,) uint8 or uint16 in sorted order; a code of ``len(palette)`` is no category and not counted.
    """
    lanes = np.zeros(len(palette) + 1, np.uint64)
    for lane in range(3):
        lanes[:-1] |= palette[:, lane].astype(np.uint64) << np.uint64(16 * lane)
    lanes[:-1] |= np.uint64(1 << 48)
    out = np.zeros((*frame.shape, 4), np.uint64)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: _colour(*_common(points, frame, seen, a, b, r0, r1), codes, lanes, out),
    )  # fmt: skip
    return out


def planes_frame(points: Strips, frame: Frame, codes: NDArray, categories: int) -> NDArray:
    """Points per category and pixel, (categories, height, width) uint32; other codes are not counted."""
    out = np.zeros((categories, *frame.shape), np.uint32)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: _planes(*_common(points, frame, seen, a, b, r0, r1), codes, out),
    )  # fmt: skip
    return out


def _common(points: Strips, frame: Frame, seen: _Visible, a: int, b: int, r0: int, r1: int) -> tuple:
    return (
        points.x, points.y, points.start, points.cell, seen.row_low, seen.row_high, seen.edge_cell,
        frame.x_edges, frame.y_edges, frame.affine, a, b, r0, r1,
    )  # fmt: skip


@njit
def _position(x, cell, s, c, edge):
    """First position in strip s with ``x >= edge``, which lies in the strip's cell c."""
    lo, hi = np.int64(cell[s, c]), np.int64(cell[s, c + 1])
    while lo < hi:
        mid = (lo + hi) >> 1
        if x[mid] < edge:
            lo = mid + 1
        else:
            hi = mid
    return lo


@njit
def _rows_at_least(y, a, b, edge):
    count = 0
    for p in range(a, b):
        count += y[p] >= edge
    return count


@njit
def _kept_at_least(y, keep, a, b, edge):
    count = 0
    for p in range(a, b):
        count += keep[p] if y[p] >= edge else 0
    return count


@njit
def _kept(keep, a, b):
    count = 0
    for p in range(a, b):
        count += keep[p]
    return count


@njit
def _count(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, keep, out):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    every = len(keep) == 0
    for s in range(first, last):
        low, high = row_low[s], row_high[s]
        if high < r0 or low >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        if end - begin < width or high - low > 8:  # few points a pixel: one by one
            y_first, y_end = y_edges[r0], y_edges[r1]
            for p in range(begin, end):
                if y_first <= y[p] < y_end and (every or keep[p] != 0):
                    c = min(int(x[p] * sx + tx), width - 1)
                    r = min(int(y[p] * sy + ty), height - 1)
                    out[r, c] += np.uint32(1)
            continue
        a = begin
        for c in range(width):
            b = end if c == width - 1 else _position(x, cell, s, edge_cell[c + 1], x_edges[c + 1])
            if b == a:
                continue
            at_least = b - a if every else _kept(keep, a, b)  # in row `low` or above it
            for r in range(low, high):
                if every:
                    above = _rows_at_least(y, a, b, y_edges[r + 1])
                else:
                    above = _kept_at_least(y, keep, a, b, y_edges[r + 1])
                if r0 <= r < r1:
                    out[r, c] += np.uint32(at_least - above)
                at_least = above
            if r0 <= high < r1:
                out[high, c] += np.uint32(at_least)
            a = b


@njit
def _sum(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, v, out, n):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    for s in range(first, last):
        low, high = row_low[s], row_high[s]
        if high < r0 or low >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        if end - begin < width or high - low > 1:
            y_first, y_end = y_edges[r0], y_edges[r1]
            for p in range(begin, end):
                if y_first <= y[p] < y_end and v[p] == v[p]:
                    c = min(int(x[p] * sx + tx), width - 1)
                    r = min(int(y[p] * sy + ty), height - 1)
                    out[r, c] += v[p]
                    n[r, c] += np.uint32(1)
            continue
        a = begin
        for c in range(width):
            b = end if c == width - 1 else _position(x, cell, s, edge_cell[c + 1], x_edges[c + 1])
            total0, total1, count0, count1 = 0.0, 0.0, 0, 0
            if low == high:
                for p in range(a, b):
                    good = v[p] == v[p]
                    total0 += v[p] if good else np.float32(0)
                    count0 += good
            else:
                edge = y_edges[high]
                for p in range(a, b):
                    good, above = v[p] == v[p], y[p] >= edge
                    w = v[p] if good else np.float32(0)
                    total0 += np.float32(0) if above else w
                    total1 += w if above else np.float32(0)
                    count0 += good and not above
                    count1 += good and above
                if r0 <= high < r1:
                    out[high, c] += total1
                    n[high, c] += np.uint32(count1)
            if r0 <= low < r1:
                out[low, c] += total0
                n[low, c] += np.uint32(count0)
            a = b


@njit
def _max(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, v, out):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    for s in range(first, last):
        low, high = row_low[s], row_high[s]
        if high < r0 or low >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        y_first, y_end = y_edges[r0], y_edges[r1]
        one_row = low == high
        for p in range(begin, end):
            if y_first <= y[p] < y_end and v[p] == v[p]:
                c = min(int(x[p] * sx + tx), width - 1)
                r = low if one_row else min(int(y[p] * sy + ty), height - 1)
                if not out[r, c] >= v[p]:
                    out[r, c] = v[p]


@njit
def _spill(out, r, c, packed):
    for lane in range(4):
        out[r, c, lane] += (packed >> np.uint64(16 * lane)) & np.uint64(65535)


@njit
def _colour(
    x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, codes, lanes, out
):
    """Four 16-bit sums in one word: red, green, blue and the count, emptied every 256 points."""
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    for s in range(first, last):
        low, high = row_low[s], row_high[s]
        if high < r0 or low >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        if end - begin < width or high - low > 1:
            y_first, y_end = y_edges[r0], y_edges[r1]
            for p in range(begin, end):
                if y_first <= y[p] < y_end:
                    c = min(int(x[p] * sx + tx), width - 1)
                    r = min(int(y[p] * sy + ty), height - 1)
                    _spill(out, r, c, lanes[codes[p]])
            continue
        a = begin
        for c in range(width):
            b = end if c == width - 1 else _position(x, cell, s, edge_cell[c + 1], x_edges[c + 1])
            while a < b:
                until = min(b, a + 256)
                packed0, packed1 = np.uint64(0), np.uint64(0)
                if low == high:
                    for p in range(a, until):
                        packed0 += lanes[codes[p]]
                else:
                    edge = y_edges[high]
                    for p in range(a, until):
                        lane = lanes[codes[p]]
                        packed0 += lane
                        packed1 += lane if y[p] >= edge else np.uint64(0)
                    packed0 -= packed1
                    if r0 <= high < r1:
                        _spill(out, high, c, packed1)
                if r0 <= low < r1:
                    _spill(out, low, c, packed0)
                a = until


@njit
def _planes(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, codes, out):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    for s in range(first, last):
        if row_high[s] < r0 or row_low[s] >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        y_first, y_end = y_edges[r0], y_edges[r1]
        for p in range(begin, end):
            if y_first <= y[p] < y_end and codes[p] < len(out):
                c = min(int(x[p] * sx + tx), width - 1)
                r = min(int(y[p] * sy + ty), height - 1)
                out[codes[p], r, c] += np.uint32(1)
