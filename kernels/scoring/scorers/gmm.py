"""Negative log-likelihood under a mixture of Gaussians: outside every common kind is rare (P0.8)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.scoring import _coordinates
from kernels.scoring._rows import as_rows, finite, fitting_rows, fold_of, like, spread

LEAST = 4


class GMM:
    """Negative log-likelihood (nats) under a Gaussian mixture in the leading principal components.

    The baseline of P0.8: at most 10 components on at most 32 principal components of the standardised rows.

    Parameters
    ----------
    components : Gaussians with full covariance; fewer where there are fewer than ten rows for each.
    pca : principal components at most; ``None`` for none.
    folds : parts of the cross-fit in ``fit_score``: each is scored by a mixture fitted on the others.
    ridge : added to the diagonal of every covariance, in units of the variance of a column.
    device : ``"cuda"`` fits and scores there with torch; ``None`` is the CPU, with scikit-learn.
    random_state : seed of the first means and of the folds.

    Attributes
    ----------
    coordinates_ : the scaling and PCA that the likelihood refers to.
    n_non_finite_ : finite rows among those scored last whose score is not finite.
    """

    name = "gmm"

    def __init__(
        self,
        components: int = 10,
        pca: int | None = 32,
        folds: int = 3,
        ridge: float = 1e-4,
        device: str | None = None,
        random_state: int | None = None,
    ):
        self.components, self.pca, self.folds, self.ridge = components, pca, folds, ridge
        self.device, self.random_state = device, random_state

    def fit(self, X: Any) -> GMM:
        """Fit the mixture on the finite rows of ``X`` (n, d); returns self."""
        rows, _ = fitting_rows(X, self.name, LEAST)
        self._fit(rows)
        return self

    def anomaly_score(self, Y: Any) -> Any:
        """(m,) float64 negative log-likelihood of new rows ``Y`` (m, d), NaN for a row with a NaN.

        Higher is more anomalous.
        """
        if not hasattr(self, "mixture_"):
            raise RuntimeError("this GMM holds no mixture yet: call fit(X) first")
        rows = as_rows(Y, self.name, self.n_features_in_)
        good = finite(rows)
        scores = self._score(rows[good])
        self.n_non_finite_ = int(np.count_nonzero(~np.isfinite(scores)))
        return like(spread(scores, good), Y)

    def fit_score(self, X: Any) -> Any:
        """(n,) float64 score of the rows ``X`` (n, d), each part under a mixture fitted on the others.

        Afterwards the mixture of all rows is the fitted one.
        """
        rows, good = fitting_rows(X, self.name, LEAST)
        folds = min(self.folds, len(rows) // LEAST)
        scores = np.empty(len(rows))
        if folds > 1:
            fold = fold_of(len(rows), folds, self.random_state)
            for f in range(folds):
                self._fit(rows[fold != f])
                scores[fold == f] = self._score(rows[fold == f])
            middle = np.array([np.median(scores[fold == f]) for f in range(folds)])
            scores += (middle.mean() - middle)[fold]
        self._fit(rows)
        if folds <= 1:
            scores = self._score(rows)
        self.n_non_finite_ = int(np.count_nonzero(~np.isfinite(scores)))
        return like(spread(scores, good), X)

    def _fit(self, rows: np.ndarray) -> None:
        if self.components < 1 or self.folds < 1:
            raise ValueError(f"components={self.components} and folds={self.folds}: at least 1 of each")
        if self.pca is not None and self.pca < 1:
            raise ValueError(f"pca={self.pca}: None or at least 1")
        self.n_features_in_ = rows.shape[1]
        self.coordinates_ = _coordinates.fit(rows, self.pca)
        points = self.coordinates_.apply(rows)
        self.components_ = max(1, min(self.components, len(rows) // 10))
        if self.device is not None and str(self.device) != "cpu":
            from kernels.scoring._mixture import TorchMixture

            self.mixture_: Any = TorchMixture(self.components_, self.ridge, self.device, self.random_state).fit(points)
            return
        import warnings

        from sklearn.exceptions import ConvergenceWarning
        from sklearn.mixture import GaussianMixture

        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # rows fewer than kinds; the score stands all the same
            self.mixture_ = GaussianMixture(
                self.components_, reg_covar=self.ridge, max_iter=200, random_state=self.random_state
            ).fit(points)

    def _score(self, rows: np.ndarray) -> np.ndarray:
        return -np.asarray(self.mixture_.score_samples(self.coordinates_.apply(rows))) if len(rows) else np.empty(0)
