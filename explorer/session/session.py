"""One person's exploration of a survey: what is selected, what is looked at, by which space and score.

Views watch the parameters of a :class:`Session` and change them through its methods; they never know each other.
A session is changed from one thread, that of the notebook's cell or of the page's event loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import param

from explorer.session import (
    confounders,
    feedback,
    legend,
    provenance,
    query,
    ranking,
    recipe,
    stability,
    state,
)
from explorer.session._names import Named
from explorer.session.asking import Asking
from explorer.session.columns import Text
from explorer.session.derived import PersonalSurvey
from explorer.session.export import export, table_of
from explorer.session.history import History
from explorer.session.marks import Marks, checked_user
from explorer.session.selection import Selection
from explorer.survey.files import user_name
from explorer.survey.store import Survey

if TYPE_CHECKING:
    import pandas as pd


class Session(Asking, param.Parameterized):
    """The state that all views of a page share.

    Parameters
    ----------
    survey : the survey explored.
    user : whose marks are made; the account's name where none is given.
    """

    space = Named("", doc="The space whose layouts, scores and neighbours are shown, as 'pca/image'.")
    layout = Named("", doc="The layout of the space that the map shows.")
    scorer = Named("", doc="The score that ranks.")
    color_by = Named("", doc="A column or an expression of the query language that colours the map.")
    stretch = Named("asinh", doc="The stretch of images: asinh, lupton or linear.")
    focus = param.Integer(-1, bounds=(-1, None), doc="The row that is looked at, -1 for none.")
    selection = param.ClassSelector(class_=Selection, doc="The rows that are selected.")
    version = param.Integer(0, doc="The survey's version; it grows when the survey has new columns.")
    marked = param.Integer(0, doc="The last entry in the log of marks; it grows when anybody marks.")

    def __init__(self, survey: Survey, user: str | None = None):
        super().__init__()
        self.survey = PersonalSurvey(survey) if isinstance(survey, Survey) else survey  # or what acts like one
        self.user = checked_user(user or user_name())
        self.log = Marks(survey.path)
        self._history = History()
        self._labels: tuple[Any, dict[str, tuple[str, float | None]]] | None = None
        self.param.focus.bounds = (-1, len(survey) - 1)
        self.param.update(selection=Selection(self.survey), version=survey.version, marked=self.log.last())
        self.space = survey.spaces[0] if survey.spaces else ""

    def __repr__(self) -> str:
        return f"<Session of {self.user!r} on {self.survey.name!r}: {len(self.selection)} selected>"

    @contextmanager
    def together(self) -> Iterator[None]:
        """Within it, watchers wait and then hear of all changes at once."""
        with param.parameterized.batch_call_watchers(self):
            yield

    # -- selection --------------------

    def select(self, what: Any, mode: str = "replace", note: str = "") -> Selection:
        """Select by a query, a :class:`Polygon`, ids, rows, a mask, a table with ids, a selection or a recipe.

        ``mode`` joins it with what is selected: ``replace``, ``add``, ``intersect`` or ``subtract``. ``note`` says
        in the recipe where it came from.
        """
        if isinstance(what, list | tuple) and len(what) and isinstance(what[0], dict):
            what = recipe.replay(self, recipe.checked(what))
        if isinstance(what, Selection) and mode == "replace" and what.survey is self.survey:
            return self._take(what)
        step, alone = recipe.step_of(self, what, mode, note)
        before = () if mode == "replace" else self.selection._recipe
        return self._take(self.selection.combined(mode, alone, (*before, step)))

    def _take(self, selection: Selection) -> Selection:
        self._history.push(selection, self._state_of_survey())
        self.selection = selection
        return selection

    def select_top(self, n: int, scorer: str = "", space: str = "", mode: str = "replace") -> Selection:
        """Select the ``n`` most anomalous rows by a score."""
        space, scorer = space or self.space, scorer or self.scorer
        return self.select(f"rank({scorer!r}, {space!r}) <= {int(n)}", mode)

    def clear(self) -> Selection:
        """Select nothing; undo brings it back."""
        return self._take(Selection(self.survey)) if self.selection.active else self.selection

    def undo(self) -> bool:
        """Go back to the selection before; False where there is none."""
        return self._move(-1)

    def redo(self) -> bool:
        """Take the last undo back; False where there is none."""
        return self._move(+1)

    def _move(self, by: int) -> bool:
        found = self._history.move(by, self._state_of_survey(), lambda steps: recipe.replay(self, steps))
        if found is not None:
            self.selection = found
        return found is not None

    @property
    def can_undo(self) -> bool:
        """Whether there is a selection to go back to."""
        return self._history.can_undo

    @property
    def can_redo(self) -> bool:
        """Whether an undo can be taken back."""
        return self._history.can_redo

    def _state_of_survey(self) -> tuple[int, int]:
        return self.survey.version, len(self.survey)

    # -- focus --------------------

    def row_of(self, what: str | int) -> int:
        """The row of an id (text) or a row (number)."""
        if isinstance(what, str):
            return int(self.survey.rows_of([what])[0])
        row = int(what)
        if not 0 <= row < len(self.survey):
            raise ValueError(f"row {row} is outside 0…{len(self.survey) - 1}. If this is an id, write it as text")
        return row

    def focus_on(self, what: str | int | None) -> int:
        """Look at one row, by id (text) or row (number); None or -1 for none. Returns the row."""
        self.focus = -1 if what is None or (not isinstance(what, str) and what == -1) else self.row_of(what)
        return self.focus

    def step(self, by: int = 1) -> int:
        """Move the focus along the selection in its order, by rank where it has none of its own; along the ranking
        of all where nothing is selected. It stops at both ends."""
        self.focus = ranking.next_row(self, by)
        return self.focus

    def next_unmarked(self) -> int:
        """Move the focus to the next row along the selection or ranking that this user has said nothing of.

        Where there is none it stays.
        """
        marked, start = self._marks_of(self.user, None), self.focus
        with self.together():
            before = -2
            while self.focus != before:
                before = self.focus
                if self.survey.ids_of([self.step(1)])[0] not in marked and self.focus != start:
                    return self.focus
            self.focus = start
        return self.focus

    # -- values, ranking, legend --------------------

    def scope(
        self, space: str | None = None, scorer: str | None = None, user: str | None = None, marks: int | None = None
    ) -> query.Scope:
        """What names in a query stand for; the session's own space and scorer, its user's marks, unless told."""
        space = self.space if space is None else space
        scorer = self.scorer if scorer is None else scorer
        return query.Scope(self.survey, space, scorer, lambda: self._marks_of(user or self.user, marks))

    def _marks_of(self, user: str, last: int | None) -> dict[str, tuple[str, float | None]]:
        key = (user, self.log.last() if last is None else last)
        if self._labels is None or self._labels[0] != key:
            frame = self.log.current(user, key[1])
            scores = [None if s != s else s for s in frame["score"].tolist()]
            found = dict(zip(frame["id"].tolist(), zip(frame["label"].tolist(), scores, strict=True), strict=True))
            self._labels = (key, found)
        return self._labels[1]

    def values(self, name: str) -> np.ndarray | Text:
        """(n,) values of a column or an expression of the query language, as numbers or :class:`Text`."""
        return query.values(name, self.scope())

    def labels(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """What this user called each of these rows, '' where nothing."""
        marks = self._marks_of(self.user, None)
        if not marks:
            return [""] * len(rows)
        return [marks.get(i, ("", None))[0] for i in self.survey.ids_of(rows)]

    def ranked_rows(
        self,
        offset: int = 0,
        limit: int = 50,
        scorer: str | None = None,
        space: str | None = None,
        within_selection: bool = True,
        sort: str = "rank",
        descending: bool = False,
    ) -> np.ndarray:
        """(m,) int64 rows in places offset…offset+limit-1; ``sort`` is ``rank``, ``order`` (that in which the
        selection was made), ``row``, or a column or expression, missing values last."""
        return ranking.rows_on_page(self, offset, limit, scorer, space, within_selection, sort, descending)

    def ranking(
        self,
        scorer: str | None = None,
        space: str | None = None,
        within_selection: bool = True,
        offset: int = 0,
        limit: int = 50,
        sort: str = "rank",
        descending: bool = False,
    ) -> pd.DataFrame:
        """One page of the ranking: ``rank``, ``id``, ``score``, ``percentile``, ``mark``; the index is the row.

        Where the survey has no score, rows stand in their order and the first columns are empty.
        """
        rows = self.ranked_rows(offset, limit, scorer, space, within_selection, sort, descending)
        return self.ranking_of(rows, scorer, space)

    def ranking_of(
        self, rows: Sequence[int] | np.ndarray, scorer: str | None = None, space: str | None = None
    ) -> pd.DataFrame:
        """The same columns for rows that are given."""
        return ranking.frame_of(self, np.asarray(rows, dtype=np.int64), scorer, space)

    def count_ranked(self, within_selection: bool = True) -> int:
        """How many rows the ranking has over all its pages."""
        return len(self.selection) if within_selection and self.selection.active else len(self.survey)

    def counts(self, column: str, bins: int = 12, categories: int = 20) -> pd.DataFrame:
        """Legend of a column or expression: ``value``, ``lo``, ``hi``, and rows ``selected`` and in ``all``."""
        found = legend.bins_of((str(self.survey.path), column), self.values(column), bins, categories)
        return legend.counted(found, self.selection.mask)

    def _rows_of(self, ids: str | int | Iterable[str | int]) -> np.ndarray:
        items = [ids] if isinstance(ids, str | int | np.integer) else list(ids)
        if all(isinstance(i, str) for i in items) and len(items) > 1:
            return self.survey.rows_of(items)
        return np.array([self.row_of(i) for i in items], dtype=np.int64)

    # -- marks --------------------

    @property
    def marks(self) -> pd.DataFrame:
        """Every mark that stands, of every user, oldest first."""
        return self.log.current()

    def mark(
        self,
        ids: str | int | Iterable[str | int],
        label: str | None = None,
        score: float | None = None,
        note: str | None = None,
    ) -> None:
        """Call rows something, with a score from 0 to 5 and a note; what is None stays as it was. ``''`` erases."""
        if label is None and score is None and note is None:
            raise ValueError("a mark needs a label, a score from 0 to 5, or a note")
        rows = self._rows_of(ids)
        names = [str(i) for i in self.survey.object_ids[rows]]
        self.marked = self.log.add(self.user, self.survey.ids_of(rows), names, label, score, note)

    def unmark(self, ids: str | int | Iterable[str | int]) -> None:
        """Take this user's marks of these rows away; the log keeps them."""
        rows = self._rows_of(ids)
        names = [str(i) for i in self.survey.object_ids[rows]]
        self.marked = self.log.remove(self.user, self.survey.ids_of(rows), names)

    def undo_mark(self) -> list[str]:
        """Take this user's last marking back; the ids that it touched."""
        touched = self.log.undo(self.user)
        self.marked = self.log.last()
        return touched

    # -- scores of this session's own --------------------

    def rerank(self, like: str | None = None, method: str = "gp") -> str:
        """Rank by what this user's marks make of the present score; returns the name of the new one, ``feedback``.

        What looks like a marked artefact is pushed down, what looks like a liked object comes up; with ``like`` only
        that label is liked. ``method``: ``gp`` or ``neighbour``. To go back, choose the old score.
        """
        return feedback.rerank(self, like, method)

    def propose(self, count: int = 20) -> Selection:
        """Select what to look at next: ``count`` rows that this user has not marked, the most promising first."""
        return feedback.select(self, feedback.proposals(self, count))

    def rank_matched(self, columns: Sequence[str], bins: int = 10) -> str:
        """Rank every object among those like it in these columns; returns the name of the new score."""
        return confounders.rank_matched(self, columns, bins)

    def stability(self, runs: int = 8, kind: str = "folds", progress: Any = None) -> pd.DataFrame:
        """Measure between which places each row of the present ranking stands, store it, and give its first page.

        See :func:`explorer.pipeline.stability.measure`; what has an interval already is not measured again.
        """
        return stability.measured(self, runs, kind, progress)

    def derive(self, space: str, name: str, scores: np.ndarray, recipe: dict[str, Any]) -> None:
        """Have (n,) scores of this session's own as ``name`` of a space, with how they were made, and rank by them."""
        self.survey.derive(space, name, scores, recipe)
        self.param.trigger("version")
        if space == self.space:
            with self.together():
                self.scorer = name
                self.param.trigger("scorer")

    # -- the survey goes on --------------------

    def refresh(self) -> bool:
        """See what others did meanwhile: new versions of the survey, new marks. True if there was anything."""
        return state.refresh(self)

    # -- leaving, and coming back --------------------

    def provenance(self) -> dict[str, Any]:
        """Where the present selection comes from; see :mod:`explorer.session.provenance`."""
        return provenance.of_session(self)

    def to_table(self, everything: bool = False) -> pd.DataFrame:
        """What :meth:`export` writes: ids, catalogue, every rank, score and percentile, this user's marks."""
        return table_of(self, everything)

    def export(self, path: str | Path, overwrite: bool = False, everything: bool = False) -> Path:
        """Write the selected rows with their provenance, in the format that the ending of ``path`` says."""
        told = self.provenance()
        if everything:
            told |= {"selected": len(self.survey), "recipe": [], "queries": []}
        return export(self.to_table(everything), path, told, overwrite)

    def state(self) -> dict[str, Any]:
        """What :meth:`restore` needs to bring this exploration back, ready for JSON."""
        return state.state_of(self)

    def restore(self, saved: dict[str, Any]) -> None:
        """Bring back what :meth:`state` gave, here or elsewhere; nothing changes where a part cannot be used."""
        state.restore(self, saved)
