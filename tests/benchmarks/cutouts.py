"""Real cutouts from embeddings alone: Galaxy Zoo classes, Euclid mergers, DECaLS rings, and marks that find mergers.

One protocol for all encoders: 64 values an image, the ten nearest (Euclidean) among the other four of five folds vote,
each vote divided by the share of its class there; the mean over ``--seeds`` divisions into folds; 95 % intervals of the
difference to PCA from a paired bootstrap over objects. Embeddings are fitted, and with ``--steps`` adapted, on all
images of a set without labels (transductive). PCA is given the same images, and besides their central half where that
is better (``pca_centre``). Sets are read from EXPLORER_TEST_DATA or ``../shared/data``; one that is absent is left out.
"""

from __future__ import annotations

import argparse
import csv
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kernels.embedding.batches import Images
from tests.benchmarks._run import Row
from tests.benchmarks.feedback import LOOKS, looks

K, FOLDS, BOOTSTRAPS = 10, 5, 1000
FOUR = {0: 0, 1: 1, 2: 1, 3: 2, 5: 3}
"""Galaxy Zoo's CLASS as one of ``CLASSES``; 4, of which nobody was sure, is none."""
CLASSES = ("elliptical", "spiral", "edge_on", "merger")

FIXED_BEFORE = 30
"""Mergers in the first 200 of the best fixed score of pixels and PCA (tests/benchmarks/feedback.py)."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--encoder", default="dae", help="registered image encoder (default dae)")
    parser.add_argument("--steps", type=int, default=400, help="steps of adapting it to each set; 0: none")
    parser.add_argument("--seeds", type=int, default=3, help="divisions into folds that are averaged")
    parser.add_argument("--sets", nargs="*", default=list(SETS), help=f"of {', '.join(SETS)}")


@dataclass(frozen=True)
class Given:
    """Images (n, bands, h, w) of one set, and a label each, -1 where there is none."""

    images: Images
    labels: np.ndarray


def data_root() -> Path:
    """Folder of the real data."""
    told = os.environ.get("EXPLORER_TEST_DATA")
    return Path(told) if told else Path(__file__).resolve().parents[3] / "shared" / "data"


def _pictures(folder: Path, files: list[str], side: int, mode: str) -> np.ndarray:
    from PIL import Image

    out = []
    for name in files:
        with Image.open(folder / name) as picture:
            shown = picture.convert(mode)
            if shown.size != (side, side):
                whole = min(shown.size) < 2 * side  # a few pixels too many are cut, the rest is made smaller
                shown = shown.crop((0, 0, side, side)) if whole and mode == "L" else shown.resize((side, side), 4)
            array = np.asarray(shown, np.float32)
        out.append(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
    return np.stack(out)


def _table(folder: Path) -> list[dict[str, str]]:
    with (folder / "labels.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def galaxy_zoo(root: Path) -> Given:
    """2,414 SDSS colour JPEG at half their size, four classes."""
    folder = root / "gz1_sdss_images_dev"
    rows = _table(folder)
    pixels = _pictures(folder / "images", [f"{r['OBJID']}.jpeg" for r in rows], 212, "RGB")
    return Given(Images(pixels, ("r", "g", "b"), 0.8), np.array([FOUR.get(int(r["CLASS"]), -1) for r in rows]))


def euclid(root: Path) -> Given:
    """1,774 Euclid VIS cutouts, merger or not."""
    folder = root / "euclid_q1_vis_mergers_dev"
    rows = _table(folder)
    pixels = _pictures(folder / "images", [r["file"] for r in rows], 79, "L")
    return Given(Images(pixels, ("VIS",), 0.1), np.array([int(r["cnn_merger"]) for r in rows]))


def euclid_ranks(root: Path) -> Given:
    """The same with the pixels of each replaced by their rank."""
    from kernels.preprocess.images import rank_equalise

    given = euclid(root)
    return replace(given, images=replace(given.images, pixels=rank_equalise(given.images.pixels)))


def rings(root: Path) -> Given:
    """315 DECaLS colour images, ring or not."""
    folder = root / "decals_rings_dev"
    rows = _table(folder)
    pixels = _pictures(folder, [r["file"] for r in rows], 256, "RGB")
    return Given(Images(pixels, ("z", "r", "g"), 0.43), np.array([int(r["ring"]) for r in rows]))


SETS = {"gz": galaxy_zoo, "euclid_ranks": euclid_ranks, "euclid": euclid, "rings": rings}
GATES = {"gz": 0.10, "euclid_ranks": 0.03, "euclid": 0.0, "rings": 0.0}
"""By how much PCA's figure is to be passed."""


def run(options: argparse.Namespace) -> list[Row]:
    """All rows of this benchmark."""
    rows: list[Row] = []
    for name in options.sets:
        try:
            given = SETS[name](data_root())
        except FileNotFoundError as error:
            print(f"{name} is left out: no {error.filename}; set EXPLORER_TEST_DATA", file=sys.stderr)
            continue
        vectors = embeddings(given.images, options.encoder, options.steps)
        seconds = vectors.pop("seconds")
        rows += _compared(name, given.labels, vectors, options, seconds)
        if name == "gz":
            rows.append(_looked_for(given, vectors, options.encoder))
    return rows


def embeddings(images: Images, encoder: str, steps: int) -> dict[str, Any]:
    """Vectors of PCA, and of the encoder with shipped weights and adapted; ``seconds`` of what took them."""
    from kernels.embedding import ENCODERS

    kind = ENCODERS.get(encoder)
    pca = ENCODERS.get("pca")
    n = len(images)
    side = images.pixels.shape[-1]
    cut = slice(side // 4, side - side // 4)
    centre = replace(images, pixels=images.pixels[:, :, cut, cut])
    out: dict[str, Any] = {
        "pca": pca("image", dim=64, random_state=0).fit(_blocks(images)).encode(images),
        "pca_centre": pca("image", dim=64, random_state=0).fit(_blocks(centre)).encode(centre),
    }
    shipped = kind("image", random_state=0)
    path = Path(__file__).resolve().parents[2] / "data" / "weights" / kind.weights["image"]
    if path.exists():
        shipped.load(path)
    seconds = {"threads": float(_threads())}
    shipped.fit(_blocks(images))
    started = time.perf_counter(), time.process_time()
    out["shipped" if path.exists() else "untrained"] = np.concatenate([shipped.encode(b) for b in _blocks(images)])
    seconds["objects_per_s"] = n / (time.perf_counter() - started[0])
    seconds["objects_per_cpu_s"] = n / (time.process_time() - started[1])
    if steps:
        started = time.perf_counter(), time.process_time()
        adapted = _adapted(kind, images, steps, path if path.exists() else None).fit(_blocks(images))
        seconds["adapting_s"] = time.perf_counter() - started[0]
        seconds["adapting_cpu_s"] = time.process_time() - started[1]
        out["adapted"] = np.concatenate([adapted.encode(b) for b in _blocks(images)])
    return {**out, "seconds": seconds}


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _blocks(images: Images) -> list[Images]:
    return [replace(images, pixels=images.pixels[s : s + 256]) for s in range(0, len(images), 256)]


def _adapted(kind: Any, images: Images, steps: int, start: Path | None) -> Any:
    """What ``explorer train`` does on a survey, on arrays: an encoder with its own weights of these images."""
    from kernels.embedding.training import train

    sample = replace(images, pixels=images.pixels[:: max(1, len(images) // 512)])
    training = kind.training(("image",), {"image": sample}, 0, {"image": start} if start else None)
    arrays = [training.inputs({"image": block}) for block in _blocks(images)]
    held = {k: np.concatenate([a[k] for a in arrays]) for k in arrays[0]}
    settings = replace(training.settings, steps=steps, batch=min(training.settings.batch, len(images)))

    def data(seed: int) -> Iterator[dict[str, np.ndarray]]:
        order = np.random.default_rng(seed).permutation(len(images))
        for first in range(0, len(order) - settings.batch + 1, settings.batch):
            yield {k: v[np.sort(order[first : first + settings.batch])] for k, v in held.items()}

    train(training.model, training.objective, data, settings)
    encoder = kind("image", random_state=0)
    state = training.weights(training.model)["image"]
    encoder._take(state, "this run")
    return encoder


def votes(vectors: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """(n, classes): shares of the ten nearest of the other folds, over the classes' shares there, of sum 1."""
    from sklearn.model_selection import StratifiedKFold
    from sklearn.neighbors import NearestNeighbors

    count = int(labels.max()) + 1
    out = np.zeros((len(labels), count))
    for known, asked in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(vectors, labels):
        near = NearestNeighbors(n_neighbors=K).fit(vectors[known]).kneighbors(vectors[asked], return_distance=False)
        for c in range(count):
            out[asked, c] = (labels[known][near] == c).mean(axis=1) / (labels[known] == c).mean()
    return out / out.sum(axis=1, keepdims=True)


def figure(said: np.ndarray, labels: np.ndarray) -> float:
    """AUC of two classes, balanced accuracy of more."""
    from sklearn.metrics import roc_auc_score

    if said.shape[1] == 2:
        return float(roc_auc_score(labels, said[:, 1]))
    return float(np.mean(recalls(said, labels)))


def recalls(said: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(classes,) shares of each class that the vote found."""
    right = said.argmax(axis=1) == labels
    return np.array([right[labels == c].mean() for c in range(said.shape[1])])


def _compared(
    name: str,
    labels: np.ndarray,
    vectors: dict[str, np.ndarray],
    options: argparse.Namespace,
    seconds: dict[str, float],
) -> list[Row]:
    here = labels >= 0
    y = labels[here]
    said = {who: [votes(v[here], y, s) for s in range(options.seeds)] for who, v in vectors.items()}
    mean = {who: float(np.mean([figure(p, y) for p in p_of])) for who, p_of in said.items()}
    base = max(("pca", "pca_centre"), key=lambda who: mean[who])
    unit = "AUC" if y.max() == 1 else "balanced accuracy"
    rows = []
    for who in vectors:
        if who.startswith("pca"):
            continue
        low, high = _interval(said[who][0], said["pca"][0], y)
        extra: dict[str, Any] = {"above_pca": mean[who] - mean["pca"], "asked": GATES[name]}
        extra |= {
            "low_95": low,
            "high_95": high,
            "pca_centre": mean["pca_centre"],
            "above_best": mean[who] - mean[base],
        }
        if unit != "AUC":
            for label, ours, peer in zip(CLASSES, recalls(said[who][0], y), recalls(said[base][0], y), strict=True):
                extra |= {f"recall_{label}": float(ours), f"recall_{label}_pca": float(peer)}
        what = f"{unit} of the vote of {K} neighbours, {len(y)} images, {options.encoder} {who}; peer: PCA of 64"
        rows.append(Row(f"cutouts.{name}.{who}/pca", what, mean[who], mean["pca"], unit, "more", extra=extra | seconds))
    return rows


def _interval(ours: np.ndarray, peer: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """95 % of the differences over bootstraps of the objects, class by class."""
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(labels == c) for c in range(labels.max() + 1)]
    apart = []
    for _ in range(BOOTSTRAPS):
        some = np.concatenate([rng.choice(g, len(g)) for g in groups])
        apart.append(figure(ours[some], labels[some]) - figure(peer[some], labels[some]))
    low, high = np.percentile(apart, [2.5, 97.5])
    return float(low), float(high)


def _looked_for(given: Given, vectors: dict[str, np.ndarray], encoder: str) -> Row:
    from kernels.scoring import KNN

    merger = given.labels == 3
    flat = given.images.pixels.reshape(len(merger), -1)
    fixed = {"mean": flat.mean(axis=1), "scatter": flat.std(axis=1)}
    scores = {who: KNN(metric="euclidean").fit_score(v) for who, v in vectors.items()}
    tried = {**fixed, **{f"knn_{who}": s for who, s in scores.items()}}
    found = {n: max(int(merger[np.argsort(s * t)[:LOOKS]].sum()) for t in (1, -1)) for n, s in tried.items()}
    best = max([FIXED_BEFORE, *found.values()])
    seen = {f"feedback_{who}": looks(v, merger, scores[who]) for who, v in vectors.items()}
    ours = max(n for who, n in seen.items() if not who.startswith("feedback_pca"))
    extra: dict[str, Any] = {**seen, **{f"fixed_{k}": v for k, v in found.items()}, "mergers": int(merger.sum())}
    what = f"mergers in {LOOKS} looks with feedback, {encoder}, of {merger.sum()}; peer: the best fixed score"
    return Row("cutouts.gz.looks/fixed", what, ours, best, "mergers", "more", floor=2.0 * best, extra=extra)
