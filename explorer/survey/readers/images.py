"""Folders of cutouts: PNG and JPEG files, kept as they are, and FITS images, bands in one file or one each.

The bands of a FITS file are its image units of one shape (or the planes of a cube); units that hold weights,
masks, variances or a PSF are not bands. Zero points, pixel scale and unit are taken from the headers.
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
from explorer.survey.readers._bands import grouped, split_name
from explorer.survey.records import Image, ReadError, Record

_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")
_NOT_A_BAND = re.compile(r"mask|ivar|invvar|weight|wht|var|rms|err|sigma|psf|dq|flag|catalog|segm|bkg", re.IGNORECASE)
_ZERO_POINTS = ("MAGZERO", "MAGZPT", "ZEROPT", "ZEROPOINT", "PHOTZP", "MAG_ZP", "ZPT", "ZP", "MAG0")
_SCALES = ("PIXSCALE", "PIXSCAL1", "SECPIX", "PIXELSCL")


class Images(FileReader):
    """One cutout a file; ``id`` is the file's name without its ending."""

    name = "images"
    modalities = ("image",)

    def recognise(self, path: Path) -> float:
        if path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            return 0.9
        found = outline(path)
        return 0.6 if found and _bands(found) else 0.0

    def look(self, path: Path, source: str, scan: Scan) -> None:
        if scan.items and "image" in scan.modalities and path.suffix.lower() in (".png", ".jpg", ".jpeg"):
            scan.items.append(Item(source, path))
            return
        found = outline(path)
        meta = _display_meta(path) if found is None else _fits_meta(found)
        for key, value in meta.items():
            scan.modalities.setdefault("image", {}).setdefault(key, value)
        if found is not None:
            kinds = {"zero_point": pa.float64(), "pixel_scale": pa.float64(), "ra": pa.float64(), "dec": pa.float64()}
            scan.column_units |= {"zero_point": "mag", "pixel_scale": "arcsec"}
            scan.columns.update({name: kind for name, kind in kinds.items() if _header_values(found)[name] is not None})
        scan.items.append(Item(source, path))

    def finish(self, scan: Scan) -> None:
        """Make one item of the bands of an object where each lies in a file of its own."""
        groups = grouped(item.path for item in scan.items if outline(item.path) is not None)
        if not groups:
            return
        firsts = {next(iter(bands.values())): bands for bands in groups.values()}
        others = {path for bands in groups.values() for path in bands.values()} - set(firsts)
        scan.items = [item for item in scan.items if item.path not in others]
        scan.companions |= others
        scan.memo["bands"] = firsts
        widest = max(groups.values(), key=len)
        metas = [_fits_meta(found) for path in widest.values() if (found := outline(path)) is not None]
        meta = scan.modalities["image"]
        meta["bands"] = list(widest)
        zero = [m["zero_point"][0] for m in metas if "zero_point" in m]
        if len(zero) == len(widest):
            meta["zero_point"] = zero
        else:
            meta.pop("zero_point", None)

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        if bands := scan.memo.get("bands", {}).get(item.path):
            yield self._stacked(item, scan, bands)
            return
        name = stem(item.path)
        found = outline(item.path)
        if found is None:
            yield Record(name, name, image=_display(item), source=item.source)
            return
        if found.problem:
            raise ReadError(item.source, f"the FITS file is damaged: {found.problem}", "Fetch it again.")
        bands = _bands(found)
        with open_fits(item.path) as hdus:
            planes = [native(hdus[k].data) for k in bands]
        pixels = planes[0] if planes[0].ndim == 3 else np.stack(planes)
        if pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32)
            if not np.isfinite(pixels).any():
                raise ReadError(item.source, "no pixel of the image is finite", "Leave it out, or cut it out again.")
        values = {key: value for key, value in _header_values(found).items() if key in scan.columns}
        yield Record(name, name, values, image=Image(pixels), source=item.source)

    def _stacked(self, item: Item, scan: Scan, bands: dict[str, Path]) -> Record:
        """One image of files of one band each, in the order of the survey's bands; NaN where one is missing."""
        planes: dict[str, np.ndarray] = {}
        for band, path in bands.items():
            (record,) = self.read(Item(item.source, path), Scan(scan.root))
            if not isinstance(record.image, Image):
                raise ReadError(item.source, f"{path.name} is no FITS image", "Fetch it again.")
            planes[band] = record.image.pixels[0]
        shapes = {plane.shape for plane in planes.values()}
        if len(shapes) > 1:
            raise ReadError(item.source, f"its bands have different shapes {sorted(shapes)}", "Resample to one grid.")
        blank = np.full(shapes.pop(), np.nan, dtype=np.float32)
        wanted = scan.modalities["image"]["bands"]
        pixels = np.stack([np.asarray(planes.get(band, blank), dtype=np.float32) for band in wanted])
        found, named = outline(item.path), split_name(item.path)
        told = _header_values(found) if found else {}
        name = named[0] if named else stem(item.path)
        values = {key: value for key, value in told.items() if key in scan.columns}
        return Record(name, name, values, image=Image(pixels), source=item.source)


def _display(item: Item) -> bytes:
    """The bytes of a PNG or JPEG file; the survey's writer decodes them once, for the thumbnail."""
    data = item.path.read_bytes()
    if not data:
        raise ReadError(item.source, "the file is empty", "Fetch it again.")
    if not data.startswith(_MAGIC):
        raise ReadError(item.source, f"it is no PNG or JPEG: it starts with {data[:8]!r}", "Fetch or name it again.")
    if data.startswith(_MAGIC[1]) and b"\xff\xd9" not in data[-4096:]:
        raise ReadError(item.source, "the JPEG ends before its end marker", "Fetch it again.")
    if data.startswith(_MAGIC[0]) and b"IEND" not in data[-4096:]:
        raise ReadError(item.source, "the PNG ends before its end marker", "Fetch it again.")
    return data


def _display_meta(path: Path) -> dict[str, Any]:
    from PIL import Image as Pillow

    try:
        with Pillow.open(path) as opened:
            grey = opened.mode in ("L", "1", "LA", "I;16", "I", "F")
            eight = opened.mode not in ("I;16", "I", "F")
    except OSError:
        return {}
    return {"bands": ["grey"] if grey else ["red", "green", "blue"], "unit": "display" if eight else "counts"}


def _bands(found: Outline) -> list[int]:
    """Positions of the image units that are bands: those of the shape that comes first, weights left out."""
    fit = [
        k
        for k, h in enumerate(found.hdus)
        if not h.is_table
        and (len(h.shape) == 2 or (len(h.shape) == 3 and h.shape[0] <= 16))
        and min(h.shape[-2:]) >= 4
        and not _NOT_A_BAND.search(h.name if h.name != "PRIMARY" else "")
    ]
    if not fit:
        return []
    first = found.hdus[fit[0]].shape
    return fit[:1] if len(first) == 3 else [k for k in fit if found.hdus[k].shape == first]


def _name_of(hdu: Hdu, k: int) -> str:
    named = plain(hdu.header.get("FILTER")) or plain(hdu.header.get("BAND"))
    return str(named or (hdu.name if hdu.name not in ("", "PRIMARY") else f"band{k}"))


def _number(header: Any, keys: tuple[str, ...]) -> float | None:
    for key in keys:
        value = plain(header.get(key))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def _fits_meta(found: Outline) -> dict[str, Any]:
    units = [found.hdus[k] for k in _bands(found)]
    planes = units[0].shape[0] if len(units[0].shape) == 3 else len(units)
    names = (
        [f"band{k}" for k in range(planes)] if planes != len(units) else [_name_of(h, k) for k, h in enumerate(units)]
    )
    primary = found.hdus[0].header
    zero = [_number(h.header, _ZERO_POINTS) or _number(primary, _ZERO_POINTS) for h in units]
    meta: dict[str, Any] = {"bands": names}
    if all(z is not None for z in zero):
        meta["zero_point"] = zero if len(zero) == planes else zero * planes
    unit = plain(units[0].header.get("BUNIT")) or plain(primary.get("BUNIT"))
    if unit:
        meta["unit"] = unit
    scale = _header_values(found)["pixel_scale"]
    if scale is not None:
        meta["pixel_scale"] = scale
    return meta


def _header_values(found: Outline) -> dict[str, float | None]:
    """Zero point of the first band (AB mag as written), pixel scale (arcsec), position of the centre (degrees)."""
    unit = found.hdus[_bands(found)[0]]
    primary = found.hdus[0].header
    ra, dec, scale = _world(unit)
    return {
        "zero_point": _number(unit.header, _ZERO_POINTS) or _number(primary, _ZERO_POINTS),
        "pixel_scale": _number(unit.header, _SCALES) or _number(primary, _SCALES) or scale,
        "ra": ra,
        "dec": dec,
    }


def _world(unit: Hdu) -> tuple[float | None, float | None, float | None]:
    """Right ascension and declination of the centre (degrees) and pixel scale (arcsec), from the header's WCS."""
    if not str(unit.header.get("CTYPE1", "")).startswith("RA"):
        return None, None, None
    from astropy.wcs import WCS
    from astropy.wcs.utils import proj_plane_pixel_scales

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            wcs = WCS(unit.header).celestial
            height, width = unit.shape[-2:]
            ra, dec = wcs.wcs_pix2world((width - 1) / 2, (height - 1) / 2, 0)
            return float(ra), float(dec), float(proj_plane_pixel_scales(wcs)[0] * 3600)
        except Exception:  # a header without a usable WCS has no position
            return None, None, None
