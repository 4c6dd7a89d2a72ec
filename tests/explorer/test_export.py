"""Exports read back by astropy, pandas and pyarrow: the rows, their ids as text, and where they come from."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from astropy.io import fits, votable
from astropy.table import Table

from explorer.session import Session
from explorer.session.export import export, read_provenance
from explorer.survey.store import Survey

SUFFIXES = [".fits", ".fit", ".vot", ".votable", ".xml", ".csv", ".ecsv", ".parquet"]


@pytest.fixture
def session(tiny_survey: Survey) -> Session:
    session = Session(tiny_survey, "ann")
    session.mark([5, 6], "lens", score=5, note="Ü: an arc")
    session.select("z < 0.2 or kind == 'quasar'")
    return session


def read(path: Path) -> dict[str, list]:
    """Columns of a file as Python lists, text decoded, read by a library that knows nothing of us."""
    if path.suffix == ".csv":
        frame = pd.read_csv(path, dtype={"id": str, "object_id": str}, keep_default_na=False, na_values={"z": ""})
        return {c: frame[c].tolist() for c in frame}
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pydict()
    if path.suffix in (".fits", ".fit"):
        table = Table.read(path, hdu="OBJECTS")
        table.convert_bytestring_to_unicode()
    elif path.suffix == ".ecsv":
        table = Table.read(path, format="ascii.ecsv")
    else:
        table = votable.parse_single_table(str(path)).to_table(use_names_over_ids=True)
    return {c: table[c].tolist() for c in table.colnames}


@pytest.mark.filterwarnings("ignore:It is strongly recommended")
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_comes_back(session: Session, tmp_path: Path, suffix: str) -> None:
    survey, path = session.survey, tmp_path / f"candidates{suffix}"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert session.export(path) == path
    got = read(path)
    rows = session.selection.rows
    assert got["id"] == survey.ids[rows].tolist()
    assert {"<script>alert(1)</script>", "Ü-6", str(2**60 + 1)} <= set(got["id"])
    assert got["object_id"] == survey.object_ids[rows].tolist()
    assert [int(v) for v in got["targetid"]] == survey.column("targetid")[rows].tolist()
    z = np.array([np.nan if v is None else v for v in got["z"]], dtype=float)
    np.testing.assert_array_equal(z, survey.column("z")[rows])
    assert [v or None for v in got["kind"]] == survey.column("kind")[rows].tolist()
    np.testing.assert_allclose(np.array(got["flux (nJy)"], float), survey.column("flux (nJy)")[rows])
    assert [str(v) for v in got["quiet"]] == [str(v) for v in survey.column("quiet")[rows].tolist()]
    places = [0 if v in (None, "") or v != v else int(float(v)) for v in got["rank_pca_image_knn"]]
    assert places == survey.rank("pca/image", "knn")[rows].tolist()
    assert {i: m for i, m in zip(got["id"], got["mark"], strict=True) if m} == {
        "<script>alert(1)</script>": "lens",
        "Ü-6": "lens",
    }
    assert "Ü: an arc" in got["mark_note"]
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_says_where_its_rows_come_from(session: Session, tmp_path: Path, suffix: str) -> None:
    path = session.export(tmp_path / f"candidates{suffix}")
    told = read_provenance(path)
    survey = session.survey
    assert told["survey"] == "tiny"
    assert told["survey_version"] == survey.version
    assert told["card"]["licence"] == "CC0-1.0"
    assert next(s["column"] for s in told["steps"] if "column" in s).startswith("space:pca/image")
    assert told["queries"] == ["z < 0.2 or kind == 'quasar'"]
    assert told["recipe"] == session.selection.recipe
    assert told["user"] == "ann"
    assert told["time"].endswith("+00:00")
    assert {"python", "numpy", "astropy", "pylance", "astro-explorer"} <= set(told["packages"])
    assert told["selected"] == len(session.selection)
    np.testing.assert_array_equal(Session(survey, "bob").select(told["recipe"]).rows, session.selection.rows)


def test_a_fits_header_tells_a_person(session: Session, tmp_path: Path) -> None:
    session.select("kind == 'lens' and z > 0.1 and z > 0.1 and z > 0.1 and z > 0.1 and z > 0.1 and z > 0.1")
    with fits.open(session.export(tmp_path / "a.fits"), checksum=True) as found:
        found.verify("exception")
        history = "".join(str(line) for line in found["OBJECTS"].header["HISTORY"])
    assert "survey: tiny" in history.replace("\n", "")
    assert history.count("z > 0.1") >= 5
    assert "user: ann" in history


def test_the_order_of_choice_is_kept(session: Session, tmp_path: Path) -> None:
    ids = session.survey.ids[[40, 7, 99]].tolist()
    session.select(ids)
    assert read(session.export(tmp_path / "a.parquet"))["id"] == ids


def test_all_rows_none_and_nothing_selected(session: Session, tmp_path: Path) -> None:
    everything = session.export(tmp_path / "all.parquet", everything=True)
    assert len(read(everything)["id"]) == 300
    assert read_provenance(everything)["recipe"] == []
    session.select("z > 99")
    for suffix in SUFFIXES:
        assert read(session.export(tmp_path / f"none{suffix}"))["id"] == []
    session.clear()
    with pytest.raises(ValueError, match="nothing is selected"):
        session.export(tmp_path / "a.csv")


def test_nothing_is_overwritten_unless_asked(session: Session, tmp_path: Path) -> None:
    path = session.export(tmp_path / "a.csv")
    before = path.read_bytes()
    session.select("z > 2.5")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        session.export(path)
    assert path.read_bytes() == before
    session.export(path, overwrite=True)
    assert len(read(path)["id"]) == len(session.selection)
    assert read_provenance(path)["queries"] == ["z > 2.5"]


def test_wrong_places_say_so(session: Session, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"\.fits.*\.parquet"):
        session.export(tmp_path / "a.xlsx")
    with pytest.raises(ValueError, match="no format"):
        session.export(tmp_path / "noending")
    with pytest.raises(FileNotFoundError, match="no folder"):
        session.export(tmp_path / "none" / "a.fits")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(IsADirectoryError):
        session.export(tmp_path / "folder.csv")
    with pytest.raises(ValueError, match="no format"):
        read_provenance(tmp_path / "a.xlsx")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_no_file(tmp_path: Path, suffix: str) -> None:
    class Broken(pd.DataFrame):
        def __getitem__(self, key):
            raise RuntimeError("no disk")

        def to_csv(self, path, **_):
            Path(path).write_text("half")
            raise RuntimeError("no disk")

    def broken(*_, **__):
        raise RuntimeError("no disk")

    frame = Broken({"id": ["a"]})
    if suffix == ".parquet":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(pq, "write_table", broken)
            with pytest.raises(RuntimeError, match="no disk"):
                export(frame, tmp_path / f"a{suffix}", {})
    else:
        with pytest.raises(RuntimeError, match="no disk"):
            export(frame, tmp_path / f"a{suffix}", {})
    assert list(tmp_path.iterdir()) == []


def test_control_characters_are_refused_where_they_cannot_be_written(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a\x01b"]})
    with pytest.raises(ValueError, match="control character"):
        export(frame, tmp_path / "a.vot", {})
    export(frame, tmp_path / "a.parquet", {})
    assert pq.read_table(tmp_path / "a.parquet").to_pydict()["id"] == ["a\x01b"]


def test_a_name_that_fits_cannot_hold_is_told(tmp_path: Path) -> None:
    told = {"survey": "s", "survey_version": 1, "selected": 1, "user": "Ü", "time": "t", "queries": ["`σ` > 1"]}
    path = export(pd.DataFrame({"id": ["a"], "σ": [1.5], "ρ": [2.5]}), tmp_path / "a.fits", told)
    table = Table.read(path, hdu=1)
    assert table.colnames == ["id", "_", "__"]
    assert read_provenance(path)["renamed"] == {"_": "σ", "__": "ρ"}


def test_columns_with_one_name_in_two_cases_and_lists(tmp_path: Path) -> None:
    frame = pd.DataFrame({"id": ["a", "b"], "Z": [1, 2], "z": [3.5, 4.5], "list": [[1, 2], None]})
    path = export(
        frame, tmp_path / "a.fits", {"survey": "s", "survey_version": 1, "selected": 2, "user": "u", "time": "t"}
    )
    table = Table.read(path, hdu=1)
    assert table["Z"].tolist() == [1, 2]
    assert table["z"].tolist() == [3.5, 4.5]
    assert json.loads(table["list"][0]) == [1, 2]
