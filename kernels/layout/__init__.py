"""Projections to two dimensions, the point map that draws and selects them, stretches of pixels."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["PCA", "TSNE", "UMAP", "PointMap", "stretch"]

if TYPE_CHECKING:
    from kernels.layout import stretch
    from kernels.layout.pca import PCA
    from kernels.layout.pointmap import PointMap
    from kernels.layout.tsne import TSNE
    from kernels.layout.umap import UMAP

_WHERE = {
    "PCA": "kernels.layout.pca",
    "PointMap": "kernels.layout.pointmap",
    "TSNE": "kernels.layout.tsne",
    "UMAP": "kernels.layout.umap",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name == "stretch":  # the module: `from kernels.layout.stretch import stretch` is the function
        return import_module("kernels.layout.stretch")
    raise AttributeError(f"module 'kernels.layout' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
