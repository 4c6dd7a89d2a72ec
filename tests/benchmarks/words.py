"""Search by words without any endpoint: nDCG@10 in both definitions, beside similarity of images and chance.

``words.sim.QUERY``: a simulated survey whose images are aligned with its texts; judged on rows that have no text, none
of which was trained on. ``words.gz1.QUERY`` and ``words.decals.ring``: real images, captions from measured shapes.
The peer is the mean nDCG@10 of searches by image, each from one relevant object (P4.3's baseline); ``extra.random`` the
mean of 50 shuffles.
"""

from __future__ import annotations

import argparse
import csv
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from kernels.search.retrieval import ndcg
from tests.benchmarks._run import Row

SIMULATED = {"merging": "merger", "gravitational lens": "lens", "ring galaxy": "ring"}
GZ1 = {"merging": [5], "spiral arms": [1, 2], "edge-on": [3], "elliptical": [0]}
PUBLISHED = {"spiral arms": 0.941, "merging": 0.554, "gravitational lens": 0.180}  # P4.3, on other data


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", type=int, default=5000, help="objects simulated (default 5000)")
    parser.add_argument("--image", default="", help="space of images to align with texts (default: the learned one)")
    parser.add_argument("--real", type=int, default=600, help="real images captioned, at most (default 600)")


def run(options: argparse.Namespace) -> list[Row]:
    told = os.environ.get("EXPLORER_TEST_DATA")
    root = Path(told) if told else Path(__file__).resolve().parents[3] / "shared" / "data"
    with tempfile.TemporaryDirectory(prefix="explorer-bench-") as folder:
        rows = _simulated(Path(folder), options)
        if root.is_dir():
            rows += _gz1(root / "gz1_sdss_images_dev", Path(folder) / "gz1", options.real)
            rows += _decals(root / "decals_rings_dev", Path(folder) / "decals")
        else:
            print(f"no {root}: real images are left out")
    return rows


def _simulated(folder: Path, options: argparse.Namespace) -> list[Row]:
    from explorer.pipeline.align import align
    from explorer.pipeline.prepare import prepare
    from explorer.session.words import judge
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey
    from kernels.embedding import ENCODERS

    write("euclid-desi", folder / "sim", options.n, seed=77)
    survey = Survey.open(folder / "sim")
    learned = "astroclip" if "astroclip" in ENCODERS.names() else "pca"
    space = options.image or f"{learned}/image"
    prepare(survey, [space.split("/")[0], "tfidf"], ["knn"], ["pca"])
    align(survey, space, "tfidf/text")
    survey.refresh()
    unseen = survey.has("image") & ~survey.has("text")
    truth = survey.column("truth")
    return [
        _row(f"sim.{query}", judge(survey, query), (truth == kind).astype(float), unseen, survey.embedding(space))
        for query, kind in SIMULATED.items()
    ]


def _survey_of(images: Path, to: Path, names: list[str]) -> Any:
    from explorer.pipeline.prepare import prepare
    from explorer.pipeline.words import write_captions
    from explorer.survey.ingest import ingest
    from explorer.survey.store import Survey

    chosen = to.parent / f"{to.name}-files"
    chosen.mkdir()
    for name in names:
        (chosen / name).symlink_to(next(images.rglob(name)))
    ingest([chosen], to)
    survey = Survey.open(to)
    prepare(survey, ["pca"], ["knn"], ["pca"])
    write_captions(survey)
    survey.refresh()
    return survey


def _gz1(data: Path, to: Path, most: int) -> list[Row]:
    with (data / "labels.csv").open() as file:
        labels = {line["OBJID"]: int(line["CLASS"]) for line in csv.DictReader(file)}
    files = {p.stem: p.name for p in (data / "images").rglob("*") if p.stem in labels}
    some = sorted(files, key=lambda i: (labels[i] != 5, hash_of(i)))[:most]
    survey = _survey_of(data / "images", to, [files[i] for i in some])
    return _judged(survey, "gz1", labels, GZ1)


def _decals(data: Path, to: Path) -> list[Row]:
    with (data / "labels.csv").open() as file:
        lines = list(csv.DictReader(file))
    files = [Path(line["file"]).name for line in lines]
    labels = {Path(line["file"]).stem: int(line["ring"]) for line in lines}
    return _judged(_survey_of(data / "images", to, files), "decals", labels, {"ring galaxy": [1]})


def _judged(survey: Any, name: str, labels: dict[str, int], queries: dict[str, list[int]]) -> list[Row]:
    from explorer.session.words import judge

    classes = np.array([labels.get(str(i), labels.get(Path(str(i)).stem, -1)) for i in survey.ids])  # ids hold dots
    every, vectors = classes >= 0, survey.embedding("pca/image")
    rows = []
    for query, wanted in queries.items():
        try:
            judged = judge(survey, query)
        except ValueError as error:  # no caption holds the word
            print(f"{name}.{query}: {error}")
            continue
        rows.append(_row(f"{name}.{query}", judged, np.isin(classes, wanted).astype(float), every, vectors))
    return rows


def _row(name: str, judged: Any, relevance: np.ndarray, allowed: np.ndarray, vectors: np.ndarray) -> Row:
    fits = np.where(allowed, np.nan_to_num(judged.similarity, nan=-np.inf), -np.inf)
    ideal = relevance[allowed]
    order = np.argsort(-fits, kind="stable")[:10]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    by_image = []
    for row in np.flatnonzero((relevance > 0) & allowed)[:50]:
        near = np.where(allowed, np.nan_to_num(unit @ unit[row], nan=-np.inf), -np.inf)
        near[row] = -np.inf
        by_image.append(ndcg(relevance[np.argsort(-near, kind="stable")[:10]], 10, ideal=ideal))
    rng = np.random.default_rng(42)
    shuffled = [ndcg(rng.permutation(ideal)[:10], 10, ideal=ideal) for _ in range(50)]
    extra: dict[str, Any] = {
        "linear": ndcg(relevance[order], 10, "linear", ideal), "random": float(np.mean(shuffled)),
        "relevant": int(ideal.sum()), "candidates": int(allowed.sum()), "how": judged.how,
    }  # fmt: skip
    query = name.split(".", 1)[1]
    if query in PUBLISHED:
        extra["published_on_other_data"] = PUBLISHED[query]
    return Row(
        f"words.{name}", f"nDCG@10 for {query!r}", ndcg(relevance[order], 10, ideal=ideal),
        float(np.mean(by_image)) if by_image else None, "nDCG", "more", extra=extra,
    )  # fmt: skip


def hash_of(name: str) -> int:
    """A number that shuffles names the same way in every process."""
    import zlib

    return zlib.crc32(name.encode())
