"""Neighbours: self-join and single queries, exact and approximate, beside faiss Flat on the same cores."""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np

from kernels.search import Neighbours, join
from kernels.search._products import Products
from tests.benchmarks._run import Row, alternate

K = 10
QUERIES = 200  # held-out queries that recall is measured on
SIZES = (1_000, 10_000, 50_000, 100_000, 200_000, 500_000)  # entries of the curve
TIMED = 40  # single queries timed one at a time, in turn with the peer's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes: the defaults are those of the figures quoted."""
    parser.add_argument("--join-rows", type=int, default=40_000, help="rows of the self-join")
    parser.add_argument("--rows", type=int, default=500_000, help="rows searched by single queries")
    parser.add_argument("--dim", type=int, default=768, help="dimensions of a row")
    parser.add_argument("--only", default="", help="join, query, isotropic or curve: one part alone")


def run(options: argparse.Namespace) -> list[Row]:
    """The rows of the parts asked for."""
    parts: dict[str, Callable[[argparse.Namespace], list[Row]]] = {
        "join": _self_join,
        "query": lambda o: _queries(o, "clustered"),
        "isotropic": lambda o: _queries(o, "isotropic"),
        "curve": _curve,
    }
    if options.only and options.only not in parts:
        raise SystemExit(f"--only {options.only}: choose one of {', '.join(parts)}")
    chosen = [options.only] if options.only else list(parts)
    return [row for name in chosen for row in parts[name](options)]


def vectors(n: int, dim: int, kind: str, held_out: int = QUERIES) -> tuple[np.ndarray, np.ndarray]:
    """Unit rows (n, d) and held-out unit queries (held_out, d) float32 of one fixed generator.

    ``clustered``: one centre per 200 rows, a row is its centre plus noise of the same size in all directions.
    """
    rng = np.random.default_rng(20)
    total = n + held_out
    rows = rng.standard_normal((total, dim), np.float32)
    if kind == "clustered":
        centres = rng.standard_normal((max(n // 200, 1), dim), np.float32)
        for start in range(0, total, 50_000):
            stop = min(total, start + 50_000)
            rows[start:stop] += centres[rng.integers(0, len(centres), stop - start)]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows[:n], rows[n:]


def flat(X: np.ndarray) -> Any:
    """faiss Flat (inner product) over unit rows."""
    index = import_module("faiss").IndexFlatIP(X.shape[1])
    index.add(X)
    return index


def recall(found: np.ndarray, truth: np.ndarray) -> float:
    """Share of the true neighbours found."""
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(found.tolist(), truth.tolist(), strict=True)]))


def _self_join(options: argparse.Namespace) -> list[Row]:
    X, _ = vectors(options.join_rows, options.dim, "clustered")
    index, peer = Neighbours("cosine", "exact").fit(X), flat(X)
    Neighbours("cosine", "exact").fit(X[:9000]).self_join(K)  # compilation is not of this figure
    answers: dict[str, np.ndarray] = {}

    def ours(name: str, half: bool) -> None:
        answers[name] = join.self_join(index.space_, index.rows_, K, half=half)[1]

    def theirs() -> None:
        answers["peer"] = peer.search(X, K + 1)[1]

    def default() -> None:
        answers["ours"] = index.self_join(K)[1]

    import_module("torch")
    spent = _product_seconds()
    default_s, single_s, peer_s = alternate(default, lambda: ours("single", False), theirs, repeat=3)
    product = {name: statistics.median(times) for name, times in spent().items()}
    own = np.arange(len(X))[:, None]
    peers = answers["peer"]
    truth = np.take_along_axis(peers, np.argsort(peers == own, axis=1, kind="stable")[:, :K], 1)
    flops = float(len(X)) ** 2 * options.dim
    kind = "half" if "half" in product else "single"
    what = f"exact self-join {len(X):,} x {options.dim}, k {K}"
    shared: dict[str, Any] = {"cores": len(os.sched_getaffinity(0)), "GFLOP": flops / 1e9}
    return [
        Row(
            "neighbours.selfjoin/faiss", what, default_s, peer_s, floor=peer_s / 2,
            extra={
                "recall": recall(answers["ours"], truth), "product_s": product[kind],
                "selection_s": default_s - product[kind],
                "product": "bfloat16" if kind == "half" else "float32", **shared,
            },
        ),
        Row(
            "neighbours.selfjoin.float32/faiss", f"{what}, float32 products", single_s, peer_s, floor=peer_s / 2,
            extra={
                "recall": recall(answers["single"], truth), "product_s": product["single"],
                "selection_s": single_s - product["single"], **shared,
            },
        ),
    ]  # fmt: skip


def _product_seconds() -> Callable[[], dict[str, list[float]]]:
    """Times the products of the joins from now on; the answer gives seconds per join, by precision."""
    spent: dict[str, list[float]] = {}
    made, tile = Products.__init__, Products.tile

    def new(self: Products, *given: Any, **named: Any) -> None:
        made(self, *given, **named)
        self.kind = "half" if self.half else "single"  # type: ignore[attr-defined]
        spent.setdefault(self.kind, []).append(0.0)  # type: ignore[attr-defined]

    def timed(self: Products, r: slice, c: slice) -> np.ndarray:
        start = time.perf_counter()
        out = tile(self, r, c)
        spent[self.kind][-1] += time.perf_counter() - start  # type: ignore[attr-defined]
        return out

    Products.__init__, Products.tile = new, timed  # type: ignore[method-assign]

    def stop() -> dict[str, list[float]]:
        Products.__init__, Products.tile = made, tile  # type: ignore[method-assign]
        return spent

    return stop


def _queries(options: argparse.Namespace, kind: str) -> list[Row]:
    X, Q = vectors(options.rows, options.dim, kind)
    peer = flat(X)
    truth = peer.search(Q, K)[1]
    methods = {"exact": "exact", "int8": "int8", "ivf": "ivf"}
    goals = {"exact": 1.0, "int8": 0.999, "ivf": 0.99}
    rows = []
    for name, method in methods.items():
        start = time.perf_counter()
        index = Neighbours("cosine", method, recall=goals[name]).fit(X)
        fit = time.perf_counter() - start
        index.query(Q[:1], K)
        found = np.concatenate([index.query(Q[i : i + 1], K)[1] for i in range(len(Q) if method != "exact" else 20)])
        ours_ms, peer_ms = _one_at_a_time(lambda q: index.query(q, K), lambda q: peer.search(q, K), Q)  # noqa: B023
        share = {"exact": 1.0, "int8": 0.25, "ivf": None}[name]
        extra: dict[str, Any] = {"recall": recall(found, truth[: len(found)]), "stated": index.recall_, "fit_s": fit}
        if share:
            extra["read_GB_per_s"] = X.nbytes * share / ours_ms / 1e6
        if method == "ivf":
            extra["nprobe"] = index._backend.effort
        suffix = "" if kind == "clustered" else ".isotropic"
        rows.append(
            Row(
                f"neighbours.query.{name}{suffix}/faiss",
                f"one query over {len(X):,} x {options.dim} {kind}, k {K}",
                ours_ms, peer_ms, "ms", extra=extra,
            )
        )  # fmt: skip
    return rows


def _one_at_a_time(ours: Callable[[Any], Any], theirs: Callable[[Any], Any], Q: np.ndarray) -> tuple[float, float]:
    """Median milliseconds of single queries, in turn."""
    taken: tuple[list[float], list[float]] = ([], [])
    for i in range(TIMED):
        for call, times in zip((ours, theirs), taken, strict=True):
            start = time.perf_counter()
            call(Q[i : i + 1])
            times.append(1e3 * (time.perf_counter() - start))
    return statistics.median(taken[0]), statistics.median(taken[1])


def _curve(options: argparse.Namespace) -> list[Row]:
    """Milliseconds of one query against the number of entries, exact and approximate, with the line of P1.9.

    ``P1.9`` beside each is 0.0058 n + 0.0490, the line that Tang et al. (2025) fitted up to 500,000 entries; they do
    not state its unit.
    """
    rows: list[Row] = []
    for n in SIZES:
        if n > options.rows:
            continue
        X, Q = vectors(n, options.dim, "clustered")
        peer = flat(X)
        truth = peer.search(Q, K)[1]
        for method in ("exact", "int8", "ivf"):
            index = Neighbours("cosine", method).fit(X)
            index.query(Q[:1], K)
            ours, theirs = _one_at_a_time(lambda q: index.query(q, K), lambda q: peer.search(q, K), Q)  # noqa: B023
            found = np.concatenate([index.query(Q[i : i + 1], K)[1] for i in range(40)])
            rows.append(
                Row(
                    f"neighbours.curve.{method}@{n}/faiss", f"one query over {n:,} entries, k {K}", ours, theirs, "ms",
                    extra={
                        "recall": recall(found, truth[:40]), "stated": index.recall_, "used": index.method_,
                        "P1.9": 0.0058 * n + 0.0490,
                    },
                )
            )  # fmt: skip
    return rows + [_growth(method, rows) for method in ("exact", "int8", "ivf")]


def _growth(method: str, rows: list[Row]) -> Row:
    """How the time of a query grows: the exponent of n over the last factor of ten, and a line through all sizes."""
    mine = [row for row in rows if row.id.startswith(f"neighbours.curve.{method}@")]
    n = np.array([float(row.id.split("@")[1].split("/")[0]) for row in mine])
    ms = np.array([row.ours for row in mine])
    last = n >= n[-1] / 10
    exponent = float(np.polyfit(np.log(n[last]), np.log(ms[last]), 1)[0]) if last.sum() > 1 else float("nan")
    slope, offset = np.polyfit(n, ms, 1) if len(n) > 1 else (float("nan"), float("nan"))
    return Row(
        f"neighbours.curve.{method}", f"exponent of n from {n[last][0]:,.0f} to {n[-1]:,.0f} entries (1 is linear)",
        exponent, unit="", extra={
            "recall": mine[-1].extra["recall"], "line_ms": f"y = {slope:.3g} x + {offset:.3g}",
            "P1.9": "y = 0.0058 x + 0.0490 (unit not stated)",
        },
    )  # fmt: skip
