"""What an aligner is tuned by: the temperature on the calibration split, the rest on the validation split (P3.2)."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kernels.embedding.align.aligner import Aligner, Progress
from kernels.search.retrieval import median_rank, ranks_of_pairs, recall_at

PAPER_GRID: dict[str, Sequence[Any]] = {
    "lr": (1e-4, 3e-4, 1e-3),
    "shared": (16, 32, 64, 128),
    "dropout": (0.1, 0.3, 0.5),
    "hidden": (16, 64, 256, 1024),
}
"""The ranges of P3 (section 2.3)."""
SMALL_GRID: dict[str, Sequence[Any]] = {"lr": (1e-3,), "shared": (32, 64), "dropout": (0.1, 0.4), "hidden": (128, 512)}
TEMPERATURES = (0.02, 0.05, 0.1, 0.2, 0.4)
Pairs = tuple[np.ndarray, np.ndarray]


def pair_ranks(aligner: Aligner, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) rank of each object's second modality among all, by cosine from its first."""
    return ranks_of_pairs(np.matmul(*(s if i == 0 else s.T for i, s in enumerate(aligner.encode_pairs(a, b)))))


def judged(aligner: Aligner, pairs: Pairs) -> dict[str, float]:
    """Retrieval from the first modality to the second and back, averaged."""
    there = pair_ranks(aligner, *pairs)
    za, zb = aligner.encode_pairs(*pairs)
    back = ranks_of_pairs(zb @ za.T)
    both = np.concatenate([there, back])
    n = len(there)
    return {
        "mean_log_rank": float(np.log(both).mean()),
        "median_rank": median_rank(both),
        "recall@1%": recall_at(both, 0.01, n),
        "recall@5%": recall_at(both, 0.05, n),
    }


def tune_temperature(
    train: Pairs, calibration: Pairs, options: Mapping[str, Any], temperatures: Sequence[float] = TEMPERATURES
) -> tuple[float, list[dict[str, float]]]:
    """The temperature whose aligner ranks the calibration pairs best (mean log rank), and what each gave.

    A temperature does not change the order within a fitted space, so each is trained with.
    """
    tried = []
    for temperature in temperatures:
        aligner = Aligner(**{**options, "temperature": temperature, "members": 1}).fit(*train)
        tried.append({"temperature": temperature, **judged(aligner, calibration)})
    return min(tried, key=lambda t: t["mean_log_rank"])["temperature"], tried


def grid_search(
    train: Pairs,
    validation: Pairs,
    grid: Mapping[str, Sequence[Any]] = SMALL_GRID,
    options: Mapping[str, Any] | None = None,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Every combination of ``grid`` trained and judged on ``validation``, the best first.

    ``folder/grid.jsonl`` gains a line for each; those that stand there already are not trained again, so that a search
    that was killed goes on. Each result holds ``options`` and the figures of :func:`judged`.
    """
    base = dict(options or {})
    path = folder / "grid.jsonl" if folder else None
    done = _done(path)
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    results = []
    for i, chosen in enumerate(combinations):
        if progress:
            progress(i, len(combinations), ", ".join(f"{k} {v}" for k, v in chosen.items()))
        told = {**base, **chosen}
        key = json.dumps({**told, "n": len(train[0])}, sort_keys=True)
        if key not in done:
            aligner = Aligner(**{**told, "members": 1}).fit(*train, validation=validation)
            done[key] = judged(aligner, validation)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"key": key, "result": done[key]}) + "\n")
        results.append({"options": told, **done[key]})
    if progress:
        progress(len(combinations), len(combinations), "grid")
    return sorted(results, key=lambda r: r["mean_log_rank"])


def _done(path: Path | None) -> dict[str, dict[str, float]]:
    """Results of an earlier run; a last line that was cut short by a kill is left out."""
    out: dict[str, dict[str, float]] = {}
    if path is None or not path.exists():
        return out
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            held = json.loads(line)
        except json.JSONDecodeError:
            continue
        out[held["key"]] = held["result"]
    return out
