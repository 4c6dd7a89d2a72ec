"""Spectra of any other layout that specutils can read: one-dimensional FITS images and tables, ECSV.

The unit of the spectral axis is converted to Å; a file without units is taken as Å, vacuum.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey._fits import Hdu, Outline, open_fits, outline
from explorer.survey._reading import FileReader, Item, Scan, native, plain, stem
from explorer.survey._spectra import ivar_of, make_spectrum
from explorer.survey.records import ReadError, Record

_AXIS = ("wavelength", "wave", "lambda", "lam", "loglam", "spectral_axis")
_ANGSTROM = re.compile(r"A|AA|ang(strom)?s?", re.IGNORECASE)
_FLUX = ("flux", "flam", "flux_lambda", "fluxes")


class PlainSpectra(FileReader):
    """One spectrum a file, through specutils or, for a table with a flux and a wavelength column, astropy."""

    name = "spectra"
    modalities = ("spectrum",)

    def recognise(self, path: Path) -> float:
        found = outline(path)
        if found is None:
            return 0.0
        if _table_at(found) is not None or _stack_of(found):
            return 0.65
        first = next((h for h in found.hdus if not h.is_table and h.shape), None)
        return 0.5 if first is not None and _is_line(first) else 0.0

    def look(self, path: Path, source: str, scan: Scan) -> None:
        found = outline(path)
        stack = _stack_of(found)
        rows = found.hdus[stack["flux"]].shape[0] if found and stack else 1
        scan.items.append(Item(source, path, range(rows) if rows > 1 else None))
        scan.columns.update({"ra": pa.float64(), "dec": pa.float64(), "z": pa.float64(), "object": pa.string()})
        scan.modalities["spectrum"] = {"wavelength": "Angstrom"}

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        found = outline(item.path)
        if found is None or found.problem:
            reason = "it is no FITS file" if found is None else f"the FITS file is damaged: {found.problem}"
            raise ReadError(item.source, reason, "Fetch it again.")
        if stack := _stack_of(found):
            yield from _stacked(item, stack)
            return
        at = _table_at(found)
        wavelength, flux, ivar = _through_specutils(item) if at is None else _through_table(item, found, at)
        spectrum = make_spectrum(item.source, wavelength, flux, ivar)
        header = found.hdus[0].header
        numbers = {"ra": ("RA", "RA_TARG"), "dec": ("DEC", "DEC_TARG"), "z": ("Z", "REDSHIFT")}
        values: dict[str, Any] = {name: _number(header, keys) for name, keys in numbers.items()}
        values["object"] = plain(header.get("OBJECT"))
        yield Record(stem(item.path), "", values, spectrum=spectrum, source=item.source)


def _number(header: Any, keys: tuple[str, ...]) -> float | None:
    found = next((v for k in keys if isinstance(v := plain(header.get(k)), (int, float))), None)
    return None if found is None else float(found)


def _is_line(hdu: Hdu) -> bool:
    """An image unit that is one spectrum: one axis longer than 100, the others of length 1 to 4, linear WCS."""
    long = [n for n in hdu.shape if n > 100]
    return len(long) == 1 and all(n <= 4 for n in hdu.shape if n <= 100) and "CRVAL1" in hdu.header


def _stack_of(found: Outline | None) -> dict[str, int]:
    """Positions of the image units FLUX (rows, n), WAVE (n,) and IVAR or ERROR, where a file has these."""
    names = {h.name.upper(): k for k, h in enumerate(found.hdus) if not h.is_table} if found else {}
    wave = next((names[n] for n in ("WAVE", "WAVELENGTH", "LAMBDA") if n in names), None)
    if found is None or wave is None or "FLUX" not in names or len(found.hdus[names["FLUX"]].shape) != 2:
        return {}
    weights = {key: names[n] for n, key in (("IVAR", "ivar"), ("ERROR", "error"), ("ERR", "error")) if n in names}
    return {"flux": names["FLUX"], "wave": wave, **weights}


def _stacked(item: Item, stack: dict[str, int]) -> Iterator[Record]:
    with open_fits(item.path) as hdus:
        wave, flux = native(hdus[stack["wave"]].data), native(hdus[stack["flux"]].data)
        ivar = native(hdus[stack["ivar"]].data) if "ivar" in stack else None
        if ivar is None and "error" in stack:
            ivar = ivar_of(hdus[stack["error"]].data)
    for row in range(len(flux)):
        spectrum = make_spectrum(item.source, wave, flux[row], None if ivar is None else ivar[row])
        several = item.rows is not None
        name = f"{stem(item.path)}-{row}" if several else stem(item.path)
        yield Record(name, name, {}, spectrum=spectrum, source=f"{item.source}#{row}" if several else item.source)


def _column(hdu: Hdu, names: tuple[str, ...]) -> str | None:
    have = {column.lower(): column for column in hdu.columns}
    return next((have[name] for name in names if name in have), None)


def _table_at(found: Outline) -> int | None:
    return next((k for k, h in enumerate(found.hdus) if h.is_table and _column(h, _AXIS) and _column(h, _FLUX)), None)


def _through_table(item: Item, found: Outline, at: int) -> tuple[Any, Any, Any]:
    from astropy import units as u
    from astropy.table import Table

    hdu = found.hdus[at]
    axis, flux = _column(hdu, _AXIS), _column(hdu, _FLUX)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = Table.read(item.path, hdu=at, format="fits", unit_parse_strict="silent")
    if len(table) == 1:  # one row of vectors
        table = Table({name: np.ravel(table[name][0]) for name in table.colnames if np.ndim(table[name][0]) == 1})
    if len(table) == 0:
        raise ReadError(item.source, "the spectrum has length 0", "Leave it out, or fetch it again.")
    wave = np.asarray(table[axis], dtype=np.float64)
    unit = getattr(table[axis], "unit", None)
    if str(axis).lower() == "loglam":
        wave = 10.0**wave
    elif unit is not None and str(unit) != "" and not _ANGSTROM.fullmatch(str(unit)):
        known = u.Unit(unit, parse_strict="silent")
        if not known.is_equivalent(u.AA, u.spectral()):
            raise ReadError(item.source, f"{str(unit)!r} is no unit of wavelength", "Correct the column's unit.")
        wave = (wave * known).to_value(u.AA, u.spectral())
    ivar = _column(hdu, ("ivar", "invvar"))
    error = _column(hdu, ("error", "err", "flux_err", "fluxerr", "uncertainty", "sigma", "std"))
    if ivar:
        return wave, np.asarray(table[flux]), np.asarray(table[ivar])
    return wave, np.asarray(table[flux]), ivar_of(np.asarray(table[error])) if error else None


def _through_specutils(item: Item) -> tuple[Any, Any, Any]:
    from astropy import units as u
    from specutils import Spectrum

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            spectrum = Spectrum.read(str(item.path))
        except Exception as first:  # specutils asks for a format where it cannot tell
            try:
                spectrum = Spectrum.read(str(item.path), format="wcs1d-fits", flux_unit=u.dimensionless_unscaled)
            except Exception as second:
                raise ReadError(item.source, f"specutils cannot read it ({first}; {second})", "Convert it.") from second
    axis = spectrum.spectral_axis
    wave = (
        axis.to_value(u.AA, equivalencies=u.spectral()) if axis.unit.is_equivalent(u.AA, u.spectral()) else axis.value
    )
    flux = np.asarray(spectrum.flux.value, dtype=np.float64)
    ivar = None
    if spectrum.uncertainty is not None:
        kind = spectrum.uncertainty.uncertainty_type
        array = np.asarray(spectrum.uncertainty.array, dtype=np.float64)
        ivar = {"ivar": lambda: array, "std": lambda: ivar_of(array), "var": lambda: ivar_of(np.sqrt(array))}[kind]()
    if flux.ndim > 1:
        flux = flux.reshape(-1, flux.shape[-1])[0]
        ivar = None if ivar is None else ivar.reshape(-1, ivar.shape[-1])[0]
    return wave, flux, ivar
