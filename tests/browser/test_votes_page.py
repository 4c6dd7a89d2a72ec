"""Words to a mosaic, a dropped file to its neighbours, a vote with its diagrams, a tool on the card: in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from explorer.app import Explorer
from explorer.pipeline.prepare import prepare
from explorer.pipeline.words import write_captions
from explorer.survey.simulate import write
from explorer.survey.store import Survey
from tests.browser.conftest import Seen

pytestmark = [pytest.mark.browser, pytest.mark.slow]

_DOTS = """() => { for (const root of Bokeh.documents[0].roots()) for (const m of root.references())
  if (m.type === "Figure" && m.name === "bpt-n2") for (const r of m.renderers)
    if (r.data_source && r.data_source.data.marker) return [...r.data_source.data.x]
  return null }"""


@pytest.fixture(scope="module")
def sdss(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    survey = Survey.open(write("simulated-sdss", tmp_path_factory.mktemp("sdss") / "s", 200, workers=0))
    prepare(survey, ["pca"], ["knn"], ["pca"], progress=lambda *_: None)
    return survey


def drop(page: Any, file: Path, at: str) -> None:
    """Drag a file from the disk over an element and let it go there, through the browser's own machinery."""
    box = page.locator(at).first.bounding_box()
    place = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data = {"items": [], "files": [str(file)], "dragOperationsMask": 1}
    tools = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        tools.send("Input.dispatchDragEvent", {"type": kind, "data": data, **place})
    tools.detach()


def spectrum_file(path: Path, survey: Survey, row: int) -> Path:
    spectrum = survey.spectrum(row)
    told = {"flux": spectrum.flux, "loglam": np.log10(spectrum.wavelength), "ivar": spectrum.ivar}
    columns = [fits.Column(name, "E", array=np.asarray(v, np.float32)) for name, v in told.items()]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="COADD")]).writeto(path)
    return path


def test_words_to_a_mosaic(open_page: Callable[..., Seen], sdss: Survey) -> None:
    assert not write_captions(sdss)
    seen = open_page(Explorer(sdss, space="pca/image"))
    page, session = seen.page, seen.ex.session
    box = page.locator('input[data-do="query"]')
    box.fill("disk galaxy with spiral arms")
    box.press("Enter")
    seen.soon(lambda: session.selection.active and len(session.selection) > 0, "the words select", 60)
    order = session.selection.order.tolist()
    assert session.selection.ordered
    assert "spiral arms" in session.selection.recipe[-1]["note"]
    tiles = page.locator(".ax-sheet .tiles > *")
    seen.soon(lambda: tiles.count() == min(len(order), tiles.count()) > 0, "the mosaic is drawn", 40)
    tiles.nth(2).click()
    seen.soon(lambda: session.focus == order[2], "the third thumbnail is the third that the words found")
    seen.soon(lambda: seen.ids()[:5] == sdss.ids_of(order[:5]), "the ranking stands in the order of the words")


def test_a_dropped_file_finds_its_neighbours_and_a_vote_shows_its_diagrams(
    open_page: Callable[..., Seen], sdss: Survey, tmp_path: Path
) -> None:
    names = ("h_beta", "oiii_5008", "h_alpha", "nii_6585")
    sure = np.min([sdss.column(f"{n}_flux") / sdss.column(f"{n}_flux_err") for n in names], axis=0)
    strong = np.argsort(-np.nan_to_num(sure))[:20].tolist()  # all four lines stand out
    session = Explorer(sdss, space="pca/spectrum").session
    row = next(r for r in strong if not session.verdict(r, "bpt").abstained)
    seen = open_page(Explorer(sdss, space="pca/spectrum"))
    page = seen.page
    drop(page, spectrum_file(tmp_path / "mine.fits", sdss, row), ".bk-Figure")  # on the map, with another tab open
    lines = page.locator(".nb tbody tr")
    seen.soon(lambda: "NEIGHBOURS" in page.locator(".bk-tab.bk-active").inner_text().upper(), "its tab opens", 30)
    seen.soon(lambda: lines.first.locator(".id").inner_text() == "mine.fits", "the file is pinned first", 60)
    assert lines.nth(1).locator(".id").inner_text() == sdss.ids[row], "its nearest is the object that it is of"
    lines.nth(1).click()
    seen.soon(lambda: seen.ex.session.focus == row, "the neighbour comes into focus")
    page.locator(".bk-tab").get_by_text("Votes", exact=True).click()
    seen.soon(lambda: "of the vote of 3 neighbours" in page.locator(".vt").inner_text(), "the vote is held", 90)
    measured = [v for v in (page.evaluate(_DOTS) or []) if v is not None]
    assert measured, "the object has a place on the [N II] diagram"
    drawn = sdss.column("log_n2_truth")[row]
    assert min(abs(m - drawn) for m in measured) < 0.15
    page.locator(".vt select[data-do=k]").select_option("10")
    seen.soon(lambda: "of the vote of 10 neighbours" in page.locator(".vt").inner_text(), "ten vote", 60)
    assert page.locator(".vt .wide tr").count() == 12  # head, query, ten neighbours


def test_files_that_are_chosen_too_large_or_not_what_their_name_says(
    open_page: Callable[..., Seen], sdss: Survey, tmp_path: Path
) -> None:
    seen = open_page(Explorer(sdss, space="pca/spectrum"))
    page = seen.page
    page.locator(".bk-tab").get_by_text("Neighbours", exact=True).click()
    huge = tmp_path / "huge.fits"
    with huge.open("wb") as file:
        file.truncate(200 << 20)
    drop(page, huge, ".bk-Figure")
    told = page.locator(".nb")
    seen.soon(lambda: "huge.fits has 200 MB, and the page takes 14" in told.inner_text(), "it is refused", 30)
    lie = tmp_path / "lie.fits"
    lie.write_bytes(b"%PDF-1.7 <b>a paper</b>")
    drop(page, lie, ".rk table")
    seen.soon(lambda: "lie.fits cannot be read" in told.inner_text(), "it is told", 30)
    page.locator("input[type=file]").set_input_files(spectrum_file(tmp_path / "chosen.fits", sdss, 5))
    first = page.locator(".nb tbody tr").first.locator(".id")
    seen.soon(lambda: first.inner_text() == "chosen.fits", "one that is chosen is taken as one that is dropped", 60)


def test_a_tool_judges_from_the_card_and_shows_what_it_measured(open_page: Callable[..., Seen], sdss: Survey) -> None:
    seen = open_page(Explorer(sdss, space="pca/image"))
    page, session = seen.page, seen.ex.session
    page.locator(".rk tbody tr").nth(1).click()
    page.locator(".bk-tab").get_by_text("Object", exact=True).click()
    buttons = page.locator('.tool button[data-tool="line-width"]')
    seen.soon(lambda: buttons.count() == 2, "the card offers the tools", 30)
    buttons.first.click()
    seen.soon(lambda: session.scorer == "line-width", "it was measured, and ranks", 60)
    seen.soon(lambda: page.locator(".tool svg path").count() >= 2, "the fit stands over the data", 30)
    page.locator('.tool button[data-tool="lens-likeness"][data-which="top"]').click()
    seen.soon(lambda: session.scorer == "lens-likeness", "the candidates are judged", 90)
    best = session.survey.ids_of([int(np.nanargmax(session.survey.score(session.space, "lens-likeness")))])
    seen.soon(lambda: seen.ids()[:1] == best, "the ranking stands by the tool", 30)
    page.locator(".rk tbody tr").first.click()
    seen.soon(lambda: page.locator(".tool .pics img").count() == 3, "image, model and residual stand on the card", 30)
