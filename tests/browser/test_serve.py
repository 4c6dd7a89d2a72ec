"""The command that serves: a window for each survey, a session for each window, nothing beyond this machine."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from typing import Any

import pytest

from tests.browser.conftest import LOCAL

pytestmark = pytest.mark.browser


def test_two_windows_on_one_server_have_sessions_of_their_own(chromium: Any, tiny_survey: Any) -> None:
    command = [sys.executable, "-m", "explorer.cli", "serve", str(tiny_survey.path), "--port", "0", "--no-show"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert server.stdout is not None
    try:
        address = re.match(r"(http://localhost:\d+/tiny)", server.stdout.readline())
        assert address, "the address is the first thing that is printed"
        strangers: list[str] = []
        pages = [chromium.new_page(viewport={"width": 1280, "height": 800}) for _ in range(2)]
        for page in pages:
            page.on("request", lambda r: None if LOCAL.match(r.url) else strangers.append(r.url))
            page.goto(address[1])
            page.locator(".rk table").wait_for(timeout=60_000)
        assert "first page after" in server.stdout.readline()
        assert "tiny" in pages[0].title()

        box = pages[0].locator('input[data-do="query"]')
        box.fill("z > 2.5")
        box.press("Enter")
        selected = [page.locator('[data-part="selected"]') for page in pages]
        ends = time.monotonic() + 10
        while selected[0].inner_text().startswith("0") and time.monotonic() < ends:
            pages[0].wait_for_timeout(50)
        assert not selected[0].inner_text().startswith("0"), "the query selects"
        pages[1].wait_for_timeout(300)
        assert selected[1].inner_text().startswith("0"), "another window keeps its own selection"
        for page in pages:
            page.close()
        assert not strangers
    finally:
        server.terminate()
        server.wait(20)
