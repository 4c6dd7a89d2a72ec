"""X-ray photons: source spectra, absorption, a Chandra-like response, events and what a catalogue says of them.

The response is analytic (an area curve with the mirrors' iridium edge and a Gaussian of CCD width), so that
nothing needs a calibration database; a real response reaches a survey through the readers.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from explorer.survey.records import Events, XSpectrum
from explorer.survey.simulate.cosmology import luminosity_distance
from explorer.survey.simulate.parameters import Galaxies

ENERGY = np.geomspace(0.3, 10.0, 1200)  # keV, where models are evaluated
BANDS = {"s": (0.5, 1.2), "m": (1.2, 2.0), "h": (2.0, 7.0), "b": (0.5, 7.0)}  # keV, those of the CSC
# Morrison & McCammon (1983): upper edge keV, c0, c1, c2 of σ = (c0 + c1 E + c2 E²) / E³ × 1e-24 cm²
_ABSORPTION = (
    (0.4, 78.1, 18.8, 4.3), (0.532, 71.4, 66.8, -51.4), (0.707, 95.5, 145.8, -61.1), (0.867, 308.9, -380.6, 294.0),
    (1.303, 120.6, 169.3, -47.7), (1.84, 141.3, 146.8, -31.5), (2.471, 202.7, 104.7, -17.0),
    (3.21, 342.7, 18.7, 0.0), (4.038, 352.2, 18.7, 0.0), (7.111, 433.9, -2.4, 0.75), (8.331, 629.0, 30.9, 0.0),
    (99.0, 701.2, 25.2, 0.0),
)  # fmt: skip
_PLASMA_LINES = (  # keV, strength against the continuum at its peak temperature (keV), that temperature
    (0.654, 0.9, 0.25), (0.83, 1.1, 0.45), (0.92, 0.8, 0.5), (1.02, 0.9, 0.6), (1.35, 0.5, 0.7), (1.86, 0.5, 1.1),
    (2.46, 0.35, 1.8), (3.12, 0.12, 2.2), (3.9, 0.10, 2.8), (6.68, 0.9, 5.0), (6.96, 0.35, 8.0),
)  # fmt: skip


def area(energy: np.ndarray) -> np.ndarray:
    """Effective area in cm²: rises to 600 at 1.5 keV, drops at the iridium edge of 2.07 keV, fades to 8 keV."""
    rise = 1 / (1 + np.exp(-(energy - 0.78) / 0.16))
    edge = np.where(energy > 2.07, 0.72 + 0.09 * np.clip((energy - 2.07) / 2.0, 0, 1), 1.0)
    silicon = np.where((energy > 1.56) & (energy < 1.84), 0.94, 1.0)
    return 610.0 * rise * edge * silicon * np.exp(-((energy / 6.3) ** 3.2))


def resolution(energy: np.ndarray) -> np.ndarray:
    """Gaussian sigma in keV of a CCD: 95 eV FWHM at 1.5 keV, 155 eV at 6 keV."""
    return np.sqrt(0.055**2 + 0.0026 * energy + 0.00008 * energy**2) / 2.3548 + 0.004


@lru_cache(maxsize=1)
def cross_section() -> np.ndarray:
    """Photoelectric absorption on ``ENERGY`` per 10^22 hydrogen atoms / cm²."""
    edges = np.array([row[0] for row in _ABSORPTION])
    c = np.array([row[1:] for row in _ABSORPTION])[np.searchsorted(edges, ENERGY)]
    return (c[:, 0] + c[:, 1] * ENERGY + c[:, 2] * ENERGY**2) / ENERGY**3 * 1e-2


def powerlaw(gamma: float) -> np.ndarray:
    """Photons / keV of a power law of photon index ``gamma``."""
    return ENERGY**-gamma


def blackbody(kt: float) -> np.ndarray:
    """Photons / keV of a black body of ``kt`` keV."""
    return ENERGY**2 / np.expm1(np.minimum(ENERGY / kt, 500.0))


def bremsstrahlung(kt: float) -> np.ndarray:
    """Photons / keV of thermal bremsstrahlung of ``kt`` keV with a Gaunt factor ∝ (kT/E)^0.4."""
    return ENERGY**-1.4 * np.exp(-ENERGY / kt)


def plasma(kt: float, metals: float = 0.5, z: float = 0.0) -> np.ndarray:
    """Photons / keV of a thin hot plasma: bremsstrahlung with the strong lines, each near its own temperature."""
    rest = ENERGY * (1 + z)
    continuum = rest**-1.4 * np.exp(-rest / kt)
    lines = np.zeros_like(rest)
    for centre, strength, best in _PLASMA_LINES:
        height = strength * metals * np.exp(-0.5 * (np.log(kt / best) / 0.75) ** 2)
        lines += height * centre**-1.4 * np.exp(-centre / kt) * np.exp(-0.5 * ((rest - centre) / 0.02) ** 2) * 6
    return continuum + lines


def detected(photons: np.ndarray, nh: float) -> np.ndarray:
    """Rate per keV that the detector sees of ``photons`` behind ``nh`` × 10^22 / cm², before its resolution."""
    return photons * np.exp(-nh * cross_section()) * area(ENERGY)


def draw_energies(rate: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` measured energies in keV from a detected rate, blurred by the CCD."""
    steps = np.gradient(ENERGY) * rate
    cumulative = np.cumsum(steps)
    true = np.interp(rng.random(n) * cumulative[-1], cumulative, ENERGY)
    return np.clip(true + rng.normal(size=n) * resolution(true), 0.3, 10.0)


def background_energies(n: int, rng: np.random.Generator) -> np.ndarray:
    """``n`` energies of the particle and sky background: nearly flat, with a soft rise."""
    soft = rng.random(n) < 0.3
    return np.where(soft, 0.3 + rng.exponential(0.5, n), rng.uniform(0.5, 9.5, n)).clip(0.3, 10.0)


def intervals(exposure: float, rng: np.random.Generator) -> np.ndarray:
    """(k, 2) good time intervals in s that sum to ``exposure``: mostly one, at times broken by flares."""
    cuts = int(rng.poisson(0.4))
    lengths = rng.dirichlet(np.full(cuts + 1, 3.0)) * exposure
    gaps = np.concatenate([[0.0], rng.exponential(0.03 * exposure, cuts)])
    start = np.cumsum(gaps) + np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    return np.stack([start, start + lengths], axis=1)


def assemble(
    times: np.ndarray, energies: np.ndarray, background: float, gti: np.ndarray, rng: np.random.Generator
) -> Events:
    """Events of a source, its times in live seconds, with ``background`` expected events, in clock time order."""
    live = float((gti[:, 1] - gti[:, 0]).sum())
    extra = rng.poisson(background)
    t = np.concatenate([times, rng.uniform(0, live, extra)])
    e = np.concatenate([energies, background_energies(extra, rng)])
    edges = np.concatenate([[0.0], np.cumsum(gti[:, 1] - gti[:, 0])])
    which = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, len(gti) - 1)
    clock = gti[which, 0] + (t - edges[which])
    order = np.argsort(clock, kind="stable")
    return Events(clock[order], e[order], gti)


def histogram(events: Events, background: float, exposure: float) -> XSpectrum:
    """Counts per channel of 14.6 eV from 0.5 to 8 keV; the background is the expected one."""
    edges = 0.5 + 0.0146 * np.arange(514)
    energy = events.energy if events.energy is not None else np.empty(0)
    counts = np.histogram(energy, edges)[0].astype(float)
    lo, hi = edges[:-1], edges[1:]
    middle = (lo + hi) / 2
    shape = np.where(middle < 2, 0.3 * np.exp(-(middle - 0.3) / 0.5) / 0.5, 0) + 0.7 / 9.0
    return XSpectrum(lo, hi, counts, background * shape * 0.0146, area(middle), exposure)


def galaxy_events(g: Galaxies, i: int, active: bool, rng: np.random.Generator) -> Events:
    """Events of galaxy ``i``: an absorbed nucleus where it is active, else binaries and hot gas."""
    broad = g["broad_fwhm"][i] > 0
    exposure = float(rng.choice([30e3, 50e3, 80e3]))
    if active:
        luminosity = 10 ** (rng.normal(43.7 if broad else 42.8, 0.4))
        photons, nh = powerlaw(rng.normal(1.85, 0.15)), 10 ** rng.normal(-1.6 if broad else 0.4, 0.4)
    else:
        luminosity = 10 ** (np.logaddexp(39.6 + g["logsfr"][i], 29.2 + g["logmass"][i]) + rng.normal(0, 0.3))
        photons, nh = powerlaw(1.7) + 0.6 * plasma(0.6), 0.05
    flux = luminosity / (4 * np.pi * float(luminosity_distance(g["z"][i : i + 1])[0]) ** 2)
    clear = np.trapezoid(detected(powerlaw(1.8), 0.0), ENERGY)
    seen = np.trapezoid(detected(photons, nh), ENERGY) / np.trapezoid(photons, ENERGY)
    seen /= clear / np.trapezoid(powerlaw(1.8), ENERGY)
    expected = min(flux / 1.1e-11 * seen * exposure, 2e4)  # 1.1e-11 erg/cm²/s make one count a second
    n = rng.poisson(expected)
    gti = intervals(exposure, rng)
    energies = draw_energies(detected(photons, nh), n, rng)
    return assemble(rng.uniform(0, exposure, n), energies, 4e-5 * exposure, gti, rng)
