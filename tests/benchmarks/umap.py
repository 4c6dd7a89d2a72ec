"""UMAP: a fresh process and a warm one, beside umap-learn, with the trustworthiness of both."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._run import Row

ROOT = Path(__file__).resolve().parents[2]

PROCESS = """
import json, sys, time
start = time.perf_counter()
import numpy as np
X = np.load(sys.argv[1], mmap_mode=None)
loaded = time.perf_counter() - start
if sys.argv[2] == "ours":
    from kernels.layout import UMAP
    make = lambda: UMAP(metric="cosine", random_state=0)
else:
    import umap
    make = lambda: umap.UMAP(metric="cosine")  # no seed: it then uses every core
xy = make().fit_transform(X)
fresh = time.perf_counter() - start - loaded
warm = []
for _ in range(int(sys.argv[4])):
    start = time.perf_counter()
    make().fit_transform(X)
    warm.append(time.perf_counter() - start)
np.save(sys.argv[3], np.asarray(xy, np.float32))
print(json.dumps({"fresh": fresh, "warm": sorted(warm)[len(warm) // 2]}))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes: the defaults are those of the figures quoted."""
    parser.add_argument("--rows", type=int, default=40_000, help="rows laid out")
    parser.add_argument("--dim", type=int, default=768, help="dimensions of a row")
    parser.add_argument("--warm", type=int, default=1, help="warm runs in each process, the median counts")


def points(n: int, dim: int) -> np.ndarray:
    """Rows (n, d) float32: 60 clusters on 24 directions with noise, as a trained encoder's embeddings."""
    rng = np.random.default_rng(21)
    latent = 1.5 * rng.normal(size=(60, 24))[rng.integers(0, 60, n)] + rng.normal(size=(n, 24))
    return (latent @ rng.normal(size=(24, dim)) / 5 + 0.3 * rng.normal(size=(n, dim))).astype(np.float32)


def run(options: argparse.Namespace) -> list[Row]:
    """Ours with an empty cache of compiled code, ours again with it, and umap-learn, each in its own process.

    umap-learn keeps whatever compiled code it has on disk; ours starts with none in the row of the fresh process.
    """
    from kernels.layout._quality import layout_quality
    from kernels.search import Neighbours

    X = points(options.rows, options.dim)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "x.npy"
        np.save(data, X)
        empty = {"NUMBA_CACHE_DIR": str(Path(folder) / "cache")}
        first = _process(data, "ours", Path(folder) / "first.npy", options.warm, empty)
        ours = _process(data, "ours", Path(folder) / "ours.npy", options.warm, empty)
        peer = _process(data, "umap-learn", Path(folder) / "peer.npy", options.warm, {})
        layouts = {name: np.load(Path(folder) / f"{name}.npy") for name in ("first", "ours", "peer")}
    index = Neighbours("cosine", "exact").fit(X)
    quality = {name: layout_quality(index.space_, index.rows_, xy) for name, xy in layouts.items()}
    extra: dict[str, Any] = {
        "trust": quality["ours"]["trustworthiness"], "trust_peer": quality["peer"]["trustworthiness"],
        "recall": quality["ours"]["neighbour_recall"], "recall_peer": quality["peer"]["neighbour_recall"],
        "same_in_both_processes": bool(np.array_equal(layouts["first"], layouts["ours"])),
        "cores": len(os.sched_getaffinity(0)),
    }  # fmt: skip
    size = f"{options.rows:,} x {options.dim}"
    return [
        Row(
            "umap.fresh/umap-learn", f"{size}, fresh process, imports and compilation included", first["fresh"],
            peer["fresh"], extra={**extra, "ours_with_compiled_code_on_disk_s": ours["fresh"]},
        ),
        Row("umap.warm/umap-learn", f"{size}, second layout of a process", ours["warm"], peer["warm"], extra=extra),
    ]  # fmt: skip


def _process(data: Path, who: str, out: Path, warm: int, environment: dict[str, str]) -> dict[str, float]:
    """Seconds of the first and of later layouts of a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(data), who, str(out), str(max(warm, 1))],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"the process of {who} failed: {done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])
