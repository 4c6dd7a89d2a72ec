"""Search by words (P4.3), and what a line typed into the search box means.

In order, by what the survey has: an alignment of texts with data places words among objects that nobody wrote about; a
space of texts or captions compares words with what was written; else texts and captions are compared word by word.
Words become vectors by an endpoint, by sentences offline (minilm) or by counts of words (TF-IDF and SVD), as the texts
did: what was used is told with every result.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.captioned import encoder_of, who_reads
from explorer.pipeline.endpoint import EndpointError
from explorer.session import columns, crossmodal
from explorer.session.columns import Shared
from explorer.survey.resources import data_path
from kernels.embedding.batches import Text
from kernels.registry import UnknownName

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session
    from explorer.survey.store import Survey

NEAR = 3.0  # arcsec within which a position that is typed finds what lies there
FAR = 120.0  # arcsec beyond which the nearest row is told of, but not looked at
LEAST = 0.2  # share of the best similarity below which a row does not fit the words
_documents = Shared(4)


@dataclass(frozen=True)
class Judged:
    """``similarity`` (n,) float64 of every row to the words, NaN where it cannot be judged, and ``how`` it was."""

    similarity: np.ndarray
    how: str


def judge(survey: Survey, text: str, aligned: bool = True) -> Judged:
    """How well each row fits the words; without ``aligned``, by its own texts and captions alone."""
    if not text.strip():
        raise ValueError("nothing is sought: write a few words on what the object should be like")
    missed: list[str] = []
    for name in crossmodal.alignments(survey) if aligned else ():
        try:
            return _by_alignment(survey, text, name)
        except (EndpointError, FileNotFoundError) as error:  # its encoder is not here: what else is there?
            missed.append(f"{name} is left out: {error}")
    for space in sorted((s for s in survey.spaces if s.endswith("/text") and _of_texts(survey, s)), key=_first):
        try:
            found = _by_texts(survey, text, space)
        except (EndpointError, FileNotFoundError) as error:
            missed.append(f"{space} is left out: {error}")
            continue
        return Judged(found.similarity, "; ".join([found.how, *missed]))
    found = _by_documents(survey, text)
    return Judged(found.similarity, "; ".join([found.how, *missed]))


def _of_texts(survey: Survey, space: str) -> bool:
    return "aligned" not in survey.provenance(f"space:{space}")


def _first(space: str) -> tuple[int, str]:
    """Captions, which every image can have, before texts; the better encoder first."""
    order = ("captions-endpoint/text", "captions-minilm/text", "captions-tfidf/text", "minilm/text")
    return (order.index(space) if space in order else len(order), space)


@lru_cache(maxsize=1)
def _terms() -> dict[str, list[str]]:
    return tomllib.loads(data_path("words", "synonyms.toml").read_text(encoding="utf-8"))["terms"]


def widened(text: str) -> str:
    """The words with those that texts use for the same thing (``data/words/synonyms.toml``): word counts know none.

    >>> "arcs" in widened("a gravitational lens")
    True
    """
    plain = f" {text.casefold()} "
    more = [w for term, words in _terms().items() if re.search(rf"\b{re.escape(term)}s?\b", plain) for w in words]
    return " ".join([text, *dict.fromkeys(more)])


def search(session: Session, text: str, k: int = 50, where: str = "") -> pd.DataFrame:
    """At most ``k`` rows that fit the words, the best first, selected in that order: ``id``, ``similarity``.

    ``attrs["how"]`` says by what they were judged. Rows under a fifth of the best similarity are left out.
    """
    if k < 1 or int(k) != k:
        raise ValueError(f"k={k!r}: ask for one row or more")
    return take(session, text, judge(session.survey, text), k, where)


def take(session: Session, text: str, judged: Judged, k: int = 50, where: str = "") -> pd.DataFrame:
    """Select the ``k`` rows that were judged to fit best: what is left of :func:`search` once :func:`judge` is done."""
    import pandas as pd

    fits = judged.similarity.copy()
    mask = session._mask_of(False, where)
    if mask is not None:
        fits[~mask] = np.nan
    order = np.argsort(-np.where(np.isnan(fits), -np.inf, fits), kind="stable")[: int(k)]
    order = order[np.isfinite(fits[order])]
    if len(order) and fits[order[0]] > 0:
        order = order[fits[order] >= LEAST * fits[order[0]]]
    ids = session.survey.ids_of(order)
    with session.together():
        session.select(list(ids), note=f"words {text!r} by {judged.how}")
        session.focus = int(order[0]) if len(order) else -1
    found = pd.DataFrame({"id": ids, "similarity": fits[order]}, index=pd.Index(order, name="row"))
    found.attrs["how"] = judged.how
    return found


def asked(session: Session, line: str) -> str:
    """Do what a line in the search box asks for; returns what was done, in words ('' for a query or an id).

    An id is looked at; a position (degrees, or hours and degrees as in ``05:35:17.3 -05:23:28``) finds what lies within
    3 arcsec, or the nearest row; a query selects; anything else is sought by words.
    """
    line = line.strip()
    position = coordinates(line)
    if position is not None:
        return _go_to(session, *position)
    if not looks_like_words(session.survey, line):
        session.select(line)
        return ""
    return told(search(session, line))


def told(found: pd.DataFrame) -> str:
    """What a search by words did, in words."""
    return f"{len(found)} rows by words, by {found.attrs['how']}"


def is_phrase(survey: Survey, line: str) -> bool:
    """Whether :func:`asked` would seek a line by words: the first time, that may encode every text."""
    line = line.strip()
    return coordinates(line) is None and looks_like_words(survey, line)


def looks_like_words(survey: Survey, line: str) -> bool:
    """Whether a line is a phrase: words without any sign of the query language, of which none alone names a thing."""
    if re.search(r"[<>=()\[\]'\"`]|\b(and|or|not|in)\b.*[<>=(]", line) or not re.search(r"[^\W\d_]{3}", line):
        return False
    parts = line.split()
    if len(parts) == 1:
        known = {*survey.columns, "mark", "id", "object_id"}
        return line not in known and line.isalpha() and not _is_id(survey, line)
    return not _is_id(survey, line) and all(re.fullmatch(r"[\w,.;:'’-]+", p) for p in parts)


def _is_id(survey: Survey, line: str) -> bool:
    try:
        survey.rows_of([line])
    except LookupError:
        return False
    return True


def coordinates(line: str) -> tuple[float, float] | None:
    """(right ascension, declination), degrees, of ``83.8 -5.4``, ``5h35m17s -5d23m28s`` or ``05:35:17 -05:23``."""
    numbers = re.fullmatch(r"([+-]?\d+(?:\.\d+)?)[\s,]+([+-]?\d+(?:\.\d+)?)", line)
    if numbers:
        ra, dec = (float(n) for n in numbers.groups())
        return (ra, dec) if 0 <= ra <= 360 and -90 <= dec <= 90 else None
    if not re.fullmatch(r"\d{1,2}[:h\s]\d{1,2}([:m\s]\d.*|m)?[\s,]+[+-]?\d{1,2}[:d°\s]\d.*", line):
        return None
    from astropy.coordinates import SkyCoord

    try:
        at = SkyCoord(line.replace("°", "d"), unit=("hourangle", "deg"))
    except ValueError:
        return None
    return float(at.ra.deg), float(at.dec.deg)


def _go_to(session: Session, ra: float, dec: float) -> str:
    survey = session.survey
    inside = np.flatnonzero(columns.near(survey, ra, dec, NEAR))
    if len(inside):
        with session.together():
            session.select(inside, note=f"within {NEAR:g} arcsec of {ra:.6f} {dec:+.6f}")
            session.focus = int(inside[0])
        return f"{len(inside)} rows within {NEAR:g} arcsec"
    names = columns.position_columns(survey)
    a, d = (np.radians(np.asarray(survey.column(c), np.float64)) for c in names)
    cosine = np.sin(d) * np.sin(np.radians(dec)) + np.cos(d) * np.cos(np.radians(dec)) * np.cos(a - np.radians(ra))
    if not np.isfinite(cosine).any():
        raise UnknownName("position", f"{ra} {dec}", [], f"no row of {survey.name} has a position")
    row = int(np.nanargmax(cosine))
    apart = float(np.degrees(np.arccos(np.clip(cosine[row], -1, 1)))) * 3600
    if apart > FAR:
        return f"nothing within {NEAR:g} arcsec; the nearest row lies {apart / 3600:,.2f} degrees away"
    session.focus_on(row)
    return f"nothing within {NEAR:g} arcsec; the nearest row lies {apart:,.1f} arcsec away"


def _by_alignment(survey: Survey, text: str, name: str) -> Judged:
    _, spaces, encoder = crossmodal.loaded(survey, name)
    found = crossmodal.by_words(survey, _said(text, encoder), len(survey), name)
    similarity = np.full(len(survey), np.nan)
    similarity[found.rows] = found.similarity
    told = next(s for s in spaces if s.endswith("/text"))
    return Judged(similarity, f"{' with '.join(spaces)}, aligned; words by {who_reads(told, encoder)}")


def _said(text: str, encoder: Any) -> str:
    """The words to encode: counts of words know no other word for the same thing."""
    return widened(text) if getattr(encoder, "name", "") == "tfidf" else text


def _by_texts(survey: Survey, text: str, space: str) -> Judged:
    encoder = encoder_of(survey, space)
    query = encoder.encode(Text([_said(text, encoder)]))[0]
    how = f"{space}; words by {who_reads(space, encoder)}"
    return Judged(_cosine(survey.embedding(space), query, text, survey), how)


def _by_documents(survey: Survey, text: str) -> Judged:
    """Word counts of the survey's own texts, and of captions where a row has none."""
    from explorer.pipeline.words import FILE, captions

    own, path = "text" in survey.modalities, survey.path / FILE
    if not own and not path.exists():
        hint = "write captions with: explorer caption SURVEY, or ingest texts"
        raise ValueError(f"{survey.name} holds no words to search in: {hint}")

    def build(_: np.ndarray) -> tuple[Any, np.ndarray, str]:
        from kernels.embedding.encoders.tfidf import TFIDF

        made = captions(survey)
        texts = survey.texts(np.arange(len(survey))) if own else [None] * len(survey)
        texts = [t or (made[str(i)].whole if str(i) in made else None) for t, i in zip(texts, survey.ids, strict=True)]
        encoder = TFIDF().fit([Text(texts)])
        by = [*(["texts"] if own else []), *sorted({f"captions ({c.by})" for c in made.values()})]
        return encoder, encoder.encode(Text(texts)), " and ".join(by)

    stamp = np.array([path.stat().st_mtime_ns if path.exists() else 0, survey.version])
    encoder, vectors, by = _documents.get(str(survey.path), stamp, build)
    how = f"tfidf of {by}; words by TF-IDF and SVD"
    return Judged(_cosine(vectors, encoder.encode(Text([widened(text)]))[0], text, survey), how)


def _cosine(vectors: np.ndarray, query: np.ndarray, text: str, survey: Survey) -> np.ndarray:
    length = float(np.linalg.norm(query))
    if not length > 0:
        raise ValueError(f"no word of {text!r} occurs in the texts of {survey.name}: try other words")
    norm = np.linalg.norm(vectors, axis=1)
    norm[~(norm > 0)] = np.nan  # a row that says nothing cannot be judged
    return (vectors @ query / (norm * length)).astype(np.float64)
