"""Modalities as bytes in one column each, and back.

Arrays travel as ``.npy`` (read with ``allow_pickle=False``), which says its own shape and type; 8-bit images stay
the PNG or JPEG that they were. A spectrum on a regular grid names the grid instead of carrying it.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np

from explorer.survey.records import Events, Image, Spectrum, XSpectrum

_PNG, _JPEG, _NPY = b"\x89PNG", b"\xff\xd8\xff", b"\x93NUMPY"


def _dump(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return buffer.getvalue()


def _load(data: bytes) -> np.ndarray:
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def encode_image(image: Image | bytes) -> bytes:
    """Bytes of an image: ``.npy`` of its pixels, or the PNG or JPEG bytes unchanged."""
    if isinstance(image, Image):
        return _dump(image.pixels)
    if not image.startswith((_PNG, _JPEG)):
        raise ValueError("image bytes must be a PNG or a JPEG file")
    return image


def decode_image(data: bytes, at_most: int | None = None) -> Image:
    """The image in ``data``; of a large JPEG, a copy reduced to no less than ``at_most`` pixels a side."""
    if data.startswith(_NPY):
        return Image(_load(data))
    from PIL import Image as Pillow

    with Pillow.open(io.BytesIO(data)) as opened:
        if at_most is not None:
            opened.draft("RGB" if opened.mode == "RGB" else "L", (at_most, at_most))
        if opened.mode in ("I;16", "I", "F"):
            plane = np.asarray(opened, dtype=np.float32)
        elif opened.mode in ("L", "1", "LA"):
            plane = np.asarray(opened.convert("L"))
        else:
            plane = np.asarray(opened.convert("RGB"))
    return Image(plane[None] if plane.ndim == 2 else np.ascontiguousarray(plane.transpose(2, 0, 1)))


def _grid_name(wavelength: np.ndarray) -> str:
    """``linear START STEP N`` or ``log10 START STEP N`` where that gives the grid to 1e-7, else empty."""
    n = len(wavelength)
    for kind, axis in (("linear", wavelength), ("log10", np.log10(wavelength))):
        step = (axis[-1] - axis[0]) / (n - 1)
        name = f"{kind} {float(axis[0])!r} {float(step)!r} {n}"
        if np.allclose(_grid(name), wavelength, rtol=1e-7, atol=0):
            return name
    return ""


@lru_cache(maxsize=4096)
def _grid(name: str) -> np.ndarray:
    kind, start, step, n = name.split()
    axis = float(start) + float(step) * np.arange(int(n))
    grid = axis if kind == "linear" else 10.0**axis
    grid.flags.writeable = False
    return grid


def encode_spectrum(spectrum: Spectrum) -> tuple[bytes, str]:
    """``(bytes, grid)``: ``.npy`` of (flux, ivar) float32, and the grid's name.

    Where the grid is irregular its name is empty and the wavelengths follow as float64 in the bytes.
    """
    name = _grid_name(np.asarray(spectrum.wavelength, dtype=np.float64))
    data = _dump(np.stack([spectrum.flux, spectrum.ivar]).astype(np.float32))
    return (data, name) if name else (data + _dump(np.asarray(spectrum.wavelength, dtype=np.float64)), "")


def decode_spectrum(data: bytes, grid: str | None) -> Spectrum:
    """Inverse of :func:`encode_spectrum`; the wavelengths of a named grid are shared and read-only."""
    buffer = io.BytesIO(data)
    flux, ivar = np.lib.format.read_array(buffer, allow_pickle=False)
    wavelength = _grid(grid) if grid else np.lib.format.read_array(buffer, allow_pickle=False)
    return Spectrum(wavelength, flux, ivar)


def encode_events(events: Events) -> bytes:
    """``.npy`` of (time, energy) float64, energy NaN where there is none, then the good time intervals."""
    energy = np.full(len(events.time), np.nan) if events.energy is None else events.energy
    return _dump(np.stack([events.time, energy]).astype(np.float64)) + _dump(events.gti.astype(np.float64))


def decode_events(data: bytes) -> Events:
    """Inverse of :func:`encode_events`."""
    buffer = io.BytesIO(data)
    time, energy = np.lib.format.read_array(buffer, allow_pickle=False)
    gti = np.lib.format.read_array(buffer, allow_pickle=False)
    return Events(time, None if len(energy) and np.isnan(energy).all() else energy, gti)


def encode_xspectrum(x: XSpectrum) -> tuple[bytes, str]:
    """``(bytes, response digest)``: ``.npy`` of the five arrays, then the exposure."""
    rows = np.stack([x.energy_lo, x.energy_hi, x.counts, x.background, x.area]).astype(np.float64)
    return _dump(rows) + _dump(np.array([x.exposure])), x.response


def decode_xspectrum(data: bytes, response: str | None) -> XSpectrum:
    """Inverse of :func:`encode_xspectrum`."""
    buffer = io.BytesIO(data)
    rows = np.lib.format.read_array(buffer, allow_pickle=False)
    (exposure,) = np.lib.format.read_array(buffer, allow_pickle=False)
    lo, hi, counts, background, area = rows
    return XSpectrum(lo, hi, counts, background, area, float(exposure), response or "")
