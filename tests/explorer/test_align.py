"""Aligning two spaces of a survey: what is stored, what is refused, and that no paper is on both sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.pipeline.align import align, digest, discussed, keys_of, load_aligner, space_of
from explorer.pipeline.prepare import prepare
from explorer.survey.simulate import write
from explorer.survey.store import Survey

QUICK = {"epochs": 40, "batch": 32, "shared": 8, "hidden": 32, "dropout": 0.1, "random_state": 0}


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    path = write("simulated-xray", tmp_path_factory.mktemp("align") / "xray", 150, workers=0)
    made = Survey.open(path)
    prepare(made, ["photons", "tfidf", "columns"], [], [], progress=lambda *_: None)
    return made


def test_aligned_spaces_are_stored_and_the_aligner_comes_back(survey: Survey) -> None:
    made = align(survey, "events", "text", QUICK, seed=3)
    assert made.spaces == {"events": "aligned/events", "text": "aligned/text", "joint": "aligned/joint"}
    has = survey.has("text") & survey.has("events")
    vectors = {m: survey.embedding(s) for m, s in made.spaces.items()}
    assert np.isfinite(vectors["events"]).all(), "a source nobody wrote about has its place by its events alone"
    np.testing.assert_array_equal(np.isfinite(vectors["text"]).all(axis=1), survey.has("text"))
    np.testing.assert_array_equal(np.isfinite(vectors["joint"]).all(axis=1), has)
    assert vectors["joint"].shape[1] == 16
    told = survey.provenance("space:aligned/joint")
    assert told["aligned"] == ["photons/events", "tfidf/text"]
    assert told["options"]["epochs"] == 40
    aligner, spaces, splits = load_aligner(survey)
    assert spaces == ("photons/events", "tfidf/text")
    np.testing.assert_allclose(aligner.encode("a", survey.embedding(spaces[0])), vectors["events"], atol=1e-5)
    assert sum(map(len, splits.values())) == discussed(survey, np.flatnonzero(has)).sum()
    groups = {n: set().union(*keys_of(survey, r)) for n, r in made.splits.items() if len(r)}
    for n, keys in groups.items():
        assert not keys & set().union(*(k for m, k in groups.items() if m != n)), n
    assert made.figures["train"]["median_rank"] < made.figures["train"]["n"] / 3


def test_any_pair_of_modalities_and_the_choice_of_settings(survey: Survey, capsys: pytest.CaptureFixture) -> None:
    grid = {"shared": (4, 8)}
    made = align(survey, "xspectrum", "columns", QUICK, tune=True, search=True, grid=grid, name="other")
    assert set(made.spaces) == {"xspectrum", "columns", "joint"}
    assert len(made.searched) == 2
    assert made.options["shared"] == made.searched[0]["options"]["shared"]
    assert list((survey.cache_dir / "align").glob("other-*/grid.jsonl"))
    later = align(survey, "photons/events", "tfidf/text", QUICK, name="later", cutoff=2012)
    years = [survey.column("paper_years")[r] for r in later.splits["test"]]
    assert all(min(map(int, y.split(";"))) > 2012 for y in years)


def test_a_search_is_kept_by_the_spaces_as_they_were_made(survey: Survey) -> None:
    names = {digest(survey, "photons/events", "tfidf/text"), digest(survey, "photons/xspectrum", "tfidf/text")}
    vectors = np.nan_to_num(survey.embedding("photons/events"))
    survey.put_embedding("other/events", vectors)
    first = digest(survey, "other/events", "tfidf/text")
    survey.put_embedding("other/events", 2 * vectors, {"time": "later"})
    assert len({*names, first, digest(survey, "other/events", "tfidf/text")}) == 4


def test_summaries_that_say_nothing_are_no_partners(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    told = [
        "Not discussed.",
        "The source is listed in a table but not discussed.\n\nNot discussed",
        "Variability is not discussed. The spectrum is hard.",
        "Not discussed.\n\nA coherent period appears.",
        None,
    ]
    monkeypatch.setattr(Survey, "texts", lambda self, rows: told)
    assert discussed(survey, np.arange(5)).tolist() == [False, False, True, True, False]


def test_what_cannot_be_aligned_is_said(survey: Survey, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="of one modality"):
        align(survey, "photons/events", "aligned/events", QUICK, name="third")
    with pytest.raises(ValueError, match="which space is meant by 'smell'"):
        space_of(survey, "smell")
    with pytest.raises(ValueError, match="no alignment called 'none'"):
        load_aligner(survey, "none")
    small = Survey.open(write("simulated-xray", tmp_path / "small", 16, workers=0))
    with pytest.raises(ValueError, match="no space of text yet: explorer prepare --encoders tfidf"):
        space_of(small, "text")
    prepare(small, ["photons", "tfidf"], [], [], progress=lambda *_: None)
    with pytest.raises(ValueError, match="24 are needed"):
        align(small, "events", "text", QUICK)
