"""What the comparisons with published packages share. `make parity` builds an environment that holds those packages."""

from __future__ import annotations

import importlib
from types import ModuleType

import pytest
import torch


def reference(name: str) -> ModuleType:
    """The published package's module, or a skip that says how to have it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} cannot be imported ({error}): run `make parity`, which installs it beside the project")


def shuffle(model: torch.nn.Module, seed: int = 0, spread: float = 0.05) -> None:
    """Random weights everywhere, so that what begins at zero or one takes part in the comparison."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * spread)


def farthest(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference, as a share of the larger tensor's largest value."""
    assert a.shape == b.shape, f"{tuple(a.shape)} and {tuple(b.shape)}"
    return float((a.double() - b.double()).abs().max() / b.double().abs().max().clamp(min=1e-12))
