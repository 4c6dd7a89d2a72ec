"""Cutouts that come one band a file: ``EUCL-1_VIS.fits``, ``EUCL-1_NISP-Y.fits``, … are one image."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from explorer.survey._reading import stem

_BAND = re.compile(
    r"^(?P<id>.+?)[_.-](?P<band>vis|(?:nisp|nir)[_-]?[yjh]|(?:des|decam|hsc|ps1|sdss|euclid|uvista)[_-]\w+"
    r"|[ugrizyjhk]|ks|w[1-4]|f\d{3,4}[wmn]?\d?)$",
    re.IGNORECASE,
)
# From blue to red, as far as a letter says it.
_ORDER = {
    band: k for k, band in enumerate(("u", "g", "vis", "r", "i", "z", "y", "j", "h", "k", "ks", "w1", "w2", "w3", "w4"))
}


def split_name(path: Path) -> tuple[str, str] | None:
    """``(object, band)`` of a file's name, or None where it names no band."""
    found = _BAND.match(stem(path))
    return (found["id"], found["band"]) if found else None


def grouped(paths: Iterable[Path]) -> dict[str, dict[str, Path]]:
    """Object (with its folder) → band → file, for objects of which two bands or more are there."""
    groups: dict[str, dict[str, Path]] = {}
    for path in paths:
        if (name := split_name(path)) is not None:
            groups.setdefault(str(path.parent / name[0]), {}).setdefault(name[1], path)
    return {name: ordered(bands) for name, bands in groups.items() if len(bands) > 1}


def ordered(bands: dict[str, Path]) -> dict[str, Path]:
    """The bands from blue to red where their names say it, else by name."""

    def place(band: str) -> tuple[float, str]:
        last = re.split(r"[_-]", band.lower())[-1]
        wide = re.fullmatch(r"f(\d{3,4})[wmn]?\d?", last)
        return (float(wide[1]) if wide else float(_ORDER.get(last, 99)), band)

    return {band: bands[band] for band in sorted(bands, key=place)}
