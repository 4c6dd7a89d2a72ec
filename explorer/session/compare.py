"""Rankings side by side: which there are, how far they agree, and the objects on which they do or do not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session.selection import Selection
from kernels.scoring.transfer import Grid, grid, top_rows

if TYPE_CHECKING:
    from explorer.session.session import Session
    from explorer.survey.store import Survey

Key = tuple[str, str]
"""One ranking: a space and a score of it."""

WHICH = ("both", "first", "second")


def by_scorer(survey: Survey, scorer: str) -> list[Key]:
    """The rankings that one score makes of every space that has it."""
    return [(space, scorer) for space in survey.spaces if scorer in survey.scores(space)]


def by_space(survey: Survey, space: str) -> list[Key]:
    """All rankings of one space."""
    return [(space, scorer) for scorer in (survey.scores(space) if space in survey.spaces else [])]


def every(survey: Survey) -> list[Key]:
    """All rankings of a survey, a space's together."""
    return [key for space in survey.spaces for key in by_space(survey, space)]


def scorers(survey: Survey) -> list[str]:
    """Scores that at least one space has, those of most spaces first."""
    found = [scorer for _, scorer in every(survey)]
    return sorted(dict.fromkeys(found), key=lambda s: (-found.count(s), found.index(s)))


def transfer(survey: Survey, keys: list[Key], percent: float = 1.0) -> Grid:
    """Retention of each ranking's top ``percent`` in each other's, with its band, and Spearman (P0.11)."""
    return grid({f"{space} {scorer}": survey.score(space, scorer) for space, scorer in keys}, percent)


@dataclass(frozen=True)
class Tops:
    """The tops of two rankings of the same objects.

    ``both``, ``first`` (in the first's top alone) and ``second`` are rows (m,) int64; ``objects`` have both scores.
    """

    both: np.ndarray
    first: np.ndarray
    second: np.ndarray
    objects: int


def tops(survey: Survey, a: Key, b: Key, percent: float = 1.0) -> Tops:
    """The top ``percent`` of two rankings among the objects that have both scores, the strangest of the first first."""
    one, other = survey.score(*a), survey.score(*b)
    here = np.flatnonzero(~(np.isnan(one) | np.isnan(other)))
    if not len(here):
        nothing = np.empty(0, np.int64)
        return Tops(nothing, nothing, nothing, 0)
    mine, theirs = here[top_rows(one[here], percent)], here[top_rows(other[here], percent)]
    places, others = survey.rank(*a), survey.rank(*b)

    def ordered(rows: np.ndarray, by: np.ndarray) -> np.ndarray:
        return rows[np.argsort(by[rows], kind="stable")]

    return Tops(
        ordered(np.intersect1d(mine, theirs), places),
        ordered(np.setdiff1d(mine, theirs), places),
        ordered(np.setdiff1d(theirs, mine), others),
        len(here),
    )


def select_tops(
    session: Session, a: Key, b: Key, percent: float = 1.0, which: str = "both", mode: str = "replace"
) -> Selection:
    """Select the objects at the top of both rankings, or of the ``first`` or ``second`` alone; every view follows."""
    if which not in WHICH:
        raise ValueError(f"which={which!r} is unknown: choose one of {', '.join(WHICH)}")
    rows = getattr(tops(session.survey, a, b, percent), which)
    names = f"{a[0]} {a[1]}", f"{b[0]} {b[1]}"
    told = {"both": "{0} and of {1}", "first": "{0}, not of {1}", "second": "{1}, not of {0}"}[which]
    if a == b:
        told = "{0}"
    return session.select(np.sort(rows), mode, note=f"top {percent:g} % of {told.format(*names)}")


def select_bin(
    session: Session, a: Key, b: Key, percent: float, place: int, bins: int, mode: str = "replace"
) -> Selection:
    """Select those of the first ranking's top whose place in the second is in bin ``place`` of ``bins``."""
    from kernels.scoring.ranks import rank

    one, other = session.survey.score(*a), session.survey.score(*b)
    here = np.flatnonzero(~(np.isnan(one) | np.isnan(other)))
    taken = top_rows(one[here], percent)
    at = (rank(other[here])[taken] - 1) * bins // len(here)
    low, high = 100 * place / bins, 100 * (place + 1) / bins
    note = f"top {percent:g} % of {a[0]} {a[1]} at {low:g} to {high:g} % of {b[0]} {b[1]}"
    return session.select(here[taken[at == place]], mode, note=note)


def believed(survey: Survey, encoder: str) -> dict[str, Any]:
    """Whether the cosine between an encoder's image and spectrum spaces means anything, as its score records it.

    ``comparable`` True or False, None where it was never measured; ``area`` between true and shuffled pairs (0.5 is
    chance); ``retrieval`` of the fitted alignment (0.1 is chance).
    """
    joint = f"{encoder}/joint"

    def told(name: str) -> dict[str, Any]:
        column = f"score:{joint}:{name}"
        return survey.provenance(column) if column in survey.schema.names else {}

    cosine, aligned = told("mismatch"), told("mismatch-aligned")
    return {
        "comparable": cosine.get("comparable"),
        "area": cosine.get("partners_told_apart"),
        "retrieval": aligned.get("retrieval"),
        "calibrated": bool(told("mismatch-calibrated")),
    }
