"""Search by example, composed queries, examples from files, and votes of a session."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from explorer.pipeline.outside import LARGEST, embed_file
from explorer.pipeline.prepare import prepare
from explorer.session import words
from explorer.session.composed import Condition, Like, Words
from explorer.session.session import Session
from explorer.session.similar import closer_pairs
from explorer.session.verdict import labels_of
from explorer.survey.simulate import write
from explorer.survey.store import Survey


@pytest.fixture(scope="module")
def sdss(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    """240 galaxies of simulated-sdss with their pca spaces."""
    folder = write("simulated-sdss", tmp_path_factory.mktemp("sdss") / "s", 240, workers=0)
    survey = Survey.open(folder)
    prepare(survey, ["pca"], [], [], progress=lambda *_: None)
    return survey


@pytest.fixture
def session(sdss: Survey) -> Session:
    return Session(sdss, "ana")


def _cosine(vectors: np.ndarray, query: np.ndarray) -> np.ndarray:
    return 1 - vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)


def test_least_similar_is_the_other_end(session: Session) -> None:
    x = session.survey.embedding("pca/image").astype(float)
    far = np.argsort(-_cosine(x, x[7]), kind="stable")[:5]
    found = session.find_similar(7, k=5, space="pca/image", least=True)
    assert found.index[1:].tolist() == far.tolist()
    assert found["distance"].iloc[1:].to_numpy() == pytest.approx(_cosine(x, x[7])[far], abs=1e-5)


def test_near_duplicates_are_set_aside(session: Session) -> None:
    x = session.survey.embedding("pca/image").astype(float)
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    plain = session.find_similar(7, k=10, space="pca/image").index[1:]
    degrees = float(np.degrees(np.arccos(np.sort(unit[plain] @ unit[7])[::-1][4]))) + 0.01
    found = session.find_similar(7, k=10, space="pca/image", apart=degrees).index[1:]
    assert len(found) == 10
    angles = np.degrees(np.arccos(np.clip(unit[found] @ unit[[7, *found]].T, -1, 1)))
    angles[np.arange(10), np.arange(1, 11)] = 180
    assert angles.min() > degrees
    assert not set(plain[:5]) & set(found)


def test_within_a_filter_and_a_selection(session: Session) -> None:
    z = session.survey.column("z")
    found = session.find_similar(3, k=8, where="z > 0.12")
    assert (z[found.index[1:]] > 0.12).all()
    session.select("z < 0.3")
    both = session.find_similar(3, k=8, where="z > 0.12", within_selection=True)
    assert ((z[both.index[1:]] > 0.12) & (z[both.index[1:]] < 0.3)).all()


def test_more_neighbours_than_there_are_gives_all(session: Session) -> None:
    found = session.find_similar(3, k=10_000, space="pca/image")
    assert len(found) == len(session.survey)
    assert found.index[0] == 3
    verdict = session.verdict(3, "bpt", k=10_000, space="pca/spectrum")
    assert len(verdict.neighbours) == 239, "nobody votes on itself"
    assert sum(verdict.probability.values()) == pytest.approx(1)


def test_what_a_distance_means(session: Session) -> None:
    x = session.survey.embedding("pca/image").astype(float)
    distances = np.array([_cosine(x, x[i])[np.arange(len(x)) != i] for i in range(len(x))]).ravel()
    for share in (0.05, 0.5, 0.9):
        told = closer_pairs(session.survey, "pca/image", np.quantile(distances, [share]))[0]
        assert told == pytest.approx(share, abs=0.02)


def test_spaces_side_by_side(session: Session) -> None:
    found = session.side_by_side(5, k=4)
    assert set(found) == {"pca/image", "pca/spectrum", "pca/joint"}
    for space, table in found.items():
        assert table.index.tolist() == session.find_similar(5, k=4, space=space).index.tolist()


def _spectrum_file(path: Path, survey: Survey, row: int) -> Path:
    s = survey.spectrum(row)
    columns = [
        fits.Column("flux", "E", array=s.flux),
        fits.Column("loglam", "E", array=np.log10(s.wavelength).astype(np.float32)),
        fits.Column("ivar", "E", array=s.ivar),
    ]
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="COADD")]).writeto(path)
    return path


def test_a_spectrum_from_a_file_finds_itself(session: Session, tmp_path: Path) -> None:
    file = _spectrum_file(tmp_path / "spec-mine.fits", session.survey, 11)
    found = session.similar_to(file=file, k=3, space="pca/spectrum")
    assert found["id"].iloc[0] == "spec-mine.fits"
    assert found.index[:2].tolist() == [-1, 11]
    assert found["distance"].iloc[1] < 1e-3
    assert session.focus == 11
    assert "spec-mine.fits" in session.selection.recipe[0]["note"]


def test_an_image_from_a_file_is_embedded_as_the_survey_was(session: Session, tmp_path: Path) -> None:
    image = session.survey.image(4)
    bands = session.survey.modalities["image"]["bands"]
    units = [
        fits.PrimaryHDU(),
        *(fits.ImageHDU(p.astype(np.float32), name=b) for p, b in zip(image.pixels, bands, strict=True)),
    ]
    fits.HDUList(units).writeto(tmp_path / "cutout.fits")
    one = embed_file(session.survey, tmp_path / "cutout.fits", ["pca/image"])
    assert one.vectors["pca/image"] == pytest.approx(session.survey.embedding("pca/image")[4], abs=1e-3)


def test_files_that_cannot_be_examples(session: Session, tmp_path: Path) -> None:
    lie = tmp_path / "spectrum.fits"
    lie.write_bytes(b"GIF89a not what the name says")
    with pytest.raises(ValueError, match=r"spectrum\.fits cannot be read") as told:
        session.find_similar(file=lie)
    assert str(tmp_path) not in str(told.value), "where a server keeps an upload is nobody's business"
    with pytest.raises(ValueError, match="is no file"):
        session.find_similar(file=tmp_path / "none.fits")
    with (tmp_path / "big.fits").open("wb") as f:
        f.truncate(LARGEST + 1)
    with pytest.raises(ValueError, match="make a survey of it"):
        session.find_similar(file=tmp_path / "big.fits")
    from PIL import Image

    Image.new("RGB", (64, 64), "white").save(tmp_path / "p.png")
    with pytest.raises(ValueError, match="display values"):
        session.find_similar(file=tmp_path / "p.png", space="pca/image")
    file = _spectrum_file(tmp_path / "s.fits", session.survey, 0)
    with pytest.raises(ValueError, match="holds no image"):
        session.find_similar(file=file, space="pca/image")


def test_a_composed_query_weighs_its_parts(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    x, z = session.survey.embedding("pca/image").astype(float), session.survey.column("z")
    alone = session.search_composed([Like([9], space="pca/image")], k=6, select=False)
    assert alone.index.tolist() == [9, *np.argsort(_cosine(x, x[9]), kind="stable")[1:7].tolist()]
    only_z = session.search_composed([Like([9], weight=0.0), Condition("z", 1.0)], k=4, select=False)
    assert only_z.index.tolist() == np.argsort(-z, kind="stable")[:4].tolist()
    odd = words.Judged(np.where(np.arange(240) == 17, 1.0, 0.0), "a test")
    monkeypatch.setattr(words, "judge", lambda survey, text: odd)
    both = session.search_composed([Like([9]), Words("odd one", 5.0), Condition("z < 10")], k=3)
    assert both.index[:2].tolist() == [9, 17]
    assert both["score"].iloc[1:].is_monotonic_decreasing
    assert session.selection.order.tolist() == both.index.tolist()
    filtered = session.search_composed([Like([9]), Condition("z > 0.15")], k=50, select=False)
    assert (z[filtered.index[1:]] > 0.15).all()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([], "at least one part"),
        ([Condition("z > 1")], "at least one part"),
        ([Words("xylophone")], "xylophone|no words"),
        ([Condition("truth", 1.0)], "is text"),
        ([Like([])], "one id"),
    ],
)
def test_a_composed_query_that_cannot_be_answered(session: Session, parts, told) -> None:
    with pytest.raises(ValueError, match=told):
        session.search_composed(parts)


def test_a_verdict_tells_all_that_it_rests_on(session: Session) -> None:
    assert labels_of(session.survey)[0] == "bpt"
    found = session.verdict(8, "bpt", k=5, space="pca/spectrum", metadata=("logmass",))
    x = session.survey.embedding("pca/spectrum").astype(float)
    distance = np.linalg.norm(x - x[8], axis=1)
    distance[8] = np.inf
    rows = np.argsort(distance, kind="stable")[:5]
    assert found.neighbours.index.tolist() == rows.tolist()
    assert found.neighbours["distance"].to_numpy() == pytest.approx(distance[rows], rel=1e-4)
    between = np.linalg.norm(x[:, None] - x[None], axis=2)
    np.fill_diagonal(between, np.inf)
    assert found.tau == pytest.approx(np.median(between.min(axis=1)), rel=1e-4)
    weight = np.exp((distance[rows].min() - distance[rows]) / found.tau)
    assert found.neighbours["weight"].to_numpy() == pytest.approx(weight / weight.sum(), rel=1e-3)
    assert sum(found.probability.values()) == pytest.approx(1)
    assert found.neighbours["logmass"].to_numpy() == pytest.approx(session.survey.column("logmass")[rows])
    assert found.entries == 240
    z, low, high = found.value
    assert low <= z <= high
    learned = session.verdict(8, "bpt", weighting="learned", space="pca/spectrum")
    assert sum(learned.probability.values()) == pytest.approx(1)


def test_marks_can_vote_and_bad_votes_are_refused(session: Session) -> None:
    session.mark(list(range(20, 60)), "good")
    session.mark(list(range(60, 100)), "odd")
    found = session.verdict(20, "mark", space="pca/spectrum")
    assert set(found.probability) == {"good", "odd"}
    assert found.entries == 80
    other = Session(session.survey, "ben")
    with pytest.raises(ValueError, match="no entry of the knowledge base has a known mark"):
        other.verdict(20, "mark", space="pca/spectrum")  # marks are one person's own
    with pytest.raises(ValueError, match="holds numbers"):
        session.verdict(3, "z")
    with pytest.raises(ValueError, match="weighting='best'"):
        session.verdict(3, "bpt", weighting="best")
    session.focus = -1
    with pytest.raises(ValueError, match="in focus"):
        session.verdict()


def test_a_label_that_is_written_anew_votes_anew(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The vectors stay the same: what is kept of the old labels must not answer."""
    from explorer.session import verdict as module
    from explorer.session.columns import Text

    before = session.verdict(8, "bpt", k=9, space="pca/spectrum")
    values = module.query.values

    def renamed(name: str, scope: object) -> object:
        found = values(name, scope)
        return Text(found.codes, np.array([f"new {v}" for v in found.values])) if isinstance(found, Text) else found

    monkeypatch.setattr(module.query, "values", renamed)
    after = session.verdict(8, "bpt", k=9, space="pca/spectrum")
    assert set(after.neighbours["label"]) == {f"new {v}" for v in before.neighbours["label"]}
    learned = session.verdict(8, "bpt", k=9, space="pca/spectrum", weighting="learned")
    assert all(name.startswith("new ") for name in learned.probability)


def test_a_knowledge_base_of_another_survey_or_space_is_refused(session: Session) -> None:
    from explorer.session.verdict import base_of
    from kernels.search.knowledge_base import KnowledgeBase

    own = base_of(session, "pca/spectrum", "bpt")
    assert len(own.weights) == 64
    x, labels = own.vectors_, own.labels("bpt")
    fine = KnowledgeBase(space="pca/spectrum", weights=own.weights).fit(x, {"bpt": labels}, ids=own.ids_)
    assert session.verdict(3, "bpt", space="pca/spectrum", kb=fine).entries == sum(own.classes("bpt").values())
    elsewhere = KnowledgeBase(space="pca/spectrum", weights="f" * 64).fit(x, {"bpt": labels})
    with pytest.raises(ValueError, match="embed both with one encoder"):
        session.verdict(3, "bpt", space="pca/spectrum", kb=elsewhere)
    other = KnowledgeBase(space="galspec/spectrum").fit(x, {"bpt": labels})
    with pytest.raises(ValueError, match=r"the queries are of pca/spectrum .* is of galspec/spectrum"):
        session.verdict(3, "bpt", space="pca/spectrum", kb=other)
    narrow = KnowledgeBase(space="pca/spectrum").fit(x[:, :7], {"bpt": labels})
    with pytest.raises(ValueError, match="with 7"):
        session.verdict(3, "bpt", space="pca/spectrum", kb=narrow)
    empty = KnowledgeBase(space="pca/spectrum").fit(x[:0], {"bpt": labels[:0]})
    with pytest.raises(ValueError, match="empty"):
        session.verdict(3, "bpt", space="pca/spectrum", kb=empty)


def test_a_spectrum_outside_the_survey_s_wavelengths(session: Session, tmp_path: Path) -> None:
    flux = np.ones(300, np.float32)
    columns = [
        fits.Column("flux", "E", array=flux),
        fits.Column("loglam", "E", array=np.log10(np.linspace(20_000, 24_000, 300)).astype(np.float32)),
        fits.Column("ivar", "E", array=flux),
    ]
    file = tmp_path / "infrared.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="COADD")]).writeto(file)
    with pytest.raises(ValueError, match="no good sample inside the survey's wavelengths"):
        session.find_similar(file=file, space="pca/spectrum")


@pytest.mark.parametrize("name", ["spectrum.fits", "cutout.fits.gz", "picture.png", "picture.jpg", "nothing.fits"])
def test_a_file_that_is_not_what_its_name_says(session: Session, tmp_path: Path, name: str) -> None:
    contents = {
        "spectrum.fits": b"%PDF-1.7 a paper", "cutout.fits.gz": b"SIMPLE  =                    T", "nothing.fits": b"",
        "picture.png": b"SIMPLE  =                    T" + b" " * 3000, "picture.jpg": b"<svg onload=alert(1)></svg>",
    }  # fmt: skip
    file = tmp_path / name
    file.write_bytes(contents[name])
    with pytest.raises(ValueError, match=rf"{name} cannot be read: .+") as told:
        session.find_similar(file=file)
    assert str(tmp_path) not in str(told.value)
