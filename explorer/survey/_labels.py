"""Tables that lie beside images and spectra: which of their columns names the files, and what they say of each.

No column name is required: the column whose cells match the most file names (with or without folder and ending)
is the link. A second column that matches other files pairs them: an image and a spectrum become one row.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from explorer.survey._reading import relative, stem
from explorer.survey._tables import ID_NAMES, id_column, load_table

_FILE_NAMES = ("file", "filename", "file_name", "path", "filepath", "image", "image_file", "spectrum", "spec_file")


@dataclass
class Labels:
    """One table and how it is joined.

    ``links`` columns that name files, best first; ``by_file`` (file, row in the file or None) → row of the table;
    ``by_id`` name of an object or a row → row of the table, where no column names files.
    """

    path: Path
    table: pa.Table
    links: list[str]
    notes: list[str]
    by_file: dict[tuple[Path, int | None], int] = field(default_factory=dict)
    by_id: dict[str, int] = field(default_factory=dict)
    groups: list[tuple[Path, ...]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    used: set[int] = field(default_factory=set)

    @cached_property
    def columns(self) -> dict[str, pa.DataType]:
        """Columns that label a row; the link itself is left out where it repeats a file's name."""
        drop = {name for name in self.links if name.lower() in _FILE_NAMES}
        drop |= {name for name in self.table.column_names if name in ("id", "object_id")}
        return {n: t for n, t in zip(self.table.schema.names, self.table.schema.types, strict=True) if n not in drop}

    def row_of(self, path: Path, row: int | None, names: Sequence[str]) -> int | None:
        """The table's row for record ``row`` of a file, or for one of the ``names`` of its object."""
        found = self.by_file.get((path, row))
        if found is None and not self.by_file:
            found = next((self.by_id[name] for name in names if name in self.by_id), None)
        if found is not None:
            self.used.add(found)
        return found

    def values(self, row: int) -> dict[str, Any]:
        """What the table says in that row: the cells that are not empty."""
        return {name: self._cells[name][row] for name in self.columns if self._given[name][row]}

    def ids(self, row: int) -> tuple[str | None, str | None]:
        """``(id, object_id)`` as the table names the row, each None where it does not."""
        lower = {name.lower(): name for name in self.table.column_names}

        def cell(*names: str) -> str | None:
            found = next((lower[k] for k in names if k in lower), None)
            return str(self._cells[found][row]) if found is not None and self._given[found][row] else None

        own, other = cell("id", "id_str"), cell("object_id", "objid", "targetid", "source_id")
        named = id_column(self.table)
        if len(self.links) > 1 and own is None and named is not None:
            own = cell(named.lower())
            other = own if other is None else other
        return own, other

    @cached_property
    def _cells(self) -> dict[str, Any]:
        """Column → its cells as an array (float64, int64, bool) or, of text, a list."""
        out: dict[str, Any] = {}
        for name, column in zip(self.table.column_names, self.table.columns, strict=True):
            if pa.types.is_string(column.type):
                out[name] = column.to_pylist()
            else:
                out[name] = column.fill_null(False if pa.types.is_boolean(column.type) else 0).to_numpy()
        return out

    @cached_property
    def _given(self) -> dict[str, Any]:
        return {n: c.is_valid().to_numpy() for n, c in zip(self.table.column_names, self.table.columns, strict=True)}


def read_labels(path: Path, files: Sequence[Path]) -> Labels | None:
    """The table at ``path`` joined to those of ``files`` that lie below its folder; None where it names nothing."""
    table, notes = load_table(path)
    labels = Labels(path, table, [], notes)
    known = _names_of(path.parent, files)
    cells = {
        name: [_as_known(v, known) for v in column.cast(pa.string()).to_pylist()]
        for name, column in zip(table.schema.names, table.columns, strict=True)
        if pa.types.is_string(column.type) or pa.types.is_integer(column.type)
    }
    hits = {name: {known[v] for v in values if v in known} for name, values in cells.items()}
    below = len(set(known.values()))
    order = sorted(hits, key=lambda name: (len(hits[name]), name.lower() in _FILE_NAMES), reverse=True)
    for name in order:
        given = sum(v is not None for v in cells[name])
        share = max(len(hits[name]) / max(1, min(given, below)), len(hits[name]) / max(1, below))
        enough = share >= 0.3 or (hits[name] and name.lower() in _FILE_NAMES)
        if enough and not any(hits[name] & hits[other] for other in labels.links):
            labels.links.append(name)
    if not labels.links:
        return _by_id(labels)
    rows = cells.get(next((n for n in cells if n.lower() in ("row", "hdu_row", "index_in_file")), ""))
    twice = 0
    for k in range(table.num_rows):
        told = "" if rows is None else rows[k] or ""
        at = int(told) if told.isdecimal() else None
        group = [known[v] for v in (cells[name][k] for name in labels.links) if v in known]
        for file in group:
            twice += labels.by_file.setdefault((file, at), k) != k
        if len(group) > 1:
            labels.groups.append(tuple(group))
        labels.unknown += [v for v in (cells[name][k] for name in labels.links) if v is not None and v not in known]
    if twice:
        labels.notes.append(f"{twice} of its lines name a file that an earlier line named; the earlier line was used")
    return labels


def _as_known(cell: str | None, known: Mapping[str, Path]) -> str | None:
    """A cell as the files are named here: a path of another machine (``C:\\data\\a.png``) names its last part."""
    if cell is None or cell in known or not ("\\" in cell or "/" in cell):
        return cell
    parts = cell.replace("\\", "/").split("/")
    return next((name for k in range(len(parts)) if (name := "/".join(parts[k:])) in known), cell)


def _by_id(labels: Labels) -> Labels | None:
    """Join by the object's name where the table has a column for it."""
    table = labels.table
    named = id_column(table)
    if named is None or named.lower() in ("name",):
        return None
    for k, value in enumerate(table[named].cast(pa.string()).to_pylist()):
        if value is not None:
            labels.by_id.setdefault(value, k)
    return labels if labels.by_id else None


def _names_of(base: Path, files: Sequence[Path]) -> dict[str, Path]:
    """Every way in which a table in ``base`` may name one of the files; a name of two files names neither.

    A table with no file below its folder may name files that lie elsewhere in the source.
    """
    names: dict[str, Path] = {}
    twice: set[str] = set()
    above = os.path.join(str(base), "")
    below = [path for path in files if str(path).startswith(above)]
    for path in below or files:
        inside = relative(path, base)
        for name in {inside, f"./{inside}", path.name, stem(path)}:
            if names.setdefault(name, path) != path:
                twice.add(name)
    return {name: path for name, path in names.items() if name not in twice}


__all__ = ["ID_NAMES", "Labels", "read_labels"]
