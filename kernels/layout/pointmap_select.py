"""Which points a polygon holds, which lies nearest, which are in a window.

Inside one strip the polygon is a few edges. Each covers an interval of x there; between these intervals the
strip is wholly inside or wholly outside, decided once, and only points in the intervals meet the test:
even-odd, a point being inside when the number of edges that cross its horizontal to the left is odd
(an edge from (xa, ya) up to (xb, yb) crosses when ``(ya > y) != (yb > y)``, at
``(xb - xa) * (y - ya) / (yb - ya) + xa``; https://wrfranklin.org/Research/Short_Notes/pnpoly.html).
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kernels._parallel import cores, in_threads, njit
from kernels.layout.pointmap_rows import as_mask, ascending
from kernels.layout.pointmap_sort import Strips


def rows_inside(points: Strips, total: int, polygon: NDArray) -> NDArray:
    """Rows (k,) int64 ascending, of ``total``, inside the closed ``polygon`` (m, 2) float64, even-odd."""
    return ascending(_found(points, polygon), total)


def mask_inside(points: Strips, total: int, polygon: NDArray) -> NDArray:
    """The same as (total,) bool."""
    return as_mask(_found(points, polygon), total)


def _found(points: Strips, polygon: NDArray) -> list[NDArray]:
    """The rows inside, in any order, in a few parts (uint32)."""
    edges = _edges(polygon)
    if len(edges) == 0 or len(points.rows) == 0:
        return [np.empty(0, np.uint32)]
    met = np.flatnonzero((points.high >= edges[:, 1].min()) & (points.low <= edges[:, 3].max()))
    if len(met) == 0:
        return [np.empty(0, np.uint32)]
    first, last = int(met[0]), int(met[-1]) + 1
    offsets, members = _edges_of_strips(points.low[first:last], points.high[first:last], edges)
    parts = 1 if points.start[last] - points.start[first] < 50_000 else 4 * cores()
    cuts = np.linspace(first, last, min(parts, last - first) + 1).astype(np.int64)
    return in_threads(
        [
            partial(
                _inside, points.x, points.y, points.rows, points.start, points.low, points.high,
                int(a), int(b), first, edges, offsets, members,
            )
            for a, b in pairwise(cuts)
        ]
    )  # fmt: skip


def _edges(polygon: NDArray) -> NDArray:
    """(e, 4) float64 of (xa, ya, xb, yb) with ya <= yb.

    Horizontal ones cross nothing but stay: what lies between their ends is inside on one side of them only.
    """
    after = np.roll(polygon, -1, axis=0)
    up = (polygon[:, 1] < after[:, 1])[:, None]
    edges = np.where(up, np.hstack([polygon, after]), np.hstack([after, polygon]))
    return np.ascontiguousarray(edges)


def _edges_of_strips(low: NDArray, high: NDArray, edges: NDArray) -> tuple[NDArray, NDArray]:
    """The edges that meet each strip: ``members[offsets[s]:offsets[s + 1]]``."""
    from_strip = np.searchsorted(high, edges[:, 1], side="left")
    to_strip = np.searchsorted(low, edges[:, 3], side="right")
    lengths = np.maximum(to_strip - from_strip, 0)
    edge = np.repeat(np.arange(len(edges)), lengths)
    strip = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths) + np.repeat(from_strip, lengths)
    order = np.argsort(strip, kind="stable")
    offsets = np.searchsorted(strip[order], np.arange(len(low) + 1))
    return offsets.astype(np.int64), edge[order].astype(np.int64)


@njit
def _crossing(xa, ya, xb, yb, y):
    return (xb - xa) * (y - ya) / (yb - ya) + xa


@njit
def _first_at_least(x, lo, hi, edge):
    while lo < hi:
        mid = (lo + hi) >> 1
        if x[mid] < edge:
            lo = mid + 1
        else:
            hi = mid
    return lo


@njit
def _inside(x, y, rows, start, low, high, first, last, base, edges, offsets, members):
    """Rows of the points of strips first..last inside, as found."""
    found = np.empty(1024, np.uint32)
    count = 0
    for s in range(first, last):
        mine = members[offsets[s - base] : offsets[s - base + 1]]
        if len(mine) == 0:
            continue
        left, right = np.empty(len(mine)), np.empty(len(mine))
        for k in range(len(mine)):
            left[k], right[k] = _span(edges[mine[k]], low[s], high[s])
        order = np.argsort(left)
        middle = 0.5 * low[s] + 0.5 * high[s]
        end = start[s + 1]
        at = start[s]  # the points before it are done
        odd = False  # parity of the gap that begins at `at`
        k = 0
        while k < len(mine):
            until = right[order[k]]
            stop = k + 1
            while stop < len(mine) and left[order[stop]] <= until:
                until = max(until, right[order[stop]])
                stop += 1
            a = _first_at_least(x, at, end, left[order[k]])
            b = _first_at_least(x, a, end, np.nextafter(until, np.inf))
            need = count + b - at
            if need > len(found):
                grown = np.empty(max(need, 2 * len(found)), np.uint32)
                grown[:count] = found[:count]
                found = grown
            if odd:
                found[count : count + a - at] = rows[at:a]
                count += a - at
            count = _test_points(
                x, y, rows, a, b, odd, low[s], high[s], edges, mine, order[k:stop], left, right, found, count
            )
            for j in range(k, stop):
                e = edges[mine[order[j]]]
                if (e[1] > middle) != (e[3] > middle):
                    odd = not odd
            at = b
            k = stop
    return found[:count]


@njit
def _test_points(x, y, rows, a, b, odd, low, high, edges, mine, order, left, right, found, count):
    """Even-odd of positions a..b against the edges ``order`` (by left end), right of a gap of parity ``odd``.

    A sweep in x: only edges whose interval holds the point's x are computed. One that lies to the left
    crosses for every point of the strip, unless it ends inside the strip; those few are looked at in y.
    """
    active, late = np.empty(len(order), np.int64), np.empty(len(order), np.int64)
    actives, lates, coming = 0, 0, 0
    for p in range(a, b):
        px, py = np.float64(x[p]), np.float64(y[p])
        while coming < len(order) and left[order[coming]] <= px:
            active[actives] = order[coming]
            actives += 1
            coming += 1
        crossed = False
        i = 0
        while i < actives:
            j = active[i]
            e = edges[mine[j]]
            if right[j] < px:
                actives -= 1
                active[i] = active[actives]
                if e[1] <= low and e[3] > high:
                    odd = not odd
                else:
                    late[lates] = j
                    lates += 1
                continue
            if (e[1] > py) != (e[3] > py) and _crossing(e[0], e[1], e[2], e[3], py) <= px:
                crossed = not crossed
            i += 1
        for i in range(lates):
            e = edges[mine[late[i]]]
            if (e[1] > py) != (e[3] > py):
                crossed = not crossed
        if crossed != odd:
            found[count] = rows[p]
            count += 1
    return count


@njit
def _span(e, low, high):
    """Interval of x that an edge covers in low <= y <= high, a little wide of the rounding."""
    if e[1] == e[3]:
        return min(e[0], e[2]), max(e[0], e[2])
    ya, yb = max(e[1], low), min(e[3], high)
    xa, xb = _crossing(e[0], e[1], e[2], e[3], ya), _crossing(e[0], e[1], e[2], e[3], yb)
    room = 1e-14 * (abs(e[0]) + abs(e[2]))
    return min(xa, xb) - room, max(xa, xb) + room


def nearest_row(points: Strips, x: float, y: float, box: tuple[float, float, float, float] | None = None) -> int:
    """Row of the point nearest to (x, y), the lowest of equals; -1 where there is none (inside ``box``)."""
    x0, x1, y0, y1 = (-np.inf, np.inf, -np.inf, np.inf) if box is None else box
    return int(_nearest(points.x, points.y, points.rows, points.start, points.low, points.high, x, y, x0, x1, y0, y1))


@njit
def _nearest(x, y, rows, start, low, high, qx, qy, x0, x1, y0, y1):
    best, row = np.inf, np.int64(-1)
    strips = len(low)
    middle = 0
    while middle < strips and high[middle] < qy:
        middle += 1
    up, down = middle, middle - 1
    while True:  # strips above and below in turn, the nearer one first
        above = max(np.float64(low[up]) - qy, 0.0) if up < strips else np.inf
        below = max(qy - np.float64(high[down]), 0.0) if down >= 0 else np.inf
        gap = min(above, below)
        if gap == np.inf or gap * gap > best:
            return row
        s = up if above <= below else down
        if above <= below:
            up += 1
        else:
            down -= 1
        a, b = start[s], start[s + 1]
        at = _first_at_least(x, a, b, qx)
        for side in range(2):
            p = at if side == 0 else at - 1
            step = 1 if side == 0 else -1
            while a <= p < b:
                dx, dy = np.float64(x[p]) - qx, np.float64(y[p]) - qy
                if dx * dx > best:
                    break
                distance = dx * dx + dy * dy
                if (
                    x0 <= x[p] <= x1
                    and y0 <= y[p] <= y1
                    and (distance < best or (distance == best and (row < 0 or rows[p] < row)))
                ):
                    best, row = distance, np.int64(rows[p])
                p += step


def rows_in_window(points: Strips, window: tuple[float, float, float, float], at_most: int) -> NDArray | None:
    """Rows (k,) int64 ascending with x0 <= x <= x1, y0 <= y <= y1; None as soon as they exceed ``at_most``."""
    found = np.empty(at_most, np.uint32)
    count = _window(points.x, points.y, points.rows, points.start, points.low, points.high, *window, found)
    return None if count < 0 else np.sort(found[:count]).astype(np.int64)


@njit
def _window(x, y, rows, start, low, high, x0, x1, y0, y1, found):
    count = 0
    for s in range(len(low)):
        if high[s] < y0 or low[s] > y1:
            continue
        for p in range(_first_at_least(x, start[s], start[s + 1], x0), start[s + 1]):
            if x[p] > x1:
                break
            if y0 <= y[p] <= y1:
                if count == len(found):
                    return -1
                found[count] = rows[p]
                count += 1
    return count
