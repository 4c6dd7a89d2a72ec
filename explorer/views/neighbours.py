"""Neighbours: what is most (or least) like the object in focus, in one space or in all of them side by side."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from explorer.views import _likeness
from explorer.views._board import Board
from explorer.views._drop import FileDrop
from explorer.views._theme import BODY_CSS, empty, escape, failure, screen_of, skeleton
from explorer.views._work import Work

if TYPE_CHECKING:
    from explorer.session.session import Session
    from explorer.survey.store import Survey

MOST_BYTES = 14 << 20
"""Of a file given on the page: in base64 it has to fit into one message of 20 MB, the most that the server takes."""


class Controls(param.Parameterized):
    """What a person sets in the view; each can be set from a cell too."""

    everywhere = param.Boolean(False, doc="all spaces side by side, not the session's alone")
    least = param.Boolean(False, doc="the least similar, the farthest first")
    distinct = param.Boolean(False, doc="near-duplicates set aside")
    inside = param.Boolean(False, doc="within the selection only")
    minus = param.String("", doc="ids that are taken away, separated by commas")
    k = param.Integer(24, bounds=(1, 500))
    apart = param.Number(3.0, bounds=(0, 60), doc="degrees between vectors within which two count as the same")


def render_neighbours(
    session: Any, row: int, controls: Controls, file: Path | None = None
) -> tuple[str, dict[str, Any]]:
    """(markup of the lists, tables by space) for the row in focus or an object from a file."""
    minus = [name.strip() for name in controls.minus.split(",") if name.strip()]
    more: dict[str, Any] = {
        "within_selection": controls.inside, "least": controls.least,
        "apart": controls.apart if controls.distinct else 0.0,
    }  # fmt: skip
    ids = [row] if file is None else []
    outside = None
    if file is not None:
        from explorer.pipeline.outside import embed_file

        outside = embed_file(session.survey, file)
        spaces = list(outside.vectors) if controls.everywhere else [session.space]
        found = {space: session.find_similar(ids, minus, controls.k, space, file=file, **more) for space in spaces}
    elif controls.everywhere:
        found = session.side_by_side(ids, minus, max(4, controls.k // 2), **more)
    else:
        found = {session.space: session.find_similar(ids, minus, controls.k, session.space, **more)}
    tiles = {space: _likeness.tiles_of(session, table, outside) for space, table in found.items()}
    markup = _likeness.side_by_side(tiles) if controls.everywhere else _likeness.one_list(next(iter(tiles.values())))
    return markup, found


class NeighboursView:
    """The query pinned first; a click looks at a neighbour; ``select these`` makes them the selection."""

    name = "neighbours"
    title = "Neighbours"
    place = "tab"

    def __init__(self, session: Session):
        self.session, self.controls, self.screen = session, Controls(), screen_of(session)
        self.work = Work(self._failed)
        self.file: Path | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.found: dict[str, Any] = {}
        self.pinned, self._own = -1, False
        self.board = Board(self._on_board, _likeness.CSS, sizing_mode="stretch_both", margin=0)
        self.board.markup = skeleton()
        self.upload = FileDrop(
            self._on_file, accept=".fits,.fit,.fts,.gz,.png,.jpg,.jpeg", most=MOST_BYTES, margin=(7, 10, 0, 10)
        )
        self._watching: list[tuple[param.Parameterized, Any]] = []
        self._late = False
        self._watch(self.screen, self._on_tab, ["tabs"])
        self._watch(session, self._on_focus, ["focus"])
        self._watch(session, self._go, ["space", "version", "marked"])
        self._watch(session, self._on_selection, ["selection"])
        self._watch(self.controls, self._go, ["everywhere", "least", "distinct", "inside", "minus", "k", "apart"])

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Whether the survey has a space in which something can be near."""
        return bool(survey.spaces)

    def panel(self) -> pn.viewable.Viewable:
        """The view; the list comes as soon as it is ready."""
        self.work.attach()
        self._on_focus()
        hint = pn.pane.HTML(
            '<span class="ax-muted">or like a file</span>', stylesheets=[BODY_CSS], margin=(8, 0, 0, 12)
        )
        given = pn.Row(hint, self.upload, sizing_mode="stretch_width", margin=0)
        return pn.Column(given, self.board, sizing_mode="stretch_both", margin=0)

    def close(self) -> None:
        """Stop listening to the session and forget a file that was given."""
        self.work.close()
        for owner, watcher in self._watching:
            owner.param.unwatch(watcher)
        self._watching = []
        if self._folder is not None:
            self._folder.cleanup()

    def _watch(self, owner: param.Parameterized, act: Any, names: list[str]) -> None:
        self._watching.append((owner, owner.param.watch(lambda *_: act(), names)))

    # -- following --------------------

    def _on_focus(self) -> None:
        if self._own:  # a neighbour that is looked at does not become the query: its query stays pinned
            return
        self.file, self.pinned = None, self.session.focus
        self._go()

    def _on_selection(self) -> None:
        if self.controls.inside and not self._own:
            self._go()

    def _on_file(self, called: str, data: bytes | None, size: int) -> None:
        self.screen.wanted = self.name
        if data is None or len(data) > MOST_BYTES:
            told = f"{called} has {max(size, len(data or b'')) / 2**20:.0f} MB, and the page takes {MOST_BYTES >> 20}"
            self._failed(ValueError(f"{told}: give it from a cell, ex.similar_to(file=...)"))
            return
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="explorer-example-")
        name = Path(called or "example").name[:120]
        self.file = Path(self._folder.name) / (name if name not in ("", ".", "..") else "example")
        self.file.write_bytes(data)
        self._go()

    def _on_tab(self) -> None:
        if self._late:
            self._go()

    def _go(self) -> None:
        self._late = not self.screen.seen(self.name)
        if self._late:  # done when the tab is looked at
            return
        session, row, file, controls = self.session, self.pinned, self.file, self.controls
        if not session.space:
            self.board.markup = empty("No space yet", "Run survey.prepare() to embed the survey.")
            return
        if row < 0 and file is None:
            self.board.markup = empty("Nothing to compare with", "Click an object, step with j, or give a file above.")
            return
        self.work.run("list", lambda: render_neighbours(session, row, controls, file), self._show)

    def _show(self, result: tuple[str, dict[str, Any]]) -> None:
        lists, self.found = result
        self.board.markup = (
            f'<div class="nb">{self._bar()}<div class="scroll" data-scroll="{self.pinned}">{lists}</div>'
            f'<div class="told">{self._told()}</div></div>'
        )

    def _failed(self, error: Exception) -> None:
        self.board.markup = f'<div class="nb">{self._bar()}{failure(error, "No neighbours of this")}</div>'

    # -- markup --------------------

    def _bar(self) -> str:
        c = self.controls
        chosen = [
            ("everywhere", "all spaces"), ("least", "least similar"), ("distinct", "duplicates aside"),
            ("inside", "in selection"),
        ]  # fmt: skip
        buttons = "".join(
            f'<button data-do="set" data-name="{name}" aria-pressed="{str(getattr(c, name)).lower()}">{text}</button>'
            for name, text in chosen
        )
        away = (
            f'<input data-do="minus" placeholder="less these ids…" value="{escape(c.minus)}" '
            'aria-label="ids to take away" title="ids to take away, separated by commas; Enter">'
        )
        here = self.session.focus
        moved = here >= 0 and here != self.pinned and self.file is None
        follow = (
            '<button data-do="follow" title="make the object in focus the query">query ← focus</button>'
            if moved
            else ""
        )
        go = '<button class="go" data-do="select">select these</button>' if self.found else ""
        return f'<div class="bar">{buttons}{away}{follow}{go}</div>'

    def _told(self) -> str:
        notes = ["distance: 1 − cosine of the angle between vectors, beside that of random pairs of the space"]
        if self.controls.everywhere:
            notes.append("percent: random pairs that lie farther apart · green: found in two spaces or more")
        if self.controls.distinct:
            notes.append(f"within {self.controls.apart:g}° of a nearer one: set aside")
        return escape(" · ".join(notes))

    def _on_board(self, data: dict[str, Any]) -> None:
        try:
            self._do(data)
        except Exception as error:  # what a person asked is answered on the page
            self.screen.notice = error

    def _do(self, data: dict[str, Any]) -> None:
        what = data.get("do")
        if what == "set" and data.get("name") in ("everywhere", "least", "distinct", "inside"):
            setattr(self.controls, data["name"], not getattr(self.controls, data["name"]))
        elif what == "minus":
            self.controls.minus = str(data.get("value", ""))[:2000]
        elif what == "follow":
            self._on_focus()
        elif what == "look":
            self._own = True
            try:
                self.session.focus_on(int(data["row"]))
            finally:
                self._own = False
            self._refresh_bar()
        elif what == "select":
            self._select()

    def _refresh_bar(self) -> None:
        before = self.board.markup
        start, stop = before.find('<div class="bar">'), before.find('<div class="scroll"')
        if 0 <= start < stop:
            self.board.markup = before[:start] + self._bar() + before[stop:]

    def _select(self) -> None:
        """Make everything that is listed the selection, nearest first, as a step that says what it came from."""
        rows = [r for table in self.found.values() for r in table.index.tolist() if r >= 0]
        unique = np.array(list(dict.fromkeys(rows)), np.int64)
        first = next(iter(self.found.values()))
        examples = ", ".join(first.loc[first["example"], "id"].tolist())
        how = "least similar" if self.controls.least else "similar"
        self._own = True
        try:
            ids = self.session.survey.ids_of(unique)
            self.session.select(ids, note=f"{how} to {examples} in {', '.join(self.found)}")
        finally:
            self._own = False
