"""Which component of a space knows which column: a heatmap; a click colours the map by the column (P3.5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.views import _charts as charts
from explorer.views._board import Board
from explorer.views._theme import empty, escape, failure, screen_of, skeleton
from explorer.views._work import Work
from kernels.embedding.align.evaluate import correlations, mean_strength, strongest

if TYPE_CHECKING:
    import panel as pn

    from explorer.session.session import Session
    from explorer.survey.store import Survey

COLUMNS, COMPONENTS, ROWS = 24, 28, 20_000
CSS = (
    charts.CSS
    + """
.co { height: 100%; display: flex; flex-direction: column; padding: 10px 14px 8px; box-sizing: border-box;
  min-height: 0; }
.co h2 { margin: 0 0 4px; font-size: 11px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase; }
.co .pic { flex: 1; min-height: 0; } .co .pic .ch { height: 100%; }
.co .says { color: var(--ax-muted); font-size: 11.5px; padding-top: 6px; } .co .says b { color: var(--ax-text); }
.co rect.now { stroke: var(--ax-strong-line); stroke-width: 2; }
.co .keys { display: inline-flex; gap: 12px; margin-left: 8px; }
.co .keys s { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px;
  vertical-align: -1px; }
"""
)


@dataclass(frozen=True)
class Heat:
    """``matrix`` (components, columns) Pearson's r; ``components`` their numbers in the space; ``all_of`` how many."""

    space: str
    matrix: np.ndarray
    components: np.ndarray
    columns: list[str]
    all_of: int
    mean: float


def measure(survey: Survey, space: str) -> Heat:
    """Correlations of a space with the measured columns, on at most 20,000 rows; the strongest of each are kept."""
    from explorer.pipeline.batches import measured_columns

    vectors = survey.embedding(space)
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    if len(rows) > ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, ROWS, replace=False))
    names = measured_columns(survey)
    if not names or len(rows) < 3:
        return Heat(space, np.empty((0, 0)), np.empty(0, int), [], vectors.shape[1], float("nan"))
    values = np.stack([np.asarray(survey.column(n), np.float64)[rows] for n in names], axis=1)
    matrix = correlations(vectors[rows], values)
    size = np.nan_to_num(np.abs(matrix))
    columns = np.sort(np.argsort(-size.max(axis=0), kind="stable")[:COLUMNS])
    components = np.argsort(-size[:, columns].max(axis=1), kind="stable")[:COMPONENTS]
    mean = mean_strength(matrix[:, columns], 1)
    kept = matrix[np.ix_(components, columns)]
    return Heat(space, kept, components, [names[i] for i in columns], vectors.shape[1], mean)


def render_correlations(found: Heat, colour: str = "") -> str:
    """HTML of the heatmap; a column's cells carry ``data-do="colour"`` and its name."""
    if not found.matrix.size:
        return empty("Nothing to correlate", "The space has no rows with measured columns of numbers.")
    k, m = found.matrix.shape
    left, top, width = 112.0, 20.0, 760.0
    w, h = (width - left - 6) / k, min(22.0, 420.0 / m)
    parts = []
    for i, c in enumerate(found.components):
        if w > 17 or i % 2 == 0:
            parts.append(charts.text(left + w * (i + 0.5), top - 6, f"L{c}", "middle"))
    for j, name in enumerate(found.columns):
        cls = "strong" if name == colour else ""
        parts.append(charts.text(left - 6, top + h * (j + 0.5) + 3.5, charts.shorten(name, 18), "end", cls, name))
        for i in range(k):
            r = float(found.matrix[i, j])
            hue = "var(--ax-data)" if r >= 0 else "var(--ax-model)"
            told = f"L{found.components[i]} and {name}: r = {r:.2f}. Click: colour the map by {name}"
            live = f'data-do="colour" data-column="{escape(name)}" tabindex="0" rx="1.5"'
            fill = charts.mixed(hue, abs(r) if np.isfinite(r) else 0.0)
            parts.append(charts.rect(left + w * i + 0.5, top + h * j + 0.5, w - 1, h - 1, fill, live, told))
    if colour in found.columns:
        y = top + h * found.columns.index(colour)
        parts.append(f'<rect class="now" x="{left}" y="{y:.1f}" width="{w * k:.1f}" height="{h:.1f}" fill="none"/>')
    picture = charts.svg(width, top + h * m + 6, "".join(parts), "correlation of components with columns")
    i, j, r = strongest(found.matrix, 1)[0]
    told = (
        f"Strongest: <b>L{found.components[i]}</b> and <b>{escape(found.columns[j])}</b>, r = {r:.2f}. Mean |r| of the "
        f"best component of each column: <b>{found.mean:.2f}</b>. {k} of {found.all_of} components "
        "shown."
    )
    keys = "".join(
        f'<span><s style="background:var(--ax-{hue})"></s>{words}</span>'
        for hue, words in (("data", "r above 0"), ("model", "below"))
    )
    return (
        f'<div class="co"><h2>Components and columns · {escape(found.space)}</h2><div class="pic">{picture}</div>'
        f'<div class="says">{told}<span class="keys">{keys}</span></div></div>'
    )


class CorrelationsView:
    """Heatmap of a space's components against catalogue columns."""

    name = "correlations"
    title = "Components"
    place = "compare"
    width = 2

    def __init__(self, session: Session):
        self.session, self.screen = session, screen_of(session)
        self.found: Heat | None = None
        self.work = Work(self._failed)
        self.board = Board(self._on_click, CSS, sizing_mode="stretch_both", margin=0, markup=skeleton())
        self._watchers: list[Any] = [
            session.param.watch(lambda *_: self._measure(), ["space", "version"]),
            session.param.watch(lambda *_: self._draw(), ["color_by"]),
        ]

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Whether there is a space and columns of numbers."""
        from explorer.pipeline.batches import measured_columns

        return bool(survey.spaces) and len(measured_columns(survey)) > 1

    def panel(self) -> pn.viewable.Viewable:
        """The view."""
        self.work.attach()
        self._measure()
        return self.board

    def close(self) -> None:
        """Stop listening to the session."""
        self.work.close()
        for watcher in self._watchers:
            self.session.param.unwatch(watcher)
        self._watchers = []

    def _measure(self) -> None:
        survey, space = self.session.survey, self.session.space
        if not space:
            self.board.markup = empty("No space yet", "Prepare the survey to compare its spaces with its columns.")
            return
        self.work.run("measure", lambda: measure(survey, space), self._show)

    def _show(self, found: Heat) -> None:
        self.found = found
        self._draw()

    def _draw(self) -> None:
        if self.found is not None:
            self.board.markup = render_correlations(self.found, self.session.color_by.strip("`"))

    def _failed(self, error: Exception) -> None:
        self.board.markup = failure(error, "The correlations could not be measured")

    def _on_click(self, data: dict[str, Any]) -> None:
        if data.get("do") == "colour":
            name = str(data.get("column", ""))
            try:
                self.session.color_by = name if name.isidentifier() else f"`{name}`"
            except (LookupError, ValueError) as error:  # what a person asked is answered on the page
                self.screen.notice = error
