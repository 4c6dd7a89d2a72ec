"""Marks on real galaxies: mergers among the first 200 looks, in rounds of 20, from PCA embeddings alone.

Rows: ``feedback.SET/supervised``, the mergers found, beside what a random forest that was shown all other labels
(5 folds) puts into its first 200 on the same embedding; ``extra`` has each fixed score's, pixel mean and scatter of
both signs included. ``gz`` is Galaxy Zoo's SDSS images, ``euclid`` the rank-equalised VIS cutouts, where marks are
those of a network and brightness says nothing.
"""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

import numpy as np

from kernels.embedding.batches import Images
from tests.benchmarks._run import Row

LOOKS, ROUND = 200, 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))


def run(options: argparse.Namespace) -> list[Row]:
    """All rows of this benchmark."""
    from tests.benchmarks.cutouts import data_root

    rows = []
    for name in options.sets:
        try:
            batch, wanted = SETS[name](data_root())
        except FileNotFoundError as error:
            print(f"{name} is left out: no {error.filename}; set EXPLORER_TEST_DATA", file=sys.stderr)
            continue
        found = compare(batch, wanted)
        ours, peer = found.pop("feedback"), found.pop("supervised")
        what = f"mergers of {wanted.sum()} in {LOOKS} looks with feedback, PCA; peer: supervised forest, 5 folds"
        rows.append(Row(f"feedback.{name}/supervised", what, ours, peer, "mergers", "more", 0.75 * peer, dict(found)))
    return rows


def galaxies(root: Path) -> tuple[Images, np.ndarray]:
    """Galaxy Zoo's SDSS images, their middle 200 of 423 pixels at 64, and which are mergers."""
    from PIL import Image

    folder = root / "gz1_sdss_images_dev"
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    pixels = []
    for row in rows:
        with Image.open(folder / "images" / f"{row['OBJID']}.jpeg") as image:
            image.draft("RGB", (212, 212))
            cut = image.convert("RGB")
            side, w, h = 200 * image.width // 423, image.width, image.height
            box = ((w - side) // 2, (h - side) // 2, (w + side) // 2, (h + side) // 2)
            pixels.append(np.asarray(cut.crop(box).resize((64, 64)), np.float32).transpose(2, 0, 1))
    return Images(np.array(pixels), ("g", "r", "i"), 0.4), np.array([row["CLASS"] == "5" for row in rows])


def cutouts(root: Path) -> tuple[Images, np.ndarray]:
    """Euclid VIS cutouts, each pixel replaced by its rank, and which the network calls mergers."""
    from tests.benchmarks.cutouts import euclid_ranks

    given = euclid_ranks(root)
    return given.images, given.labels == 1


SETS = {"gz": galaxies, "euclid": cutouts}


def compare(batch: Images, wanted: np.ndarray) -> dict[str, int]:
    """How many of ``wanted`` (n,) bool each way finds in its first 200: ``feedback``, ``supervised``, ``fixed_…``."""
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    from kernels.embedding.encoders.pca import PCA
    from kernels.scoring import KNN

    x = PCA("image", dim=64, size=32, random_state=0).fit([batch]).encode(batch)
    flat = batch.pixels.reshape(len(x), -1)
    knn = KNN(metric="euclidean").fit_score(x)
    fixed = {"mean": flat.mean(axis=1), "scatter": flat.std(axis=1), "knn": knn}
    found = {f"fixed_{k}": max(_first(t * s, wanted) for t in (1, -1)) for k, s in fixed.items()}
    forest, cut = RandomForestClassifier(300, random_state=0), StratifiedKFold(5, shuffle=True, random_state=0)
    likely = cross_val_predict(forest, x, wanted, cv=cut, method="predict_proba")[:, 1]
    return {"feedback": looks(x, wanted, knn), "supervised": _first(likely, wanted), **found}


def _first(scores: np.ndarray, wanted: np.ndarray) -> int:
    return int(wanted[np.argsort(-scores)[:LOOKS]].sum())


def looks(vectors: np.ndarray, wanted: np.ndarray, scores: np.ndarray) -> int:
    """How many of ``wanted`` (n,) bool are among 200 looks in rounds of 20, each after all marks so far."""
    from kernels.scoring.feedback import Feedback

    feedback = Feedback().fit(vectors, scores)
    seen = feedback.propose(feedback.rank([], []), ROUND)
    while len(seen) < LOOKS:
        ranking = feedback.rank(seen, 5.0 * wanted[seen])
        seen = np.concatenate([seen, feedback.propose(ranking, ROUND, seen)])
    return int(wanted[seen].sum())
