"""Harmonics in rings against a plain sum over pixels, what they do not see, and the encoder that stands on them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kernels.checks import check_encoder, sample_batch
from kernels.embedding.batches import Images
from kernels.embedding.encoders.dae import DAE
from kernels.embedding.models import rings


def _galaxies(n: int, side: int = 128, bands: int = 3, seed: int = 0) -> np.ndarray:
    """Tilted exponential discs, each with a blob beside, on a sky with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    out = np.empty((n, bands, side, side), np.float32)
    for i in range(n):
        angle, ratio, size = rng.uniform(0, np.pi), rng.uniform(0.3, 1), side * rng.uniform(0.04, 0.1)
        u, v = x * np.cos(angle) + y * np.sin(angle), (y * np.cos(angle) - x * np.sin(angle)) / ratio
        shape = np.exp(-np.hypot(u, v) / size)
        shape += 0.5 * np.exp(-((x - side / 8) ** 2 + (y - side / 16) ** 2) / (2 * (side / 25) ** 2))
        out[i] = 50 * shape * rng.uniform(0.5, 1.5, (bands, 1, 1)) + 10 + rng.normal(0, 0.3, (bands, side, side))
    return out


def test_harmonics_are_means_over_rings() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, 1, 128, 128)).astype(np.float32)
    got = rings.descriptor(torch.from_numpy(maps))[0, 0].numpy()
    radius = np.geomspace(rings.FIRST, rings.LAST, rings.RINGS) * 128
    step = np.log(radius[1] / radius[0])
    for ring, plane, cell in ((10, maps[0, 0], 1), (22, maps[0, 0].reshape(64, 2, 64, 2).mean(axis=(1, 3)), 2)):
        axis = (np.arange(len(plane)) - (len(plane) - 1) / 2) * cell
        rho, theta = np.hypot(axis[None], axis[:, None]), np.arctan2(axis[:, None], axis[None])
        hat = np.clip(1 - np.abs(rho - radius[ring]) / max(step * radius[ring], 0.8 * cell), 0, None)
        for m in (0, 1, 5, 8):
            mean = (hat * plane * np.exp(-1j * m * theta)).sum() / hat.sum()
            expected = np.sign(mean.real) * np.sqrt(abs(mean.real)) if m == 0 else np.sqrt(max(abs(mean), 1e-6))
            assert got[ring, m] == pytest.approx(expected, rel=2e-3, abs=1e-4)


def test_turning_and_mirroring_change_nothing_and_moving_does() -> None:
    pixels = torch.from_numpy(_galaxies(4))
    gain = torch.ones(3)
    plain = rings.descriptor(rings.planes(pixels, gain))
    for other in (pixels.rot90(1, (2, 3)), pixels.flip(3), pixels.transpose(2, 3)):
        torch.testing.assert_close(rings.descriptor(rings.planes(other, gain)), plain, atol=5e-3, rtol=0)
    moved = rings.descriptor(rings.planes(pixels.roll(12, 3), gain))
    assert (moved - plain).abs().max() > 0.1
    scaled = rings.descriptor(rings.planes(7 * pixels + 100, gain))
    torch.testing.assert_close(scaled, plain, atol=5e-3, rtol=0)


def test_a_zoom_of_one_step_shifts_the_rings() -> None:
    y, x = np.mgrid[:128, :128] - 63.5
    step = (rings.LAST / rings.FIRST) ** (1 / (rings.RINGS - 1))
    maps = torch.from_numpy(np.exp(-np.hypot(x, 2 * y) / 9).astype(np.float32))[None, None]
    plain, zoomed = rings.descriptor(maps), rings.descriptor(maps, zoom=step)
    torch.testing.assert_close(zoomed[..., 8:16, :3], plain[..., 9:17, :3], atol=0.02, rtol=0.02)


def test_the_contract() -> None:
    check_encoder(DAE)


@pytest.mark.parametrize(("bands", "side"), [(1, 24), (4, 64), (5, 131)])
def test_any_bands_and_sizes(bands: int, side: int) -> None:
    pixels = _galaxies(12, side, bands)
    pixels[0, 0] = np.nan
    pixels[1] = np.nan
    pixels[2, :, : side // 3] = np.nan
    encoder = DAE("image").fit([Images(pixels, ())])
    vectors = encoder.encode(Images(pixels, ()))
    assert vectors.shape == (12, 64)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[3] - vectors[4]) > 0.1


def test_a_masked_corner_moves_a_vector_little() -> None:
    pixels = _galaxies(40, 96)
    encoder = DAE("image").fit([Images(pixels, ())])
    spoilt = pixels.copy()
    spoilt[:, :, :12, :12] = np.nan
    there, gone = encoder.encode(Images(pixels, ())), encoder.encode(Images(spoilt, ()))
    typical = np.linalg.norm(there - there[::-1], axis=1).mean()
    assert np.linalg.norm(there - gone, axis=1).max() < 0.2 * typical


def test_what_it_refuses() -> None:
    batch = sample_batch("image")
    encoder = DAE("image").fit([batch])
    with pytest.raises(ValueError, match="needs 24 a side"):
        encoder.encode(replace(batch, pixels=batch.pixels[:, :, :23, :23]))
    with pytest.raises(ValueError, match="fitted on 3 bands and is given 2"):
        encoder.encode(replace(batch, pixels=batch.pixels[:, :2]))
    with pytest.raises(ValueError, match="at least one object"):
        DAE("image").fit([])


def test_training_restores_clean_harmonics(tmp_path: Path) -> None:
    from kernels.embedding.files import save_weights
    from kernels.embedding.training import Settings, train

    images = Images(_galaxies(64, 64), ("g", "r", "z"))
    training = DAE.training(("image",), {"image": images})
    views = training.inputs({"image": images})
    assert views["views"].shape == (64, rings.VARIANTS, 3, 24, 9)
    log = train(training.model, training.objective, lambda seed: iter([views] * 20), Settings(steps=40, lr=2e-3))
    clean = torch.from_numpy(views["views"][:, 0].astype(np.float32))
    noisy = torch.from_numpy(views["views"][:, 5].astype(np.float32))
    with torch.inference_mode():
        left = float(training.model.unexplained(noisy, clean))
    assert log.rows[-1]["loss"] < 0.6, "a mean that knows nothing leaves 1"
    assert left < 0.6
    path = tmp_path / "w.safetensors"
    save_weights(path, training.weights(training.model)["image"], {})
    loaded = DAE("image").load(path)
    with torch.inference_mode():
        torch.testing.assert_close(loaded._network()(clean), training.model(clean))


@pytest.mark.slow
def test_rings_of_real_galaxies_are_told_better_than_by_pca(shared_data: Path) -> None:
    from tests.benchmarks.cutouts import embeddings, figure, rings, votes

    if not (shared_data / "decals_rings_dev").is_dir():
        pytest.skip("no decals_rings_dev among the real data")
    given = rings(shared_data)
    vectors = embeddings(given.images, "dae", steps=0)
    auc = {who: figure(votes(vectors[who], given.labels, 0), given.labels) for who in ("pca", "pca_centre", "shipped")}
    assert auc["shipped"] > 0.05 + max(auc["pca"], auc["pca_centre"])
