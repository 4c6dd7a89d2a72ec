"""Probes: what each space knows of redshift, mass, star formation and other columns, and how it holds it (P0.12)."""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.pipeline.roles import numbers, quantities
from explorer.session import probing
from explorer.views import _charts as charts
from explorer.views._compare import ComparePanel, button, choice, toggle
from explorer.views._theme import empty, escape

FIRST = 3  # quantities that are asked for before anything is chosen
TOLD = {
    "lgbm_r2": "how much is there (LightGBM)",
    "gap": "what is not linear",
    "pr": "share of dimensions that take part",
    "epd": "dimensions that take part",
    "pes": "R² / PR: much in few",
    "cwp": "R² × PR: much in many",
}


def forest(lines: list[dict[str, Any]]) -> str:
    """SVG: a row for each space, a small axis for each figure, a point with its error in each."""
    width, step, top, left = 920.0, 22.0, 34.0, 118.0
    figures = list(TOLD)
    room = (width - left) / len(figures)
    base = top + step * len(lines)
    parts = []
    for i, line in enumerate(lines):
        y = top + step * (i + 0.5)
        name = charts.shorten(str(line["space"]), 18)
        parts.append(charts.text(left - 12, y + 3.5, name, "end", "strong", str(line["space"])))
        parts.append(charts.line(left, y, width - 8, y))
    for k, figure in enumerate(figures):
        start, end = left + room * k + 8, left + room * (k + 1) - 14
        parts += _axis(lines, figure, start, end, top, base, step)
    return charts.svg(width, base + 22, "".join(parts), "probes of every space")


def _axis(
    lines: list[dict[str, Any]], figure: str, start: float, end: float, top: float, base: float, step: float
) -> list[str]:
    ends = [(line[figure] - line[f"{figure}_error"], line[figure] + line[f"{figure}_error"]) for line in lines]
    if figure == "lgbm_r2":
        ends += [(line["ridge_r2"], line["ridge_r2"]) for line in lines]
    values = np.array(ends)
    low, high = min(0.0, float(np.nanmin(values))), float(np.nanmax(values))
    low = max(low, -1.0) if figure in ("lgbm_r2", "gap") else low
    high = high if high > low else low + 1
    x = charts.linear((low, high), (start, end))
    parts = [charts.text((start + end) / 2, 12, probing.FIGURES[figure], "middle", "strong", TOLD[figure])]
    parts += [
        charts.line(x(t), top - 4, x(t), base) + charts.text(x(t), base + 14, charts.plain(t), "middle")
        for t in charts.ticks(low, high, 2)
    ]
    for i, line in enumerate(lines):
        y, value, error = top + step * (i + 0.5), line[figure], line[f"{figure}_error"]
        told = f"{line['space']}, {line['name']}: {probing.FIGURES[figure]} {value:.3g} ± {error:.2g}"
        if figure == "lgbm_r2":
            told += f"; linear {line['ridge_r2']:.3g} ± {line['ridge_r2_error']:.2g}"
            parts.append(charts.dot(x(max(line["ridge_r2"], low)), y, "var(--ax-data)", None, True))
        bar = (x(max(value - error, low)), x(min(value + error, high)))
        point = charts.dot(x(max(value, low)), y, "var(--ax-data)", bar)
        hover = charts.rect(start - 6, y - step / 2, end - start + 12, step, "transparent", "", told)
        parts.append(f"<g>{point}{hover}</g>")
    return parts


class ProbesView(ComparePanel):
    """Figures of every space for the chosen quantities; computed when asked for, kept with the survey."""

    name, title, width = "probes", "Probes", 2

    def __init__(self, session: Any):
        super().__init__(session)
        self.columns = self.usual()
        self.shown = ""

    def usual(self) -> list[str]:
        """Redshift, mass and star formation, by the names that surveys use."""
        return quantities(self.session.survey, FIRST)

    def numbers(self) -> list[str]:
        """Columns that can be probed for."""
        return numbers(self.session.survey)

    def load(self) -> Any:
        """What was computed for the chosen quantities."""
        return (probing.lines(self.session.survey, self.columns),)

    def head(self) -> str:
        """Which quantity is shown, and which are asked for."""
        chips = "".join(toggle("drop", name, True, f"Leave {name} out", column=name) for name in self.columns)
        more = {"add a quantity": ""} | {n: n for n in self.numbers() if n not in self.columns}
        shown = {f"mean of {len(self.columns)}": ""} | {n: n for n in self.columns}
        return (
            chips + choice("add", "", more, "", "Probe for another column") + choice("shown", "show", shown, self.shown)
        )

    def draw(self, found: Any) -> str:
        """The figures, and a button for those that are missing."""
        survey, lines = self.session.survey, found[0]
        if not survey.spaces:
            return empty("There is no space to probe", "explorer prepare SURVEY embeds the survey first")
        if not self.columns:
            return empty("No quantity is chosen", "Add a numeric column to probe the spaces for")
        missing = len(survey.spaces) * len(self.columns) - len(lines)
        words = f"Probe {len(survey.spaces)} spaces for {', '.join(self.columns)}"
        tip = "Ridge and LightGBM on four fifths of the objects, tested on the rest"
        go = button("probe", words, tip, "go", self._busy is None) if missing else ""
        good = [line for line in lines if "why" not in line]
        shown = [line for line in good if line["name"] == self.shown] if self.shown else probing.mean_of(good)
        if not shown:
            hint = "How much of each quantity a space holds, how much of it is linear, and in how many dimensions"
            why = next((line["why"] for line in lines if "why" in line), hint)
            words = f"<b>What do the spaces know?</b><span>{escape(why)}</span><span>{go}</span>"
            return f'<div class="ax-empty">{words}</div>'
        best = max(shown, key=lambda line: line["lgbm_r2"])
        errors = "scatter over the quantities" if not self.shown else "bootstraps of the test objects"
        says = (
            f"<b>{escape(best['space'])}</b> knows most of {escape(self.shown or 'these')}: R² {best['lgbm_r2']:.2f}, "
            f"linear {best['ridge_r2']:.2f} (hollow). Error bars: {errors}."
        )
        return f'<div class="body">{forest(shown)}</div><div class="says">{says}</div><div class="who">{go}</div>'

    def do_add(self, data: dict[str, Any]) -> None:
        """Ask for another quantity."""
        if data["value"]:
            self.columns.append(str(data["value"]))
            self.refresh()

    def do_drop(self, data: dict[str, Any]) -> None:
        """Leave a quantity out."""
        self.columns = [n for n in self.columns if n != data["column"]]
        self.shown = self.shown if self.shown in self.columns else ""
        self.refresh()

    def do_shown(self, data: dict[str, Any]) -> None:
        """Show one quantity, or the mean."""
        self.shown = str(data["value"])
        self._draw()

    def do_probe(self, _: dict[str, Any]) -> None:
        """Compute what is missing beside the page."""
        survey, columns = self.session.survey, list(self.columns)
        self.long(lambda progress: probing.probed(survey, columns, progress=progress), lambda _: self.refresh())
