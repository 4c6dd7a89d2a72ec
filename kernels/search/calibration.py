"""Whether probabilities and intervals mean what they say: reliability, log loss, coverage, redshift errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

FLOOR = 1e-15
"""Probabilities are clipped here before their logarithm: a certainty that fails costs 34.5."""


@dataclass(frozen=True)
class Calibration:
    """How (m,) verdicts kept their word.

    Attributes
    ----------
    ece : expected calibration error, the mean gap between confidence and accuracy over bins (Naeini et al. 2015).
    log_loss : mean of -ln p(truth); ``brier`` : mean of Σ (p - y)² over the classes.
    confidence, accuracy, count : (bins,) of the most probable class; NaN in bins that hold nothing.
    """

    ece: float
    log_loss: float
    brier: float
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray


def calibration(probability: Any, truth: Any, classes: Any, bins: int = 10) -> Calibration:
    """Check (m, c) probabilities against (m,) true labels; ``classes`` (c,) name the columns.

    A truth that is not among the classes had probability 0. Bins are of equal width between 0 and 1.
    """
    p, truth, classes = np.asarray(probability, np.float64), np.asarray(truth), np.asarray(classes)
    if p.ndim != 2 or p.shape != (len(truth), len(classes)) or not len(p):
        raise ValueError(f"probability is {p.shape} for {len(truth)} verdicts on {len(classes)} classes")
    off = np.abs(p.sum(axis=1) - 1)
    if not (off < 1e-6).all():
        at = int(np.argmax(~(off < 1e-6)))
        raise ValueError(f"the probabilities of verdict {at} sum to {p[at].sum():.6g}, not to 1")
    hit = truth[:, None] == classes[None]
    loss = -np.log(np.clip((p * hit).sum(axis=1), FLOOR, 1.0)).mean()
    missing = ~hit.any(axis=1)
    brier = ((p - hit) ** 2).sum(axis=1).mean() + missing.mean()
    top, right = p.max(axis=1), hit[np.arange(len(p)), p.argmax(axis=1)]
    at = np.minimum((top * bins).astype(int), bins - 1)
    count = np.bincount(at, minlength=bins)
    with np.errstate(invalid="ignore"):
        confidence = np.bincount(at, top, bins) / count
        accuracy = np.bincount(at, right, bins) / count
    gap = np.nansum(np.abs(confidence - accuracy) * count) / len(p)
    return Calibration(float(gap), float(loss), float(brier), confidence, accuracy, count)


def weighted_quantile(values: np.ndarray, weight: np.ndarray, share: float) -> np.ndarray:
    """(m,) the quantile of each row of ``values`` (m, k) under ``weight`` (m, k), halfway rule; NaN without weight."""
    weight = np.where(np.isfinite(values), weight, 0.0)
    order = np.argsort(np.where(weight > 0, values, np.inf), axis=1)
    v, w = np.take_along_axis(values, order, 1), np.take_along_axis(weight, order, 1)
    total = w.sum(axis=1, keepdims=True)
    middle = (np.cumsum(w, axis=1) - w / 2) / np.where(total > 0, total, 1.0)
    out = np.full(len(v), np.nan)
    for i in np.flatnonzero(total[:, 0] > 0):
        used = w[i] > 0
        out[i] = np.interp(share, middle[i, used], v[i, used])
    return out


@dataclass(frozen=True)
class RedshiftErrors:
    """Of Δ = (z - z_true) / (1 + z_true): ``bias`` its median, ``nmad`` = 1.4826 median |Δ - bias|, ``outliers`` the
    share with |Δ| > ``limit``, over ``n`` objects with a finite answer of ``asked``."""

    bias: float
    nmad: float
    outliers: float
    limit: float
    n: int
    asked: int


def redshift_errors(found: Any, truth: Any, groups: Any = None, limit: float = 0.15) -> RedshiftErrors:
    """Redshift errors as photometric-redshift papers give them (Brammer, van Dokkum & Coppi 2008).

    ``groups`` (m,) name the object behind each answer: an object observed many times counts once, by the median of
    its answers.
    """
    found, truth = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    if groups is not None:
        names, at = np.unique(np.asarray(groups).astype(str), return_inverse=True)
        found = np.array([np.nanmedian(_some(found[at == i])) for i in range(len(names))])
        truth = np.array([np.nanmedian(_some(truth[at == i])) for i in range(len(names))])
    error = (found - truth) / (1 + truth)
    good = np.isfinite(error)
    if not good.any():
        return RedshiftErrors(float("nan"), float("nan"), float("nan"), limit, 0, len(error))
    error = error[good]
    bias = float(np.median(error))
    nmad = float(1.4826 * np.median(np.abs(error - bias)))
    return RedshiftErrors(bias, nmad, float((np.abs(error) > limit).mean()), limit, len(error), len(good))


def _some(values: np.ndarray) -> np.ndarray:
    kept = values[np.isfinite(values)]
    return kept if len(kept) else np.array([np.nan])


def conformal_factor(error: Any, spread: Any, level: float = 0.68) -> float:
    """The factor by which ``spread`` (m,) > 0 holds a share ``level`` of the errors (m,) of held-out answers.

    Split conformal prediction with scaled residuals (Lei et al. 2018): the ceil((m + 1) level)-th smallest
    |error| / spread, so that new errors of the same kind lie within factor x spread at least that often.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level!r}: the share of truths inside the interval lies between 0 and 1")
    ratio = np.abs(np.asarray(error, np.float64)) / np.asarray(spread, np.float64)
    ratio = np.sort(ratio[np.isfinite(ratio)])
    place = int(np.ceil((len(ratio) + 1) * level)) - 1
    return float(ratio[place]) if 0 <= place < len(ratio) else float("inf")
