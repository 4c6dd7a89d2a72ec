"""What every layout does alike: rows that cannot be laid out, scale, quality."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.layout import _quality
from kernels.search import Neighbours
from kernels.search._rows import as_matrix, finite_rows

EXACT_UP_TO = 200_000  # rows; beyond, neighbours are approximate and the index states their recall


class Layout:
    """Base of layouts: ``fit_transform(X)`` gives (n, 2) float32 positions, NaN where a row holds NaN or infinity.

    A subclass says its ``metric`` and lays finite rows out in ``_fit_finite(matrix)``, and new ones in
    ``_place(matrix)``. ``index_`` holds the finite rows, at the positions ``good_``.
    """

    metric: str

    def fit_transform(self, X: Any) -> np.ndarray:
        """Positions (n, 2) float32 of the rows of ``X`` (n, d), numpy or torch."""
        matrix = as_matrix(X)
        self._check()
        self.n_, self.dim_ = matrix.shape
        self.good_ = np.flatnonzero(finite_rows(matrix))
        if len(self.good_) < self.n_:
            matrix = matrix[self.good_]
        self._begin(*matrix.shape)
        method = "exact" if len(matrix) <= EXACT_UP_TO else "ivf"
        self.index_ = Neighbours(self.metric, method, recall=0.95).fit(matrix)
        self._quality: dict[str, Any] | None = None
        return self._spread(self._fit_finite(matrix))

    def fit(self, X: Any) -> Any:
        """:meth:`fit_transform` for its side effect; the positions are in ``embedding_``."""
        self.fit_transform(X)
        return self

    def transform(self, Y: Any) -> np.ndarray:
        """Positions (m, 2) float32 of new rows ``Y`` (m, d) in the fitted layout, which does not move."""
        if not hasattr(self, "embedding_"):
            raise RuntimeError(f"this {type(self).__name__} has no layout yet: call fit_transform(X) first")
        matrix = as_matrix(Y, "Y")
        if matrix.shape[1] != self.dim_:
            raise ValueError(f"Y has rows of {matrix.shape[1]} numbers, the layout was fitted on rows of {self.dim_}")
        good = finite_rows(matrix)
        out = np.full((len(matrix), 2), np.nan, np.float32)
        if good.any() and len(self.good_):
            out[good] = self._place(matrix[good])
        return out

    @property
    def quality_(self) -> dict[str, Any]:
        """Trustworthiness and neighbour recall at 15 on at most 10,000 rows (:func:`_quality.layout_quality`)."""
        if not hasattr(self, "embedding_"):
            raise RuntimeError(f"this {type(self).__name__} has no layout yet: call fit_transform(X) first")
        if self._quality is None:
            rows = self.index_.rows_
            self._quality = _quality.layout_quality(self.index_.space_, rows, self.embedding_[self.good_])
        return self._quality

    def _spread(self, positions: np.ndarray) -> np.ndarray:
        self._quality = None
        self.embedding_ = np.full((self.n_, 2), np.nan, np.float32)
        self.embedding_[self.good_] = positions
        return self.embedding_

    def _by_neighbours(self, matrix: np.ndarray, k: int = 5) -> np.ndarray:
        """Positions of new rows as the mean of their neighbours', the nearer the heavier."""
        distance, rows = self.index_.query(matrix, min(k, len(self.good_)))
        weight = 1.0 / np.maximum(distance, 1e-12)
        weight /= weight.sum(axis=1, keepdims=True)
        return (weight[:, :, None] * self.embedding_[self.good_][rows]).sum(axis=1)

    def _check(self) -> None:
        """Refuse parameters that cannot be."""

    def _begin(self, n: int, dim: int) -> None:
        """Called with the shape of the finite rows before their neighbours are prepared."""

    def _fit_finite(self, matrix: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def _place(self, matrix: np.ndarray) -> np.ndarray:
        raise NotImplementedError
