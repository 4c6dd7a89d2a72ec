"""The study of P2 and P3, small: its layout, its controls, and sentences that follow from its figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.pipeline import _study_xray_claims as claims
from explorer.pipeline import _study_xray_p2 as p2
from explorer.pipeline import _study_xray_spaces as spaces
from explorer.pipeline import study_xray
from explorer.pipeline._study_xray import NETWORKS, P2, P3, Keeper, fit_seed, sources_of, vectors_of
from explorer.pipeline._study_xray_outliers import Outliers
from explorer.pipeline.prepare import prepare
from explorer.survey.simulate import write
from explorer.survey.store import Survey
from kernels.embedding.align.aligner import Aligner
from kernels.embedding.align.evaluate import places


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    made = Survey.open(write("simulated-xray", tmp_path_factory.mktemp("study") / "xray", 240, seed=4, workers=0))
    prepare(made, ["photons", "tfidf"], [], [], progress=lambda *_: None)
    return made


@pytest.mark.slow
def test_tables_controls_and_claims(survey: Survey) -> None:
    told = {"data": "photons/events", "spectra": "xspectrum", "text": "text"}
    made = study_xray.study(survey, told, seeds=1, epochs=6, members=1, search=False)
    titles = " ".join(t.title for t in made.tables)
    for paper in ("P2.1", "P2.4", "P2.5", "P2.6", "P2.7", "P3.1", "P3.3", "P3.4", "P3.5", "P3.6", "P3.8"):
        assert paper in titles, paper
    by_title = {t.title.split(" ")[0]: t for t in reversed(made.tables)}
    assert [r[0] for r in by_title["P2.4"].rows] == list(P2)
    assert [r[0] for r in by_title["P3.4"].rows] == list(P3), "all 20 variables of the paper"
    found = next(t for t in made.tables if t.title.startswith("P2.5"))
    rows = {r[0]: r for r in found.rows}
    n = rows["chance, k / N"][4]
    control = np.mean(rows["control: apart, trained on shuffled pairs"][3])
    assert control < 3 * 1000 / n + 6, "the shuffled control stands at chance"
    assert np.mean(rows["two towers (P2.8)"][3]) > control
    assert "published" in found.text()
    papers = {c.says.split(" ")[0] for c in made.claims}
    assert papers == {"P2.4", "P2.5", "P2.6", "P2.7", "P3.3", "P3.4", "P3.5", "P3.6"}
    assert {c.verdict for c in made.claims} <= {claims.HOLDS, claims.NOT, claims.OPEN}
    assert made.figures["correlations"].shape[1] == len(P3)
    told_ = study_xray.verdicts([("first", made), ("second", made)])
    assert sum(line.startswith("    second: ") for line in told_) == len(made.claims)
    # a run that was killed goes on: nothing is trained again, and a second survey takes the choice
    again = study_xray.study(survey, told, seeds=1, epochs=6, members=1, search=False, choice=made.choice)
    assert [c.figure for c in again.claims] == [c.figure for c in made.claims]


def test_a_stopped_study_trains_only_what_is_missing(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = sources_of(survey, "photons/events")
    options = {"epochs": 1, "members": 1, "shared": 4, "hidden": 8}
    first = fit_seed(s, 0, 1, 1, options, lambda _: None, Keeper(tmp_path))
    assert len(list(tmp_path.glob("*.safetensors"))) == NETWORKS
    one = sorted(tmp_path.glob("*.safetensors"))[0]
    one.unlink()
    trained: list[int] = []
    whole = Aligner.fit

    def counted(self: Aligner, *given: object, **more: object) -> Aligner:
        trained.append(1)
        return whole(self, *given, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Aligner, "fit", counted)
    second = fit_seed(s, 0, 1, 1, options, lambda _: None, Keeper(tmp_path))
    assert len(trained) == 1
    np.testing.assert_allclose(first.after(s, "p3")["both"], second.after(s, "p3")["both"], atol=1e-6)


def test_the_encoder_is_the_one_whose_pairs_are_found_on_validation(
    survey: Survey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A space that holds the text's own numbers must win against the photons."""
    rng = np.random.default_rng(0)
    text = survey.embedding("tfidf/text")
    survey.put_embedding("told/events", (text[:, :12] + 1e-3 * rng.normal(size=(len(text), 12))).astype(np.float32))
    monkeypatch.setitem(spaces.ENCODERS, "events", ("photons", "told"))
    told = {"spectra": "photons/xspectrum", "text": "tfidf/text"}
    chosen, table = spaces.choose_spaces(survey, told, 12, Keeper(None), lambda _: None)
    assert "told/events" in chosen["data"]
    assert [row[1] for row in table.rows[:3]] == ["photons/events", "told/events", "photons/events+told/events"]
    assert [row[-1] for row in table.rows].count("best") == 1
    assert vectors_of(survey, "photons/events+told/events").shape[1] == table.rows[2][2]


def test_verdicts_follow_from_intervals() -> None:
    assert claims.verdict(0.1, 1.0, 2.0) == claims.HOLDS
    assert claims.verdict(-0.5, 1.0, 2.0) == claims.OPEN
    assert claims.verdict(-2.0, -1.0, 0.5) == claims.NOT
    _, mean, high = claims.over_seeds([1.0, 2.0, 3.0])
    assert (mean, high - mean) == (2.0, pytest.approx(4.3027 / np.sqrt(3), rel=1e-3)), "Student's t of two degrees"


def test_rare_sources_that_rise_are_told_by_an_interval_over_sources() -> None:
    rng = np.random.default_rng(1)
    rare = np.arange(400) % 10 == 0
    held = []
    for _ in range(3):
        rows = np.sort(rng.permutation(400)[:300])
        low = rng.permutation(len(rows)).astype(float)
        held.append((rows, {"text": places(low), "data": places(-low), "joint": places(low + 400.0 * rare[rows])}))
    found = Outliers([], held)
    mean, low_end, high_end = found.rise(rare, "joint", "text", 0.2)
    assert mean == pytest.approx(1 - found.curves(rare)["text"][:, 2].mean(), abs=0.06)
    assert low_end > 0.5
    assert found.rise(rare, "text", "text", 0.2) == (0.0, 0.0, 0.0)
    assert low_end < mean < high_end


def test_losing_variables_are_those_whose_error_grows(survey: Survey) -> None:
    from kernels.embedding.align.evaluate import Regression

    def run(best: float, after: float) -> Regression:
        errors = {"data": np.full(9, best), "text": np.full(9, 2.0), "aligned both": np.full(9, after)}
        return Regression("v", errors, np.ones(9), dict.fromkeys(errors, 0.5))

    found = {"a": [run(1.0, 0.5)], "b": [run(1.0, 1.5)], "c": [run(1.0, 0.9)]}
    assert p2.losers(found, "both", "data") == ["b"]
    gain, low, high = p2.gains(found, "both", "data")[0]
    assert gain == pytest.approx((0.5 - 0.5 + 0.1) / 3)
    assert low == pytest.approx(high), "errors without scatter have no interval"


def test_a_survey_without_what_is_needed_is_told(survey: Survey, tmp_path: Path) -> None:
    s = sources_of(survey, "photons/events")
    assert s.rare.sum() == (survey.column("truth_kind")[s.rows] == "rarity").sum()
    parts = s.split(0)
    seen = {n: set().union(*(s.keys[i] for i in r)) for n, r in parts.items() if len(r)}
    assert not seen["train"] & seen["test"]
    small = Survey.open(write("simulated-xray", tmp_path / "small", 20, workers=0))
    prepare(small, ["photons", "tfidf"], [], [], progress=lambda *_: None)
    told = {"data": "events", "spectra": "xspectrum", "text": "text"}
    with pytest.raises(ValueError, match="a study needs 100"):
        study_xray.study(small, told)
    with pytest.raises(ValueError, match="seeds=0"):
        study_xray.study(survey, told, seeds=0)
