"""What a space knows of the physics: regression, correlations, neighbours, outliers (P2.4, P2.6, P2.7, P3.4-P3.8).

Arrays in, arrays out. ``train``, ``validation`` and ``test`` are int64 rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

REGRESSORS = ("linear", "knn")


def predict(
    space: np.ndarray, y: np.ndarray, train: np.ndarray, rows: np.ndarray, how: str, k: int = 3, even: bool = True
) -> np.ndarray:
    """(m,) predictions of ``y`` (n,) for ``rows`` from the vectors ``space`` (n, d) of ``train``.

    ``how`` is ``"linear"`` (ordinary least squares, P2.4) or ``"knn"`` (mean of the ``k`` nearest, P3.4). Rows of
    ``train`` whose ``y`` is missing are left out. Components are brought to one scatter where ``even``.
    """
    from sklearn.linear_model import LinearRegression
    from sklearn.neighbors import KNeighborsRegressor

    if how not in REGRESSORS:
        raise ValueError(f"how={how!r} is unknown: choose one of {', '.join(REGRESSORS)}")
    train = train[np.isfinite(y[train])]
    if len(train) < max(k, 2):
        raise ValueError(f"{len(train)} training rows have a value: {max(k, 2)} at least are needed")
    scaled = space
    if even:
        mean, spread = space[train].mean(axis=0), space[train].std(axis=0)
        scaled = (space - mean) / np.where(spread > 1e-9, spread, 1.0)
    model = LinearRegression() if how == "linear" else KNeighborsRegressor(n_neighbors=k)
    return model.fit(scaled[train], y[train]).predict(scaled[rows]).astype(np.float64)


@dataclass
class Regression:
    """One variable: absolute errors of each space on the test rows that have a value.

    ``errors`` space → (m,); ``baseline`` (m,) of the mean of the training rows; ``validation`` space → Pearson r on
    the validation rows; ``expert`` the space that is best there: the mixture of experts (P3.4) uses it. ``rows`` (m,)
    the object that each error is of; ``held`` space → mean absolute error on the validation rows.
    """

    variable: str
    errors: dict[str, np.ndarray]
    baseline: np.ndarray
    validation: dict[str, float]
    rows: np.ndarray | None = None
    held: dict[str, float] = field(default_factory=dict)
    expert: str = field(init=False)

    def __post_init__(self) -> None:
        self.expert = max(self.validation, key=lambda s: np.nan_to_num(self.validation[s], nan=-2.0))

    def mae(self, space: str) -> float:
        """Mean absolute error on test."""
        return float(self.errors[space].mean())

    def best_of(self, spaces: list[str]) -> str:
        """The space of these with the lowest error on test: the published comparison is against it."""
        return min(spaces, key=self.mae)


def regress(
    spaces: Mapping[str, np.ndarray],
    variable: str,
    y: np.ndarray,
    splits: Mapping[str, np.ndarray],
    how: str,
    k: int = 3,
) -> Regression:
    """Errors of every space on one variable (n,).

    Neighbours depend on the scale of components: each space is taken as it is or with all components of one scatter,
    whichever errs less on validation, so that no space loses by its units.
    """
    y = np.asarray(y, dtype=np.float64)
    train, validation, test = (splits[n] for n in ("train", "validation", "test"))
    validation, test = validation[np.isfinite(y[validation])], test[np.isfinite(y[test])]
    if not len(test):
        raise ValueError(f"no test row has a value of {variable}")
    errors, agreement, held = {}, {}, {}
    both = np.concatenate([test, validation])
    for name, vectors in spaces.items():
        tried = [
            predict(vectors, y, train, both, how, k, even) for even in ((True, False) if how == "knn" else (True,))
        ]
        loss = [np.abs(f - y[both])[len(test) :].mean() if len(validation) else 0.0 for f in tried]
        found = tried[int(np.argmin(loss))]
        error = np.abs(found - y[both])
        errors[name] = error[: len(test)]
        agreement[name] = pearson(found[len(test) :], y[validation])
        held[name] = float(error[len(test) :].mean()) if len(validation) else float("nan")
    mean = np.nanmean(y[train])
    return Regression(variable, errors, np.abs(mean - y[test]), agreement, test, held)


def pearson(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r of two (n,) arrays; NaN where either does not vary or fewer than three rows are given."""
    if len(x) < 3 or np.std(x) < 1e-12 or np.std(y) < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def bootstrap(values: np.ndarray, draws: int = 1000, random_state: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of (n,) values over resampled objects."""
    values = np.asarray(values, dtype=np.float64)
    rng = np.random.default_rng(random_state)
    means = [values[rng.integers(0, len(values), len(values))].mean() for _ in range(draws)]
    return float(np.percentile(means, 2.5)), float(np.percentile(means, 97.5))


def relative_gain(before: np.ndarray, after: np.ndarray) -> float:
    """1 - MAE after / MAE before, of (m,) absolute errors; above 0 is better."""
    return float(1 - after.mean() / max(before.mean(), 1e-300))


def average_gain(
    pairs: list[tuple[np.ndarray, np.ndarray]],
    draws: int = 1000,
    random_state: int = 0,
    rows: list[np.ndarray] | None = None,
) -> tuple[float, float, float]:
    """(gain, low, high): the mean over variables of :func:`relative_gain`, with its 95 % interval over objects.

    ``pairs`` holds the errors before and after of each variable on the same objects. ``rows`` says which object each
    error is of: objects are then drawn once for all variables, since what is wrong about one is wrong in several.
    Without it they are drawn within each variable, which makes the interval of related variables too narrow.
    """
    rng = np.random.default_rng(random_state)
    found = np.empty((draws, len(pairs)))
    weight, at = None, rows
    if rows is not None:
        objects, flat = np.unique(np.concatenate(rows), return_inverse=True)
        at = np.split(flat, np.cumsum([len(r) for r in rows])[:-1])
        weight = rng.multinomial(len(objects), np.full(len(objects), 1 / len(objects)), draws).astype(np.float64)
    for j, (before, after) in enumerate(pairs):
        if weight is None or at is None:
            drawn = rng.integers(0, len(before), (draws, len(before)))
            sums = before[drawn].sum(axis=1), after[drawn].sum(axis=1)
        else:
            mine = weight[:, at[j]]
            sums = mine @ before, mine @ after
        found[:, j] = 1 - sums[1] / np.maximum(sums[0], 1e-300)
    mean = float(np.mean([relative_gain(b, a) for b, a in pairs]))
    low, high = np.percentile(found.mean(axis=1), [2.5, 97.5])
    return mean, float(low), float(high)


def correlations(space: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(d, v) Pearson's r of every component of ``space`` (n, d) with every variable of ``values`` (n, v), by pairs that
    are both finite (P3.5); NaN where either does not vary."""
    x, y = np.asarray(space, np.float64), np.asarray(values, np.float64)
    out = np.full((x.shape[1], y.shape[1]), np.nan)
    whole = np.isfinite(x).all(axis=1)
    for j in range(y.shape[1]):
        good = whole & np.isfinite(y[:, j])
        if good.sum() < 3:
            continue
        a, b = x[good] - x[good].mean(axis=0), y[good, j] - y[good, j].mean()
        length = np.sqrt((a**2).sum(axis=0) * (b**2).sum())
        out[:, j] = np.divide(a.T @ b, length, out=np.full(len(length), np.nan), where=length > 1e-12)
    return out


def strongest(matrix: np.ndarray, n: int = 10) -> list[tuple[int, int, float]]:
    """The ``n`` strongest entries of (d, v) correlations as (component, variable, r), by magnitude (P3.5)."""
    size = np.nan_to_num(np.abs(matrix), nan=-1.0).ravel()
    order = np.argsort(-size, kind="stable")[:n]
    return [(int(i // matrix.shape[1]), int(i % matrix.shape[1]), float(matrix.ravel()[i])) for i in order]


def mean_strength(matrix: np.ndarray, components: int | None = None) -> float:
    """Mean over variables of the mean |r| of their ``components`` strongest components (all, where None)."""
    size = -np.sort(-np.nan_to_num(np.abs(matrix), nan=0.0), axis=0)
    return float(size[:components].mean())


@dataclass(frozen=True)
class Context:
    """Neighbours of one source: how many share its class, mean and spread of a value among them (P2.6)."""

    matches: float
    mean: float
    spread: float


def neighbour_context(
    queries: np.ndarray, candidates: np.ndarray, own: int, classes: np.ndarray, values: np.ndarray, k: int = 10
) -> Context:
    """The ``k`` nearest of ``candidates`` (n, d), by 2-norm, to row ``own`` of ``queries`` (n, d), itself left out."""
    distance = np.linalg.norm(candidates - queries[own], axis=1)
    distance[own] = np.inf
    near = np.argsort(np.where(np.isfinite(distance), distance, np.inf), kind="stable")[:k]
    return Context(
        float((classes[near] == classes[own]).sum()), float(np.nanmean(values[near])), float(np.nanstd(values[near]))
    )


def places(scores: np.ndarray) -> np.ndarray:
    """(n,) place of each score among all as a share in (0, 1], 1 the most anomalous; ties share their mean."""
    from scipy.stats import rankdata

    return rankdata(scores) / len(scores)


def share_at_top(kinds: np.ndarray, order: np.ndarray, kind: str, top: int) -> float:
    """Share of the class ``kind`` among the first ``top`` of ``order`` (rows, most anomalous first)."""
    return float((kinds[order[:top]] == kind).mean())


def outlier_gain(joint: np.ndarray, alone: np.ndarray, kinds: np.ndarray, top: int) -> dict[str, tuple[float, float]]:
    """Class → (share among the ``top`` that rise most from ``alone`` to ``joint``, share at the top of ``alone``).

    Scores (n,) are compared as places, so that two scorers' units do not matter (P2.7: pulsars three times as often).
    """
    rise = np.argsort(-(places(joint) - places(alone)), kind="stable")
    first = np.argsort(-alone, kind="stable")
    return {
        k: (share_at_top(kinds, rise, k, top), share_at_top(kinds, first, k, top)) for k in np.unique(kinds).tolist()
    }


def recovery(scores: np.ndarray, wanted: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Share of the ``wanted`` (n,) bool found when the first ``at`` (m,) of the ranking are looked at."""
    found = np.cumsum(wanted[np.argsort(-scores, kind="stable")])
    return found[np.asarray(at, int) - 1] / max(int(wanted.sum()), 1)


def class_medians(scores: np.ndarray, kinds: np.ndarray) -> dict[str, tuple[float, float, int]]:
    """Class → (median, half the 16-84 % range, number) of the outlier scores, highest median first (P3.6)."""
    out = {}
    for kind in np.unique(kinds).tolist():
        mine = scores[kinds == kind]
        low, high = np.percentile(mine, [16, 84])
        out[kind] = (float(np.median(mine)), float((high - low) / 2), len(mine))
    return dict(sorted(out.items(), key=lambda item: -item[1][0]))


def with_prior(scores: np.ndarray, artefact: np.ndarray, weight: float = 1.0) -> np.ndarray:
    """(n,) score that puts physics before artefacts (P3.8): the place times the chance of being real.

    A score's place p among n is read as how surprising it is, -log(1 - p + 1/n); the result is that plus ``weight``
    times the log of the chance 1 - ``artefact`` (n,) that the object is no artefact, floored at 1/n.
    """
    n = len(scores)
    chance = np.clip(1 - np.asarray(artefact, np.float64), 1 / max(n, 2), 1)
    return -np.log(1 - places(scores) + 1 / n) + weight * np.log(chance)


def artefact_chance(features: np.ndarray, marked: np.ndarray, is_artefact: np.ndarray) -> np.ndarray:
    """(n,) chance of being an artefact, learnt from ``marked`` rows called so or not (``is_artefact`` bool each).

    A logistic regression on standardised features (n, d), its strength chosen by cross-validation where at least five
    of each kind are marked. Marks of one kind only teach nothing: an error says so.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    said = np.asarray(is_artefact, bool)
    if said.all() or not said.any():
        raise ValueError(f"{len(said)} marks, all of one kind: mark some artefacts and some real objects")
    models = [make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=2000)) for c in (0.01, 0.1, 1.0, 10.0)]
    chosen, fewest = models[2], int(min(said.sum(), (~said).sum()))
    if fewest >= 5:
        loss = [cross_val_score(m, features[marked], said, cv=min(5, fewest), scoring="neg_log_loss") for m in models]
        chosen = models[int(np.argmax([v.mean() for v in loss]))]
    return chosen.fit(features[marked], said).predict_proba(features)[:, 1]
