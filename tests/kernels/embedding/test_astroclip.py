"""AstroCLIP: tokens and counts of the public model, its heads as they are, and what its preprocessing does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.embedding import files
from kernels.embedding.blocks import parameter_count
from kernels.embedding.models import astroclip
from kernels.embedding.models.astroclip import AstroClip, CrossAttentionHead, ImageBackbone, SpecFormer


def _small() -> AstroClip:
    torch.manual_seed(0)
    image = ImageBackbone(24, 6, 32, depth=4, heads=4, chunks=2)
    model = AstroClip(image, SpecFormer(22, 24, 2, 3, 64), dim=16, heads=2).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.2)
    return model


def test_the_published_counts() -> None:
    with torch.device("meta"):
        model = AstroClip()
    count = parameter_count(model)
    assert count // 1_000_000 == 370
    assert round(parameter_count(model.image_encoder.backbone) / 1e6) in (302, 303, 304)
    assert round(parameter_count(model.spectrum_encoder.backbone) / 1e6) == 43
    keys = set(model.state_dict())
    assert {"image_encoder.backbone.blocks.3.23.attn.qkv.weight", "image_encoder.backbone.blocks.0.0.ls1.gamma",
            "image_encoder.cross_attention.multihead_attn.in_proj_weight", "image_encoder.mlp.encoder.weight",
            "spectrum_encoder.cross_attention.multihead_attn.k_proj_weight", "spectrum_encoder.cross_attention.query",
            "spectrum_encoder.backbone.blocks.5.attention.projection.bias",
            "spectrum_encoder.backbone.blocks.0.layernorm2.weight", "spectrum_encoder.backbone.position_embed.weight",
            "spectrum_encoder.cross_attention.layernorm.bias"} <= keys  # fmt: skip


@pytest.mark.parametrize(("samples", "correct", "parity"), [(7781, 778, 778), (7700, 770, 769), (40, 4, 3), (41, 4, 4)])
def test_windows_of_a_spectrum(samples: int, correct: int, parity: int) -> None:
    flux = torch.randn(2, samples) * 3 + 5
    assert astroclip.spectrum_tokens(flux).shape == (2, correct, 22)
    assert astroclip.spectrum_tokens(flux, how="parity").shape == (2, parity, 22)
    with pytest.raises(ValueError, match="how='half'"):
        astroclip.spectrum_tokens(flux, how="half")


def test_tokens_hold_the_statistics_first() -> None:
    flux = torch.randn(1, 60) * 3 + 5
    tokens = astroclip.spectrum_tokens(flux)[0].numpy()
    x = flux[0].numpy().astype(np.float64)
    mean, spread = x.mean(), x.std(ddof=1)
    assert np.allclose(tokens[0, :2], [(mean - 2) / 2, (spread - 2) / 8], atol=1e-5)
    assert (tokens[0, 2:] == 0).all()
    assert (tokens[1:, :2] == 0).all()
    assert np.allclose(tokens[3, 2:], (x[20:40] - mean) / spread, atol=1e-5)
    flat = astroclip.spectrum_tokens(torch.full((1, 60), 3.0))
    assert torch.isfinite(flat).all(), "a flat spectrum has no deviation"


def test_the_head_is_multihead_attention_for_any_batch() -> None:
    for inputs in (16, 24):
        head = CrossAttentionHead(16, inputs, 2).eval()
        with torch.no_grad():
            head.multihead_attn.in_proj_bias.normal_()
        x = torch.randn(3, 5, inputs)
        wanted = head.layernorm(head.multihead_attn(head.query.repeat(3, 1, 1), x, x)[0])[:, 0]
        assert torch.allclose(head(x), wanted, atol=1e-5)
        assert torch.allclose(head(x[:1]), wanted[:1], atol=1e-5)


def test_images_have_no_residual_and_spectra_have_one() -> None:
    model = _small()
    images, tokens = torch.rand(2, 3, 24, 24), astroclip.spectrum_tokens(torch.randn(2, 203))
    pooled = model.image_encoder.cross_attention(model.image_encoder.backbone(images))
    assert torch.equal(model.image(images), model.image_encoder.mlp(pooled))
    pooled = model.spectrum_encoder.cross_attention(model.spectrum_encoder.backbone(tokens))
    assert torch.allclose(model.spectrum(tokens), pooled + model.spectrum_encoder.mlp(pooled))
    with torch.no_grad():
        before = model.image(images)
        model.image_encoder.backbone.pos_embed += 5
        model.image_encoder.backbone.cls_token += 5
    assert torch.equal(before, model.image(images)), "neither positions nor a class token take part"


def test_a_state_makes_its_own_model() -> None:
    model = _small()
    read = astroclip.from_state(dict(model.state_dict()), heads=(4, 3)).eval()
    for head in (read.image_encoder, read.spectrum_encoder):
        head.cross_attention.multihead_attn.num_heads = 2  # no shape tells the heads of a small model
    images, tokens = torch.rand(1, 3, 24, 24), astroclip.spectrum_tokens(torch.randn(1, 203))
    assert torch.equal(read.image(images), model.image(images))
    assert torch.equal(read.spectrum(tokens), model.spectrum(tokens))
    state = dict(model.state_dict())
    del state["spectrum_encoder.backbone.head.bias"]
    with pytest.raises(files.WrongWeights, match=r"1 of \d+ missing \(spectrum_encoder.backbone.head.bias\)"):
        astroclip.from_state(state, heads=(4, 3))
    with pytest.raises(files.WrongWeights, match="not the weights of AstroCLIP"):
        astroclip.from_state({"x": torch.zeros(1)})


def test_masked_training_of_specformer_learns() -> None:
    torch.manual_seed(0)
    model = SpecFormer(22, 32, 1, 2, 64)
    phase = torch.rand(32, 1) * 6
    tokens = astroclip.spectrum_tokens(torch.sin(torch.linspace(0, 30, 203) + phase))
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    losses = []
    for step in range(60):
        loss = model.masked_loss(tokens, chunks=2, length=4, generator=torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_rgb_of_the_legacy_viewer() -> None:
    flux = torch.rand(1, 3, 10, 12) * 0.5
    rgb = astroclip.legacy_rgb(flux, 8)[0]
    g, r, z = (flux[0, i].numpy() for i in range(3))
    scaled = [np.maximum(0, band * scale + 0.03) for band, scale in ((z, 2.2), (r, 3.4), (g, 6.0))]
    intensity = sum(scaled) / 3
    gain = np.arcsinh(20 * intensity) / np.sqrt(20) / intensity
    wanted = np.clip(np.stack(scaled) * gain, 0, 1).transpose(0, 2, 1)[:, 2:10, 1:9]
    assert np.allclose(rgb.numpy(), wanted, atol=1e-5)
    with pytest.raises(ValueError, match="at least 144 pixels, not 100 x 160"):
        astroclip.legacy_rgb(torch.zeros(1, 3, 100, 160))
    with pytest.raises(ValueError, match="three bands g, r, z, not 4"):
        astroclip.legacy_rgb(torch.zeros(1, 4, 160, 160))
    with pytest.raises(ValueError, match="3 x 24 x 24, not of 3 x 20 x 24"):
        _small().image(torch.zeros(1, 3, 20, 24))
