"""What every reader shares: items, scans, folders, and values free of astropy and numpy.

A reader looks at a source (:meth:`FileReader.sniff`), says what is there (:meth:`FileReader.scan`: items, columns,
modalities, files set aside) and reads one item at a time (:meth:`FileReader.read`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from explorer.survey.records import ReadError, Record
from explorer.survey.schema import storable

__all__ = ["Aside", "FileReader", "Item", "ReadError", "Scan", "aside", "files_under", "plain"]


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


def aside(file: str, error: Exception) -> Aside:
    """Why a file is set aside, from whatever was raised; readers stand on libraries that raise anything."""
    if isinstance(error, ReadError):
        return Aside(file, error.reason, error.fix)
    if isinstance(error, PermissionError):
        return Aside(file, "it may not be read: permission denied", "Give yourself the right to read it.")
    if isinstance(error, ValueError) and re.search("cannot reshape array|buffer is smaller", str(error)):
        return Aside(file, f"it is shorter than its header says ({error})", "Fetch it again.")
    return Aside(file, f"{type(error).__name__}: {error}", "Fetch it again; if it is sound, its layout is new.")


@dataclass
class Scan:
    """What a reader found.

    ``columns`` name → Arrow type of the catalogue values; ``modalities`` name → metadata (``bands``, ``unit``, …);
    ``companions`` files that were used beside others (responses, backgrounds, redshifts); ``spaces`` name →
    file of embeddings that are to be joined once the rows exist; ``column_units`` column → its unit; ``memo``
    what the reader keeps for itself.
    """

    root: Path
    items: list[Item] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    modalities: dict[str, dict[str, Any]] = field(default_factory=dict)
    aside: list[Aside] = field(default_factory=list)
    companions: set[Path] = field(default_factory=set)
    spaces: dict[str, Path] = field(default_factory=dict)
    column_units: dict[str, str] = field(default_factory=dict)
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
            except Exception as error:  # one broken file must not stop the others
                scan.aside.append(aside(relative(path, root), error))
        self.finish(scan)
        return scan

    def finish(self, scan: Scan) -> None:
        """Last word on a scan, once every file was looked at."""


def relative(path: Path, root: Path) -> str:
    """``path`` below ``root`` with forward slashes; its name alone where it lies elsewhere."""
    whole, above = str(path), os.path.join(str(root), "")
    return storable(whole[len(above) :].replace(os.sep, "/") if whole.startswith(above) else path.name)


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


def stem(path: str | Path) -> str:
    """File name without ``.gz``-like and one further ending: ``spec-1.fits.gz`` → ``spec-1``."""
    name = re.sub(r"\.(gz|fz|bz2)$", "", Path(path).name, flags=re.IGNORECASE)
    return re.sub(
        r"\.(png|jpe?g|fits?|fts|pi|pha|evt|csv|parquet|hdf5|h5|npy|npz|safetensors)$", "", name, flags=re.IGNORECASE
    )
