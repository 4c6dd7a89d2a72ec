"""X-ray spectra to model input (P3.1): count rates in 400 bins from 0.5 to 8 keV, min-max normalised."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

BINS, LOW, HIGH = 400, 0.5, 8.0


class Scaled(NamedTuple):
    """``values`` (..., 400) float32 in [0, 1]; ``low`` and ``span`` (...,) say which rates 0 and 1 stand for.

    ``span`` is 0 where all rates of a spectrum are equal; its values are then 0.
    """

    values: np.ndarray
    low: np.ndarray
    span: np.ndarray


def bin_edges(bins: int = BINS, low: float = LOW, high: float = HIGH, spacing: str = "linear") -> np.ndarray:
    """(bins + 1,) edges in keV, ``linear`` (as in P3.1) or ``log``."""
    if not 0 < low < high or bins < 1:
        raise ValueError(f"bins={bins}, low={low}, high={high}: give 0 < low < high and at least one bin")
    if spacing not in ("linear", "log"):
        raise ValueError(f"spacing={spacing!r} is unknown: choose 'linear' or 'log'")
    return np.linspace(low, high, bins + 1) if spacing == "linear" else np.geomspace(low, high, bins + 1)


def rate_from_events(energy: ArrayLike, exposure: float, edges: np.ndarray | None = None) -> np.ndarray:
    """(bins,) counts / s / keV of photons of these energies (keV); those outside the edges are left out."""
    edges = bin_edges() if edges is None else edges
    energy = np.asarray(energy, dtype=np.float64)
    if energy.ndim != 1:
        raise ValueError(f"energy has the shape {energy.shape}: one number for each photon is needed")
    if not np.isfinite(energy).all():
        at = int(np.flatnonzero(~np.isfinite(energy))[0])
        raise ValueError(f"the energy of photon {at} is not finite: leave it out")
    return np.histogram(energy, edges)[0] / (_exposure(exposure) * np.diff(edges))


def rate_from_channels(
    energy_lo: ArrayLike,
    energy_hi: ArrayLike,
    counts: ArrayLike,
    exposure: ArrayLike,
    background: ArrayLike | None = None,
    edges: np.ndarray | None = None,
) -> np.ndarray:
    """(bins,) or (n, bins) counts / s / keV from counts in channels.

    A channel's counts are spread evenly over its width and fall into the bins that it overlaps, so that their sum
    is kept. ``energy_lo``, ``energy_hi`` (c,) keV ascending; ``counts`` (c,) or (n, c); ``background`` of the same
    shape, already scaled to the source, is taken away; ``exposure`` s, one or (n,).
    """
    edges = bin_edges() if edges is None else edges
    lo, hi = np.asarray(energy_lo, dtype=np.float64), np.asarray(energy_hi, dtype=np.float64)
    net = np.array(counts, dtype=np.float64)
    _check_channels(lo, hi, net)
    if background is not None:
        background = np.asarray(background, dtype=np.float64)
        if background.shape != net.shape:
            raise ValueError(f"background {background.shape} and counts {net.shape} must be of one shape")
        net -= background
    if not np.isfinite(net).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(net))[0])
        raise ValueError(f"counts are not finite at {at}: set them to 0 or leave the spectrum out")
    below = np.clip((edges - lo[:, None]) / (hi - lo)[:, None], 0, 1)  # (c, bins + 1): share of a channel below
    binned = net @ np.diff(below, axis=1)
    return binned / (_exposure(exposure)[..., None] * np.diff(edges))


BANDS = {"s": (0.5, 1.2), "m": (1.2, 2.0), "h": (2.0, 7.0), "b": (0.5, 7.0)}
"""keV, those of the Chandra Source Catalog; a band holds its lower edge."""


def hardness_ratios(
    energy: ArrayLike, background: dict[str, float] | None = None, area: dict[str, float] | None = None
) -> dict[str, float]:
    """``hard_hs``, ``hard_hm``, ``hard_ms`` of photons of these energies (keV): (x - y) / (x + y) of two bands.

    x and y are counts, less the ``background`` counts expected in a band and over the effective ``area`` (cm²) of the
    band where these are given; below 0 counts as 0. NaN where both bands are empty.
    """
    energy = np.asarray(energy, dtype=np.float64)
    if energy.ndim != 1:
        raise ValueError(f"energy has the shape {energy.shape}: one number for each photon is needed")
    net = {}
    for band, (lo, hi) in BANDS.items():
        counted = float(((energy >= lo) & (energy < hi)).sum()) - (background or {}).get(band, 0.0)
        net[band] = max(counted, 0.0) / (area or {}).get(band, 1.0)
    out = {}
    for x, y in ("hs", "hm", "ms"):
        total = net[x] + net[y]
        out[f"hard_{x}{y}"] = (net[x] - net[y]) / total if total > 0 else float("nan")
    return out


def counts_from_rate(rate: ArrayLike, exposure: ArrayLike, edges: np.ndarray | None = None) -> np.ndarray:
    """Counts in each bin, (..., bins): the inverse of the division by time and width."""
    edges = bin_edges() if edges is None else edges
    return np.asarray(rate, dtype=np.float64) * (_exposure(exposure)[..., None] * np.diff(edges))


def min_max(rate: ArrayLike) -> Scaled:
    """Each spectrum's rates from 0 (its lowest) to 1 (its highest): its shape without its brightness."""
    rate = np.asarray(rate, dtype=np.float64)
    if rate.ndim < 1 or rate.shape[-1] == 0:
        raise ValueError(f"rates have the shape {rate.shape}: (..., bins) with at least one bin is needed")
    if not np.isfinite(rate).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(rate))[0])
        raise ValueError(f"the rate is not finite at {at}: leave that spectrum out")
    low = rate.min(axis=-1)
    span = rate.max(axis=-1) - low
    values = np.divide(rate - low[..., None], span[..., None], out=np.zeros_like(rate), where=span[..., None] > 0)
    return Scaled(values.astype(np.float32), low, span)


def undo_min_max(scaled: Scaled) -> np.ndarray:
    """The rates that :func:`min_max` was given, to float32."""
    return scaled.values * np.asarray(scaled.span)[..., None] + np.asarray(scaled.low)[..., None]


def _exposure(exposure: ArrayLike) -> np.ndarray:
    exposure = np.asarray(exposure, dtype=np.float64)
    if not (np.isfinite(exposure).all() and (exposure > 0).all()):
        raise ValueError(f"exposure={exposure}: seconds above 0 are needed; read it from the EXPOSURE keyword")
    return exposure


def _check_channels(lo: np.ndarray, hi: np.ndarray, counts: np.ndarray) -> None:
    if lo.ndim != 1 or lo.shape != hi.shape or counts.shape[-1:] != lo.shape or counts.ndim > 2:
        raise ValueError(
            f"energy_lo {lo.shape}, energy_hi {hi.shape}, counts {counts.shape}: (c,), (c,), (c,) or (n, c) are needed"
        )
    if not (np.isfinite(lo).all() and np.isfinite(hi).all() and (hi > lo).all()):
        at = int(np.flatnonzero(~(np.isfinite(lo) & np.isfinite(hi) & (hi > lo)))[0])
        raise ValueError(f"channel {at} goes from {lo[at]} to {hi[at]} keV: energy_hi must be above energy_lo")
    if (np.diff(lo) <= 0).any():
        told = "descend: reverse the channels" if (np.diff(lo) < 0).all() else "do not ascend: sort the channels"
        raise ValueError(f"the energies {told}, and the counts with them")
