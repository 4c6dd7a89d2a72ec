"""Joint scores, recovery and the report on a small simulated survey."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from explorer.pipeline import joint, recovery
from explorer.pipeline.prepare import prepare
from explorer.pipeline.report import page as pages
from explorer.pipeline.report import report
from explorer.pipeline.report.study import Study
from explorer.survey import simulate
from explorer.survey.store import Survey
from kernels.scoring import fusion
from kernels.scoring.ranks import percentile, rank

SCORERS = ("gmm", "knn")


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    path = simulate.write("euclid-desi", tmp_path_factory.mktemp("report") / "small", 170, workers=0)
    made = Survey.open(path)
    prepare(made, ["pca"], SCORERS, ["pca"])
    joint.add(made, "pca")
    return made


def test_mismatches_and_fusions_are_scores_with_what_they_stand_on(survey: Survey) -> None:
    names = survey.scores("pca/joint")
    assert set(joint.names_for(survey, "pca")) <= set(names)
    told = survey.provenance("score:pca/joint:mismatch")
    assert told["comparable"] is False  # principal components were never aligned
    assert joint.believed(survey, "pca") == "mismatch-aligned"
    image, spectrum = (survey.percentile(f"pca/{m}", "gmm") for m in ("image", "spectrum"))
    apart = percentile(rank(survey.score("pca/joint", "mismatch-aligned")))
    np.testing.assert_allclose(
        survey.score("pca/joint", "fusion-geometric"), fusion.fuse(image, spectrum, apart), rtol=1e-12
    )
    assert joint.add(survey, "pca") == []
    with pytest.raises(ValueError, match="astropt has not all of image"):
        joint.add(survey, "astropt")


def test_recovery_counts_what_is_found_among_rows_treated_alike(survey: Survey) -> None:
    table = recovery.recovery(
        survey, scorers=["knn"], kinds=("lens", "cosmic-ray"), strengths=(30.0,), hosts=20, percent=10
    )
    assert tuple(table.columns) == recovery.COLUMNS
    assert set(table.kind) == {"none", "lens", "cosmic-ray"}
    assert (table.low <= table.share).all()
    assert (table.share <= table.high).all()
    joined = table[(table.space == "pca/image") & (table.score == "knn")].set_index("kind").share
    assert joined["lens"] > joined["none"]  # thirty times the galaxy's light cannot be missed
    untouched = table[(table.space == "pca/spectrum") & (table.score == "knn")].set_index("kind").share
    assert untouched["cosmic-ray"] == untouched["none"]
    with pytest.raises(LookupError, match="no injection named 'ufo'"):
        recovery.recovery(survey, kinds=("ufo",))


def test_joined_vectors_of_unchanged_rows_are_the_stored_ones(survey: Survey) -> None:
    rows = np.array([3, 50, 120])
    parts = {m: survey.embedding(f"pca/{m}")[rows] for m in ("image", "spectrum")}
    parts["image"] = np.concatenate([parts["image"][:2], 1e3 * parts["image"][2:]])  # one far out changes no other
    joined = recovery._joined(survey, "pca", parts)
    np.testing.assert_allclose(joined[:2], survey.embedding("pca/joint")[rows[:2]], atol=1e-4)


def test_the_report_is_whole_resumes_and_escapes(
    survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("explorer.pipeline.recovery.STRENGTHS", (3.0,))
    monkeypatch.setattr(Survey, "name", property(lambda self: "<b>small</b>"))
    page = report(survey, tmp_path / "out", SCORERS, hosts=10, minutes=0.0)
    html = page.read_text(encoding="utf-8")
    assert "<b>small</b>" not in html
    assert "&lt;b&gt;small&lt;/b&gt;" in html
    assert "http" not in html.replace("http-equiv", "")  # nothing is fetched
    for name in ("table1_transfer_modalities", "claim_top1_shares", "claim_mismatches", "confounders", "recovery"):
        assert len(pd.read_csv(page.parent / f"{name}.csv")), name
    for name in ("figure2_maps", "figure3_cases", "figure4_similar", "figure5_transfer", "figure6_similar",
                 "figure7_robustness", "figure8_mosaics"):  # fmt: skip
        assert (page.parent / f"{name}.png").read_bytes()[:4] == b"\x89PNG", name
    table = pd.read_csv(page.parent / "table1_transfer_modalities.csv")
    np.testing.assert_allclose(table["top 1 %"], table["top 1 % back"])
    assert pd.read_csv(page.parent / "table1_transfer_models.csv")["published top 1 %"].max() == 21.6
    seen: list[str] = []
    stamp = {p.name: p.stat().st_mtime_ns for p in page.parent.glob("*.png")}
    report(survey, tmp_path / "out", SCORERS, hosts=10, minutes=0.0, progress=lambda d, t, label: seen.append(label))
    assert {p.name: p.stat().st_mtime_ns for p in page.parent.glob("*.png")} == stamp
    assert not any(label.startswith("inject") for label in seen)
    (page.parent / "figure7_robustness.png").unlink()
    report(survey, tmp_path / "out", SCORERS, hosts=10, minutes=0.0)
    again = {p.name: p.stat().st_mtime_ns for p in page.parent.glob("*.png")}
    assert again["figure7_robustness.png"] != stamp["figure7_robustness.png"]
    assert again["figure2_maps.png"] == stamp["figure2_maps.png"]


def test_ids_keep_their_digits_and_what_is_not_finite_is_shown(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("id,score\n39627789012345678,inf\n0042,-inf\n7,nan\n8,1234\n")
    markup = pages._table(table)
    for told in ("39627789012345678", "0042", ">∞<", ">−∞<", ">–<", ">1,234<"):
        assert told in markup, told


def test_without_truth_the_claim_is_not_judged(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer.pipeline.report import claim

    monkeypatch.setattr(Study, "truth", lambda self: None)
    part = claim.make(Study(survey, SCORERS))
    assert "no truth labels" in part.sentences[0]
    assert not part.tables


def test_a_survey_without_spaces_of_all_scores_is_told(tiny_survey: Survey, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    page = report(tiny_survey, tmp_path / "out", ("knn",), hosts=5, minutes=0.0)
    html = page.read_text(encoding="utf-8")
    assert "no truth labels" in html
    assert "<script>alert" not in html


def test_models_are_compared_in_the_papers_pairs_beside_its_figures(tiny_survey: Survey) -> None:
    from explorer.pipeline.report import transfer

    rng = np.random.default_rng(0)
    base = rng.normal(size=len(tiny_survey))
    for i, name in enumerate(("astroclip", "aion", "astropt")):
        tiny_survey.put_embedding(f"{name}/image", rng.normal(size=(len(base), 3)))
        tiny_survey.put_score(f"{name}/image", "gmm", base + 0.3 * i * rng.normal(size=len(base)))
    study = Study(tiny_survey, ("gmm",))
    table = transfer.make(study).tables["table1_transfer_models"]
    assert list(table.pair) == ["AION ↔ AstroPT", "AstroPT ↔ AstroCLIP", "AstroCLIP ↔ AION"]
    assert list(table["published top 10 % back"]) == [64.3, 58.0, 23.4]
    np.testing.assert_allclose(table["top 1 %"], table["top 1 % back"])
    a, b = (tiny_survey.score(f"{n}/image", "gmm") for n in ("aion", "astropt"))
    both = set(np.argsort(-a)[:3]) & set(np.argsort(-b)[:3])
    assert table["top 1 %"][0] == pytest.approx(100 * len(both) / 3)


@pytest.mark.parametrize(
    ("image", "fused", "said"),
    [
        (
            ("artefact",) * 60 + ("physical rarity",) * 10,
            ("artefact",) * 10 + ("physical rarity",) * 60,
            "is true here",
        ),
        (("artefact",) * 60, ("artefact",) * 10, "Half of the paper's claim is true here: fewer artefacts"),
        (("physical rarity",) * 60, ("physical rarity",) * 60, "is not true here"),
    ],
)
def test_the_verdict_follows_the_labels(
    tiny_survey: Survey, monkeypatch: pytest.MonkeyPatch, image: tuple[str, ...], fused: tuple[str, ...], said: str
) -> None:
    from explorer.pipeline.report import claim

    truth = np.full(300, "normal", dtype=object)
    truth[: len(image)] = image
    truth[150 : 150 + len(fused)] = fused
    tops = {"pca/image": np.arange(150), "pca/joint": np.arange(150, 300)}
    monkeypatch.setattr(Study, "fusions", lambda self, encoder: ["fusion-geometric"])
    monkeypatch.setattr(Study, "top", lambda self, space, name, percent=1.0: tops[space])
    monkeypatch.setattr(Survey, "provenance", lambda self, column: {"density": "gmm"})
    assert said in claim._verdict(Study(tiny_survey, ("gmm",)), truth, "pca")[0]
