"""The ranking: the rows of the selection, or of all, most anomalous first, one page at a time.

A page is asked of the session when it is shown, so a survey of a million rows costs one partial sort; the browser
holds a page and nothing more.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import panel as pn

from explorer.session import feedback, ranking, stability
from explorer.views._board import Board
from explorer.views._ranktable import CSS, Line, act, decimals, table
from explorer.views._shots import Shots
from explorer.views._theme import empty, escape, failure, screen_of, skeleton
from explorer.views._work import Work

__all__ = ["PAGE", "Line", "RankingView", "decimals", "place_of", "scores_given", "table"]

PAGE = 25  # rows
NEXT = 20  # rows to look at next


def place_of(session: Any, row: int, found: np.ndarray | None = None) -> int:
    """The place of a row in the ranking that the session shows, counted from 0; -1 where it is not in it.

    With intervals ``found`` (n, 3) it is that in the order of their worse ends.
    """
    chosen, survey = session.selection, session.survey
    if chosen.active and row not in chosen:
        return -1
    if found is not None:
        rows = chosen.rows if chosen.active else np.arange(len(survey))
        ends = np.nan_to_num(found[rows, 2], nan=np.inf)
        at = int(np.searchsorted(rows, row))
        return int(np.count_nonzero(ends < ends[at]) + np.count_nonzero(ends[:at] == ends[at]))
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
        self.shots = Shots(session.survey, self.work, self._draw)
        self.page, self.surest, self.grey, self._busy, self._warm = 0, False, False, False, False
        self._shown: np.ndarray = np.empty(0, np.int64)
        self.board = Board(self._on_click, CSS, sizing_mode="stretch_both", margin=0, markup=skeleton())
        watched = [
            (self._restart, ["selection", "scorer", "space"]),
            (self._draw, ["version"]),
            (self._on_marks, ["marked"]),
            (self._on_focus, ["focus"]),
        ]
        self._watching = [(session, session.param.watch(lambda *_, act=act: act(), names)) for act, names in watched]
        self._watching.append((self.screen, self.screen.param.watch(lambda *_: self.rerank(), ["again"])))

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
        for owner, watcher in self._watching:
            owner.param.unwatch(watcher)
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
            place = place_of(self.session, row, self._interval() if self.surest else None)
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
        found = self._interval()
        sort = "order" if session.selection.ordered else "rank"
        sort = stability.by_high(session) if self.surest and found is not None else sort
        frame = session.ranking(offset=self.page * PAGE, limit=PAGE, sort=sort)
        rows = self._shown = frame.index.to_numpy()
        shown = "image" in session.survey.modalities
        pictures = self.shots.of(rows)
        given = scores_given(session)
        dull = self._dull(found, sort) if found is not None and self.grey else np.zeros(len(rows), bool)
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
                spread=None if found is None or np.isnan(found[row, 0]) else (found[row, 0], found[row, 2]),
                dull=bool(grey),
            )
            for row, rank, name, score, percentile, mark, picture, grey in zip(
                rows,
                frame["rank"].astype(object).where(frame["rank"].notna(), None),
                frame["id"],
                frame["score"],
                frame["percentile"],
                frame["mark"],
                pictures,
                dull,
                strict=True,
            )
        ]
        return table(
            lines,
            self.page,
            pages,
            total,
            session.selection.active,
            session.scorer,
            shown,
            self._spread_head() if found is not None else "",
            self._acts(found is not None),
        )

    def _interval(self) -> np.ndarray | None:
        return stability.interval_of(self.session)

    def _dull(self, found: np.ndarray, sort: str) -> np.ndarray:
        """(m,) bool: rows of this page that cannot be told from the one before or after, on other pages too."""
        first = max(0, self.page * PAGE - 1)
        around = self.session.ranked_rows(first, PAGE + 2, sort=sort)
        at = self.page * PAGE - first
        return stability.blurred(found, around)[at : at + PAGE]

    def _spread_head(self) -> str:
        told = stability.told(self.session)
        share, runs = 100 * float(told.get("level", 0.9)), escape(told.get("runs", "?"))
        tip = f"Between which places it stands in {share:.0f} % of {runs} runs. Click: "
        tip += "back to the ranking" if self.surest else "by the worse end, what is strange in every run first"
        sign = "± ▾" if self.surest else "±"
        return f'<th class="n {"now" if self.surest else ""}" data-do="surest" tabindex="0" title="{tip}">{sign}</th>'

    def _acts(self, measured: bool) -> str:
        """Buttons of the foot: re-rank by the marks, what to look at next, grey what cannot be told apart."""
        session = self.session
        if not session.scorer:
            return ""
        recipe = session.survey.recipe(session.space, session.scorer)
        new = session.marked - int(recipe.get("marks", 0)) if recipe.get("kind") == feedback.NAME else 0
        fresh = f" · {new} new" if new > 0 else ""
        tip = "By your marks (r): artefacts push down what looks like them, what you liked brings its like up"
        grey = ""
        if measured:
            why = "Grey out rows whose interval overlaps that of the row before or after"
            grey = act("grey", "± grey", why, pressed=self.grey)
        words = "Re-ranking…" if self._busy else f"Re-rank{fresh}"
        again = act("rerank", words, tip, "go" if fresh else "", live=not self._busy)
        return (
            grey + again + act("next", f"Next {NEXT}", f"Select what to look at next: {NEXT} that you have not marked")
        )

    # -- from the page --------------------

    def _on_click(self, data: dict[str, Any]) -> None:
        if data["do"] == "focus":
            self.session.focus_on(int(data["row"]))
        elif data["do"] == "rerank":
            self.rerank()
        elif data["do"] == "next":
            self._next()
        elif data["do"] in ("surest", "grey"):
            setattr(self, data["do"], not getattr(self, data["do"]))
            self.page = 0 if data["do"] == "surest" else self.page
            self._draw()
        else:
            self.page = int(data["to"])
            self._draw()

    def rerank(self) -> None:
        """Re-rank by the marks, beside the page."""
        session = self.session
        try:
            recipe = feedback.prepare(session)
        except (LookupError, ValueError) as error:
            self.screen.notice = error
            return
        self._busy = True
        self._draw()

        def done(made: np.ndarray) -> None:
            self._busy, self.page = False, 0
            feedback.take(session, recipe, made)

        self.work.run("rerank", lambda: feedback.scores(session, recipe), done)

    def _next(self) -> None:
        """Select what to look at next, found beside the page."""
        session = self.session
        self.work.run("next", lambda: feedback.proposals(session, NEXT), lambda rows: feedback.select(session, rows))

    def _on_marks(self) -> None:
        if not self._warm and self.work.served and self.session.scorer:
            self._warm = True
            self.work.run("warm", lambda: feedback.warm(self.session), lambda _: None)
        self._draw()

    def _failed(self, error: Exception) -> None:
        self._busy = False
        self.screen.notice = error
        if not len(self._shown):
            self.board.markup = failure(error, "The ranking cannot be shown")
