"""Search by words without any endpoint (P4.3), and captions held against volunteers (P4.5).

``words.sim.QUERY``: half of a simulated survey is the benchmark. The other half's captions, written from measured
shapes and catalogue values, train a projector from images to words (P4.2); the words then find benchmark objects, from
whose images, captions and labels nothing was learned. ``words.gz1.QUERY`` and ``words.decals.QUERY``: the same on real
images; the limits of measured shapes were set on the first half of each set, and what is printed is the second half.
``….captions`` are the same words compared with captions measured on the benchmark objects themselves.

The peer is the mean nDCG@10 of searches by image from relevant objects in the same half (P4.3's baseline);
``extra.random`` the mean of 200 random orders, ``extra.linear`` the other definition of the gain.

``words.aion.MODEL``: the 64 published galaxies: each model's captions scored against the volunteers' tree.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks import _words_captions, _words_real
from tests.benchmarks._run import Row
from tests.benchmarks._words_judge import benchmark, learned, row

PUBLISHED = {"spiral arms": 0.941, "merging": 0.554, "gravitational lens": 0.180}  # P4.3, on other data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("-n", type=int, default=5000, help="objects simulated (default 5000)")
    parser.add_argument("--image", default="dae", help="encoder of the images (default dae, with its shipped weights)")
    parser.add_argument("--texts", default="auto", choices=["auto", "minilm", "tfidf"], help="encoder of the words")
    parser.add_argument("--real", type=int, default=10_000, help="real images of a set, at most")
    parser.add_argument("--endpoint", type=Path, help="TOML file with [chat]: also caption the 64 galaxies by it")
    parser.add_argument(
        "--only", default="sim,gz1,decals,aion", help="comma-separated parts (default sim,gz1,decals,aion)"
    )


def run(options: argparse.Namespace) -> list[Row]:
    """All rows of this benchmark."""
    told = os.environ.get("EXPLORER_TEST_DATA")
    root = Path(told) if told else Path(__file__).resolve().parents[3] / "shared" / "data"
    parts = [p.strip() for p in options.only.split(",")]
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="explorer-bench-") as folder:
        if "sim" in parts:
            rows += simulated(Path(folder) / "sim", options)
        if not root.is_dir():
            print(f"no {root}: real images are left out")
            return rows
        if "gz1" in parts:
            rows += _words_real.gz1(root / "gz1_sdss_images_dev", Path(folder) / "gz1", options)
        if "decals" in parts:
            rows += _words_real.decals(root / "decals_rings_dev", Path(folder) / "decals", options)
        if "aion" in parts:
            rows += _words_captions.aion(root / "aion_search_64", Path(folder) / "aion", options)
    return rows


def simulated(folder: Path, options: argparse.Namespace) -> list[Row]:
    """Spirals, mergers and lenses of a simulated survey, by words."""
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey

    write("euclid-desi", folder, options.n, seed=77)
    survey = Survey.open(folder)
    held = benchmark(survey)
    learned(survey, options.image, options.texts, held)
    return [
        row(f"sim.{query}{part}", query, survey, relevance, held, f"{options.image}/image", part, PUBLISHED.get(query))
        for query, relevance in truth(survey).items()
        for part in ("", ".captions")
    ]


def truth(survey: Any) -> dict[str, np.ndarray]:
    """Query → (n,) relevance. Of spirals: 2 where two to four arms were drawn, 1 where they are ragged, 0 where there
    is no disk to see them in (irregular, of early type, or thinner than 0.3); read again from the simulation's seed."""
    from explorer.survey.simulate.galaxies import physics
    from explorer.survey.simulate.recipe import load

    card = survey.meta["card"]
    recipe, n = load(card["recipe"]), len(survey)
    blocks = [physics(recipe, recipe.key(card["seed"]), b)[0] for b in range(-(-n // recipe.block))]
    parts = ("quiescent", "bulge_fraction", "irregular", "q_disk", "arms")
    drawn = {k: np.concatenate([b[k] for b in blocks])[:n] for k in parts}
    disk = ~drawn["quiescent"] & (drawn["bulge_fraction"] <= 0.5) & ~drawn["irregular"] & (drawn["q_disk"] >= 0.3)
    said = survey.column("truth")
    spiral = np.where(disk & (said == "normal"), np.where(drawn["arms"] > 0, 2.0, 1.0), 0.0)
    out = {"spiral arms": spiral, "merging": said == "merger", "gravitational lens": said == "lens"}
    return {k: np.asarray(v, float) for k, v in out.items()}
