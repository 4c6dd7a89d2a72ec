"""Columns and selections in the order of the sorted points, made on first use and kept while they serve."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels._parallel import cores, in_threads, njit
from kernels.layout.pointmap_sort import Strips, sort_points

_COLUMNS = 6  # kept for each layer
_LAYERS = 3  # selections kept


class Columns:
    """The last few columns, gathered to sorted order; a column is known by its array, which must not change.

    Those of a selection that keeps every point take the columns of the ``whole`` map and blank what ``keep`` leaves
    out: one pass in order, where gathering jumps about.
    """

    def __init__(self, rows: NDArray, whole: Columns | None = None, keep: NDArray | None = None) -> None:
        self._rows, self._whole, self._keep = rows, whole, keep
        self._kept: OrderedDict[tuple, tuple[Any, NDArray]] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for _, array in self._kept.values())

    def numbers(self, column: NDArray) -> NDArray:
        """float32 in sorted order, NaN for points outside the selection."""

        def make() -> NDArray:
            if self._whole is not None and self._keep is not None:
                return np.where(self._keep, self._whole.numbers(column), np.float32(np.nan))
            with np.errstate(over="ignore"):
                return self._sorted(column.astype(np.float32, copy=False))

        return self._once(column, "numbers", make)

    def codes(self, column: NDArray, categories: int) -> NDArray:
        """uint8 or uint16 in sorted order, ``categories`` where there is none or outside the selection."""

        def make() -> NDArray:
            dtype = np.uint8 if categories < 256 else np.uint16
            if self._whole is not None and self._keep is not None:
                return np.where(self._keep, self._whole.codes(column, categories), dtype(categories))
            some = column if column.dtype.kind in "ub" else np.where(column >= 0, column, categories)
            return self._sorted(some.astype(dtype, copy=False))

        return self._once(column, f"codes {categories}", make)

    def highest(self, column: NDArray) -> int:
        """Largest code of a column, NaN left out; -1 where there is none."""
        top = self._once(column, "highest", lambda: np.array(np.fmax.reduce(column) if len(column) else -1))
        return -1 if np.isnan(top) else max(int(top), -1)

    def _once(self, column: NDArray, form: str, make: Callable[[], NDArray]) -> NDArray:
        owner = _owner(column)
        key = (id(owner), column.__array_interface__["data"][0], column.strides, column.dtype.str, form)
        with self._lock:
            if key in self._kept:
                (alive, sample), array = self._kept[key]
                if alive() is owner and np.array_equal(sample, _sample(column), equal_nan=column.dtype.kind == "f"):
                    self._kept.move_to_end(key)
                    return array
            array = make()
            self._kept[key] = ((weakref.ref(owner), _sample(column)), array)
            for gone in [k for k, ((alive, _), _) in self._kept.items() if alive() is None]:
                del self._kept[gone]
            while len(self._kept) > _COLUMNS:
                self._kept.popitem(last=False)
            return array

    def _sorted(self, column: NDArray) -> NDArray:
        out = np.empty(len(self._rows), column.dtype)
        raw = f"u{column.dtype.itemsize}"  # few types, so that few are compiled
        edges = np.linspace(0, len(out), cores() + 1).astype(np.int64) if len(out) > 50_000 else [0, len(out)]
        source, target = np.require(column, requirements=["C", "W"]).view(raw), out.view(raw)
        in_threads([partial(_gather, source, self._rows, int(a), int(b), target) for a, b in pairwise(edges)])
        return out


def _owner(column: NDArray) -> NDArray:
    """The array that holds the memory of a view: pandas gives another view at each access."""
    while isinstance(column.base, np.ndarray):
        column = column.base
    return column


def _sample(column: NDArray) -> NDArray:
    """A few thousand values, to notice an array that was changed in place."""
    return column[:: max(1, len(column) // 2048)].copy()


@njit
def _gather(column, rows, begin, end, out):
    for p in range(begin, end):
        out[p] = column[rows[p]]


def _sorted_bits(bits: NDArray, rows: NDArray) -> NDArray:
    """(k,) uint8: the bits of ``rows``. A bit for each row stays in the cache where a byte would not."""
    out = np.empty(len(rows), np.uint8)
    edges = np.linspace(0, len(out), cores() + 1).astype(np.int64)
    in_threads([partial(_gather_bits, bits, rows, int(a), int(b), out) for a, b in pairwise(edges)])
    return out


@njit
def _gather_bits(bits, rows, begin, end, out):
    for p in range(begin, end):
        row = np.uint32(rows[p])
        out[p] = (bits[row >> np.uint32(3)] >> np.uint8(row & np.uint32(7))) & np.uint8(1)


@dataclass(frozen=True)
class Layer:
    """What a frame is drawn from: sorted points, their columns, and a selection as 0 and 1 where it is large."""

    points: Strips
    columns: Columns
    keep: NDArray | None = None


@dataclass
class Layers:
    """The whole map and the last few selections of it, known by their content.

    A selection of up to one point in 100 is sorted as a small map of its own (its cost is the
    selection's); a larger one becomes a byte per point in sorted order.
    """

    xy: NDArray
    base: Layer
    _made: OrderedDict[tuple, Layer] = field(default_factory=OrderedDict)
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def nbytes(self) -> int:
        total = self.base.points.nbytes + self.base.columns.nbytes
        for layer in list(self._made.values()):
            total += layer.columns.nbytes + (layer.points.nbytes if layer.keep is None else layer.keep.nbytes)
        return total

    def of(self, mask: ArrayLike | None, rows: ArrayLike | None) -> Layer:
        """The layer of a mask (n,) bool or of row positions; the whole map without either."""
        if mask is None and rows is None:
            return self.base
        if mask is not None and rows is not None:
            raise ValueError("mask and rows: give one of them, both restrict the frame to a selection")
        chosen = self._as_mask(mask) if mask is not None else self._as_rows(rows)
        key = (chosen.dtype.kind, len(chosen), fingerprint(chosen))
        with self._lock:
            if key in self._made:
                self._made.move_to_end(key)
                return self._made[key]
            layer = self._make(chosen if chosen.dtype == bool else np.unique(chosen))
            self._made[key] = layer
            while len(self._made) > _LAYERS:
                self._made.popitem(last=False)
            return layer

    def _make(self, chosen: NDArray) -> Layer:
        """The layer of a mask (n,) bool or of distinct rows (k,) int64."""
        points = self.base.points
        count = np.count_nonzero(chosen) if chosen.dtype == bool else len(chosen)
        if count <= max(len(self.xy) // 100, 10_000):
            rows = np.flatnonzero(chosen) if chosen.dtype == bool else chosen
            xy = self.xy[rows]
            own = sort_points(xy[:, 0], xy[:, 1])
            own = replace(own, rows=rows[own.rows].astype(np.uint32))
            return Layer(own, Columns(own.rows))
        if chosen.dtype != bool:
            chosen, rows = np.zeros(len(self.xy), bool), chosen
            chosen[rows] = True
        keep = _sorted_bits(np.packbits(chosen, bitorder="little"), points.rows)
        return Layer(points, Columns(points.rows, self.base.columns, keep), keep)

    def _as_mask(self, mask: ArrayLike) -> NDArray:
        given = np.ascontiguousarray(mask)
        if given.dtype != bool or given.shape != (len(self.xy),):
            raise ValueError(
                f"mask: expected bool of shape ({len(self.xy)},), one per row of the map, "
                f"got {given.dtype} of shape {given.shape}; pass positions as rows="
            )
        return given

    def _as_rows(self, rows: ArrayLike | None) -> NDArray:
        given = np.asarray(rows)
        if given.size == 0:
            return np.empty(0, np.int64)
        if given.ndim != 1 or given.dtype.kind not in "iu":
            raise ValueError(f"rows: expected whole numbers of shape (k,), got {given.dtype} of shape {given.shape}")
        if int(given.min()) < 0 or int(given.max()) >= len(self.xy):
            wrong = int(given.min()) if int(given.min()) < 0 else int(given.max())
            raise ValueError(f"rows: position {wrong} is not a row of this map; rows are 0..{len(self.xy) - 1}")
        return np.ascontiguousarray(given, np.int64)


def fingerprint(array: NDArray) -> int:
    """A 64-bit hash of the bytes of a contiguous array."""
    raw = array.reshape(-1).view(np.uint8)
    words = len(raw) // 8
    tail = np.zeros(8, np.uint8)
    tail[: len(raw) - 8 * words] = raw[8 * words :]
    return int(_hash(raw[: 8 * words].view(np.uint64), tail.view(np.uint64)[0]))


@njit
def _hash(words, tail):
    prime = np.uint64(0x9E3779B97F4A7C15)
    a, b, c, d = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4)
    whole = len(words) - len(words) % 4
    for i in range(0, whole, 4):  # four chains, so that the multiplications overlap
        a = (a ^ words[i]) * prime
        b = (b ^ words[i + 1]) * prime
        c = (c ^ words[i + 2]) * prime
        d = (d ^ words[i + 3]) * prime
        a ^= a >> np.uint64(29)
        b ^= b >> np.uint64(29)
        c ^= c >> np.uint64(29)
        d ^= d >> np.uint64(29)
    for i in range(whole, len(words)):
        a = (a ^ words[i]) * prime
        a ^= a >> np.uint64(32)
    for other in (b, c, d, tail):
        a = (a ^ other) * prime
        a ^= a >> np.uint64(32)
    return a
