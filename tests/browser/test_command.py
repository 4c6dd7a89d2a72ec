"""The page of ``explorer serve`` itself, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest

from explorer.serve import free_port
from explorer.survey.store import Survey

pytestmark = pytest.mark.browser


def test_help_opens_and_closes_on_a_served_page(chromium: Any, tiny_survey: Survey) -> None:
    port = free_port("localhost")
    command = [sys.executable, "-m", "explorer.cli", "serve", str(tiny_survey.path), "--no-show", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    try:
        ends = time.monotonic() + 60
        while True:
            try:
                page.goto(f"http://localhost:{port}/")
                break
            except Exception:
                assert time.monotonic() < ends, "the server does not answer"
                time.sleep(0.2)
        page.locator(".rk table").wait_for(timeout=60_000)
        page.wait_for_timeout(1000)
        for _ in range(2):
            page.keyboard.press("?")
            page.get_by_role("dialog", name="Keys").wait_for(timeout=20_000)
            page.keyboard.press("Escape")
            page.get_by_role("dialog", name="Keys").wait_for(state="hidden", timeout=20_000)
    finally:
        page.close()
        server.terminate()
        server.wait(20)
