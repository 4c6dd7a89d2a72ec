"""Votes and values by retrieval (P1): K, learned weights, redshifts of simulated galaxies and of real quasars."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._run import Row


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Sizes: the defaults are those of the figures quoted."""
    parser.add_argument("--spectra", type=int, default=6000, help="simulated spectra (default 6000)")
    parser.add_argument("--vote-seeds", type=int, default=5, help="knowledge bases and test sets drawn (default 5)")
    parser.add_argument("--real-only", action="store_true", help="only the real quasars")


def run(options: argparse.Namespace) -> list[Row]:
    """Simulated spectra, then real quasars where the data are there."""
    with tempfile.TemporaryDirectory(prefix="explorer-bench-") as folder:
        rows = [] if options.real_only else _simulated(Path(folder), options.spectra, range(options.vote_seeds))
        data = Path(os.environ.get("EXPLORER_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
        if (data / "boss_quasars").is_dir():
            rows += _quasars(data, Path(folder))
        else:
            print("no real quasars: EXPLORER_TEST_DATA names no folder with boss_quasars", file=sys.stderr)
    return rows


def _mean(values: list[float]) -> dict[str, Any]:
    from explorer.pipeline._study_table import half_width

    return {"half_width_95": half_width(np.array(values)) if len(values) > 1 else None, "seeds": len(values)}


def _simulated(folder: Path, n: int, seeds: range) -> list[Row]:
    """K = 3 beside K = 1, and the learned weight beside exp(-x/tau), in log loss; redshift by retrieval."""
    from explorer.pipeline import study_spectra as study
    from explorer.pipeline._study_material import make_survey, material
    from explorer.pipeline.prepare import prepare
    from explorer.survey.store import Survey

    survey = Survey.open(make_survey(folder / "sdss", n))
    prepare(survey, ["pca"], [], [])
    m = material(survey)
    out = []
    table = {(r[0], r[1]): r[2] for r in study.learned(m, seeds, "pca/spectrum").rows}
    fitted, full, plain = "exp(-x/tau), tau fitted", "learned: distance and S/N", "softmax(-x), as published"
    for name, ours, peer in (
        ("k3/k1", (fitted, 3), (fitted, 1)), ("k3/k1.published", (plain, 3), (plain, 1)),
        ("learned/exp", (full, 3), (fitted, 3)), ("learned/exp.k10", (full, 10), (fitted, 10)),
    ):  # fmt: skip
        gains = [b - a for a, b in zip(table[ours], table[peer], strict=True)]
        what = f"log loss of {ours[0]}, K {ours[1]}, beside {peer[0]}, K {peer[1]}"
        extra = {"gain": float(np.mean(gains)), **_mean(gains)}
        out.append(
            Row(f"votes.{name}", what, float(np.mean(table[ours])), float(np.mean(table[peer])), "", extra=extra)
        )
    for row in study.redshifts(m, seeds).rows:
        extra = {"outliers": float(np.mean(row[3])), "inside_68": float(np.mean(row[5])), **_mean(row[2])}
        what = f"sigma_NMAD of redshift by retrieval, {row[1]:,} simulated objects, {row[0]}"
        out.append(Row("votes.redshift.simulated", what, float(np.mean(row[2])), unit="", extra=extra))
    return out


def _quasars(data: Path, folder: Path) -> list[Row]:
    """Redshift of 68 real quasars, each from the others; the many epochs of one count once and never help it."""
    from explorer.pipeline.contrast import contrasts
    from explorer.pipeline.prepare import prepare
    from explorer.survey.ingest import ingest
    from explorer.survey.store import Survey

    dest = folder / "quasars"
    ingest([data / "boss_quasars", data / "sdss_qso_epochs_rm017"], dest, progress=lambda *_: None)
    survey = Survey.open(dest)
    prepare(survey, ["pca"], [], [])
    z = np.asarray(survey.column("z"), np.float64)
    x = survey.embedding("pca/spectrum")
    good = np.isfinite(x).all(axis=1) & np.isfinite(z)
    objects = survey.object_ids[good].astype(str)
    rows = np.flatnonzero(good)
    lines = contrasts(survey, rows, 0.0, np.exp(np.arange(np.log(3800.0), np.log(9100.0), 0.0012)), 201, 3.0)
    lines = np.nan_to_num(lines / np.linalg.norm(lines, axis=1, keepdims=True))
    out = []
    for space, vectors in (("pca/spectrum", x[good]), ("line contrasts, observed frame", lines)):
        out.append(_one_space(space, vectors, z[good], objects, survey.ids[good]))
    return out


def _one_space(space: str, x: np.ndarray, z: np.ndarray, objects: np.ndarray, ids: np.ndarray) -> Row:
    from kernels.search.calibration import redshift_errors
    from kernels.search.knowledge_base import KnowledgeBase

    kb = KnowledgeBase(method="exact", space=space).fit(x, {"z": z}, ids=ids, objects=objects)
    value, low, high = kb.estimate(x, "z", k=3, objects=objects)
    grouped, blind = redshift_errors(value, z, objects), redshift_errors(np.full(len(z), np.median(z)), z, objects)
    leaked = KnowledgeBase(method="exact").fit(x, {"z": z}).estimate(x, "z", k=3)[0]
    extra = {
        "outliers": grouped.outliers, "outliers_of_the_median": blind.outliers, "bias": grouped.bias,
        "objects": grouped.n, "rows": len(z), "inside_68": float(np.mean((low <= z) & (z <= high))),
        "nmad_if_epochs_leaked": redshift_errors(leaked, z).nmad,
    }  # fmt: skip
    what = f"sigma_NMAD of redshift by retrieval, {grouped.n} real quasars, each object once, {space}"
    return Row(
        f"votes.redshift.quasars.{space.split()[0].split('/')[0]}", what, grouped.nmad, blind.nmad, "", extra=extra
    )
