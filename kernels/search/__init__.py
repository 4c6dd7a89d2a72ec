"""Nearest neighbours: exact, approximate with a measured recall, and on disk."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.search.disk import DiskNeighbours
    from kernels.search.duplicates import distinct, near_duplicates
    from kernels.search.neighbours import Neighbours

__all__ = ["DiskNeighbours", "Neighbours", "distinct", "near_duplicates"]

_WHERE = {
    "DiskNeighbours": "kernels.search.disk",
    "Neighbours": "kernels.search.neighbours",
    "distinct": "kernels.search.duplicates",
    "near_duplicates": "kernels.search.duplicates",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
