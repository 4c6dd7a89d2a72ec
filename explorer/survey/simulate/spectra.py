"""Spectra of galaxies: continuum, dust, emission lines, the fibre, and a spectrograph's noise."""

from __future__ import annotations

import numpy as np
from scipy.special import gammainc, ndtr

from explorer.survey.simulate import lines, populations, sky
from explorer.survey.simulate.cosmology import LIGHT, luminosity_distance
from explorer.survey.simulate.parameters import Galaxies, stream
from explorer.survey.simulate.recipe import SpectrumSpec

_PURPOSE = 31
_HALF = 56  # pixels on either side of a narrow line that are filled


def fibre_shares(g: Galaxies, spec: SpectrumSpec) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Shares (n,) of the light of bulge, disk and point source that fall into the fibre.

    The profile's half-light radius is widened by the seeing in quadrature; ``fibre_u`` is the scatter of
    pointing and seeing, one number per object so that the shape of the spectrum stays.
    """
    seeing = spec.seeing / 2.0  # half-light radius of a Moffat's FWHM, roughly
    half = spec.fibre / 2

    def share(radius: np.ndarray, q: np.ndarray, index: np.ndarray) -> np.ndarray:
        wide = np.hypot(radius * np.sqrt(q), seeing)
        flat = np.where(radius > seeing, index, 0.8)
        b = 2 * flat - 1 / 3 + 0.009876 / flat
        return gammainc(2 * flat, b * (half / wide) ** (1 / flat))

    one = np.ones_like(g["z"])
    loss = np.exp(g["fibre_u"])
    bulge = share(g["r_bulge"], g["q_bulge"], g["sersic"])
    disk = share(g["r_disk"], g["q_disk"], one)
    point = share(0 * one, one, 0.8 * one)
    return (np.minimum(bulge * loss, 0.95), np.minimum(disk * loss, 0.95), np.minimum(point * loss, 0.95))


def fibre_fraction(g: Galaxies, spec: SpectrumSpec) -> np.ndarray:
    """(n,) share of the light in the first band that the fibre takes."""
    bulge, disk, point = fibre_shares(g, spec)
    taken = bulge * g["f_bulge"][:, 0] + disk * (g["f_disk"] + g["f_young"])[:, 0] + point * g["f_point"][:, 0]
    return taken / g["flux"][:, 0]


def noiseless(g: Galaxies, spec: SpectrumSpec) -> np.ndarray:
    """(n, pixels) float32 flux in the fibre, in units of ``spec.flux_unit`` erg/s/cm²/Å, without noise."""
    bulge, disk, point = fibre_shares(g, spec)
    wavelength = spec.wavelength()
    flux = _continuum(g, spec, bulge, disk)
    nuclear = np.isin(g["bpt"], ("Seyfert", "LINER"))
    share = np.where(nuclear, bulge, disk)
    strength = g["line_flux"] * share[:, None] / spec.flux_unit
    add_lines(flux, wavelength, lines.WAVELENGTHS * (1 + g["z"][:, None]), strength, g["sigma_gas"], spec)
    for i in np.flatnonzero(g["agn_fraction"] > 0):
        flux[i] += nucleus(g, int(i), wavelength, spec, point[i])
    for i in np.flatnonzero(g["class"] == "lens"):
        flux[i] += lensed(g, int(i), wavelength, spec)
    return flux


def _continuum(g: Galaxies, spec: SpectrumSpec, bulge: np.ndarray, disk: np.ndarray) -> np.ndarray:
    """Stars in the fibre on the observed grid."""
    n = len(g["z"])
    wavelength = spec.wavelength()
    keep = int((np.log(wavelength[-1]) - populations.LN_LO) / populations.STEP) + 8
    rest = populations.grid()[:keep]
    basis = populations.templates()[:, :, :keep]
    at = np.interp(np.log(g["sigma_star"]), np.log(populations.DISPERSIONS), np.arange(4.0))
    low = np.minimum(at.astype(int), 2)
    mix = np.zeros((n, 4))
    mix[np.arange(n), low], mix[np.arange(n), low + 1] = 1 - (at - low), at - low
    curve = populations.calzetti(rest[::16])
    fine, coarse = np.log(rest), np.log(rest[::16])
    total = np.zeros((n, keep), dtype=np.float32)
    for part, share, dust in (("bulge", bulge, 0.35), ("disk", disk, 0.8), ("young", disk, 1.0)):
        weights = mix[:, :, None] * (g["w_" + part] * share[:, None] * 1e-9)[:, None, :]
        light = weights.reshape(n, -1).astype(np.float32) @ basis.reshape(-1, keep)
        dim = 10 ** (-0.4 * (g["av"] * dust)[:, None] * curve)
        for i in range(n):
            light[i] *= np.interp(fine, coarse, dim[i]).astype(np.float32)
        total += light
    scale = 1e29 * 1e9 / (4 * np.pi * luminosity_distance(g["z"]) ** 2 * (1 + g["z"])) / spec.flux_unit
    position = (np.log(wavelength) - np.log1p(g["z"])[:, None] - populations.LN_LO) / populations.STEP
    index = position.astype(np.int32)
    part = (position - index).astype(np.float32)
    first = np.take_along_axis(total, index, axis=1)
    second = np.take_along_axis(total, index + 1, axis=1)
    return (first + part * (second - first)) * scale[:, None].astype(np.float32)


def add_lines(
    flux: np.ndarray,
    wavelength: np.ndarray,
    centres: np.ndarray,
    strength: np.ndarray,
    sigma: np.ndarray,
    spec: SpectrumSpec,
) -> None:
    """Add Gaussian lines to ``flux`` (n, m), integrated over pixels.

    ``centres`` (n, l) observed Å, ``strength`` (n, l) in flux units times Å, ``sigma`` (n,) km/s of the gas; the
    spectrograph's own width (0.75 Å, or 69 km/s on a logarithmic grid) adds in quadrature.
    """
    m = flux.shape[1]
    instrument = 0.75 if spec.grid == "linear" else centres * 69.0 / LIGHT
    width = np.hypot(centres * sigma[:, None] / LIGHT, instrument)
    step = np.gradient(wavelength)
    if spec.grid == "linear":
        pixel = (centres - wavelength[0]) / spec.step
    else:
        pixel = (np.log10(centres) - spec.start) / spec.step
    row, line = np.nonzero((pixel > -_HALF) & (pixel < m + _HALF) & (strength > 0))
    if not len(row):
        return
    where = np.round(pixel[row, line]).astype(int)[:, None] + np.arange(-_HALF, _HALF + 1)
    inside = (where >= 0) & (where < m)
    at = np.clip(where, 0, m - 1)
    s, c = width[row, line][:, None], centres[row, line][:, None]
    lower = ndtr((wavelength[at] - step[at] / 2 - c) / s)
    upper = ndtr((wavelength[at] + step[at] / 2 - c) / s)
    value = (upper - lower) / step[at] * strength[row, line][:, None] * inside
    np.add.at(flux, (np.broadcast_to(row[:, None], at.shape), at), value.astype(flux.dtype))


def nucleus(g: Galaxies, i: int, wavelength: np.ndarray, spec: SpectrumSpec, share: float) -> np.ndarray:
    """Power law, broad lines and iron of an active nucleus."""
    pivot = 7035.0
    level = g["f_point"][i, 0] * 1e-29 * 2.99792458e18 / pivot**2 / spec.flux_unit * share
    z1, slope = 1 + g["z"][i], g["agn_slope"][i]
    out = level * (wavelength / pivot) ** slope
    if g["broad_fwhm"][i] <= 0:
        return out
    sigma = g["broad_fwhm"][i] / 2.3548
    at_ha = level * (lines.WAVELENGTHS[lines.INDEX["Hα"]] * z1 / pivot) ** slope
    power = at_ha * g["broad_ew"][i] * z1
    for name, ratio in lines.BROAD.items():
        centre = (lines.MGII if name == "MgII2800" else lines.WAVELENGTHS[lines.INDEX[name]]) * z1
        s = centre * sigma / LIGHT
        core = np.exp(-0.5 * ((wavelength - centre * 1.0008) / s) ** 2) * 0.72 / s
        wing = np.exp(-0.5 * ((wavelength - centre) / (2.1 * s)) ** 2) * 0.28 / (2.1 * s)
        out = out + power * ratio / np.sqrt(2 * np.pi) * (core + wing)
    rest = wavelength / z1
    for centre, width, height in ((4570, 75, 0.16), (5190, 60, 0.10), (5320, 55, 0.11), (2500, 170, 0.25)):
        out = out + out * height * np.exp(-0.5 * ((rest - centre) / width) ** 2)
    return out


def lensed(g: Galaxies, i: int, wavelength: np.ndarray, spec: SpectrumSpec) -> np.ndarray:
    """A blue continuum and a second set of emission lines, at the redshift of the lensed source."""
    magnification, in_fibre = 6.0, 0.45
    micro = 10 ** (0.4 * (23.9 - g["source_mag"][i])) * magnification * in_fibre
    level = micro * 1e-29 * 2.99792458e18 / 7035.0**2 / spec.flux_unit
    z1 = 1 + g["z_source"][i]
    out = (level * (wavelength / 7035.0) ** -1.9).astype(np.float32)[None]
    rest_ew = {"[OII]3727": 20.0, "[OII]3730": 27.0, "Hβ": 16.0, "[OIII]5008": 52.0, "[OIII]4960": 17.5}
    rest_ew |= {"Hγ": 7.0, "Hδ": 4.0, "[NeIII]3870": 4.0, "Hα": 75.0, "[NII]6585": 11.0, "[NII]6550": 3.6}
    names = list(rest_ew)
    centres = np.array([[lines.WAVELENGTHS[lines.INDEX[k]] * z1 for k in names]])
    under = level * (centres / 7035.0) ** -1.9
    strength = under * np.array([rest_ew[k] for k in names]) * z1
    add_lines(out, wavelength, centres, strength, np.array([85.0]), spec)
    return out[0]


def variance(flux: np.ndarray, spec: SpectrumSpec, exposure: np.ndarray) -> np.ndarray:
    """(n, pixels) variance of a flux seen for ``exposure`` (n,) nominal exposures: sky, and its own photons."""
    blank = 1 / np.maximum(sky.blank_ivar(spec), 1e-12)
    own = sky.continuum_variance(spec) / spec.sky_level * np.maximum(flux, 0)
    return (blank + own) / exposure[:, None]


def exposures(g: Galaxies, spec: SpectrumSpec) -> np.ndarray:
    """(n,) exposure in nominal units: bright programmes are short, faint ones long."""
    target = np.select([g["target"] == "BGS", g["target"] == "LRG"], [0.8, 1.3], 1.3)
    return target * np.exp(g["exposure_u"] * 0.25)


def observe(
    flux: np.ndarray, g: Galaxies, spec: SpectrumSpec, seed: int, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Noisy flux and ivar, both (n, pixels) float32, of a noiseless flux; ``rows`` number the objects.

    Masked pixels: single ones, short runs, and now and then an amplifier's edge; they have ivar 0.
    """
    var = variance(flux, spec, exposures(g, spec))
    noisy, ivar = np.empty_like(flux), (1 / var).astype(np.float32)
    residual = sky.airglow(spec)
    for i, row in enumerate(rows):
        rng = stream(seed, _PURPOSE, int(row))
        noise = rng.standard_normal(spec.n, dtype=np.float32) * np.sqrt(var[i]).astype(np.float32)
        noisy[i] = flux[i] + noise
        if g["class"][i] == "sky-residual":
            noisy[i] += _sky_residual(residual, ivar[i], spec, rng)
        _mask(ivar[i], spec, rng)
    return noisy, ivar


def _mask(ivar: np.ndarray, spec: SpectrumSpec, rng: np.random.Generator) -> None:
    for _ in range(rng.poisson(spec.masked * spec.n / 3)):
        start = rng.integers(0, spec.n)
        ivar[start : start + 1 + rng.poisson(2)] = 0
    if rng.random() < 0.01:
        start = rng.integers(0, spec.n)
        ivar[start : start + rng.integers(30, 160)] = 0


def _sky_residual(glow: np.ndarray, ivar: np.ndarray, spec: SpectrumSpec, rng: np.random.Generator) -> np.ndarray:
    """What a bad sky model leaves at airglow lines, in whole bands, which ivar does not tell."""
    smooth = np.interp(np.arange(spec.n), np.linspace(0, spec.n, 12), rng.normal(0.6, 1.0, 12))
    shifted = glow - np.roll(glow, int(rng.integers(1, 3)))
    shape = 0.6 * np.sqrt(glow) * np.sign(rng.normal()) + 0.5 * np.sign(shifted) * np.sqrt(np.abs(shifted))
    level = rng.uniform(2.5, 6.0) / np.sqrt(np.maximum(np.median(ivar), 1e-9))
    return (level * smooth * shape * 0.5).astype(np.float32)


def expected_snr(g: Galaxies, spec: SpectrumSpec) -> np.ndarray:
    """(n,) median S/N per pixel of the continuum at 24 wavelengths, from the model: no spectrum is painted."""
    wavelength = spec.wavelength()
    at = np.linspace(0.12, 0.93, 24) * (spec.n - 1)
    chosen = wavelength[at.astype(int)]
    bulge, disk, point = fibre_shares(g, spec)
    position = (np.log(chosen) - np.log1p(g["z"])[:, None] - populations.LN_LO) / populations.STEP
    light = populations.templates()[2][:, position.astype(int)]  # (templates, n, 24)
    curve = populations.calzetti(chosen / (1 + g["z"][:, None]))
    flux = np.zeros(position.shape)
    for part, share, dust in (("bulge", bulge, 0.35), ("disk", disk, 0.8), ("young", disk, 1.0)):
        dim = 10 ** (-0.4 * (g["av"] * dust)[:, None] * curve)
        flux += np.einsum("nk,knw->nw", g["w_" + part] * share[:, None], light) * dim
    flux *= (1e29 / (4 * np.pi * luminosity_distance(g["z"]) ** 2 * (1 + g["z"])) / spec.flux_unit)[:, None]
    nuclear = (g["f_point"][:, 0] * point * 1e-29 * 2.99792458e18 / 7035.0**2 / spec.flux_unit)[:, None]
    flux += nuclear * (chosen / 7035.0) ** g["agn_slope"][:, None]
    blank = sky.continuum_variance(spec)[at.astype(int)]
    var = blank * (1 + flux / spec.sky_level) / exposures(g, spec)[:, None]
    return np.median(flux / np.sqrt(var), axis=1)


def line_significance(g: Galaxies, spec: SpectrumSpec) -> np.ndarray:
    """(n,) S/N of the strongest narrow line on the grid, from the model."""
    wavelength = spec.wavelength()
    centres = lines.WAVELENGTHS * (1 + g["z"][:, None])
    _, disk, _ = fibre_shares(g, spec)
    strength = g["line_flux"] * disk[:, None] / spec.flux_unit
    pixel = np.searchsorted(wavelength, centres).clip(1, spec.n - 2)
    inside = (centres > wavelength[0]) & (centres < wavelength[-1])
    sigma = np.sqrt(1 / np.maximum(sky.blank_ivar(spec), 1e-12))[pixel] / np.sqrt(exposures(g, spec))[:, None]
    step = np.gradient(wavelength)[pixel]
    width = centres * g["sigma_gas"][:, None] / LIGHT
    noise = sigma * np.sqrt(3.5 * np.hypot(width, step) * step)
    return np.max(np.where(inside, strength / noise, 0.0), axis=1)
