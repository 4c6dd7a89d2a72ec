"""More of what people really have: each loads rightly or is set aside, and the others load."""

from __future__ import annotations

import csv
import gzip
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits

from explorer.pipeline.prepare import prepare
from explorer.survey._tables import load_table
from explorer.survey.ingest import ingest
from explorer.survey.records import ReadError
from explorer.survey.store import Survey
from tests.explorer import _made


def _report(survey: Path) -> dict[str, dict[str, str]]:
    with (survey / "ingest_report.csv").open(newline="") as lines:
        return {row["file"]: row for row in csv.DictReader(lines)}


def _spectrum(path: Path, axis: np.ndarray, unit: str | None, name: str = "wavelength") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = [
        fits.Column(name, "D", array=axis, unit=unit),
        fits.Column("flux", "E", array=np.linspace(1, 2, len(axis))),
        fits.Column("error", "E", array=np.ones(len(axis))),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)


def _huge_png() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


def test_links_to_nothing_pipes_bombs_and_broken_gzip_are_set_aside(tmp_path: Path) -> None:
    source = tmp_path / "in"
    _made.png(source / "good.png")
    os.symlink("/nowhere/at/all", source / "nothing.dat")
    os.symlink("../in", source / "loop")
    os.mkfifo(source / "pipe.fits")
    (source / "bomb.png").write_bytes(_huge_png())
    _made.fits_cutout(source / "whole.fits")
    squeezed = bytearray(gzip.compress((source / "whole.fits").read_bytes()))
    squeezed[10:60] = b"\xff" * 50
    (source / "broken.fits.gz").write_bytes(squeezed)
    (source / "head.fits").write_bytes((source / "whole.fits").read_bytes()[:1000])
    ingest(source, tmp_path / "s")
    assert sorted(Survey.open(tmp_path / "s").ids) == ["good", "whole"]
    told = _report(tmp_path / "s")
    assert set(told) == {"nothing.dat", "pipe.fits", "bomb.png", "broken.fits.gz", "head.fits"}
    assert "damaged" in told["head.fits"]["reason"]


def test_a_file_name_that_is_no_text_loads_once(tmp_path: Path) -> None:
    source = tmp_path / "in"
    _made.png(source / "good.png")
    try:
        shutil.copy(source / "good.png", os.fsdecode(os.fsencode(source) + b"/caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    ingest(source, tmp_path / "s")
    assert ingest(source, tmp_path / "s").added == 0
    assert len(set(Survey.open(tmp_path / "s").ids)) == 2


def test_labels_with_paths_of_windows_and_of_another_machine_a_word_as_row_and_lines_twice(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for name in "abc":
        _made.png(source / "images" / f"{name}.png")
    lines = ["images\\a.png,A3,1", "C:\\data\\images\\b.png,B1,2", "/else/where/images/c.png,C,3", "images/c.png,C,9"]
    (source / "labels.csv").write_bytes("\n".join(["\ufefffile,row,x", *lines]).encode())
    ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert dict(zip(survey.ids, survey.column("x"), strict=True)) == {"a": 1, "b": 2, "c": 3}
    assert "earlier line" in _report(tmp_path / "s")["labels.csv"]["reason"]


def test_columns_with_names_that_the_store_keeps_for_itself(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,_rowid,a`b,tab\x01le\n1,2,3,4\n")
    ingest(tmp_path / "t.csv", tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert {name: survey.column(name)[0] for name in survey.columns} == {"_rowid_": 2, "a_b": 3, "tab_le": 4}


def test_whole_numbers_that_no_type_holds_keep_their_digits(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n18446744073709551615,1.5\n99999999999999999999999,2\n")
    table, _ = load_table(tmp_path / "t.csv")
    assert table["x"].to_pylist() == ["18446744073709551615", "99999999999999999999999"]
    assert table["y"].to_pylist() == [1.5, 2.0]


@pytest.mark.parametrize("data", ["id,x\n10,1\n".encode("utf-16"), b"\xef\xbb\xbfid,x\n10,1\n#caf\xe9,2\n"])
def test_a_table_in_another_encoding(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "t.csv").write_bytes(data)
    table, _ = load_table(tmp_path / "t.csv")
    assert table.column_names == ["id", "x"]
    assert table["x"][0].as_py() == 1


def test_embeddings_that_cannot_be_used_are_in_the_report_and_never_unpickled(tmp_path: Path) -> None:
    source = tmp_path / "in"
    names = [f"g{k}" for k in range(6)]
    for name in names:
        _made.png(source / f"{name}.png")
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.savez(source / "a_embeddings.npz", embeddings=vectors, ids=np.array(names))
    whole = (source / "a_embeddings.npz").read_bytes()
    (source / "cut_embeddings.npz").write_bytes(whole[: len(whole) // 2])
    (source / "words_embeddings.safetensors").write_text("no")
    np.save(source / "three_embeddings.npy", vectors[:3])
    np.save(source / "nan_embeddings.npy", vectors * np.nan)
    np.savez(source / "objects_embeddings.npz", embeddings=vectors, ids=np.array(names, dtype=object))
    np.save(source / "beside_embeddings.npy", vectors)
    (source / "beside_ids.txt").write_bytes(b"caf\xe9\n" * 6)
    (source / "sub").mkdir()
    np.savez(source / "sub" / "a_embeddings.npz", embeddings=vectors + 1, ids=np.array(names))
    with h5py.File(source / "cut_embeddings.h5", "w") as file:
        file["embeddings"] = vectors
    whole = (source / "cut_embeddings.h5").read_bytes()
    (source / "cut_embeddings.h5").write_bytes(whole[: len(whole) // 2])
    ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert survey.spaces == ["a/joint"]
    np.testing.assert_array_equal(survey.embedding("a/joint"), vectors)
    stems = ("cut", "three", "nan", "objects", "beside")
    bad = {p.name for stem in stems for p in source.glob(f"{stem}_embeddings.*")}
    told = _report(tmp_path / "s")
    assert set(told) == {*bad, "words_embeddings.safetensors", "sub/a_embeddings.npz"}
    assert "not loaded" in told["objects_embeddings.npz"]["reason"]


def test_wavelengths_in_other_units_become_angstroms_and_an_unknown_unit_is_set_aside(tmp_path: Path) -> None:
    axis = np.linspace(4000.0, 9000.0, 300)
    _spectrum(tmp_path / "in" / "nm.fits", axis / 10, "nm")
    _spectrum(tmp_path / "in" / "hz.fits", 2.99792458e18 / axis, "Hz")
    _spectrum(tmp_path / "in" / "ang.fits", axis, "Angstroms")
    _spectrum(tmp_path / "in" / "log.fits", np.log10(axis), None, "LogLam")
    _spectrum(tmp_path / "in" / "fruit.fits", axis, "bananas")
    ingest(tmp_path / "in", tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert sorted(survey.ids) == ["ang", "hz", "log", "nm"]
    for spectrum in survey.spectra(range(4)):
        assert spectrum is not None
        np.testing.assert_allclose(spectrum.wavelength[[0, -1]], [4000, 9000], rtol=1e-6)
    assert "bananas" in _report(tmp_path / "s")["fruit.fits"]["reason"]


def test_a_mended_file_leaves_the_report(tmp_path: Path) -> None:
    _made.png(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_text("x")
    (tmp_path / "in" / "c.png").write_text("x")
    ingest(tmp_path / "in", tmp_path / "s")
    assert set(_report(tmp_path / "s")) == {"b.png", "c.png"}
    _made.png(tmp_path / "in" / "b.png")
    ingest(tmp_path / "in", tmp_path / "s")
    assert set(_report(tmp_path / "s")) == {"c.png"}


def test_a_survey_made_anew_in_its_folder_is_the_one_that_opens(tmp_path: Path) -> None:
    _made.png(tmp_path / "one" / "a.png")
    _made.png(tmp_path / "two" / "b.png")
    ingest(tmp_path / "one", tmp_path / "s")
    assert Survey.open(tmp_path / "s").ids.tolist() == ["a"]
    shutil.rmtree(tmp_path / "s")
    ingest(tmp_path / "two", tmp_path / "s")
    assert Survey.open(tmp_path / "s").ids.tolist() == ["b"]
    with pytest.raises(IndexError, match="0 to 0"):
        Survey.open(tmp_path / "s").images([7])


def test_a_source_that_is_the_survey_and_a_destination_that_is_a_file(tmp_path: Path) -> None:
    _made.png(tmp_path / "in" / "a.png")
    with pytest.raises(ValueError, match="another folder"):
        ingest(tmp_path / "in", tmp_path / "in")
    assert [p.name for p in (tmp_path / "in").iterdir()] == ["a.png"]
    with pytest.raises(RuntimeError, match="name a folder"):
        ingest(tmp_path / "in", tmp_path / "in" / "a.png")
    ingest(tmp_path / "in", tmp_path / "s")
    with pytest.raises(ReadError, match="a survey already"):
        ingest(tmp_path / "s", tmp_path / "t")


def test_too_few_rows_make_no_space_and_short_spectra_do(tmp_path: Path) -> None:
    for k in range(3):
        _spectrum(tmp_path / "few" / f"{k}.fits", np.linspace(4000.0, 5000.0, 50), "Angstrom")
    for k in range(5):
        _spectrum(tmp_path / "short" / f"{k}.fits", np.array([5000.0, 5000.5]), "Angstrom")
    ingest(tmp_path / "few", tmp_path / "f")
    with pytest.raises(ValueError, match="3 rows with spectrum"):
        prepare(Survey.open(tmp_path / "f"))
    ingest(tmp_path / "short", tmp_path / "s")
    assert len(prepare(Survey.open(tmp_path / "s"), encoders="pca", scorers="knn", layouts="pca")) == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["demo", "-n", "0"], "argument -n: 0: one or more"),
        (["demo", "-n", "many"], "'many' is no whole number"),
        (["prepare", "s", "--seed", "-1"], "argument --seed: -1: a seed is 0 to 4294967295"),
        (["prepare", "s", "--encoders", ","], "argument --encoders: name one at least"),
        (["prepare", "s", "--stability", "1"], "argument --stability: 1: two runs or more"),
        (["report", "s", "--hosts", "-5"], "argument --hosts: -5: one or more"),
        (["report", "s", "--minutes", "nan"], "argument --minutes: nan: 0 minutes or more"),
        (["align", "s", "a", "b", "--epochs", "0"], "argument --epochs: 0: one or more"),
        (["train", "dae", "s", "--batch", "0"], "argument --batch: 0: one or more"),
        (["serve", "nowhere", "--port", "99999"], "0 to 65535"),
        (["ingest", "in", "out"], "nothing usable"),
        (["ingest", "in", "in/what.xyz"], "nothing usable"),
        (["prepare", "nowhere"], "There are: csc-2.1"),
    ],
)
def test_an_error_of_the_command_is_a_sentence_and_no_traceback(tmp_path: Path, words: list[str], told: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "what.xyz").write_text("?")
    environment = {**os.environ, "EXPLORER_SURVEYS": str(tmp_path), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "explorer.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert ended.returncode in (1, 2)
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"explorer {words[0]}: ")
    assert told in last


def test_one_damaged_spectrum_and_fluxes_in_cgs_do_not_stop_the_others(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    axis = np.linspace(4000.0, 9000.0, 400)
    shapes = np.sin(axis / 300 + rng.uniform(0, 6, (12, 1))) + 3
    for k, flux in enumerate(shapes):
        for name, unit in (("cgs", 1e-17), ("ours", 1.0)):
            path = tmp_path / name / f"{k}.fits"
            path.parent.mkdir(exist_ok=True)
            columns = [
                fits.Column("wavelength", "D", array=axis * (1e200 if k == 5 else 1.0)),
                fits.Column("flux", "D", array=flux * unit * np.where((k == 6) & (axis < 5000), 1e60, 1.0)),
                fits.Column("ivar", "D", array=np.full(400, (100 / unit) ** 2)),
            ]
            fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    found = {}
    for name in ("cgs", "ours"):
        ingest(tmp_path / name, tmp_path / f"s-{name}")
        survey = Survey.open(tmp_path / f"s-{name}")
        prepare(survey, scorers="knn", layouts="pca")
        found[name] = survey.embedding("pca/spectrum")
        assert np.isfinite(np.delete(found[name], 5, axis=0)).all()
    sound = [k for k in range(12) if k not in (5, 6)]
    assert np.std(found["ours"][sound], axis=0)[0] > 1
    np.testing.assert_allclose(found["cgs"][sound, 0], found["ours"][sound, 0], rtol=0.05, atol=0.3)


def test_embeddings_reach_rows_that_came_later(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for k in range(4):
        _made.png(source / f"g{k}.png")
    vectors = np.random.default_rng(0).normal(size=(6, 4)).astype(np.float32)
    np.savez(source / "a_embeddings.npz", embeddings=vectors, ids=np.array([f"g{k}" for k in range(6)]))
    ingest(source, tmp_path / "s")
    for k in range(4, 6):
        _made.png(source / f"g{k}.png")
    ingest(source, tmp_path / "s")
    np.testing.assert_array_equal(Survey.open(tmp_path / "s").embedding("a/joint"), vectors)
