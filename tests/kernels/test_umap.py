"""UMAP: the same at any number of threads, stopped or not, and as trustworthy as the reference."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

import kernels._parallel
from kernels.layout import UMAP


@pytest.fixture(scope="module")
def clusters() -> np.ndarray:
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(12, 30))
    return (2 * centres[rng.integers(0, 12, 1500)] + rng.normal(size=(1500, 30))).astype(np.float32)


@pytest.fixture(scope="module")
def fitted(clusters) -> UMAP:
    return UMAP(random_state=4).fit(clusters)


def test_identical_twice_and_at_one_thread_and_two(clusters, fitted, monkeypatch):
    first = fitted.embedding_
    np.testing.assert_array_equal(first, UMAP(random_state=4).fit_transform(clusters))
    for count in (1, 2, 3):
        monkeypatch.setattr(kernels._parallel, "cores", lambda count=count: count)
        monkeypatch.setattr(kernels._parallel, "_pool", None)
        np.testing.assert_array_equal(first, UMAP(random_state=4).fit_transform(clusters))
    monkeypatch.setattr(kernels._parallel, "_pool", None)
    assert not np.array_equal(first, UMAP(random_state=5).fit_transform(clusters))


def test_a_stopped_layout_goes_on_as_if_it_had_not_stopped(clusters, fitted):
    seen: list[float] = []

    def stop_at_half(share: float) -> bool:
        seen.append(share)
        return share < 0.5

    umap = UMAP(random_state=4, progress=stop_at_half)
    umap.fit_transform(clusters)
    assert umap.epoch_ == umap.epochs_ // 2
    assert seen == sorted(seen)
    umap.progress = None
    np.testing.assert_array_equal(fitted.embedding_, umap.resume())


def test_trustworthiness_is_high(clusters, fitted):
    assert trustworthiness(clusters, fitted.embedding_, n_neighbors=15, metric="cosine") > 0.88


def test_new_points_land_by_their_neighbours(clusters, fitted):
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(clusters))[:200]
    placed = fitted.transform(clusters[rows] + rng.normal(scale=1e-3, size=(200, 30)))
    spread = fitted.embedding_.std(axis=0).mean()
    assert np.median(np.linalg.norm(placed - fitted.embedding_[rows], axis=1)) < 0.1 * spread


@pytest.mark.parametrize("n", [1, 2, 5, 16])
def test_few_rows(n):
    layout = UMAP(metric="euclidean").fit_transform(np.random.default_rng(n).normal(size=(n, 3)))
    assert layout.shape == (n, 2)
    assert np.isfinite(layout).all()


def test_rows_that_are_not_finite_are_not_laid_out(clusters):
    X = clusters[:100].copy()
    X[3, 0], X[7, 2] = np.nan, np.inf
    umap = UMAP(n_epochs=20)
    layout = umap.fit_transform(X)
    assert np.flatnonzero(np.isnan(layout).any(axis=1)).tolist() == [3, 7]
    assert np.isnan(umap.transform(X[[3, 4]])).all(axis=1).tolist() == [True, False]


def test_equal_points_and_zeros_give_finite_positions():
    assert np.isfinite(UMAP(n_epochs=20).fit_transform(np.zeros((60, 4)))).all()
    assert np.isfinite(UMAP(n_epochs=20, metric="euclidean").fit_transform(np.full((60, 4), 2.0))).all()
