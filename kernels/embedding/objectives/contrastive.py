"""Contrastive learning: two views of one object are to be nearer than views of two (P0.4, P4.2)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def info_nce(a: Tensor, b: Tensor, temperature: float | Tensor = 0.07) -> Tensor:
    """Symmetric InfoNCE of two views ``a`` and ``b`` (n, d), row i of both being one object: a scalar.

    Rows are brought to unit length; with s_ij = a_i . b_j / temperature the loss is the mean of the cross-entropies of
    the rows and of the columns of s against the diagonal: ln n where all views are alike, 0 where each finds its own.

    van den Oord, Li & Vinyals 2018 (arXiv:1807.03748), symmetric as in Radford et al. 2021 (arXiv:2103.00020).
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"the two views are (n, d) of one shape, not {tuple(a.shape)} and {tuple(b.shape)}")
    similar = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T / temperature
    own = torch.arange(len(a), device=a.device)
    return (functional.cross_entropy(similar, own) + functional.cross_entropy(similar.T, own)) / 2


def found(a: Tensor, b: Tensor) -> Tensor:
    """Share of the rows of ``a`` whose nearest row of ``b`` by cosine is their own: a scalar in [0, 1]."""
    similar = functional.normalize(a, dim=1) @ functional.normalize(b, dim=1).T
    return (similar.argmax(dim=1) == torch.arange(len(a), device=a.device)).float().mean()
