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
            rows += _quasars(data)
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
    from explorer.pipeline._study_spectra_claims import FITTED, LEARNED, PUBLISHED, SCALED
    from explorer.pipeline.prepare import prepare
    from explorer.survey.store import Survey

    survey = Survey.open(make_survey(folder / "sdss", n))
    prepare(survey, ["pca"], [], [])
    m = material(survey)
    out = []
    rows = study.learned(m, seeds, "pca/spectrum").rows
    table = {(r[0], r[1]): r[2] for r in rows}
    f1 = {(r[0], r[1]): float(np.mean(r[3])) for r in rows}
    fitted, full, plain, scaled = FITTED, LEARNED, PUBLISHED, SCALED
    for name, ours, peer in (
        ("k3/k1", (fitted, 3), (fitted, 1)), ("k3/k1.published", (plain, 3), (plain, 1)),
        ("k3/k1.scaled", (scaled, 3), (scaled, 1)),
        ("learned/exp", (full, 3), (fitted, 3)), ("learned/exp.k10", (full, 10), (fitted, 10)),
    ):  # fmt: skip
        gains = [b - a for a, b in zip(table[ours], table[peer], strict=True)]
        what = f"log loss of {ours[0]}, K {ours[1]}, beside {peer[0]}, K {peer[1]}"
        extra = {"gain": float(np.mean(gains)), "f1": f1[ours], "f1_of_the_other": f1[peer], **_mean(gains)}
        out.append(
            Row(f"votes.{name}", what, float(np.mean(table[ours])), float(np.mean(table[peer])), "", extra=extra)
        )
    for row in study.redshifts(m, seeds).rows:
        extra = {"outliers": float(np.mean(row[3])), "inside_68": float(np.mean(row[5])), **_mean(row[2])}
        what = f"sigma_NMAD of redshift by retrieval, {row[1]:,} simulated objects, {row[0]}"
        out.append(Row("votes.redshift.simulated", what, float(np.mean(row[2])), unit="", extra=extra))
    return out


def _quasars(data: Path) -> list[Row]:
    """Redshift of 68 real quasars, each from the others; the many epochs of one count once and never help it."""
    from explorer.pipeline._study_quasars import HEAD, quasars

    out = []
    for row in quasars([data / "boss_quasars", data / "sdss_qso_epochs_rm017"]).rows:
        told = dict(zip(HEAD, row, strict=True))
        nmad, outliers = (float(str(told[name]).split()[0]) for name in ("sigma_NMAD", "outliers > 0.15"))
        extra = {
            "outliers": outliers, "outliers_of_the_median": told["outliers of the median"], "bias": told["bias"],
            "objects": told["objects"], "rows": told["spectra"], "inside_68": told["inside 68 % interval"],
            "nmad_if_epochs_leaked": told["sigma_NMAD if epochs leaked"],
        }  # fmt: skip
        space = str(told["space"])
        what = f"sigma_NMAD of redshift by retrieval, {told['objects']} real quasars, each object once, {space}"
        name = f"votes.redshift.quasars.{space.split()[0].split('/')[0]}"
        out.append(Row(name, what, nmad, float(told["sigma_NMAD of the median"]), "", extra=extra))
    return out
