"""What a space knows: each figure against a plain reference."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.embedding.align import evaluate as e

RNG = np.random.default_rng(3)
SPLITS = {"train": np.arange(0, 200), "validation": np.arange(200, 250), "test": np.arange(250, 320)}


def test_regressions_against_plain_references() -> None:
    space, y = RNG.normal(size=(320, 4)), RNG.normal(size=320)
    y[5] = np.nan
    good = np.delete(np.arange(200), 5)
    design = np.column_stack([space, np.ones(320)])
    weights = np.linalg.lstsq(design[good], y[good], rcond=None)[0]
    found = e.predict(space, y, SPLITS["train"], SPLITS["test"], "linear")
    np.testing.assert_allclose(found, (design @ weights)[SPLITS["test"]], atol=1e-8)
    scaled = (space - space[good].mean(0)) / space[good].std(0)
    row = SPLITS["test"][0]
    near = good[np.argsort(np.linalg.norm(scaled[good] - scaled[row], axis=1))[:3]]
    assert e.predict(space, y, SPLITS["train"], SPLITS["test"], "knn")[0] == pytest.approx(y[near].mean())
    with pytest.raises(ValueError, match="how='tree'"):
        e.predict(space, y, SPLITS["train"], SPLITS["test"], "tree")


def test_the_expert_is_chosen_on_validation_and_gains_have_intervals() -> None:
    signal = RNG.normal(size=(320, 1))
    spaces = {"knows": signal + 0.1 * RNG.normal(size=(320, 1)), "guesses": RNG.normal(size=(320, 1))}
    found = e.regress(spaces, "hard_hs", signal[:, 0], SPLITS, "linear")
    assert found.expert == "knows" == found.best_of(["knows", "guesses"])
    assert found.mae("knows") < 0.2 < found.mae("guesses")
    assert found.baseline.mean() == pytest.approx(np.abs(signal[250:, 0] - signal[:200, 0].mean()).mean())
    gain, low, high = e.average_gain([(found.errors["guesses"], found.errors["knows"])])
    assert low < gain < high
    assert gain == pytest.approx(1 - found.mae("knows") / found.mae("guesses"))
    assert low > 0.7
    same = e.average_gain([(found.errors["knows"], found.errors["knows"])])
    assert same == (0.0, 0.0, 0.0)
    assert found.held["knows"] < found.held["guesses"]
    np.testing.assert_array_equal(found.rows, SPLITS["test"])


def test_no_space_loses_by_the_scale_of_its_components() -> None:
    """The signal is large beside forty small components of noise, or small beside few large ones."""
    signal = RNG.normal(size=320)
    large = np.column_stack([10 * signal, RNG.normal(size=(320, 40))])
    small = np.column_stack([0.01 * signal, 5 * RNG.normal(size=(320, 1))])
    found = e.regress({"large": large, "small": small}, "v", signal, SPLITS, "knn")
    even = {n: np.abs(e.predict(v, signal, SPLITS["train"], SPLITS["test"], "knn") - signal[250:]).mean()
            for n, v in (("large", large), ("small", small))}  # fmt: skip
    assert found.mae("large") < 0.6 * even["large"]
    assert found.mae("small") == pytest.approx(even["small"])


def test_errors_of_one_object_hang_together() -> None:
    """Ten copies of a variable say no more than one: the interval must not shrink where objects are drawn for all."""
    before, after = np.abs(RNG.normal(size=200)), np.abs(0.8 * RNG.normal(size=200))
    rows = np.arange(200)
    one = e.average_gain([(before, after)], 4000, rows=[rows])
    ten = e.average_gain([(before, after)] * 10, 4000, rows=[rows] * 10)
    apart = e.average_gain([(before, after)] * 10, 4000)
    assert ten[2] - ten[1] == pytest.approx(one[2] - one[1], rel=1e-9)
    assert apart[2] - apart[1] < 0.5 * (ten[2] - ten[1])
    shifted = e.average_gain([(before, after), (before[50:], after[50:])], 500, rows=[rows, rows[50:]])
    assert shifted[1] < shifted[0] < shifted[2], "a variable may lack some objects"


def test_the_bootstrap_covers_the_standard_error() -> None:
    values = RNG.normal(5, 2, 400)
    low, high = e.bootstrap(values, draws=2000)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)


def test_correlations_against_numpy() -> None:
    x, y = RNG.normal(size=(60, 3)), RNG.normal(size=(60, 2))
    y[:, 1] = -2 * x[:, 2]
    y[7, 1], x[9] = np.nan, np.nan
    matrix = e.correlations(x, y)
    good = np.isfinite(x).all(1)
    assert matrix[0, 0] == pytest.approx(np.corrcoef(x[good, 0], y[good, 0])[0, 1])
    assert e.strongest(matrix, 1) == [(2, 1, pytest.approx(-1.0))]
    assert e.mean_strength(matrix, 1) == pytest.approx((np.abs(matrix[:, 0]).max() + 1) / 2)
    assert np.isnan(e.correlations(x, np.ones((60, 1)))).all()


def test_neighbours_of_a_source() -> None:
    space = np.array([[0.0], [0.1], [0.2], [5.0], [6.0]])
    classes, values = np.array(["a", "a", "b", "a", "b"]), np.array([9.0, 1.0, 3.0, 7.0, 8.0])
    found = e.neighbour_context(space, space, 0, classes, values, k=2)
    assert (found.matches, found.mean, found.spread) == (1, 2.0, 1.0)


def test_rises_and_recovery() -> None:
    kinds = np.array(["plain"] * 90 + ["pulsar"] * 10)
    alone, joint = RNG.normal(size=100), RNG.normal(size=100)
    joint[90:] += 20
    gain = e.outlier_gain(joint, alone, kinds, 10)
    assert gain["pulsar"][0] >= 0.3 > gain["pulsar"][1]
    assert e.recovery(joint, kinds == "pulsar", np.array([5, 10, 100])).tolist() == [0.5, 1.0, 1.0]
    medians = e.class_medians(joint, kinds)
    assert next(iter(medians)) == "pulsar"
    assert medians["pulsar"][2] == 10


def test_physics_comes_before_artefacts() -> None:
    features = RNG.normal(size=(400, 2))
    artefact = features[:, 0] > 1.2
    scores = RNG.random(400) + 2 * artefact
    marked = RNG.permutation(400)[:120]
    chance = e.artefact_chance(features, marked, artefact[marked])
    assert np.mean((chance > 0.5) == artefact) > 0.93
    before, after = (np.argsort(-s)[:30] for s in (scores, e.with_prior(scores, chance)))
    assert artefact[before].mean() > 0.9
    assert artefact[after].mean() < 0.5
    np.testing.assert_array_equal(np.argsort(-e.with_prior(scores, np.zeros(400))), np.argsort(-scores))
    with pytest.raises(ValueError, match="all of one kind"):
        e.artefact_chance(features, marked, np.ones(120, bool))
