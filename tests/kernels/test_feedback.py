"""Marks that re-rank: look-alikes up, artefacts down, and what they find on real galaxies."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from kernels.scoring.feedback import Feedback, _posterior


def _survey(n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Objects with two small clumps, 0:20 the wanted and 20:40 the artefacts, both with middling scores."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 8))
    x[:20] = rng.normal([4, 0, 0, 0, 0, 0, 0, 0], 0.3, (20, 8))
    x[20:40] = rng.normal([0, 4, 0, 0, 0, 0, 0, 0], 0.3, (20, 8))
    return x, rng.random(n)


@pytest.mark.parametrize("acquisition", ["mean", "improvement", "bound"])
def test_look_alikes_come_up_and_artefacts_go_down(acquisition: str) -> None:
    x, scores = _survey()
    feedback = Feedback("gp", acquisition).fit(x, scores)
    before = feedback.rank([], [])
    np.testing.assert_array_equal(np.argsort(before.score), np.argsort(scores))
    after = feedback.rank([0, 1, 100, 150, 200], [5, 5, 0, 0, 0], artefacts=[20, 21])
    place = np.argsort(np.argsort(-after.score))
    assert np.median(place[2:20]) < 60, "look-alikes of what was liked come up"
    assert np.median(place[22:40]) > 340, "look-alikes of artefacts go down"
    proposed = feedback.propose(after, 10, seen=[0, 1])
    assert len(proposed) == 10
    assert not {0, 1} & set(proposed.tolist())


def test_the_neighbour_score_is_that_of_astronomaly() -> None:
    x, scores = _survey()
    feedback = Feedback("neighbour").fit(x, scores)
    at, marks = np.array([0, 1, 100, 150, 200]), np.array([5.0, 5, 0, 0, 0])
    got = feedback.rank(at, marks)
    near = np.linalg.norm(feedback.points_[:, None] - feedback.points_[at], axis=2).min(axis=1)
    u = np.clip(got.expected, 0.1, 5)
    weight = np.tanh(np.exp(0.3 * near / near.mean()) - 1 + np.arctanh(0.1 + 0.85 * u / 5))
    np.testing.assert_allclose(got.score, 5 * feedback.prior_ * weight, rtol=1e-6)
    assert got.expected[2:20].mean() > 1 + got.expected[40:].mean(), "the forest learned the clump"
    pushed = feedback.rank(at, marks, artefacts=[20, 21])
    assert (pushed.score[22:40] < got.score[22:40]).all()


def test_without_artefacts_their_clump_stays_where_it_was() -> None:
    x, scores = _survey()
    feedback = Feedback().fit(x, scores)
    plain, pushed = feedback.rank([100], [0]), feedback.rank([100], [0], artefacts=[20])
    assert (pushed.score[21:40] < plain.score[21:40]).all()
    far = np.linalg.norm(x - x[20], axis=1) > 5
    np.testing.assert_allclose(pushed.score[far] - plain.score[far], 0, atol=2.5)


def test_the_process_equals_the_textbook() -> None:
    x, scores = _survey(60)
    feedback = Feedback().fit(x, scores)
    at, marks = np.array([3, 30, 50]), np.array([5.0, 0.0, 2.0])
    got = feedback.rank(at, marks)
    prior = 3 * (feedback.prior_ - 0.5)
    rest = marks - prior[at]
    usual = np.append(rest, np.zeros(5)).mean()  # five marks of 0 are taken for granted
    variance = max(np.sqrt(((rest - usual) ** 2).mean()), 0.5) ** 2
    distance = np.linalg.norm(feedback.points_[:, None] - feedback.points_[at], axis=2)
    k = variance * np.exp(-distance)
    inverse = np.linalg.inv(k[at] + 0.1 * variance * np.eye(3))
    desired = prior + usual + k @ inverse @ (rest - usual)
    plain = (desired > 0.5) & (desired < 4.5)
    assert plain.sum() > 40
    np.testing.assert_allclose(got.expected[plain], desired[plain], atol=1e-6)
    assert desired.min() < 0, "the process knows no bounds, marks do"
    assert got.expected.min() >= 0
    assert got.expected.max() <= 5
    np.testing.assert_array_equal(np.argsort(got.expected, kind="stable"), np.argsort(desired, kind="stable"))


def test_likes_alone_bring_look_alikes_up() -> None:
    x, scores = _survey()
    feedback = Feedback().fit(x, scores)
    before = np.median(np.argsort(np.argsort(-feedback.rank([], []).score))[3:20])
    after = np.argsort(np.argsort(-feedback.rank([0, 1, 2], [5, 5, 5]).score))[3:20]
    assert np.median(after) < before / 3


def test_missing_rows_and_wrong_marks() -> None:
    x, scores = _survey(60)
    x[7], scores[9] = np.nan, np.nan
    feedback = Feedback().fit(x, scores)
    ranking = feedback.rank([7, 3], [5, 4])
    assert np.flatnonzero(np.isnan(ranking.score)).tolist() == [7, 9]
    assert not {7, 9} & set(feedback.propose(ranking, 60).tolist())
    with pytest.raises(ValueError, match="a mark of 6"):
        feedback.rank([3], [6])
    with pytest.raises(IndexError, match="row 60"):
        feedback.rank([60], [1])
    with pytest.raises(ValueError, match="one mark a row"):
        feedback.rank([1, 2], [3])
    with pytest.raises(ValueError, match="gp, neighbour"):
        Feedback("svm").fit(x, scores)
    assert np.isfinite(Feedback().fit(np.ones((9, 3)), np.arange(9.0)).rank([1], [5]).score).all()


def test_forty_thousand_objects_do_not_wait() -> None:
    rng = np.random.default_rng(0)
    feedback = Feedback().fit(rng.normal(size=(40_000, 64)).astype(np.float32), rng.random(40_000))
    rows = rng.choice(40_000, 200, replace=False)
    feedback.rank(rows[:5], np.zeros(5))
    start = time.thread_time()
    feedback.rank(rows, rng.integers(0, 6, 200))
    assert time.thread_time() - start < 1.5, "one second of one core, with room for a busy machine"


@pytest.mark.slow
def test_marks_find_mergers_that_no_fixed_score_finds(shared_data: Path) -> None:
    from tests.benchmarks.feedback import compare, galaxies

    if not (shared_data / "gz1_sdss_images_dev").is_dir():
        pytest.skip("no gz1_sdss_images_dev among the real data")
    found = compare(*galaxies(shared_data))
    assert found["feedback"] >= 0.75 * found["supervised"]
    assert found["feedback"] >= max(n for k, n in found.items() if k.startswith("fixed_"))


def test_the_gaussian_process_is_that_of_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    rng = np.random.default_rng(1)
    points, at, values = rng.normal(size=(5000, 5)), rng.permutation(5000)[:40], rng.normal(size=40)
    kernel = ConstantKernel(2.0) * Matern(1.0, nu=0.5) + WhiteKernel(0.2)
    reference = GaussianProcessRegressor(kernel, optimizer=None).fit(points[at], values)
    for got, wanted in zip(_posterior(points, at, values, 2.0, 0.2), reference.predict(points, True), strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5)
