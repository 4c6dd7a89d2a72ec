"""Captions as vectors (P4.2), and who encodes the words that are sought among them.

Three encoders of texts: a model behind an endpoint that the person names, sentences offline (``minilm``, an optional
package), and counts of words (``tfidf``), which is always there. Each makes a space ``captions-ENCODER/text``.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline.embed import save_encoder
from explorer.pipeline.endpoint import Endpoint, EndpointError
from explorer.pipeline.words import captions, endpoint_of
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS
from kernels.embedding.batches import Text

ENDPOINT, LOCAL = "endpoint", ("minilm", "tfidf")
HOW = (ENDPOINT, *LOCAL)
PREFIX = "captions-"
VARIABLE = "EXPLORER_ENDPOINT"
"""Environment variable that names the TOML file of endpoints to use where words are sought."""
Progress = Callable[[int, int, str], None] | None


class ByEndpoint:
    """Encodes texts by an embedding model behind an endpoint; a text that says nothing has the vector 0."""

    def __init__(self, endpoint: Endpoint):
        self.endpoint = endpoint

    def encode(self, batch: Text, progress: Progress = None) -> np.ndarray:
        """(n, d) float32."""
        told = list(dict.fromkeys(t for t in batch.texts if t and t.strip()))
        if not told:
            raise ValueError("none of the texts says anything")
        found = self.endpoint.embed(told, progress=progress)
        at = {text: i for i, text in enumerate(told)}
        found = np.concatenate([found, np.zeros((1, found.shape[1]), np.float32)])
        return found[[at.get(text or "", -1) for text in batch.texts]]


def default() -> str:
    """The best encoder of texts that is here without any endpoint: ``minilm`` where its weights are, else ``tfidf``."""
    from kernels.embedding.encoders.minilm import available

    return "minilm" if available() else "tfidf"


def named_endpoints() -> dict[str, Endpoint]:
    """The endpoints in the file that ``EXPLORER_ENDPOINT`` names: a survey never names one by itself."""
    told = os.environ.get(VARIABLE, "")
    return endpoint_of(Path(told).expanduser()) if told else {}


def endpoints_for(survey: Survey, settings: Path | None) -> dict[str, Endpoint]:
    """The endpoints in a file, or else in that which ``EXPLORER_ENDPOINT`` names; answers are kept in the survey's
    ``cache/`` where the file names no other place, so that a run that stopped does not ask again."""
    known = endpoint_of(settings) if settings else named_endpoints()
    if settings and not known.keys() & {"chat", "embed"}:
        raise ValueError(f"{settings} has neither a table [chat] nor [embed], with base_url and model")
    for one in known.values():
        one.cache = one.cache or survey.cache_dir / "answers"
    return known


def spent(known: dict[str, Endpoint]) -> list[str]:
    """A line on what each endpoint was asked and what it cost."""
    return [
        f"{name} ({e.model}): {e.spent.asked} answers, {e.spent.kept} kept ones, {e.spent.retries} retries, "
        f"{e.spent.tokens_in} + {e.spent.tokens_out} tokens, cost {e.spent.cost:.4g}"
        for name, e in known.items()
    ]


def texts_of(survey: Survey) -> tuple[list[str | None], str]:
    """The one-sentence summary of each row's caption, None where it has none (P4.1: better than what it sums up), and
    who wrote them."""
    made = captions(survey)
    if not made:
        raise ValueError(f"{survey.name} has no captions: explorer caption {survey.path} writes them")
    by = " and ".join(sorted({c.by for c in made.values()}))
    return [made[i].summary or made[i].text if i in made else None for i in map(str, survey.ids)], by


def embed_captions(
    survey: Survey,
    how: str = "auto",
    endpoint: Endpoint | None = None,
    held_out: np.ndarray | None = None,
    progress: Progress = None,
) -> str:
    """Make the space of a survey's captions, or find it as it was made; returns its name.

    Parameters
    ----------
    how : one of :data:`HOW`; ``"auto"`` is the endpoint's where one is given, else :func:`default`.
    held_out : (n,) bool rows from which nothing is fitted, not even the weights of words.
    """
    how = (ENDPOINT if endpoint else default()) if how == "auto" else how
    if how not in HOW:
        raise ValueError(f"texts={how!r} is unknown: choose one of {', '.join(HOW)}")
    if how == ENDPOINT and endpoint is None:
        raise ValueError("texts='endpoint' needs one: name a TOML file with a table [embed] (base_url, model)")
    texts, by = texts_of(survey)
    held = np.zeros(len(survey), bool) if held_out is None else held_out
    space, model = f"{PREFIX}{how}/text", endpoint.model if how == ENDPOINT and endpoint else how
    fitted_by = np.flatnonzero(held).tolist() if how == "tfidf" else []
    digest = hashlib.sha256(repr([model, texts, fitted_by]).encode()).hexdigest()
    if space in survey.spaces and survey.provenance(f"space:{space}").get("texts_sha256") == digest:
        return space
    told: dict[str, Any] = {"encoder": how, "model": model, "captions_by": by, "texts_sha256": digest}
    if how == ENDPOINT and endpoint is not None:
        vectors = ByEndpoint(endpoint).encode(Text(texts), progress)
    else:
        encoder = ENCODERS.get(how)("text").fit([Text([None if h else t for t, h in zip(texts, held, strict=True)])])
        vectors = encoder.encode(Text(texts))
        told["weights_sha256"] = save_encoder(survey, space, encoder)
        if hasattr(encoder, "provenance"):
            told["published"] = encoder.provenance()
    silent = np.array([not (t and t.strip()) for t in texts])
    vectors = np.where(silent[:, None], np.float32("nan"), vectors)
    survey.put_embedding(space, vectors, {**told, "rows": int((~silent).sum())})
    return space


def encoder_of(survey: Survey, space: str, endpoint: Endpoint | None = None) -> Any:
    """What encodes words as the texts of a space were: an object with ``encode(Text)``.

    For an endpoint's space that is the person's own endpoint, if it holds the model that made the space: the address is
    never taken from the survey, which may come from somebody else. :class:`EndpointError` says what is missing.
    """
    from safetensors.numpy import load_file

    name = space.split("/")[0].removeprefix(PREFIX)
    if name == ENDPOINT:
        model = survey.provenance(f"space:{space}").get("model", "")
        own = endpoint or named_endpoints().get("embed")
        if own is None or own.model != model:
            raise EndpointError(f"{space} of {survey.name} was made by {model}: name its endpoint in {VARIABLE}")
        return ByEndpoint(own)
    encoder = ENCODERS.get(name)("text")
    weights = survey.path / "encoders" / f"{space.replace('/', '-')}.safetensors"
    return encoder.load_state(load_file(weights)) if weights.exists() else encoder


def who_reads(space: str, encoder: Any) -> str:
    """By what the words of a search become a vector, in words."""
    if isinstance(encoder, ByEndpoint):
        return f"endpoint {encoder.endpoint.model}"
    name = space.split("/")[0].removeprefix(PREFIX)
    return {"tfidf": "TF-IDF and SVD"}.get(name, name)


def rows_of_benchmark(survey: Survey, told: str | Path) -> np.ndarray:
    """(n,) bool rows that stay out of training, with all rows of the same objects.

    ``told`` is a text file with one id a line (of a table, the first column is read), or the name of a column in which
    they are marked (true, 1).
    """
    if str(told) in survey.columns:
        values = np.asarray(survey.column(str(told)))
        marked = np.array(
            [v is not None and v == v and str(v).lower() in ("true", "1", "1.0") for v in values.tolist()]
        )
    else:
        path = Path(told).expanduser()
        if not path.is_file():
            raise FileNotFoundError(f"{told} is neither a file of ids nor a column of {survey.name}")
        lines = (line.split(",")[0].strip().strip('"') for line in path.read_text(encoding="utf-8").splitlines())
        asked = {line for line in lines if line and not line.startswith("#")}
        marked = np.isin(survey.ids, list(asked)) | np.isin(survey.object_ids, list(asked))
        if not marked.any():
            raise ValueError(f"{path}: none of its {len(asked)} ids is in {survey.name}: one id a line is read")
    return np.isin(survey.object_ids, survey.object_ids[marked])
