"""MAF as a scorer: the contract, what it finds, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, spearmanr

from kernels.checks import check_scorer
from kernels.scoring import MAF

SMALL = {"layers": 3, "hidden": 32, "blocks": 1, "epochs": 25, "batch": 128, "random_state": 0}


@pytest.fixture(autouse=True)
def _one_core():
    """Small products wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def _gaussian(n: int, d: int = 5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(d, d))
    x = rng.normal(size=(n, d)) @ mix + 3
    return x, -multivariate_normal(np.full(d, 3.0), mix.T @ mix).logpdf(x)


def test_contract() -> None:
    check_scorer(MAF)


def test_finds_the_density_of_a_gaussian() -> None:
    x, truth = _gaussian(3000)
    maf = MAF(**SMALL)
    score = maf.fit_score(x)
    assert spearmanr(score, truth).statistic > 0.97
    # the score is in standardised coordinates: the volume of the map from them is the difference
    volume = np.log(x.std(axis=0)).sum()
    assert np.median(score - truth) == pytest.approx(-volume, abs=0.25)
    np.testing.assert_allclose(-(maf.base_ + maf.logdet_), score)
    assert maf.typicality_.min() >= 0
    assert maf.n_non_finite_ == 0
    new, truth = _gaussian(3000)
    assert spearmanr(maf.anomaly_score(new[:500]), truth[:500]).statistic > 0.97


def test_cross_fitted_scores_do_not_flatter_the_rows_trained_on() -> None:
    x, _ = _gaussian(160, 12)
    big = dict(SMALL, hidden=128, epochs=60, holdout=0.0, lr=3e-3)
    honest = MAF(**big).fit_score(x).mean()
    flattered = MAF(**big, folds=1).fit_score(x).mean()
    assert flattered < honest - 1, "a flow remembers what it was trained on"


def test_scores_are_finite_far_out_and_ordered() -> None:
    x, _ = _gaussian(400)
    maf = MAF(**SMALL).fit(x)
    centre = x.mean(axis=0)
    far = np.array([centre + f * (x[0] - centre) for f in (1, 10, 1000)])
    scores = maf.anomaly_score(far)
    assert np.isfinite(scores).all()
    assert (np.diff(scores) > 0).all()


def test_rows_that_are_not_finite_are_nan_and_change_nothing() -> None:
    x, _ = _gaussian(300)
    holes = np.insert(x, [5, 9], [[np.nan] * 5, [np.inf] * 5], axis=0)
    maf = MAF(**SMALL)
    scores = maf.fit_score(holes)
    assert np.flatnonzero(np.isnan(scores)).tolist() == [5, 10]
    np.testing.assert_allclose(np.delete(scores, [5, 10]), MAF(**SMALL).fit_score(x))


@pytest.mark.parametrize(
    "x",
    [
        np.random.default_rng(0).normal(size=(12, 40)),
        np.random.default_rng(0).normal(size=(60, 4)).astype(np.float16),
        np.random.default_rng(0).integers(0, 9, (60, 4)),
        np.repeat(np.random.default_rng(0).normal(size=(20, 3)), 5, axis=0),
        np.column_stack([np.random.default_rng(0).normal(size=(60, 2)), np.full(60, 7.0)]),
        np.random.default_rng(0).normal(size=(60, 1)),
    ],
    ids=["n<d", "float16", "integers", "duplicates", "constant column", "one column"],
)
def test_odd_matrices_are_scored(x: np.ndarray) -> None:
    scores = MAF(**{**SMALL, "epochs": 3}).fit_score(x)
    assert np.isfinite(scores).all()


def test_what_cannot_be_fitted_is_said() -> None:
    with pytest.raises(ValueError, match="at least 8 rows and is given 1"):
        MAF().fit(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="constant"):
        MAF(**SMALL).fit(np.ones((50, 3)))
    for wrong in ({"preset": "best"}, {"backend": "jax"}, {"degrees": "odd"}, {"pca": 0}, {"precision": "int8"}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong.values()))}"):
            MAF(**{**SMALL, **wrong}).fit(np.random.default_rng(0).normal(size=(50, 3)))
    with pytest.raises(RuntimeError, match="call fit"):
        MAF().anomaly_score(np.zeros((2, 2)))


def test_coordinates_are_recorded() -> None:
    x, _ = _gaussian(200, 80)
    maf = MAF(**{**SMALL, "epochs": 1}).fit(x)
    assert maf.coordinates_[0].record()["dimensions"] == 64, "auto takes 64 components on a CPU"
    whitened = maf.coordinates_[0].apply(x)
    np.testing.assert_allclose(np.cov(whitened.T, bias=True), np.eye(64), atol=1e-6)
    fmb = MAF(preset="fmb", random_state=0).fit(x)
    assert (len(fmb.engine_.flow.layers), fmb.engine_.flow.hidden) == (4, 16)
    assert len(fmb.history_.held_out) == 5
    assert fmb.coordinates_[0].record()["clip_sigma"] == 8.0


def test_nflows_as_a_backend_agrees_on_what_is_rare() -> None:
    pytest.importorskip("nflows")
    x, truth = _gaussian(600, 4)
    score = MAF(**{**SMALL, "layers": 2, "batch": 64, "folds": 2, "lr": 3e-3, "backend": "nflows"}).fit_score(x)
    assert spearmanr(score, truth).statistic > 0.9


def test_bfloat16_is_used_only_where_ranks_agree() -> None:
    x, _ = _gaussian(600)
    maf = MAF(**SMALL, precision="bfloat16").fit(x)
    assert maf.precision_ == ("bfloat16" if maf.precision_spearman_ > 0.999 else "float32")
    plain = MAF(**SMALL).fit(x)
    assert spearmanr(maf.anomaly_score(x), plain.anomaly_score(x)).statistic > 0.99


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_gpu_gives_the_ranks_of_the_cpu() -> None:
    x, _ = _gaussian(2000, 16)
    scores = [MAF(**SMALL, device=d, pca=None).fit(x).anomaly_score(x) for d in ("cpu", "cuda")]
    assert spearmanr(*scores).statistic > 0.99
