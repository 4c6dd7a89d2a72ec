"""The mosaic: order, pictures, and what is done to its sheet, without a browser."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from explorer.session.session import Session
from explorer.survey.records import Image
from explorer.views._thumbs import NEAREST, Look, render_order, render_pictures, render_stretched, render_tiles
from explorer.views.mosaic import Controls, MosaicView, colour_of, faintness, look_of, render_mosaic, softness
from kernels.layout.stretch import stretch


@pytest.fixture
def session(tiny_survey: Any) -> Session:
    return Session(tiny_survey, user="me")


@pytest.fixture
def view(session: Session) -> Iterator[MosaicView]:
    made = MosaicView(session)
    made.panel()
    yield made
    made.close()


def _order(session: Session, sort: str = "rank", focus: int = -1, seed: int = 0) -> np.ndarray:
    return render_order(session.survey, session.selection, session.space, session.scorer, sort, focus, seed)


def test_rank_order_is_that_of_the_scores(session: Session) -> None:
    score = session.survey.score("pca/image", "knn")
    got = _order(session)
    assert sorted(got.tolist()) == list(range(len(session.survey)))
    known = got[np.isfinite(score[got])]
    assert (np.diff(score[known]) <= 0).all()
    assert np.isnan(score[got[len(known) :]]).all(), "rows without a score stand last"
    session.select("z > 1")
    assert set(_order(session).tolist()) == set(session.selection.rows.tolist())


def test_a_selection_with_an_order_keeps_it(session: Session) -> None:
    ids = session.survey.ids_of([40, 3, 17])
    session.select(ids)
    assert _order(session).tolist() == [40, 3, 17]


def test_nearest_is_brute_force(session: Session) -> None:
    x = session.survey.embedding("pca/image").astype(float)
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    want = np.argsort(1 - x @ x[11], kind="stable")
    want = want[np.isfinite(x[want]).all(axis=1)]
    got = _order(session, "nearest to focus", 11)
    assert got[0] == 11
    assert got[:50].tolist() == want[:50].tolist()
    assert len(got) <= NEAREST
    session.select("z > 1")
    assert np.isin(_order(session, "nearest to focus", 150)[1:], session.selection.rows).all()


def test_random_is_a_permutation_that_a_seed_repeats(session: Session) -> None:
    a, b, c = (_order(session, "random", seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()
    assert sorted(a.tolist()) == list(range(len(session.survey)))
    with pytest.raises(ValueError, match=r"no order named 'size'.*rank"):
        _order(session, "size")


def test_stored_thumbnails_are_passed_on_as_they_are(session: Session) -> None:
    rows = np.array([3, 19, 8])  # 19 has no image
    found = render_pictures(session.survey, rows, Look())
    files = session.survey.thumbnails(rows)
    assert found.kind == "packed"
    parts = [found.data[a:b] for a, b in zip(found.at[:-1], found.at[1:], strict=True)]
    assert parts == [files[0], b"", files[2]]


def test_a_sprite_holds_each_cutout_in_its_cell(session: Session) -> None:
    rows = np.array([3, 19, 8, 40, 41])
    look = Look("linear", white=99)
    found = render_pictures(session.survey, rows, look)
    assert (found.kind, found.cell, found.columns, found.absent) == ("sprite", 16, 3, (1,))
    sheet = np.asarray(Pillow.open(io.BytesIO(found.data))).astype(int)
    assert sheet.shape == (32, 48, 3)
    for place, row in enumerate(rows):
        image = session.survey.image(int(row))
        if image is None:
            continue
        top, left = 16 * (place // 3), 16 * (place % 3)
        want = stretch(image.pixels, "linear", bands=["VIS", "H"], high=99).astype(int)
        assert np.abs(sheet[top : top + 16, left : left + 16] - want).mean() < 12, "only JPEG lies between them"


def test_cutouts_of_several_shapes_share_one_scale() -> None:
    rng = np.random.default_rng(0)
    faint, bright = (rng.normal(0, 1, (1, 20, 20)) + 0, rng.normal(0, 1, (1, 30, 20)) + 0)
    bright[0, 10:20, 5:15] += 1000
    images = [Image(faint.astype(np.float32)), None, Image(bright.astype(np.float32))]
    each = render_stretched(images, Look("linear"), ["VIS"])
    page = render_stretched(images, Look("linear", shared=True), ["VIS"])
    assert each[1] is None
    assert page[0] is not None
    assert each[0] is not None
    assert page[0].mean() < 0.3 * each[0].mean(), "noise stays dark beside a bright object"
    assert page[2] is not None
    assert page[2].shape == (30, 20, 3)


def test_one_band_is_grey_and_an_unknown_one_is_refused(session: Session) -> None:
    controls = Controls()
    assert look_of(session.survey, "asinh", controls).stored
    controls.bands = ["H"]
    look = look_of(session.survey, "asinh", controls)
    assert look.colours == (1,)
    picture = render_stretched(session.survey.images([3]), look, ["VIS", "H"])[0]
    assert picture is not None
    assert (picture[..., 0] == picture[..., 2]).all()
    controls.bands = ["K"]
    with pytest.raises(ValueError, match=r"no band named 'K'. There are: VIS, H"):
        look_of(session.survey, "asinh", controls)


def test_tiles_say_rank_id_and_mark_as_plain_text(session: Session) -> None:
    session.mark([5], "a <b>lens</b>", score=4)
    rows = np.array([5, 19])
    tiles = render_tiles(session, rows)
    assert tiles[0]["id"] == "<script>alert(1)</script>", "text: the component never makes markup of it"
    assert tiles[0]["rank"] == session.survey.rank("pca/image", "knn")[5]
    assert tiles[0]["mark"] == "a <b>lens</b>"
    assert tiles[1]["rank"] is None
    assert tiles[1]["pct"] is None
    page = render_mosaic(session, rows, 0, 2, Look(), 64)
    assert page["tiles"][0]["colour"] == colour_of("a <b>lens</b>", "dark")
    assert page["tiles"][1]["colour"] == ""


def test_a_click_looks_and_shift_selects_without_losing_the_page(view: MosaicView, session: Session) -> None:
    view._on_sheet({"do": "room", "columns": 5, "rows": 2, "pixels": 64})
    shown = view.rows.copy()
    assert len(shown) == 10
    view._on_sheet({"do": "focus", "at": 3})
    assert session.focus == shown[3]
    assert view.sheet.state["focus"] == 3
    for at in (2, 7):
        view._on_sheet({"do": "toggle", "at": at})
    assert set(session.selection.rows) == {shown[2], shown[7]}
    np.testing.assert_array_equal(view.rows, shown)
    assert view.sheet.state["selected"] == [2, 7]
    view._on_sheet({"do": "toggle", "at": 2})
    assert session.selection.rows.tolist() == [shown[7]]
    session.undo()
    assert len(session.selection) == 2
    assert len(view.rows) == 2, "a selection from elsewhere is what is shown"


def test_rows_let_go_of_a_shown_selection_stay_visible(view: MosaicView, session: Session) -> None:
    session.select(np.arange(20, 26))
    view._on_sheet({"do": "toggle", "at": 1})
    assert len(session.selection) == 5
    assert view.sheet.state["off"] == [1]
    assert view.sheet.state["selected"] == []
    view._on_sheet({"do": "toggle", "at": 1})
    assert len(session.selection) == 6


def test_pages_turn_and_follow_a_focus_from_elsewhere(view: MosaicView, session: Session) -> None:
    view._on_sheet({"do": "room", "columns": 8, "rows": 5, "pixels": 64})
    order = _order(session)
    assert view.sheet.page["first"]
    view._on_sheet({"do": "page", "to": "next"})
    np.testing.assert_array_equal(view.rows, order[40:80])
    view._on_sheet({"do": "page", "to": "last", "focus": "last"})
    assert view.sheet.page["last"]
    assert session.focus == order[-1]
    view._on_sheet({"do": "page", "to": "next"})
    np.testing.assert_array_equal(view.rows, order[280:])
    session.focus_on(int(order[93]))
    np.testing.assert_array_equal(view.rows, order[80:120])
    assert view.sheet.state["focus"] == 13
    assert "81–120 of 300 rows, by rank (knn in pca/image)" in view.sheet.page["told"]


def test_a_page_is_kept_until_there_is_a_new_one(view: MosaicView, session: Session) -> None:
    view._on_sheet({"do": "room", "columns": 4, "rows": 2, "pixels": 64})
    before = view.sheet.page
    view.controls.sort = "nearest to focus"
    session.focus_on(19)  # has no vector: cannot be sorted by
    assert view.error.visible
    assert "has no vector" in view.error.object
    assert view.sheet.page["data"] == before["data"]
    session.focus_on(11)
    assert not view.error.visible
    assert view.rows[0] == 11


def test_an_unknown_band_leaves_the_page(view: MosaicView) -> None:
    before = view.sheet.page["data"]
    view.controls.bands = ["K"]
    assert "no band named &#x27;K&#x27;" in view.error.object
    assert view.sheet.page["data"] == before
    view.controls.bands = ["H"]
    assert not view.error.visible


def test_nothing_selected_by_a_query_says_so(view: MosaicView, session: Session) -> None:
    session.select("z > 1000")
    assert view.note.visible
    assert not view.sheet.visible
    assert "undo" in view.note.object
    session.undo()
    assert view.sheet.visible


def test_stretch_is_the_sessions(view: MosaicView, session: Session) -> None:
    assert view.sheet.page["kind"] == "packed"
    session.stretch = "lupton"
    assert view.sheet.page["kind"] == "sprite"
    session.stretch = "asinh"
    assert view.sheet.page["kind"] == "packed"
    view.controls.limits = "page"
    assert view.sheet.page["kind"] == "sprite"


@pytest.mark.parametrize("softening", [0.002, 0.06, 0.5, 1])
def test_the_faintness_slider_is_invertible(softening: float) -> None:
    assert softness(faintness(softening)) == pytest.approx(softening)
    assert 0 <= faintness(softening) <= 1


def test_it_applies_where_there_are_images(tiny_survey: Any) -> None:
    assert MosaicView.applies(tiny_survey)
