"""Simulated X-ray sources: photons, variability, catalogue columns and words."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from explorer.survey.records import Events
from explorer.survey.simulate import simulate, variability, xcatalogue, xray
from explorer.survey.simulate.recipe import load

RECIPE = replace(load("simulated-xray"), block=40)


@pytest.fixture(scope="module")
def sources() -> list:
    return [r for block in simulate(RECIPE, 120, seed=1) for r in block]


def test_events_are_ordered_and_inside_their_intervals(sources: list) -> None:
    for record in sources:
        time, gti = record.events.time, record.events.gti
        assert (np.diff(time) >= 0).all()
        inside = ((time[:, None] >= gti[:, 0]) & (time[:, None] <= gti[:, 1])).any(axis=1)
        assert inside.all()
        assert (gti[:, 1] - gti[:, 0]).sum() == pytest.approx(record.values["exposure"])
        energy = record.events.energy
        assert ((energy >= 0.3) & (energy <= 10)).all()
        lo, hi = record.xspectrum.energy_lo[0], record.xspectrum.energy_hi[-1]
        assert record.xspectrum.counts.sum() == ((energy >= lo) & (energy < hi)).sum()


def test_columns_come_from_the_events(sources: list) -> None:
    """Hardness and counts against a plain count of photons."""
    for record in sources[:30]:
        energy, v = record.events.energy, record.values
        assert v["counts_b"] == ((energy >= 0.5) & (energy < 7)).sum()
        hard, soft = ((energy >= 2) & (energy < 7)).sum(), ((energy >= 0.5) & (energy < 1.2)).sum()
        if v["counts_b"] > 400:
            ratio = (hard / xcatalogue.mean_area("h")) / max(soft / xcatalogue.mean_area("s"), 1e-9)
            assert v["hard_hs"] == pytest.approx((ratio - 1) / (ratio + 1), abs=0.06)
        for name in ("hard_hs", "hard_hm", "hard_ms"):
            assert v[name] is None or -1 <= v[name] <= 1


def test_absorption_hardens(sources: list) -> None:
    bare, thick = (xray.detected(xray.powerlaw(1.8), nh) for nh in (0.01, 3.0))
    mean = [(r * xray.ENERGY).sum() / r.sum() for r in (bare, thick)]
    assert mean[1] > 1.4 * mean[0]
    # Morrison & McCammon (1983): σ(1 keV) ≈ 2.42e-22 cm²
    assert np.interp(1.0, xray.ENERGY, xray.cross_section()) == pytest.approx(2.42, rel=0.03)


def reference_odds(time: np.ndarray, span: float, m: int) -> float:
    """log odds of ``m`` bins against one, uninterrupted: multiplicity by factorials (Gregory & Loredo 1992)."""
    from math import lgamma, log

    counts, n = np.histogram(time, bins=m, range=(0, span))[0], len(time)
    ways = lgamma(n + 1) - sum(lgamma(c + 1) for c in counts)
    return n * log(m) - ways + lgamma(m) + lgamma(n + 1) - lgamma(n + m)


def test_gregory_loredo_against_factorials() -> None:
    rng = np.random.default_rng(0)
    time = np.sort(np.concatenate([rng.uniform(0, 1000, 60), rng.uniform(200, 320, 25)]))
    gti = np.array([[0.0, 1000.0]])
    odds = [reference_odds(time, 1000.0, m) for m in range(2, 9)]
    expected = np.log(np.mean(np.exp(odds)))
    probability, log_odds = variability.gregory_loredo(time, gti, most=8, phases=1)
    assert log_odds == pytest.approx(expected / np.log(10), rel=1e-9)
    assert probability == pytest.approx(1 / (1 + np.exp(-expected)))


def test_gregory_loredo_tells_flares_from_gaps() -> None:
    rng = np.random.default_rng(5)
    gti = np.array([[0.0, 3000.0], [8000.0, 10000.0]])
    steady = np.sort(np.concatenate([rng.uniform(0, 3000, 180), rng.uniform(8000, 10000, 120)]))
    assert variability.gregory_loredo(steady, gti)[0] < 0.5
    whole = np.array([[0.0, 10000.0]])
    assert variability.gregory_loredo(steady, whole)[0] > 0.99
    flare = np.sort(variability.draw_times("flare", 300, 10000.0, rng))
    assert variability.gregory_loredo(flare, whole)[0] > 0.99
    constant = [
        variability.gregory_loredo(variability.draw_times("constant", 200, 1e4, rng), whole)[0] for _ in range(40)
    ]
    assert np.mean(np.array(constant) > 0.9) < 0.1
    assert variability.gregory_loredo(np.array([4.0]), whole)[0] == 0.0


def test_fits_find_the_model_that_was_drawn() -> None:
    rng = np.random.default_rng(2)
    energy = xray.draw_energies(xray.detected(xray.powerlaw(2.0), 0.1), 6000, rng)
    events = Events(np.sort(rng.uniform(0, 1, 6000)), energy, np.array([[0.0, 1.0]]))
    found = xcatalogue.fits(events)
    assert found["powlaw_gamma"] == pytest.approx(2.0, abs=0.21)
    assert found["powlaw_nh"] in (0.05, 0.1, 0.2)
    assert found["powlaw_stat"] < found["bb_stat"]
    few = xcatalogue.fits(Events(np.arange(5.0), np.full(5, 1.0), np.array([[0.0, 9.0]])))
    assert set(few.values()) == {None}


def test_summaries_hold_no_name_class_or_value(sources: list) -> None:
    texts = [r.text for r in sources if r.text]
    assert 0.7 < len(texts) / len(sources) < 0.97
    words = r"\b(agn|quasar|qso|xrb|ulx|pulsar|cataclysmic|cv|yso|star|stars|cluster|binary|binaries|XRS-\d+)\b"
    for text in texts:
        assert not re.search(words, text, re.IGNORECASE), text
        assert not re.search(r"\d", text), text


def test_galaxy_summaries_hold_no_name_class_or_value() -> None:
    recipe = replace(load("euclid-desi"), block=64, parts={"text": 1.0})
    words = r"\b(lens|lensed|merger|seyfert|liner|composite|agn|quasar|post-starburst|normal|SIM-\d+)\b"
    texts = [r.text for block in simulate(recipe, 64, seed=1) for r in block]
    assert len(set(texts)) > 40
    for text in texts:
        assert not re.search(words, text, re.IGNORECASE), text
        assert not re.search(r"\d", text), text


def test_sources_and_papers_are_many_to_many(sources: list) -> None:
    """Each paragraph has its paper; some papers speak of many sources, never across blocks, and many sources have
    several; what is told depends on the source."""
    told = [r for r in sources if r.text]
    of_paper: dict[str, list[str]] = {}
    for record in told:
        papers, years = record.values["papers"].split(";"), record.values["paper_years"].split(";")
        assert record.values["n_papers"] == len(papers) == len(years) == len(record.text.split("\n\n"))
        assert years == sorted(years)
        for paper in papers:
            of_paper.setdefault(paper, []).append(record.id)
    sizes = np.array([len(v) for v in of_paper.values()])
    assert (sizes > 1).mean() > 0.05
    assert sizes.max() <= 6
    assert np.mean([r.values["n_papers"] > 1 for r in told]) > 0.5
    assert all(r.values["n_papers"] == 0 and r.values["papers"] is None for r in sources if not r.text)
    hidden = [r for r in told if r.values["nh_truth"] > 4]
    clear = [r for r in told if r.values["nh_truth"] < 0.02]
    words = ("extreme column", "hardest photons")
    share = [np.mean([any(w in r.text for w in words) for r in some]) for some in (hidden, clear)]
    assert share[0] > 0.6
    assert share[1] < 0.05


def test_the_second_recipe_is_another_survey() -> None:
    a, b = load("simulated-xray"), load("simulated-xray-check")
    assert a.classes == b.classes
    assert a.rates != b.rates
    assert a.key(0) != b.key(0)
    assert sum(b.rates.values()) == pytest.approx(1.0)


def test_abundance_and_redshift_are_fitted_to_bright_plasma() -> None:
    rng = np.random.default_rng(4)
    rate = xray.detected(xray.plasma(3.0, 1.0, z=0.2), 0.05)
    events = Events(np.linspace(0, 1, 20000), xray.draw_energies(rate, 20000, rng), np.array([[0.0, 1.0]]))
    found = xcatalogue.fits(events)
    assert found["apec_z"] == 0.2
    assert found["apec_abund"] in (0.5, 1.0, 2.0)
    assert found["apec_kt"] == pytest.approx(3.0, rel=0.25)
