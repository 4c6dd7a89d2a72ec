"""Votes of nearest neighbours: weights of distances, class probabilities, abstention (P1.4).

``distance`` (m, k) ascending and ``rows`` (m, k) come from :class:`kernels.search.Neighbours`; a place with row -1 or
distance NaN casts no vote. Labels are text; ``""`` means unknown and casts no vote either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

EPSILON = 10.0
"""The e of 1/(x + e) and 1/(x² + e) in P1.4."""
K = 3
"""Neighbours that vote by default (P1.4)."""

FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "1/(x+e)": lambda x: 1 / (x + EPSILON),
    "1/(x^2+e)": lambda x: 1 / (x * x + EPSILON),
    "-x": lambda x: -x,
    "exp(-x)": lambda x: np.exp(-x),
}
"""The four functions from distance to weight that P1.4 compares."""

WEIGHTINGS = (*(f"softmax({name})" for name in FUNCTIONS), "uniform")
"""Weights of one vote, each summing to one. ``softmax(-x)`` is exp(-x) divided by its sum, ``softmax(exp(-x))`` the
other reading of the paper's text; as exp(-x) lies in (0, 1], its weights differ by at most a factor e."""
DEFAULT = "softmax(-x)"


@dataclass(frozen=True)
class Shape:
    """Moments of a sample. ``kurtosis`` is Pearson's (3 for a normal), ``excess`` is that less 3 (Fisher's)."""

    mean: float
    median: float
    std: float
    skewness: float
    kurtosis: float

    @property
    def excess(self) -> float:
        """Kurtosis less 3."""
        return self.kurtosis - 3


def shape(values: Any) -> Shape:
    """Moments of all finite ``values``, biased estimators as in the paper's tables; NaN where nothing varies."""
    x = np.asarray(values, np.float64)
    x = x[np.isfinite(x)]
    if not len(x):
        return Shape(*[float("nan")] * 5)
    mean, std = float(x.mean()), float(x.std())
    if std <= 1e-12 * max(abs(mean), 1e-300):
        return Shape(mean, float(np.median(x)), std, float("nan"), float("nan"))
    u = (x - mean) / std
    return Shape(mean, float(np.median(x)), std, float((u**3).mean()), float((u**4).mean()))


def shapes(distance: Any) -> dict[str, Shape]:
    """Moments of the distances themselves (``"x"``) and of each function of them: the paper's table A1."""
    x = np.asarray(distance, np.float64)
    return {"x": shape(x)} | {name: shape(f(x)) for name, f in FUNCTIONS.items()}


def weights(distance: Any, weighting: str = DEFAULT, tau: float = 1.0) -> np.ndarray:
    """(m, k) float64 weights that sum to one over the finite places of each row, 0 elsewhere.

    ``tau`` > 0 divides the distances first. A row without a finite place is all 0.
    """
    if weighting not in WEIGHTINGS:
        raise ValueError(f"weighting={weighting!r} is unknown: choose one of {', '.join(WEIGHTINGS)}")
    if not tau > 0:
        raise ValueError(f"tau={tau!r}: the scale of distances is a positive number")
    x = np.atleast_2d(np.asarray(distance, np.float64)) / tau
    good = np.isfinite(x)
    if weighting == "uniform":
        w = good.astype(np.float64)
    else:
        value = FUNCTIONS[weighting[len("softmax(") : -1]](np.where(good, x, 0.0))
        value = np.where(good, value, -np.inf)
        top = value.max(axis=1, keepdims=True)
        w = np.exp(value - np.where(np.isfinite(top), top, 0.0))
    total = w.sum(axis=1, keepdims=True)
    return np.divide(w, total, out=np.zeros_like(w), where=total > 0)


@dataclass(frozen=True)
class Votes:
    """What was decided for m queries.

    Attributes
    ----------
    classes : (c,) text, sorted.
    probability : (m, c) float64, each row sums to one; the shares of the classes where nobody could vote.
    label : (m,) text, the most probable class; ``""`` where the vote abstains.
    abstained : (m,) bool, where no neighbour with a label lies within reach.
    weight : (m, k) float64, what each neighbour's vote counted, 0 where it cast none.
    distance, rows : (m, k), the neighbours.
    """

    classes: np.ndarray
    probability: np.ndarray
    label: np.ndarray
    abstained: np.ndarray
    weight: np.ndarray
    distance: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.probability)

    def of(self, name: str) -> np.ndarray:
        """(m,) probability of one class."""
        at = np.flatnonzero(self.classes == name)
        if not len(at):
            raise ValueError(f"nobody voted on {name!r}: the classes are {', '.join(self.classes)}")
        return self.probability[:, at[0]]


def vote(
    distance: np.ndarray,
    rows: np.ndarray,
    labels: Any,
    weighting: str = DEFAULT,
    *,
    tau: float = 1.0,
    smoothing: float = 0.0,
    prior: dict[str, float] | None = None,
    reach: float | None = None,
    strength: np.ndarray | None = None,
) -> Votes:
    """Class probabilities from labelled neighbours.

    Parameters
    ----------
    distance, rows : (m, k) of the neighbours; rows are places in ``labels``.
    labels : (n,) text of the entries that were searched, ``""`` or None where unknown.
    weighting, tau : see :func:`weights`.
    smoothing : votes that the shares of the classes cast beside the k neighbours: p = (k v + s π) / (k + s).
        With 0, as in the paper, a class that no neighbour has gets probability 0.
    prior : shares π of the classes; those of ``labels`` by default.
    reach : distance beyond which nothing is near. A query whose nearest labelled neighbour is farther abstains.
    strength : (m, k) weights to use instead of those of ``weighting``; they need not sum to one. The shares of the
        classes then cast ``smoothing`` votes against their sum, so that far neighbours decide little
        (see :class:`kernels.search.learned.LearnedWeight`).
    """
    distance, rows = np.atleast_2d(np.asarray(distance, np.float64)), np.atleast_2d(np.asarray(rows, np.int64))
    if distance.shape != rows.shape:
        raise ValueError(f"distance is {distance.shape} and rows are {rows.shape}: both are (m, k)")
    if not smoothing >= 0:
        raise ValueError(f"smoothing={smoothing!r}: give 0 or more votes")
    named = text_labels(labels)
    classes, codes = coded(named)
    if not len(classes):
        raise ValueError(f"none of the {len(named)} entries has a label: a vote needs one or more labelled entries")
    share = _shares(classes, codes, prior)
    own = np.where(rows >= 0, codes[np.maximum(rows, 0)], -1)
    counted = (own >= 0) & np.isfinite(distance)
    if strength is None:
        w = weights(np.where(counted, distance, np.nan), weighting, tau)
        voters = counted.sum(axis=1, keepdims=True).astype(np.float64)
    else:
        w = np.where(counted, strength, 0.0)
        voters = np.ones((len(w), 1))
    probability = np.zeros((len(w), len(classes)))
    at, place = np.nonzero(counted)
    np.add.at(probability, (at, own[at, place]), (w * voters)[at, place])
    probability += smoothing * share
    total = probability.sum(axis=1, keepdims=True)
    probability = np.where(total > 0, probability / np.where(total > 0, total, 1.0), share)
    nearest = np.where(counted, distance, np.inf).min(axis=1, initial=np.inf)
    abstained = ~np.isfinite(nearest) | (nearest > (np.inf if reach is None else reach))
    label = np.where(abstained, "", classes[probability.argmax(axis=1)])
    shown = np.divide(w, w.sum(axis=1, keepdims=True), out=np.zeros_like(w), where=w.sum(axis=1, keepdims=True) > 0)
    return Votes(classes, probability, label, abstained, shown, distance, rows)


def text_labels(labels: Any) -> np.ndarray:
    """(n,) text of labels; None, NaN and masked values are ``""``."""
    values = np.asarray(labels)
    if values.ndim != 1:
        raise ValueError(f"labels have shape {values.shape}: give one label for each entry")
    if values.dtype.kind == "U":
        return values
    return np.array(["" if v is None or v != v else str(v) for v in values.tolist()], dtype=str)


def coded(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted classes (c,) and the place (n,) int64 of each label among them, -1 for ``""``."""
    classes, codes = np.unique(labels, return_inverse=True)
    if len(classes) and classes[0] == "":
        return classes[1:], codes.reshape(-1) - 1
    return classes, codes.reshape(-1)


def _shares(classes: np.ndarray, codes: np.ndarray, prior: dict[str, float] | None) -> np.ndarray:
    if prior is None:
        count = np.bincount(codes[codes >= 0], minlength=len(classes)).astype(np.float64)
    else:
        unknown = set(prior) - set(classes.tolist())
        if unknown:
            raise ValueError(f"the prior names {sorted(unknown)[0]!r}; the classes are {', '.join(classes)}")
        count = np.array([prior.get(str(c), 0.0) for c in classes])
        if not (np.isfinite(count).all() and (count >= 0).all() and count.sum() > 0):
            raise ValueError(f"prior={prior}: give shares of 0 or more that do not all vanish")
    return count / count.sum()
