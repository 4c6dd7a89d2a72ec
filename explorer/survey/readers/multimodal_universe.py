"""The HDF5 files of the Multimodal Universe: images and spectra of one HEALPix cell as datasets of equal length.

Names as in https://github.com/MultimodalUniverse/MultimodalUniverse : ``spectrum_flux``, ``spectrum_ivar``,
``spectrum_lambda`` (or its two ends), ``spectrum_mask``; ``image_array`` (n, bands, h, w), ``image_band``,
``image_scale``; ``object_id``; the rest is the catalogue. A boolean ``ZWARN``, as DESI's files there carry, is
True where the redshift is good (traps D1): ``zwarning`` of the survey is 0 there and 1 elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey._reading import Aside, FileReader, Item, Scan, native, plain, stem
from explorer.survey._spectra import FLUX_UNIT, RENAMED, WARNING, make_spectrum, zwarning
from explorer.survey._tables import ID_NAMES
from explorer.survey.readers.table import widen
from explorer.survey.records import Image, ReadError, Record

_CHUNK = 256
_OWN = ("spectrum_", "image_", "object_mask", "catalog", "bit_mask", "lambda", "wavelength")
_FLUX, _IMAGE = ("spectrum_flux", "flux"), ("image_array", "image")


class MultimodalUniverse(FileReader):
    """One object a row; ``object_id`` as in the file."""

    name = "multimodal-universe"
    modalities = ("image", "spectrum")

    def recognise(self, path: Path) -> float:
        if path.suffix.lower() not in (".hdf5", ".h5", ".hdf"):
            return 0.0
        try:
            with _open(path) as file:
                return 0.9 if "object_id" in file and (_has(file, _FLUX) or _has(file, _IMAGE)) else 0.0
        except ReadError:
            return 0.1  # claimed, so that the report says why

    def look(self, path: Path, source: str, scan: Scan) -> None:
        with _open(path) as file:
            rows = len(file["object_id"])
            for name, dataset in _catalogue(file).items():
                ours = RENAMED.get(name, name)
                scan.columns[ours] = widen(scan.columns.get(ours), _kind(name, dataset))
            if (flux := _has(file, _FLUX)) and file[flux].ndim == 2:
                scan.modalities["spectrum"] = {"flux_unit": FLUX_UNIT, "wavelength": "vacuum Angstrom"}
            if (name := _has(file, _IMAGE)) and rows:
                planes = file[name].shape[1] if file[name].ndim == 4 else 1
                bands = [plain(b) for b in file["image_band"][0]] if "image_band" in file else None
                meta: dict[str, Any] = {"bands": bands or [f"band{k}" for k in range(planes)]}
                if "image_scale" in file:
                    meta["pixel_scale"] = float(np.ravel(file["image_scale"][0])[0])
                scan.modalities["image"] = meta
        for start in range(0, rows, _CHUNK):
            scan.items.append(Item(source, path, range(start, min(start + _CHUNK, rows))))

    def read(self, item: Item, scan: Scan) -> Iterator[Record | Aside]:
        rows = item.rows if item.rows is not None else range(0)
        with _open(item.path) as file:
            chosen = slice(rows.start, rows.stop)
            ids = [str(plain(v)) for v in file["object_id"][chosen]]
            table = {name: dataset[chosen] for name, dataset in _catalogue(file).items()}
            images = file[_has(file, _IMAGE)][chosen] if _has(file, _IMAGE) else None
            parts = {k: file[k][chosen] for k in file if k.startswith("spectrum_") or k in ("flux", "ivar", "lambda")}
        for k, row in enumerate(rows):
            source = f"{item.source}#{row}"
            name = ids[k] or f"{stem(item.path)}-{row}"
            values = {RENAMED.get(n, n): _cell(n, column[k]) for n, column in table.items()}
            try:
                spectrum = _spectrum(source, {n: a[k] for n, a in parts.items()})
                image = None if images is None else _image(source, images[k])
            except ReadError as error:
                yield Aside(source, error.reason, error.fix)
                continue
            yield Record(name, name, values, image=image, spectrum=spectrum, source=source)


def _open(path: Path) -> Any:
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise ReadError(path, f"h5py cannot open it ({error})", "Fetch it again.") from error


def _has(file: Any, names: tuple[str, ...]) -> str:
    return next((name for name in names if name in file and hasattr(file[name], "shape")), "")


def _catalogue(file: Any) -> dict[str, Any]:
    """Datasets that hold one plain cell for each object."""
    n = len(file["object_id"])
    out = {}
    for name, dataset in file.items():
        if name == "object_id" or name.startswith(_OWN) or not hasattr(dataset, "shape"):
            continue
        if dataset.shape == (n,) and dataset.dtype.kind in "biufSO":
            out[name] = dataset
    return out


def _kind(name: str, dataset: Any) -> pa.DataType:
    if dataset.dtype.kind in "SO" or name.lower() in ID_NAMES:
        return pa.string()
    if name in WARNING:
        return pa.int64()
    return {"b": pa.bool_(), "f": pa.float64()}.get(dataset.dtype.kind, pa.int64())


def _cell(name: str, value: Any) -> Any:
    cell = zwarning(name, plain(value))
    return str(cell) if cell is not None and name.lower() in ID_NAMES else cell


def _spectrum(source: str, parts: dict[str, Any]) -> Any:
    """The spectrum without its padding: repeated, zero or negative wavelengths at the end are dropped."""
    flux = parts.get("spectrum_flux", parts.get("flux"))
    if flux is None:
        return None
    flux = native(flux).ravel()
    wave = parts.get("spectrum_lambda", parts.get("lambda"))
    if wave is None and "spectrum_lambda_min" in parts:
        wave = np.linspace(float(parts["spectrum_lambda_min"]), float(parts["spectrum_lambda_max"]), len(flux))
    if wave is None:
        raise ReadError(source, "the file has fluxes but no wavelengths", "Look for spectrum_lambda in its source.")
    wave = native(wave).astype(np.float64).ravel()
    ivar, mask = parts.get("spectrum_ivar", parts.get("ivar")), parts.get("spectrum_mask")
    rising = np.r_[True, np.diff(wave) > 0] & np.isfinite(wave) & (wave > 0) & (wave < 99_999)
    end = len(wave) if rising.all() or (wave[-1] < wave[0] < 99_999 and (wave > 0).all()) else int(np.argmin(rising))
    cut = slice(0, end)
    return make_spectrum(
        source,
        wave[cut],
        flux[cut],
        None if ivar is None else np.ravel(ivar)[cut],
        None if mask is None else np.ravel(mask)[cut],
    )


def _image(source: str, pixels: Any) -> Image:
    planes = native(pixels)
    planes = planes[None] if planes.ndim == 2 else planes
    if planes.dtype != np.uint8:
        planes = planes.astype(np.float32)
        if not np.isfinite(planes).any():
            raise ReadError(source, "no pixel of the image is finite", "Leave it out.")
    return Image(np.ascontiguousarray(planes))
