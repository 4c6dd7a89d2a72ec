"""The main job: ingest, a page of thumbnails, a lasso to the table's update, and the first paint of a served page.

The peers are what a person would write instead: Pillow and h5py for ingest, files read one by one for a page of
thumbnails, and a plain Panel page (:mod:`tests.benchmarks._plain`) for the lasso and the first paint.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._run import Row, alternate

TILES = 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--objects", type=int, default=2000, help="cutouts to ingest (default 2000)")
    parser.add_argument("--points", type=float, nargs="+", default=[1e5, 1e6], help="rows of the lasso's surveys")
    parser.add_argument("--lassos", type=int, default=30, help="lassos for each size (default 30)")
    parser.add_argument("--no-browser", action="store_true", help="leave out what needs a Chromium")


def run(options: argparse.Namespace) -> list[Row]:
    """All rows of this benchmark."""
    from tests.browser.install import find_chromium

    with tempfile.TemporaryDirectory(prefix="explorer-bench-") as folder:
        root = Path(folder)
        rows = _files(root, options.objects)
        if options.no_browser or find_chromium() is None:
            print("no Chromium: the lasso and the first paint are left out", file=sys.stderr)
            return rows
        for n in options.points:
            rows += _page(root, int(n), options.lassos)
    return rows


def _files(root: Path, n: int) -> list[Row]:
    """Ingest of PNG cutouts with a table of labels, then pages of their thumbnails."""
    from explorer.survey.store import Survey
    from explorer.views._thumbs import Look, render_pictures

    source = _cutouts(root / "cutouts", n)
    turn = iter(range(100))

    def ingest() -> None:
        from explorer.survey.ingest import ingest

        ingest([source], root / f"survey-{next(turn)}", progress=lambda *_: None)

    def by_hand() -> None:
        _ingest_by_hand(source, root / f"hand-{next(turn)}.h5")

    ours, peer = alternate(ingest, by_hand)
    first = sorted(root.glob("survey-*"))[0]
    survey = Survey.open(first)
    assert len(survey) == n
    rng = np.random.default_rng(0)
    files = sorted((source / "images").iterdir())

    def page() -> None:
        render_pictures(survey, rng.integers(0, n, TILES), Look(), 64)

    def page_of_files() -> None:
        _page_of_files([files[i] for i in rng.integers(0, n, TILES)])

    def stretched() -> None:
        render_pictures(survey, rng.integers(0, n, TILES), Look("linear"), 64)

    page()
    fast, again, slow = alternate(page, stretched, page_of_files, repeat=9)
    what = f"{n} PNG cutouts of 80x80 with a table, thumbnails made; peer: Pillow and h5py in a loop"
    shown = "thumbnails a second, 20x20 page of random rows as the browser gets it; peer: reading the PNG files"
    anew = "the same page with another stretch, from the cutouts"
    return [
        Row("main.ingest/script", what, n / ours, n / peer, "objects/s", "more"),
        Row(
            "main.thumbnails/files", shown, TILES / fast, TILES / slow, "tiles/s", "more", extra={"page_ms": fast * 1e3}
        ),
        Row(
            "main.stretched/files", anew, TILES / again, TILES / slow, "tiles/s", "more", extra={"page_ms": again * 1e3}
        ),
    ]


def _cutouts(folder: Path, n: int) -> Path:
    """A folder as surveys are handed around: ``images/`` and ``labels.csv``."""
    from PIL import Image

    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-40:40, -40:40]
    lines = ["file,ra,dec,label"]
    for i in range(n):
        size = rng.uniform(3, 12)
        pixels = 200 * np.exp(-np.hypot(x, y * rng.uniform(1, 2)) / size) + rng.normal(20, 8, x.shape)
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / "images" / f"galaxy-{i:06d}.png")
        lines.append(f"galaxy-{i:06d}.png,{rng.uniform(0, 360):.5f},{rng.uniform(-90, 90):.5f},{i % 2}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def _ingest_by_hand(source: Path, target: Path) -> None:
    import h5py
    import pandas as pd
    from PIL import Image

    labels = pd.read_csv(source / "labels.csv")
    with h5py.File(target, "w") as out:
        pixels = out.create_dataset("pixels", (len(labels), 80, 80), "u1")
        thumbnails = out.create_dataset("thumbnails", (len(labels),), h5py.vlen_dtype(np.uint8))
        for i, name in enumerate(labels["file"]):
            with Image.open(source / "images" / name) as image:
                pixels[i] = np.asarray(image)
                data = io.BytesIO()
                image.convert("RGB").resize((96, 96)).save(data, "JPEG", quality=85)
            thumbnails[i] = np.frombuffer(data.getvalue(), np.uint8)
        for name in ("ra", "dec", "label"):
            out[name] = labels[name].to_numpy()


def _page_of_files(files: list[Path]) -> None:
    from PIL import Image

    sheet = Image.new("RGB", (20 * 64, 20 * 64))
    for place, path in enumerate(files):
        with Image.open(path) as image:
            sheet.paste(image.convert("RGB").resize((64, 64)), (place % 20 * 64, place // 20 * 64))
    sheet.save(io.BytesIO(), "JPEG", quality=85)


def _page(root: Path, n: int, lassos: int) -> list[Row]:
    """The lasso and the first paint on a survey of ``n`` rows without pictures, beside the plain page."""
    from tests.browser.latency import first_paint, measure_at

    survey, xy = _points(root / f"points-{n}", n)
    np.save(root / "xy.npy", xy)
    rows = []
    commands = {
        "ours": [sys.executable, "-m", "explorer.cli", "serve", str(survey), "--no-show", "--port"],
        "peer": [sys.executable, "-m", "tests.benchmarks._plain", str(root / "xy.npy")],
    }
    paint: dict[str, list[float]] = {"ours": [], "peer": []}
    times: dict[str, np.ndarray] = {}
    for turn in range(3):
        for who, command in commands.items():
            with _served(command, "points" if who == "ours" else "page") as (address, started):
                paint[who].append(first_paint(address, started))
                if turn == 0:
                    times[who] = measure_at(address, lassos)
    label = f"{n:.0e}".replace("+0", "")
    extra: dict[str, Any] = {
        "p95_ms": float(np.percentile(times["ours"], 95)),
        "p95_peer_ms": float(np.percentile(times["peer"], 95)),
        "lassos": lassos,
    }
    ours, peer = (float(np.median(times[who])) for who in ("ours", "peer"))
    what = f"mouse-up to the table's update at {n:,} points, median; peer: plain Panel page with matplotlib's Path"
    rows.append(Row(f"main.lasso@{label}/panel", what, ours, peer, "ms", extra=extra))
    ours, peer = (float(np.median(paint[who])) for who in ("ours", "peer"))
    what = f"from the command to the first picture of the map in a browser, {n:,} points; peer: plain Panel page"
    rows.append(Row(f"main.first_paint@{label}/panel", what, ours, peer, "s"))
    return rows


def _points(folder: Path, n: int) -> tuple[Path, np.ndarray]:
    """A survey of positions and scores alone."""
    import pyarrow as pa

    from explorer.survey.records import Record
    from explorer.survey.store import Survey
    from explorer.survey.writer import SurveyWriter

    rng = np.random.default_rng(1)
    centres = rng.normal(0, 4, (30, 2))
    xy = (centres[rng.integers(0, 30, n)] + rng.normal(0, 1, (n, 2))).astype(np.float32)
    redshift = rng.gamma(2, 0.4, n)
    with SurveyWriter(folder, card={"name": "points"}, modalities={}, columns={"z": pa.float64()}) as writer:
        for start in range(0, n, 100_000):
            part = range(start, min(start + 100_000, n))
            writer.append(Record(f"P{i:09d}", f"P{i:09d}", {"z": redshift[i]}) for i in part)
    survey = Survey.open(folder)
    survey.put_embedding("made/catalogue", xy)
    survey.put_score("made/catalogue", "knn", rng.gamma(2, 1, n))
    survey.put_layout("made/catalogue", "umap", xy)
    return folder, xy


class _served:
    """A server process for the length of a ``with``; gives its page's address and when it was started."""

    def __init__(self, command: list[str], page: str):
        from explorer.serve import free_port

        self.port = free_port("localhost")
        self.command, self.page = [*command, str(self.port)], page

    def __enter__(self) -> tuple[str, float]:
        started = time.monotonic()
        quiet = subprocess.DEVNULL
        self.process = subprocess.Popen(self.command, stdout=quiet, stderr=quiet)
        return f"http://localhost:{self.port}/{self.page}", started

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
