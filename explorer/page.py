"""The page: views laid out around one session, in a served window or in a notebook's cell."""

from __future__ import annotations

import logging
import math
from typing import Any

import panel as pn

from explorer.compare import Compare
from explorer.views import VIEWS, _keys
from explorer.views._board import Board
from explorer.views._header import Header
from explorer.views._theme import BODY_CSS, MODES, ROOT_CSS, empty, escape, failure, screen_of
from kernels.registry import UnknownName

PLACES = ("explore", "compare")
FIRST = ("mosaic", "spectrum", "card")  # the order of the tabs; further views follow by name
REFRESH = 2000  # ms between two looks for what others added to the survey

_log = logging.getLogger("explorer")

_GRID_CSS = """
:host { display: grid !important; gap: 1px; background: var(--ax-line); box-sizing: border-box; overflow: hidden;
  grid-template: 48px minmax(0, 1fr) 40px / minmax(0, 1.12fr) minmax(0, 1fr);
  grid-template-areas: "head head" "map side" "foot foot"; position: relative; }
:host(.ax-alone) { position: fixed !important; inset: 0; height: 100vh !important; width: 100vw !important; }
:host(.ax-cell) { border: 1px solid var(--ax-line); border-radius: 10px; }
.ax-head { grid-area: head; background: var(--ax-panel); min-width: 0; }
.ax-map { grid-area: map; background: var(--ax-panel); min-width: 0; min-height: 0; }
.ax-side { grid-area: side; min-width: 0; min-height: 0; background: var(--ax-line); }
.ax-foot { grid-area: foot; background: var(--ax-panel); min-width: 0; }
.ax-compare { grid-area: 2 / 1 / 3 / 3; min-width: 0; min-height: 0; z-index: 10; }
:host(.ax-at-compare) .ax-map, :host(.ax-at-compare) .ax-side { visibility: hidden; }
.scroll-button { display: none !important; }
"""
_SIDE_CSS = """
:host { display: grid !important; grid-template: minmax(0, 44fr) minmax(0, 56fr) / minmax(0, 1fr); gap: 1px; }
.scroll-button { display: none !important; }
.ax-upper, .ax-lower { background: var(--ax-panel); min-width: 0; min-height: 0; overflow: hidden; }
"""
_TABS_CSS = """
:host { background: var(--ax-panel); }
.bk-header { border-bottom: 1px solid var(--ax-line) !important; padding: 0 8px; gap: 2px;
  background: var(--ax-panel); }
.bk-tab { border: none !important; background: none !important; color: var(--ax-muted) !important;
  padding: 8px 10px 7px; font: 600 11px var(--ax-font); letter-spacing: .06em; text-transform: uppercase;
  border-radius: 0 !important; }
@media (max-width: 1300px) { .bk-header { flex-wrap: wrap; padding: 0 4px; gap: 0; }
  .bk-tab { padding: 8px 6px 7px; font-size: 10.5px; letter-spacing: 0; } }
.bk-tab:hover { color: var(--ax-text) !important; }
.bk-tab.bk-active { color: var(--ax-text) !important; box-shadow: inset 0 -2px var(--ax-select); }
.bk-tab:focus { outline: none; }
.bk-tab:focus-visible { outline: 2px solid var(--ax-focus); outline-offset: -2px; }
"""
_TOAST_CSS = """
:host { position: absolute !important; right: 14px; bottom: 54px; z-index: 35;
  width: auto !important; max-width: 440px; }
.toast { background: var(--ax-panel); border: 1px solid var(--ax-strong-line); border-left: 3px solid var(--ax-good);
  border-radius: 8px; box-shadow: var(--ax-shadow); padding: 9px 14px; cursor: pointer; white-space: pre-wrap;
  overflow-wrap: anywhere; animation: ax-leave .4s ease 5s forwards; }
.toast.wrong { border-left-color: var(--ax-bad); animation: none; }
@keyframes ax-leave { to { opacity: 0; visibility: hidden; } }
"""


def _keep_local(document: Any) -> None:
    """Let Panel take its style sheets from this server from the first model on.

    Panel learns where they are when the page is rendered; a view that is laid out before and shown later would ask
    a server on the network for them.
    """
    from panel.io.resources import LOCAL_DIST

    base = f"{pn.state.rel_path}/" if pn.state.rel_path else ""
    document.template_variables["dist_url"] = f"{base}{LOCAL_DIST}"


class Page:
    """One page on a session: build it, show ``layout``, ``close()`` it when its window goes.

    ``at`` is where it stands, ``"explore"`` or ``"compare"``; :meth:`turn` changes it. In a served window the address
    says so too: ``?page=compare``.
    """

    def __init__(self, session: Any, height: int = 760, at: str = "explore"):
        self.session, self.screen, self.at = session, screen_of(session), "explore"
        self.views: list[Any] = []
        self._served = pn.state.curdoc is not None and pn.state.curdoc.session_context is not None
        if self._served:
            _keep_local(pn.state.curdoc)
        self.header = Header(session, self.turn)
        self.compare = Compare(session.survey, self._view)
        self.toast = Board(self._on_toast, _TOAST_CSS, visible=False, margin=0)
        self.help = Board(lambda _: setattr(self.screen, "help", False), _keys.HELP_CSS, visible=False, margin=0)
        self.help.markup = _keys.help_card()
        self.keys = _keys.Keys(self._on_key, alone=self._served)
        # Not dynamic: Panel gives a pane that changes in a tab that was left style sheets from its CDN.
        self._tabs = pn.Tabs(dynamic=False, sizing_mode="stretch_both", margin=0, stylesheets=[_TABS_CSS])
        self._tabs.param.watch(self._on_tab, ["active"])
        self._tab_names: list[str] = []
        self.layout = self._lay_out(height)
        self._watching = [
            self.screen.param.watch(self._on_theme, ["theme"]),
            self.screen.param.watch(self._on_notice, ["notice"], onlychanged=False),
            self.screen.param.watch(self._on_wanted, ["wanted"], onlychanged=False),
            self.screen.param.watch(lambda event: setattr(self.help, "visible", event.new), ["help"]),
        ]
        self._version = session.param.watch(lambda _: self._grow(), ["version"])
        if self._served:
            pn.state.on_session_destroyed(lambda _: self.close())
            self._timer = pn.state.add_periodic_callback(self._refresh, REFRESH)
            asked = pn.state.session_args.get("page", [b""])[0].decode("utf-8", "replace")
            at = asked if asked in PLACES else at
        self.turn(at)

    def _lay_out(self, height: int) -> pn.Column:
        stretch: dict[str, Any] = {"sizing_mode": "stretch_both", "margin": 0}
        self._fill_tabs()
        upper = pn.Column(self._view("ranking"), css_classes=["ax-upper"], **stretch)
        lower = pn.Column(self._tabs, css_classes=["ax-lower"], **stretch)
        side = pn.Column(upper, lower, css_classes=["ax-side"], stylesheets=[_SIDE_CSS], **stretch)
        whole = pn.Column(
            self.header.board,
            pn.Column(self._view("map"), css_classes=["ax-map"], **stretch),
            side,
            pn.Column(self._view("status"), css_classes=["ax-foot"], margin=0, sizing_mode="stretch_width"),
            self.compare.layout,
            self.toast,
            self.help,
            self.keys,
            css_classes=self._classes(),
            stylesheets=[ROOT_CSS + BODY_CSS + _GRID_CSS],
            margin=0,
            **({"sizing_mode": "stretch_both"} if self._served else {"sizing_mode": "stretch_width", "height": height}),
        )
        return whole

    def _classes(self) -> list[str]:
        return ["ax-root", f"ax-{self.screen.theme}", "ax-alone" if self._served else "ax-cell", f"ax-at-{self.at}"]

    def turn(self, at: str = "") -> None:
        """Turn to ``"explore"`` or ``"compare"``; to the other one where nothing is said."""
        at = at or PLACES[1 - PLACES.index(self.at)]
        if at not in PLACES:
            raise UnknownName("page", at, list(PLACES))
        if at == self.at:
            return
        self.at = at
        if at == "compare":
            self.compare.fill()
        self.compare.layout.visible = at == "compare"
        self.layout.css_classes = self._classes()
        self.header.stand(at)
        if self._served and pn.state.location is not None:
            pn.state.location.update_query(page=at)

    def _grow(self) -> None:
        """Have a place for every view that applies now; a survey that grows gains them."""
        self._fill_tabs()
        if self.compare.made:
            self.compare.fill()

    def _view(self, name: str) -> pn.viewable.Viewable:
        """A view's panel; where it cannot be made, the reason, so that the rest of the page stands."""
        try:
            view = VIEWS.get(name)(self.session)
            shown = view.panel()
        except Exception as error:
            _log.exception("the view %s cannot be shown", name)
            markup = failure(error, f"The view {name} cannot be shown")
            return pn.pane.HTML(markup, stylesheets=[BODY_CSS], sizing_mode="stretch_both")
        self.views.append(view)
        return shown

    def _fill_tabs(self) -> None:
        """Add a tab for every view that applies and has none; a survey that grows gains tabs."""
        found: dict[str, Any] = {}
        for name in VIEWS.names():
            try:
                view = VIEWS.get(name)
                if getattr(view, "place", "tab") == "tab" and view.applies(self.session.survey):
                    found[name] = view.title
            except Exception:  # a view from outside that cannot be read gets a tab that says so
                _log.exception("the view %s cannot be read", name)
                found[name] = name
        order = sorted(found, key=lambda n: (FIRST.index(n) if n in FIRST else math.inf, n))
        if order and not self._tab_names:
            self._look_at(order[0])
        for name in order:
            if name not in self._tab_names:
                self._tab_names.append(name)
                self._tabs.append((str(found[name]), self._view(name)))
        if not self._tab_names and not len(self._tabs):
            hint = "Ingest images or spectra to look at them here"
            note = pn.pane.HTML(empty("Only a catalogue", hint), stylesheets=[BODY_CSS], sizing_mode="stretch_both")
            self._tabs.append(("Objects", note))

    def _on_tab(self, event: Any) -> None:
        self._look_at(self._tab_names[event.new] if event.new < len(self._tab_names) else "")

    def _on_wanted(self, event: Any) -> None:
        if event.new in self._tab_names:
            self._tabs.active = self._tab_names.index(event.new)

    def _look_at(self, tab: str) -> None:
        self.screen.tabs = {**self.screen.tabs, id(self): tab}

    def close(self) -> None:
        """Let go of the session: every view, every watcher."""
        for watcher in self._watching:
            self.screen.param.unwatch(watcher)
        self._watching = []
        self.session.param.unwatch(self._version)
        self.header.close()
        views, self.views = self.views, []
        for view in views:
            try:
                view.close()
            except Exception:  # one that cannot be closed must not hold the others
                _log.exception("the view %s cannot be closed", view.name)
        self.screen.tabs = {page: tab for page, tab in self.screen.tabs.items() if page != id(self)}

    # -- what happens on the page --------------------

    def _refresh(self) -> None:
        try:
            self.session.refresh()
        except Exception as error:  # the survey may be on a disk that went away
            _log.warning("the survey cannot be read again: %s", error)

    def _on_theme(self, event: Any) -> None:
        self.layout.css_classes = self._classes()

    def _on_notice(self, event: Any) -> None:
        told = event.new
        self.toast.visible = told is not None
        if told is not None:
            kind = "wrong" if isinstance(told, Exception) else ""
            role = "alert" if kind else "status"
            self.toast.markup = f'<div class="toast {kind}" role="{role}" data-do="dismiss">{escape(told)}</div>'

    def _on_toast(self, data: dict[str, Any]) -> None:
        self.screen.notice = None
        self.toast.visible = False

    def _on_key(self, key: str) -> None:
        try:
            self._do_key(key)
        except Exception as error:  # a key that cannot be followed is answered on the page
            self.screen.notice = error

    def _do_key(self, key: str) -> None:
        session = self.session
        if key == "Escape":
            if self.screen.help or self.toast.visible:
                self.screen.help = self.toast.visible = False
                self.screen.notice = None
            else:
                session.clear()
        elif key in ("undo", "redo"):
            getattr(session, key)()
        elif key in ("j", "ArrowRight", "k", "ArrowLeft"):
            session.step(1 if key in ("j", "ArrowRight") else -1)
        elif key == "u":
            session.next_unmarked()
        elif key == "t":
            self.screen.theme = MODES[1 - MODES.index(self.screen.theme)]
        elif key == "c":
            self.turn()
        elif key == "r":
            self.screen.again += 1
        elif key == "?":
            self.screen.help = not self.screen.help
        elif session.focus < 0:
            raise ValueError("Nothing to score: click an object, or step to one with j")
        else:
            session.mark([session.focus], score=int(key))
