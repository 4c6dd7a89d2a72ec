"""Steps that readers of spectra share: ascending grids, masks, line fluxes, names by position."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.survey._reading import native
from explorer.survey.records import ReadError, Spectrum

_MOST = 1e30
"""A flux beyond this is a damaged number: its square has no place in float32 sums."""
FLUX_UNIT = "1e-17 erg / (s cm2 Angstrom)"


def make_spectrum(source: object, wavelength: Any, flux: Any, ivar: Any, mask: Any = None) -> Spectrum:
    """A :class:`Spectrum` from arrays as found: any byte order, ascending or descending, NaN or padding at will.

    ``wavelength`` vacuum Å; ``ivar`` inverse variance, or None where unknown (1 where the flux is finite);
    ``mask`` True or non-zero where a sample must not be used. Samples whose wavelength is not finite, not positive
    or repeats the one before (padding) are dropped; samples that are masked, or whose flux or ivar is not finite,
    keep flux 0 where it was not finite and get ivar 0.
    """
    lam = native(wavelength).astype(np.float64).ravel()
    flux_ = native(flux).astype(np.float64).ravel()
    if len(lam) != len(flux_):
        raise ReadError(source, f"{len(lam)} wavelengths but {len(flux_)} fluxes", "Write the file again.")
    weight = np.isfinite(flux_).astype(np.float64) if ivar is None else native(ivar).astype(np.float64).ravel()
    if len(weight) != len(lam):
        raise ReadError(source, f"{len(lam)} wavelengths but {len(weight)} inverse variances", "Write it again.")
    flux_ = np.where(np.abs(flux_) < _MOST, flux_, np.nan)
    bad = ~np.isfinite(flux_) | ~np.isfinite(weight) | (weight < 0)
    if mask is not None:
        bad |= native(mask).ravel() != 0
    use = np.isfinite(lam) & (lam > 0)
    lam, flux_, weight, bad = lam[use], flux_[use], weight[use], bad[use]
    if len(lam) > 1 and lam[-1] < lam[0]:
        lam, flux_, weight, bad = lam[::-1], flux_[::-1], weight[::-1], bad[::-1]
    if len(lam) > 1 and not np.all(np.diff(lam) > 0):
        order = np.argsort(lam, kind="stable")
        order = order[np.r_[True, np.diff(lam[order]) > 0]]
        lam, flux_, weight, bad = lam[order], flux_[order], weight[order], bad[order]
    if len(lam) < 2:
        raise ReadError(source, f"the spectrum has {len(lam)} usable samples", "Leave it out, or fetch it again.")
    if not np.isfinite(flux_).any():
        raise ReadError(source, "no flux of the spectrum is finite", "Leave it out, or fetch it again.")
    weight = np.where(bad, 0.0, np.minimum(weight, np.finfo(np.float32).max))
    flux_ = np.where(np.isfinite(flux_), flux_, 0.0)
    return Spectrum(lam, flux_.astype(np.float32), weight.astype(np.float32))


def ivar_of(error: Any) -> np.ndarray:
    """Inverse variance of an error array: 0 where the error is 0, negative or not finite (traps D2)."""
    sigma = native(error).astype(np.float64)
    good = np.isfinite(sigma) & (sigma > 0)
    return np.where(good, 1.0 / np.where(good, sigma, 1.0) ** 2, 0.0)


DESI_GRID = 3600.0 + 0.8 * np.arange(7781)
"""Wavelengths of merged DESI arms, vacuum Å: 3,600 to 9,824 in steps of 0.8 (traps D3)."""


def merge_arms(arms: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Spectrum:
    """Merge (wavelength, flux, ivar) of DESI's arms on :data:`DESI_GRID`, overlaps weighted by inverse variance.

    The arms are sampled on multiples of 0.8 Å of the same grid, so that no interpolation is needed. Where every
    arm is masked the flux is their plain mean and ivar is 0.
    """
    total, weighted = np.zeros(len(DESI_GRID)), np.zeros(len(DESI_GRID))
    plain_sum, count = np.zeros(len(DESI_GRID)), np.zeros(len(DESI_GRID))
    for wavelength, flux, ivar in arms:
        step = (np.asarray(wavelength, dtype=np.float64) - DESI_GRID[0]) / 0.8
        at = np.rint(step).astype(np.int64)
        if np.abs(step - at).max() > 0.01 or at[0] < 0 or at[-1] >= len(DESI_GRID):
            raise ValueError(
                f"an arm from {wavelength[0]:.2f} to {wavelength[-1]:.2f} Å does not lie on 3600 + 0.8 k Å"
            )
        finite = np.isfinite(flux)
        clean = np.where(finite, flux, 0.0).astype(np.float64)
        weight = np.where(finite & np.isfinite(ivar) & (ivar > 0), ivar, 0.0).astype(np.float64)
        total[at] += weight
        weighted[at] += weight * clean
        plain_sum[at] += clean
        count[at] += finite
    flux_ = np.where(total > 0, weighted / np.where(total > 0, total, 1.0), plain_sum / np.maximum(count, 1))
    return Spectrum(DESI_GRID, flux_.astype(np.float32), total.astype(np.float32))


def position_name(ra: float, dec: float) -> str:
    """``JHHMMSS.ss+DDMMSS.s``, truncated as the IAU asks, of a position in degrees.

    >>> position_name(213.35116, 53.09084)
    'J141324.27+530527.0'
    """
    centiseconds = int((ra % 360.0) / 15.0 * 3600.0 * 100.0 + 1e-6)
    tenths = int(abs(dec) * 3600.0 * 10.0 + 1e-6)
    hours, rest = divmod(centiseconds, 360_000)
    minutes, cs = divmod(rest, 6_000)
    degrees, rest_d = divmod(tenths, 36_000)
    arcmin, ts = divmod(rest_d, 600)
    sign = "-" if dec < 0 else "+"
    return f"J{hours:02d}{minutes:02d}{cs / 100:05.2f}{sign}{degrees:02d}{arcmin:02d}{ts / 10:04.1f}"


RENAMED = {"redshift": "z", "Z": "z", "ZERR": "z_err", "Z_ERR": "z_err", "ZWARN": "zwarning", "ZWARNING": "zwarning"}
"""Names of redshift columns in tables of others → ours."""
WARNING = ("ZWARN", "ZWARNING")


def zwarning(name: str, value: Any) -> Any:
    """The value of a column, where a boolean warning as the Multimodal Universe has it becomes 0 or 1.

    There True means that the redshift is good (traps D1); elsewhere, and here, a warning that is set is a problem.
    """
    return (0 if value else 1) if name in WARNING and isinstance(value, bool) else value
