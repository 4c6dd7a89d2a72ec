"""The study of spectra on a small survey: its tables are whole, and a figure of each is checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.pipeline import study_spectra as study
from explorer.pipeline._study_material import OUTLIERS, make_survey, material
from explorer.pipeline._study_models import LENGTH, galspecnet, network, supervised
from explorer.pipeline._study_table import Table, half_width, shown
from explorer.pipeline.prepare import prepare
from explorer.survey.store import Survey


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    out = Survey.open(make_survey(tmp_path_factory.mktemp("study") / "s", 400))
    prepare(out, ["pca"], [], [], progress=lambda *_: None)
    return out


def test_material_agrees_with_the_catalogue_and_splits_by_object(survey: Survey) -> None:
    m = material(survey)
    assert m.flux.shape == (len(m.z), LENGTH)
    assert set(np.unique(m.three)) <= {"", "AGN", "normal", "star-forming"}
    bpt, drawn = survey.column("bpt"), survey.column("bpt_truth")
    row = int(np.flatnonzero(bpt != drawn)[0])
    assert m.five[row] == ""
    base, test = m.split(0)
    assert not set(m.objects[base]) & set(m.objects[test])
    assert (m.truth == "lens").sum() > 5
    assert any((m.truth == o).any() for o in OUTLIERS)


def test_tables_of_the_study(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.models, "TREES", 20)
    tables = list(study.study(survey, seeds=2, epochs=0))
    titles = " ".join(t.title for t in tables)
    assert all(p in titles for p in ("P1.4", "P1.5", "P1.6", "P1.7", "P1.10"))
    assert all(len(row) == len(t.columns) for t in tables for row in t.rows)
    found = next(t for t in tables if t.title.startswith("P1.6 target"))
    published = [row for row in found.rows if row[1] == "published (SDSS)"]
    assert [row[-1] for row in published] == [0.9079, 0.9701, 0.9053]
    m = material(survey)
    base, test = m.split(0)
    labels = study.targets(m)["lens"]
    votes = m.base("pca/spectrum", base, target=labels).vote(m.spaces["pca/spectrum"][test], "target")
    hits = (votes.label == "lens") & (labels[test] == "lens")
    lens = next(row for row in found.rows if row[0] == "lens" and row[2] == "as observed")
    assert lens[6][0] == pytest.approx(hits.sum() / (labels[test] == "lens").sum())
    z = next(t for t in tables if "redshift" in t.title).rows[0]
    assert np.mean(z[2]) < 0.02


def test_a_base_of_a_given_share() -> None:
    labels = np.array(["lens"] * 40 + ["other"] * 960)
    kept = study._with_share(np.arange(1000), labels, "lens", 20, 0)
    assert (labels[kept] == "lens").mean() == pytest.approx(0.2)
    assert len(kept) == 200
    assert len(study._with_share(np.arange(1000), labels, "lens", 1, 0)) == pytest.approx(969, abs=1)


@pytest.mark.parametrize(("make", "epochs"), [(galspecnet, 9), (supervised, 16)])
def test_networks_learn_an_obvious_line(make, epochs) -> None:
    rng = np.random.default_rng(0)
    y = np.array(["a", "b"])[rng.integers(0, 2, 160)]
    x = rng.normal(1, 0.1, (160, LENGTH)).astype(np.float32)
    x[:, 300:330] += (y == "b")[:, None] * 2.0
    found = network(make, x[:120], y[:120], x[120:], np.array(["a", "b"]), 0, epochs)
    assert found.sum(axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert (np.array(["a", "b"])[found.argmax(axis=1)] == y[120:]).mean() > 0.85


def test_a_cell_of_several_seeds_has_its_interval() -> None:
    values = np.array([0.9, 0.92, 0.91, 0.93])
    assert half_width(values) == pytest.approx(3.182446 * values.std(ddof=1) / 2, rel=1e-4)
    assert shown(values.tolist()) == "0.9150 ±.0205"
    assert [shown(c) for c in (None, "x", 1200, 0.5)] == ["-", "x", "1,200", "0.5000"]
    with pytest.raises(ValueError, match="1 cells for 2 columns"):
        Table("t", ["a", "b"]).add(1)


def test_a_survey_without_classes_is_refused(tiny_survey: Survey) -> None:
    with pytest.raises(ValueError, match="no space of spectra"):
        material(tiny_survey)
    with pytest.raises(ValueError, match="no column 'bpt'"):
        material(tiny_survey, ["pca/image"])


def test_line_contrasts_make_a_space_in_which_lines_decide(survey: Survey) -> None:
    from explorer.pipeline.contrast import embed_contrast
    from kernels.search.knowledge_base import KnowledgeBase

    assert embed_contrast(survey) == "contrast/spectrum"
    vectors = survey.embedding("contrast/spectrum")
    assert np.median(np.linalg.norm(vectors, axis=1)) == pytest.approx(5, rel=0.01)
    assert survey.provenance("space:contrast/spectrum")["uses"] == "redshift"
    m = material(survey, ["pca/spectrum", "contrast/spectrum"])
    assert [row[0] for row in study.redshifts(m, range(2)).rows] == ["pca/spectrum"]  # it was made with the redshift
    known = np.isin(m.three, ["star-forming", "normal"])
    hits = {}
    for space, x in m.spaces.items():
        kb = KnowledgeBase(space=space).fit(x[known], {"c": m.three[known]}, objects=m.objects[known])
        hits[space] = (kb.vote(x[known], "c", objects=m.objects[known]).label == m.three[known]).mean()
    assert hits["contrast/spectrum"] > 0.95


def test_line_contrasts_need_a_redshift(tiny_survey: Survey) -> None:
    from explorer.pipeline.contrast import embed_contrast

    with pytest.raises(ValueError, match="3,700 and 6,800"):
        embed_contrast(tiny_survey)  # its spectra end at 4,000 Å
