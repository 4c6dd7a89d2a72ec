"""Sources by words, words by sources: search between two aligned modalities, and papers that sources share (P3.7a)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from explorer.survey.store import Survey
    from kernels.embedding.align.aligner import Aligner

WORD = re.compile(r"[^\W\d_][\w'-]+")


@dataclass(frozen=True)
class Paragraph:
    """What one paper says of a source; ``paper`` is empty where the survey does not name it, ``year`` too."""

    paper: str
    year: str
    text: str


@dataclass(frozen=True)
class Found:
    """``rows`` (k,) int64 in order and their cosine ``similarity`` (k,); ``space`` in which they were sought."""

    rows: np.ndarray
    similarity: np.ndarray
    space: str


def paragraphs(survey: Survey, row: int) -> list[Paragraph]:
    """The paragraphs of a row's text, each with its paper where ``papers`` lists as many."""
    told = survey.text(row) if "text" in survey.modalities else None
    parts = [p for p in (told or "").split("\n\n") if p.strip()]
    papers, years = (_listed(survey, c, row, len(parts)) for c in ("papers", "paper_years"))
    return [Paragraph(*line) for line in zip(papers, years, parts, strict=True)]


def _listed(survey: Survey, column: str, row: int, n: int) -> list[str]:
    value = survey.column(column)[row] if column in survey.columns else None
    items = str(value).split(";") if value else []
    return items if len(items) == n else [""] * n


def sources_of_paper(survey: Survey, paper: str) -> np.ndarray:
    """(m,) int64 rows that a paper speaks of."""
    return np.array(_papers(survey).get(paper, []), dtype=np.int64)


def _papers(survey: Survey) -> dict[str, list[int]]:
    if "papers" not in survey.columns:
        return {}
    return _by_paper(str(survey.path), survey.version)


@lru_cache(maxsize=4)
def _by_paper(path: str, version: int) -> dict[str, list[int]]:
    from explorer.survey.store import Survey

    out: dict[str, list[int]] = {}
    for row, told in enumerate(Survey.open(path).column("papers")):
        for paper in str(told).split(";") if told else ():
            out.setdefault(paper, []).append(row)
    return out


# -- between modalities --------------------


def alignments(survey: Survey) -> list[str]:
    """Names of the survey's alignments that have a text side and a side that can be placed alone."""
    names = sorted(p.name.removesuffix(".align.json") for p in (survey.path / "encoders").glob("*.align.json"))
    return [n for n in names if f"{n}/text" in survey.spaces]


@lru_cache(maxsize=4)
def _loaded(path: str, name: str, stamp: int, named: str) -> tuple[Aligner, tuple[str, str], Any]:
    from explorer.pipeline.align import load_aligner
    from explorer.pipeline.captioned import encoder_of
    from explorer.survey.store import Survey

    survey = Survey.open(path)
    aligner, spaces, _ = load_aligner(survey, name)
    return aligner, spaces, encoder_of(survey, next(s for s in spaces if s.endswith("/text")))


def loaded(survey: Survey, name: str) -> tuple[Aligner, tuple[str, str], Any]:
    """The aligner, the two spaces that it takes, and the encoder of texts."""
    path = survey.path / "encoders" / f"{name}.align.json"
    named = os.environ.get("EXPLORER_ENDPOINT", "")  # whoever encodes words behind an endpoint
    return _loaded(str(survey.path), name, path.stat().st_mtime_ns if path.exists() else 0, named)


def _side(spaces: tuple[str, str], text: bool) -> tuple[str, str]:
    """(``"a"`` or ``"b"``, modality) of the text side or of the other."""
    at = next(i for i, s in enumerate(spaces) if s.endswith("/text") == text)
    return "ab"[at], spaces[at].split("/")[1]


def by_words(survey: Survey, words: str, k: int = 20, name: str = "aligned") -> Found:
    """The ``k`` sources whose data are nearest to what is written, also those that nobody wrote about."""
    from kernels.embedding.batches import Text

    if not words.strip():
        raise ValueError("nothing is sought: write a few words on what the source should be like")
    aligner, spaces, encoder = loaded(survey, name)
    side, _ = _side(spaces, text=True)
    vector = encoder.encode(Text([words]))
    if not np.abs(vector).sum() > 0:
        raise ValueError(f"no word of {words!r} occurs in the texts of {survey.name}: try other words")
    other = f"{name}/{_side(spaces, text=False)[1]}"
    return _nearest(survey, aligner.encode(side, vector)[0], other, k)


def words_for(survey: Survey, row: int, k: int = 5, name: str = "aligned") -> Found:
    """The ``k`` sources whose texts are nearest to the data of ``row``, itself among them where it is one."""
    _, spaces, _ = loaded(survey, name)
    vector = survey.embedding(f"{name}/{_side(spaces, text=False)[1]}")[row]
    if not np.isfinite(vector).all():
        raise ValueError(f"{survey.ids[row]} has no vector in {name}/{_side(spaces, text=False)[1]}")
    return _nearest(survey, vector, f"{name}/text", k)


def _nearest(survey: Survey, vector: np.ndarray, space: str, k: int) -> Found:
    vectors = survey.embedding(space)
    likeness = vectors @ vector
    likeness = np.where(np.isfinite(likeness), likeness, -np.inf)
    order = np.argsort(-likeness, kind="stable")[:k]
    order = order[np.isfinite(likeness[order])]
    return Found(order.astype(np.int64), likeness[order].astype(np.float64), space)


def through_text(survey: Survey, row: int, first: str, second: str, k: int = 20, texts: int = 10) -> Found:
    """Sources of another modality or facility that are written about as the data of ``row`` suggest (P3.7a).

    The data of ``row`` find ``texts`` texts in the alignment ``first``; their mean place in the alignment ``second``
    finds its sources. The two alignments share nothing but the texts. ``row`` itself is left out.
    """
    near = words_for(survey, row, texts, first)
    _, spaces, _ = loaded(survey, second)
    places = survey.embedding(f"{second}/text")[near.rows]
    weight = np.maximum(near.similarity, 0) + 1e-6
    vector = (weight[:, None] * places).sum(axis=0) / weight.sum()
    found = _nearest(survey, vector, f"{second}/{_side(spaces, text=False)[1]}", k + 1)
    other = found.rows != row
    return Found(found.rows[other][:k], found.similarity[other][:k], found.space)


def rank_of_own(survey: Survey, row: int, name: str = "aligned") -> tuple[int, int] | None:
    """(rank of a source's own text among all texts, their number) from its data; None where it has no text."""
    _, spaces, _ = loaded(survey, name)
    vector, texts = survey.embedding(f"{name}/{_side(spaces, text=False)[1]}")[row], survey.embedding(f"{name}/text")
    likeness = texts @ vector
    if not np.isfinite(likeness[row]):
        return None
    return int((likeness > likeness[row]).sum()) + 1, int(np.isfinite(likeness).sum())


def word_weights(survey: Survey, row: int, name: str | None = None) -> dict[str, float]:
    """Word (in small letters) of a row's text → how much it matters.

    With an alignment: by how much the cosine between the aligned text and data falls when the word is left out of the
    text; negative where it rises. Without one: the word's part in what sets the text apart from the mean text.
    """
    text = survey.text(row)
    if not text:
        return {}
    if name is None or not np.isfinite(survey.embedding(f"{name}/joint")[row]).all():
        if "tfidf/text" not in survey.spaces:
            return {}
        encoder, vectors = _text_encoder(str(survey.path), survey.version), survey.embedding("tfidf/text")
        return encoder.word_weights(text, vectors[row] - np.nanmean(vectors, axis=0))
    from kernels.embedding.batches import Text

    aligner, spaces, encoder = loaded(survey, name)
    side, _ = _side(spaces, text=True)
    data = survey.embedding(f"{name}/{_side(spaces, text=False)[1]}")[row]
    words = sorted({w.lower() for w in WORD.findall(text)})
    without = [re.sub(rf"(?i)\b{re.escape(w)}\b", " ", text) for w in words]
    likeness = aligner.encode(side, encoder.encode(Text([text, *without]))) @ data
    fall = np.nan_to_num(likeness[0] - likeness[1:])
    return {w: float(f) for w, f in zip(words, fall, strict=True) if abs(f) > 1e-6}


@lru_cache(maxsize=2)
def _text_encoder(path: str, version: int) -> Any:
    from pathlib import Path

    from safetensors.numpy import load_file

    from kernels.embedding import ENCODERS

    return ENCODERS.get("tfidf")("text").load_state(load_file(Path(path) / "encoders" / "tfidf-text.safetensors"))
