"""GalSpecEncoder, GalSpecNet, the X-ray autoencoder and the projectors: sizes of the papers, and what masks hide."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.embedding.blocks import parameter_count
from kernels.embedding.models.galspec import GalSpecEncoder, hidden_samples, mask_patches, merge
from kernels.embedding.models.galspecnet import GalSpecNet, flat_length
from kernels.embedding.models.projectors import AionSearch, Projector
from kernels.embedding.models.xray_autoencoder import XrayAutoencoder
from kernels.preprocess.spectra import unpatch


def _small(hybrid: bool = False) -> GalSpecEncoder:
    torch.manual_seed(0)
    return GalSpecEncoder(203, dim=24, depth=2, heads=2, hybrid=hybrid, channels=4).eval()


def test_the_papers_patches_and_what_its_masking_hides() -> None:
    with torch.device("meta"):
        assert GalSpecEncoder().count == 735
    random = torch.Generator().manual_seed(0)
    parity = mask_patches(16, 3688, how="parity", generator=random)
    correct = mask_patches(16, 3688, generator=random)
    assert (parity.sum(1) == 184).all()
    assert parity.float().mean(1) == pytest.approx(0.25, abs=0.001)
    assert 0.25 <= correct.float().mean() < 0.28
    share = {n: hidden_samples(m, 3688, 15, 10).float().sum() / (m.sum() * 5) for n, m in
             (("parity", parity), ("correct", correct))}  # fmt: skip
    assert share["parity"] < 0.12, "patches overlap by two thirds: their neighbours show nearly all"
    assert share["correct"] > 0.7


def test_hidden_samples_are_those_that_no_visible_patch_holds() -> None:
    masked = mask_patches(5, 203, span=20, generator=torch.Generator().manual_seed(1))
    expected = np.zeros((5, 203), bool)
    for i in range(5):
        for s in range(203):
            holders = [j for j in range(masked.shape[1]) if 5 * j <= s < 5 * j + 15]
            expected[i, s] = bool(holders) and all(masked[i, j] for j in holders)
    assert expected.any()
    assert np.array_equal(hidden_samples(masked, 203, 15, 10).numpy(), expected)


@pytest.mark.parametrize("hybrid", [False, True])
def test_what_is_hidden_or_has_no_data_changes_nothing(hybrid: bool) -> None:
    model = _small(hybrid)
    flux = torch.randn(3, 203)
    masked = mask_patches(3, 203, span=30, generator=torch.Generator().manual_seed(2))
    gone = hidden_samples(masked, 203, 15, 10)
    other = torch.where(gone, flux + 50, flux)
    assert torch.allclose(model(flux, masked=masked), model(other, masked=masked), atol=1e-5)
    assert not torch.allclose(model(flux), model(other), atol=1e-2)
    valid = torch.rand(3, 203) > 0.3
    valid[:, 40:90] = False
    spoilt = torch.where(valid, flux, torch.full_like(flux, float("nan")))
    assert torch.allclose(model.vectors(flux, valid), model.vectors(spoilt, valid), atol=1e-6)
    nothing = torch.zeros(1, 203, dtype=torch.bool)
    assert torch.isfinite(model.vectors(flux[:1], nothing)).all()
    weight = valid.float()
    assert torch.allclose(model.loss(flux, masked, weight), model.loss(spoilt, masked, weight))


def test_losses_are_means_over_what_is_hidden() -> None:
    model = _small()
    flux = torch.randn(2, 203)
    masked = mask_patches(2, 203, span=30, generator=torch.Generator().manual_seed(3))
    told = model.reconstruct(flux, masked=masked).detach().numpy()
    gone = hidden_samples(masked, 203, 15, 10).numpy()
    sums = {"correct": [0.0, 0], "parity": [0.0, 0]}
    for i in range(2):
        for j in range(told.shape[1]):
            for k in range(15):
                error = (told[i, j, k] - float(flux[i, 5 * j + k])) ** 2
                for how, counts in (("correct", gone[i, 5 * j + k]), ("parity", bool(masked[i, j]))):
                    sums[how][0] += error * counts
                    sums[how][1] += counts
    for how, (total, count) in sums.items():
        assert model.loss(flux, masked, how=how).item() == pytest.approx(total / count, rel=1e-4)
    whole = merge(torch.from_numpy(told), 203, 10).numpy()
    assert np.allclose(whole, unpatch(told, 203), equal_nan=True, atol=1e-5)
    with pytest.raises(ValueError, match="masking 'half'"):
        model.loss(flux, masked, how="half")
    with pytest.raises(ValueError, match="203 samples, not of 200"):
        model(flux[:, :200])


def test_galspecnet_has_the_widths_of_the_paper() -> None:
    known = {2575: 37, 2600: 37, 3522: 52, 3834: 57, 3921: 58, 7781: 118}
    assert {n: flat_length(n) for n in known} == known
    model = GalSpecNet(classes=4).eval()
    assert model.width == 1184
    assert [tuple(m.weight.shape) for m in model.classifier if hasattr(m, "weight")] == [(64, 1184), (32, 64), (4, 32)]
    x = torch.randn(2, 2575)
    assert model(x).shape == (2, 4)
    assert model.vectors(x).shape == (2, 32)
    with pytest.raises(ValueError, match="too short"):
        GalSpecNet(90)


def test_xray_autoencoder_learns_to_give_back_what_it_is_given() -> None:
    torch.manual_seed(0)
    model = XrayAutoencoder(40, latent=4, patch=5, dim=32, depth=1, heads=2)
    energy = torch.linspace(0, 1, 40)
    spectra = torch.exp(-(energy - torch.rand(64, 1)).abs() * 4)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    first = model.loss(spectra).item()
    for _ in range(120):
        optimiser.zero_grad()
        loss = model.loss(spectra)
        loss.backward()
        optimiser.step()
    flat = float((spectra - spectra.mean(0)).abs().mean())
    assert loss.item() < 0.4 * min(first, flat)
    assert model.encode(spectra).shape == (64, 4)
    with pytest.raises(ValueError, match="40 bins, not of 41"):
        model(torch.zeros(1, 41))


def test_projectors_have_the_published_counts_and_keys() -> None:
    model = AionSearch()
    assert round(parameter_count(model.image_projector) / 1e6, 2) == 3.75
    assert round(parameter_count(model.text_projector) / 1e6, 2) == 8.40
    assert model.scale.item() == pytest.approx(1 / 0.07)
    keys = {f"fc_in.{p}" for p in ("weight", "bias")} | {f"fc_out.{p}" for p in ("weight", "bias")}
    keys |= {f"blocks.{i}.{j}.{p}" for i in range(4) for j in (0, 3) for p in ("weight", "bias")}
    both = {f"{side}_projector.{k}" for side in ("image", "text") for k in keys} | {"logit_scale"}
    assert set(model.state_dict()) == both
    image, text = model.eval()(torch.randn(3, 768) * 40, torch.randn(3, 3072))
    assert torch.allclose(image.norm(dim=1), torch.ones(3), atol=1e-5)
    assert image.shape == text.shape == (3, 1024)
    x = torch.randn(2, 8)
    side = Projector(8, 8, 4, normalise_input=True).eval()
    assert torch.allclose(side(x), side(x * 7), atol=1e-6)
