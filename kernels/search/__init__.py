"""Nearest neighbours, exact, approximate with a measured recall and on disk; their votes; retrieval metrics."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kernels.search.disk import DiskNeighbours
    from kernels.search.duplicates import distinct, near_duplicates
    from kernels.search.knowledge_base import KnowledgeBase
    from kernels.search.learned import LearnedWeight
    from kernels.search.neighbours import Neighbours
    from kernels.search.votes import Votes, vote

__all__ = [
    "DiskNeighbours", "KnowledgeBase", "LearnedWeight", "Neighbours", "Votes", "distinct", "near_duplicates", "vote",
]  # fmt: skip

_WHERE = {
    "DiskNeighbours": "kernels.search.disk",
    "KnowledgeBase": "kernels.search.knowledge_base",
    "LearnedWeight": "kernels.search.learned",
    "Neighbours": "kernels.search.neighbours",
    "Votes": "kernels.search.votes",
    "distinct": "kernels.search.duplicates",
    "near_duplicates": "kernels.search.duplicates",
    "vote": "kernels.search.votes",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
