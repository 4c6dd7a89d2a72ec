"""The order a point map keeps its points in: strips of equal count in y, sorted by x inside each.

The curve runs along x through one strip after another. Strips hold about equally many points (their bounds
are quantiles), so neither clusters nor outliers make one heavy: a horizontal line meets one strip of about
n / strips points, whatever the distribution. Inside a strip the points between two x are one run of
positions, found through a table of cells (the same x quantiles for all strips).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from kernels._parallel import cores, in_threads, njit

MOST_POINTS = 2**32 - 2  # positions and rows are kept as uint32
_SAMPLE = 200_000
_CELL = 12  # points per cell of the table, on average


@dataclass(frozen=True)
class Strips:
    """Sorted points: ``x``, ``y`` (m,) float32 or float64, ``rows`` (m,) uint32, of m finite points.

    Strip s is positions ``start[s]:start[s + 1]`` (S+1,) int64 and spans ``low[s] <= y <= high[s]``.
    ``cell[s, b]`` (S, B+1) uint32 is the first position in strip s with ``x >= x_cuts[b - 1]``.
    """

    x: NDArray
    y: NDArray
    rows: NDArray
    start: NDArray
    low: NDArray
    high: NDArray
    x_cuts: NDArray
    cell: NDArray

    @property
    def nbytes(self) -> int:
        return sum(getattr(self, name).nbytes for name in self.__dataclass_fields__)


def sort_points(x: NDArray, y: NDArray) -> Strips:
    """Sort the finite points of (n,) columns ``x`` and ``y`` (one dtype, float32 or float64)."""
    blocks = _pairs(np.linspace(0, len(x), max(1, min(cores(), len(x) // 50_000)) + 1))
    finite = sum(in_threads([partial(_count_finite, x, y, a, b) for a, b in blocks]))
    strips, cells = _grid(finite)
    sample_x, sample_y = _sample(x, y)
    x_cuts = _cuts(sample_x, cells)
    sx, sy, rows, start = _into_strips(x, y, blocks, finite, _cuts(sample_y, strips))
    count = len(start) - 1
    low, high = np.empty(count, y.dtype), np.empty(count, y.dtype)
    cell = np.empty((count, len(x_cuts) + 2), np.uint32)
    parts = np.searchsorted(start, np.linspace(0, finite, 4 * len(blocks) + 1)[1:-1])
    in_threads(
        [
            partial(_sort_strips, sx, sy, rows, start, a, b, x_cuts, cell, low, high)
            for a, b in _pairs(np.concatenate([[0], parts, [count]]))
            if b > a
        ]
    )
    return Strips(sx, sy, rows, start, low, high, x_cuts, cell)


def _into_strips(
    x: NDArray, y: NDArray, blocks: list[tuple[int, int]], finite: int, cuts: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """x, y and row of the finite points, strip after strip, and where each strip that has points starts."""
    first, scale = _lookup_scale(y)
    lookup = _lookup(cuts, first, scale)
    strip_of = np.empty(len(x), np.uint16)
    counts = np.zeros((len(blocks), len(cuts) + 1), np.int64)
    in_threads(
        [
            partial(_assign, x, y, a, b, cuts, lookup, first, scale, strip_of, counts[k])
            for k, (a, b) in enumerate(blocks)
        ]
    )
    held = counts.sum(axis=0)
    start = np.concatenate([[0], np.cumsum(held)]).astype(np.int64)
    into = start[:-1] + np.cumsum(counts, axis=0) - counts
    sx, sy, rows = np.empty(finite, x.dtype), np.empty(finite, y.dtype), np.empty(finite, np.uint32)
    in_threads([partial(_scatter, x, y, a, b, strip_of, into[k], sx, sy, rows) for k, (a, b) in enumerate(blocks)])
    return sx, sy, rows, np.concatenate([start[:-1][held > 0], start[-1:]])


def _pairs(edges: NDArray) -> list[tuple[int, int]]:
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _grid(n: int) -> tuple[int, int]:
    """Strips and cells per strip: a frame costs strips * width look-ups + height * n / strips points."""
    strips = int(np.clip(np.sqrt(n) / 5, 1, 4096))
    return strips, int(np.clip(n / strips / _CELL, 1, 8192))


def _sample(x: NDArray, y: NDArray) -> tuple[NDArray, NDArray]:
    """About ``_SAMPLE`` finite points; the same ones each time."""
    if len(x) > 2 * _SAMPLE:
        chosen = np.random.default_rng(0).integers(0, len(x), _SAMPLE)
        x, y = x[chosen], y[chosen]
    good = np.isfinite(x) & np.isfinite(y)
    return x[good], y[good]


def _cuts(sample: NDArray, parts: int) -> NDArray:
    """Ascending bounds of ``parts`` groups; a value that fills a group by itself gets one of its own."""
    if len(sample) == 0 or parts < 2:
        return np.empty(0, sample.dtype)
    found = np.quantile(sample, np.arange(1, parts) / parts, method="lower")
    values, times = np.unique(found, return_counts=True)
    after = np.nextafter(values[times > 1], np.asarray(np.inf, sample.dtype))
    return np.unique(np.concatenate([values, after])).astype(sample.dtype)


def _lookup_scale(y: NDArray) -> tuple[float, float]:
    """Offset and scale that spread the values over the lookup table (scale 0 where that is impossible)."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = y[np.isfinite(y)] if len(y) < 2 * _SAMPLE else y[:: len(y) // _SAMPLE]
        finite = finite[np.isfinite(finite)].astype(np.float64)
        if len(finite) == 0:
            return 0.0, 0.0
        low, high = np.quantile(finite, [0.001, 0.999])
        scale = _LOOKUP / (high - low) if high > low else 0.0
    return float(low), float(scale) if np.isfinite(scale) else 0.0


_LOOKUP = 16384


def _lookup(cuts: NDArray, first: float, scale: float) -> NDArray:
    """``lookup[m]`` is how many cuts lie in bins below m, so a value of bin m has lookup[m]..lookup[m+1]."""
    bins = np.clip((cuts.astype(np.float64) - first) * scale, 0, _LOOKUP - 1).astype(np.int64)
    return np.searchsorted(bins, np.arange(_LOOKUP + 1)).astype(np.int64)


@njit
def _count_finite(x, y, begin, end):
    count = 0
    for i in range(begin, end):
        count += np.isfinite(x[i]) and np.isfinite(y[i])
    return count


@njit
def _assign(x, y, begin, end, cuts, lookup, first, scale, strip_of, counts):
    """Strip of each point (the number of cuts at or below its y); 65535 for a position that is not finite."""
    last = len(lookup) - 2
    for i in range(begin, end):
        v = y[i]
        if not (np.isfinite(x[i]) and np.isfinite(v)):
            strip_of[i] = 65535
            continue
        u = (v - first) * scale
        m = 0 if not u > 0 else (last if u >= last else int(u))
        lo, hi = lookup[m], lookup[m + 1]
        while lo < hi:
            mid = (lo + hi) >> 1
            if cuts[mid] <= v:
                lo = mid + 1
            else:
                hi = mid
        strip_of[i] = lo
        counts[lo] += 1


@njit
def _scatter(x, y, begin, end, strip_of, into, sx, sy, rows):
    for i in range(begin, end):
        s = strip_of[i]
        if s != 65535:
            at = into[s]
            into[s] = at + 1
            sx[at] = x[i]
            sy[at] = y[i]
            rows[at] = i


@njit
def _sort_strips(sx, sy, rows, start, first, last, x_cuts, cell, low, high):
    """Sort strips first..last by x (stable, so equal x keep ascending rows) and fill their cells."""
    longest = 0
    for s in range(first, last):
        longest = max(longest, start[s + 1] - start[s])
    keys, other = np.empty(longest, np.uint64), np.empty(longest, np.uint64)
    order, swap = np.empty(longest, np.uint32), np.empty(longest, np.uint32)
    old_x, old_y, old_rows = np.empty(longest, sx.dtype), np.empty(longest, sy.dtype), np.empty(longest, np.uint32)
    histogram = np.empty(2048, np.int64)
    for s in range(first, last):
        a, b = start[s], start[s + 1]
        n = b - a
        old_x[:n], old_y[:n], old_rows[:n] = sx[a:b], sy[a:b], rows[a:b]
        bits = _ordered_bits(old_x[:n], keys)
        order, swap = _radix(keys, other, order, swap, n, bits, histogram)
        smallest, largest = old_y[0], old_y[0]
        for i in range(n):
            j = order[i]
            sx[a + i], sy[a + i], rows[a + i] = old_x[j], old_y[j], old_rows[j]
            smallest, largest = min(smallest, old_y[j]), max(largest, old_y[j])
        low[s], high[s] = smallest, largest
        at = a
        cell[s, 0] = a
        for c in range(len(x_cuts)):
            while at < b and sx[at] < x_cuts[c]:
                at += 1
            cell[s, c + 1] = at
        cell[s, len(x_cuts) + 1] = b


@njit
def _ordered_bits(values, keys):
    """Unsigned keys in the order of the values; returns how many low bits of a key differ anywhere."""
    n = len(values)
    wide = values.itemsize == 8
    if wide:
        raw64 = values.view(np.uint64)
        for i in range(n):
            k = raw64[i]
            keys[i] = ~k if k >> np.uint64(63) else k | np.uint64(1 << 63)
        return 64
    raw32 = values.view(np.uint32)
    for i in range(n):
        k = raw32[i]
        keys[i] = np.uint64((~k) & np.uint32(0xFFFFFFFF)) if k >> np.uint32(31) else np.uint64(k | np.uint32(1 << 31))
    return 32


@njit
def _radix(keys, other, order, swap, n, bits, histogram):
    """Stable order of keys[:n], least significant digit first; returns (order, the spare array)."""
    for i in range(n):
        order[i] = i
    for shift in range(0, bits, 11):
        histogram[:] = 0
        for i in range(n):
            histogram[(keys[i] >> np.uint64(shift)) & np.uint64(2047)] += 1
        if histogram[(keys[0] >> np.uint64(shift)) & np.uint64(2047)] == n:
            continue  # this digit is the same everywhere
        total = 0
        for d in range(2048):
            count = histogram[d]
            histogram[d] = total
            total += count
        for i in range(n):
            d = (keys[i] >> np.uint64(shift)) & np.uint64(2047)
            at = histogram[d]
            histogram[d] = at + 1
            other[at] = keys[i]
            swap[at] = order[i]
        keys, other = other, keys
        order, swap = swap, order
    return order, swap
