"""What the physical mismatches need of a survey: aperture fluxes of its images, coarse spectra, band curves."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from explorer.pipeline.batches import batches
from explorer.pipeline.roles import values_of
from explorer.survey.progress import Progress
from explorer.survey.simulate.inject import Instrument, instrument
from explorer.survey.simulate.photometry import transmission
from explorer.survey.store import Survey
from kernels.scoring import physical

APERTURE = 0.75  # arcsec, radius: a fibre's
CELL = 12.0  # Å
BOXES = 14  # medium bands along a spectrum
TEMPLATE_ROWS = 4000


def kit_of(survey: Survey) -> Instrument | None:
    """The instrument of the survey's images, from its recipe or its metadata; None without images."""
    if "image" not in survey.modalities or not survey.has("image").any():
        return None
    from explorer.survey.simulate.recipe import load

    first = survey.image(int(np.flatnonzero(survey.has("image"))[0]))
    assert first is not None
    name = survey.meta.get("card", {}).get("recipe")
    try:
        recipe = load(name) if isinstance(name, str) else None
    except ValueError:  # a recipe of another version: the metadata say enough
        recipe = None
    bands, height, width = first.pixels.shape
    return instrument(survey.modalities["image"], max(height, width), bands, recipe)


def aperture_fluxes(survey: Survey, rows: np.ndarray, scale: float, block: int = 256) -> tuple[np.ndarray, np.ndarray]:
    """(m, bands) light within a fibre's radius above the stamp's rim, and its error; NaN where pixels are missing."""
    flux: list[np.ndarray] = []
    error: list[np.ndarray] = []
    for start in range(0, len(rows), block):
        found = [image.pixels for image in survey.images(rows[start : start + block]) if image is not None]
        alike = len({p.shape for p in found}) == 1
        for pixels in [np.stack(found)] if alike else [p[None] for p in found]:
            one, sigma = _aperture(pixels.astype(np.float32), scale)
            flux.append(one)
            error.append(sigma)
    return np.concatenate(flux), np.concatenate(error)


def _aperture(pixels: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Flux and error, (n, bands) each, of cutouts (n, bands, height, width)."""
    height, width = pixels.shape[2:]
    y, x = np.mgrid[:height, :width]
    r = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2)
    inside, rim = r * scale <= APERTURE, r > 0.45 * min(height, width)
    edge, core = pixels[:, :, rim], pixels[:, :, inside]
    low, level, high = np.percentile(edge, [16, 50, 84], axis=2)
    lost = np.isnan(level)
    if lost.any():
        low[lost], level[lost], high[lost] = np.nanpercentile(
            np.where(np.isfinite(edge[lost]).any(axis=1, keepdims=True), edge[lost], 0), [16, 50, 84], axis=1
        )
    good = np.isfinite(core)
    mean = np.where(good, core, 0).sum(axis=2) / np.maximum(good.sum(axis=2), 1)
    count = int(inside.sum())
    flux = np.where(good.mean(axis=2) > 0.9, (mean - level) * count, np.nan)
    return flux, (high - low) / 2 * np.sqrt(count)


def coarse_spectra(survey: Survey, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelengths (p,) Å, flux and ivar (m, p) float32 of these rows in cells of about 12 Å."""
    flux, ivar, grid = [], [], np.empty(0)
    for batch in batches(survey, "spectrum", rows):
        spectra: Any = batch
        width = max(1, round(CELL / float(np.median(np.diff(spectra.wavelength)))))
        grid, one, weight = physical.rebinned(spectra.wavelength, spectra.flux, spectra.ivar, width)
        flux.append(one.astype(np.float32))
        ivar.append(weight.astype(np.float32))
    return grid, np.concatenate(flux), np.concatenate(ivar)


def covered_bands(kit: Instrument, wavelength: np.ndarray) -> dict[int, np.ndarray]:
    """Band number → its response on ``wavelength``, for bands that the spectra cover by nine tenths or more."""
    wide = np.arange(2500.0, 26_000.0, 5.0)
    out = {}
    for b, band in enumerate(kit.camera.bands):
        everywhere = transmission(band, wide) * wide
        inside = (wide >= wavelength[0]) & (wide <= wavelength[-1])
        if everywhere[inside].sum() >= physical.COVERED * everywhere.sum():
            out[b] = transmission(band, wavelength)
    return out


def colour_mismatch(survey: Survey, seed: int = 0) -> np.ndarray:
    """(n,) image against spectrum: light in the bands that both see, and all colours against what the spectrum tells.

    The root mean square, in robust sigma, of (image - synthetic magnitude) for every band that the spectrum covers
    and of (colour - colour predicted from 14 medium bands of the spectrum, out of bag) for neighbouring bands.
    """
    kit = kit_of(survey)
    rows = np.flatnonzero(survey.has("image") & survey.has("spectrum"))
    if kit is None or len(rows) < physical.LEAST:
        raise ValueError(f"{len(rows)} rows of {survey.name} have image and spectrum: this needs {physical.LEAST}")
    image, error = aperture_fluxes(survey, rows, kit.camera.pixel_scale)
    wavelength, flux, ivar = coarse_spectra(survey, rows)
    ratio = image / np.maximum(error, 1e-30)
    ratio[~np.isfinite(ratio).any(axis=1)] = 1e-2
    signal = np.log(np.clip(np.nanmedian(ratio, axis=1), 1e-2, None))
    parts = []
    curves = covered_bands(kit, wavelength)
    if curves:
        made, sigma = physical.synthetic_photometry(wavelength, flux, ivar, np.stack(list(curves.values())))
        with np.errstate(divide="ignore", invalid="ignore"):
            blur = 1.0857 * np.hypot(sigma / np.abs(made), (error / np.abs(image))[:, list(curves)])
        parts.append(physical.photometric_mismatch(image[:, list(curves)], made, blur))
    if image.shape[1] > 1:
        edges = np.linspace(wavelength[0], wavelength[-1], BOXES + 1)
        boxes = np.stack([(wavelength >= a) & (wavelength < b) for a, b in pairwise(edges)])
        told, _ = physical.synthetic_photometry(wavelength, flux, ivar, boxes.astype(np.float64))
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.nanmedian(np.abs(told), axis=1, keepdims=True)
            features = np.arcsinh(told / np.where(size > 0, size, np.nan) * 3)
            colours = -2.5 * np.log10(np.where(image > 0, image, np.nan))
        parts.append(physical.predicted_mismatch(features, np.diff(colours, axis=1), signal, seed))
    if not parts:
        raise ValueError(f"{survey.name} has one band, which its spectra do not cover: no colour can be compared")
    out = np.full(len(survey), np.nan)
    both = np.stack(parts)
    known = np.isfinite(both)
    total = (np.where(known, both, 0) ** 2).sum(axis=0)
    out[rows] = np.where(known.any(axis=0), np.sqrt(total / np.maximum(known.sum(axis=0), 1)), np.nan)
    return out


def template_mismatch(survey: Survey, seed: int = 0, progress: Progress | None = None) -> np.ndarray:
    """(n,) sigma by which another redshift fits the spectrum better than the catalogue's, negative if worse."""
    redshift = values_of(survey, "redshift")
    if redshift is None:
        raise ValueError(f"{survey.name} has no redshift column: name it in the card, redshift = '…'")
    rows = np.flatnonzero(survey.has("spectrum") & np.isfinite(redshift) & (redshift > -0.01))
    if len(rows) < physical.LEAST:
        raise ValueError(f"{len(rows)} spectra of {survey.name} have a redshift: this needs {physical.LEAST}")
    wavelength, flux, ivar = coarse_spectra(survey, rows)
    rng = np.random.default_rng(seed)
    some = np.sort(rng.choice(len(rows), min(len(rows), TEMPLATE_ROWS), replace=False))
    templates = physical.rest_templates(wavelength, flux[some], ivar[some], redshift[rows[some]], random_state=seed)
    told = (lambda share: progress(int(100 * share), 100, "template fits")) if progress else None
    fit = physical.template_mismatch(wavelength, flux, ivar, redshift[rows], templates, progress=told)
    out = np.full(len(survey), np.nan)
    out[rows] = fit.mismatch
    return out


def redshift_mismatch(survey: Survey, space: str, seed: int = 0) -> np.ndarray:
    """(n,) redshift that the image suggests against the catalogue's, in local scatters of ln(1 + z).

    Predicted by trees that did not see it from the image's vectors in ``space`` and its aperture fluxes.
    """
    redshift = values_of(survey, "redshift")
    if redshift is None:
        raise ValueError(f"{survey.name} has no redshift column: name it in the card, redshift = '…'")
    kit = kit_of(survey)
    assert kit is not None
    vectors = survey.embedding(space)
    rows = np.flatnonzero(survey.has("image") & np.isfinite(vectors).all(axis=1))
    image, error = aperture_fluxes(survey, rows, kit.camera.pixel_scale)
    with np.errstate(divide="ignore", invalid="ignore"):
        magnitudes = np.arcsinh(image / np.maximum(np.nanmedian(error, axis=0), 1e-30))
    colours = np.diff(magnitudes, axis=1)
    X = np.concatenate([_leading(vectors[rows]), magnitudes, colours], axis=1)
    y = np.where(redshift[rows] > -0.9, np.log1p(np.maximum(redshift[rows], -0.9)), np.nan)
    out = np.full(len(survey), np.nan)
    out[rows] = physical.predicted_mismatch(X, y, random_state=seed)
    return out


def _leading(vectors: np.ndarray, most: int = 64) -> np.ndarray:
    """Leading principal components of long vectors: trees over hundreds of columns take long and gain little."""
    if vectors.shape[1] <= most:
        return vectors
    from sklearn.decomposition import PCA

    return PCA(most, svd_solver="randomized", random_state=0).fit_transform(vectors)
