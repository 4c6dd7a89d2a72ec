"""Search by words, captions, and models behind endpoints: against a server in this process that errs on purpose."""

import json
import time

import numpy as np
import pytest

from explorer.pipeline import words
from explorer.pipeline.endpoint import Endpoint, EndpointError, checked
from explorer.session import words as seeking
from explorer.session.session import Session
from tests.explorer._endpoint import client, reply

SCHEMA = words.RANKING


def test_an_answer_is_retried_counted_and_kept(serve, tmp_path):
    server = serve(lambda body, n: (503, "busy") if n == 1 else (200, "{not json") if n == 2 else reply("a spiral"))
    asked = client(server, cache=tmp_path, price=(2.0, 4.0))
    assert asked.chat("what is it?").value == "a spiral"
    assert (asked.spent.asked, asked.spent.retries) == (1, 2)
    assert asked.spent.cost == pytest.approx((10 * 2 + 5 * 4) / 1e6)
    again = client(server, cache=tmp_path)
    assert again.chat("what is it?").kept
    assert len(server.asked) == 3
    assert again.chat("what is it?", sample=1).value == "a spiral"
    assert len(server.asked) == 4


@pytest.mark.parametrize(
    ("say", "told"),
    [
        (lambda b, n: (401, "bad key sk-secret"), "refuses the key"),
        (lambda b, n: (404, "no such model, sk-secret"), "status 404"),
        (lambda b, n: (200, {"choices": [{"message": {"content": None, "refusal": "I cannot"}}]}), "I cannot"),
        (lambda b, n: (200, "<html>"), "after 2 tries"),
        (lambda b, n: (302, ""), "status 302"),
    ],
)
def test_what_goes_wrong_is_told_without_the_key(serve, tmp_path, monkeypatch, say, told):
    monkeypatch.setenv("EXPLORER_API_KEY", "sk-secret")
    server = serve(say)
    with pytest.raises(EndpointError, match=told) as failure:
        client(server, retries=1, cache=tmp_path).chat("x")
    assert "sk-secret" not in str(failure.value)
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert not list(tmp_path.rglob("*.json"))


def test_a_slow_and_an_absent_endpoint(serve):
    slow = serve(lambda b, n: (time.sleep(0.5), reply("late"))[1])
    with pytest.raises(EndpointError, match=r"within 0\.05 s"):
        client(slow, timeout=0.05, retries=0).chat("x")
    with pytest.raises(EndpointError, match="cannot be reached"):
        Endpoint("http://127.0.0.1:9/v1", "seer", retries=0, timeout=1).chat("x")
    with pytest.raises(ValueError, match="http://"):
        Endpoint("file:///etc/passwd", "seer")


def test_a_limit_of_cost_stops_and_keeps_what_came(serve, tmp_path):
    server = serve(lambda b, n: reply("fine", (1_000_000, 0)))
    asked = client(server, price=(1.0, 0.0), most_cost=1.5, workers=1, cache=tmp_path)
    told = asked.each(lambda i: asked.chat(f"question {i}").value, range(4))
    assert told[:2] == ["fine", "fine"]
    assert all(isinstance(t, EndpointError) and "limit" in str(t) for t in told[2:])
    assert len(list(tmp_path.rglob("*.json"))) == 2


def test_json_is_found_in_fences_and_refused_where_it_is_another():
    assert checked('```json\n{"ranking": 7, "explanation": "arc"}\n```', SCHEMA)["ranking"] == 7
    for bad in (
        '{"ranking": 11, "explanation": ""}',
        '{"ranking": "7"}',
        "seven",
        '{"ranking": 7, "explanation": "x", "z": 1}',
    ):
        with pytest.raises(EndpointError):
            checked(bad, SCHEMA)


def test_embeddings_come_in_the_order_of_the_texts(serve):
    def say(body, n):
        rows = [{"index": i, "embedding": [float(len(t)), 1.0]} for i, t in enumerate(body["input"])]
        return 200, {"data": rows[::-1]}

    vectors = client(serve(say)).embed(["a", "bbb", "cc"], batch=2)
    assert vectors[:, 0].tolist() == [1, 3, 2]
    short = serve(lambda b, n: (200, {"data": [{"index": 0, "embedding": [1.0]}]}))
    with pytest.raises(EndpointError, match="1 vectors for 2 texts"):
        client(short, retries=0).embed(["a", "b"])


# -- re-ranking --------------------


def test_samples_are_averaged_ties_keep_their_order_and_failures_come_last(serve, made, tmp_path, monkeypatch):
    rows = np.flatnonzero(made.has("image"))[:5]
    monkeypatch.setattr(words, "picture", lambda survey, row, zoom=1.0: str(int(row)).encode())
    said = {0: [4, 8], 1: [6, 6], 2: [9, 9], 3: None, 4: [6, 6]}
    count = {}

    def say(body, n):
        image = body["messages"][0]["content"][1]["image_url"]["url"].split(",")[1]
        import base64

        i = rows.tolist().index(int(base64.b64decode(image)))
        if said[i] is None:
            return 200, {"choices": [{"message": {"content": "no json"}}]}
        at = count[i] = count.get(i, -1) + 1
        return reply(json.dumps({"ranking": said[i][at], "explanation": f"<b>{i}</b>"}))

    server = serve(say)
    asked = client(server, workers=1, retries=1, cache=tmp_path)
    out = words.rerank(made, rows, "arcs", asked, similarity=[0.1, 0.5, 0.2, 0.9, 0.4], samples=2)
    assert out.rows.tolist() == rows[[2, 1, 4, 0, 3]].tolist()
    assert out.score[:4].tolist() == [9, 6, 6, 6]
    assert np.isnan(out.score[4])
    assert out.samples.tolist() == [2, 2, 2, 2, 0]
    assert list(out.failed) == [int(rows[3])]
    before = len(server.asked)
    words.rerank(made, rows[:3], "arcs", asked, samples=2)
    assert len(server.asked) == before  # all kept


# -- captions and search --------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey

    path = tmp_path_factory.mktemp("words") / "sim"
    write("euclid-desi", path, 200, seed=5)
    return Survey.open(path)


def test_captions_go_on_where_they_stopped(made):
    assert words.write_captions(made, rows=range(20)) == {}
    with (made.path / words.FILE).open("a") as file:
        file.write('{"id": "cut sh')
    (made.path / words.FILE).write_text((made.path / words.FILE).read_text() + "\n")
    assert words.write_captions(made) == {}
    told = words.captions(made)
    assert len(told) == int(made.has("image").sum())
    assert all(c.text and c.by == "measured" for c in told.values())


def test_words_find_what_they_say(made):
    session = Session(made, "tester")
    found = session.search("merging galaxies with two nuclei", k=8)
    assert "tfidf" in found.attrs["how"]
    assert session.selection.order.tolist() == found.index.tolist()
    assert (np.diff(found["similarity"]) <= 0).all()
    truth = made.column("truth")
    assert found["similarity"].iloc[-1] >= 0.2 * found["similarity"].iloc[0]
    share = (truth[found.index] == "merger").mean()
    assert share > (truth == "merger").mean()
    with pytest.raises(ValueError, match="no word of"):
        session.search("xylophone qwertz")
    with pytest.raises(ValueError, match="nothing is sought"):
        session.search("  ")


def test_one_line_is_a_position_an_id_a_query_or_words(made):
    session = Session(made, "tester")
    ra, dec = (float(made.column(c)[7]) for c in ("ra", "dec"))
    assert "arcsec" in seeking.asked(session, f"{ra:.6f} {dec:+.6f}")
    assert session.focus == 7
    from astropy.coordinates import SkyCoord

    typed = SkyCoord(ra, dec, unit="deg").to_string("hmsdms", sep=":", precision=3)
    session.focus_on(None)
    seeking.asked(session, typed)
    assert session.focus == 7
    assert "degrees away" in seeking.asked(session, f"{(ra + 180) % 360:.3f} {-dec:+.3f}")
    assert session.focus == 7
    assert seeking.asked(session, made.ids[3]) == ""
    assert list(session.selection.ids) == [made.ids[3]]
    assert seeking.asked(session, "z > 0.2") == ""
    assert "by words" in seeking.asked(session, "smooth round galaxy")
    with pytest.raises((LookupError, ValueError)):
        seeking.asked(session, "no_such_column > 3")


def test_a_survey_without_words_says_what_to_do(tmp_path):
    from explorer.survey.store import Survey
    from explorer.survey.writer import SurveyWriter

    with SurveyWriter(tmp_path / "bare", card={"name": "bare"}, modalities={}, columns={}):
        pass
    with pytest.raises(ValueError, match="explorer caption"):
        seeking.judge(Survey.open(tmp_path / "bare"), "spiral arms")


def test_settings_hold_no_key(tmp_path):
    (tmp_path / "e.toml").write_text('[chat]\nbase_url = "http://localhost:11434/v1"\nmodel = "m"\ncache = "~/c"\n')
    assert words.endpoint_of(tmp_path / "e.toml")["chat"].model == "m"
    (tmp_path / "e.toml").write_text('[chat]\nbase_url = "http://x/v1"\nmodel = "m"\napi_key = "sk"\n')
    with pytest.raises(ValueError, match="environment variable"):
        words.endpoint_of(tmp_path / "e.toml")
    (tmp_path / "e.toml").write_text('[chat]\nbase_url = "http://x/v1"\nmodel = "m"\nspeed = 3\n')
    with pytest.raises(ValueError, match="speed"):
        words.endpoint_of(tmp_path / "e.toml")
