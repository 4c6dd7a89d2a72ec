"""The ranking: the rows of the selection, or of all, most anomalous first, one page at a time.

A page is asked of the session when it is shown, so a survey of a million rows costs one partial sort; the browser
holds a page and nothing more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import panel as pn

from explorer.session import ranking
from explorer.views._board import Board
from explorer.views._map_frame import data_url
from explorer.views._map_legend import count, number
from explorer.views._theme import empty, escape, failure, screen_of, skeleton
from explorer.views._work import Work

PAGE = 25  # rows

CSS = """
.rk { height: 100%; display: flex; flex-direction: column; min-height: 0; }
.rk .scroll { flex: 1; min-height: 0; overflow: auto; scrollbar-width: thin; }
.rk table { width: 100%; border-collapse: collapse; font-size: 12.5px; }
.rk th { position: sticky; top: 0; z-index: 1; background: var(--ax-panel); color: var(--ax-muted); font-weight: 500;
  font-size: 11px; text-align: left; padding: 5px 8px; box-shadow: inset 0 -1px var(--ax-line); white-space: nowrap; }
.rk td { padding: 2px 8px; height: 34px; white-space: nowrap; box-shadow: inset 0 -1px var(--ax-line); }
.rk th.n, .rk td.n { text-align: right; }
.rk tr[data-do] { cursor: pointer; }
.rk tr[data-do]:hover td { background: var(--ax-raised); }
.rk tr:focus-visible { outline: 2px solid var(--ax-focus); outline-offset: -2px; }
.rk tr.focus td { background: var(--ax-focus-soft); }
.rk tr.focus td:first-child { box-shadow: inset 3px 0 var(--ax-focus), inset 0 -1px var(--ax-line); }
.rk .id { max-width: 0; width: 45%; overflow: hidden; text-overflow: ellipsis; }
.rk .rank { color: var(--ax-muted); } .rk .on .rank { color: var(--ax-select); font-weight: 600; }
.rk .pic { width: 32px; padding: 1px 4px; }
.rk .pic img, .rk .pic span { display: block; width: 30px; height: 30px; border-radius: 4px;
  background: var(--ax-sunken); }
.rk .foot { display: flex; align-items: center; gap: 4px; padding: 5px 10px; border-top: 1px solid var(--ax-line);
  color: var(--ax-muted); font-size: 11.5px; }
.rk .foot span { flex: 1; }
.rk .foot button { all: unset; cursor: pointer; padding: 2px 8px; border-radius: 5px; color: var(--ax-text); }
.rk .foot button:hover { background: var(--ax-raised); }
.rk .foot button:focus-visible { outline: 2px solid var(--ax-focus); }
.rk .foot button[disabled] { color: var(--ax-faint); opacity: .5; pointer-events: none; }
@media (max-width: 900px) { .rk .wide { display: none; } }
"""


@dataclass(frozen=True)
class Line:
    """One row of the table as text and numbers: everything that :func:`table` shows of it."""

    row: int
    rank: int
    id: str
    score: float
    percentile: float
    mark: str
    picture: bytes | None
    selected: bool
    focused: bool
    given: float | None = None


def table(
    lines: list[Line], page: int, pages: int, total: int, inside: bool, scorer: str, pictures: bool = True
) -> str:
    """HTML of a page of the ranking. Every text is escaped; a line names its row by position, never by id."""
    head = (
        f'<th class="n">rank</th>{"<th></th>" if pictures else ""}<th>id</th>'
        f'<th class="n" title="{escape(scorer)}: higher is more anomalous">score</th>'
        '<th class="n" title="percentile: high is anomalous">pct</th><th class="wide">mark</th>'
    )
    digits = decimals([line.score for line in lines])
    body = "".join(_line(line, digits, pictures) for line in lines)
    where = "in the selection" if inside else "in all"
    told = f"{count(total)} {where} · page {count(page + 1)} of {count(pages)}"
    first, last = ("disabled" if page == 0 else ""), ("disabled" if page + 1 >= pages else "")
    pager = (
        f'<button data-do="page" data-to="0" {first} title="First page">«</button>'
        f'<button data-do="page" data-to="{page - 1}" {first} title="Page before">‹</button>'
        f'<button data-do="page" data-to="{page + 1}" {last} title="Next page">›</button>'
        f'<button data-do="page" data-to="{pages - 1}" {last} title="Last page">»</button>'
    )
    return (
        f'<div class="rk"><div class="scroll" data-scroll="{page}"><table><thead><tr>{head}</tr></thead>'
        f'<tbody>{body}</tbody></table></div><div class="foot"><span>{told}</span>{pager}</div></div>'
    )


def decimals(scores: list[float]) -> int | None:
    """Decimals with which the largest of a column of scores has four digits, None where one form does not fit all.

    >>> decimals([0.625, 0.6184]), decimals([12.3, 9.0]), decimals([1e-7, 2.0]), decimals([1e7])
    (4, 2, None, None)
    """
    sizes = [abs(s) for s in scores if math.isfinite(s) and s != 0]
    if not sizes or max(sizes) >= 1000 or min(sizes) < 1e-3:
        return None
    return 4 - max(0, math.floor(math.log10(max(sizes))) + 1)


def _line(line: Line, digits: int | None, pictures: bool) -> str:
    classes = " ".join(["on"] * line.selected + ["focus"] * line.focused)
    into_view = "data-into-view" if line.focused else ""
    picture = f'<img alt="" src="{data_url(line.picture)}">' if line.picture is not None else "<span></span>"
    cell = f'<td class="pic">{picture}</td>' if pictures else ""
    known = math.isfinite(line.percentile)
    said = [line.mark] * bool(line.mark) + ([f"{line.given:g}\u2009/\u20095"] if line.given is not None else [])
    chip = "".join(f'<span class="ax-chip">{escape(words)}</span> ' for words in said)
    name = escape(line.id)
    score = "∞" if math.isinf(line.score) else number(line.score)
    if digits is not None and math.isfinite(line.score):
        score = f"{line.score:.{digits}f}"
    return (
        f'<tr class="{classes}" data-do="focus" data-row="{line.row}" tabindex="0" {into_view}>'
        f'<td class="n rank">{count(line.rank) if line.rank else "–"}</td>{cell}'
        f'<td class="id" title="{name}">{name}</td><td class="n">{score}</td>'
        f'<td class="n">{f"{line.percentile:.2f}" if known else "–"}</td><td class="wide">{chip}</td></tr>'
    )


def place_of(session: Any, row: int) -> int:
    """The place of a row in the ranking that the session shows, counted from 0; -1 where it is not in it."""
    chosen, survey = session.selection, session.survey
    if chosen.active and row not in chosen:
        return -1
    if chosen.active and chosen.ordered:
        return int(np.flatnonzero(chosen.order == row)[0])
    mask = chosen.mask if chosen.active else None
    if session.scorer not in survey.scores(session.space):
        return row if mask is None else int(np.count_nonzero(mask[:row]))
    return ranking.place(survey, session.space, session.scorer, mask, row)


def scores_given(session: Any) -> dict[str, float]:
    """Id → the score from 0 to 5 that this session's user gave."""
    marks = session.marks
    mine = marks[(marks["user"] == session.user) & marks["score"].notna()] if len(marks) else marks
    return dict(zip(mine["id"], mine["score"].astype(float), strict=True)) if len(mine) else {}


class RankingView:
    """The ranking of the session's score, in the selection where there is one."""

    name = "ranking"
    title = "Ranking"
    place = "side"

    def __init__(self, session: Any):
        self.session, self.screen = session, screen_of(session)
        self.work = Work(self._failed)
        self.page = 0
        self._shown: np.ndarray = np.empty(0, np.int64)
        self.board = Board(self._on_click, CSS, sizing_mode="stretch_both", margin=0, markup=skeleton())
        watched = [
            (self._restart, ["selection", "scorer", "space"]),
            (self._draw, ["version", "marked"]),
            (self._on_focus, ["focus"]),
        ]
        self._watching = [session.param.watch(lambda *_, act=act: act(), names) for act, names in watched]

    @classmethod
    def applies(cls, survey: Any) -> bool:
        """Every survey: without a score its rows stand in their own order."""
        return True

    def panel(self) -> pn.viewable.Viewable:
        """The table and its pager."""
        self.work.attach()
        if self.work.served:
            pn.state.onload(self._draw)
        else:
            self._draw()
        return self.board

    def close(self) -> None:
        """Stop listening."""
        self.work.close()
        for watcher in self._watching:
            self.session.param.unwatch(watcher)
        self._watching = []

    # -- from the session --------------------

    def _restart(self) -> None:
        """Another ranking: its first page."""
        self.page = 0
        self._draw()

    def _on_focus(self) -> None:
        """Show the focus where it stands: on this page, or on the page that holds it."""
        row = self.session.focus
        if row >= 0 and row not in self._shown:
            place = place_of(self.session, row)
            if place >= 0:
                self.page = place // PAGE
        self._draw()

    def _draw(self) -> None:
        try:
            self.board.markup = self._markup()
        except Exception as error:
            self._failed(error)

    def _markup(self) -> str:
        session = self.session
        total = session.count_ranked()
        if not len(session.survey):
            return empty("This survey is empty", "Fill it with explorer ingest, and its rows stand here")
        if not total:
            return empty("Nothing is selected", "No row matches. Esc clears, Ctrl+Z brings the last selection back")
        pages = math.ceil(total / PAGE)
        self.page = min(max(self.page, 0), pages - 1)
        sort = "order" if session.selection.ordered else "rank"
        frame = session.ranking(offset=self.page * PAGE, limit=PAGE, sort=sort)
        rows = self._shown = frame.index.to_numpy()
        shown = "image" in session.survey.modalities
        pictures = session.survey.thumbnails(rows) if shown else [None] * len(rows)
        given = scores_given(session)
        lines = [
            Line(
                row=int(row),
                rank=0 if rank is None else int(rank),
                id=name,
                score=float(score),
                percentile=float(percentile),
                mark=mark,
                picture=picture,
                selected=int(row) in session.selection,
                focused=int(row) == session.focus,
                given=given.get(name),
            )
            for row, rank, name, score, percentile, mark, picture in zip(
                rows,
                frame["rank"].astype(object).where(frame["rank"].notna(), None),
                frame["id"],
                frame["score"],
                frame["percentile"],
                frame["mark"],
                pictures,
                strict=True,
            )
        ]
        return table(lines, self.page, pages, total, session.selection.active, session.scorer, shown)

    # -- from the page --------------------

    def _on_click(self, data: dict[str, Any]) -> None:
        if data["do"] == "focus":
            self.session.focus_on(int(data["row"]))
        else:
            self.page = int(data["to"])
            self._draw()

    def _failed(self, error: Exception) -> None:
        self.screen.notice = error
        if not len(self._shown):
            self.board.markup = failure(error, "The ranking cannot be shown")
