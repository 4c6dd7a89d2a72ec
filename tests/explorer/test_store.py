"""The survey on disk: what goes in comes out, versions are atomic, one writer at a time."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import rankdata

from explorer.survey.files import SurveyError, read_meta, write_meta
from explorer.survey.records import Events, Image, Record, Spectrum, XSpectrum
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from kernels.registry import UnknownName

BANDS = {"image": {"bands": ["g", "r", "z"], "pixel_scale": 0.2}, "spectrum": {}}
COLUMNS = {"z": pa.float64(), "field": pa.string(), "big": pa.int64()}
BIG = 2**60 + 1


def records(n: int, start: int = 0) -> list[Record]:
    made = []
    for i in range(start, start + n):
        rng = np.random.default_rng(i)
        image = Image(rng.normal(size=(3, 12, 12)).astype(np.float32)) if i % 4 else None
        grid = 10 ** (3.55 + 1e-4 * np.arange(200 + i % 3))
        spectrum = Spectrum(grid, rng.normal(size=grid.size).astype("f4"), np.ones(grid.size, "f4"))
        values = {"z": None if i % 5 == 0 else i / 10, "field": f"F{i % 2}", "big": BIG + i}
        made.append(Record(str(BIG + i), f"o{i // 2}", values, image=image, spectrum=spectrum, source=f"f{i}"))
    return made


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities=BANDS, columns=COLUMNS) as writer:
        writer.append(records(12))
        writer.append(records(8, start=12))
    return Survey.open(tmp_path / "s")


def test_what_goes_in_comes_out(survey: Survey) -> None:
    expected = records(20)
    assert len(survey) == 20
    assert survey.ids.tolist() == [r.id for r in expected]
    assert survey.column("big").tolist() == [BIG + i for i in range(20)]
    assert np.isnan(survey.column("z")[::5]).all()
    assert survey.column("z")[11] == 1.1
    assert survey.has("image").tolist() == [bool(i % 4) for i in range(20)]
    rows = [7, 0, 13, 5]
    for got, row in zip(survey.images(rows), rows, strict=True):
        want = expected[row].image
        assert (got is None) == (want is None)
        if want is not None:
            np.testing.assert_array_equal(got.pixels, want.pixels)
    for got, row in zip(survey.spectra(rows), rows, strict=True):
        want = expected[row].spectrum
        np.testing.assert_allclose(got.wavelength, want.wavelength, rtol=1e-9)
        np.testing.assert_array_equal(got.flux, want.flux)
    thumbs = survey.thumbnails(rows)
    assert thumbs[1] is None
    assert thumbs[0].startswith(b"\xff\xd8\xff")
    frame = survey.table([3, 1], ["z", "field"])
    assert frame["id"].tolist() == [expected[3].id, expected[1].id]
    assert frame["field"].tolist() == ["F1", "F1"]


def test_ids_above_2_to_53_find_their_rows(survey: Survey) -> None:
    assert survey.rows_of([str(BIG + 7), BIG + 2]).tolist() == [7, 2]
    with pytest.raises(UnknownName, match="nobody"):
        survey.rows_of(["nobody"])


def test_events_xspectrum_and_an_irregular_grid_survive(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    events = Events(np.sort(rng.uniform(0, 100, 9)), None, np.array([[0.0, 100.0]]))
    edges = np.linspace(0.3, 8, 11)
    area = np.full(10, np.nan)
    x = XSpectrum(edges[:-1], edges[1:], rng.poisson(3, 10), np.zeros(10), area, 1234.5, "digest")
    wavelength = np.sort(rng.uniform(4000, 9000, 50))
    spectrum = Spectrum(wavelength, np.ones(50, "f4"), np.zeros(50, "f4"))
    record = Record("a", "a", events=events, xspectrum=x, spectrum=spectrum, text="two lines\nof text")
    kinds = {m: {} for m in ("events", "xspectrum", "spectrum", "text")}
    with SurveyWriter(tmp_path, card={}, modalities=kinds, columns={}) as writer:
        writer.append([record])
    s = Survey.open(tmp_path)
    assert s.events(0).energy is None
    np.testing.assert_array_equal(s.events(0).time, events.time)
    np.testing.assert_array_equal(s.events(0).gti, events.gti)
    got = s.xspectrum(0)
    assert (got.exposure, got.response) == (1234.5, "digest")
    np.testing.assert_array_equal(got.counts, x.counts)
    np.testing.assert_array_equal(s.spectrum(0).wavelength, wavelength)
    assert s.text(0) == "two lines\nof text"


def test_a_missing_modality_is_null_and_a_strange_score_ranks_first(survey: Survey) -> None:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(20, 5)).astype("f4")
    vectors[~survey.has("image")] = np.nan
    survey.put_embedding("pca/image", vectors)
    np.testing.assert_array_equal(survey.embedding("pca/image"), vectors)
    scores = rng.normal(size=20)
    scores[3] = np.nan
    survey.put_score("pca/image", "knn", scores)
    here = survey.has("image")
    assert survey.provenance("score:pca/image:knn")["non_finite"] == 1
    assert np.isposinf(survey.score("pca/image", "knn")[3])
    assert np.isnan(survey.score("pca/image", "knn")[~here]).all()
    places = survey.rank("pca/image", "knn")
    assert (places[~here] == 0).all()
    shown = np.where(np.isfinite(scores[here]), scores[here], np.inf)
    np.testing.assert_array_equal(places[here], rankdata(-shown, method="min"))
    assert survey.percentile("pca/image", "knn")[3] == 100.0


def test_each_step_is_one_version_and_stands_in_survey_toml(survey: Survey) -> None:
    before = survey.version
    survey.put_layout("pca/image", "umap", np.zeros((20, 2)), {"seed": 3})
    assert survey.version == before + 1
    (step,) = read_meta(survey.path)["steps"]
    assert (step["column"], step["step"], step["seed"]) == ("layout:pca/image:umap", "lay out", 3)
    survey.put_layout("pca/image", "umap", np.ones((20, 2)))
    assert (survey.layout("pca/image") == 1).all()


def test_a_server_notices_a_newer_version(survey: Survey) -> None:
    other = Survey(survey.path)
    ids = other.ids
    survey.put_embedding("pca/image", np.ones((20, 3), "f4"))
    assert other.spaces == []
    assert other.refresh()
    assert not other.refresh()
    assert other.spaces == ["pca/image"]
    assert other.ids is ids, "columns that did not change are not read again"


def test_open_gives_one_object_per_process(survey: Survey) -> None:
    assert Survey.open(survey.path) is survey
    assert Survey.open(str(survey.path) + "/") is survey


def test_duplicate_ids_become_two_rows(tmp_path: Path) -> None:
    with SurveyWriter(tmp_path, card={}, modalities={}, columns={}) as writer:
        writer.append([Record("a", "o"), Record("a", "o")])
    with SurveyWriter(tmp_path, card={}, modalities={}, columns={}) as writer:
        writer.append([Record("a", "o")])
    assert Survey.open(tmp_path).ids.tolist() == ["a", "a#2", "a#3"]


def test_odd_column_names_and_values_are_kept(tmp_path: Path) -> None:
    columns = {"a.b": pa.int64(), "image": pa.string(), "<script>": pa.string(), "x:y": pa.float64()}
    with SurveyWriter(tmp_path, card={}, modalities={}, columns=columns) as writer:
        writer.append([Record("<b>", "o", {"a.b": "many", "image": "i", "<script>": 5, "x:y": np.float32(2)})])
        names = dict(writer.names)
    s = Survey.open(tmp_path)
    assert names == {"a.b": "a_b", "image": "image_", "<script>": "<script>", "x:y": "x_y"}
    assert s.column("<script>").tolist() == ["5"]
    assert s.column("x_y").tolist() == [2.0]
    assert np.isnan(s.column("a_b")[0])
    report = (tmp_path / "ingest_report.csv").read_text()
    assert "a_b" in report
    assert "many" in report


def test_a_second_ingest_adds_its_columns(survey: Survey) -> None:
    with SurveyWriter(survey.path, card={}, modalities={"text": {}}, columns={"mag": pa.float64()}) as writer:
        assert "f3" in writer.sources
        writer.append([Record("new", "new", {"mag": 20.5}, text="hello")])
    s = Survey.open(survey.path)
    assert len(s) == 21
    assert np.isnan(s.column("mag")[:20]).all()
    assert s.column("mag")[20] == 20.5
    assert s.text(20) == "hello"
    assert s.spectrum(20) is None


def test_errors_name_what_exists(survey: Survey, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"redshift.*There are: z, field, big"):
        survey.column("redshift")
    with pytest.raises(UnknownName, match="no space yet"):
        survey.embedding("pca/image")
    with pytest.raises(SurveyError, match=r"survey\.toml"):
        Survey.open(tmp_path)
    with pytest.raises(ValueError, match="20 rows"):
        survey.put_embedding("pca/image", np.zeros((3, 2)))
    meta = read_meta(survey.path)
    write_meta(survey.path, {**meta, "format_version": 99})
    with pytest.raises(SurveyError, match="format 99"):
        Survey(survey.path)


def _hold(path: str, ready: multiprocessing.synchronize.Event, rows: int) -> None:
    with SurveyWriter(path, card={"name": "k"}, modalities=BANDS, columns=COLUMNS) as writer:
        writer.append(records(rows))
        ready.set()
        time.sleep(60)


def test_a_killed_writer_leaves_a_whole_survey_and_frees_its_lock(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    process = context.Process(target=_hold, args=(str(tmp_path), ready, 6))
    process.start()
    assert ready.wait(60)
    with (
        pytest.raises(SurveyError, match=f"process {process.pid}"),
        SurveyWriter(tmp_path, card={}, modalities=BANDS, columns=COLUMNS),
    ):
        pass
    assert len(Survey.open(tmp_path)) == 6, "a survey opens while it is written"
    os.kill(process.pid, signal.SIGKILL)
    process.join(10)
    with SurveyWriter(tmp_path, card={}, modalities=BANDS, columns=COLUMNS) as writer:
        assert writer.sources == {f"f{i}" for i in range(6)}
        writer.append(records(2, start=6))
    assert len(Survey.open(tmp_path)) == 8


def test_few_and_many_ids_find_the_same_rows(survey: Survey) -> None:
    many = [str(BIG + i) for i in (*range(20), 3, 3)]
    assert survey.rows_of(many).tolist() == [*range(20), 3, 3]
    assert survey.rows_of(many[17:]).tolist() == [17, 18, 19, 3, 3]
    assert survey.rows_of([]).dtype == np.int64
    for wanted in (["nobody"], [*many, "nobody"]):
        with pytest.raises(UnknownName, match="nobody"):
            survey.rows_of(wanted)
