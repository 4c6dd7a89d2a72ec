"""Cutouts to model input (P0.1): clean pixels in flux units, one size, and what undoes it.

Pixels are ``(..., bands, height, width)``; what comes back is float32 of the same leading shape. ``correct`` takes
each cutout's AB zero point; ``parity`` multiplies by the constants printed in paper P0 and its public code,
which look like Vega zero points in Jy: taken as AB they shift VIS - H by 1.2 mag.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

UNITS = {"nJy": 31.4, "nanomaggies": 22.5}
"""AB magnitude of one unit of flux: m = zero point - 2.5 log10(flux)."""

PARITY = {"VIS": 2835.34, "Y": 1916.10, "J": 1370.25, "H": 918.35}
"""Band → the constant ZP of P0's ``ADU x ZP / 3631``."""


def clean(pixels: ArrayLike) -> np.ndarray:
    """The pixels as float32 with NaN and infinities set to 0."""
    pixels = _pixels(pixels)
    return np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)


def factors(
    bands: Sequence[str] | int,
    zero_point: ArrayLike | None = None,
    unit: str = "nJy",
    mode: str = "correct",
) -> np.ndarray:
    """What a pixel in ADU is multiplied by: (bands,) or, for zero points of each cutout, (n, bands), float64.

    Parameters
    ----------
    bands : the bands' names, or how many there are.
    zero_point : AB zero points, a number, (bands,) or (n, bands), magnitudes: m = zero_point - 2.5 log10(ADU).
    unit : ``nJy`` or ``nanomaggies``; ``parity`` has its own.
    mode : ``correct`` or ``parity``.
    """
    if mode == "parity":
        if isinstance(bands, int):
            raise ValueError("mode='parity' needs the bands' names, to know the constant of each")
        return np.array([_parity(band) for band in bands]) / 3631.0
    if mode != "correct":
        raise ValueError(f"mode={mode!r} is unknown: choose 'correct' or 'parity'")
    if unit not in UNITS:
        raise ValueError(f"unit={unit!r} is unknown: choose one of {', '.join(UNITS)}")
    if zero_point is None:
        raise ValueError("mode='correct' needs the cutouts' AB zero points: pass zero_point, or mode='parity'")
    count = bands if isinstance(bands, int) else len(bands)
    zero_point = np.asarray(zero_point, dtype=np.float64)
    if zero_point.ndim == 0:
        zero_point = np.full(count, zero_point)
    if zero_point.ndim > 2 or zero_point.shape[-1] != count:
        raise ValueError(f"zero_point has the shape {zero_point.shape}: give one for each of the {count} bands")
    if not np.isfinite(zero_point).all():
        bad = np.argwhere(~np.isfinite(zero_point))[0]
        name = bad[-1] if isinstance(bands, int) else bands[bad[-1]]
        raise ValueError(f"the zero point of band {name} is not finite: read it from the image's header")
    return 10.0 ** (-0.4 * (zero_point - UNITS[unit]))


def _parity(band: str) -> float:
    name = band.upper().replace("EUCLID", "").replace("NISP", "").replace("NIR", "").strip("-_ ")
    if name not in PARITY:
        raise ValueError(f"no published constant for band {band!r}; there are: {', '.join(PARITY)}")
    return PARITY[name]


def to_flux(
    pixels: ArrayLike,
    bands: Sequence[str] | int | None = None,
    zero_point: ArrayLike | None = None,
    unit: str = "nJy",
    mode: str = "correct",
) -> np.ndarray:
    """Pixels in ADU (..., bands, h, w) as flux, NaN kept; see :func:`factors`."""
    pixels = _pixels(pixels)
    return (pixels * _factors_for(pixels, bands, zero_point, unit, mode)).astype(np.float32)


def from_flux(
    flux: ArrayLike,
    bands: Sequence[str] | int | None = None,
    zero_point: ArrayLike | None = None,
    unit: str = "nJy",
    mode: str = "correct",
) -> np.ndarray:
    """Inverse of :func:`to_flux`."""
    flux = _pixels(flux)
    return (flux / _factors_for(flux, bands, zero_point, unit, mode)).astype(np.float32)


def _factors_for(
    pixels: np.ndarray, bands: Sequence[str] | int | None, zero_point: ArrayLike | None, unit: str, mode: str
) -> np.ndarray:
    count = pixels.shape[-3]
    told = count if bands is None else bands if isinstance(bands, int) else len(bands)
    if told != count:
        raise ValueError(f"the pixels have {count} bands and {told} are named")
    found = factors(count if bands is None else bands, zero_point, unit, mode)
    if found.ndim == 2 and (pixels.ndim != 4 or len(found) != len(pixels)):
        raise ValueError(f"zero points of {len(found)} cutouts for pixels of shape {pixels.shape}: give (n, bands)")
    return found[..., None, None]


def stack(planes: Mapping[str, ArrayLike | None], bands: Sequence[str]) -> np.ndarray:
    """(bands, h, w) float32 from single planes, in the order of ``bands``; a band that is missing is all NaN."""
    found = {b: np.asarray(planes[b], dtype=np.float32) for b in bands if planes.get(b) is not None}
    if not found:
        raise ValueError(f"none of the bands {', '.join(bands)} is there; there are: {', '.join(planes) or 'none'}")
    shapes = {b: p.shape for b, p in found.items()}
    shape = next(iter(shapes.values()))
    if len(shape) != 2 or len(set(shapes.values())) > 1:
        raise ValueError(f"the bands are (h, w) of one shape, not {shapes}: cut or resize them first")
    return np.stack([found.get(b, np.full(shape, np.nan, np.float32)) for b in bands])


def resize(pixels: ArrayLike, size: int | tuple[int, int], antialias: bool = False) -> np.ndarray:
    """Bilinear resize of (..., h, w) to ``size`` (one side, or height and width), pixel centres kept apart evenly.

    Equals ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)`` without antialiasing. A value
    is per pixel and stays so (flux per pixel is not conserved). A NaN stays within a pixel of where it was. With
    ``antialias`` an axis that shrinks is averaged over the old pixels in each new one (:func:`overlaps`).
    """
    planes = _pixels(pixels, dims=2)
    height, width = (size, size) if isinstance(size, int | np.integer) else size
    if height < 1 or width < 1:
        raise ValueError(f"size={size!r}: ask for at least one pixel a side")
    if antialias:
        if height < planes.shape[-2]:
            planes = np.matmul(overlaps(planes.shape[-2], int(height)), planes)
        if width < planes.shape[-1]:
            planes = np.matmul(planes, overlaps(planes.shape[-1], int(width)).T)
    return _along(_along(planes, int(height), -2), int(width), -1)


@lru_cache(maxsize=256)
def overlaps(old: int, new: int) -> np.ndarray:
    """(new, old) float32 rows that sum to 1: the share of each old pixel in each of fewer new ones."""
    edge = np.arange(new + 1) * (old / new)
    left, right = edge[:-1, None], edge[1:, None]
    pixel = np.arange(old)[None]
    share = np.clip(np.minimum(right, pixel + 1) - np.maximum(left, pixel), 0, None)
    return np.asarray(share / share.sum(axis=1, keepdims=True), dtype=np.float32)


def _along(pixels: np.ndarray, size: int, axis: int) -> np.ndarray:
    old = pixels.shape[axis]
    if old == size:
        return pixels
    at = np.maximum((np.arange(size) + 0.5) * (old / size) - 0.5, 0.0)
    low = np.minimum(at.astype(np.int64), old - 1)
    high = np.minimum(low + 1, old - 1)
    share = (at - low).astype(np.float32)
    share = share[:, None] if axis == -2 else share
    first, second = np.take(pixels, low, axis), np.take(pixels, high, axis)
    second = np.where(share > 0, second, first)
    return first + share * (second - first)


def rank_equalise(pixels: ArrayLike) -> np.ndarray:
    """Each plane's pixels replaced by their rank in it, (rank - 1/2) / pixels in (0, 1), equal ones sharing theirs.

    What is left of an image when its stretch is taken away. NaN and infinities become NaN and count for nothing.
    """
    pixels = _pixels(pixels, dims=2)
    planes = np.where(np.isfinite(pixels), pixels, np.nan).reshape(-1, pixels.shape[-2] * pixels.shape[-1])
    order = np.argsort(planes, axis=1)
    ascending = np.take_along_axis(planes, order, axis=1)
    places = np.arange(planes.shape[1])
    new = np.ones(planes.shape, bool)
    new[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    first = np.maximum.accumulate(np.where(new, places, 0), axis=1)
    ends = np.ones(planes.shape, bool)
    ends[:, :-1] = new[:, 1:]
    last = np.minimum.accumulate(np.where(ends, places, planes.shape[1])[:, ::-1], axis=1)[:, ::-1]
    count = np.maximum(np.isfinite(planes).sum(axis=1, keepdims=True), 1)
    shared = ((first + last + 1) / 2 / count).astype(np.float32)
    ranks = np.empty_like(shared)
    np.put_along_axis(ranks, order, shared, axis=1)
    ranks[np.isnan(planes)] = np.nan
    return ranks.reshape(pixels.shape)


def prepare(
    pixels: ArrayLike,
    size: int | tuple[int, int],
    bands: Sequence[str] | int | None = None,
    zero_point: ArrayLike | None = None,
    unit: str = "nJy",
    mode: str = "correct",
) -> np.ndarray:
    """P0.1 as a whole: invalid pixels to 0, ADU to flux in each band, bilinear resize. (..., bands, h, w) float32."""
    return resize(to_flux(clean(pixels), bands, zero_point, unit, mode), size)


def _pixels(pixels: ArrayLike, dims: int = 3) -> np.ndarray:
    array = np.asarray(pixels)
    if array.dtype.kind not in "buif":
        raise ValueError(f"pixels are numbers, not {array.dtype}")
    axes = "(..., bands, height, width)" if dims == 3 else "(..., height, width)"
    if array.ndim < dims or 0 in array.shape[-dims:]:
        raise ValueError(f"pixels of shape {array.shape}: {axes} with no empty axis is needed")
    return array.astype(np.float32, copy=False)
