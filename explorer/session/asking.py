"""What a session can be asked about likeness: what is similar, here and side by side, and how the neighbours vote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import query, similar
from explorer.session._names import scored
from kernels.registry import UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.composed import Part
    from explorer.session.selection import Selection
    from explorer.session.tools import Answer
    from explorer.session.verdict import Verdict

Ids = str | int | Iterable[str | int]


class Asking:
    """Part of :class:`explorer.session.session.Session`: search by example and votes."""

    if TYPE_CHECKING:
        survey: Any
        space: str
        focus: int
        selection: Selection
        scope: Any
        select: Any
        together: Any
        _rows_of: Any

    def find_similar(
        self,
        ids: Ids = (),
        minus: Ids = (),
        k: int = 50,
        space: str | None = None,
        within_selection: bool = False,
        *,
        where: str = "",
        least: bool = False,
        apart: float = 0.0,
        file: str | Path | None = None,
    ) -> pd.DataFrame:
        """The examples and the ``k`` rows most like them, less ``minus``: id, distance, closer, example.

        The index is the row, -1 for an example from a ``file`` (FITS, PNG, …) that is read and embedded as the survey
        was. ``where`` is a query that results must fulfil, ``least`` turns the order round, rows within ``apart``
        degrees of a nearer one are set aside as the same. See :func:`explorer.session.similar.find`. It changes
        nothing and may run in another thread; :meth:`similar_to` also selects.
        """
        space, _ = scored(self, space, None)  # type: ignore[arg-type]
        if not space:
            raise UnknownName("space", "", [], "Run survey.prepare() first")
        mask = self._mask_of(within_selection, where)
        given, names = None, []
        if file is not None:
            from explorer.pipeline.outside import embed_file

            one = embed_file(self.survey, file, [space])
            given, names = one.vectors[space][None], [one.name]
        rows, less = self._rows_of(ids), self._rows_of(minus)
        return similar.find(self.survey, space, rows, less, k, mask, least=least, apart=apart, given=given, names=names)

    def _mask_of(self, within_selection: bool, where: str) -> np.ndarray | None:
        mask = self.selection.mask if within_selection and self.selection.active else None
        if where:
            fulfilled = query.matches(where, self.scope())
            mask = fulfilled if mask is None else mask & fulfilled
        return mask

    def similar_to(
        self, ids: Ids = (), minus: Ids = (), k: int = 50, space: str | None = None, **more: Any
    ) -> pd.DataFrame:
        """Select the examples and the ``k`` rows most like them (see :meth:`find_similar`), the examples first."""
        found = self.find_similar(ids, minus, k, space, **more)
        self.select_found(found, space or self.space, self.survey.ids_of(self._rows_of(minus)), **more)
        return found

    def select_found(
        self, found: pd.DataFrame, space: str, minus: Sequence[str] = (), least: bool = False, **_: Any
    ) -> Selection:
        """Select what :meth:`find_similar` found, in its order, and look at the first of it."""
        examples = found.loc[found["example"], "id"].tolist()
        less = f" less {', '.join(minus)}" if len(minus) else ""
        how = "least similar" if least else "similar"
        here = found[found.index >= 0]
        with self.together():
            chosen = self.select(here["id"].tolist(), note=f"{how} to {', '.join(examples)}{less} in {space}")
            self.focus = int(here.index[0]) if len(here) else -1
        return chosen

    def side_by_side(
        self, ids: Ids = (), minus: Ids = (), k: int = 12, spaces: Sequence[str] = (), **more: Any
    ) -> dict[str, pd.DataFrame]:
        """What is similar in each space (all by default) in which the examples have a vector: space → table."""
        rows = np.concatenate([self._rows_of(ids), self._rows_of(minus)]).astype(np.int64)
        named = list(spaces) or [s for s in self.survey.spaces if np.isfinite(self.survey.embedding(s)[rows]).all()]
        if not named:
            raise ValueError("these objects have a vector together in no space")
        return {space: self.find_similar(ids, minus, k, space, **more) for space in named}

    def search_composed(self, parts: Sequence[Part], k: int = 50, where: str = "", select: bool = True) -> pd.DataFrame:
        """Rows by a query of several weighted parts (examples, words, conditions): :mod:`explorer.session.composed`."""
        from explorer.session import composed

        found = composed.search(self, parts, k, self._mask_of(False, where))  # type: ignore[arg-type]
        if select:
            with self.together():
                told = " + ".join(f"{p.weight if p.weight is not None else 'only'} x {p}" for p in parts)
                self.select(found["id"].tolist(), note=f"composed of {told}")
                self.focus = int(found.index[0]) if len(found) else -1
        return found

    def search(self, text: str, k: int = 50, where: str = "") -> pd.DataFrame:
        """Select the ``k`` rows that fit the words best: :func:`explorer.session.words.search`."""
        from explorer.session import words

        return words.search(self, text, k, where)  # type: ignore[arg-type]

    @property
    def evidence(self) -> dict[str, dict[str, Answer]]:
        """Tool → id → what it said in this session: evidence, or why it could not judge."""
        return self.__dict__.setdefault("_evidence", {})

    def rerank_with(self, tool: str, ids: Ids = (), top: int = 200, progress: Any = None) -> pd.DataFrame:
        """Judge candidates with a registered tool and rank by its score: :mod:`explorer.session.tools`."""
        from explorer.session import tools

        return tools.rerank_with(self, tool, ids, top, progress)  # type: ignore[arg-type]

    def verdict(self, what: str | int | None = None, label: str = "", **more: Any) -> Verdict:
        """The vote of the neighbours on one object (that in focus by default); see :mod:`explorer.session.verdict`."""
        from explorer.session.verdict import verdict

        row = self.focus if what is None else int(self._rows_of(what)[0])
        if row < 0:
            raise ValueError("nothing is in focus: name an object to vote on")
        return verdict(self, row, label, **more)  # type: ignore[arg-type]
