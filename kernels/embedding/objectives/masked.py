"""Masked modelling: what is hidden is told from what is seen (P0.5, P1.2)."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_hidden(rows: int, tokens: int, hidden: int, device: torch.device | None = None) -> Tensor:
    """(rows, tokens) bool, True where hidden: exactly ``hidden`` tokens of each row, at random."""
    if not 0 <= hidden <= tokens:
        raise ValueError(f"{hidden} of {tokens} tokens cannot be hidden")
    order = torch.rand(rows, tokens, device=device).argsort(dim=1)
    return order.argsort(dim=1) < hidden


def visible(x: Tensor, hidden: Tensor) -> Tensor:
    """(b, n - h, d) tokens that are not hidden, in order; every row of ``hidden`` (b, n) hides as many."""
    return x[~hidden].reshape(len(x), -1, x.shape[-1])


def hidden_error(told: Tensor, target: Tensor, hidden: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean squared error over hidden values alone, by ``weight`` where given: a scalar; 0 where nothing is hidden.

    All are of one shape (b, …); ``hidden`` is bool.
    """
    w = hidden.to(told.dtype) if weight is None else weight * hidden
    return (w * (told - target) ** 2).sum() / w.sum().clamp(min=1e-6)
