"""The names and functions that a query may use, and what they stand for in one survey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import columns
from explorer.session.columns import Text, Whole
from explorer.survey import intervals
from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.survey.store import Survey


@dataclass
class Scope:
    """What the names in a query stand for: the survey, the space and scorer where none is named, the marks.

    ``marks`` gives id → (label, score) when a query asks for it.
    """

    survey: Survey
    space: str = ""
    scorer: str = ""
    marks: Callable[[], dict[str, tuple[str, float | None]]] = dict
    asked_marks: bool = field(default=False, compare=False)

    def of_score(self, what: str, scorer: str | None, space: str | None) -> np.ndarray:
        """(n,) float64 rank, score or percentile; NaN where missing."""
        space, scorer = space or self.space, scorer or self.scorer
        if space not in self.survey.spaces:
            raise UnknownName("space", space, self.survey.spaces)
        if scorer not in self.survey.scores(space):
            raise UnknownName("score", scorer, self.survey.scores(space), f"(in the space {space})")
        got = getattr(self.survey, what)(space, scorer)
        return np.where(got > 0, got, np.nan) if what == "rank" else got

    def of_interval(self, end: int, scorer: str | None, space: str | None) -> np.ndarray:
        """(n,) float64 low (``end`` 0) or high (2) place of a score's rank interval; NaN where missing."""
        space, scorer = space or self.space, scorer or self.scorer
        self.of_score("rank", scorer, space)
        found = intervals.of(self.survey, space, scorer)
        if found is None:
            known = [n for n in self.survey.scores(space) if intervals.known(self.survey, space, n)]
            hint = "Measure them with explorer prepare --stability, or on the page COMPARE"
            raise UnknownName("rank interval", f"{space} {scorer}", known, hint)
        return found[:, end].astype(np.float64)

    def mark(self, name: str) -> Text | np.ndarray:
        """Labels as :class:`Text`, or (n,) scores with NaN where there is none."""
        self.asked_marks = True
        marks, rows = _present(self.survey, self.marks())
        if name == "mark_score":
            scores = np.full(len(self.survey), np.nan)
            scores[rows] = [np.nan if s is None else s for _, s in marks.values()]
            return scores
        names, codes = np.unique([label for label, _ in marks.values()] or np.empty(0, "U1"), return_inverse=True)
        coded = np.full(len(self.survey), -1, np.int32)
        coded[rows] = codes
        if len(names) and names[0] == "":
            coded[coded == 0] = -1
        return Text(coded, names)


def _present(survey: Survey, marks: dict[str, Any]) -> tuple[dict[str, Any], np.ndarray]:
    """The marks whose ids the survey holds, and their rows."""
    try:
        return marks, survey.rows_of(marks) if marks else np.empty(0, np.int64)
    except UnknownName:
        held = np.isin(np.asarray(list(marks), dtype=str), survey.ids)
        kept = {i: m for (i, m), here in zip(marks.items(), held, strict=True) if here}
        return kept, survey.rows_of(kept) if kept else np.empty(0, np.int64)


def _isnull(_: Scope, value: Any) -> Any:
    if isinstance(value, Text):
        return value.codes < 0
    if isinstance(value, Whole):
        return ~value.known
    if isinstance(value, np.ndarray):
        return np.isnat(value) if value.dtype.kind == "M" else value != value
    return False


def _search(how: Callable[[np.ndarray, str], np.ndarray]) -> Callable[[Scope, Any, str], np.ndarray]:
    return lambda _, text, part: text.where(how(text.values, part)) if isinstance(text, Text) else how(text, part)


def _plain(compute: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _, *numbers: compute(*(np.asarray(n, dtype=np.float64)[()] for n in numbers))


@dataclass(frozen=True)
class Function:
    """One function of the language: how it is written, the kinds of its arguments, and what computes it."""

    usage: str
    kinds: tuple[str, ...]
    compute: Callable[..., Any]
    least: int = 1


_scored = ("quoted", "quoted")
FUNCTIONS: dict[str, Function] = {
    "rank": Function("rank('knn') or rank('knn', 'pca/image')", _scored, lambda s, *a: _score(s, "rank", *a), 0),
    "score": Function("score('knn') or score('knn', 'pca/image')", _scored, lambda s, *a: _score(s, "score", *a), 0),
    "percentile": Function(
        "percentile('knn') or percentile('knn', 'pca/image')", _scored, lambda s, *a: _score(s, "percentile", *a), 0
    ),
    "rank_low": Function("rank_low('knn'), best of its interval", _scored, lambda s, *a: _interval(s, 0, *a), 0),
    "rank_high": Function("rank_high('knn'), worst of its interval", _scored, lambda s, *a: _interval(s, 2, *a), 0),
    "near": Function("near(ra, dec, arcsec) with numbers in degrees", ("constant",) * 3, lambda s, *a: _near(s, *a), 3),
    "has": Function("has('image')", ("quoted",), lambda s, modality: s.survey.has(modality)),
    "isnull": Function("isnull(column)", ("any",), _isnull),
    "isfinite": Function("isfinite(column)", ("number",), _plain(np.isfinite)),
    "contains": Function(
        "contains(column, 'text')", ("text", "quoted"), _search(lambda v, p: np.char.find(v, p) >= 0), 2
    ),
    "startswith": Function("startswith(column, 'text')", ("text", "quoted"), _search(np.char.startswith), 2),
    "endswith": Function("endswith(column, 'text')", ("text", "quoted"), _search(np.char.endswith), 2),
    "abs": Function("abs(x)", ("number",), _plain(np.abs)),
    "sqrt": Function("sqrt(x)", ("number",), _plain(np.sqrt)),
    "exp": Function("exp(x)", ("number",), _plain(np.exp)),
    "log": Function("log(x), natural", ("number",), _plain(np.log)),
    "log10": Function("log10(x)", ("number",), _plain(np.log10)),
    "floor": Function("floor(x)", ("number",), _plain(np.floor)),
    "round": Function("round(x)", ("number",), _plain(np.round)),
    "min": Function("min(x, y)", ("number", "number"), _plain(np.minimum), 2),
    "max": Function("max(x, y)", ("number", "number"), _plain(np.maximum), 2),
}


def _score(scope: Scope, what: str, scorer: str | None = None, space: str | None = None) -> np.ndarray:
    return scope.of_score(what, scorer, space)


def _interval(scope: Scope, end: int, scorer: str | None = None, space: str | None = None) -> np.ndarray:
    return scope.of_interval(end, scorer, space)


def _near(scope: Scope, ra: float, dec: float, arcsec: float) -> np.ndarray:
    return columns.near(scope.survey, ra, dec, arcsec)
