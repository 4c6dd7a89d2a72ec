"""Cards, ``explorer.open`` and ``explorer get``: against a server on this machine, never the network."""

from __future__ import annotations

import contextlib
import hashlib
import io
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from explorer.survey import cards, get, locate
from explorer.survey.ingest import ingest
from explorer.survey.resources import data_path
from kernels.registry import UnknownName
from tests.explorer import _made


@pytest.fixture(autouse=True)
def own_surveys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("EXPLORER_SURVEYS", str(tmp_path / "surveys"))
    return tmp_path / "surveys"


@pytest.mark.parametrize("name", cards.names())
def test_every_card_is_whole(name: str) -> None:
    card = cards.load(name)
    assert card.title
    if card.kind != "simulated":
        assert card.address.startswith(("https://", "http://"))
        assert card.citation
        assert card.licence
        assert card.kind in get._FETCH
    for entry in card.extra.get("files", []):
        assert len(entry.get("sha256", "0" * 64)) == 64
    assert not set(card.columns) & set(card.columns.values()) or card.kind == "sparcl"


def test_the_published_surveys_of_the_papers_have_cards() -> None:
    wanted = {"euclid-desi", "sdss-spectra", "desi-spectra", "galaxy-zoo-2", "csc-2.1", "multimodal-universe-desi"}
    assert wanted <= set(cards.names())
    assert cards.load("euclid-desi").extra["dataset"] == "msiudek/astroPT_euclid_Q1_desi_dr1_dataset"
    query = cards.load("csc-2.1").extra["query"]
    assert "{low}" in query
    assert all(name in query for name in ("hard_hs", "hard_ms", "hard_hm", "var_prob_b", "flux_significance_b"))


def test_a_card_that_lacks_something_says_what(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('title = "Mine"\nkind = "files"\n')
    with pytest.raises(cards.CardError, match=r"mine\.toml: citation, licence, address, files missing"):
        cards.read(path)
    path.write_text('title = "Mine"\nkind = "ftp"\n')
    with pytest.raises(cards.CardError, match="kind is 'ftp'; choose one of simulated, files"):
        cards.read(path)
    path.write_text("title = \n")
    with pytest.raises(cards.CardError, match="not TOML"):
        cards.read(path)
    with pytest.raises(UnknownName, match=r"no card named 'eucld-desi'.*Did you mean 'euclid-desi'"):
        cards.load("eucld-desi")


def test_open_finds_folders_kept_surveys_and_says_what_to_do_otherwise(tmp_path: Path, own_surveys: Path) -> None:
    _made.png(tmp_path / "in" / "a.png")
    ingest(tmp_path / "in", own_surveys / "mine")
    assert locate.open(own_surveys / "mine") is locate.open("mine")
    with pytest.raises(LookupError, match=r"explorer get csc-2\.1"):
        locate.open("csc-2.1")
    with pytest.raises(UnknownName, match="explorer ingest"):
        locate.open(tmp_path / "in")
    with pytest.raises(UnknownName, match=r"no survey named 'nine'.*csc-2.1.*mine"):
        locate.open("nine")
    assert data_path("cards", "csc-2.1.toml").is_file()


class _Files(BaseHTTPRequestHandler):
    """Serves a dictionary of files, with ranges; breaks off once where told to."""

    files: dict[str, bytes]
    asked: list[tuple[str, str]]
    break_after: int

    def do_GET(self) -> None:
        data = self.files.get(self.path.split("?")[0])
        told = self.headers.get("Range", "")
        type(self).asked.append((self.path, told))
        if data is None:
            self.send_error(404)
            return
        start = int(told.removeprefix("bytes=").rstrip("-")) if told else 0
        if told and start >= len(data):
            self.send_error(416)
            return
        self.send_response(206 if told else 200)
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        stop = len(data)
        if type(self).break_after:
            stop, type(self).break_after = start + type(self).break_after, 0
        with contextlib.suppress(ConnectionError):
            self.wfile.write(data[start:stop])

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[tuple[str, type[_Files]]]:
    handler = type("Handler", (_Files,), {"files": {}, "asked": [], "break_after": 0})
    running = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{running.server_address[1]}", handler
    running.shutdown()
    running.server_close()
    thread.join()


def test_a_download_goes_on_where_it_broke_and_is_checked(
    server: tuple[str, type[_Files]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import requests

    monkeypatch.setattr(get, "_CHUNK", 1 << 14)
    root, handler = server
    data = np.random.default_rng(0).bytes(300_000)
    handler.files["/a.bin"] = data
    handler.break_after = 100_000
    known = "sha256:" + hashlib.sha256(data).hexdigest()
    with pytest.raises(requests.RequestException):
        get.fetch(f"{root}/a.bin", tmp_path / "a.bin", known)
    assert not (tmp_path / "a.bin").exists()
    get.fetch(f"{root}/a.bin", tmp_path / "a.bin", known)
    assert (tmp_path / "a.bin").read_bytes() == data
    continued = int(handler.asked[-1][1].removeprefix("bytes=").rstrip("-"))
    assert 0 < continued <= 100_000
    asked = len(handler.asked)
    get.fetch(f"{root}/a.bin", tmp_path / "a.bin", known)
    assert len(handler.asked) == asked, "a whole file is not fetched again"
    with pytest.raises(ValueError, match="checksum"):
        get.fetch(f"{root}/a.bin", tmp_path / "b.bin", "sha256:" + "0" * 64)
    assert not (tmp_path / "b.bin").exists()


def _card(monkeypatch: pytest.MonkeyPatch, **told: Any) -> None:
    own = {k: told.pop(k) for k in ("kind", "reader", "columns", "address") if k in told}
    made = cards.Card("made", "Made", citation="c", licence="l", extra=told, **({"address": "http://x.test"} | own))
    monkeypatch.setattr(cards, "load", lambda name: made)


def test_get_fetches_unpacks_and_makes_the_survey(
    server: tuple[str, type[_Files]], monkeypatch: pytest.MonkeyPatch, own_surveys: Path
) -> None:
    root, handler = server
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for k in range(3):
            archive.writestr(f"images/{k}.png", _made.png_bytes(k))
    handler.files = {"/i.zip": out.getvalue(), "/v.csv": b"asset,votes\n0,0.5\n1,0.25\n2,1\n"}
    digest = hashlib.sha256(out.getvalue()).hexdigest()
    files = [{"url": f"{root}/i.zip", "sha256": digest, "unpack": True}, {"url": f"{root}/v.csv"}]
    _card(monkeypatch, kind="files", files=files, columns={"smooth": "votes"})
    told = get.get("made")
    assert told.n_files == 2
    survey = locate.open("made")
    assert (len(survey), survey.column("smooth").tolist()) == (3, [0.5, 0.25, 1.0])
    assert survey.meta["card"]["citation"] == "c"


def test_without_a_network_get_says_so_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import requests

    def none(*_: Any, **__: Any) -> None:
        raise requests.ConnectionError("Name or service not known")

    for verb in ("get", "post"):
        monkeypatch.setattr(requests, verb, none)
    for name in ("euclid-desi", "galaxy-zoo-2", "csc-2.1", "multimodal-universe-desi"):
        with pytest.raises(get.Offline, match=rf"cannot be reached, so {name} was not fetched") as caught:
            get.get(name)
        assert "\n" not in str(caught.value)


def test_hub_and_zenodo_files_are_checked_by_the_sums_that_they_publish(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fetched: list[tuple[str, str, str | None]] = []
    monkeypatch.setattr(get, "fetch", lambda url, path, known=None: fetched.append((url, path.name, known)) or path)
    listing = [
        {"type": "file", "path": "data/train-0.parquet", "lfs": {"oid": "a" * 64}},
        {"type": "file", "path": "README.md"},
    ]
    record = {"files": [{"key": "b.csv", "checksum": "md5:" + "c" * 32}]}
    answers = {"huggingface": listing, "zenodo": record}
    monkeypatch.setattr(
        get,
        "_ask",
        lambda url: SimpleNamespace(json=lambda: answers["zenodo" if "zenodo" in url else "huggingface"], links={}),
    )
    _card(monkeypatch, kind="huggingface", dataset="a/b", pattern="data/*.parquet")
    get.get("made", tmp_path, make=False)
    _card(monkeypatch, kind="zenodo", record=7, files=[{"name": "b.csv"}])
    get.get("made", tmp_path, make=False)
    assert [(name, known) for _, name, known in fetched] == [
        ("train-0.parquet", "sha256:" + "a" * 64),
        ("b.csv", "md5:" + "c" * 32),
    ]
    assert fetched[0][0] == "https://huggingface.co/datasets/a/b/resolve/main/data/train-0.parquet"
    _card(monkeypatch, kind="zenodo", record=7, files=[{"name": "gone.csv"}])
    with pytest.raises(ValueError, match=r"no file 'gone.csv'; it has b.csv"):
        get.get("made", tmp_path, make=False)


def test_a_tap_service_is_asked_by_hour_and_only_for_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_surveys: Path
) -> None:
    import requests
    from astropy.table import Table

    asked: list[str] = []

    def post(url: str, data: dict[str, str], timeout: object) -> SimpleNamespace:
        asked.append(data["QUERY"])
        out = io.BytesIO()
        Table({"name": [f"2CXO {len(asked)}"], "hard_hs": [0.5]}).write(out, format="votable")
        return SimpleNamespace(content=out.getvalue(), text="", raise_for_status=lambda: None)

    monkeypatch.setattr(requests, "post", post)
    (tmp_path / "made-03h.vot").write_bytes(b"kept")
    _card(monkeypatch, kind="tap", service="http://x.test/tap", query="WHERE ra >= {low} AND ra < {high}")
    get.get("made", tmp_path, make=False)
    assert len(asked) == 23
    assert asked[0] == "WHERE ra >= 0 AND ra < 15"
    assert asked[-1] == "WHERE ra >= 345 AND ra < 360"
    (tmp_path / "made-03h.vot").unlink()
    get.get("made", tmp_path)
    survey = locate.open("made")
    assert len(survey) == 24
    assert survey.ids[0] == "2CXO 1"


def test_spectra_of_sparcl_become_rows_with_mask_and_mapped_columns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own_surveys: Path
) -> None:
    import sys

    calls: list[list[str]] = []

    class Client:
        def __init__(self, announcement: bool) -> None:
            pass

        def find(self, outfields: list[str], constraints: dict[str, list], limit: int, sort: list[str]) -> Any:
            assert constraints == {"data_release": ["DESI-DR1"], "spectype": ["GALAXY"]}
            return SimpleNamespace(ids=[f"u{k}" for k in range(600)][:limit])

        def retrieve(self, uuid_list: list[str], include: list[str], dataset_list: list[str], limit: int) -> Any:
            calls.append(uuid_list)
            records = [
                {
                    "specid": 2**62 + int(u[1:]), "sparcl_id": u, "ra": 1.0 * int(u[1:]), "dec": 0.0, "redshift": 0.1,
                    "redshift_err": 0.01, "redshift_warning": 0, "spectype": "GALAXY", "data_release": "DESI-DR1",
                    "flux": np.ones(5), "wavelength": np.arange(5) + 4000.0, "ivar": np.ones(5),
                    "mask": np.array([0, 0, 1, 0, 0]),
                }
                for u in uuid_list
            ]  # fmt: skip
            return SimpleNamespace(records=records)

    monkeypatch.setitem(sys.modules, "sparcl", SimpleNamespace())
    monkeypatch.setitem(sys.modules, "sparcl.client", SimpleNamespace(SparclClient=Client))
    constraints = {"spectype": ["GALAXY"]}
    columns = {"class": "spectype", "z_err": "redshift_err", "zwarning": "redshift_warning"}
    _card(monkeypatch, kind="sparcl", releases=["DESI-DR1"], constraints=constraints, limit=550, columns=columns)
    told = get.get("made")
    assert [len(c) for c in calls] == [500, 50]
    survey = locate.open("made")
    assert (told.n_files, len(survey), survey.ids[1]) == (2, 550, str(2**62 + 1))
    assert survey.spectrum(0).ivar.tolist() == [1, 1, 0, 1, 1]
    assert survey.column("z")[3] == pytest.approx(0.1)
    assert survey.column("class")[3] == "GALAXY"
    get.get("made", make=False)
    assert len(calls) == 2, "what was fetched is kept"


def test_a_simulated_card_has_no_files_to_put_anywhere(own_surveys: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="simulated and has no files"):
        get.get("simulated", tmp_path / "files")
    assert not (own_surveys / "simulated").exists()
