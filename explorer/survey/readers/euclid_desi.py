"""Parquet with images and spectra as columns: the Euclid-DESI dataset of the benchmark paper, and its like.

Columns of https://huggingface.co/datasets/msiudek/astroPT_euclid_Q1_desi_dr1_dataset : ``object_id``,
``targetid``, ``redshift``, ``RGB_image``, ``VIS_image``, ``NISP_Y_image``, ``NISP_J_image``, ``NISP_H_image``,
``spectrum`` {``flux``, ``wavelength``, ``error``}, ``sed_data`` {``flux_*``}. There is no ivar and no mask; an
error may be 0, any band, spectrum or SED may be None, ``object_id`` may be absent (traps D2).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey._reading import Aside, FileReader, Item, Scan, plain, stem
from explorer.survey._spectra import FLUX_UNIT, RENAMED, WARNING, ivar_of, make_spectrum, zwarning
from explorer.survey._tables import tidy_array
from explorer.survey.readers.table import widen
from explorer.survey.records import Image, ReadError, Record

BANDS = {"VIS": "VIS_image", "NISP_Y": "NISP_Y_image", "NISP_J": "NISP_J_image", "NISP_H": "NISP_H_image"}
_IMAGES = ("RGB_image", "image", *BANDS.values())
_AXIS, _CHUNK = ("wavelength", "lambda", "wave"), 256


class EuclidDesi(FileReader):
    """One row of the Parquet file, one row of the survey: four bands (or the RGB picture) and the spectrum."""

    name = "euclid-desi"
    modalities = ("image", "spectrum")

    def recognise(self, path: Path) -> float:
        if path.suffix.lower() not in (".parquet", ".pq"):
            return 0.0
        schema = _schema(path, path.stat().st_mtime_ns)
        if schema is None:
            return 0.0
        found = _bands_in(schema) or _spectrum_in(schema) or _picture_in(schema) or _planes_in(schema)
        return 0.95 if found else 0.0

    def look(self, path: Path, source: str, scan: Scan) -> None:
        import pyarrow.parquet as pq

        schema = pq.read_schema(path)
        for name, kind in _scalars(schema).items():
            scan.columns[name] = widen(scan.columns.get(name), kind)
        if bands := _bands_in(schema):
            scan.modalities["image"] = {"bands": list(bands), "pixel_scale": 0.1, "unit": "ADU"}
        elif planes := _planes_in(schema):
            scan.modalities["image"] = _planes_meta(path, planes)
        elif _picture_in(schema):
            scan.modalities["image"] = {"bands": ["red", "green", "blue"], "unit": "display"}
        if _spectrum_in(schema):
            scan.modalities["spectrum"] = {"flux_unit": FLUX_UNIT, "wavelength": "vacuum Angstrom"}
        rows = pq.ParquetFile(path).metadata.num_rows
        for start in range(0, rows, _CHUNK):
            scan.items.append(Item(source, path, range(start, min(start + _CHUNK, rows))))

    def read(self, item: Item, scan: Scan) -> Iterator[Record | Aside]:
        rows = item.rows if item.rows is not None else range(0)
        schema = _schema(item.path, item.path.stat().st_mtime_ns)
        if schema is None:
            raise ReadError(item.source, "pyarrow cannot read its schema", "Fetch it again.")
        scalars = _scalars(schema)
        for row, cells in zip(rows, _cells(item.path, rows), strict=False):
            source = f"{item.source}#{row}"
            values = _values(cells, scalars)
            name = _name(cells)
            name = name or f"{stem(item.path)}-{row}"
            try:
                image, spectrum = _image(source, cells), _spectrum(source, cells)
            except ReadError as error:
                yield Aside(source, error.reason, error.fix)
                continue
            if image is None and spectrum is None:
                yield Aside(source, f"{name} has neither an image nor a spectrum", "Nothing to do: both are empty.")
                continue
            yield Record(name, name, values, image=image, spectrum=spectrum, source=source)


@lru_cache(maxsize=1024)
def _schema(path: Path, mtime: int) -> pa.Schema | None:
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(path)
    except (pa.ArrowInvalid, OSError):
        return None


def _cells(path: Path, rows: range) -> Iterator[dict[str, Any]]:
    """The wanted rows, reading only the row groups that hold them."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        start = 0
        for group in range(file.metadata.num_row_groups):
            n = file.metadata.row_group(group).num_rows
            if start < rows.stop and start + n > rows.start:
                lo, hi = max(rows.start - start, 0), min(rows.stop - start, n)
                table = file.read_row_group(group).slice(lo, hi - lo)
                names = table.schema.names
                for k in range(table.num_rows):
                    yield {name: table.column(name)[k] for name in names}
            start += n


def _bands_in(schema: pa.Schema) -> list[str]:
    return [band for band, column in BANDS.items() if column in schema.names]


def _picture_in(schema: pa.Schema) -> str:
    """An image column of encoded pictures: a struct with ``bytes``, or plain binary."""
    for name in _IMAGES:
        if name in schema.names and name not in BANDS.values():
            kind = schema.field(name).type
            if pa.types.is_binary(kind) or (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
                return name
    return ""


def _planes_in(schema: pa.Schema) -> str:
    """Name of the pixels inside an ``image`` column of the Multimodal Universe: bands as lists in a struct."""
    kind = schema.field("image").type if "image" in schema.names else pa.null()
    if not pa.types.is_struct(kind) or kind.get_field_index("band") < 0:
        return ""
    return next((name for name in ("flux", "array") if kind.get_field_index(name) >= 0), "")


def _planes_meta(path: Path, planes: str) -> dict[str, Any]:
    cells = next(_cells(path, range(1)), None)
    cell = None if cells is None else cells["image"]
    if cell is None or not cell.is_valid:
        return {"bands": []}
    told = cell.as_py()
    meta: dict[str, Any] = {"bands": [str(band) for band in told["band"]]}
    if told.get("scale"):
        meta["pixel_scale"] = float(np.ravel(told["scale"])[0])
    return meta


def _spectrum_in(schema: pa.Schema) -> bool:
    if "spectrum" not in schema.names or not pa.types.is_struct(schema.field("spectrum").type):
        return False
    fields = {schema.field("spectrum").type.field(k).name for k in range(schema.field("spectrum").type.num_fields)}
    return "flux" in fields and bool(fields & set(_AXIS))


def _scalars(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Catalogue columns: scalar ones, and the numbers inside ``sed_data``; identifiers are text."""
    out: dict[str, pa.DataType] = {}
    for field in schema:
        kind = field.type
        if pa.types.is_struct(kind) and field.name == "sed_data":
            for k in range(kind.num_fields):
                if pa.types.is_floating(kind.field(k).type) or pa.types.is_integer(kind.field(k).type):
                    out[kind.field(k).name] = pa.float64()
        elif pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            continue
        elif field.name in ("targetid", "object_id", "id"):
            out[field.name] = pa.string()
        else:
            out[field.name] = tidy_array(pa.array([], kind), field.name).type
    out.pop("object_id", None)
    out.pop("id", None)
    return {RENAMED.get(name, name): pa.int64() if name in WARNING else kind for name, kind in out.items()}


def _values(cells: dict[str, Any], scalars: dict[str, pa.DataType]) -> dict[str, Any]:
    flat = dict(cells)
    sed = flat.pop("sed_data", None)
    if sed is not None and sed.is_valid:
        flat |= dict(sed.items())
    out: dict[str, Any] = {}
    for theirs, cell in flat.items():
        name = RENAMED.get(theirs, theirs)
        if name in scalars:
            value = zwarning(theirs, plain(cell.as_py()))
            out[name] = str(value) if value is not None and scalars[name] == pa.string() else value
    return out


def _plane(source: str, cell: Any, column: str) -> np.ndarray | None:
    """(height, width) float32 of a nested list or of an encoded picture."""
    if cell is None or not cell.is_valid:
        return None
    if isinstance(cell, pa.StructScalar):
        return _decode(source, cell["bytes"].as_py(), column)
    if isinstance(cell, (pa.BinaryScalar, pa.LargeBinaryScalar)):
        return _decode(source, cell.as_py(), column)
    values = cell.values if hasattr(cell, "values") else None
    if values is None or len(values) == 0:
        return None
    flat = values.flatten() if pa.types.is_nested(values.type) else values
    if len(flat) % len(values):
        raise ReadError(source, f"the rows of {column} differ in length", "Write the image again.")
    plane = np.asarray(flat.to_numpy(zero_copy_only=False), dtype=np.float32).reshape(len(values), -1)
    return plane if plane.size else None


def _decode(source: str, data: bytes | None, column: str) -> np.ndarray | None:
    if not data:
        return None
    from explorer.survey.payload import decode_image

    try:
        return decode_image(data).pixels[0].astype(np.float32)
    except (ValueError, OSError) as error:
        raise ReadError(source, f"{column} cannot be decoded ({error})", "Write the image again.") from error


def _image(source: str, cells: dict[str, Any]) -> Image | bytes | None:
    planes = {band: _plane(source, cells.get(column), column) for band, column in BANDS.items() if column in cells}
    shapes = {plane.shape for plane in planes.values() if plane is not None}
    if len(shapes) > 1:
        raise ReadError(source, f"its bands have different shapes {sorted(shapes)}", "Resample them to one grid.")
    if shapes:
        blank = np.full(shapes.pop(), np.nan, dtype=np.float32)
        pixels = np.stack([blank if plane is None else plane for plane in planes.values()])
        if np.isfinite(pixels).any():
            return Image(pixels)
    for name in ("RGB_image", "image"):
        cell = cells.get(name)
        if cell is not None and cell.is_valid:
            if isinstance(cell, pa.StructScalar) and "band" in cell:
                return _of_planes(source, cell)
            data = cell["bytes"].as_py() if isinstance(cell, pa.StructScalar) else cell.as_py()
            if isinstance(data, bytes) and data:
                return data
    return None


def _of_planes(source: str, cell: Any) -> Image | None:
    told = cell["flux"] if "flux" in cell else cell["array"]
    planes = [_plane(source, plane, "image") for plane in told]
    if not planes or any(p is None or p.shape != planes[0].shape for p in planes if planes[0] is not None):
        raise ReadError(source, "the planes of its image are missing or differ in shape", "Resample them to one grid.")
    pixels = np.stack([plane for plane in planes if plane is not None])
    return Image(pixels) if np.isfinite(pixels).any() else None


def _spectrum(source: str, cells: dict[str, Any]) -> Any:
    cell = cells.get("spectrum")
    if cell is None or not cell.is_valid or not isinstance(cell, pa.StructScalar):
        return None
    parts = {name: value.values for name, value in cell.items() if value.is_valid and hasattr(value, "values")}
    arrays = {name: np.asarray(v.to_numpy(zero_copy_only=False)) for name, v in parts.items() if v is not None}
    axis = next((name for name in _AXIS if name in arrays), None)
    if axis is None or "flux" not in arrays or len(arrays["flux"]) == 0:
        return None
    ivar = arrays.get("ivar")
    if ivar is None and "error" in arrays:
        ivar = ivar_of(arrays["error"])
    return make_spectrum(source, arrays[axis], arrays["flux"], ivar, arrays.get("mask"))


def _name(cells: dict[str, Any]) -> str | None:
    """The row's name: ``object_id``, else ``targetid``, else ``id``; None where it has none of them."""
    found = (cells[key].as_py() for key in ("object_id", "targetid", "id") if key in cells)
    return next((str(value) for value in found if value is not None), None)
