"""What a re-ranking tool is given of one object, and what it answers: a score and what the score rests on (P4.6)."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is known of one object; a part that it lacks is None (or empty).

    Attributes
    ----------
    pixels : (bands, height, width) of a real type, NaN where there is no data; the object lies in the middle.
    bands : their names, as ``("VIS", "Y", "J", "H")``; ``psf_fwhm`` (arcsec) one for each, where they are known.
    pixel_scale : arcsec a pixel.
    wavelength, flux, ivar : (m,) vacuum Å ascending, flux per Å, inverse variance with 0 for masked samples.
    redshift : of the object.
    """

    pixels: np.ndarray | None = None
    bands: tuple[str, ...] = ()
    psf_fwhm: tuple[float, ...] = ()
    pixel_scale: float | None = None
    wavelength: np.ndarray | None = None
    flux: np.ndarray | None = None
    ivar: np.ndarray | None = None
    redshift: float | None = None


@dataclass(frozen=True)
class Fact:
    """One number that a score rests on, with its error and unit where it has them."""

    name: str
    value: float
    error: float | None = None
    unit: str = ""


@dataclass(frozen=True, eq=False)
class Curve:
    """One line of a small plot: ``x`` and ``y`` (m,)."""

    name: str
    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True, eq=False)
class Evidence:
    """The answer of a tool on one object.

    Attributes
    ----------
    score : finite; a higher one is more of what the tool looks for.
    facts : the numbers it rests on, the most telling first.
    pictures : name → (height, width) float32, 0 where nothing is left; shown with one symmetric scale for all.
    curves : lines of one plot, the data first; ``axis`` names its x axis.
    notes : what a reader should know, in words.
    """

    score: float
    facts: tuple[Fact, ...]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    axis: str = ""
    notes: tuple[str, ...] = ()


class Unfit(ValueError):
    """A tool cannot judge this object; the message says what is amiss with it."""


def image_of(candidate: Candidate) -> np.ndarray:
    """(bands, height, width) float64 of a candidate's image; :class:`Unfit` where it cannot be used."""
    if candidate.pixels is None:
        raise Unfit("it has no image")
    pixels = np.asarray(candidate.pixels, np.float64)
    if pixels.ndim != 3 or min(pixels.shape[1:]) < 16:
        raise Unfit(f"its image has shape {pixels.shape}: bands of 16 x 16 pixels or more are needed")
    good = np.isfinite(pixels)
    if not good.any(axis=(1, 2)).all():
        raise Unfit(f"band {int(np.argmin(good.any(axis=(1, 2)))) + 1} of its image holds no data")
    return pixels


def spectrum_of(candidate: Candidate, fewest: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Wavelength, flux and ivar (m,) float64, what is masked or not finite at ivar 0; :class:`Unfit` without data."""
    if candidate.wavelength is None or candidate.flux is None or candidate.ivar is None:
        raise Unfit("it has no spectrum")
    wavelength, flux, ivar = (np.asarray(v, np.float64) for v in (candidate.wavelength, candidate.flux, candidate.ivar))
    if not wavelength.shape == flux.shape == ivar.shape or wavelength.ndim != 1:
        raise Unfit(f"its spectrum has {wavelength.shape}, {flux.shape} and {ivar.shape} samples: they must agree")
    good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0) & np.isfinite(wavelength)
    if good.sum() < fewest:
        raise Unfit(f"its spectrum has {int(good.sum())} good samples: {fewest} are needed")
    return wavelength, np.where(good, flux, 0.0), np.where(good, ivar, 0.0)
