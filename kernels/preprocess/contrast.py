"""Line contrast: what stands out of a spectrum's own continuum, in one frame, so that lines fall on lines.

For classes that lines decide, and for redshifts where entries are few, distances between line contrasts tell more than
distances between fluxes, most of which is continuum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

REST = np.exp(np.arange(np.log(3700.0), np.log(6800.0), 0.0006))
"""(1014,) rest-frame grid, even in ln λ (180 km/s a sample): [O II] to [S II]."""
CONTINUUM = 151
"""Samples of the running median that stands for the continuum: 9 % of the wavelength."""


def line_contrast(
    wavelength: ArrayLike, flux: ArrayLike, ivar: ArrayLike, redshift: ArrayLike = 0.0, grid: np.ndarray = REST,
    width: int = CONTINUUM, sigma: float = 1.0,
) -> np.ndarray:  # fmt: skip
    """(n, g) float32: arcsinh(5 (flux / continuum - 1)) on ``grid`` in the rest frame of ``redshift``.

    Parameters
    ----------
    wavelength : (m,) vacuum Å ascending; ``flux`` and ``ivar`` (n, m), ivar 0 where masked: gaps are bridged linearly.
    redshift : one number or (n,); 0 keeps the observed frame. A row whose redshift is not finite, or that has no good
        sample on the grid, is NaN.
    width : samples of the running median; ``sigma`` samples of the Gaussian that smooths the contrast.

    Samples of the grid outside a spectrum are 0: no contrast. Where the continuum is weak against the spectrum's own
    maximum (below a twentieth) it is held there, and contrasts are clipped to -1 … 5.
    """
    from scipy.ndimage import gaussian_filter1d, median_filter

    wavelength = np.asarray(wavelength, np.float64)
    flux, ivar = np.atleast_2d(np.asarray(flux, np.float64)), np.atleast_2d(np.asarray(ivar))
    if flux.shape != ivar.shape or flux.shape[1] != len(wavelength):
        raise ValueError(f"flux {flux.shape} and ivar {ivar.shape} must both be (n, {len(wavelength)})")
    if width < 3 or width % 2 == 0:
        raise ValueError(f"width={width}: the running median takes an odd number of 3 samples or more")
    z = np.broadcast_to(np.asarray(redshift, np.float64), (len(flux),))
    out = np.full((len(flux), len(grid)), np.nan, np.float32)
    for row in np.flatnonzero(np.isfinite(z) & (z > -1)):
        good = (ivar[row] > 0) & np.isfinite(flux[row])
        rest = wavelength[good] / (1 + z[row])
        inside = (grid >= rest[0]) & (grid <= rest[-1]) if good.sum() > 1 else np.zeros(len(grid), bool)
        if inside.sum() < width:
            continue
        values = np.interp(grid[inside], rest, flux[row, good])
        continuum = median_filter(values, width, mode="nearest")
        floor = 0.05 * np.abs(continuum).max()
        if floor <= 0:
            continue
        contrast = np.clip(gaussian_filter1d(values / np.maximum(continuum, floor) - 1, sigma), -1, 5)
        out[row] = 0
        out[row, inside] = np.arcsinh(5 * contrast)
    return out
