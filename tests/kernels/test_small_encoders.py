"""The small encoders of the three families: what they keep and refuse, and that each objective is its family's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kernels.checks import check_encoder, sample_batch
from kernels.embedding.batches import Images, Spectra
from kernels.embedding.encoders._inputs import CELLS, EDGES, slots, spectrum_input
from kernels.embedding.encoders._readout import Readout
from kernels.embedding.encoders.aion import AION
from kernels.embedding.encoders.astroclip import AstroCLIP
from kernels.embedding.encoders.astropt import AstroPT
from kernels.embedding.encoders.pca import PCA
from kernels.embedding.files import save_weights
from kernels.embedding.models._views import noisier_image
from kernels.embedding.models.small import Causal, Masked, spiral
from kernels.embedding.objectives.autoregressive import next_patch
from kernels.embedding.objectives.masked import draw_hidden, hidden_error, visible
from kernels.embedding.training import train

FAMILIES = [AstroPT, AstroCLIP, AION]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda k: k.name)
def test_the_contract_holds(kind) -> None:
    check_encoder(kind)


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda k: k.name)
def test_training_lowers_the_loss_and_its_weights_load(kind, tmp_path: Path) -> None:
    for parts in kind.trainings:
        sample = {p: sample_batch(p) for p in parts}
        training = kind.training(parts, sample)
        arrays = training.inputs(sample)
        settings = replace(training.settings, steps=6, batch=48, warmup=0.3, bf16=False)
        log = train(training.model, training.objective, lambda seed, a=arrays: iter([a]), settings, [arrays])
        first = log.rows[0]["loss"]
        assert log.rows[-1]["loss"] < first
        for modality, state in training.weights(training.model).items():
            save_weights(
                tmp_path / "w.safetensors", {k: v.half() if v.is_floating_point() else v for k, v in state.items()}
            )
            given = sample if modality == "joint" else sample[modality]
            loaded = kind(modality, random_state=5).load(tmp_path / "w.safetensors").fit([given])
            assert loaded.bands_ == (("g", "r", "z") if "image" in parts else ("VIS", "Y", "J", "H"))
            assert not np.allclose(loaded.encode(given), kind(modality, random_state=5).fit([given]).encode(given))


def test_a_causal_state_depends_on_no_later_patch() -> None:
    torch.manual_seed(0)
    for modality, bands in (("spectrum", 0), ("image", 2)):
        net = Causal(bands, modality).eval()
        if modality == "spectrum":
            given = {"flux": torch.randn(1, CELLS), "weight": torch.rand(1, CELLS), "level": torch.zeros(1, 1)}
            later = {**given, "flux": given["flux"].clone()}
            later["flux"][:, 40 * 16 :] += 3  # patch 40 and after
            place = 40
        else:
            given = {"image": torch.randn(1, 2, 64, 64)}
            later = {"image": given["image"].clone()}
            row, column = divmod(int(spiral(8)[50]), 8)
            later["image"][:, :, 8 * row : 8 * row + 8, 8 * column : 8 * column + 8] += 3
            place = 50
        with torch.no_grad():
            a, b = net(**given)[0], net(**later)[0]
        torch.testing.assert_close(a[:, :place], b[:, :place])
        assert (a[:, place:] - b[:, place:]).abs().max() > 1e-3


def test_hidden_patches_tell_nothing() -> None:
    torch.manual_seed(0)
    net = Masked(2).eval()
    given = {"image": torch.randn(3, 2, 64, 64), "flux": torch.randn(3, CELLS), "weight": torch.rand(3, CELLS) + 0.5}
    given["level"] = torch.zeros(3, 1)
    with torch.no_grad():
        torch.manual_seed(1)
        first, hidden = net(0.5, **given)
        assert hidden["image"].sum(1).tolist() == [32, 32, 32]
        blank = hidden["spectrum"].repeat_interleave(16, dim=1)
        other = {**given, "flux": torch.where(blank, given["flux"] + 5, given["flux"])}
        mask = hidden["image"].reshape(3, 1, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
        other["image"] = torch.where(mask, given["image"] - 4, given["image"])
        torch.manual_seed(1)
        second, _ = net(0.5, **other)
        torch.testing.assert_close(first, second)
        _, alone = net(0.25, image=given["image"])
        assert alone["spectrum"].all()


def test_image_and_spectrum_together_differ_from_either_alone() -> None:
    both = sample_batch("joint")
    joint, image = AION("joint").fit([both]), AION("image").fit([both["image"]])
    assert np.abs(joint.encode(both) - image.encode(both["image"])).max() > 1e-3


def test_axes_keep_the_distances_of_standardised_vectors_and_components_stand_beside() -> None:
    rng = np.random.default_rng(0)
    raw = (rng.normal(size=(200, 6)) @ rng.normal(size=(6, 6))).astype(np.float32) + 3
    batch = {"spectrum": sample_batch("spectrum", 200)}
    told = Readout(6, 4).fit(raw, {"spectrum": [batch["spectrum"]]})
    vectors = told(raw, batch)
    standard = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    before, after = (((x[:50, None] - x[None, :50]) ** 2).sum(axis=2) for x in (standard, vectors[:, :6]))
    np.testing.assert_allclose(after * 6, before, rtol=1e-3, atol=1e-3)  # six columns of variance 1 before, 1 in all
    covariance = np.cov(vectors[:, :6], rowvar=False)
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-4
    assert (np.diff(np.diag(covariance)) <= 1e-6).all()
    linear = PCA("spectrum", 4, 32).fit([batch["spectrum"]]).encode(batch["spectrum"])
    for column in range(4):
        assert abs(np.corrcoef(vectors[:, 6 + column], linear[:, column])[0, 1]) > 0.999
    with pytest.raises(ValueError, match="prepare the survey again"):
        Readout(6, 4).load_state({"noise_": np.ones(1)})


def test_views_of_an_image_lie_alike_unless_they_are_turned() -> None:
    image = torch.zeros(4, 1, 64, 64)
    image[:, :, 10:20, 40:60] = 5.0
    torch.manual_seed(0)
    for _ in range(6):
        still = noisier_image(image, 0.3, 1.5, shift=0, drop=0.0, turn=False)
        assert float((still * (image > 0)).sum() / (image > 0).sum()) > 3
    assert any(float((noisier_image(image, shift=0) * (image > 0)).mean()) < 0.05 for _ in range(6))


def test_objectives_agree_with_loops() -> None:
    rng = np.random.default_rng(0)
    told, patches, weight = (rng.normal(size=(2, 5, 3)) for _ in range(3))
    weight = np.abs(weight)
    total = 0.0
    for b in range(2):
        for t in range(4):
            error = np.abs(told[b, t] - patches[b, t + 1])
            total += (np.where(error < 1, error**2 / 2, error - 0.5) * weight[b, t + 1]).sum()
    given = [torch.from_numpy(x) for x in (told, patches, weight)]
    assert float(next_patch(*given)) == pytest.approx(total / weight[:, 1:].sum())
    hidden = draw_hidden(4, 10, 3)
    assert hidden.sum(dim=1).tolist() == [3] * 4
    x = torch.arange(40.0).reshape(4, 10, 1)
    assert visible(x, hidden).shape == (4, 7, 1)
    error = hidden_error(x[..., 0] + 2 * hidden + 9 * ~hidden, x[..., 0], hidden)
    assert float(error) == pytest.approx(4.0)


def test_bands_go_by_name_and_what_cannot_be_is_refused() -> None:
    known = ("VIS", "Y", "J", "H")
    assert slots(["NIR-H", "VIS"], 2, known, "astropt") == [3, 0]
    assert slots(["g", "H"], 2, known, "astropt") == [-1, 3]
    assert slots(["g", "r", "z"], 3, known, "astropt") == [0, 1, 2]
    with pytest.raises(ValueError, match=r"trained on 4 bands \(VIS, Y, J, H\) and is given 5 \(u, g, r, i, z\)"):
        slots(["u", "g", "r", "i", "z"], 5, known, "astropt")
    with pytest.raises(ValueError, match="2 bands of pixels and 3 names"):
        slots(["g", "r", "z"], 2, known, "astropt")
    pixels = np.random.default_rng(0).normal(size=(6, 4, 64, 64)).astype(np.float32)
    whole, shuffled = Images(pixels, known), Images(pixels[:, ::-1].copy(), known[::-1])
    a = AstroPT("image").fit([whole]).encode(whole)
    np.testing.assert_allclose(AstroPT("image").fit([shuffled]).encode(shuffled), a, atol=1e-4)
    missing = Images(pixels[:, :3], known[:3])
    assert np.isfinite(AstroPT("image").fit([missing]).encode(missing)).all()
    with pytest.raises(ValueError, match="fitted on 4 bands and is given 3"):
        AstroPT("image").fit([whole]).encode(missing)


def test_cells_hold_the_weighted_mean_of_their_samples() -> None:
    rng = np.random.default_rng(0)
    wavelength = np.arange(3500.0, 9900.0, 0.8)
    flux = rng.normal(3, 1, (2, len(wavelength)))
    ivar = rng.uniform(0.5, 1.5, flux.shape)
    told = spectrum_input(Spectra(wavelength, flux, ivar))
    low, high = wavelength - 0.4, wavelength + 0.4
    for cell in (0, 300, 1023):
        share = np.clip(np.minimum(high, EDGES[cell + 1]) - np.maximum(low, EDGES[cell]), 0, None) / 0.8
        mean = (share * flux * ivar).sum(axis=1) / (share * ivar).sum(axis=1)
        np.testing.assert_allclose(told["flux"][:, cell] * 10 ** told["signal"], mean, rtol=2e-3)
    cgs = spectrum_input(Spectra(wavelength, flux * 1e-17, ivar * 1e34))
    np.testing.assert_allclose(cgs["flux"].astype(float), told["flux"].astype(float), rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(cgs["signal"], told["signal"] - 17, atol=1e-4)


def test_spectra_that_are_dark_or_of_another_unit_or_order() -> None:
    wavelength = np.arange(3800.0, 9000.0, 4.0)
    dark = spectrum_input(Spectra(wavelength, np.ones((1, len(wavelength))), np.zeros((1, len(wavelength)))))
    assert not dark["flux"].any()
    assert np.isfinite(dark["signal"]).all()
    ones = np.ones((1, len(wavelength)))
    with pytest.raises(ValueError, match=r"are the wavelengths in Å \(nm x 10"):
        spectrum_input(Spectra(wavelength / 10, ones, ones))
    with pytest.raises(ValueError, match="must ascend"):
        spectrum_input(Spectra(wavelength[::-1], ones, ones))


def test_weights_of_another_encoder_are_refused(tmp_path: Path) -> None:
    training = AstroPT.training(("spectrum",), {"spectrum": sample_batch("spectrum")})
    save_weights(tmp_path / "w.safetensors", training.weights(training.model)["spectrum"])
    with pytest.raises(ValueError, match="these are not the weights of aion"):
        AION("spectrum").load(tmp_path / "w.safetensors")
    save_weights(tmp_path / "x.safetensors", {"a": torch.zeros(2)})
    with pytest.raises(ValueError, match="no bands are named"):
        AstroPT("spectrum").load(tmp_path / "x.safetensors")


def test_joint_rules() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 5, 8)).astype(np.float32)
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    s = u + v
    np.testing.assert_allclose(
        AstroPT.join({"image": a, "spectrum": b}), s / np.linalg.norm(s, axis=1, keepdims=True), rtol=1e-5
    )
    np.testing.assert_allclose(AstroCLIP.join({"image": a, "spectrum": b}), s / 2, rtol=1e-5)


@pytest.mark.parametrize("kind", FAMILIES, ids=lambda k: k.name)
def test_shipped_weights_load_into_every_modality(kind) -> None:
    folder = Path(__file__).resolve().parents[2] / "data" / "weights"
    for modality, name in kind.weights.items():
        batch = sample_batch(modality, 12)
        vectors = kind(modality).load(folder / name).fit([batch]).encode(batch)
        assert vectors.shape == (12, kind.dim)
        assert not np.allclose(vectors, kind(modality).fit([batch]).encode(batch), atol=1e-2)
