"""The header of the page: which survey, which space, colour, score and stretch, a query, the theme."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from explorer.session import words
from explorer.session._names import STRETCHES
from explorer.views._board import Board
from explorer.views._colour import choices
from explorer.views._map_legend import count
from explorer.views._theme import escape, screen_of
from explorer.views._work import Work

CSS = """
:host { overflow: visible; z-index: 20; }
.hd { display: flex; align-items: center; gap: 8px; height: 100%; padding: 0 12px; box-sizing: border-box; }
.hd .brand { display: flex; align-items: center; gap: 9px; min-width: 0; margin-right: 6px; }
.hd .brand svg { flex: none; }
.hd .brand b { font-size: 13.5px; font-weight: 650; white-space: nowrap; overflow: hidden;
  text-overflow: ellipsis; max-width: 210px; }
.hd .brand small { color: var(--ax-muted); font-size: 11px; white-space: nowrap; }
.hd label { display: flex; align-items: center; height: 28px; border: 1px solid var(--ax-line); border-radius: 6px;
  background: var(--ax-raised); padding-left: 8px; gap: 2px; color: var(--ax-muted); font-size: 11px;
  white-space: nowrap; }
.hd label:hover, .hd input:hover { border-color: var(--ax-strong-line); }
.hd label:focus-within { outline: 2px solid var(--ax-focus); }
.hd select { all: unset; font: 12.5px/26px var(--ax-font); color: var(--ax-text); padding: 0 7px 0 5px; cursor: pointer;
  height: 26px; max-width: 118px; text-overflow: ellipsis; overflow: hidden; white-space: nowrap; }
.hd select option, .hd optgroup { background: var(--ax-panel); color: var(--ax-text); }
.hd .ask { flex: 1; min-width: 120px; position: relative; }
.hd input { all: unset; box-sizing: border-box; width: 100%; height: 28px; padding: 0 10px; border-radius: 6px;
  border: 1px solid var(--ax-line); background: var(--ax-sunken); color: var(--ax-text); font: 12px var(--ax-mono); }
.hd input::placeholder { color: var(--ax-faint); font-family: var(--ax-font); }
.hd input:focus { border-color: var(--ax-focus); outline: 2px solid var(--ax-focus-soft); }
.hd .ask.wrong input { border-color: var(--ax-bad); }
.hd .why { position: absolute; top: 34px; left: 0; z-index: 30; min-width: min(100%, 420px); max-width: 620px;
  box-sizing: border-box; background: var(--ax-panel); border: 1px solid var(--ax-bad); border-radius: 8px;
  box-shadow: var(--ax-shadow); padding: 8px 12px; white-space: pre-wrap; overflow-wrap: anywhere;
  font: 11.5px/1.5 var(--ax-mono); color: var(--ax-text); cursor: pointer; }
.hd button { all: unset; box-sizing: border-box; height: 28px; min-width: 28px; padding: 0 7px; text-align: center;
  border-radius: 6px; cursor: pointer; color: var(--ax-muted); font-size: 15px; }
.hd button:hover { background: var(--ax-raised); color: var(--ax-text); }
.hd button:focus-visible { outline: 2px solid var(--ax-focus); }
.hd .pages { display: flex; flex: none; gap: 2px; padding: 2px; border-radius: 7px; background: var(--ax-sunken);
  border: 1px solid var(--ax-line); }
.hd .pages button { height: 22px; min-width: 0; padding: 0 9px; font-size: 11.5px; border-radius: 5px;
  line-height: 22px; }
.hd .pages [aria-pressed=true] { background: var(--ax-raised); color: var(--ax-text); font-weight: 600; }
.hd .user { color: var(--ax-faint); font-size: 11.5px; white-space: nowrap; }
@media (max-width: 1240px) { .hd .brand small, .hd .user { display: none; } .hd select { max-width: 92px; }
  .hd .brand b { max-width: 120px; } }
@media (max-width: 1100px) { .hd .pages [aria-pressed=true] { display: none; } .hd .pages button { padding: 0 6px; }
  .hd { gap: 5px; } .hd select { max-width: 84px; } .hd .brand b { max-width: 84px; } }
@media (max-width: 900px) { .hd label span, .hd .opt { display: none; } }
"""

_LOGO = (
    '<svg width="22" height="22" viewBox="0 0 22 22" aria-hidden="true">'
    '<circle cx="6" cy="15.5" r="2" fill="var(--ax-data)"/>'
    '<circle cx="11.5" cy="17.5" r="1.3" fill="var(--ax-data)" opacity=".75"/>'
    '<circle cx="4" cy="9.5" r="1.4" fill="var(--ax-data)" opacity=".75"/>'
    '<circle cx="10" cy="11.5" r="1.6" fill="var(--ax-data)"/><path d="M16.5 1.5l1.1 3.4 3.4 1.1-3.4 1.1-1.1 3.4'
    '-1.1-3.4L12 6l3.4-1.1z" fill="var(--ax-select)"/></svg>'
)


def select(do: str, label: str, options: dict[str, str], chosen: str, optional: bool = False) -> str:
    """HTML of a labelled choice, label → value; the texts are escaped."""
    if chosen not in options.values():
        options = {chosen or "–": chosen} | options
    items = "".join(
        f'<option value="{escape(value)}" {"selected" if value == chosen else ""}>{escape(text)}</option>'
        for text, value in options.items()
    )
    kind = "opt" if optional else ""
    return (
        f'<label class="{kind}"><span>{escape(label)}</span>'
        f'<select data-do="{do}" aria-label="{escape(label)}">{items}</select></label>'
    )


def pages(at: str) -> str:
    """HTML of the choice between the two pages."""
    items = "".join(
        f'<button data-do="turn" data-to="{page}" aria-pressed="{str(page == at).lower()}" title="{told} (c)">'
        f"{page.capitalize()}</button>"
        for page, told in (("explore", "Map, ranking and objects"), ("compare", "How far to trust a ranking"))
    )
    return f'<span class="pages" role="group" aria-label="Page">{items}</span>'


def header(session: Any, wrong: str = "", at: str = "") -> str:
    """HTML of the header; ``wrong`` is what the last query had against it, ``at`` the page that it stands on."""
    survey = session.survey
    spaces, same = survey.spaces, {name: name for name in survey.spaces}
    layouts = survey.layouts(session.space) if session.space in spaces else []
    scorers = survey.scores(session.space) if session.space in spaces else []
    parts = [
        f'<span class="brand">{_LOGO}<b title="{escape(survey.name)}">{escape(survey.name)}</b>'
        f"<small>{count(len(survey))} rows</small></span>",
        pages(at) if at else "",
        select("space", "space", same, session.space),
    ]
    if len(layouts) > 1:
        parts.append(select("layout", "layout", {name: name for name in layouts}, session.layout))
    parts.append(select("color_by", "colour", choices(survey, session.space), session.color_by))
    parts.append(select("scorer", "score", {name: name for name in scorers}, session.scorer))
    if "image" in survey.modalities:
        parts.append(select("stretch", "stretch", {name: name for name in STRETCHES}, session.stretch, True))
    why = f'<div class="why" role="alert" data-do="dismiss">{escape(wrong)}</div>' if wrong else ""
    parts.append(
        f'<span class="ask {"wrong" if wrong else ""}"><input data-do="query" data-keep spellcheck="false"'
        f' aria-label="Search by words, id, position or query" placeholder="{escape(example(session))}">{why}</span>'
    )
    parts.append(f'<span class="user" title="whose marks are made">{escape(session.user)}</span>')
    parts.append('<button data-do="theme" title="Dark or light (t)" aria-label="Dark or light">◐</button>')
    return f'<div class="hd">{"".join(parts)}</div>'


def example(session: Any) -> str:
    """What the empty box shows: what it takes, and a query that would work on this survey."""
    survey = session.survey
    pieces = []
    if session.scorer:
        pieces.append(f"rank({session.scorer!r}) <= 100")
    numbers = [
        name for name, kind in survey.columns.items() if str(kind) in ("float", "double") and name.isidentifier()
    ]
    if numbers:
        pieces.append(f"{next((n for n in numbers if n in ('z', 'redshift')), numbers[0])} > 0.5")
    return "words, id, RA Dec, or " + (" and ".join(pieces) or "a query")


class Header:
    """The header of one page."""

    def __init__(self, session: Any, turn: Callable[[str], None] | None = None):
        self.session, self.screen, self._turn = session, screen_of(session), turn
        self.wrong, self.at = "", "explore"
        self.work = Work(self._failed)
        self.work.attach()
        self.board = Board(self._on, CSS, height=48, margin=0, css_classes=["ax-head"])
        self._watching = session.param.watch(
            lambda *_: self._draw(), ["space", "layout", "scorer", "color_by", "stretch", "version"]
        )
        self._draw()

    def close(self) -> None:
        """Stop listening."""
        self.work.close()
        self.session.param.unwatch(self._watching)

    def stand(self, at: str) -> None:
        """Show which page this is: ``explore`` or ``compare``."""
        self.at = at
        self._draw()

    def _draw(self) -> None:
        self.board.markup = header(self.session, self.wrong, self.at if self._turn else "")

    def _on(self, data: dict[str, Any]) -> None:
        do, value = data["do"], data.get("value", "")
        if do == "theme":
            self.screen.theme = "light" if self.screen.theme == "dark" else "dark"
        elif do == "query":
            self._query(value)
        elif do == "dismiss":
            self._query("")
        elif do == "turn":
            if self._turn:
                self._turn(data["to"])
        else:
            try:
                setattr(self.session, do, value)
            except (LookupError, ValueError) as error:
                self.screen.notice = error

    def _query(self, text: str) -> None:
        before, self.wrong = self.wrong, ""
        session, line = self.session, text.strip()
        self.work.drop("words")  # what is asked last is what counts
        try:
            if line and words.is_phrase(session.survey, line):
                if self.work.served:
                    self.screen.notice = f"searching {line} …"
                self.work.run("words", lambda: words.judge(session.survey, line), lambda found: self._take(line, found))
            elif line:
                told = words.asked(session, line)
                if told:
                    self.screen.notice = told
        except (LookupError, ValueError, TypeError) as error:
            self.wrong = str(error)
        if self.wrong or before:
            self._draw()

    def _take(self, line: str, judged: words.Judged) -> None:
        self.screen.notice = words.told(words.take(self.session, line, judged))

    def _failed(self, error: Exception) -> None:
        self.wrong = str(error)
        self._draw()
