"""Exact neighbours beside a float64 brute force, on clustered, duplicated and degenerate data."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.search import Neighbours, join

METRICS = ("euclidean", "cosine", "inner")


def brute(X: np.ndarray, Q: np.ndarray, metric: str) -> np.ndarray:
    """All distances (m, n) in float64, written apart from the engine."""
    X, Q = X.astype(np.float64), Q.astype(np.float64)
    if metric == "inner":
        return -(Q @ X.T)
    if metric == "euclidean":
        return np.linalg.norm(Q[:, None] - X[None], axis=2)
    x, q = np.linalg.norm(X, axis=1), np.linalg.norm(Q, axis=1)
    return 1 - (Q / np.where(q > 0, q, 1)[:, None]) @ (X / np.where(x > 0, x, 1)[:, None]).T


def data(kind: str, n: int = 700, d: int = 24) -> np.ndarray:
    rng = np.random.default_rng(7)
    X = rng.normal(size=(n, d))
    if kind == "clustered":
        X = 0.05 * X + rng.normal(size=(9, d))[rng.integers(0, 9, n)] + 5
    elif kind == "duplicated":
        X[100:400] = X[0]
        X[400:410] = 0
    elif kind == "equal":
        X[:] = 0.3
    elif kind == "line":
        X = np.linspace(0, 1, n)[:, None] * np.ones(d)
    return X.astype(np.float32)


def agrees(found: tuple[np.ndarray, np.ndarray], all_distances: np.ndarray, k: int) -> None:
    """The k distances equal the reference's, each row returned lies at the distance stated, none twice."""
    distance, rows = found
    scale = max(1.0, np.abs(all_distances[np.isfinite(all_distances)]).max())
    np.testing.assert_allclose(distance, np.sort(all_distances, axis=1)[:, :k], atol=1e-6 * scale)
    np.testing.assert_allclose(np.take_along_axis(all_distances, rows, 1), distance, atol=1e-6 * scale)
    assert all(len(set(row)) == k for row in rows.tolist())


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["isotropic", "clustered", "duplicated", "equal", "line"])
def test_exact_equals_brute_force(kind, metric):
    X = data(kind)
    index = Neighbours(metric, method="exact", memory=1 << 18).fit(X)  # tiles of 181 rows: several, and a rest
    own = brute(X, X, metric)
    np.fill_diagonal(own, np.inf)
    agrees(index.self_join(8), own, 8)
    for m in (1, 3, 60):
        Q = np.vstack([X[: m - m // 2], np.random.default_rng(m).normal(size=(m // 2, X.shape[1]))])
        agrees(index.query(Q, 8), brute(X, Q, metric), 8)


@pytest.mark.parametrize("metric", METRICS)
def test_products_in_bfloat16_lose_nothing(metric):
    pytest.importorskip("torch")
    for kind in ("isotropic", "clustered", "duplicated"):
        index = Neighbours(metric).fit(data(kind))
        full, half = (join.self_join(index.space_, index.rows_, 8, 1 << 18, half=h) for h in (False, True))
        np.testing.assert_array_equal(full[0], half[0])
        if kind != "duplicated":  # ties may fall either way
            np.testing.assert_array_equal(full[1], half[1])
