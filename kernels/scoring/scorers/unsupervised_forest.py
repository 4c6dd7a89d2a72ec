"""An unsupervised random forest: rows that share few pure leaves with the others are strange (P2.7)."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kernels._parallel import cores, in_threads
from kernels.scoring._rows import as_rows, finite, fitting_rows, fold_of, like, spread

LEAST = 4
ROWS_A_TREE = 16_384  # of each class, when ``max_rows`` is "auto"
HELD_LEAVES = 1 << 28  # leaf numbers kept in memory at most; beyond, trees are walked twice


class UnsupervisedForest:
    """Mean distance to all other rows, where similar means: in the same pure leaf of many trees.

    Baron & Poznanski 2017 (arXiv:1611.07526). A forest learns to tell the rows from synthetic ones, whose columns are
    drawn independently from the observed values. A leaf is valid where the tree saw real rows alone. The similarity
    of rows i and j is the number of trees that put both in one valid leaf, over the number of valid leaves of j;
    the score is the mean over j of 1 - similarity, 1 for a row without a valid leaf.

    The sum over j is made leaf by leaf: leaf L of a tree holds the weight ``sum of 1 / valid(j)`` over its rows, and
    a row's score is 1 minus the weights it meets, over n. That is the same number in O(rows x trees), and it gives
    new rows a score too.

    Parameters
    ----------
    n_trees : trees in all.
    max_rows : rows of each class that one tree is grown on; ``"auto"`` is all up to 16,384, so that the time is linear
        in the rows; ``None`` is all, as in the paper.
    folds : 1 for the published score; more to score each part of the rows by forests grown on the others.
    device : kept for the contract of a scorer; forests run on the CPU.
    random_state : seed of the synthetic rows and of the trees.

    Attributes
    ----------
    auc_ : area under the ROC curve of real against synthetic rows, out of bag. Near 0.5 the columns are independent
        and the score says little.
    n_without_leaf_ : rows fitted that no tree put into a valid leaf; their score is 1.
    """

    name = "unsupervised-forest"

    def __init__(
        self,
        n_trees: int = 200,
        max_rows: int | str | None = "auto",
        folds: int = 1,
        device: str | None = None,
        random_state: int | None = None,
    ):
        self.n_trees, self.max_rows, self.folds = n_trees, max_rows, folds
        self.device, self.random_state = device, random_state

    def fit(self, X: Any) -> UnsupervisedForest:
        """Grow the forest on the finite rows of ``X`` (n, d) and weigh its leaves; returns self."""
        rows, _ = fitting_rows(X, self.name, LEAST)
        self._grow(rows)
        return self

    def anomaly_score(self, Y: Any) -> Any:
        """(m,) float64 mean distance of new rows ``Y`` (m, d) to the rows fitted, in [0, 1].

        Higher is more anomalous; NaN for a row with a NaN.
        """
        if not hasattr(self, "weights_"):
            raise RuntimeError("this UnsupervisedForest holds no trees yet: call fit(X) first")
        rows = as_rows(Y, self.name, self.n_features_in_)
        good = finite(rows)
        return like(spread(1 - self._met(_single(rows[good])) / self.n_rows_, good), Y)

    def fit_score(self, X: Any) -> Any:
        """(n,) float64 mean distance of the rows ``X`` (n, d) to the other rows; with ``folds``, to the other parts."""
        rows, good = fitting_rows(X, self.name, LEAST)
        folds = min(self.folds, len(rows) // LEAST)
        if folds > 1:
            fold, scores = fold_of(len(rows), folds, self.random_state), np.empty(len(rows))
            for f in range(folds):
                self._grow(rows[fold != f])
                scores[fold == f] = self.anomaly_score(rows[fold == f])
            self._grow(rows)
            return like(spread(scores, good), X)
        self._grow(rows)
        own = (self.valid_ > 0).astype(np.float64)  # a row's similarity to itself
        return like(spread(1 - (self.met_ - own) / (self.n_rows_ - 1), good), X)

    def weirdness(self) -> np.ndarray:
        """(n,) float64 score of the finite rows fitted as published: the mean over all rows, the row itself included.

        It orders the rows as :meth:`fit_score` does.
        """
        return 1 - self.met_ / self.n_rows_

    def _grow(self, rows: np.ndarray) -> None:
        from sklearn.ensemble import RandomForestClassifier

        if self.n_trees < 1 or self.folds < 1:
            raise ValueError(f"n_trees={self.n_trees} and folds={self.folds}: at least 1 of each")
        n, d = rows.shape
        rng = np.random.default_rng(self.random_state)
        real = _single(rows)
        synthetic = np.empty_like(real)
        for column in range(d):
            synthetic[:, column] = real[rng.integers(n, size=n), column]
        most = n if self.max_rows is None else ROWS_A_TREE if self.max_rows == "auto" else int(self.max_rows)
        both, truth = np.concatenate([real, synthetic]), np.repeat([1, 0], n)
        self.forest_ = RandomForestClassifier(
            self.n_trees,
            max_samples=None if most >= n else 2 * most,
            n_jobs=cores(),
            random_state=int(rng.integers(2**31)),
        ).fit(both, truth)
        self.n_features_in_, self.n_rows_ = d, n
        self.auc_ = self._out_of_bag_auc(both, truth)
        self.pure_ = [t.tree_.value[:, 0, 1] >= 1.0 for t in self.forest_.estimators_]
        self._weigh(real)

    def _weigh(self, real: np.ndarray) -> None:
        """Weights of the leaves, and what every fitted row meets of them."""
        n, trees = self.n_rows_, range(self.n_trees)
        held: list[np.ndarray] | None = None
        if n * self.n_trees <= HELD_LEAVES:
            held = in_threads(partial(self._leaves, t, real) for t in trees)

        def leaves(t: int) -> np.ndarray:
            return self._leaves(t, real) if held is None else held[t]

        def valid(part: range) -> np.ndarray:
            count = np.zeros(n, np.int32)
            for t in part:
                count += self.pure_[t][leaves(t)]
            return count

        def weigh(part: range) -> tuple[list[np.ndarray], np.ndarray]:
            made, met = [], np.zeros(n)
            for t in part:
                at = leaves(t)
                weight = np.where(self.pure_[t], np.bincount(at, share, minlength=len(self.pure_[t])), 0.0)
                made.append(weight)
                met += weight[at]
            return made, met

        parts = _parts(self.n_trees)
        self.valid_ = np.sum(in_threads(partial(valid, p) for p in parts), axis=0)
        share = np.divide(1.0, self.valid_, out=np.zeros(n), where=self.valid_ > 0)
        done = in_threads(partial(weigh, p) for p in parts)
        self.weights_ = [w for made, _ in done for w in made]
        self.met_ = np.sum([met for _, met in done], axis=0)
        self.n_without_leaf_ = int(np.count_nonzero(self.valid_ == 0))

    def _met(self, rows: np.ndarray) -> np.ndarray:
        """(m,) sum of the weights of the leaves that each row falls into."""

        def part(trees: range) -> np.ndarray:
            met = np.zeros(len(rows))
            for t in trees:
                met += self.weights_[t][self._leaves(t, rows)]
            return met

        return np.sum(in_threads(partial(part, p) for p in _parts(self.n_trees)), axis=0)

    def _leaves(self, tree: int, rows: np.ndarray) -> np.ndarray:
        return self.forest_.estimators_[tree].tree_.apply(rows).astype(np.int32)

    def _out_of_bag_auc(self, both: np.ndarray, truth: np.ndarray, most: int = 20_000) -> float:
        """Area under the curve on at most ``most`` rows of each class, each voted on by trees that did not see it."""
        from sklearn.metrics import roc_auc_score

        n = len(both) // 2
        some = np.arange(0, n, -(-n // most))
        some = np.concatenate([some, n + some])
        votes, count = np.zeros(len(some)), np.zeros(len(some))
        for tree, seen in zip(self.forest_.estimators_, self.forest_.estimators_samples_, strict=True):
            inside = np.zeros(len(both), bool)
            inside[seen] = True
            out = ~inside[some]
            value = tree.tree_.value[:, 0, 1]
            votes[out] += value[tree.tree_.apply(both[some[out]])]
            count[out] += 1
        asked = count > 0
        if len(np.unique(truth[some][asked])) < 2:
            return float("nan")
        return float(roc_auc_score(truth[some][asked], votes[asked] / count[asked]))


def _single(rows: np.ndarray) -> np.ndarray:
    """Rows as the contiguous float32 that trees compare in; values beyond its range go to its ends."""
    top = np.finfo(np.float32).max
    return np.ascontiguousarray(np.clip(rows, -top, top), dtype=np.float32)


def _parts(trees: int) -> list[range]:
    """Trees in at most 16 stretches: fixed, so that sums do not depend on the cores."""
    count = min(16, trees)
    return [range(i * trees // count, (i + 1) * trees // count) for i in range(count)]
