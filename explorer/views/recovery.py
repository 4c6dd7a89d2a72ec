"""Recovery: which share of injected oddities each space, score and fusion brings into the top, by strength (P0.16)."""

from __future__ import annotations

from typing import Any

from explorer.session import recovered
from explorer.views import _charts as charts
from explorer.views._compare import ComparePanel, button, choice
from explorer.views._theme import CATEGORIES, OTHER, empty, escape

ACROSS = 3  # kinds side by side
HOSTS = 60


def curves(found: Any, names: list[str], theme: str) -> str:
    """SVG of small multiples, one for each kind of oddity, a line for each of ``names``; ``found`` is a frame.

    Columns ``kind``, ``strength``, ``line``, ``share``, ``low``, ``high``.
    """
    kinds = [kind for kind in dict.fromkeys(found["kind"]) if kind != "none"]
    across = min(ACROSS, len(kinds))
    down = -(-len(kinds) // across)
    width, left, gap = 920.0, 34.0, 30.0
    room, high = (width - left - gap * (across - 1)) / across, 250.0 / down - 34
    parts, top = [], min(100.0, max(10.0, 100 * float(found["high"].max())))
    for i, kind in enumerate(kinds):
        x, y = left + (room + gap) * (i % across), 16 + (high + 34) * (i // across)
        parts.append(_one(found[found["kind"].isin([kind, "none"])], kind, names, theme, (x, y, room, high), top))
    return charts.svg(width, 16 + (high + 34) * down, "".join(parts), "recovery of injected oddities")


def _one(
    frame: Any, kind: str, names: list[str], theme: str, box: tuple[float, float, float, float], most: float
) -> str:
    x0, y0, w, h = box
    here = frame[frame["kind"] == kind]
    low, high = float(here["strength"].min()), float(here["strength"].max())
    x = charts.logarithmic((low, high if high > low else low * 10), (x0 + 4, x0 + w - 6))
    y = charts.linear((0, most), (y0 + h, y0 + 4))
    parts = [
        charts.text(x0, y0 - 3, kind, "start", "strong"),
        charts.left_axis(y, charts.ticks(0, most, 2), x0, x0 + w),
    ]
    parts += [charts.text(x(s), y0 + h + 13, charts.plain(s), "middle") for s in sorted(set(here["strength"]))]
    chance = frame[frame["kind"] == "none"]["share"]
    if len(chance):
        level = y(100 * float(chance.mean()))
        parts.append(charts.line(x0, level, x0 + w, level, "", "stroke:var(--ax-model);stroke-dasharray:4 3"))
    for i, name in enumerate(names):
        mine = here[here["line"] == name].sort_values("strength")
        colour = colour_of(i, theme)
        points = list(zip(mine["strength"], mine["share"], mine["low"], mine["high"], strict=True))
        parts.append(
            charts.path([x(p[0]) for p in points], [y(100 * p[1]) for p in points], f"stroke:{colour};stroke-width:1.8")
        )
        for strength, share, bottom, top in points:
            told = f"{name}, {kind} at {strength:g}: {100 * share:.0f} % found ({100 * bottom:.0f} to {100 * top:.0f})"
            parts.append(
                charts.line(x(strength), y(100 * bottom), x(strength), y(100 * top), "", f"stroke:{colour};opacity:.4")
            )
            parts.append(
                f'<circle cx="{x(strength):.1f}" cy="{y(100 * share):.1f}" r="2.6" fill="{colour}">'
                f"<title>{escape(told)}</title></circle>"
            )
    return "".join(parts)


def colour_of(place: int, theme: str) -> str:
    """The colour of a line by its place."""
    palette = CATEGORIES[theme]
    return palette[place] if place < len(palette) else OTHER[theme]


def legend(names: list[str], theme: str) -> str:
    """HTML: the lines' names and colours."""
    items = "".join(
        f'<span><i style="background:{colour_of(i, theme)}"></i>{escape(name)}</span>' for i, name in enumerate(names)
    )
    return f'<div class="key">{items}</div>'


class RecoveryView(ComparePanel):
    """Recovery curves that the report wrote into the survey's folder, or that are computed here."""

    name, title, width = "recovery", "Recovery of injected sources", 2
    painted = True

    def __init__(self, session: Any):
        super().__init__(session)
        self.among = ""

    def load(self) -> Any:
        """The table of recovery, None where there is none."""
        return (recovered.read(self.session.survey),)

    def head(self) -> str:
        """Which lines are drawn."""
        frame = self.found[0] if self.found else None
        if frame is None:
            return ""
        options = recovered.groups(frame)
        return choice("among", "", {k: k for k in options}, self.among or next(iter(options)), "Which lines are drawn")

    def draw(self, found: Any) -> str:
        """The curves, or how to get them."""
        frame, survey = found[0], self.session.survey
        if frame is None:
            if not recovered.possible(survey):
                return empty("Nothing can be injected", "It needs images, and a space whose encoder is stored")
            go = button(
                "inject", f"Inject into {HOSTS} objects", "Injected, embedded anew, scored", "go", self._busy is None
            )
            hint = "Lens arcs, second nuclei, broad lines, spikes and cosmic rays of graded strength are put into real "
            hint += "objects: which score finds them? explorer report SURVEY does it with more objects"
            words = f"<b>What would be found?</b><span>{hint}</span><span>{go}</span>"
            return f'<div class="ax-empty">{words}</div>'
        options = recovered.groups(frame)
        lines = options.get(self.among) or next(iter(options.values()))
        drawn = recovered.labelled(frame, lines)
        names = list(dict.fromkeys(drawn["line"]))
        percent, of = float(frame["percent"].iloc[0]), int(frame["of"].max())
        says = (
            f"Share of {of} objects that stand in the top {percent:g} % once an oddity of that strength is put into "
            "them; bars: 95 % binomial; dashed: without any."
        )
        picture = curves(drawn, names, self.screen.theme)
        return f'<div class="body">{picture}</div>{legend(names, self.screen.theme)}<div class="says">{says}</div>'

    def do_among(self, data: dict[str, Any]) -> None:
        """Other lines."""
        self.among = str(data["value"])
        self._draw()

    def do_inject(self, _: dict[str, Any]) -> None:
        """Inject, embed and score beside the page."""
        survey = self.session.survey
        self.long(lambda progress: recovered.make(survey, HOSTS, progress), lambda _: self.refresh())
