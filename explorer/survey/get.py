"""``explorer get CARD``: fetch a published survey, resumable and checked, and make a survey of it."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from explorer.survey import cards
from explorer.survey.ingest import ingest
from explorer.survey.locate import surveys_dir
from explorer.survey.progress import Progress

_CHUNK = 1 << 20
_WAIT = (10, 300)


class Offline(RuntimeError):
    """The archive could not be reached."""


@dataclass(frozen=True)
class Fetched:
    """Where the files of a card lie, and the survey made of them (None where it was not asked for)."""

    card: str
    files: Path
    n_files: int
    survey: Path | None

    def __str__(self) -> str:
        made = f"; survey {self.card} is ready: explorer serve {self.card}" if self.survey else ""
        got = f"{self.n_files} files of {self.card}" if self.n_files else f"{self.card} was simulated"
        return f"{got} in {self.files}{made}"


def get(card: str, to: str | Path | None = None, make: bool = True, progress: Progress | None = None) -> Fetched:
    """Download what a card describes into ``to`` (default: ``downloads`` in the folder of surveys) and ingest it.

    Files that are there already and whole are kept, parts of files are continued, sums that the archive
    publishes are checked. Without a network :class:`Offline` says so.
    """
    told = cards.load(card)
    if told.kind == "simulated":
        from explorer.survey.locate import open as open_survey

        if to is not None:
            raise ValueError(
                f"{card} is simulated and has no files to put into {to}: leave that out; it becomes a survey"
            )
        made = open_survey(card).path
        return Fetched(card, made, 0, made)
    folder = Path(to).expanduser() if to is not None else surveys_dir() / "downloads" / card
    folder.mkdir(parents=True, exist_ok=True)
    with reaching(told, folder):
        files = _FETCH[told.kind](told, folder)
    survey: Path | None = None
    if make:
        survey = surveys_dir() / card
        ingest(folder, survey, reader=told.reader or None, progress=progress, card=told.about())
    return Fetched(card, folder, len(files), survey)


@contextlib.contextmanager
def reaching(card: cards.Card, folder: Path) -> Iterator[None]:
    """Turn what a library raises without a network into :class:`Offline`, one sentence."""
    import requests

    where = urlsplit(card.address).netloc or card.address
    sentence = (
        f"{where} cannot be reached, so {card.name} was not fetched: connect to the network and run "
        f"'explorer get {card.name}' again, it goes on where it stopped"
    )
    try:
        yield
    except (requests.ConnectionError, requests.Timeout) as error:
        raise Offline(sentence) from error
    except requests.HTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        needs = "it asks for a login: set HF_TOKEN" if status in (401, 403) else "see whether its address has changed"
        raise Offline(f"{where} answered {status} for {card.name}: {needs} ({card.address})") from error
    except Exception as error:  # the SPARCL client raises its own kinds
        if type(error).__module__.startswith("sparcl"):
            away = type(error).__name__ in ("ServerConnectionError", "ReadTimeout")
            raise Offline(sentence if away else f"{where} refused {card.name}: {error}") from error
        raise


def fetch(url: str, path: Path, known_hash: str | None = None) -> Path:
    """Download ``url`` to ``path`` through pooch; continues ``path.part``, checks ``sha256:…`` or ``md5:…``."""
    import pooch

    path.parent.mkdir(parents=True, exist_ok=True)
    if known_hash is None and path.is_file():
        return path
    part = path.with_name(path.name + ".part")

    def downloader(address: str, output: Any, _: Any) -> None:
        _resume(address, part)
        os.replace(part, output)

    try:
        pooch.retrieve(url, known_hash, path.name, path.parent, downloader=downloader)
    except ValueError as error:
        raise ValueError(f"{url}: its checksum is not the published one ({error}); run the command again") from error
    return path


def _resume(url: str, part: Path) -> None:
    """Append to ``part`` what it lacks, or start again where the server cannot continue."""
    import requests

    have = part.stat().st_size if part.is_file() else 0
    headers = {**_login(url), **({"Range": f"bytes={have}-"} if have else {})}
    with requests.get(url, headers=headers, stream=True, timeout=_WAIT) as answer:
        if answer.status_code == 416:  # the part is whole
            return
        answer.raise_for_status()
        with part.open("ab" if answer.status_code == 206 else "wb") as out:
            for chunk in answer.iter_content(_CHUNK):
                out.write(chunk)
        length = answer.headers.get("Content-Length")
        expected = (have if answer.status_code == 206 else 0) + int(length) if length else None
    if expected is not None and "Content-Encoding" not in answer.headers and part.stat().st_size < expected:
        raise requests.ConnectionError(f"{url} broke off at {part.stat().st_size} of {expected} bytes")


def _login(url: str) -> dict[str, str]:
    token = os.environ.get("HF_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token and urlsplit(url).netloc == "huggingface.co" else {}


def _ask(url: str) -> Any:
    import requests

    answer = requests.get(url, headers=_login(url), timeout=_WAIT)
    answer.raise_for_status()
    return answer


def _known(entry: Mapping[str, Any]) -> str | None:
    return next((f"{kind}:{entry[kind]}" for kind in ("sha256", "md5") if entry.get(kind)), None)


def _unpacked(path: Path) -> Path:
    """Unpack a zip file once, beside itself."""
    done = path.with_name(path.name + ".unpacked")
    if not done.exists():
        with zipfile.ZipFile(path) as archive:
            archive.extractall(path.parent)
        done.touch()
    return path


def _files(card: cards.Card, folder: Path) -> list[Path]:
    out = []
    for entry in card.extra["files"]:
        path = fetch(entry["url"], folder / entry.get("name", Path(urlsplit(entry["url"]).path).name), _known(entry))
        out.append(_unpacked(path) if entry.get("unpack") else path)
    return out


def _zenodo(card: cards.Card, folder: Path) -> list[Path]:
    record = card.extra["record"]
    listed = {f["key"]: f for f in _ask(f"https://zenodo.org/api/records/{record}").json()["files"]}
    out = []
    for entry in card.extra["files"]:
        name = entry["name"]
        if "url" in entry:
            out.append(fetch(entry["url"], folder / name, _known(entry)))
            continue
        if name not in listed:
            raise ValueError(f"Zenodo record {record} has no file {name!r}; it has {', '.join(sorted(listed))}")
        url = f"https://zenodo.org/records/{record}/files/{quote(name)}?download=1"
        path = fetch(url, folder / name, listed[name]["checksum"])
        out.append(_unpacked(path) if entry.get("unpack") else path)
    return out


def _huggingface(card: cards.Card, folder: Path) -> list[Path]:
    dataset, pattern = card.extra["dataset"], card.extra["pattern"]
    root = "https://huggingface.co"
    url: str | None = f"{root}/api/datasets/{dataset}/tree/main?recursive=true"
    entries: list[dict[str, Any]] = []
    while url:
        answer = _ask(url)
        entries += answer.json()
        url = answer.links.get("next", {}).get("url")
    wanted = [e for e in entries if e.get("type") == "file" and fnmatch.fnmatch(e["path"], pattern)]
    if not wanted:
        raise ValueError(f"{root}/datasets/{dataset} has no file that matches {pattern!r}")
    out = []
    for entry in wanted:
        digest = (entry.get("lfs") or {}).get("oid")
        address = f"{root}/datasets/{dataset}/resolve/main/{quote(entry['path'])}"
        out.append(fetch(address, folder / entry["path"], f"sha256:{digest}" if digest else None))
    return out


def _tap(card: cards.Card, folder: Path) -> list[Path]:
    """Twenty-four bands of right ascension, one VOTable each: a killed fetch keeps those that it has."""
    import requests

    out = []
    for hour in range(24):
        path = folder / f"{card.name}-{hour:02d}h.vot"
        out.append(path)
        if path.is_file():
            continue
        query = card.extra["query"].strip().format(low=15 * hour, high=15 * (hour + 1))
        told = {"REQUEST": "doQuery", "PHASE": "RUN", "FORMAT": "votable", "LANG": "ADQL", "QUERY": query}
        answer = requests.post(card.extra["service"].rstrip("/") + "/sync", data=told, timeout=_WAIT)
        answer.raise_for_status()
        if b"QUERY_STATUS" in answer.content and b'value="ERROR"' in answer.content:
            raise ValueError(f"{card.extra['service']} refused the query of card {card.name}: {answer.text[:300]}")
        part = path.with_suffix(".part")
        part.write_bytes(answer.content)
        os.replace(part, path)
    return out


def _sparcl(card: cards.Card, folder: Path) -> list[Path]:
    """Spectra through the SPARCL client, 500 a Parquet file: a killed fetch keeps those that it has."""
    try:
        from sparcl.client import SparclClient
    except ImportError as error:
        raise RuntimeError(
            f"card {card.name} is fetched by the archive's own client; install it with: "
            "pip install --no-deps sparclclient pyjwt spectres"
        ) from error
    client = SparclClient(announcement=False)
    releases = list(card.extra["releases"])
    listing = folder / "sparcl_ids.json"
    if not listing.is_file():
        asked = {"data_release": releases, **card.extra["constraints"]}
        limit = int(card.extra.get("limit", 1000))
        found = client.find(outfields=["sparcl_id"], constraints=asked, limit=limit, sort=["sparcl_id"])
        listing.write_text(json.dumps(list(found.ids)), encoding="utf-8")
    ids = json.loads(listing.read_text(encoding="utf-8"))
    out = []
    for start in range(0, len(ids), 500):
        path = folder / f"{card.name}-{start:07d}.parquet"
        out.append(path)
        if not path.is_file():
            include = ["sparcl_id", "specid", *_SPARCL, "flux", "wavelength", "ivar", "mask"]
            got = client.retrieve(ids[start : start + 500], include=include, dataset_list=releases, limit=500)
            write_spectra(got.records, path)
    return out


_SPARCL = ("ra", "dec", "redshift", "redshift_err", "redshift_warning", "spectype", "data_release")


def write_spectra(records: list[Any], path: Path) -> None:
    """Records of SPARCL as Parquet with a ``spectrum`` column, in the layout of the euclid-desi reader."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = []
    for record in records:
        told = dict(record)
        rows.append(
            {
                "object_id": str(told["specid"]),
                "sparcl_id": str(told["sparcl_id"]),
                **{key: told.get(key) for key in _SPARCL},
                "spectrum": {
                    "flux": [float(v) for v in told["flux"]],
                    "wavelength": [float(v) for v in told["wavelength"]],
                    "ivar": [float(v) for v in told["ivar"]],
                    "mask": [int(v) for v in told["mask"]] if told.get("mask") is not None else None,
                },
            }
        )
    part = path.with_suffix(".part")
    pq.write_table(pa.Table.from_pylist(rows), part, row_group_size=100)
    os.replace(part, path)


_FETCH = {"files": _files, "zenodo": _zenodo, "huggingface": _huggingface, "tap": _tap, "sparcl": _sparcl}
