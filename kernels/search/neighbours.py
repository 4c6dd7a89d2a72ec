"""Nearest neighbours of rows in a matrix, exact or approximate, always with a known recall."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.search import exact, join
from kernels.search._rows import Rows, Space, as_matrix, check_metric, finite_rows, fit_space, prepare_rows

METHODS = ("auto", "exact")


class Neighbours:
    """Nearest neighbours under cosine, Euclidean or inner-product distance.

    Parameters
    ----------
    metric : ``"cosine"`` (distance 1 - cos; a zero vector is at distance 1 of everything), ``"euclidean"``
        (true L2) or ``"inner"`` (distance is minus the product).
    method : ``"auto"`` or ``"exact"``.
    recall : the recall at k that ``"auto"`` must reach.
    memory : bytes that a search may use beside the data.
    progress : called with the share done (0..1).

    Distances are float64 (m, k) ascending; rows are int64 (m, k), positions in the fitted matrix; ties go to the
    lower row. Rows that hold NaN or infinity are never returned; as queries they get distance NaN and row -1.
    Where fewer than k rows can be returned, the rest is NaN and -1.

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
        progress: exact.Progress = None,
    ):
        self.metric, self.method, self.recall = metric, method, recall
        self.memory, self.progress = memory, progress

    def fit(self, X: Any) -> Neighbours:
        """Take the rows of ``X`` (n, d), numpy or torch, of any real type; one float32 copy is kept."""
        check_metric(self.metric)
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r} is unknown: choose one of {', '.join(METHODS)}")
        matrix = as_matrix(X)
        good = finite_rows(matrix)
        self.n_, self.dim_ = matrix.shape
        self.good_ = np.flatnonzero(good)
        if not good.all():
            matrix = matrix[self.good_]
        self.space_: Space = fit_space(matrix, self.metric)
        self.rows_: Rows = prepare_rows(matrix, self.space_)
        self.recall_ = 1.0
        return self

    def query(self, Q: Any, k: int = 10, mask: Any = None) -> tuple[np.ndarray, np.ndarray]:
        """The k rows nearest to each row of ``Q`` (m, d): distances (m, k) and rows (m, k).

        ``mask`` (n,) bool restricts the search to those rows of the fitted matrix.
        """
        matrix, good, k = self._queries(Q, k)
        q = prepare_rows(matrix[good], self.space_)
        ids = None
        if mask is not None:
            ids = np.flatnonzero(self._mask(mask)[self.good_]).astype(np.int32)
        found = exact.query(self.space_, self.rows_, q, k, ids, self.memory, self.progress)
        return self._spread(found, good, len(matrix), k)

    def self_join(self, k: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest other rows of every fitted row, itself left out: distances (n, k) and rows (n, k)."""
        k = self._k(k)
        found = join.self_join(self.space_, self.rows_, k, self.memory, self.progress)
        good = np.zeros(self.n_, bool)
        good[self.good_] = True
        return self._spread(found, good, self.n_, k)

    def _k(self, k: int) -> int:
        if not hasattr(self, "rows_"):
            raise RuntimeError("this Neighbours holds no rows yet: call fit(X) first")
        if int(k) != k or k < 1:
            raise ValueError(f"k={k!r}: ask for one neighbour or more")
        return int(k)

    def _queries(self, Q: Any, k: int) -> tuple[np.ndarray, np.ndarray, int]:
        k = self._k(k)
        matrix = as_matrix(Q, "Q")
        if matrix.shape[1] != self.dim_:
            raise ValueError(
                f"Q has rows of {matrix.shape[1]} numbers, the index was fitted on rows of {self.dim_}: "
                "query with embeddings of the same space"
            )
        return matrix, finite_rows(matrix), k

    def _mask(self, mask: Any) -> np.ndarray:
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (self.n_,):
            raise ValueError(f"mask is {mask.dtype} of shape {mask.shape}; expected bool of shape ({self.n_},)")
        return mask

    def _spread(
        self, found: tuple[np.ndarray, np.ndarray], good: np.ndarray, m: int, k: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions among finite rows turned into rows of the fitted matrix, with NaN and -1 for bad queries."""
        distance, rows = found
        if len(self.good_) != self.n_:
            rows = np.where(rows < 0, -1, self.good_[rows] if len(self.good_) else -1)
        if good.all():
            return distance, rows
        all_distance, all_rows = np.full((m, k), np.nan), np.full((m, k), -1, np.int64)
        all_distance[good], all_rows[good] = distance, rows
        return all_distance, all_rows
