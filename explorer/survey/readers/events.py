"""X-ray event lists: one observation or source a file, times ascending, energies where the file has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey._fits import Hdu, Outline, open_fits, outline
from explorer.survey._reading import FileReader, Item, Scan, native, plain, stem
from explorer.survey.records import Events, ReadError, Record

_COLUMNS = {
    "object": pa.string(),
    "telescope": pa.string(),
    "instrument": pa.string(),
    "obs_id": pa.string(),
    "date_obs": pa.string(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "exposure": pa.float64(),
    "n_events": pa.int64(),
}
_TO_KEV = {"kev": 1.0, "ev": 1e-3, "mev": 1e3}


class EventLists(FileReader):
    """Event lists (EVENTS tables and their like) with good time intervals."""

    name = "events"
    modalities = ("events",)

    def recognise(self, path: Path) -> float:
        found = outline(path)
        at = None if found is None else _events_at(found)
        if found is None or at is None:
            return 0.0
        return 0.9 if _gti_at(found) is not None or found.hdus[at].name.upper() == "EVENTS" else 0.4

    def look(self, path: Path, source: str, scan: Scan) -> None:
        scan.columns.update(_COLUMNS)
        scan.column_units["exposure"] = "s"
        scan.modalities["events"] = {"time_unit": "s", "energy_unit": "keV"}
        scan.items.append(Item(source, path))

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        found = outline(item.path)
        at = None if found is None else _events_at(found)
        if found is None or at is None:
            raise ReadError(item.source, "it holds no event list", "Fetch it again.")
        if found.problem:
            raise ReadError(item.source, f"the FITS file is damaged: {found.problem}", "Fetch it again.")
        hdu = found.hdus[at]
        names = {name.lower(): name for name in hdu.columns}
        with open_fits(item.path) as hdus:
            data = hdus[at].data
            time = native(data[names["time"]]).astype(np.float64)
            energy = None
            if "energy" in names:
                unit = str(hdus[at].columns[names["energy"]].unit or "").strip().lower()
                values = native(data[names["energy"]]).astype(np.float64)
                # OGIP files without a unit give eV when the numbers are far above any X-ray energy in keV.
                factor = _TO_KEV.get(unit, 1e-3 if np.nanmedian(values) > 200 else 1.0)
                energy = values * factor
            gti = _gti(hdus, found, time)
        keep = np.isfinite(time)
        time, energy = time[keep], None if energy is None else energy[keep]
        if len(time) == 0:
            raise ReadError(item.source, "the event list is empty", "Leave it out, or extract it again.")
        order = np.argsort(time, kind="stable")
        events = Events(time[order], None if energy is None else energy[order], gti)
        yield Record(stem(item.path), "", _values(found, hdu, events), events=events, source=item.source)


def _events_at(found: Outline) -> int | None:
    fit = [k for k, h in enumerate(found.hdus) if h.is_table and h.has("time") and not h.has("start", "stop")]
    named = [k for k in fit if found.hdus[k].name.upper() == "EVENTS"]
    likely = [k for k in fit if any(found.hdus[k].has(c) for c in ("pi", "pha", "energy", "event", "ccd_id"))]
    return next(iter(named or likely), None)


def _gti_at(found: Outline) -> int | None:
    return found.where("start", "stop")


def _gti(hdus: Any, found: Outline, time: np.ndarray) -> np.ndarray:
    """(k, 2) s: the first table of good time intervals, or the whole span where the file has none."""
    at = _gti_at(found)
    if at is None:
        return np.array([[np.nanmin(time), np.nanmax(time)]]) if len(time) else np.empty((0, 2))
    have = {name.lower(): name for name in hdus[at].data.dtype.names}
    both = [native(hdus[at].data[have[name]]).astype(np.float64) for name in ("start", "stop")]
    return np.stack(both, axis=1)


def _values(found: Outline, hdu: Hdu, events: Events) -> dict[str, Any]:
    primary = found.hdus[0].header

    def told(*keys: str) -> Any:
        return next((v for k in keys if (v := plain(hdu.header.get(k) or primary.get(k))) is not None), None)

    ra, dec = told("RA_TARG", "RA_OBJ", "RA_PNT"), told("DEC_TARG", "DEC_OBJ", "DEC_PNT")
    exposure = told("EXPOSURE", "LIVETIME", "ONTIME")
    return {
        "object": told("OBJECT"),
        "telescope": told("TELESCOP"),
        "instrument": told("INSTRUME"),
        "obs_id": told("OBS_ID"),
        "date_obs": told("DATE-OBS"),
        "ra": float(ra) if isinstance(ra, (int, float)) else None,
        "dec": float(dec) if isinstance(dec, (int, float)) else None,
        "exposure": float(exposure) if isinstance(exposure, (int, float)) else float(np.diff(events.gti).sum()),
        "n_events": len(events.time),
    }
