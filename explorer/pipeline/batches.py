"""Rows of a survey as the blocks of arrays that encoders take."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from explorer.survey.records import Image, Spectrum
from explorer.survey.store import Survey
from kernels.embedding.batches import Batch, Images, Spectra
from kernels.embedding.encoders.pca import resize

GRID_STEP = 2.0


def batches(survey: Survey, modality: str, rows: np.ndarray, size: int = 64, block: int = 256) -> Iterator[Batch]:
    """Blocks of at most ``block`` rows of one modality; the next block is read while one is used.

    ``size`` is the side in pixels that images of unequal shape are brought to.
    """
    make = _maker(survey, modality, size)
    starts = range(0, len(rows), block)
    with ThreadPoolExecutor(1) as reader:
        ahead = None
        for start in starts:
            here = ahead or reader.submit(make, rows[start : start + block])
            ahead = reader.submit(make, rows[start + block : start + 2 * block]) if start + block < len(rows) else None
            yield here.result()


def _maker(survey: Survey, modality: str, size: int):  # type: ignore[no-untyped-def]
    if modality == "image":
        return lambda rows: image_batch(survey, rows, size)
    if modality == "spectrum":
        grid = common_grid(survey)
        return lambda rows: spectrum_batch(survey, rows, grid)
    raise ValueError(f"no batches of {modality!r} can be made; image and spectrum can")


def image_batch(survey: Survey, rows: np.ndarray, size: int) -> Images:
    """Cutouts of ``rows``, all of which have one, as (n, bands, h, w); of unequal shapes, at ``size`` a side."""
    told = survey.modalities["image"]
    cutouts = [image.pixels for image in survey.images(rows, at_most=size) if isinstance(image, Image)]
    bands = len(told.get("bands", ())) or max(len(p) for p in cutouts)
    alike = len({p.shape for p in cutouts}) == 1 and len(cutouts[0]) == bands and cutouts[0].dtype != np.uint8
    if not alike:
        cutouts = [resize(_with_bands(p, bands)[None], size)[0] for p in cutouts]
    pixels = np.stack(cutouts).astype(np.float32, copy=False)
    scale, zero = told.get("pixel_scale", float("nan")), told.get("zero_point", ())
    return Images(pixels, tuple(told.get("bands", ())), float(scale), tuple(np.atleast_1d(zero)))


def _with_bands(pixels: np.ndarray, bands: int) -> np.ndarray:
    """The same picture in ``bands`` bands: grey repeated, or colour averaged, where the number differs."""
    if len(pixels) == bands:
        return pixels
    grey = pixels.astype(np.float32).mean(axis=0, keepdims=True)
    return np.repeat(grey, bands, axis=0)


def common_grid(survey: Survey, step: float = GRID_STEP) -> np.ndarray:
    """(m,) float64 linear grid in Å that covers nearly all spectra of the survey, by a look at 256 of them."""
    rows = np.flatnonzero(survey.has("spectrum"))
    some = rows[np.linspace(0, len(rows) - 1, min(len(rows), 256)).astype(int)]
    ends = np.array([(s.wavelength[0], s.wavelength[-1]) for s in survey.spectra(some) if s is not None])
    low, high = np.percentile(ends[:, 0], 10), np.percentile(ends[:, 1], 90)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def spectrum_batch(survey: Survey, rows: np.ndarray, grid: np.ndarray) -> Spectra:
    """Spectra of ``rows``, all of which have one, averaged or interpolated onto ``grid``."""
    flux = np.zeros((len(rows), len(grid)), dtype=np.float32)
    ivar = np.zeros_like(flux)
    for i, spectrum in enumerate(survey.spectra(rows)):
        if spectrum is not None:
            flux[i], ivar[i] = rebin(spectrum, grid)
    return Spectra(grid, flux, ivar)


def rebin(spectrum: Spectrum, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(flux, ivar)`` on a linear grid: ivar-weighted means of the samples in each cell, linear where a cell has none.

    Cells outside the spectrum, or with masked samples alone, get ivar 0.
    """
    step = grid[1] - grid[0]
    cell = np.floor((spectrum.wavelength - grid[0]) / step + 0.5).astype(np.int64)
    inside = (cell >= 0) & (cell < len(grid)) & np.isfinite(spectrum.flux) & (spectrum.ivar > 0)
    weight = np.bincount(cell[inside], spectrum.ivar[inside], len(grid))
    total = np.bincount(cell[inside], (spectrum.ivar * spectrum.flux)[inside], len(grid))
    flux = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    spacing = np.median(np.diff(spectrum.wavelength))
    if spacing > step:
        good = (spectrum.ivar > 0) & np.isfinite(spectrum.flux)
        if good.sum() >= 2:
            x = spectrum.wavelength[good]
            between = (weight == 0) & (grid >= x[0]) & (grid <= x[-1])
            near = np.abs(x[np.clip(np.searchsorted(x, grid[between]), 0, len(x) - 1)] - grid[between]) <= 2 * spacing
            places = np.flatnonzero(between)[near]
            flux[places] = np.interp(grid[places], x, spectrum.flux[good])
            weight[places] = np.interp(grid[places], x, spectrum.ivar[good])
    return flux.astype(np.float32), weight.astype(np.float32)
