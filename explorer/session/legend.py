"""Counts for a legend: how many of each category, or in each bin, are selected and are there at all."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from explorer.session.columns import Shared, Text

if TYPE_CHECKING:
    import pandas as pd

BLOCK = 1 << 16
_binned = Shared(16)


@dataclass(frozen=True)
class Bins:
    """Bins of (n,) values: ``index`` (n,) uint8 or uint16, the last one for missing values; their names and edges."""

    index: np.ndarray
    names: list[str]
    lo: np.ndarray
    hi: np.ndarray


def bins_of(key: object, values: np.ndarray | Text, bins: int, categories: int) -> Bins:
    """Bins of values, kept for the process by ``key``.

    Text, booleans and whole numbers with few values are categories, the ``categories`` largest by name and the rest
    together; other numbers, and dates as seconds since 1970, fall in ``bins`` equal steps between their 0.5 and 99.5
    percentiles, the outer two open.
    """
    if isinstance(values, Text):
        return _binned.get(("text", key, categories), values.codes, lambda _: _categories(values, categories))
    return _binned.get((key, bins, categories), values, lambda v: _numbers(v, bins, categories))


def _categories(text: Text, most: int) -> Bins:
    counts = np.bincount(text.codes[text.codes >= 0], minlength=len(text.values))
    largest = np.lexsort((text.values, -counts))[:most]
    rest = len(text.values) - len(largest)
    place = np.full(len(text.values) + 1, len(largest), np.uint16)
    place[largest] = np.arange(len(largest))
    names = [str(v) for v in text.values[largest]]
    if rest:
        names.append(f"{rest} more")
    place[-1] = len(names)
    nothing = np.full(len(names) + 1, np.nan)
    return Bins(place[text.codes], [*names, ""], nothing, nothing)


def _numbers(values: np.ndarray, bins: int, most: int) -> Bins:
    if values.dtype.kind == "b":
        return _categories(Text(values.astype(np.int32), np.array(["false", "true"])), most)
    if values.dtype.kind in "iu" and len(values):
        low, high = values.min(), values.max()
        sample = np.unique(values[:: max(1, len(values) // 10_000)])
        few = _few(values, int(low), int(high), most) if len(sample) <= most else None
        if few is not None:
            text = Text(np.searchsorted(few, values).astype(np.int32), np.array([str(v) for v in few]))
            found = _categories(text, most)
            number = np.array([float(n) for n in found.names[:-1]] + [np.nan])
            return Bins(found.index, found.names, number, number)
    dates = values.dtype.kind == "M"
    if dates:
        values = np.where(np.isnat(values), np.nan, values.astype("datetime64[s]").astype(np.float64))
    data = values.astype(np.float64)
    here = np.isfinite(data)
    if not here.any():
        return Bins(np.zeros(len(data), np.uint8), [""], np.array([np.nan]), np.array([np.nan]))
    low, high = np.percentile(data[here][:: max(1, int(here.sum()) // 200_000)], [0.5, 99.5])
    if low == high:
        low, high = data[here].min(), data[here].max()
    bins = bins if high > low else 1
    edges = np.linspace(low, high, bins + 1)
    step = (high - low) / bins or 1.0
    with np.errstate(invalid="ignore"):
        index = np.clip(np.nan_to_num(np.floor((data - low) / step), nan=bins, posinf=bins, neginf=0), 0, bins - 1)
    index = np.where(np.isnan(data), bins, index).astype(np.uint8 if bins < 255 else np.uint16)
    shown = [str(np.datetime64(int(e), "s"))[:10] if dates else f"{e:.4g}" for e in edges]
    ranges = [f"{a} – {b}" for a, b in pairwise(shown)]
    return Bins(index, [*ranges, ""], np.append(edges[:-1], np.nan), np.append(edges[1:], np.nan))


def _few(values: np.ndarray, low: int, high: int, most: int) -> np.ndarray | None:
    """The distinct values where there are at most ``most``, without sorting where they lie close together."""
    if high - low < 1_000_000:
        base = values.dtype.type(low)
        found = np.flatnonzero(np.bincount((values - base).astype(np.int64), minlength=1)) + low
    else:
        found = np.unique(values)
    return found if len(found) <= most else None


def tally(codes: np.ndarray, size: int, mask: np.ndarray | None = None) -> np.ndarray:
    """(size,) int64: how often each of (n,) codes occurs, in ``mask`` (n,) bool where given.

    Block by block: what is taken out and widened on the way then stays in the processor's cache.
    """
    found = np.zeros(size, np.int64)
    for start in range(0, len(codes), BLOCK):
        part = codes[start : start + BLOCK]
        found += np.bincount(part if mask is None else part[mask[start : start + BLOCK]], minlength=size)
    return found


def counted(bins: Bins, mask: np.ndarray) -> pd.DataFrame:
    """One line for each bin that holds anything: ``value``, ``lo``, ``hi``, ``selected``, ``all``.

    ``value`` is None for missing values, which come last; ``lo`` and ``hi`` are NaN for text.
    """
    import pandas as pd

    size = len(bins.names)
    every, some = tally(bins.index, size), tally(bins.index, size, mask)
    names = pd.array([*bins.names[:-1], None], dtype="object")
    frame = pd.DataFrame({"value": names, "lo": bins.lo, "hi": bins.hi, "selected": some, "all": every})
    return frame[(frame["all"] > 0) | frame["lo"].notna()].reset_index(drop=True)
