"""Scores of a session's own: re-ranked by marks, ranked among likes; they are nobody else's, and can be made again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from explorer.session import confounders, feedback
from explorer.session.export import read_provenance
from explorer.session.session import Session
from explorer.survey.store import Survey
from kernels.registry import UnknownName


@pytest.fixture
def session(tiny_survey: Any) -> Session:
    """Rows 0:12 look alike and are wanted, 12:24 look alike and are artefacts."""
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(len(tiny_survey), 6)).astype(np.float32)
    vectors[:12] = rng.normal([5, 0, 0, 0, 0, 0], 0.2, (12, 6))
    vectors[12:24] = rng.normal([0, 5, 0, 0, 0, 0], 0.2, (12, 6))
    tiny_survey.put_embedding("clumps/image", vectors)
    tiny_survey.put_score("clumps/image", "knn", rng.random(len(tiny_survey)))
    made = Session(tiny_survey, "ann")
    made.space = "clumps/image"
    return made


def ranks(session: Session, name: str, rows: slice) -> float:
    return float(np.median(session.survey.rank(session.space, name)[rows]))


def test_marks_bring_look_alikes_up_and_push_artefacts_down(session: Session) -> None:
    session.mark([0, 1, 2], score=5)
    session.mark([12, 13, 14], "artefact")
    heard: list[str] = []
    session.param.watch(lambda event: heard.append(event.name), ["version", "scorer"])
    assert session.rerank() == session.scorer == "feedback"
    assert set(heard) == {"version", "scorer"}, "the menus and the ranking follow"
    assert ranks(session, "feedback", slice(3, 12)) < 20 < ranks(session, "knn", slice(3, 12))
    assert ranks(session, "feedback", slice(15, 24)) > 250
    assert session.survey.recipe(session.space, "feedback")["from"] == "knn"

    session.mark([3], score=5)
    session.rerank()
    assert session.survey.recipe(session.space, "feedback")["from"] == "knn", "again from the score, not from itself"
    session.scorer = "knn"
    assert session.ranking(limit=1)["id"].tolist() == session.survey.ids_of(
        [int(np.argmax(session.survey.score(session.space, "knn")))]
    ), "the old score is there to go back to"


def test_labels_without_a_score_say_what_they_say(session: Session) -> None:
    session.mark([0], "lens")
    session.mark([1], "Boring")
    session.mark([12], "Spike")
    session.mark([2], "lens", score=2)
    session.mark([3], note="look again")
    told = feedback.told(session)
    assert dict(zip(told.rows.tolist(), told.marks.tolist(), strict=True)) == {0: 5.0, 1: 0.0, 2: 2.0}
    assert told.artefacts.tolist() == [12]
    liked = feedback.told(session, like="boring")
    assert dict(zip(liked.rows.tolist(), liked.marks.tolist(), strict=True)) == {0: 0.0, 1: 5.0, 2: 0.0}


def test_what_to_look_at_next_is_unmarked_and_promising(session: Session) -> None:
    session.mark(list(range(4)), score=5)
    session.mark(list(range(24, 60)), score=0)
    chosen = session.propose(8)
    assert chosen.ordered
    assert not set(chosen.rows) & {*range(4), *range(24, 60)}
    assert set(chosen.rows) == set(range(4, 12)), "the rest of the clump"
    assert "look at next" in chosen.recipe[0]["note"]


def test_without_a_mark_there_is_nothing_to_learn_from(session: Session) -> None:
    with pytest.raises(ValueError, match="nothing is marked"):
        session.rerank()
    with pytest.raises(ValueError, match="unknown"):
        session.rerank(method="magic")
    assert "feedback" not in session.survey.scores(session.space)


def test_an_own_score_is_nobody_elses_and_the_disk_is_not_touched(session: Session, tiny_survey: Survey) -> None:
    version = tiny_survey.version
    session.mark([0], score=5)
    session.rerank()
    other = Session(tiny_survey, "bob")
    assert "feedback" not in other.survey.scores("clumps/image")
    assert "feedback" not in tiny_survey.scores("clumps/image")
    assert tiny_survey.version == version
    tiny_survey.put_score("clumps/image", "late", np.arange(300.0))
    assert "late" in session.survey.scores("clumps/image"), "what is stored is everybody's"
    with pytest.raises(ValueError, match="already"):
        session.derive("clumps/image", "late", np.zeros(300), {})


def test_an_own_score_is_named_wherever_a_score_may_be(session: Session, tmp_path: Any) -> None:
    session.mark([0, 1], score=5)
    session.rerank()
    chosen = session.select("rank('feedback') <= 10")
    assert 0 < len(chosen) <= 10
    session.color_by = "percentile('feedback')"
    path = session.export(tmp_path / "found.csv")
    assert "rank_clumps_image_feedback" in path.read_text().splitlines()[0]
    told = read_provenance(path)["derived_scores"]
    assert [(r["name"], r["from"], r["kind"]) for r in told] == [("feedback", "knn", "feedback")]
    assert told[0]["marks"] == session.log.last()


def test_a_saved_exploration_makes_its_scores_again(session: Session) -> None:
    session.mark([0, 1], score=5)
    session.mark([13], "junk")
    session.rerank()
    session.rank_matched(["z"], bins=3)
    session.mark([200], score=5)  # after it was re-ranked: must not count
    again = Session(session.survey, "ann")
    again.restore(session.state())
    assert again.scorer == "feedback matched"
    for name in ("feedback", "feedback matched"):
        expected = session.survey.score("clumps/image", name)
        np.testing.assert_array_equal(again.survey.score("clumps/image", name), expected)
    with pytest.raises(ValueError, match="lacks from"):
        again.restore(session.state() | {"derived_scores": [{"kind": "feedback", "space": "a", "name": "b"}]})
    short = {"kind": "matched", "space": "clumps/image", "name": "c", "from": "feedback", "columns": ["z"]}
    with pytest.raises(ValueError, match="lacks bins"):
        again.restore(session.state() | {"derived_scores": [short]})
    with pytest.raises(ValueError, match="lacks method, user, marks"):
        again.restore(session.state() | {"derived_scores": [short | {"kind": "feedback"}]})
    with pytest.raises(ValueError, match="no derived score"):
        again.restore(session.state() | {"derived_scores": [{"kind": "virus"}]})


def test_a_ranking_of_brightness_is_freed_of_it(session: Session) -> None:
    z = session.survey.column("z")
    session.survey.put_score("clumps/image", "bright", np.nan_to_num(z) + 0.01 * np.arange(300) % 7)
    session.refresh()
    session.scorer = "bright"
    before = {c.name: c.correlation for c in confounders.against(session, ["z", "kind"])["bright"]}
    assert before["z"] > 0.9
    name = session.rank_matched(["z"], bins=6)
    assert name == session.scorer == "bright matched"
    after = {c.name: c.correlation for c in confounders.against(session, ["z"], scorers=[name])[name]}
    assert abs(after["z"]) < before["z"] / 2
    frame = confounders.table(session, ["z"])
    assert set(frame["scorer"]) == {"knn", "bright", "bright matched"}
    with pytest.raises(UnknownName):
        session.rank_matched(["nothing"])
    with pytest.raises(ValueError, match="dates"):
        session.rank_matched(["seen"])
