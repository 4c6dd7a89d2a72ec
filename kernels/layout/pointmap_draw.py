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
from typing import Any

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
    edges = np.empty(pixels + 1, dtype)
    edges[0], edges[-1] = _at_least(low, dtype), _above(high, dtype)
    whole, lowest = (np.int32, -(2**31)) if dtype == np.float32 else (np.int64, -(2**63))
    _bisect(edges, edges.view(whole), lowest, scale, shift)
    return edges


@njit
def _bisect(edges, bits, lowest, scale, shift):
    """Fill the edges between the first and the last; ``bits`` are the same memory as whole numbers.

    ``b if b >= 0 else lowest - b`` puts the bits of floats in the order of the floats.
    """
    last = len(edges) - 1
    low, high = np.int64(bits[0]), np.int64(bits[last])
    low = low if low >= 0 else lowest - low
    high = high if high >= 0 else lowest - high
    for c in range(1, last):
        a, b = low, max(low, high)
        while a < b:
            middle = (a >> 1) + (b >> 1) + (a & b & 1)
            bits[c] = middle if middle >= 0 else lowest - middle
            if np.float64(edges[c]) * scale + shift >= c:
                b = middle
            else:
                a = middle + 1
        bits[c] = a if a >= 0 else lowest - a
        low = a  # the next edge is not below this one


def _at_least(value: float, dtype: np.dtype) -> Any:
    with np.errstate(over="ignore"):
        near = np.asarray(value).astype(dtype)[()]
    return near if float(near) >= value else np.nextafter(near, dtype.type(np.inf))


def _above(value: float, dtype: np.dtype) -> Any:
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
_BLOCK = 1024
_ALONE = 24  # a pixel's run of points costs as much as so many points one by one, 6 more for each row it crosses


def count_frame(points: Strips, frame: Frame, keep: NDArray | None = None) -> NDArray:
    """Points per pixel, (height, width) uint32; ``keep`` (m,) uint8 of 0 and 1 in sorted order restricts."""
    height, width = frame.shape
    flat = np.zeros(height * width + 1, np.uint32)  # the last takes what a band does not own
    seen = _visible(points, frame)
    kept = _NONE if keep is None else keep
    _by_rows(points, frame, seen, lambda a, b, r0, r1: _count(*_common(points, frame, seen, a, b, r0, r1), kept, flat))
    return flat[:-1].reshape(height, width)


def mean_frame(points: Strips, frame: Frame, values: NDArray) -> NDArray:
    """Mean of ``values`` (m,) float32 in sorted order, NaN skipped: (height, width) float32, NaN where empty."""
    height, width = frame.shape
    total, count = np.zeros(height * width + 1), np.zeros(height * width + 1, np.uint32)
    seen = _visible(points, frame)
    _by_rows(
        points, frame, seen,
        lambda a, b, r0, r1: _sum(*_common(points, frame, seen, a, b, r0, r1), values, total, count),
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
        lambda a, b, r0, r1: _max(*_common(points, frame, seen, a, b, r0, r1), values, out),
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
        lambda a, b, r0, r1: _colour(*_common(points, frame, seen, a, b, r0, r1), codes, packed, lanes, flat),
    )  # fmt: skip
    return flat[:-1].reshape(height, width, 4)


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


# Indices are unsigned and runs are slices: numba checks signed indices for wrapping at every access, and that
# keeps LLVM from vectorising the loops.


@njit
def _position(x, cell, s, c, edge):
    """First position in strip s with ``x >= edge``, which lies in the strip's cell c."""
    lo, hi = np.uint64(cell[s, c]), np.uint64(cell[s, c + 1])
    while lo < hi:
        mid = (lo + hi) >> np.uint64(1)
        if x[mid] < edge:
            lo = mid + np.uint64(1)
        else:
            hi = mid
    return np.int64(lo)


@njit
def _pixel(v, scale, shift, pixels):
    return np.uint64(min(np.int64(v * scale + shift), pixels - 1))


@njit
def _places(xs, ys, affine, height, width, y_first, y_end, places):
    """Place of each point in the flat frame, or one past it where its y is not in [y_first, y_end)."""
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    for k in range(len(xs)):
        c = min(np.int32(xs[k] * sx + tx), np.int32(width - 1))
        r = min(np.int32(ys[k] * sy + ty), np.int32(height - 1))
        places[k] = r * np.int32(width) + c if (ys[k] >= y_first) & (ys[k] < y_end) else np.int32(height * width)


@njit
def _scatter(xs, ys, affine, height, width, y_first, y_end, places, flat):
    """Count points one by one.

    Neighbours in x fall in one pixel, and adding to a number just written waits for the write: take the
    points from four parts of the run in turn.
    """
    for begin in range(0, len(xs), _BLOCK):
        n = min(_BLOCK, len(xs) - begin)
        _places(xs[begin : begin + n], ys[begin : begin + n], affine, height, width, y_first, y_end, places)
        part = n // 4
        p0, p1, p2, p3 = places[:part], places[part : 2 * part], places[2 * part : 3 * part], places[3 * part : n]
        for k in range(part):
            flat[np.uint64(p0[k])] += np.uint32(1)
            flat[np.uint64(p1[k])] += np.uint32(1)
            flat[np.uint64(p2[k])] += np.uint32(1)
            flat[np.uint64(p3[k])] += np.uint32(1)
        for k in range(part, len(p3)):
            flat[np.uint64(p3[k])] += np.uint32(1)


@njit
def _scatter_values(xs, ys, vs, affine, height, width, y_first, y_end, places, total, count):
    for begin in range(0, len(xs), _BLOCK):
        n = min(_BLOCK, len(xs) - begin)
        some = vs[begin : begin + n]
        _places(xs[begin : begin + n], ys[begin : begin + n], affine, height, width, y_first, y_end, places)
        for k in range(n):
            places[k] = places[k] if some[k] == some[k] else np.int32(height * width)
        part = n // 4
        for k in range(part):
            for q in range(4):
                i = np.uint64(k + q * part)
                at = np.uint64(places[i])
                total[at] += some[i]
                count[at] += np.uint32(1)
        for k in range(4 * part, n):
            i = np.uint64(k)
            at = np.uint64(places[i])
            total[at] += some[i]
            count[at] += np.uint32(1)


@njit
def _scatter_colours(xs, ys, codes, affine, height, width, y_first, y_end, places, lanes, flat):
    for begin in range(0, len(xs), _BLOCK):
        n = min(_BLOCK, len(xs) - begin)
        some = codes[begin : begin + n]
        _places(xs[begin : begin + n], ys[begin : begin + n], affine, height, width, y_first, y_end, places)
        part = n // 4
        for k in range(part):
            for q in range(4):
                i = np.uint64(k + q * part)
                _add_colour(flat, np.uint64(places[i]), lanes, np.uint64(some[i]))
        for k in range(4 * part, n):
            i = np.uint64(k)
            _add_colour(flat, np.uint64(places[i]), lanes, np.uint64(some[i]))


@njit
def _add_colour(flat, at, lanes, code):
    r, g, b, n = lanes[code, 0], lanes[code, 1], lanes[code, 2], lanes[code, 3]
    r, g, b, n = r + flat[at, 0], g + flat[at, 1], b + flat[at, 2], n + flat[at, 3]
    flat[at, 0], flat[at, 1], flat[at, 2], flat[at, 3] = r, g, b, n


@njit
def _reaching(y, edge):
    count = 0
    for k in range(len(y)):
        count += y[k] >= edge
    return count


@njit
def _kept_at_least(y, keep, edge):
    count = 0
    for k in range(len(y)):
        count += keep[k] if y[k] >= edge else 0
    return count


@njit
def _kept(keep):
    count = 0
    for k in range(len(keep)):
        count += keep[k]
    return count


@njit
def _count(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, keep, flat):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    every = len(keep) == 0
    out = flat[: height * width].reshape(height, width)
    places = np.empty(_BLOCK, np.int32)
    for s in range(first, last):
        low, high = row_low[s], row_high[s]
        if high < r0 or low >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        if end - begin < width * (_ALONE + 6 * (high - low)):
            y_first, y_end = y_edges[r0], y_edges[r1]
            xs, ys, kept = x[begin:end], y[begin:end], keep[begin:end]
            if every:
                _scatter(xs, ys, affine, height, width, y_first, y_end, places, flat)
                continue
            for k in range(len(ys)):
                if y_first <= ys[k] < y_end and kept[k] != 0:
                    out[_pixel(ys[k], sy, ty, height), _pixel(xs[k], sx, tx, width)] += np.uint32(1)
            continue
        a = begin
        for c in range(width):
            b = end if c == width - 1 else _position(x, cell, s, edge_cell[c + 1], x_edges[c + 1])
            if b == a:
                continue
            reaching = b - a if every else _kept(keep[a:b])  # in row `low` or above it
            for r in range(low, high):
                if every:
                    above = _reaching(y[a:b], y_edges[r + 1])
                else:
                    above = _kept_at_least(y[a:b], keep[a:b], y_edges[r + 1])
                if r0 <= r < r1:
                    out[r, c] += np.uint32(reaching - above)
                reaching = above
            if r0 <= high < r1:
                out[high, c] += np.uint32(reaching)
            a = b


@njit(fastmath={"reassoc", "nsz"})
def _total(v):
    """Sum and number of the values that are not NaN."""
    total, count = 0.0, 0
    for k in range(len(v)):
        good = v[k] == v[k]
        total += np.float64(v[k]) if good else 0.0
        count += good
    return total, count


@njit(fastmath={"reassoc", "nsz"})
def _total_at_least(v, y, edge):
    total, count = 0.0, 0
    for k in range(len(v)):
        good = (v[k] == v[k]) & (y[k] >= edge)
        total += np.float64(v[k]) if good else 0.0
        count += good
    return total, count


@njit
def _sum(
    x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, v, total, count
):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    out, n = total[: height * width].reshape(height, width), count[: height * width].reshape(height, width)
    places = np.empty(_BLOCK, np.int32)
    for s in range(first, last):
        low, high = row_low[s], row_high[s]
        if high < r0 or low >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        if end - begin < width * _ALONE or high - low > 1:
            y_first, y_end = y_edges[r0], y_edges[r1]
            _scatter_values(
                x[begin:end], y[begin:end], v[begin:end], affine, height, width, y_first, y_end, places, total, count
            )
            continue
        a = begin
        for c in range(width):
            b = end if c == width - 1 else _position(x, cell, s, edge_cell[c + 1], x_edges[c + 1])
            if b == a:
                continue
            if high == low or r0 <= high < r1:
                t, k = _total(v[a:b]) if high == low else _total_at_least(v[a:b], y[a:b], y_edges[high])
                out[high, c] += t
                n[high, c] += np.uint32(k)
            if high > low and r0 <= low < r1:
                t, k = _total_below(v[a:b], y[a:b], y_edges[high])
                out[low, c] += t
                n[low, c] += np.uint32(k)
            a = b


@njit(fastmath={"reassoc", "nsz"})
def _total_below(v, y, edge):
    total, count = 0.0, 0
    for k in range(len(v)):
        good = (v[k] == v[k]) & (y[k] < edge)
        total += np.float64(v[k]) if good else 0.0
        count += good
    return total, count


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
        if end - begin < width * _ALONE or high - low > 1:
            y_first, y_end = y_edges[r0], y_edges[r1]
            xs, ys, vs = x[begin:end], y[begin:end], v[begin:end]
            for k in range(len(ys)):
                if y_first <= ys[k] < y_end and vs[k] == vs[k]:
                    r, c = _pixel(ys[k], sy, ty, height), _pixel(xs[k], sx, tx, width)
                    if not out[r, c] >= vs[k]:
                        out[r, c] = vs[k]
            continue
        a = begin
        for c in range(width):
            b = end if c == width - 1 else _position(x, cell, s, edge_cell[c + 1], x_edges[c + 1])
            if b == a:
                continue
            below, above = _largest(v[a:b], y[a:b], y_edges[high] if high > low else -np.inf)
            if above == above and r0 <= high < r1 and not out[high, c] >= above:
                out[high, c] = above
            if below == below and r0 <= low < r1 and not out[low, c] >= below:
                out[low, c] = below
            a = b


@njit
def _largest(v, y, edge):
    """Largest values of the points below and not below the edge, NaN where there is none."""
    below, above = np.float32(np.nan), np.float32(np.nan)
    for k in range(len(v)):
        good, over = v[k] == v[k], y[k] >= edge
        above = v[k] if good and over and not above >= v[k] else above
        below = v[k] if good and not over and not below >= v[k] else below
    return below, above


@njit
def _spill(flat, at, packed):
    for lane in range(4):
        flat[at, lane] += (packed >> np.uint64(16 * lane)) & np.uint64(65535)


@njit
def _packed(codes, lanes):
    packed = np.uint64(0)
    for k in range(len(codes)):
        packed += lanes[codes[k]]
    return packed


@njit
def _packed_at_least(codes, lanes, y, edge):
    packed = np.uint64(0)
    for k in range(len(codes)):
        packed += lanes[codes[k]] if y[k] >= edge else np.uint64(0)
    return packed


@njit
def _colour(
    x,
    y,
    start,
    cell,
    row_low,
    row_high,
    edge_cell,
    x_edges,
    y_edges,
    affine,
    first,
    last,
    r0,
    r1,
    codes,
    packs,
    lanes,
    flat,
):
    """Four 16-bit sums in one word: red, green, blue and the count, emptied every 256 points."""
    height, width = len(y_edges) - 1, len(x_edges) - 1
    places = np.empty(_BLOCK, np.int32)
    for s in range(first, last):
        low, high = row_low[s], row_high[s]
        if high < r0 or low >= r1:
            continue
        begin = _position(x, cell, s, edge_cell[0], x_edges[0])
        end = _position(x, cell, s, edge_cell[width], x_edges[width])
        if end - begin < width * _ALONE or high - low > 1:
            y_first, y_end = y_edges[r0], y_edges[r1]
            _scatter_colours(
                x[begin:end], y[begin:end], codes[begin:end], affine, height, width, y_first, y_end, places, lanes, flat
            )
            continue
        a = begin
        for c in range(width):
            b = end if c == width - 1 else _position(x, cell, s, edge_cell[c + 1], x_edges[c + 1])
            while a < b:
                until = min(b, a + 256)
                packed = _packed(codes[a:until], packs)
                if high > low:
                    above = _packed_at_least(codes[a:until], packs, y[a:until], y_edges[high])
                    packed -= above
                    if r0 <= high < r1:
                        _spill(flat, high * width + c, above)
                if r0 <= low < r1:
                    _spill(flat, low * width + c, packed)
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
        xs, ys, some = x[begin:end], y[begin:end], codes[begin:end]
        for k in range(len(ys)):
            if y_first <= ys[k] < y_end and some[k] < len(out):
                out[some[k], _pixel(ys[k], sy, ty, height), _pixel(xs[k], sx, tx, width)] += np.uint32(1)
