"""The mosaic: the selection, or the whole survey, as thumbnails that share one stretch."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from explorer.session.selection import Selection
from explorer.views._sheet import Sheet
from explorer.views._theme import BODY_CSS, CATEGORIES, CONTROLS_CSS, empty, failure, screen_of, skeleton
from explorer.views._thumbs import SORTS, Look, Pictures, render_order, render_pictures, render_tiles
from explorer.views._work import Work
from kernels.layout.stretch import HIGH, SOFTENING

if TYPE_CHECKING:
    from explorer.session.session import Session
    from explorer.survey.store import Survey

AT_ONCE = 900  # tiles of a page, at most


class Controls(param.Parameterized):
    """What a person sets in the mosaic; each can be set from a cell too. The stretch itself is the session's."""

    show = param.Selector(default="selection", objects=["selection", "all"], doc="all is shown where none is selected")
    sort = param.Selector(default="rank", objects=list(SORTS))
    softening = param.Number(SOFTENING, bounds=(0.002, 1), doc="smaller shows fainter light")
    white = param.Number(HIGH, bounds=(80, 100), doc="percentile of the pixels that becomes white")
    limits = param.Selector(default="each", objects=["each", "page"], doc="limits of each cutout, or one for the page")
    bands = param.List(default=[], item_type=str, doc="one band, or those shown as red, green, blue; by name if empty")
    tile = param.Integer(72, bounds=(24, 240), doc="side of a tile in pixels")
    seed = param.Integer(0, bounds=(0, None), doc="of the random order")


def look_of(survey: Survey, kind: str, controls: Controls) -> Look:
    """The look that stretch and controls describe; a band that the survey lacks raises ValueError."""
    known = list(survey.modalities["image"].get("bands", []))
    missing = [b for b in controls.bands if b not in known]
    if missing:
        raise ValueError(f"no band named {missing[0]!r}. There are: {', '.join(known) or 'no named bands'}.")
    colours = tuple(known.index(b) for b in controls.bands) or None
    return Look(kind, controls.softening, controls.white, controls.limits == "page", colours)


def colour_of(label: str, theme: str) -> str:
    """The colour of a mark's dot: the same label has the same colour on every page."""
    palette = CATEGORIES[theme]
    return palette[zlib.crc32(label.encode()) % len(palette)]


def render_mosaic(
    session: Any, rows: np.ndarray, start: int, total: int, look: Look, pixels: int, theme: str = "dark"
) -> dict[str, Any]:
    """Everything that the sheet draws for a page of ``rows``, the first of which has place ``start`` of ``total``."""
    found: Pictures = render_pictures(session.survey, rows, look, pixels)
    tiles = render_tiles(session, rows)
    for tile in tiles:
        tile["colour"] = colour_of(tile["mark"], theme) if tile["mark"] else ""
    return {
        "kind": found.kind,
        "data": found.data,
        "at": list(found.at),
        "cell": found.cell,
        "columns": found.columns,
        "absent": list(found.absent),
        "tiles": tiles,
        "scorer": session.scorer,
        "first": start == 0,
        "last": start + len(rows) >= total,
    }


class MosaicView:
    """Tiles with rank, id and mark; a click looks at one, Shift and a click selects it or lets it go."""

    name = "mosaic"
    title = "Mosaic"
    place = "tab"

    def __init__(self, session: Session):
        self.session, self.controls, self.screen = session, Controls(), screen_of(session)
        self.work = Work(self._failed)
        self.rows, self.start, self.total = np.empty(0, np.int64), 0, 0
        self.room, self.pixels, self._serial, self._own = 60, 128, 0, False
        self.scope = self._scope()
        self.sheet = Sheet(self._on_sheet, sizing_mode="stretch_both", margin=0, visible=False)
        self.note = pn.pane.HTML(skeleton(), stylesheets=[BODY_CSS], margin=0, sizing_mode="stretch_both")
        self.error = pn.pane.HTML("", stylesheets=[BODY_CSS], margin=0, sizing_mode="stretch_width", visible=False)
        self._build()
        c = self.controls
        self._watching: list[tuple[param.Parameterized, Any]] = []
        self._watch(session, self._on_selection, ["selection"])
        self._watch(session, self._on_focus, ["focus"])
        self._watch(session, lambda: self._go(0), ["space", "scorer"])
        self._watch(session, self._refresh, ["version", "marked", "stretch"])
        self._watch(c, self._refresh, ["softening", "white", "limits", "bands"])
        self._watch(c, lambda: self._go(0), ["sort", "seed"])
        self._watch(c, self._on_selection, ["show"])
        self._watch(c, lambda: setattr(self.sheet, "tile", c.tile), ["tile"])
        self._watch(self.screen, self._refresh, ["theme"])

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Whether the survey has images."""
        return "image" in survey.modalities

    def panel(self) -> pn.viewable.Viewable:
        """The view; the first page comes as soon as it is ready."""
        self.work.attach()
        self._go(0)
        body = pn.Column(self.sheet, self.note, sizing_mode="stretch_both", margin=0, styles={"min-height": "0"})
        return pn.Column(self.bar, self.error, body, sizing_mode="stretch_both", margin=0)

    def close(self) -> None:
        """Stop listening to the session."""
        self.work.close()
        for owner, watcher in self._watching:
            owner.param.unwatch(watcher)
        self._watching = []

    # -- widgets --------------------

    def _watch(self, owner: param.Parameterized, act: Any, names: list[str]) -> None:
        self._watching.append((owner, owner.param.watch(lambda *_: act(), names)))

    def _build(self) -> None:
        c, common = self.controls, {"stylesheets": [CONTROLS_CSS], "margin": (2, 4), "description": None}
        select, slider = pn.widgets.Select, pn.widgets.FloatSlider
        orders = {"rank": "rank", "nearest": "nearest to focus", "random": "random"}
        show = select.from_param(c.param.show, label="show", width=88, **common)
        sort = select.from_param(c.param.sort, label="order", options=orders, width=80, **common)
        limits = select.from_param(
            c.param.limits, label="limits", options={"of each": "each", "of page": "page"}, width=82, **common
        )
        bands = self._band_widgets(common)
        del common["description"]
        faint = slider(label="faint", end=1.0, step=0.01, value=faintness(c.softening), width=80, **common)
        white = slider(label="white", start=95, end=100, step=0.05, value=c.white, width=80, **common)
        faint.param.watch(lambda e: setattr(c, "softening", softness(e.new)), "value_throttled")
        white.param.watch(lambda e: setattr(c, "white", e.new), "value_throttled")
        size = pn.widgets.IntSlider.from_param(c.param.tile, label="tile", width=64, **common)
        self.bar = pn.FlexBox(show, sort, faint, white, limits, *bands, size)

    def _band_widgets(self, common: dict[str, Any]) -> list[Any]:
        """One choice of what is shown as colour and, for three or more bands, one for each of red, green, blue."""
        bands = [str(b) for b in self.session.survey.modalities.get("image", {}).get("bands", [])]
        if len(bands) < 2:
            return []
        choose = len(bands) > 2
        first = pn.widgets.Select(
            label="bands", options=["colour", *bands, *(["choose…"] if choose else [])], width=78, **common
        )
        three = [
            pn.widgets.Select(label=n, options=bands, value=bands[i], width=64, visible=False, **common)
            for n, i in (("red", -1), ("green", len(bands) // 2), ("blue", 0))
        ]

        def chosen(*_: Any) -> None:
            custom = first.value == "choose…"
            for widget in three:
                widget.visible = custom
            one = [] if first.value == "colour" else [first.value]
            self.controls.bands = [w.value for w in three] if custom else one

        for widget in (first, *three):
            widget.param.watch(chosen, "value")
        return [first, *three] if choose else [first]

    # -- following --------------------

    def _scope(self) -> Selection:
        chosen = self.session.selection
        return chosen if self.controls.show == "selection" else Selection(self.session.survey)

    def _on_selection(self) -> None:
        if self._own:  # picked on this sheet: what is shown stays, so that it can be let go again
            self._states()
        else:
            self.scope = self._scope()
            self._go(0)

    def _on_focus(self) -> None:
        row = self.session.focus
        if self.controls.sort == "nearest to focus" and row >= 0:
            self._go(0)
        elif row < 0 or row in self.rows:
            self._states()
        else:
            self._go(None)

    def _refresh(self) -> None:
        self._go(self.start)

    def _go(self, start: int | None, focus: str = "") -> None:
        """Show the page from place ``start``, or that of the focus where None; the old one stays until then.

        ``focus`` may be ``first`` or ``last``: then that tile of the new page comes into focus.
        """
        session, c, scope, room, pixels = self.session, self.controls, self.scope, self.room, self.pixels
        survey, theme, sort, seed, here = session.survey, self.screen.theme, c.sort, c.seed, self.start
        space, scorer, row, kind = session.space, session.scorer, session.focus, session.stretch
        try:
            look = look_of(survey, kind, c)
        except ValueError as error:
            self._failed(error)
            return

        def job() -> tuple[np.ndarray, int, int, dict[str, Any]]:
            order = render_order(survey, scope, space, scorer, sort, row, seed)
            total = len(order)
            first = start
            if first is None:
                place = np.flatnonzero(order == row)
                first = int(place[0]) // room * room if len(place) else here
            first = min(max(0, first), max(0, total - 1)) // room * room
            rows = order[first : first + room]
            return rows, first, total, render_mosaic(session, rows, first, total, look, pixels, theme)

        def done(result: tuple[np.ndarray, int, int, dict[str, Any]]) -> None:
            self._show(*result)
            if focus and len(self.rows):
                session.focus_on(int(self.rows[0 if focus == "first" else -1]))

        self.work.run("page", job, done)

    def _show(self, rows: np.ndarray, start: int, total: int, page: dict[str, Any]) -> None:
        self.rows, self.start, self.total = rows, start, total
        self.error.visible = False
        self.sheet.visible, self.note.visible = total > 0, total == 0
        if not total:
            told = ("Nothing is selected by this", "Draw another lasso, change the query, or undo.")
            self.note.object = empty(
                *(told if len(self.session.survey) else ("This survey is empty", "Fill it with explorer ingest."))
            )
            return
        self._serial += 1
        page["told"], page["serial"] = self._caption(), self._serial
        with pn.io.hold():
            self.sheet.param.update(page=page, state=self._state())

    def _caption(self) -> str:
        s, c = self.session, self.controls
        order = {
            "rank": f"by rank ({s.scorer} in {s.space})" if s.scorer else "in the survey's order",
            "random": "in random order",
        }.get(c.sort, f"nearest to the focus in {s.space}" if s.focus >= 0 else "focus an object to sort by nearness")
        if c.sort == "rank" and self.scope.active and self.scope.ordered:
            order = "in the order of the selection"
        what = "selected" if self.scope.active else "rows"
        return f"{self.start + 1:,}–{self.start + len(self.rows):,} of {self.total:,} {what}, {order}"

    def _state(self) -> dict[str, Any]:
        on = np.flatnonzero([int(r) in self.session.selection for r in self.rows])
        at = np.flatnonzero(self.rows == self.session.focus)
        shown = self.scope.active
        return {
            "focus": int(at[0]) if len(at) else -1,
            "selected": [] if shown else on.tolist(),
            "off": np.setdiff1d(np.arange(len(self.rows)), on).tolist() if shown else [],
        }

    def _states(self) -> None:
        self.sheet.state = self._state()

    def _failed(self, error: Exception) -> None:
        self.error.param.update(object=failure(error, "The mosaic could not be drawn"), visible=True)

    # -- what is done to the sheet --------------------

    def _on_sheet(self, msg: dict[str, Any]) -> None:
        what = msg.get("do")
        if what == "room":
            room = int(np.clip(int(msg["columns"]) * int(msg["rows"]), 1, AT_ONCE))
            pixels = int(np.clip(int(msg["pixels"]), 16, 512))
            if (room, pixels) != (self.room, self.pixels):
                same = room == self.room and look_of(self.session.survey, self.session.stretch, self.controls).stored
                self.room, self.pixels = room, pixels
                if not same:
                    self._go(self.start)
        elif what == "page":
            last = max(0, self.total - 1) // self.room * self.room
            to = {"first": 0, "before": self.start - self.room, "next": self.start + self.room, "last": last}
            self._go(min(last, max(0, to[msg["to"]])), msg.get("focus", ""))
        elif what in ("focus", "toggle") and 0 <= int(msg["at"]) < len(self.rows):
            row = int(self.rows[int(msg["at"])])
            if what == "focus":
                self.session.focus_on(row)
            else:
                self._toggle(row)

    def _toggle(self, row: int) -> None:
        self._own = True
        try:
            mode = "subtract" if row in self.session.selection else "add"
            self.session.select(np.array([row]), mode=mode, note="picked in the mosaic")
        finally:
            self._own = False


def faintness(softening: float) -> float:
    """0 … 1 of the slider for a softening of 1 … 0.002: equal steps look equal.

    >>> round(softness(faintness(0.06)), 6)
    0.06
    """
    return float(np.log(softening) / np.log(0.002))


def softness(faint: float) -> float:
    """The softening that a place of the slider stands for; inverse of :func:`faintness`."""
    return float(np.clip(0.002**faint, 0.002, 1))
