"""Distance to the nearest neighbours: far from everything is rare (P0.8)."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np


class KNN:
    """Mean (or largest) distance to the ``k`` nearest neighbours.

    Ramaswamy, Rastogi & Shim 2000 (the k-th distance); Angiulli & Pizzuti 2002 (their mean). The defaults are the
    baseline of P0.8.

    Parameters
    ----------
    k : neighbours asked for; fewer where fewer rows were fitted.
    metric : ``"cosine"`` (1 - cos) or ``"euclidean"``.
    aggregate : ``"mean"`` of the k distances, or ``"max"``: the distance to the k-th.
    device : where the products run, ``None`` for the CPU.
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
        """Keep the rows ``X`` (n, d); returns self."""
        from kernels.search import Neighbours

        if self.aggregate not in ("mean", "max"):
            raise ValueError(f"aggregate is 'mean' or 'max', not {self.aggregate!r}")
        if self.k < 1:
            raise ValueError(f"k must be at least 1, not {self.k}")
        rows = _rows(X)
        if len(rows) < 2:
            raise ValueError(f"knn needs at least 2 rows to compare, and is given {len(rows)}")
        self.n_features_in_ = rows.shape[1]
        self.neighbours_ = Neighbours(metric=self.metric, method="exact").fit(rows)
        self.n_rows_ = len(rows)
        return self

    def anomaly_score(self, Y: Any) -> Any:
        """(m,) float64 score of new rows ``Y`` (m, d); higher is more anomalous, infinite for a row with a NaN."""
        rows = _rows(Y)
        if rows.shape[1] != self.n_features_in_:
            raise ValueError(f"knn was fitted on {self.n_features_in_} columns and is given {rows.shape[1]}")
        distances, _ = self.neighbours_.query(rows, min(self.k, self.n_rows_))
        return _like(self._aggregated(distances), Y)

    def fit_score(self, X: Any) -> Any:
        """(n,) float64 score of the rows ``X`` (n, d) among themselves, each row left out of its own neighbours."""
        self.fit(X)
        distances, _ = self.neighbours_.self_join(min(self.k, self.n_rows_ - 1))
        return _like(self._aggregated(distances), X)

    def _aggregated(self, distances: np.ndarray) -> np.ndarray:
        distances = np.asarray(distances, dtype=np.float64)
        distances = np.where(np.isnan(distances), np.inf, distances)
        return distances.mean(axis=1) if self.aggregate == "mean" else distances.max(axis=1)


def _rows(X: Any) -> np.ndarray:
    if hasattr(X, "detach"):
        X = X.detach().cpu().numpy()
    rows = np.asarray(X, dtype=np.float32)
    if rows.ndim != 2:
        raise ValueError(f"a scorer takes (n, d) rows, not shape {rows.shape}")
    return rows


def _like(scores: np.ndarray, X: Any) -> Any:
    """Scores as a torch tensor where rows came as one."""
    if hasattr(X, "detach"):
        import torch

        return torch.from_numpy(scores).to(X.device)
    return scores
