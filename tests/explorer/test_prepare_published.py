"""`prepare` with published weights: native pixels and wavelengths reach the encoder, and the provenance tells which."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from explorer.cli import main
from explorer.pipeline.prepare import prepare
from explorer.survey.records import Image, Record, Spectrum
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from kernels.embedding.encoders._published import DESI_GRID
from kernels.embedding.files import digest
from kernels.embedding.models.astroclip import AstroClip, ImageBackbone, SpecFormer, legacy_rgb, spectrum_tokens

WAVELENGTH = DESI_GRID.copy()


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    rng = np.random.default_rng(0)
    modalities = {"image": {"bands": ["g", "r", "z"], "pixel_scale": 0.262, "zero_point": [22.5] * 3}, "spectrum": {}}
    path = tmp_path / "legacy"
    with SurveyWriter(path, card={"name": "legacy"}, modalities=modalities, columns={}) as writer:
        writer.append(
            Record(
                f"s{i}", f"s{i}", {},
                image=Image(rng.normal(0.1, 0.1, (3, 152, 152)).astype(np.float32)),
                spectrum=Spectrum(WAVELENGTH, rng.normal(4, 1, 7781), np.full(7781, 0.0 if i == 2 else 1.0)),
            )
            for i in range(5)
        )  # fmt: skip
    return Survey.open(path)


def test_prepare_with_published_weights(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = AstroClip(ImageBackbone(144, 12, 32, 2, 16, 2), SpecFormer(22, 24, 1, 6, 800), dim=32).eval()
    file = tmp_path / "weights" / "astroclip" / "astroclip.ckpt"
    file.parent.mkdir(parents=True)
    torch.save({"state_dict": model.state_dict()}, file)
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path / "weights"))
    prepare(survey, ["astroclip-published"], (), (), progress=lambda *a: None)
    spectra = survey.embedding("astroclip-published/spectrum")
    assert np.flatnonzero(~np.isfinite(spectra).all(axis=1)).tolist() == [2], "the spectrum without a valid pixel"
    spectrum, image = survey.spectrum(1), survey.image(1)
    assert spectrum is not None
    assert image is not None
    with torch.no_grad():
        flux = torch.from_numpy(np.asarray(spectrum.flux, np.float32))[None]
        assert np.allclose(spectra[1], model.spectrum(spectrum_tokens(flux))[0], atol=1e-3)
        pixels = torch.from_numpy(image.pixels.astype(np.float32))[None]
        assert np.allclose(
            survey.embedding("astroclip-published/image")[1], model.image(legacy_rgb(pixels))[0], atol=1e-3
        )
    told = survey.provenance("space:astroclip-published/spectrum")["published"]
    assert told["how"] == "correct"
    assert list(told["weights"].values()) == [digest(file)]
    kept = (survey.path / "encoders" / "astroclip-published-image.safetensors").stat().st_size
    assert kept < 1000, "the weights are not copied into the survey"


def test_without_weights_the_command_says_what_to_put_where(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("EXPLORER_WEIGHTS", "HF_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    assert main(["prepare", str(survey.path), "--encoders", "aion-published"]) != 0
    told = capsys.readouterr().err
    assert "put the files of polymathic-ai/aion-base" in told
    assert str(tmp_path / "nothing" / "aion-base" / "model.safetensors") in told


def test_the_euclid_adapter_is_trained_on_a_survey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer.pipeline.train import train_encoder
    from kernels.embedding.files import save_weights
    from kernels.embedding.models.aion import Aion
    from kernels.embedding.models.aion_tokenizers import ImageTokenizer

    folder = tmp_path / "weights" / "aion-base"
    kinds = ["tok_image", "tok_image_hsc", "tok_spectrum_desi", "tok_spectrum_sdss"]
    parts = {
        folder: (
            {"domains_in": kinds, "dim": 8, "encoder_depth": 1, "num_heads": 2, "norm_bias": False},
            Aion.from_config,
        ),
        folder / "codecs" / "image": (
            {"quantizer_levels": [7, 5, 5, 5, 5], "hidden_dims": 8, "num_consecutive": 1},
            ImageTokenizer.from_config,
        ),
    }
    for place, (config, make) in parts.items():
        place.mkdir(parents=True)
        (place / "config.json").write_text(json.dumps(config))
        save_weights(place / "model.safetensors", make(config).state_dict())  # type: ignore[operator]
    monkeypatch.setenv("EXPLORER_WEIGHTS", str(tmp_path / "weights"))
    rng = np.random.default_rng(0)
    modalities = {"image": {"bands": ["VIS", "Y", "J", "H"], "pixel_scale": 0.1, "zero_point": [24.0] * 4}}
    with SurveyWriter(tmp_path / "euclid", card={"name": "euclid"}, modalities=modalities, columns={}) as writer:
        images = [Image(rng.normal(1, 1, (4, 48, 48)).astype(np.float32)) for _ in range(18)]
        writer.append(Record(f"e{i}", f"e{i}", {}, image=image) for i, image in enumerate(images))
    survey = Survey.open(tmp_path / "euclid")
    with pytest.raises(ValueError, match="explorer train aion-published"):
        prepare(survey, ["aion-published"], (), (), progress=lambda *a: None)
    written = train_encoder(survey, "aion-published", steps=2, batch=4, progress=lambda *a: None)
    assert {p.name for p in written} == {f"aion-published-{m}.trained.safetensors" for m in ("image", "joint")}
    prepare(survey, ["aion-published"], (), (), progress=lambda *a: None)
    assert np.isfinite(survey.embedding("aion-published/image")).all()
    told = survey.provenance("space:aion-published/image")["published"]["weights"]
    assert any("trained" in file for file in told)
