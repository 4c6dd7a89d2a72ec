"""Tables of any format as Arrow tables of plain types: whole numbers that no float holds are text."""

from __future__ import annotations

import codecs
import csv as csv_module
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from explorer.survey._fits import outline
from explorer.survey._reading import ReadError, native

TEXT = (".csv", ".tsv", ".ecsv", ".cat", ".dat")
SUFFIXES = (*TEXT, ".fits", ".fit", ".fts", ".vot", ".votable", ".xml", ".parquet", ".pq")
ID_NAMES = (
    "id", "id_str", "object_id", "objectid", "objid", "dr7objid", "dr8objid", "bestobjid", "specobjid", "targetid",
    "source_id", "sourceid", "iauname", "name", "sdss_name", "2cxo", "designation",
)  # fmt: skip
_EXACT = 2**53
_PLACE = r"(?:(?:target|plug|mean|photra)_)?{0}(?:j2000|_?icrs|_?deg|_j2000| \[?deg\]?)?"
_RA = re.compile("_?" + _PLACE.format("ra") + "|alpha_?j2000|right_ascension", re.IGNORECASE)
_DEC = re.compile("_?" + _PLACE.format("(?:dec|de)") + "|delta_?j2000|declination", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
_ZERO_LED = r"^[-+]?0[0-9]"


def suffix_of(path: Path) -> str:
    """The file's ending without compression: ``.fits`` of ``a.fits.gz``."""
    return Path(re.sub(r"\.(gz|bz2)$", "", path.name, flags=re.IGNORECASE)).suffix.lower()


def load_table(path: Path) -> tuple[pa.Table, list[str]]:
    """``(table, notes)`` of a CSV, TSV, ECSV, FITS, VOTable or Parquet file.

    Columns are bool, int64, float64 or string; cells that are empty, masked or NaN are null. Columns of vectors
    are left out, columns that mix numbers and text become text: the notes say so. A position in degrees is
    called ``ra`` and ``dec``, whatever its case or epoch (``RAJ2000``, ``RA [deg]``, ``TARGET_RA``).
    """
    table, notes = _load(path)
    return table.rename_columns(_with_place(table.schema)), notes


def units_of(table: pa.Table) -> dict[str, str]:
    """Column → its unit, where the file gave one (FITS, VOTable, ECSV)."""
    found = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in table.schema}
    return {name: unit for name, unit in found.items() if unit}


def _with_place(schema: pa.Schema) -> list[str]:
    """Column names with the position's called ``ra`` and ``dec``."""
    names = list(schema.names)
    for ours, pattern in (("ra", _RA), ("dec", _DEC)):
        if ours in names:
            continue
        fit = [k for k, f in enumerate(schema) if f.type == pa.float64() and pattern.fullmatch(f.name)]
        if fit:
            names[fit[0]] = ours
    return names


def _load(path: Path) -> tuple[pa.Table, list[str]]:
    suffix = suffix_of(path)
    try:
        if suffix in (".csv", ".tsv"):
            return _from_text(path)
        if suffix in (".parquet", ".pq"):
            import pyarrow.parquet as pq

            return _tidy(pq.read_table(path))
        if suffix in (".ecsv", ".cat", ".dat"):
            return _from_astropy(path, _ascii(path))
        return _from_astropy(path, _binary(path))
    except ReadError:
        raise
    except Exception as error:  # each library raises its own kinds
        raise ReadError(
            path, f"the table cannot be read ({type(error).__name__}: {error})", "Write it again."
        ) from error


def _from_text(path: Path) -> tuple[pa.Table, list[str]]:
    """Read all cells as text, then give each column the narrowest type that holds every cell of it.

    The separator is the comma, tabulator, semicolon or bar that the header holds most of; lines before the header
    that begin with ``#`` are comments, but for a last one that names the columns; a line with another number of
    cells than the header is left out and noted.
    """
    from pyarrow import csv

    data = path.read_bytes() if path.suffix.lower() != ".gz" else pa.input_stream(str(path), compression="gzip").read()
    try:
        text = data.decode("utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.removeprefix(codecs.BOM_UTF8).decode("latin-1")
    names, delimiter, body = _header(text)
    if not names:
        raise ReadError(path, "the table is empty", "Write it again, or remove it.")
    odd: list[str] = []

    def skip(row: Any) -> str:
        odd.append(row.text)
        return "skip"

    own = [f"c{k}" for k in range(len(names))]
    read = csv.ReadOptions(column_names=own, use_threads=False)
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=skip)
    options = csv.ConvertOptions(column_types=dict.fromkeys(own, pa.string()), strings_can_be_null=False)
    if body.strip():
        table = csv.read_csv(pa.BufferReader(body.encode()), read, parse, options)
    else:
        table = pa.table({name: pa.array([], pa.string()) for name in own})
    notes = [f"{len(odd)} lines have not {len(names)} cells and were left out, first {odd[0]!r}"] if odd else []
    columns = []
    for name, column in zip(names, table.columns, strict=True):
        typed, note = typed_text(pc.utf8_trim_whitespace(_whole(column)), name)
        columns.append(typed)
        notes += [note] if note else []
    return pa.table(columns, names=_distinct(names)), notes


def _header(text: str) -> tuple[list[str], str, str]:
    """``(column names, separator, the lines below)`` of a table as text."""
    comment, rest = "", text
    while rest.startswith("#"):
        comment, _, rest = rest.partition("\n")
    first, _, below = rest.partition("\n")
    separator = max(",\t;|", key=first.count)
    cells = next(csv_module.reader([first], delimiter=separator), []) if first.strip() else []
    told = comment.lstrip("# ").rstrip("\r").split(separator)
    if comment and len(told) == len(cells) and all(_NUMBER.fullmatch(c.strip()) for c in cells[:1]):
        return [name.strip() for name in told], separator, rest
    return [name.strip() or f"column{k + 1}" for k, name in enumerate(cells)], separator, below


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def typed_text(text: Any, name: str) -> tuple[Any, str]:
    """A column of text as bool, int64 or float64 where every cell allows it, else text; and a note on mixtures."""
    blank = pc.is_in(pc.utf8_lower(text), value_set=pa.array(["", "nan", "null", "none", "n/a", "na", "--"]))
    text = pc.if_else(blank, pa.scalar(None, pa.string()), text)
    given = pc.drop_null(text)
    if len(given) == 0:
        return pa.array([None] * len(text), pa.string()), ""
    lower = pc.utf8_lower(given)
    if pc.all(pc.is_in(lower, value_set=pa.array(["true", "false"]))).as_py():
        return pc.equal(pc.utf8_lower(text), "true"), ""
    if name.lower() in ID_NAMES or pc.any(pc.match_substring_regex(given, _ZERO_LED + r"[0-9]*$")).as_py():
        return text, ""
    for kind in (pa.int64(), pa.float64()):
        try:
            numbers = pc.cast(text, kind)
        except pa.ArrowInvalid:
            continue
        if kind == pa.int64() and pc.max(pc.abs(numbers)).as_py() > _EXACT:
            return text, ""
        if kind == pa.float64() and pc.any(pc.match_substring_regex(given, r"^[-+]?[0-9]{16,}$")).as_py():
            return text, ""
        return numbers, ""
    numeric = pc.match_substring_regex(given, f"^{_NUMBER.pattern}$")
    share = pc.mean(pc.cast(numeric, pa.float64())).as_py()
    whole = pc.all(pc.match_substring_regex(given, r"^[-+]?[0-9]+$")).as_py()
    if 0.5 <= share < 1 and not whole:
        odd = given.filter(pc.invert(numeric))
        return (
            text,
            f"column {name!r} mixes numbers and text ({len(odd)} of {len(given)} are text, first {odd[0].as_py()!r})",
        )
    return text, ""


def _distinct(names: list[str]) -> list[str]:
    seen: dict[str, int] = {}
    out = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        out.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return out


def _ascii(path: Path) -> Any:
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.suffix == ".ecsv":
            return Table.read(path, format="ascii.ecsv")
        return Table.read(path, format="ascii")


def _binary(path: Path) -> Any:
    from astropy.table import Table

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if (found := outline(path)) is not None:
            if found.problem:
                raise ReadError(path, f"the FITS file is damaged: {found.problem}", "Fetch it again.")
            at = next((k for k, h in enumerate(found.hdus) if h.is_table), None)
            if at is None:
                raise ReadError(path, "the FITS file holds no table", "Name the table's file.")
            return Table.read(path, hdu=at, format="fits", unit_parse_strict="silent")
        return Table.read(path, format="votable", use_names_over_ids=True)


def _from_astropy(path: Path, table: Any) -> tuple[pa.Table, list[str]]:
    columns: dict[str, Any] = {}
    units: dict[str, str] = {}
    notes = []
    for name in table.colnames:
        column = table[name]
        if getattr(column, "ndim", 1) > 1:
            notes.append(f"column {name!r} holds vectors of {column.shape[1:]} and was left out")
            continue
        array = _column(column, name)
        if isinstance(array, tuple):
            array, note = array
            notes += [note] if note else []
        columns[str(name)] = array
        units[str(name)] = str(getattr(column, "unit", None) or "")
    fields = [pa.field(n, a.type, metadata={"unit": units[n]} if units[n] else None) for n, a in columns.items()]
    return pa.table(list(columns.values()), schema=pa.schema(fields)), notes


def _column(column: Any, name: str) -> Any:
    mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
    values = native(np.ma.getdata(column) if mask is not None else getattr(column, "value", column))
    if values.dtype.kind in "SUO":
        text = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.tolist()]
        out = [
            None if (mask is not None and hidden) else t.strip()
            for t, hidden in zip(text, _or_false(mask, text), strict=True)
        ]
        if values.dtype.kind == "O":
            return typed_text(pa.array(out, pa.string()), name)
        return pa.array([t or None for t in out], pa.string())
    if values.dtype.kind == "c":
        return pa.array([str(v) for v in values.tolist()], pa.string(), mask=mask)
    return tidy_array(pa.array(values, mask=mask), name)


def _or_false(mask: np.ndarray | None, like: list[str]) -> list[bool]:
    return [False] * len(like) if mask is None else mask.tolist()


def _tidy(table: pa.Table) -> tuple[pa.Table, list[str]]:
    """Scalar columns of an Arrow table in the types of :func:`load_table`."""
    columns, notes = {}, []
    for name, column in zip(_distinct(table.schema.names), table.columns, strict=True):
        kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
        if pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            notes.append(f"column {name!r} holds {column.type} and was left out")
            continue
        columns[name] = tidy_array(column.cast(kind).combine_chunks(), name)
    return pa.table(columns), notes


def tidy_array(array: Any, name: str) -> Any:
    """An Arrow array as bool, int64, float64 or string; NaN becomes null, an identifier of whole numbers text."""
    kind = array.type
    if pa.types.is_boolean(kind):
        return array
    if pa.types.is_integer(kind):
        large = len(array) and max(abs(pc.max(array).as_py() or 0), abs(pc.min(array).as_py() or 0)) > _EXACT
        return array.cast(pa.string() if large or name.lower() in ID_NAMES else pa.int64())
    if pa.types.is_floating(kind):
        numbers = array.cast(pa.float64())
        return pc.if_else(pc.is_nan(numbers), pa.scalar(None, pa.float64()), numbers)
    if pa.types.is_decimal(kind):
        return array.cast(pa.float64())
    return array.cast(pa.string())


def id_column(table: pa.Table) -> str | None:
    """The column that names the rows: the first of :data:`ID_NAMES` that the table has, whatever its case."""
    lower = {name.lower(): name for name in reversed(table.column_names)}
    return next((lower[name] for name in ID_NAMES if name in lower), None)
