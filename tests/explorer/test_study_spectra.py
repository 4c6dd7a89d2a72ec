"""The study of spectra on a small survey: its tables are whole, and a figure of each is checked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from explorer.pipeline import study_spectra as study
from explorer.pipeline._study_keep import Kept
from explorer.pipeline._study_material import OUTLIERS, Material, make_survey, material
from explorer.pipeline._study_models import LENGTH, galspecnet, network, supervised
from explorer.pipeline._study_quasars import HEAD, quasars, retrieved
from explorer.pipeline._study_spectra_claims import FITTED, claims
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
    lines = claims(tables)
    assert all(c.verdict in ("holds", "does not hold", "is not decided") for c in lines)
    told = [c.says for c in lines]
    assert sum("K = 3 beats K = 1" in t for t in told) == 3
    assert sum("the learned weight beats exp(-x/tau)" in t for t in told) == 2
    weights = next(t for t in tables if t.title.startswith("P1.10 weights"))
    rows = {(row[0], row[1]): row for row in weights.rows}
    gain = np.mean(np.subtract(rows[FITTED, 1][2], rows[FITTED, 3][2]))
    claim = next(c for c in lines if "K = 3 beats" in c.says and FITTED in c.says)
    assert claim.figure.startswith(f"log loss gained {gain:.4f}")
    assert f"macro F1 {np.mean(rows[FITTED, 1][3]):.4f} at K = 1" in claim.figure


def test_a_study_goes_on_where_it_was_stopped(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(study.models, "TREES", 5)
    run = study.study(survey, ["pca/spectrum"], seeds=2, epochs=0, keep=tmp_path)
    first = [next(run).csv() for _ in range(3)]

    def never(*_: object) -> Table:
        raise AssertionError("what was kept is not made again")

    for name in ("searches", "redshifts", "_weightings_at"):
        monkeypatch.setattr(study, name, never)
    again = study.study(survey, ["pca/spectrum"], seeds=2, epochs=0, keep=tmp_path)
    assert [next(again).csv() for _ in range(3)] == first
    with pytest.raises(AssertionError, match="not made again"):
        next(study.study(survey, ["pca/spectrum"], seeds=3, epochs=0, keep=tmp_path))  # other seeds, other figures


def test_networks_of_a_study_are_kept_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes of their own; a second run takes them from the folder, whichever were done."""
    rng = np.random.default_rng(0)
    n = 120
    three = np.array(["a", "b"])[rng.integers(0, 2, n)]
    flux = rng.normal(1, 0.1, (n, LENGTH)).astype(np.float32)
    flux[:, 100:130] += (three == "b")[:, None] * 2.0
    m = Material({}, flux, three, three, three, np.ones(n), np.ones(n), np.arange(n).astype(str))
    kept, told = Kept(tmp_path, "a"), []
    found = study.models.trained(m, [0], np.array(["a", "b"]), 1, kept, told.append)
    assert set(found) == {("GalSpecNet", 0), ("encoder, supervised", 0)}
    assert len(told) == 2
    monkeypatch.setattr(study.models, "ProcessPoolExecutor", None)
    again = study.models.trained(m, [0], np.array(["a", "b"]), 1, kept, told.append)
    for key, value in found.items():
        assert value.sum(axis=1) == pytest.approx(1, abs=1e-5)
        np.testing.assert_array_equal(again[key], value)
    assert Kept(tmp_path, "b").array("GalSpecNet 0") is None


def test_redshifts_of_real_spectra_count_an_object_once(tmp_path: Path) -> None:
    """Five epochs of one thing: they are one object, and do not vote on each other."""
    from explorer.survey.records import Record, Spectrum
    from explorer.survey.writer import SurveyWriter

    rng = np.random.default_rng(4)
    wavelength = 10 ** np.arange(3.58, 3.96, 0.0002)

    def record(name: str, thing: str, z: float) -> Record:
        flux = 1 + 4 * np.exp(-0.5 * ((wavelength / (1 + z) - 2799) / 25) ** 2) + rng.normal(0, 0.1, len(wavelength))
        return Record(
            name, thing, {"z": z}, spectrum=Spectrum(wavelength, flux.astype(np.float32), np.full(len(flux), 100.0))
        )

    several = [record(f"e{i}", "one", 0.9) for i in range(5)]
    others = [record(f"r{i}", f"r{i}", z) for i, z in enumerate(rng.uniform(0.45, 2.1, 40))]
    with SurveyWriter(
        tmp_path / "s", card={"name": "s"}, modalities={"spectrum": {}}, columns={"z": pa.float64()}
    ) as writer:
        writer.append([*several, *others])
    made = Survey.open(tmp_path / "s")
    prepare(made, ["pca"], [], [], progress=lambda *_: None)
    table = retrieved(made)
    told = dict(zip(HEAD, table.rows[1], strict=True))
    assert (told["objects"], told["spectra"]) == (41, 45)
    nmad, half = (float(v) for v in told["sigma_NMAD"].replace("±", "0").split())
    assert nmad < 0.5 * told["sigma_NMAD of the median"]
    assert half > 0
    with pytest.raises(ValueError, match="is not there"):
        quasars([tmp_path / "nowhere"])


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
