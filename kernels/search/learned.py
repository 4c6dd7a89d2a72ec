"""A weight that is learned: how far, how clean, and how many neighbours it takes to be believed (P1.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from kernels.search.votes import Votes, coded, text_labels, vote

NAMES = ("query S/N", "entry S/N", "decay", "decay by query S/N", "decay by entry S/N", "own", "prior")
_START = np.array([0.0, 0.0, 0.5, 0.0, 0.0, 0.0, -2.0])
_RIDGE = 1e-3


@dataclass
class LearnedWeight:
    r"""Weights of votes learned from held-out votes by maximum likelihood.

    The vote of neighbour j on query q, at distance d in units of the median distance of the fitted votes, weighs

    .. math:: \ln w = a_1 s_q + a_2 s_j - e^{b_0 + b_1 s_q + b_2 s_j} d - c\, (d / d_1 - 1)

    where s is log10(S/N) less its median (0 where unknown) and d_1 the distance of the nearest neighbour. The shares
    of the classes cast e^p votes of weight 1, so that a query with nothing near falls back on them. With only b_0 and
    p free it is exp(-x/τ): ``only="distance"`` fits that, the baseline to beat. With ``only="prior"`` τ stays at
    ``tau`` and the shares' vote alone is fitted.

    Attributes
    ----------
    theta_ : (7,) float64, the parameters in the order of ``NAMES``.
    scale_ : the median distance; ``snr_`` : the median log10 S/N of queries and of entries.
    loss_ : log loss of the votes it was fitted on.
    """

    only: str = "all"
    tau: float | None = None

    def fit(
        self,
        distance: np.ndarray,
        rows: np.ndarray,
        labels: Any,
        truth: Any,
        snr_query: Any = None,
        snr_entry: Any = None,
    ) -> LearnedWeight:
        """Learn from votes whose queries were not among the entries, or were left out of their own vote.

        ``distance``, ``rows`` (m, k); ``labels`` (n,) of the entries; ``truth`` (m,) of the queries, ``""`` where
        unknown (those are left out); ``snr_query`` (m,) and ``snr_entry`` (n,) signal-to-noise ratios, or None.
        """
        from scipy.optimize import minimize

        if self.only not in ("all", "distance", "prior"):
            raise ValueError(f"only={self.only!r} is unknown: choose all, distance or prior")
        truth, labels = text_labels(truth), text_labels(labels)
        known = (truth != "") & np.isfinite(np.asarray(distance)[:, 0])
        if known.sum() < 20:
            raise ValueError(f"{int(known.sum())} held-out votes have a known class: a weight needs 20 or more")
        distance, rows, truth = np.asarray(distance)[known], np.asarray(rows)[known], truth[known]
        self.scale_ = float(np.nanmedian(distance)) or 1.0
        self.snr_ = _middle(snr_query), _middle(snr_entry)
        x, sq, sj, counted = self._inputs(distance, rows, labels, _take(snr_query, known), snr_entry)
        classes, codes = coded(labels)
        share = np.bincount(codes[codes >= 0], minlength=len(classes)) / (codes >= 0).sum()
        place = np.searchsorted(classes, truth).clip(0, len(classes) - 1)
        right = (codes[np.maximum(rows, 0)] == place[:, None]) & counted
        back = np.where(classes[place] == truth, share[place], 0.0)
        free = {"all": np.arange(7), "distance": np.array([2, 6]), "prior": np.array([6])}[self.only]
        start = _START.copy()
        if self.tau is not None:
            start[2] = np.log(self.scale_ / self.tau)

        def loss(values: np.ndarray) -> float:
            theta = start.copy()
            theta[free] = values
            w = _strength(theta, x, sq, sj, counted)
            votes = np.exp(np.clip(theta[6], -30, 10))
            p = ((w * right).sum(axis=1) + votes * back) / np.maximum(w.sum(axis=1) + votes, 1e-300)
            slack = _RIDGE * float(((theta - start)[free] ** 2).sum())
            return float(-np.log(np.clip(p, 1e-12, 1)).mean()) + slack

        best = minimize(loss, start[free], method="L-BFGS-B", bounds=[(-12.0, 12.0)] * len(free))
        for _ in range(2):  # the surface is flat far from the minimum: a second look costs milliseconds
            best = min(
                best, minimize(loss, best.x, method="Nelder-Mead", options={"maxiter": 400}), key=lambda r: r.fun
            )
        self.theta_ = start.copy()
        self.theta_[free] = best.x
        self.loss_ = float(best.fun)
        return self

    def strength(
        self, distance: np.ndarray, rows: np.ndarray, labels: Any, snr_query: Any = None, snr_entry: Any = None
    ) -> np.ndarray:
        """(m, k) float64 weights, not normalised: against them the shares of the classes cast :attr:`prior_votes`."""
        if not hasattr(self, "theta_"):
            raise RuntimeError("this LearnedWeight knows no votes yet: call fit first")
        x, sq, sj, counted = self._inputs(distance, rows, text_labels(labels), snr_query, snr_entry)
        return _strength(self.theta_, x, sq, sj, counted)

    @property
    def prior_votes(self) -> float:
        """What the shares of the classes cast, where a neighbour at no distance with typical S/N casts 1."""
        return float(np.exp(np.clip(self.theta_[6], -30, 10)))

    def vote(
        self,
        distance: np.ndarray,
        rows: np.ndarray,
        labels: Any,
        snr_query: Any = None,
        snr_entry: Any = None,
        reach: float | None = None,
    ) -> Votes:
        """Class probabilities under the learned weight; see :func:`kernels.search.votes.vote`."""
        w = self.strength(distance, rows, labels, snr_query, snr_entry)
        return vote(distance, rows, labels, smoothing=self.prior_votes, reach=reach, strength=w)

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays, as they are saved."""
        return {"theta_": self.theta_, "scale_": np.array([self.scale_]), "snr_": np.array(self.snr_)}

    def load_state(self, state: dict[str, np.ndarray]) -> LearnedWeight:
        """Take back what :meth:`state` gave; returns self."""
        self.theta_ = np.asarray(state["theta_"], np.float64)
        self.scale_ = float(state["scale_"][0])
        self.snr_ = float(state["snr_"][0]), float(state["snr_"][1])
        return self

    def _inputs(
        self, distance: np.ndarray, rows: np.ndarray, labels: np.ndarray, snr_query: Any, snr_entry: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Scaled distances (m, k), centred log S/N of query (m, 1) and entry (m, k), and which places count."""
        distance, rows = np.atleast_2d(np.asarray(distance, np.float64)), np.atleast_2d(rows)
        at = np.maximum(rows, 0)
        counted = (rows >= 0) & np.isfinite(distance) & (labels[at] != "")
        x = np.where(counted, distance / self.scale_, 0.0)
        sq = np.zeros((len(x), 1)) if snr_query is None else _log_snr(snr_query, self.snr_[0])[:, None]
        sj = np.zeros_like(x) if snr_entry is None else _log_snr(snr_entry, self.snr_[1])[at]
        return x, sq, sj, counted


def _strength(theta: np.ndarray, x: np.ndarray, sq: np.ndarray, sj: np.ndarray, counted: np.ndarray) -> np.ndarray:
    a1, a2, b0, b1, b2, c, _ = theta
    first = np.maximum(np.where(counted, x, np.inf).min(axis=1, keepdims=True, initial=np.inf), 1e-9)
    relative = np.where(np.isfinite(first), x / first, 0.0) - 1
    decay = np.exp(np.clip(b0 + b1 * sq + b2 * sj, -12, 12))
    log_weight = a1 * sq + a2 * sj - decay * x - c * np.clip(relative, 0, 20)
    return np.where(counted, np.exp(np.clip(log_weight, -60, 30)), 0.0)


def _middle(snr: Any) -> float:
    if snr is None:
        return 0.0
    values = np.log10(np.maximum(np.asarray(snr, np.float64), 1e-3))
    return float(np.nanmedian(values)) if np.isfinite(values).any() else 0.0


def _log_snr(snr: Any, middle: float) -> np.ndarray:
    values = np.log10(np.clip(np.asarray(snr, np.float64), 1e-3, 1e6)) - middle
    return np.where(np.isfinite(values), values, 0.0)


def _take(values: Any, mask: np.ndarray) -> Any:
    return None if values is None else np.asarray(values)[mask]
