"""Our models have the names and shapes of the published packages (see tests/parity, which measures them)."""

from __future__ import annotations

import torch

from kernels.embedding.blocks import parameter_count
from kernels.embedding.files import manifest
from kernels.embedding.models.aion import DECODER, Aion
from kernels.embedding.models.aion_tokenizers import ImageTokenizer, SpectrumTokenizer
from kernels.embedding.models.astropt import AstroPT
from tests.parity.manifests import AION_BASE, read


def test_names_and_shapes_are_the_published_ones() -> None:
    with torch.device("meta"):
        ours = {
            "aion-image-tokenizer": ImageTokenizer(),
            "aion-spectrum-tokenizer": SpectrumTokenizer(),
            "astropt-070M": AstroPT({"images": 768}, "070M"),
        }
        encoder = Aion.from_config(AION_BASE)
    for name, model in ours.items():
        assert manifest(model) == read(name), name
    whole = read("aion-base")
    assert len(whole) == 587
    assert manifest(encoder) == {k: v for k, v in whole.items() if not k.startswith(DECODER)}


def test_the_encoder_is_four_tenths_of_aion() -> None:
    whole = read("aion-base")
    buffers = ("pos_emb", "norm.bias", "norm1.bias", "norm2.bias", "query_norm.bias", "context_norm.bias")
    learned = sum(torch.Size(v).numel() for k, v in whole.items() if not k.endswith(buffers))
    with torch.device("meta"):
        own = parameter_count(Aion.from_config(AION_BASE))
    assert 123e6 < own < 125e6
    assert round(learned / 1e6) in (314, 315)
