"""Ingest of what people really have: broken files, odd ids, tables that name what is not there, kills."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from explorer.survey.ingest import ingest
from explorer.survey.records import ReadError
from explorer.survey.store import Survey
from tests.explorer import _made


def _report(survey: Path) -> dict[str, dict[str, str]]:
    with (survey / "ingest_report.csv").open(newline="") as lines:
        return {row["file"]: row for row in csv.DictReader(lines)}


def test_each_bad_file_is_set_aside_with_reason_and_fix_and_the_others_load(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    _made.png(source / "good.png")
    _made.fits_cutout(source / "good2.fits")
    (source / "empty.png").touch()
    (source / "text.fits").write_text("Dear observer, your data are ready")
    (source / "text.png").write_text("no picture")
    whole = source / "cut.fits"
    _made.fits_cutout(whole)
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    half = source / "half.png"
    _made.png(half, size=200)
    half.write_bytes(half.read_bytes()[:5000])
    _made.fits_cutout(source / "nan.fits", nan=True)
    _made.sdss(source / "spec-none.fits", n=0)
    (source / "what.xyz").write_bytes(b"?")
    report = ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert sorted(survey.ids) == ["good", "good2"]
    told = _report(tmp_path / "s")
    bad = {"empty.png", "text.fits", "text.png", "cut.fits", "half.png", "nan.fits", "spec-none.fits", "what.xyz"}
    assert set(told) == bad
    assert all(row["reason"] and row["fix"] for row in told.values())
    assert "truncated" in told["cut.fits"]["reason"].lower()
    assert "no FITS" in told["text.fits"]["reason"]
    assert len(report.aside) == len(bad)


def test_a_broken_picture_inside_sound_ends_is_set_aside(tmp_path: Path) -> None:
    source = tmp_path / "in"
    _made.png(source / "a.png")
    _made.png(source / "b.png", size=64)
    data = bytearray((source / "b.png").read_bytes())
    data[60:1000] = bytes(940)
    (source / "b.png").write_bytes(data)
    ingest(source, tmp_path / "s")
    assert Survey.open(tmp_path / "s").ids.tolist() == ["a"]
    assert list(_report(tmp_path / "s")) == ["b.png"]


def test_labels_join_by_any_column_that_names_files_and_64_bit_ids_survive(tmp_path: Path) -> None:
    source, big = tmp_path / "in", 2**63 - 9
    for k in range(4):
        _made.png(source / "images" / f"{big + k}.png", k)
    lines = [f"{big + k},{k % 2},{2**53 + 1 + k}" for k in range(6)]
    (source / "votes.csv").write_text("OBJID,merger,parent\n" + "\n".join(lines) + "\n")
    ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert survey.ids.tolist() == [str(big + k) for k in range(4)]
    assert survey.column("merger").tolist() == [0, 1, 0, 1]
    assert survey.column("parent").tolist() == [str(2**53 + 1 + k) for k in range(4)]
    assert set(_report(tmp_path / "s")) == {str(big + 4), str(big + 5)}, "labels of files that are not there"


def test_two_files_of_one_object_are_two_rows_of_it(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    _made.desi(source / "coadd-a.fits", [2**60 + 1, 2**60 + 3], seed=1)
    _made.desi(source / "coadd-b.fits", [2**60 + 3], seed=2)
    _made.sdss(source / "one" / "spec-1-1-1.fits", ra=10.0)
    _made.sdss(source / "two" / "spec-1-1-1.fits", upper=True, ra=10.0 + 0.3 / 3600)
    _made.sdss(source / "two" / "spec-1-1-2.fits", ra=10.0 + 5 / 3600)
    ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert len(set(survey.ids)) == len(survey) == 6
    objects = survey.object_ids.tolist()
    assert objects.count(str(2**60 + 3)) == 2
    at = dict(zip(survey.ids, objects, strict=True))
    same = [at[i] for i in survey.ids if i.startswith("spec-1-1-1")]
    assert len(same) == 2
    assert same[0] == same[1] != at["spec-1-1-2"], "0.3 arcsec apart is one object, 5 arcsec two"


def test_script_in_ids_and_column_names_stays_data(tmp_path: Path) -> None:
    path = tmp_path / "odd.csv"
    path.write_text('id,"<script>alert(1)</script>",a.b\n"<b>1</b>",5,1\n"x""y",6,2\n')
    ingest(path, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert survey.ids.tolist() == ["<b>1</b>", 'x"y']
    (odd,) = [name for name in survey.columns if "script" in name]
    assert odd == "<script>alert(1)</script>"
    assert survey.column(odd).tolist() == [5, 6]


def test_a_mixed_column_is_text_and_reported(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,mag\na,1\nb,2.5\nc,faint\n")
    ingest(tmp_path / "t.csv", tmp_path / "s")
    assert Survey.open(tmp_path / "s").column("mag").tolist() == ["1", "2.5", "faint"]
    assert "mixes numbers and text" in _report(tmp_path / "s")["t.csv"]["reason"]


def test_a_folder_with_nothing_usable_says_what_was_looked_for(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.doc").write_bytes(b"x")
    with pytest.raises(ReadError, match=r"(?s)nothing usable among 1 files.*PNG.*spectra.*tables"):
        ingest(tmp_path / "in", tmp_path / "s")
    assert not (tmp_path / "s").exists()
    with pytest.raises(FileNotFoundError, match="does not exist"):
        ingest(tmp_path / "missing", tmp_path / "s")


def test_an_unknown_reader_lists_those_that_exist(tmp_path: Path) -> None:
    _made.png(tmp_path / "in" / "a.png")
    with pytest.raises(LookupError, match=r"no reader named 'imgaes'.*'images'.*sdss"):
        ingest(tmp_path / "in", tmp_path / "s", reader="imgaes")


def test_images_and_spectra_of_one_name_are_paired_without_a_table(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for k in range(3):
        _made.png(source / "images" / f"g{k}.png", k)
        if k:
            _made.sdss(source / "spectra" / f"g{k}.fits", ra=10.0 * k)
    ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert survey.ids.tolist() == ["g0", "g1", "g2"]
    assert survey.has("image").tolist() == [True, True, True]
    assert survey.has("spectrum").tolist() == [False, True, True]


def test_columns_keep_their_units(tmp_path: Path) -> None:
    from astropy import units as u
    from astropy.table import Table

    Table({"name": ["a"], "RA": [1.0] * u.deg, "flux": [2.0] * u.mJy}).write(tmp_path / "t.fits")
    ingest(tmp_path / "t.fits", tmp_path / "s")
    assert Survey.open(tmp_path / "s").units == {"ra": "deg", "flux": "mJy"}


def test_a_survey_inside_its_source_is_no_source(tmp_path: Path) -> None:
    _made.png(tmp_path / "a.png")
    ingest(tmp_path, tmp_path / "made")
    again = ingest(tmp_path, tmp_path / "made")
    assert (again.rows, again.aside) == (1, [])


def test_bands_in_files_of_their_own_are_one_image(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    made = {}
    for name in ("EUCL-1", "EUCL-2"):
        for k, band in enumerate(("NISP-H", "VIS", "NISP-Y")):
            if (name, band) != ("EUCL-2", "NISP-Y"):
                made[name, band] = _made.fits_cutout(source / f"{name}_{band}.fits", seed=k, bands=("SCI",))[0]
    (source / "t.csv").write_text("object_id,mag\nEUCL-2,21.5\nEUCL-1,20\n")
    ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert survey.ids.tolist() == ["EUCL-1", "EUCL-2"]
    assert survey.modalities["image"]["bands"] == ["VIS", "NISP-Y", "NISP-H"]
    assert survey.modalities["image"]["zero_point"] == [24.5] * 3
    for k, band in enumerate(("VIS", "NISP-Y", "NISP-H")):
        np.testing.assert_array_equal(survey.image(0).pixels[k], made["EUCL-1", band])
    assert np.isnan(survey.image(1).pixels[1]).all()
    assert survey.column("mag").tolist() == [20, 21.5]


def test_several_sources_become_one_survey_with_the_union_of_columns(tmp_path: Path) -> None:
    _made.png(tmp_path / "a" / "x.png")
    (tmp_path / "a" / "t.csv").write_text("file,Z\nx.png,0.5\n")
    _made.sdss(tmp_path / "b" / "spec-1.fits", Z=0.25)
    seen: list[tuple[int, int, str]] = []
    ingest([tmp_path / "a", tmp_path / "b"], tmp_path / "s", progress=lambda *told: seen.append(told))
    survey = Survey.open(tmp_path / "s")
    assert len(survey) == 2
    assert dict(zip(survey.ids, survey.column("z"), strict=True)) == {"x": 0.5, "spec-1": 0.25}, "Z is z"
    assert seen[-1][:2] == (2, 2)


def test_ingesting_again_adds_only_what_is_new(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for k in range(3):
        _made.png(source / f"{k}.png", k)
    assert ingest(source, tmp_path / "s").added == 3
    _made.png(source / "3.png", 3)
    (source / "bad.png").touch()
    again = ingest(source, tmp_path / "s")
    assert (again.added, again.rows) == (1, 4)
    once = ingest(source, tmp_path / "s")
    assert (once.added, once.rows) == (0, 4)
    assert list(_report(tmp_path / "s")) == ["bad.png"], "a file is reported once"


def test_a_killed_ingest_goes_on_and_loses_nothing(tmp_path: Path) -> None:
    rows = 60_000
    lines = "\n".join(f"{2**60 + k},{k}" for k in range(rows))
    (tmp_path / "t.csv").write_text("targetid,value\n" + lines + "\n")
    code = textwrap.dedent(
        f"""
        import time
        from explorer.survey.ingest import ingest
        def slow(done, total, label):
            print(done, flush=True); time.sleep(30)
        ingest({str(tmp_path / "t.csv")!r}, {str(tmp_path / "s")!r}, progress=slow)
        """
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2])
    assert process.stdout is not None
    assert int(process.stdout.readline()) > 0
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    held = len(Survey.open(tmp_path / "s"))
    assert 0 < held < rows, "the survey opens at every moment"
    report = ingest(tmp_path / "t.csv", tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert (report.added, len(survey)) == (rows - held, rows)
    assert survey.ids.tolist() == [str(2**60 + k) for k in range(rows)]
    np.testing.assert_array_equal(survey.column("value"), np.arange(rows))


@pytest.mark.parametrize("form", ["npy", "npz", "parquet", "hdf5", "safetensors"])
def test_embeddings_that_people_have_are_joined_by_id(tmp_path: Path, form: str) -> None:
    from explorer.survey.embeddings import join

    ids = [2**60 + k for k in range(6)]
    (tmp_path / "t.csv").write_text("id,x\n" + "".join(f"{i},1\n" for i in ids))
    ingest(tmp_path / "t.csv", tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    vectors = np.random.default_rng(0).normal(size=(5, 8)).astype(">f8")
    order = [ids[4], ids[1], ids[0], ids[5], 99]
    path = tmp_path / f"clip_image.{form}"
    _write(path, vectors, order)
    told = join(survey, path, "clip/image")
    assert (told.rows, told.of, told.unknown, told.by) == (4, 6, 1, "id")
    back = survey.embedding("clip/image")
    np.testing.assert_allclose(back[[4, 1, 0, 5]], vectors[:4], rtol=1e-6)
    assert np.isnan(back[[2, 3]]).all()


def _write(path: Path, vectors: np.ndarray, ids: list[int]) -> None:
    native = vectors.astype(np.float32)
    if path.suffix == ".npy":
        np.save(path, vectors)
        path.with_name(f"{path.stem}_ids.txt").write_text("\n".join(map(str, ids)))
    elif path.suffix == ".npz":
        np.savez(path, embeddings=vectors, targetid=np.array(ids))
    elif path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table({"object_id": ids, "embedding": native.tolist()}), path)
    elif path.suffix == ".hdf5":
        import h5py

        with h5py.File(path, "w") as file:
            file["embeddings"], file["ids"] = vectors, np.array(ids)
    else:
        from safetensors.numpy import save_file

        save_file({"embeddings": native, "ids": np.array(ids)}, path)


def test_pickled_embeddings_are_refused_and_unmatched_ones_say_which_ids_met(tmp_path: Path) -> None:
    from explorer.survey.embeddings import join, load

    np.save(tmp_path / "o.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ReadError, match="Python objects"):
        load(tmp_path / "o.npy")
    np.savez(tmp_path / "f.npz", embeddings=np.eye(3), ids=np.array([1.0, 2.0, 3.0]))
    with pytest.raises(ReadError, match="lose digits"):
        load(tmp_path / "f.npz")
    (tmp_path / "t.csv").write_text("id,x\na,1\n")
    ingest(tmp_path / "t.csv", tmp_path / "s")
    np.savez(tmp_path / "n.npz", embeddings=np.eye(3), ids=np.array(["p", "q", "r"]))
    with pytest.raises(ReadError, match=r"none of its 3 ids .*'p'.*'a'"):
        join(Survey.open(tmp_path / "s"), tmp_path / "n.npz", "n/joint")


def test_embeddings_beside_images_become_a_space_and_alone_a_survey(tmp_path: Path) -> None:
    for k in range(4):
        _made.png(tmp_path / "in" / f"{k}.png", k)
    np.savez(tmp_path / "in" / "clip_image_embeddings.npz", embeddings=np.eye(4), ids=np.arange(4)[::-1])
    ingest(tmp_path / "in", tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert (len(survey), survey.spaces) == (4, ["clip/image"])
    np.testing.assert_array_equal(survey.embedding("clip/image"), np.eye(4)[::-1])
    ingest(tmp_path / "in" / "clip_image_embeddings.npz", tmp_path / "alone")
    alone = Survey.open(tmp_path / "alone")
    assert (alone.ids.tolist(), alone.spaces) == (["3", "2", "1", "0"], ["clip/image"])
