"""The X-ray spectrum of the source in focus with a folded model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import photons
from explorer.views import _xraypics as pics
from explorer.views._row import RowView
from explorer.views._theme import empty, escape

if TYPE_CHECKING:
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
    choose = f'<div class="pick">{picks}</div>' if drawn.model is not None else ""
    return f'<div class="xr">{pics.says(*told)}{choose}<div class="pic">{picture}</div>{pics.keys(*named)}</div>'


class XSpectrumView(RowView):
    """Counts by energy, and the model that they were folded against."""

    name, title, modality, css = "xspectrum", "X-ray spectrum", "xspectrum", pics.CSS

    def __init__(self, session: Session):
        self.model = "power law"
        super().__init__(session)

    def draw(self) -> None:
        """The spectrum with the chosen model."""
        row, model = self.session.focus, self.model
        if "xspectrum" not in self.session.survey.modalities:
            self.board.markup = empty("This survey has no X-ray spectra", "Ingest PHA files to see them here.")
            return
        self.work.run("xspectrum", lambda: render_xspectrum(self.session.survey, row, model), self._show)

    def do(self, data: dict[str, Any]) -> None:
        """Fold another model."""
        if data.get("do") == "model" and data.get("model") in photons.MODELS:
            self.model = str(data["model"])
            self.draw()
