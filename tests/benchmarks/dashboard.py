"""The dashboard under a real mouse on a large catalogue: pan, zoom and lasso, from the event to the new picture.

A survey of positions, a column and scores is served by the command and driven in a Chromium. The clock starts with
the browser's own event (the last move of a pan, a turn of the wheel, letting go of a lasso) and ends in the frame
after the picture for the window that is then on the screen has arrived.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._run import Row
from tests.benchmarks.main import _served

GOAL = 300.0  # milliseconds, 95th percentile
BLOCK = 1_000_000

_WATCH = """() => {
  const models = Bokeh.documents[0].roots().flatMap((root) => [...root.references()])
  const figure = models.find((m) => m.renderers && m.renderers.some((r) => r.glyph && r.glyph.type === "ImageRGBA"))
  const [base, chosen] = figure.renderers.filter((r) => r.glyph && r.glyph.type === "ImageRGBA")
  const ax = window.__ax = { kind: "", from: null, times: [] }
  const listen = (name, kind, held) => window.addEventListener(name, (ev) => {
    if (ax.kind === kind && (!held || ev.buttons)) ax.from = performance.now()
  }, true)
  listen("pointermove", "pan", true)
  listen("wheel", "zoom", false)
  listen("pointerup", "lasso", false)
  const arrived = () => {
    const from = ax.from
    if (from === null) return
    ax.from = null
    requestAnimationFrame(() => setTimeout(() => ax.times.push(performance.now() - from), 0))
  }
  base.data_source.properties.data.change.connect(() => {
    if (ax.kind === "lasso") return
    const { x, dw } = base.data_source.data, span = figure.x_range.end - figure.x_range.start
    if (Math.abs(x[0] - figure.x_range.start) < 1e-6 * span && Math.abs(dw[0] / span - 1) < 1e-6) arrived()
  })
  chosen.data_source.properties.data.change.connect(() => {
    if (ax.kind === "lasso" && chosen.data_source.data.image.length) arrived()
  })
}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--points", type=float, nargs="+", default=[1e7], help="rows of the catalogues (default 1e7)")
    parser.add_argument("--repeats", type=int, default=40, help="pans, turns of the wheel and lassos (default 40)")
    parser.add_argument(
        "--keep", type=Path, default=None, help="a folder in which the surveys are kept and found again"
    )


def run(options: argparse.Namespace) -> list[Row]:
    """Three rows for each size."""
    from tests.browser.install import find_chromium

    if find_chromium() is None:
        print("no Chromium: nothing is measured", file=sys.stderr)
        return []
    rows = []
    with tempfile.TemporaryDirectory(prefix="explorer-bench-") as folder:
        for n in options.points:
            rows += _page((options.keep or Path(folder)) / f"points-{int(n)}", int(n), options.repeats)
    return rows


def catalogue(folder: Path, n: int) -> Path:
    """A survey of ``n`` positions in 30 clusters with a redshift, a class and scores; made once."""
    import lance
    import pyarrow as pa
    import pyarrow.compute as pc

    from explorer.survey.store import Survey
    from explorer.survey.writer import SurveyWriter

    if (folder / "survey.toml").exists():
        return folder
    rng = np.random.default_rng(1)
    centres = rng.normal(0, 4, (30, 2))
    group = rng.integers(0, 30, n)
    columns = {"z": pa.float64(), "kind": pa.string()}
    with SurveyWriter(folder, card={"name": "points"}, modalities={}, columns=columns) as writer:
        for start in range(0, n, BLOCK):
            part = np.arange(start, min(start + BLOCK, n))
            ids = pc.binary_join_element_wise("P", pc.utf8_lpad(pc.cast(pa.array(part), pa.string()), 9, "0"), "")
            kinds = pa.DictionaryArray.from_arrays(group[part] % 6, ["star", "galaxy", "agn", "ring", "lens", "sky"])
            made = {"id": ids, "object_id": ids, "source": pa.nulls(len(part), pa.string()),
                    "z": rng.gamma(2, 0.4, len(part)), "kind": kinds.cast(pa.string())}  # fmt: skip
            lance.write_dataset(pa.table(made), str(writer.dataset_path), mode="append")
    xy = (centres[group] + rng.normal(0, 1, (n, 2))).astype(np.float32)
    survey = Survey.open(folder)
    survey.put_embedding("made/catalogue", xy)
    survey.put_score("made/catalogue", "knn", rng.gamma(2, 1, n))
    survey.put_layout("made/catalogue", "umap", xy)
    return folder


def _page(folder: Path, n: int, repeats: int) -> list[Row]:
    make = "import sys; from pathlib import Path; from tests.benchmarks.dashboard import catalogue as c; "
    subprocess.run([sys.executable, "-c", f"{make}c(Path(sys.argv[1]), {n})", str(folder)], check=True)
    command = [sys.executable, "-m", "explorer.cli", "serve", str(folder), "--no-show", "--port"]
    with _served(command, "points") as (address, started):
        found, first = _drive(address, started, repeats)
    label = f"{n:.0e}".replace("+0", "")
    told = {
        "pan": "last move of the mouse to the new picture",
        "zoom": "turn of the wheel to the new picture",
        "lasso": "mouse-up to the picture of the selection",
    }
    return [
        Row(
            f"dashboard.{kind}@{label}", f"{words}, {n:,} rows, 95th percentile", float(np.percentile(times, 95)),
            unit="ms", floor=GOAL,
            extra={
                "median_ms": float(np.median(times)), "max_ms": float(times.max()), "n": len(times),
                "first_picture_s": first, "cores": len(os.sched_getaffinity(0)), "load": os.getloadavg()[0],
            },
        )
        for kind, words in told.items() for times in [found[kind]]
    ]  # fmt: skip


def _drive(address: str, started: float, repeats: int) -> tuple[dict[str, np.ndarray], float]:
    """Milliseconds of each kind of event on the page, and the seconds to its first picture."""
    from playwright.sync_api import Error as PlaywrightError

    from tests.browser.latency import _PAINTED, _browser

    rng = np.random.default_rng(0)
    with _browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        while True:
            with suppress(PlaywrightError):
                page.goto(address)
                break
            if time.monotonic() > started + 120:
                raise TimeoutError(f"nothing is served at {address}")
            time.sleep(0.1)
        page.locator(".bk-Figure").first.wait_for(timeout=90_000)
        page.wait_for_function(_PAINTED, timeout=90_000)
        first = time.monotonic() - started
        page.wait_for_timeout(5000)
        page.evaluate(_WATCH)
        box = page.locator(".bk-Figure").first.bounding_box()
        mouse = _Mouse(page, box, rng)
        found = {"zoom": mouse.zoom(repeats), "pan": mouse.pan(repeats), "lasso": mouse.lasso(repeats)}
    return found, first


class _Mouse:
    """What a hand does on the map."""

    def __init__(self, page: Any, box: dict[str, float], rng: np.random.Generator):
        self.page, self.box, self.rng = page, box, rng

    def zoom(self, repeats: int) -> np.ndarray:
        """Four turns in, at one place, then four out, and again elsewhere."""

        def act(turn: int) -> None:
            if turn % 8 == 0:
                self._move(*self.rng.uniform(0.3, 0.7, 2))
            self.page.mouse.wheel(0, -120 if turn % 8 < 4 else 120)

        return self._timed("zoom", repeats, act)

    def pan(self, repeats: int) -> np.ndarray:
        """There and back, a few hundred pixels each."""
        self._tool("Pan")

        def act(turn: int) -> None:
            way = self.rng.uniform(0.1, 0.25, 2) if turn % 2 == 0 else -self.way
            self.way = way
            self._move(0.5, 0.5)
            self.page.mouse.down()
            for share in np.linspace(0.1, 1, 10):
                self._move(*(0.5 + way * share))
                time.sleep(0.016)
            self.page.mouse.up()

        return self._timed("pan", repeats, act)

    def lasso(self, repeats: int) -> np.ndarray:
        """Closed curves of many sizes, the map as a whole in sight."""
        self._tool("Reset")
        self.page.wait_for_timeout(1500)
        self._tool("Lasso")

        def act(turn: int) -> None:
            radius, middle = self.rng.uniform(0.05, 0.3), self.rng.uniform(0.4, 0.6, 2)
            turns = np.linspace(0, 2 * np.pi, 24)
            reach = radius * self.rng.uniform(0.6, 1.2, len(turns))
            ring = middle + np.stack([reach * np.cos(turns), reach * np.sin(turns)], axis=1)
            self._move(*ring[0])
            self.page.mouse.down()
            for at in ring[1:]:
                self._move(*at)
            self.page.mouse.up()

        return self._timed("lasso", repeats, act)

    def _timed(self, kind: str, repeats: int, act: Any) -> np.ndarray:
        """(repeats,) milliseconds; two more at the beginning do not count."""
        self.page.evaluate(f"() => {{ __ax.times = []; __ax.from = null; __ax.kind = '{kind}' }}")
        for turn in range(repeats + 2):
            act(turn)
            self.page.wait_for_function(f"__ax.times.length > {turn}", timeout=30_000)
            self.page.wait_for_timeout(250)
        return np.array(self.page.evaluate("__ax.times"))[2 : repeats + 2]

    def _move(self, x: float, y: float) -> None:
        box = self.box
        self.page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])

    def _tool(self, name: str) -> None:
        self.page.locator(f'[title*="{name}" i]').first.click()
