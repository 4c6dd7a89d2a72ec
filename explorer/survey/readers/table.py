"""A table alone: CSV, TSV, FITS, VOTable or Parquet; one row of the survey for each of its rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from explorer.survey._fits import outline
from explorer.survey._reading import FileReader, Item, Scan, stem
from explorer.survey._tables import SUFFIXES, id_column, load_table, suffix_of, units_of
from explorer.survey.records import Record

_CHUNK = 20_000


class TableReader(FileReader):
    """A catalogue without images or spectra. Beside images and spectra, a table labels them instead."""

    name = "table"
    modalities = ()

    def recognise(self, path: Path) -> float:
        suffix = suffix_of(path)
        if (found := outline(path)) is not None:
            return 0.3 if any(h.is_table for h in found.hdus) else 0.0
        if suffix not in SUFFIXES or suffix.startswith(".fi") or suffix == ".fts":
            return 0.0
        return 0.5 if suffix in (".csv", ".tsv", ".ecsv", ".parquet", ".pq", ".vot", ".votable") else 0.2

    def look(self, path: Path, source: str, scan: Scan) -> None:
        table, notes = load_table(path)
        scan.memo.setdefault("notes", []).extend((source, note) for note in notes)
        for name, kind in zip(table.schema.names, table.schema.types, strict=True):
            if name in ("id", "object_id"):
                continue
            scan.columns[name] = widen(scan.columns.get(name), kind)
        scan.column_units.update(units_of(table))
        for start in range(0, table.num_rows, _CHUNK):
            scan.items.append(Item(source, path, range(start, min(start + _CHUNK, table.num_rows))))
        # One table is kept; several are read again, so that memory holds one at a time.
        scan.memo["table"] = (path, table)

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        path, table = scan.memo.get("table", (None, None))
        if path != item.path:
            table, _ = load_table(item.path)
            scan.memo["table"] = (item.path, table)
        assert table is not None
        rows = item.rows if item.rows is not None else range(table.num_rows)
        named = id_column(table)
        text = {name for name in table.schema.names if scan.columns.get(name) == pa.string()}
        for row, values in zip(rows, table.slice(rows.start, len(rows)).to_pylist(), strict=True):
            told = values.get(named) if named else None
            name = str(told) if told is not None else f"{stem(item.path)}-{row}"
            object_id = values.pop("object_id", None)
            values.pop("id", None)
            for key in text & values.keys():
                values[key] = None if values[key] is None else str(values[key])
            yield Record(name, name if object_id is None else str(object_id), values, source=f"{item.source}#{row}")


def widen(a: pa.DataType | None, b: pa.DataType) -> pa.DataType:
    """The type that holds cells of both: a number where both are numbers, else text."""
    if a is None or a == b:
        return b
    numbers = {pa.int64(), pa.float64()}
    return pa.float64() if {a, b} <= numbers else pa.string()
