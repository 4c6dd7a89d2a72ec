"""The unsupervised forest: time linear in the rows, and a million rows scored.

Rows: ``forest.linear`` (the factor between the times at ten times the rows) and ``forest.million``.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from kernels.scoring import UnsupervisedForest
from tests.benchmarks._run import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trees", type=int, default=20)
    parser.add_argument("--dims", type=int, default=16)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large run")


def run(options: argparse.Namespace) -> list[Row]:
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(options.dims, options.dims))

    def rows(n: int) -> np.ndarray:
        return (rng.normal(size=(n, options.dims)) @ mix).astype(np.float32)

    def seconds(x: np.ndarray) -> float:
        start = time.perf_counter()
        UnsupervisedForest(n_trees=options.trees, random_state=0).fit_score(x)
        return time.perf_counter() - start

    small, large = rows(20_000), rows(200_000)
    seconds(small[:2000])
    few = sorted(seconds(small) for _ in range(3))[1]
    many = seconds(large)
    million = rows(options.rows)
    whole = seconds(million)
    start = time.perf_counter()
    forest = UnsupervisedForest(n_trees=options.trees, random_state=0).fit(small)
    grown = time.perf_counter() - start
    start = time.perf_counter()
    forest.anomaly_score(million)
    new = time.perf_counter() - start
    what = f"{options.trees} trees, {options.dims} columns"
    return [
        Row(
            "forest.linear",
            f"time at 200,000 rows over time at 20,000, {what}",
            many / few,
            unit="times",
            floor=12,
            extra={"s_20000": few, "s_200000": many},
        ),
        Row(
            "forest.million",
            f"fit_score of {options.rows:,} rows, {what}",
            whole,
            unit="s",
            extra={"s_score_as_new_rows": new, "s_grown_on_20000": grown, "auc": forest.auc_},
        ),
    ]
