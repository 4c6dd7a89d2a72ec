"""What is asked of an index is checked before anything is searched, and what is removed stays out of every answer."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.search import Neighbours


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)


@pytest.mark.parametrize("k", [0, -1, 2.5, float("nan"), float("inf"), "3"])
def test_k_is_a_whole_number(rows: np.ndarray, k: object) -> None:
    index = Neighbours(method="exact").fit(rows[:50])
    with pytest.raises(ValueError, match="whole number"):
        index.query(rows[:2], k)  # type: ignore[arg-type]


@pytest.mark.parametrize("recall", [0, 1.5, float("nan"), "0.9"])
def test_recall_is_a_share(rows: np.ndarray, recall: object) -> None:
    with pytest.raises(ValueError, match="share"):
        Neighbours(method="exact").fit(rows[:50]).self_join(3, recall=recall)  # type: ignore[arg-type]


def test_a_mask_is_no_list_of_rows(rows: np.ndarray) -> None:
    index = Neighbours(method="exact").fit(rows[:50])
    with pytest.raises(ValueError, match="flatnonzero"):
        index.remove(np.ones(50, bool))
    with pytest.raises(IndexError, match="no row 50"):
        index.remove([50])


@pytest.mark.parametrize("method", ["exact", "int8", "ivf", "hnsw"])
def test_what_is_left_is_found_whole(rows: np.ndarray, method: str) -> None:
    """With all but 30 rows removed an approximate index looks into places that hold too few, and fills up."""
    index = Neighbours(metric="euclidean", method=method).fit(rows)
    index.remove(np.arange(30, 3000))
    found = index.query(rows[:20], 25)[1]
    true = np.argsort(((rows[:20, None].astype(float) - rows[None, :30]) ** 2).sum(-1), axis=1, kind="stable")[:, :25]
    np.testing.assert_array_equal(np.sort(found, axis=1), np.sort(true, axis=1))
