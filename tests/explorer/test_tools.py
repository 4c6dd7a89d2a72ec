"""Re-ranking by a tool in a session and on the card: who is judged, in which order, what is set aside and why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.pipeline.prepare import prepare
from explorer.session import tools
from explorer.session.session import Session
from explorer.survey.simulate import write
from explorer.survey.store import Survey
from explorer.views import _evidence
from explorer.views.card import CardView, render_card
from kernels.registry import UnknownName
from kernels.search import TOOLS
from kernels.search.evidence import Candidate, Curve, Evidence, Fact, Unfit


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    survey = Survey.open(write("euclid-desi", tmp_path_factory.mktemp("tools") / "s", 48, workers=0))
    prepare(survey, ["pca"], ["knn"], [], progress=lambda *_: None)
    return survey


@pytest.fixture
def session(galaxies: Survey) -> Session:
    return Session(galaxies, "ana")


class Mean:
    """Judges by the mean of an image; rows that are told of by their first pixel fail."""

    name, title, unit, modality = "mean", "Is <b>bright</b>", "µ<i>", "image"
    asked: list[float] = []  # noqa: RUF012
    break_on: float | None = None

    def judge(self, candidate: Candidate) -> Evidence:
        if candidate.pixels is None:
            raise Unfit("it has <img src=x> no image")
        value = float(np.nanmean(candidate.pixels.astype(np.float64)))
        Mean.asked.append(value)
        if value == Mean.break_on:
            raise RuntimeError("a bug <script>")
        x = np.linspace(0, 1, 50)
        return Evidence(
            value, (Fact("mean <b>", value, 0.1, "<u>"),), {"left <i>": candidate.pixels[0]},
            (Curve("data", x, x), Curve("fit", x, x**2)), "x <b>", ("a <note>",),
        )  # fmt: skip


@pytest.fixture
def mean(monkeypatch: pytest.MonkeyPatch) -> Any:
    Mean.asked, Mean.break_on = [], None
    get = TOOLS.get
    monkeypatch.setattr(TOOLS, "get", lambda name: Mean if name == "mean" else get(name))
    monkeypatch.setattr(TOOLS, "names", lambda: ["lens-likeness", "line-width", "mean"])
    return Mean


def _means(survey: Survey, rows: Any) -> np.ndarray:
    return np.array([float(np.nanmean(i.pixels.astype(np.float64))) for i in survey.images(np.asarray(rows))])


def test_the_top_of_the_ranking_is_judged_and_ordered_by_the_tool(session: Session, mean: Any) -> None:
    first = session.ranked_rows(0, 10)
    found = session.rerank_with("mean", top=10)
    assert sorted(found.index) == sorted(first)
    expected = _means(session.survey, found.index)
    np.testing.assert_allclose(found["score"], expected)
    assert (np.diff(found["score"]) <= 0).all()
    assert found.loc[first[0], "before"] == 1
    assert session.scorer == "mean"
    assert session.ranking(limit=10)["id"].tolist() == found["id"].tolist()
    assert np.isnan(session.survey.score(session.space, "mean")).sum() == len(session.survey) - 10
    more = session.rerank_with("mean", top=12)
    assert len(more) == 12, "from the score that it started from, not from its own"
    assert len(mean.asked) == 12, "nobody is judged twice"
    session.scorer = "knn"
    assert session.ranked_rows(0, 10).tolist() == first.tolist(), "the old score is there to go back to"


def test_the_selection_in_its_order_and_ids_come_before_the_ranking(session: Session, mean: Any) -> None:
    order = session.survey.ids_of([31, 4, 17, 9])
    session.select(order)
    assert set(session.rerank_with("mean", top=2)["id"]) == set(order[:2])
    found = session.rerank_with("mean", [order[3], order[3]])
    assert found["id"].tolist() == [order[3]]
    judged = np.flatnonzero(np.isfinite(session.survey.score(session.space, "mean")))
    assert set(judged) == {31, 4, 9}, "a score covers what was judged so far"


def test_what_a_search_found_stands_in_the_order_of_the_tool(session: Session, mean: Any) -> None:
    order = session.survey.ids_of([31, 4, 17, 9, 20])
    session.select(order)
    assert session.selection.ordered
    found = session.rerank_with("mean", top=3)
    shown = session.ranking(sort="order", limit=5)["id"].tolist()
    assert shown == [*found["id"], *order[3:]], "the judged by their score, then the others as they were"
    assert "re-ranked by mean" in session.selection.recipe[-1]["note"]
    session.undo()
    assert session.survey.ids_of(session.selection.order) == order


def test_what_a_tool_cannot_do_is_set_aside_with_its_reason(session: Session, mean: Any) -> None:
    rows = [3, 5, 8]
    mean.break_on = float(_means(session.survey, [5])[0])
    found = session.rerank_with("mean", session.survey.ids_of(rows))
    assert found["id"].iloc[-1] == session.survey.ids_of([5])[0]
    assert found["reason"].iloc[-1] == "the tool failed: RuntimeError: a bug <script>"
    assert np.isnan(session.survey.score(session.space, "mean")[5])
    assert np.isfinite(session.survey.score(session.space, "mean")[[3, 8]]).all()
    with pytest.raises(ValueError, match=r"can judge none of 1 candidates.*a bug"):
        session.rerank_with("mean", [5])


def test_a_saved_exploration_judges_again(session: Session, mean: Any) -> None:
    session.rerank_with("mean", [1, 2, 3])
    again = Session(session.survey, "ana")
    again.restore(session.state())
    space = session.space
    np.testing.assert_array_equal(again.survey.score(space, "mean"), session.survey.score(space, "mean"))
    recipe = session.survey.recipe(space, "mean")
    assert (recipe["kind"], recipe["tool"], recipe["from"], len(recipe["ids"])) == ("tool", "mean", "knn", 3)
    assert "Is &lt;b&gt;bright&lt;/b&gt;" in render_card(again, 1)


def test_what_cannot_be_asked_says_why(session: Session, tiny_survey: Survey) -> None:
    with pytest.raises(UnknownName, match=r"no tool named 'lens-likenes'\. Did you mean 'lens-likeness'"):
        session.rerank_with("lens-likenes")
    with pytest.raises(ValueError, match="top=0"):
        session.rerank_with("line-width", top=0)
    session.select("z > 99")
    with pytest.raises(ValueError, match="the selection is empty"):
        session.rerank_with("line-width")
    bare = Session(tiny_survey, "ana")
    with pytest.raises(ValueError, match=r"none of 1 candidates; \d+: its image is 1.6 arcsec wide: 2 are needed"):
        bare.rerank_with("lens-likeness", [0])


def test_real_tools_on_the_simulated_survey(session: Session) -> None:
    found = session.rerank_with("line-width", top=6)
    assert found.attrs == {"name": "line-width", "unit": "km/s"}
    assert ((found["reason"] != "") == found["score"].isna()).all()
    assert session.rerank_with("lens-likeness", top=6)["score"].notna().sum() >= 4
    assert tools.of_survey(session.survey) == ["lens-likeness", "line-width"]
    assert session.survey.recipe(session.space, "lens-likeness")["from"] == "line-width"


def test_of_many_the_pictures_are_made_again_when_one_is_looked_at(
    session: Session, mean: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tools, "MANY", 0)
    session.rerank_with("mean", [7, 9])
    name = session.survey.ids_of([7])[0]
    kept = session.evidence["mean"][name]
    assert not kept.pictures
    assert kept.facts
    assert "data:image/png" in _evidence.section(session, 7)
    assert session.evidence["mean"][name].pictures
    assert session.evidence["mean"][name].score == kept.score


def test_evidence_stands_escaped_on_the_card(session: Session, mean: Any) -> None:
    session.rerank_with("mean", [7])
    card = render_card(session, 7)
    for raw in ("<b>bright", "mean <b>", "µ<i>", "left <i>", "x <b>", "a <note>", "<u>"):
        assert raw not in card
    assert "mean &lt;b&gt;" in card
    assert "a &lt;note&gt;" in card
    assert card.count("data:image/png;base64") >= 1
    session.evidence["mean"][session.survey.ids_of([8])[0]] = "it has <img src=x> no image"
    assert "set aside: it has &lt;img src=x&gt; no image" in render_card(session, 8)


def test_the_card_lets_a_tool_judge(session: Session, mean: Any) -> None:
    session.focus_on(6)
    view = CardView(session)
    view.panel()
    assert "measure this one" in view.board.markup
    view._on_click({"do": "measure", "tool": "mean", "which": "one"})
    assert session.scorer == "mean"
    assert "a &lt;note&gt;" in view.board.markup
    assert view.screen.notice == "1 judged by mean"
    view._on_click({"do": "measure", "tool": "mean", "which": "top"})
    assert np.isfinite(session.survey.score(session.space, "mean")).all(), "48 rows are fewer than the top 200"
    mean.break_on = float(_means(session.survey, [6])[0])
    session.evidence.clear()
    view._on_click({"do": "measure", "tool": "mean", "which": "one"})
    assert "can judge none" in str(view.screen.notice)
    assert "set aside: the tool failed" in view.board.markup
    view._on_click({"do": "measure", "tool": "nothing", "which": "one"})
    assert "no tool named 'nothing'" in str(view.screen.notice)
    view.close()


def test_pictures_of_nothing_and_of_one_value() -> None:
    assert _evidence.pictures({}) == ""
    assert "data:image/png" in _evidence.pictures({"a": np.zeros((16, 16))})


def test_8_bit_pictures_are_judged_too(tmp_path: Path) -> None:
    likely, unlikely = TOOLS.get("lens-likeness").examples()
    scores = []
    for one in (likely, unlikely):
        pixels = np.clip(20 + 30 * one.pixels, 0, 255).astype(np.uint8)
        scores.append(TOOLS.get("lens-likeness")().judge(Candidate(pixels, pixel_scale=0.1)).score)
    assert scores[0] > 3 * scores[1]
