"""The study of P2 and P3, small: its layout, its controls, and sentences that follow from its figures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.pipeline import _study_xray_p2 as p2
from explorer.pipeline import study_xray
from explorer.pipeline._study_xray import P2, P3, sources_of
from explorer.pipeline.prepare import prepare
from explorer.survey.simulate import write
from explorer.survey.store import Survey


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    made = Survey.open(write("simulated-xray", tmp_path_factory.mktemp("study") / "xray", 240, seed=4, workers=0))
    prepare(made, ["photons", "tfidf"], [], [], progress=lambda *_: None)
    return made


@pytest.mark.slow
def test_tables_controls_and_sentences(survey: Survey, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    tables, sentences, more = study_xray.study(survey, seeds=1, epochs=6, members=1, search=False)
    titles = " ".join(t.title for t in tables)
    for paper in ("P2.4", "P2.5", "P2.6", "P2.7", "P3.3", "P3.4", "P3.5", "P3.6", "P3.8"):
        assert paper in titles, paper
    by_title = {t.title.split(" ")[0]: t for t in reversed(tables)}
    assert [r[0] for r in by_title["P2.4"].rows] == list(P2)
    assert [r[0] for r in by_title["P3.4"].rows] == list(P3), "all 20 variables of the paper"
    found = next(t for t in tables if t.title.startswith("P2.5"))
    rows = {r[0]: r for r in found.rows}
    n = rows["chance, k / N"][4]
    control = np.mean(rows["control: apart, trained on shuffled pairs"][3])
    assert control < 3 * 1000 / n + 6, "the shuffled control stands at chance"
    assert np.mean(rows["two towers (P2.8)"][3]) > control
    assert "published" in tables[1].text()
    assert any(s.startswith("P2.4") and (" holds" in s or "not" in s) for s in sentences)
    assert more["correlations"].shape[1] == len(P3)


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
    s = sources_of(survey)
    assert s.rare.sum() == (survey.column("truth_kind")[s.rows] == "rarity").sum()
    parts = s.split(0)
    seen = {n: set().union(*(s.keys[i] for i in r)) for n, r in parts.items() if len(r)}
    assert not seen["train"] & seen["test"]
    small = Survey.open(write("simulated-xray", tmp_path / "small", 20, workers=0))
    prepare(small, ["photons", "tfidf"], [], [], progress=lambda *_: None)
    with pytest.raises(ValueError, match="a study needs 100"):
        study_xray.study(small)
    with pytest.raises(ValueError, match="seeds=0"):
        study_xray.study(survey, seeds=0)
