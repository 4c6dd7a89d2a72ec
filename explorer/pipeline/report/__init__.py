"""The study of paper P0 on a survey, as a folder of tables, figures and one page."""

from __future__ import annotations

from typing import Any

__all__ = ["report"]


def __getattr__(name: str) -> Any:
    if name != "report":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from explorer.pipeline.report.run import report

    return report
