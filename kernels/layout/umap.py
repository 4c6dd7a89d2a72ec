"""UMAP on the neighbour engine: fast from the first call, and the same result at any number of threads.

McInnes, Healy & Melville (2018), https://arxiv.org/abs/1802.03426, laid out by gathering (see
:mod:`kernels.layout._umap_kernels`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from importlib import import_module
from numbers import Integral

import numpy as np
from scipy import sparse

from kernels._parallel import in_threads, numba_lock
from kernels.layout import _umap_graph
from kernels.layout._base import Layout
from kernels.search import Neighbours, join
from kernels.search._products import half_pays
from kernels.search.nearby import FEWEST

BACKENDS = ("gather", "umap-learn")
STRETCHES = 8  # parts of the vertices, each one call on the pool
WORTH_A_THREAD = 2000  # rows from which there is work to do while kernels are compiled
REPULSION = 1.0


class UMAP(Layout):
    """A layout in two dimensions that keeps neighbours together.

    Parameters
    ----------
    n_neighbors : neighbours that shape the graph, the row itself counted.
    min_dist : how close points may lie.
    metric : ``"cosine"`` or ``"euclidean"``.
    random_state : seed; None is the seed 0, so that a layout can always be made again.
    n_epochs : passes over the graph; None is 500 up to 10,000 rows and 200 beyond.
    init : ``"pca"``, ``"spectral"`` (PCA where the graph falls apart) or an array (n, 2).
    progress : called with the share of epochs done; where it returns False the layout stops there and
        :meth:`resume` continues it.
    recall : share of the true neighbours that the graph must hold, measured on a sample; 1 is exact, and slower.
    backend : ``"gather"`` is ours; ``"umap-learn"`` the reference (half a minute of compilation, one thread).

    Attributes
    ----------
    embedding_ : (n, 2) float32, NaN for rows that hold NaN or infinity.
    graph_ : (m, m) fuzzy neighbourhoods of the finite rows.
    epoch_, epochs_ : epochs done, and epochs in all.
    quality_ : trustworthiness and neighbour recall on a sample, worked out when first asked for.
    """

    positions_: np.ndarray
    epoch_: int

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
        backend: str = "gather",
        recall: float = 0.95,
    ):
        self.n_neighbors, self.min_dist, self.metric = n_neighbors, min_dist, metric
        self.random_state, self.n_epochs, self.progress = random_state, n_epochs, progress
        self.init, self.backend, self.recall = init, backend, recall

    def resume(self, epochs: int | None = None) -> np.ndarray:
        """Continue a layout that was stopped, by ``epochs`` or to its end; the same as if it had never stopped."""
        if not hasattr(self, "positions_"):
            raise RuntimeError("there is no layout to continue: call fit_transform(X) first")
        goal = self.epochs_ if epochs is None else min(self.epochs_, self.epoch_ + epochs)
        self.positions_, self.epoch_ = self._run(
            self.positions_, None, self.graph_, self.epoch_, goal, self.epochs_, pull=2, rate=1.0
        )
        return self._spread(self.positions_)

    def _check(self) -> None:
        if not (isinstance(self.n_neighbors, Integral) and self.n_neighbors >= 2):
            raise ValueError(f"n_neighbors={self.n_neighbors!r}: a graph needs the row and one neighbour at least (2)")
        if self.n_epochs is not None and not (isinstance(self.n_epochs, Integral) and self.n_epochs >= 0):
            raise ValueError(f"n_epochs={self.n_epochs!r}: give a whole number of passes, 0 or more, or None")
        if not 0 <= self.min_dist <= 1:
            raise ValueError(f"min_dist={self.min_dist!r}: give a distance from 0 to 1, the scale of the layout")
        if not 0 < self.recall <= 1:
            raise ValueError(f"recall={self.recall!r}: give a share of the true neighbours above 0 and up to 1")
        if self.metric not in ("cosine", "euclidean"):
            raise ValueError(f"metric={self.metric!r}: a layout takes 'cosine' or 'euclidean'")
        if self.backend not in BACKENDS:
            raise ValueError(f"backend={self.backend!r} is unknown: choose one of {', '.join(BACKENDS)}")
        if isinstance(self.init, str) and self.init not in ("pca", "spectral"):
            raise ValueError(f"init={self.init!r} is unknown: choose 'pca', 'spectral' or give an array (n, 2)")

    def _begin(self, n: int, dim: int) -> None:
        """Compile while the rows are prepared and multiplied: a tiny layout in a thread of its own.

        Nothing waits for it but a kernel that is needed sooner; compiled code on the disk makes it a matter of
        milliseconds. An error in it comes up again where the kernel is called.
        """
        if self.backend == "gather" and n >= WORTH_A_THREAD:
            exact = self.recall >= 1 or n < FEWEST
            threading.Thread(target=_compile, args=(self.metric, n, dim, exact), name="compile").start()

    def _fit_finite(self, matrix: np.ndarray) -> np.ndarray:
        self.seed_ = 0 if self.random_state is None else int(self.random_state)
        n = len(matrix)
        if self.backend == "umap-learn":
            return self._reference(matrix)
        if n < 2:
            self.graph_ = sparse.csr_matrix((n, n), dtype=np.float32)
        else:
            k = min(self.n_neighbors - 1, n - 1)
            self.graph_ = _umap_graph.union(*self.index_.self_join(k, self.recall), k + 1)
        self.epochs_ = self.n_epochs if self.n_epochs is not None else (500 if n <= 10_000 else 200)
        self.epoch_ = 0
        self.positions_ = self._start()
        self.resume()
        return self.positions_

    def _reference(self, matrix: np.ndarray) -> np.ndarray:
        """umap-learn's own layout; it holds the lock, as its kernels start numba's threads."""
        with numba_lock:
            self.reducer_ = import_module("umap").UMAP(
                n_neighbors=self.n_neighbors, min_dist=self.min_dist, metric=self.metric, n_epochs=self.n_epochs,
                random_state=self.seed_, init="spectral" if isinstance(self.init, str) else self.init, n_jobs=1,
            )  # fmt: skip
            return self.reducer_.fit_transform(np.asarray(matrix, np.float32))

    def _place(self, matrix: np.ndarray) -> np.ndarray:
        if self.backend == "umap-learn":
            with numba_lock:
                return self.reducer_.transform(np.asarray(matrix, np.float32))
        distances, rows = self.index_.query(matrix, min(self.n_neighbors, len(self.good_)))
        graph = _umap_graph.bipartite(distances, rows, self.n_neighbors, len(self.positions_))
        start = np.asarray(graph.multiply(1.0 / graph.sum(axis=1)) @ self.positions_, np.float32)
        epochs = 100 if len(start) <= 10_000 else 30
        return self._run(start, self.positions_, graph, 0, epochs, epochs, pull=1, rate=0.25)[0]

    def _start(self) -> np.ndarray:
        if not isinstance(self.init, str):
            given = np.asarray(self.init, np.float32)
            if given.shape != (self.n_, 2):
                raise ValueError(f"init has shape {given.shape}; expected ({self.n_}, 2)")
            return given[self.good_]
        start = _umap_graph.spectral_start(self.graph_, self.seed_) if self.init == "spectral" else None
        return _umap_graph.principal_start(self.index_.rows_.a, self.seed_) if start is None else start

    def _run(
        self,
        start: np.ndarray,
        tail: np.ndarray | None,
        graph: sparse.csr_matrix,
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
        parts = [(s * n // STRETCHES, (s + 1) * n // STRETCHES) for s in range(STRETCHES)] if n > 512 else [(0, n)]
        while epoch < goal:
            alpha = rate * (1.0 - epoch / epochs)
            given = (old, new, old if tail is None else tail, *edges, epoch + 1, alpha, a, b, pull)
            in_threads(partial(_umap_kernels.epoch, *part, *given, self.seed_, REPULSION) for part in parts)
            old, new = new, old
            epoch += 1
            if self.progress is not None and self.progress(epoch / epochs) is False:
                break
        return old, epoch


def _compile(metric: str, n: int, dim: int, exact: bool) -> None:
    """Run each kernel of a layout of (n, dim) rows once on next to nothing."""
    tiny = Neighbours(metric, "exact").fit(np.random.default_rng(0).normal(size=(200, 4)))
    found = join.self_join(tiny.space_, tiny.rows_, 3, memory=1, half=exact and half_pays(n, dim))
    small = UMAP(4, n_epochs=1, metric=metric)
    small.seed_ = 0
    start = np.zeros((200, 2), np.float32)
    small._run(start, None, _umap_graph.union(*found, 4), 0, 1, 1, pull=2, rate=1.0)
