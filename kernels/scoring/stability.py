"""How far a rank can be trusted: scores repeated over seeds, folds or bootstraps give every rank an interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.scoring._rows import as_rows, finite
from kernels.scoring.ranks import rank

KINDS = ("seeds", "folds", "bootstrap")


@dataclass(frozen=True)
class RankInterval:
    """Ranks (1 is most anomalous) of every object over repeated runs.

    Attributes
    ----------
    low, median, high : (n,) float64: the interval that holds ``level`` of the runs, ``low`` the better place; NaN
        where an object was scored in no run.
    runs : (n,) int64 runs that scored it.
    """

    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    runs: np.ndarray

    def order(self) -> np.ndarray:
        """(m,) int64 rows by the worse end of their interval, first those that are strange in every run."""
        known = np.flatnonzero(self.runs > 0)
        return known[np.lexsort((known, self.median[known], self.high[known]))]

    def same_as(self, row: int) -> np.ndarray:
        """(n,) bool: objects that cannot be told apart from ``row``: their intervals overlap."""
        if not 0 <= row < len(self.low):
            raise IndexError(f"row {row} of {len(self.low)}")
        with np.errstate(invalid="ignore"):
            return (self.low <= self.high[row]) & (self.high >= self.low[row])

    def surely_within(self, place: int) -> np.ndarray:
        """(n,) bool: objects whose whole interval lies at the first ``place`` places."""
        with np.errstate(invalid="ignore"):
            return self.high <= place


def repeated_scores(
    make: Callable[[int], Any],
    X: Any,
    count: int = 5,
    kind: str = "seeds",
    random_state: int = 0,
    progress: Callable[[float], None] | None = None,
    folds: int = 2,
) -> np.ndarray:
    """Scores (count, n) float64 of the rows ``X`` (n, d), higher is more anomalous, repeated ``count`` times.

    Parameters
    ----------
    make : a scorer for a seed, for example ``lambda seed: MAF(random_state=seed)``.
    kind : ``"seeds"``: another seed of weights and folds each time, ``fit_score`` of all rows. ``"bootstrap"``: fitted
        on rows drawn with replacement, and only the rows left out are scored, the others NaN. ``"folds"``: split anew
        each time into ``folds`` parts, each scored by what was fitted on the others, so that every row is scored in
        every run. With two parts the scatter is that of the bootstrap (Buja & Stuetzle 2006, Statistica Sinica 16,
        323: half-sampling without replacement), whatever the scorer; seeds alone say nothing of one without chance.
    """
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown: choose one of {', '.join(KINDS)}")
    if count < 2:
        raise ValueError(f"count={count}: an interval needs at least 2 runs")
    rows = as_rows(X, "stability")
    good = np.flatnonzero(finite(rows))
    if kind == "folds" and not 2 <= folds <= len(good):
        raise ValueError(f"folds={folds}: at least 2 and at most the {len(good)} rows without a NaN")
    rng = np.random.default_rng(random_state)
    out = np.full((count, len(rows)), np.nan)
    for run in range(count):
        scorer = make(int(rng.integers(2**31)))
        if kind == "seeds":
            out[run, good] = scorer.fit_score(rows[good])
        elif kind == "folds":
            fold = rng.permutation(len(good)) % folds
            for part in range(folds):
                out[run, good[fold == part]] = scorer.fit(rows[good[fold != part]]).anomaly_score(
                    rows[good[fold == part]]
                )
        else:
            # each row once: a neighbour at distance zero is no neighbour
            drawn = np.unique(rng.choice(good, len(good)))
            left = np.setdiff1d(good, drawn, assume_unique=True)
            out[run, left] = scorer.fit(rows[drawn]).anomaly_score(rows[left])
        if progress is not None:
            progress((run + 1) / count)
    return out


def rank_interval(scores: np.ndarray, level: float = 0.9) -> RankInterval:
    """Intervals of rank from scores (runs, n); NaN where a run did not score an object.

    A run that scored m of n objects gives places among n: rank times n / m. With few runs the interval is nearly
    their range.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2 or len(scores) < 2:
        raise ValueError(f"scores have shape {scores.shape}: (runs, n) with at least 2 runs")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: between 0 and 1, both excluded")
    n = scores.shape[1]
    known = ~np.isnan(scores)
    places = np.full(scores.shape, np.nan)
    for run, here in enumerate(known):
        found = rank(scores[run], missing=~here)[here]
        # the middle of the place: rank 1 of half the objects is a place between 1 and 2 of all
        places[run, here] = (found - 0.5) * n / max(len(found), 1) + 0.5
    runs = known.sum(axis=0)
    low, median, high = (np.full(n, np.nan) for _ in range(3))
    some = runs > 0
    if some.any():
        tail = (1 - level) / 2
        low[some], median[some], high[some] = np.nanquantile(places[:, some], [tail, 0.5, 1 - tail], axis=0)
    return RankInterval(low, median, high, runs)


def agreement(scores: np.ndarray, percent: float = 1.0) -> tuple[float, float]:
    """Mean Spearman correlation, and mean retention (percent) of the top ``percent``, between every two runs."""
    from kernels.scoring.transfer import retention, spearman

    pairs = [(a, b) for a in range(len(scores)) for b in range(a)]
    rho = [spearman(scores[a], scores[b]) for a, b in pairs]
    kept = [retention(scores[a], scores[b], percent).share for a, b in pairs]
    return float(np.mean(rho)), float(np.mean(kept))
