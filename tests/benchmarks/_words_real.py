"""Real images by words: classes of Galaxy Zoo 1, vote fractions of Galaxy Zoo DECaLS."""

from __future__ import annotations

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._run import Row
from tests.benchmarks._words_judge import benchmark, hash_of, learned, row

GZ1 = {"merging": [5], "spiral arms": [1, 2], "edge-on": [3], "elliptical": [0]}


def gz1(data: Path, to: Path, options: argparse.Namespace) -> list[Row]:
    """Classes of ``gz1_sdss_images_dev``."""
    with (data / "labels.csv").open() as file:
        labels = {line["OBJID"]: int(line["CLASS"]) for line in csv.DictReader(file)}
    files = {p.stem: p for p in (data / "images").rglob("*") if p.stem in labels}
    some = sorted(files, key=lambda i: (labels[i] != 5, hash_of(i)))[: options.real]
    survey = _survey_of([files[i] for i in some], to)
    classes = np.array([labels[_known(str(i), labels)] for i in survey.ids])
    return _rows(survey, "gz1", {q: np.isin(classes, c).astype(float) for q, c in GZ1.items()}, options)


def decals(data: Path, to: Path, options: argparse.Namespace) -> list[Row]:
    """Rings (yes or no) and vote fractions (0 to 1) of ``decals_rings_dev``."""
    with (data / "labels.csv").open() as file:
        lines = {Path(line["file"]).stem: line for line in csv.DictReader(file)}
    survey = _survey_of([data / line["file"] for line in lines.values()][: options.real], to)
    told = [lines[_known(str(i), lines)] for i in survey.ids]
    featured, no_edge, no_arms = (
        np.array([float(t[c]) for t in told])
        for c in (
            "smooth-or-featured_featured-or-disk_fraction",
            "disk-edge-on_no_fraction",
            "has-spiral-arms_no_fraction",
        )
    )
    relevance = {
        "ring galaxy": np.array([float(t["ring"]) for t in told]),
        "spiral arms": featured * no_edge * (1 - no_arms),
        "edge-on": featured * (1 - no_edge),
    }
    return _rows(survey, "decals", relevance, options)


def _rows(survey: Any, name: str, relevance: dict[str, np.ndarray], options: argparse.Namespace) -> list[Row]:
    held = benchmark(survey)
    learned(survey, options.image, options.texts, held)
    return [
        row(f"{name}.{query}{part}", query, survey, values, held, f"{options.image}/image", part)
        for query, values in relevance.items()
        for part in ("", ".captions")
    ]


def _known(name: str, labels: dict[str, Any]) -> str:
    """An id as the labels write it: ids of files keep a dot in the name, or the suffix."""
    return name if name in labels else Path(name).stem


def _survey_of(files: list[Path], to: Path) -> Any:
    """A survey of copies by name alone: no label, no table of the set comes along."""
    from explorer.survey.ingest import ingest
    from explorer.survey.store import Survey

    chosen = to.parent / f"{to.name}-files"
    chosen.mkdir()
    for file in files:
        (chosen / file.name).symlink_to(file)
    ingest([chosen], to)
    return Survey.open(to)
