"""Texts as vectors: against scikit-learn's own pipeline, and by what they mean."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.checks import check_encoder, sample_batch
from kernels.embedding import ENCODERS
from kernels.embedding.batches import Text

TFIDF = ENCODERS.get("tfidf")
TEXTS = [
    "The spectrum is heavily absorbed and hard.",
    "A soft thermal spectrum without absorption.",
    "Periodic pulses are seen in the light curve.",
    "The light curve is steady; the spectrum is hard.",
    "Hard photons escape a heavily absorbed nucleus.",
]


def test_it_keeps_the_encoders_contract() -> None:
    check_encoder(TFIDF)


def test_table_is_that_of_scikit_learn() -> None:
    from sklearn.feature_extraction.text import TfidfVectorizer

    encoder = TFIDF(dim=4).fit([Text(TEXTS[:2]), Text(TEXTS[2:])])
    peer = TfidfVectorizer(
        sublinear_tf=True, stop_words="english", ngram_range=(1, 2), token_pattern=r"(?u)\b[^\W\d_][\w'-]+\b"
    ).fit(TEXTS)
    assert encoder.terms_ == peer.get_feature_names_out().tolist()
    np.testing.assert_allclose(encoder.table(TEXTS).toarray(), peer.transform(TEXTS).toarray(), atol=1e-6)


def test_products_of_vectors_are_those_of_the_texts_at_full_rank() -> None:
    encoder = TFIDF(dim=5).fit([Text(TEXTS)])
    vectors, table = encoder.encode(Text(TEXTS)), encoder.table(TEXTS)
    np.testing.assert_allclose(vectors @ vectors.T, (table @ table.T).toarray(), atol=1e-5)
    likeness = (vectors @ vectors.T)[0]
    assert np.argsort(-likeness)[1] == 4, "the other absorbed, hard one is the nearest"


def test_words_add_up_to_the_product_with_a_direction() -> None:
    encoder = TFIDF(dim=5).fit([Text(TEXTS)])
    a, b = encoder.encode(Text([TEXTS[0], TEXTS[4]]))
    words = encoder.word_weights(TEXTS[0], b)
    assert sum(words.values()) == pytest.approx(float(a @ b), abs=1e-5)
    assert max(words, key=lambda w: words[w]) in ("heavily absorbed", "heavily", "absorbed", "hard")


def test_nothing_said_has_the_vector_zero_and_no_words_is_an_error() -> None:
    encoder = TFIDF().fit([sample_batch("text")])
    assert not encoder.encode(Text([None, "", "zzz qqq"])).any()
    with pytest.raises(ValueError, match="no word in 0 texts"):
        TFIDF().fit([Text([None, ""])])
