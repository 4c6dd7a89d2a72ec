"""Scores to ranks and percentiles, with one policy for what is missing and what is not finite."""

from __future__ import annotations

import numpy as np


def rank(scores: np.ndarray, missing: np.ndarray | None = None) -> np.ndarray:
    """Place of every row, 1 for the most anomalous; rows with equal scores share the better place.

    Parameters
    ----------
    scores : (n,) float, higher is more anomalous. NaN and infinities come first: a score that is not finite
        although the data are is a sign of something far out.
    missing : (n,) bool, rows that have no such score at all, for want of the modality.

    Returns
    -------
    (n,) int64; 0 where missing.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"scores must be one-dimensional, not of shape {scores.shape}")
    places = np.zeros(len(scores), dtype=np.int64)
    here = np.ones(len(scores), bool) if missing is None else ~np.asarray(missing, bool)
    shown = np.where(np.isfinite(scores[here]), scores[here], np.inf)
    if len(shown):
        ordered = np.sort(-shown)
        places[here] = np.searchsorted(ordered, -shown, side="left") + 1
    return places


def percentile(places: np.ndarray) -> np.ndarray:
    """Share of rows, in percent, that a row is at least as anomalous as: 100 (N - rank + 1) / N (P0.10).

    ``places`` (n,) int from :func:`rank`. Returns (n,) float64 in (0, 100], NaN where the place is 0.
    """
    places = np.asarray(places)
    total = int(np.count_nonzero(places))
    return np.where(places > 0, 100.0 * (total - places + 1) / max(total, 1), np.nan)
