"""The Bokeh figure of the map: its layers, tools and colours. It knows pictures and positions, and no session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import panel as pn
from bokeh.models import (
    BoxSelectTool,
    ColumnDataSource,
    InlineStyleSheet,
    LassoSelectTool,
    PanTool,
    Range1d,
    ResetTool,
    WheelZoomTool,
    ZoomInTool,
    ZoomOutTool,
)
from bokeh.plotting import figure

from explorer.views._map_frame import THUMBNAIL, Window
from explorer.views._map_scripts import attach
from explorer.views._theme import style_figure, token

_TOOLBAR_CSS = """
:host { background: transparent; --tool-icon-color: var(--ax-muted); padding: 4px 2px; }
.bk-tool-icon { background-color: var(--ax-muted); }
.bk-active .bk-tool-icon { background-color: var(--ax-select); }
"""
_FIGURE_CSS = """
:host, :host(:focus), :host(:focus-visible) { outline: none; }
:host, .bk-Canvas { --outline-style: none !important; }  /* no dotted frame around a map that was clicked */
"""


class MapFigure:
    """Layers from the bottom: all rows, the selection, thumbnails, the row under the pointer, the focus."""

    def __init__(self, on_message: Callable[[dict[str, Any]], None]):
        fig = self.figure = figure(
            x_range=Range1d(0, 1),
            y_range=Range1d(0, 1),
            tools="",
            toolbar_location="right",
            sizing_mode="stretch_both",
            min_border=2,  # a lasso along the edge is wiped whole
        )
        fig.axis.visible = fig.grid.visible = False
        lasso, box, wheel = LassoSelectTool(continuous=False), BoxSelectTool(continuous=False), WheelZoomTool()
        fig.add_tools(lasso, box, PanTool(), wheel, ZoomInTool(), ZoomOutTool(), ResetTool())
        fig.toolbar.active_drag, fig.toolbar.active_scroll = lasso, wheel
        fig.toolbar.stylesheets = [InlineStyleSheet(css=_TOOLBAR_CSS)]
        fig.stylesheets = [InlineStyleSheet(css=_FIGURE_CSS)]
        self._regions = (lasso, box)
        self._layers()
        attach(fig, lasso, box, self.base)
        fig.on_change("tags", lambda attr, old, new: on_message(new[0]))
        self.pane: pn.pane.Bokeh | None = None

    def _layers(self) -> None:
        fig, size = self.figure, THUMBNAIL - 6
        nothing: dict[str, list[Any]] = {"image": [], "x": [], "y": [], "dw": [], "dh": []}
        self.base, self.chosen = ColumnDataSource(nothing), ColumnDataSource(nothing)
        self._base_glyph = fig.image_rgba("image", "x", "y", "dw", "dh", source=self.base).glyph
        fig.image_rgba("image", "x", "y", "dw", "dh", source=self.chosen)
        self.thumbs = ColumnDataSource({"url": [], "x": [], "y": [], "edge": []})
        screen = {"width_units": "screen", "height_units": "screen"}
        edges = {"fill_color": "edge", "line_color": None, **screen}
        self._frames = fig.rect("x", "y", size + 4, size + 4, source=self.thumbs, **edges).glyph
        units = {"anchor": "center", "w_units": "screen", "h_units": "screen"}
        self._pictures = fig.image_url("url", "x", "y", size, size, source=self.thumbs, **units).glyph
        self.pointed, self.focused = ColumnDataSource({"x": [], "y": []}), ColumnDataSource({"x": [], "y": []})
        ring = {"fill_color": None, "source": self.focused}
        self._pointer = fig.scatter("x", "y", size=14, line_width=1.5, fill_color=None, source=self.pointed).glyph
        self._halo = fig.scatter("x", "y", size=24, line_width=6, line_alpha=0.8, **ring).glyph
        self._ring = fig.scatter("x", "y", size=24, line_width=2.5, **ring).glyph
        self._cross = fig.scatter("x", "y", size=40, marker="cross", line_width=1.2, source=self.focused).glyph

    def pane_(self) -> pn.pane.Bokeh:
        """The pane that shows the figure; a figure stands on one page."""
        self.pane = pn.pane.Bokeh(self.figure, sizing_mode="stretch_both", margin=0)
        return self.pane

    def push(self) -> None:
        """Send what changed to a notebook's page; a server sends by itself."""
        if self.pane is not None:
            pn.io.push_notebook(self.pane)

    def paint(self, mode: str) -> None:
        """Colours of a theme for everything but the pictures."""
        style_figure(self.figure, mode)
        self.figure.border_fill_color = token(mode, "sunken")
        self.figure.outline_line_color = None
        self._halo.line_color = token(mode, "sunken")
        self._ring.line_color = self._cross.line_color = token(mode, "focus")
        self._pointer.line_color = token(mode, "text")
        for tool in self._regions:
            overlay = tool.overlay
            overlay.line_color = overlay.fill_color = token(mode, "select")
            overlay.fill_alpha, overlay.line_alpha, overlay.line_width, overlay.line_dash = 0.12, 1.0, 1.5, []

    def move_to(self, window: Window, home: bool = False) -> None:
        """Show a window; ``home``: the reset tool comes back to it."""
        for span, low, high in ((self.figure.x_range, *window[:2]), (self.figure.y_range, *window[2:])):
            span.update(start=low, end=high)
            if home:
                span.update(reset_start=low, reset_end=high)

    def show(self, layer: str, picture: np.ndarray | None, window: Window = (0.0, 1.0, 0.0, 1.0)) -> None:
        """Put a picture (h, w) uint32 into the layer ``"base"`` or ``"chosen"``, or empty it."""
        source: ColumnDataSource = getattr(self, layer)
        if picture is None and not source.data["image"]:
            return
        x0, x1, y0, y1 = window
        columns: dict[str, list[Any]] = {"image": [picture], "x": [x0], "y": [y0], "dw": [x1 - x0], "dh": [y1 - y0]}
        source.data = columns if picture is not None else {name: [] for name in columns}

    def dim(self, dimmed: bool) -> None:
        """Let the selection stand out from the rest."""
        self._base_glyph.global_alpha = 0.35 if dimmed else 1.0

    def show_thumbnails(self, xy: np.ndarray, urls: Sequence[str], edges: Sequence[str], size: int = THUMBNAIL) -> None:
        """Pictures at positions (m, 2), each with the colour of its frame; ``size`` with the gap to a neighbour."""
        side = size - 6
        if self._pictures.w != side:
            self._pictures.update(w=side, h=side)
            self._frames.update(width=side + 4, height=side + 4)
        self.thumbs.data = {"url": list(urls), "x": xy[:, 0].tolist(), "y": xy[:, 1].tolist(), "edge": list(edges)}

    def widen_focus(self, around: int) -> None:
        """Draw the focus as a frame around a thumbnail of this size, or with 0 as a small ring with a cross."""
        size, marker = (around + 4, "square") if around else (24, "circle")
        if self._ring.size != size:
            self._ring.update(size=size, marker=marker)
            self._halo.update(size=size, marker=marker)
            self._cross.line_alpha = 0.0 if around else 1.0

    def mark(self, source: ColumnDataSource, at: np.ndarray | None) -> None:
        """Move ``focused`` or ``pointed`` to a position (2,), or hide it."""
        known = at is not None and bool(np.isfinite(at).all())
        source.data = {"x": [float(at[0])], "y": [float(at[1])]} if known and at is not None else {"x": [], "y": []}
