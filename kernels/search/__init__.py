"""Nearest neighbours: exact, approximate with a measured recall, and on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.search.neighbours import Neighbours

__all__ = ["Neighbours"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from kernels.search import neighbours

        return getattr(neighbours, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
