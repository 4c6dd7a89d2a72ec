"""One exploration: selection, focus, history, marks, queries, provenance, export."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Polygon", "QueryError", "Selection", "Session"]

if TYPE_CHECKING:
    from explorer.session.query import QueryError
    from explorer.session.selection import Polygon, Selection
    from explorer.session.session import Session

_WHERE = {"Polygon": "selection", "QueryError": "query", "Selection": "selection", "Session": "session"}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'explorer.session' has no attribute {name!r}")
    return getattr(import_module(f"explorer.session.{_WHERE[name]}"), name)
