"""COMPARE and the ranking's feedback under a real mouse: a cell selects, marks re-rank, rows turn grey."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from explorer.app import Explorer
from explorer.session import compare, stability
from explorer.survey import intervals
from tests.browser.conftest import Seen

pytestmark = pytest.mark.browser


@pytest.fixture
def survey(tiny_survey: Any) -> Any:
    """A second space that half agrees with the first, a clump in it, and rank intervals."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(300, 6)).astype(np.float32)
    vectors[:12] = rng.normal([5, 0, 0, 0, 0, 0], 0.2, (12, 6))
    tiny_survey.put_embedding("two/spectrum", vectors)
    first = np.nan_to_num(tiny_survey.score("pca/image", "knn"))
    tiny_survey.put_score("two/spectrum", "knn", first + rng.normal(size=300))
    tiny_survey.put_layout("two/spectrum", "umap", rng.normal(size=(300, 2)))
    places = tiny_survey.rank("pca/image", "knn").astype(float)
    wide = rng.choice([0.0, 6.0], 300)
    ends = np.stack([np.maximum(places - wide, 1), places, places + wide], axis=1)
    ends[places == 0] = np.nan
    told = {"rows": 300, "level": 0.9, "runs": 8, "spearman": 0.9, "retention": 60.0}
    intervals.put(tiny_survey, "pca/image", "knn", ends, told)
    return tiny_survey


@pytest.fixture
def seen(open_page: Callable[..., Seen], survey: Any) -> Seen:
    return open_page(Explorer(survey))


def test_a_cell_of_the_heatmap_selects_and_every_view_follows(seen: Seen) -> None:
    page, ex = seen.page, seen.ex
    page.get_by_role("button", name="Compare").click()
    cell = page.locator('[data-panel=transfer] [data-do=cell][data-i="0"][data-j="1"]')
    cell.wait_for(timeout=60_000)
    seen.soon(lambda: "page=compare" in page.url, "the address says where one is")
    page.locator('[data-panel=transfer] select[data-do="cut"]').select_option("10.0")
    seen.soon(lambda: "top 10 %" in page.locator("[data-panel=transfer] .says").inner_text(), "another cut")
    cell.click()
    a, b = ("pca/image", "knn"), ("two/spectrum", "knn")
    wanted = compare.tops(ex.survey, a, b, 10)
    seen.soon(lambda: seen.number("selected") == len(wanted.both) > 0, "the status line follows")
    assert set(ex.selection.rows) == set(wanted.both)
    cell.click(modifiers=["Shift"])
    page.locator('[data-panel=transfer] [data-do=tops][data-which="first"]').click(modifiers=["Shift"])
    whole = len(wanted.both) + len(wanted.first)
    seen.soon(lambda: seen.number("selected") == whole, "Shift adds those of one ranking alone")
    page.keyboard.press("c")
    expected = ex.session.ranking(limit=25)["id"].tolist()
    seen.soon(lambda: seen.ids() == expected, "the ranking holds what was selected")
    seen.soon(lambda: page.locator("[data-panel=transfer]").is_hidden(), "the map is there again")
    page.keyboard.press("Escape")
    seen.soon(lambda: seen.number("selected") == 0, "Esc clears")


def test_marks_re_rank_and_the_old_score_is_there_to_go_back_to(seen: Seen) -> None:
    page, ex = seen.page, seen.ex
    ex.space = "two/spectrum"
    before = ex.session.ranking(limit=25)["id"].tolist()
    seen.soon(lambda: seen.ids() == before, "the other space is ranked")
    for row in (0, 1, 2):
        ex.focus = row
        seen.soon(lambda row=row: ex.session.focus == row, "focus")
        page.keyboard.press("5")
        seen.soon(lambda row=row: len(ex.marks) == row + 1, "a mark is written")
    page.locator('.rk [data-do="rerank"]').click()
    seen.soon(lambda: ex.scorer == "feedback", "it is ranked by the marks")
    clump = set(ex.survey.ids_of(range(12)))
    seen.soon(lambda: len(clump & set(seen.ids())) >= 11, "what looks like the marked comes up")
    assert len(clump & set(before)) < 5
    assert page.locator('select[data-do="scorer"]').input_value() == "feedback"
    assert page.locator(".rk thead").inner_text().split()[2].casefold() == "expected"

    page.locator('.rk [data-do="next"]').click()
    seen.soon(lambda: seen.number("selected") == 20, "twenty to look at next")
    assert not set(ex.selection.ids) & set(ex.survey.ids_of(range(3))), "what was marked is not proposed again"
    page.keyboard.press("Escape")
    page.locator('select[data-do="scorer"]').select_option("knn")
    seen.soon(lambda: seen.ids() == before, "the old ranking is back")
    page.keyboard.press("r")
    seen.soon(lambda: ex.scorer == "feedback", "r re-ranks")


def test_rows_that_cannot_be_told_apart_turn_grey(seen: Seen) -> None:
    page, ex = seen.page, seen.ex
    found = intervals.of(ex.survey, "pca/image", "knn")
    rows = ex.session.ranked_rows(0, 26)
    wanted = stability.blurred(found, rows)[:25]
    assert 0 < wanted.sum() < 25
    low, high = found[rows[0], 0], found[rows[0], 2]
    assert page.locator(".rk tbody .spread").first.inner_text() == f"{low:.0f}–{high:.0f}"
    assert page.locator(".rk tr.dull").count() == 0
    page.locator('.rk [data-do="grey"]').click()
    seen.soon(lambda: page.locator(".rk tr.dull").count() == wanted.sum(), "some rows turn grey")
    grey = page.locator(".rk tr.dull td.id").all_inner_texts()
    assert grey == ex.survey.ids_of(rows[:25][wanted])
    bright = page.locator(".rk tbody tr:not(.dull) td.id").first.evaluate("(n) => getComputedStyle(n).color")
    dull = page.locator(".rk tr.dull td.id").first.evaluate("(n) => getComputedStyle(n).color")
    assert bright != dull
    page.locator('.rk [data-do="surest"]').click()
    surest = stability.surest(ex.session, 0, 25)["id"].tolist()
    seen.soon(lambda: seen.ids() == surest, "sorted by the worse end")


@pytest.mark.parametrize("size", [(1440, 900), (1024, 768)])
def test_compare_fits_its_window_in_both_themes(
    open_page: Callable[..., Seen], survey: Any, size: tuple[int, int]
) -> None:
    seen = open_page(Explorer(survey), *size)
    seen.page.keyboard.press("c")
    seen.page.locator("[data-panel=transfer] [data-do=cell]").first.wait_for(timeout=60_000)
    for theme in ("light", "dark"):
        seen.ex.theme = theme
        seen.soon(lambda theme=theme: seen.page.locator(f".ax-root.ax-{theme}").count() == 1, "the theme changes")
        root = "document.documentElement"
        assert seen.page.evaluate(f"[{root}.scrollWidth, {root}.scrollHeight]") == list(size)
        for name in ("transfer", "fusion", "probes", "stability", "recovery", "confounders"):
            box = seen.page.locator(f"[data-panel={name}]").bounding_box()
            assert box["x"] >= 0, name
            assert box["x"] + box["width"] <= size[0] + 0.5, name
            assert box["width"] > 280, name
        for part in (".hd", ".st"):
            box = seen.page.locator(part).bounding_box()
            assert box["x"] + box["width"] <= size[0] + 0.5, part
