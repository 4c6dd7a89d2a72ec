"""Nearest neighbours of rows in a matrix, exact or approximate, always with a known recall."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kernels.search import _files, exact
from kernels.search._given import Found, like, neighbours_asked, recall_asked, row_mask, row_positions, through
from kernels.search._rows import Rows, Space, as_matrix, check_metric, finite_rows, fit_space, prepare_rows
from kernels.search.nearby import nearby_join

METHODS = ("auto", "exact", "int8", "hnsw", "ivf", "ivfpq")
FAISS_METHODS = ("hnsw", "ivf", "ivfpq")
TOO_FEW = 1000  # rows below which an approximate index is no help
EXACT_UP_TO, INT8_UP_TO = 20_000, 200_000  # rows, for "auto"
JOIN_EXACTLY_UP_TO = 100_000
SAMPLE = 200  # rows that recall is measured on
SAMPLE_K = 10
INT8_QUERIES = 24  # more queries than this at once are quicker by products


class Neighbours:
    """Nearest neighbours under cosine, Euclidean or inner-product distance.

    Parameters
    ----------
    metric : ``"cosine"`` (distance 1 - cos; a zero vector is at distance 1 of everything), ``"euclidean"``
        (true L2) or ``"inner"`` (distance is minus the product).
    method : ``"exact"``; ``"int8"``, exact too, with a first pass over 8-bit codes that proves what it leaves
        out; ``"hnsw"``, ``"ivf"``, ``"ivfpq"`` (FAISS, compared again on full vectors); or ``"auto"``: exact up
        to 20,000 rows, int8 up to 200,000, then ivf. Under 1,000 rows all are exact.
    recall : the recall at 10 to which an approximate index is tuned.
    memory : bytes that a search may use beside the data.
    device : torch device for exact search (``"cuda"``); None is the device of a tensor ``X``, else the CPU.
    seed : of the sample that recall is measured on, and of the clusters of an ivf.
    progress : called with the share done (0..1).

    Attributes
    ----------
    method_ : what ``"auto"`` chose.
    recall_ : recall at 10 measured on 200 fitted rows (themselves left out) beside exact; 1.0 where exact.

    Distances are float64 (m, k) ascending; rows are int64 (m, k), positions in the fitted matrix; ties go to the
    lower row. Rows that hold NaN or infinity are never returned; as queries they get distance NaN and row -1.
    Where fewer than k rows can be returned, the rest is NaN and -1. Torch queries get torch tensors back.

    >>> import numpy as np
    >>> index = Neighbours("euclidean").fit(np.array([[0.0], [1.0], [3.0]]))
    >>> index.query(np.array([[2.9]]), 2)[1].tolist()
    [[2, 1]]
    >>> index.self_join(1)[0].ravel().tolist()
    [1.0, 1.0, 2.0]
    """

    def __init__(
        self,
        metric: str = "cosine",
        method: str = "auto",
        recall: float = 0.99,
        *,
        memory: int = 1 << 30,
        device: Any = None,
        seed: int = 0,
        progress: exact.Progress = None,
    ):
        self.metric, self.method, self.recall = metric, method, recall
        self.memory, self.device, self.seed, self.progress = memory, device, seed, progress

    def fit(self, X: Any) -> Neighbours:
        """Take the rows of ``X`` (n, d), numpy or torch, of any real type; one float32 copy is kept."""
        self._check()
        matrix, device = as_matrix(X), self.device
        if device is None and hasattr(X, "detach") and X.device.type != "cpu":
            device = X.device
        good = finite_rows(matrix)
        self.n_, self.dim_ = matrix.shape
        self.good_ = np.flatnonzero(good)
        if not good.all():
            matrix = matrix[self.good_]
        self.space_: Space = fit_space(matrix, self.metric)
        self.rows_: Rows = prepare_rows(matrix, self.space_)
        self.alive_ = np.ones(len(self.good_), bool)
        self.like_ = X if hasattr(X, "detach") else None
        self._index(device)
        return self

    def query(self, Q: Any, k: int = 10, mask: Any = None) -> Found:
        """The k rows nearest to each row of ``Q`` (m, d): distances (m, k) and rows (m, k).

        ``mask`` (n,) bool restricts the search to those rows of the fitted matrix; it is then exact.
        """
        matrix, good, k = self._queries(Q, k)
        q = prepare_rows(matrix if good.all() else matrix[good], self.space_)
        if mask is None:
            found = self._search(q, k)
        else:
            found = self._exact(q, k, self.alive_ & row_mask(mask, self.n_)[self.good_])
        return like(self._spread(found, good, len(matrix), k), Q)

    def self_join(self, k: int = 10, recall: float = 1.0) -> Found:
        """The k nearest other rows of every fitted row, itself left out: distances (n, k) and rows (n, k).

        ``recall`` below 1 leaves out groups of rows that lie far apart (:mod:`kernels.search.nearby`), which is
        several times quicker; ``join_recall_`` is the share of true neighbours found, measured on a sample.
        """
        k, recall = self._k(k), recall_asked(recall)
        self.join_recall_ = 1.0
        whole = bool(self.alive_.all())
        rows = self.rows_ if whole else self.rows_.take(np.flatnonzero(self.alive_))
        if self._engine is not None and whole:
            found = self._engine.self_join(k, self.progress)
        elif recall >= 1 and self.method_ in FAISS_METHODS and len(rows) > JOIN_EXACTLY_UP_TO:
            found = self._join_approximately(k)
            self.join_recall_ = self.recall_
        else:
            *found, self.join_recall_ = nearby_join(self.space_, rows, k, recall, self.memory, self.seed, self.progress)
            if not whole:
                found = found[0], through(np.flatnonzero(self.alive_), found[1])
        good = np.zeros(self.n_, bool)
        good[self.good_[self.alive_]] = True
        return like(self._spread(found, good, self.n_, k), self.like_)

    def add(self, X: Any) -> Neighbours:
        """Append rows ``X`` (m, d); they take the positions after the last."""
        matrix, good, _ = self._queries(X, 1)
        new = prepare_rows(matrix if good.all() else matrix[good], self.space_)
        old, self.rows_ = self.rows_, self.rows_.join(new)
        self.good_ = np.concatenate([self.good_, self.n_ + np.flatnonzero(good)])
        self.alive_ = np.concatenate([self.alive_, np.ones(len(new), bool)])
        self.n_ += len(matrix)
        if self._backend is None or len(old) < len(new):
            self._index(self.device_)
        else:
            self._backend.add(new)
            self._measure()
        return self

    def remove(self, rows: Any) -> Neighbours:
        """Never return these positions (m,) again; the others keep theirs."""
        self._k(1)
        rows = row_positions(rows, self.n_)
        self.alive_ &= ~np.isin(self.good_, rows)
        if self._backend is not None:
            self._measure()  # a filter costs an approximate index recall
        return self

    def save(self, path: str | Path, key: str = "") -> None:
        """Write the index as a folder; ``key`` says of what (a survey, its version, a space)."""
        self._k(1)
        space, rows = self.space_, self.rows_
        about = {
            "key": key, "metric": self.metric, "method": self.method, "method_": self.method_, "recall": self.recall,
            "recall_": self.recall_, "n": self.n_, "scale": space.scale, "seed": self.seed,
        }  # fmt: skip
        arrays = {"a": rows.a, "w": rows.w, "norm": rows.norm, "sq": rows.sq, "mean": space.mean}
        arrays |= {"good": self.good_, "alive": self.alive_}
        backend = self._backend if self.method_ in FAISS_METHODS else None
        if backend is not None:
            about |= {"effort": backend.effort, "factor": backend.factor}
        _files.write_index(
            Path(path), about, arrays, None if backend is None else lambda folder: backend.write(folder / "faiss.index")
        )

    @classmethod
    def load(cls, path: str | Path, key: str | None = None, *, memory: int = 1 << 30) -> Neighbours:
        """Read what :meth:`save` wrote; with ``key``, an index of anything else is refused."""
        about, arrays = _files.read_index(Path(path), key)
        index = cls(about["metric"], about["method"], about["recall"], memory=memory, seed=about["seed"])
        index.space_ = Space(about["metric"], arrays["mean"], about["scale"])
        index.rows_ = Rows(arrays["a"], arrays["w"], arrays["norm"], arrays["sq"])
        index.n_, index.dim_ = about["n"], arrays["a"].shape[1]
        index.good_, index.alive_, index.like_ = arrays["good"], arrays["alive"], None
        index.method_, index.recall_ = about["method_"], about["recall_"]
        index.device_ = index._engine = index._backend = None
        if index.method_ in FAISS_METHODS:
            from kernels.search.ann import Faiss

            index._backend = Faiss.read(
                Path(path) / "faiss.index", index.method_, index.space_, about["effort"], about["factor"], index.seed
            )
        elif index.method_ == "int8":
            index._index(None)
        return index

    def _check(self) -> None:
        check_metric(self.metric)
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r} is unknown: choose one of {', '.join(METHODS)}")
        recall_asked(self.recall)
        if not self.memory > 0:
            raise ValueError(f"memory={self.memory!r}: give the bytes that a search may use, above 0")

    def _index(self, device: Any) -> None:
        """Build what the method needs for ``rows_``, and measure its recall."""
        n, self.device_ = len(self.rows_), device
        self._engine: Any = None
        self._backend: Any = None
        self.recall_ = 1.0
        self.method_ = self.method
        if self.method == "auto":
            last = "ivf" if self.recall < 1 else "int8"
            self.method_ = "exact" if n <= EXACT_UP_TO else "int8" if n <= INT8_UP_TO else last
        if n < TOO_FEW or device is not None:
            self.method_ = "exact"
        if device is not None and n and str(device) != "cpu":
            from kernels.search._torch import Device

            self._engine = Device(self.space_, self.rows_, device, self.memory)
        elif self.method_ == "int8":
            from kernels.search.int8 import Int8

            self._backend = Int8(self.space_, self.rows_)
        elif self.method_ in FAISS_METHODS:
            from kernels.search.ann import Faiss

            self._backend = Faiss(self.method_, self.space_, self.rows_, self.seed)
            self._measure(tune=True)

    def _measure(self, tune: bool = False) -> None:
        """Recall of the backend on a sample of rows, themselves left out; tuned to ``recall`` if asked."""
        if self.method_ not in FAISS_METHODS:
            return
        from kernels.search.ann import share_found

        rng = np.random.default_rng(self.seed)
        own = np.sort(rng.choice(np.flatnonzero(self.alive_), min(SAMPLE, int(self.alive_.sum())), replace=False))
        q = self.rows_.take(own)
        truth = self._exact(q, SAMPLE_K + 1, self.alive_)[1]
        truth[truth == own[:, None]] = -1

        def answer(q: Rows, k: int) -> np.ndarray:
            return self._approximate(q, k)[1]

        if tune:
            self.recall_ = self._backend.tune(q, truth, answer, self.recall)
        else:
            self.recall_ = share_found(answer(q, SAMPLE_K + 1), truth)

    def _search(self, q: Rows, k: int) -> Found:
        if self.method_ == "int8" and len(q) <= INT8_QUERIES and self.alive_.any() and len(q):
            return self._backend.query(self.rows_, q, k, self.alive_)
        if self.method_ in FAISS_METHODS and self.alive_.any() and len(q):
            return self._approximate(q, k)
        return self._exact(q, k, self.alive_)

    def _exact(self, q: Rows, k: int, allowed: np.ndarray) -> Found:
        ids = None if allowed.all() else np.flatnonzero(allowed).astype(np.int32)
        if self._engine is not None:
            return self._engine.query(q, k, ids)
        return exact.query(self.space_, self.rows_, q, k, ids, self.memory, self.progress)

    def _approximate(self, q: Rows, k: int) -> Found:
        alive = None if self.alive_.all() else self.alive_
        distance, rows = exact.settle(self.space_, q, self.rows_, self._backend.candidates(q, k, alive), k)
        short = np.flatnonzero(rows[:, min(k, int(self.alive_.sum())) - 1] < 0)  # what was looked into holds too few
        if len(short):
            distance[short], rows[short] = self._exact(q.take(short), k, self.alive_)
        return distance, rows

    def _join_approximately(self, k: int) -> Found:
        own = np.flatnonzero(self.alive_)
        distance, rows = np.empty((len(own), k)), np.empty((len(own), k), np.int64)
        for start in range(0, len(own), 4096):
            part = own[start : start + 4096]
            d, r = self._approximate(self.rows_.take(part), k + 1)
            last = np.argsort(r == part[:, None], axis=1, kind="stable")[:, :k]  # itself, if there, goes last
            distance[start : start + 4096] = np.take_along_axis(d, last, 1)
            rows[start : start + 4096] = np.take_along_axis(r, last, 1)
            if self.progress is not None:
                self.progress(min(1.0, (start + 4096) / len(own)))
        return distance, rows

    def _k(self, k: int) -> int:
        if not hasattr(self, "rows_"):
            raise RuntimeError("this Neighbours holds no rows yet: call fit(X) first")
        return neighbours_asked(k)

    def _queries(self, Q: Any, k: int) -> tuple[np.ndarray, np.ndarray, int]:
        k = self._k(k)
        matrix = as_matrix(Q, "Q")
        if matrix.shape[1] != self.dim_:
            raise ValueError(
                f"Q has rows of {matrix.shape[1]} numbers, the index was fitted on rows of {self.dim_}: "
                "query with embeddings of the same space"
            )
        return matrix, finite_rows(matrix), k

    def _spread(self, found: Found, good: np.ndarray, m: int, k: int) -> Found:
        """Positions among finite rows turned into rows of the fitted matrix, with NaN and -1 for bad queries."""
        distance, rows = found
        if len(self.good_) != self.n_:
            rows = through(self.good_, rows)
        if good.all():
            return distance, rows
        all_distance, all_rows = np.full((m, k), np.nan), np.full((m, k), -1, np.int64)
        all_distance[good], all_rows[good] = distance, rows
        return all_distance, all_rows
