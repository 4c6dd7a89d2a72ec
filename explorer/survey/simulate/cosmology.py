"""Distances in a flat universe of matter and a cosmological constant, H0 = 70 km/s/Mpc, Ωm = 0.3."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

H0, OMEGA_M = 70.0, 0.3
LIGHT = 299_792.458  # km/s
MPC = 3.0856775814913673e24  # cm


@lru_cache(maxsize=1)
def _table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z = np.linspace(0.0, 8.0, 16_001)
    e = np.sqrt(OMEGA_M * (1 + z) ** 3 + 1 - OMEGA_M)
    comoving = np.concatenate([[0.0], np.cumsum((1 / e[1:] + 1 / e[:-1]) / 2) * (z[1] - z[0])]) * LIGHT / H0
    a = np.linspace(1e-6, 1.0, 20_001)
    grow = 1 / (a * np.sqrt(OMEGA_M / a**3 + 1 - OMEGA_M))
    age = np.concatenate([[0.0], np.cumsum((grow[1:] + grow[:-1]) / 2) * (a[1] - a[0])]) * 977.8 / H0
    return z, comoving, np.interp(1 / (1 + z), a, age)


def comoving(z: np.ndarray) -> np.ndarray:
    """Comoving distance in Mpc."""
    return np.interp(z, *_table()[:2])


def luminosity_distance(z: np.ndarray) -> np.ndarray:
    """Luminosity distance in cm."""
    return comoving(z) * (1 + z) * MPC


def kpc_per_arcsec(z: np.ndarray) -> np.ndarray:
    """Proper kpc that one arcsec spans."""
    return comoving(z) / (1 + z) * 1e3 * np.pi / 648_000


def age(z: np.ndarray) -> np.ndarray:
    """Age of the universe in Gyr."""
    table = _table()
    return np.interp(z, table[0], table[2])


def einstein_radius(sigma: np.ndarray, z_lens: np.ndarray, z_source: np.ndarray) -> np.ndarray:
    """Einstein radius in arcsec of a singular isothermal lens of velocity dispersion ``sigma`` km/s."""
    between = np.maximum(comoving(z_source) - comoving(z_lens), 0.0) / comoving(z_source)
    return 4 * np.pi * (sigma / LIGHT) ** 2 * between * 648_000 / np.pi
