"""The X-ray spectrum of the source in focus with a folded model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import photons
from explorer.views import _xraypics as pics
from explorer.views._board import Board
from explorer.views._theme import empty, escape, failure, skeleton
from explorer.views._work import Work

if TYPE_CHECKING:
    import panel as pn

    from explorer.session.session import Session
    from explorer.survey.store import Survey


def render_xspectrum(survey: Survey, row: int, model: str = "power law") -> str:
    """HTML of a row's spectrum in groups of channels, with the best folded ``model``."""
    if not 0 <= row < len(survey):
        return empty("No object in focus", "Click a point, a thumbnail or a row of the ranking.")
    name, found = str(survey.ids[row]), survey.xspectrum(row)
    if found is None:
        have = int(survey.has("xspectrum").sum())
        return empty(f"{name} has no X-ray spectrum", f"{have:,} of the {len(survey):,} rows have one.")
    if not np.asarray(found.counts).sum() > 0:
        return empty(f"{name} has a spectrum without counts", "Nothing was detected in its channels.")
    drawn = photons.grouped(found, model)
    if not len(drawn.lo):
        return empty(f"{name} cannot be drawn", drawn.told)
    picks = "".join(
        f'<button data-do="model" data-model="{m}" aria-pressed="{str(m == model).lower()}">{m}</button>'
        for m in photons.MODELS
    )
    response = "its own response" if found.response and found.response != "analytic" else ""
    told = [f"<b>{escape(name)}</b>", f"{found.counts.sum():,.0f} counts"]
    if found.exposure > 0:
        told.append(f"{found.exposure / 1000:.1f} ks")
    told += [f"<b>{escape(drawn.told)}</b>" if drawn.model is not None else escape(drawn.told), response]
    named = [("muted", f"counts in {len(drawn.lo)} groups")]
    if drawn.model is not None:
        named.append(("model", f"absorbed {model}, folded"))
    if (drawn.background > 0).any():
        named.append(("faint", "background"))
    picture = pics.spectrum(drawn)
    return (
        f'<div class="xr">{pics.says(*told)}<div class="pick">{picks}</div><div class="pic">{picture}</div>'
        f"{pics.keys(*named)}</div>"
    )


class XSpectrumView:
    """Counts by energy, and the model that they were folded against."""

    name = "xspectrum"
    title = "X-ray spectrum"
    place = "tab"

    def __init__(self, session: Session):
        self.session, self.model = session, "power law"
        self.work = Work(self._failed)
        self.board = Board(self._on_click, pics.CSS, sizing_mode="stretch_both", margin=0, markup=skeleton())
        self._watcher: Any = session.param.watch(lambda *_: self._draw(), ["focus", "version"])

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Whether the survey has X-ray spectra."""
        return "xspectrum" in survey.modalities

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
        row, model = self.session.focus, self.model
        if "xspectrum" not in self.session.survey.modalities:
            self.board.markup = empty("This survey has no X-ray spectra", "Ingest PHA files to see them here.")
            return
        self.work.run("xspectrum", lambda: render_xspectrum(self.session.survey, row, model), self._show)

    def _on_click(self, data: dict[str, Any]) -> None:
        if data.get("do") == "model" and data.get("model") in photons.MODELS:
            self.model = str(data["model"])
            self._draw()

    def _show(self, markup: str) -> None:
        self.board.markup = markup

    def _failed(self, error: Exception) -> None:
        self.board.markup = failure(error, "The spectrum could not be drawn")
