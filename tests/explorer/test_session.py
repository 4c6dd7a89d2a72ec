"""One exploration: selections and their recipes, undo, focus, rankings, legends, look-alikes, saved states."""

from __future__ import annotations

import json
import time

import numpy as np
import pandas as pd
import pytest
import shapely

from explorer.session import Polygon, QueryError, Selection, Session
from explorer.session.history import History
from explorer.session.legend import bins_of, counted, tally
from explorer.session.maps import point_map
from explorer.session.ranking import smallest, sort_keys, walked
from explorer.survey.store import Survey
from kernels.registry import UnknownName

CONCAVE = np.array([(-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (0.0, -0.3), (-0.8, 0.8)])


@pytest.fixture
def session(tiny_survey: Survey) -> Session:
    return Session(tiny_survey, user="ann")


def heard(session: Session, *names: str) -> list[dict[str, object]]:
    """A list that grows by one dict for each time the watchers are called."""
    calls: list[dict[str, object]] = []
    session.param.watch(lambda *events: calls.append({e.name: e.new for e in events}), list(names))
    return calls


# -- what can be selected --------------------


def test_a_session_starts_with_the_first_space_and_nothing_selected(session: Session) -> None:
    assert (session.space, session.layout, session.scorer) == ("pca/image", "umap", "knn")
    assert len(session.selection) == 0
    assert not session.selection.active
    assert session.focus == -1
    assert session.version == session.survey.version


def test_all_ways_to_select_say_the_same(session: Session) -> None:
    survey = session.survey
    expected = np.flatnonzero(survey.column("z") > 2)
    mask = np.zeros(len(survey), bool)
    mask[expected] = True
    for what in (
        "z > 2",
        [str(i) for i in survey.ids[expected]],
        survey.ids[expected],
        set(survey.ids[expected].tolist()),
        pd.Series(survey.ids[expected]),
        survey.table(expected),
        expected,
        expected.tolist(),
        expected.astype(np.uint16),
        mask,
        mask.tolist(),
        pd.Series(mask),
        Session(survey, "bob").select("z > 2"),
    ):
        got = session.select(what)
        assert got is session.selection
        np.testing.assert_array_equal(got.rows, expected)
        assert got.rows.dtype == np.int64
        np.testing.assert_array_equal(got.mask, mask)
        assert got.ids == survey.ids[expected].tolist()
        assert len(got) == len(expected)
        assert got.to_table()["z"].tolist() == survey.column("z")[expected].tolist()
        assert got.to_table(["kind"]).columns.tolist() == ["id", "kind"]


def test_a_lasso_on_a_concave_outline_selects_what_lies_inside(session: Session) -> None:
    xy = session.survey.layout("pca/image", "umap")
    expected = np.flatnonzero(shapely.contains_xy(shapely.Polygon(CONCAVE), np.nan_to_num(xy, nan=99)))
    got = session.select(Polygon("", "", CONCAVE))
    np.testing.assert_array_equal(got.rows, expected)
    assert 0 < len(got) < len(xy)
    assert got.recipe[0]["layout"] == "umap"
    assert point_map(session.survey, "pca/image", "umap") is point_map(session.survey, "pca/image", "umap")


def test_modes_follow_set_algebra(session: Session) -> None:
    z, count = session.survey.column("z"), session.survey.column("count")
    a, b = z > 1.5, count == 3
    for mode, expected in {"add": a | b, "intersect": a & b, "subtract": a & ~b, "replace": b}.items():
        session.select("z > 1.5")
        got = session.select("count == 3", mode=mode)
        np.testing.assert_array_equal(got.mask, expected, err_msg=mode)
        assert len(got.recipe) == (1 if mode == "replace" else 2)
    with pytest.raises(ValueError, match="There are: replace, add, intersect, subtract"):
        session.select("z > 1", mode="xor")


def test_the_most_anomalous_are_a_query_that_names_its_space(session: Session) -> None:
    rank = session.survey.rank("pca/image", "knn")
    got = session.select_top(25)
    np.testing.assert_array_equal(got.mask, (rank > 0) & (rank <= 25))
    assert got.recipe[0]["query"] == "rank('knn', 'pca/image') <= 25"
    with pytest.raises(UnknownName, match="knn"):
        session.select_top(25, "maf")


def test_ids_rows_and_tables_stand_in_one_order_and_the_chosen_order_is_kept(session: Session) -> None:
    survey = session.survey
    wanted = [str(survey.ids[i]) for i in (40, 7, 99, 7, 5)]
    got = session.select(wanted)
    assert got.rows.tolist() == [5, 7, 40, 99]
    assert got.ids == survey.ids[[5, 7, 40, 99]].tolist() == got.to_table()["id"].tolist()
    assert got.order.tolist() == [40, 7, 99, 5]
    assert got.to_table(ordered=True)["id"].tolist() == survey.ids[[40, 7, 99, 5]].tolist()
    assert session.select([7], mode="subtract").order.tolist() == [40, 99, 5]
    assert session.select([3, 99], mode="add").order.tolist() == [40, 99, 5, 3]


def test_a_selection_cannot_be_changed(session: Session) -> None:
    got = session.select("z > 2")
    with pytest.raises(ValueError, match="read-only"):
        got.rows[0] = 5
    got.mask[:] = True
    got.ids.append("x")
    got.recipe[0]["query"] = "z < 0"
    assert got.recipe[0]["query"] == "z > 2"
    assert len(got.ids) == len(got) == got.mask.sum()
    assert 250 in got
    assert 3 not in got
    assert "of 300 rows" in repr(got)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (["nobody"], "nobody"),
        ([300], "row 300 is outside 0…299"),
        ([-1], "outside"),
        ([2**60 + 3], "write them as text"),
        (np.ones(5, bool), "5 values"),
        (np.ones((3, 3), int), "one-dimensional"),
        ([1.5], "whole numbers"),
        (3.5, "float selects nothing"),
        (None, "NoneType selects nothing"),
        (b"z > 1", "bytes selects nothing"),
        (pd.DataFrame({"name": ["a"]}), "no column 'id'"),
        ("zz > 1", "no column named 'zz'"),
    ],
)
def test_what_cannot_be_selected_says_why_and_changes_nothing(session: Session, what: object, says: str) -> None:
    before = session.select("z > 2")
    with pytest.raises((ValueError, TypeError, LookupError), match=says):
        session.select(what)
    assert session.selection is before
    assert session.undo()
    assert not session.can_undo


@pytest.mark.parametrize("vertices", [[(0, 0), (1, 1)], [(0, 0), (1, 1), (np.nan, 2)], [1, 2, 3], np.zeros((4, 3))])
def test_a_polygon_needs_three_finite_vertices(vertices: object) -> None:
    with pytest.raises(ValueError, match="vert"):
        Polygon("umap", "pca/image", vertices)  # type: ignore[arg-type]


def test_the_text_of_an_id_selects_it_where_it_is_no_query(session: Session) -> None:
    name = "<script>alert(1)</script>"
    assert session.select(name).rows.tolist() == [5]
    assert session.select(str(session.survey.ids[12])).rows.tolist() == [12]
    with pytest.raises(QueryError):
        session.select("<script>alert(2)</script>")


def test_nothing_can_be_selected_and_is_not_the_same_as_no_selection(session: Session) -> None:
    assert len(session.select("z > 99")) == 0
    assert session.selection.active
    assert session.selection.rows.dtype == np.int64
    assert session.selection.to_table().empty
    assert len(session.select([])) == 0
    session.clear()
    assert not session.selection.active


# -- recipes and history --------------------


def steps(session: Session) -> list[Selection]:
    survey = session.survey
    session.mark(survey.ids[:3].tolist(), "lens")
    made = [
        session.select("z > 0.5"),
        session.select("rank() <= 60", mode="intersect"),
        session.select(Polygon("umap", "pca/image", CONCAVE), mode="add"),
        session.select(survey.ids[[50, 3]].tolist(), mode="add"),
        session.select("mark == 'lens'", mode="subtract"),
        session.select(survey.column("count") == 2, mode="add"),
    ]
    return made


def test_a_recipe_survives_json_and_is_replayed_to_the_same_rows(session: Session, monkeypatch) -> None:
    monkeypatch.setattr("explorer.session.recipe.LISTED", 20)
    for made in steps(session):
        recipe = json.loads(json.dumps(made.recipe))
        again = Selection.replay(session, recipe)
        np.testing.assert_array_equal(again.rows, made.rows)
        np.testing.assert_array_equal(again.order, made.order)
        np.testing.assert_array_equal(session.select(recipe).rows, made.rows)
    assert {"query", "polygon", "ids", "mask"} <= {k for step in made.recipe for k in step}


def test_a_replay_means_the_marks_and_the_space_of_its_time(session: Session) -> None:
    survey = session.survey
    survey.put_embedding("other/image", survey.embedding("pca/image"))
    survey.put_score("other/image", "knn", -np.nan_to_num(survey.score("pca/image", "knn")))
    made = steps(session)
    session.mark(survey.ids[10:20].tolist(), "lens")
    session.space = "other/image"
    for one in made:
        np.testing.assert_array_equal(Selection.replay(session, one.recipe).rows, one.rows)


@pytest.mark.parametrize("quick", [0, 2, 50])
def test_undo_and_redo_walk_the_same_selections(session: Session, quick: int) -> None:
    session._history.quick = quick
    made = [session.selection, *steps(session)]
    for one in made[-2::-1]:
        assert session.undo()
        np.testing.assert_array_equal(session.selection.rows, one.rows)
        np.testing.assert_array_equal(session.selection.order, one.order)
        assert session.selection.recipe == one.recipe
    assert not session.undo()
    for one in made[1:]:
        assert session.redo()
        np.testing.assert_array_equal(session.selection.rows, one.rows)
    assert not session.redo()
    session.undo()
    session.select("z > 1")
    assert not session.can_redo


def test_clear_is_undone(session: Session) -> None:
    rows = session.select("z > 2").rows
    session.clear()
    session.clear()
    assert session.undo()
    np.testing.assert_array_equal(session.selection.rows, rows)


def test_history_is_bounded(session: Session) -> None:
    session._history = History(limit=10, quick=3)
    for i in range(40):
        session.select(f"count <= {i}")
    assert len(session._history) == 10
    assert len(session._history._bits) <= 3
    assert sum(session.undo() for _ in range(40)) == 9
    assert session.selection.recipe[0]["query"] == "count <= 30"


def test_an_undo_that_fails_leaves_everything(session: Session) -> None:
    session._history.quick = 0
    session.select("z > 1")
    session._history._bits.clear()
    session._history._recipes[0] = ({"mode": "replace", "mask": "eA==", "of": 300},)
    before = session.selection
    with pytest.raises(ValueError, match="the mask in this recipe"):
        session.undo()
    assert session.selection is before
    assert session.can_undo


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ([{}], "needs exactly one of"),
        ([{"mode": "replace", "query": "z > 1", "ids": []}], "needs exactly one of"),
        ([{"mode": "xor", "query": "z > 1"}], "There are: replace"),
        ([{"mode": "replace", "query": 3}], "query is missing or of the wrong type"),
        ([{"mode": "replace", "ids": [3]}], "ids is missing"),
        ([{"mode": "replace", "mask": "x"}], "of is missing"),
        ([{"mode": "replace", "mask": "!!", "of": 300}], "damaged"),
        ([{"mode": "replace", "mask": "eJwDAAAAAAE=", "of": 300}], "does not hold 300 rows"),
        ([{"mode": "replace", "mask": "eJwDAAAAAAE=", "of": 3000}], "made for 3000 rows"),
        ([{"mode": "replace", "polygon": [[0, 1]], "space": "pca/image", "layout": "umap"}], "three or more"),
        ([{"mode": "replace", "polygon": "abc", "space": "pca/image", "layout": "umap"}], "step 1"),
        ([{"mode": "replace", "polygon": [[0, 0], [1, 0], [1, 1]], "space": "pca/image", "layout": "tsne"}], "umap"),
        ([{"mode": "replace", "query": "z.__class__"}], "no place"),
        ([{"mode": "replace", "query": "z > 1", "marks": "0; DROP TABLE log"}], "marks"),
    ],
)
def test_recipes_from_outside_are_checked(session: Session, recipe: list, says: str) -> None:
    before = session.select("z > 2")
    with pytest.raises((ValueError, LookupError), match=says):
        session.select(recipe)
    assert session.selection is before


# -- watchers --------------------


def test_watchers_hear_once_of_what_changes_together(session: Session) -> None:
    survey = session.survey
    survey.put_embedding("pca/spectrum", np.random.default_rng(0).normal(size=(300, 4)))
    survey.put_layout("pca/spectrum", "pacmap", np.random.default_rng(1).normal(size=(300, 2)))
    session.refresh()
    calls = heard(session, "space", "layout", "scorer", "selection", "focus")
    session.space = "pca/spectrum"
    assert calls == [{"space": "pca/spectrum", "layout": "pacmap", "scorer": ""}]
    session.space = "pca/image"
    assert calls[1:] == [{"space": "pca/image", "layout": "umap", "scorer": "knn"}]
    with session.together():
        session.select("z > 1")
        session.focus_on(3)
    assert len(calls) == 3
    assert set(calls[2]) == {"selection", "focus"}


@pytest.mark.parametrize("name", ["space", "layout", "scorer", "stretch", "color_by"])
def test_a_name_that_is_not_there_is_refused(session: Session, name: str) -> None:
    before = getattr(session, name)
    calls = heard(session, name)
    with pytest.raises(UnknownName, match="There are"):
        setattr(session, name, "nothing")
    with pytest.raises(TypeError):
        setattr(session, name, 3)
    assert getattr(session, name) == before
    assert not calls


def test_colour_by_takes_columns_and_expressions(session: Session) -> None:
    for name in ("z", "flux (nJy)", "<b>odd</b>", "percentile('knn')", "log10(z)", "mark", ""):
        session.color_by = name
        assert session.color_by == name
    np.testing.assert_array_equal(session.values("flux (nJy)"), session.survey.column("flux (nJy)"))
    np.testing.assert_array_equal(session.values("z * 2"), session.survey.column("z") * 2)


# -- focus and steps --------------------


def test_focus_by_id_and_by_row(session: Session) -> None:
    assert session.focus_on(str(session.survey.ids[17])) == 17 == session.focus
    assert session.focus_on(3) == 3
    assert session.focus_on(np.int64(4)) == 4
    assert session.focus_on(None) == -1
    with pytest.raises(UnknownName, match="nobody"):
        session.focus_on("nobody")
    with pytest.raises(ValueError, match="outside"):
        session.focus_on(300)


def walk(session: Session, by: int) -> list[int]:
    seen: list[int] = []
    while not seen or session.focus != seen[-1]:
        seen.append(session.focus)
        session.step(by)
    return seen


def test_steps_follow_the_ranking_of_all_then_of_the_selection(session: Session) -> None:
    survey = session.survey
    place = survey.rank("pca/image", "knn").astype(float)
    place[place == 0] = 1e9
    order = np.argsort(place, kind="stable")
    session.step(1)
    assert walk(session, 1) == order.tolist()
    assert walk(session, -1) == order[::-1].tolist()
    session.select("z > 1 or isnull(z)")
    session.focus_on(None)
    session.step(-1)
    inside = [r for r in order.tolist() if r in session.selection]
    assert walk(session, -1) == inside[::-1]
    session.focus_on(int(np.flatnonzero(~session.selection.mask)[0]))
    assert session.step(1) == inside[0]


def test_steps_follow_the_chosen_order_where_there_is_one(session: Session) -> None:
    session.select(session.survey.ids[[40, 7, 99]].tolist())
    session.step(1)
    assert walk(session, 1) == [40, 7, 99]
    assert session.step(-1) == 7
    session.select("z > 99")
    assert session.step(1) in range(300)


def test_the_next_unmarked_row_is_found_in_one_event(session: Session) -> None:
    order = session.ranked_rows(0, 300).tolist()
    session.mark(order[1:4], "dust")
    session.focus_on(order[0])
    calls = heard(session, "focus")
    assert session.next_unmarked() == order[4]
    assert calls == [{"focus": order[4]}]
    session.select(order[2:5])
    session.mark(order[4:5], "dust")
    assert session.next_unmarked() == order[4]
    assert len(calls) == 1


def test_the_focus_stays_within_the_survey(session: Session) -> None:
    with pytest.raises(ValueError, match="focus"):
        session.focus = 300


# -- rankings --------------------


def sorted_frame(session: Session, by: str, ascending: bool = True) -> list[int]:
    survey = session.survey
    frame = pd.DataFrame(
        {
            "rank": np.where(survey.rank("pca/image", "knn") > 0, survey.rank("pca/image", "knn"), np.nan),
            "z": survey.column("z"),
            "kind": survey.column("kind"),
            "targetid": survey.column("targetid"),
        }
    )
    return frame.sort_values(by, ascending=ascending, kind="stable", na_position="last").index.tolist()


@pytest.mark.parametrize("by", ["rank", "z", "kind", "targetid"])
@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("inside", [False, True])
def test_pages_are_those_of_a_whole_sort(session: Session, by: str, descending: bool, inside: bool) -> None:
    if inside:
        session.select("count >= 2")
    expected = [r for r in sorted_frame(session, by, not descending) if not inside or r in session.selection]
    assert session.count_ranked() == len(expected)
    got: list[int] = []
    for offset in range(0, 330, 30):
        got += session.ranked_rows(offset, 30, sort=by, descending=descending).tolist()
    assert got == expected
    assert session.ranked_rows(0, 7, sort=by, descending=descending).tolist() == expected[:7]


def test_a_page_of_the_ranking_says_what_the_survey_says(session: Session) -> None:
    survey = session.survey
    session.mark([str(survey.ids[sorted_frame(session, "rank")[1]])], "lens", score=4)
    page = session.ranking(limit=300, within_selection=False)
    assert page.columns.tolist() == ["rank", "id", "score", "percentile", "mark"]
    assert page["rank"].isna().sum() == np.count_nonzero(survey.rank("pca/image", "knn") == 0) == 15
    rows = page.index.to_numpy()
    assert page["id"].tolist() == survey.ids[rows].tolist()
    np.testing.assert_array_equal(page["score"], survey.score("pca/image", "knn")[rows])
    np.testing.assert_array_equal(page["percentile"], survey.percentile("pca/image", "knn")[rows])
    assert page["mark"].tolist() == ["", "lens"] + [""] * 298
    assert session.ranking(offset=290, limit=50).shape[0] == 10
    assert session.ranking(offset=1000).empty
    with pytest.raises(UnknownName, match="knn"):
        session.ranking(scorer="maf")
    with pytest.raises(UnknownName, match="pca/image"):
        session.ranking(space="aion/joint")
    with pytest.raises(UnknownName, match="column"):
        session.ranking(sort="zz")
    with pytest.raises(ValueError, match="0 or more"):
        session.ranking(offset=-1)


def test_the_order_of_choice_can_be_ranked_by(session: Session) -> None:
    session.select(session.survey.ids[[40, 7, 99]].tolist())
    assert session.ranked_rows(sort="order").tolist() == [40, 7, 99]
    assert session.ranked_rows(sort="order", descending=True, limit=2).tolist() == [99, 7]
    assert session.ranked_rows(sort="row").tolist() == [7, 40, 99]


@pytest.mark.parametrize("size", [0, 1, 5, 1000])
def test_partial_sort_equals_a_whole_one(size: int) -> None:
    rng = np.random.default_rng(size)
    for keys in (rng.integers(0, 20, size), rng.normal(size=size), np.where(rng.random(size) < 0.3, np.nan, 1.0)):
        whole = np.argsort(keys, kind="stable")
        for offset, limit in [(0, 10), (3, 7), (990, 30), (0, 5000), (size, 5)]:
            np.testing.assert_array_equal(smallest(keys, offset, limit), whole[offset : offset + limit])


def test_unsigned_and_smallest_integers_sort_right() -> None:
    for values in (np.array([2**63 + 5, 3, 2**62], np.uint64), np.array([-(2**63), 2**63 - 2, 0], np.int64)):
        for descending in (False, True):
            order = np.argsort(sort_keys(values, None, descending), kind="stable").tolist()
            assert order == sorted(range(3), key=lambda i: int(values[i]), reverse=descending)


# -- legend --------------------


def test_legend_counts_of_text_numbers_and_flags(session: Session) -> None:
    survey = session.survey
    session.select("z > 1")
    mask = session.selection.mask
    kinds = survey.column("kind")
    frame = session.counts("kind")
    for value in ("galaxy", "lens", "quasar", None):
        line = frame[frame["value"].isna()] if value is None else frame[frame["value"] == value]
        here = np.array([k == value for k in kinds])
        assert (line["all"].item(), line["selected"].item()) == (here.sum(), (here & mask).sum())
    numbers = session.counts("z", bins=8)
    assert len(numbers) == 9
    assert numbers["all"].sum() == 300
    assert numbers["selected"].sum() == len(session.selection)
    assert numbers["value"].isna().tolist() == [False] * 8 + [True]
    z = survey.column("z")
    second = numbers.iloc[1]
    assert second["all"] == np.count_nonzero((z >= second["lo"]) & (z < second["hi"]))
    assert session.counts("quiet").set_index("value")["all"].to_dict() == {"true": 100, "false": 200}
    whole = session.counts("count")
    assert sorted(whole["value"]) == list("0123456")
    assert whole.set_index("value")["all"].to_dict() == {
        str(i): int((survey.column("count") == i).sum()) for i in range(7)
    }
    many = session.counts("id", categories=5)
    assert many["value"].tolist()[-1] == "295 more"
    assert many["all"].tolist() == [1] * 5 + [295]
    dates = session.counts("seen", bins=4)
    assert dates["all"].sum() == 300
    assert dates["value"][0].startswith("2026-01-01 – 2026-01-0")
    session.mark(survey.ids[:4].tolist(), "dust")
    assert session.counts("mark")["all"].tolist() == [4, 296]


@pytest.mark.parametrize(
    "values", [np.full(9, np.nan), np.full(9, 3.5), np.array([np.inf, -np.inf, 1.0, 2.0, np.nan] * 2), np.empty(0)]
)
def test_legends_of_strange_numbers_count_every_row(values: np.ndarray) -> None:
    frame = counted(bins_of(("strange", len(values), str(values[:2])), values, 4, 20), np.ones(len(values), bool))
    assert frame["all"].sum() == len(values)
    assert frame["selected"].sum() == len(values)


# -- look-alikes --------------------


def test_similar_rows_are_the_nearest_by_cosine_and_the_examples_come_first(session: Session) -> None:
    survey = session.survey
    vectors = survey.embedding("pca/image").astype(float)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    plus, minus = [40, 7], [98]
    query = unit[plus].mean(0) - unit[minus].mean(0)
    distance = 1 - unit @ query / np.linalg.norm(query)
    distance[[*plus, *minus]] = np.nan
    nearest = np.argsort(distance)[:10]
    found = session.similar_to(survey.ids[plus].tolist(), minus=survey.ids[minus].tolist(), k=10)
    assert found.index.tolist() == plus + nearest.tolist()
    np.testing.assert_allclose(found["distance"].to_numpy()[2:], distance[nearest], atol=1e-5)
    assert found["example"].tolist() == [True] * 2 + [False] * 10
    assert session.selection.order.tolist() == found.index.tolist()
    assert session.focus == 40
    assert "similar to" in session.selection.recipe[0]["note"]
    session.select(survey.has("image") & (survey.column("count") == 3))
    inside = session.find_similar(40, k=5, within_selection=True)
    assert all(r in session.selection for r in inside.index[1:])


def test_similar_says_what_it_cannot_do(session: Session) -> None:
    with pytest.raises(ValueError, match="no vector in the space pca/image"):
        session.similar_to(19)
    with pytest.raises(ValueError, match="cancel"):
        session.similar_to(3, minus=[3])
    with pytest.raises(ValueError, match="one neighbour"):
        session.similar_to(3, k=0)
    with pytest.raises(ValueError, match="at least one id"):
        session.similar_to([])
    with pytest.raises(UnknownName, match="pca/image"):
        session.similar_to(3, space="aion/joint")
    assert len(session.similar_to(3, k=10_000)) == 285


# -- a survey that goes on, a state that comes back --------------------


def test_refresh_sees_new_columns_rows_and_marks(session: Session) -> None:
    survey = session.survey
    session.select("z > 1")
    rows = session.selection.rows
    assert not session.refresh()
    calls = heard(session, "version", "marked")
    survey.put_score("pca/image", "gmm", np.arange(300.0))
    other = Session(survey, "bob")
    other.mark(survey.ids[:1].tolist(), "dust")
    assert session.refresh()
    assert calls == [{"version": survey.version, "marked": 1}]
    np.testing.assert_array_equal(session.selection.rows, rows)
    session.scorer = "gmm"
    assert session.ranking(limit=1).index[0] == 298


def test_a_survey_that_gains_rows_keeps_the_selection(session: Session) -> None:
    from explorer.survey.records import Record
    from explorer.survey.writer import SurveyWriter

    survey = session.survey
    session.select("z > 1.5")
    session.select(np.arange(300) % 2 == 0, mode="add")
    session.focus_on(299)
    before = session.selection.rows
    with SurveyWriter(survey.path, card={}, modalities=survey.modalities, columns=survey.columns) as writer:
        writer.append([Record("new", "new", {"z": 9.0}), Record("newer", "newer", {"z": 0.0})])
    assert session.refresh()
    assert session.selection.rows.tolist() == [*before.tolist(), 300]
    assert session.undo()
    assert 300 in session.selection
    assert 301 not in session.selection
    session.select(Polygon("umap", "pca/image", CONCAVE))
    assert session.focus_on("newer") == 301


def test_a_colour_that_means_nothing_in_another_space_is_dropped(session: Session) -> None:
    session.survey.put_embedding("pca/spectrum", np.random.default_rng(0).normal(size=(300, 4)))
    session.refresh()
    session.color_by = "percentile('knn')"
    session.space = "pca/spectrum"
    assert session.color_by == ""
    session.color_by = "z"
    session.space = "pca/image"
    assert session.color_by == "z"


def test_a_state_comes_back_through_json(session: Session) -> None:
    made = steps(session)[-1]
    session.color_by = "z"
    session.stretch = "linear"
    session.focus_on(5)
    state = json.loads(json.dumps(session.state()))
    other = Session(session.survey, "bob")
    calls = heard(other, "selection", "focus", "color_by", "stretch")
    other.restore(state)
    assert len(calls) == 1
    np.testing.assert_array_equal(other.selection.rows, made.rows)
    assert (other.focus, other.color_by, other.stretch) == (5, "z", "linear")
    assert other.state() == session.state()


@pytest.mark.parametrize(
    "change",
    [
        {"format": 9},
        {"survey": "another"},
        {"space": "aion/joint"},
        {"focus": "nobody"},
        {"focus": 5},
        {"selection": [{"mode": "replace", "query": "zz > 1"}]},
        {"selection": "z > 1"},
        {"color_by": "z.__class__"},
    ],
)
def test_a_state_that_cannot_be_used_changes_nothing(session: Session, change: dict) -> None:
    session.select("z > 2")
    session.color_by = "z"
    before = session.state()
    state = {**before, "stretch": "linear", "color_by": "count", **change}
    with pytest.raises((ValueError, LookupError)):
        session.restore(state)
    assert session.state() == before


def test_a_survey_without_spaces_can_be_explored(tmp_path) -> None:
    import pyarrow as pa

    from explorer.survey.records import Record
    from explorer.survey.writer import SurveyWriter

    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities={}, columns={"z": pa.float64()}) as writer:
        writer.append([Record(f"a{i}", f"a{i}", {"z": float(i)}) for i in range(4)])
    session = Session(Survey.open(tmp_path / "s"))
    assert session.space == session.scorer == ""
    assert session.ranking(limit=2)["id"].tolist() == ["a0", "a1"]
    assert session.ranking()["rank"].isna().all()
    assert session.step(1) == 0
    assert session.step(1) == 1
    assert session.select("z >= 2").rows.tolist() == [2, 3]
    with pytest.raises(UnknownName):
        session.similar_to("a1")
    with pytest.raises(UnknownName):
        session.select("rank() < 3")


# -- speed --------------------


def best(work, times: int = 3) -> float:
    spent = []
    for _ in range(times):
        start = time.thread_time()  # of this thread alone: the machine may be busy
        work()
        spent.append(time.thread_time() - start)
    return min(spent)


def test_a_million_rows_are_selected_and_ranked_without_a_wait(monkeypatch) -> None:
    from tests.explorer.test_query import Million

    n = 1_000_000
    survey = Million()
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.choice(n, 400_000, replace=False))
    mask = np.isin(np.arange(n), chosen)
    monkeypatch.setattr(
        "explorer.session.recipe.point_map", lambda *_: type("Map", (), {"inside_mask": lambda *_: mask})
    )
    session = Session(survey, "ann")
    lasso = Polygon("umap", "pca/image", CONCAVE)
    assert best(lambda: session.select(lasso).rows) < 0.1
    assert best(lambda: session.select(lasso, "intersect").rows) < 0.1
    assert best(lambda: session.select("z > 0.5").rows) < 0.1
    assert best(session.undo) < 0.1
    assert best(lambda: session.ranked_rows(0, 50)) < 0.1
    session.counts("kind")
    assert best(lambda: session.counts("kind")) < 0.1
    session.select(chosen)
    assert best(lambda: session.step(1)) < 0.1


def test_a_large_selection_is_walked_along_the_ranking_as_far_as_a_page_needs() -> None:
    rng = np.random.default_rng(5)
    order, mask = rng.permutation(50_000).astype(np.int32), rng.random(50_000) < 0.3
    expected = order[mask[order]]
    for offset, limit in ((0, 50), (3, 1), (9_990, 100), (len(expected) - 5, 50), (len(expected), 50), (0, 0)):
        assert walked(order, mask, offset, limit).tolist() == expected[offset : offset + limit].tolist()
    assert walked(order, np.zeros(50_000, bool), 0, 50).tolist() == []


def test_a_tally_by_blocks_is_a_count() -> None:
    rng = np.random.default_rng(6)
    codes, mask = rng.integers(0, 7, 200_000).astype(np.uint8), rng.random(200_000) < 0.5
    assert tally(codes, 9).tolist() == [int((codes == c).sum()) for c in range(9)]
    assert tally(codes, 9, mask).tolist() == [int((codes[mask] == c).sum()) for c in range(9)]
    assert tally(codes[:0], 3).tolist() == [0, 0, 0]
