"""Published checkpoints as encoders, on small stand-ins with the same layout: found, read, refused, told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from kernels.embedding import ENCODERS, files
from kernels.embedding.batches import Images, Spectra
from kernels.embedding.encoders._published import DESI_GRID, NoWeights
from kernels.embedding.models.aion import Aion
from kernels.embedding.models.aion_tokenizers import ImageTokenizer, SpectrumTokenizer
from kernels.embedding.models.astroclip import AstroClip, ImageBackbone, SpecFormer
from kernels.embedding.models.astropt import AstroPT
from kernels.embedding.models.euclid_adapter import EuclidAdapter

_CONFIG = {"domains_in": ["tok_image", "tok_image_hsc", "tok_spectrum_desi", "tok_spectrum_sdss", "tok_z"], "dim": 24,
           "encoder_depth": 1, "num_heads": 2, "qkv_bias": False, "proj_bias": False, "mlp_bias": False,
           "norm_bias": False, "act_layer": "SiLU", "gated_mlp": True}  # fmt: skip
_IMAGE = {"quantizer_levels": [7, 5, 5, 5, 5], "hidden_dims": 16, "num_consecutive": 1}
_SPECTRUM = {"encoder_depths": [1, 1, 1, 1], "encoder_dims": [8, 8, 8, 8], "decoder_depths": [1, 1, 1, 1],
             "decoder_dims": [8, 8, 8, 2]}  # fmt: skip


def _spread(model: torch.nn.Module) -> torch.nn.Module:
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn(p.shape) * 0.2)
    return model


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("weights")
    parts = {"": (_CONFIG, Aion.from_config(_CONFIG)), "codecs/image": (_IMAGE, ImageTokenizer.from_config(_IMAGE)),
             "codecs/spectrum": (_SPECTRUM, SpectrumTokenizer.from_config(_SPECTRUM))}  # fmt: skip
    for place, (config, model) in parts.items():
        folder = root / "aion-base" / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config))
        extra = {"decoder.0.norm1.weight": torch.ones(2), "mask_token": torch.zeros(1, 1, 24)} if not place else {}
        files.save_weights(folder / "model.safetensors", {**_spread(model).state_dict(), **extra})
    clip = AstroClip(ImageBackbone(144, 12, 32, 4, 16, 2), SpecFormer(22, 24, 1, 6, 800), dim=32)
    (root / "astroclip").mkdir()
    torch.save({"state_dict": _spread(clip).state_dict(), "epoch": 3}, root / "astroclip" / "astroclip.ckpt")
    astropt = AstroPT({"images": 768}, (3, 2, 16), 64)
    (root / "astropt").mkdir()
    saved = {f"_orig_mod.{k}": v for k, v in _spread(astropt).state_dict().items()}
    torch.save({"model": saved, "model_args": {"n_head": 2}}, root / "astropt" / "ckpt.pt")
    return root


def _images(bands: tuple[str, ...] = ("DES-G", "DES-R", "DES-Z"), side: int = 152, **more: object) -> Images:
    pixels = np.random.default_rng(0).normal(0.2, 0.3, (3, len(bands), side, side)).astype(np.float32)
    return Images(pixels, bands, 0.262, **more)  # type: ignore[arg-type]


def _spectra(wavelength: np.ndarray = DESI_GRID) -> Spectra:
    rng = np.random.default_rng(1)
    flux = rng.normal(5, 2, (3, len(wavelength))).astype(np.float32)
    return Spectra(wavelength, flux, np.full(flux.shape, 2.0, np.float32))


_NAMES = ["aion-published", "aion-published-parity", "astroclip-published", "astroclip-published-parity",
          "astropt-published"]  # fmt: skip


@pytest.mark.parametrize("name", _NAMES)
def test_published_encoders_keep_the_contract(name: str, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights))
    kind = ENCODERS.get(name)
    for modality in kind.modalities:
        both = {"image": _images(), "spectrum": _spectra()}
        batch = both if modality == "joint" else both[modality]
        encoder = kind(modality).fit([batch])
        got = encoder.encode(batch)
        assert got.dtype == np.float32
        assert len(got) == 3
        assert np.isfinite(got).all()
        assert got.std(axis=0).max() > 0
        told = encoder.provenance()
        assert told["how"] == ("parity" if "parity" in name else "correct")
        assert told["weights"] == {f"{f.parent.name}/{f.name}": files.digest(f) for f in encoder.open()[1]}
        assert len(encoder.state()["weights_sha256"]) == 32
        assert np.array_equal(kind(modality).load_state(encoder.state()).encode(batch), got)
        with pytest.raises(ValueError, match="not the weights that made this space"):
            kind(modality).load_state({"weights_sha256": np.zeros(32, np.uint8)})
    with pytest.raises(ValueError, match="not 'smell'"):
        kind("smell")


@pytest.mark.parametrize("name", _NAMES)
def test_without_weights_it_is_said_which_file_goes_where(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    with pytest.raises(NoWeights) as told:
        ENCODERS.get(name)("image").fit([_images()])
    text = str(told.value)
    assert str(tmp_path) in text
    assert "EXPLORER_WEIGHTS=hub" in text
    assert any(f in text for f in ("model.safetensors", "astroclip.ckpt", "ckpt.pt"))


def test_the_joint_vector_is_that_of_both(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights))
    image, spectrum = _images(), _spectra()
    for name, alike in (("aion-published", False), ("aion-published-parity", True)):
        kind = ENCODERS.get(name)
        joint = kind("joint").encode({"image": image, "spectrum": spectrum})
        alone = kind("image").encode(image)
        assert np.allclose(joint, alone, atol=1e-6) == alike, name


def test_units_follow_the_zero_point(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights / "aion-base"))
    encoder = ENCODERS.get("aion-published")("image")
    plain = _images()
    scaled = Images(plain.pixels * 10 ** ((25 - 22.5) / 2.5), ("g", "r", "z"), 0.262, (25.0, 25.0, 25.0))
    assert np.allclose(encoder.encode(plain), encoder.encode(scaled), atol=0.05)
    assert not np.allclose(encoder.encode(plain), encoder.encode(Images(scaled.pixels, plain.bands)), atol=0.05)
    spectra = _spectra()
    cgs = Spectra(spectra.wavelength, spectra.flux * 1e-17, spectra.ivar * 1e34)
    encoder = ENCODERS.get("aion-published")("spectrum")
    assert np.allclose(encoder.encode(spectra), encoder.encode(cgs), atol=0.05)


def test_a_longer_grid_changes_nothing(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spectra of a survey share one grid, beyond whose own ends each has no data."""
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights))
    grid = np.arange(3600.0, 9000.0, 2.0)
    short = _spectra(grid[200:-300])
    flux, ivar = (np.pad(a, ((0, 0), (200, 300))) for a in (short.flux, short.ivar))
    encoder = ENCODERS.get("astroclip-published")("spectrum")
    assert np.allclose(encoder.encode(short), encoder.encode(Spectra(grid, flux, ivar)), atol=1e-4)


def test_objects_without_data_have_no_vector(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights))
    spectra, images = _spectra(), _images()
    spectra.ivar[1] = 0
    images.pixels[2] = np.nan
    images.pixels[0, 0, 70:80] = np.nan
    for name in ("aion-published", "astroclip-published"):
        got = ENCODERS.get(name)("spectrum").encode(spectra)
        assert np.isnan(got[1]).all()
        assert np.isfinite(got[[0, 2]]).all()
        got = ENCODERS.get(name)("image").encode(images)
        assert np.isnan(got[2]).all()
        assert np.isfinite(got[:2]).all()


def test_nothing_valid_at_all_is_an_error(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights))
    spectra = _spectra()
    spectra.ivar[:] = 0
    with pytest.raises(ValueError, match="none of 3 objects has a valid pixel from 3600 to 9824 Å"):
        ENCODERS.get("astroclip-published")("spectrum").fit([spectra])


@pytest.mark.parametrize(
    ("name", "batch", "message"),
    [
        ("aion-published", _images(side=64), "reads 96 x 96 pixels, and these images have 64 x 64"),
        ("aion-published", _images(("VIS", "Y", "J", "H")), "no bands of Euclid: train the adapter"),
        ("aion-published", _images(("F115W",)), "no images in the bands F115W"),
        ("aion-published", _images(()), r"\(none named\)"),
        ("astroclip-published", _images(side=100), "at least 144 pixels, not 100 x 100"),
        ("astroclip-published", _images(("DES-G", "DES-R")), "needs the bands g, r, z"),
        ("astropt-published", _images(("g", "r")), "reads 3 bands and the images have 2"),
        ("astropt-published", _images(side=12), "patches of 16 pixels"),
        ("aion-published", _spectra(DESI_GRID / 10), "look like nm"),
        ("aion-published", _spectra(DESI_GRID[::-1].copy()), "do not ascend strictly"),
        ("astroclip-published", _spectra(DESI_GRID / 10), "look like nm"),
        ("astroclip-published", _spectra(DESI_GRID + 9000), "outside the grid of 3600 to 9824"),
        ("astropt-published", _spectra(), "knows .*not 'spectrum'"),
    ],
)
def test_what_does_not_fit_is_named(
    name: str, batch: object, message: str, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights))
    with pytest.raises(ValueError, match=message):
        ENCODERS.get(name)("image" if isinstance(batch, Images) else "spectrum").encode(batch)


def test_euclid_by_way_of_an_adapter(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.copytree(weights / "aion-base", tmp_path / "aion-base")
    files.save_weights(tmp_path / "aion-base" / "euclid-adapter.safetensors", EuclidAdapter().state_dict())
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path))
    encoder = ENCODERS.get("aion-published")("image")
    images = _images(("EUCLID-VIS", "NIR-Y", "NIR-J", "NIR-H"), 64)
    assert np.isfinite(encoder.encode(images)).all()
    assert any("euclid-adapter" in f for f in encoder.provenance()["weights"])


def test_the_adapter_is_trained_around_the_frozen_tokenizer(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(weights))
    kind, images = ENCODERS.get("aion-published"), _images(("VIS", "Y", "J", "H"), 64, zero_point=(24.0,) * 4)
    training = kind.training(("image",), {"image": images})
    batch = {k: torch.from_numpy(v) for k, v in training.inputs({"image": images}).items()}
    assert batch["image"].shape == (3, 4, 96, 96)
    optimiser = torch.optim.Adam(training.model.parameters(), 1e-2)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        loss = training.objective(training.model, batch)["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    states = training.weights(training.model)
    assert set(states) == {"image", "joint"}
    file = tmp_path / "aion-published-image.trained.safetensors"
    files.save_weights(file, states["image"])
    encoder = kind("image").load(file)
    assert np.isfinite(encoder.encode(images)).all()
    told = list(encoder.provenance()["weights"])
    assert f"{file.parent.name}/{file.name}" in told
    assert not any(name.startswith("/") for name in told), "provenance travels with exports: no folder of this machine"
    with pytest.raises(ValueError, match="images in DES-G, DES-R, DES-Z need none"):
        kind.training(("image",), {"image": _images()})


def test_a_checkpoint_of_another_size_is_named(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    shutil.copytree(weights / "aion-base", tmp_path / "aion-base")
    (tmp_path / "aion-base" / "config.json").write_text(json.dumps({**_CONFIG, "dim": 48}))
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path))
    with pytest.raises(files.WrongWeights, match=r"not the weights of AION.*of another shape"):
        ENCODERS.get("aion-published")("image").encode(_images())
    (tmp_path / "aion-base" / "codecs" / "image" / "config.json").unlink()
    (tmp_path / "aion-base" / "config.json").write_text(json.dumps(_CONFIG))
    with pytest.raises(NoWeights, match=r"codecs/image/config.json is missing"):
        ENCODERS.get("aion-published")("image").encode(_images())
