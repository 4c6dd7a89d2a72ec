"""Scorers: vectors to anomaly scores, where higher is more anomalous. ``SCORERS.names()`` lists them.

``from kernels.scoring import MAF, KNN, GMM, IsolationForest, UnsupervisedForest`` imports what it names and no more.
"""

from __future__ import annotations

from typing import Any

from kernels.registry import Registry

SCORERS = Registry("scorer", "kernels.scoring.scorers", "astro_explorer.scorers")
_CLASSES = {
    "MAF": "maf",
    "KNN": "knn",
    "GMM": "gmm",
    "IsolationForest": "isolation-forest",
    "UnsupervisedForest": "unsupervised-forest",
}
__all__ = ["GMM", "KNN", "MAF", "SCORERS", "IsolationForest", "UnsupervisedForest"]


def __getattr__(name: str) -> Any:
    if name in _CLASSES:
        return SCORERS.get(_CLASSES[name])
    raise AttributeError(f"module 'kernels.scoring' has no attribute {name!r}")
