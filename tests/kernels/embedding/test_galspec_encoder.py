"""GalSpecEncoder and the X-ray autoencoder as encoders: contract, nothing leaks from what is hidden, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kernels.checks import check_encoder, sample_batch
from kernels.embedding.batches import Spectra, XSpectra
from kernels.embedding.encoders.galspec import GalSpec, hidden_spans, inputs, prepared
from kernels.embedding.encoders.xspec_autoencoder import XspecAutoencoder, denoising, scaled
from kernels.embedding.spectral_basis import Basis, interpolated, line_across, most_probable, trust, walk_across
from kernels.preprocess.xray import bin_edges


@pytest.mark.parametrize("kind", [GalSpec, XspecAutoencoder])
def test_the_contract(kind: type) -> None:
    check_encoder(kind)


def test_what_is_hidden_is_not_looked_at() -> None:
    flux, ivar, _ = prepared(sample_batch("spectrum", 3))
    hidden = np.zeros(flux.shape, bool)
    hidden[:, 1000:1100] = True
    encoder = GalSpec()
    told = encoder.fill(flux, ivar, hidden)
    other = flux.copy()
    other[hidden] = 40.0
    assert np.array_equal(encoder.fill(other, ivar, hidden)[hidden], told[hidden])
    shown = flux.copy()
    shown[:, 900:990] += 5
    assert not np.allclose(encoder.fill(shown, ivar, hidden)[hidden], told[hidden])


def test_a_line_is_told_exactly_by_the_line_across() -> None:
    x = np.linspace(0, 2, 400, dtype=np.float32)
    flux = torch.from_numpy(np.stack([1 + x, 3 - x]))
    visible = torch.ones(2, 400, dtype=torch.bool)
    visible[:, 150:260] = False
    spoilt = torch.where(visible, flux, torch.full_like(flux, 99.0))
    assert torch.allclose(line_across(spoilt, torch.ones(2, 400), visible), flux, atol=2e-2 * 3)
    assert torch.allclose(line_across(spoilt, torch.ones(2, 400), visible)[:, 150:260], flux[:, 150:260], atol=1e-4)


def test_the_walk_is_the_conditional_mean_of_a_random_walk() -> None:
    rng = np.random.default_rng(1)
    flux = np.cumsum(rng.normal(0, 0.05, (2, 60)), axis=1) + rng.normal(0, 0.1, (2, 60))
    visible = np.ones((2, 60), bool)
    visible[0, 20:40] = visible[1, 50:] = False
    weight = torch.full((2, 60), 100.0)
    told = walk_across(*(torch.from_numpy(x) for x in (flux, np.full((2, 60), 100.0), visible)), step=0.0025).numpy()
    walk = 0.0025 * np.minimum(np.arange(60)[:, None], np.arange(60)) + 1e4  # where it begins is not known
    for row in range(2):
        seen = visible[row]
        cov = walk[np.ix_(seen, seen)] + 0.01 * np.eye(seen.sum())
        assert np.allclose(told[row], walk[:, seen] @ np.linalg.solve(cov, flux[row, seen]), atol=1e-3)
    spoilt = torch.from_numpy(np.where(visible, flux, np.nan))
    assert torch.isfinite(walk_across(spoilt, weight, torch.from_numpy(visible))).all()


def test_an_interpolation_leaves_the_edge_with_the_walk_and_crosses_with_the_line() -> None:
    flux = torch.ones(1, 600)
    flux[0, 170:180] = 2.0  # a bump beside the gap
    visible = torch.ones(1, 600, dtype=torch.bool)
    visible[0, 180:480] = False
    weight = torch.full((1, 600), 1e4)
    told, line = interpolated(flux, weight, visible), line_across(flux, weight, visible)
    assert told[0, 180] > line[0, 180] + 0.3
    assert abs(told[0, 330] - line[0, 330]) < 0.02


def test_an_untrained_network_tells_the_interpolation() -> None:
    flux, ivar, _ = prepared(sample_batch("spectrum", 3))
    hidden = np.zeros(flux.shape, bool)
    hidden[:, 700:760] = True
    weight = trust(torch.from_numpy(ivar))
    plain = interpolated(torch.from_numpy(flux), weight, (weight > 0) & ~torch.from_numpy(hidden))
    assert np.allclose(GalSpec().fill(flux, ivar, hidden), plain.numpy(), atol=1e-6)


def test_gappy_components_are_the_conditional_mean() -> None:
    rng = np.random.default_rng(0)
    rows = np.linalg.qr(rng.normal(size=(60, 3)))[0].T.astype(np.float32)
    clean = rng.normal(size=(40, 3)).astype(np.float32) * [5, 3, 2] @ rows
    basis = Basis(60, 3).fit(clean, np.full(clean.shape, 1e4))
    ivar = np.full((1, 60), 100.0, np.float32)
    ivar[0, 20:35] = 0
    told = most_probable(basis, torch.from_numpy(clean[:1]).float(), torch.from_numpy(ivar)).numpy()
    noise = 1 / 100.0 + 0.1**2
    p, s = basis.components.numpy().astype(float), basis.scatter.numpy().astype(float)
    seen = ivar[0] > 0
    cov = p.T * s**2 @ p
    away = clean[0, seen] - basis.mean.numpy()[seen]
    by_hand = basis.mean.numpy() + cov[:, seen] @ np.linalg.solve(cov[np.ix_(seen, seen)] + noise * np.eye(45), away)
    assert np.allclose(told[0], by_hand, atol=1e-3)


def test_training_lowers_the_loss_of_hidden_spans() -> None:
    torch.manual_seed(0)
    x = np.linspace(0, 200, 1301)  # waves that a gap swallows whole
    flux = 2 + np.random.default_rng(0).uniform(0.7, 1.3, (16, 1)) * np.sin(x)
    batch = Spectra(np.arange(3800.0, 9004.0, 4.0), flux.astype(np.float32), np.full(flux.shape, 400.0, np.float32))
    given = {k: torch.from_numpy(v).float() for k, v in inputs(batch).items()}
    model = GalSpec().model_.train()
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    first = last = 0.0
    for step in range(30):
        torch.manual_seed(step % 2)
        loss = hidden_spans(model, given)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        first, last = (float(loss.detach()) if step == 0 else first), float(loss.detach())
    assert last < 0.97 * first


def test_wavelengths_in_nm_and_empty_spectra_are_named() -> None:
    batch = sample_batch("spectrum", 3)
    with pytest.raises(ValueError, match="nm or µm"):
        GalSpec().encode(Spectra(batch.wavelength / 10, batch.flux, batch.ivar))
    with pytest.raises(ValueError, match="descends"):
        GalSpec().encode(Spectra(batch.wavelength[::-1], batch.flux, batch.ivar))
    ivar = batch.ivar.copy()
    ivar[1] = 0
    with pytest.warns(UserWarning, match="1 of 3 spectra have no vector: no valid sample"):
        vectors = GalSpec().encode(Spectra(batch.wavelength, batch.flux, ivar))
    assert np.isfinite(vectors).all(axis=1).tolist() == [True, False, True]


def test_xray_spectra_without_exposure_or_on_another_grid_are_named() -> None:
    batch = sample_batch("xspectrum", 4)
    exposure = np.array([3e4, 0.0, 3e4, np.nan])
    rate = batch.rate.copy()
    rate[2] = 0
    with pytest.warns(UserWarning, match="3 of 4 spectra have no vector: no exposure"):
        vectors = XspecAutoencoder().encode(XSpectra(rate, batch.edges, exposure))
    assert np.isfinite(vectors).all(axis=1).tolist() == [True, False, False, False]
    assert XspecAutoencoder().reasons(XSpectra(rate, batch.edges, exposure))[2] == "no counts in 0.5-8 keV"
    with pytest.raises(ValueError, match=r"400 bins over 0\.5-8 keV"):
        XspecAutoencoder().encode(XSpectra(batch.rate[:, :100], bin_edges(100), batch.exposure))


def test_scaled_spectra_span_0_to_1_and_the_loss_learns() -> None:
    counts = torch.from_numpy(np.random.default_rng(0).poisson(1.0, (8, 400)).astype(np.float32))
    counts[7] = 3
    for how in ("correct", "parity"):
        x = scaled(counts, how)
        assert x[:7].amin(dim=1).abs().max() == 0
        assert torch.allclose(x[:7].amax(dim=1), torch.ones(7))
        assert x[7].abs().max() == 0
    assert scaled(counts).diff(dim=1).abs().mean() < 0.3 * scaled(counts, "parity").diff(dim=1).abs().mean()
    loss = denoising(XspecAutoencoder().model_, {"counts": counts})["loss"]
    loss.backward()
    assert float(loss.detach()) > 0
