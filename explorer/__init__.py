"""Explore foundation-model embeddings of astronomical surveys and find what is rare in them.

>>> import explorer
>>> survey = explorer.open("simulated")        # doctest: +SKIP
>>> ex = explorer.Explorer(survey)             # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "2026.11.0"
__all__ = ["Explorer", "Survey", "ingest", "open", "prepare"]

if TYPE_CHECKING:
    from explorer.app import Explorer
    from explorer.pipeline.prepare import prepare
    from explorer.survey.ingest import ingest
    from explorer.survey.locate import open
    from explorer.survey.store import Survey

_WHERE = {
    "Explorer": "explorer.app",
    "Survey": "explorer.survey.store",
    "ingest": "explorer.survey.ingest",
    "open": "explorer.survey.locate",
    "prepare": "explorer.pipeline.prepare",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'explorer' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
