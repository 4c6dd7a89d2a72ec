"""Approximate methods state their recall; indexes grow, shrink, are saved; bad input is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from kernels.search import Neighbours
from kernels.search._files import IndexFileError

METHODS = ("exact", "int8", "hnsw", "ivf", "ivfpq")


def vectors(n: int = 2500, d: int = 32, seed: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Clustered rows and held-out queries of the same clusters."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(40, d))
    draw = centres[rng.integers(0, 40, n + 64)] + 0.5 * rng.normal(size=(n + 64, d))
    return draw[:n].astype(np.float32), draw[n:].astype(np.float32)


def true_rows(X: np.ndarray, Q: np.ndarray, k: int) -> np.ndarray:
    """Nearest by cosine in float64, by a full sort."""
    X, Q = (v.astype(np.float64) / np.linalg.norm(v.astype(np.float64), axis=1, keepdims=True) for v in (X, Q))
    return np.argsort(-(Q @ X.T), axis=1, kind="stable")[:, :k]


def share(rows: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(rows.tolist(), truth.tolist(), strict=True)]))


@pytest.mark.parametrize("method", METHODS)
def test_recall_on_held_out_queries_is_what_is_stated(method):
    X, Q = vectors()
    index = Neighbours("cosine", method, recall=0.97).fit(X)
    distance, rows = index.query(Q, 10)
    found = share(rows, true_rows(X, Q, 10))
    assert index.recall_ >= 0.97
    assert found >= (1.0 if method in ("exact", "int8") else 0.95)
    unit = [v / np.linalg.norm(v, axis=-1, keepdims=True) for v in (X[rows], Q[:, None])]
    np.testing.assert_allclose(distance, 1 - (unit[0] * unit[1]).sum(-1), atol=2e-6)  # of full vectors, not codes
    assert (np.diff(distance, axis=1) >= 0).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner"])
def test_int8_first_pass_proves_what_it_leaves_out(metric):
    X, Q = vectors(2500)
    X[:300] = X[0]  # ties
    X[300:310] = 0
    X[400] *= 1000  # one row that coarsens only its own codes
    Q = np.vstack([Q[:20], X[:1], np.zeros_like(X[:1])])
    for q in Q:
        exact = Neighbours(metric, "exact").fit(X).query(q[None], 9)
        first_pass = Neighbours(metric, "int8").fit(X).query(q[None], 9)
        np.testing.assert_array_equal(exact[0], first_pass[0])
        np.testing.assert_array_equal(exact[1], first_pass[1])


@pytest.mark.parametrize("method", ["exact", "int8", "hnsw", "ivf"])
def test_add_remove_mask_save_load(method, tmp_path):
    X, Q = vectors()
    index = Neighbours("cosine", method, recall=0.97).fit(X[:2200]).add(X[2200:])
    assert share(index.query(Q, 5)[1], true_rows(X, Q, 5)) > 0.93
    gone = index.query(Q, 1)[1].ravel()
    index.remove(gone)
    assert not np.isin(index.query(Q, 20)[1], gone).any()
    assert not np.isin(index.self_join(5)[1], gone).any()
    mask = np.zeros(len(X), bool)
    mask[::50] = True
    mask[gone] = False
    distance, rows = index.query(Q, 90, mask=mask)
    assert mask[rows[rows >= 0]].all()
    assert (np.sort(rows[0][rows[0] >= 0]) == np.flatnonzero(mask)).all()
    assert np.isnan(distance[rows < 0]).all()
    index.save(tmp_path / "index", key="survey 3 pca/image")
    again = Neighbours.load(tmp_path / "index", key="survey 3 pca/image")
    for mine, theirs in zip(index.query(Q, 7), again.query(Q, 7), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert again.recall_ == index.recall_


def test_an_index_cut_short_damaged_or_of_another_survey_is_refused(tmp_path):
    X, _ = vectors(1200)
    path = tmp_path / "index"
    index = Neighbours("cosine", "ivf", recall=0.9).fit(X)
    index.save(path, key="a")
    with pytest.raises(IndexFileError, match="is the index of 'a', not of 'b'"):
        Neighbours.load(path, key="b")
    whole = (path / "faiss.index").read_bytes()
    (path / "faiss.index").write_bytes(whole[:-100])
    with pytest.raises(IndexFileError, match="cut short"):
        Neighbours.load(path)
    (path / "faiss.index").write_bytes(whole[:-100] + bytes(100))
    with pytest.raises(IndexFileError, match="checksum"):
        Neighbours.load(path)
    (path / "index.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(IndexFileError, match="format 99"):
        Neighbours.load(path)
    (path / "index.json").unlink()
    with pytest.raises(IndexFileError, match="no index"):
        Neighbours.load(path)
    with pytest.raises(IndexFileError, match="is no index folder"):
        index.save(tmp_path)


def test_bad_input_is_right_or_a_clear_error():
    X, Q = vectors(50)
    index = Neighbours("cosine").fit(X)
    with pytest.raises(ValueError, match="rows of 3 numbers"):
        index.query(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="expected \\(n, d\\)"):
        index.query(X[0])
    with pytest.raises(ValueError, match="not numbers"):
        Neighbours().fit(np.array([["a"]]))
    with pytest.raises(ValueError, match="k=0"):
        index.query(Q, 0)
    with pytest.raises(ValueError, match="expected bool"):
        index.query(Q, 1, mask=np.ones(3, bool))
    with pytest.raises(ValueError, match="cosine"):
        Neighbours("cosinus").fit(X)
    with pytest.raises(RuntimeError, match="fit"):
        Neighbours().query(Q)
    distance, rows = index.query(Q[:2], 4, mask=np.zeros(50, bool))
    assert (rows == -1).all()
    assert np.isnan(distance).all()
    assert index.query(Q[:0], 4)[1].shape == (0, 4)
    distance, rows = index.self_join(60)
    assert (np.sort(rows, axis=1)[:, -49:] >= 0).all()
    assert (rows[:, 49:] == -1).all()
    for few in (X[:0], X[:1]):
        index = Neighbours().fit(few)
        assert (index.self_join(3)[1] == -1).all()
        assert index.query(Q, 3)[1].shape == (64, 3)
        assert (index.query(Q[:5], 3)[1][:, 1:] == -1).all()


@pytest.mark.parametrize("method", ["exact", "int8", "ivf"])
def test_rows_that_are_not_finite_are_never_returned(method):
    X, Q = vectors(1500)
    X[10, 3], X[20, 0] = np.nan, -np.inf
    Q[2, 1] = np.nan
    index = Neighbours("euclidean", method, recall=0.9).fit(X)
    distance, rows = index.query(Q, 5)
    assert not np.isin(rows, [10, 20]).any()
    assert (rows[2] == -1).all()
    assert np.isnan(distance[2]).all()
    assert (rows[3] >= 0).all()
    np.testing.assert_allclose(np.linalg.norm(X[rows[3]] - Q[3], axis=1), distance[3], rtol=1e-5)
    joined = index.self_join(5)[1]
    assert not np.isin(joined, [10, 20]).any()
    assert (joined[[10, 20]] == -1).all()


def test_types_and_scales():
    X, Q = vectors(300)
    want = Neighbours("euclidean").fit(X).query(Q, 5)
    for scale in (1e-30, 1e30):
        distance, rows = Neighbours("euclidean").fit(X.astype(np.float64) * scale).query(Q * np.float64(scale), 5)
        np.testing.assert_array_equal(rows, want[1])
        np.testing.assert_allclose(distance / scale, want[0], rtol=1e-5)
    whole = np.round(X * 10).astype(np.int16)
    np.testing.assert_array_equal(
        Neighbours("euclidean").fit(whole).self_join(3)[0],
        Neighbours("euclidean").fit(whole.astype("f8")).self_join(3)[0],
    )
    short = X.astype(np.float16)
    np.testing.assert_array_equal(
        Neighbours("inner").fit(short).self_join(3)[1], Neighbours("inner").fit(short.astype("f4")).self_join(3)[1]
    )


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "inner"])
def test_torch_in_torch_out_on_its_device(metric):
    torch = pytest.importorskip("torch")
    from kernels.search._torch import Device

    X, Q = vectors(900)
    X[:40] = X[0]
    X[50] = 0
    index = Neighbours(metric).fit(torch.from_numpy(X))
    distance, rows = index.query(torch.from_numpy(Q), 6)
    assert isinstance(rows, torch.Tensor)
    device = Device(index.space_, index.rows_, "cpu", memory=1 << 20)  # the path that a GPU takes, in several tiles
    from kernels.search._rows import prepare_rows

    again = device.query(prepare_rows(Q, index.space_), 6)
    np.testing.assert_allclose(distance.numpy(), again[0], atol=1e-9)
    np.testing.assert_allclose(index.self_join(6)[0].numpy(), device.self_join(6)[0], atol=1e-9)
