"""What a spectrum needs before it is drawn: smoothing, decimation, limits, masked runs, a stack of many."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import convolve1d, median_filter

from explorer.survey.records import Spectrum


def smooth(flux: np.ndarray, ivar: np.ndarray, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian smoothing of σ = ``sigma`` pixels, weighted by the inverse variance: (flux, ivar), float64.

    ``f = Σ g w f / Σ g w`` and ``ivar = (Σ g w)² / Σ g² w``: the inverse variance of that mean for independent pixels.
    A masked pixel (ivar 0, or non-finite) lends nothing and keeps ivar 0 and flux NaN, so that it stays a gap.
    """
    good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
    weight = np.where(good, ivar, 0).astype(np.float64)
    clean = np.where(good, flux, 0).astype(np.float64)
    if sigma > 0:
        reach = max(1, int(np.ceil(4 * sigma)))
        kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
        total = convolve1d(weight, kernel, mode="constant")
        spread = convolve1d(weight, kernel**2, mode="constant")
        with np.errstate(divide="ignore", invalid="ignore"):
            clean = convolve1d(weight * clean, kernel, mode="constant") / total
            weight = total**2 / spread
    return np.where(good, clean, np.nan), np.where(good, weight, 0)


def limits(flux: np.ndarray, ivar: np.ndarray) -> tuple[float, float]:
    """(low, high) of the flux axis: all real features inside, a cosmic ray or a noisy edge outside.

    The limits come from pixels whose error is at most six times the median one, through a running median of three
    pixels and a Gaussian of 1.5: a single bad pixel goes, an emission line stays. The top is capped at 300 times the
    0.5-99 % span above the median.
    """
    good = np.isfinite(flux) & np.isfinite(ivar) & (ivar > 0)
    if not good.any():
        return 0.0, 1.0
    shown, _ = smooth(median_filter(flux[good].astype(np.float64), 3, mode="nearest"), ivar[good], 1.5)
    values = shown[ivar[good] >= np.median(ivar[good]) / 36]
    low, middle, top = np.percentile(values, [0.5, 50, 99])
    span = max(top - low, 1e-30)
    high = min(float(values.max()), middle + 300 * span)
    pad = 0.08 * max(high - low, 1e-30)
    bottom = min(low, 0.0) if low < 0.6 * span else low  # show zero where it is near
    return float(bottom - pad), float(high + 1.6 * pad)


def decimate(values: np.ndarray, columns: int) -> np.ndarray:
    """Ascending positions of at most ``2 * columns`` samples that draw the same line: each column's min and max.

    ``values`` (n,), NaN where masked; a column of NaN alone keeps its first sample, so that the gap stays.
    """
    n = len(values)
    if n <= 2 * columns:
        return np.arange(n)
    width = -(-n // columns)
    padded = np.full(width * -(-n // width), np.nan)
    padded[:n] = values
    table = padded.reshape(-1, width)
    start = np.arange(len(table)) * width
    low = start + np.argmin(np.where(np.isnan(table), np.inf, table), axis=1)
    high = start + np.argmax(np.where(np.isnan(table), -np.inf, table), axis=1)
    return np.unique(np.concatenate([low, high, [0, n - 1]]))


def masked_runs(wavelength: np.ndarray, ivar: np.ndarray) -> np.ndarray:
    """(k, 2) float64 edges in Å of the runs of masked pixels, each widened by half a pixel on both sides."""
    bad = np.concatenate([[False], ~(np.isfinite(ivar) & (ivar > 0)), [False]])
    change = np.flatnonzero(bad[1:] != bad[:-1])
    first, last = change[::2], change[1::2] - 1
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    edge = np.concatenate([wavelength[:1], middle, wavelength[-1:]])
    return np.stack([edge[first], edge[last + 1]], axis=1) if len(first) else np.empty((0, 2))


def level(spectrum: Spectrum) -> float:
    """Median flux of the unmasked pixels, NaN where there are none: what a stack divides by."""
    good = (spectrum.ivar > 0) & np.isfinite(spectrum.flux)
    return float(np.median(spectrum.flux[good])) if good.any() else float("nan")


def stack(
    spectra: Sequence[Spectrum],
    redshifts: Sequence[float] | np.ndarray | None,
    points: int = 1200,
    share: float = 0.2,
) -> dict[str, np.ndarray]:
    """Median and 16-84 % band of many spectra on one grid, each divided by its median flux.

    With ``redshifts`` the grid is in the rest frame and spectra without a finite z are left out; without, it is
    observed. Returns ``wavelength``, ``median``, ``low``, ``high`` (points,) float64 and ``count`` int64, NaN where
    fewer than max(3, ``share`` of the spectra) have data. Empty arrays where fewer than three spectra remain.
    """
    z = np.zeros(len(spectra)) if redshifts is None else np.asarray(redshifts, dtype=np.float64)
    usable = [
        (s, 1 + zi, level(s)) for s, zi in zip(spectra, z, strict=True) if s is not None and np.isfinite(zi) and zi > -1
    ]
    usable = [(s, f, m) for s, f, m in usable if np.isfinite(m) and m != 0]
    if len(usable) < 3:
        return {k: np.empty(0) for k in ("wavelength", "median", "low", "high", "count")}
    low = min(s.wavelength[0] / f for s, f, _ in usable)
    high = max(s.wavelength[-1] / f for s, f, _ in usable)
    grid = np.geomspace(low, high, points)
    table = np.full((len(usable), points), np.nan, dtype=np.float32)
    edges = np.concatenate([[grid[0]], np.sqrt(grid[1:] * grid[:-1]), [grid[-1]]])
    for row, (s, factor, middle) in zip(table, usable, strict=True):
        row[:] = _binned(s, edges * factor) / abs(middle)
    count = np.isfinite(table).sum(axis=0)
    enough = count >= max(3, int(np.ceil(share * len(usable))))
    found = np.full((3, points), np.nan)
    if enough.any():
        found[:, enough] = np.nanpercentile(table[:, enough], [16, 50, 84], axis=0)
    return {"wavelength": grid, "low": found[0], "median": found[1], "high": found[2], "count": count}


def _binned(s: Spectrum, edges: np.ndarray) -> np.ndarray:
    """Mean of the unmasked flux inside each pair of edges; interpolated where a bin is narrower than a pixel."""
    good = (s.ivar > 0) & np.isfinite(s.flux)
    if not good.any():
        return np.full(len(edges) - 1, np.nan)
    at = np.searchsorted(s.wavelength, edges)
    total = np.concatenate([[0.0], np.cumsum(np.where(good, s.flux, 0), dtype=np.float64)])
    number = np.concatenate([[0], np.cumsum(good)])
    inside, count = total[at[1:]] - total[at[:-1]], number[at[1:]] - number[at[:-1]]
    centre = (edges[1:] + edges[:-1]) / 2
    nearest = np.clip(np.searchsorted(s.wavelength, centre), 0, len(good) - 1)
    between = np.interp(centre, s.wavelength[good], s.flux[good], left=np.nan, right=np.nan)
    alone = np.where((at[1:] == at[:-1]) & good[nearest], between, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(count > 0, inside / count, alone)


def to_csv(spectrum: Spectrum, row_id: str, redshift: float | None, unit: str) -> str:
    """The spectrum as CSV: comment lines that say what it is, then one line for each sample."""
    one_line = " ".join(str(row_id).split())
    known = redshift is not None and np.isfinite(redshift)
    head = [
        f"# id: {one_line}",
        f"# redshift: {redshift if known else 'unknown'}",
        f"# wavelength in vacuum Angstrom; flux in {' '.join((unit or 'unknown unit').split())}; ivar in 1/flux^2",
        "wavelength" + (",rest_wavelength" if known else "") + ",flux,ivar,masked",
    ]
    columns = [np.char.mod("%.4f", spectrum.wavelength)]
    if known:
        columns.append(np.char.mod("%.4f", spectrum.wavelength / (1 + float(redshift or 0))))
    columns += [np.char.mod("%.7g", spectrum.flux), np.char.mod("%.7g", spectrum.ivar)]
    columns.append(np.where(spectrum.ivar > 0, "0", "1"))
    return "\n".join([*head, *(",".join(values) for values in zip(*columns, strict=True))]) + "\n"
