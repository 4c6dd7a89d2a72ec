"""The explorer of a survey: everything that the page does, from a cell or a script."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.session.session import Session
from kernels.registry import UnknownName

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from panel.viewable import Viewable

    from explorer.page import Page
    from explorer.session.selection import Selection
    from explorer.session.verdict import Verdict
    from explorer.survey.store import Survey


@dataclass(frozen=True)
class Options:
    """What a notebook, the command line and the server may ask of a page. Empty text leaves the survey's default."""

    theme: str = "dark"
    space: str = ""
    layout: str = ""
    scorer: str = ""
    color_by: str = ""
    stretch: str = ""
    user: str = ""
    height: int = 760


class Explorer:
    """One exploration of a survey, and the page that shows it.

    >>> ex = explorer.Explorer(survey)                       # doctest: +SKIP
    >>> ex                                                   # doctest: +SKIP
    >>> ex.select("rank('knn') <= 100 and z > 0.5")          # doctest: +SKIP
    >>> ex.selection.ids                                     # doctest: +SKIP

    Parameters
    ----------
    survey : an opened survey, or what :func:`explorer.open` takes.
    options : an :class:`Options`; single ones may be given by name, ``Explorer(survey, theme="light")``.
    """

    def __init__(self, survey: Survey | str | Path, options: Options | None = None, **changes: Any):
        if isinstance(survey, str | Path):
            import explorer

            survey = explorer.open(survey)
        self.options = replace(options or Options(), **changes)
        self.session = Session(survey, self.options.user or None)
        self._pages: list[Page] = []
        for name in ("space", "layout", "scorer", "color_by", "stretch"):
            if getattr(self.options, name):
                setattr(self.session, name, getattr(self.options, name))

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_") and name not in ("options", "session") and not hasattr(type(self), name):
            known = [n for n, v in vars(type(self)).items() if isinstance(v, property) and v.fset and n[0] != "_"]
            raise UnknownName("control", name, sorted(known))
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<Explorer of {self.survey.name!r}: {len(self.survey)} rows, {len(self.selection)} selected>"

    # -- state --------------------

    @property
    def survey(self) -> Survey:
        """The survey that is explored."""
        return self.session.survey

    @property
    def selection(self) -> Selection:
        """What is selected: ``.ids``, ``.rows``, ``.mask``, ``.recipe``, ``.to_table()``."""
        return self.session.selection

    @property
    def marks(self) -> pd.DataFrame:
        """Every mark that stands."""
        return self.session.marks

    @property
    def space(self) -> str:
        """The space that is shown, as ``encoder/modality``."""
        return self.session.space

    @space.setter
    def space(self, name: str) -> None:
        self.session.space = name

    @property
    def layout(self) -> str:
        """The layout of the space that the map shows."""
        return self.session.layout

    @layout.setter
    def layout(self, name: str) -> None:
        self.session.layout = name

    @property
    def scorer(self) -> str:
        """The score that ranks."""
        return self.session.scorer

    @scorer.setter
    def scorer(self, name: str) -> None:
        self.session.scorer = name

    @property
    def color_by(self) -> str:
        """The column or expression that colours the map; '' for density."""
        return self.session.color_by

    @color_by.setter
    def color_by(self, name: str) -> None:
        self.session.color_by = name

    @property
    def stretch(self) -> str:
        """The stretch of images."""
        return self.session.stretch

    @stretch.setter
    def stretch(self, name: str) -> None:
        self.session.stretch = name

    @property
    def theme(self) -> str:
        """``"dark"`` or ``"light"``."""
        return self._screen.theme

    @theme.setter
    def theme(self, name: str) -> None:
        self._screen.theme = name

    @property
    def focus(self) -> str | None:
        """The id of the object that is looked at; set it to an id, a row or None."""
        row = self.session.focus
        return None if row < 0 else self.survey.ids_of([row])[0]

    @focus.setter
    def focus(self, what: str | int | None) -> None:
        self.session.focus_on(what)

    # -- actions --------------------

    def select(self, what: str | Iterable[Any] | np.ndarray | Any, mode: str = "replace") -> Selection:
        """Select by a query, ids, rows, a mask or a polygon; ``mode``: replace, add, intersect or subtract."""
        return self.session.select(what, mode)

    def similar_to(
        self, ids: str | Iterable[str] = (), minus: str | Iterable[str] = (), k: int = 50, **more: Any
    ) -> pd.DataFrame:
        """Select the ``k`` rows most like these and least like ``minus``, the examples first.

        ``file=`` takes an example from a FITS, PNG or spectrum file, ``where=`` a query that results fulfil, ``least=``
        the least similar, ``apart=`` degrees within which near-duplicates are set aside, ``space=`` another space.
        """
        return self.session.similar_to(ids, minus, k, **more)

    def side_by_side(self, ids: str | Iterable[str], k: int = 12, **more: Any) -> dict[str, pd.DataFrame]:
        """What is similar to these in every space: space → table."""
        return self.session.side_by_side(ids, k=k, **more)

    def search(self, text: str, k: int = 50, where: str = "") -> pd.DataFrame:
        """Select the ``k`` rows that fit the words best; ``attrs["how"]`` of the table says by what."""
        return self.session.search(text, k, where)

    def search_composed(self, parts: Iterable[Any], k: int = 50, **more: Any) -> pd.DataFrame:
        """Select by weighted parts: Like, Words, Condition of :mod:`explorer.session.composed`."""
        return self.session.search_composed(list(parts), k, **more)

    def verdict(self, what: str | None = None, label: str = "", **more: Any) -> Verdict:
        """The vote of an object's nearest neighbours on a column of classes, with everything it rests on."""
        return self.session.verdict(what, label, **more)

    def mark(self, ids: str | Iterable[str], label: str | None = None, score: float | None = None) -> None:
        """Call objects something, with a score from 0 to 5."""
        self.session.mark(ids, label, score)

    def rerank(self, like: str | None = None, method: str = "gp") -> str:
        """Rank by what your marks make of the present score; returns the new score's name. Choose the old one to undo.

        Artefacts push down what looks like them, what you liked brings its look-alikes up; ``like`` restricts it to
        one label. ``method``: ``gp`` (Gaussian process) or ``neighbour`` (Astronomaly's).
        """
        return self.session.rerank(like, method)

    def rerank_with(self, tool: str, ids: str | Iterable[str] = (), top: int = 200) -> pd.DataFrame:
        """Judge candidates with a tool, such as ``lens-likeness`` or ``line-width``, and rank by its score.

        The candidates are ``ids``, else the first ``top`` of the selection in its order, else of the ranking. The table
        says what each scored, where it stood before, and why some were set aside; the card shows the evidence. Choose
        the old score to go back.
        """
        from explorer.survey.progress import bar

        return self.session.rerank_with(tool, ids, top, bar())

    def propose(self, count: int = 20) -> Selection:
        """Select what to look at next: the most promising rows that you have not marked."""
        return self.session.propose(count)

    def rank_matched(self, columns: Iterable[str], bins: int = 10) -> str:
        """Rank every object among those like it in these columns, such as S/N and redshift."""
        return self.session.rank_matched(list(columns), bins)

    def stability(self, runs: int = 8, kind: str = "folds") -> pd.DataFrame:
        """Measure between which places each row of the ranking stands; the surest rows first."""
        from explorer.survey.progress import bar

        return self.session.stability(runs, kind, bar())

    def clear(self) -> Selection:
        """Select nothing."""
        return self.session.clear()

    def undo(self) -> bool:
        """Go back to the selection before."""
        return self.session.undo()

    def redo(self) -> bool:
        """Take the last undo back."""
        return self.session.redo()

    def refresh(self) -> bool:
        """See the spaces, scores and marks that came meanwhile."""
        return self.session.refresh()

    def export(self, path: str | Path, overwrite: bool = False) -> Path:
        """Write the selection with its provenance: .fits, .csv, .parquet or .vot."""
        return self.session.export(path, overwrite)

    # -- showing --------------------

    @property
    def _screen(self) -> Any:
        from explorer.views._theme import screen_of

        screen = screen_of(self.session)
        if not self._pages and not getattr(self, "_themed", False):
            screen.theme, self._themed = self.options.theme, True
        return screen

    def page(self) -> Viewable:
        """A new page on this exploration, as something that Panel lays out, serves or displays."""
        from explorer.page import Page

        _ = self._screen
        page = Page(self.session, self.options.height)
        self._pages.append(page)
        return page.layout

    def compare(self) -> Viewable:
        """A new page on this exploration that stands at COMPARE: transfer, fusion, probes, stability, recovery."""
        from explorer.page import Page

        _ = self._screen
        page = Page(self.session, self.options.height, at="compare")
        self._pages.append(page)
        return page.layout

    def servable(self, title: str = "") -> Viewable:
        """Mark a page of this exploration to be served by ``panel serve``."""
        return self.page().servable(title=title or f"{self.survey.name} · Astro Explorer")

    def close(self) -> None:
        """Close every page; the exploration itself stays."""
        for page in self._pages:
            page.close()
        self._pages = []

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        from explorer.notebook import ready

        ready()
        return self.page()._repr_mimebundle_(include, exclude)
