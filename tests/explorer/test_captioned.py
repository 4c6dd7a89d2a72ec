"""Captions of an endpoint train a projector from images to words (P4.2), and words find what it never saw."""

from __future__ import annotations

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from explorer.cli import main
from explorer.pipeline import captioned, words
from explorer.pipeline.align import align, captioned_options, load_aligner
from explorer.pipeline.endpoint import EndpointError
from explorer.session import words as seeking
from explorer.survey.records import Image, Record
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from tests.explorer._endpoint import client, reply, word_vectors

N = 120
QUICK = {"form": "projectors", "epochs": 30, "batch": 32, "hidden": 32, "onto": "b", "dropout": 0.1}


def _pixels(i: int) -> np.ndarray:
    rng = np.random.default_rng(i)
    y, x = np.mgrid[-16:16, -16:16]
    wide = 5.0 if i % 3 == 0 else 1.2
    light = np.exp(-np.hypot(x / wide, y) / rng.uniform(1.5, 2.5)) * 20
    return (light + rng.normal(0, 0.2, x.shape)).astype(np.float32)[None]


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    image = {"bands": ["VIS"], "pixel_scale": 0.1, "zero_point": [23.9], "unit": "nJy"}
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities={"image": image}, columns={}) as writer:
        writer.append(
            [Record(f"G{i:03d}", f"object-{i // 2}", {}, image=Image(_pixels(i)), source="made") for i in range(N)]
        )
    made = Survey.open(tmp_path / "s")
    vectors = np.stack([np.fft.rfft2(_pixels(i)[0]).real[:4, :4].ravel() for i in range(N)]).astype(np.float32)
    made.put_embedding("pca/image", vectors)
    return made


def sees(body: dict) -> tuple[int, dict]:
    """A model that looks at its picture, and sums up what it is told."""
    content = body["messages"][0]["content"]
    if len(content) == 1:
        flat = "bar-like" in content[0]["text"]
        return reply("A thin disk seen edge-on." if flat else "A smooth round elliptical.")
    shown = Picture.open(io.BytesIO(base64.b64decode(content[1]["image_url"]["url"].split(",")[1]))).convert("L")
    light = np.asarray(shown, float)
    light = np.where(light > 0.5 * light.max(), 1.0, 0.0)
    across, along = (light.max(axis=a).sum() for a in (1, 0))
    return reply(
        f"**A {'bar-like' if along > 1.8 * across else 'round'} object** with <b>light</b>, {along:.0f} pixels wide."
    )


def answers(body: dict, number: int):
    return word_vectors(body) if "input" in body else sees(body)


def test_the_endpoint_trains_the_projector_and_words_find_what_was_held_out(
    serve, survey, tmp_path, monkeypatch, capsys
):
    server = serve(answers)
    told = tmp_path / "endpoint.toml"
    table = f'base_url = "{server.url}"\nwait = 0.01\nkey_from = ""\nprice = [1.0, 2.0]\n'
    told.write_text(f'[chat]\nmodel = "seer"\n{table}[embed]\nmodel = "reader"\n{table}')
    assert main(["caption", str(survey.path), "--endpoint", str(told)]) == 0
    said = capsys.readouterr().out
    assert "every image has a caption" in said
    new, kept = map(int, re.search(r"chat \(seer\): (\d+) answers, (\d+) kept", said).groups())
    assert new + kept == 2 * N, "a caption and its summary each; what was asked before is kept"
    assert new == sum("messages" in body for body in server.asked)
    assert "captions-endpoint/text" in said
    made = words.captions(survey)
    assert {c.by for c in made.values()} == {"seer"}
    assert all("<" not in c.text and "*" not in c.text for c in made.values())
    held = [f"G{i:03d}" for i in range(0, N, 4)]
    (tmp_path / "ids.txt").write_text("\n".join(held))
    before = len(server.asked)
    run = ["align", str(survey.path), "pca/image", "captions", "--exclude", str(tmp_path / "ids.txt"), "--epochs", "30"]
    assert main([*run, "--endpoint", str(told)]) == 0
    assert len(server.asked) == before, "vectors that are there are not asked for again"
    survey.refresh()
    _, spaces, parts = load_aligner(survey)
    assert spaces == ("pca/image", "captions-endpoint/text")
    seen = set(parts["train"]) | set(parts["validation"]) | set(parts["calibration"]) | set(parts["test"])
    twins = {f"G{i + d:03d}" for i in range(0, N, 4) for d in (0, 1)}  # the other row of the same object
    assert set(parts["excluded"]) == twins
    assert not seen & twins
    monkeypatch.setenv(captioned.VARIABLE, str(told))
    judged = seeking.judge(survey, "thin disk edge-on")
    assert judged.how == "pca/image with captions-endpoint/text, aligned; words by endpoint reader"
    rows = survey.rows_of(sorted(twins))
    order = rows[np.argsort(-judged.similarity[rows])]
    assert np.mean([r % 3 == 0 for r in order[:10]]) > 0.9


def test_without_its_endpoint_a_search_says_so_and_goes_on(serve, survey, monkeypatch):
    server = serve(answers)
    assert words.write_captions(survey, client(server)) == {}
    space = captioned.embed_captions(survey, endpoint=client(server))
    align(survey, "pca/image", space, QUICK)
    monkeypatch.delenv(captioned.VARIABLE, raising=False)
    judged = seeking.judge(survey, "edge-on disk")
    assert "aligned is left out" in judged.how
    assert "EXPLORER_ENDPOINT" in judged.how
    assert "words by TF-IDF and SVD" in judged.how
    assert np.mean([r % 3 == 0 for r in np.argsort(-judged.similarity)[:10]]) > 0.9
    with pytest.raises(EndpointError, match="made by seer"):
        captioned.encoder_of(survey, space)


def test_an_address_in_a_survey_is_never_asked(serve, survey, monkeypatch):
    """A survey may come from somebody else: where its words go is for the person to say."""
    theirs, own = serve(answers), serve(answers)
    words.write_captions(survey, client(theirs))
    captioned.embed_captions(survey, endpoint=client(theirs))
    kept = (survey.path / "survey.toml").read_text() + json.dumps(survey.provenance("space:captions-endpoint/text"))
    assert theirs.url not in kept
    before = len(theirs.asked)
    monkeypatch.delenv(captioned.VARIABLE, raising=False)
    seeking.judge(survey, "edge-on disk")
    assert len(theirs.asked) == before
    assert captioned.encoder_of(survey, "captions-endpoint/text", client(own)).encode is not None


def test_a_projector_that_was_stopped_goes_on_to_the_same_weights(survey, monkeypatch):
    words.write_captions(survey)
    whole = align(survey, "pca/image", "captions", QUICK, texts="tfidf", name="whole")
    vectors = survey.embedding("whole/image")

    def stop(done: int, total: int, label: str) -> None:
        if done == total // 2 and "texts" not in label:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        align(survey, "pca/image", "captions", QUICK, texts="tfidf", name="cut", progress=stop)
    left = list((survey.cache_dir / "align").glob("cut-*/fit-*/member-0/checkpoint.safetensors"))
    assert len(left) == 1
    again = align(survey, "pca/image", "captions", QUICK, texts="tfidf", name="cut")
    np.testing.assert_allclose(survey.embedding("cut/image"), vectors, atol=1e-5)
    assert again.figures["test"] == pytest.approx(whole.figures["test"])
    assert not left[0].exists()


def test_words_are_weighed_without_the_benchmark(survey, tmp_path):
    with (survey.path / words.FILE).open("w") as file:
        for i, name in enumerate(survey.ids):
            text = "An xylophone." if i == 0 else "A round galaxy." if i % 2 else "A thin disk."
            file.write(json.dumps({"id": str(name), "text": text, "summary": text, "by": "hand"}) + "\n")
    (tmp_path / "ids.csv").write_text("id,ra\nG000,1.0\n")
    held = captioned.rows_of_benchmark(survey, tmp_path / "ids.csv")
    assert held.sum() == 2
    space = captioned.embed_captions(survey, "tfidf", held_out=held)
    assert "xylophone" not in captioned.encoder_of(survey, space).terms_
    first = survey.provenance(f"space:{space}")["time"]
    assert captioned.embed_captions(survey, "tfidf", held_out=held) == space
    assert survey.provenance(f"space:{space}")["time"] == first, "a space that stands is not made again"
    captioned.embed_captions(survey, "tfidf")
    assert "xylophone" in captioned.encoder_of(survey, space).terms_


def test_what_is_wrong_is_told(survey, tmp_path):
    with pytest.raises(ValueError, match="explorer caption"):
        captioned.embed_captions(survey)
    with pytest.raises(FileNotFoundError, match="neither a file of ids nor a column"):
        captioned.rows_of_benchmark(survey, tmp_path / "absent.txt")
    (tmp_path / "ids.txt").write_text("nobody\n")
    with pytest.raises(ValueError, match="none of its 1 ids"):
        captioned.rows_of_benchmark(survey, tmp_path / "ids.txt")
    words.write_captions(survey)
    with pytest.raises(ValueError, match="endpoint"):
        captioned.embed_captions(survey, "endpoint")
    with pytest.raises(ValueError, match="bert"):
        captioned.embed_captions(survey, "bert")
    assert captioned_options("pca/image", "captions")["onto"] == "b"
