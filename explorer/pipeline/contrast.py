"""The space of line contrasts: spectra over their continuum in the rest frame, sixteen principal components of them.

It knows the catalogue's redshift, as the preprocessing of P1.1 does; it serves classes that lines decide, never
redshifts.
"""

from __future__ import annotations

import numpy as np

from explorer.pipeline.batches import common_grid, spectrum_batch
from explorer.pipeline.roles import values_of
from explorer.survey.store import Survey
from kernels.preprocess.contrast import CONTINUUM, REST, line_contrast

SPACE = "contrast/spectrum"


def contrasts(
    survey: Survey,
    rows: np.ndarray,
    redshift: np.ndarray | float,
    grid: np.ndarray = REST,
    width: int = CONTINUUM,
    sigma: float = 1.0,
) -> np.ndarray:
    """(n, g) line contrasts of rows at the redshifts given, NaN where there is none; see :func:`line_contrast`."""
    common, out = common_grid(survey), np.empty((len(rows), len(grid)), np.float32)
    z = np.broadcast_to(np.asarray(redshift, np.float64), (len(rows),))
    for start in range(0, len(rows), 512):
        part = slice(start, start + 512)
        batch = spectrum_batch(survey, rows[part], common)
        out[part] = line_contrast(batch.wavelength, batch.flux, batch.ivar, z[part], grid, width, sigma)
    return out


def components(values: np.ndarray, dim: int = 16, seed: int = 0) -> np.ndarray:
    """(n, dim) float32 principal components of the finite rows, scaled to a typical length of 5; NaN elsewhere."""
    from sklearn.decomposition import PCA

    good = np.isfinite(values).all(axis=1)
    if good.sum() < 4:
        raise ValueError(
            f"{int(good.sum())} spectra have a redshift and data between 3,700 and 6,800 Å at rest: 4 are needed"
        )
    dim = min(dim, int(good.sum()), values.shape[1])
    found = PCA(dim, random_state=seed).fit_transform(values[good])
    out = np.full((len(values), dim), np.nan, np.float32)
    out[good] = found * (5.0 / np.median(np.linalg.norm(found, axis=1)))
    return out


def embed_contrast(survey: Survey, seed: int = 0) -> str:
    """Add the space ``contrast/spectrum`` to a survey that has spectra and redshifts; returns its name."""
    z = values_of(survey, "redshift")
    if z is None or z.dtype.kind != "f":
        raise ValueError(f"{survey.name} has no column of redshifts: line contrasts are taken at rest")
    rows = np.flatnonzero(survey.has("spectrum")) if "spectrum" in survey.modalities else np.empty(0, np.int64)
    if not len(rows):
        raise ValueError(f"{survey.name} has no spectra: there are no lines to contrast")
    vectors = components(contrasts(survey, rows, z[rows]), seed=seed)
    whole = np.full((len(survey), vectors.shape[1]), np.nan, np.float32)
    whole[rows] = vectors
    told = {
        "rows": len(survey),
        "seed": seed,
        "uses": "redshift",
        "grid": "3700-6800 AA at rest",
        "dims": vectors.shape[1],
    }
    survey.put_embedding(SPACE, whole, told)
    return SPACE
