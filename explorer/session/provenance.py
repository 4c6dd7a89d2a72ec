"""Where a list of objects comes from: enough to make it again."""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

from explorer.survey.files import now

if TYPE_CHECKING:
    from explorer.session.session import Session

_PACKAGES = ("astro-explorer", "astropy", "faiss-cpu", "numpy", "pylance", "scikit-learn", "torch", "umap-learn")


def versions() -> dict[str, str]:
    """Python and the packages that numbers depend on, with their versions; nothing is imported."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    if "astro-explorer" not in found:
        from explorer import __version__

        found["astro-explorer"] = __version__
    return found


def of_session(session: Session) -> dict[str, Any]:
    """The survey's version, card and steps, the selection's recipe and queries, who, when, with what."""
    survey, selection = session.survey, session.selection
    return {
        "survey": survey.name,
        "survey_version": survey.version,
        "survey_rows": len(survey),
        "card": survey.meta.get("card", {}),
        "steps": survey.meta.get("steps", []),
        "derived_scores": survey.recipes,
        "space": session.space,
        "layout": session.layout,
        "scorer": session.scorer,
        "selected": len(selection) if selection.active else len(survey),
        "recipe": selection.recipe,
        "queries": [step["query"] for step in selection.recipe if "query" in step],
        "marks_entry": session.log.last(),
        "user": session.user,
        "time": now(),
        "packages": versions(),
    }
