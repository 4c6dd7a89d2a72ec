"""The status line: what is selected, shown and there; undo, redo, clear; marks; export."""

from __future__ import annotations

import base64
import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import panel as pn

from explorer.views._board import Board
from explorer.views._map_legend import count
from explorer.views._theme import escape, screen_of
from explorer.views._work import Work

FORMATS = {"fits": "FITS", "csv": "CSV", "parquet": "Parquet", "votable": "VOTable"}
ENDINGS = {"votable": "vot"}

CSS = """
.st { display: flex; align-items: center; gap: 6px; height: 100%; padding: 0 12px; box-sizing: border-box;
  white-space: nowrap; overflow: hidden; }
.st .n { font-weight: 600; } .st .sel { color: var(--ax-select); } .st .dot { color: var(--ax-faint); }
.st .recipe { flex: 1; min-width: 20px; overflow: hidden; text-overflow: ellipsis; color: var(--ax-muted);
  padding: 0 8px; font-family: var(--ax-mono); font-size: 11px; }
.st button, .st select, .st input { all: unset; box-sizing: border-box; height: 26px; padding: 0 9px;
  border-radius: 6px; border: 1px solid var(--ax-line); background: var(--ax-raised);
  color: var(--ax-text); cursor: pointer; line-height: 24px; }
.st input { cursor: text; width: 128px; } .st input::placeholder { color: var(--ax-faint); }
.st button:hover, .st select:hover, .st input:hover { border-color: var(--ax-strong-line); }
.st button:focus-visible, .st select:focus-visible, .st input:focus { outline: 2px solid var(--ax-focus); }
.st button[disabled] { opacity: .4; pointer-events: none; }
.st select option { background: var(--ax-panel); color: var(--ax-text); }
.st .marks { display: flex; gap: 4px; } .st .marks button { color: var(--ax-muted); }
@media (max-width: 1100px) { .st .marks button:nth-child(n+3) { display: none; } .st .recipe { display: none; }
  .st .gap { flex: 1; } }
"""


def summary(selected: int, shown: int, total: int, active: bool) -> str:
    """HTML of *N selected · N shown · N in all*."""
    chosen = f'<span class="n sel">{count(selected)}</span>' if active else '<span class="n">0</span>'
    dot = '<span class="dot">·</span>'
    return (
        f'<span data-part="selected">{chosen} selected</span>{dot}'
        f'<span data-part="shown"><span class="n">{count(shown)}</span> shown</span>{dot}'
        f'<span data-part="all"><span class="n">{count(total)}</span> in all</span>'
    )


def described(recipe: list[dict[str, Any]]) -> str:
    """A recipe in a few words: its last step, and how many came before."""
    if not recipe:
        return ""
    step = recipe[-1]
    told = step.get("note") or step.get("query")
    if not told and "polygon" in step:
        told = f"region of {len(step['polygon'])} vertices in {step['space']} {step['layout']}"
    if not told:
        told = f"{len(step['ids'])} ids" if "ids" in step else "a set of rows"
    signs = {"add": "+ ", "intersect": "∩ ", "subtract": "− "}
    before = f"{len(recipe) - 1} steps, " if len(recipe) > 2 else "1 step, " if len(recipe) == 2 else ""
    return before + signs.get(str(step["mode"]), "") + str(told)


def line(session: Any, shown: int) -> str:
    """HTML of the whole status line; every text is escaped."""
    chosen, labels = session.selection, mark_counts(session)
    marks = "".join(
        f'<button data-do="marked" data-label="{escape(label)}" title="Select what is marked {escape(label)}">'
        f"{escape(label)} {count(n)}</button>"
        for label, n in labels[:4]
    )
    known = "".join(f'<option value="{escape(label)}">' for label, _ in labels)
    told = escape(described(chosen.recipe))

    def button(do: str, words: str, live: bool, keys: str) -> str:
        return f'<button data-do="{do}" title="{keys}" {"" if live else "disabled"}>{words}</button>'

    formats = "".join(f'<option value="{key}">{name}</option>' for key, name in FORMATS.items())
    return (
        f'<div class="st">{summary(len(chosen), shown, chosen.total, chosen.active)}'
        f'<span class="recipe" title="{told}">{told}</span><span class="gap"></span>'
        f'<span class="marks">{marks}</span>'
        f'<input data-do="mark" list="known-marks" placeholder="mark as …" aria-label="Mark as"'
        f' title="A label and Enter: marks the selection, or the focus where nothing is selected">'
        f'<datalist id="known-marks">{known}</datalist>'
        + button("undo", "Undo", session.can_undo, "Ctrl+Z")
        + button("redo", "Redo", session.can_redo, "Ctrl+Shift+Z")
        + button("clear", "Clear", chosen.active, "Esc")
        + f'<select data-do="export" aria-label="Export the selection"><option value="">Export ▾</option>{formats}'
        '</select><button data-do="help" title="Keys: ?" aria-label="Keys">?</button></div>'
    )


def mark_counts(session: Any) -> list[tuple[str, int]]:
    """Labels that this session's user gave, the most frequent first, with how many rows carry each."""
    marks = session.marks
    mine = marks[marks["user"] == session.user] if len(marks) else marks
    found = mine["label"][mine["label"] != ""].value_counts() if len(mine) else {}
    return [(str(label), int(n)) for label, n in found.items()]


def as_one(path: Path) -> tuple[str, bytes]:
    """Name and bytes of an exported file, in a zip with what lies beside it (a CSV's provenance) where there is any."""
    files = sorted(path.parent.iterdir())
    if len(files) == 1:
        return path.name, path.read_bytes()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, file.name)
    return f"{path.stem}.zip", packed.getvalue()


class StatusView:
    """The line at the bottom of the page."""

    name = "status"
    title = "Status"
    place = "foot"

    def __init__(self, session: Any):
        self.session, self.screen = session, screen_of(session)
        self.work = Work(self._failed)
        self.board = Board(self._on_click, CSS, height=40, margin=0)
        names = ["selection", "space", "layout", "version", "marked"]
        self._watching = [
            (session, session.param.watch(lambda *_: self._draw(), names)),
            (self.screen, self.screen.param.watch(lambda *_: self._draw(), ["shown"])),
        ]

    @classmethod
    def applies(cls, survey: Any) -> bool:
        """Every survey."""
        return True

    def panel(self) -> pn.viewable.Viewable:
        """The line."""
        self.work.attach()
        self._draw()
        return self.board

    def close(self) -> None:
        """Stop listening."""
        self.work.close()
        for owner, watcher in self._watching:
            owner.param.unwatch(watcher)
        self._watching = []

    def _draw(self) -> None:
        self.board.markup = line(self.session, self._shown())

    def _shown(self) -> int:
        """Rows in the map's window; before it is drawn, rows that have a place in the layout."""
        if self.screen.shown >= 0:
            return self.screen.shown
        session = self.session
        if session.layout not in session.survey.layouts(session.space):
            return 0
        return int(np.isfinite(session.survey.layout(session.space, session.layout)[:, 0]).sum())

    def _failed(self, error: Exception) -> None:
        self.screen.notice = error

    def _on_click(self, data: dict[str, Any]) -> None:
        try:
            getattr(self, f"_do_{data['do']}")(data)
        except Exception as error:  # what a person did on the page is answered on the page
            self._failed(error)

    def _do_undo(self, _: dict[str, Any]) -> None:
        self.session.undo()

    def _do_redo(self, _: dict[str, Any]) -> None:
        self.session.redo()

    def _do_clear(self, _: dict[str, Any]) -> None:
        self.session.clear()

    def _do_help(self, _: dict[str, Any]) -> None:
        self.screen.help = not self.screen.help

    def _do_marked(self, data: dict[str, Any]) -> None:
        label = str(data["label"]).replace("\\", "\\\\").replace("'", "\\'")
        self.session.select(f"mark == '{label}'", "add" if data["shift"] else "replace")

    def _do_mark(self, data: dict[str, Any]) -> None:
        label = str(data["value"]).strip()
        if not label:
            return
        session = self.session
        rows = session.selection.rows if len(session.selection) else np.array([session.focus])
        if rows[0] < 0:
            raise ValueError("Nothing to mark: select rows, or click one")
        session.mark([int(row) for row in rows], label)
        self.screen.notice = f"Marked {count(len(rows))} as {label}"

    def _do_export(self, data: dict[str, Any]) -> None:
        kind, session = str(data["value"]), self.session
        if kind not in FORMATS:
            return

        def job() -> tuple[str, bytes]:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / f"{session.survey.name}-{len(session.selection)}.{ENDINGS.get(kind, kind)}"
                session.export(path)
                return as_one(path)

        def done(made: tuple[str, bytes]) -> None:
            self.board.download = {"name": made[0], "data": base64.b64encode(made[1]).decode("ascii")}
            self.screen.notice = f"Exported {made[0]}"

        self._draw()
        self.work.run("export", job, done)
