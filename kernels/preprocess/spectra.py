"""Spectra to model input (P0.2, P0.3, P1.1): one wavelength grid, one scale, patches, and what undoes it.

``wavelength`` (m,) ascending, Å; ``flux`` (m,) or (n, m), per Å; ``ivar`` its inverse variance, 0 where a sample
is masked. A sample that is not finite must be masked; :func:`masked` does it. Scales come back with the result,
so that :func:`denormalise` undoes them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

GRID_P1 = np.linspace(3850.0, 9000.0, 3688)
"""The grid of P1.1, Å; both ends are on it."""
WINDOW_P1 = (5300.0, 5850.0)
"""Rest-frame window of P1.1 whose median flux is the unit, Å."""
LAST_REDSHIFT_P1 = 0.70
"""Beyond it the window has left the grid."""
PATCH_P1, OVERLAP_P1 = 15, 10


class Normalised(NamedTuple):
    """``flux`` and ``ivar`` in units of ``scale`` above ``offset``; the last two are (n,), or numbers for one."""

    flux: np.ndarray
    ivar: np.ndarray
    offset: np.ndarray
    scale: np.ndarray


class Prepared(NamedTuple):
    """P1.1: ``flux`` (n, 3688) float32, ``valid`` (n, 3688) bool, ``scale`` (n,), ``fallback`` (n,) uint8.

    ``fallback`` is 0 where the median in the rest-frame window is the unit, 1 where it is that of all valid
    samples (redshift beyond 0.70 or unknown, or nothing valid in the window), 2 where neither is positive and the
    median of the absolute flux is taken.
    """

    flux: np.ndarray
    valid: np.ndarray
    scale: np.ndarray
    fallback: np.ndarray


def masked(flux: ArrayLike, ivar: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar with samples that are not finite, or whose ivar is not finite or negative, at 0 and ivar 0."""
    flux, ivar = np.array(flux, dtype=np.float64), np.array(ivar, dtype=np.float64)
    if flux.shape != ivar.shape:
        raise ValueError(f"flux {flux.shape} and ivar {ivar.shape} must be of one shape")
    bad = ~np.isfinite(flux) | ~np.isfinite(ivar) | (ivar <= 0)
    flux[~np.isfinite(flux)], ivar[bad] = 0.0, 0.0
    return flux, ivar


def resample(
    wavelength: ArrayLike, flux: ArrayLike, ivar: ArrayLike, grid: ArrayLike, how: str = "linear"
) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar on another grid (g,): (g,) or (n, g) float64 each (P0.2).

    ``how="linear"`` interpolates between samples; ``"conserving"`` averages over each new sample's bin (edges half
    way between samples) so that flux x width is kept. Variances follow by the squared weights, covariances between
    new samples are left out. Across masked samples the flux goes on linearly and has ivar 0; outside the spectrum
    both are 0.
    """
    wavelength, flux, ivar = _checked(wavelength, flux, ivar)
    grid = _axis(grid, "grid")
    one = flux.ndim == 1
    flux, ivar = np.atleast_2d(flux), np.atleast_2d(ivar)
    weights = _weights(wavelength.tobytes(), grid.tobytes(), how)
    good = ivar > 0
    filled = fill_gaps(wavelength, flux, good)
    new = (weights @ filled.T).T
    squared = weights.multiply(weights).tocsr()
    with np.errstate(divide="ignore"):
        variance = (squared @ np.where(good, 1 / ivar, 0.0).T).T
    used = (weights != 0).astype(np.float64)
    whole = np.asarray(used.sum(axis=1)).ravel() == (used @ good.T.astype(np.float64)).T
    new_ivar = np.divide(1.0, variance, out=np.zeros_like(variance), where=whole & (variance > 0))
    return (new[0], new_ivar[0]) if one else (new, new_ivar)


def fill_gaps(wavelength: np.ndarray, flux: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(n, m) flux with samples that are not ``good`` on the line between their neighbours; flat beyond the ends."""
    filled = np.array(flux, dtype=np.float64)
    for row in np.flatnonzero(~good.all(axis=1)):
        here = good[row]
        filled[row] = np.interp(wavelength, wavelength[here], filled[row, here]) if here.any() else 0.0
    return filled


@lru_cache(maxsize=64)
def _weights(wavelength: bytes, grid: bytes, how: str) -> sparse.csr_matrix:
    """(g, m) weights of old samples in new ones; a row of zeros where the new sample is outside."""
    old, new = np.frombuffer(wavelength), np.frombuffer(grid)
    if how == "linear":
        inside = np.flatnonzero((new >= old[0]) & (new <= old[-1]))
        low = np.clip(np.searchsorted(old, new[inside], side="right") - 1, 0, len(old) - 2)
        share = (new[inside] - old[low]) / (old[low + 1] - old[low])
        rows, columns = np.concatenate([inside, inside]), np.concatenate([low, low + 1])
        values = np.concatenate([1 - share, share])
    elif how == "conserving":
        rows, columns, values = _overlaps(edges(old), edges(new))
        covered = np.bincount(rows, values, minlength=len(new))
        width = np.diff(edges(new))
        inside_share = covered[rows] / width[rows]
        kept = inside_share >= 0.5
        rows, columns, values = rows[kept], columns[kept], values[kept] / covered[rows[kept]]
    else:
        raise ValueError(f"how={how!r} is unknown: choose 'linear' or 'conserving'")
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=(len(new), len(old)))
    matrix.eliminate_zeros()
    return matrix


def edges(wavelength: np.ndarray) -> np.ndarray:
    """(m + 1,) edges half way between samples; the outer bins are as wide as their neighbours' half suggests."""
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    return np.concatenate([[2 * wavelength[0] - middle[0]], middle, [2 * wavelength[-1] - middle[-1]]])


def _overlaps(old: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rows, columns, lengths): how much of new bin ``row`` lies in old bin ``column``, where it does."""
    cuts = np.unique(np.concatenate([old, new]))
    cuts = cuts[(cuts >= max(old[0], new[0])) & (cuts <= min(old[-1], new[-1]))]
    if len(cuts) < 2:
        nothing = np.empty(0, np.int64)
        return nothing, nothing, np.empty(0)
    middle = (cuts[1:] + cuts[:-1]) / 2
    return np.searchsorted(new, middle) - 1, np.searchsorted(old, middle) - 1, np.diff(cuts)


def normalise(flux: ArrayLike, ivar: ArrayLike, how: str = "std") -> Normalised:
    """One spectrum or each of several on its own scale; masked samples count for nothing and stay masked.

    ``std`` divides by the standard deviation (P0.3), ``zscore`` takes the mean away first (P0.4), ``median`` divides
    by the median, which must be positive. A constant spectrum keeps its scale under ``std`` and ``zscore``.
    """
    flux, ivar = _pair(flux, ivar)
    one = flux.ndim == 1
    flux, ivar = np.atleast_2d(flux), np.atleast_2d(ivar)
    good = ivar > 0
    _some_valid(good)
    data = np.where(good, flux, np.nan)
    mean = np.nanmean(data, axis=1)
    if how in ("std", "zscore"):
        offset = mean if how == "zscore" else np.zeros_like(mean)
        scale = np.nanstd(data, axis=1)
        scale = np.where(scale > 1e-12 * np.nanmax(np.abs(data), axis=1), scale, 1.0)
    elif how == "median":
        offset, scale = np.zeros_like(mean), np.nanmedian(data, axis=1)
        if (scale <= 0).any():
            row = int(np.flatnonzero(scale <= 0)[0])
            raise ValueError(f"the median flux of spectrum {row} is {scale[row]:.3g}: use how='std' or 'zscore'")
    else:
        raise ValueError(f"how={how!r} is unknown: choose 'std', 'zscore' or 'median'")
    new = np.where(good, (flux - offset[:, None]) / scale[:, None], 0.0)
    new_ivar = ivar * scale[:, None] ** 2
    if one:
        return Normalised(new[0], new_ivar[0], offset[0], scale[0])
    return Normalised(new, new_ivar, offset, scale)


def denormalise(spectrum: Normalised) -> tuple[np.ndarray, np.ndarray]:
    """Flux and ivar as they were before :func:`normalise`; masked samples are at the offset, with ivar 0."""
    scale, offset = np.asarray(spectrum.scale)[..., None], np.asarray(spectrum.offset)[..., None]
    return spectrum.flux * scale + offset, spectrum.ivar / scale**2


def fit_length(flux: ArrayLike, length: int) -> np.ndarray:
    """(..., length): the end cut off, or zeros put after it (P0.3: 7,781, P0.4: 7,700)."""
    flux = np.asarray(flux)
    room = max(0, length - flux.shape[-1])
    return np.pad(flux[..., :length], [(0, 0)] * (flux.ndim - 1) + [(0, room)])


def galspec(wavelength: ArrayLike, flux: ArrayLike, ivar: ArrayLike, redshift: ArrayLike) -> Prepared:
    """P1.1: linear resampling to 3,688 samples over 3,850-9,000 Å, then division by the rest-frame median flux.

    ``flux`` (m,) or (n, m) in the observed frame, ``redshift`` a number or (n,), NaN where unknown.
    """
    new, new_ivar = (np.atleast_2d(a) for a in resample(wavelength, flux, ivar, GRID_P1))
    redshift = np.broadcast_to(np.asarray(redshift, dtype=np.float64), (len(new),))
    valid = new_ivar > 0
    _some_valid(valid, f"between {GRID_P1[0]:.0f} and {GRID_P1[-1]:.0f} Å")
    scale, fallback = np.empty(len(new)), np.zeros(len(new), np.uint8)
    for row, z in enumerate(redshift):
        low, high = WINDOW_P1[0] * (1 + z), WINDOW_P1[1] * (1 + z)
        window = valid[row] & (low <= GRID_P1) & (high >= GRID_P1)
        if z <= LAST_REDSHIFT_P1 and window.any():
            scale[row] = np.median(new[row, window])
        if not (z <= LAST_REDSHIFT_P1 and window.any() and scale[row] > 0):
            scale[row], fallback[row] = np.median(new[row, valid[row]]), 1
        if scale[row] <= 0:
            scale[row], fallback[row] = np.median(np.abs(new[row, valid[row]])) or 1.0, 2
    return Prepared((new / scale[:, None]).astype(np.float32), valid, scale, fallback)


def patches(flux: ArrayLike, size: int = PATCH_P1, overlap: int = OVERLAP_P1) -> np.ndarray:
    """(..., N, size) patches of (..., S), each beginning ``size - overlap`` after the last (P1.1).

    N = (S - size) // (size - overlap) + 1; of 3,688 samples that is 735, and the last 3 samples are in none.
    """
    flux = np.asarray(flux)
    step = _step(size, overlap)
    if flux.shape[-1] < size:
        raise ValueError(f"a spectrum of {flux.shape[-1]} samples has no patch of {size}")
    return np.lib.stride_tricks.sliding_window_view(flux, size, axis=-1)[..., ::step, :]


def unpatch(patched: ArrayLike, length: int, overlap: int = OVERLAP_P1) -> np.ndarray:
    """(..., length) from patches (..., N, size): the mean where they overlap, NaN where there is none."""
    patched = np.asarray(patched, dtype=np.float64)
    count, size = patched.shape[-2:]
    at = (np.arange(count) * _step(size, overlap))[:, None] + np.arange(size)
    if at.max() >= length:
        raise ValueError(f"{count} patches of {size} reach beyond {length} samples")
    flat = patched.reshape(-1, count * size)
    total = np.stack([np.bincount(at.ravel(), row, minlength=length) for row in flat])
    with np.errstate(invalid="ignore"):
        mean = total / np.bincount(at.ravel(), minlength=length)
    return mean.reshape(*patched.shape[:-2], length)


def _step(size: int, overlap: int) -> int:
    if not 0 <= overlap < size:
        raise ValueError(f"patches of {size} samples overlap by 0 to {size - 1}, not by {overlap}")
    return size - overlap


def _axis(values: ArrayLike, name: str) -> np.ndarray:
    axis = np.ascontiguousarray(values, dtype=np.float64)
    if axis.ndim != 1 or len(axis) < 2:
        raise ValueError(f"{name} has the shape {axis.shape}: one dimension and two or more samples are needed")
    if not np.isfinite(axis).all():
        raise ValueError(f"{name} is not finite at sample {int(np.flatnonzero(~np.isfinite(axis))[0])}")
    steps = np.diff(axis)
    if (steps <= 0).any():
        if (steps < 0).all():
            raise ValueError(f"{name} descends: reverse it, and flux and ivar with it")
        at = int(np.flatnonzero(steps <= 0)[0]) + 1
        raise ValueError(f"{name} does not ascend at sample {at} ({axis[at]:.6g} after {axis[at - 1]:.6g}): sort it")
    return axis


def _pair(flux: ArrayLike, ivar: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    flux, ivar = np.asarray(flux, dtype=np.float64), np.asarray(ivar, dtype=np.float64)
    if flux.ndim not in (1, 2) or flux.shape != ivar.shape:
        raise ValueError(f"flux {flux.shape} and ivar {ivar.shape} must both be (m,) or (n, m)")
    bad = ~np.isfinite(ivar) | (ivar < 0)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"ivar is {ivar[at]} at {at}: it is finite and not negative; masked() sets it to 0")
    bad = ~np.isfinite(flux) & (ivar > 0)
    if bad.any():
        at = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(f"flux is {flux[at]} at {at} where ivar is positive; masked() masks such samples")
    return np.where(ivar > 0, flux, 0.0), ivar


def _checked(wavelength: ArrayLike, flux: ArrayLike, ivar: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    wavelength = _axis(wavelength, "wavelength")
    flux, ivar = _pair(flux, ivar)
    if flux.shape[-1] != len(wavelength):
        raise ValueError(f"{len(wavelength)} wavelengths for {flux.shape[-1]} samples of flux: they must be as many")
    return wavelength, flux, ivar


def _some_valid(good: np.ndarray, where: str = "anywhere") -> None:
    empty = ~good.any(axis=1)
    if empty.any():
        raise ValueError(f"spectrum {int(np.flatnonzero(empty)[0])} has no valid sample (ivar 0) {where}: leave it out")
