"""Scorers: vectors to anomaly scores, where higher is more anomalous. ``SCORERS.names()`` lists them."""

from __future__ import annotations

from typing import Any

from kernels.registry import Registry

SCORERS = Registry("scorer", "kernels.scoring.scorers", "astro_explorer.scorers")


def __getattr__(name: str) -> Any:
    if name == "KNN":
        return SCORERS.get("knn")
    raise AttributeError(f"module 'kernels.scoring' has no attribute {name!r}")
