"""An exploration as a small dictionary that JSON can carry, and an exploration of a survey that goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import derived, recipe
from explorer.session._names import follow
from explorer.session.selection import Selection

if TYPE_CHECKING:
    from explorer.session.session import Session

FORMAT = 1
_NAMES = ("space", "layout", "scorer", "color_by", "stretch")


def state_of(session: Session) -> dict[str, Any]:
    """Names of what is shown, the id in focus, and the recipe of the selection."""
    survey = session.survey
    return {
        "format": FORMAT,
        "survey": survey.name,
        "survey_version": survey.version,
        **{name: getattr(session, name) for name in _NAMES},
        "focus": survey.ids_of([session.focus])[0] if session.focus >= 0 else None,
        "selection": session.selection.recipe,
        "derived_scores": survey.recipes,
    }


def restore(session: Session, state: dict[str, Any]) -> None:
    """Bring back what :func:`state_of` gave; nothing changes where a part of it cannot be used."""
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError("this is no saved exploration of this version: save it again with session.state()")
    if state.get("survey") != session.survey.name:
        raise ValueError(f"this exploration is of the survey {state.get('survey')!r}, not of {session.survey.name!r}")
    focus = state.get("focus")
    if focus is not None and not isinstance(focus, str):
        raise ValueError(f"the focus of a saved exploration is an id or null, not {focus!r}")
    derived.again(session, state.get("derived_scores", []))
    before = {name: getattr(session, name) for name in (*_NAMES, "focus")}
    with session.together():
        try:
            for name in _NAMES:
                if name in state:
                    setattr(session, name, state[name])
            session.focus_on(focus)
            chosen = recipe.replay(session, recipe.checked(state.get("selection", [])))
        except Exception:
            for name, value in before.items():
                setattr(session, name, value)
            raise
        session.select(chosen)


def refresh(session: Session) -> bool:
    """See new versions of the survey and new marks; True if there was anything."""
    survey = session.survey
    survey.refresh()
    marked, changed = session.log.last(), survey.version != session.version
    with session.together():
        if changed:
            session.param.focus.bounds = (-1, len(survey) - 1)
            session.focus = min(session.focus, len(survey) - 1)
            if session.space not in survey.spaces:
                session.space = survey.spaces[0] if survey.spaces else ""
            follow(session)
            if session.selection.total != len(survey):
                session.selection = _carried(session)
            session.version = survey.version
        changed |= marked != session.marked
        session.marked = marked
    return changed


def _carried(session: Session) -> Selection:
    """The selection in a survey with other rows: made again; where that fails, the rows that it had and still are."""
    old = session.selection
    try:
        return recipe.replay(session, old._recipe)
    except (ValueError, LookupError):
        mask = np.zeros(len(session.survey), bool)
        mask[old.rows[old.rows < len(mask)]] = True
        return Selection(session.survey, mask, old._recipe)
