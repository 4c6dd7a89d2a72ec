"""The spectrum in focus, over the spectra of its selection."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import numpy as np
import panel as pn
import param

from explorer.views import _spectra
from explorer.views._roles import redshift_column
from explorer.views._specfigure import LABELS, SpectrumFigure, line_columns
from explorer.views._specpicture import Picture, render_caption, render_spectrum, render_stack
from explorer.views._theme import BODY_CSS, CONTROLS_CSS, empty, failure, screen_of
from explorer.views._work import Work

if TYPE_CHECKING:
    from explorer.session.session import Session
    from explorer.survey.store import Survey

SHOW = ("emission", "absorption", "stack")


class Controls(param.Parameterized):
    """What a person sets in the spectrum view; each can be set from a cell too."""

    smoothing = param.Number(3.0, bounds=(0, 15), step=0.5, doc="σ of the Gaussian in pixels")
    frame = param.Selector(default="observed", objects=["observed", "rest"])
    z = param.Number(0.0, bounds=(-0.01, 20), step=0.0001, doc="redshift at which lines are marked")
    show = param.ListSelector(default=list(SHOW), objects=list(SHOW), doc="lines, and the stack of the selection")


_CSS = """
.ax-spec-caption { white-space: nowrap; overflow: hidden; text-overflow: ellipsis; color: var(--ax-muted);
  padding: 2px 4px 0; font-size: 12px; }
.ax-spec-caption b { color: var(--ax-text); font-weight: 600; }
.ax-spec-caption .ax-dot { margin: 0 7px; color: var(--ax-faint); font-style: normal; }
"""


_BAR_CSS = """
.bk-btn-group .bk-btn, a.bk-btn, .bk-btn { padding: 0 6px !important; font-size: 11px !important;
  box-shadow: none !important; line-height: 26px !important; }
.bk-btn > a { padding: 0 !important; display: block; line-height: 26px; }
.bk-slider-title { white-space: nowrap; }
"""


class SpectrumView:
    """Flux with its error, marked lines that follow a redshift, and the stack of the selection behind."""

    name = "spectrum"
    title = "Spectrum"

    def __init__(self, session: Session):
        self.session, self.controls, self.screen = session, Controls(), screen_of(session)
        self.picture = Picture(reason=("No object in focus", ""))
        self.stacked: dict[str, Any] = {}
        self.figure = SpectrumFigure()
        self.figure.paint(self.screen.theme)
        self.work = Work(self._failed)
        self._build()
        c = self.controls
        self._watched: list[tuple[param.Parameterized, Any]] = [
            (session, session.param.watch(self._on_focus, ["focus", "version"])),
            (session, session.param.watch(self._on_selection, "selection")),
            (
                self.screen,
                self.screen.param.watch(lambda e: self.work.deliver(lambda: self.figure.paint(e.new)), "theme"),
            ),
            (c, c.param.watch(self._on_smoothing, "smoothing")),
            (c, c.param.watch(self._on_look, ["frame", "show", "z"])),
        ]

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Whether the survey has spectra."""
        return "spectrum" in survey.modalities

    # -- widgets --------------------

    def _build(self) -> None:
        c = self.controls
        common: dict[str, Any] = {"stylesheets": [CONTROLS_CSS, _BAR_CSS], "margin": (2, 4)}
        smoothing = pn.widgets.FloatSlider.from_param(c.param.smoothing, label="smoothing", width=76, **common)
        frame = pn.widgets.RadioButtonGroup.from_param(c.param.frame, label="frame", width=108, **common)
        self.slider = pn.widgets.FloatSlider(
            label="redshift",
            start=0,
            end=self._largest_redshift(),
            step=0.0001,
            format="0.0000",
            width=104,
            tooltips=False,
            **common,
        )
        self.exact = pn.widgets.FloatInput(label="", step=0.001, format="0.00000", width=82, **common)
        self.back = pn.widgets.Button(
            label="↺", width=28, disabled=True, description="back to the catalogue's redshift", **common
        )
        shown = pn.widgets.CheckButtonGroup.from_param(c.param.show, label="show", width=168, **common)
        self._csv = pn.widgets.FileDownload(
            callback=self.csv, filename="spectrum.csv", label="CSV", icon=None, width=46, **common
        )
        for button in (frame, self.exact, self.back, shown, self._csv):
            button.align = "end"
        self.figure.follow(self.slider)
        self.slider.param.watch(lambda e: self._set_z(e.new), "value_throttled")
        self.exact.param.watch(lambda e: self._set_z(e.new), "value")
        self.back.on_click(lambda _: self.reset_redshift())
        self.bar = pn.FlexBox(smoothing, frame, self.slider, self.exact, self.back, shown, self._csv, align_items="end")
        self.caption = pn.pane.HTML("", stylesheets=[BODY_CSS, _CSS], margin=0, sizing_mode="stretch_width", height=20)
        self.pane = pn.pane.Bokeh(self.figure.plot, sizing_mode="stretch_both", margin=0)
        self.stage = pn.Column(self.pane, sizing_mode="stretch_both", margin=0)  # a Bokeh pane forgets to show again
        self.note = pn.pane.HTML("", stylesheets=[BODY_CSS], margin=0, sizing_mode="stretch_both", visible=False)
        self._body = pn.Column(self.bar, self.caption, self.stage, self.note, sizing_mode="stretch_both", margin=0)

    def _largest_redshift(self) -> float:
        name = redshift_column(self.session.survey)
        values = np.empty(0)
        if name is not None:
            column = self.session.survey.column(name)
            values = np.asarray(column, dtype=np.float64) if column.dtype.kind in "fiu" else values
        values = values[np.isfinite(values)]
        return float(np.ceil(10 * max(1.0, 1.15 * values.max())) / 10) if len(values) else 7.0

    def panel(self) -> pn.viewable.Viewable:
        """The view; what it shows comes as soon as it is ready."""
        self.work.attach()
        self._on_focus()
        self._on_selection()
        return self._body

    def close(self) -> None:
        """Stop following the session."""
        self.work.close()
        for owner, watcher in self._watched:
            owner.param.unwatch(watcher)
        self._watched = []

    def csv(self) -> StringIO:
        """The spectrum in focus as CSV; where there is none, a file that says so."""
        p = self.picture
        if p.spectrum is None:
            return StringIO(f"# {' '.join((p.reason or ('no spectrum',))[0].split())}\n")
        return StringIO(_spectra.to_csv(p.spectrum, p.id, self.controls.z, p.unit))

    def reset_redshift(self) -> None:
        """Back to the redshift of the catalogue."""
        if self.picture.redshift is not None:
            self._set_z(self.picture.redshift)

    def _set_z(self, value: float | None) -> None:
        if value is None:  # the entry was emptied
            return
        low, high = self.controls.param.z.bounds
        self.controls.z = float(np.clip(value, low, high))

    # -- following --------------------

    def _on_focus(self, *_: Any) -> None:
        survey, row, smoothing = self.session.survey, self.session.focus, self.controls.smoothing
        self.work.run("focus", lambda: render_spectrum(survey, row, smoothing), self._show)

    def _on_smoothing(self, *_: Any) -> None:
        self._on_focus()

    def _on_selection(self, *_: Any) -> None:
        survey, rows = self.session.survey, self.session.selection.rows
        wanted = len(rows) > 0 and "spectrum" in survey.modalities
        self.work.run("stack", lambda: render_stack(survey, rows) if wanted else {}, self._show_stack)

    def _on_look(self, *_: Any) -> None:
        z = self.controls.z
        if self.slider.value != z:
            self.slider.param.update(value=z, end=max(self.slider.end, z), start=min(self.slider.start, z))
        self.exact.value = z
        self._draw(keep=False)

    def _failed(self, error: BaseException) -> None:
        self.note.param.update(object=failure(error, "The spectrum could not be drawn"), visible=True)
        self.stage.visible = self.caption.visible = False

    # -- drawing --------------------

    def _show(self, picture: Picture) -> None:
        new = picture.row != self.picture.row
        self.picture = picture
        nothing = picture.reason is not None
        self.note.param.update(object=empty(*picture.reason) if picture.reason else "", visible=nothing)
        self.bar.visible = self.caption.visible = self.stage.visible = not nothing
        if nothing:
            return
        self._csv.filename = "".join(c if c.isalnum() or c in "-_." else "_" for c in picture.id)[:80] + ".csv"
        self.back.disabled = picture.redshift is None
        if new and picture.redshift is not None and picture.redshift != self.controls.z:
            self.controls.z = float(np.clip(picture.redshift, *self.controls.param.z.bounds))  # draws by _on_look
        else:
            self._draw(keep=not new)

    def _show_stack(self, stacked: dict[str, Any]) -> None:
        self.stacked = stacked
        self._draw_stack()
        self._caption()

    def _caption(self) -> None:
        if self.picture.reason is None:
            used = int(self.stacked.get("used", 0)) if len(self.stacked.get("wavelength", ())) else 0
            self.caption.object = render_caption(self.picture, used, len(self.session.selection.rows))

    def _draw(self, keep: bool) -> None:
        """Fill the figure from the picture; ``keep`` the range that the person zoomed to."""
        p, c, f = self.picture, self.controls, self.figure
        if p.reason is not None:
            return
        rest = c.frame == "rest"
        factor = 1 / (1 + c.z) if rest else 1.0
        raw = p.raw or {"observed": np.empty(0, np.float32), "y": np.empty(0, np.float32)}
        f.sources["raw"].data = {**raw, "x": raw["observed"] * np.float32(factor)}
        observed = p.shown["observed"]
        f.sources["shown"].data = {
            **p.shown,
            "x": observed * np.float32(factor),
            "rest": observed / np.float32(1 + c.z),
        }
        f.sources["masked"].data = {
            "observed0": p.masked[:, 0],
            "observed1": p.masked[:, 1],
            "x0": p.masked[:, 0] * factor,
            "x1": p.masked[:, 1] * factor,
        }
        low, high = p.window[0] * factor, p.window[1] * factor
        f.lines.data = line_columns(c.z, c.frame, (low, high), tuple(c.show))
        unit = f"flux ({p.unit})" if p.unit else "flux (unit unknown)"
        if keep:
            f.label(LABELS[c.frame], unit)
        else:
            f.frame(low, high, *p.flux_limits, LABELS[c.frame], unit)
        self._draw_stack()
        self._caption()

    def _draw_stack(self) -> None:
        s, c, p = self.stacked, self.controls, self.picture
        rest = c.frame == "rest"
        self.figure.state.data = {
            "z": [c.z],
            "rest": [int(rest)],
            "stack_rest": [int(s.get("rest", True))],
            "kinds": [" ".join(c.show)],
        }
        if not len(s.get("wavelength", ())) or p.spectrum is None or "stack" not in c.show:
            self.figure.sources["stack"].data = {k: [] for k in ("base", "x", "median", "low", "high")}
            return
        scale = abs(_spectra.level(p.spectrum))
        factor = (1.0 if rest else 1 + c.z) if s["rest"] else (1 / (1 + c.z) if rest else 1.0)
        seen = np.isfinite(s["median"])
        self.figure.sources["stack"].data = {
            "base": s["wavelength"][seen],
            "x": s["wavelength"][seen] * factor,
            **{k: s[k][seen] * scale for k in ("median", "low", "high")},
        }
