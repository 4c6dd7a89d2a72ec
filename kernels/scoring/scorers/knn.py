"""Distance to the nearest neighbours: far from everything is rare (P0.8)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from kernels.scoring._rows import as_rows, finite, fitting_rows, like, spread


class KNN:
    """Mean (or largest) distance to the ``k`` nearest neighbours.

    Ramaswamy, Rastogi & Shim 2000 (the k-th distance); Angiulli & Pizzuti 2002 (their mean). The defaults are the
    baseline of P0.8.

    Parameters
    ----------
    k : neighbours asked for; fewer where fewer rows were fitted.
    metric : ``"cosine"`` (1 - cos; a row of zeros is at distance 1 of everything) or ``"euclidean"``.
    aggregate : ``"mean"`` of the k distances, or ``"max"``: the distance to the k-th.
    device : kept for the contract of a scorer; the neighbour engine runs on the CPU.
    random_state : kept for the contract of a scorer; the answer does not depend on it.
    """

    name = "knn"

    def __init__(
        self,
        k: int = 10,
        metric: Literal["cosine", "euclidean"] = "cosine",
        aggregate: Literal["mean", "max"] = "mean",
        device: str | None = None,
        random_state: int | None = None,
    ):
        self.k, self.metric, self.aggregate = k, metric, aggregate
        self.device, self.random_state = device, random_state

    def fit(self, X: Any) -> KNN:
        """Keep the finite rows of ``X`` (n, d); returns self."""
        self._fit(X)
        return self

    def _fit(self, X: Any) -> np.ndarray:
        """Fit, and (n,) bool where the rows of ``X`` are finite."""
        from kernels.search import Neighbours

        if self.aggregate not in ("mean", "max"):
            raise ValueError(f"aggregate is 'mean' or 'max', not {self.aggregate!r}")
        if self.metric not in ("cosine", "euclidean"):
            raise ValueError(f"metric is 'cosine' or 'euclidean', not {self.metric!r}")
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")
        rows, good = fitting_rows(X, self.name, 2)
        self.n_features_in_, self.n_rows_ = rows.shape[1], len(rows)
        self.neighbours_ = Neighbours(metric=self.metric, method="exact").fit(rows)
        return good

    def anomaly_score(self, Y: Any) -> Any:
        """(m,) float64 score of new rows ``Y`` (m, d); higher is more anomalous, NaN for a row with a NaN."""
        if not hasattr(self, "neighbours_"):
            raise RuntimeError("this KNN holds no rows yet: call fit(X) first")
        rows = as_rows(Y, self.name, self.n_features_in_)
        good = finite(rows)
        distances, _ = self.neighbours_.query(rows[good], min(self.k, self.n_rows_))
        return like(spread(self._aggregated(distances), good), Y)

    def fit_score(self, X: Any) -> Any:
        """(n,) float64 score of the rows ``X`` (n, d) among themselves, each row left out of its own neighbours."""
        good = self._fit(X)
        distances, _ = self.neighbours_.self_join(min(self.k, self.n_rows_ - 1))
        return like(spread(self._aggregated(distances), good), X)

    def _aggregated(self, distances: np.ndarray) -> np.ndarray:
        distances = np.asarray(distances, dtype=np.float64)
        return distances.mean(axis=1) if self.aggregate == "mean" else distances.max(axis=1)
