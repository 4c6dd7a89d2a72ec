"""Spectra of SDSS, BOSS and eBOSS: one ``spec-PLATE-MJD-FIBER.fits`` per observation, both layouts.

The first table with ``flux`` and ``loglam`` is the coadd, the first with ``class`` and ``z`` the pipeline's
result, the one with ``linename`` and ``linearea`` its line fits: by their columns, whatever their case and the
units' names (traps D4). Layout: https://data.sdss.org/datamodel/files/BOSS_SPECTRO_REDUX/RUN2D/spectra/ .
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey._fits import Row, first_row, open_fits, outline
from explorer.survey._reading import FileReader, Item, Scan, native, plain, stem
from explorer.survey._spectra import FLUX_UNIT, make_spectrum
from explorer.survey.records import ReadError, Record

# Bits of SPPIXMASK (https://www.sdss4.org/dr17/algorithms/bitmasks/#SPPIXMASK) that spoil a pixel of the coadd in
# every exposure: FULLREJECT, NOSKY, BRIGHTSKY, NODATA, BADSKYCHI, REDMONSTER.
SPOILED = sum(1 << bit for bit in (18, 22, 23, 24, 27, 28))

# column of ours: (names in the pipeline's table, type)
_FIELDS: dict[str, tuple[tuple[str, ...], Any]] = {
    "ra": (("PLUG_RA", "RA"), pa.float64()),
    "dec": (("PLUG_DEC", "DEC"), pa.float64()),
    "z": (("Z",), pa.float64()),
    "z_err": (("Z_ERR",), pa.float64()),
    "zwarning": (("ZWARNING",), pa.int64()),
    "class": (("CLASS",), pa.string()),
    "subclass": (("SUBCLASS",), pa.string()),
    "plate": (("PLATE",), pa.int64()),
    "mjd": (("MJD",), pa.int64()),
    "fiberid": (("FIBERID",), pa.int64()),
    "thing_id": (("THING_ID",), pa.string()),
    "bestobjid": (("BESTOBJID",), pa.string()),
    "specobjid": (("SPECOBJID", "SPECOBJID_STR"), pa.string()),
    "sn_median": (("SN_MEDIAN_ALL", "SN_MEDIAN"), pa.float64()),
    "vdisp": (("VDISP",), pa.float64()),
}
LINE_UNIT = "1e-17 erg / (s cm2)"
_LINES = {
    "H_beta": "hb_4863",
    "[O_III] 5007": "oiii_5008",
    "[O_I] 6300": "oi_6302",
    "H_alpha": "ha_6565",
    "[N_II] 6583": "nii_6585",
    "[S_II] 6716": "sii_6718",
    "[S_II] 6730": "sii_6733",
}


class Sdss(FileReader):
    """SDSS and BOSS spectra, one observation a file; rows of one object are told by position."""

    name = "sdss"
    modalities = ("spectrum",)

    def recognise(self, path: Path) -> float:
        found = outline(path)
        return 0.95 if found and found.find("flux", "loglam") else 0.0

    def look(self, path: Path, source: str, scan: Scan) -> None:
        found = outline(path)
        scan.items.append(Item(source, path))
        scan.columns.update({name: kind for name, (_, kind) in _FIELDS.items()})
        if found and found.find("linename", "linearea"):
            for line in _LINES.values():
                scan.columns.update({f"flux_{line}": pa.float64(), f"flux_{line}_err": pa.float64()})
                scan.column_units.update({f"flux_{line}{end}": LINE_UNIT for end in ("", "_err")})
        scan.column_units |= {"vdisp": "km / s", "mjd": "d"}
        scan.modalities["spectrum"] = {"flux_unit": FLUX_UNIT, "wavelength": "vacuum Angstrom", "frame": "observed"}

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        found = outline(item.path)
        if found is None or found.where("flux", "loglam") is None:
            raise ReadError(item.source, "no table with flux and loglam", "Fetch the file again.")
        with open_fits(item.path) as hdus:
            coadd = hdus[found.where("flux", "loglam")].data
            data = {name.lower(): coadd[name] for name in coadd.dtype.names}
            if len(coadd) == 0:
                raise ReadError(item.source, "the spectrum has length 0", "Leave it out, or fetch it again.")
            mask = (native(data["and_mask"]) & SPOILED) if "and_mask" in data else None
            wavelength = 10.0 ** native(data["loglam"]).astype(np.float64)
            spectrum = make_spectrum(item.source, wavelength, data["flux"], data.get("ivar"), mask)
            result, lines = found.where("class", "z"), found.where("linename", "linearea")
            row = None
            if result is not None and found.hdus[result].shape[0] > 0:
                row = first_row(item.path, hdus, result, found.hdus[result])
            values = _values(row, hdus[0].header)
            values |= {} if lines is None else _lines(hdus[lines].data)
        yield Record(stem(item.path), "", values, spectrum=spectrum, source=item.source)


def _values(row: Row | None, header: Any) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(_FIELDS)
    if row is not None:
        values = {name: row.get(*names) for name, (names, _) in _FIELDS.items()}
    for name, keys in {
        "ra": ("PLUG_RA", "RA"),
        "dec": ("PLUG_DEC", "DEC"),
        "plate": ("PLATEID",),
        "mjd": ("MJD",),
    }.items():
        if values[name] is None:
            values[name] = next((plain(header[key]) for key in keys if key in header), None)
    for name in ("thing_id", "bestobjid", "specobjid"):
        number = values[name]
        values[name] = None if number in (None, 0, -1, "0", "-1") else str(number)
    return values


def _lines(table: Any) -> dict[str, float | None]:
    """Areas and errors of the BPT lines, 1e-17 erg/s/cm²; None where the fit failed (error not positive)."""
    out: dict[str, float | None] = {}
    have = {name.lower(): name for name in table.dtype.names}
    names = [plain(name) for name in table[have["linename"]]]
    for theirs, ours in _LINES.items():
        if theirs in names:
            at = names.index(theirs)
            area, error = float(table[have["linearea"]][at]), float(table[have["linearea_err"]][at])
            if error > 0 and np.isfinite(area):
                out |= {f"flux_{ours}": area, f"flux_{ours}_err": error}
    return out
