"""What every reader shares: items, scans, the outline of a FITS file, and values free of astropy and numpy.

A reader looks at a source (:meth:`FileReader.sniff`), says what is there (:meth:`FileReader.scan`: items, columns,
modalities, files set aside) and reads one item at a time (:meth:`FileReader.read`).
"""

from __future__ import annotations

import gzip
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from explorer.survey.records import ReadError, Record

__all__ = ["Aside", "FileReader", "Item", "Outline", "ReadError", "Scan", "files_under", "outline", "plain"]


@dataclass(frozen=True)
class Item:
    """What one call of ``read`` reads: a file, or a range of rows of one.

    ``source`` is the path relative to the scanned folder; where a file holds several rows, the record of row k
    has ``source`` ``"<item.source>#<k>"`` for each k in ``rows``.
    """

    source: str
    path: Path
    rows: range | None = None

    def sources(self) -> list[str]:
        """The ``source`` of each record that this item gives."""
        return [self.source] if self.rows is None else [f"{self.source}#{k}" for k in self.rows]


@dataclass(frozen=True)
class Aside:
    """A file, or a part of one, that does not enter the survey as it is."""

    file: str
    reason: str
    fix: str


@dataclass
class Scan:
    """What a reader found.

    ``columns`` name → Arrow type of the catalogue values; ``modalities`` name → metadata (``bands``, ``unit``, …);
    ``companions`` files that were used beside others (responses, backgrounds, redshifts); ``spaces`` name →
    file of embeddings that are to be joined once the rows exist; ``memo`` what the reader keeps for itself.
    """

    root: Path
    items: list[Item] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    modalities: dict[str, dict[str, Any]] = field(default_factory=dict)
    aside: list[Aside] = field(default_factory=list)
    companions: set[Path] = field(default_factory=set)
    spaces: dict[str, Path] = field(default_factory=dict)
    memo: dict[Any, Any] = field(default_factory=dict)


class FileReader:
    """Base of readers that recognise one file at a time.

    A subclass has ``name`` and ``modalities``, says how sure it is of a file (:meth:`recognise`), what a file
    contributes to the scan (:meth:`look`), and reads an item (:meth:`read`).
    """

    name: ClassVar[str] = ""
    modalities: ClassVar[tuple[str, ...]] = ()

    def recognise(self, path: Path) -> float:
        """Confidence from 0 to 1 that ``path`` is a file of this reader; cheap."""
        raise NotImplementedError(f"{type(self).__name__} needs recognise(path)")

    def look(self, path: Path, source: str, scan: Scan) -> None:
        """Add the items, columns and modalities of one file to ``scan``."""
        scan.items.append(Item(source, path))

    def read(self, item: Item, scan: Scan) -> Iterator[Record | Aside]:
        """The records of an item; an :class:`Aside` for a row, :class:`ReadError` for a file, that is unusable."""
        raise NotImplementedError(f"{type(self).__name__} needs read(item, scan)")

    def sniff(self, source: Path) -> float:
        """Confidence that ``source``, a file or a folder, is this reader's; a folder is judged by a sample."""
        if source.is_file():
            return self.recognise(source)
        found = files_under(source)
        sample = found[:: max(1, len(found) // 50)]
        return max((self.recognise(path) for path in sample), default=0.0)

    def scan(self, source: Path, files: Sequence[Path] | None = None) -> Scan:
        """What of ``source`` this reader can read; ``files`` limits it to those."""
        root = source if source.is_dir() else source.parent
        scan = Scan(root)
        chosen = files if files is not None else [p for p in files_under(source) if self.recognise(p) > 0]
        for path in chosen:
            try:
                self.look(path, relative(path, root), scan)
            except ReadError as error:
                scan.aside.append(Aside(relative(path, root), error.reason, error.fix))
        self.finish(scan)
        return scan

    def finish(self, scan: Scan) -> None:
        """Last word on a scan, once every file was looked at."""


def relative(path: Path, root: Path) -> str:
    """``path`` below ``root`` with forward slashes; its name alone where it lies elsewhere."""
    whole, above = str(path), os.path.join(str(root), "")
    return whole[len(above) :].replace(os.sep, "/") if whole.startswith(above) else path.name


def files_under(source: Path) -> list[Path]:
    """Files of a folder and its sub-folders in natural order, links followed once, hidden ones left out."""
    if source.is_file():
        return [source]
    found: list[Path] = []
    seen: set[str] = set()
    for folder, inner, names in os.walk(source, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner[:] = []
            continue
        seen.add(real)
        if "survey.toml" in names:  # a survey made earlier is no source
            inner[:] = []
            continue
        inner[:] = sorted(d for d in inner if not d.startswith((".", "__")))
        found += [Path(folder, name) for name in names if not name.startswith(".")]
    return sorted(found, key=lambda path: natural(relative(path, source)))


def natural(text: str) -> list[tuple[int, int, str]]:
    """Sort key that puts ``a2`` before ``a10``."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"(\d+)", text)]


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
    except (OSError, EOFError):
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


def native(array: Any) -> np.ndarray:
    """The array in the machine's byte order."""
    out = np.asarray(array)
    return out if out.dtype.isnative else out.astype(out.dtype.newbyteorder("="))


def plain(value: Any) -> Any:
    """A Python scalar: bytes to str without padding, masked and blank to None, numpy scalars to their Python type."""
    if value is None or value is np.ma.masked:
        return None
    if isinstance(value, (bytes, np.bytes_)):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str):
        return str(value).strip("\x00 ") or None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and value != value:
        return None
    return value


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


def stem(path: str | Path) -> str:
    """File name without ``.gz``-like and one further ending: ``spec-1.fits.gz`` → ``spec-1``."""
    name = re.sub(r"\.(gz|fz|bz2)$", "", Path(path).name, flags=re.IGNORECASE)
    return re.sub(
        r"\.(png|jpe?g|fits?|fts|pi|pha|evt|csv|parquet|hdf5|h5|npy|npz|safetensors)$", "", name, flags=re.IGNORECASE
    )
