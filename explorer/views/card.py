"""The card of the object in focus: is it real, and is it known?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.roles import column_of
from explorer.session import tools
from explorer.views import _cardparts as parts
from explorer.views import _evidence
from explorer.views._board import Board
from explorer.views._roles import number, position_of, redshift_of, unit_of
from explorer.views._theme import empty, escape, failure, screen_of, skeleton
from explorer.views._work import Work

if TYPE_CHECKING:
    import panel as pn

    from explorer.session.session import Session
    from explorer.survey.store import Survey

KIN = 12  # other rows of the same object that are listed

CSS = """
.card { height: 100%; overflow: auto; padding: 10px 14px 18px; box-sizing: border-box; scrollbar-width: thin;
  container-type: inline-size; }
.card h2 { margin: 0; font-size: 16px; font-weight: 600; overflow-wrap: anywhere; line-height: 1.25; }
.card h3 { margin: 14px 0 5px; font-size: 11px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: var(--ax-muted); }
.card .sub { color: var(--ax-muted); margin: 2px 0 0; font-size: 12px; }
.card .sub > span { margin-right: 12px; }
.card .top { display: flex; flex-wrap: wrap; gap: 6px 16px; justify-content: space-between; align-items: flex-start; }
.card p.ax-muted { margin: 2px 0 0; }
.card .under { margin: 4px 0 0; font-size: 11px; }
.both { display: flex; flex-wrap: wrap; gap: 6px; margin-top: 10px; align-items: start; }
.look { display: contents; } .look .under { order: 9; flex-basis: 100%; }
.pics { display: flex; flex-wrap: wrap; gap: 6px; flex: 0 1 auto; min-width: 0; }
.pics.row { flex: 1 1 100%; flex-wrap: nowrap; } .pics.row figure { flex: 0 1 auto; min-width: 0; }
.pics.row img { max-width: 100%; height: auto; }
@container (max-width: 460px) { .pics.row { flex-wrap: wrap; } }
.pics figure { margin: 0; position: relative; border-radius: 4px; overflow: hidden; background: var(--ax-sunken); }
.pics img { display: block; } .pics img.crisp { image-rendering: pixelated; }
.pics figcaption { position: absolute; left: 0; top: 0; padding: 2px 6px; font-size: 11px; color: #fff;
  text-shadow: 0 0 3px #000, 0 0 2px #000; }
.scale { position: absolute; right: 8px; bottom: 7px; border: solid #fff; border-width: 0 1px 2px; height: 4px;
  filter: drop-shadow(0 0 1.5px #000); box-sizing: border-box; }
.scale i { position: absolute; left: 50%; bottom: 3px; transform: translateX(-50%); font: 600 10.5px var(--ax-font);
  color: #fff; text-shadow: 0 0 3px #000, 0 0 2px #000; white-space: nowrap; }
.compass { position: absolute; left: 2px; bottom: 2px; filter: drop-shadow(0 0 1.5px #000); }
.compass line { stroke: #fff; stroke-width: 1.5; } .compass text { fill: #fff; font: 600 9px var(--ax-font);
  text-anchor: middle; }
.spec { display: block; flex: 1 1 300px; min-width: 0; height: 118px; background: var(--ax-sunken);
  border-radius: 4px; }
.spec path { fill: none; stroke: var(--ax-focus); stroke-width: 1.1; vector-effect: non-scaling-stroke; }
.spec .marks line { stroke: var(--ax-faint); stroke-width: 1; stroke-dasharray: 3 3; opacity: .6; }
.spec text { font: 10px var(--ax-font); fill: var(--ax-muted); } .spec .marks text { text-anchor: middle; }
.flags { display: flex; flex-wrap: wrap; gap: 5px; }
.flags .ax-chip.bad { color: var(--ax-bad); border-color: currentColor; }
.flags .ax-chip.good { color: var(--ax-good); }
.links { display: flex; flex-wrap: wrap; gap: 5px; margin-top: 6px; }
.links a { padding: 2px 9px; border: 1px solid var(--ax-line); border-radius: 6px; background: var(--ax-raised); }
.links a:hover { border-color: var(--ax-focus); text-decoration: none; }
.marking { display: flex; flex-wrap: wrap; gap: 4px; align-items: center; }
.marking button, .kin button { all: unset; cursor: pointer; padding: 1px 9px; border-radius: 11px; font-size: 11.5px;
  line-height: 19px; border: 1px solid var(--ax-line); background: var(--ax-raised); color: var(--ax-text); }
.marking button:hover, .kin button:hover { border-color: var(--ax-strong-line); }
.marking button:focus-visible, .kin button:focus-visible { outline: 2px solid var(--ax-focus); }
.marking button[aria-pressed=true] { background: var(--ax-select); border-color: var(--ax-select);
  color: var(--ax-on-select); font-weight: 600; }
.marking input { width: 88px; height: 21px; box-sizing: border-box;
  border: 1px solid var(--ax-line); border-radius: 11px;
  background: transparent; color: var(--ax-text); padding: 0 9px; font: 11.5px var(--ax-font); }
.marking input:focus { outline: 2px solid var(--ax-focus-soft); border-color: var(--ax-focus); }
.marking input::placeholder { color: var(--ax-faint); }
.five { display: inline-flex; margin-left: 4px; }
.five button { border-radius: 0; padding: 1px 7px; margin-left: -1px; }
.five button:first-child { border-radius: 11px 0 0 11px; } .five button:last-child { border-radius: 0 11px 11px 0; }
.marking .away { border-color: transparent; background: none; color: var(--ax-muted); }
.said { margin: 4px 0 0; font-size: 11.5px; color: var(--ax-muted); text-align: right; }
.kin { display: flex; flex-wrap: wrap; gap: 4px; margin-top: 4px; }
.scores { border-collapse: collapse; width: 100%; font-size: 12px; }
.scores th { text-align: left; font-weight: 500; color: var(--ax-faint); font-size: 11px; }
.scores th.ax-num { text-align: right; }
.scores td, .scores th { padding: 2px 10px 2px 0; white-space: nowrap; border-bottom: 1px solid var(--ax-line); }
.scores .now td:first-child { box-shadow: inset 2px 0 var(--ax-select); padding-left: 6px; }
.scores .bar { display: inline-block; width: 64px; height: 4px; border-radius: 2px; background: var(--ax-line);
  margin-right: 7px; vertical-align: middle; overflow: hidden; }
.scores .bar i { display: block; height: 100%; background: var(--ax-data); }
.cat { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr)); gap: 0 18px; margin: 0; }
.cat { font-size: 12px; } .cat dt { color: var(--ax-muted); grid-column: auto; }
.cat > div { display: flex; justify-content: space-between; gap: 10px; border-bottom: 1px solid var(--ax-line);
  padding: 2px 0; min-width: 0; }
.cat dt { flex: none; max-width: 60%; overflow-wrap: anywhere; } .cat dd { margin: 0; text-align: right;
  overflow-wrap: anywhere; min-width: 0; }
"""


def render_card(session: Any, row: int, busy: str = "") -> str:
    """HTML of the card of a row; an empty state where none is in focus. ``busy`` names a tool that is at work."""
    survey: Survey = session.survey
    if not 0 <= row < len(survey):
        return empty("No object in focus", "Click a point, a thumbnail or a row of the ranking.")
    image, found = survey.image(row), survey.spectrum(row)
    redshift, position = redshift_of(survey, row), position_of(survey, row)
    name = column_of(survey, "warning")
    warned = number(survey.column(name)[row]) if name is not None else None
    sections = [_head(session, row, redshift, position)]
    seen = []
    if image is not None:
        seen.append(parts.images(image, survey.modalities["image"], session.stretch))
    if found is not None:
        seen.append(parts.spectrum(found, redshift, unit_of(survey, "spectrum")))
    if not seen:
        seen.append('<p class="ax-muted">No image and no spectrum of this row are in the survey.</p>')
    sections.append(f'<div class="both">{"".join(seen)}</div>')
    warning = (name, warned) if name is not None and warned is not None else None
    sections.append(f'<h3>Is it real?</h3><div class="flags">{parts.flags(found, image, warning)}</div>')
    sections.append(f"<h3>Is it known?</h3>{_known(position)}")
    sections.append(f"<h3>Scores</h3>{parts.scores(survey, row, session.space, session.scorer)}")
    sections.append(_evidence.section(session, row, busy))
    sections.append(f"<h3>Catalogue</h3>{parts.catalogue(survey, row)}")
    text = survey.text(row)
    if text:
        sections.append(f"<h3>Text</h3><p>{escape(text)}</p>")
    return f'<div class="card" data-scroll="{row}">{"".join(sections)}</div>'


def _head(session: Any, row: int, redshift: float | None, position: tuple[float, float] | None) -> str:
    survey = session.survey
    row_id, object_id = str(survey.ids[row]), str(survey.object_ids[row])
    told = [f"object {escape(object_id)}"] if object_id != row_id else []
    if position is not None:
        told.append(f'<span class="ax-mono">{parts.sexagesimal(*position)}</span>')
        told.append(f"{position[0]:.5f}, {position[1]:+.5f}")
    if redshift is not None:
        told.append(f"z = {redshift:.4f}")
    sub = "".join(f"<span>{part}</span>" for part in told)
    return (
        f'<div class="top"><div><h2>{escape(row_id)}</h2><p class="sub">{sub}</p>{_kin(survey, row)}</div>'
        f"<div>{_marks(session, row_id)}</div></div>"
    )


def _kin(survey: Survey, row: int) -> str:
    """Buttons to the other rows of the same object."""
    others = np.flatnonzero(survey.object_ids == survey.object_ids[row])
    others = others[others != row]
    if not len(others):
        return ""
    names = survey.ids_of(others[:KIN])
    buttons = "".join(
        f'<button data-do="focus" data-row="{int(r)}">{escape(n)}</button>'
        for r, n in zip(others[:KIN], names, strict=True)
    )
    more = f'<span class="ax-faint">and {len(others) - KIN:,} more</span>' if len(others) > KIN else ""
    return f'<div class="kin"><span class="ax-muted">also observed as</span>{buttons}{more}</div>'


def _marks(session: Any, row_id: str) -> str:
    """The buttons of this user, and what everybody said of the row."""
    every = session.marks
    of_row = every[every["id"] == row_id]
    mine = of_row[of_row["user"] == session.user]
    own = None
    if len(mine):
        own = (str(mine["label"].iloc[-1]), number(mine["score"].iloc[-1]))
    used = every.loc[every["label"] != "", "label"].value_counts().index.tolist()
    said = []
    for _, mark in of_row[of_row["user"] != session.user].iterrows():
        score = number(mark["score"])
        words = " ".join([str(mark["label"]), f"{score:g}" if score is not None else ""]).strip()
        said.append(f"{escape(mark['user'])}: {escape(words or mark['note'])}")
    others = f'<p class="said">{" · ".join(said)}</p>' if said else ""
    return parts.buttons([str(label) for label in used], own) + others


def _known(position: tuple[float, float] | None) -> str:
    if position is None:
        return '<p class="ax-muted">No position in the catalogue, so nowhere to look it up.</p>'
    anchors = "".join(
        f'<a href="{escape(address)}" target="_blank" rel="noopener noreferrer">{escape(name)}</a>'
        for name, address in parts.links(*position)
    )
    return f'<div class="links">{anchors}</div>'


class CardView:
    """Everything that is known of one object, and the buttons that mark it."""

    name = "card"
    title = "Object"
    place = "tab"

    def __init__(self, session: Session):
        self.session, self.screen = session, screen_of(session)
        self.work, self.busy = Work(self._failed), ""
        self.board = Board(self._on_click, CSS + _evidence.CSS, sizing_mode="stretch_both", margin=0, markup=skeleton())
        names = ["focus", "version", "marked", "space", "scorer", "stretch"]
        self._watcher: Any = session.param.watch(lambda *_: self._draw(), names)

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Every survey has objects."""
        return True

    def panel(self) -> pn.viewable.Viewable:
        """The view."""
        self.work.attach()
        self._draw()
        return self.board

    def close(self) -> None:
        """Stop listening to the session."""
        self.work.close()
        if self._watcher is not None:
            self.session.param.unwatch(self._watcher)
            self._watcher = None

    def _draw(self) -> None:
        row, busy = self.session.focus, self.busy
        self.work.run("card", lambda: render_card(self.session, row, busy), self._show)

    def _show(self, markup: str) -> None:
        self.board.markup = markup

    def _failed(self, error: Exception) -> None:
        if self.busy:  # a tool's candidates could not be read: the card stands
            self.busy, self.screen.notice = "", error
            self._draw()
            return
        self.board.markup = failure(error, "The card could not be drawn")

    def _measure(self, tool: str, alone: bool) -> None:
        """Let a tool judge the object in focus, or candidates in their order, beside the page; then rank by it."""
        session = self.session
        recipe = tools.prepare(session, tool, [session.focus] if alone else ())
        self.busy = tool
        self._draw()

        def done(answers: dict[str, Any]) -> None:
            self.busy = ""
            try:
                found = tools.take(session, recipe, answers)
            except ValueError as error:
                self.screen.notice = error
            else:
                aside = int((found["reason"] != "").sum())
                self.screen.notice = f"{len(found) - aside} judged by {tool}" + (
                    f", {aside} set aside" if aside else ""
                )
            self._draw()

        self.work.run("measure", lambda: tools.judge(session, recipe), done, slow=True)

    def _on_click(self, data: dict[str, Any]) -> None:
        session, what = self.session, data.get("do")
        if what == "focus":
            session.focus_on(int(data["row"]))
            return
        if session.focus < 0:
            return
        if what == "score":
            session.mark([session.focus], score=int(data["score"]))
        elif what == "label":
            session.mark([session.focus], label=str(data["label"]))
        elif what == "new" and str(data.get("value", "")).strip():
            session.mark([session.focus], label=str(data["value"]).strip())
        elif what == "unmark":
            session.unmark([session.focus])
        elif what == "measure" and not self.busy:
            try:
                self._measure(str(data["tool"]), data.get("which") == "one")
            except (LookupError, ValueError) as error:
                self.screen.notice = error
