"""The Euclid adapter: gradients pass straight through a tokenizer that rounds, and it learns."""

from __future__ import annotations

import pytest
import torch

from kernels.embedding.models.aion_tokenizers import ImageTokenizer
from kernels.embedding.models.euclid_adapter import EuclidAdapter, UNet, to_nanomaggies

HSC = ("HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y")


def _rounding(x: torch.Tensor) -> torch.Tensor:
    return (x * 2).round() / 2


def test_gradients_pass_through_the_rounding() -> None:
    torch.manual_seed(0)
    adapter = EuclidAdapter(4, 5, 4)
    images = torch.randn(2, 4, 16, 16)
    adapter.loss(images, _rounding).backward()
    first = adapter.there.start[0].weight.grad
    assert first is not None
    assert first.abs().max() > 0
    adapter.zero_grad()
    adapter.loss(images, _rounding, straight=False).backward()
    own = adapter.there.start[0].weight.grad
    assert own is None or own.abs().max() == 0, "without it nothing reaches the first adapter"


def test_the_loss_is_that_of_what_comes_out_of_the_tokenizer() -> None:
    adapter = EuclidAdapter(4, 5, 4).eval()
    images = torch.randn(1, 4, 16, 16) * 90
    wanted = ((adapter.back(_rounding(adapter(images))) - images.clamp(-100, 100)) ** 2).mean()
    assert torch.allclose(adapter.loss(images, _rounding), wanted)
    images[0, 0, 3, 3] = float("nan")
    assert torch.isfinite(adapter.loss(images, _rounding))
    with pytest.raises(FloatingPointError, match="not finite"):
        adapter.loss(images, lambda x: x / 0)


def test_it_learns_to_carry_the_images() -> None:
    torch.manual_seed(0)
    adapter = EuclidAdapter(4, 5, 4)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16), indexing="ij")
    images = torch.exp(-(x**2 + y**2) * torch.rand(8, 4, 1, 1) * 20) * 4
    optimiser = torch.optim.Adam(adapter.parameters(), 5e-3)
    for _ in range(90):
        optimiser.zero_grad()
        loss = adapter.loss(images, _rounding)
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.5 * images.var(dim=0).mean().item()


def test_around_the_tokenizer_of_aion() -> None:
    torch.manual_seed(0)
    tokenizer = ImageTokenizer(hidden=16, units=1).eval().requires_grad_(False)
    adapter = EuclidAdapter(hidden=2)
    loss = adapter.loss(to_nanomaggies(torch.randn(1, 4, 96, 96)), lambda x: tokenizer.through(x, HSC))
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in adapter.parameters())


def test_units_and_bad_input() -> None:
    counts = torch.ones(1, 4, 2, 2)
    counts[0, 1, 0, 0] = float("inf")
    got = to_nanomaggies(counts)
    assert got[0, 0, 0, 0].item() == pytest.approx(2835.34 / 3631)
    assert got[0, 1, 0, 0] == 0
    with pytest.raises(ValueError, match="3 bands and 4 zero points"):
        to_nanomaggies(counts[:, :3])
    with pytest.raises(ValueError, match="18 x 16 pixels do not divide by 4"):
        UNet(4, 5, 2)(torch.zeros(1, 4, 18, 16))
    with pytest.raises(ValueError, match="reads 4 bands, not 3"):
        EuclidAdapter()(torch.zeros(1, 3, 16, 16))
