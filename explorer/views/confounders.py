"""Confounders: how far the scores of a space follow S/N, magnitude, size, redshift and field; rankings free of them."""

from __future__ import annotations

from typing import Any

from explorer.pipeline.roles import numbers
from explorer.session import confounders
from explorer.session.verdict import text_columns
from explorer.views import _charts as charts
from explorer.views._compare import ComparePanel, button, choice, toggle
from explorer.views._theme import empty, escape
from kernels.scoring.confounders import Confounder

MOST = 8  # scores side by side
BINS = 10
STRONG = 0.3


def matrix(found: dict[str, list[Confounder]], chosen: set[str], scorer: str) -> str:
    """HTML table: a line for each column, a score in each cell; the lines of ``chosen`` are matched in."""
    scorers = list(found)[:MOST]
    if scorer in found and scorer not in scorers:
        scorers[-1] = scorer
    head = "".join(
        f'<th class="{"now" if s == scorer else ""}" title="{escape(s)}">{escape(charts.shorten(s, 16))}</th>'
        for s in scorers
    )
    lines = []
    for i, first in enumerate(found[scorers[0]]):
        cells = "".join(_cell(found[s][i], s == scorer) for s in scorers)
        name = toggle("match", first.name, first.name in chosen, "Match in this column", column=first.name)
        lines.append(f"<tr><th>{name}</th>{cells}</tr>")
    return f'<table class="cf"><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(lines)}</tbody></table>'


def _cell(one: Confounder, now: bool) -> str:
    value = one.correlation
    if value != value:
        return "<td>–</td>"
    colour = charts.mixed("var(--ax-model)" if value > 0 else "var(--ax-data)", min(abs(value), 1.0) * 0.85)
    kind = "share of the ranks' scatter between categories, its root" if one.categorical else "Spearman"
    told = f"{kind}: {value:.3f} ± {one.error:.3f} over {one.objects} objects"
    sign = _signed(value) if not one.categorical else f"{value:.2f}"
    return f'<td class="{"now" if now else ""}" style="background:{colour}" title="{escape(told)}">{sign}</td>'


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


class ConfoundersView(ComparePanel):
    """Every score of the space against what may drive it, and a ranking within matched bins to choose instead."""

    name, title = "confounders", "Confounders"
    follow = ("version", "space")
    shows = ("scorer",)

    def __init__(self, session: Any):
        super().__init__(session)
        self.matched: set[str] = set()
        self.added: list[str] = []

    def columns(self) -> list[str]:
        """The columns of the table: by role, then those that were added."""
        return list(dict.fromkeys([*confounders.columns_of(self.session.survey), *self.added]))

    def load(self) -> Any:
        """Scorer → correlations."""
        session = self.session
        columns = self.columns()
        if not columns or not session.scorer:
            return (None,)
        return (confounders.against(session, columns),)

    def head(self) -> str:
        """Another column to look at."""
        survey, here = self.session.survey, self.columns()
        known = {*numbers(survey), *text_columns(survey)}
        options = {"add a column": ""} | {n: n for n in survey.columns if n in known and n not in here}
        return choice("add", "", options, "", "Correlate the scores with another column")

    def draw(self, found: Any) -> str:
        """The table, and the ranking within bins."""
        session = self.session
        if found[0] is None:
            if not session.scorer:
                return empty("Nothing is scored", "explorer prepare SURVEY scores every space")
            return empty("No S/N, magnitude, size, redshift or field in the catalogue", "Add a column to compare with")
        base = str(session.survey.recipe(session.space, session.scorer).get("from", session.scorer))
        now = {c.name: c for c in found[0].get(session.scorer, [])}
        strong = sorted((c for c in now.values() if abs(c.correlation) >= STRONG), key=lambda c: -abs(c.correlation))
        says = f"{escape(session.scorer)} follows " + (
            ", ".join(f"<b>{escape(c.name)}</b> ({_signed(c.correlation)})" for c in strong[:3])
            if strong
            else f"none of these by more than {STRONG:g}"
        )
        chosen = sorted(self.matched & set(self.columns()))
        words = f"Rank {base} within matched bins" if chosen else "Choose columns to match in"
        tip = "Percentile of every object among those alike in the chosen columns"
        go = button("rank", words, tip, "go", bool(chosen) and self._busy is None)
        return (
            f'<div class="body">{matrix(found[0], self.matched, session.scorer)}</div>'
            f'<div class="says">{says}.</div><div class="who" style="padding-top:6px">{go}</div>'
        )

    def do_add(self, data: dict[str, Any]) -> None:
        """Correlate with another column too."""
        if data["value"]:
            confounders.values_of(self.session, str(data["value"]))
            self.added.append(str(data["value"]))
            self.refresh()

    def do_match(self, data: dict[str, Any]) -> None:
        """Match in a column, or no longer."""
        self.matched ^= {str(data["column"])}
        self._draw()

    def do_rank(self, _: dict[str, Any]) -> None:
        """Rank within bins of the chosen columns."""
        session = self.session
        recipe = confounders.recipe_of(session, sorted(self.matched & set(self.columns())), BINS)
        self.work.run(
            "rank", lambda: confounders.scores(session, recipe), lambda made: confounders.take(session, recipe, made)
        )
