"""How long from letting go of the mouse until the table shows the new selection, in a real browser.

``python -m tests.browser.latency SURVEY [REPEATS]`` prints the median and the 95th percentile in milliseconds.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

_WATCH = """() => {
  const find = (root) => {
    for (const node of root.querySelectorAll("*")) {
      if (node.classList.contains("rk")) return node.parentNode
      const inner = node.shadowRoot && find(node.shadowRoot)
      if (inner) return inner
    }
  }
  window.__times = []
  let from = null
  window.addEventListener("pointerup", () => { from = performance.now() }, true)
  new MutationObserver(() => {
    if (from === null) return
    window.__times.push(performance.now() - from)
    from = null
  }).observe(find(document), { childList: true })
}"""


def measure(survey: Any, repeats: int = 30, seed: int = 0) -> np.ndarray:
    """(repeats,) milliseconds from mouse-up to the table's update, for lassos of many sizes on a served page."""
    from playwright.sync_api import sync_playwright

    from explorer.app import Explorer
    from tests.browser.conftest import FLAGS, serve
    from tests.browser.install import find_chromium

    rng = np.random.default_rng(seed)
    address, stop = serve(Explorer(survey).page)
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
            page = browser.new_page(viewport={"width": 1440, "height": 900})
            page.goto(address)
            page.locator(".rk table").wait_for(timeout=120_000)
            page.wait_for_timeout(4000)
            page.evaluate(_WATCH)
            box = page.locator(".bk-Figure").first.bounding_box()
            for done in range(repeats + 2):
                radius = rng.uniform(60, 260)
                x, y = box["x"] + rng.uniform(0.35, 0.65) * 680, box["y"] + rng.uniform(0.35, 0.65) * box["height"]
                turns = np.linspace(0, 2 * np.pi, 24)
                reach = radius * rng.uniform(0.6, 1.2, len(turns))
                page.mouse.move(x + reach[0], y)
                page.mouse.down()
                for turn, far in zip(turns[1:], reach[1:], strict=True):
                    page.mouse.move(x + far * np.cos(turn), y + far * np.sin(turn))
                page.mouse.up()
                page.wait_for_function(f"window.__times.length > {done}", timeout=20_000)
                page.wait_for_timeout(250)
            times = np.array(page.evaluate("window.__times"))
            browser.close()
    finally:
        stop()
    return times[2 : repeats + 2]


if __name__ == "__main__":
    import explorer

    found = measure(explorer.open(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 30)
    print(f"mouse-up to table: median {np.median(found):.0f} ms, p95 {np.percentile(found, 95):.0f} ms, n {len(found)}")
