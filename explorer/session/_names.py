"""Parameters of a session that name something in its survey, and are refused where it is not there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import param

from explorer.session.query import QueryError
from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.session.session import Session

STRETCHES = ("asinh", "lupton", "linear")


class Named(param.String):
    """Text that the session checks before it takes it; what depends on it changes with it, in one event."""

    def __set__(self, obj: Any, value: Any) -> None:
        if obj is None or self.owner is not obj or getattr(obj, "survey", None) is None:
            super().__set__(obj, value)
            return
        accept(obj, self.name, value)
        with param.parameterized.batch_call_watchers(obj):
            super().__set__(obj, value)
            if self.name == "space":
                follow(obj)


def known(session: Session, name: str) -> list[str]:
    """What ``space``, ``layout`` or ``scorer`` may be: of the latter two, those of the session's space."""
    survey = session.survey
    if name == "space":
        return survey.spaces
    if session.space not in survey.spaces:
        return []
    return survey.layouts(session.space) if name == "layout" else survey.scores(session.space)


def accept(session: Session, name: str, value: object) -> None:
    """Raise where the parameter cannot have this value: :class:`UnknownName` lists what it can."""
    if not isinstance(value, str):
        raise TypeError(f"{name} is text, not {type(value).__name__}")
    if name == "stretch":
        if value not in STRETCHES:
            raise UnknownName("stretch", value, list(STRETCHES))
    elif name == "color_by":
        if value:
            session.values(value)
    else:
        there = known(session, name)
        if value not in there and (value or there):
            where = "" if name == "space" else f"(in the space {session.space})"
            raise UnknownName("score" if name == "scorer" else name, value, there, where)


def follow(session: Session) -> None:
    """Take a layout and a scorer of the session's space, of the same name where there are any; keep the colour
    where it means something there."""
    for name in ("layout", "scorer"):
        there = known(session, name)
        if getattr(session, name) not in there:
            setattr(session, name, there[0] if there else "")
    if session.color_by and session.color_by not in session.survey.columns:
        try:
            session.values(session.color_by)
        except (QueryError, UnknownName):
            session.color_by = ""


def scored(session: Session, space: str | None, scorer: str | None) -> tuple[str, str]:
    """The space and scorer meant: the session's where None; another space's first, where it has no such score."""
    space = session.space if space is None else space
    if space and space not in session.survey.spaces:
        raise UnknownName("space", space, session.survey.spaces)
    there = session.survey.scores(space) if space else []
    if scorer is None:
        scorer = session.scorer if session.scorer in there else (there[0] if there else "")
    elif scorer not in there:
        raise UnknownName("score", scorer, there, f"(in the space {space})")
    return space, scorer
