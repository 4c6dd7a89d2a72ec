"""Band fluxes of stellar mixtures, from tables over redshift and dust, and of emission lines."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from explorer.survey.simulate import populations
from explorer.survey.simulate.cosmology import luminosity_distance
from explorer.survey.simulate.recipe import Band

LIGHT_A = 2.99792458e18  # Å/s
MICROJANSKY = 1e-29  # erg/s/cm²/Hz
_BIN = 8
_STRIDE = 3
_MAX_LNZ = np.log(3.2)
_AV = np.arange(0.0, 6.01, 0.3)


def transmission(band: Band, wavelength: np.ndarray) -> np.ndarray:
    """Response of a filter to ``wavelength`` Å: a plateau with edges 1.2 % wide."""
    edge = 0.012
    rise = np.clip((wavelength / band.lo - 1) / edge * 4, -60, 60)
    fall = np.clip((wavelength / band.hi - 1) / edge * 4, -60, 60)
    return 1 / (1 + np.exp(-rise)) / (1 + np.exp(fall))


def _norm(band: Band) -> float:
    """∫ R dλ/λ of a filter."""
    ln = np.arange(np.log(band.lo) - 0.1, np.log(band.hi) + 0.1, 1e-4)
    return float(transmission(band, np.exp(ln)).sum() * 1e-4)


@lru_cache(maxsize=8)
def _table(bands: tuple[Band, ...]) -> np.ndarray:
    """(redshifts, dusts, templates, bands): ∫ L A R λ² dlnλ / (c ∫ R dlnλ), in 1e29 erg/s/Hz per solar mass."""
    fine = populations.templates()[1]
    m = fine.shape[1] // _BIN
    coarse = fine[:, : m * _BIN].reshape(len(fine), m, _BIN).mean(axis=2).astype(np.float64)
    ln = populations.LN_LO + populations.STEP * (np.arange(m) * _BIN + (_BIN - 1) / 2)
    step = populations.STEP * _BIN
    dust = 10 ** (-0.4 * _AV[:, None] * populations.calzetti(np.exp(ln)))
    shifts = np.arange(0.0, _MAX_LNZ, step * _STRIDE)
    out = np.empty((len(shifts), len(_AV), len(fine), len(bands)))
    for b, band in enumerate(bands):
        scale = step / (LIGHT_A * _norm(band))
        for i, shift in enumerate(shifts):
            inside = (ln + shift > np.log(band.lo) - 0.03) & (ln + shift < np.log(band.hi) + 0.03)
            observed = np.exp(ln[inside] + shift)
            weight = transmission(band, observed) * observed**2 * scale
            out[i, :, :, b] = (dust[:, inside] * weight) @ coarse[:, inside].T
    return out


def stellar(weights: np.ndarray, z: np.ndarray, av: np.ndarray, bands: tuple[Band, ...]) -> np.ndarray:
    """(n, bands) µJy of mixtures: ``weights`` (n, templates) in solar masses behind ``av`` magnitudes of dust."""
    table = _table(bands)
    u = np.clip(np.log1p(z) / (populations.STEP * _BIN * _STRIDE), 0, len(table) - 1.001)
    v = np.clip(av / 0.3, 0, len(_AV) - 1.001)
    i, j = u.astype(int), v.astype(int)
    s, t = (u - i)[:, None, None], (v - j)[:, None, None]
    cell = (1 - s) * ((1 - t) * table[i, j] + t * table[i, j + 1])
    cell += s * ((1 - t) * table[i + 1, j] + t * table[i + 1, j + 1])
    luminosity = np.einsum("nk,nkb->nb", weights, cell) * 1e29
    return luminosity / (4 * np.pi * luminosity_distance(z)[:, None] ** 2 * (1 + z[:, None])) / MICROJANSKY


def of_lines(flux: np.ndarray, wavelength: np.ndarray, bands: tuple[Band, ...]) -> np.ndarray:
    """(n, bands) µJy that lines add: ``flux`` (n, l) erg/s/cm² at observed ``wavelength`` (n, l) Å."""
    out = np.empty((len(flux), len(bands)))
    for b, band in enumerate(bands):
        response = transmission(band, wavelength) * wavelength
        out[:, b] = (flux * response).sum(axis=1) / (LIGHT_A * _norm(band)) / MICROJANSKY
    return out


def of_spectrum(wavelength: np.ndarray, flux: np.ndarray, band: Band) -> np.ndarray:
    """µJy of f_λ (…, m) erg/s/cm²/Å through a filter, by direct integration: the check of the tables."""
    step = np.gradient(wavelength)
    response = transmission(band, wavelength)
    power = (flux * response * wavelength * step).sum(axis=-1)
    return power / (LIGHT_A * (response / wavelength * step).sum()) / MICROJANSKY


def to_mag(flux: np.ndarray) -> np.ndarray:
    """AB magnitude of µJy; NaN where the flux is not positive."""
    return 23.9 - 2.5 * np.log10(np.where(flux > 0, flux, np.nan))
