"""The photons of the source in focus: light curve with Bayesian blocks, energies, and the rate by PPAD."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from explorer.session import photons
from explorer.views import _xraypics as pics
from explorer.views._row import RowView
from explorer.views._theme import empty, escape
from kernels.preprocess.xray import hardness_ratios

if TYPE_CHECKING:
    from explorer.survey.store import Survey


def render_events(survey: Survey, row: int, ppad: bool = True) -> str:
    """HTML of the light curve and the energy-time plane of a row; an empty state says what is missing.

    ``ppad`` draws the rate that the row's PPAD latents stand for over it, where the survey has them.
    """
    if not 0 <= row < len(survey):
        return empty("No object in focus", "Click a point, a thumbnail or a row of the ranking.")
    name, found = str(survey.ids[row]), survey.events(row)
    if found is None:
        have = int(survey.has("events").sum())
        return empty(f"{name} has no events", f"{have:,} of the {len(survey):,} rows have an event list.")
    if not len(found.time):
        return empty(f"{name} has an empty event list", "No photon was detected in its aperture.")
    curve = photons.light_curve(found)
    trouble, rate = "", None
    try:
        rate = photons.ppad_rate(survey, row, float(curve.gti[-1, 1])) if ppad else None
    except ValueError as error:  # the photons are shown all the same
        trouble = escape(error)
    told = [f"<b>{escape(name)}</b>", f"{len(curve.time):,} events in {curve.exposure / 1000:.1f} ks"]
    blocks = len(curve.blocks)
    told.append("one block: no change of rate" if blocks == 1 else f"<b>{blocks} blocks</b>: the rate changes")
    if "var_prob_b" in survey.columns and np.isfinite(survey.column("var_prob_b")[row]):
        told.append(f"Gregory-Loredo probability {survey.column('var_prob_b')[row]:.3f}")
    if curve.energy is not None:
        ratio = hardness_ratios(curve.energy)["hard_hs"]
        told.append(f"(H − S) / (H + S) {ratio:+.2f} in counts" if np.isfinite(ratio) else "no count in S and H")
    if curve.outside:
        told.append(f"{curve.outside:,} outside the good times left out")
    if curve.energy is None:
        told.append("no energies in this list")
    if curve.thinned:
        told.append(f"blocks from {photons.MOST_BLOCK_EVENTS:,} of the events at most")
    if rate is not None and rate.period:
        told.append(f"PPAD: a period of {clock(rate.period)}" + (", smeared in the curve" if rate.smeared else ""))
    told.append(trouble)
    named = [("muted", "counts, Poisson error"), ("focus", "Bayesian blocks, 1 % false alarms")]
    if rate is not None:
        named.append(("model", "rate by PPAD, 0.5-7 keV"))
    picture = pics.light_curve(curve, None if rate is None else (rate.time, rate.rate))
    return f'<div class="xr">{pics.says(*told)}<div class="pic">{picture}</div>{pics.keys(*named)}</div>'


def clock(seconds: float) -> str:
    """A time of three digits in s or ks."""
    return f"{seconds / 1000:.3g} ks" if seconds >= 1000 else f"{seconds:.3g} s"


class EventsView(RowView):
    """When the photons came, and with which energies."""

    name, title, modality, css = "events", "Events", "events", pics.CSS

    def draw(self) -> None:
        """The photons at once, the rate by PPAD when it is there."""
        row = self.session.focus
        if "events" not in self.session.survey.modalities:
            self.board.markup = empty("This survey has no events", "Ingest event lists to see them here.")
            return
        survey = self.session.survey
        self.work.run("events", lambda: render_events(survey, row, ppad=False), self._show)
        if "ppad/events" in survey.spaces and row >= 0:  # the first call loads a network: the photons do not wait
            self.work.run("rate", lambda: (row, render_events(survey, row)), self._show_rate)

    def _show_rate(self, made: tuple[int, str]) -> None:
        if made[0] == self.session.focus:
            self._show(made[1])
