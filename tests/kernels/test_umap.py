"""UMAP: the same at any number of threads, stopped or not, and as trustworthy as the reference."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

import kernels._parallel
from kernels.layout import UMAP
from kernels.layout.pca import PCA
from kernels.layout.tsne import TSNE


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


def test_quality_is_what_scikit_learn_measures(clusters, fitted):
    want = trustworthiness(clusters, fitted.embedding_, n_neighbors=15, metric="cosine")
    assert fitted.quality_["trustworthiness"] == pytest.approx(want, abs=2e-4)
    assert fitted.quality_["trustworthiness"] > 0.88
    near = [
        NearestNeighbors(n_neighbors=15, metric=metric).fit(points).kneighbors(return_distance=False)
        for metric, points in (("cosine", clusters), ("euclidean", fitted.embedding_))
    ]
    recall = np.mean([len(set(a) & set(b)) / 15 for a, b in zip(*(x.tolist() for x in near), strict=True)])
    assert fitted.quality_["neighbour_recall"] == pytest.approx(recall, abs=1e-3)


@pytest.mark.parametrize("layout", [PCA(), PCA("euclidean"), TSNE(n_epochs=300), UMAP(init="spectral")])
def test_every_layout_keeps_the_contract(clusters, layout):
    X = clusters[:400].copy()
    X[5, 1] = np.nan
    places = layout.fit_transform(X)
    assert places.shape == (400, 2)
    assert places.dtype == np.float32
    assert np.isnan(places).any(axis=1).nonzero()[0].tolist() == [5]
    np.testing.assert_array_equal(places, layout.fit_transform(X))
    again = layout.transform(X[[7, 5, 9]])
    assert np.isnan(again).all(axis=1).tolist() == [False, True, False]
    np.testing.assert_allclose(again[[0, 2]], places[[7, 9]], atol=0.2 * np.nanstd(places))
    assert layout.quality_["trustworthiness"] > 0.7
    with pytest.raises(ValueError, match="rows of 2 numbers"):
        layout.transform(np.zeros((1, 2)))


def test_principal_components_are_those_of_an_svd(clusters):
    centred = clusters.astype(np.float64) - clusters.mean(axis=0, dtype=np.float64)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    places = PCA("euclidean").fit_transform(clusters)
    np.testing.assert_allclose(np.abs(places), np.abs(u[:, :2] * s[:2]), atol=1e-3 * s[0])


@pytest.mark.slow
def test_as_trustworthy_as_umap_learn(clusters, fitted):
    peer = UMAP(random_state=4, backend="umap-learn").fit(clusters)
    assert fitted.quality_["trustworthiness"] > peer.quality_["trustworthiness"] - 0.005
    assert peer.transform(clusters[:3]).shape == (3, 2)


def test_two_threads_at_once_under_workqueue():
    """Whatever threading layer numba has, two layouts and two searches at once neither crash nor disagree."""
    code = """
import threading, numpy as np
from kernels.layout import UMAP
from kernels.search import Neighbours
X = np.random.default_rng(0).normal(size=(800, 12)).astype(np.float32)
want = UMAP(n_epochs=60).fit_transform(X), Neighbours().fit(X).self_join(5)[1]
bad = []
def work():
    for _ in range(3):
        got = UMAP(n_epochs=60).fit_transform(X), Neighbours().fit(X).self_join(5)[1]
        bad.extend(not np.array_equal(a, b) for a, b in zip(got, want) if not np.array_equal(a, b))
threads = [threading.Thread(target=work) for _ in range(2)]
[t.start() for t in threads]; [t.join() for t in threads]
assert not bad
print("agreed")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "NUMBA_THREADING_LAYER": "workqueue"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "agreed"


def test_parameters_that_cannot_be_are_refused(clusters):
    for wrong, message in (
        ({"n_neighbors": 1}, "n_neighbors=1"),
        ({"metric": "inner"}, "metric='inner'"),
        ({"init": "random"}, "init='random'"),
        ({"backend": "gpu"}, "gather, umap-learn"),
        ({"init": np.zeros((3, 2))}, "expected \\(50, 2\\)"),
    ):
        with pytest.raises(ValueError, match=message):
            UMAP(**wrong).fit_transform(clusters[:50])
    with pytest.raises(RuntimeError, match="fit_transform"):
        UMAP().transform(clusters)


def test_new_points_land_by_their_neighbours(clusters, fitted):
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(clusters))[:200]
    placed = fitted.transform(clusters[rows] + rng.normal(scale=1e-3, size=(200, 30)))
    spread = fitted.embedding_.std(axis=0).mean()
    assert np.median(np.linalg.norm(placed - fitted.embedding_[rows], axis=1)) < 0.1 * spread


@pytest.mark.parametrize("n", [0, 1, 2, 5, 16])
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


@pytest.mark.parametrize(
    ("layout", "told"),
    [
        (UMAP(n_epochs=-5), "n_epochs=-5: .* 0 or more"),
        (UMAP(n_epochs=2.5), "n_epochs=2.5: .*whole number"),
        (UMAP(min_dist=-0.1), "min_dist=-0.1: .*from 0 to 1"),
        (UMAP(min_dist=1.5), "min_dist=1.5: .*from 0 to 1"),
        (UMAP(min_dist=float("nan")), "min_dist=nan"),
        (UMAP(n_neighbors=1), "n_neighbors=1: "),
        (UMAP(n_neighbors=4.5), "n_neighbors=4.5: "),
        (UMAP(recall=0), "recall=0: .*up to 1"),
        (UMAP(recall=1.2), "recall=1.2: .*up to 1"),
        (TSNE(perplexity=-1), "perplexity=-1: "),
        (TSNE(n_epochs=-1), "n_epochs=-1: .*250 or more"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(layout, told):
    with pytest.raises(ValueError, match=told):
        layout.fit_transform(np.zeros((8, 3), np.float32))


def test_without_an_epoch_the_layout_is_where_it_starts(clusters):
    start = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    np.testing.assert_array_equal(UMAP(n_epochs=0, init=start).fit_transform(clusters[:50]), start)


@pytest.mark.parametrize("min_dist", [0.0, 0.1, 0.5, 0.99, 1.0])
def test_the_curve_is_the_least_squares_fit_that_scipy_finds(min_dist: float) -> None:
    from scipy.optimize import curve_fit

    from kernels.layout._umap_graph import curve

    d = np.linspace(0, 3, 300)
    wanted = np.where(d < min_dist, 1.0, np.exp(-(d - min_dist)))
    expected, _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), d, wanted)
    np.testing.assert_allclose(curve(min_dist), expected, rtol=1e-4)


def test_kernels_compiled_ahead_are_those_that_a_layout_calls(tmp_path: Path) -> None:
    """With no compiled code on disk, whatever a layout needs is compiled by its thread: no signature comes twice."""
    script = """
import numpy as np
from kernels.layout import UMAP, _umap_kernels
from kernels.search import _kernels
X = np.random.default_rng(0).normal(size=(5000, 8)).astype(np.float32)
UMAP(n_epochs=2).fit_transform(X)
used = [_kernels.scan_pairs, _kernels.give_columns, _kernels.finish, _umap_kernels.smooth_knn, _umap_kernels.epoch]
print([len(kernel.signatures) for kernel in used], len(_kernels.scan_rows.signatures))
"""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "[1, 1, 1, 1, 1] 0"
    assert not done.stderr
