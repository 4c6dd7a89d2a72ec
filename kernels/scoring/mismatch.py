"""How badly two views of one object agree (P0.9), and whether that is unusual for an object like it (P0.16).

A cosine between two spaces means something only where they were trained to be compared. Where they were not,
:func:`aligned_mismatch` fits a linear map from one to the other first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.scoring._rows import as_rows, finite, fold_of

LEAST = 20  # objects


@dataclass(frozen=True)
class Aligned:
    """A mismatch after a fitted alignment.

    Attributes
    ----------
    mismatch : (n,) float64 in [0, 2], 1 - cosine; NaN where a modality is missing.
    retrieval : share of objects whose own partner is nearer than that of 9 out of 10 others, held out; 0.1 is chance.
        Near 0.1 the alignment found nothing, and the mismatch ranks noise.
    components : pairs of canonical directions kept.
    calibrated : (n,) percentile of the mismatch among strangers that are alike, where ``match`` was given; else None.
    """

    mismatch: np.ndarray
    retrieval: float
    components: int
    calibrated: np.ndarray | None = None


class Alignment:
    """A linear map of two spaces into one, by regularised canonical correlation (Hotelling 1936; Vinod 1976).

    Parameters
    ----------
    components : pairs of directions at most.
    ridge : added to the standardised covariances, as a share of their mean variance.

    Attributes
    ----------
    components_ : pairs of directions kept.
    """

    def __init__(self, components: int = 32, ridge: float = 1e-2):
        self.components, self.ridge = components, ridge

    def fit(self, a: Any, b: Any) -> Alignment:
        """Fit on the rows that both ``a`` (n, d_a) and ``b`` (n, d_b) have, at least 20; returns self."""
        a, b = _pair(a, b)
        here = finite(a) & finite(b)
        if np.count_nonzero(here) < LEAST:
            raise ValueError(
                f"{np.count_nonzero(here)} objects have both embeddings: an alignment needs at least {LEAST}"
            )
        u, v = a[here].astype(np.float64), b[here].astype(np.float64)
        self.left_, self.right_, self.components_ = _canonical(u, v, self.components, self.ridge)
        return self

    def project(self, a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
        """Rows of both, (n, k) float64, in the common space; each direction weighted by its correlation."""
        if not hasattr(self, "left_"):
            raise RuntimeError("this Alignment holds no map yet: call fit(a, b) first")
        a, b = _pair(a, b)
        x = (a.astype(np.float64) - self.left_[0]) @ self.left_[1]
        y = (b.astype(np.float64) - self.right_[0]) @ self.right_[1]
        return x, y

    def mismatch(self, a: Any, b: Any) -> np.ndarray:
        """(n,) float64 ``1 - cos`` in the common space; NaN where a modality is missing."""
        return _one_minus_cosine(*self.project(a, b))


def cosine_mismatch(a: Any, b: Any) -> np.ndarray:
    """(n,) float64 ``1 - cos`` of the rows of two embeddings (n, d) of the same objects: 0 agrees, 2 opposes.

    NaN where either row holds a NaN or is all zeros. Meaningful for spaces that were trained together.
    """
    a, b = _pair(a, b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"the embeddings have {a.shape[1]} and {b.shape[1]} dimensions and share no space: use aligned_mismatch"
        )
    return _one_minus_cosine(a.astype(np.float64), b.astype(np.float64))


def share_a_space(a: Any, b: Any, random_state: int | None = 0, draws: int = 2000) -> float:
    """How much more alike partners are than strangers: area under the curve of true against shuffled cosines.

    0.5 where the two spaces were never aligned (their cosine means little: say so beside it), 1 where every partner
    is nearer than any stranger. On at most ``draws`` objects.
    """
    from sklearn.metrics import roc_auc_score

    a, b = _pair(a, b)
    if a.shape[1] != b.shape[1]:
        return 0.5
    rows = np.flatnonzero(finite(a) & finite(b))
    if len(rows) < LEAST:
        raise ValueError(f"{len(rows)} objects have both embeddings: this needs at least {LEAST}")
    rng = np.random.default_rng(random_state)
    rows = rng.permutation(rows)[:draws]
    true = _one_minus_cosine(a[rows].astype(np.float64), b[rows].astype(np.float64))
    false = _one_minus_cosine(a[rows].astype(np.float64), b[np.roll(rows, 1)].astype(np.float64))
    both, truth = np.concatenate([-true, -false]), np.repeat([1, 0], len(rows))
    known = ~np.isnan(both)
    return float(roc_auc_score(truth[known], both[known]))


def aligned_mismatch(
    a: Any,
    b: Any,
    components: int = 32,
    ridge: float = 1e-2,
    folds: int = 5,
    groups: np.ndarray | None = None,
    random_state: int | None = None,
    match: np.ndarray | None = None,
) -> Aligned:
    """Mismatch of two spaces that were never aligned, by regularised canonical correlation, cross-fitted.

    Hotelling 1936, with a ridge (Vinod 1976). The directions of each fold are fitted on the other folds, both
    embeddings are projected on them, each direction weighted by its correlation, and compared by their cosine.

    Parameters
    ----------
    a, b : (n, d_a) and (n, d_b) embeddings of the same objects, NaN rows where missing.
    components : pairs of directions at most.
    ridge : added to the standardised covariances, as a share of their mean variance.
    groups : (n,) labels; rows of one label stay in one fold (repeated observations of one object).
    match : (n, m) what strangers must resemble; the mismatch is then calibrated too, each fold within itself.
    """
    a, b = _pair(a, b)
    here = np.flatnonzero(finite(a) & finite(b))
    if len(here) < LEAST:
        raise ValueError(f"{len(here)} objects have both embeddings: an alignment needs at least {LEAST}")
    fold = _folds(here, folds, groups, random_state)
    out, found, kept = np.full(len(a), np.nan), [], 0
    places = None if match is None else np.full(len(a), np.nan)
    for f in np.unique(fold):
        train, test = here[fold != f], here[fold == f]
        line = Alignment(components, ridge).fit(a[train], b[train])
        x, y = line.project(a[test], b[test])
        out[test], kept = _one_minus_cosine(x, y), line.components_
        found.append(_retrieval(x, y))
        if match is not None and places is not None:
            told = np.asarray(match, dtype=np.float64).reshape(len(a), -1)[test]
            if np.count_nonzero(np.isfinite(told).all(axis=1) & np.isfinite(out[test])) > 2:
                places[test] = calibrated(out[test], x, y, told)
    return Aligned(out, float(np.nanmean(found)), kept, places)


def calibrated(mismatch: np.ndarray, a: Any, b: Any, match: np.ndarray, pairs: int = 200) -> np.ndarray:
    """Percentile (n,) of each object's cosine mismatch among pairs of strangers that are like it (P0.16).

    An object's image is paired with the spectra of its ``pairs`` nearest objects in ``match``; the answer says which
    share of those strangers' mismatches its own exceeds. True partners score low; an object near 100 is matched
    worse than a random object of the same redshift and S/N would be.

    Parameters
    ----------
    mismatch : (n,) of the true pairs.
    a, b : (n, d) embeddings in one space (or projected into one).
    match : (n, m) what strangers must resemble: redshift, log S/N, ...; standardised here. NaN leaves a row out.

    Returns
    -------
    (n,) float64 in [0, 100], high is anomalous; NaN where anything is missing.
    """
    from scipy.spatial import cKDTree

    a, b = _pair(a, b)
    match = np.asarray(match, dtype=np.float64)
    match = match[:, None] if match.ndim == 1 else match
    if len(match) != len(a) or len(np.asarray(mismatch)) != len(a):
        raise ValueError(f"match has {len(match)} rows, mismatch {len(mismatch)} and the embeddings {len(a)}")
    here = np.flatnonzero(finite(a) & finite(b) & np.isfinite(match).all(axis=1) & np.isfinite(mismatch))
    if len(here) < 3:
        raise ValueError(f"{len(here)} objects have both embeddings and what is to be matched: this needs 3 or more")
    spread = match[here].std(axis=0)
    where = (match[here] - match[here].mean(axis=0)) / np.where(spread > 0, spread, 1)
    u, v = _unit(a[here].astype(np.float64)), _unit(b[here].astype(np.float64))
    out = np.full(len(a), np.nan)
    _, near = cKDTree(where).query(where, min(pairs + 1, len(here)))
    for start in range(0, len(here), 1024):
        part = slice(start, start + 1024)
        like_me = near[part]
        strangers = 1 - np.einsum("id,ijd->ij", u[part], v[like_me])
        other = like_me != np.arange(len(here))[part, None]
        own = np.asarray(mismatch)[here[part], None]
        out[here[part]] = 100 * ((strangers < own) & other).sum(axis=1) / other.sum(axis=1)
    return out


def residual_mismatch(one: np.ndarray, other: np.ndarray, error: np.ndarray | None = None) -> np.ndarray:
    """(n,) physical mismatch: how far two measurements of the same quantities disagree, in robust sigma.

    For colours from the image against synthetic photometry of the spectrum, or a photometric against a spectroscopic
    redshift (pass ``z / (1 + z)``-like quantities where errors grow with z).

    Parameters
    ----------
    one, other : (n,) or (n, m) the quantities, in the same units.
    error : (n,) or (n, m) their joint one-sigma error, ``None`` for one scatter for all.

    Returns
    -------
    (n,) float64 root mean square over the m columns of (difference - median) / scatter, where the scatter is
    1.4826 times the median absolute deviation; NaN where no column is known. Higher is more anomalous.
    """
    first, second = np.atleast_2d(np.asarray(one, float).T).T, np.atleast_2d(np.asarray(other, float).T).T
    if first.shape != second.shape:
        raise ValueError(f"the two measurements have shapes {first.shape} and {second.shape}")
    away = first - second
    if error is not None:
        away = away / np.atleast_2d(np.asarray(error, float).T).T
    away = np.where(np.isfinite(away), away, np.nan)
    known = ~np.isnan(away)
    away -= np.array([np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0.0 for c in away.T])
    scatter = np.array([1.4826 * np.median(np.abs(c[~np.isnan(c)])) if (~np.isnan(c)).any() else 1.0 for c in away.T])
    total = np.where(known, (away / np.where(scatter > 0, scatter, 1.0)) ** 2, 0).sum(axis=1)
    count = known.sum(axis=1)
    return np.where(count > 0, np.sqrt(total / np.maximum(count, 1)), np.nan)


def _pair(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray]:
    a, b = as_rows(a, "mismatch"), as_rows(b, "mismatch")
    if len(a) != len(b):
        raise ValueError(f"the embeddings have {len(a)} and {len(b)} rows: join them by id first")
    return a, b


def _unit(x: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, np.nan)


def _one_minus_cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    good = finite(x) & finite(y)
    out = np.full(len(x), np.nan)
    out[good] = np.clip(1 - np.einsum("ij,ij->i", _unit(x[good]), _unit(y[good])), 0, 2)
    return out


def _folds(rows: np.ndarray, folds: int, groups: np.ndarray | None, random_state: int | None) -> np.ndarray:
    if folds < 2:
        raise ValueError(f"folds={folds}: a cross-fit needs at least 2")
    if groups is None:
        return fold_of(len(rows), folds, random_state)
    _, group = np.unique(np.asarray(groups)[rows], return_inverse=True)
    count = int(group.max()) + 1
    if count < 2:
        raise ValueError("all rows are of one group: a cross-fit needs at least 2")
    return fold_of(count, min(folds, count), random_state)[group]


def _canonical(
    u: np.ndarray, v: np.ndarray, components: int, ridge: float
) -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray], int]:
    """Mean and projection of each side, columns weighted by their correlation."""
    mean_u, mean_v = u.mean(axis=0), v.mean(axis=0)
    u, v, n = u - mean_u, v - mean_v, len(u)
    half_u, half_v = _inverse_root(u.T @ u / n, ridge), _inverse_root(v.T @ v / n, ridge)
    left, strength, right = np.linalg.svd(half_u @ (u.T @ v / n) @ half_v.T)
    kept = max(1, min(components, len(strength)))
    weight = np.sqrt(np.clip(strength[:kept], 0, 1))
    return (mean_u, half_u.T @ left[:, :kept] * weight), (mean_v, half_v.T @ right[:kept].T * weight), kept


def _inverse_root(covariance: np.ndarray, ridge: float) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    values = np.maximum(values, 0) + ridge * max(values.mean(), 1e-30)
    return (vectors / np.sqrt(values)).T


def _retrieval(x: np.ndarray, y: np.ndarray, most: int = 1000) -> float:
    """Share of rows of ``x`` whose partner in ``y`` is among the nearest tenth."""
    x, y = _unit(x[:most]), _unit(y[:most])
    if len(x) < 10:
        return float("nan")
    products = x @ y.T
    place = (products > np.diag(products)[:, None]).sum(axis=1)
    return float((place < len(x) / 10).mean())
