"""Nearest neighbours, exact, approximate with a measured recall and on disk; their votes; retrieval metrics; tools."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kernels.registry import Registry

if TYPE_CHECKING:
    from kernels.search.disk import DiskNeighbours
    from kernels.search.duplicates import distinct, near_duplicates
    from kernels.search.knowledge_base import KnowledgeBase
    from kernels.search.learned import LearnedWeight
    from kernels.search.neighbours import Neighbours
    from kernels.search.votes import Votes, vote

__all__ = [
    "TOOLS", "DiskNeighbours", "KnowledgeBase", "LearnedWeight", "Neighbours", "Votes", "distinct", "near_duplicates",
    "vote",
]  # fmt: skip

TOOLS = Registry("tool", "kernels.search.tools", "astro_explorer.tools")
"""Tools that re-rank candidates by what they measure on them (P4.6); their contract is in ``evidence.py``."""

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
