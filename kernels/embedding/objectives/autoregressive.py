"""Autoregressive learning: each state tells what comes next (P0.3)."""

from __future__ import annotations

import torch
from torch import Tensor


def next_patch(told: Tensor, patches: Tensor, weight: Tensor | None = None, delta: float = 1.0) -> Tensor:
    """Huber's loss between what states 0…n-2 of ``told`` (b, n, p) say and patches 1…n-1 of ``patches``: a scalar.

    State t must have seen patches 0…t alone (a causal transformer). ``weight`` (b, n, p), the inverse variance of each
    value or 0 without data, makes the error one in units of its noise, weighted alike; the sum is over the weights.
    """
    if told.shape != patches.shape:
        raise ValueError(f"{tuple(told.shape)} predictions for patches of {tuple(patches.shape)}")
    error = torch.nn.functional.huber_loss(told[:, :-1], patches[:, 1:], reduction="none", delta=delta)
    if weight is None:
        return error.mean()
    return (error * weight[:, 1:]).sum() / weight[:, 1:].sum().clamp(min=1e-6)
