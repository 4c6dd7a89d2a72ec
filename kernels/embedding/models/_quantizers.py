"""Quantisers of AION's tokenizers: latent channels, or plain numbers, to integer codes and back.

Buffers have the names of the published state dicts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class FiniteScalar(nn.Module):
    """Each of a few channels is bounded and rounded to one of its levels (Mentzer et al. 2023, arXiv 2309.15505)."""

    def __init__(self, levels: Sequence[int], eps: float = 1e-3):
        super().__init__()
        self.eps = eps
        self.register_buffer("levels", torch.tensor(list(levels), dtype=torch.int32))
        self._basis = [math.prod(levels[:i]) for i in range(len(levels))]

    def _axis(self, values: Tensor, like: Tensor) -> Tensor:
        return values.reshape(-1, *[1] * (like.ndim - 2))

    def round(self, z: Tensor) -> Tensor:
        """(b, c, …) to the nearest levels in -1 … 1; gradients pass as if it did not round."""
        levels = self._axis(self.levels, z)  # type: ignore[arg-type]
        half = (levels - 1) * (1 + self.eps) / 2
        offset = torch.where(levels % 2 == 1, 0.0, 0.5)
        bounded = torch.tanh(z + torch.atanh(offset / half)) * half - offset
        return (bounded + (bounded.round() - bounded).detach()) / (levels // 2)

    def ids(self, z: Tensor) -> Tensor:
        """(b, c, n) to (b, n) int64 codes."""
        half = self._axis(self.levels // 2, z)  # type: ignore[operator]
        digits = (self.round(z) * half + half).round().long()
        return (digits * self._axis(torch.tensor(self._basis, device=z.device), z)).sum(dim=1)

    def values(self, ids: Tensor) -> Tensor:
        """(b, n) codes to (b, c, n) levels in -1 … 1."""
        basis = torch.tensor(self._basis, device=ids.device)[:, None]
        levels = self.levels[:, None]  # type: ignore[index]
        digits = ids[:, None] // basis % levels
        return (digits - levels // 2) / (levels // 2)


class Bits(nn.Module):
    """Signs of the channels are the bits of a code, the first being the highest (arXiv 2310.05737)."""

    def __init__(self, bits: int):
        super().__init__()
        self.register_buffer("mask", 2 ** torch.arange(bits - 1, -1, -1))

    def ids(self, z: Tensor) -> Tensor:
        return ((z > 0) * self.mask[:, None]).sum(dim=1)  # type: ignore[index]

    def values(self, ids: Tensor) -> Tensor:
        return ((ids[:, None] & self.mask[:, None]) != 0).float() * 2 - 1  # type: ignore[index]


class Bins(nn.Module):
    """Numbers to the next of equally spaced values."""

    def __init__(self, codes: int, ends: Sequence[float]):
        super().__init__()
        self.register_buffer("buckets", torch.linspace(ends[0], ends[1], codes))

    def ids(self, z: Tensor) -> Tensor:
        return torch.bucketize(z, self.buckets).clamp(0, len(self.buckets) - 1)  # type: ignore[arg-type]

    def values(self, ids: Tensor) -> Tensor:
        return self.buckets[ids]  # type: ignore[index, return-value]


class Quantiles(nn.Module):
    """Numbers to the next of a sample's quantiles. ``reservoir`` is the size of the sample a checkpoint carries."""

    def __init__(self, codes: int, reservoir: int = 0):
        super().__init__()
        self.register_buffer("_reservoir", torch.zeros(reservoir) if reservoir else None)
        self._index_to_val: Tensor
        self.register_buffer("_index_to_val", torch.zeros(codes))

    def fit(self, values: Tensor) -> None:
        self._index_to_val = torch.quantile(values.float(), torch.linspace(0, 1, len(self._index_to_val)))

    def ids(self, z: Tensor) -> Tensor:
        return torch.bucketize(z, self._index_to_val[:-1])

    def values(self, ids: Tensor) -> Tensor:
        return self._index_to_val[ids]


class Grid(nn.Module):
    """The latent wavelengths, under the names of the published state."""

    def __init__(self, start: float, step: float, pixels: int):
        super().__init__()
        self.register_buffer("lambda_min", torch.tensor(start))
        self.register_buffer("resolution", torch.tensor(step))
        self.register_buffer("length", torch.tensor(pixels))
        self.register_buffer("_wavelength", (torch.arange(pixels) * step + start)[None])
