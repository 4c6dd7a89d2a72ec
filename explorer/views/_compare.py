"""What the panels of COMPARE have in common: a head with choices, a body, what it says, progress, errors, selecting."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import panel as pn

from explorer.views import _charts
from explorer.views._board import Board
from explorer.views._map_frame import data_url
from explorer.views._shots import Shots
from explorer.views._theme import escape, failure, screen_of, skeleton
from explorer.views._work import Work

T = TypeVar("T")

CSS = (
    _charts.CSS
    + """
.cp { height: 100%; display: flex; flex-direction: column; min-height: 0; box-sizing: border-box;
  padding: 10px 14px 8px; }
.cp .top { display: flex; align-items: center; gap: 8px; flex-wrap: wrap; min-height: 24px; padding-bottom: 6px; }
.cp .top h2 { margin: 0; font-size: 11px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: var(--ax-text); margin-right: auto; white-space: nowrap; }
.cp .body { flex: 1; min-height: 0; overflow: auto; scrollbar-width: thin; position: relative; }
.cp .says { color: var(--ax-muted); font-size: 11.5px; line-height: 1.4; padding-top: 6px; }
.cp .says b { color: var(--ax-text); font-weight: 600; }
.cp .warn { color: var(--ax-text); border-left: 3px solid var(--ax-model); background: var(--ax-raised);
  border-radius: 4px; padding: 4px 9px; margin-top: 6px; font-size: 11.5px; line-height: 1.4; }
.cp label { display: inline-flex; align-items: center; gap: 4px; color: var(--ax-muted); font-size: 11px; }
.cp select, .cp button { all: unset; box-sizing: border-box; height: 23px; line-height: 21px; padding: 0 8px;
  border-radius: 5px; border: 1px solid var(--ax-line); background: var(--ax-raised); color: var(--ax-text);
  font-size: 11.5px; cursor: pointer; white-space: nowrap; }
.cp select { max-width: 150px; text-overflow: ellipsis; overflow: hidden; }
.cp select option { background: var(--ax-panel); color: var(--ax-text); }
.cp button:hover, .cp select:hover { border-color: var(--ax-strong-line); }
.cp button:focus-visible, .cp select:focus-visible { outline: 2px solid var(--ax-focus); }
.cp button[aria-pressed=true] { background: var(--ax-focus-soft); border-color: var(--ax-focus); }
.cp button[disabled] { opacity: .45; pointer-events: none; }
.cp .go { background: var(--ax-focus-soft); border-color: var(--ax-focus); }
.cp .busy { display: flex; align-items: center; gap: 10px; padding: 6px 0; color: var(--ax-muted); font-size: 11.5px; }
.cp .busy i { flex: 1; height: 4px; border-radius: 2px; background: var(--ax-line); overflow: hidden; }
.cp .busy i s { display: block; height: 100%; background: var(--ax-focus); border-radius: 2px; transition: width .3s; }
.cp .strip { display: flex; gap: 4px; overflow: hidden; flex-wrap: wrap; max-height: 46px; }
.cp .strip button { width: 46px; height: 46px; padding: 0; border-radius: 4px; overflow: hidden; flex: none;
  background: var(--ax-sunken); color: var(--ax-faint); font-size: 9px; text-align: center; }
.cp .strip img { width: 100%; height: 100%; display: block; object-fit: cover; }
.cp .strip .focus { border: 2px solid var(--ax-focus); }
.cp .tr { flex: 1; min-height: 0; display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 18px; }
.cp .tr > div { min-height: 0; overflow: hidden; }
.cp .tr .right { display: flex; flex-direction: column; gap: 4px; }
.cp .tr .right .ch { flex: 1 1 0; min-height: 0; }
.cp .who { align-items: center; padding: 4px 0;
  display: flex; gap: 6px; flex-wrap: wrap; }
.cp .cf { border-collapse: separate; table-layout: fixed; border-spacing: 2px; width: 100%; font-size: 11.5px; }
.cp .cf th { font-weight: 500; color: var(--ax-muted); text-align: center; font-size: 11px; padding: 2px 4px; }
.cp .cf thead th:first-child { width: 112px; }
.cp .cf tbody th { text-align: left; white-space: nowrap; padding: 0 6px 0 0; }
.cp .cf tbody th button { width: 100%; text-align: left; overflow: hidden; text-overflow: ellipsis; }
.cp .cf td { text-align: center; padding: 3px; border-radius: 3px; color: var(--ax-text); min-width: 44px; }
.cp .cf .now { color: var(--ax-text); font-weight: 650; }
.cp .cf td.now { box-shadow: inset 0 0 0 1px var(--ax-strong-line); }
.cp .fu tbody tr { cursor: pointer; } .cp .fu tbody tr:hover { background: var(--ax-raised); }
.cp .fu tbody th { color: var(--ax-text); } .cp .fu tr.now { background: var(--ax-focus-soft); }
.cp .fu thead th:first-child { width: 76px; }
.cp .fu thead th:nth-child(2) { width: 30%; }
.cp .fu .bar { white-space: nowrap; } .cp .fu .bar b { font-weight: 500; }
.cp .fu .bar i { display: inline-block; position: relative; width: 54px; height: 6px; border-radius: 3px;
  background: var(--ax-line); margin-right: 6px; vertical-align: middle; }
.cp .fu .bar i s { position: absolute; top: 0; bottom: 0; border-radius: 3px; background: var(--ax-data); }
.cp .key { display: flex; flex-wrap: wrap; gap: 3px 14px; font-size: 11.5px; color: var(--ax-text); padding-top: 4px; }
.cp .key i { display: inline-block; width: 10px; height: 10px; border-radius: 50%; margin-right: 5px; }
.cp .ax-empty { height: auto; min-height: 100%; }
"""
)


class Cancelled(Exception):
    """The person stopped what ran."""


def choice(do: str, label: str, options: dict[str, str], chosen: str, title: str = "") -> str:
    """HTML of a labelled choice, text → value; the texts are escaped."""
    items = "".join(
        f'<option value="{escape(value)}" {"selected" if value == chosen else ""}>{escape(words)}</option>'
        for words, value in options.items()
    )
    return (
        f'<label title="{escape(title)}">{escape(label)}<select data-do="{do}" aria-label="{escape(label or do)}">'
        f"{items}</select></label>"
    )


def button(do: str, words: str, title: str = "", cls: str = "", live: bool = True, **data: Any) -> str:
    """HTML of a button; ``data`` comes back with the click."""
    more = "".join(f' data-{name}="{escape(value)}"' for name, value in data.items())
    off = "" if live else " disabled"
    return f'<button class="{cls}" data-do="{do}"{more} title="{escape(title)}"{off}>{escape(words)}</button>'


def toggle(do: str, words: str, on: bool, title: str = "", **data: Any) -> str:
    """HTML of a button that stays down."""
    return button(do, words, title, **data).replace("<button ", f'<button aria-pressed="{str(on).lower()}" ', 1)


def mode_of(data: dict[str, Any]) -> str:
    """How a click joins the selection: none replaces, Shift adds, Ctrl intersects, both subtract."""
    if data.get("shift") and data.get("ctrl"):
        return "subtract"
    return "add" if data.get("shift") else "intersect" if data.get("ctrl") else "replace"


class ComparePanel:
    """A panel: subclasses say what is computed and how the result is drawn.

    :meth:`load` computes in a thread what :meth:`draw` then makes markup of; both are called again when what they
    :attr:`follow` changes. A handler ``do_NAME(data)`` answers a click on ``data-do="NAME"``.
    """

    name = title = ""
    place = "compare"
    width = 1
    follow: tuple[str, ...] = ("version",)  # of the session: what it says is computed anew
    shows: tuple[str, ...] = ()  # of the session: what it only draws anew
    painted = False  # with colours of categories, which are no variables of the theme

    def __init__(self, session: Any):
        self.session, self.screen = session, screen_of(session)
        self.work = Work(self._failed)
        self.shots = Shots(session.survey, self.work, self._draw)
        self.found: Any = None
        self.trouble: Exception | None = None
        self._busy: tuple[int, int, str] | None = None
        self._stop, self._lit = threading.Event(), False
        self.board = Board(self._on_click, CSS, sizing_mode="stretch_both", margin=0, markup=skeleton())
        self._watching = [(session, session.param.watch(lambda *_: self.refresh(), list(self.follow)))]
        if self.shows:
            self._watching.append((session, session.param.watch(lambda *_: self._on_shows(), list(self.shows))))
        if self.painted:
            self._watching.append((self.screen, self.screen.param.watch(lambda *_: self._draw(), ["theme"])))

    @classmethod
    def applies(cls, survey: Any) -> bool:
        """Every survey: where there is nothing to compare, the panel says what to run."""
        return True

    def panel(self) -> pn.viewable.Viewable:
        """The panel; its content comes when it is ready."""
        self.work.attach()
        if self.work.served:
            pn.state.onload(self.refresh)
        else:
            self.refresh()
        return self.board

    def close(self) -> None:
        """Stop what runs, and stop listening."""
        self._stop.set()
        self.work.close()
        for owner, watcher in self._watching:
            owner.param.unwatch(watcher)
        self._watching = []

    # -- for subclasses --------------------

    def load(self) -> Any:
        """What is drawn; runs in a thread."""
        raise NotImplementedError

    def head(self) -> str:
        """HTML of the choices."""
        return ""

    def draw(self, found: Any) -> str:
        """HTML of the body and of what it says, with every text escaped."""
        raise NotImplementedError

    def pictured(self, found: Any) -> Any:
        """Rows that are pictured, of which the one in focus is marked; None to draw anew whatever is in focus."""
        return None

    def refresh(self) -> None:
        """Compute and draw anew; what is there stays until then."""
        self.work.run("load", self.load, self._loaded)

    def long(self, job: Callable[[Callable[[int, int, str], None]], T], done: Callable[[T], Any]) -> None:
        """Run ``job(progress)`` beside the page with its progress shown and a way to stop it."""
        if self._busy is not None:
            return
        self._stop.clear()
        self._busy = (0, 1, "waiting for its turn")

        def progress(at: int, of: int, label: str = "") -> None:
            if self._stop.is_set():
                raise Cancelled
            self.work.deliver(lambda: self._tell((at, of, label)))

        def work() -> tuple[bool, Any]:
            try:
                return True, job(progress)
            except Cancelled:
                return False, None

        def ended(result: tuple[bool, Any]) -> None:
            self._busy = None
            if result[0]:
                done(result[1])
            else:
                self._draw()

        self._draw()
        self.work.run("long", work, ended, slow=True)

    def strip(self, rows: Any) -> str:
        """HTML of a strip of thumbnails; on a server they come when they have been read."""
        return strip(self.session, rows, self.shots.of(rows))

    # -- inside --------------------

    def _on_shows(self) -> None:
        rows = None if self.found is None else self.pictured(self.found)
        if rows is None:
            self._draw()
            return
        here = self.session.focus in {int(row) for row in rows}
        if here or self._lit:  # a panel may be large: it is sent again only where something on it changes
            self._draw()
        self._lit = here

    def _tell(self, busy: tuple[int, int, str]) -> None:
        if self._busy is not None:
            self._busy = busy
            self._draw()

    def _loaded(self, found: Any) -> None:
        self.found, self.trouble = found, None
        self._draw()

    def _failed(self, error: Exception) -> None:
        self.trouble, self._busy = error, None
        self._draw()

    def _draw(self) -> None:
        try:
            self.board.markup = self.markup()
        except Exception as error:  # the last good panel would hide what is wrong with this one
            self.board.markup = f'<div class="cp">{failure(error, f"{self.title} cannot be shown")}</div>'

    def markup(self) -> str:
        """HTML of the whole panel."""
        top = f'<div class="top"><h2>{escape(self.title)}</h2>{self.head()}</div>'
        wrong = "" if self.trouble is None else failure(self.trouble, f"{self.title} cannot be computed")
        busy = ""
        if self._busy is not None:
            at, of, label = self._busy
            bar = f'<i><s style="width:{100 * at / max(of, 1):.0f}%"></s></i>'
            busy = f'<div class="busy" role="status">{escape(label)}{bar}{at} of {of}{button("stop", "Stop")}</div>'
        body = self.draw(self.found) if self.found is not None else "" if wrong else skeleton()
        return f'<div class="cp" data-panel="{self.name}">{top}{busy}{wrong}{body}</div>'

    def _on_click(self, data: dict[str, Any]) -> None:
        try:
            getattr(self, f"do_{data['do']}")(data)
        except Exception as error:  # what a person did on the page is answered on the page
            self.screen.notice = error

    def do_stop(self, _: dict[str, Any]) -> None:
        """Stop what runs at its next step."""
        self._stop.set()

    def do_focus(self, data: dict[str, Any]) -> None:
        """Look at an object."""
        self.session.focus_on(int(data["row"]))


def strip(session: Any, rows: Any, pictures: Sequence[bytes | None]) -> str:
    """HTML of a strip of thumbnails of ``rows`` that are clicked to look at; a dot where there is no image."""
    parts = []
    for row, name, picture in zip(rows, session.survey.ids_of(rows), pictures, strict=True):
        inner = f'<img alt="" src="{data_url(picture)}">' if picture else "·"
        here = "focus" if row == session.focus else ""
        parts.append(f'<button class="{here}" data-do="focus" data-row="{row}" title="{escape(name)}">{inner}</button>')
    return f'<div class="strip">{"".join(parts)}</div>'
