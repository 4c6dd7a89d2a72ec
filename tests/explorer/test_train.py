"""An encoder is trained on a survey's own rows, and prepare embeds with what was trained, within a step resumable."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from explorer.pipeline import embed as step
from explorer.pipeline.prepare import plan, prepare, todo
from explorer.pipeline.shipped import Shipped, _readme, ship
from explorer.pipeline.train import Rows, train_encoder
from explorer.pipeline.weights import trained_path, weights_for
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from kernels.embedding import ENCODERS
from kernels.embedding.files import load_meta, load_weights, save_weights
from kernels.embedding.training import Settings, Training
from tests.explorer.test_prepare import KINDS, galaxies

FAMILIES = ["astropt", "astroclip", "aion"]
LIGHT = {"scorers": ("knn",), "layouts": ()}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    path = tmp_path_factory.mktemp("trained") / "s"
    with SurveyWriter(path, card={"name": "s"}, modalities=KINDS, columns={}) as writer:
        writer.append(galaxies(70))
    survey = Survey.open(path)
    for name in FAMILIES:
        train_encoder(survey, name, steps=2, batch=16, anew=True, progress=lambda *_: None)
    return survey


def test_nine_spaces_of_three_families_say_what_made_them(trained: Survey) -> None:
    prepare(trained, encoders=FAMILIES, **LIGHT, progress=lambda *_: None)
    assert len([s for s in trained.spaces if s.split("/")[0] in FAMILIES]) == 9
    image, spectrum = trained.has("image"), trained.has("spectrum")
    for name in FAMILIES:
        for modality, here in (("image", image), ("spectrum", spectrum), ("joint", image & spectrum)):
            vectors = trained.embedding(f"{name}/{modality}")
            np.testing.assert_array_equal(np.isfinite(vectors).all(axis=1), here)
            told = trained.provenance(f"space:{name}/{modality}")
            if modality != "joint":
                assert told["weights"]["origin"] == "trained"
                assert told["mode"] == "correct"
                assert told["skipped"][f"no {modality}"] == (~here).sum()
                assert told["weights"]["file_sha256"] == weights_for(trained, ENCODERS.get(name), modality).sha256
    both = trained.embedding("astropt/joint")[image & spectrum]
    np.testing.assert_allclose(np.linalg.norm(both, axis=1), 1, rtol=1e-5)
    assert load_meta(trained_path(trained, "aion", "joint"))["steps"] == "2"
    for run in ("astropt-image", "astroclip-image+spectrum"):
        folder = trained.path / "encoders" / f"{run}.training"
        assert (folder / "log.png").exists()
        assert not (folder / "checkpoint.safetensors").exists()


def test_other_weights_make_the_space_and_what_stands_on_it_stale(trained: Survey) -> None:
    prepare(trained, encoders=FAMILIES, **LIGHT, progress=lambda *_: None)
    assert todo(trained, plan(trained, FAMILIES, **LIGHT)) == []
    path = trained_path(trained, "astropt", "image")
    state = load_weights(path)
    before = trained.embedding("astropt/image").copy()
    save_weights(path, {k: v * 1.1 if v.is_floating_point() else v for k, v in state.items()})
    stale = {s.column for s in todo(trained, plan(trained, FAMILIES, **LIGHT))}
    assert stale == {f"{k}" for m in ("image", "joint") for k in (f"space:astropt/{m}", f"score:astropt/{m}:knn")}
    prepare(trained, encoders=FAMILIES, **LIGHT, progress=lambda *_: None)
    here = trained.has("image")
    assert np.abs(trained.embedding("astropt/image") - before)[here].max() > 1e-3
    assert todo(trained, plan(trained, FAMILIES, **LIGHT)) == []


def test_a_stopped_embedding_goes_on_within_the_step(trained: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step, "PART", 16)
    whole, _ = step.embed(trained, "aion/joint", 0)
    step.clear(trained)

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 32:
            raise Stopped

    with pytest.raises(Stopped):
        step.embed(trained, "aion/joint", 0, stop)
    seen: list[int] = []
    resumed, _ = step.embed(trained, "aion/joint", 0, lambda done, total: seen.append(done))
    assert seen[0] > 32, "parts that were kept are not made again"
    np.testing.assert_allclose(resumed, whole, atol=1e-5)
    step.clear(trained)
    assert not (trained.cache_dir / "embed").exists()


def test_a_survey_beyond_memory_is_read_in_runs_and_skips_exactly(
    trained: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    from explorer.pipeline import train

    monkeypatch.setattr(train, "READ", 8)
    monkeypatch.setattr(train, "MIXED", 2)
    rows = np.flatnonzero(trained.has("image"))
    made = Training(torch.nn.Linear(1, 1), lambda *_: {}, Settings(), lambda b: {"x": b["image"].pixels}, lambda _: {})
    held = Rows(trained, ("image",), rows, made, 5)
    assert held.held() is not None
    monkeypatch.setattr(train, "free_memory", lambda: 0)
    streamed = Rows(trained, ("image",), rows, made, 5)
    assert streamed.held() is None
    for data in (held, streamed):
        whole = [b["x"] for b in data(3)]
        again = data(3)
        again.skip(4)
        rest = [b["x"] for b in again]
        assert all(np.array_equal(a, b) for a, b in zip(whole[4:], rest, strict=True))
        assert all(len(b) == 5 for b in whole)
        sums = np.concatenate(whole).sum(axis=(1, 2, 3))
        assert len(np.unique(sums)) == len(sums), "no row twice in a pass"
        assert not np.array_equal(whole[0], next(iter(data(4)))["x"])


def test_what_cannot_be_trained_or_has_no_weights_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with SurveyWriter(tmp_path / "s", card={"name": "few"}, modalities=KINDS, columns={}) as writer:
        writer.append(galaxies(8))
    survey = Survey.open(tmp_path / "s")
    with pytest.raises(ValueError, match=r"pca encoder has nothing to train.*astroclip"):
        train_encoder(survey, "pca")
    with pytest.raises(ValueError, match=r"few holds too little to train astroclip: .*image \+ spectrum"):
        train_encoder(survey, "astroclip")
    monkeypatch.setattr(ENCODERS.get("astropt"), "weights", {"image": "none-such.safetensors"})
    with pytest.raises(FileNotFoundError, match=r"make weights.*explorer train astropt"):
        prepare(survey, encoders=["astropt"], **LIGHT, progress=lambda *_: None)


def test_shipped_files_are_half_precision_and_tell_their_recipe(trained: Survey, tmp_path: Path) -> None:
    files = ship(trained, Shipped("aion"), tmp_path)
    assert [f.name for f in files] == ["aion.safetensors"]
    assert all(v.dtype == torch.float16 for v in load_weights(files[0]).values() if v.is_floating_point())
    assert load_meta(files[0])["simulation"] == "4711"
    _readme(tmp_path)
    assert "| aion.safetensors |" in (tmp_path / "README.md").read_text()
