"""The map: every row of a layout, drawn by the point map, with selection, focus, hover and thumbnails on top.

The picture is made in Python for the window that is on the screen and shipped as pixels, so its cost does not grow
with the number of rows. The selection is the session's, never Bokeh's: a lasso arrives as a polygon and leaves as
rows; the layers that show it are drawn from row positions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import panel as pn

from explorer.session.maps import point_map
from explorer.session.selection import Polygon
from explorer.views import _map_frame as frames
from explorer.views._board import Board
from explorer.views._colour import Categories, Counts, Values, colouring
from explorer.views._map_figure import MapFigure
from explorer.views._map_legend import CSS as LEGEND_CSS
from explorer.views._map_legend import legend, number
from explorer.views._map_overlay import CORNER_CSS, OVER_CSS, corner, hover_card, lost, nothing_yet
from explorer.views._theme import BODY_CSS, failure, screen_of, skeleton, token
from explorer.views._work import Work

MODES = {"replace": "replace", "append": "add", "intersect": "intersect", "subtract": "subtract"}
CLICKED = {(True, True): "subtract", (True, False): "add", (False, True): "intersect", (False, False): "replace"}
NEAR = 14  # pixels on the screen within which a click or the pointer finds a row

_THUMBNAILS = {"auto": "on", "on": "off", "off": "auto"}
_STAGE_CSS = ":host { position: relative; min-height: 0; overflow: hidden; background: var(--ax-sunken); }"


class MapView:
    """The map of the session's space and layout."""

    name = "map"
    title = "Map"
    place = "map"

    def __init__(self, session: Any):
        self.session, self.screen = session, screen_of(session)
        self.work = Work(self._failed)
        self.canvas = MapFigure(self._on_message)
        self.canvas.paint(self.screen.theme)
        self.over = pn.pane.HTML("", stylesheets=[BODY_CSS + OVER_CSS], margin=0)
        self.legend = Board(self._on_legend, LEGEND_CSS, height=52, margin=0)
        self.corner = Board(self._on_corner, CORNER_CSS, margin=0)
        self.points: Any = None
        self.xy = np.empty((0, 2), np.float32)
        self.colour: Any = Counts()
        self.shape = (640, 640)
        self.window = self.home = (0.0, 1.0, 0.0, 1.0)
        self.spread = 0
        self._told_legend: tuple[Any, Any, Any] = (None, None, None)
        self._laid: set[int] = set()  # rows whose thumbnails lie on the map
        self._size = frames.THUMBNAIL
        watched = [
            (session, self._on_layout, ["space", "layout", "version"]),
            (session, self._on_selection, ["selection"]),
            (session, self._on_colour, ["color_by", "scorer", "marked"]),
            (session, self._on_focus, ["focus"]),
            (self.screen, self._on_look, ["theme", "continuous"]),
            (self.screen, self._on_thumbnails, ["thumbnails"]),
        ]
        self._watching = [(o, o.param.watch(lambda *_, act=act: act(), names)) for o, act, names in watched]

    @classmethod
    def applies(cls, survey: Any) -> bool:
        """Every survey: one without a layout is told how to make one."""
        return True

    def panel(self) -> pn.viewable.Viewable:
        """The view: the figure, what floats over it, the legend."""
        self.work.attach()
        self.over.object = f'<div class="wait">{skeleton()}</div>'
        stretch: dict[str, Any] = {"sizing_mode": "stretch_both", "margin": 0}
        stage = pn.Column(self.canvas.pane_(), self.over, self.corner, stylesheets=[_STAGE_CSS], **stretch)
        self._draw_corner()
        if self.work.served:
            pn.state.onload(self._on_layout)
        else:
            self._on_layout()
        return pn.Column(stage, self.legend, **stretch)

    def close(self) -> None:
        """Stop listening."""
        self.work.close()
        for owner, watcher in self._watching:
            owner.param.unwatch(watcher)
        self._watching = []

    # -- from the session --------------------

    def _on_layout(self) -> None:
        """Another space or layout, or a survey that grew: every position may be new."""
        session, survey = self.session, self.session.survey
        space, layout = session.space, session.layout
        self._draw_corner()
        if not len(survey) or space not in survey.spaces or layout not in survey.layouts(space):
            self.points = None
            self.over.object = nothing_yet(survey)
            self.legend.markup, self._told_legend = "", (None, None, None)
            return

        def job() -> tuple[Any, np.ndarray, Any]:
            return point_map(survey, space, layout), survey.layout(space, layout), colouring(session)

        def done(made: tuple[Any, np.ndarray, Any]) -> None:
            moved = made[0] is not self.points
            self.points, self.xy, self.colour = made
            if moved:
                self._go_home()
            if moved:
                self.over.object = ""
            self._draw()
            self._on_focus()

        self.work.run("layout", job, done)

    def _on_selection(self) -> None:
        mask = self._mask()
        self._draw_legend(mask)
        if self.points is None:
            return
        points, window, shape, spread, colour = self.points, self.window, self.shape, self.spread, self.colour
        look = (self.screen.theme, self.screen.continuous)

        def job() -> np.ndarray | None:
            return None if mask is None else frames.render_selection(points, window, shape, mask, look, spread, colour)

        def done(picture: np.ndarray | None) -> None:
            if (window, shape) != (self.window, self.shape):
                return  # the frame of the new window is on its way, and brings the selection
            self.canvas.dim(mask is not None)
            self.canvas.show("chosen", picture, window)
            self.canvas.push()
            self._draw_thumbnails()

        self.work.run("selection", job, done)

    def _on_colour(self) -> None:
        def done(colour: Any) -> None:
            self.colour = colour
            self._draw()

        if self.points is not None:
            self.work.run("colour", lambda: colouring(self.session), done)

    def _on_look(self) -> None:
        self.work.deliver(lambda: self.canvas.paint(self.screen.theme))
        self._draw()

    def _on_focus(self) -> None:
        row = self.session.focus
        at = self.xy[row] if self.points is not None and 0 <= row < len(self.xy) else None
        self._bring(at)

        def act() -> None:
            self.canvas.widen_focus(self._size if row in self._laid else 0)
            self.canvas.mark(self.canvas.focused, at)
            self.canvas.push()

        self.work.deliver(act)

    def _on_thumbnails(self) -> None:
        self._draw_corner()
        self._draw_thumbnails()

    def _mask(self) -> np.ndarray | None:
        selection = self.session.selection
        return selection.mask if selection.active else None

    # -- drawing --------------------

    def _go_home(self) -> None:
        self.window = self.home = frames.full_window(self.xy, self.shape)
        self.work.deliver(lambda window=self.home: self.canvas.move_to(window, home=True))  # type: ignore[misc]

    def _bring(self, at: np.ndarray | None) -> None:
        """Move a window that is zoomed in so that it holds a position, at the same scale."""
        x0, x1, y0, y1 = self.window
        if at is None or not np.isfinite(at).all() or (x0 <= at[0] <= x1 and y0 <= at[1] <= y1):
            return
        wide, tall = (x1 - x0) / 2, (y1 - y0) / 2
        x, y = float(at[0]), float(at[1])
        self.window = (x - wide, x + wide, y - tall, y + tall)
        self.work.deliver(lambda window=self.window: self.canvas.move_to(window))  # type: ignore[misc]
        self._draw()

    def _draw(self) -> None:
        """Draw the window anew, with selection, legend and thumbnails."""
        if self.points is None:
            return
        points, window, shape, colour, mask = self.points, self.window, self.shape, self.colour, self._mask()
        drawn = self.session.selection
        look = (self.screen.theme, self.screen.continuous)

        def done(frame: frames.Frame) -> None:
            self.spread = frame.spread
            self.canvas.dim(mask is not None)
            self.canvas.show("base", frame.base, window)
            self.canvas.show("chosen", frame.chosen, window)
            self.canvas.push()
            self.screen.shown = frame.visible
            self.over.object = "" if frame.visible else lost()
            if self.session.selection is drawn:
                self._draw_thumbnails()
            else:
                self._on_selection()

        self.work.run("frame", lambda: frames.render(points, window, shape, colour, mask, look), done)
        self._draw_legend(mask)

    def _draw_legend(self, mask: np.ndarray | None) -> None:
        colour, selection, look = self.colour, self.session.selection, (self.screen.theme, self.screen.continuous)
        before = self._told_legend  # counting ten million rows again for each window would be felt
        if before[0] is not colour or before[1] is not selection or before[2] != look:
            self._told_legend = (colour, selection, look)
            self.legend.markup = legend(colour, mask, look)

    def _draw_corner(self) -> None:
        session = self.session
        self.corner.markup = corner(session.space, session.layout, self.screen.thumbnails, session.survey)

    def _draw_thumbnails(self) -> None:
        """Thumbnails where few rows are visible, or where asked for."""
        survey, wanted = self.session.survey, self.screen.thumbnails
        few = 0 < self.screen.shown <= frames.FEW
        if self.points is None or "image" not in survey.modalities or wanted == "off" or (wanted == "auto" and not few):
            self.work.deliver(lambda: self._lay_thumbnails(np.empty(0, np.int64), []))
            return
        points, xy, window, shape = self.points, self.xy, self.window, self.shape
        size = frames.thumbnail_size(self.screen.shown)

        def job() -> tuple[np.ndarray, list[bytes | None]]:
            rows = frames.representatives(points, xy, window, shape, size=size)
            return rows, survey.thumbnails(rows) if len(rows) else []

        self.work.run("thumbnails", job, lambda made: self._lay_thumbnails(*made, size))

    def _lay_thumbnails(self, rows: np.ndarray, pictures: list[bytes | None], size: int = frames.THUMBNAIL) -> None:
        if not len(rows) and not len(self.canvas.thumbs.data["url"]):
            return
        self._laid, self._size = set(rows.tolist()), size
        mode, selection = self.screen.theme, self.session.selection
        there = [i for i, picture in enumerate(pictures) if picture is not None]
        urls = [frames.data_url(pictures[i]) for i in there]
        edges = [token(mode, "select" if int(rows[i]) in selection else "strong-line") for i in there]
        self.canvas.show_thumbnails(self.xy[rows[there]], urls, edges, size)
        self.canvas.widen_focus(size if self.session.focus in self._laid else 0)
        self.canvas.push()

    # -- from the page --------------------

    def _failed(self, error: Exception) -> None:
        self.screen.notice = error
        if self.points is None:
            self.over.object = failure(error, "The map cannot be drawn")

    def _on_message(self, message: dict[str, Any]) -> None:
        act = {"window": self._do_window, "region": self._do_region, "tap": self._do_tap, "hover": self._do_hover}
        try:
            act.get(message["kind"], self._do_leave)(message)
        except Exception as error:  # what a person did on the page is answered on the page
            self._failed(error)

    def _do_window(self, m: dict[str, Any]) -> None:
        window, shape = (m["x0"], m["x1"], m["y0"], m["y1"]), (int(m["height"]), int(m["width"]))
        resized, at_home = shape != self.shape, self.window == self.home
        if not resized and np.allclose(window, self.window, rtol=1e-9):
            return
        self.shape = shape
        if self.points is None:
            return
        if resized and at_home:
            self._go_home()
        else:
            self.window = window
        self._draw()

    def _do_region(self, m: dict[str, Any]) -> None:
        vertices = np.stack([m["x"], m["y"]], axis=1).astype(np.float64)
        polygon = Polygon(self.session.layout, self.session.space, vertices)
        self.session.select(polygon, mode=MODES.get(m["mode"], m["mode"]))

    def _do_tap(self, m: dict[str, Any]) -> None:
        row = self._row_at(m["x"], m["y"])
        if row >= 0:
            self.session.focus_on(row)

    def _do_hover(self, m: dict[str, Any]) -> None:
        row = self._row_at(m["x"], m["y"])
        if row < 0:
            self._do_leave(m)
            return
        survey, told, at = self.session.survey, self._told(row), (float(m["sx"]), float(m["sy"]))
        self.canvas.mark(self.canvas.pointed, self.xy[row])
        self.canvas.push()

        def done(picture: bytes | None) -> None:
            self.over.object = hover_card(survey.ids_of([row])[0], told, picture, at, self.shape)

        self.work.run("hover", lambda: survey.thumbnails([row])[0], done)

    def _do_leave(self, m: dict[str, Any]) -> None:
        self.work.drop("hover")
        if self.points is not None:
            self.canvas.mark(self.canvas.pointed, None)
            self.over.object = "" if self.screen.shown else lost()
            self.canvas.push()

    def _row_at(self, x: float, y: float) -> int:
        """The row next to a position, -1 where none is near on the screen."""
        if self.points is None or x is None or y is None:
            return -1
        row = int(self.points.nearest(x, y))
        unit = (self.window[1] - self.window[0]) / self.shape[1]
        return row if row >= 0 and np.hypot(*(self.xy[row] - (x, y))) <= NEAR * unit else -1

    def _told(self, row: int) -> str:
        """What colours a row, in words."""
        if isinstance(self.colour, Values):
            return f"{self.colour.name} {number(float(self.colour.values[row]))} {self.colour.unit}"
        if isinstance(self.colour, Categories):
            code = int(self.colour.codes[row])
            return f"{self.colour.name}: {self.colour.labels[code] if code >= 0 else '–'}"
        return ""

    def _on_corner(self, data: dict[str, Any]) -> None:
        self.screen.thumbnails = _THUMBNAILS[self.screen.thumbnails]

    def _on_legend(self, data: dict[str, Any]) -> None:
        if isinstance(self.colour, Categories):
            rows = self.colour.slots == int(data["place"])
            self.session.select(rows, mode=CLICKED[bool(data["shift"]), bool(data["ctrl"])])
