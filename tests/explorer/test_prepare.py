"""From pixels to spaces, scores and layouts: whole, resumable, and with its provenance."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from explorer.pipeline.batches import common_grid, image_batch, spectrum_batch
from explorer.pipeline.prepare import Step, plan, prepare, todo
from explorer.survey.records import Image, Record, Spectrum
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from kernels.preprocess.images import resize
from kernels.registry import UnknownName

KINDS = {"image": {"bands": ["g", "r"], "pixel_scale": 0.2}, "spectrum": {}}


def galaxies(n: int, start: int = 0) -> list[Record]:
    """Round blobs with a line whose place follows their size; every fifth lacks an image, every seventh a spectrum."""
    made = []
    y, x = np.mgrid[-10:10, -10:10]
    grid = np.arange(4000.0, 8000.0, 3.0)
    for i in range(start, start + n):
        rng = np.random.default_rng(i)
        size = rng.uniform(1.5, 5)
        blob = 10 * np.exp(-(x**2 + y**2) / (2 * size**2)) + rng.normal(size=(2, 20, 20))
        flux = 2 + np.exp(-((grid - 4500 - 500 * size) ** 2) / 500) + rng.normal(0, 0.1, grid.size)
        spectrum = Spectrum(grid, flux.astype("f4"), np.full(grid.size, 100, "f4"))
        image = Image(blob.astype("f4")) if i % 5 else None
        made.append(Record(f"g{i}", f"g{i}", image=image, spectrum=spectrum if i % 7 else None, source=f"g{i}"))
    return made


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities=KINDS, columns={}) as writer:
        writer.append(galaxies(120))
    return Survey.open(tmp_path / "s")


def test_spaces_scores_and_layouts_of_two_modalities(survey: Survey) -> None:
    seen: list[tuple[int, int, str]] = []
    done = prepare(survey, progress=lambda *a: seen.append(a))
    assert survey.spaces == ["pca/image", "pca/spectrum", "pca/joint"]
    assert [s.kind for s in done] == ["embed", "score", "score", "lay out"] * 3
    assert seen[-1][:2] == (12, 12)
    image, spectrum = survey.has("image"), survey.has("spectrum")
    for space, here in (("pca/image", image), ("pca/spectrum", spectrum), ("pca/joint", image & spectrum)):
        vectors = survey.embedding(space)
        np.testing.assert_array_equal(np.isfinite(vectors).all(axis=1), here)
        np.testing.assert_array_equal(np.isfinite(survey.layout(space)).all(axis=1), here)
        np.testing.assert_array_equal(survey.rank(space, "knn") > 0, here)
        inside = vectors[here]
        standard = (inside - inside.mean(axis=0)) / inside.std(axis=0)
        reference = NearestNeighbors(n_neighbors=10, metric="cosine", algorithm="brute").fit(standard)
        np.testing.assert_allclose(
            survey.score(space, "knn")[here], reference.kneighbors()[0].mean(axis=1), rtol=1e-3, atol=1e-5
        )


def test_what_stands_is_not_done_again_and_says_how_it_was_made(survey: Survey) -> None:
    prepare(survey, layouts=())
    version = survey.version
    assert prepare(survey, layouts=()) == []
    assert survey.version == version
    told = survey.provenance("score:pca/image:knn")
    assert told["parameters"]["k"] == 10
    assert told["seed"] == 0
    assert (survey.path / "encoders" / "pca-image.safetensors").exists()
    assert len(survey.provenance("space:pca/image")["weights_sha256"]) == 64
    assert prepare(survey, layouts=("pca",))[0] == Step("lay out", "pca/image", "pca")


def test_rows_that_came_later_are_embedded_too(survey: Survey) -> None:
    prepare(survey, layouts=())
    with SurveyWriter(survey.path, card={}, modalities=KINDS, columns={}) as writer:
        writer.append(galaxies(10, start=120))
    survey.refresh()
    assert len(survey) == 130
    assert todo(survey, plan(survey, layouts=()))
    prepare(survey, layouts=())
    here = survey.has("image")
    assert np.isfinite(survey.embedding("pca/image")[here]).all()
    assert here[120:].any()


def test_unknown_names_list_what_exists(survey: Survey) -> None:
    with pytest.raises(UnknownName, match=r"no encoder named 'pac'.*pca"):
        prepare(survey, encoders=["pac"])
    with pytest.raises(UnknownName, match=r"no scorer named 'kn'.*knn"):
        prepare(survey, scorers=["kn"])
    with pytest.raises(UnknownName, match=r"no layout named 'map'.*umap"):
        prepare(survey, layouts=["map"])


def test_an_empty_survey_says_so(tmp_path: Path) -> None:
    with SurveyWriter(tmp_path, card={}, modalities=KINDS, columns={}):
        pass
    with pytest.raises(ValueError, match="no rows"):
        prepare(Survey.open(tmp_path))


def test_a_killed_prepare_goes_on(survey: Survey) -> None:
    command = [sys.executable, "-m", "explorer.cli", "prepare", str(survey.path)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    watched = Survey(survey.path)
    ends = time.monotonic() + 90
    while "pca/image" not in watched.spaces and time.monotonic() < ends and process.poll() is None:
        time.sleep(0.02)
        watched.refresh()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    survey.refresh()
    assert survey.spaces, "the survey opens after a kill"
    first = survey.provenance("space:pca/image")
    done = prepare(survey)
    assert Step("embed", "pca/image") not in done
    assert survey.provenance("space:pca/image") == first
    assert todo(survey, plan(survey)) == []


def test_images_of_unequal_shape_and_bands_become_one_block(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shapes = [(3, 20, 20), (3, 31, 24), (1, 20, 20)]
    records = [Record(f"i{k}", f"i{k}", image=Image(rng.normal(size=s).astype("f4"))) for k, s in enumerate(shapes)]
    with SurveyWriter(tmp_path, card={}, modalities={"image": {"bands": ["g", "r", "z"]}}, columns={}) as writer:
        writer.append(records)
    block = image_batch(Survey.open(tmp_path), np.arange(3), 16)
    assert block.pixels.shape == (3, 3, 16, 16)
    np.testing.assert_array_equal(block.pixels[2, 0], block.pixels[2, 2])


def test_spectra_of_unequal_grids_come_on_one(tmp_path: Path) -> None:
    fine, coarse = np.arange(4000.0, 5000.0, 0.5), np.arange(4000.0, 5000.0, 4.0)
    ivar = np.ones_like(fine)
    ivar[800:900] = 0
    records = [
        Record("fine", "fine", spectrum=Spectrum(fine, np.where(ivar > 0, np.sin(fine / 300), 99).astype("f4"), ivar)),
        Record("coarse", "coarse", spectrum=Spectrum(coarse, np.sin(coarse / 300).astype("f4"), np.ones(250))),
    ]
    with SurveyWriter(tmp_path, card={}, modalities={"spectrum": {}}, columns={}) as writer:
        writer.append(records)
    grid = np.arange(3990.0, 5100.0, 2.0)
    block = spectrum_batch(Survey.open(tmp_path), np.arange(2), grid)
    for flux, weight in zip(block.flux, block.ivar, strict=True):
        np.testing.assert_allclose(flux[weight > 0], np.sin(grid[weight > 0] / 300), atol=2e-2)
        assert (weight[(grid > 4010) & (grid < 4390)] > 0).all()
        assert not (weight[(grid < 3998) | (grid > 5001)] > 0).any()
    assert not (block.ivar[0][(grid > 4402) & (grid < 4448)] > 0).any()


def test_the_common_grid_covers_the_survey(survey: Survey) -> None:
    grid = common_grid(survey)
    assert grid[0] == pytest.approx(4000)
    assert grid[-1] == pytest.approx(7996, abs=4)


@pytest.mark.parametrize("old", [64, 80])
def test_a_smaller_image_keeps_its_mean(old: int) -> None:
    pixels = np.random.default_rng(0).normal(size=(2, 1, old, old))
    np.testing.assert_allclose(resize(pixels, 16, antialias=True).mean(), pixels.mean(), atol=1e-6)


def test_an_encoder_that_finds_nothing_to_embed_is_told(survey: Survey, caplog: pytest.LogCaptureFixture) -> None:
    done = prepare(survey, ["pca", "tfidf", "pca"], scorers=(), layouts=())
    assert [s.space for s in done] == ["pca/image", "pca/spectrum", "pca/joint"]
    assert [r.getMessage() for r in caplog.records] == ["tfidf makes no space of s: fewer than 4 rows have text"]
