"""Figures of a verdict: query and neighbours overlaid in the rest frame, and the three diagnostic diagrams."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from bokeh.core.properties import value
from bokeh.models import ColumnDataSource, HoverTool, Range1d, Title, WheelZoomTool
from bokeh.plotting import figure

from explorer.survey.bpt import DIAGRAMS, UPWARDS, curves
from explorer.survey.lines import Lines
from explorer.survey.records import Spectrum
from explorer.views import _spectra
from explorer.views._theme import style_figure, token

KEY = {
    "[O II]": 3728.5, "Ca K": 3934.78, "Hδ": 4102.89, "Hγ": 4341.68, "Hβ": 4862.68, "[O III]": 5008.24,
    "Mg b": 5174.13, "Na D": 5893.0, "[O I]": 6302.05, "Hα": 6564.61, "[N II]": 6585.27, "[S II]": 6725.0,
}  # fmt: skip
WINDOWS = {"n2": (-1.6, 0.7), "s2": (-1.4, 0.6), "o1": (-2.5, 0.1)}
HEIGHT = (-1.2, 1.5)
_DASH = {"Kauffmann+ 2003": "dashed"}


@dataclass(frozen=True)
class Trace:
    """One spectrum of the overlay: ``x`` rest Å and ``y`` flux over its own median; places on the diagrams."""

    name: str
    label: str
    colour: str
    query: bool
    x: np.ndarray
    y: np.ndarray
    places: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)


def trace(
    name: str, label: str, colour: str, query: bool, spectrum: Spectrum | None, z: float | None, lines: Lines | None
) -> Trace:
    """What is drawn of one object; without spectrum or redshift it has no samples, without sure lines no places."""
    places = {} if lines is None else {d: p for d in DIAGRAMS if (p := lines.place(d)) is not None}
    nothing = np.empty(0)
    if spectrum is None or z is None:
        return Trace(name, label, colour, query, nothing, nothing, places)
    level = abs(_spectra.level(spectrum))
    if not np.isfinite(level) or level == 0:
        return Trace(name, label, colour, query, nothing, nothing, places)
    flux, _ = _spectra.smooth(np.asarray(spectrum.flux), np.asarray(spectrum.ivar), 2)
    at = _spectra.decimate(flux, 1400)
    return Trace(name, label, colour, query, spectrum.wavelength[at] / (1 + z), flux[at] / level, places)


class Overlay:
    """Query over its neighbours, key lines marked; wheel and drag zoom."""

    def __init__(self) -> None:
        self.lines = ColumnDataSource({"xs": [], "ys": [], "colour": [], "width": [], "alpha": [], "name": []})
        self.keys = ColumnDataSource(
            {"x": list(KEY.values()), "text": ["" if k == "[N II]" else k for k in KEY], "y": [0.98] * len(KEY)}
        )
        self.plot = figure(
            height=230, sizing_mode="stretch_width", tools="pan,box_zoom,reset,save", toolbar_location="right",
            x_range=Range1d(3600, 7000), y_range=Range1d(0, 2), name="overlay",
        )  # fmt: skip
        self.plot.toolbar.logo = None
        self.plot.extra_y_ranges = {"unit": Range1d(0, 1)}
        self.marks = self.plot.vspan("x", source=self.keys, line_dash=[3, 3], line_alpha=0.5)
        self.plot.multi_line(
            "xs", "ys", source=self.lines, line_color="colour", line_width="width", line_alpha="alpha", name="traces"
        )
        self.names = self.plot.text(
            "x", "y", text="text", source=self.keys, angle=np.pi / 2, text_align="right", text_baseline="bottom",
            x_offset=-2, y_range_name="unit", text_font_size="10px", text_font=value("system-ui, sans-serif"),
        )  # fmt: skip
        wheel = WheelZoomTool(dimensions="width")
        self.plot.add_tools(wheel, HoverTool(renderers=[self.plot.renderers[1]], tooltips="@name"))
        self.plot.toolbar.active_scroll = wheel
        self.plot.xaxis[0].axis_label = "rest-frame wavelength in vacuum (Å)"
        self.plot.yaxis[0].axis_label = "flux / median"

    def show(self, traces: list[Trace], theme: str) -> None:
        """Draw them, the query last, on top."""
        order = [t for t in traces if len(t.x)]
        order = [t for t in order if not t.query] + [t for t in order if t.query]
        self.lines.data = {
            "xs": [t.x for t in order], "ys": [t.y for t in order], "colour": [t.colour for t in order],
            "width": [1.5 if t.query else 1.1 for t in order], "alpha": [1.0 if t.query else 0.75 for t in order],
            "name": [f"{t.name} {t.label}".strip() for t in order],
        }  # fmt: skip
        if order:
            query = order[-1]
            x, y = self.plot.x_range, self.plot.y_range
            low, high = max(3500.0, float(query.x[0])), min(7000.0, float(query.x[-1]))
            low, high = (low, high) if high > low + 300 else (float(query.x[0]), float(query.x[-1]))
            x.update(start=low, end=high, reset_start=low, reset_end=high)
            seen = np.concatenate([t.y[(t.x >= low) & (t.x <= high)] for t in order])
            seen = seen[np.isfinite(seen)]
            bottom, top = np.percentile(seen, [0.3, 99.85]) if len(seen) else (0.0, 1.0)
            pad = 0.12 * max(top - bottom, 1e-3)
            y.update(start=bottom - pad, end=top + 2 * pad, reset_start=bottom - pad, reset_end=top + 2 * pad)
        self.paint(theme)

    def paint(self, theme: str) -> None:
        """Colours of a theme."""
        style_figure(self.plot, theme)
        self.plot.xgrid.grid_line_color = None
        self.marks.glyph.line_color = token(theme, "faint")
        self.names.glyph.text_color = token(theme, "muted")
        self.names.glyph.background_fill_color = token(theme, "sunken")
        self.names.glyph.background_fill_alpha = 0.6


class Diagram:
    """One diagnostic diagram: curves, the survey behind them, neighbours as dots, the query as a diamond."""

    def __init__(self, which: str):
        self.which = which
        low, high = WINDOWS[which]
        self.plot = figure(
            height=240, sizing_mode="stretch_width", tools="pan,wheel_zoom,reset", toolbar_location=None,
            x_range=Range1d(low, high), y_range=Range1d(*HEIGHT), name=f"bpt-{which}",
        )  # fmt: skip
        self.behind = ColumnDataSource({"x": [], "y": []})
        self.dots = ColumnDataSource({k: [] for k in ("x", "y", "colour", "name", "size", "marker")})
        self.bars = ColumnDataSource({k: [] for k in ("x0", "y0", "x1", "y1", "colour")})
        self.cloud = self.plot.scatter("x", "y", source=self.behind, size=2.5, line_color=None)
        self.lines: list[tuple[Any, Any]] = []
        for curve in curves(which):
            x = np.linspace(low - 1, min(high + 1, curve.pole - 0.02), 240)
            y = curve.y(x)
            if curve.parts.startswith("Seyferts"):  # it parts what lies above the first curve only
                edge = curves(which)[0].y(x)
                x, y = x[y > edge], y[y > edge]
            dash = "solid" if curve.used and curve.name not in _DASH else "dotted" if not curve.used else "dashed"
            self.lines.append((curve, self.plot.line(x, y, line_width=1.3, line_dash=dash)))
        self.plot.segment("x0", "y0", "x1", "y1", source=self.bars, line_color="colour", line_alpha=0.8)
        points = self.plot.scatter(
            "x", "y", source=self.dots, size="size", marker="marker", fill_color="colour", line_color="colour"
        )
        self.plot.add_tools(HoverTool(renderers=[points], tooltips="@name"))
        self.note = Title(
            text="", align="right", text_font_size="10px", text_font="system-ui, sans-serif", text_font_style="normal"
        )
        self.plot.add_layout(self.note, "above")
        self.plot.xaxis[0].ticker.desired_num_ticks = 4
        self.plot.xaxis[0].axis_label = DIAGRAMS[which]
        self.plot.yaxis[0].axis_label = UPWARDS
        self._legend()

    def _legend(self) -> None:
        from bokeh.models import Legend, LegendItem

        items = [LegendItem(label=curve.name.split(" (")[0], renderers=[line]) for curve, line in self.lines]
        legend = Legend(
            items=items, location="bottom_left", padding=2, spacing=-3, glyph_width=16, margin=4, label_standoff=4,
            label_height=12, glyph_height=12,
        )  # fmt: skip
        self.plot.add_layout(legend)

    def show(self, traces: list[Trace], behind: tuple[np.ndarray, np.ndarray], theme: str) -> None:
        """Draw places with their errors; what has no place is counted in a corner."""
        placed = [t for t in traces if self.which in t.places]
        placed = [t for t in placed if not t.query] + [t for t in placed if t.query]
        spots = [t.places[self.which] for t in placed]
        self.behind.data = {"x": behind[0], "y": behind[1]}
        self.dots.data = {
            "x": [s[0] for s in spots], "y": [s[2] for s in spots], "colour": [t.colour for t in placed],
            "name": [f"{t.name} {t.label}".strip() for t in placed], "size": [13 if t.query else 8 for t in placed],
            "marker": ["diamond" if t.query else "circle" for t in placed],
        }  # fmt: skip
        across = [(x - ex, y, x + ex, y) for x, ex, y, _ in spots]
        upright = [(x, y - ey, x, y + ey) for x, _, y, ey in spots]
        both = np.array([*across, *upright]).reshape(-1, 4)
        self.bars.data = {k: both[:, i] for i, k in enumerate(("x0", "y0", "x1", "y1"))} | {
            "colour": [t.colour for t in placed] * 2
        }
        missing = len(traces) - len(placed)
        self.note.text = f"{missing} lack lines at S/N > 3" if missing else ""
        self.paint(theme)

    def paint(self, theme: str) -> None:
        """Colours of a theme."""
        style_figure(self.plot, theme)
        for curve, line in self.lines:
            line.glyph.line_color = token(theme, "text" if curve.used else "model")
            line.glyph.line_alpha = 0.85 if curve.used else 1.0
        for legend in self.plot.legend:
            legend.label_text_font_size = "9.5px"
            legend.background_fill_alpha = 0.55
        self.cloud.glyph.fill_color = token(theme, "dimmed")
        self.cloud.glyph.fill_alpha = 0.5
        self.note.text_color = token(theme, "muted")


def behind_of(survey: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Log ratios of the survey's own catalogue, 4,000 at most, where it has columns of line fluxes or ratios."""
    empty = (np.empty(0), np.empty(0))
    out = dict.fromkeys(DIAGRAMS, empty)
    columns = survey.columns
    names = (
        "h_alpha_flux",
        "h_beta_flux",
        "oiii_5008_flux",
        "nii_6585_flux",
        "oi_6302_flux",
        "sii_6718_flux",
        "sii_6733_flux",
    )
    if not all(n in columns and f"{n}_err" in columns for n in names[:4]):
        return out
    rows = np.random.default_rng(0).permutation(len(survey))[:12_000]
    flux = {n: np.asarray(survey.column(n), float)[rows] for n in names if n in columns}
    sure = {n: flux[n] > 3 * np.asarray(survey.column(f"{n}_err"), float)[rows] for n in flux}
    up = sure["h_beta_flux"] & sure["oiii_5008_flux"] & sure["h_alpha_flux"]
    tops = {"n2": ("nii_6585_flux",), "o1": ("oi_6302_flux",), "s2": ("sii_6718_flux", "sii_6733_flux")}
    for diagram, top in tops.items():
        if all(t in flux for t in top):
            good = up & np.logical_and.reduce([sure[t] for t in top])
            x = np.log10(sum(flux[t][good] for t in top) / flux["h_alpha_flux"][good])
            y = np.log10(flux["oiii_5008_flux"][good] / flux["h_beta_flux"][good])
            out[diagram] = (x[:4000], y[:4000])
    return out
