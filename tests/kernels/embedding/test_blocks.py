"""Transformer parts against numpy references, and patches against their inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.embedding import blocks


def _attention_by_hand(x: np.ndarray, qkv: np.ndarray, out: np.ndarray, heads: int, causal: bool) -> np.ndarray:
    n, d = x.shape
    q, k, v = (x @ qkv.T).reshape(n, 3, heads, d // heads).transpose(1, 2, 0, 3)
    logits = q @ k.transpose(0, 2, 1) / np.sqrt(d // heads)
    if causal:
        logits = np.where(np.tril(np.ones((n, n), bool)), logits, -np.inf)
    weight = np.exp(logits - logits.max(-1, keepdims=True))
    weight /= weight.sum(-1, keepdims=True)
    return (weight @ v).transpose(1, 0, 2).reshape(n, d) @ out.T


@pytest.mark.parametrize("causal", [False, True])
def test_attention_is_the_formula(causal: bool) -> None:
    torch.manual_seed(0)
    module = blocks.Attention(12, 3, causal=causal, bias=False)
    x = torch.randn(2, 5, 12)
    got = module(x).detach().numpy()
    for i in range(2):
        qkv, out = (getattr(module, n).weight.detach().numpy() for n in ("qkv", "proj"))
        assert np.allclose(got[i], _attention_by_hand(x[i].numpy(), qkv, out, 3, causal), atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_tokens_that_are_not_kept_say_nothing(causal: bool) -> None:
    torch.manual_seed(0)
    block = blocks.Block(16, 4, causal=causal, qk_norm=True)
    x = torch.randn(2, 6, 16)
    keep = torch.tensor([[True, True, False, True, True, True], [True, False, True, True, False, True]])
    changed = torch.where(keep[..., None], x, torch.full_like(x, 9.0))
    assert torch.allclose(block(x, keep)[keep], block(changed, keep)[keep], atol=1e-6)
    assert not torch.allclose(block(x)[keep], block(changed)[keep], atol=1e-3)


def test_a_causal_block_does_not_see_what_comes_after() -> None:
    torch.manual_seed(0)
    block = blocks.Block(16, 4, causal=True)
    x = torch.randn(1, 6, 16, requires_grad=True)
    block(x)[0, 2].sum().backward()
    assert x.grad is not None
    reached = x.grad[0].abs().sum(-1) > 0
    assert reached.tolist() == [True, True, True, False, False, False]


def test_the_parts_of_a_block_are_called_as_asked() -> None:
    names = blocks.Names("ln_1", "attn", "c_attn", "c_proj", "ln_2", "mlp", "c_fc", "c_proj")
    block = blocks.Block(8, 2, bias=False, norm_bias=False, names=names)
    assert set(block.state_dict()) == {
        "ln_1.weight", "attn.c_attn.weight", "attn.c_proj.weight", "ln_2.weight", "mlp.c_fc.weight", "mlp.c_proj.weight"
    }  # fmt: skip
    buffered = blocks.LayerNorm(8, bias="buffer")
    assert set(buffered.state_dict()) == {"weight", "bias"}
    assert blocks.parameter_count(buffered) == 8


def test_gated_mlp_and_layer_norm_are_their_formulas() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 8)
    mlp = blocks.MLP(8, 5, activation="silu", gated=True, bias=False)
    w = {k: v.double() for k, v in mlp.state_dict().items()}
    first = x.double() @ w["fc1.weight"].T
    expected = (first / (1 + (-first).exp()) * (x.double() @ w["fc3.weight"].T)) @ w["fc2.weight"].T
    assert torch.allclose(mlp(x).double(), expected, atol=1e-6)
    y = x.double()
    expected = (y - y.mean(1, keepdim=True)) / (y.var(1, unbiased=False, keepdim=True) + 1e-6).sqrt()
    assert torch.allclose(blocks.LayerNorm(8, 1e-6)(x).double(), expected, atol=1e-5)


@pytest.mark.parametrize("order", ["chw", "hwc"])
def test_patches_and_back(order: str) -> None:
    images = torch.randn(2, 3, 12, 12)
    patches = blocks.patchify(images, 4, order)
    assert patches.shape == (2, 9, 48)
    cell = images[1, :, 4:8, 8:12]  # second row, third column of patches
    expected = cell if order == "chw" else cell.permute(1, 2, 0)
    assert torch.equal(patches[1, 5], expected.reshape(-1))
    assert torch.equal(blocks.unpatchify(patches, 4, 3, order), images)
    with pytest.raises(ValueError, match="12 x 12 pixels does not divide into patches of 5"):
        blocks.patchify(images, 5)


def test_positions_windows_and_pools() -> None:
    table = blocks.sincos(torch.arange(4), 6)
    assert np.allclose(table[3, :3], np.sin(3 / 10_000 ** (np.arange(3) / 3)), atol=1e-6)
    assert np.allclose(table[3, 3:], np.cos(3 / 10_000 ** (np.arange(3) / 3)), atol=1e-6)
    grid = blocks.sincos(blocks.grid_positions(2, 3), 8)
    assert torch.equal(grid[0, :4], grid[1, :4]), "tokens of one row share the row's half"
    assert not torch.equal(grid[0, 4:], grid[1, 4:])
    with pytest.raises(ValueError, match="width 6"):
        blocks.sincos(blocks.grid_positions(2, 3), 6)
    cut = blocks.windows(torch.arange(11.0)[None], 4, 3)
    assert cut[0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    with pytest.raises(ValueError, match="3 samples are fewer"):
        blocks.windows(torch.zeros(1, 3), 4, 2)
    with pytest.raises(ValueError, match="9 tokens"):
        blocks.LearnedPositions(8, 4)(torch.zeros(1, 9, 4))
    x, keep = torch.randn(2, 3, 8), torch.tensor([[True, False, True], [True, True, True]])
    assert torch.allclose(blocks.mean_pool(x, keep)[0], (x[0, 0] + x[0, 2]) / 2, atol=1e-6)
    pool = blocks.AttentionPool(8, 2)
    assert pool(x, keep).shape == (2, 8)
    assert torch.allclose(pool(x[:1], keep[:1]), pool(x[:1, [0, 2]]), atol=1e-6)
