"""Re-ranking tools (P4.6) against truth labels that they never see: lenses by their arcs, active nuclei by their lines.

Each judges the whole of a simulated survey with images and spectra. Beside it: the rank by k nearest neighbours, and
chance. ``rerank`` is what a person does: the first hundreds of the ranking, ordered anew.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from tests.benchmarks._run import Row

if TYPE_CHECKING:
    from explorer.survey.store import Survey

TRUTH = {"lens-likeness": ("lens", "pca/image"), "line-width": ("broad-line-agn", "pca/spectrum")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The survey: one that is there, or one that is made."""
    parser.add_argument("--survey", type=Path, help="a simulated survey with pca spaces and knn (default: one is made)")
    parser.add_argument("--galaxies", type=int, default=5000, help="galaxies of a survey that is made (default 5000)")
    parser.add_argument("--top", type=int, default=500, help="candidates of a re-ranking (default 500)")


def run(options: argparse.Namespace) -> list[Row]:
    """AUC and recall of each tool, and of what it is compared with."""
    with tempfile.TemporaryDirectory(prefix="explorer-bench-") as folder:
        from explorer.survey.store import Survey

        path = options.survey or _made(Path(folder) / "s", options.galaxies)
        survey = Survey.open(path)
        return [row for tool in TRUTH for row in _rows(survey, tool, options.top)]


def _made(path: Path, n: int) -> Path:
    from explorer.pipeline.prepare import prepare
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey

    write("euclid-desi", path, n, seed=7)  # not the survey that the tools were written against
    prepare(Survey.open(path), ["pca"], ["knn"], [], progress=lambda *_: None)
    return path


def _rows(survey: Survey, tool: str, top: int) -> list[Row]:
    from sklearn.metrics import roc_auc_score

    from explorer.session.session import Session

    kind, space = TRUTH[tool]
    hit = survey.column("truth").astype(str) == kind
    session = Session(survey, "bench")
    session.space = space
    session.scorer = "knn"
    n, hits = len(survey), int(hit.sum())
    few = max(hits, 1)
    knn = np.nan_to_num(survey.score(space, "knn"), nan=-np.inf)
    among = np.argsort(-knn, kind="stable")[:top]
    start = time.perf_counter()
    found = session.rerank_with(tool, survey.ids.tolist())
    took = time.perf_counter() - start
    score = np.nan_to_num(session.survey.score(space, tool), nan=-1.0)
    rng = np.random.default_rng(0)
    area = [roc_auc_score(hit[d], score[d]) for d in (rng.integers(0, n, n) for _ in range(200)) if hit[d].any()]
    extra = {
        "low_95": float(np.quantile(area, 0.025)), "high_95": float(np.quantile(area, 0.975)), "chance": 0.5,
        "hits": hits, "judged": int((found["reason"] == "").sum()), "ms_each": 1e3 * took / n,
    }  # fmt: skip
    knn_area = float(roc_auc_score(hit, np.where(np.isfinite(knn), knn, knn[np.isfinite(knn)].min() - 1)))
    name = f"tools.{tool}"
    what = f"AUC of {kind} in {n:,} galaxies, beside knn in {space}"
    out = [Row(f"{name}.auc", what, float(roc_auc_score(hit, score)), knn_area, "", "more", extra=extra)]
    for first in (few, 2 * few, 4 * few):
        ours, theirs = (float(hit[np.argsort(-s, kind="stable")[:first]].sum() / few) for s in (score, knn))
        what = f"recall of {hits} {kind} in the first {first}, beside knn"
        out.append(Row(f"{name}.recall{first // few}", what, ours, theirs, "", "more", extra={"chance": first / n}))
    again = among[np.argsort(-score[among], kind="stable")]
    ours, theirs = (float(hit[rows[:50]].mean()) for rows in (again, among))
    what = f"share of {kind} in the first 50 of the first {top} by knn, re-ranked"
    out.append(Row(f"{name}.rerank", what, ours, theirs, "", "more", extra={"there": int(hit[among].sum())}))
    return out
