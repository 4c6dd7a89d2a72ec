"""The map under a real mouse: what is drawn around is what is selected, and every view follows."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
import shapely

from tests.browser.conftest import Seen

pytestmark = pytest.mark.browser

# A letter C in the layout, whose positions are uniform in -1 … 1: its hull holds many rows that it does not.
LETTER = np.array(
    [(0.7, 0.8), (-0.8, 0.8), (-0.8, -0.8), (0.7, -0.8), (0.7, -0.5), (-0.4, -0.45), (-0.4, 0.45), (0.7, 0.5)]
)
LEFT = np.array([(-0.9, -0.9), (0.1, -0.9), (0.1, 0.9), (-0.9, 0.9)])
RIGHT = np.array([(-0.3, -0.85), (0.9, -0.85), (0.9, 0.85), (-0.3, 0.85)])


def layout(seen: Seen) -> np.ndarray:
    return np.asarray(seen.ex.survey.layout(seen.ex.space, seen.ex.layout), dtype=float)


def inside(vertices: np.ndarray, xy: np.ndarray) -> set[int]:
    """Rows in a polygon, by shapely."""
    return set(np.flatnonzero(shapely.contains_xy(shapely.Polygon(vertices), xy[:, 0], xy[:, 1])).tolist())


def lasso(seen: Seen, corners: np.ndarray, held: tuple[str, ...] = ()) -> set[int]:
    """Draw a lasso; the rows that shapely finds in the vertices that reached Python."""
    before = seen.ex.selection
    seen.drag(corners, held)
    seen.soon(lambda: seen.ex.selection is not before, "the lasso reaches Python")
    vertices = np.array(seen.ex.selection.recipe[-1]["polygon"])
    far = shapely.Polygon(vertices).symmetric_difference(shapely.Polygon(corners)).area
    assert far < 0.03, f"the polygon is not what was drawn: {far}"
    return inside(vertices, layout(seen))


def test_a_concave_lasso_selects_what_it_encloses_and_all_views_follow(tiny: Seen) -> None:
    expected = lasso(tiny, LETTER)
    hull = inside(np.asarray(shapely.convex_hull(shapely.Polygon(LETTER)).exterior.coords), layout(tiny))
    assert len(hull) > len(expected) + 20, "the shape has to be concave to show anything"
    assert set(tiny.ex.selection.rows.tolist()) == expected
    tiny.soon(lambda: tiny.number("selected") == len(expected), "the status line follows")
    tiny.soon(lambda: tiny.page.locator(".rk .foot").inner_text().startswith(str(len(expected))), "the table follows")
    names = set(tiny.ex.survey.ids[sorted(expected)].tolist())
    assert set(tiny.ids()) <= names
    assert len(tiny.ids()) == min(25, len(expected))

    kinds = Counter(str(tiny.ex.survey.column("kind")[row]) for row in expected)
    entries = tiny.page.locator(".lg button").all_inner_texts()
    shown = {re.split(r"\s+", e)[0]: int(re.search(r"(\d+)\s*/", e)[1]) for e in entries}  # type: ignore[index]
    assert shown == {("no" if kind == "None" else kind): n for kind, n in kinds.items()}


def test_modifiers_add_intersect_and_subtract(tiny: Seen) -> None:
    left = lasso(tiny, LEFT)
    assert set(tiny.ex.selection.rows.tolist()) == left

    right = lasso(tiny, RIGHT, ("Shift",))
    assert set(tiny.ex.selection.rows.tolist()) == left | right
    tiny.ex.undo()

    right = lasso(tiny, RIGHT, ("Control",))
    assert set(tiny.ex.selection.rows.tolist()) == left & right
    tiny.ex.undo()

    right = lasso(tiny, RIGHT, ("Control", "Shift"))
    assert set(tiny.ex.selection.rows.tolist()) == left - right
    assert left - right
    tiny.soon(lambda: tiny.number("selected") == len(left - right), "the status line follows")


def test_a_box_selects_its_rows(tiny: Seen) -> None:
    tiny.page.locator('.bk-tool-icon-box-select, [title*="Box Select" i]').first.click()
    tiny.drag(np.array([(-0.6, 0.6), (0.5, -0.4)]))
    tiny.soon(lambda: tiny.ex.selection.active, "the box reaches Python")
    vertices = np.array(tiny.ex.selection.recipe[-1]["polygon"])
    assert np.ptp(vertices[:, 0]) == pytest.approx(1.1, abs=0.03)
    assert set(tiny.ex.selection.rows.tolist()) == inside(vertices, layout(tiny))


def test_a_click_looks_at_the_nearest_row_and_selects_nothing(tiny: Seen) -> None:
    xy = layout(tiny)
    apart = np.linalg.norm(xy[:, None] - xy[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    lonely = np.where(np.isfinite(xy).all(axis=1) & (np.abs(xy).max(axis=1) < 0.9), np.nanmin(apart, axis=1), -1)
    row = int(np.argmax(lonely))
    x, y = tiny.on_screen(xy[row : row + 1])[0]
    tiny.page.mouse.click(x + 2, y - 1)
    tiny.soon(lambda: tiny.ex.session.focus == row, "the click reaches Python")
    assert not tiny.ex.selection.active
    tiny.soon(lambda: tiny.page.locator(".rk tr.focus").count() == 1, "the ranking shows the focus on its page")
    assert tiny.page.locator(".rk tr.focus td.id").inner_text() == tiny.ex.focus


def test_the_pointer_brings_a_card_with_the_id(tiny: Seen) -> None:
    xy = layout(tiny)
    row = int(np.flatnonzero(np.isfinite(xy).all(axis=1) & (np.hypot(*xy.T) < 0.4))[0])
    x, y = tiny.on_screen(xy[row : row + 1])[0]
    tiny.page.mouse.move(x - 60, y - 60)
    tiny.page.mouse.move(x, y, steps=3)
    tiny.soon(lambda: tiny.page.locator(".tip .id").count() == 1, "the card appears")
    assert tiny.page.locator(".tip .id").inner_text() == tiny.ex.survey.ids[row]
    assert "kind" in tiny.page.locator(".tip").inner_text()


def test_a_category_of_the_legend_selects_its_rows(tiny: Seen) -> None:
    tiny.page.locator(".lg button", has_text="lens").click()
    tiny.soon(lambda: len(tiny.ex.selection) > 0, "the click reaches Python")
    assert set(tiny.ex.survey.column("kind")[tiny.ex.selection.rows]) == {"lens"}
    assert len(tiny.ex.selection) == 75


def test_zooming_in_shows_fewer_rows_and_their_thumbnails(tiny: Seen) -> None:
    everything = tiny.number("shown")
    x, y = tiny.on_screen(np.array([[0.1, 0.1]]))[0]
    tiny.page.mouse.move(x, y)
    for _ in range(3):
        tiny.page.mouse.wheel(0, -300)
        tiny.page.wait_for_timeout(60)
    tiny.soon(lambda: tiny.number("shown") < everything, "fewer rows are shown")
    f = tiny.figure()
    xy = layout(tiny)
    here = (xy[:, 0] >= f["x0"]) & (xy[:, 0] <= f["x1"]) & (xy[:, 1] >= f["y0"]) & (xy[:, 1] <= f["y1"])
    tiny.soon(lambda: tiny.number("shown") == int(here.sum()), "exactly the rows in the window are counted")
    unit = (f["x1"] - f["x0"]) / f["width"] / ((f["y1"] - f["y0"]) / f["height"])
    assert unit == pytest.approx(1, abs=0.01), "a pixel is square"
