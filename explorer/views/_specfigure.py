"""The Bokeh figure of a spectrum. What follows the redshift slider does so in the browser, without the server."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from bokeh.core.properties import field, value
from bokeh.events import MouseLeave, RangesUpdate
from bokeh.models import (
    BoxZoomTool,
    ColumnDataSource,
    CrosshairTool,
    CustomJS,
    HoverTool,
    Label,
    Range1d,
    Span,
    WheelZoomTool,
)
from bokeh.plotting import figure

from explorer.views._lines import LINES, label, placed
from explorer.views._theme import style_figure, token

EMPTY: dict[str, list[str]] = {
    "raw": ["observed", "x", "y"],
    "shown": ["observed", "rest", "x", "y", "low", "high", "sigma"],
    "masked": ["observed0", "observed1", "x0", "x1"],
    "stack": ["base", "x", "median", "low", "high"],
}
LABELS = {"observed": "observed wavelength in vacuum (Å)", "rest": "rest-frame wavelength in vacuum (Å)"}

# Lines, labels and (in the rest frame) the spectrum follow the redshift; labels also follow the visible range.
_FOLLOW = """
const now = state.data, z1 = 1 + Math.max(now.z[0], -0.9999), rest = now.rest[0] === 1
const kinds = now.kinds[0].split(" ")
const move = (source, pairs) => {
  const d = source.data
  for (const [from, to, factor] of pairs) d[to] = Float64Array.from(d[from], (v) => v * factor)
  source.change.emit()
}
const seen = rest ? 1 / z1 : 1
if (moved) {
  move(raw, [["observed", "x", seen]])
  move(shown, [["observed", "x", seen], ["observed", "rest", 1 / z1]])
  move(masked, [["observed0", "x0", seen], ["observed1", "x1", seen]])
  move(stack, [["base", "x", now.stack_rest[0] === 1 ? (rest ? 1 : z1) : seen]])
}
const { strength, kind, label, rest: places } = lines.data
const x = Float64Array.from(places, (v) => v * (rest ? 1 : z1))
const perpixel = (range.end - range.start) / Math.max(plot.inner_width || 800, 1)
const order = [...places.keys()].sort((a, b) => strength[a] - strength[b] || a - b)
const text = Array.from(places, () => ""), taken = { emission: [], absorption: [] }
for (const i of order) {
  if (!kinds.includes(kind[i]) || x[i] < range.start + 14 * perpixel || x[i] > range.end) continue
  if (strength[i] > 2 && range.end - range.start > 2500 * (rest ? 1 : z1)) continue
  if (taken[kind[i]].some((other) => Math.abs(other - x[i]) < 15 * perpixel)) continue
  taken[kind[i]].push(x[i])
  text[i] = label[i]
}
Object.assign(lines.data, { x, text, alpha: Array.from(kind, (k, i) => !kinds.includes(k) ? 0 : text[i] ? 0.55 : 0.2) })
lines.change.emit()
"""

# What is under the pointer, written on the canvas in the theme's colours.
_READ = """
const { x, observed, rest, y, sigma } = shown.data, at = cb_data.geometry
if (!at || !isFinite(at.x) || !x.length) { note.visible = false; return }
let low = 0, high = x.length - 1
while (high - low > 1) { const middle = (low + high) >> 1; if (x[middle] < at.x) low = middle; else high = middle }
const i = at.x - x[low] < x[high] - at.x ? low : high
const near = (v) => Math.abs(v) >= 0.01 && Math.abs(v) < 1e5 ? v.toPrecision(4) : v.toExponential(2)
const flux = isFinite(y[i]) ? `${near(y[i])} ± ${near(sigma[i])}` : "masked"
note.text = `observed  ${observed[i].toFixed(1)} Å\nrest  ${rest[i].toFixed(1)} Å\nflux  ${flux}`
const right = at.sx - plot.inner_width * 0.62 > 0
note.x = at.x; note.y = at.y
note.x_offset = right ? -12 : 12
note.text_align = right ? "right" : "left"
note.visible = true
"""


class SpectrumFigure:
    """Figure and sources; the view fills the sources and connects the redshift slider."""

    def __init__(self) -> None:
        self.sources = {name: ColumnDataSource({c: [] for c in columns}) for name, columns in EMPTY.items()}
        self.lines = ColumnDataSource(line_columns(0.0, "observed", (0, 1), ()))
        self.state = ColumnDataSource({"z": [0.0], "rest": [0], "stack_rest": [1], "kinds": [""]})
        self.plot = figure(
            sizing_mode="stretch_both",
            min_height=180,
            tools="pan,reset,save",
            toolbar_location="right",
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            output_backend="canvas",
            name="spectrum",
        )
        self.plot.extra_y_ranges = {"unit": Range1d(0, 1)}
        self._glyphs()
        self._tools()

    def _glyphs(self) -> None:
        p, s = self.plot, self.sources
        self.strips = p.vstrip("x0", "x1", source=s["masked"], line_color=None, level="underlay")
        self.raw_line = p.step("x", "y", source=s["raw"], mode="center", line_width=0.7)
        self.stack_band = p.varea("x", "low", "high", source=s["stack"])
        self.stack_line = p.line("x", "median", source=s["stack"], line_width=1.4)
        self.marks = p.vspan("x", source=self.lines, line_alpha="alpha", line_width=1, line_dash=[3, 3])
        self.band = p.varea("x", "low", "high", source=s["shown"])
        self.line = p.line("x", "y", source=s["shown"], line_width=1.15, line_join="round")
        self.names = p.text(
            "x",
            "y",
            source=self.lines,
            text="text",
            text_align=field("align"),
            angle=math.pi / 2,
            text_font_size="10.5px",
            text_font=value("system-ui, sans-serif"),
            text_baseline="bottom",
            x_offset=-2,
            y_range_name="unit",
        )
        self.zero = Span(location=0, dimension="width", line_width=1, line_alpha=0.7, level="underlay")
        p.add_layout(self.zero)
        p.yaxis[0].axis_label_standoff = 6

    def _tools(self) -> None:
        box, wheel = BoxZoomTool(), WheelZoomTool(dimensions="width")
        self.note = Label(
            x=0,
            y=0,
            visible=False,
            text_font_size="11px",
            text_font="system-ui, sans-serif",
            padding=6,
            border_radius=4,
            text_baseline="middle",
        )
        self.plot.add_layout(self.note)
        args = {"shown": self.sources["shown"], "note": self.note, "plot": self.plot}
        read = CustomJS(args=args, code=_READ)
        hover = HoverTool(renderers=[self.line], mode="vline", tooltips=None, callback=read)
        self.plot.js_on_event(MouseLeave, CustomJS(args={"note": self.note}, code="note.visible = false"))
        self.crosshair = CrosshairTool(dimensions="height")
        self.plot.add_tools(box, wheel, hover, self.crosshair)
        self.plot.toolbar.active_drag = box
        self.plot.toolbar.active_scroll = wheel

    def follow(self, slider: Any) -> None:
        """Let everything follow a Panel slider of the redshift, and the labels follow the visible range."""
        args = {**self.sources, "lines": self.lines, "state": self.state, "range": self.plot.x_range, "plot": self.plot}
        moved = "state.data.z[0] = cb_obj.value\nconst moved = true\n"
        slider.jscallback(args=args, value=moved + _FOLLOW)
        self.plot.js_on_event(RangesUpdate, CustomJS(args=args, code="const moved = false\n" + _FOLLOW))

    def paint(self, theme: str) -> None:
        """Colours of a theme: the focus in blue, the selection's stack in orange, as everywhere on the page."""
        style_figure(self.plot, theme)
        self.plot.xgrid.grid_line_color = None
        self.line.glyph.line_color = token(theme, "focus")
        self.band.glyph.fill_color = token(theme, "focus")
        self.band.glyph.fill_alpha = 0.22
        self.raw_line.glyph.line_color = token(theme, "faint")
        self.raw_line.glyph.line_alpha = 0.3 if theme == "dark" else 0.2
        self.stack_line.glyph.line_color = token(theme, "select")
        self.stack_line.glyph.line_alpha = 0.9
        self.stack_band.glyph.fill_color = token(theme, "select")
        self.stack_band.glyph.fill_alpha = 0.2
        self.strips.glyph.fill_color = token(theme, "faint")
        self.strips.glyph.fill_alpha = 0.28
        self.zero.line_color = token(theme, "strong-line")
        self.crosshair.line_color = token(theme, "faint")
        self.note.text_color = token(theme, "text")
        self.note.background_fill_color = token(theme, "raised")
        self.note.background_fill_alpha = 0.94
        self.note.border_line_color = token(theme, "strong-line")
        self.marks.glyph.line_color = token(theme, "faint")
        self.names.glyph.text_color = token(theme, "muted")
        self.names.glyph.background_fill_color = token(theme, "sunken")
        self.names.glyph.background_fill_alpha = 0.7

    def frame(self, low: float, high: float, bottom: float, top: float, x_label: str, y_label: str) -> None:
        """Axes, also those that the reset button returns to."""
        x, y = self.plot.x_range, self.plot.y_range
        x.update(start=low, end=high, reset_start=low, reset_end=high)
        y.update(start=bottom, end=top, reset_start=bottom, reset_end=top)
        self.label(x_label, y_label)

    def label(self, x_label: str, y_label: str) -> None:
        """Titles of the axes."""
        self.plot.xaxis[0].axis_label = x_label
        self.plot.yaxis[0].axis_label = y_label


def line_columns(
    z: float, frame: str, window: tuple[float, float], kinds: tuple[str, ...], pixels: float = 800
) -> dict[str, Any]:
    """Columns of all lines as drawn: place ``x``, the text of those with room for it, and 1 or 0 for shown or not."""
    factor = 1.0 if frame == "rest" else 1 + z
    room = dict(placed(window[0] / factor, window[1] / factor, pixels, kinds))
    return {
        "rest": np.array([line.wavelength for line in LINES]),
        "x": np.array([line.wavelength * factor for line in LINES]),
        "y": [0.985 if line.kind == "emission" else 0.015 for line in LINES],
        "align": ["right" if line.kind == "emission" else "left" for line in LINES],
        "label": [label(line) for line in LINES],
        "kind": [line.kind for line in LINES],
        "strength": [line.strength for line in LINES],
        "text": [label(line) if room.get(line) else "" for line in LINES],
        "alpha": [0.0 if line.kind not in kinds else 0.55 if room.get(line) else 0.2 for line in LINES],
    }
