"""An isolation forest: rows that random cuts separate early are rare (P3.6)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kernels._parallel import in_threads
from kernels.scoring._rows import as_rows, finite, fitting_rows, fold_of, like, spread

LEAST = 4
FOLDS = 5  # where a tree's sample is so large a share of the rows that too few trees left a row out


class IsolationForest:
    """``2 ** (-mean depth / expected depth)`` over random trees, in (0, 1); 0.5 is usual.

    Liu, Ting & Zhou 2008 (doi:10.1109/ICDM.2008.17). Trees are scikit-learn's; depths are read from a table of the
    leaves. ``fit_score`` scores a row by the trees that were not grown on it, or by cross-fitted forests where there
    are too few rows for that.

    Parameters
    ----------
    n_trees : trees.
    max_samples : rows a tree is grown on.
    device : kept for the contract of a scorer; forests run on the CPU.
    random_state : seed of samples and cuts.
    """

    name = "isolation-forest"

    def __init__(
        self,
        n_trees: int = 200,
        max_samples: int = 256,
        device: str | None = None,
        random_state: int | None = None,
    ):
        self.n_trees, self.max_samples, self.device, self.random_state = n_trees, max_samples, device, random_state

    def fit(self, X: Any) -> IsolationForest:
        """Grow the trees on the finite rows of ``X`` (n, d); returns self."""
        rows, _ = fitting_rows(X, self.name, LEAST)
        self._grow(rows)
        return self

    def anomaly_score(self, Y: Any) -> Any:
        """(m,) float64 score of new rows ``Y`` (m, d); higher is more anomalous, NaN for a row with a NaN."""
        if not hasattr(self, "forest_"):
            raise RuntimeError("this IsolationForest holds no trees yet: call fit(X) first")
        rows = as_rows(Y, self.name, self.n_features_in_)
        good = finite(rows)
        total, count = self._depths(_single(rows[good]), None)
        return like(spread(self._score(total, count), good), Y)

    def fit_score(self, X: Any) -> Any:
        """(n,) float64 score of the rows ``X`` (n, d), each by trees that were not grown on it."""
        rows, good = fitting_rows(X, self.name, LEAST)
        if len(rows) < 2 * self.max_samples:
            folds = min(FOLDS, len(rows) // 2)
            fold, scores = fold_of(len(rows), folds, self.random_state), np.empty(len(rows))
            for f in range(folds):
                self._grow(rows[fold != f])
                scores[fold == f] = self.anomaly_score(rows[fold == f])
            self._grow(rows)
            return like(spread(scores, good), X)
        self._grow(rows)
        total, count = self._depths(_single(rows), self.forest_.estimators_samples_)
        missed = count == 0  # in every tree's sample: possible with few trees alone
        if missed.any():
            total[missed], count[missed] = self._depths(_single(rows[missed]), None)
        return like(spread(self._score(total, count), good), X)

    def _grow(self, rows: np.ndarray) -> None:
        from sklearn.ensemble import IsolationForest as Reference

        if self.n_trees < 1 or self.max_samples < 2:
            raise ValueError(f"n_trees={self.n_trees}, max_samples={self.max_samples}: at least 1 tree of 2 rows")
        self.n_features_in_ = rows.shape[1]
        self.sample_ = min(self.max_samples, len(rows))
        self.forest_ = Reference(
            n_estimators=self.n_trees, max_samples=self.sample_, random_state=self.random_state
        ).fit(_single(rows))
        self.leaf_depth_ = [_leaf_depth(t.tree_) for t in self.forest_.estimators_]

    def _depths(self, rows: np.ndarray, samples: list[np.ndarray] | None) -> tuple[np.ndarray, np.ndarray]:
        """(m,) sum of depths over the trees, and (m,) how many: without those that were grown on a row."""

        def part(trees: range) -> tuple[np.ndarray, np.ndarray]:
            total, count = np.zeros(len(rows)), np.zeros(len(rows))
            for t in trees:
                depth = self.leaf_depth_[t][self.forest_.estimators_[t].tree_.apply(rows)]
                counted = np.ones(len(rows))
                if samples is not None:
                    counted[samples[t]] = 0
                total += depth * counted
                count += counted
            return total, count

        cuts = [(i * self.n_trees // 16, (i + 1) * self.n_trees // 16) for i in range(16)]
        done = in_threads(partial(part, range(*cut)) for cut in cuts)
        return np.sum([d[0] for d in done], axis=0), np.sum([d[1] for d in done], axis=0)

    def _score(self, total: np.ndarray, count: np.ndarray) -> np.ndarray:
        usual = float(_usual_depth(np.array([self.sample_]))[0])
        return 2.0 ** -(total / np.maximum(count, 1) / max(usual, 1e-12))


def _usual_depth(n: np.ndarray) -> np.ndarray:
    """Mean depth of an unsuccessful search among ``n`` rows (Liu et al. 2008, eq. 1)."""
    n = np.asarray(n, dtype=np.float64)
    many = 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / np.maximum(n, 1)
    return np.where(n > 2, many, np.where(n == 2, 1.0, 0.0))


def _leaf_depth(tree: Any) -> np.ndarray:
    """(nodes,) depth of each node plus the mean depth that its rows would have added."""
    depth = np.zeros(tree.node_count)
    for node, (left, right) in enumerate(zip(tree.children_left, tree.children_right, strict=True)):
        if left >= 0:  # parents come before their children
            depth[left] = depth[right] = depth[node] + 1
    return depth + _usual_depth(tree.n_node_samples)


def _single(rows: np.ndarray) -> np.ndarray:
    top = np.finfo(np.float32).max
    return np.ascontiguousarray(np.clip(rows, -top, top), dtype=np.float32)
