"""What the views tell of a source's photons: light curve, Bayesian blocks, folded models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.survey.records import Events, XSpectrum
from explorer.survey.simulate import xray
from kernels.embedding.batches import merged

if TYPE_CHECKING:
    from explorer.survey.store import Survey

CELLS = 64
MOST_BLOCK_EVENTS = 4000
"""Events that Bayesian blocks are found from at most: their cost grows with the square."""
MODELS = {
    "power law": (xray.powerlaw, np.arange(-0.5, 5.01, 0.1), "photon index", ""),
    "black body": (xray.blackbody, np.geomspace(0.05, 4.0, 40), "kT", "keV"),
    "bremsstrahlung": (xray.bremsstrahlung, np.geomspace(0.1, 40.0, 40), "kT", "keV"),
    "plasma": (xray.plasma, np.geomspace(0.1, 12.0, 40), "kT", "keV"),
}
_NH = np.array([0.0, 0.01, 0.03, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])


@dataclass(frozen=True)
class LightCurve:
    """Counts in cells of clock time with good time in them.

    ``start``, ``stop`` (m,) s from the first good time; ``counts`` (m,); ``live`` (m,) s of good time; ``blocks``
    (k, 3): start, stop, rate in counts/s of good time; ``gti`` (j, 2) s from the same zero; ``outside`` events that
    lie in no good time and are left out; ``thinned`` whether the blocks were found from a part of the events.
    """

    start: np.ndarray
    stop: np.ndarray
    counts: np.ndarray
    live: np.ndarray
    blocks: np.ndarray
    gti: np.ndarray
    time: np.ndarray
    energy: np.ndarray | None
    outside: int
    thinned: bool

    @property
    def exposure(self) -> float:
        """Good time in s."""
        return float((self.gti[:, 1] - self.gti[:, 0]).sum())


def light_curve(events: Events, cells: int = 0, p0: float = 0.01) -> LightCurve:
    """Rates in ``cells`` equal cells and the Bayesian blocks of astropy (Scargle et al. 2013) at false alarm ``p0``.

    ``cells`` of 0 are chosen by the number of events.

    Blocks are found in live time, so that a gap between good times is no change of rate, and then put back on the
    clock. Events need not be in order; where there is no good time, that from the first to the last event counts.
    """
    order = np.argsort(events.time, kind="stable")
    time = np.asarray(events.time, np.float64)[order]
    energy = None if events.energy is None else np.asarray(events.energy, np.float64)[order]
    gti = merged(events.gti)
    if not len(gti):
        if not len(time):
            return LightCurve(*(np.empty(0),) * 4, np.empty((0, 3)), np.empty((0, 2)), time, energy, 0, False)
        gti = np.array([[time[0], max(time[-1], time[0] + 1.0)]])
    zero = gti[0, 0]
    at = np.clip(np.searchsorted(gti[:, 0], time, side="right") - 1, 0, None)
    inside = (time >= gti[at, 0]) & (time <= gti[at, 1])
    outside = int((~inside).sum())
    time, at = time[inside], at[inside]
    energy = None if energy is None else energy[inside]
    cells = cells or int(np.clip(len(time) // 5, 16, CELLS))
    edges = np.linspace(gti[0, 0], gti[-1, 1], cells + 1)
    counts = np.histogram(time, edges)[0]
    knots = np.concatenate([[0.0], np.cumsum(gti[:, 1] - gti[:, 0])])
    live = np.diff(_live(edges, gti, knots))
    lived = knots[at] + time - gti[at, 0]
    blocks, thinned = _blocks(lived, float(knots[-1]), p0)
    blocks[:, :2] = _clock(blocks[:, :2], gti, knots)
    blocks[:, :2] -= zero
    good = live > 0
    return LightCurve(
        edges[:-1][good] - zero, edges[1:][good] - zero, counts[good], live[good], blocks, gti - zero, time - zero,
        energy, outside, thinned,
    )  # fmt: skip


def _live(clock: np.ndarray, gti: np.ndarray, knots: np.ndarray) -> np.ndarray:
    return np.interp(clock, gti.ravel(), np.repeat(knots, 2)[1:-1])


def _clock(live: np.ndarray, gti: np.ndarray, knots: np.ndarray) -> np.ndarray:
    at = np.clip(np.searchsorted(knots, live, side="right") - 1, 0, len(gti) - 1)
    return gti[at, 0] + live - knots[at]


def _blocks(lived: np.ndarray, exposure: float, p0: float) -> tuple[np.ndarray, bool]:
    """(k, 3) start, stop, rate in live time; one block where there are fewer than two distinct times."""
    from astropy.stats import bayesian_blocks

    distinct = np.unique(lived)
    thinned = len(distinct) > MOST_BLOCK_EVENTS
    step = -(-len(distinct) // MOST_BLOCK_EVENTS)
    edges = np.array([0.0, exposure])
    if len(distinct) > 2:
        inner = bayesian_blocks(distinct[::step], fitness="events", p0=p0)[1:-1]
        edges = np.concatenate([[0.0], inner[(inner > 0) & (inner < exposure)], [exposure]])
    counts = np.histogram(lived, edges)[0]
    return np.column_stack([edges[:-1], edges[1:], counts / np.maximum(np.diff(edges), 1e-9)]), thinned


@dataclass(frozen=True)
class Grouped:
    """A spectrum in groups of channels: ``lo``, ``hi`` (m,) keV; ``counts``, ``background`` (m,); ``model`` (m,) or
    None; ``told`` what was fitted, or why nothing was."""

    lo: np.ndarray
    hi: np.ndarray
    counts: np.ndarray
    background: np.ndarray
    model: np.ndarray | None
    told: str
    exposure: float


def grouped(
    spectrum: XSpectrum, model: str = "power law", least: int = 0, band: tuple[float, float] = (0.5, 8.0)
) -> Grouped:
    """The channels of ``band`` (keV) in groups of ``least`` counts or more (by the brightness where 0), and a model.

    The model, absorbed by a column of hydrogen, is folded through the effective area and a CCD's resolution and
    fitted with Cash's statistic, the scaled background added. Without an effective area, exposure or counts nothing
    is fitted and ``told`` says so.
    """
    inside = (spectrum.energy_lo >= band[0] - 1e-6) & (spectrum.energy_hi <= band[1] + 1e-6)
    counts, background = np.asarray(spectrum.counts, float)[inside], np.asarray(spectrum.background, float)[inside]
    lo, hi = spectrum.energy_lo[inside], spectrum.energy_hi[inside]
    if not len(lo):
        return Grouped(
            lo, hi, counts, background, None, f"no channel between {band[0]} and {band[1]} keV", spectrum.exposure
        )
    least = least or int(np.clip(counts.sum() / 50, 5, 200))
    first = _groups(counts, least)
    total, under = np.add.reduceat(counts, first), np.add.reduceat(background, first)
    edges_lo, edges_hi = lo[first], np.append(lo[first[1:]], hi[-1])
    area = np.asarray(spectrum.area, float)[inside]
    if not spectrum.exposure > 0:
        return Grouped(
            edges_lo, edges_hi, total, under, None, "no exposure, so no rate and no model", spectrum.exposure
        )
    if not np.isfinite(area).any() or not (np.nan_to_num(area) > 0).any():
        told = "no effective area (ARF), so no model can be folded"
        return Grouped(edges_lo, edges_hi, total, under, None, told, spectrum.exposure)
    if counts.sum() < 10:
        return Grouped(edges_lo, edges_hi, total, under, None, "fewer than ten counts: no fit", spectrum.exposure)
    expected, told = _fit(model, lo, hi, np.nan_to_num(area), first, total, under)
    return Grouped(edges_lo, edges_hi, total, under, expected, told, spectrum.exposure)


def _groups(counts: np.ndarray, least: int) -> np.ndarray:
    """First channel of each group; the last group takes what is left."""
    first, have = [0], 0.0
    for i, c in enumerate(counts):
        have += c
        if have >= least and i + 1 < len(counts):
            first.append(i + 1)
            have = 0.0
    if have < least and len(first) > 1:
        first.pop()
    return np.array(first)


def _fit(
    model: str,
    lo: np.ndarray,
    hi: np.ndarray,
    area: np.ndarray,
    first: np.ndarray,
    counts: np.ndarray,
    back: np.ndarray,
) -> tuple[np.ndarray, str]:
    """(expected counts per group, what was found) of the best value and column on a grid."""
    if model not in MODELS:
        raise ValueError(f"model={model!r} is unknown: choose one of {', '.join(MODELS)}")
    make, values, name, unit = MODELS[model]
    middle = (lo + hi) / 2
    sigma = xray.resolution(xray.ENERGY)
    blur = np.exp(-0.5 * ((middle[:, None] - xray.ENERGY) / sigma) ** 2) / sigma * (hi - lo)[:, None]
    blur = np.add.reduceat(blur * np.gradient(xray.ENERGY), first, axis=0)
    seen = np.interp(xray.ENERGY, middle, area, left=0.0, right=0.0)
    through = np.exp(-_NH[:, None] * xray.cross_section()) * seen
    photons = np.stack([make(v) for v in values])
    shape = (photons[:, None] * through).reshape(-1, len(xray.ENERGY)) @ blur.T
    shape /= np.maximum(shape.sum(axis=1, keepdims=True), 1e-300)
    net = max(counts.sum() - back.sum(), 1.0)
    expected = np.maximum(net * shape + back, 1e-9)
    statistic = 2 * (expected - counts * np.log(expected)).sum(axis=1)
    best = int(np.argmin(statistic))
    i, j = divmod(best, len(_NH))
    positive = counts > 0
    perfect = 2 * (counts.sum() - (counts[positive] * np.log(counts[positive])).sum())
    free = max(len(counts) - 3, 1)
    quality = (statistic[best] - perfect) / free
    value = f"{name} {values[i]:.2g}{' ' + unit if unit else ''}"
    column = f"NH {_NH[j] * 1e22:.1e} / cm²".replace("e+", "e") if _NH[j] else "no absorption"
    return expected[best], f"{model}: {value}, {column}, C / dof {quality:.2f}"


@dataclass(frozen=True)
class Rate:
    """``rate`` (m,) counts/s in 0.5-7 keV at ``time`` (m,) s from the first good time; ``period`` s of its clock, 0
    where it has none; ``smeared`` whether the clock is too fast for the cells, which then show its mean."""

    time: np.ndarray
    rate: np.ndarray
    period: float
    smeared: bool


POINTS, A_CYCLE, MOST_POINTS = 400, 10, 20_000


def ppad_rate(survey: Survey, row: int, length: float) -> Rate | None:
    """The rate by the survey's PPAD latents of a row over ``length`` s from the first good time, in 400 points.

    Where the latents hold a clock that turns faster than that, each point is the mean over its cell, so that what is
    drawn is no beat of the period with the points. None where the survey has no space ``ppad/events`` or the row no
    vector; a ``ValueError`` says what to do where the network that made the space cannot be read any more.
    """
    if "ppad/events" not in survey.spaces:
        return None
    latent = survey.embedding("ppad/events")[row]
    found = survey.events(row)
    if found is None or not np.isfinite(latent).all():
        return None
    from safetensors.numpy import load_file

    from kernels.embedding import ENCODERS
    from kernels.embedding.batches import Events as Batch
    from kernels.embedding.encoders import ppad

    batch = Batch.of([found.time], [found.energy], [found.gti])
    weights = survey.path / "encoders" / "ppad-events.safetensors"
    try:
        encoder = ENCODERS.get("ppad")("events").load_state(load_file(weights))
        frequency = float(ppad.unpack(np.asarray(latent, np.float64)[None], np.array([length]))[2][0])
    except (RuntimeError, OSError, KeyError, ValueError) as error:
        raise ValueError(
            "PPAD's weights here are of another version: embed the events again to see its rate"
        ) from error
    zero = float(np.min(found.gti)) if len(found.gti) else float(found.time.min())
    fine = int(np.clip(np.ceil(frequency * A_CYCLE / POINTS), 1, MOST_POINTS // POINTS))
    times = (np.arange(POINTS * fine) + 0.5) * length / (POINTS * fine)
    rate = ppad.rate(encoder, batch, latent, times + zero).sum(axis=1)
    cells = (POINTS, fine)
    period = length / frequency if frequency > 0 else 0.0
    return Rate(times.reshape(cells).mean(axis=1), rate.reshape(cells).mean(axis=1), period, fine > 1)
