"""Stability: between which places the top of a ranking stands when it is made again on halves of the survey."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.session import stability
from explorer.survey import intervals
from explorer.views import _charts as charts
from explorer.views._compare import ComparePanel, button, choice
from explorer.views._map_legend import count
from explorer.views._theme import empty, escape
from kernels.scoring import SCORERS

SHOWN = 24  # objects
KINDS = {"halves": "folds", "seeds": "seeds", "bootstrap": "bootstrap"}
RUNS = 8


def plot(rows: np.ndarray, names: list[str], ranks: np.ndarray, found: np.ndarray, dull: np.ndarray, focus: int) -> str:
    """SVG of the intervals of these rows (m,), their places in the ranking as dots, faint where ``dull``."""
    width, left, right, step, top = 440.0, 92.0, 430.0, 11.4, 4.0
    base = top + step * len(rows)
    ends = found[rows]
    furthest = float(np.nanmax(ends[:, intervals.HIGH], initial=10.0))
    x = charts.logarithmic((1, max(furthest, 10.0)), (left, right))
    parts = [charts.bottom_axis(x, charts.powers(1, max(furthest, 10.0)), base, top, "place", (left + right) / 2)]
    for i, row in enumerate(rows):
        y = top + step * (i + 0.5)
        low, middle, high = (float(v) for v in ends[i])
        colour = "var(--ax-focus)" if row == focus else "var(--ax-data)"
        faint = 0.35 if dull[i] else 0.8
        told = f"{names[i]}: place {ranks[i]}, between {low:.0f} and {high:.0f}, median {middle:.0f}"
        bar = charts.line(
            x(low), y, x(high), y, "", f"stroke:{colour};stroke-width:4;stroke-linecap:round;opacity:{faint}"
        )
        mark = f'<circle cx="{x(float(ranks[i])):.1f}" cy="{y:.1f}" r="2.8" fill="{colour}"/>'
        name = charts.text(left - 8, y + 3.5, charts.shorten(names[i], 14), "end", "" if dull[i] else "strong")
        whole = charts.rect(0, y - step / 2, width, step, "transparent", "", told)
        parts.append(f'<g data-do="focus" data-row="{row}">{bar}{mark}{name}{whole}</g>')
    return charts.svg(width, base + 32, "".join(parts), "rank intervals")


class StabilityView(ComparePanel):
    """Rank intervals of the top of the session's ranking; measured here where they are not there yet."""

    name, title = "stability", "Stability"
    follow = ("version", "scorer", "space", "selection")
    shows = ("focus",)

    def __init__(self, session: Any):
        super().__init__(session)
        self.kind, self.sort = "folds", "rank"

    def load(self) -> Any:
        """Rows, ids, places and intervals of the top; None where nothing is measured."""
        session = self.session
        found = stability.interval_of(session)
        if found is None:
            return (None,)
        sort = stability.by_high(session) if self.sort == "surest" else "rank"
        rows = session.ranked_rows(0, SHOWN + 1, sort=sort)
        rows = rows[np.isfinite(found[rows, 0])]
        dull = stability.blurred(found, rows)[:SHOWN]
        rows = rows[:SHOWN]
        ranks = session.survey.rank(session.space, session.scorer)
        sure = [int(np.count_nonzero(found[:, intervals.HIGH] <= n)) for n in (10, 100)]
        return found, rows, session.survey.ids_of(rows), ranks[rows], dull, sure, stability.told(session)

    def head(self) -> str:
        """The order, and how to measure."""
        if self.found is None or self.found[0] is None:
            return choice("kind", "by", KINDS, self.kind, "What is varied from run to run")
        orders = {"by rank": "rank", "surest first": "surest"}
        return choice("sort", "", orders, self.sort, "By the place, or by the worse end of its interval")

    def pictured(self, found: Any) -> Any:
        """The rows of the plot."""
        return [] if found[0] is None else found[1]

    def draw(self, found: Any) -> str:
        """The plot and what it says, or how to get there."""
        session = self.session
        if found[0] is None:
            return self._missing()
        places, rows, names, ranks, dull, sure, told = found
        picture = plot(rows, names, ranks, places, dull, session.focus)
        apart = int(np.count_nonzero(~dull))
        says = (
            f"<b>{count(sure[0])}</b> rows are within the first 10 in {100 * told.get('level', 0.9):.0f} % of "
            f"{escape(told.get('runs', '?'))} runs, <b>{count(sure[1])}</b> within the first 100; {apart} of these "
            f"{len(rows)} can be told from their neighbours. Two runs: "
            f"Spearman {told.get('spearman', float('nan')):.2f}, "
            f"{told.get('retention', float('nan')):.0f} % of the top 1 % retained."
        )
        return f'<div class="body">{picture}</div><div class="says">{says}</div>'

    def _missing(self) -> str:
        session = self.session
        if not session.scorer:
            return empty("Nothing is scored", "explorer prepare SURVEY scores every space")
        if session.survey.recipe(session.space, session.scorer) or session.scorer not in SCORERS.names():
            return empty(
                f"{session.scorer} is made from other scores",
                "Choose a score of the space itself, such as knn, to see how far its ranks hold",
            )
        words = f"How far do the ranks of {escape(session.scorer)} in {escape(session.space)} hold?"
        go = button(
            "measure", f"Measure: {RUNS} runs", "Score halves of the survey again and again", "go", self._busy is None
        )
        hint = "Or for every score: explorer prepare SURVEY --stability"
        return f'<div class="ax-empty"><b>{words}</b><span>{hint}</span><span>{go}</span></div>'

    def do_kind(self, data: dict[str, Any]) -> None:
        """What is varied."""
        self.kind = str(data["value"])
        self._draw()

    def do_sort(self, data: dict[str, Any]) -> None:
        """Another order."""
        self.sort = str(data["value"])
        self.refresh()

    def do_measure(self, _: dict[str, Any]) -> None:
        """Measure the intervals of the present score beside the page."""
        from explorer.pipeline.stability import measure

        session, kind = self.session, self.kind
        survey, space, scorer = session.survey, session.space, session.scorer

        def done(_: Any) -> None:
            session.refresh()
            self.refresh()

        self.long(lambda progress: measure(survey, space, scorer, RUNS, kind, progress=progress), done)
