"""What X-ray sources can be wrong in: each fault is set right, or named, in spaces, views, alignments and splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from explorer.pipeline.align import align, discussed, keys_of, split
from explorer.pipeline.prepare import prepare
from explorer.session import crossmodal, photons
from explorer.survey.records import Events, Record, XSpectrum
from explorer.survey.simulate import write, xray
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from explorer.views.events import render_events
from explorer.views.papers import render_papers
from explorer.views.xspectrum import render_xspectrum

GTI = np.array([[0.0, 4000.0], [6000.0, 10000.0]])
WORDS = ("A hard spectrum behind a heavy column.", "Soft thermal emission of a hot plasma.", "A steady power law.")


def photons_of(seed: int, n: int = 80) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    live = np.sort(rng.uniform(0, 8000, n))
    return np.where(live < 4000, live, live + 2000), xray.draw_energies(xray.detected(xray.powerlaw(1.7), 0.1), n, rng)


def spectrum_of(energy: np.ndarray, exposure: float = 8000.0, area: bool = True) -> XSpectrum:
    edges = 0.3 + 0.0146 * np.arange(600)
    middle = (edges[1:] + edges[:-1]) / 2
    seen = xray.area(middle) if area else np.full(599, np.nan)
    return XSpectrum(edges[:-1], edges[1:], np.histogram(energy, edges)[0].astype(float), np.zeros(599), seen, exposure)


def faulty() -> dict[str, Record]:
    time, energy = photons_of(99)
    odd: dict[str, Events | None] = {
        "none": None,
        "empty": Events(np.empty(0), np.empty(0), GTI),
        "one": Events(np.array([5.0]), np.array([1.0]), GTI),
        "shuffled": Events(time[::-1].copy(), energy[::-1].copy(), GTI),
        "sorted": Events(time, energy, GTI),
        "outside": Events(np.append(time, [5000.0, 20000.0]), np.append(energy, [1.0, 1.0]), GTI),
        "no-energy": Events(time, None, GTI),
    }
    out = {n: Record(n, n, {}, events=v, text=WORDS[0]) for n, v in odd.items()}
    out["zero-exposure"] = Record("zero-exposure", "z", {}, xspectrum=spectrum_of(energy, 0.0), text=WORDS[1])
    out["no-arf"] = Record("no-arf", "a", {}, xspectrum=spectrum_of(energy, area=False), text=WORDS[1])
    out["no-counts"] = Record("no-counts", "c", {}, xspectrum=spectrum_of(np.empty(0)), text=WORDS[1])
    out["text-alone"] = Record("text-alone", "t", {}, text=WORDS[2])
    out["data-alone"] = Record("data-alone", "d", {}, events=Events(time, energy, GTI), xspectrum=spectrum_of(energy))
    out["not-discussed"] = Record(
        "not-discussed", "n", {}, events=Events(time, energy, GTI), text="Not discussed.\n\nVariability: not discussed."
    )
    return out


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    path = tmp_path_factory.mktemp("faulty") / "s"
    records = list(faulty().values())
    for i in range(40):
        time, energy = photons_of(i)
        text = f"{WORDS[i % 3]} {WORDS[(i // 3) % 3]}"
        records.append(
            Record(f"x{i}", f"x{i}", {}, events=Events(time, energy, GTI), xspectrum=spectrum_of(energy), text=text)
        )
    modalities: dict[str, dict] = {"events": {}, "xspectrum": {}, "text": {}}
    with SurveyWriter(path, card={"name": "faulty"}, modalities=modalities, columns={"z": pa.float64()}) as writer:
        writer.append(records)
    made = Survey.open(path)
    with pytest.warns(UserWarning, match="have no vector"):
        prepare(made, ["photons", "ppad", "xspec-autoencoder", "tfidf"], [], [], progress=lambda *_: None)
    return made


def vector(survey: Survey, space: str, name: str) -> np.ndarray:
    return survey.embedding(space)[survey.rows_of([name])[0]]


@pytest.mark.parametrize("name", ["none", "empty", "one", "no-energy", "text-alone", "zero-exposure"])
def test_lists_that_tell_no_rate_have_no_vector_of_ppad(survey: Survey, name: str) -> None:
    assert np.isnan(vector(survey, "ppad/events", name)).all()


def test_the_order_of_events_does_not_matter_nor_do_those_outside_good_times(survey: Survey) -> None:
    whole = vector(survey, "ppad/events", "sorted")
    assert np.isfinite(whole).all()
    np.testing.assert_allclose(vector(survey, "ppad/events", "shuffled"), whole, atol=1e-4)
    np.testing.assert_allclose(vector(survey, "ppad/events", "outside"), whole, atol=1e-4)
    np.testing.assert_allclose(vector(survey, "photons/events", "shuffled"), vector(survey, "photons/events", "sorted"))


@pytest.mark.parametrize("name", ["zero-exposure", "text-alone", "none"])
def test_spectra_without_a_rate_have_no_vector(survey: Survey, name: str) -> None:
    for space in ("photons/xspectrum", "xspec-autoencoder/xspectrum"):
        assert np.isnan(vector(survey, space, name)).all(), space


@pytest.mark.parametrize(
    ("name", "events", "spectrum"),
    [
        ("none", "none has no events", "has no X-ray spectrum"),
        ("empty", "has an empty event list", "has no X-ray spectrum"),
        ("one", "1 events", "has no X-ray spectrum"),
        ("outside", "2 outside the good times left out", "has no X-ray spectrum"),
        ("no-energy", "no energies in this list", "has no X-ray spectrum"),
        ("zero-exposure", "has no events", "no exposure, so no rate and no model"),
        ("no-arf", "has no events", "no effective area (ARF), so no model can be folded"),
        ("no-counts", "has no events", "has a spectrum without counts"),
        ("text-alone", "has no events", "has no X-ray spectrum"),
    ],
)
def test_views_say_what_is_wrong(survey: Survey, name: str, events: str, spectrum: str) -> None:
    row = int(survey.rows_of([name])[0])
    assert events in render_events(survey, row)
    assert spectrum in render_xspectrum(survey, row)


def test_one_event_is_drawn_as_one_block(survey: Survey) -> None:
    row = int(survey.rows_of(["one"])[0])
    assert 'data-blocks="1"' in render_events(survey, row)
    events = survey.events(row)
    assert events is not None
    curve = photons.light_curve(events)
    assert curve.blocks[0, 2] == pytest.approx(1 / 8000), "the rate is over good time, not over the gap"


def test_text_without_data_and_data_without_text_keep_their_own_side(survey: Survey) -> None:
    made = align(survey, "ppad/events", "tfidf/text", {"epochs": 2, "batch": 16, "shared": 4, "hidden": 8})
    row = {n: int(survey.rows_of([n])[0]) for n in ("text-alone", "data-alone", "not-discussed", "x0")}
    has = {m: np.isfinite(survey.embedding(s)).all(axis=1) for m, s in made.spaces.items()}
    assert {m: bool(v[row["text-alone"]]) for m, v in has.items()} == {"events": False, "text": True, "joint": False}
    assert {m: bool(v[row["data-alone"]]) for m, v in has.items()} == {"events": True, "text": False, "joint": False}
    used = set(np.concatenate([np.asarray(r, int) for r in made.splits.values()]).tolist())
    assert row["x0"] in used
    assert not used & {row["text-alone"], row["data-alone"], row["not-discussed"]}
    assert "Nothing is written of this source" in render_papers(survey, row["data-alone"], "aligned")
    with pytest.raises(ValueError, match="text-alone has no vector in aligned/events"):
        crossmodal.words_for(survey, row["text-alone"])
    assert "text-alone has no vector in aligned/events" in render_papers(survey, row["text-alone"], "aligned")
    assert discussed(survey, np.array([row["not-discussed"], row["x0"]])).tolist() == [False, True]


def test_the_same_source_and_the_same_paper_are_never_on_both_sides(tmp_path: Path) -> None:
    """A source that is in the survey twice, and papers on several sources, over ten seeds."""
    made = Survey.open(write("simulated-xray", tmp_path / "xray", 128, workers=0))
    twice = tmp_path / "twice"
    columns = {"papers": pa.string()}
    with SurveyWriter(twice, card={"name": "twice"}, modalities={"text": {}}, columns=columns) as writer:
        told = [(str(made.ids[r]), made.column("papers")[r]) for r in range(len(made)) if made.text(r)]
        writer.append(
            Record(f"{name}-{copy}", name, {"papers": papers}, text=WORDS[0])
            for name, papers in told
            for copy in ("a", "b")
        )
    survey = Survey.open(twice)
    rows = np.arange(len(survey))
    keys = keys_of(survey, rows)
    for seed in range(10):
        parts = split(survey, rows, seed)
        assert sorted(np.concatenate(list(parts.values())).tolist()) == rows.tolist()
        seen = {n: set().union(*(keys[i] for i in r)) for n, r in parts.items() if len(r)}
        for name, of in seen.items():
            assert not of & set().union(*(v for n, v in seen.items() if n != name)), (seed, name)
