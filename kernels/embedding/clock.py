"""A clock in an event list: the period at which photons come, found by periodogram, and its profile by likelihood.

A neural field cannot be fitted to a period by descent: the likelihood has a peak of width 1/T at each frequency. So the
period is looked for as in timing work, by the power at a frequency and its second harmonic (Z²: Buccheri et al. 1983,
A&A 128, 245), and what it adds to the rate is fitted as log p(φ) = Σ_h c_h cos hφ + s_h sin hφ, h = 1, 2, together
with the frequency, by Newton's method on the Poisson likelihood.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.embedding.batches import Events
from kernels.preprocess.events import Kept, live_time

SHORTEST = 100.0
"""Shortest period looked for, s."""
FEWEST_CYCLES = 2.5
CELLS = 8192
WIDTH = 0.7
"""Standard deviation that each coefficient has beforehand."""
PRICE = 1.0
"""Nats that a clock must gain beyond what chance gives: see :func:`price`."""
_PAD = 4
_TRIES = 3
_SLACK = 3.0


class Clock(NamedTuple):
    """``frequency`` (n,) cycles over the span, 0 where there is no clock; ``profile`` (n, 4): c1, s1, c2, s2.

    ``gain`` (n,) nats over a constant rate, less the prior of the profile; ``price`` (n,) nats that it must exceed.
    """

    frequency: np.ndarray
    profile: np.ndarray
    gain: np.ndarray
    price: np.ndarray


def log_profile(frequency: np.ndarray, profile: np.ndarray, u: np.ndarray) -> np.ndarray:
    """(n, m) log of the relative rate that a clock gives at shares ``u`` (m,) or (n, m) of the span."""
    phase = 2 * np.pi * frequency[:, None] * np.atleast_2d(u)
    c1, s1, c2, s2 = (profile[:, k, None] for k in range(4))
    return c1 * np.cos(phase) + s1 * np.sin(phase) + c2 * np.cos(2 * phase) + s2 * np.sin(2 * phase)


def find(events: Events, kept: Kept, rows: np.ndarray) -> Clock:
    """The best clock of each of the sources ``rows`` over a constant rate, whether or not it is worth its price."""
    counts, live = fine_mesh(events, kept, rows)
    total = counts.sum(axis=1)
    expected = live / np.maximum(live.sum(axis=1, keepdims=True), 1e-12) * total[:, None]
    highest = np.clip(kept.span[rows] / SHORTEST, 2 * FEWEST_CYCLES, CELLS / 8)
    candidates, height = _peaks(counts - expected, total, highest)
    dear = price(highest, total)
    best = Clock(np.zeros(len(rows)), np.zeros((len(rows), 4)), np.full(len(rows), -np.inf), dear)
    for k in range(_TRIES):
        worth = np.flatnonzero(height[:, k] > 2 * (dear - _SLACK))  # a peak of height Z² gains about Z²/2
        if not len(worth):
            break
        frequency, profile, gain = _refine(candidates[worth, k], counts[worth], live[worth])
        fair = (gain > best.gain[worth]) & (frequency >= 0.8 * FEWEST_CYCLES) & (frequency <= 1.05 * highest[worth])
        here = worth[fair]
        best.frequency[here], best.profile[here], best.gain[here] = frequency[fair], profile[fair], gain[fair]
    return best


def price(highest: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Nats that a clock must gain over a constant rate: frequencies tried, and what four free coefficients cost.

    The logarithm of the number of frequencies, and half the logarithm of the information over the prior's for each
    coefficient (Laplace's approximation of the evidence; N photons tell a coefficient to 2 / N).
    """
    return np.log(highest) + 2 * np.log1p(total * WIDTH**2 / 2) + PRICE


def fine_mesh(events: Events, kept: Kept, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``(counts, live)`` of some sources, both (len(rows), 8192): events of all bands, and observed seconds."""
    at = np.full(len(events), -1)
    at[rows] = np.arange(len(rows))
    source = at[kept.source]
    cell = np.minimum((kept.time * CELLS).astype(np.int64), CELLS - 1)
    inside = source >= 0
    flat = source[inside] * CELLS + cell[inside]
    counts = np.bincount(flat, minlength=len(rows) * CELLS).reshape(len(rows), CELLS).astype(np.float64)
    chosen = events.take(rows)
    part = Kept(kept.source[:0], kept.time[:0], kept.band[:0], kept.start[rows], kept.span[rows], [])
    return counts, np.diff(live_time(chosen, part, np.linspace(0, 1, CELLS + 1)), axis=1)


def _peaks(residual: np.ndarray, total: np.ndarray, highest: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3) frequencies, cycles over the span, of the highest separate peaks of the power, and (n, 3) heights Z²."""
    power = np.abs(np.fft.rfft(residual, _PAD * CELLS, axis=1)) ** 2 * (2 / np.maximum(total, 1.0))[:, None]
    top = power.shape[1] // 2
    two = power[:, :top] + power[:, : 2 * top : 2] - 4.0  # four nats dearer: two more numbers
    z = np.maximum(power[:, :top], two)
    frequency = np.arange(top) / _PAD
    z[:, frequency < FEWEST_CYCLES] = 0
    z[frequency[None] > highest[:, None]] = 0
    found, height = np.empty((len(z), _TRIES)), np.empty((len(z), _TRIES))
    rows = np.arange(len(z))
    for k in range(_TRIES):
        at = z.argmax(axis=1)
        found[:, k], height[:, k] = frequency[at], z[rows, at]
        for shift in range(-_PAD, _PAD + 1):
            z[rows, np.clip(at + shift, 0, top - 1)] = 0
    return found, height


def _refine(frequency: np.ndarray, counts: np.ndarray, live: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`_newton`, on four times fewer cells where a period has twenty of them."""
    out = (np.zeros(len(frequency)), np.zeros((len(frequency), 4)), np.zeros(len(frequency)))
    slow = frequency * 80 <= CELLS
    for some, merge in ((np.flatnonzero(slow), 4), (np.flatnonzero(~slow), 1)):
        for low in range(0, len(some), 64):
            rows = some[low : low + 64]
            cells = [a[rows].reshape(len(rows), -1, merge).sum(axis=2) for a in (counts, live)]
            for whole, part in zip(out, _newton(frequency[rows], *cells), strict=True):
                whole[rows] = part
    return out


def _newton(
    frequency: np.ndarray, counts: np.ndarray, live: np.ndarray, steps: int = 9
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(frequency, profile, gain)`` at the best likelihood near each start, the level of the rate kept at its best."""
    n, cells = counts.shape
    u = (np.arange(cells) + 0.5) / cells
    total, seconds = counts.sum(axis=1), np.maximum(live.sum(axis=1), 1e-12)
    f, profile = frequency.copy(), np.zeros((n, 4))
    best = (f.copy(), profile.copy(), np.full(n, -np.inf))
    for step in range(steps):
        phase = 2 * np.pi * f[:, None] * u
        c, s = np.cos(phase), np.sin(phase)
        c2, s2 = 2 * c * c - 1, 2 * s * c
        p = profile[:, :, None]
        log = p[:, 0] * c + p[:, 1] * s + p[:, 2] * c2 + p[:, 3] * s2
        weight = np.exp(log) * live
        whole = np.maximum(weight.sum(axis=1), 1e-12)
        gain = (counts * log).sum(axis=1) - total * np.log(whole / seconds) - (profile**2).sum(axis=1) / 2 / WIDTH**2
        better = gain > best[2]
        for kept, now in zip(best, (f, profile, gain), strict=True):
            kept[better] = now[better]
        slope = 2 * np.pi * u * (-p[:, 0] * s + p[:, 1] * c - 2 * p[:, 2] * s2 + 2 * p[:, 3] * c2)
        known = np.stack([c, s, c2, s2, slope if step >= 3 else np.zeros_like(slope)], axis=1)
        model = weight / whole[:, None] * total[:, None]
        mean = (known * model[:, None]).sum(axis=2) / np.maximum(total, 1e-9)[:, None]
        gradient = (known @ (counts - model)[..., None])[..., 0]
        fisher = (known * model[:, None]) @ known.transpose(0, 2, 1)
        fisher -= total[:, None, None] * mean[:, :, None] * mean[:, None]
        gradient[:, :4] -= profile / WIDTH**2
        fisher += np.diag([1 / WIDTH**2] * 4 + [1e-3]) + 1e-9 * np.eye(5)
        move = np.linalg.solve(fisher, gradient[..., None])[..., 0]
        profile = np.clip(profile + np.clip(move[:, :4], -0.8, 0.8), -3, 3)
        f = f + np.clip(move[:, 4], -0.2, 0.2)
    return best
