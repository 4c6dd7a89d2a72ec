"""Summaries in words as weighted word counts, brought to a few dimensions: the baseline of every text encoder.

Term frequency and inverse document frequency: Spärck Jones 1972, J. Documentation 28, 11. Latent semantic analysis
(singular vectors of that table): Deerwester et al. 1990, J. Am. Soc. Inf. Sci. 41, 391.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kernels.embedding.batches import Batch, Text

TERMS = 20_000
"""Words and pairs of words that are kept at most, the commonest first."""


class TFIDF:
    """Vectors of texts: TF-IDF of words and pairs of words, then the leading singular vectors.

    A word counts as 1 + log(times it occurs), weighted by log((1 + n) / (1 + texts that hold it)) + 1; each text is
    brought to unit length. Words without content ("the", "of") are left out. A text of no known word, or None, has
    the vector 0.

    Parameters
    ----------
    modality : ``"text"``.
    dim : dimensions kept; fewer where there are fewer texts or words.
    random_state : seed of the randomised decomposition.
    device : unused; the arithmetic is sparse and runs on the CPU.

    Attributes
    ----------
    terms_ : (t,) list of str, the words and pairs in the order of the table's columns.
    idf_ : (t,) float32 weights.
    components_ : (dim, t) float32, rows of unit length.
    """

    name = "tfidf"
    modalities = ("text",)
    fit_rows = 100_000

    def __init__(self, modality: str = "text", dim: int = 64, random_state: int = 0, device: str | None = None):
        if modality not in self.modalities:
            raise ValueError(f"the tfidf encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.dim, self.random_state, self.device = modality, dim, random_state, device

    def fit(self, batches: Iterable[Batch]) -> TFIDF:
        """Learn the words, their weights and the singular vectors from blocks of texts; returns self."""
        from sklearn.utils.extmath import randomized_svd

        texts = [text for batch in batches for text in _texts(batch) if text]
        counter = _counter(None)
        try:
            counts = counter.fit_transform(texts)
        except ValueError as error:
            raise ValueError(f"tfidf finds no word in {len(texts)} texts: ingest summaries in words") from error
        self.terms_ = counter.get_feature_names_out().tolist()
        held = np.bincount(counts.indices, minlength=counts.shape[1])
        self.idf_ = (np.log((1 + len(texts)) / (1 + held)) + 1).astype(np.float32)
        table = self._weigh(counts)
        rank = max(1, min(self.dim, *table.shape))
        _, _, rows = randomized_svd(table, rank, n_iter=5, random_state=self.random_state)
        self.components_ = rows.astype(np.float32)
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, dim) float32 vectors; 0 where a text says nothing."""
        return np.asarray(self.table(_texts(batch)) @ self.components_.T, dtype=np.float32)

    def table(self, texts: Sequence[str | None]):  # type: ignore[no-untyped-def]
        """(n, t) scipy sparse float32 TF-IDF of texts, each of unit length."""
        return self._weigh(_counter(self.terms_).transform([text or "" for text in texts]))

    def word_weights(self, text: str, direction: np.ndarray) -> dict[str, float]:
        """Word or pair of a text → what it adds to the product of the text's vector with ``direction`` (dim,)."""
        row = self.table([text]).tocoo()
        back = np.asarray(direction, np.float32) @ self.components_
        return {self.terms_[j]: float(v * back[j]) for j, v in zip(row.col, row.data, strict=True)}

    def _weigh(self, counts):  # type: ignore[no-untyped-def]
        table = counts.astype(np.float32)
        table.data = (1 + np.log(table.data)) * self.idf_[table.indices]
        length = np.sqrt(np.asarray(table.multiply(table).sum(axis=1)).ravel())
        table.data /= np.repeat(np.where(length > 0, length, 1), np.diff(table.indptr)).astype(np.float32)
        return table

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """There is one modality, so the joint vectors are its own."""
        return next(iter(vectors.values()))

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays, as they are saved; the words as UTF-8 bytes, one a line."""
        words = np.frombuffer("\n".join(self.terms_).encode(), dtype=np.uint8)
        return {"terms_": words, "idf_": self.idf_, "components_": self.components_}

    def load_state(self, state: dict[str, np.ndarray]) -> TFIDF:
        """Take back what :meth:`state` gave; returns self."""
        self.terms_ = np.asarray(state["terms_"], np.uint8).tobytes().decode().split("\n")
        self.idf_, self.components_ = np.asarray(state["idf_"]), np.asarray(state["components_"])
        return self


def _counter(terms: list[str] | None):  # type: ignore[no-untyped-def]
    from sklearn.feature_extraction.text import CountVectorizer

    known = {"vocabulary": terms} if terms is not None else {"max_features": TERMS}
    return CountVectorizer(stop_words="english", ngram_range=(1, 2), token_pattern=r"(?u)\b[^\W\d_][\w'-]+\b", **known)


def _texts(batch: Batch) -> Sequence[str | None]:
    if not isinstance(batch, Text):
        raise ValueError(f"tfidf encodes texts and is given {type(batch).__name__}")
    return batch.texts
