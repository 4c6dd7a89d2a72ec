"""AION against polymathic-aion: the same names, the same tokens, the same vectors under shared random weights."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from kernels.embedding import files
from kernels.embedding.models.aion import DECODER, TOKENS, Aion
from kernels.embedding.models.aion_tokenizers import ImageTokenizer, ScalarTokenizer, SpectrumTokenizer
from tests.parity.conftest import farthest, reference, shuffle
from tests.parity.manifests import AION_BASE, read

HSC = ["HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y"]


def _config(qk_norm: bool = False, registers: int = 0, dim: int = 48, depth: int = 2) -> dict[str, Any]:
    return {**AION_BASE, "dim": dim, "encoder_depth": depth, "decoder_depth": 1, "num_heads": dim // 12,
            "qk_norm": qk_norm, "num_register_tokens": registers}  # fmt: skip


def _pair(**more: Any) -> tuple[Any, Aion]:
    config = _config(**more)
    theirs = reference("aion.model").AION(config=config).eval()
    shuffle(theirs)
    ours = Aion.from_config(config).eval()
    files.load_into(ours, theirs.state_dict(), "AION", ignore=DECODER)
    return theirs, ours


def test_the_manifest_is_that_of_the_package() -> None:
    fm = reference("aion.model")
    theirs = files.manifest(fm.AION(config=AION_BASE))
    with torch.device("meta"):
        ours = files.manifest(Aion.from_config(AION_BASE))
    assert read("aion-base") == theirs
    assert ours == {k: v for k, v in theirs.items() if not k.startswith(DECODER)}
    info = reference("aion.fourm.modality_info").MODALITY_INFO
    assert {k: v["vocab_size"] for k, v in info.items()} == {k: v[0] for k, v in TOKENS.items()}


@pytest.mark.parametrize("more", [{}, {"qk_norm": True}, {"registers": 3}], ids=str)
def test_encoded_tokens_agree(more: dict[str, Any]) -> None:
    theirs, ours = _pair(**more)
    tokens = {
        "tok_image_hsc": torch.randint(4375, (2, 576)), "tok_spectrum_desi": torch.randint(1024, (2, 273)),
        "tok_z": torch.randint(1025, (2, 1)), "tok_ebv": torch.randint(1024, (2, 1)),
        "catalog": torch.randint(1, 3468, (2, 50)),
    }  # fmt: skip
    with torch.no_grad():
        for kinds in (["tok_image_hsc"], ["tok_spectrum_desi", "tok_z"], list(tokens)):
            given = {k: tokens[k] for k in kinds}
            total = sum(v.shape[1] for v in given.values())
            assert farthest(ours(given), theirs.encode(dict(given), num_encoder_tokens=total)) < 1e-5
        cut = theirs.encode(dict(tokens))
        assert farthest(ours(tokens, how="parity"), cut) < 1e-5
        alone = {"tok_image_hsc": tokens["tok_image_hsc"]}
        assert torch.equal(cut, theirs.encode(alone)), "the package no longer cuts after 256 tokens: revise `parity`"
        assert not torch.allclose(ours.vectors(tokens), ours.vectors(alone), atol=1e-3)


def _images(small: bool = True) -> tuple[Any, ImageTokenizer]:
    config = {"quantizer_levels": [7, 5, 5, 5, 5], "hidden_dims": 32, "num_consecutive": 1} if small else {
        "quantizer_levels": [7, 5, 5, 5, 5]}  # fmt: skip
    return reference("aion.codecs.image").ImageCodec(**config).eval(), ImageTokenizer.from_config(config).eval()


@pytest.mark.parametrize("bands", [HSC, ["DES-G", "DES-R", "DES-Z"]], ids=str)
def test_image_tokens_agree(bands: list[str]) -> None:
    theirs, ours = _images()
    shuffle(theirs)
    files.load_into(ours, theirs.state_dict(), "image tokenizer")
    modality = reference("aion.modalities")
    pixels = torch.randn(3, len(bands), 120, 104) * 20
    with torch.no_grad():
        latent = theirs._encode(modality.Image(flux=pixels.clone(), bands=bands))
        assert farthest(ours.latent(pixels, bands).flatten(2), latent) < 1e-5
        ids = theirs.encode(modality.Image(flux=pixels.clone(), bands=bands)).long()
        assert (ours.encode(pixels, bands) == ids).float().mean() > 0.999, "a value on the edge of a bin may differ"
        if not bands[0].startswith("HSC"):  # the package cannot decode HSC
            assert farthest(ours.decode(ids, bands), theirs.decode(ids, bands=bands).flux) < 1e-5
        spoilt = pixels.clone()
        theirs.encode(modality.Image(flux=spoilt, bands=bands))
        assert not torch.equal(spoilt, pixels), "the package no longer changes its input: revise the notes"


def test_image_tokenizer_manifest() -> None:
    with torch.device("meta"):
        theirs, ours = _images(small=False)
    assert files.manifest(theirs) == files.manifest(ours) == read("aion-image-tokenizer")


def test_spectrum_tokens_agree() -> None:
    modality, codec = reference("aion.modalities"), reference("aion.codecs.spectrum")
    config = {"encoder_depths": [1, 2, 1, 1], "encoder_dims": [8, 16, 16, 24], "decoder_depths": [1, 1, 1, 1],
              "decoder_dims": [16, 8, 8, 2], "latent_channels": 24, "embedding_dim": 10}  # fmt: skip
    theirs, ours = codec.SpectrumCodec(**config).eval(), SpectrumTokenizer.from_config(config).eval()
    shuffle(theirs)
    files.load_into(ours, theirs.state_dict(), "spectrum tokenizer")
    wavelength = torch.linspace(3600, 9824, 7781).expand(3, -1).contiguous()
    flux, ivar = torch.rand(3, 7781) * 8 + 1, torch.rand(3, 7781) * 200
    mask = torch.rand(3, 7781) < 0.1
    with torch.no_grad():
        ids = theirs.encode(modality.Spectrum(flux=flux, ivar=ivar, mask=mask, wavelength=wavelength)).long()
        got = ours.encode(wavelength, flux, ivar, mask)
        assert (got[:, 0] == ids[:, 0]).all()
        assert (got == ids).float().mean() > 0.998, "a value near zero may have another sign"
        assert farthest(ours.decode(ids), theirs.decode(ids).flux) < 1e-5


def test_spectrum_tokenizer_manifest() -> None:
    config = {"encoder_dims": [96, 192, 384, 512], "decoder_dims": [384, 192, 96, 2], "embedding_dim": 10}
    with torch.device("meta"):
        theirs = reference("aion.codecs.spectrum").SpectrumCodec(**config)
        ours = SpectrumTokenizer.from_config(config)
    assert files.manifest(theirs) == files.manifest(ours) == read("aion-spectrum-tokenizer")


@pytest.mark.parametrize("how", ["reservoir", "log", "grid"])
def test_scalar_tokens_agree(how: str) -> None:
    quantizers, grid = reference("aion.codecs.quantizers.scalar"), reference("aion.codecs.quantizers")
    values = torch.randn(500).exp()
    ours = ScalarTokenizer(64, how, reservoir=256)
    if how == "grid":
        theirs = grid.ScalarLinearQuantizer(64, (0.0, 1.0))
        values = values / 3
    else:
        kind = quantizers.ScalarReservoirQuantizer if how == "reservoir" else quantizers.ScalarLogReservoirQuantizer
        theirs = kind(64, 256)
        theirs(values)
    files.load_into(ours, {f"_quantizer.{k}": v for k, v in theirs.state_dict().items()}, "scalar tokenizer")
    ids = theirs.encode(values).long()
    assert torch.equal(ours.encode(values)[:, 0], ids)
    assert torch.allclose(ours.decode(ids[:, None]), theirs.decode(ids))
