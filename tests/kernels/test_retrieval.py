"""Retrieval metrics against closed forms and plain loops."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.metrics import ndcg_score

from kernels.search.retrieval import dcg, median_rank, ndcg, ranks_of_pairs, recall_at, top_k_accuracy


def test_recall_by_count_and_by_share():
    ranks = [1, 2, 18, 19, 1719]
    assert recall_at(ranks, 1) == pytest.approx(1 / 5)
    assert recall_at(ranks, 18) == pytest.approx(3 / 5)
    assert recall_at(ranks, 0.01, n=1719) == pytest.approx(3 / 5)  # ceil(17.19) = 18
    assert recall_at(ranks, 0.05, n=100) == pytest.approx(2 / 5)  # exactly 5, not 6
    assert recall_at(ranks, 1719) == 1.0
    assert top_k_accuracy(ranks, 2) == pytest.approx(2 / 5)


def test_recall_of_chance_is_k_over_n():
    rng = np.random.default_rng(0)
    ranks = ranks_of_pairs(rng.normal(size=(2000, 2000)))
    assert recall_at(ranks, 0.1, n=2000) == pytest.approx(0.1, abs=0.025)
    assert median_rank(ranks) == pytest.approx(1000, abs=60)


def test_ranks_of_pairs_is_that_of_a_loop_and_shares_ties():
    rng = np.random.default_rng(1)
    matrix = rng.integers(0, 6, size=(9, 12)).astype(float)
    expected = []
    for i, row in enumerate(matrix):
        others = np.delete(row, i)
        expected.append(1 + (others > row[i]).sum() + (others == row[i]).sum() / 2)
    assert ranks_of_pairs(matrix).tolist() == expected
    assert ranks_of_pairs(np.ones((3, 9))).tolist() == [5.0, 5.0, 5.0]
    matrix[2, 2] = np.nan
    assert ranks_of_pairs(matrix)[2] == 12


def test_median_rank_of_odd_and_even():
    assert median_rank([3, 1, 84]) == 3
    assert median_rank([2, 5]) == 3.5


def test_dcg_closed_form():
    assert dcg([3, 2]) == pytest.approx(7 + 3 / math.log2(3))
    assert dcg([3, 2], gain="linear") == pytest.approx(3 + 2 / math.log2(3))
    assert dcg([3, 2], k=1, gain="linear") == 3
    assert dcg([]) == 0


def test_ndcg_of_the_best_and_the_worst_order():
    assert ndcg([3, 2, 1, 0]) == 1.0
    worst = (1 / math.log2(3) + 3 / 2 + 7 / math.log2(5)) / (7 + 3 / math.log2(3) + 1 / 2)
    assert ndcg([0, 1, 2, 3]) == pytest.approx(worst)
    assert ndcg([0.2, 0.9], gain="exponential") != pytest.approx(ndcg([0.2, 0.9], gain="linear"))
    assert ndcg([1, 0, 1]) == pytest.approx(ndcg([1, 0, 1], gain="linear"))


def test_linear_ndcg_is_that_of_scikit_learn():
    rng = np.random.default_rng(2)
    relevance, score = rng.random(40), rng.random(40)
    order = np.argsort(-score)
    for k in (5, 10, None):
        ours = ndcg(relevance[order], k, gain="linear", ideal=relevance)
        assert ours == pytest.approx(ndcg_score(relevance[None], score[None], k=k))


def test_ideal_counts_what_was_never_found():
    assert ndcg([1, 0, 0]) == 1.0
    found = ndcg([1, 0, 0], k=3, ideal=[1, 1, 1, 0])
    assert found == pytest.approx(1 / (1 + 1 / math.log2(3) + 1 / 2))
    assert math.isnan(ndcg([0, 0], ideal=[0, 0, 0]))


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: recall_at([1, 2], 0.1), "share"),
        (lambda: recall_at([1, 2], 0), "k=0"),
        (lambda: recall_at([1, 2], 1.5), "k=1.5"),
        (lambda: recall_at([0, 2], 1), "query 0"),
        (lambda: recall_at([], 1), "shape"),
        (lambda: top_k_accuracy([1], 1.5), "whole"),
        (lambda: ndcg([1, -1]), "result 2"),
        (lambda: ndcg([1, np.nan]), "nan"),
        (lambda: ndcg([1], gain="log"), "exponential, linear"),
        (lambda: ndcg([1], k=0), "one result"),
        (lambda: ndcg([2], ideal=[1]), "ideal"),
        (lambda: ranks_of_pairs(np.ones((3, 2))), "m >= n"),
    ],
)
def test_bad_input_is_named(call, told):
    with pytest.raises(ValueError, match=told):
        call()
