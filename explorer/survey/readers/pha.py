"""X-ray spectra as PHA files (OGIP 92-007) with their ARF, RMF and background where those lie beside them.

Energies come from the EBOUNDS of the RMF. Where the RMF is absent the nominal gain of the instrument's PI
channels is used and the column ``energy_scale`` says ``nominal``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey._fits import Hdu, Outline, open_fits, outline
from explorer.survey._reading import Aside, FileReader, Item, Scan, native, plain, relative, stem
from explorer.survey.records import ReadError, Record, XSpectrum

# keV per PI channel: Chandra ACIS (https://cxc.cfa.harvard.edu/ciao/dictionary/pi.html), XMM EPIC and Swift XRT
# (the PI definition of their event files: 1 eV binned by SPECDELT, and 10 eV).
_GAIN = {("CHANDRA", "ACIS"): 0.0146, ("SWIFT", "XRT"): 0.010, ("XMM", "EPN"): 0.005, ("XMM", "EMOS1"): 0.005,
         ("XMM", "EMOS2"): 0.005}  # fmt: skip
_COLUMNS = {
    "object": pa.string(),
    "telescope": pa.string(),
    "instrument": pa.string(),
    "obs_id": pa.string(),
    "date_obs": pa.string(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "exposure": pa.float64(),
    "counts": pa.float64(),
    "net_counts": pa.float64(),
    "energy_scale": pa.string(),
}


class Pha(FileReader):
    """One source spectrum a file; backgrounds and responses are read beside it and are no rows."""

    name = "pha"
    modalities = ("xspectrum",)

    def recognise(self, path: Path) -> float:
        found = outline(path)
        if found is None:
            return 0.0
        return 0.95 if _spectrum_at(found) is not None or _response_kind(found) else 0.0

    def look(self, path: Path, source: str, scan: Scan) -> None:
        found = outline(path)
        at = None if found is None else _spectrum_at(found)
        if found is None or at is None:
            scan.memo.setdefault("responses", []).append(path)
            return
        if _is_background(found.hdus[at]):
            scan.memo.setdefault("backgrounds", []).append(path)
            return
        for key in ("BACKFILE", "ANCRFILE", "RESPFILE"):
            if (beside := _beside(path, found.hdus[at].header, key)) is not None:
                scan.companions.add(beside)
        scan.columns.update(_COLUMNS)
        scan.column_units["exposure"] = "s"
        scan.modalities["xspectrum"] = {"energy_unit": "keV", "area_unit": "cm2", "background": "scaled counts"}
        scan.items.append(Item(source, path))

    def finish(self, scan: Scan) -> None:
        why = {
            "backgrounds": ("a background spectrum that no source here names", "Name it in the source's BACKFILE."),
            "responses": ("a response that no spectrum here names", "Name it in the spectrum's ANCRFILE or RESPFILE."),
        }
        scan.items = [item for item in scan.items if item.path not in scan.companions]
        for kind, (reason, fix) in why.items():
            for path in scan.memo.pop(kind, []):
                if path not in scan.companions:
                    scan.aside.append(Aside(relative(path, scan.root), reason, fix))

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        found = outline(item.path)
        at = None if found is None else _spectrum_at(found)
        if found is None or at is None:
            raise ReadError(item.source, "it holds no PHA spectrum", "Fetch it again.")
        header = found.hdus[at].header
        if found.problem:
            raise ReadError(item.source, f"the FITS file is damaged: {found.problem}", "Fetch it again.")
        with open_fits(item.path) as hdus:
            channel, counts, backscal = _counts(hdus[at].data, header, item.source)
            background = _background(item.path, found, at, hdus, header, backscal, counts)
        lo, hi, scale, digest = _energies(item, header, channel)
        area = _area(item.path, header, lo, hi)
        exposure = float(header.get("EXPOSURE") or 0.0)
        primary = found.hdus[0].header

        def told(*keys: str) -> Any:
            return next((v for k in keys if (v := plain(header.get(k) or primary.get(k))) is not None), None)

        ra, dec = told("RA_TARG", "RA_OBJ", "RA_PNT"), told("DEC_TARG", "DEC_OBJ", "DEC_PNT")
        values = {
            "object": told("OBJECT"), "telescope": told("TELESCOP"), "instrument": told("INSTRUME"),
            "obs_id": told("OBS_ID"), "date_obs": told("DATE-OBS"),
            "ra": ra if isinstance(ra, (int, float)) else None, "dec": dec if isinstance(dec, (int, float)) else None,
            "exposure": exposure, "counts": float(counts.sum()), "net_counts": float(counts.sum() - background.sum()),
            "energy_scale": scale,
        }  # fmt: skip
        order = np.argsort(lo, kind="stable")
        x = XSpectrum(lo[order], hi[order], counts[order], background[order], area[order], exposure, digest)
        yield Record(stem(item.path), "", values, xspectrum=x, source=item.source)


def _spectrum_at(found: Outline) -> int | None:
    """Position of the source's SPECTRUM table: the first one that is no background."""
    fit = [
        k
        for k, h in enumerate(found.hdus)
        if h.is_table and h.has("CHANNEL") and (h.has("COUNTS") or h.has("RATE")) and len(h.columns) < 40
    ]
    sources = [k for k in fit if not _is_background(found.hdus[k])]
    return sources[0] if sources else (fit[0] if fit else None)


def _is_background(hdu: Hdu) -> bool:
    return str(hdu.header.get("HDUCLAS2", "")).strip().upper() == "BKG"


def _response_kind(found: Outline) -> str:
    if found.find("ENERG_LO", "ENERG_HI", "SPECRESP"):
        return "arf"
    return "rmf" if found.find("CHANNEL", "E_MIN", "E_MAX") else ""


def _beside(path: Path, header: Any, key: str) -> Path | None:
    """The file that a header names, beside the spectrum, with or without ``.gz`` and a unit in brackets."""
    named = str(header.get(key) or "").split("[")[0].strip()
    if not named or named.upper() in ("NONE", "CALDB"):
        return None
    base = path.with_name(Path(named).name)
    choices = (base, base.with_name(base.name + ".gz"), base.with_name(base.name.removesuffix(".gz")))
    return next((choice for choice in choices if choice.is_file() and choice != path), None)


def _counts(data: Any, header: Any, source: str) -> tuple[np.ndarray, np.ndarray, Any]:
    """Channels, counts per channel (a rate is multiplied by the exposure) and BACKSCAL."""
    have = {name.lower(): name for name in data.dtype.names}
    channel = native(data[have["channel"]]).astype(np.int64)
    if channel.ndim != 1:
        raise ReadError(source, "it is a type II PHA file, several spectra in one table", "Split it (dmtype2split).")
    if len(channel) == 0:
        raise ReadError(source, "the spectrum has no channel", "Fetch it again.")
    if "counts" in have:
        counts = native(data[have["counts"]]).astype(np.float64)
    else:
        counts = native(data[have["rate"]]).astype(np.float64) * float(header.get("EXPOSURE") or 0.0)
    backscal: Any = native(data[have["backscal"]]) if "backscal" in have else float(header.get("BACKSCAL") or 1.0)
    return channel, np.nan_to_num(counts), backscal


def _background(
    path: Path, found: Outline, at: int, hdus: Any, header: Any, backscal: Any, counts: np.ndarray
) -> np.ndarray:
    """Background counts in the source's area and exposure; zeros where there is none."""
    beside = _beside(path, header, "BACKFILE")
    inside = next((k for k, h in enumerate(found.hdus) if k != at and _is_background(h) and h.has("CHANNEL")), None)
    if beside is not None:
        other = outline(beside)
        where = None if other is None else _spectrum_at(other)
        if other is None or where is None:
            raise ReadError(beside, "it is named as background but holds no spectrum", "Fetch it again.")
        with open_fits(beside) as opened:
            its = other.hdus[where].header
            _, back, scale = _counts(opened[where].data, its, str(beside))
    elif inside is not None:
        its = found.hdus[inside].header
        _, back, scale = _counts(hdus[inside].data, its, str(path))
    else:
        return np.zeros_like(counts)
    if len(back) != len(counts):
        raise ReadError(path, f"{len(counts)} channels but {len(back)} in its background", "Name the right BACKFILE.")
    mine, other_exposure = float(header.get("EXPOSURE") or 1.0), float(its.get("EXPOSURE") or 1.0)
    areas = float(header.get("AREASCAL") or 1.0) / float(its.get("AREASCAL") or 1.0)
    ratio = np.divide(backscal, scale, out=np.zeros(np.broadcast(backscal, scale).shape), where=np.asarray(scale) > 0)
    return back * ratio * areas * mine / other_exposure


def _energies(item: Item, header: Any, channel: np.ndarray) -> tuple[np.ndarray, np.ndarray, str, str]:
    """Lower and upper energy of each channel (keV), ``rmf`` or ``nominal``, digest of the RMF."""
    beside = _beside(item.path, header, "RESPFILE")
    if beside is not None:
        ebounds, digest = _ebounds(beside, beside.stat().st_mtime_ns)
        at = {int(c): k for k, c in enumerate(ebounds[0])}
        rows = np.array([at.get(int(c), -1) for c in channel])
        if (rows < 0).any():
            raise ReadError(item.source, f"channels that {beside.name} does not have", "Name the right RESPFILE.")
        return ebounds[1][rows], ebounds[2][rows], "rmf", digest
    key = (str(header.get("TELESCOP", "")).strip().upper(), str(header.get("INSTRUME", "")).strip().upper())
    gain = _GAIN.get(key)
    if gain is None:
        raise ReadError(
            item.source,
            f"no RMF beside it ({header.get('RESPFILE') or 'none named'}) and no nominal gain for {' '.join(key)}",
            "Put its RMF beside it.",
        )
    first = 1 if key[0] == "CHANDRA" else 0
    lo = (channel - first) * gain
    return np.maximum(lo, 0.0).astype(np.float64), (lo + gain).astype(np.float64), "nominal", ""


@lru_cache(maxsize=32)
def _ebounds(path: Path, mtime: int) -> tuple[np.ndarray, str]:
    """(channel, E_MIN, E_MAX) in keV of an RMF, and the SHA-256 of the file's first 16 hexadecimal digits."""
    found = outline(path)
    at = None if found is None else found.where("CHANNEL", "E_MIN", "E_MAX")
    if at is None:
        raise ReadError(path, "it is named as RMF but has no EBOUNDS", "Fetch it again.")
    with open_fits(path) as hdus:
        data = hdus[at].data
        unit = str(hdus[at].columns["E_MIN"].unit or "keV").lower()
        factor = 1e-3 if unit == "ev" else 1.0
        table = np.stack([native(data[n]).astype(np.float64) for n in ("CHANNEL", "E_MIN", "E_MAX")])
    table[1:] *= factor
    return table, hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _area(path: Path, header: Any, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
    """Effective area (cm²) at the middle of each channel, from the ARF; NaN where none lies beside."""
    beside = _beside(path, header, "ANCRFILE")
    found = None if beside is None else outline(beside)
    at = None if found is None else found.where("ENERG_LO", "ENERG_HI", "SPECRESP")
    if beside is None or at is None:
        return np.full(len(lo), np.nan)
    with open_fits(beside) as hdus:
        data = hdus[at].data
        middle = (native(data["ENERG_LO"]).astype(np.float64) + native(data["ENERG_HI"])) / 2
        area = native(data["SPECRESP"]).astype(np.float64)
    return np.interp((lo + hi) / 2, middle, area, left=0.0, right=0.0)
