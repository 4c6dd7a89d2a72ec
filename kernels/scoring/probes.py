"""What an embedding knows of a physical quantity, and in how many of its dimensions (P0.12).

A linear probe (ridge) and a boosted one (LightGBM) are trained to predict the quantity. Their R2 says how much is
there and how much of it is linear; the SHAP values of the boosted probe say how many dimensions carry it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from kernels.scoring._rows import as_rows, finite, fold_of

EPSILON = 1e-3  # of PES, as in the paper's code
LEAST = 50  # objects


@dataclass(frozen=True)
class Probe:
    """One quantity probed in one embedding; every error is the standard deviation over bootstraps of the test rows.

    Attributes
    ----------
    name : of the quantity.
    ridge_r2, ridge_mae, lgbm_r2, lgbm_mae : on rows not trained on; MAE in the units of the quantity.
    gap : R2 of LightGBM minus that of the ridge: what is there, but not linearly.
    pr : participation ratio (sum phi)^2 / (D sum phi^2) of the importances phi, in (0, 1]: the share of dimensions
        that take part; phi is the mean over rows of the absolute SHAP values, each row normalised to sum 1.
    epd : effective dimensions, pr x D.
    pes : R2 / (pr + 0.001), high where few dimensions carry much.
    cwp : R2 x pr, high where many dimensions carry much.
    pr90 : share of dimensions that hold 90 % of the importance.
    errors : of ``ridge_r2, ridge_mae, lgbm_r2, lgbm_mae, gap, pr, epd, pes, cwp``.
    trained, tested : objects.
    importance : (D,) float64 phi.
    """

    name: str
    ridge_r2: float
    ridge_mae: float
    lgbm_r2: float
    lgbm_mae: float
    gap: float
    pr: float
    epd: float
    pes: float
    cwp: float
    pr90: float
    errors: dict[str, float]
    trained: int
    tested: int
    importance: np.ndarray

    def row(self) -> dict[str, Any]:
        """The figures as one flat row of a table."""
        flat = asdict(self)
        flat.pop("importance")
        errors = flat.pop("errors")
        return {**flat, **{f"{k}_error": v for k, v in errors.items()}}


def probe(
    X: Any,
    y: np.ndarray,
    name: str = "",
    groups: np.ndarray | None = None,
    test: float = 0.2,
    explained: int = 2000,
    bootstraps: int = 50,
    random_state: int | None = 42,
    **lightgbm: Any,
) -> Probe:
    """Probe the embedding ``X`` (n, d) for the quantity ``y`` (n,).

    Parameters
    ----------
    groups : (n,) labels; rows of one label (observations of one object) fall on one side of the split.
    test : share of the objects that is tested on.
    explained : rows whose SHAP values are computed, at most.
    lightgbm : options of ``lightgbm.LGBMRegressor``.

    Rows with a NaN in ``X`` or ``y`` are left out. Columns are standardised for the ridge.
    """
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from kernels._parallel import cores

    rows, y = as_rows(X, "probe"), np.asarray(y, dtype=np.float64)
    if y.shape != (len(rows),):
        raise ValueError(f"{name or 'the quantity'} has shape {y.shape}, the embedding has {len(rows)} rows")
    here = np.flatnonzero(finite(rows) & np.isfinite(y))
    if len(here) < LEAST:
        raise ValueError(f"{len(here)} objects have an embedding and {name or 'the quantity'}: a probe needs {LEAST}")
    if np.ptp(y[here]) == 0:
        raise ValueError(f"{name or 'the quantity'} is {y[here][0]:g} for all {len(here)} objects: nothing to predict")
    tested = _tested(here, test, groups, random_state)
    a, b, ya, yb = rows[here[~tested]], rows[here[tested]], y[here[~tested]], y[here[tested]]
    ridge = make_pipeline(StandardScaler(), Ridge()).fit(a, ya).predict(b)
    options = {"random_state": random_state, "n_jobs": cores(), "verbose": -1, **lightgbm}
    boosted = _lightgbm()(**options).fit(a, ya)
    forest = boosted.booster_.predict(b)
    some = np.random.default_rng(random_state).permutation(len(b))[:explained]
    phi = shap_shares(boosted, b[some])
    return _figures(name, yb, ridge, forest, phi, bootstraps, random_state, len(a))


def shap_shares(model: Any, rows: np.ndarray) -> np.ndarray:
    """(m, d) absolute SHAP values of a fitted LightGBM model, each row normalised to sum 1.

    LightGBM's own TreeSHAP (Lundberg et al. 2020, doi:10.1038/s42256-019-0138-9), the same numbers as
    ``shap.TreeExplainer`` gives.
    """
    values = np.abs(np.asarray(model.booster_.predict(rows, pred_contrib=True))[:, :-1])
    total = values.sum(axis=1, keepdims=True)
    return np.divide(values, total, out=np.full_like(values, 1 / values.shape[1]), where=total > 0)


def participation(phi: np.ndarray) -> float:
    """Participation ratio (sum phi)^2 / (D sum phi^2) of importances (D,): 1 / D for one dimension, 1 for all alike."""
    phi = np.asarray(phi, dtype=np.float64)
    square = (phi**2).sum()
    return float(phi.sum() ** 2 / (len(phi) * square)) if square > 0 else float("nan")


def summary(probes: list[Probe]) -> dict[str, tuple[float, float]]:
    """Mean and standard deviation over quantities of R2, PR, EPD, PES, CWP and gap: a row of the paper's Table 2."""
    if not probes:
        raise ValueError("no probe to sum up")
    names = ("lgbm_r2", "pr", "epd", "pes", "cwp", "gap")
    return {n: (float(np.mean(v)), float(np.std(v))) for n in names if (v := [getattr(p, n) for p in probes])}


def _figures(
    name: str,
    truth: np.ndarray,
    ridge: np.ndarray,
    forest: np.ndarray,
    shares: np.ndarray,
    bootstraps: int,
    random_state: int | None,
    trained: int,
) -> Probe:
    rng, d = np.random.default_rng(random_state), shares.shape[1]

    def one(rows: np.ndarray, explained: np.ndarray) -> dict[str, float]:
        r2 = {"ridge_r2": _r2(truth[rows], ridge[rows]), "lgbm_r2": _r2(truth[rows], forest[rows])}
        pr = participation(shares[explained].mean(axis=0))
        return {
            **r2,
            "ridge_mae": float(np.abs(truth[rows] - ridge[rows]).mean()),
            "lgbm_mae": float(np.abs(truth[rows] - forest[rows]).mean()),
            "gap": r2["lgbm_r2"] - r2["ridge_r2"],
            "pr": pr,
            "epd": pr * d,
            "pes": r2["lgbm_r2"] / (pr + EPSILON),
            "cwp": r2["lgbm_r2"] * pr,
        }

    n, m = len(truth), len(shares)
    told = one(np.arange(n), np.arange(m))
    drawn = [one(rng.integers(n, size=n), rng.integers(m, size=m)) for _ in range(bootstraps)]
    errors = {k: float(np.nanstd([d[k] for d in drawn])) if drawn else float("nan") for k in told}
    phi = shares.mean(axis=0)
    held = np.cumsum(np.sort(phi)[::-1]) / phi.sum()
    pr90 = (int(np.searchsorted(held, 0.9)) + 1) / d
    return Probe(name=name, **told, pr90=pr90, errors=errors, trained=trained, tested=n, importance=phi)


def _tested(here: np.ndarray, share: float, groups: np.ndarray | None, random_state: int | None) -> np.ndarray:
    """(m,) bool: which of the rows ``here`` are tested on."""
    if not 0 < share < 1:
        raise ValueError(f"test={share}: between 0 and 1, both excluded")
    _, group = np.unique(here if groups is None else np.asarray(groups)[here], return_inverse=True)
    count = int(group.max()) + 1
    if count < 2:
        raise ValueError("all rows are of one group: nothing is left to test on")
    parts = max(2, round(1 / share)) if share <= 0.5 else 2
    if share <= 0.5:
        return fold_of(count, min(parts, count), random_state)[group] == 0
    order = np.random.default_rng(random_state).permutation(count)
    return np.isin(group, order[: max(1, min(count - 1, round(count * share)))])


def _r2(truth: np.ndarray, told: np.ndarray) -> float:
    total = ((truth - truth.mean()) ** 2).sum()
    return float(1 - ((truth - told) ** 2).sum() / total) if total > 0 else float("nan")


def _lightgbm() -> Any:
    try:
        from lightgbm import LGBMRegressor
    except ImportError as error:
        raise ImportError("probes need the package lightgbm: pip install lightgbm") from error
    return LGBMRegressor
