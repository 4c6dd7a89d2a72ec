"""The map without a browser: messages in, rows and pictures out."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import shapely

from explorer.session.session import Session
from explorer.views import _map_frame as frames
from explorer.views._colour import Categories, Counts, Values, categories, choices, colouring
from explorer.views._map_legend import legend
from explorer.views._map_overlay import hover_card, nothing_yet
from explorer.views._theme import screen_of, token
from explorer.views.map import MapView

CONCAVE = np.array([(-0.9, -0.9), (0.9, -0.9), (0.0, 0.0), (0.9, 0.9), (-0.9, 0.9)])


@pytest.fixture
def session(tiny_survey: Any) -> Session:
    return Session(tiny_survey)


@pytest.fixture
def view(session: Session) -> MapView:
    made = MapView(session)
    made.panel()
    return made


def positions(session: Session) -> np.ndarray:
    return np.asarray(session.survey.layout(session.space, session.layout), dtype=float)


def region(vertices: np.ndarray, mode: str = "replace") -> dict[str, Any]:
    return {"kind": "region", "mode": mode, "x": vertices[:, 0].tolist(), "y": vertices[:, 1].tolist(), "n": 1}


def inside(vertices: np.ndarray, xy: np.ndarray) -> set[int]:
    return set(np.flatnonzero(shapely.contains_xy(shapely.Polygon(vertices), xy[:, 0], xy[:, 1])).tolist())


def test_the_first_picture_holds_every_row_with_a_position(view: MapView, session: Session) -> None:
    placed = int(np.isfinite(positions(session)).all(axis=1).sum())
    assert 0 < placed < len(session.survey)
    assert screen_of(session).shown == placed
    assert view.canvas.base.data["image"][0].shape == view.shape
    assert not view.canvas.chosen.data["image"]


def test_a_region_selects_and_modes_combine(view: MapView, session: Session) -> None:
    xy = positions(session)
    square = np.array([(-1.1, -1.1), (0.1, -1.1), (0.1, 1.1), (-1.1, 1.1)])
    first, second = inside(CONCAVE, xy), inside(square, xy)
    expected = {"replace": second, "append": first | second, "intersect": first & second, "subtract": first - second}
    for mode, rows in expected.items():
        view._on_message(region(CONCAVE))
        assert set(session.selection.rows.tolist()) == first
        view._on_message(region(square, mode))
        assert set(session.selection.rows.tolist()) == rows, mode
    assert view.canvas.chosen.data["image"], "the selection is drawn"
    session.clear()
    assert not view.canvas.chosen.data["image"]


def test_a_window_counts_its_rows(view: MapView, session: Session) -> None:
    view._on_message({"kind": "window", "x0": -0.5, "x1": 0.5, "y0": -0.4, "y1": 0.6, "width": 640, "height": 640})
    xy = positions(session)
    with np.errstate(invalid="ignore"):
        here = (np.abs(xy[:, 0]) <= 0.5) & (xy[:, 1] >= -0.4) & (xy[:, 1] <= 0.6)
    assert screen_of(session).shown == int(here.sum())
    assert view.canvas.base.data["image"][0].shape == (640, 640)
    assert view.canvas.base.data["dw"] == [pytest.approx(1.0)]


def test_few_rows_bring_thumbnails_and_the_switch_is_obeyed(view: MapView, session: Session) -> None:
    view._on_message({"kind": "window", "x0": 0, "x1": 0.4, "y0": 0, "y1": 0.4, "width": 640, "height": 640})
    assert 0 < len(view.canvas.thumbs.data["url"]) <= screen_of(session).shown
    assert all(url.startswith("data:image/jpeg;base64,") for url in view.canvas.thumbs.data["url"])
    screen_of(session).thumbnails = "off"
    assert not view.canvas.thumbs.data["url"]


def test_a_tap_focuses_the_nearest_row_and_only_when_near(view: MapView, session: Session) -> None:
    xy = positions(session)
    row = int(np.flatnonzero(np.isfinite(xy[:, 0]))[7])
    view._on_message({"kind": "tap", "x": 40.0, "y": 40.0})
    assert session.focus == -1
    view._on_message({"kind": "tap", "x": xy[row, 0], "y": xy[row, 1]})
    assert session.focus == row
    assert view.canvas.focused.data == {"x": [pytest.approx(xy[row, 0])], "y": [pytest.approx(xy[row, 1])]}
    lost = int(np.flatnonzero(~np.isfinite(xy[:, 0]))[0])
    session.focus_on(lost)
    assert view.canvas.focused.data == {"x": [], "y": []}, "a row without a position has no reticle"


def test_the_pointer_brings_a_card_and_takes_it_away(view: MapView, session: Session) -> None:
    row = session.row_of("<script>alert(1)</script>")
    x, y = positions(session)[row]
    view._on_message({"kind": "hover", "x": x, "y": y, "sx": 100, "sy": 100})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in view.over.object
    assert "<script" not in view.over.object
    view._on_message({"kind": "leave"})
    assert view.over.object == ""


def test_the_card_stays_on_the_canvas() -> None:
    assert "left:" in hover_card("a", "", None, (10, 10), (600, 600))
    far = hover_card("a", "", None, (590, 590), (600, 600))
    assert "right:" in far
    assert "bottom:" in far


def test_a_selection_made_while_a_window_is_drawn_loses_neither(view: MapView, session: Session) -> None:
    """Whichever of the two jobs comes back first, the last picture is of the last window and the last selection."""
    waiting: list[Any] = []
    view.work.run = lambda lane, job, done: waiting.append((lane, job, done))  # type: ignore[method-assign]
    for order in (slice(None), slice(None, None, -1)):
        x = 0.5 if order == slice(None) else 0.6
        view._on_message({"kind": "window", "x0": -x, "x1": x, "y0": -x, "y1": x, "width": 640, "height": 640})
        session.select(np.arange(50) if x == 0.5 else np.arange(70))
        while waiting:
            batch, waiting[:] = waiting[order], []
            for _, job, done in batch:
                done(job())
        for layer in (view.canvas.base, view.canvas.chosen):
            assert layer.data["x"] == [-x]
        points, mask = view.points, session.selection.mask
        look = ("dark", view.screen.continuous)
        expected = frames.render_selection(points, view.window, view.shape, mask, look, view.spread, view.colour)
        assert (view.canvas.chosen.data["image"][0] == expected).all()


def test_an_error_on_the_page_is_told_and_nothing_falls(view: MapView, session: Session) -> None:
    view._on_message(region(CONCAVE[:2]))
    assert "three or more vertices" in str(screen_of(session).notice)
    view._on_message(region(CONCAVE))
    assert session.selection.active


def test_a_survey_without_a_layout_says_what_to_do(session: Session) -> None:
    session.survey = _Bare(session.survey)
    view = MapView(session)
    view.panel()
    assert "explorer prepare" in view.over.object


class _Bare:
    """A survey whose spaces are gone."""

    def __init__(self, survey: Any):
        self._survey, self.spaces = survey, []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._survey, name)

    def __len__(self) -> int:
        return len(self._survey)


def test_every_choice_of_colour_can_be_drawn(view: MapView, session: Session) -> None:
    for value in choices(session.survey, session.space).values():
        session.color_by = value
        assert screen_of(session).notice is None, value
        assert view.colour.name or isinstance(view.colour, Counts)


def test_text_and_few_whole_numbers_are_categories_and_others_values(session: Session) -> None:
    kinds = {}
    for name in ("kind", "count", "quiet", "z", "targetid", "seen"):
        session.color_by = name
        kinds[name] = type(colouring(session))
    assert kinds == {"kind": Categories, "count": Categories, "quiet": Categories, "z": Values, "targetid": Values,
                     "seen": Values}  # fmt: skip


def test_categories_beyond_the_palette_share_a_colour() -> None:
    codes = np.repeat(np.arange(12), np.arange(12, 0, -1))
    codes = np.append(codes, [-1, -1])
    made = categories("c", codes, [f"k{i}" for i in range(12)])
    assert made.labels[:3] == ["k0", "k1", "k2"]
    assert made.others == 8
    assert (made.slots == 8).sum() == 4 + 3 + 2 + 1 + 2


def test_the_legend_counts_the_selection_and_all(view: MapView, session: Session) -> None:
    session.color_by = "kind"
    session.select(np.arange(100))
    found = dict(re.findall(r'class="what">([^<]+)</span><span class="n"><b>([\d\u2009]+)</b>', view.legend.markup))
    kinds = [("galaxy", "lens", "quasar", None)[i % 4] for i in range(100)]
    assert found == {"galaxy": "25", "lens": "25", "quasar": "25", "no value": str(kinds.count(None))}
    view._on_legend({"do": "category", "place": "1", "shift": False, "ctrl": False})
    assert len(session.selection) == 75
    view._on_legend({"do": "category", "place": "0", "shift": True, "ctrl": False})
    assert len(session.selection) == 150


def test_a_legend_of_values_has_a_histogram_and_escapes_its_name(session: Session) -> None:
    session.color_by = "<b>odd</b>"
    colour = colouring(session)
    markup = legend(colour, None, ("dark", "cividis"))
    assert "<b>odd" not in markup
    assert markup.count("<i>") == 40


def test_thumbnails_do_not_overlap_and_the_densest_place_has_one() -> None:
    from kernels.layout import PointMap

    rng = np.random.default_rng(0)
    xy = np.concatenate([rng.normal(0.25, 0.01, (200, 2)), rng.uniform(0, 1, (2000, 2))]).astype(np.float32)
    side = frames.THUMBNAIL * 10
    rows = frames.representatives(PointMap(xy), xy, (0.0, 1.0, 0.0, 1.0), (side, side))
    apart = np.abs(xy[rows][:, None] - xy[rows][None]).max(axis=2) * side
    np.fill_diagonal(apart, np.inf)
    assert apart.min() >= frames.THUMBNAIL - 1e-3
    assert 40 < len(rows) <= 121
    assert np.abs(xy[rows[0]] - 0.25).max() < 0.05, "the clump comes first"
    assert len(frames.representatives(PointMap(xy), xy, (5.0, 6.0, 5.0, 6.0), (side, side))) == 0


def test_square_units_whatever_the_canvas() -> None:
    xy = np.array([(0, 0), (10, 1), (np.nan, 5)])
    x0, x1, y0, y1 = frames.full_window(xy, (300, 900))
    assert (x1 - x0) / 900 == pytest.approx((y1 - y0) / 300)
    assert x0 < 0
    assert x1 > 10
    assert frames.full_window(np.full((2, 2), np.nan), (10, 10)) == (0.0, 1.0, 0.0, 1.0)


def test_a_selection_keeps_the_colours_of_the_map(view: MapView, session: Session) -> None:
    session.color_by = "z"
    mask = np.zeros(len(session.survey), bool)
    mask[:50] = True
    look, accent = ("dark", "viridis"), int(token("dark", "select")[1:3], 16)
    made = frames.render_selection(view.points, view.window, view.shape, mask, look, 2, view.colour)
    colours, counted = np.unique(made[made > 0], return_counts=True)
    rim = (colours & 255) == accent
    assert rim.any(), "rimmed in the colour of what is selected"
    assert len(colours[~rim]) > 10, "and inside it, the values"
    assert counted[rim].sum() > 0.3 * counted.sum()
    plain = frames.render_selection(view.points, view.window, view.shape, mask, look, 2)
    assert set(np.unique(plain[plain > 0] & 255)) == {accent}


def test_the_focus_is_brought_into_a_window_that_is_zoomed_in(view: MapView, session: Session) -> None:
    x, y = view.xy[0]
    view._on_message({"kind": "window", "x0": x - 0.01, "x1": x + 0.01, "y0": y - 0.01, "y1": y + 0.01,
                      "width": 640, "height": 640})  # fmt: skip
    session.focus_on(0)
    assert view.window[0] == pytest.approx(x - 0.01), "one in view moves nothing"
    far = int(np.nanargmax(np.abs(view.xy - view.xy[0]).max(axis=1)))
    session.focus_on(far)
    x0, x1, y0, y1 = view.window
    assert x1 - x0 == pytest.approx(0.02, rel=1e-3)
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx(tuple(view.xy[far]), rel=1e-5)


def test_an_empty_window_says_how_to_come_back(view: MapView) -> None:
    view._on_message({"kind": "window", "x0": 900, "x1": 901, "y0": 900, "y1": 901, "width": 640, "height": 640})
    assert "No rows here" in view.over.object
    view._on_message({"kind": "leave"})
    assert "No rows here" in view.over.object
    view._on_message({"kind": "window", "x0": -50, "x1": 50, "y0": -50, "y1": 50, "width": 640, "height": 640})
    assert view.over.object == ""


def test_a_survey_without_a_map_is_told_what_would_make_one() -> None:
    def told(rows: int, **survey: Any) -> str:
        class Stub:
            spaces, modalities = survey.get("spaces", []), survey.get("modalities", {})

            def __len__(self) -> int:
                return rows

        return nothing_yet(Stub())

    assert "This survey is empty" in told(0)
    assert "A catalogue alone" in told(5)
    assert "explorer prepare" in told(5, modalities={"image": {}})


def test_few_rows_get_large_thumbnails_and_the_focus_stands_around_one(view: MapView, session: Session) -> None:
    assert frames.thumbnail_size(10) == frames.LARGE
    assert frames.thumbnail_size(500) == frames.THUMBNAIL
    rows = np.array([3, 8])
    view._lay_thumbnails(rows, [b"\xff\xd8\xff", b"\xff\xd8\xff"], frames.LARGE)
    assert view.canvas._pictures.w == frames.LARGE - 6
    ring = view.canvas._ring.size
    session.focus_on(3)
    assert view.canvas._ring.size > frames.LARGE > ring, "the ring leaves the picture free"
    session.focus_on(5)
    assert view.canvas._ring.size == ring


def test_a_few_rows_leave_room_for_their_thumbnails_at_the_edge() -> None:
    xy = np.random.default_rng(0).uniform(-1, 1, (10, 2))
    x0, x1, y0, y1 = frames.full_window(xy, (600, 600))
    edge = min(xy.min(0)[0] - x0, x1 - xy.max(0)[0], xy.min(0)[1] - y0, y1 - xy.max(0)[1])
    assert edge / (x1 - x0) * 600 > frames.LARGE / 2


def test_the_bars_of_a_selection_are_never_taller_than_those_of_all(view: MapView, session: Session) -> None:
    session.color_by = "z"
    mask = np.zeros(len(session.survey), bool)
    mask[::7] = True
    made = legend(view.colour, mask, ("dark", "viridis"))
    pairs = re.findall(r'<s class="" style="height:(\d+)%"></s><s class="on" style="height:(\d+)%">', made)
    assert len(pairs) == 40
    assert all(int(every) >= int(chosen) for every, chosen in pairs)
    assert any(int(every) > int(chosen) > 0 for every, chosen in pairs)
