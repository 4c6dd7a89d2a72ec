"""Neighbours of a file that a person gives, and a vote with its diagnostic diagrams, in a browser."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from explorer.app import Explorer
from explorer.pipeline.prepare import prepare
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


def test_a_file_finds_its_neighbours_and_a_vote_shows_its_diagrams(
    open_page: Callable[..., Seen], sdss: Survey, tmp_path: Path
) -> None:
    names = ("h_beta", "oiii_5008", "h_alpha", "nii_6585")
    sure = np.min([sdss.column(f"{n}_flux") / sdss.column(f"{n}_flux_err") for n in names], axis=0)
    strong = np.argsort(-np.nan_to_num(sure))[:20].tolist()  # all four lines stand out
    session = Explorer(sdss, space="pca/spectrum").session
    row = next(r for r in strong if not session.verdict(r, "bpt").abstained)
    seen = open_page(Explorer(sdss, space="pca/spectrum"))
    page = seen.page
    page.locator(".bk-tab").get_by_text("Neighbours", exact=True).click()
    spectrum = sdss.spectrum(row)
    told = {"flux": spectrum.flux, "loglam": np.log10(spectrum.wavelength), "ivar": spectrum.ivar}
    columns = [fits.Column(name, "E", array=np.asarray(v, np.float32)) for name, v in told.items()]
    file = tmp_path / "mine.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="COADD")]).writeto(file)
    page.locator("input[type=file]").set_input_files(file)
    lines = page.locator(".nb tbody tr")
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
