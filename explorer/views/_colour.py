"""What *colour by* means: counts, a continuous value or categories, with what a legend needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from explorer.session.columns import Shared, Text
from explorer.session.legend import BLOCK, tally
from explorer.views._shade import robust_limits
from explorer.views._theme import CATEGORIES

PALETTE = len(CATEGORIES["dark"])
BARS = 40  # of the histogram in a legend
MOST_CATEGORIES = 40  # whole numbers with at most so many distinct values are categories

_categories = Shared(12)


@dataclass(frozen=True)
class Counts:
    """Colour by the number of rows."""

    name: str = ""


@dataclass(frozen=True)
class Values:
    """Colour by a number: ``values`` (n,) with NaN where missing, ``limits`` of the map, a unit or ''."""

    name: str
    values: np.ndarray
    limits: tuple[float, float]
    unit: str = ""

    @cached_property
    def places(self) -> np.ndarray:
        """(n,) uint8: the bar of each row in a histogram of ``BARS`` between the limits, BARS where missing."""
        low, high = self.limits
        high = high if high > low else low + 1
        found = np.empty(len(self.values), np.uint8)
        for start in range(0, len(found), BLOCK):
            part = self.values[start : start + BLOCK].astype(np.float64)
            with np.errstate(invalid="ignore"):
                bar = np.clip((part - low) / (high - low) * BARS, 0, BARS - 1)
            found[start : start + BLOCK] = np.where(np.isnan(bar), BARS, bar).astype(np.uint8)
        return found

    @cached_property
    def totals(self) -> np.ndarray:
        """(BARS + 1,) rows of each bar, and without a value."""
        return tally(self.places, BARS + 1)


@dataclass(frozen=True)
class Categories:
    """Colour by text: ``codes`` (n,) into ``labels``, the most frequent first, -1 where missing.

    ``slots`` (n,) uint8 is the place of each row's colour: its code where the palette reaches, else ``others``, the
    colour of all further categories and of missing values.
    """

    name: str
    codes: np.ndarray
    labels: list[str]
    slots: np.ndarray = field(repr=False)

    @cached_property
    def totals(self) -> np.ndarray:
        """(others + 1,) rows of each colour."""
        return tally(self.slots, self.others + 1)

    @property
    def others(self) -> int:
        """The place of the colour of all others."""
        return min(len(self.labels), PALETTE)


Colouring = Counts | Values | Categories


def choices(survey: Any, space: str) -> dict[str, str]:
    """Label → value of ``session.color_by`` for everything in the menu: density, scores, marks, columns."""
    scorers = survey.scores(space) if space in survey.spaces else []
    found = {"density": ""} | {f"{scorer} percentile": f"percentile({scorer!r})" for scorer in scorers}
    return found | {"mark": "mark"} | {name: name for name in survey.columns}


def title_of(survey: Any, space: str, color_by: str) -> str:
    """The label of a choice, or the expression itself."""
    return next((label for label, value in choices(survey, space).items() if value == color_by), color_by)


def colouring(session: Any) -> Colouring:
    """The :class:`Colouring` that ``session.color_by`` asks for."""
    wanted = session.color_by
    if not wanted:
        return Counts()
    survey, name = session.survey, title_of(session.survey, session.space, wanted)
    values = session.values(wanted)
    key = (str(survey.path), wanted)
    if isinstance(values, Text):
        return _categories.get(
            (key, name), values.codes, lambda codes: categories(name, codes, [str(v) for v in values.values])
        )
    if values.dtype.kind == "M":
        years = np.where(np.isnat(values), np.nan, values.astype("datetime64[D]").astype(np.float64) / 365.25 + 1970)
        return Values(name, years, robust_limits(years), "yr")
    if values.dtype.kind in "biu":
        found = _categories.get((key, name), values, lambda whole: _of_whole(name, whole))
        if found is not None:
            return found
    if wanted.startswith("percentile("):
        return Values(name, values, (0.0, 100.0))
    return Values(name, values, robust_limits(values), survey.units.get(wanted, ""))


def _of_whole(name: str, values: np.ndarray) -> Categories | None:
    """Categories of whole numbers or booleans, None where there are too many."""
    if len(np.unique(values[:5000])) > MOST_CATEGORIES:
        return None
    distinct, codes = np.unique(values, return_inverse=True)
    if len(distinct) > MOST_CATEGORIES:
        return None
    labels = [("yes" if v else "no") if values.dtype.kind == "b" else str(v) for v in distinct]
    return categories(name, codes.astype(np.int32), labels)


def categories(name: str, codes: np.ndarray, labels: list[str]) -> Categories:
    """:class:`Categories` with the most frequent label first; ``codes`` (n,) int, -1 where missing."""
    counts = np.bincount(codes[codes >= 0], minlength=len(labels))
    order = np.argsort(-counts, kind="stable")
    place = np.full(len(labels) + 1, -1, np.int32)
    place[order] = np.arange(len(labels))
    ordered = place[codes]
    others = min(len(labels), PALETTE)
    slots = np.where((ordered < 0) | (ordered >= others), others, ordered).astype(np.uint8)
    return Categories(name, ordered, [labels[i] for i in order], slots)
