"""Mosaic, spectrum and card under a real mouse and keyboard."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.browser.conftest import Seen

pytestmark = pytest.mark.browser

HALPHA = 6564.61
_SPECTRUM = """(what) => { for (const root of Bokeh.documents[0].roots()) {
  for (const m of root.references()) if (m.name === "spectrum" && m.type === "Figure") {
    const of = (column) => m.renderers.map((r) => r.data_source).find((s) => s && s.data[column] !== undefined)
    if (what === "lines") { const d = of("strength").data; return [...d.x].map((x, i) => [d.rest[i], x, d.text[i]]) }
    if (what === "flux") { const d = of("sigma").data; return [d.x[0], d.observed[0], d.rest[0]] }
    return [m.x_range.start, m.x_range.end]
  }
} }"""


def _tab(seen: Seen, name: str) -> None:
    seen.page.locator(".bk-tab").get_by_text(name, exact=True).click()


def _mosaic(seen: Seen) -> Any:
    _tab(seen, "Mosaic")
    tiles = seen.page.locator(".tiles .tile")
    seen.soon(lambda: tiles.count() > 8, "tiles are drawn", 20)
    seen.page.wait_for_timeout(600)  # the page that fits the room has come
    return tiles


def _painted(seen: Seen, at: int) -> float:
    """Spread of the pixels that the canvas shows inside a tile: 0 where nothing was drawn."""
    return seen.page.evaluate(
        """(at) => { const find = (root) => { for (const n of root.querySelectorAll("*")) {
          if (n.matches(".room canvas")) return n
          const inner = n.shadowRoot && find(n.shadowRoot); if (inner) return inner } }
        const canvas = find(document), tile = canvas.parentNode.querySelectorAll(".tile")[at]
        const a = canvas.getBoundingClientRect(), b = tile.getBoundingClientRect(), k = canvas.width / a.width
        const d = canvas.getContext("2d").getImageData((b.x - a.x) * k, (b.y - a.y) * k, b.width * k, b.height * k).data
        let low = 255, high = 0
        for (let i = 1; i < d.length; i += 4) { low = Math.min(low, d[i]); high = Math.max(high, d[i]) }
        return high - low }""",
        at,
    )


def test_tiles_focus_select_and_walk(tiny: Seen) -> None:
    session, page = tiny.ex.session, tiny.page
    tiles = _mosaic(tiny)
    order = session.ranked_rows(0, 300).tolist()
    assert _painted(tiny, 0) > 30, "the first tile shows its picture"
    tiles.nth(4).click()
    tiny.soon(lambda: session.focus == order[4], "a click looks at the tile's object")
    tiny.soon(lambda: "focus" in (tiles.nth(4).get_attribute("class") or ""), "the tile is outlined")
    for at in (1, 6):
        tiles.nth(at).click(modifiers=["Shift"])
    tiny.soon(lambda: set(session.selection.rows) == {order[1], order[6]}, "Shift selects")
    tiny.soon(lambda: page.locator(".tile.on").count() == 2, "and the tiles say so")
    assert tiles.count() > 8, "what is shown stays while one picks from it"
    page.keyboard.press("ArrowRight")
    tiny.soon(lambda: session.focus == order[5], "the right arrow")
    columns = round(page.locator(".tiles").bounding_box()["width"] / (tiles.nth(0).bounding_box()["width"] + 3))
    page.keyboard.press("ArrowDown")
    tiny.soon(lambda: session.focus == order[5 + columns], "the arrow down")
    page.keyboard.press("Space")
    tiny.soon(lambda: order[5 + columns] in session.selection, "Space selects the focus")
    page.keyboard.press("3")
    tiny.soon(lambda: len(session.marks) == 1, "a number scores the focus")
    tiny.soon(lambda: page.locator(".told").inner_text().startswith("1–"), "the pager tells the page")


def test_pages_turn_and_every_tile_keeps_its_own(tiny: Seen) -> None:
    session, page = tiny.ex.session, tiny.page
    tiles = _mosaic(tiny)
    order = session.ranked_rows(0, 300)
    names = [str(name) for name in session.survey.ids[order]]
    per = tiles.count()
    page.get_by_title("Next page (Page Down)").click()
    tiny.soon(lambda: (tiles.nth(0).get_attribute("title") or "").startswith(names[per]), "the second page")
    shown = [(t.get_attribute("title") or "").split("\n")[0] for t in tiles.all()]
    assert shown == names[per : 2 * per]
    page.locator(".ax-sheet .foot").get_by_title("Last page").click()
    tiny.soon(lambda: page.locator(".tile .none").count() == 15, "rows without an image say so")
    tiny.ex.select(["<script>alert(1)</script>"])
    tiny.soon(lambda: tiles.count() == 1, "one tile")
    assert "<script>alert(1)</script>" in (tiles.nth(0).get_attribute("title") or "")
    tiny.ex.select("z > 1000")
    tiny.soon(lambda: page.get_by_text("Nothing is selected by this").is_visible(), "an empty selection says so")
    session.undo()
    tiny.soon(lambda: tiles.count() == 1, "and comes back")
    session.stretch = "linear"
    tiny.soon(lambda: _painted(tiny, 0) > 30, "stretched anew, it is painted")


def test_lines_follow_the_redshift_slider(tiny: Seen, tmp_path: Path) -> None:
    page = tiny.page
    tiny.ex.session.focus_on(40)
    _tab(tiny, "Spectrum")

    def lines() -> dict[float, tuple[float, str]]:
        return {round(rest, 2): (x, text) for rest, x, text in page.evaluate(_SPECTRUM, "lines")}

    tiny.soon(lambda: abs(lines()[HALPHA][0] - HALPHA * 1.4) < 1, "lines stand at the catalogue's redshift")
    handle = page.locator(".noUi-handle").locator("visible=true").nth(1).bounding_box()
    page.mouse.move(handle["x"] + 4, handle["y"] + 6)
    page.mouse.down()
    page.mouse.move(handle["x"] - 6, handle["y"] + 6, steps=5)
    tiny.soon(lambda: lines()[HALPHA][0] / HALPHA - 1 < 0.35, "they follow while the button is down")
    moved = lines()[HALPHA][0] / HALPHA - 1
    page.mouse.up()
    tiny.soon(lambda: abs(tiny_view(tiny).controls.z - moved) < 0.02, "and Python hears of it")
    page.locator("input.bk-input[type=text]").locator("visible=true").last.fill("0.25")
    page.keyboard.press("Enter")
    tiny.soon(lambda: abs(lines()[HALPHA][0] - HALPHA * 1.25) < 0.01, "an exact redshift")
    page.get_by_text("rest", exact=True).click()
    tiny.soon(lambda: abs(page.evaluate(_SPECTRUM, "flux")[0] * 1.25 - 3600) < 0.1, "the spectrum at rest")
    tiny.soon(lambda: abs(lines()[HALPHA][0] - HALPHA) < 0.01, "the lines at rest")
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV").click()
    text = Path(download.value.path()).read_text()
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    spectrum = tiny.ex.survey.spectrum(40)
    np.testing.assert_allclose([float(r["flux"]) for r in rows], spectrum.flux, rtol=1e-5)


def tiny_view(seen: Seen) -> Any:
    """The spectrum view of the page that is open."""
    import gc

    from explorer.views.spectrum import SpectrumView

    views = [v for v in gc.get_objects() if type(v) is SpectrumView and v.session is seen.ex.session]
    return next(v for v in views if v.work.served)


def test_the_card_marks_what_is_in_focus(tiny: Seen) -> None:
    session, page = tiny.ex.session, tiny.page
    session.focus_on(8)
    _tab(tiny, "Object")
    heading = page.locator(".card h2")
    tiny.soon(lambda: heading.inner_text() == str(session.survey.ids[8]), "the card of the focus")
    page.locator(".five button").nth(4).click()
    tiny.soon(lambda: session.marks["score"].tolist() == [4.0], "a score")
    field = page.locator(".marking input")
    field.click()
    field.press_sequentially("tidal 5")
    field.press("Enter")
    tiny.soon(lambda: session.marks["label"].tolist() == ["tidal 5"], "a new label, its figure no score")
    assert session.marks["score"].tolist() == [4.0]
    tiny.soon(lambda: page.locator('.marking [aria-pressed="true"]').all_inner_texts() == ["tidal 5", "4"], "pressed")
    page.locator(".kin button").first.click()
    tiny.soon(lambda: session.focus == 9, "the other row of the same object")
    session.focus_on(5)
    tiny.soon(lambda: heading.inner_text() == "<script>alert(1)</script>", "markup in an id is text")
    for link in page.locator(".links a").all():
        assert (link.get_attribute("href") or "").startswith("https://")
