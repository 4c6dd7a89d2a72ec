"""Event lists to model input (P2.1): counts by band on a mesh of times, beside the live time of each cell.

Times are taken as shares of the span from the first good time to the last; a cell knows how much of it was observed,
so that gaps say nothing about the source.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.embedding.batches import Events

BANDS = (0.5, 1.2, 2.0, 7.0)
"""Edges in keV of the soft, medium and hard band: those of the paper and of the Chandra Source Catalog."""
FEWEST = 2
"""Events that a source needs: one alone tells no rate in time."""
_NEAR = 1e-9  # of the span: an event that lies on the edge of an interval is in it


class Kept(NamedTuple):
    """Events inside bands and good times: ``source`` (m,) int64, ``time`` (m,) in [0, 1] of the span, ``band`` (m,).

    ``start`` and ``span`` (n,) s: what 0 and 1 stand for. ``why`` (n,) says why a source cannot be used, "" if it can.
    """

    source: np.ndarray
    time: np.ndarray
    band: np.ndarray
    start: np.ndarray
    span: np.ndarray
    why: list[str]


class Mesh(NamedTuple):
    """``counts`` (n, cells, bands) float32 and ``live`` (n, cells) float32, observed seconds in each cell."""

    counts: np.ndarray
    live: np.ndarray


def keep(events: Events, bands: tuple[float, ...] = BANDS) -> Kept:
    """Events with an energy inside ``bands`` (edges in keV) and a time inside the good time intervals."""
    n = len(events)
    held = np.diff(events.spans) > 0
    start, span = np.zeros(n), np.ones(n)
    start[held] = events.gti[events.spans[:-1][held], 0]
    span[held] = events.gti[events.spans[1:][held] - 1, 1] - start[held]
    source = np.repeat(np.arange(n), np.diff(events.offsets))
    share = (events.time - start[source]) / span[source]
    band = np.searchsorted(np.asarray(bands), events.energy, side="right") - 1
    energetic = np.isfinite(events.energy)
    inside = energetic & (band >= 0) & (band < len(bands) - 1)
    observed = _observed(events, source, share, start, span)
    good = inside & observed
    count = np.bincount(source[good], minlength=n)
    with_energy = np.bincount(source[energetic], minlength=n)
    why = [
        _reason(
            bool(held[i]), int(events.offsets[i + 1] - events.offsets[i]), int(with_energy[i]), int(count[i]), bands
        )
        for i in range(n)
    ]
    return Kept(source[good], np.clip(share[good], 0.0, 1.0), band[good], start, span, why)


def _observed(events: Events, source: np.ndarray, share: np.ndarray, start: np.ndarray, span: np.ndarray) -> np.ndarray:
    """(N,) bool: events inside an interval of their own source."""
    if not len(events.gti) or not len(source):
        return np.zeros(len(source), bool)
    of = np.repeat(np.arange(len(events)), np.diff(events.spans))
    begin, end = ((events.gti[:, k] - start[of]) / span[of] + 3.0 * of for k in (0, 1))
    key = np.where(np.isfinite(share), np.clip(share, -0.5, 1.5), -0.5) + 3.0 * source
    at = np.clip(np.searchsorted(begin - _NEAR, key, side="right") - 1, 0, len(of) - 1)
    return (of[at] == source) & (key >= begin[at] - _NEAR) & (key <= end[at] + _NEAR)


def _reason(held: bool, given: int, energetic: int, kept: int, bands: tuple[float, ...]) -> str:
    if not given:
        return "no events"
    if not held:
        return "no good time interval"
    if not energetic:
        return "no energies: bands cannot be told apart"
    if kept < FEWEST:
        return f"{kept} events in {bands[0]:g}-{bands[-1]:g} keV and the good time intervals, {FEWEST} are needed"
    return ""


def live_time(events: Events, kept: Kept, at: np.ndarray) -> np.ndarray:
    """(n, m) observed seconds from the start of each source's span to the shares ``at`` (m,) or (n, m) of it."""
    n = len(events)
    at = np.broadcast_to(np.asarray(at, np.float64), (n, np.shape(at)[-1]))
    out = np.zeros(at.shape)
    of = np.repeat(np.arange(n), np.diff(events.spans))
    for low in range(0, len(of), 4096):
        rows = of[low : low + 4096]
        clock = kept.start[rows, None] + at[rows] * kept.span[rows, None]
        gti = events.gti[low : low + 4096]
        np.add.at(out, rows, np.clip(clock - gti[:, :1], 0.0, gti[:, 1:] - gti[:, :1]))
    return out


def mesh(events: Events, kept: Kept, cells: int = 512, bands: int = len(BANDS) - 1) -> Mesh:
    """Counts and live time on ``cells`` equal cells of each source's span."""
    n = len(events)
    cell = np.minimum((kept.time * cells).astype(np.int64), cells - 1)
    flat = (kept.source * cells + cell) * bands + kept.band
    counts = np.bincount(flat, minlength=n * cells * bands).reshape(n, cells, bands).astype(np.float32)
    live = np.diff(live_time(events, kept, np.linspace(0, 1, cells + 1)), axis=1)
    floor = np.where(counts.sum(axis=2) > 0, 1e-6 * kept.span[:, None], 0.0)  # an event on an interval's very edge
    return Mesh(counts, np.maximum(live, floor).astype(np.float32))
