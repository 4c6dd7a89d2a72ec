"""DESI coadds (and spectra files of the same layout): several targets a file, three arms merged into one grid.

The redrock file beside a coadd (``redrock-X`` for ``coadd-X``) gives redshift, class and warnings by TARGETID.
Layout: https://desidatamodel.readthedocs.io (coadd-SURVEY-PROGRAM-HPIX).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey._fits import Row, open_fits, outline
from explorer.survey._reading import FileReader, Item, Scan, native
from explorer.survey._spectra import FLUX_UNIT, merge_arms
from explorer.survey.records import ReadError, Record

_FIELDS: dict[str, tuple[tuple[str, ...], Any]] = {
    "ra": (("TARGET_RA", "RA", "MEAN_FIBER_RA"), pa.float64()),
    "dec": (("TARGET_DEC", "DEC", "MEAN_FIBER_DEC"), pa.float64()),
    "objtype": (("OBJTYPE",), pa.string()),
    "fiberstatus": (("COADD_FIBERSTATUS",), pa.int64()),
    "tileid": (("TILEID",), pa.int64()),
    "flux_g": (("FLUX_G",), pa.float64()),
    "flux_r": (("FLUX_R",), pa.float64()),
    "flux_z": (("FLUX_Z",), pa.float64()),
    "flux_w1": (("FLUX_W1",), pa.float64()),
    "flux_w2": (("FLUX_W2",), pa.float64()),
    "ebv": (("EBV",), pa.float64()),
    "morphtype": (("MORPHTYPE",), pa.string()),
}
_REDROCK: dict[str, tuple[tuple[str, ...], Any]] = {
    "z": (("Z",), pa.float64()),
    "z_err": (("ZERR",), pa.float64()),
    "zwarning": (("ZWARN",), pa.int64()),
    "class": (("SPECTYPE",), pa.string()),
    "subclass": (("SUBTYPE",), pa.string()),
    "deltachi2": (("DELTACHI2",), pa.float64()),
}


class Desi(FileReader):
    """DESI coadds: one row per target and file; ``object_id`` is the TARGETID."""

    name = "desi"
    modalities = ("spectrum",)

    def recognise(self, path: Path) -> float:
        found = outline(path)
        if not found:
            return 0.0
        names = found.names()
        if "FIBERMAP" in names and any(name.endswith("_WAVELENGTH") for name in names):
            return 0.95
        return 0.9 if "REDSHIFTS" in names and found.find("TARGETID", "ZWARN", "SPECTYPE") else 0.0

    def look(self, path: Path, source: str, scan: Scan) -> None:
        found = outline(path)
        if found is None or "FIBERMAP" not in found.names() or not _arms_of(found.names()):
            scan.memo.setdefault("redrock", []).append(path)
            return
        fibermap = next(h for h in found.hdus if h.name.upper() == "FIBERMAP")
        for name, (names, kind) in _FIELDS.items():
            if any(fibermap.has(theirs) for theirs in names):
                scan.columns[name] = kind
        # Large files are read a few hundred targets at a time.
        for start in range(0, fibermap.shape[0], 256):
            scan.items.append(Item(source, path, range(start, min(start + 256, fibermap.shape[0]))))
        beside = path.with_name(path.name.replace("coadd-", "redrock-", 1).replace("spectra-", "redrock-", 1))
        if beside != path and beside.is_file():
            scan.companions.add(beside)
            scan.columns.update({name: kind for name, (_, kind) in _REDROCK.items()})
        scan.modalities["spectrum"] = {"flux_unit": FLUX_UNIT, "wavelength": "vacuum Angstrom", "frame": "observed"}

    def finish(self, scan: Scan) -> None:
        from explorer.survey._reading import Aside, relative

        for path in scan.memo.pop("redrock", []):
            if path not in scan.companions:
                coadd = path.name.replace("redrock-", "coadd-", 1)
                fix = f"Put {coadd} beside it." if coadd != path.name else "Put its coadd beside it."
                scan.aside.append(Aside(relative(path, scan.root), "redshifts without their coadd", fix))

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        rows = item.rows if item.rows is not None else range(0)
        redshifts = _redshifts(item.path)
        with open_fits(item.path) as hdus:
            units = {unit.name.upper(): unit for unit in hdus}
            fibermap = units["FIBERMAP"].data
            arms = _arms_of(set(units))
            waves = {arm: native(units[f"{arm}_WAVELENGTH"].data).astype(np.float64) for arm in arms}
            chosen = slice(rows.start, rows.stop)
            flux = {arm: native(units[f"{arm}_FLUX"].section[chosen]) for arm in arms}
            ivar = {arm: native(units[f"{arm}_IVAR"].section[chosen]) for arm in arms}
            for arm in arms:
                if f"{arm}_MASK" in units:
                    ivar[arm] = np.where(native(units[f"{arm}_MASK"].section[chosen]) != 0, 0.0, ivar[arm])
            for k, row in enumerate(rows):
                found = Row(fibermap[row])
                target = str(found.get("TARGETID"))
                values = {name: found.get(*names) for name, (names, _) in _FIELDS.items()}
                parts = [(waves[arm], flux[arm][k], ivar[arm][k]) for arm in arms]
                try:
                    spectrum = merge_arms(parts)
                except ValueError as error:
                    raise ReadError(item.source, str(error), "Only DESI's own 0.8 Å grid can be merged.") from error
                values |= redshifts.get(target, {})
                yield Record(target, target, values, spectrum=spectrum, source=f"{item.source}#{row}")


def _arms_of(names: set[str]) -> list[str]:
    arms = [name.removesuffix("_WAVELENGTH") for name in names if name.endswith("_WAVELENGTH")]
    order = {"B": 0, "R": 1, "Z": 2}
    complete = [arm for arm in arms if {f"{arm}_FLUX", f"{arm}_IVAR"} <= names]
    return sorted(complete, key=lambda arm: order.get(arm, 3))


def _redshifts(path: Path) -> dict[str, dict[str, Any]]:
    beside = path.with_name(path.name.replace("coadd-", "redrock-", 1).replace("spectra-", "redrock-", 1))
    if beside == path or not beside.is_file():
        return {}
    with open_fits(beside) as hdus:
        names = {unit.name.upper() for unit in hdus}
        if "REDSHIFTS" not in names:
            return {}
        table = hdus["REDSHIFTS"].data
        return {
            str(row.get("TARGETID")): {name: row.get(*names) for name, (names, _) in _REDROCK.items()}
            for row in map(Row, table)
        }
