"""The compiled loops behind the frames of a point map.

All walk strips first..last for the pixel rows r0..r1 of one band. In a strip the points of pixel column c are
the positions between two edges. Where a column holds many, its run is taken whole (a strip in one pixel row
adds a difference of positions, one across rows compares y with their edges); where it holds few, points go
one by one. Both put a point where Datashader does.
"""

from __future__ import annotations

import numpy as np

from kernels._parallel import njit

_BLOCK = 1024
_ALONE = 24  # a pixel's run of points costs as much as so many points one by one, 6 more for each row it crosses

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
def _positions(x, cell, s, edge_cell, x_edges, middle, positions):
    """The position of every edge in strip s.

    The first look of each search is taken for all edges before any is compared: these reads do not depend
    on one another, so the memory answers many at once.
    """
    end = np.uint64(len(x) - 1)
    for c in range(len(x_edges)):
        b = np.uint64(edge_cell[c])
        lo, hi = np.uint64(cell[s, b]), np.uint64(cell[s, b + np.uint64(1)])
        middle[c] = x[min((lo + hi) >> np.uint64(1), end)]
    for c in range(len(x_edges)):
        b = np.uint64(edge_cell[c])
        lo, hi = np.uint64(cell[s, b]), np.uint64(cell[s, b + np.uint64(1)])
        if lo < hi:
            mid = (lo + hi) >> np.uint64(1)
            if middle[c] < x_edges[c]:
                lo = mid + np.uint64(1)
            else:
                hi = mid
        while lo < hi:
            mid = (lo + hi) >> np.uint64(1)
            if x[mid] < x_edges[c]:
                lo = mid + np.uint64(1)
            else:
                hi = mid
        positions[c] = np.int64(lo)


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
def count(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, keep, flat):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    every = len(keep) == 0
    out = flat[: height * width].reshape(height, width)
    places = np.empty(_BLOCK, np.int32)
    middle, positions = np.empty(width + 1, x.dtype), np.empty(width + 1, np.int64)
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
        _positions(x, cell, s, edge_cell, x_edges, middle, positions)
        a = begin
        for c in range(width):
            b = positions[c + 1]
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
def sum(
    x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, v, total, count
):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    out, n = total[: height * width].reshape(height, width), count[: height * width].reshape(height, width)
    places = np.empty(_BLOCK, np.int32)
    middle, positions = np.empty(width + 1, x.dtype), np.empty(width + 1, np.int64)
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
        _positions(x, cell, s, edge_cell, x_edges, middle, positions)
        a = begin
        for c in range(width):
            b = positions[c + 1]
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
def max(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, v, out):
    height, width = len(y_edges) - 1, len(x_edges) - 1
    sx, tx, sy, ty = affine[0], affine[1], affine[2], affine[3]
    middle, positions = np.empty(width + 1, x.dtype), np.empty(width + 1, np.int64)
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
        _positions(x, cell, s, edge_cell, x_edges, middle, positions)
        a = begin
        for c in range(width):
            b = positions[c + 1]
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
def colour(
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
    middle, positions = np.empty(width + 1, x.dtype), np.empty(width + 1, np.int64)
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
        _positions(x, cell, s, edge_cell, x_edges, middle, positions)
        a = begin
        for c in range(width):
            b = positions[c + 1]
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
def planes(x, y, start, cell, row_low, row_high, edge_cell, x_edges, y_edges, affine, first, last, r0, r1, codes, out):
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
