"""Views of X-ray sources: what they compute against references, what they show, and that nothing is trusted."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from explorer.checks import check_view
from explorer.pipeline.align import align
from explorer.pipeline.prepare import prepare
from explorer.session import crossmodal, photons
from explorer.session.session import Session
from explorer.survey.records import Events, XSpectrum
from explorer.survey.simulate import write, xray
from explorer.survey.store import Survey
from explorer.views import VIEWS
from explorer.views.correlations import CorrelationsView, measure, render_correlations
from explorer.views.events import EventsView, render_events
from explorer.views.papers import PapersView, highlighted, render_papers
from explorer.views.xspectrum import XSpectrumView, render_xspectrum

NAMES = ("events", "xspectrum", "papers", "correlations")


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    path = write("simulated-xray", tmp_path_factory.mktemp("xrayviews") / "xray", 120, seed=2, workers=0)
    made = Survey.open(path)
    prepare(made, ["photons", "tfidf"], ["knn"], ["pca"], progress=lambda *_: None)
    align(made, "events", "text", {"epochs": 60, "batch": 32, "shared": 8, "hidden": 32, "dropout": 0.1})
    return made


@pytest.mark.parametrize("name", NAMES)
def test_contract_of_views(name: str, survey: Survey) -> None:
    check_view(VIEWS.get(name), survey)


# -- light curves --------------------


def test_blocks_are_those_of_astropy_and_gaps_are_no_change() -> None:
    from astropy.stats import bayesian_blocks

    rng = np.random.default_rng(0)
    time = np.sort(np.concatenate([rng.uniform(0, 1000, 100), rng.uniform(400, 450, 150)]))
    curve = photons.light_curve(Events(time, None, np.array([[0.0, 1000.0]])))
    edges = bayesian_blocks(time, fitness="events", p0=0.01)
    np.testing.assert_allclose(curve.blocks[1:, 0], edges[1:-1])
    assert curve.blocks[0, 0] == 0
    assert curve.blocks[-1, 1] == 1000
    widths = curve.blocks[:, 1] - curve.blocks[:, 0]
    assert (curve.blocks[:, 2] * widths).sum() == pytest.approx(len(time))
    assert curve.blocks[:, 2].max() > 5 * curve.blocks[0, 2]
    steady = np.sort(rng.uniform(0, 2000, 300))
    clock = np.where(steady < 1000, steady, steady + 4000)
    gap = photons.light_curve(Events(clock + 1e8, None, np.array([[0.0, 1000.0], [5000.0, 6000.0]]) + 1e8))
    assert len(gap.blocks) == 1
    assert gap.exposure == 2000
    assert gap.counts.sum() == 300
    assert (gap.live > 0).all()


def test_light_curves_of_odd_lists() -> None:
    gti = np.array([[0.0, 100.0]])
    one = photons.light_curve(Events(np.array([5.0]), np.array([1.0]), gti))
    assert len(one.blocks) == 1
    assert one.counts.sum() == 1
    mixed = photons.light_curve(Events(np.array([50.0, 5.0, 500.0]), np.array([1.0, 2.0, 3.0]), gti))
    assert mixed.outside == 1
    assert mixed.time.tolist() == [5.0, 50.0]
    assert mixed.energy is not None
    assert mixed.energy.tolist() == [2.0, 1.0], "energies keep to their photons"
    twice = photons.light_curve(Events(mixed.time, None, np.array([[50.0, 150.0], [0.0, 100.0]])))
    assert (twice.exposure, twice.live.sum()) == (150.0, pytest.approx(150.0)), "no second counts twice"
    assert twice.blocks[:, 1].max() == pytest.approx(150.0)
    bare = photons.light_curve(Events(np.array([3.0, 9.0]), None, np.empty((0, 2))))
    assert bare.exposure == 6.0
    assert bare.energy is None
    assert len(photons.light_curve(Events(np.empty(0), None, np.empty((0, 2)))).counts) == 0


def test_events_view_tells_what_it_draws(survey: Survey) -> None:
    curves = survey.column("variability_truth")
    flare = int(np.flatnonzero((curves == "flare") & (survey.column("counts_b") > 100))[0])
    shown = render_events(survey, flare)
    blocks = int(re.search(r'data-blocks="(\d+)"', shown).group(1))
    assert blocks > 2
    assert f"<b>{blocks} blocks</b>" in shown
    assert f"{len(survey.events(flare).time):,} events" in shown
    assert "energy (keV)" in shown
    assert "No object in focus" in render_events(survey, -1)


def test_the_rate_by_ppad_adds_up_to_the_events_and_makes_no_beats(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(survey, ["ppad"], [], [], progress=lambda *_: None)
    bright = np.flatnonzero(survey.column("counts_b") > 150)
    for row in bright[:4]:
        events = survey.events(int(row))
        curve = photons.light_curve(events)
        length = float(curve.gti[-1, 1])
        found = photons.ppad_rate(survey, int(row), length)
        assert found is not None
        good = ((found.time[:, None] >= curve.gti[:, 0]) & (found.time[:, None] <= curve.gti[:, 1])).any(axis=1)
        inside = ((curve.energy >= 0.5) & (curve.energy < 7.0)).sum()
        assert found.rate[good].sum() * length / photons.POINTS == pytest.approx(inside, rel=0.1)
    whole = survey.embedding("ppad/events").copy()
    whole[row, 3:] = 0.0
    whole[row, 15:] = [0.9, 0.0, 0.0, np.log10(length / 801.3 / 1000.0), 0.2]
    monkeypatch.setattr(Survey, "embedding", lambda self, space: whole)
    fast = photons.ppad_rate(survey, int(row), length)
    assert fast.smeared
    assert fast.period == pytest.approx(length / 801.3, rel=1e-4)
    assert fast.rate.std() < 0.2 * fast.rate.mean(), "801 cycles in 400 points would beat as two slow ones"
    shown = render_events(survey, int(row))
    assert "PPAD: a period of" in shown
    assert "smeared" in shown
    assert 'class="model"' in shown


# -- spectra --------------------


def made_spectrum(n: int, area: bool = True, exposure: float = 1e4) -> XSpectrum:
    rng = np.random.default_rng(1)
    energy = xray.draw_energies(xray.detected(xray.powerlaw(1.7), 0.2), n, rng)
    edges = 0.3 + 0.0146 * np.arange(600)
    middle = (edges[1:] + edges[:-1]) / 2
    counts = np.histogram(energy, edges)[0].astype(float)
    seen = xray.area(middle) if area else np.full(599, np.nan)
    return XSpectrum(edges[:-1], edges[1:], counts, np.zeros(599), seen, exposure)


def test_the_folded_model_finds_what_was_drawn_and_keeps_the_counts() -> None:
    found = photons.grouped(made_spectrum(8000))
    assert found.model is not None
    value = float(re.search(r"photon index ([\d.]+)", found.told).group(1))
    assert value == pytest.approx(1.7, abs=0.15)
    assert found.model.sum() == pytest.approx(found.counts.sum(), rel=1e-6)
    assert float(found.told.rsplit(" ", 1)[1]) == pytest.approx(1.0, abs=0.45), "Cash per degree of freedom"
    assert (found.counts >= 100).all()
    assert found.lo[0] >= 0.5 - 1e-6
    np.testing.assert_allclose(found.lo[1:], found.hi[:-1])
    worse = photons.grouped(made_spectrum(8000), "black body")
    assert float(worse.told.rsplit(" ", 1)[1]) > 3


@pytest.mark.parametrize(
    ("spectrum", "words"),
    [
        (made_spectrum(500, area=False), "no effective area"),
        (made_spectrum(500, exposure=0.0), "no exposure"),
        (made_spectrum(6), "fewer than ten counts"),
    ],
)
def test_spectra_that_cannot_be_fitted_say_why(spectrum: XSpectrum, words: str) -> None:
    found = photons.grouped(spectrum)
    assert found.model is None
    assert words in found.told
    assert found.counts.sum() > 0, "they are drawn all the same"


def test_xspectrum_view_changes_its_model(survey: Survey) -> None:
    session = Session(survey)
    view = XSpectrumView(session)
    view.panel()
    session.focus_on(int(np.argmax(survey.column("counts_b"))))
    assert "power law: photon index" in view.board.markup
    view._on_click({"do": "model", "model": "plasma"})
    assert "plasma: kT" in view.board.markup
    assert 'data-model="plasma" aria-pressed="true"' in view.board.markup
    view.close()
    assert "no X-ray spectrum" in render_xspectrum(survey, 0) or "counts" in render_xspectrum(survey, 0)


# -- words --------------------


def test_words_are_marked_and_everything_is_escaped() -> None:
    text = "A <script>alert(1)</script> pulse & a hard tail. Hard photons."
    shown = highlighted(text, {"hard": 2.0, "pulse": -1.0, "hard tail": 0.5})
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown
    assert re.findall(r"<mark[^>]*>(\w+)</mark>", shown) == ["pulse", "hard", "tail", "Hard"]
    assert '<mark class="against"' in shown
    assert re.sub(r"<[^>]+>", "", shown).replace("&amp;", "&") == text.replace("<", "&lt;").replace(">", "&gt;")


def test_papers_of_a_source_and_sources_of_a_paper(survey: Survey) -> None:
    shared = {p: len(r) for p, r in crossmodal._papers(survey).items() if len(r) > 1}
    paper = max(shared, key=lambda p: shared[p])
    rows = crossmodal.sources_of_paper(survey, paper)
    assert all(paper in survey.column("papers")[r].split(";") for r in rows)
    told = crossmodal.paragraphs(survey, int(rows[0]))
    assert paper in [t.paper for t in told]
    shown = render_papers(survey, int(rows[0]), "aligned")
    assert f'data-paper="{paper}"' in shown
    assert shown.count("<article>") == len(told)
    session = Session(survey)
    view = PapersView(session)
    view.panel()
    view._on_click({"do": "paper", "paper": paper})
    np.testing.assert_array_equal(session.selection.rows, rows)
    view.close()


def test_search_goes_both_ways(survey: Survey) -> None:
    aligner, _, _ = crossmodal.loaded(survey, "aligned")
    row = int(np.flatnonzero(survey.has("text"))[3])
    found = crossmodal.by_words(survey, survey.text(row), 5)
    side = aligner.encode("b", survey.embedding("tfidf/text"))[row]
    likeness = np.nan_to_num(survey.embedding("aligned/events") @ side, nan=-2)
    assert found.rows.tolist() == np.argsort(-likeness, kind="stable")[:5].tolist()
    back = crossmodal.words_for(survey, row, 4)
    assert (np.diff(back.similarity) <= 0).all()
    assert survey.has("text")[back.rows].all()
    rank, n = crossmodal.rank_of_own(survey, row)
    assert 1 <= rank <= n == survey.has("text").sum()
    session = Session(survey)
    view = PapersView(session)
    view.panel()
    view._on_click({"do": "seek", "value": "heavily absorbed hard photons"})
    assert len(session.selection.rows) == 24
    assert session.focus in session.selection.rows
    view._on_click({"do": "seek", "value": "qwertz"})
    assert "no word of" in view.board.markup
    view.close()


def test_two_alignments_meet_in_their_texts(survey: Survey) -> None:
    """Against plain loops: the ten texts nearest to the events, their weighted mean, the spectra nearest to that."""
    options = {"epochs": 10, "batch": 32, "shared": 8, "hidden": 32}
    align(survey, "xspectrum", "text", options, name="other")
    row = int(np.flatnonzero(survey.has("text"))[5])
    found = crossmodal.through_text(survey, row, "aligned", "other", 8, texts=10)
    events, first, second, spectra = (
        survey.embedding(s) for s in ("aligned/events", "aligned/text", "other/text", "other/xspectrum")
    )
    likeness = {i: float(events[row] @ first[i]) for i in np.flatnonzero(survey.has("text"))}
    near = sorted(likeness, key=lambda i: -likeness[i])[:10]
    place = sum((max(likeness[i], 0) + 1e-6) * second[i] for i in near)
    wanted = sorted((i for i in range(len(survey)) if i != row), key=lambda i: -float(spectra[i] @ place))[:8]
    assert found.space == "other/xspectrum"
    assert found.rows.tolist() == wanted
    shown = render_papers(survey, row, "aligned")
    assert "By other/xspectrum, through these texts" in shown
    assert f'data-row="{wanted[0]}"' in shown.split("By other/xspectrum")[1]
    view = PapersView(Session(survey))
    view.panel()
    assert view.alignment == "aligned"
    view._on_click({"do": "alignment", "name": "other"})
    assert view.alignment == "other"
    assert 'data-name="other" aria-pressed="true"' in view.board.markup
    view.close()


def test_a_word_matters_by_what_is_lost_without_it(survey: Survey) -> None:
    from kernels.embedding.batches import Text

    row = int(np.flatnonzero(survey.has("text"))[0])
    weights = crossmodal.word_weights(survey, row, "aligned")
    aligner, _, encoder = crossmodal.loaded(survey, "aligned")
    data = survey.embedding("aligned/events")[row]
    word = max(weights, key=lambda w: abs(weights[w]))
    text = survey.text(row)
    cut = re.sub(rf"\b{word}\b", " ", text, flags=re.IGNORECASE)
    full, less = aligner.encode("b", encoder.encode(Text([text, cut]))) @ data
    assert weights[word] == pytest.approx(full - less, abs=1e-5)
    assert "the" not in weights, "a word without content changes nothing"
    unaligned = crossmodal.word_weights(survey, row)
    assert max(unaligned.values()) > 0


# -- correlations --------------------


def test_correlations_colour_the_map(survey: Survey) -> None:
    found = measure(survey, "photons/events")
    assert "hard_hs" in found.columns
    assert not {"nh_truth", "ra", "dec"} & set(found.columns)
    vectors, hardness = survey.embedding("photons/events"), survey.column("hard_hs")
    good = np.isfinite(hardness)
    i, j = 0, found.columns.index("hard_hs")
    expected = np.corrcoef(vectors[good, found.components[i]], hardness[good])[0, 1]
    assert found.matrix[i, j] == pytest.approx(expected, abs=1e-5)
    session = Session(survey)
    view = CorrelationsView(session)
    view.panel()
    view._on_click({"do": "colour", "column": "hard_hs"})
    assert session.color_by == "hard_hs"
    assert 'class="now"' in view.board.markup
    session.space = "tfidf/text"
    assert "tfidf/text" in view.board.markup
    view.close()
    assert "Nothing to correlate" in render_correlations(measure_empty())


def measure_empty():  # type: ignore[no-untyped-def]
    from explorer.views.correlations import Heat

    return Heat("x/y", np.empty((0, 0)), np.empty(0, int), [], 3, float("nan"))


def test_views_apply_where_there_is_something(survey: Survey, tiny_survey: Survey, tmp_path: Path) -> None:
    assert all(VIEWS.get(n).applies(survey) for n in NAMES)
    assert [VIEWS.get(n).applies(tiny_survey) for n in NAMES] == [False, False, False, True]
    assert EventsView.place == "tab"
    assert CorrelationsView.place == "compare"
