"""Light curves of X-ray sources, and the Gregory-Loredo probability that one varies."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln

KINDS = ("constant", "flare", "eclipse", "pulsation", "dip")


def shape(kind: str, exposure: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(times, relative rate) of a light curve over ``exposure`` s, on a grid fine enough for its fastest change."""
    cells = 4096
    if kind == "pulsation":
        period = exposure / rng.uniform(3.5, 40.0)
        cells = 8192
    t = (np.arange(cells) + 0.5) * exposure / cells
    if kind == "flare":
        start, rise = rng.uniform(0.05, 0.75) * exposure, rng.uniform(0.004, 0.02) * exposure
        decay, height = rng.uniform(0.04, 0.14) * exposure, rng.uniform(5, 25)
        x = t - start
        rate = 1 + height * np.where(x < 0, np.exp(np.maximum(x, -60 * rise) / rise), np.exp(-np.maximum(x, 0) / decay))
    elif kind == "eclipse":
        start, length = rng.uniform(0.15, 0.65) * exposure, rng.uniform(0.1, 0.25) * exposure
        rate = np.where((t > start) & (t < start + length), rng.uniform(0.0, 0.06), 1.0)
    elif kind == "pulsation":
        depth, harmonic = rng.uniform(0.55, 0.95), rng.uniform(0.0, 0.35)
        phase = 2 * np.pi * t / period + rng.uniform(0, 2 * np.pi)
        rate = np.maximum(1 + depth * np.sin(phase) + harmonic * np.sin(2 * phase), 0.0)
    elif kind == "dip":
        rate = np.ones(cells)
        for _ in range(int(rng.integers(1, 5))):
            centre, width = rng.uniform(0.05, 0.95) * exposure, rng.uniform(0.015, 0.05) * exposure
            rate *= 1 - rng.uniform(0.6, 0.95) * np.exp(-0.5 * ((t - centre) / width) ** 4)
    else:
        rate = np.ones(cells)
    return t, rate


def draw_times(kind: str, n: int, exposure: float, rng: np.random.Generator) -> np.ndarray:
    """``n`` arrival times in live seconds, ascending, from a light curve of ``kind``."""
    t, rate = shape(kind, exposure, rng)
    cumulative = np.concatenate([[0.0], np.cumsum(rate)])
    edges = np.concatenate([[0.0], t + (t[1] - t[0]) / 2])
    return np.sort(np.interp(rng.random(n) * cumulative[-1], cumulative, edges))


def gregory_loredo(time: np.ndarray, gti: np.ndarray, most: int = 16, phases: int = 4) -> tuple[float, float]:
    """(probability, log10 odds) that the rate varies; Gregory & Loredo (1992), as the Chandra catalogue uses it.

    Stepwise light curves of 2 … ``most`` equal bins over the observation, each at ``phases`` offsets, against a
    constant rate. A bin counts by the share of it within the good time intervals ``gti`` (k, 2). ``time``
    ascends; fewer than two events tell nothing and give 0.
    """
    start, stop = float(gti[0, 0]), float(gti[-1, 1])
    n, span = len(time), float(gti[-1, 1] - gti[0, 0])
    if n < 2 or span <= 0:
        return 0.0, -np.inf
    knots = np.concatenate([[0.0], np.cumsum(gti[:, 1] - gti[:, 0])])
    clock, live = gti.ravel(), np.repeat(knots, 2)[1:-1]
    twice = np.concatenate([time, time + span])  # bins wrap round the end
    odds = []
    for m in range(2, most + 1):
        edges = start + span / m * (np.arange(phases)[:, None] / phases + np.arange(m + 1))
        counts = np.diff(np.searchsorted(twice, edges, side="right"), axis=1).astype(float)
        over = edges > stop
        seen = np.interp(np.where(over, edges - span, edges), clock, live) + over * knots[-1]
        share = np.maximum(np.diff(seen, axis=1) / knots[-1] * m, 1e-12)
        prior = gammaln(m) + gammaln(n + 1) - gammaln(n + m) + n * np.log(m)
        ways = gammaln(counts + 1).sum(axis=1) - gammaln(n + 1)
        odds.append(prior + ways - (counts * np.log(share)).sum(axis=1))
    every = np.concatenate(odds)
    total = float(every.max() + np.log(np.mean(np.exp(every - every.max()))))
    return float(1 / (1 + np.exp(-np.clip(total, -700, 700)))), total / np.log(10)


def index(probability: float, log_odds: float) -> int:
    """The Chandra catalogue's variability index, 0 (constant) to 10, from probability and log10 odds."""
    if probability <= 0.5:
        return 0
    for limit, value in ((0.6, 3), (2 / 3, 4), (0.9, 5)):
        if probability < limit:
            return value
    for limit, value in ((2.0, 6), (4.0, 7), (10.0, 8), (30.0, 9)):
        if log_odds < limit:
            return value
    return 10
