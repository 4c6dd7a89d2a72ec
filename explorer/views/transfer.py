"""Ranking transfer: how much of one ranking's top is at the top of another (P0.11).

A cell of the heatmap selects the objects on which two rankings agree, and every view follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.session import compare
from explorer.session.compare import Key
from explorer.views import _charts as charts
from explorer.views._compare import ComparePanel, button, choice, mode_of
from explorer.views._map_legend import count
from explorer.views._theme import empty, escape
from kernels.scoring.transfer import Grid, histogram

CUTS = (0.5, 1.0, 2.0, 5.0, 10.0)
BINS = 20
STRIP = 18  # thumbnails
PRINTED = 12  # rankings up to which a cell shows its number
MEASURES = {"retention": "share", "Spearman": "spearman"}


def label(key: Key, keys: list[Key]) -> str:
    """A ranking's short name: what all have in common is left out."""
    spaces, scorers = {k[0] for k in keys}, {k[1] for k in keys}
    return key[0] if len(scorers) == 1 else key[1] if len(spaces) == 1 else f"{key[0]} {key[1]}"


def heatmap(found: Grid, keys: list[Key], chosen: tuple[int, int], measure: str = "share") -> str:
    """SVG of the matrix: row source, column target; a cell carries ``data-do="cell"`` and its place."""
    k, values = len(keys), getattr(found, measure)
    names = [label(key, keys) for key in keys]
    few = k <= PRINTED
    most = 22 if few else 0
    left = 8 + 5.9 * min(max(len(n) for n in names), most) if few else 100
    size = 430.0
    cell = min(96.0, (size - left) / k)
    high = min(cell, max(230 / k, 22.0), 60.0) if few else cell
    top = 6
    parts = []
    for i in range(k):
        if few:
            words = charts.shorten(names[i], most)
            cls = "strong" if i in chosen else ""
            parts.append(charts.text(left - 6, top + high * (i + 0.5) + 3.5, words, "end", cls, names[i]))
        for j in range(k):
            parts.append(_cell(found, values, names, i, j, (left + cell * j, top + high * i, cell, high), few, measure))
    if not few:
        parts += _groups([key[0] for key in keys], left, top, cell)
    i, j = chosen
    ring = f'stroke="var(--ax-select)" stroke-width="2" pointer-events="none" data-part="chosen-{i}-{j}"'
    parts.append(charts.rect(left + cell * j + 0.5, top + high * i + 0.5, cell - 1, high - 1, "none", ring))
    below = top + high * k
    if few:
        parts += [_slanted(left + cell * (j + 0.5) + 3, below + 11, charts.shorten(n, 18)) for j, n in enumerate(names)]
        below += min(78.0, 16 + 3.6 * max(len(charts.shorten(n, 18)) for n in names))
    return charts.svg(size + 34, below + 4, "".join(parts), "retention between rankings")


def _groups(spaces: list[str], left: float, top: float, cell: float) -> list[str]:
    """Names of the spaces beside their blocks, and lines between them."""
    parts, k = [], len(spaces)
    for space in dict.fromkeys(spaces):
        first, size = spaces.index(space), spaces.count(space)
        middle = top + cell * (first + size / 2) + 3.5
        if cell * size >= 10:
            parts.append(charts.text(left - 6, middle, charts.shorten(space, 16), "end", "", space))
        edge = cell * first
        if first:
            parts.append(charts.line(left, top + edge, left + cell * k, top + edge, "axis"))
            parts.append(charts.line(left + edge, top, left + edge, top + cell * k, "axis"))
    return parts


def _slanted(x: float, y: float, words: str) -> str:
    return f'<g transform="translate({x:.1f},{y:.1f}) rotate(-32)">{charts.text(0, 0, words, "end")}</g>'


def _cell(
    found: Grid,
    values: np.ndarray,
    names: list[str],
    i: int,
    j: int,
    box: tuple[float, float, float, float],
    printed: bool,
    measure: str,
) -> str:
    x, y, w, h = box
    value = values[i, j]
    known = bool(np.isfinite(value))
    share = (value / 100 if measure == "share" else max(value, 0.0)) if known else 0.0
    beyond = bool(found.beyond_chance[i, j]) if measure == "share" else known and value > 0
    fill = "var(--ax-sunken)" if i == j else charts.mixed("var(--ax-data)", 0.1 + 0.9 * share if beyond else 0.04)
    if i == j:
        told = f"{names[i]}: select its top"
    elif not known:
        told = f"{names[i]} and {names[j]} share no object"
    elif measure == "share":
        told = (
            f"{value:.1f} % of the top of {names[i]} is at the top of {names[j]}; by chance {found.expected[i, j]:.1f}"
            f" ({found.low[i, j]:.1f} to {found.high[i, j]:.1f}) %. Click: select what is in both"
        )
    else:
        told = f"Spearman of {names[i]} and {names[j]}: {value:.3f}"
    live = f'data-do="cell" data-i="{i}" data-j="{j}" tabindex="0" rx="2"'
    made = charts.rect(x + 0.5, y + 0.5, w - 1, h - 1, fill, live, told)
    if not printed or w < 20:
        return made
    words = "·" if i == j else "–" if not known else f"{value:.0f}" if measure == "share" else f"{value:.2f}"
    cls = "" if i == j or not beyond else "strong"
    ink = "fill:var(--ax-sunken);font-weight:600" if share > 0.55 and i != j else ""
    number = charts.text(x + w / 2, y + h / 2 + 3.5, words, "middle", cls)
    return made + number.replace("<text ", f'<text pointer-events="none" style="{ink}" ', 1)


def histograms(survey: Any, a: Key, b: Key, percent: float) -> list[tuple[Key, Key, np.ndarray]]:
    """Where the top of each of two rankings lies in the other, both ways."""
    ways = [(a, b), (b, a)]
    found = []
    for source, target in ways:
        try:
            shares = histogram(survey.score(*source), survey.score(*target), percent, BINS)
        except ValueError:  # no object has both
            shares = np.zeros(BINS)
        found.append((source, target, shares))
    return found


def bars(shares: np.ndarray, names: tuple[str, str], percent: float, way: int) -> str:
    """SVG of one histogram; the line is what a ranking that knows nothing of the other would give."""
    width, height, left, top, base = 420.0, 118.0, 34.0, 20.0, 92.0
    highest = max(float(shares.max()), 2.0 / len(shares))
    y = charts.linear((0, highest * 1.05), (base, top))
    step = (width - left - 6) / len(shares)
    parts = [charts.text(left, 11, f"top {percent:g} % of {names[0]}, in {names[1]}", "start", "strong")]
    parts += [charts.left_axis(lambda v: y(v / 100), charts.ticks(0, 100 * highest, 3), left, width - 6)]
    for place, share in enumerate(shares):
        low, high = 100 * place / len(shares), 100 * (place + 1) / len(shares)
        told = f"{100 * share:.1f} % lies at {low:g} to {high:g} % from the top. Click: select them"
        fill = "var(--ax-data)" if place == 0 else "var(--ax-dimmed)"
        live = f'data-do="bin" data-way="{way}" data-bin="{place}"'
        parts.append(charts.rect(left + step * place + 1, y(share), step - 2, base - y(share), fill, live, told))
    even = y(1 / len(shares))
    parts.append(charts.line(left, even, width - 6, even, "", "stroke:var(--ax-model);stroke-dasharray:4 3"))
    at = charts.linear((0, 100), (left, width - 6))
    parts += [
        charts.text(at(t), base + 13, charts.plain(t), "end" if t == 100 else "middle") for t in (0, 25, 50, 75, 100)
    ]
    parts.append(charts.text((left + width) / 2, base + 25, "top percent", "middle"))
    return charts.svg(width, height + 2, "".join(parts), f"top of {names[0]} in {names[1]}")


class TransferView(ComparePanel):
    """Heatmap of retention, histograms both ways for the pair that is chosen, and the objects behind it."""

    name, title, width = "transfer", "Ranking transfer", 2
    follow = ("version", "scorer", "space")
    shows = ("focus",)

    def __init__(self, session: Any):
        super().__init__(session)
        self.among, self.percent, self.measure = "", 1.0, "retention"
        self.pair: tuple[Key, Key] | None = None

    def keys(self) -> list[Key]:
        """The rankings compared: of one score over the spaces, of one space over its scores, or all."""
        survey = self.session.survey
        kind, _, name = (self.among or self._usual()).partition(":")
        if kind == "score":
            return compare.by_scorer(survey, name)
        return compare.by_space(survey, name) if kind == "space" else compare.every(survey)

    def _usual(self) -> str:
        survey, scorer = self.session.survey, self.session.scorer
        most = compare.scorers(survey)
        wide = scorer if len(compare.by_scorer(survey, scorer)) > 1 else most[0] if most else ""
        return f"score:{wide}"

    def load(self) -> Any:
        """The rankings, the matrix, the pair, its histograms and its tops."""
        survey, keys, percent = self.session.survey, self.keys(), self.percent
        if len(keys) < 2:
            return keys, None, None, [], None
        pair = self.pair if self.pair and all(key in keys for key in self.pair) else (keys[0], keys[1])
        return (
            keys,
            compare.transfer(survey, keys, percent),
            pair,
            histograms(survey, *pair, percent),
            compare.tops(survey, *pair, percent),
        )

    def head(self) -> str:
        """What is compared, at which cut, by which measure."""
        survey = self.session.survey
        among = {f"{s} of every space": f"score:{s}" for s in compare.scorers(survey)}
        among |= {f"scores of {space}": f"space:{space}" for space in survey.spaces}
        among |= {"everything": "all:"}
        cuts = {f"{cut:g} %": str(cut) for cut in CUTS}
        return (
            choice("among", "", among, self.among or self._usual(), "Which rankings are compared")
            + choice("cut", "top", cuts, str(self.percent), "How much of a ranking is its top")
            + choice("shown", "", {m: m for m in MEASURES}, self.measure, "What a cell shows")
        )

    def pictured(self, found: Any) -> Any:
        """The thumbnails."""
        return [] if found[4] is None else found[4].both[:STRIP]

    def draw(self, found: Any) -> str:
        """The matrix to the left, the pair to the right."""
        keys, grid, pair, ways, tops = found
        if grid is None:
            hint = "explorer prepare SURVEY --encoders … --scorers … makes more spaces and scores to compare"
            return empty("One ranking and nothing to compare it with" if keys else "Nothing is scored yet", hint)
        at = (keys.index(pair[0]), keys.index(pair[1]))
        picture = heatmap(grid, keys, at, MEASURES[self.measure])
        names = [label(key, keys) for key in pair]
        right = "".join(
            bars(shares, (label(s, keys), label(t, keys)), self.percent, i) for i, (s, t, shares) in enumerate(ways)
        )
        return (
            f'<div class="tr"><div class="left">{picture}</div><div class="right">{right}'
            f"{self._objects(names, tops)}</div></div>{self._says(grid, at, names)}"
        )

    def _objects(self, names: list[str], tops: compare.Tops) -> str:
        alone = (
            ""
            if names[0] == names[1]
            else (
                button("tops", f"{count(len(tops.first))} of {charts.shorten(names[0], 16)} alone", which="first")
                + button("tops", f"{count(len(tops.second))} of {charts.shorten(names[1], 16)} alone", which="second")
            )
        )
        told = "Select what is at the top of both; Shift adds, Ctrl intersects"
        both = button("tops", f"{count(len(tops.both))} in both", told, "go", which="both")
        return f'<div class="who">{both}{alone}</div>{self.strip(tops.both[:STRIP])}'

    def _says(self, grid: Grid, at: tuple[int, int], names: list[str]) -> str:
        i, j = at
        if i == j:
            return f'<div class="says"><b>{escape(names[0])}</b>: its own top {self.percent:g} %</div>'
        if not np.isfinite(grid.share[i, j]):
            return '<div class="says">No object has both scores.</div>'
        chance = f"{grid.expected[i, j]:.1f} % by chance, 95 % band {grid.low[i, j]:.1f} to {grid.high[i, j]:.1f}"
        verdict = "above chance" if grid.beyond_chance[i, j] else "no more than chance"
        return (
            f'<div class="says"><b>{grid.share[i, j]:.1f} %</b> of the top {self.percent:g} % of {escape(names[0])} is'
            f" at the top of {escape(names[1])}, the same both ways: {verdict} ({chance}). Spearman "
            f"{grid.spearman[i, j]:.2f} over {count(int(grid.objects[i, j]))} objects that have both.</div>"
        )

    # -- from the page --------------------

    def do_among(self, data: dict[str, Any]) -> None:
        """Compare other rankings."""
        self.among, self.pair = str(data["value"]), None
        self.refresh()

    def do_cut(self, data: dict[str, Any]) -> None:
        """Another top."""
        self.percent = float(data["value"])
        self.refresh()

    def do_shown(self, data: dict[str, Any]) -> None:
        """What a cell shows."""
        self.measure = str(data["value"])
        self._draw()

    def do_cell(self, data: dict[str, Any]) -> None:
        """Take a pair, and select the objects at the top of both."""
        keys = self.found[0]
        one, other = keys[int(data["i"])], keys[int(data["j"])]
        self.pair = one, other
        compare.select_tops(self.session, one, other, self.percent, "both", mode_of(data))
        self.refresh()

    def do_tops(self, data: dict[str, Any]) -> None:
        """Select the tops of the pair that they share, or one's alone."""
        one, other = self.found[2]
        compare.select_tops(self.session, one, other, self.percent, str(data["which"]), mode_of(data))

    def do_bin(self, data: dict[str, Any]) -> None:
        """Select the objects of one bar."""
        source, target, _ = self.found[3][int(data["way"])]
        compare.select_bin(self.session, source, target, self.percent, int(data["bin"]), BINS, mode_of(data))
