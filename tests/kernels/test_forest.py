"""Forests and mixtures: the published definitions, the contract, odd matrices."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.ensemble import IsolationForest as ReferenceForest
from sklearn.mixture import GaussianMixture

from kernels.checks import check_scorer
from kernels.scoring import GMM, KNN, IsolationForest, UnsupervisedForest
from kernels.scoring._mixture import TorchMixture

KINDS = {
    "knn": lambda: KNN(k=3),
    "gmm": lambda: GMM(components=2, random_state=0),
    "isolation-forest": lambda: IsolationForest(n_trees=20, random_state=0),
    "unsupervised-forest": lambda: UnsupervisedForest(n_trees=20, random_state=0),
}


@pytest.mark.parametrize("kind", [KNN, GMM, IsolationForest, UnsupervisedForest], ids=lambda k: k.name)
def test_contract(kind: type) -> None:
    check_scorer(kind)


def _definition(forest: UnsupervisedForest, x: np.ndarray) -> np.ndarray:
    """(n, n) distances of Baron & Poznanski 2017, tree by tree; column j is divided by the valid leaves of j."""
    n = len(x)
    together, valid = np.zeros((n, n)), np.zeros(n)
    for tree in forest.forest_.estimators_:
        leaf = tree.apply(x)
        real = tree.predict_proba(x)[:, 1] == 1.0
        leaf = np.where(real, leaf, -1)
        valid += leaf >= 0
        together += (leaf[:, None] == leaf[None, :]) & (leaf >= 0)[:, None]
    return 1 - np.divide(together, valid[None, :], out=np.zeros((n, n)), where=valid[None, :] > 0)


@pytest.mark.parametrize("max_rows", ["auto", 40])
def test_unsupervised_forest_equals_the_n_by_n_definition(max_rows: object) -> None:
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(150, 4)) @ rng.normal(size=(4, 4))).astype(np.float32)
    forest = UnsupervisedForest(n_trees=30, max_rows=max_rows, random_state=1)
    score = forest.fit_score(x)
    distance = _definition(forest, x)
    np.testing.assert_allclose(forest.weirdness(), distance.mean(axis=1), atol=1e-12, rtol=0)
    others = (distance.sum(axis=1) - np.diag(distance)) / 149
    np.testing.assert_allclose(score, others, atol=1e-12, rtol=0)
    # a new row is compared with all rows that were fitted
    np.testing.assert_allclose(forest.anomaly_score(x), distance.mean(axis=1), atol=1e-12, rtol=0)


def test_real_against_synthetic_tells_whether_columns_depend_on_each_other() -> None:
    rng = np.random.default_rng(0)
    free = rng.normal(size=(600, 3))
    bound = np.column_stack([free[:, 0], free[:, 0] + 0.05 * free[:, 1], free[:, 0] + 0.05 * free[:, 2]])
    assert UnsupervisedForest(n_trees=30, random_state=0).fit(free).auc_ < 0.6
    assert UnsupervisedForest(n_trees=30, random_state=0).fit(bound).auc_ > 0.9


def test_folds_of_the_unsupervised_forest_agree_with_the_published_form() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 3)) @ rng.normal(size=(3, 5))
    plain = UnsupervisedForest(n_trees=60, random_state=0).fit_score(x)
    crossed = UnsupervisedForest(n_trees=60, folds=3, random_state=0).fit_score(x)
    assert spearmanr(plain, crossed).statistic > 0.5


def test_isolation_forest_equals_scikit_learn() -> None:
    x = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
    reference = ReferenceForest(n_estimators=50, max_samples=256, random_state=3).fit(x)
    ours = IsolationForest(n_trees=50, random_state=3).fit(x)
    np.testing.assert_allclose(ours.anomaly_score(x), -reference.score_samples(x), rtol=1e-12)
    left_out = ours.fit_score(x)
    assert spearmanr(left_out, ours.anomaly_score(x)).statistic > 0.9
    assert left_out.mean() > ours.anomaly_score(x).mean(), "a tree isolates late what it was grown on"


def test_gmm_is_the_mixture_of_scikit_learn_in_principal_components() -> None:
    x = np.random.default_rng(0).normal(size=(500, 6)) @ np.random.default_rng(1).normal(size=(6, 6))
    gmm = GMM(components=2, pca=3, random_state=0).fit(x)
    points = gmm.coordinates_.apply(x)
    np.testing.assert_allclose(np.cov(points.T, bias=True), np.eye(3), atol=1e-8)
    reference = GaussianMixture(2, reg_covar=1e-4, max_iter=200, random_state=0).fit(points)
    np.testing.assert_allclose(gmm.anomaly_score(x), -reference.score_samples(points))


def test_the_torch_mixture_is_as_likely_as_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, s, (300, 3)) for m, s in ((0, 1), (5, 0.5), (-4, 2))])
    ours = TorchMixture(3, random_state=0).fit(x)
    reference = GaussianMixture(3, reg_covar=1e-4, n_init=5, random_state=0).fit(x)
    assert ours.score_samples(x).mean() == pytest.approx(reference.score(x), abs=1e-2)
    assert spearmanr(ours.score_samples(x), reference.score_samples(x)).statistic > 0.999


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "x",
    [
        np.random.default_rng(0).normal(size=(12, 40)),
        np.random.default_rng(0).normal(size=(60, 4)).astype(np.float16),
        np.random.default_rng(0).integers(0, 9, (60, 4)),
        np.repeat(np.random.default_rng(0).normal(size=(20, 3)), 5, axis=0),
        np.column_stack([np.random.default_rng(0).normal(size=(60, 2)), np.full(60, 7.0)]),
        np.concatenate([np.zeros((5, 3)), np.random.default_rng(0).normal(size=(55, 3))]),
        np.random.default_rng(0).normal(size=(60, 3)) * 1e30,
    ],
    ids=["n<d", "float16", "integers", "duplicates", "constant column", "zeros", "huge"],
)
def test_odd_matrices_are_scored(kind: str, x: np.ndarray) -> None:
    scorer = KINDS[kind]()
    assert np.isfinite(scorer.fit_score(x)).all()
    holes = np.insert(x.astype(np.float64), [2], [[np.nan] * x.shape[1]], axis=0)
    scores = KINDS[kind]().fit_score(holes)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [2]


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_fitted_is_said(kind: str) -> None:
    scorer = KINDS[kind]()
    with pytest.raises(ValueError, match="at least"):
        scorer.fit(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="NaN or infinity"):
        scorer.fit(np.full((30, 3), np.nan))
    with pytest.raises(ValueError, match="numbers"):
        scorer.fit(np.array([["a", "b"]]))
    with pytest.raises(ValueError, match=r"x\[None\]"):
        scorer.fit(np.zeros(5))
    with pytest.raises(RuntimeError, match="call fit"):
        scorer.anomaly_score(np.zeros((2, 2)))
