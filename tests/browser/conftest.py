"""A real Chromium against a served page. Where no Chromium is to be had, these tests are skipped and say so."""

from __future__ import annotations

import re
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from explorer.app import Explorer
from tests.browser.install import find_chromium
from tests.explorer.conftest import _tiny_master, tiny_survey  # noqa: F401  (the same small survey)

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LOCAL = re.compile(r"^(https?|wss?)://(localhost|127\.0\.0\.1)[:/]|^(data|blob|about):")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser for all tests of the session."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install playwright")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium on PATH: run python -m tests.browser.install")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def serve(app: Callable[[], Any]) -> tuple[str, Callable[[], None]]:
    """Serve an application from a thread of this process: its address, and what stops it."""
    import panel as pn

    pn.extension(reconnect=True)
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    server = pn.serve({"page": app}, port=port, threaded=True, show=False, verbose=False, address="localhost")
    at = f"http://localhost:{port}/page"
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://localhost:{port}/static/js/bokeh.min.js", timeout=5).close()
            break
        except OSError:
            time.sleep(0.1)
    return at, server.stop


@dataclass
class Seen:
    """A page under test: the browser's page, the explorer behind it, and what went wrong or left the machine."""

    page: Any
    ex: Explorer
    address: str
    strangers: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def figure(self) -> dict[str, float]:
        """The map on the screen: left, top, width, height, and the ranges x0, x1, y0, y1 that it shows."""
        box = self.page.locator(".bk-Figure").first.bounding_box()
        ranges = self.page.evaluate(
            """() => { for (const root of Bokeh.documents[0].roots()) {
              const f = [...root.references()].find((m) => m.type === "Figure" && m.toolbar_location === "right")
              if (!f) continue
              return [f.x_range, f.y_range].flatMap((r) => [r.start, r.end])
                .concat(f.inner_width, f.inner_height, f.min_border ?? 0)
            } }"""
        )
        names = ("x0", "x1", "y0", "y1", "width", "height")
        border = ranges.pop()
        return {"left": box["x"] + border, "top": box["y"] + border, **dict(zip(names, ranges, strict=True))}

    def on_screen(self, xy: np.ndarray) -> np.ndarray:
        """Positions (m, 2) of the layout as pixels of the page."""
        f = self.figure()
        across = f["left"] + (xy[:, 0] - f["x0"]) / (f["x1"] - f["x0"]) * f["width"]
        down = f["top"] + (f["y1"] - xy[:, 1]) / (f["y1"] - f["y0"]) * f["height"]
        return np.stack([across, down], axis=1)

    def drag(self, corners: np.ndarray, held: tuple[str, ...] = ()) -> None:
        """Draw through positions of the layout with the left button, with keys held."""
        pixels = self.on_screen(np.asarray(corners, dtype=float))
        for key in held:
            self.page.keyboard.down(key)
        self.page.mouse.move(*pixels[0])
        self.page.mouse.down()
        for x, y in pixels[1:]:
            self.page.mouse.move(x, y, steps=4)
            self.page.wait_for_timeout(20)  # a busy browser merges moves, and a corner would be lost
        self.page.mouse.up()
        for key in held:
            self.page.keyboard.up(key)

    def number(self, part: str) -> int:
        """A number of the status line: ``selected``, ``shown`` or ``all``."""
        return int(re.sub(r"\D", "", self.page.locator(f'[data-part="{part}"]').inner_text()))

    def soon(self, test: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
        """Wait until ``test()`` holds; what it is about is in the failure."""
        end = time.monotonic() + seconds
        while True:
            try:
                if test():
                    return
            except (ValueError, IndexError):  # the element is being drawn anew
                pass
            assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
            self.page.wait_for_timeout(30)

    def ids(self) -> list[str]:
        """The ids in the ranking's page, as a person reads them."""
        return self.page.locator(".rk tbody td.id").all_inner_texts()


@pytest.fixture
def open_page(chromium: Any) -> Iterator[Callable[..., Seen]]:
    """Serve an explorer and open its page in a browser: ``open_page(ex)``."""
    closing: list[Callable[[], None]] = []
    opened: list[Seen] = []

    def open_one(ex: Explorer, width: int = 1440, height: int = 900) -> Seen:
        address, stop = serve(ex.page)
        page = chromium.new_page(viewport={"width": width, "height": height})
        seen = Seen(page, ex, address)
        page.on("request", lambda r: None if LOCAL.match(r.url) else seen.strangers.append(r.url))
        page.on("pageerror", lambda e: seen.errors.append(str(e)))
        page.on("dialog", lambda d: (seen.errors.append(f"a dialog: {d.message}"), d.dismiss()))
        closing.extend([page.close, stop])
        opened.append(seen)
        page.goto(address)
        page.locator(".rk table").wait_for(timeout=60_000)
        seen.soon(lambda: seen.number("shown") > 0 and seen.figure()["width"] > 50, "the map is drawn", 60)
        seen.soon(lambda: (seen.figure()["x0"], seen.figure()["x1"]) != (0, 1), "the map goes to its layout", 60)
        before: dict[str, float] = {}
        while before != (before := seen.figure()):  # until the window has found its size
            page.wait_for_timeout(400)
        return seen

    yield open_one
    for close in closing:
        close()
    for seen in opened:
        assert not seen.strangers, f"requests left this machine: {seen.strangers[:5]}"
        assert not seen.errors, f"errors in the browser: {seen.errors[:5]}"


@pytest.fixture
def tiny(open_page: Callable[..., Seen], tiny_survey: Any) -> Seen:  # noqa: F811
    """The small survey on a page."""
    return open_page(Explorer(tiny_survey, color_by="kind"))
