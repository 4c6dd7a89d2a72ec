"""Spectra of quasars of any redshift: a broken power law, broad and narrow lines, iron, the Lyman forest, troughs.

Line places, equivalent widths and widths follow the composite of Vanden Berk et al. 2001, AJ 122, 549 (table 2), the
mean opacity of the forest Faucher-Giguère et al. 2008, ApJ 681, 831, reddening a power law like the SMC's.
"""

from __future__ import annotations

import numpy as np

# vacuum Å, equivalent width Å, sigma Å, whether broad
LINES = (
    (1033.0, 9.8, 7.8, True), (1215.7, 92.0, 14.0, True), (1240.1, 16.0, 9.0, True), (1305.4, 2.2, 5.4, True),
    (1335.3, 0.7, 3.9, True), (1398.3, 8.1, 14.3, True), (1549.1, 23.8, 14.3, True), (1640.4, 4.0, 14.0, True),
    (1664.7, 0.7, 5.3, True), (1857.4, 2.3, 10.0, True), (1892.0, 3.5, 8.0, True), (1908.7, 17.0, 18.0, True),
    (2326.4, 2.0, 10.0, True), (2798.8, 32.3, 28.0, True), (3426.8, 1.0, 3.2, False), (3728.5, 1.6, 3.3, False),
    (3869.9, 1.4, 5.3, False), (4102.9, 5.1, 18.6, True), (4341.7, 12.6, 20.3, True), (4687.0, 1.0, 5.0, True),
    (4862.7, 46.2, 34.0, True), (4960.3, 4.4, 3.9, False), (5008.2, 13.2, 5.0, False), (5877.3, 4.9, 23.5, True),
    (6564.6, 195.0, 42.0, True), (6585.3, 2.0, 3.5, False), (6725.5, 1.7, 5.0, False),
)  # fmt: skip
# centre, sigma, equivalent width of bands of iron and of the Balmer continuum, Å
BUMPS = ((2080.0, 45.0, 2.5), (2420.0, 120.0, 30.0), (2620.0, 90.0, 16.0), (2950.0, 140.0, 20.0),
         (3300.0, 230.0, 25.0), (4570.0, 70.0, 18.0), (5270.0, 90.0, 20.0))  # fmt: skip
LYMAN, LIMIT = 1215.67, 911.75


def quasars(n: int, wavelength: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Redshifts (n,) from 0.1 to 4.2 and noiseless fluxes (n, m) on ``wavelength`` (m,) Å, median 1."""
    z = np.where(rng.random(n) < 0.6, rng.uniform(1.6, 3.6, n), rng.uniform(0.1, 4.2, n))
    flux = np.empty((n, len(wavelength)), np.float32)
    for i in range(n):
        flux[i] = _one(z[i], wavelength, rng)
    return z, flux


def _one(z: float, wavelength: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rest = wavelength / (1 + z)
    blue, red = rng.normal(-1.55, 0.3), rng.normal(-0.3, 0.4)
    continuum = np.where(rest < 5000, (rest / 5000) ** blue, (rest / 5000) ** red)
    width = float(np.exp(rng.normal(0, 0.3)))  # of all broad lines of one object
    strong, iron, narrow = (float(np.exp(rng.normal(0, s))) for s in (0.35, 0.5, 0.6))
    flux = continuum.copy()
    for centre, ew, sigma, broad in LINES:
        own = ew * (strong if broad else narrow) * float(np.exp(rng.normal(0, 0.25)))
        s = sigma * (width if broad else 1.0)
        at = centre * (1 + (rng.normal(-0.001, 0.0015) if broad and centre < 2000 else rng.normal(0, 0.0003)))
        flux += continuum * own * _profile((rest - at) / s, broad) / s
    for centre, s, ew in BUMPS:
        flux += continuum * ew * iron * np.exp(-0.5 * ((rest - centre) / s) ** 2) / (s * 2.5066)
    flux *= np.exp(-rng.exponential(0.04) * 0.92 * 13.0 * (rest / 1500.0) ** -1.2 / 1.6)
    if rng.random() < 0.12 and z > 1.4:
        flux *= _trough(rest, rng)
    flux *= _forest(z, wavelength, rng)
    for _ in range(rng.poisson(0.5)):  # metal absorbers in front
        at = rng.uniform(wavelength[0], wavelength[-1])
        flux *= 1 - rng.uniform(0.1, 0.8) * np.exp(-0.5 * ((wavelength - at) / rng.uniform(1.5, 4)) ** 2)
    return (flux / max(float(np.median(flux)), 1e-6)).astype(np.float32)


def _profile(x: np.ndarray, broad: bool) -> np.ndarray:
    """A line of area 1: a Gaussian, for broad lines with a core and a base."""
    gauss = np.exp(-0.5 * x**2) / 2.5066
    return 0.6 * np.exp(-0.5 * (x / 0.7) ** 2) / 2.5066 / 0.7 + 0.4 * np.exp(-0.5 * (x / 1.8) ** 2) / 2.5066 / 1.8 \
        if broad else gauss  # fmt: skip


def _trough(rest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Broad absorption blueward of C IV, Si IV and N V: one outflow, seen in each."""
    speed, spread, depth = rng.uniform(0.01, 0.07), rng.uniform(0.004, 0.015), rng.uniform(0.3, 0.95)
    out = np.ones_like(rest)
    for centre, share in ((1549.1, 1.0), (1398.3, 0.6), (1240.1, 0.9)):
        at = centre * (1 - speed)
        out *= 1 - depth * share * np.exp(-0.5 * ((rest - at) / (centre * spread)) ** 4)
    return out


def _forest(z: float, wavelength: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Transmission of intergalactic hydrogen: a lognormal field narrower than a pixel, smoothed by the slit."""
    out = np.ones(len(wavelength))
    below = wavelength < LYMAN * (1 + z)
    if below.any():
        mean = 0.0018 * (wavelength / LYMAN) ** 3.92
        field = np.convolve(rng.normal(size=len(wavelength) + 8), np.ones(4) / 2.0, "same")[4:-4]
        tau = mean * np.exp(1.3 * field - 0.2)
        out = np.where(below, np.exp(-tau), 1.0)
        out = np.where(wavelength < LIMIT * (1 + z), out * np.exp(-2.0 * (z > 2.5)), out)
        if rng.random() < 0.15:  # a damped absorber
            at = LYMAN * (1 + rng.uniform(max(z - 0.6, 0.5), z))
            out = out * np.exp(-((rng.uniform(4, 14) / np.maximum(np.abs(wavelength - at), 0.1)) ** 2))
    return out
