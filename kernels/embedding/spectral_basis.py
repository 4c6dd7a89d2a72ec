"""What tells a hidden stretch of a spectrum without a network: principal components, a line, a walk seen through noise.

Noisy, incomplete data: Tipping & Bishop 1999, J. R. Stat. Soc. B 61, 611; "gappy" components: Connolly and
Szalay 1999, AJ 117, 2052.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

EDGE = 24
"""Samples on either side of a gap whose mean the line across it starts from."""
STEP, REACH = 3e-3, 30.0
"""Variance a sample of the walk, in units of the median flux squared, and samples into a gap over which it gives way to
the line. Chosen on the SDSS epochs of one quasar (RM017); nothing else is measured on those."""
FLOOR = 0.1
"""Error beside the noise, in units of the median flux, below which no sample is trusted."""


class Basis(nn.Module):
    """Mean (m,), components (k, m) of unit length and their scatter (k,)."""

    mean: Tensor
    components: Tensor
    scatter: Tensor

    def __init__(self, samples: int, k: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(samples))
        self.register_buffer("components", torch.zeros(k, samples))
        self.register_buffer("scatter", torch.ones(k))

    def fit(self, flux: np.ndarray, weight: np.ndarray, random_state: int = 0, rounds: int = 2) -> Basis:
        """Components of (n, m) spectra with weights (0 is a gap), the better 60 % by noise; returns self.

        Gaps begin at the mean and are filled by the components in turn.
        """
        from sklearn.utils.extmath import randomized_svd

        flux, weight = flux.astype(np.float32), weight.astype(np.float32)
        mean = (flux * weight).sum(axis=0) / np.maximum(weight.sum(axis=0), 1e-9)
        quality = np.median(weight, axis=1)
        kept = quality >= np.quantile(quality, 0.4)
        good, away = weight[kept] > 0, flux[kept] - mean
        filled = np.where(good, away, 0.0)
        for _ in range(rounds):
            _, singular, rows = randomized_svd(filled, len(self.components), n_iter=1, random_state=random_state)
            filled = np.where(good, away, (filled @ rows.T) @ rows)
        self.mean.copy_(torch.from_numpy(mean))
        self.components.copy_(torch.from_numpy(rows))
        self.scatter.copy_(torch.from_numpy(singular / np.sqrt(len(filled))))
        return self


def trust(ivar: Tensor) -> Tensor:
    """Weight of each sample: the inverse of its variance and :data:`FLOOR` squared, 0 where it has no data."""
    return torch.where(ivar > 0, 1 / (1 / ivar.clamp(min=1e-12) + FLOOR**2), torch.zeros_like(ivar))


def most_probable(basis: Basis, flux: Tensor, ivar: Tensor) -> Tensor:
    """(b, m): the most probable sum of components for (b, m) spectra whose samples of ``ivar`` 0 are not looked at."""
    weight = trust(ivar)
    rows = basis.components
    prior = torch.diag(1 / basis.scatter.clamp(min=1e-6) ** 2)
    out = torch.empty_like(flux)
    for i in range(len(flux)):
        normal = (rows * weight[i]) @ rows.T + prior
        right = rows @ (weight[i] * (flux[i] - basis.mean))
        out[i] = basis.mean + torch.linalg.solve(normal.double(), right.double()).to(flux) @ rows
    return out


def line_across(flux: Tensor, weight: Tensor, visible: Tensor) -> Tensor:
    """(b, m): straight lines across all that is not ``visible``, between weighted means of 24 samples at each edge."""
    m = flux.shape[1]
    w = weight * visible
    at = torch.arange(m, device=flux.device).expand_as(flux)
    sums = [nn.functional.pad(torch.cumsum(x.double(), dim=1), (1, 0)) for x in (w, w * flux, w * at)]
    left = torch.where(visible, at, torch.full_like(at, -1)).cummax(dim=1).values
    right = m - 1 - torch.where(visible, m - 1 - at, torch.full_like(at, -1)).flip(1).cummax(dim=1).values.flip(1)

    def mean(first: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        low, high = first.clamp(0, m), last.clamp(0, m)
        whole, total, place = (s.gather(1, high) - s.gather(1, low) for s in sums)
        return total / whole.clamp(min=1e-12), place / whole.clamp(min=1e-12)

    a, from_ = mean(left + 1 - EDGE, left + 1)
    b, to = mean(right, right + EDGE)
    has_left, has_right = left >= 0, right <= m - 1
    share = ((at - from_) / (to - from_).clamp(min=1.0)).clamp(0, 1)
    share = torch.where(has_left & has_right, share, torch.where(has_left, 0.0, 1.0).to(share))
    line = torch.where(has_left, a, b) * (1 - share) + torch.where(has_right, b, a) * share
    return line.to(flux.dtype)


def walk_across(flux: Tensor, weight: Tensor, visible: Tensor, step: float = STEP) -> Tensor:
    """(b, m): mean of a random walk of variance ``step`` a sample, given samples of error ``weight ** -0.5``.

    The most probable walk solves a tridiagonal system, (weight + D'D / step) x = weight flux with D the difference of
    neighbours. What is not ``visible`` is not looked at; across a gap the walk is a straight line.
    """
    from scipy.linalg import solveh_banded

    known = (weight * visible).double().cpu().numpy()
    right = np.where(known > 0, known * flux.double().cpu().numpy(), 0.0)
    out = np.zeros_like(right)
    for row in np.flatnonzero((known > 0).any(axis=1)):
        stiff = np.full(known.shape[1], 2 / step)
        stiff[[0, -1]] = 1 / step
        bands = np.stack([np.full(known.shape[1], -1 / step), stiff + known[row] + 1e-9])
        out[row] = solveh_banded(bands, right[row])
    return torch.from_numpy(out).to(flux)


def interpolated(flux: Tensor, weight: Tensor, visible: Tensor, reach: float = REACH) -> Tensor:
    """(b, m): near the edges of a gap the walk, which knows the last samples; far from them the line, which is calmer.

    The walk counts by exp(-d / reach), d being the samples to the nearest one that is seen: what lies above the line at
    the edge is remembered over about ``reach`` samples.
    """
    line, walk = line_across(flux, weight, visible), walk_across(flux, weight, visible)
    m = flux.shape[1]
    at = torch.arange(m, device=flux.device).expand_as(flux)
    left = torch.where(visible, at, torch.full_like(at, -m)).cummax(dim=1).values
    right = torch.where(visible, at, torch.full_like(at, 2 * m)).flip(1).cummin(dim=1).values.flip(1)
    share = torch.exp(-torch.minimum(at - left, right - at).to(flux.dtype) / reach)
    return line + share * (walk - line)
