"""Stellar light: template continua of six ages and two metallicities with their absorption lines, and dust.

A template is a sum of black bodies of the temperatures that carry the light at that age, each seen through the
absorption that stars of its temperature show: Balmer lines and jump (strongest near 9,500 K), Ca II H and K,
G band, Mg b, Na D, Ca II triplet, TiO and a fixed forest of weak metal lines that makes the 4000 Å break. It is
not a stellar library (those with a permissive licence weigh more than this project): strengths follow the Lick
system's run with temperature closely enough that a spectrum reads like one.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

AGES = (0.005, 0.05, 0.3, 1.0, 3.0, 10.0)  # Gyr
METALS = (0.45, 1.35)  # strength of the metal lines: poor, rich
N_TEMPLATES = len(AGES) * len(METALS)
DISPERSIONS = np.array([70.0, 120.0, 190.0, 320.0])  # km/s, between which spectra are interpolated
STEP = 1.2e-4
LN_LO, LN_HI = np.log(1150.0), np.log(21_500.0)
SOLAR_L5500 = 5.13e29  # erg/s/Å of a Sun at 5500 Å
# V-band light per solar mass (solar units) and the temperatures (K) that carry it, with shares at 5500 Å
LIGHT_PER_MASS = (38.0, 9.0, 3.2, 1.25, 0.5, 0.22)
MIXTURES: tuple[tuple[tuple[float, float], ...], ...] = (
    ((34_000, 0.85), (9_000, 0.1), (3_900, 0.05)),
    ((17_000, 0.7), (9_500, 0.15), (4_300, 0.15)),
    ((10_400, 0.72), (7_500, 0.1), (4_600, 0.18)),
    ((8_000, 0.56), (6_400, 0.1), (4_700, 0.34)),
    ((6_300, 0.46), (5_200, 0.2), (4_500, 0.31), (3_500, 0.03)),
    ((5_800, 0.34), (5_000, 0.22), (4_400, 0.36), (3_500, 0.08)),
)
# vacuum wavelength (Å), equivalent width at full strength (Å), width of the feature itself (km/s)
_METAL_LINES = (
    (3_735.9, 2.6, 250), (3_820.5, 2.2, 200), (3_832.4, 2.4, 200), (3_839.4, 2.0, 200), (3_860.0, 2.2, 300),
    (4_046.9, 1.2, 120), (4_064.8, 0.9, 120), (4_072.9, 0.8, 120), (4_133.2, 0.9, 150), (4_144.9, 0.9, 150),
    (4_217.0, 1.1, 300), (4_227.9, 1.4, 120), (4_272.9, 1.0, 150), (4_308.0, 6.3, 700), (4_326.9, 1.1, 150),
    (4_384.8, 1.7, 180), (4_405.9, 1.0, 150), (4_456.0, 1.3, 250), (4_532.5, 1.8, 450), (4_669.0, 1.6, 550),
    (4_736.0, 0.8, 400), (4_892.5, 0.8, 200), (4_921.9, 0.9, 150), (4_958.6, 0.9, 120), (5_016.0, 1.8, 450),
    (5_080.0, 0.7, 250), (5_110.0, 1.3, 700), (5_168.8, 1.3, 130), (5_174.1, 1.5, 110), (5_185.0, 1.9, 110),
    (5_175.0, 2.6, 900), (5_208.0, 1.0, 200), (5_271.0, 2.1, 300), (5_329.8, 1.9, 260), (5_372.9, 0.7, 120),
    (5_398.6, 0.6, 120), (5_407.3, 0.9, 150), (5_447.5, 0.6, 150), (5_529.9, 0.6, 110), (5_587.0, 0.5, 200),
    (5_710.5, 0.7, 250), (5_782.0, 0.5, 200), (5_858.8, 0.5, 110), (5_891.6, 1.5, 90), (5_897.6, 1.2, 90),
    (6_104.0, 0.4, 120), (6_123.9, 0.4, 110), (6_137.8, 0.4, 130), (6_163.0, 0.6, 150), (6_195.0, 0.8, 900),
    (6_431.0, 0.4, 150), (6_440.9, 0.4, 110), (6_496.5, 0.8, 200), (8_190.0, 0.5, 300), (8_500.4, 1.4, 90),
    (8_544.4, 3.5, 110), (8_664.5, 2.9, 110), (8_809.2, 0.7, 110), (9_920.0, 0.6, 300), (11_690.0, 0.9, 250),
    (11_830.0, 1.0, 250), (12_680.0, 0.8, 300), (15_030.0, 1.2, 300), (15_890.0, 1.6, 400), (16_190.0, 1.8, 500),
    (17_110.0, 1.4, 350),
)  # fmt: skip
_TIO = ((4_955, 60, 0.2), (5_450, 90, 0.25), (5_880, 90, 0.25), (6_190, 90, 0.4), (6_750, 150, 0.5),
        (7_150, 110, 0.7), (7_680, 130, 0.6), (8_460, 130, 0.5), (8_900, 130, 0.45), (9_330, 200, 0.3))  # fmt: skip
BALMER = 1 / (1 / 3647.01 * (1 - 4 / np.arange(3, 22) ** 2))  # Hα, Hβ, … in vacuum Å


@lru_cache(maxsize=1)
def grid() -> np.ndarray:
    """(m,) rest wavelengths of the templates in vacuum Å, even in ln λ."""
    return np.exp(np.arange(LN_LO, LN_HI, STEP))


def calzetti(wavelength: np.ndarray) -> np.ndarray:
    """k(λ) / 4.05 of Calzetti et al. (2000), arXiv:astro-ph/9911459: A(λ) in units of A_V; λ in Å."""
    x = 1e4 / np.clip(np.asarray(wavelength, dtype=np.float64), 1_200.0, 22_000.0)
    red = 2.659 * (-1.857 + 1.040 * x) + 4.05
    blue = 2.659 * (-2.156 + 1.509 * x - 0.198 * x**2 + 0.011 * x**3) + 4.05
    return np.maximum(np.where(x < 1e4 / 6_300, red, blue), 0.0) / 4.05


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(x, -60, 60)))


def _planck(wavelength: np.ndarray, temperature: float) -> np.ndarray:
    def b(w: np.ndarray | float) -> np.ndarray:
        return 1 / (np.asarray(w) / 5_500) ** 5 / np.expm1(1.43878e8 / (np.asarray(w) * temperature))

    return b(wavelength) / b(5_500.0)


def _add_lines(tau: np.ndarray, centres: np.ndarray, widths: np.ndarray, sigmas: np.ndarray) -> None:
    """Add Gaussian optical depths of equivalent width ``widths`` (Å) and ``sigmas`` (km/s) to ``tau``."""
    wavelength = grid()
    for centre, width, sigma in zip(centres, widths, sigmas, strict=True):
        s = sigma / 299_792.458
        half = int(5 * s / STEP) + 2
        i = int((np.log(centre) - LN_LO) / STEP)
        cut = slice(max(i - half, 0), max(min(i + half, len(wavelength)), 0))
        shape = np.exp(-0.5 * (np.log(wavelength[cut] / centre) / s) ** 2)
        tau[cut] += width / (centre * s * np.sqrt(2 * np.pi)) * shape


@lru_cache(maxsize=1)
def _metal_depth() -> np.ndarray:
    """Optical depth of the metals of a cool star: named lines, forest and blanketing of the blue."""
    wavelength, rng = grid(), np.random.default_rng(4000)
    tau = np.zeros_like(wavelength)
    named = np.array(_METAL_LINES)
    _add_lines(tau, named[:, 0], named[:, 1] * 0.8, named[:, 2])
    centres = np.exp(rng.uniform(np.log(2_300), np.log(10_000), 3_600))
    strength = rng.exponential(0.32, len(centres)) * np.clip(4_300 / centres, 0.0, 1.35) ** 3.2
    _add_lines(tau, centres, strength, np.full(len(centres), 65.0))
    step = _sigmoid((3_985 - wavelength) / 16)
    tau += 0.30 * step * np.clip((4_400 - wavelength) / 400, 0, 1.6)
    tau += 1.3 * np.clip((3_300 - wavelength) / 700, 0, 1.6)
    return tau


@lru_cache(maxsize=1)
def _balmer_depth() -> np.ndarray:
    """Optical depth of hydrogen in an A star: Lorentz-winged lines, the series' crowding and the jump."""
    wavelength = grid()
    tau = np.zeros_like(wavelength)
    for order, centre in enumerate(BALMER, start=3):
        width = 9.5 * max(1.0 - 0.055 * (order - 6), 0.15) if order > 4 else (6.0, 8.5)[order - 3]
        gamma = 7.0 if order < 9 else 4.5
        x = (wavelength - centre) / gamma
        tau += width / (np.pi * gamma) * np.where(np.abs(x) < 40, 1 / (1 + x**2), 0.0) * 1.35
    tau += 0.65 * _sigmoid((3_690 - wavelength) / 9) * np.clip(wavelength / 3_690, 0.2, 1) ** 2
    for order in range(8, 16):  # Paschen
        tau += 0.06 * np.exp(-0.5 * ((wavelength - 8_203.6 / (1 - 9 / (order + 2) ** 2)) / 12) ** 2)
    return tau


def _star(temperature: float, metals: float) -> np.ndarray:
    """Light of stars of one temperature, relative to their continuum at 5500 Å."""
    wavelength = grid()
    hydrogen = 0.16 + 0.84 * np.exp(-0.5 * (np.log(temperature / 9_500) / 0.30) ** 2)
    hydrogen *= 1 / (1 + np.exp((5_300 - temperature) / 450))
    cool = metals / (1 + np.exp((temperature - 6_500) / 650)) * (1 + max(5_200 - temperature, 0) / 3_000)
    tau = hydrogen * _balmer_depth() + cool * _metal_depth()
    ca = 1 / (1 + np.exp((temperature - 7_600) / 600)) * metals**0.3
    _add_lines(tau, np.array([3_934.78, 3_969.59]), np.array([9.0, 7.5]) * ca, np.array([420.0, 380.0]))
    light = _planck(wavelength, temperature) * np.exp(-tau)
    giant = 1 / (1 + np.exp((temperature - 3_900) / 120)) * metals**0.5
    for head, length, depth in _TIO:  # bands that open at a head and fade redwards
        shape = np.where(wavelength > head, np.exp(-(wavelength - head) / length), 0.0)
        light *= 1 - depth * giant * shape
    h_minus = 1 / (1 + np.exp((temperature - 5_500) / 600))
    light *= 1 + 0.16 * h_minus * np.exp(-0.5 * ((wavelength - 16_300) / 1_900) ** 2)
    return light * (1 - 0.5 * (temperature > 25_000) * (wavelength < 1_216))


@lru_cache(maxsize=1)
def templates() -> np.ndarray:
    """(dispersions, templates, m) float32: erg/s/Å per solar mass, age-major, poor before rich.

    Scaled by 1e-29 so that single precision is at ease.
    """
    rows = []
    for light, mixture in zip(LIGHT_PER_MASS, MIXTURES, strict=True):
        for metals in METALS:
            warm = 1.03 if metals < 1 else 0.975
            total = sum(share * _star(t * (warm if t < 8e3 else 1), metals) for t, share in mixture)
            rows.append(np.asarray(total) * light * SOLAR_L5500 * 1e-29)
    sharp = np.array(rows)
    frequency = np.fft.rfftfreq(sharp.shape[1])
    transformed = np.fft.rfft(sharp, axis=1)
    out = np.empty((len(DISPERSIONS), *sharp.shape), dtype=np.float32)
    for i, sigma in enumerate(DISPERSIONS):
        pixels = sigma / 299_792.458 / STEP
        smooth = np.exp(-2 * (np.pi * frequency * pixels) ** 2)
        out[i] = np.fft.irfft(transformed * smooth, n=sharp.shape[1], axis=1)
    return out
