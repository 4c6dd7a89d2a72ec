"""Integers beyond 2^53 of which some are missing, as ids of a cross-match are: not a digit is lost anywhere."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.io import votable
from astropy.table import Table

from explorer.session import Session
from explorer.session.query import QueryError
from explorer.survey import arrays
from explorer.survey.embeddings import join
from explorer.survey.records import Record
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter

BIG = 5_853_498_713_190_525_696  # of Gaia's size; float64 has steps of 1024 here
GAIA = [None if i % 3 == 0 else BIG + i for i in range(20)]
SMALL = [None if i % 4 == 0 else 39_627 + i for i in range(20)]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    columns = {"gaia": pa.int64(), "small": pa.int64(), "huge": pa.uint64(), "z": pa.float64()}
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities={}, columns=columns) as writer:
        writer.append(
            Record(f"r{i}", f"o{i}", {"gaia": GAIA[i], "small": SMALL[i], "huge": 2**64 - 1 - i if i else None, "z": i})
            for i in range(20)
        )
    return Session(Survey.open(tmp_path / "s"), "ann")


def chosen(session: Session, query: str) -> list[int]:
    return session.select(query).rows.tolist()


def test_the_column_keeps_its_digits(session: Session) -> None:
    survey = session.survey
    assert survey.column("gaia").tolist() == GAIA
    assert survey.column("huge").tolist()[1] == 2**64 - 2
    small = survey.column("small")
    assert small.dtype == np.float64, "what float64 holds exactly stays a plain array of numbers"
    assert np.isnan(small[::4]).all()
    assert small[1] == 39_628
    np.testing.assert_allclose(np.asarray(survey.column("gaia"), np.float64)[1:3], BIG)
    assert arrays.values(pa.array([None, None], pa.int64())).tolist() == pytest.approx([np.nan] * 2, nan_ok=True)


def test_a_query_tells_neighbouring_ids_apart(session: Session) -> None:
    known = [i for i in range(20) if i % 3]
    assert chosen(session, f"gaia == {BIG + 7}") == [7]
    assert chosen(session, f"gaia != {BIG + 7}") == [i for i in known if i != 7]
    assert chosen(session, f"{BIG + 5} < gaia <= {BIG + 8}") == [7, 8]
    assert chosen(session, f"gaia in [{BIG + 1}, {BIG + 3}, {BIG + 4}]") == [1, 4]
    assert chosen(session, f"gaia not in [{BIG + 1}]") == [i for i in known if i != 1]
    assert chosen(session, "isnull(gaia)") == list(range(0, 20, 3))
    assert chosen(session, "not isnull(gaia) and z < 5") == [1, 2, 4]
    assert chosen(session, "gaia > 0.5") == known
    assert chosen(session, "gaia / 2 > 0") == known
    assert chosen(session, f"huge == {2**64 - 6}") == [5]
    with pytest.raises(QueryError, match="number"):
        session.select("gaia == 'a'")


def test_a_legend_and_a_colour_still_work(session: Session) -> None:
    assert int(session.counts("gaia")["all"].sum()) == 20


@pytest.mark.parametrize("suffix", [".fits", ".vot", ".ecsv", ".csv", ".parquet"])
def test_an_export_keeps_them(session: Session, tmp_path: Path, suffix: str) -> None:
    session.select("z < 9")
    path = session.export(tmp_path / f"c{suffix}")
    if suffix == ".parquet":
        got = pq.read_table(path).to_pydict()["gaia"]
    elif suffix == ".csv":
        names, *lines = path.read_text().splitlines()
        at = names.split(",").index("gaia")
        got = [int(v) if (v := line.split(",")[at]) else None for line in lines]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix == ".vot":
                table = votable.parse_single_table(str(path)).to_table(use_names_over_ids=True)
            else:
                table = Table.read(path, **({"hdu": "OBJECTS"} if suffix == ".fits" else {"format": "ascii.ecsv"}))
        got = table["gaia"].tolist()
        told = [v.decode() if isinstance(v, bytes) else v for v in table["huge"].tolist()]
        assert told[1] == str(2**64 - 2), "what int64 cannot hold is written as text"
    assert got == GAIA[:9]


@pytest.mark.parametrize(("column", "values"), [("gaia", GAIA), ("small", SMALL)])
def test_vectors_are_joined_by_such_a_column(session: Session, tmp_path: Path, column: str, values: list) -> None:
    known = [i for i, v in enumerate(values) if v is not None]
    vectors = np.arange(len(known) * 2, dtype=np.float32).reshape(-1, 2)
    np.save(tmp_path / "vectors.npy", vectors)
    ids = [values[i] for i in known]
    found = join(session.survey, tmp_path / "vectors.npy", "other/image", ids=ids, column=column)
    assert found.rows == len(known)
    np.testing.assert_array_equal(session.survey.embedding("other/image")[known], vectors)
