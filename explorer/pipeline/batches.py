"""Rows of a survey as the blocks of arrays that encoders take."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from explorer.pipeline.roles import numbers
from explorer.survey.records import Image, Spectrum
from explorer.survey.store import Survey
from kernels.embedding.batches import Columns, Events, Images, Spectra, Text, XSpectra
from kernels.preprocess.images import clean, resize
from kernels.preprocess.spectra import masked, resample
from kernels.preprocess.xray import bin_edges, rate_from_channels

GRID_STEP = 2.0
MOST_CELLS = 65_536
"""Cells of the common grid at most: one spectrum with wavelengths of another unit must not ask for all memory."""


def batches(
    survey: Survey,
    modality: str,
    rows: np.ndarray,
    size: int = 64,
    block: int = 256,
    grid: np.ndarray | None = None,
) -> Iterator[Any]:
    """Blocks of at most ``block`` rows of one modality; the next block is read while one is used.

    Of ``"joint"`` a block is ``{"image": Images, "spectrum": Spectra}`` of the same rows.

    ``size`` is the side in pixels that images of unequal shape are brought to; ``grid`` (m,) Å the wavelengths of the
    spectra, by default :func:`common_grid`.
    """
    make = _maker(survey, modality, size, grid)
    starts = range(0, len(rows), block)
    with ThreadPoolExecutor(1) as reader:
        ahead = None
        for start in starts:
            here = ahead or reader.submit(make, rows[start : start + block])
            ahead = reader.submit(make, rows[start + block : start + 2 * block]) if start + block < len(rows) else None
            yield here.result()


def _maker(survey: Survey, modality: str, size: int, grid: np.ndarray | None = None):  # type: ignore[no-untyped-def]
    if modality == "image":
        return lambda rows: image_batch(survey, rows, size)
    if modality == "spectrum":
        grid = common_grid(survey) if grid is None else grid
        return lambda rows: spectrum_batch(survey, rows, grid)
    if modality == "joint":
        image, spectrum = _maker(survey, "image", size), _maker(survey, "spectrum", size, grid)
        return lambda rows: {"image": image(rows), "spectrum": spectrum(rows)}
    if modality == "text":
        return lambda rows: Text(survey.texts(rows))
    if modality == "events":
        return lambda rows: events_batch(survey, rows)
    if modality == "xspectrum":
        return lambda rows: xspectrum_batch(survey, rows)
    if modality == "columns":
        names = measured_columns(survey)
        arrays = [np.asarray(survey.column(name), np.float64) for name in names]
        return lambda rows: Columns(np.stack([a[rows] for a in arrays], axis=1), names)
    raise ValueError(f"no batches of {modality!r} can be made; image, spectrum, text, events, xspectrum, columns can")


NOT_MEASURED = re.compile(
    r"(?i)^((ra|dec|glon|glat)(_.*|j2000|deg)?|raj2000|dej2000|l|b|x|y|index|row|seed|mjd.*|htm.*|healpix.*)$"
    r"|(^|_)(id|obsid|targetid|objid|truth)(_|$)"
)
"""Columns by name that say where or which an object is, or what was simulated, and not how it is."""


def measured_columns(survey: Survey) -> list[str]:
    """The catalogue's columns of numbers, less positions, numbers of objects, and the truth of a simulation."""
    return [n for n in numbers(survey) if not NOT_MEASURED.search(n)]


def rows_with(survey: Survey, modality: str) -> np.ndarray:
    """Rows that have a modality; every row has ``columns`` where the catalogue has two measured ones or more."""
    if modality == "columns":
        return np.arange(len(survey) if len(measured_columns(survey)) > 1 else 0)
    return np.flatnonzero(survey.has(modality)) if modality in survey.modalities else np.empty(0, np.int64)


def image_batch(survey: Survey, rows: np.ndarray, size: int) -> Images:
    """Cutouts of ``rows``, all of which have one, as (n, bands, h, w); of unequal shapes, at ``size`` a side."""
    told = survey.modalities["image"]
    cutouts = [image.pixels for image in survey.images(rows, at_most=size) if isinstance(image, Image)]
    bands = len(told.get("bands", ())) or max(len(p) for p in cutouts)
    alike = len({p.shape for p in cutouts}) == 1 and len(cutouts[0]) == bands and cutouts[0].dtype != np.uint8
    if not alike:
        cutouts = [resize(clean(_with_bands(p, bands)), size, antialias=True) for p in cutouts]
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
    step = max(step, (high - low) / MOST_CELLS)
    grid = np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step
    return grid if len(grid) > 1 else np.array([low, high])


def spectrum_batch(survey: Survey, rows: np.ndarray, grid: np.ndarray) -> Spectra:
    """Spectra of ``rows``, all of which have one, on ``grid``: averaged where it is coarser, else interpolated."""
    flux = np.zeros((len(rows), len(grid)), dtype=np.float32)
    ivar = np.zeros_like(flux)
    alike: dict[bytes, list[tuple[int, Spectrum]]] = {}
    for i, spectrum in enumerate(survey.spectra(rows)):
        if spectrum is not None:
            alike.setdefault(spectrum.wavelength.tobytes(), []).append((i, spectrum))
    for group in alike.values():
        wavelength = group[0][1].wavelength
        how = "conserving" if np.median(np.diff(wavelength)) < grid[1] - grid[0] else "linear"
        here = [i for i, _ in group]
        measured, weight = masked(np.stack([s.flux for _, s in group]), np.stack([s.ivar for _, s in group]))
        flux[here], weight = resample(wavelength, measured, weight, grid, how)
        ivar[here] = np.minimum(weight, np.finfo(np.float32).max)
    return Spectra(grid, flux, ivar)


def events_batch(survey: Survey, rows: np.ndarray) -> Events:
    """Photons of ``rows``; a row without an event list is a source without photons and without exposure."""
    found = survey.event_lists(rows)
    nothing = np.empty(0)
    return Events.of(
        [nothing if e is None else e.time for e in found],
        [None if e is None else e.energy for e in found],
        [nothing if e is None else e.gti for e in found],
    )


def xspectrum_batch(survey: Survey, rows: np.ndarray) -> XSpectra:
    """Net count rates of ``rows`` in 400 bins over 0.5-8 keV (P3.1); NaN where there is no spectrum or exposure."""
    edges = bin_edges()
    rate = np.full((len(rows), len(edges) - 1), np.nan, np.float32)
    exposure = np.zeros(len(rows))
    for i, x in enumerate(survey.xspectra(rows)):
        if x is None or not (np.isfinite(x.exposure) and x.exposure > 0):
            continue
        known = np.isfinite(x.counts) & np.isfinite(x.background) & (x.energy_hi > x.energy_lo)
        if known.any():
            lo, hi, counts, back = (a[known] for a in (x.energy_lo, x.energy_hi, x.counts, x.background))
            rate[i] = rate_from_channels(lo, hi, counts, x.exposure, back, edges)
            exposure[i] = x.exposure
    return XSpectra(rate, edges, exposure)
