"""The caption benchmark (P4.5) on the 64 published galaxies: captions against the volunteers' tree, and their recall.

Our score is a rule on the caption's words (:mod:`explorer.pipeline.tree`); the published one is a model's judgement.
The peer is our score of the same captions given to other galaxies: what a model gets by saying the usual. Costs are not
in the published files; the words of a caption, which one pays for, stand in for them.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._run import Row
from tests.benchmarks._words_real import _survey_of


def aion(data: Path, to: Path, options: argparse.Namespace) -> list[Row]:
    """A row for each model's captions and for ours, then the recall between captions and images."""
    published = {p.stem: _lines(p) for p in sorted((data / "captions").glob("*.jsonl"))}
    trees = {i: line["decision_tree"] for i, line in next(iter(published.values())).items()}
    survey = _survey_of([data / "images" / f"{i}.png" for i in trees], to)
    ours, spent = _ours(survey, options)
    rows = [
        _scored(model, {i: line["result"] for i, line in lines.items()}, trees, lines)
        for model, lines in published.items()
    ]
    rows += [_scored(model, texts, trees, None, spent.get(model)) for model, texts in ours.items()]
    return rows + _recalls(survey, published, ours, options)


def _lines(path: Path) -> dict[str, Any]:
    with path.open(encoding="utf-8") as file:
        return {line["object_id"]: line for line in map(json.loads, file)}


def _ours(survey: Any, options: argparse.Namespace) -> tuple[dict[str, dict[str, str]], dict[str, float]]:
    """Captions of each way of ours, by galaxy, and what they cost."""
    from explorer.pipeline.words import captions, endpoint_of, write_captions

    write_captions(survey)
    made = {"measured": {_galaxy(c.id): c.text for c in captions(survey).values()}}
    spent: dict[str, float] = {"measured": 0.0}
    if options.endpoint:
        chat = endpoint_of(options.endpoint)["chat"]
        for name, why in write_captions(survey, chat).items():
            print(f"{name}: {why}")
        told = {_galaxy(c.id): c.text for c in captions(survey).values() if c.by == chat.model}
        if told:
            made[chat.model], spent[chat.model] = told, chat.spent.cost
    return made, spent


def _galaxy(name: str) -> str:
    return name.removesuffix(".png")


def _scored(
    model: str,
    texts: dict[str, str],
    trees: dict[str, Any],
    published: dict[str, Any] | None,
    cost: float | None = None,
) -> Row:
    from explorer.pipeline.tree import score

    names = [i for i in trees if i in texts]
    got = np.array([score(texts[i], trees[i]) for i in names])
    shifts = range(5, len(names), 7)  # the captions of other galaxies
    chance = [score(texts[names[(k + s) % len(names)]], trees[i]) for s in shifts for k, i in enumerate(names)]
    extra: dict[str, Any] = {"captions": len(names), "words": float(np.mean([len(texts[i].split()) for i in names]))}
    if published is not None:
        theirs = np.array([published[i]["decision_tree_score"] for i in names])
        extra |= {"published": float(theirs.mean()), "r_with_published": float(np.corrcoef(got, theirs)[0, 1])}
    if cost is not None:
        extra["cost"] = cost
    what = "share of the volunteers' answers that the captions give; peer: captions of other galaxies"
    return Row(f"words.aion.{model}", what, float(got.mean()), float(np.mean(chance)), "share", "more", extra=extra)


def _recalls(survey: Any, published: dict[str, Any], ours: dict[str, Any], options: argparse.Namespace) -> list[Row]:
    """From a published caption to its image. ``captions``: by the caption that was measured on the image, nothing
    trained. ``projector``: by a projector trained, fold after fold, on the captions of the other galaxies."""
    from explorer.pipeline.captioned import default
    from explorer.pipeline.prepare import prepare
    from kernels.embedding import ENCODERS
    from kernels.embedding.batches import Text

    names = [_galaxy(str(i)) for i in survey.ids]
    how = default() if options.texts == "auto" else options.texts
    every = [published[m][i]["result"] for m in published for i in names]
    encoder = ENCODERS.get(how)("text").fit([Text([ours["measured"][i] for i in names] + every)])
    texts = {m: encoder.encode(Text([lines[i]["result"] for i in names])) for m, lines in published.items()}
    measured = encoder.encode(Text([ours["measured"][i] for i in names]))
    prepare(survey, [options.image], [], [], progress=lambda *_: None)
    images = survey.embedding(f"{options.image}/image")
    by_captions = np.stack([_unit(t) @ _unit(measured).T for t in texts.values()])
    return [
        _recall("captions", by_captions, f"{how} of captions measured on the image"),
        _recall("projector", _folds(images, np.stack(list(texts.values()))), f"{how}, projector of {options.image}"),
    ]


def _folds(images: np.ndarray, texts: np.ndarray, folds: int = 8) -> np.ndarray:
    """(models, n, n) similarity of texts (models, n, d) with images (n, e). Each fold's galaxies are placed by a
    projector that saw neither their images nor their captions; other places are not compared (-inf)."""
    from kernels.embedding.align.aligner import Aligner

    models, n = texts.shape[:2]
    part = np.random.default_rng(0).permutation(n) % folds
    out = np.full((models, n, n), -np.inf)
    for fold in range(folds):
        test, rest = np.flatnonzero(part == fold), np.flatnonzero(part != fold)
        aligner = Aligner("projectors", onto="b", dropout=0.3, hidden=64, temperature=0.1, epochs=60, batch=64)
        aligner.fit(np.tile(images[rest], (models, 1)), texts[:, rest].reshape(models * len(rest), -1))
        placed = aligner.encode("a", images[test])
        for m in range(models):
            out[m][np.ix_(test, test)] = aligner.encode("b", texts[m][test]) @ placed.T
    return out


def _recall(name: str, likeness: np.ndarray, how: str) -> Row:
    """Recall at 1 and 5 over all (models, n, n) captions; the peer is chance among as many images."""
    right = likeness[:, np.arange(likeness.shape[1]), np.arange(likeness.shape[1])][:, :, None]
    ranks = 1 + (likeness > right).sum(axis=2)
    among = np.isfinite(likeness).sum(axis=2).mean()
    extra: dict[str, Any] = {
        "recall@1": float((ranks <= 1).mean()), "median_rank": float(np.median(ranks)), "among": float(among),
        "how": how, "chance@1": float(1 / among),
    }  # fmt: skip
    at = 5 if among > 20 else 2
    what = f"published caption to its image among {among:.0f}, recall@{at}; peer: chance"
    return Row(
        f"words.aion.recall.{name}", what, float((ranks <= at).mean()), float(at / among), "share", "more", extra=extra
    )


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
