"""UMAP on the neighbour engine: fast from the first call, and the same result at any number of threads.

McInnes, Healy & Melville (2018), https://arxiv.org/abs/1802.03426, laid out by gathering (see
:mod:`kernels.layout._umap_kernels`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from kernels._parallel import in_threads
from kernels.layout import _umap_graph
from kernels.search import Neighbours
from kernels.search._rows import as_matrix, finite_rows


class UMAP:
    """A layout in two dimensions that keeps neighbours together.

    Parameters
    ----------
    n_neighbors : neighbours that shape the graph, the row itself counted.
    min_dist : how close points may lie.
    metric : ``"cosine"`` or ``"euclidean"``.
    random_state : seed; None is the seed 0, so that a layout can always be made again.
    n_epochs : passes over the graph; None is 500 up to 10,000 rows and 200 beyond.
    init : ``"pca"``, ``"spectral"`` or an array (n, 2).
    progress : called with the share of epochs done; where it returns False the layout stops there and
        :meth:`resume` continues it.

    Rows that hold NaN or infinity are laid out at NaN.
    """

    def __init__(
        self,
        n_neighbors: int = 15,
        min_dist: float = 0.1,
        metric: str = "cosine",
        random_state: int | None = None,
        n_epochs: int | None = None,
        progress: Callable[[float], object] | None = None,
        *,
        init: str | np.ndarray = "pca",
    ):
        self.n_neighbors, self.min_dist, self.metric = n_neighbors, min_dist, metric
        self.random_state, self.n_epochs, self.progress, self.init = random_state, n_epochs, progress, init

    def fit_transform(self, X: Any) -> np.ndarray:
        """Positions (n, 2) float32 of the rows of ``X`` (n, d)."""
        matrix = as_matrix(X)
        if self.n_neighbors < 2:
            raise ValueError(f"n_neighbors={self.n_neighbors}: a graph needs the row and one neighbour at least (2)")
        self.seed_ = 0 if self.random_state is None else int(self.random_state)
        self.n_ = len(matrix)
        self.good_ = np.flatnonzero(finite_rows(matrix))
        self.index_ = Neighbours(self.metric).fit(matrix[self.good_] if len(self.good_) < self.n_ else matrix)
        k = min(self.n_neighbors - 1, max(len(self.good_) - 1, 1))
        distances, rows = self.index_.self_join(k) if len(self.good_) else (np.empty((0, k)), np.empty((0, k), int))
        self.graph_ = _umap_graph.union(distances, rows, min(self.n_neighbors, k + 1))
        self.epochs_ = self.n_epochs if self.n_epochs is not None else (500 if len(self.good_) <= 10_000 else 200)
        self.positions_ = self._start()
        self.epoch_ = 0
        return self.resume()

    def fit(self, X: Any) -> UMAP:
        """:meth:`fit_transform` for its side effect; the positions are in ``embedding_``."""
        self.fit_transform(X)
        return self

    def resume(self, epochs: int | None = None) -> np.ndarray:
        """Continue a layout that was stopped, by ``epochs`` or to its end; the same as if it had never stopped."""
        goal = self.epochs_ if epochs is None else min(self.epochs_, self.epoch_ + epochs)
        self.positions_, self.epoch_ = self._run(
            self.positions_, None, self.graph_, self.epoch_, goal, self.epochs_, pull=2, rate=1.0
        )
        self.embedding_ = np.full((self.n_, 2), np.nan, np.float32)
        self.embedding_[self.good_] = self.positions_
        return self.embedding_

    def transform(self, Y: Any) -> np.ndarray:
        """Positions (m, 2) float32 of new rows ``Y`` (m, d) in the fitted layout, which does not move."""
        if not hasattr(self, "positions_"):
            raise RuntimeError("this UMAP has no layout yet: call fit_transform(X) first")
        matrix = as_matrix(Y, "Y")
        k = min(self.n_neighbors, len(self.good_))
        distances, rows = self.index_.query(matrix, max(k, 1))
        out = np.full((len(matrix), 2), np.nan, np.float32)
        good = rows[:, 0] >= 0
        if not good.any():
            return out
        graph = _umap_graph.bipartite(distances[good], rows[good], self.n_neighbors, len(self.positions_))
        start = np.asarray(graph.multiply(1.0 / graph.sum(axis=1)) @ self.positions_, np.float32)
        epochs = 100 if len(start) <= 10_000 else 30
        out[good], _ = self._run(start, self.positions_, graph, 0, epochs, epochs, pull=1, rate=0.25)
        return out

    def _start(self) -> np.ndarray:
        if not isinstance(self.init, str):
            given = np.asarray(self.init, np.float32)
            if given.shape != (self.n_, 2):
                raise ValueError(f"init has shape {given.shape}; expected ({self.n_}, 2)")
            return given[self.good_]
        if self.init not in ("pca", "spectral"):
            raise ValueError(f"init={self.init!r} is unknown: choose 'pca', 'spectral' or give an array (n, 2)")
        start = _umap_graph.spectral_start(self.graph_, self.seed_) if self.init == "spectral" else None
        return _umap_graph.principal_start(self.index_.rows_.a, self.seed_) if start is None else start

    def _run(
        self,
        start: np.ndarray,
        tail: np.ndarray | None,
        graph: Any,
        epoch: int,
        goal: int,
        epochs: int,
        pull: int,
        rate: float,
    ) -> tuple[np.ndarray, int]:
        """Epochs ``epoch``..``goal`` of ``epochs``; ``tail`` None means that the points attract one another."""
        from kernels.layout import _umap_kernels

        used = _umap_graph.rates(graph, epochs)
        a, b = _umap_graph.curve(self.min_dist)
        old, new = start.copy(), np.empty_like(start)
        n = len(old)
        edges = (used.indptr.astype(np.int64), used.indices.astype(np.int32), used.data)
        parts = [(s * n // 8, (s + 1) * n // 8) for s in range(8)] if n > 512 else [(0, n)]
        while epoch < goal:
            alpha = rate * (1.0 - epoch / epochs)
            given = (old, new, old if tail is None else tail, *edges, epoch + 1, alpha, a, b, pull)
            in_threads(partial(_umap_kernels.epoch, *part, *given, self.seed_, 1.0) for part in parts)
            old, new = new, old
            epoch += 1
            if self.progress is not None and self.progress(epoch / epochs) is False:
                break
        return old, epoch
