"""Scores that one session derives from those of the survey: re-ranked by marks, ranked among their likes.

They stand beside the stored ones wherever a score may be named (the ranking, a query, a colour, an export), belong to
the session alone, and each keeps the recipe that makes it again. The survey on disk is not touched, so that two people
at one survey, or one who may only read it, have theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.survey.store import Survey
from kernels.scoring.ranks import percentile, rank


@dataclass(frozen=True, eq=False)
class Derived:
    """One derived score: ``score`` (n,) float64 with NaN where missing, and the ``recipe`` that makes it again."""

    score: np.ndarray
    rank: np.ndarray
    percentile: np.ndarray
    recipe: dict[str, Any]

    @classmethod
    def of(cls, scores: np.ndarray, recipe: dict[str, Any]) -> Derived:
        """With its ranks and percentiles; arrays are read-only from here on."""
        scores = np.asarray(scores, dtype=np.float64)
        places = rank(scores, np.isnan(scores))
        found = cls(scores, places, percentile(places), recipe)
        for array in (found.score, found.rank, found.percentile):
            array.flags.writeable = False
        return found


class PersonalSurvey(Survey):
    """A survey as one session sees it: all of the survey that it was made from, and scores of the session's own.

    It shares everything with the survey (what is read, cached or refreshed by one is so for the other) but for its own
    scores, which :meth:`derive` adds and :meth:`forget` takes away.
    """

    __slots__ = ("_own",)
    _own: dict[tuple[str, str], Derived]

    def __init__(self, survey: Survey):
        self.__dict__ = survey.__dict__
        self._own = {}

    def derive(self, space: str, name: str, scores: np.ndarray, recipe: dict[str, Any]) -> None:
        """Have (n,) scores as ``name`` of a space, in place of an own one of that name."""
        self._known("space", space, self.spaces)
        if name in super().scores(space):
            raise ValueError(f"the survey has a score {name!r} of {space} already: choose another name")
        self._own[space, name] = Derived.of(self._checked(scores, 1), recipe)

    def forget(self, space: str, name: str) -> None:
        """Take an own score away."""
        self._own.pop((space, name), None)

    def recipe(self, space: str, name: str) -> dict[str, Any]:
        """How an own score was made; empty for a stored one."""
        found = self._own.get((space, name))
        return {} if found is None else dict(found.recipe)

    @property
    def recipes(self) -> list[dict[str, Any]]:
        """How all own scores were made, ready for JSON."""
        return [{"space": space, "name": name, **own.recipe} for (space, name), own in self._own.items()]

    def scores(self, space: str) -> list[str]:
        """Names of the stored scores of a space, then of the session's own."""
        return super().scores(space) + [name for s, name in self._standing() if s == space]

    def score(self, space: str, scorer: str) -> np.ndarray:
        """(n,) float64, higher is more anomalous; NaN where missing."""
        own = self._own_score(space, scorer)
        return super().score(space, scorer) if own is None else own.score

    def rank(self, space: str, scorer: str) -> np.ndarray:
        """(n,) int64, 1 for the most anomalous, 0 where missing."""
        own = self._own_score(space, scorer)
        return super().rank(space, scorer) if own is None else own.rank

    def percentile(self, space: str, scorer: str) -> np.ndarray:
        """(n,) float64 in (0, 100], high is anomalous; NaN where missing."""
        own = self._own_score(space, scorer)
        return super().percentile(space, scorer) if own is None else own.percentile

    def _own_score(self, space: str, scorer: str) -> Derived | None:
        own = self._own.get((space, scorer))
        return own if own is not None and len(own.score) == len(self) else None

    def _standing(self) -> list[tuple[str, str]]:
        """Own scores that fit the survey as it is: one that gained rows has none until they are made again."""
        return [key for key, own in self._own.items() if len(own.score) == len(self)]


def again(session: Any, recipes: object) -> None:
    """Make own scores again from their recipes, as a saved exploration lists them; nothing of it is ranked by yet.

    ValueError names the first recipe that cannot be used.
    """
    from explorer.session import confounders, feedback, tools

    makers = {feedback.NAME: feedback.scores, confounders.MATCHED: confounders.scores, tools.KIND: tools.scores}
    needs: dict[str, dict[str, type]] = {
        feedback.NAME: {"method": str, "user": str, "marks": int},
        confounders.MATCHED: {"bins": int},
        tools.KIND: {"tool": str, "ids": list},
    }
    if not isinstance(recipes, list) or not all(isinstance(r, dict) for r in recipes):
        raise ValueError("derived_scores of a saved exploration is a list of recipes")
    for recipe in recipes:
        if recipe.get("kind") not in makers:
            raise ValueError(f"no derived score of the kind {recipe.get('kind')!r}. There are: {', '.join(makers)}")
        wanted: dict[str, type] = {"space": str, "name": str, "from": str, **needs[recipe["kind"]]}
        lacks = [key for key, kind in wanted.items() if not isinstance(recipe.get(key), kind)]
        if lacks:
            raise ValueError(f"the recipe of a derived score lacks {', '.join(lacks)}: save the exploration again")
        made = makers[recipe["kind"]](session, recipe)
        kept = {key: value for key, value in recipe.items() if key not in ("space", "name")}
        session.survey.derive(recipe["space"], recipe["name"], made, kept)
    if recipes:
        session.param.trigger("version")
