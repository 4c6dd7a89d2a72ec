"""Rank intervals: measured, stored, asked for, and what cannot be told apart."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from explorer.cli import main
from explorer.pipeline import stability as step
from explorer.session import stability
from explorer.session.query import QueryError
from explorer.session.session import Session
from explorer.survey import intervals
from explorer.views.ranking import RankingView
from kernels.registry import UnknownName
from kernels.scoring import KNN


@pytest.fixture
def survey(tiny_survey: Any) -> Any:
    """Row 0 is far from all, rows 1 and 2 less so, the rest is a cloud."""
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(300, 5)).astype(np.float32)
    vectors[0], vectors[1], vectors[2] = 40, 12, -11
    vectors[299] = np.nan
    tiny_survey.put_embedding("odd/image", vectors)
    scores = np.full(300, np.nan)
    scores[:299] = KNN(metric="euclidean").fit_score((vectors[:299] - vectors[:299].mean(0)) / vectors[:299].std(0))
    tiny_survey.put_score("odd/image", "knn", scores, {"parameters": {"metric": "euclidean"}})
    return tiny_survey


@pytest.fixture
def session(survey: Any) -> Session:
    made = Session(survey, "ann")
    made.space = "odd/image"
    return made


def test_intervals_hold_the_place_and_are_stored(survey: Any) -> None:
    told: list[tuple[int, int, str]] = []
    found = step.measure(survey, "odd/image", "knn", runs=4, progress=lambda *a: told.append(a))
    assert told[-1][:2] == (4, 4)
    places = survey.rank("odd/image", "knn")
    here = places > 0
    assert np.isnan(found[299]).all()
    assert (found[here, 0] <= places[here]).all()
    assert (found[here, 2] >= places[here]).all()
    assert (found[here, 0] == np.round(found[here, 0])).all(), "places are whole numbers"
    widths = found[:, 2] - found[:, 0]
    assert widths[0] <= 2 < np.nanmedian(widths), "what is far from all is sure, the cloud is not"
    np.testing.assert_array_equal(intervals.of(survey, "odd/image", "knn"), found)
    assert intervals.provenance(survey, "odd/image", "knn")["runs"] == 4
    again = step.measure(survey, "odd/image", "knn", runs=4)
    np.testing.assert_array_equal(again, found)


def test_intervals_of_an_older_score_do_not_count(survey: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    step.measure(survey, "odd/image", "knn", runs=2)
    monkeypatch.setattr("explorer.survey.store.now", lambda: "2030-01-01T00:00:00+00:00")
    survey.put_score("odd/image", "knn", np.arange(300.0))
    assert intervals.of(survey, "odd/image", "knn") is None
    assert ("odd/image", "knn") in step.waiting(survey)


def test_only_what_a_scorer_made_can_be_made_again(survey: Any) -> None:
    survey.put_score("odd/image", "mine", np.arange(300.0))
    with pytest.raises(UnknownName, match="made again"):
        step.measure(survey, "odd/image", "mine")
    assert ("odd/image", "mine") not in step.waiting(survey)


def test_blurred_rows_overlap_a_neighbour() -> None:
    found = np.array([[1, 1, 1], [2, 3, 4], [3, 4, 6], [7, 8, 9], [np.nan] * 3, [10, 11, 12]])
    assert stability.blurred(found, np.arange(4)).tolist() == [False, True, True, False]
    assert stability.blurred(found, np.array([3, 4, 5])).tolist() == [True, True, True]
    assert stability.blurred(found, np.array([0])).tolist() == [False]


def test_queries_sorting_and_exports_know_the_intervals(session: Session) -> None:
    with pytest.raises((UnknownName, QueryError), match="explorer prepare --stability"):
        session.select("rank_high('knn') <= 3")
    frame = session.stability(runs=4)
    assert frame.index[0] == 0
    assert frame["high"].is_monotonic_increasing
    found = intervals.of(session.survey, "odd/image", "knn")
    chosen = session.select("rank_high('knn') <= 5")
    assert set(chosen.rows) == set(np.flatnonzero(found[:, 2] <= 5))
    table = session.to_table()
    np.testing.assert_array_equal(table["rank_high_odd_image_knn"], found[chosen.rows, 2])


def test_the_ranking_shows_sorts_and_greys(session: Session) -> None:
    view = RankingView(session)
    view.panel()
    assert "spread" not in view.board.markup
    session.stability(runs=4)
    session.param.trigger("version")
    assert view.board.markup.count('class="n spread"') == 25
    assert 'class="dull"' not in view.board.markup
    view._on_click({"do": "grey"})
    found = intervals.of(session.survey, "odd/image", "knn")
    wanted = stability.blurred(found, session.ranked_rows(0, 26))[:25]
    assert 0 < wanted.sum() == view.board.markup.count('class="dull"') < 25
    view._on_click({"do": "surest"})
    assert view._shown.tolist() == stability.surest(session, 0, 25).index.tolist()
    far = int(stability.surest(session, 60, 1).index[0])
    session.focus_on(far)
    assert view.page == 2
    assert far in view._shown


def test_the_command_measures_every_score(survey: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for space in ("pca/image", "odd/image"):
        survey.put_layout(space, "pca", np.zeros((300, 2)), {"rows": 300})
    names = ["--encoders", "pca", "--scorers", "knn", "--layouts", "pca"]
    assert main(["prepare", str(survey.path), *names, "--stability", "2"]) == 0
    assert "rank intervals from 2 runs" in capsys.readouterr().out
    survey.refresh()
    assert not step.waiting(survey)
