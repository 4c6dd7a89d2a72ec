"""t-SNE as a layout, by scikit-learn (Barnes-Hut), on the distances of the neighbour engine's metric."""

from __future__ import annotations

from numbers import Integral

import numpy as np

from kernels._parallel import numba_lock
from kernels.layout._base import Layout
from kernels.layout.pca import principal_axes

COMPONENTS = 50  # directions kept before t-SNE, as van der Maaten & Hinton (2008) do with 30


class TSNE(Layout):
    """Layout by t-distributed neighbours (van der Maaten 2014); slow above some 20,000 rows.

    Parameters
    ----------
    perplexity : effective neighbours of a row; less where there are few rows.
    metric : ``"cosine"`` (Euclidean on unit rows) or ``"euclidean"``.
    random_state : seed; None is 0.
    n_epochs : iterations of the gradient, 250 at least.

    New rows are placed at the mean of their neighbours' positions, the nearer the heavier.
    """

    def __init__(
        self,
        perplexity: float = 30.0,
        metric: str = "cosine",
        random_state: int | None = None,
        n_epochs: int = 1000,
    ):
        self.perplexity, self.metric, self.random_state, self.n_epochs = perplexity, metric, random_state, n_epochs

    def _check(self) -> None:
        if not self.perplexity > 0:
            raise ValueError(f"perplexity={self.perplexity!r}: give a number of neighbours above 0")
        if not (isinstance(self.n_epochs, Integral) and self.n_epochs >= 250):
            raise ValueError(f"n_epochs={self.n_epochs!r}: give a whole number of iterations, 250 or more")

    def _fit_finite(self, matrix: np.ndarray) -> np.ndarray:
        from sklearn.decomposition import PCA as Components
        from sklearn.manifold import TSNE as Reference

        a = self.index_.rows_.a
        n, dim = a.shape
        if n < 4:
            return np.zeros((n, 2), np.float32)
        axes = principal_axes(a, a.mean(axis=0, dtype=np.float64))[0]
        start = a @ axes.T.astype(np.float32)
        spread = start[:, 0].std()
        start = start / spread * 1e-4 if spread > 0 else np.random.default_rng(0).normal(0, 1e-4, (n, 2))
        seed = 0 if self.random_state is None else int(self.random_state)
        if dim > COMPONENTS and n > COMPONENTS:
            a = Components(COMPONENTS, svd_solver="covariance_eigh").fit_transform(a)
        with numba_lock:
            return Reference(
                perplexity=min(self.perplexity, (n - 1) / 3),
                init=start.astype(np.float32),
                random_state=seed,
                max_iter=self.n_epochs,
                n_jobs=-1,
            ).fit_transform(a)

    def _place(self, matrix: np.ndarray) -> np.ndarray:
        return self._by_neighbours(matrix)
