"""A person's marks re-rank the list: look-alikes of what was liked come up, of artefacts go down.

Marks are 0 (of no interest) to 5 (what I look for). Two ways to use them:

* ``"gp"``: a Gaussian process whose prior mean is the anomaly score itself, so that with no mark near an object its
  place is the one it had. Proposals weigh what is expected against what is unknown.
* ``"neighbour"``: Astronomaly's score (Lochner & Bassett 2021, arXiv:2010.11202): a random forest predicts the mark,
  and counts the more the nearer an object is to a marked one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kernels.scoring._rows import as_rows, finite
from kernels.scoring.ranks import percentile, rank

METHODS = ("gp", "neighbour")
ACQUISITIONS = ("mean", "improvement", "bound")
TOP = 5.0  # the best mark
TRUST = 3.0  # marks between the object of the lowest and of the highest percentile, before anything was marked
NOISE = 0.1  # variance of a mark about its expectation, as a share of that between objects
DULL = 5  # marks of 0 that are taken for granted
WIDE = 64  # leading principal components that likeness is measured in
ALPHA = 0.3  # how soon Astronomaly's score forgets a marked object with distance
BLOCK = 4096  # rows at a time
RADIUS = 0.5  # reach of an artefact, in units of the scatter of all objects


@dataclass(frozen=True)
class Ranking:
    """What the marks make of every object.

    Attributes
    ----------
    score : (n,) float64, higher is to be looked at sooner; NaN where nothing is known of an object.
    expected : (n,) float64 mark that is expected of it, between 0 and 5.
    error : (n,) float64 one sigma of that; NaN for ``"neighbour"``.
    """

    score: np.ndarray
    expected: np.ndarray
    error: np.ndarray


class Feedback:
    """Re-ranking of the objects of one space.

    Parameters
    ----------
    method : ``"gp"`` or ``"neighbour"``.
    acquisition : for ``"gp"``, what the score is: ``"mean"`` the mark expected; ``"bound"`` that plus half its error;
        ``"improvement"`` the expected improvement over a mark of 2.5 (Jones, Schonlau & Welch 1998).
    random_state : seed of the forest.

    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(size=(200, 4)), rng.normal(3, 0.3, size=(20, 4))])
    >>> feedback = Feedback().fit(X, scores=rng.random(220))
    >>> ranking = feedback.rank(rows=[201, 203, 5, 9], marks=[5, 5, 0, 0])
    >>> bool((np.argsort(-ranking.score)[:15] >= 200).all())
    True
    """

    def __init__(self, method: str = "gp", acquisition: str = "mean", random_state: int | None = 0):
        self.method, self.acquisition, self.random_state = method, acquisition, random_state

    def fit(self, X: Any, scores: np.ndarray) -> Feedback:
        """Take the embedding ``X`` (n, d) and the anomaly scores (n,), higher is more anomalous; returns self.

        Rows with a NaN are ranked by nothing and get NaN.
        """
        if self.method not in METHODS:
            raise ValueError(f"method={self.method!r} is unknown: choose one of {', '.join(METHODS)}")
        if self.acquisition not in ACQUISITIONS:
            raise ValueError(f"acquisition={self.acquisition!r} is unknown: choose one of {', '.join(ACQUISITIONS)}")
        rows = as_rows(X, "feedback")
        scores = np.asarray(scores, dtype=np.float64)
        if scores.shape != (len(rows),):
            raise ValueError(f"{len(rows)} rows and scores of shape {scores.shape}: one score a row")
        self.here_ = np.flatnonzero(finite(rows) & ~np.isnan(scores))
        if len(self.here_) < 2:
            raise ValueError(f"{len(self.here_)} rows have an embedding and a score: there is nothing to rank")
        self.n_ = len(rows)
        self.place_ = np.full(self.n_, -1)
        self.place_[self.here_] = np.arange(len(self.here_))
        self.points_ = _leading(rows[self.here_])
        self.prior_ = percentile(rank(scores[self.here_])) / 100
        return self

    def rank(self, rows: Any, marks: Any, artefacts: Any = ()) -> Ranking:
        """The ranking after ``marks`` (m,), 0 to 5, of ``rows`` (m,), and with ``artefacts`` (k,) rows pushed down.

        An artefact is a mark of 0 that also draws down what looks like it, whatever else speaks for it.
        """
        if not hasattr(self, "points_"):
            raise RuntimeError("this Feedback holds no objects yet: call fit(X, scores) first")
        at, values = self._marked(rows, marks, artefacts)
        bad = self._places(artefacts)
        if not len(at):
            expected, error = TOP / 2 + TRUST * (self.prior_ - 0.5), np.full(len(self.here_), np.nan)
            score = expected.copy()
        elif self.method == "gp":
            score, expected, error = self._gaussian_process(at, values)
        else:
            score, expected, error = self._neighbour(at, values)
        if len(bad):
            score = self._pushed_down(score, bad, at[values >= TOP / 2])
        if self.method == "gp":
            expected = _within(expected)
            score = _within(score) if self.acquisition == "mean" else score
        return Ranking(*(self._spread(v) for v in (score, expected, error)))

    def propose(self, ranking: Ranking, count: int = 20, seen: Any = ()) -> np.ndarray:
        """Rows (at most ``count``) int64 to look at next: the best of the ranking that were not ``seen``."""
        score = ranking.score.copy()
        score[np.asarray(seen, dtype=np.int64)] = np.nan
        known = np.flatnonzero(~np.isnan(score))
        return known[np.lexsort((known, -score[known]))][:count].astype(np.int64)

    def _gaussian_process(self, at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        prior = TRUST * (self.prior_ - 0.5)
        rest = values - prior[at]
        # what is unlike all that was marked is expected to be dull: else likes alone would lift everything alike
        usual = float(rest.sum()) / (len(rest) + DULL)
        spread = max(float(np.sqrt(((rest - usual) ** 2).mean())), 0.5) ** 2
        mean, error = _posterior(self.points_, at, rest - usual, spread, NOISE * spread)
        expected = prior + usual + mean
        if self.acquisition == "bound":
            return expected + 0.5 * error, expected, error
        if self.acquisition == "improvement":
            from scipy.stats import norm

            away = (expected - TOP / 2) / error
            return error * (away * norm.cdf(away) + norm.pdf(away)), expected, error
        return expected.copy(), expected, error

    def _neighbour(self, at: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        from sklearn.ensemble import RandomForestRegressor

        from kernels._parallel import cores

        forest = RandomForestRegressor(100, random_state=self.random_state, n_jobs=cores())
        expected = forest.fit(self.points_[at], values).predict(self.points_)
        near = _nearest(self.points_, self.points_[at])
        near = near / max(near.mean(), 1e-12)
        trusted = np.arctanh(0.1 + 0.85 * np.clip(expected, 0.1, TOP) / TOP)
        with np.errstate(over="ignore"):
            weight = np.tanh(np.exp(np.minimum(ALPHA * near, 50)) - 1 + trusted)
        return TOP * self.prior_ * weight, expected, np.full(len(expected), np.nan)

    def _pushed_down(self, score: np.ndarray, bad: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Scores drawn towards the lowest by the likeness to an artefact, unless something liked is as near."""
        bad_near = np.exp(-((_nearest(self.points_, self.points_[bad]) / RADIUS) ** 2))
        good_near = np.exp(-((_nearest(self.points_, self.points_[good]) / RADIUS) ** 2)) if len(good) else 0.0
        share = bad_near**2 / np.maximum(bad_near + good_near, 1e-12)
        return score - share * (score - score.min())

    def _marked(self, rows: Any, marks: Any, artefacts: Any) -> tuple[np.ndarray, np.ndarray]:
        """Places and values of all marks; artefacts count as 0, the last mark of a row counts."""
        rows, values = np.asarray(rows, dtype=np.int64).ravel(), np.asarray(marks, dtype=np.float64).ravel()
        if len(rows) != len(values):
            raise ValueError(f"{len(rows)} rows and {len(values)} marks: one mark a row")
        if len(values) and not ((values >= 0) & (values <= TOP)).all():
            wrong = values[~((values >= 0) & (values <= TOP))][0]
            raise ValueError(f"a mark of {wrong:g}: marks run from 0 to {TOP:g}")
        told = dict(zip(rows.tolist(), values.tolist(), strict=True))
        told.update(dict.fromkeys(np.asarray(artefacts, dtype=np.int64).ravel().tolist(), 0.0))
        self._places(list(told))  # complains of rows that do not exist
        told = {r: v for r, v in told.items() if self.place_[r] >= 0}
        return self._places(list(told)), np.array(list(told.values()))

    def _places(self, rows: Any) -> np.ndarray:
        rows = np.asarray(rows, dtype=np.int64).ravel()
        if len(rows) and (rows.min() < 0 or rows.max() >= self.n_):
            raise IndexError(f"row {rows[(rows < 0) | (rows >= self.n_)][0]} is marked, and there are {self.n_} rows")
        at = self.place_[rows]
        return at[at >= 0]

    def _spread(self, values: np.ndarray) -> np.ndarray:
        out = np.full(self.n_, np.nan)
        out[self.here_] = values
        return out


def _within(expected: np.ndarray) -> np.ndarray:
    """(n,) marks in 0 to 5: what lies in the outer tenths or beyond is drawn in, smoothly and in its order."""
    edge = TOP / 10
    high = TOP - edge + edge * np.tanh(np.maximum(expected - (TOP - edge), 0) / edge)
    low = edge - edge * np.tanh(np.maximum(edge - expected, 0) / edge)
    return np.where(expected > TOP - edge, high, np.where(expected < edge, low, expected))


def _leading(rows: np.ndarray) -> np.ndarray:
    """(n, k) float64 leading principal components in their own scale, in units of the scatter of all objects.

    Not whitened: in the small components likeness is noise.
    """
    mean = rows.mean(axis=0, dtype=np.float64)
    if rows.shape[1] > WIDE:
        covariance = np.zeros((rows.shape[1],) * 2)
        for start in range(0, len(rows), BLOCK):
            part = (rows[start : start + BLOCK] - mean).astype(np.float32)
            covariance += part.T @ part
        leading = np.linalg.eigh(covariance)[1][:, ::-1][:, :WIDE].astype(np.float32)
        blocks = [(rows[i : i + BLOCK] - mean).astype(np.float32) @ leading for i in range(0, len(rows), BLOCK)]
        centred = np.concatenate(blocks).astype(np.float64)
    else:
        centred = rows - mean
    scatter = np.sqrt((centred**2).sum(axis=1).mean())
    return centred / (scatter if scatter > 0 else 1.0)


def _posterior(
    points: np.ndarray, at: np.ndarray, values: np.ndarray, variance: float, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and one sigma (n,) of a Gaussian process at ``points`` (n, k), given ``values`` (m,) at points ``at``.

    Covariance ``variance exp(-distance)`` (Matern 1/2, length 1) and ``noise`` on the values, which sigma holds too:
    Rasmussen & Williams 2006, algorithm 2.1; the same as scikit-learn's GaussianProcessRegressor with fixed kernel,
    in blocks and with the large product in float32, so that a thousand marks of 40,000 objects take about a second.
    """
    from scipy.linalg import cho_solve, solve_triangular
    from scipy.spatial.distance import cdist

    from kernels._parallel import in_threads

    marked = points[at]
    own = variance * np.exp(-cdist(marked, marked)) + noise * np.eye(len(at))
    lower = np.linalg.cholesky(own)
    weight = cho_solve((lower, True), values).astype(np.float32)
    inverse = solve_triangular(lower, np.eye(len(at)), lower=True).astype(np.float32)
    mean, error, square = np.empty(len(points)), np.empty(len(points)), (marked**2).sum(axis=1)

    def block(start: int) -> None:
        part = points[start : start + BLOCK]
        away = ((part**2).sum(axis=1)[:, None] + square - 2 * part @ marked.T).astype(np.float32)
        across = np.float32(variance) * np.exp(-np.sqrt(np.maximum(away, 0)))
        mean[start : start + BLOCK] = across @ weight
        told = across @ inverse.T
        left = variance + noise - np.einsum("ij,ij->i", told, told, dtype=np.float64)
        error[start : start + BLOCK] = np.sqrt(np.maximum(left, 1e-9 * variance))

    in_threads(partial(block, start) for start in range(0, len(points), BLOCK))
    return mean, error


def _nearest(points: np.ndarray, marked: np.ndarray) -> np.ndarray:
    """(n,) distance of every point (n, k) to the nearest of ``marked`` (m, k)."""
    square = (points**2).sum(axis=1)[:, None] + (marked**2).sum(axis=1) - 2 * points @ marked.T
    return np.sqrt(np.maximum(square.min(axis=1), 0))
