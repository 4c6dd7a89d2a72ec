"""Votes: what the nearest labelled objects say the one in focus is, and everything that rests on (P1.4, P1.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from explorer.session.verdict import CHOICES, Verdict, labels_of, lines_of, text_columns
from explorer.views import _verdict_markup as markup
from explorer.views._board import Board
from explorer.views._roles import redshift_of
from explorer.views._theme import CATEGORIES, OTHER, empty, failure, screen_of, skeleton, token
from explorer.views._verdict_figures import Diagram, Overlay, Trace, behind_of, trace
from explorer.views._work import Work
from kernels.search.votes import DEFAULT, K

if TYPE_CHECKING:
    from explorer.session.session import Session
    from explorer.survey.store import Survey

KS = (1, 3, 5, 10, 20)
DRAWN = 8
"""Neighbours whose spectra are drawn and whose lines are measured, at most."""

_GRID = ":host { display: grid !important; grid-template-columns: repeat(auto-fit, minmax(212px, 1fr)); gap: 4px; }"


class Controls(param.Parameterized):
    """What a person sets in the view; each can be set from a cell too."""

    label = param.String("", doc="the column that is voted on; the likeliest where empty")
    k = param.Integer(K, bounds=(1, 200), doc="neighbours that vote")
    weighting = param.Selector(default=DEFAULT, objects=list(CHOICES), doc="how votes are weighed by distance")
    knowledge_base = param.Parameter(None, doc="a KnowledgeBase of this space; the survey itself where None")


@dataclass(frozen=True)
class Shown:
    """One verdict with all that is drawn of it."""

    verdict: Verdict
    query: dict[str, Any]
    colours: dict[str, str]
    traces: list[Trace]
    measured: dict[int, Any]
    behind: dict[str, tuple[np.ndarray, np.ndarray]]


def colours_of(classes: list[str], theme: str) -> dict[str, str]:
    """A colour for each class, in the order of their names; blue is the focus's own, grey beyond the palette."""
    palette = CATEGORIES[theme][1:]
    ordered = sorted(classes)
    return {c: palette[i] if i < len(palette) else OTHER[theme] for i, c in enumerate(ordered)}


def render_verdict(session: Any, row: int, controls: Controls, theme: str) -> Shown:
    """Hold the vote on a row, measure the lines of query and neighbours, and prepare what is drawn."""
    found: Verdict = session.verdict(
        row, controls.label, k=controls.k, weighting=controls.weighting, kb=controls.knowledge_base
    )
    survey = session.survey
    colours = colours_of(list(found.probability), theme)
    near = [r for r in found.neighbours.index.tolist() if r >= 0][:DRAWN]
    drawn = [row, *near]
    measured, spectra = {}, dict.fromkeys(drawn)
    if "spectrum" in survey.modalities:
        measured = dict(zip(drawn, lines_of(survey, drawn), strict=True))
        spectra = dict(zip(drawn, survey.spectra(np.array(drawn)), strict=True))
    labels = dict(zip(found.neighbours.index.tolist(), found.neighbours["label"].tolist(), strict=True))
    names = survey.ids_of(drawn)
    traces = [
        trace(
            name, "" if r == row else labels.get(r, ""),
            token(theme, "focus") if r == row else colours.get(labels.get(r, ""), OTHER[theme]),
            r == row, spectra.get(r), redshift_of(survey, r), measured.get(r),
        )
        for r, name in zip(drawn, names, strict=True)
    ]  # fmt: skip
    query: dict[str, Any] = {"id": names[0], "source": survey.name, "redshift": redshift_of(survey, row)}
    if found.label in survey.columns:
        query["label"] = survey.column(found.label)[row]
    if "snr_spectrum" in survey.columns:
        query["snr_spectrum"] = float(survey.column("snr_spectrum")[row])
    return Shown(found, query, colours, traces, measured, behind_of(survey))


COUNTED = 1_000_000
"""Rows up to which the classes of every column are counted before a page is shown."""


class VotesView:
    """The verdict on the object in focus, its neighbours with weights and line ratios, their spectra and BPT places."""

    name = "votes"
    title = "Votes"
    place = "tab"

    def __init__(self, session: Session):
        self.session, self.controls, self.screen = session, Controls(), screen_of(session)
        self.work = Work(self._failed)
        self.shown: Shown | None = None
        self._own = False
        self.row = -1
        self.board = Board(self._on_board, markup.CSS, sizing_mode="stretch_width", margin=0)
        self.board.markup = skeleton(120)
        self.overlay = Overlay()
        self.diagrams = {name: Diagram(name) for name in ("n2", "s2", "o1")}
        stretch: dict[str, Any] = {"sizing_mode": "stretch_width", "margin": 0}
        panes = [pn.pane.Bokeh(d.plot, **stretch) for d in self.diagrams.values()]
        # Shown only once it is drawn: a figure that is hidden from the first keeps the page from ever being ready.
        self._plots = [pn.pane.Bokeh(self.overlay.plot, **stretch), pn.Column(*panes, stylesheets=[_GRID], **stretch)]
        self.figures = pn.Column(**stretch)
        self._watching: list[tuple[param.Parameterized, Any]] = []
        self._late = False
        self._watch(self.screen, self._on_tab, ["tabs"])
        self._watch(session, self._on_focus, ["focus"])
        self._watch(session, self._go, ["space", "version"])
        self._watch(session, self._on_marks, ["marked"])
        self._watch(self.controls, self._go, ["label", "k", "weighting", "knowledge_base"])
        self._watch(self.screen, self._go, ["theme"])

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Whether there is a space, and a column of classes to vote on."""
        many = len(survey) > COUNTED  # their classes are counted when the tab is looked at
        return bool(survey.spaces) and bool(text_columns(survey) if many else labels_of(survey))

    def panel(self) -> pn.viewable.Viewable:
        """The view; the verdict comes as soon as the votes are counted."""
        self.work.attach()
        self._on_focus()
        return pn.Column(
            self.board, self.figures, sizing_mode="stretch_both", margin=0, scroll=True, styles={"min-height": "0"}
        )

    def close(self) -> None:
        """Stop listening to the session."""
        self.work.close()
        for owner, watcher in self._watching:
            owner.param.unwatch(watcher)
        self._watching = []

    def _watch(self, owner: param.Parameterized, act: Any, names: list[str]) -> None:
        self._watching.append((owner, owner.param.watch(lambda *_: act(), names)))

    def _on_focus(self) -> None:
        if not self._own:
            self.row = self.session.focus
            self._go()

    def _on_marks(self) -> None:
        if "mark" in self.controls.label:
            self._go()

    def _on_tab(self) -> None:
        if self._late:
            self._go()

    def _go(self) -> None:
        self._late = not self.screen.seen(self.name)
        if self._late:  # done when the tab is looked at
            return
        session, row, controls, theme = self.session, self.row, self.controls, self.screen.theme
        if row < 0 or not session.space:
            self.figures.objects = []
            self.board.markup = empty("Nothing to vote on", "Click an object, or step to one with j.")
            return
        self.work.run("verdict", lambda: render_verdict(session, row, controls, theme), self._show)

    def _show(self, shown: Shown) -> None:
        self.shown = shown
        found, theme = shown.verdict, self.screen.theme
        parts = markup.answer(found, shown.colours)
        parts += markup.provenance(found, shown.query, shown.measured, shown.colours)
        with pn.io.hold():
            self.board.markup = f'<div class="vt">{self._bar(found.label)}{parts}</div>'
            drawn = any(len(t.x) for t in shown.traces)
            self.figures.objects = self._plots if drawn else []
            if drawn:
                self.overlay.show(shown.traces, theme)
                for name, diagram in self.diagrams.items():
                    diagram.show(shown.traces, shown.behind[name], theme)

    def _bar(self, label: str) -> str:
        c = self.controls
        if c.knowledge_base is None:
            labels = [*labels_of(self.session.survey), "mark"]
        else:
            labels = [n for n, v in c.knowledge_base.columns_.items() if v.dtype.kind == "U"]
        labels = labels if label in labels or not label else [label, *labels]
        ks = tuple(sorted({*KS, c.k}))
        return markup.controls(labels, label or c.label, ks, c.k, CHOICES, c.weighting)

    def _failed(self, error: Exception) -> None:
        self.figures.objects = []
        bar = self._bar(self.controls.label)
        self.board.markup = f'<div class="vt">{bar}{failure(error, "No vote can be held")}</div>'

    def _on_board(self, data: dict[str, Any]) -> None:
        try:
            self._do(data)
        except Exception as error:  # what a person asked is answered on the page
            self.screen.notice = error

    def _do(self, data: dict[str, Any]) -> None:
        what = data.get("do")
        if what == "label":
            self.controls.label = str(data["value"])
        elif what == "k":
            self.controls.k = int(data["value"])
        elif what == "weighting":
            self.controls.weighting = str(data["value"])
        elif what == "look":
            self._own = True
            try:
                self.session.focus_on(int(data["row"]))
            finally:
                self._own = False
