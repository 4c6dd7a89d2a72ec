"""The first two principal components as a layout: linear, quick, and the same every time."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from kernels.layout._base import Layout
from kernels.search._rows import prepare_rows


class PCA(Layout):
    """Layout along the two directions of largest variance; of unit rows where ``metric`` is cosine.

    Attributes
    ----------
    components_ : (2, d) float64, each with its largest entry positive.
    explained_ : (2,) share of the variance along each.
    """

    def __init__(self, metric: str = "cosine", random_state: int | None = None):
        self.metric, self.random_state = metric, random_state

    def _fit_finite(self, matrix: np.ndarray) -> np.ndarray:
        a = self.index_.rows_.a
        self._mean = a.mean(axis=0, dtype=np.float64) if len(a) else np.zeros(self.dim_)
        self.components_, self.explained_ = principal_axes(a, self._mean)
        return self._project(a)

    def _place(self, matrix: np.ndarray) -> np.ndarray:
        return self._project(prepare_rows(matrix, self.index_.space_).a)

    def _project(self, a: np.ndarray) -> np.ndarray:
        return ((a - self._mean.astype(np.float32)) @ self.components_.T.astype(np.float32)) * self.index_.space_.scale


def principal_axes(a: np.ndarray, mean: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two principal directions (2, d) and their shares of the variance; zeros where there is no second."""
    dim = a.shape[1]
    covariance = np.zeros((dim, dim))
    for start in range(0, len(a), 8192):
        part = a[start : start + 8192] - mean.astype(np.float32)
        covariance += part.T @ part
    values, vectors = linalg.eigh(covariance, subset_by_index=(max(dim - 2, 0), dim - 1))
    axes, share = np.zeros((2, dim)), np.zeros(2)
    found = vectors.T[::-1]
    axes[: len(found)] = found * np.sign(np.take_along_axis(found, np.abs(found).argmax(axis=1)[:, None], 1))
    total = np.trace(covariance)
    share[: len(found)] = np.maximum(values[::-1], 0) / total if total > 0 else 0.0
    return axes, share
