"""What is drawn of a spectrum and of its selection's stack, without a browser."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.survey.records import Spectrum
from explorer.views import _spectra
from explorer.views._roles import number, redshift_column, redshift_of, unit_of
from explorer.views._theme import escape

if TYPE_CHECKING:
    from explorer.survey.store import Survey

SAMPLE = 200  # spectra of a selection that a stack is made of
COLUMNS = 4000  # a spectrum longer than twice this is decimated


@dataclass(frozen=True)
class Picture:
    """What is drawn of one spectrum, without a browser. ``reason`` says why where there is nothing."""

    row: int = -1
    id: str = ""
    redshift: float | None = None
    unit: str = ""
    spectrum: Spectrum | None = None
    raw: dict[str, np.ndarray] = field(default_factory=dict)
    shown: dict[str, np.ndarray] = field(default_factory=dict)
    masked: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))
    window: tuple[float, float] = (0.0, 1.0)
    flux_limits: tuple[float, float] = (0.0, 1.0)
    signal_to_noise: float = float("nan")
    reason: tuple[str, str] | None = None


def render_spectrum(survey: Survey, row: int, smoothing: float = 3.0) -> Picture:
    """The picture of a row's spectrum; its ``reason`` is a title and a hint where there is none."""
    if "spectrum" not in survey.modalities:
        return Picture(reason=("This survey has no spectra", "Ingest a folder that holds spectra to see them here."))
    if not 0 <= row < len(survey):
        return Picture(reason=("No object in focus", "Click a point, a thumbnail or a row of the ranking."))
    row_id = str(survey.ids[row])
    found = survey.spectrum(row)
    if found is None:
        have = int(survey.has("spectrum").sum())
        hint = f"{have:,} of the {len(survey):,} rows have one: select them with the query has('spectrum')."
        return Picture(row, row_id, reason=(f"{row_id} has no spectrum", hint))
    flux, ivar = np.asarray(found.flux, np.float64), np.asarray(found.ivar, np.float64)
    good = (ivar > 0) & np.isfinite(flux) & np.isfinite(ivar)
    if not good.any():
        hint = f"All {len(flux):,} pixels are masked (ivar = 0)."
        return Picture(row, row_id, spectrum=found, reason=(f"{row_id} has no usable pixel", hint))
    raw = np.where(good, flux, np.nan)
    smoothed, weight = _spectra.smooth(flux, ivar, smoothing)
    with np.errstate(divide="ignore"):
        sigma = np.where(weight > 0, 1 / np.sqrt(weight), np.nan)
    wavelength = found.wavelength
    at, coarse = _spectra.decimate(raw, COLUMNS), _spectra.decimate(smoothed, COLUMNS)
    drawn_raw = {"observed": wavelength[at], "y": raw[at]} if smoothing > 0 else {}
    drawn = {"observed": wavelength, "y": smoothed, "low": smoothed - sigma, "high": smoothed + sigma, "sigma": sigma}
    return Picture(
        row,
        row_id,
        redshift_of(survey, row),
        unit_of(survey, "spectrum"),
        found,
        {k: v.astype(np.float32) for k, v in drawn_raw.items()},
        {k: v[coarse].astype(np.float32) for k, v in drawn.items()},
        _spectra.masked_runs(wavelength, np.where(good, ivar, 0)),
        (float(wavelength[0]), float(wavelength[-1])),
        _spectra.limits(flux, ivar),
        float(np.median(np.abs(flux[good]) * np.sqrt(ivar[good]))),
    )


def render_stack(survey: Survey, rows: np.ndarray, sample: int = SAMPLE) -> dict[str, Any]:
    """Stack of at most ``sample`` of these rows' spectra, at rest where the catalogue has redshifts.

    The arrays of :func:`explorer.views._spectra.stack`, with ``rest`` (bool) and ``used`` (how many spectra).
    The sample is drawn with a fixed seed: the same selection gives the same stack.
    """
    rows = np.asarray(rows, dtype=np.int64)
    rows = rows[survey.has("spectrum")[rows]]
    name = redshift_column(survey)
    redshift = None
    if name is not None:
        known = np.array([number(v) is not None for v in survey.column(name)[rows]], dtype=bool)
        if known.sum() >= 3:
            rows, redshift = rows[known], True
    if len(rows) > sample:
        rows = np.sort(np.random.default_rng(0).choice(rows, sample, replace=False))
    z = np.asarray(survey.column(name)[rows], dtype=np.float64) if redshift and name else None
    spectra = [s for s in survey.spectra(rows) if s is not None]
    return {**_spectra.stack(spectra, z), "rest": redshift is not None, "used": len(spectra)}


def render_caption(picture: Picture, used: int, selected: int) -> str:
    """HTML line over the figure: id, redshift, signal to noise, masked share, what the stack is."""
    parts = [f"<b>{escape(picture.id)}</b>"]
    parts.append(f"z = {picture.redshift:.4f}" if picture.redshift is not None else "redshift not in the catalogue")
    if picture.spectrum is not None:
        parts.append(f"S/N {picture.signal_to_noise:.1f} per pixel")
        masked = float(np.mean(picture.spectrum.ivar <= 0))
        parts.append(f"{masked:.1%} masked" if masked else "no pixel masked")
    if used:
        of = f"{used:,} of {selected:,} selected" if used < selected else f"the {used:,} selected"
        parts.append(f'<span style="color:var(--ax-select)">median and 16–84 % of {of}</span>')
    return '<div class="ax-spec-caption">' + '<i class="ax-dot">·</i>'.join(parts) + "</div>"
