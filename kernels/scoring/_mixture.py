"""A Gaussian mixture by expectation and maximisation in torch, for a GPU."""

from __future__ import annotations

import math

import numpy as np
import torch

CHUNK = 1 << 16


class TorchMixture:
    """Mixture of ``components`` Gaussians with full covariance, fitted in float64.

    The first means come from scikit-learn's k-means on at most 20,000 rows; the rest is the usual iteration
    (Dempster, Laird & Rubin 1977) until the mean log-likelihood gains less than ``tol``.
    """

    def __init__(
        self,
        components: int,
        ridge: float = 1e-4,
        device: str = "cpu",
        random_state: int | None = None,
        tol: float = 1e-3,
        max_iter: int = 200,
    ):
        self.components, self.ridge, self.device, self.random_state = components, ridge, device, random_state
        self.tol, self.max_iter = tol, max_iter

    def fit(self, points: np.ndarray) -> TorchMixture:
        """Fit on finite ``points`` (n, d)."""
        from sklearn.cluster import KMeans

        rng = np.random.default_rng(self.random_state)
        some = points if len(points) <= 20_000 else points[rng.choice(len(points), 20_000, replace=False)]
        centres = KMeans(self.components, n_init=1, random_state=self.random_state).fit(some).cluster_centers_
        x = torch.from_numpy(points).to(self.device, torch.float64)
        means = torch.from_numpy(centres).to(x)
        nearest = torch.cat([torch.cdist(part, means).argmin(dim=1) for part in x.split(CHUNK)])
        self._maximise(x, torch.nn.functional.one_hot(nearest, self.components).double())
        before = -math.inf
        for _ in range(self.max_iter):
            joint = self._joint(x)
            total = joint.logsumexp(dim=1)
            now = float(total.mean())
            self._maximise(x, (joint - total[:, None]).exp())
            if abs(now - before) < self.tol:
                break
            before = now
        return self

    def score_samples(self, points: np.ndarray) -> np.ndarray:
        """(n,) float64 log-likelihood of ``points`` (n, d)."""
        x = torch.from_numpy(points).to(self.means)
        return self._joint(x).logsumexp(dim=1).cpu().numpy()

    def _maximise(self, x: torch.Tensor, share: torch.Tensor) -> None:
        """Weights, means and covariances from responsibilities ``share`` (n, components)."""
        count = share.sum(dim=0) + 10 * torch.finfo(x.dtype).eps
        self.log_weights = (count / count.sum()).log()
        self.means = share.T @ x / count[:, None]
        eye = torch.eye(x.shape[1], dtype=x.dtype, device=x.device)
        covariances = []
        for k in range(self.components):
            away = x - self.means[k]
            covariances.append((away * share[:, k, None]).T @ away / count[k] + self.ridge * eye)
        self.cholesky = torch.linalg.cholesky(torch.stack(covariances))

    def _joint(self, x: torch.Tensor) -> torch.Tensor:
        """(n, components) log of weight times density."""
        d = x.shape[1]
        found = []
        for k in range(self.components):
            low = self.cholesky[k]
            away = torch.linalg.solve_triangular(low, (x - self.means[k]).T, upper=False)
            log_volume = low.diagonal().log().sum()
            found.append(self.log_weights[k] - 0.5 * ((away**2).sum(dim=0) + d * math.log(2 * math.pi)) - log_volume)
        return torch.stack(found, dim=1)
