"""The card: what it shows, what it never lets through, and what its buttons do."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image as Pillow

from explorer.session.session import Session
from explorer.survey.records import Image, Record, Spectrum
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from explorer.views import _cardparts as parts
from explorer.views._roles import position_of, redshift_column, redshift_of
from explorer.views.card import CardView, render_card

EVIL = "\"><script>alert('x')</script><img src=x onerror=alert(1)>"


class _Page(HTMLParser):
    """The elements of a markup, their attributes, and all of its text."""

    def __init__(self, markup: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.open: list[str] = []
        self.feed(markup)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("img", "input", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture
def session(tiny_survey: Any) -> Session:
    return Session(tiny_survey, user="me")


@pytest.fixture
def evil(tmp_path: Any) -> Session:
    """Markup and quotes wherever a catalogue has text: id, object, column name, value, unit, band, label, text."""
    columns = {
        EVIL[:40]: pa.field("c", pa.string(), metadata={"unit": EVIL}),
        "ra": pa.float64(),
        "dec": pa.float64(),
        "z": pa.float64(),
        "ZWARN": pa.int64(),
    }
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(3, 24, 24)).astype(np.float32)
    pixels[1], pixels[2, :6] = np.nan, np.nan
    ivar = np.ones(400, np.float32)
    ivar[:100] = 0
    s = Spectrum(np.linspace(3600, 9000, 400), rng.normal(5, 1, 400).astype(np.float32), ivar)
    values = {EVIL[:40]: EVIL, "ra": 10.5, "dec": -0.25, "z": 0.1, "ZWARN": 4}
    first = Record(EVIL, EVIL + "o", values, image=Image(pixels), spectrum=s, text=EVIL, source="a")
    twin = Record("twin" + EVIL, EVIL + "o", {}, source="b")
    modalities = {"image": {"bands": [EVIL, "<b>Y</b>", "J'\""], "pixel_scale": 0.25, "north": 0.0}}
    modalities |= {"spectrum": {"flux_unit": EVIL}, "text": {}}  # type: ignore[dict-item]
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities=modalities, columns=columns) as writer:
        writer.append([first, twin])
    made = Session(Survey.open(tmp_path / "s"), user="me")
    made.mark([0], EVIL[:60], score=3)
    made.log.add("<u>you</u>", made.survey.ids_of([0]), [EVIL + "o"], EVIL[:50], 2.0, "")
    return made


def test_nothing_of_a_catalogue_becomes_markup(evil: Session) -> None:
    markup = render_card(evil, 0)
    page = _Page(markup)
    assert not page.open, "every element is closed"
    tags = {tag for tag, _ in page.tags}
    assert "script" not in tags
    assert "<b>Y</b>" in page.text
    assert "<u>you</u>" in page.text
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if tag == "img":
            assert str(attributes["src"]).startswith("data:image/png;base64,")
        if tag == "a":
            assert str(attributes["href"]).startswith("https://")
            assert attributes["rel"] == "noopener noreferrer"
            assert attributes["target"] == "_blank"
    assert page.text.count("<script>alert('x')</script>") >= 4, "it is shown as the text that it is"
    label = next(a["data-label"] for t, a in page.tags if t == "button" and a.get("data-do") == "label")
    assert label == EVIL[:60], "and an attribute brings it back unchanged"


def test_the_card_tells_what_to_trust(evil: Session) -> None:
    page = _Page(render_card(evil, 0))
    text = page.text
    assert "ZWARN = 4" in text
    assert "25.0% of the spectrum masked" in text
    assert re.search(r"S/N (4\.9|5\.[01]) per pixel", text)
    assert "% of the image lost" in text
    assert "1 of 3 bands empty" in text
    bad = [a["class"] for t, a in page.tags if t == "span" and str(a.get("class", "")).startswith("ax-chip")]
    assert bad.count("ax-chip bad") == 4
    assert "also observed as" in text
    assert any(a.get("data-do") == "focus" and a["data-row"] == "1" for _, a in page.tags)


def test_every_band_stands_at_native_pixels_with_bar_and_compass(evil: Session) -> None:
    page = _Page(render_card(evil, 0))
    pictures = [a for t, a in page.tags if t == "img"]
    assert len(pictures) == 4, "colour and three bands"
    for picture in pictures:
        raw = base64.b64decode(str(picture["src"]).split(",")[1])
        assert Pillow.open(io.BytesIO(raw)).size == (24, 24)
        assert picture["width"] == "144", "enlarged by a whole number"
        assert picture["class"] == "crisp"
    bars = [a for t, a in page.tags if t == "span" and a.get("class") == "scale"]
    assert len(bars) == 4
    assert "2″" in page.text, "24 pixels of 0.25″ are 6″ wide: 2″ is the longest round length within 40 %"
    assert str(bars[0]["style"]) == "width:48.0px"
    lines = [a for t, a in page.tags if t == "line" and "%" not in str(a["x1"])]
    assert (lines[0]["y2"], lines[1]["x2"]) == ("10.0", "10.0"), "north is up, east is left"


@pytest.mark.parametrize(("arcsec", "told"), [(0.9, "0.2″"), (5, "2″"), (6.4, "2″"), (64, "20″"), (400, "2′")])
def test_the_bar_is_a_round_length(arcsec: float, told: str) -> None:
    bar = parts._bar(arcsec, 200)
    assert f"<i>{told}</i>" in bar
    length = float(told[:-1]) * (60 if told[-1] == "′" else 1)
    width = float(re.search(r"width:([\d.]+)px", bar)[1])  # type: ignore[index]
    assert width == pytest.approx(length / arcsec * 200, abs=0.06)


def test_positions_are_astropys() -> None:
    from astropy.coordinates import SkyCoord

    rng = np.random.default_rng(0)
    cases = [*zip(rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50), strict=True), (359.9999999, -0.00001), (0, 0)]
    for ra, dec in cases:
        got = parts.sexagesimal(ra, dec)
        h, m, s, sign, d, a, b = re.fullmatch(r"(\d\d)h(\d\d)m([\d.]+)s (.)(\d\d)°(\d\d)′([\d.]+)″", got).groups()  # type: ignore[union-attr]
        assert float(s) < 60
        assert float(b) < 60
        back = SkyCoord(f"{h}h{m}m{s}s", f"{'-' if sign == '−' else '+'}{d}d{a}m{b}s")
        assert back.separation(SkyCoord(ra, dec, unit="deg")).arcsec < 0.1


def test_links_carry_the_position() -> None:
    found = dict(parts.links(189.25, -0.5))
    assert set(found) == {"SIMBAD", "NED", "Legacy Surveys", "ESASky"}
    assert all(
        address.startswith("https://") and "189.25" in address and "0.5" in address for address in found.values()
    )
    assert "-0.500000" in found["SIMBAD"]
    assert "%2B0.500000" in dict(parts.links(189.25, 0.5))["SIMBAD"], "a bare + would be read as a space"


def test_without_a_position_nothing_is_looked_up(tmp_path: Any) -> None:
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities={}, columns={"a": pa.int64()}) as writer:
        writer.append([Record("x", "x", {"a": 2**60 + 1}, source="x")])
    session = Session(Survey.open(tmp_path / "s"), user="me")
    page = _Page(render_card(session, 0))
    assert "No position in the catalogue" in page.text
    assert str(2**60 + 1) in page.text, "no digit of a large number is lost"
    assert "No image and no spectrum" in page.text
    assert "No score yet" in page.text
    assert not [t for t, _ in page.tags if t == "a"]


def test_scores_of_every_space(session: Session) -> None:
    row = 12
    survey = session.survey
    page = _Page(render_card(session, row))
    assert (
        f"{survey.rank('pca/image', 'knn')[row]} of {np.isfinite(survey.score('pca/image', 'knn')).sum()}" in page.text
    )
    assert f"{survey.percentile('pca/image', 'knn')[row]:.2f}" in page.text
    assert "no score" in _Page(render_card(session, 19)).text


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (0.1 + 0.2, "0.3"),
        (np.float32(3.14159265), "3.141593"),
        (float("nan"), "–"),
        (None, "–"),
        (True, "yes"),
        (np.int64(2**60), str(2**60)),
        (1e-30, "1e-30"),
        ("a<b", "a&lt;b"),
    ],
)
def test_values_read_as_a_person_writes_them(given: Any, told: str) -> None:
    assert parts.value(given) == told


def test_the_catalogue_finds_its_own_columns(session: Session) -> None:
    survey = session.survey
    assert redshift_column(survey) == "z"
    assert redshift_of(survey, 12) == pytest.approx(0.12)
    assert redshift_of(survey, 9) is None
    assert position_of(survey, 10) == pytest.approx((150.01, 2.005))


@pytest.fixture
def view(session: Session) -> Iterator[CardView]:
    made = CardView(session)
    made.panel()
    yield made
    made.close()


def test_buttons_mark_the_object_in_focus(view: CardView, session: Session) -> None:
    assert "No object in focus" in view.board.markup
    view._on_click({"do": "score", "score": "3"})
    assert len(session.marks) == 0, "nothing in focus, nothing marked"
    session.focus_on(8)
    assert session.survey.ids[8] in view.board.markup
    view._on_click({"do": "score", "score": "4"})
    view._on_click({"do": "new", "value": "  tidal tail "})
    view._on_click({"do": "new"})
    (mark,) = session.marks.to_dict("records")
    assert (mark["id"], mark["label"], mark["score"], mark["user"]) == (session.survey.ids[8], "tidal tail", 4, "me")
    pressed = [a for t, a in _Page(view.board.markup).tags if a.get("aria-pressed") == "true"]
    assert [a.get("data-label") or a.get("data-score") for a in pressed] == ["tidal tail", "4"]
    session.focus_on(9)
    assert 'data-label="tidal tail"' in view.board.markup, "a label in use is one click away"
    view._on_click({"do": "label", "label": "tidal tail"})
    view._on_click({"do": "unmark"})
    assert session.marks["id"].tolist() == [session.survey.ids[8]]


def test_the_card_follows_stretch_and_score(view: CardView, session: Session) -> None:
    session.focus_on(8)
    before = view.board.markup
    session.stretch = "linear"
    assert "linear stretch" in view.board.markup
    assert view.board.markup != before
    view._on_click({"do": "focus", "row": "30"})
    assert session.focus == 30


def test_a_small_spectrum_stays_in_its_frame() -> None:
    wavelength = np.linspace(3600, 9800, 7781)
    flux = np.random.default_rng(1).normal(1, 0.2, 7781).astype(np.float32)
    flux[4000] = 1e9
    ivar = np.full(7781, 25, np.float32)
    ivar[4000], ivar[1000:1100] = 0, 0
    svg = parts.spectrum(Spectrum(wavelength, flux, ivar), 0.2, "nJy")
    path = re.search(r'<path d="([^"]+)"', svg)[1]  # type: ignore[index]
    points = np.array([[float(v) for v in p.split()] for p in re.split("[ML]", path) if p])
    assert len(points) < 1200
    assert points[:, 1].min() >= -11
    assert points[:, 1].max() <= 111
    assert path.count("M") >= 2, "the masked run is a gap"
    assert ">Hα<" in svg
    assert ">Hα<" not in parts.spectrum(Spectrum(wavelength, flux, ivar), None, "nJy")
    assert "masked" in parts.spectrum(Spectrum(wavelength, flux, np.zeros(7781, np.float32)), 0.2, "")


def test_paired_galaxies_of_sdss_are_drawn(shared_data: Any) -> None:
    """The colour picture of a JPEG survey is the picture itself."""
    path = sorted((shared_data / "sdss_paired_image_spectrum" / "images").iterdir())[0]
    pixels = np.asarray(Pillow.open(path).convert("RGB"))
    html = parts.images(
        Image(np.ascontiguousarray(pixels.transpose(2, 0, 1))), {"bands": ["red", "green", "blue"]}, "asinh"
    )
    sources = re.findall(r"base64,([^\"]+)", html)
    assert len(sources) == 1
    np.testing.assert_array_equal(np.asarray(Pillow.open(io.BytesIO(base64.b64decode(sources[0])))), pixels)
