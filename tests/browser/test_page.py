"""The whole page under a real mouse and keyboard: one selection, one focus, everywhere."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.app import Explorer
from explorer.views._theme import screen_of
from tests.browser.conftest import Seen

pytestmark = pytest.mark.browser


def test_python_moves_the_page_and_keys_undo_it(tiny: Seen) -> None:
    ex, page = tiny.ex, tiny.page
    few = len(ex.select("rank('knn') <= 20"))
    tiny.soon(lambda: tiny.number("selected") == few, "ex.select reaches the page")
    assert tiny.ids() == ex.session.ranking(limit=25)["id"].tolist()
    ex.select("z > 2.5", mode="add")
    both = len(ex.selection)
    tiny.soon(lambda: tiny.number("selected") == both, "the second step reaches the page")

    page.keyboard.press("Control+z")
    tiny.soon(lambda: tiny.number("selected") == few and len(ex.selection) == few, "Ctrl+Z")
    page.keyboard.press("Control+Shift+z")
    tiny.soon(lambda: tiny.number("selected") == both and len(ex.selection) == both, "Ctrl+Shift+Z")
    page.keyboard.press("Escape")
    tiny.soon(lambda: tiny.number("selected") == 0 and not ex.selection.active, "Esc")
    page.get_by_role("button", name="Undo").click()
    tiny.soon(lambda: tiny.number("selected") == both, "the Undo button")


def test_a_click_on_a_row_moves_focus_and_reticle(tiny: Seen) -> None:
    line = tiny.page.locator(".rk tbody tr").nth(3)
    wanted = line.locator("td.id").inner_text()
    line.click()
    tiny.soon(lambda: tiny.ex.focus == wanted, "the click reaches Python")
    tiny.soon(lambda: tiny.page.locator(".rk tr.focus td.id").all_inner_texts() == [wanted], "the row is marked")
    row = tiny.ex.session.focus
    xy = tiny.ex.survey.layout(tiny.ex.space, tiny.ex.layout)[row]
    at = """() => { for (const root of Bokeh.documents[0].roots()) {
      const f = [...root.references()].find((m) => m.type === "Figure" && m.toolbar_location === "right")
      if (!f) continue
      const cross = f.renderers.find((r) => r.glyph && r.glyph.marker && r.glyph.marker.value === "cross")
      return [cross.data_source.data.x[0], cross.data_source.data.y[0]]
    } }"""
    tiny.soon(lambda: np.allclose(tiny.page.evaluate(at), xy, atol=1e-5), "the reticle stands at the row")


def test_keys_step_along_the_ranking_and_score(tiny: Seen) -> None:
    order = tiny.ex.session.ranked_rows(0, 40).tolist()
    for place in range(3):
        tiny.page.keyboard.press("j")
        tiny.soon(lambda place=place: tiny.ex.session.focus == order[place], "j")
    tiny.page.keyboard.press("ArrowLeft")
    tiny.soon(lambda: tiny.ex.session.focus == order[1], "left")
    tiny.page.keyboard.press("4")
    tiny.soon(lambda: len(tiny.ex.marks) == 1, "a mark is written")
    assert tiny.ex.marks["id"].tolist() == [tiny.ex.focus]
    assert tiny.ex.marks["score"].tolist() == [4.0]
    tiny.page.keyboard.press("k")
    tiny.soon(lambda: tiny.ex.session.focus == order[0], "k")
    tiny.page.keyboard.press("u")
    tiny.soon(lambda: tiny.ex.session.focus == order[2], "u passes over what has a mark")
    tiny.page.keyboard.press("?")
    tiny.soon(lambda: screen_of(tiny.ex.session).help, "the list of keys is asked for")


def test_the_page_turns_to_the_focus(tiny: Seen) -> None:
    far = int(tiny.ex.session.ranked_rows(110, 1)[0])
    tiny.ex.focus = far
    tiny.soon(lambda: tiny.page.locator(".rk tr.focus").count() == 1, "the page of the focus is shown")
    assert tiny.page.locator(".rk tr.focus td.id").inner_text() == tiny.ex.focus
    assert "page 5 of 12" in tiny.page.locator(".rk .foot").inner_text()
    tiny.page.locator(".rk").get_by_title("Next page").click()
    tiny.soon(lambda: "page 6 of 12" in tiny.page.locator(".rk .foot").inner_text(), "the pager turns")
    assert tiny.ids() == tiny.ex.session.ranking(offset=125, limit=25)["id"].tolist()


def test_a_query_is_typed_and_a_wrong_one_is_answered(tiny: Seen) -> None:
    box = tiny.page.locator('input[data-do="query"]')
    box.fill("zed > 0.5")
    box.press("Enter")
    tiny.page.locator(".hd .why").wait_for()
    assert "zed" in tiny.page.locator(".hd .why").inner_text()
    assert box.input_value() == "zed > 0.5", "what was typed stays"
    box.fill("z > 2.5")
    box.press("Enter")
    expected = int((tiny.ex.survey.column("z") > 2.5).sum())
    tiny.soon(lambda: tiny.number("selected") == expected, "the query selects")
    tiny.soon(lambda: tiny.page.locator(".hd .why").count() == 0, "the answer goes")


def test_ids_come_back_whole_and_markup_in_them_is_text(tiny: Seen) -> None:
    nasty, large = "<script>alert(1)</script>", str(2**60 + 17)
    for name in (nasty, large):
        tiny.ex.select([name])
        tiny.soon(lambda name=name: tiny.ids() == [name], f"{name} is read as it is")
        tiny.page.locator(".rk tbody tr").first.click()
        tiny.soon(lambda name=name: tiny.ex.focus == name, f"{name} survives the round trip")
    assert tiny.page.evaluate("document.querySelectorAll('script').length") == tiny.page.locator("script").count()
    tiny.ex.color_by = "<b>odd</b>"
    tiny.soon(lambda: "<b>odd</b>" in tiny.page.locator(".lg .name").inner_text(), "a column's name is text")


def test_choices_in_the_header_change_the_session(tiny: Seen) -> None:
    survey, other = tiny.ex.survey, "backwards"
    survey.put_score(tiny.ex.space, other, -survey.score(tiny.ex.space, "knn"), {"scorer": other})
    tiny.ex.refresh()
    tiny.soon(lambda: other in tiny.page.locator('select[data-do="scorer"]').inner_text(), "the menu has it")
    tiny.page.locator('select[data-do="scorer"]').select_option(other)
    tiny.soon(lambda: tiny.ex.scorer == other, "the score changes")
    expected = tiny.ex.session.ranking(limit=25)["id"].tolist()
    tiny.soon(lambda: tiny.ids() == expected, "the ranking follows")
    tiny.page.locator('select[data-do="color_by"]').select_option("z")
    tiny.soon(lambda: tiny.page.locator(".lg .hist i").count() > 10, "the legend becomes a bar")


@pytest.mark.parametrize("size", [(1440, 900), (1024, 768)])
def test_the_page_fits_its_window_in_both_themes(
    open_page: Callable[..., Seen], tiny_survey: Any, size: tuple[int, int]
):
    seen = open_page(Explorer(tiny_survey), *size)
    for theme in ("light", "dark"):
        seen.ex.theme = theme
        seen.soon(lambda theme=theme: seen.page.locator(f".ax-root.ax-{theme}").count() == 1, "the theme changes")
        root = "document.documentElement"
        assert seen.page.evaluate(f"[{root}.scrollWidth, {root}.scrollHeight]") == list(size)
        for part in (".hd", ".st", ".rk", ".lg"):
            box = seen.page.locator(part).bounding_box()
            assert box["x"] >= 0, part
            assert box["x"] + box["width"] <= size[0] + 0.5, part
            assert box["y"] + box["height"] <= size[1] + 0.5, part


def test_export_hands_the_selection_over_as_a_file(tiny: Seen, tmp_path: Path) -> None:
    tiny.ex.select("rank('knn') <= 7")
    tiny.soon(lambda: tiny.number("selected") == 7, "seven are selected")
    with tiny.page.expect_download() as waiting:
        tiny.page.locator('select[data-do="export"]').select_option("csv")
    target = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(target)
    assert target.suffix == ".zip", "a CSV comes with what says where it is from"
    with zipfile.ZipFile(target) as archive:
        names = sorted(archive.namelist())
        text, told = (archive.read(name).decode() for name in names)
    assert all(name in text for name in tiny.ex.selection.ids)
    assert "rank('knn') <= 7" in told


def test_a_label_typed_below_marks_the_selection(tiny: Seen) -> None:
    tiny.ex.select("rank('knn') <= 3")
    tiny.soon(lambda: tiny.number("selected") == 3, "three are selected")
    tiny.page.locator('input[data-do="mark"]').fill("lens")
    tiny.page.locator('input[data-do="mark"]').press("Enter")
    tiny.soon(lambda: len(tiny.ex.marks) == 3, "they are marked")
    tiny.soon(lambda: tiny.page.locator(".rk .ax-chip").all_inner_texts() == ["lens"] * 3, "the ranking shows it")
    tiny.ex.clear()
    tiny.page.get_by_title("Select what is marked lens").click()
    tiny.soon(lambda: tiny.number("selected") == 3, "the marked rows are selected again")


def test_a_score_that_comes_while_the_page_is_open_appears(tiny: Seen) -> None:
    survey = tiny.ex.survey
    survey.put_score(tiny.ex.space, "late", np.arange(len(survey), dtype=float), {"scorer": "late"})
    menu = tiny.page.locator('select[data-do="scorer"] option')
    tiny.soon(lambda: "late" in menu.all_inner_texts(), "the new score is in the menu", 10)
    tiny.page.locator('select[data-do="scorer"]').select_option("late")
    tiny.soon(lambda: tiny.ids()[0] == survey.ids[tiny.ex.session.ranked_rows(0, 1)[0]], "and it ranks")


def test_the_spectrum_and_the_card_follow_the_focus_from_tab_to_tab(tiny: Seen) -> None:
    tabs = tiny.page.locator(".bk-tab")
    for name in ("SPECTRUM", "OBJECT", "MOSAIC", "SPECTRUM"):
        line = tiny.page.locator(".rk tbody tr").nth(2 + len(name) % 3)
        wanted = line.locator("td.id").inner_text()
        line.click()
        tiny.soon(lambda wanted=wanted: tiny.ex.focus == wanted, "the click reaches Python")
        tabs.get_by_text(name, exact=False).click()
        tiny.soon(lambda name=name: name in tiny.page.locator(".bk-tab.bk-active").inner_text().upper(), name)
        if name == "SPECTRUM":
            plot = tiny.page.locator(".bk-Figure").nth(1)
            tiny.soon(lambda plot=plot: (plot.bounding_box() or {"height": 0})["height"] > 80, "the spectrum is drawn")
            places = tiny.page.get_by_text(wanted).locator("visible=true")
            tiny.soon(lambda places=places: places.count() >= 2, "the caption names it, as the table does")
        elif name == "OBJECT":
            heading = tiny.page.locator(".card h2")
            tiny.soon(lambda heading=heading, wanted=wanted: wanted in heading.inner_text(), "the card is of the focus")
    tiny.ex.select("kind == 'lens'")
    tiny.ex.theme = "light"
    tiny.page.wait_for_timeout(800)


def test_a_thumbnail_of_the_mosaic_focuses(tiny: Seen) -> None:
    order = tiny.ex.session.ranked_rows(0, 12).tolist()
    tiles = tiny.page.locator(".ax-sheet .tiles > *")
    tiny.soon(lambda: tiles.count() > 5, "the mosaic is drawn")
    tiles.nth(4).click()
    tiny.soon(lambda: tiny.ex.session.focus == order[4], "the thumbnail at the fifth place is the fifth of the ranking")
    tiny.soon(lambda: tiny.page.locator(".rk tr.focus td.id").all_inner_texts() == [tiny.ex.focus], "the table follows")
