"""Agreement of rankings, their stability, and what they follow: against definitions and simulated truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from kernels.scoring import KNN, transfer
from kernels.scoring.confounders import confounders, matched_percentile
from kernels.scoring.stability import agreement, rank_interval, repeated_scores


def _pair(n: int = 2000, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    a = rng.normal(size=n)
    return a, a + noise * rng.normal(size=n)


@pytest.mark.parametrize("percent", [1, 5, 10])
def test_retention_at_equal_cuts_is_the_same_both_ways(percent: float) -> None:
    a, b = _pair()
    there, back = transfer.retention(a, b, percent), transfer.retention(b, a, percent)
    assert there.share == back.share
    top_a, top_b = (set(np.argsort(-s)[: there.taken]) for s in (a, b))
    assert there.kept == len(top_a & top_b)
    ties = np.round(a)
    assert transfer.retention(ties, b, percent).share == transfer.retention(b, ties, percent).share


def test_retention_of_unrelated_rankings_lies_in_its_band() -> None:
    rng = np.random.default_rng(0)
    inside = 0
    for _ in range(200):
        found = transfer.retention(rng.random(1000), rng.random(1000), 5, 10)
        inside += found.low <= found.share <= found.high
    assert found.expected == pytest.approx(10)
    assert inside >= 180
    assert transfer.retention(*_pair(noise=0.3), 1).share > transfer.retention(*_pair(), 1).high


def test_histogram_is_where_the_top_lies() -> None:
    a, b = _pair()
    found = transfer.histogram(a, b, 1, 40)
    assert found.sum() == pytest.approx(1)
    assert transfer.histogram(a, a, 2.5, 40)[0] == 1
    top = np.argsort(-a)[:20]
    before = np.array([(b > b[i]).sum() for i in top])  # objects that the target finds stranger
    np.testing.assert_allclose(found, np.histogram(before, np.linspace(0, 2000, 41))[0] / 20)


def test_spearman_equals_scipy_and_leaves_missing_out() -> None:
    a, b = _pair()
    a[:7] = np.nan
    assert transfer.spearman(a, b) == pytest.approx(spearmanr(a[7:], b[7:]).statistic)
    assert np.isnan(transfer.spearman(np.ones(5), np.arange(5.0)))
    b[9] = np.inf
    assert np.isfinite(transfer.spearman(a, b))
    with pytest.raises(ValueError, match="the same ids"):
        transfer.spearman(np.full(3, np.nan), np.arange(3.0))
    with pytest.raises(ValueError, match="join"):
        transfer.spearman(a, b[:5])


def _overlap(a: np.ndarray, b: np.ndarray, p: float) -> float:
    """Webber et al. 2010, depth by depth, with sets."""
    n, total = len(a), 0.0
    for d in range(1, n + 1):
        x = {i for i in range(n) if (a > a[i]).sum() + 1 <= d}
        y = {i for i in range(n) if (b > b[i]).sum() + 1 <= d}
        agreement = 2 * len(x & y) / (len(x) + len(y))
        total += (1 - p) * p ** (d - 1) * agreement
    return total + p**n * agreement


@pytest.mark.parametrize("p", [0.5, 0.9, 0.99])
def test_rank_biased_overlap_with_ties(p: float) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 8, 40).astype(float), rng.integers(0, 8, 40).astype(float)
    assert transfer.rank_biased_overlap(a, b, p) == pytest.approx(_overlap(a, b, p))
    assert transfer.rank_biased_overlap(a, a, p) == pytest.approx(1)
    assert transfer.rank_biased_overlap(np.arange(2000.0), -np.arange(2000.0), 0.9) < 1e-6


def test_join_and_table() -> None:
    left, right = transfer.join(np.array(["c", "a", "b"]), np.array(["a", "c", "d"]))
    assert left.tolist() == [0, 1]
    assert right.tolist() == [1, 0]
    with pytest.raises(ValueError, match="repeat"):
        transfer.join(np.array(["a", "a"]), np.array(["a"]))
    a, b = _pair()
    table = transfer.table({"one": a, "other": b})
    np.testing.assert_array_equal(np.diag(table.at_1), 100)
    assert table.at_1[0, 1] == table.at_1[1, 0]
    assert (table.at_10 >= table.at_1).all()
    np.testing.assert_allclose(table.spearman, table.spearman.T)


def test_rank_intervals_hold_the_truth_and_tell_objects_apart() -> None:
    rng = np.random.default_rng(0)
    truth = np.sort(rng.normal(size=300))[::-1]
    truth[0] = 9
    runs = truth + 0.2 * rng.normal(size=(40, 300))
    found = rank_interval(runs, 0.9)
    held = (found.low <= np.arange(1, 301)) & (np.arange(1, 301) <= found.high)
    assert held.mean() > 0.85
    assert (found.low[0], found.high[0]) == (1, 1)
    assert found.order()[0] == 0
    assert found.same_as(0).sum() == 1
    assert found.same_as(150).sum() > 10
    assert found.surely_within(1).tolist() == [True] + [False] * 299
    rho, kept = agreement(runs, 5)
    assert rho > 0.9
    assert 20 < kept < 100


def test_objects_without_a_score_have_no_interval() -> None:
    runs = np.random.default_rng(0).random((4, 50))
    runs[:, 3] = np.nan
    runs[0, 5] = np.nan
    found = rank_interval(runs)
    assert np.isnan(found.low[3])
    assert found.runs[[3, 5]].tolist() == [0, 3]
    assert 3 not in found.order()


@pytest.mark.parametrize("kind", ["seeds", "folds", "bootstrap"])
def test_repeated_scores_of_a_scorer(kind: str) -> None:
    x = np.random.default_rng(0).normal(size=(200, 4))
    x[7] = np.nan
    x[0] = 20
    runs = repeated_scores(lambda seed: KNN(metric="euclidean", random_state=seed), x, 12, kind)
    assert runs.shape == (12, 200)
    assert np.isnan(runs[:, 7]).all()
    found = rank_interval(runs)
    assert found.order()[0] == 0
    if kind == "bootstrap":
        assert 0.25 < np.isfinite(runs).mean() < 0.5, "rows that were drawn are not scored"
    else:
        assert np.isfinite(np.delete(runs, 7, axis=1)).all(), "every row is scored in every run"
        assert (runs.std(axis=0)[:7] > 0).all() == (kind == "folds"), "seeds change nothing where there is no chance"
    with pytest.raises(ValueError, match="seeds, folds, bootstrap"):
        repeated_scores(lambda seed: KNN(), x, 3, "jackknife")


def test_a_ranking_of_brightness_is_found_out() -> None:
    rng = np.random.default_rng(0)
    n = 3000
    magnitude, field = rng.normal(20, 1, n), rng.choice(["north", "south", "deep"], n)
    odd = rng.choice(n, 30, replace=False)
    score = 4 * magnitude + rng.normal(size=n) + 3 * (field == "deep")
    score[odd] += 5
    columns = {"redshift": rng.random(n), "magnitude": magnitude, "field": field}
    found = {c.name: c for c in confounders(score, columns)}
    assert next(iter(found)) == "magnitude"
    assert found["magnitude"].correlation == pytest.approx(spearmanr(score, magnitude).statistic)
    assert abs(found["redshift"].correlation) < 4 * found["redshift"].error
    assert found["field"].categorical
    assert 0.3 < found["field"].correlation < 0.9
    matched = matched_percentile(score, {"magnitude": magnitude, "field": field}, 10)
    assert abs(spearmanr(matched, magnitude).statistic) < 0.2
    plain = 100 * (np.argsort(np.argsort(score)) + 1) / n
    assert np.median(matched[odd]) > 85 > np.median(plain[odd])


def test_bins_that_would_be_too_small_and_missing_values() -> None:
    rng = np.random.default_rng(0)
    score, column = rng.random(120), rng.random(120)
    column[4] = np.nan
    matched = matched_percentile(score, {"z": column, "flag": rng.random(120) < 0.02})
    assert np.flatnonzero(np.isnan(matched)).tolist() == [4]
    assert (matched[~np.isnan(matched)] > 0).all()
    assert matched_percentile(score, {"z": np.ones(120)}).max() == 100
    with pytest.raises(ValueError, match="'z'"):
        matched_percentile(score, {"z": column[:5]})


def test_a_grid_is_what_pair_by_pair_gives() -> None:
    rng = np.random.default_rng(4)
    shared = rng.normal(size=800)
    scores = {f"s{i}": np.round(shared + rng.normal(size=800), 1) for i in range(4)}
    for name in ("s0", "s1"):
        scores[name][rng.permutation(800)[:70]] = np.nan
    scores["s3"][3] = np.inf
    found = transfer.grid(scores, 5)
    for i, a in enumerate(scores):
        for j, b in enumerate(scores):
            one = transfer.retention(scores[a], scores[b], 5)
            got = (found.share[i, j], found.expected[i, j], found.low[i, j], found.high[i, j])
            np.testing.assert_allclose(got, (one.share, one.expected, one.low, one.high))
            np.testing.assert_allclose(found.spearman[i, j], transfer.spearman(scores[a], scores[b]))
            assert found.objects[i, j] == (~np.isnan(scores[a] + scores[b])).sum()
    assert found.beyond_chance[0, 1]
    nothing = transfer.grid({"a": np.array([1.0, np.nan]), "b": np.array([np.nan, 1.0])})
    assert np.isnan(nothing.share[0, 1])
    assert nothing.objects[0, 1] == 0
