"""What a name in a query, a legend or a table stands for: values per row, with text as codes into its categories."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.survey.store import Survey


@dataclass(frozen=True)
class Text:
    """Text per row: ``codes`` (n,) int32 into ``values``, sorted; -1 where there is none."""

    codes: np.ndarray
    values: np.ndarray

    def where(self, wanted: np.ndarray) -> np.ndarray:
        """(n,) bool from ``wanted`` (len(values),) bool; False where there is no text."""
        return np.append(wanted, False)[self.codes]

    def decoded(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """(m,) objects, str or None, of these rows."""
        padded = np.full(len(self.values) + 1, None, dtype=object)
        padded[:-1] = self.values.tolist()
        return padded[self.codes[rows]]


@dataclass(frozen=True)
class Whole:
    """Integers that float64 would round, such as ids, of which some are missing.

    ``values`` (n,) int64 or uint64, 0 where ``known`` (n,) bool is False.
    """

    values: np.ndarray
    known: np.ndarray

    def floats(self) -> np.ndarray:
        """(n,) float64, NaN where missing, for what is measured and not compared."""
        return np.where(self.known, self.values.astype(np.float64), np.nan)


class Shared:
    """A small process-wide cache, least recently used out first; each thing is made once, whoever asks."""

    def __init__(self, size: int):
        self._size, self._lock = size, threading.Lock()
        self._made: OrderedDict[Hashable, tuple[Any, Any]] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, source: np.ndarray, make: Callable[[np.ndarray], Any]) -> Any:
        """What ``make(source)`` gave; made again only where the contents of ``source`` changed."""
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            found = self._made.get(key)
            if found is None or not _same(found[0], source):
                found = (source, make(source))
            with self._lock:
                self._made[key] = found
                self._made.move_to_end(key)
                while len(self._made) > self._size:
                    old, _ = self._made.popitem(last=False)
                    self._making.pop(old, None)
        return found[1]

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._made.clear()


def _same(old: np.ndarray, new: np.ndarray) -> bool:
    if old is new:
        return True
    if old.shape != new.shape or old.dtype != new.dtype:
        return False
    return bool(np.array_equal(old, new, equal_nan=old.dtype.kind == "f"))


_texts, _wholes = Shared(48), Shared(16)


def text_of(key: Hashable, values: np.ndarray) -> Text:
    """The :class:`Text` of (n,) objects (str or None), kept by ``key`` for the process."""
    return _texts.get(key, values, _factorise)


def _factorise(values: np.ndarray) -> Text:
    import pyarrow as pa

    coded = pa.array(values.tolist() if values.dtype.kind == "U" else values, from_pandas=True)
    if not (pa.types.is_string(coded.type) or pa.types.is_large_string(coded.type)):
        coded = pa.array([None if v is None else str(v) for v in values], pa.string())
    coded = coded.dictionary_encode()
    names = np.asarray(coded.dictionary.to_pylist(), dtype=str)
    order = np.argsort(names, kind="stable")
    place = np.empty(len(names) + 1, np.int32)
    place[order], place[-1] = np.arange(len(names)), -1
    codes = coded.indices.fill_null(len(names)).to_numpy(zero_copy_only=False)
    return Text(place[codes], names[order])


def _whole(values: np.ndarray) -> Whole:
    known = np.array([v is not None for v in values], dtype=bool)
    filled = np.where(known, values, 0)
    kind = np.uint64 if max(filled.tolist()) > np.iinfo(np.int64).max else np.int64
    return Whole(filled.astype(kind), known)


def catalogue(survey: Survey, name: str) -> np.ndarray | Text | Whole:
    """(n,) numbers, booleans or datetimes of a catalogue column, or its :class:`Text`, or :class:`Whole` numbers."""
    known = ["id", "object_id", *survey.columns]
    if name not in known:
        alike = [k for k in known if k.casefold() == name.casefold()]
        raise UnknownName("column", name, known, f"Did you mean {alike[0]!r}?" if alike else "")
    values = survey.column(name)
    if values.dtype.kind in "biufM":
        return values
    import pyarrow as pa

    kind = survey.columns.get(name)
    if kind is not None and pa.types.is_integer(kind):
        return _wholes.get((str(survey.path), name), values, _whole)
    return text_of((str(survey.path), name), values)


def position_columns(survey: Survey) -> tuple[str, str]:
    """Names of the right ascension and declination columns (degrees); :class:`UnknownName` where there are none."""
    told = survey.meta.get("card", {}).get("position", [])
    lower = {name.casefold(): name for name in survey.columns}
    pairs = [tuple(told)] if len(told) == 2 else []
    pairs += [("ra", "dec"), ("target_ra", "target_dec"), ("plug_ra", "plug_dec"), ("plate_ra", "plate_dec")]
    pairs += [("raj2000", "dej2000"), ("right_ascension", "declination"), ("mean_fiber_ra", "mean_fiber_dec")]
    for ra, dec in pairs:
        if ra.casefold() in lower and dec.casefold() in lower:
            return lower[ra.casefold()], lower[dec.casefold()]
    raise UnknownName("pair of position columns", "ra, dec", list(survey.columns))


def near(survey: Survey, ra: float, dec: float, arcsec: float) -> np.ndarray:
    """(n,) bool, rows at most ``arcsec`` from (``ra``, ``dec``) in degrees on the sphere."""
    at_ra, at_dec = (np.asarray(survey.column(c), dtype=np.float64) for c in position_columns(survey))
    inside = np.abs(at_dec - dec) <= arcsec / 3600 + 1e-9
    rows = np.flatnonzero(inside)
    d_ra, d_dec = np.radians(at_ra[rows] - ra) / 2, np.radians(at_dec[rows] - dec) / 2
    cosines = np.cos(np.radians(dec)) * np.cos(np.radians(at_dec[rows]))
    haversine = np.sin(d_dec) ** 2 + cosines * np.sin(d_ra) ** 2
    apart = 2 * np.degrees(np.arcsin(np.sqrt(np.clip(haversine, 0, 1)))) * 3600
    inside[rows] = apart <= arcsec * (1 + 1e-12)
    return inside
