"""Scorers on the tabular sets of ADBench: area under the ROC curve beside the reference measured with the data.

Rows: ``adbench.knn`` and ``adbench.isolation-forest`` with the largest difference to the reference, then
``adbench.SET`` for every set, with all scorers. Several sets lie below 0.5 for good methods: that is the data.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from kernels.scoring import GMM, KNN, MAF, IsolationForest, UnsupervisedForest
from tests.benchmarks._run import Row

SEEDS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sets", nargs="*", help="names of sets; all where none is given")
    parser.add_argument("--fast", action="store_true", help="neighbours and isolation forest alone")
    parser.add_argument("--most", type=int, default=4000, help="rows that flows are trained on, at most")
    parser.add_argument("--hidden", type=int, default=128, help="width of both flows (default 128)")


def run(options: argparse.Namespace) -> list[Row]:
    from sklearn.metrics import roc_auc_score

    told = os.environ.get("EXPLORER_TEST_DATA")
    root = (Path(told) if told else Path(__file__).resolve().parents[3] / "shared" / "data") / "adbench"
    if not root.is_dir():
        raise FileNotFoundError(f"no {root}: set EXPLORER_TEST_DATA to the folder that holds adbench/")
    with (root / "local_reference_auc.csv").open() as file:
        references = {row["dataset"]: row for row in csv.DictReader(file)}
    wanted = options.sets or list(references)
    rows, away, forest_away = [], {}, {}
    for name in wanted:
        reference = references[name]
        with np.load(root / "adbench" / "datasets" / "Classical" / f"{name}.npz") as data:
            x, y = data["X"].astype(np.float64), data["y"]
        spread = x.std(axis=0)
        x = (x - x.mean(axis=0)) / np.where(spread > 0, spread, 1)

        def auc(scores: np.ndarray, y: np.ndarray = y) -> float:
            return float(roc_auc_score(y, scores))

        knn = auc(KNN(k=10, metric="euclidean", aggregate="max").fit_score(x))
        # the reference scored the rows its trees were grown on
        seeds = [auc(IsolationForest(random_state=s).fit(x).anomaly_score(x)) for s in range(SEEDS)]
        extra: dict[str, Any] = {
            "knn": knn,
            "knn_reference": float(reference["kNN10max_auc"]),
            "isolation_forest": float(np.mean(seeds)),
            "isolation_forest_sd": float(np.std(seeds)),
            "isolation_forest_reference": float(reference["IForest_auc"]),
            "isolation_forest_left_out": auc(IsolationForest(random_state=0).fit_score(x)),
            "lof_reference": float(reference["LOF20_auc"]),
            "mahalanobis_reference": float(reference["Mahalanobis_auc"]),
        }
        away[name] = abs(knn - extra["knn_reference"])
        allowed = max(0.02, 2 * extra["isolation_forest_sd"])
        forest_away[name] = abs(extra["isolation_forest"] - extra["isolation_forest_reference"]) / allowed
        if not options.fast:
            extra |= _others(x, auc, options.most, options.hidden)
        rows.append(Row(f"adbench.{name}", f"{len(x)} x {x.shape[1]}", knn, extra["knn_reference"], "AUC", "more"))
        rows[-1].extra = extra
        print(name, {k: round(v, 3) for k, v in extra.items()}, file=sys.stderr, flush=True)
    worst, odd = max(away, key=lambda k: away[k]), max(forest_away, key=lambda k: forest_away[k])
    mean: dict[str, Any] = {
        k: float(np.mean([r.extra[k] for r in rows])) for k in rows[0].extra if not k.startswith("s_")
    }
    return [
        Row("adbench.knn", f"largest difference to the reference ({worst})", away[worst], unit="AUC", floor=0.005),
        Row(
            "adbench.isolation-forest",
            f"largest difference to the reference over max(0.02, 2 sd) ({odd})",
            forest_away[odd],
            unit="times",
            floor=1.0,
        ),
        Row(
            "adbench.mean", f"mean over {len(rows)} sets", mean["knn"], mean["knn_reference"], "AUC", "more", extra=mean
        ),
        *rows,
    ]


def _others(x: np.ndarray, auc: Any, most: int, hidden: int) -> dict[str, float]:
    """AUC and seconds of the scorers without a reference, cross-fitted as they come."""
    out: dict[str, float] = {}
    scorers = {
        "maf": MAF(hidden=hidden, random_state=0),
        "maf_nflows": MAF(hidden=hidden, backend="nflows", degrees="nflows", random_state=0),
        "gmm": GMM(random_state=0),
        "unsupervised_forest": UnsupervisedForest(random_state=0),
    }
    some = np.random.default_rng(0).permutation(len(x))
    for name, scorer in scorers.items():
        start = time.perf_counter()
        if name.startswith("maf") and len(x) > most:
            scorer.fit(x[some[:most]])
            scores = scorer.anomaly_score(x)
        else:
            scores = scorer.fit_score(x)
        out[name], out[f"s_{name}"] = auc(np.where(np.isfinite(scores), scores, 1e300)), time.perf_counter() - start
    return out
