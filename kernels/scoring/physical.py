"""Do image and spectrum tell of one galaxy, in units of physics? Mismatch beside the cosine (P0.16).

Three questions, each an array of scores where higher is more anomalous: is the light that the image shows in a band
the light that the spectrum has there (synthetic photometry); do the templates of all galaxies fit the spectrum at the
redshift that the catalogue gives; is the redshift that the image suggests the spectroscopic one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from kernels.scoring.mismatch import residual_mismatch

COVERED = 0.9  # share of a band's response that good pixels must cover
ROWS_A_TREE = 16_384
LEAST = 50  # objects with both measurements, below which no residual is calibrated


def synthetic_photometry(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, curves: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Band fluxes of spectra, photon-counting: f_nu = int f_lam R lam dlam / (c int R dlam / lam).

    Bessell & Murphy 2012 (doi:10.1086/664083), eq. A11, without the constant c.

    Parameters
    ----------
    wavelength : (m,) Å, ascending.
    flux, ivar : (n, m) per Å; ``ivar == 0`` marks a pixel without data.
    curves : (b, m) response of each band on the same wavelengths; 0 outside the band. A band that continues beyond
        the spectrum must be told by the caller: what is not on the grid cannot be missed here.

    Returns
    -------
    (n, b) float64 flux (unit of ``flux`` times Å²; ratios are colours), and its one-sigma error of the pixels' noise;
    both NaN where good pixels cover less than 90 % of the response. Gaps are filled by the mean over what is seen.
    """
    curves = np.atleast_2d(np.asarray(curves, dtype=np.float64))
    if curves.shape[1] != len(wavelength) or flux.shape != ivar.shape or flux.shape[1] != len(wavelength):
        raise ValueError(
            f"{len(wavelength)} wavelengths, flux {flux.shape}, ivar {ivar.shape} and curves {curves.shape}: "
            "all are on the same wavelengths"
        )
    step = np.gradient(wavelength)
    weight = curves * wavelength * step  # of f_lam
    norm = (curves / wavelength * step).sum(axis=1)
    good = (ivar > 0) & np.isfinite(flux) & np.isfinite(ivar)
    value = np.where(good, flux, 0).astype(np.float64)
    seen = good.astype(np.float64) @ weight.T
    share = seen / np.maximum(weight.sum(axis=1), 1e-300)
    enough = (share >= COVERED) & (weight.sum(axis=1) > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = value @ weight.T / share / norm
        error = np.sqrt(np.where(good, 1 / np.where(good, ivar, 1.0), 0) @ (weight**2).T) / share / norm
    return np.where(enough, found, np.nan), np.where(enough, error, np.nan)


def out_of_bag(
    X: np.ndarray, y: np.ndarray, along: np.ndarray | None = None, random_state: int | None = 0, trees: int = 100
) -> tuple[np.ndarray, np.ndarray]:
    """What rows ``X`` (n, d) say of ``y`` (n, m), each predicted by the randomised trees that were not grown on it.

    Extremely randomised trees (Geurts, Ernst & Wehenkel 2006, doi:10.1007/s10994-006-6226-1) on bootstraps of at most
    16,384 rows, leaves of at least 5. Missing values in ``X`` are allowed; where a ``y`` is missing its row teaches
    nothing and is predicted by all trees.

    Returns
    -------
    (n, m) float64 prediction, and its scatter: 1.4826 times the median absolute error of the 200 rows that are next to
    it in ``along`` (n,), for example the logarithm of the S/N; in the prediction itself where that is ``None``.
    """
    from sklearn.ensemble import ExtraTreesRegressor

    from kernels._parallel import cores

    X = np.asarray(X, dtype=np.float32)
    y = np.asarray(y, dtype=np.float64).reshape(len(X), -1)
    known = np.flatnonzero(np.isfinite(y).all(axis=1))
    if len(known) < LEAST:
        raise ValueError(f"{len(known)} rows are known in full: a prediction needs {LEAST}")
    forest = ExtraTreesRegressor(
        trees, min_samples_leaf=5, max_features=0.5, bootstrap=True, oob_score=True, n_jobs=cores(),
        max_samples=min(len(known), ROWS_A_TREE), random_state=random_state,
    ).fit(X[known], y[known] if y.shape[1] > 1 else y[known, 0])  # fmt: skip
    told = np.empty_like(y)
    told[known] = forest.oob_prediction_.reshape(len(known), -1)
    rest = np.setdiff1d(np.arange(len(y)), known)
    if len(rest):
        told[rest] = forest.predict(X[rest]).reshape(len(rest), -1)
    place = [told[:, j] if along is None else np.asarray(along, dtype=np.float64) for j in range(y.shape[1])]
    scatter = [_local_scatter(place[j], y[:, j] - told[:, j]) for j in range(y.shape[1])]
    return told, np.stack(scatter, axis=1)


def _local_scatter(where: np.ndarray, away: np.ndarray, window: int = 200) -> np.ndarray:
    """(n,) robust scatter of ``away`` among the rows next to each in the order of ``where``."""
    known = np.flatnonzero(np.isfinite(away) & np.isfinite(where))
    order = known[np.argsort(where[known], kind="stable")]
    size = max(10, min(window, len(order) // 5))
    edges = np.linspace(0, len(order), max(1, len(order) // size) + 1).astype(int)
    centre = [float(np.median(where[order[a:b]])) for a, b in pairwise(edges)]
    width = [1.4826 * float(np.median(np.abs(away[order[a:b]]))) for a, b in pairwise(edges)]
    floor = max(float(np.median(width)) * 0.1, 1e-9)
    return np.interp(np.where(np.isfinite(where), where, centre[0]), centre, np.maximum(width, floor))


def predicted_mismatch(
    X: np.ndarray, y: np.ndarray, along: np.ndarray | None = None, random_state: int | None = 0
) -> np.ndarray:
    """(n,) how far measured ``y`` (n,) or (n, m) is from what ``X`` (n, d) says, in local scatters; NaN if unknown.

    For photometric against spectroscopic redshift: ``X`` from the image, ``y`` = ln(1 + z). For colours of the image:
    ``X`` from the spectrum. Root mean square over the m columns.
    """
    y = np.asarray(y, dtype=np.float64).reshape(len(X), -1)
    told, scatter = out_of_bag(X, y, along, random_state)
    away = (y - told) / scatter
    known = np.isfinite(away)
    total = np.where(known, away, 0) ** 2
    return np.where(known.any(axis=1), np.sqrt(total.sum(axis=1) / np.maximum(known.sum(axis=1), 1)), np.nan)


def photometric_mismatch(image: np.ndarray, synthetic: np.ndarray, error: np.ndarray | None = None) -> np.ndarray:
    """(n,) image against synthetic fluxes (n, b) of the same bands, in magnitudes and robust sigma; NaN if unknown.

    Fluxes that are not positive count as unknown. The median offset of each band (fibre losses, zero points) is
    taken out. ``error`` (n, b) magnitudes is added to the scatter of all in quadrature where given.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        one = np.where(image > 0, -2.5 * np.log10(image), np.nan)
        other = np.where(synthetic > 0, -2.5 * np.log10(synthetic), np.nan)
    if error is None:
        return residual_mismatch(one, other)
    away = one - other
    width = 1.4826 * np.nanmedian(np.abs(away - np.nanmedian(away, axis=0)), axis=0)
    return residual_mismatch(one, other, np.hypot(error, np.maximum(width, 1e-3)))


@dataclass(frozen=True)
class Templates:
    """Eigen-spectra at rest: ``log_wavelength`` (m,) natural log of Å, evenly spaced; ``spectra`` (k, m) float64."""

    log_wavelength: np.ndarray
    spectra: np.ndarray

    def at(self, wavelength: np.ndarray, redshift: float) -> np.ndarray:
        """(k, p) the templates on observed wavelengths; 0 where they do not reach."""
        where = np.log(wavelength / (1 + redshift))
        return np.stack([np.interp(where, self.log_wavelength, s, left=0, right=0) for s in self.spectra])


def rest_templates(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, redshift: np.ndarray, components: int = 8,
    step: float = 6e-4, rounds: int = 8, random_state: int | None = 0,
) -> Templates:  # fmt: skip
    """Eigen-spectra of the survey itself at its catalogue redshifts, with masks and noise (Bailey 2012, EMPCA).

    arXiv:1208.4122: coefficients and spectra by turns, each a weighted least squares. The first direction is a mean:
    nothing is subtracted, so that the templates fit fluxes. Each spectrum enters divided by its root mean square.

    Parameters
    ----------
    wavelength : (p,) Å; ``flux``, ``ivar`` : (n, p); ``redshift`` : (n,). A few wrong redshifts do little.
    step : of the rest grid in ln(wavelength); 6e-4 is 180 km/s.
    """
    low, high = np.nanpercentile(redshift, [1, 99])
    rest = np.arange(np.log(wavelength[0] / (1 + high)), np.log(wavelength[-1] / (1 + low)), step)
    values, weight = np.zeros((len(flux), len(rest))), np.zeros((len(flux), len(rest)))
    for i, z in enumerate(redshift):
        good = (ivar[i] > 0) & np.isfinite(flux[i])
        if not np.isfinite(z) or good.sum() < 10:
            continue
        scale = np.sqrt(max(np.mean(flux[i][good] ** 2 - 1 / ivar[i][good]), 1e-3 * np.mean(flux[i][good] ** 2), 1e-30))
        where = np.log(wavelength / (1 + z))
        values[i] = np.interp(rest, where, np.where(good, flux[i], 0) / scale, left=0, right=0)
        weight[i] = np.interp(rest, where, np.where(good, ivar[i], 0) * scale**2, left=0, right=0)
    weight = np.minimum(weight, 400.0)  # no spectrum counts for more than one of S/N 20
    rng = np.random.default_rng(random_state)
    spectra = rng.normal(0, 0.1, (components, len(rest)))
    seen = weight.sum(axis=0)
    spectra[0] = (weight * values).sum(axis=0) / np.maximum(seen, 1e-12)
    keep = weight.sum(axis=1) > 0
    values, weight = values[keep], weight[keep]
    for _ in range(rounds):
        c = _coefficients(values, weight, spectra)
        outer = (c[:, :, None] * c[:, None, :]).reshape(len(c), -1)
        normal = (weight.T @ outer).reshape(len(rest), components, components)
        normal += np.eye(components) * (1e-6 * np.trace(normal, axis1=1, axis2=2).mean() / components + 1e-12)
        spectra = np.linalg.solve(normal, ((weight * values).T @ c)[:, :, None])[:, :, 0].T
        spectra /= np.maximum(np.sqrt((spectra**2).mean(axis=1, keepdims=True)), 1e-12)
    return Templates(rest, np.where(seen > 0, spectra, 0.0))


def _coefficients(values: np.ndarray, weight: np.ndarray, spectra: np.ndarray) -> np.ndarray:
    """(n, k) weighted least squares of (k, m) ``spectra`` on (n, m) ``values``; a small ridge keeps it solvable."""
    k = len(spectra)
    products = (spectra[:, None] * spectra[None]).reshape(k * k, -1)
    normal = (weight @ products.T).reshape(-1, k, k)
    normal += np.eye(k) * (1e-4 * np.trace(normal, axis1=1, axis2=2)[:, None, None] / k + 1e-9)
    return np.linalg.solve(normal, ((weight * values) @ spectra.T)[:, :, None])[:, :, 0]


@dataclass(frozen=True)
class TemplateFit:
    """Templates at the catalogue's redshift against all others.

    Attributes
    ----------
    mismatch : (n,) root of the chi-square that the best other redshift wins over the catalogue's, in sigma: negative
        where the catalogue's fits better, by as much as it does; NaN where nothing is known.
    best : (n,) the redshift that fits best.
    """

    mismatch: np.ndarray
    best: np.ndarray


def template_mismatch(
    wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, redshift: np.ndarray, templates: Templates,
    step: float = 1.5e-3, near: float = 4e-3, progress: Callable[[float], None] | None = None,
) -> TemplateFit:  # fmt: skip
    """How much better than at its catalogue redshift a spectrum is fitted at some other one.

    Parameters
    ----------
    flux, ivar : (n, p) on ``wavelength`` (p,) Å.
    redshift : (n,) of the catalogue.
    step : of the redshifts tried, in ln(1 + z), from the smallest to the largest of the catalogue.
    near : redshifts within this of the catalogue's, in ln(1 + z), count as the catalogue's.

    The chi-square that a fit explains is compared between redshifts on the same pixels. A fit that could also be made
    with a lone bright line anywhere wins little, as every template is a whole galaxy.
    """
    good = (ivar > 0) & np.isfinite(flux)
    weight = np.where(good, ivar, 0).astype(np.float32)
    value = np.where(good, flux, 0).astype(np.float32)
    known = np.flatnonzero(np.isfinite(redshift) & good.any(axis=1))
    if not len(known):
        return TemplateFit(np.full(len(flux), np.nan), np.full(len(flux), np.nan))
    place = np.log1p(redshift[known])
    tried = np.arange(max(place.min() - near, -0.01), place.max() + near + step, step)
    best, own, other = (np.full(len(known), -np.inf) for _ in range(3))
    at = np.full(len(known), np.nan)
    weighted = weight[known] * value[known]
    for j, shift in enumerate(tried):
        shown = templates.at(wavelength, np.expm1(shift)).astype(np.float32)
        won = _explained(weight[known], weighted, shown)
        at = np.where(won > best, shift, at)
        best = np.maximum(best, won)
        here = np.abs(place - shift) <= near
        own = np.where(here, np.maximum(own, won), own)
        other = np.where(here, other, np.maximum(other, won))
        if progress is not None:
            progress((j + 1) / len(tried))
    mismatch, found = np.full(len(flux), np.nan), np.full(len(flux), np.nan)
    gain = np.where(np.isfinite(other), other - own, 0.0)
    mismatch[known] = np.sign(gain) * np.sqrt(np.abs(gain))
    found[known] = np.expm1(at)
    return TemplateFit(mismatch, found)


def _explained(weight: np.ndarray, weighted: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """(n,) chi-square that the best mixture of templates (k, p) explains of each spectrum."""
    k = len(shown)
    row, column = np.tril_indices(k)
    flat = (weight @ (shown[row] * shown[column]).T).T.astype(np.float64)  # (pairs, n)
    normal = {(int(i), int(j)): flat[p] for p, (i, j) in enumerate(zip(row, column, strict=True))}
    right = (weighted @ shown.T).T.astype(np.float64)
    ridge = 1e-4 * np.mean([normal[i, i] for i in range(k)], axis=0) + 1e-12
    # Cholesky and a forward substitution of all spectra at once: the explained chi-square is |L^-1 right|^2
    lower: dict[tuple[int, int], np.ndarray] = {}
    solved: list[np.ndarray] = []
    for j in range(k):
        pivot = normal[j, j] + ridge - sum(lower[j, p] ** 2 for p in range(j))
        lower[j, j] = np.sqrt(np.maximum(pivot, ridge * 1e-3))
        for i in range(j + 1, k):
            lower[i, j] = (normal[i, j] - sum(lower[i, p] * lower[j, p] for p in range(j))) / lower[j, j]
        solved.append((right[j] - sum(lower[j, p] * solved[p] for p in range(j))) / lower[j, j])
    return np.sum([s**2 for s in solved], axis=0)


def rebinned(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, width: int) -> tuple[Any, Any, Any]:
    """Spectra (n, p) averaged by inverse variance in cells of ``width`` pixels: wavelength, flux and ivar."""
    cells = len(wavelength) // width
    kept, shape = slice(0, cells * width), (len(flux), cells, width)
    good = (ivar[:, kept] > 0) & np.isfinite(flux[:, kept])
    weight = np.where(good, ivar[:, kept], 0).reshape(shape)
    total = np.where(good, flux[:, kept] * ivar[:, kept], 0).reshape(shape).sum(axis=2)
    sums = weight.sum(axis=2)
    mean = np.divide(total, sums, out=np.zeros_like(total), where=sums > 0)
    return wavelength[kept].reshape(cells, width).mean(axis=1), mean, sums
