"""What a person's marks make of a ranking, and what she should look at next.

A mark counts by its score from 0 to 5. Without one, a label of :data:`ARTEFACTS` is an artefact (0, and it pushes down
what looks like it), one of :data:`DULL` is a 0, and any other label a 5: she named it because she wants more of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session._names import scored
from explorer.session.columns import Shared
from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.session.selection import Selection
    from explorer.session.session import Session
    from explorer.survey.store import Survey

NAME = "feedback"
ARTEFACTS = ("artefact", "artifact", "junk", "bad", "spike", "cosmic ray", "ghost", "saturated", "residual", "edge")
DULL = ("boring", "normal", "nothing", "no", "uninteresting")
METHODS = ("gp", "neighbour")
_fitted = Shared(3)


@dataclass(frozen=True)
class Told:
    """Marks as the re-ranking takes them: ``rows`` with ``marks`` 0 to 5, and rows that are ``artefacts``."""

    rows: np.ndarray
    marks: np.ndarray
    artefacts: np.ndarray

    def __len__(self) -> int:
        return len(self.rows) + len(self.artefacts)


def told(session: Session, user: str | None = None, last: int | None = None, like: str | None = None) -> Told:
    """What a user's marks up to entry ``last`` of the log say; with ``like`` every other label counts 0."""
    marks = session._marks_of(user or session.user, last)
    rows, values, artefacts = [], [], []
    present = [name for name in marks if name]
    held = _present_rows(session.survey, present)
    for name, row in held.items():
        label, score = marks[name]
        word = label.strip().casefold()
        if word in ARTEFACTS:
            artefacts.append(row)
        elif like is not None and word:
            rows.append(row)
            values.append((5.0 if score is None else score) if word == like.strip().casefold() else 0.0)
        elif score is not None or word:
            rows.append(row)
            values.append(score if score is not None else 0.0 if word in DULL else 5.0)
    return Told(np.array(rows, np.int64), np.array(values, np.float64), np.array(artefacts, np.int64))


def _present_rows(survey: Survey, ids: list[str]) -> dict[str, int]:
    """Id → row of those ids that the survey still has."""
    try:
        return dict(zip(ids, survey.rows_of(ids).tolist(), strict=True))
    except UnknownName:
        place = {name: row for row, name in enumerate(survey.ids)}
        return {name: place[name] for name in ids if name in place}


def rerank(
    session: Session,
    like: str | None = None,
    method: str = "gp",
    space: str | None = None,
    scorer: str | None = None,
    name: str = NAME,
) -> str:
    """Derive the score ``name`` from a score and this user's marks, and rank by it; returns the name.

    Artefacts push down what looks like them, what was liked brings its look-alikes up. To go back, choose the old
    score. ValueError where nothing is marked.
    """
    made = prepare(session, like, method, space, scorer, name)
    return take(session, made)


def prepare(
    session: Session,
    like: str | None = None,
    method: str = "gp",
    space: str | None = None,
    scorer: str | None = None,
    name: str = NAME,
) -> dict[str, Any]:
    """The recipe of a re-ranking by the marks that stand now; changes nothing and computes nothing."""
    space, scorer = base_of(session, space, scorer, name)
    if method not in METHODS:
        raise ValueError(f"method={method!r} is unknown: choose one of {', '.join(METHODS)}")
    if not len(told(session, like=like)):
        raise ValueError("nothing is marked: mark some objects (keys 0 to 5, or a label) and re-rank then")
    recipe = {"space": space, "name": name, "from": scorer, "method": method, "user": session.user}
    return recipe | {"marks": session.log.last()} | ({"like": like} if like else {})


def base_of(session: Session, space: str | None, scorer: str | None, name: str = NAME) -> tuple[str, str]:
    """The space and the score that a re-ranking starts from: of a re-ranked one, that which it was made from."""
    space, scorer = scored(session, space, scorer)
    if not scorer:
        raise UnknownName("score", "", [], "Run survey.prepare() first")
    before = session.survey.recipe(space, scorer)
    return space, str(before["from"]) if scorer == name and "from" in before else scorer


def scores(session: Session, recipe: dict[str, Any], acquisition: str = "mean") -> np.ndarray:
    """(n,) float64 scores that a recipe makes, NaN where the space has no vector; may run in another thread."""
    marks = told(session, recipe["user"], recipe["marks"], recipe.get("like"))
    engine = _engine(session.survey, recipe["space"], recipe["from"], recipe["method"], acquisition)
    return engine.rank(marks.rows, marks.marks, marks.artefacts).score


def take(session: Session, recipe: dict[str, Any], made: np.ndarray | None = None) -> str:
    """Have the score of a recipe among the session's own and rank by it; ``made`` where it is computed already."""
    made = scores(session, recipe) if made is None else made
    space, name = recipe["space"], recipe["name"]
    kept = {key: value for key, value in recipe.items() if key not in ("space", "name")}
    session.derive(space, name, made, {"kind": NAME, **kept})
    return name


def warm(session: Session) -> None:
    """Compute what does not depend on the marks, so that the first re-ranking is as quick as the next."""
    space, scorer = base_of(session, None, None)
    _engine(session.survey, space, scorer, "gp", "mean")


def proposals(session: Session, count: int = 20, recipe: dict[str, Any] | None = None) -> np.ndarray:
    """(at most ``count``) int64 rows to look at next that this user has said nothing of, the best first.

    By the expected improvement of the Gaussian process, or by the neighbour score; before anything is marked, the
    ranking itself. May run in another thread.
    """
    space, scorer = base_of(session, None, None)
    if recipe is None:
        recipe = {"space": space, "from": scorer, "method": "gp", "user": session.user, "marks": session.log.last()}
    marks = told(session, recipe["user"], recipe["marks"], recipe.get("like"))
    how = "improvement" if recipe["method"] == "gp" and len(marks) else "mean"
    engine = _engine(session.survey, recipe["space"], recipe["from"], recipe["method"], how)
    found = engine.rank(marks.rows, marks.marks, marks.artefacts)
    seen = list(_present_rows(session.survey, list(session._marks_of(recipe["user"], recipe["marks"]))).values())
    return engine.propose(found, count, seen)


def select(session: Session, rows: np.ndarray) -> Selection:
    """Select rows to look at next, in their order."""
    return session.select(session.survey.ids_of(rows), note=f"what to look at next: {len(rows)} by {NAME}")


def _engine(survey: Survey, space: str, scorer: str, method: str, acquisition: str) -> Any:
    """The fitted :class:`kernels.scoring.feedback.Feedback`: what does not depend on the marks is kept."""
    from copy import copy

    from kernels.scoring.feedback import Feedback

    made = survey.provenance(f"space:{space}").get("time")
    key = (str(survey.path), space, scorer, made)
    fitted = _fitted.get(key, survey.score(space, scorer), lambda base: Feedback().fit(survey.embedding(space), base))
    engine = copy(fitted)
    engine.method, engine.acquisition = method, acquisition
    return engine
