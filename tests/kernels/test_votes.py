"""Votes, calibration and the learned weight against plain references."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from kernels.search import votes
from kernels.search.calibration import calibration, conformal_factor, redshift_errors, weighted_quantile
from kernels.search.learned import LearnedWeight

DISTANCE = np.array([[0.5, 1.0, 2.0], [0.1, 0.2, np.nan]])
ROWS = np.array([[0, 1, 2], [3, 1, -1]])
LABELS = ["a", "b", "b", ""]


def test_both_readings_of_the_softmax_differ_and_are_what_they_say():
    x = DISTANCE[0]
    plain = np.exp(-x) / np.exp(-x).sum()
    twice = np.exp(np.exp(-x)) / np.exp(np.exp(-x)).sum()
    assert votes.weights(x, "softmax(-x)")[0] == pytest.approx(plain)
    assert votes.weights(x, "softmax(exp(-x))")[0] == pytest.approx(twice)
    assert twice.max() / twice.min() < np.e < plain.max() / plain.min()
    inverse = np.exp(1 / (x + 10))
    assert votes.weights(x, "softmax(1/(x+e))")[0] == pytest.approx(inverse / inverse.sum())
    square = np.exp(1 / (x**2 + 10))
    assert votes.weights(x, "softmax(1/(x^2+e))")[0] == pytest.approx(square / square.sum())


@pytest.mark.parametrize("weighting", votes.WEIGHTINGS)
def test_weights_sum_to_one_over_what_is_there(weighting):
    w = votes.weights(np.array([[0.3, 2.0, np.nan], [np.nan] * 3, [0.0, 1e6, 1e8]]), weighting)
    assert w.sum(axis=1) == pytest.approx([1, 0, 1])
    assert w[0, 2] == 0
    assert np.isfinite(w).all()


def test_moments_are_those_of_scipy():
    x = np.random.default_rng(0).gamma(3, 1.2, (50, 40))
    found = votes.shapes(x)
    assert set(found) == {"x", *votes.FUNCTIONS}
    for name, values in {"x": x, "exp(-x)": np.exp(-x), "1/(x+e)": 1 / (x + 10)}.items():
        assert found[name].skewness == pytest.approx(stats.skew(values.ravel()))
        assert found[name].excess == pytest.approx(stats.kurtosis(values.ravel()))
    assert found["-x"].skewness == pytest.approx(-found["x"].skewness)
    assert np.isnan(votes.shape([2, 2, 2]).skewness)


def test_probabilities_are_a_loop_over_neighbours():
    found = votes.vote(DISTANCE, ROWS, LABELS)
    w = np.exp(-DISTANCE[0])
    assert found.classes.tolist() == ["a", "b"]
    assert found.probability[0] == pytest.approx([w[0] / w.sum(), (w[1] + w[2]) / w.sum()])
    assert found.probability[1] == pytest.approx([0, 1])  # the unlabelled and the missing cast nothing
    assert found.weight[1].tolist() == [0, 1, 0]
    assert found.of("b")[1] == 1
    smooth = votes.vote(DISTANCE, ROWS, LABELS, smoothing=1.5)
    share = np.array([1 / 3, 2 / 3])
    assert smooth.probability[0] == pytest.approx((3 * found.probability[0] + 1.5 * share) / 4.5)
    assert smooth.probability.sum(axis=1) == pytest.approx([1, 1])


def test_it_abstains_where_nothing_labelled_is_near():
    found = votes.vote(
        np.array([[5.0, 6.0], [0.5, 6.0], [0.1, 0.4]]), np.array([[0, 1], [0, 1], [3, 3]]), LABELS, reach=1
    )
    assert found.abstained.tolist() == [True, False, True]
    assert found.label.tolist() == ["", "a", ""]
    assert found.probability[2] == pytest.approx([1 / 3, 2 / 3])  # the shares of the classes
    assert found.probability.sum(axis=1) == pytest.approx([1, 1, 1])


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: votes.vote(DISTANCE, ROWS, ["", None, "", ""]), "none of the 4"),
        (lambda: votes.vote(DISTANCE, ROWS[:1], LABELS), "both are"),
        (lambda: votes.weights(DISTANCE, "softmax(x)"), "softmax"),
        (lambda: votes.weights(DISTANCE, tau=0), "tau=0"),
        (lambda: votes.vote(DISTANCE, ROWS, LABELS, prior={"c": 1.0}), "'c'"),
        (lambda: votes.vote(DISTANCE, ROWS, LABELS, smoothing=-1), "smoothing"),
        (lambda: votes.vote(DISTANCE, ROWS, LABELS).of("c"), "a, b"),
        (lambda: votes.text_labels(np.zeros((2, 2))), "shape"),
    ],
)
def test_bad_input_is_named(call, told):
    with pytest.raises(ValueError, match=told):
        call()


def test_one_class_is_certain_and_still_abstains():
    found = votes.vote(DISTANCE, np.zeros((2, 3), int), ["a"], reach=0.3)
    assert found.probability.tolist() == [[1], [1]]
    assert found.label.tolist() == ["", "a"]


def test_calibration_of_what_is_calibrated_and_of_what_boasts():
    rng = np.random.default_rng(1)
    p = rng.uniform(0.02, 0.98, 40_000)
    truth = np.where(rng.random(40_000) < p, "a", "b")
    honest = calibration(np.stack([p, 1 - p], axis=1), truth, ["a", "b"])
    entropy = -(p * np.log(p) + (1 - p) * np.log(1 - p)).mean()
    assert honest.ece < 0.01
    assert honest.log_loss == pytest.approx(entropy, rel=0.02)
    assert honest.brier == pytest.approx(2 * (p * (1 - p)).mean(), rel=0.03)
    boast = calibration(np.stack([p > 0.5, p <= 0.5], axis=1).astype(float), truth, ["a", "b"])
    assert boast.ece == pytest.approx(np.minimum(p, 1 - p).mean(), abs=0.01)
    assert calibration([[0.0, 1.0]], ["c"], ["a", "b"]).log_loss == pytest.approx(-np.log(1e-15))
    with pytest.raises(ValueError, match=r"verdict 0 sum to 0\.9"):
        calibration([[0.5, 0.4]], ["a"], ["a", "b"])


def test_redshift_errors_count_an_object_once():
    truth = np.zeros(101)
    found = np.random.default_rng(2).normal(0, 0.01, 101)
    found[:5] = 0.4
    plain = redshift_errors(found, truth)
    assert plain.nmad == pytest.approx(0.01, rel=0.25)
    assert plain.outliers == pytest.approx(5 / 101)
    groups = np.where(np.arange(101) < 5, "same", np.arange(101).astype(str))
    grouped = redshift_errors(found, truth, groups)
    assert (grouped.n, grouped.outliers) == (97, pytest.approx(1 / 97))
    assert redshift_errors([np.nan], [1.0]).n == 0


def test_conformal_interval_covers_new_errors():
    rng = np.random.default_rng(3)
    spread = rng.uniform(0.5, 2, 20_000)
    error = rng.standard_t(3, 20_000) * spread
    factor = conformal_factor(error[:10_000], spread[:10_000], 0.9)
    assert (np.abs(error[10_000:]) <= factor * spread[10_000:]).mean() == pytest.approx(0.9, abs=0.015)
    assert conformal_factor([1.0], [1.0], 0.9) == np.inf


def test_weighted_median():
    values, w = np.array([[3.0, 1.0, 2.0, np.nan]]), np.array([[0.2, 0.2, 0.2, 0.4]])
    assert weighted_quantile(values, w, 0.5)[0] == pytest.approx(2)
    assert np.isnan(weighted_quantile(values[:, 3:], w[:, 3:], 0.5)[0])


def _noisy_world(n: int, seed: int):
    """Two classes on a line; a noisy query lies away from where it belongs, and so do its neighbours' labels."""
    rng = np.random.default_rng(seed)
    snr = 10 ** rng.uniform(0, 2, n)
    true = rng.normal(size=n)
    return (true + rng.normal(size=n) * 3 / snr)[:, None], np.where(true > 0, "up", "down"), snr


def test_a_weight_that_knows_the_noise_beats_distance_alone():
    from kernels.search import Neighbours

    x, labels, snr = _noisy_world(1500, 0)
    index = Neighbours("euclidean", "exact").fit(x)
    distance, rows = index.self_join(8)
    told = {"snr_query": snr, "snr_entry": snr}
    full = LearnedWeight().fit(distance, rows, labels, labels, **told)
    plain = LearnedWeight("distance").fit(distance, rows, labels, labels, **told)
    assert full.loss_ < plain.loss_
    y, truth, snr_y = _noisy_world(1500, 1)
    distance, rows = index.query(y, 8)
    losses = [
        calibration(v.probability, truth, v.classes).log_loss
        for v in (m.vote(distance, rows, labels, snr_y, snr) for m in (full, plain))
    ]
    assert losses[0] < losses[1] - 0.01
    again = LearnedWeight().load_state(full.state()).strength(distance, rows, labels, snr_y, snr)
    assert again == pytest.approx(full.strength(distance, rows, labels, snr_y, snr))


def test_distance_alone_is_exp_of_minus_distance_over_tau():
    rng = np.random.default_rng(4)
    distance, rows = np.sort(rng.gamma(2, 1, (300, 3)), 1), rng.integers(0, 50, (300, 3))
    labels = rng.choice(["a", "b"], 50)
    model = LearnedWeight("distance").fit(distance, rows, labels, rng.choice(["a", "b"], 300))
    tau = model.scale_ / np.exp(model.theta_[2])
    assert model.strength(distance, rows, labels) == pytest.approx(np.exp(-distance / tau))
    fixed = LearnedWeight("prior", tau=0.7).fit(distance, rows, labels, rng.choice(["a", "b"], 300))
    assert fixed.strength(distance, rows, labels) == pytest.approx(np.exp(-distance / 0.7))


def test_a_weight_needs_votes_with_known_classes():
    with pytest.raises(ValueError, match="20 or more"):
        LearnedWeight().fit(DISTANCE, ROWS, LABELS, ["a", ""])
    with pytest.raises(RuntimeError, match="fit"):
        LearnedWeight().strength(DISTANCE, ROWS, LABELS)
