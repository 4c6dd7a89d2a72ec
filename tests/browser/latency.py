"""How long from letting go of the mouse until the table shows the new selection, in a real browser.

``python -m tests.browser.latency ADDRESS [REPEATS]`` prints the median and the 95th percentile in milliseconds.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import sync_playwright

_PAINTED = """() => {
  for (const root of Bokeh.documents[0].roots())
    for (const model of root.references())
      if (/^Image/.test(model.type) && model.id) {
        for (const other of root.references())
          if (other.glyph === model && Object.values(other.data_source.data).some((c) => c.length > 0)) return true
      }
  return false
}"""

_WATCH = """() => {
  const find = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.classList.contains("rk")) return node
      const inner = node.shadowRoot && find(node.shadowRoot)
      if (inner) return inner
    }
  }
  window.__times = []
  let from = null
  window.addEventListener("pointerup", () => { from = performance.now() }, true)
  const seen = new MutationObserver(() => {
    if (from === null) return
    window.__times.push(performance.now() - from)
    from = null
  })
  const table = find(document)
  for (const part of [table.parentNode, table.shadowRoot])
    if (part) seen.observe(part, { childList: true, subtree: true })
}"""


def first_paint(address: str, started: float, seconds: float = 120) -> float:
    """Seconds from ``started`` (``time.monotonic()``) until the map's picture is on the page at ``address``."""
    with _browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        ends = started + seconds
        while True:
            try:
                page.goto(address)
                break
            except PlaywrightError:
                if time.monotonic() > ends:
                    raise
                time.sleep(0.05)
        page.locator(".bk-Figure").first.wait_for(timeout=seconds * 1e3)
        page.wait_for_function(_PAINTED, timeout=seconds * 1e3)
        return time.monotonic() - started


def measure_at(address: str, repeats: int = 30, seed: int = 0) -> np.ndarray:
    """(repeats,) milliseconds from mouse-up to the table's update, for lassos of many sizes on the page there."""
    rng = np.random.default_rng(seed)
    with _browser() as browser:
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.goto(address)
        page.locator(".bk-Figure").first.wait_for(timeout=120_000)
        page.wait_for_function(_PAINTED, timeout=120_000)
        page.wait_for_timeout(4000)
        page.evaluate(_WATCH)
        box = page.locator(".bk-Figure").first.bounding_box()
        for _ in range(repeats + 2):
            radius = rng.uniform(60, 260)
            x, y = box["x"] + rng.uniform(0.35, 0.65) * 680, box["y"] + rng.uniform(0.35, 0.65) * box["height"]
            turns = np.linspace(0, 2 * np.pi, 24)
            reach = radius * rng.uniform(0.6, 1.2, len(turns))
            page.mouse.move(x + reach[0], y)
            page.mouse.down()
            for turn, far in zip(turns[1:], reach[1:], strict=True):
                page.mouse.move(x + far * np.cos(turn), y + far * np.sin(turn))
            have = page.evaluate("window.__times.length")
            page.mouse.up()
            with suppress(PlaywrightError):  # a lasso around nothing leaves a table as it was
                page.wait_for_function(f"window.__times.length > {have}", timeout=5_000)
            page.wait_for_timeout(250)
        times = np.array(page.evaluate("window.__times"))
    if len(times) < 0.7 * repeats:
        raise RuntimeError(f"only {len(times)} of {repeats} lassos reached the table at {address}")
    return times[2:]


@contextmanager
def _browser() -> Iterator[Any]:
    from tests.browser.conftest import FLAGS
    from tests.browser.install import find_chromium

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


if __name__ == "__main__":
    found = measure_at(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 30)
    print(f"mouse-up to table: median {np.median(found):.0f} ms, p95 {np.percentile(found, 95):.0f} ms, n {len(found)}")
