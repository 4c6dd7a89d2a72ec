"""What the parts of the benchmark of words share: who is held out, what is learned from the rest, and the figures."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from kernels.search.retrieval import ndcg
from tests.benchmarks._run import Row


def hash_of(name: str) -> int:
    """A number that shuffles names the same way in every process."""
    return zlib.crc32(name.encode())


def benchmark(survey: Any) -> np.ndarray:
    """(n,) bool: the half of a survey, by a hash of the ids, from which nothing is learned and nothing was tuned."""
    return np.array([hash_of(str(i)) % 2 == 1 for i in survey.ids])


def learned(survey: Any, image: str, texts: str, held: np.ndarray) -> None:
    """Caption all, embed all, and train the projector on what is not held out."""
    from explorer.pipeline.align import align, captioned_options
    from explorer.pipeline.prepare import prepare
    from explorer.pipeline.words import write_captions

    prepare(survey, [image], [], [], progress=lambda *_: None)
    write_captions(survey)
    survey.refresh()
    options = {"form": "projectors", **captioned_options(f"{image}/image", "captions")}
    align(survey, f"{image}/image", "captions", options, exclude=held, texts=texts)
    survey.refresh()


def similarity(survey: Any, query: str, part: str) -> tuple[np.ndarray, str]:
    """(n,) similarity and by what: of the aligned images, or with ``".captions"`` of the rows' own captions."""
    from explorer.session.words import judge

    judged = judge(survey, query, aligned=part != ".captions")
    return judged.similarity, judged.how


def row(
    name: str, query: str, survey: Any, relevance: np.ndarray, held: np.ndarray, space: str, part: str,
    published: float | None = None,
) -> Row:  # fmt: skip
    """nDCG@10 of one query among the held-out rows, beside searches by image and random orders."""
    found, how = similarity(survey, query, part)
    allowed = held & np.isfinite(survey.embedding(space)).all(axis=1) & np.isfinite(relevance)
    order = _order(found, allowed)
    ideal = relevance[allowed]
    by_image = _by_image(survey.embedding(space), relevance, allowed)
    rng = np.random.default_rng(42)
    shuffled = [ndcg(rng.permutation(ideal)[:10], 10, ideal=ideal) for _ in range(200)]
    extra: dict[str, Any] = {
        "linear": ndcg(relevance[order], 10, "linear", ideal), "random": float(np.mean(shuffled)),
        "relevant": int((ideal > 0).sum()), "candidates": int(allowed.sum()), "how": how,
    }  # fmt: skip
    if published is not None:
        extra["published_on_other_data"] = published
    return Row(
        f"words.{name}", f"nDCG@10 for {query!r}", ndcg(relevance[order], 10, ideal=ideal),
        float(np.mean(by_image)) if by_image else None, "nDCG", "more", extra=extra,
    )  # fmt: skip


def _order(values: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The first ten allowed rows; equal values in a random order, which favours nothing."""
    fits = np.where(allowed, np.nan_to_num(values, nan=-np.inf), -np.inf)
    mixed = np.random.default_rng(7).permutation(len(fits))
    return mixed[np.argsort(-fits[mixed], kind="stable")][:10]


def _by_image(vectors: np.ndarray, relevance: np.ndarray, allowed: np.ndarray) -> list[float]:
    """nDCG@10 of searches from up to 100 of the most relevant rows, itself left out."""
    unit = np.nan_to_num(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    best = np.flatnonzero(allowed & (relevance >= np.quantile(relevance[allowed & (relevance > 0)], 0.5)))
    out = []
    for one in np.random.default_rng(3).permutation(best)[:100]:
        others = allowed.copy()
        others[one] = False
        order = _order(unit @ unit[one], others)
        out.append(ndcg(relevance[order], 10, ideal=relevance[others]))
    return out
