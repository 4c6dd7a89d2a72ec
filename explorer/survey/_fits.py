"""FITS files through astropy: what is in one without its data, and one row of a wide table quickly."""

from __future__ import annotations

import gzip
import warnings
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from explorer.survey._reading import plain
from explorer.survey.records import ReadError


@dataclass(frozen=True)
class Hdu:
    """One header-data unit: ``columns`` of a table (as written), ``shape`` in numpy order."""

    name: str
    is_table: bool
    shape: tuple[int, ...]
    columns: tuple[str, ...]
    header: Any

    def has(self, *names: str) -> bool:
        """Whether the table has all these columns, whatever their case."""
        mine = {column.lower() for column in self.columns}
        return all(name.lower() in mine for name in names)


@dataclass(frozen=True)
class Outline:
    """Names, shapes, columns and headers of a FITS file, without its data."""

    hdus: tuple[Hdu, ...]
    problem: str = ""

    def find(self, *columns: str) -> Hdu | None:
        """The first table that has all these columns."""
        at = self.where(*columns)
        return None if at is None else self.hdus[at]

    def where(self, *columns: str) -> int | None:
        """Position of the first table that has all these columns."""
        return next((k for k, h in enumerate(self.hdus) if h.is_table and h.has(*columns)), None)

    def names(self) -> set[str]:
        """Upper-case names of the units."""
        return {h.name.upper() for h in self.hdus}


_NEVER_FITS = {
    ".png",
    ".jpg",
    ".jpeg",
    ".csv",
    ".tsv",
    ".parquet",
    ".pq",
    ".npy",
    ".npz",
    ".hdf5",
    ".h5",
    ".safetensors",
}


def is_fits(path: Path) -> bool:
    """Whether the content, plain or gzipped, starts like FITS."""
    return _head(path).startswith(b"SIMPLE  =")


def _head(path: Path, n: int = 16) -> bytes:
    try:
        with path.open("rb") as handle:
            head = handle.read(n)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path, "rb") as opened:
                return opened.read(n)
    except (OSError, EOFError, zlib.error):
        return b""
    return head


def outline(path: Path) -> Outline | None:
    """Outline of a FITS file (kept per path, size and time), or None where the content is not FITS."""
    if path.suffix.lower() in _NEVER_FITS:
        return None
    try:
        stat = path.stat()
    except OSError:
        return None
    return _outline(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=5_000)
def _outline(path: Path, size: int, mtime: int) -> Outline | None:
    if size == 0 or not is_fits(path):
        return None
    from astropy.io import fits

    hdus: list[Hdu] = []
    problem = ""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            with fits.open(path, memmap=True, lazy_load_hdus=True) as opened:
                for unit in opened:
                    hdus.append(_hdu(unit))
                if any("file is corrupted" in str(w.message) for w in caught):
                    problem = _after(path, opened[-1].fileinfo())
        except Exception as error:  # astropy raises many kinds on a broken file
            problem = f"{type(error).__name__}: {error}"
    for warning in caught:
        if "truncated" in str(warning.message):
            problem = str(warning.message)
    return Outline(tuple(hdus), problem)


def _after(path: Path, last: dict[str, Any]) -> str:
    """What is wrong where bytes follow the last unit: nothing, unless another unit begins and does not end."""
    if path.suffix.lower() in (".gz", ".bz2"):
        return ""
    with path.open("rb") as handle:
        handle.seek(last["datLoc"] + last["datSpan"])
        begun = handle.read(8) == b"XTENSION"
    return "the file is truncated inside a header" if begun else ""


def _hdu(unit: Any) -> Hdu:
    from astropy.io import fits

    header = unit.header
    table = isinstance(unit, (fits.BinTableHDU, fits.TableHDU)) and not isinstance(unit, fits.CompImageHDU)
    if table:
        columns = tuple(header.get(f"TTYPE{k + 1}", f"col{k + 1}") for k in range(header.get("TFIELDS", 0)))
        return Hdu(unit.name, True, (header.get("NAXIS2", 0),), columns, header)
    return Hdu(unit.name, False, tuple(unit.shape or ()), (), header)


def open_fits(path: Path) -> Any:
    """``astropy.io.fits.open`` that turns a file that cannot be opened into a :class:`ReadError`."""
    from astropy.io import fits

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return fits.open(path, memmap=False)
        except Exception as error:
            raise ReadError(path, f"astropy cannot open it ({error})", "Fetch or write the file again.") from error


@lru_cache(maxsize=1024)
def _record_type(form: str) -> np.dtype:
    """The record type, big-endian, that astropy gives a column of this TFORM."""
    from astropy.io import fits

    return np.dtype(fits.Column(name="c", format=form).dtype).newbyteorder(">")


def first_row(path: Path, hdus: Any, at: int, hdu: Hdu) -> Row:
    """The first row of a wide table, asked by names.

    astropy takes 50 ms to set up the 240 columns of an SDSS result table. Here the row is read at once, in the
    record layout that astropy's own :class:`~astropy.io.fits.Column` gives each TFORM; where that does not add
    up to the row's length, or a column is scaled other than by the offset of unsigned integers, astropy reads it.
    """
    header, n = hdu.header, len(hdu.columns)
    scaled = [k for k in range(n) if f"TZERO{k + 1}" in header or f"TSCAL{k + 1}" in header]
    odd = any(header.get(f"TSCAL{k + 1}", 1) != 1 or header.get(f"TZERO{k + 1}", 0) % 1 for k in scaled)
    if odd or path.suffix.lower() in (".gz", ".bz2") or len(set(hdu.columns)) < n:
        return Row(hdus[at].data[0])
    layout = np.dtype([(name, _record_type(header[f"TFORM{k + 1}"])) for k, name in enumerate(hdu.columns)])
    if layout.itemsize != header.get("NAXIS1"):
        return Row(hdus[at].data[0])
    row = np.fromfile(path, layout, count=1, offset=hdus[at].fileinfo()["datLoc"])[0]
    return Row(row, {hdu.columns[k]: int(header.get(f"TZERO{k + 1}", 0)) for k in scaled})


class Row:
    """One row of a FITS table, asked by names of any case."""

    def __init__(self, row: Any, offsets: dict[str, int] | None = None):
        self._row = row
        self._offsets = {name.lower(): offset for name, offset in (offsets or {}).items()}
        names = (row if isinstance(row, np.void) else row.array).dtype.names or ()
        self._at = {column.lower(): k for k, column in enumerate(names)}

    def get(self, *names: str) -> Any:
        """The first of ``names`` that the row has, as a Python scalar; None where there is none."""
        for name in names:
            if name.lower() in self._at:
                value = plain(self._row[self._at[name.lower()]])
                if isinstance(value, int) and not isinstance(value, bool):
                    value += self._offsets.get(name.lower(), 0)
                if value is not None and np.ndim(value) == 0:
                    return value
        return None
