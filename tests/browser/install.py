"""Find a Chromium for the browser tests, or bring one: from the distribution where root, else by playwright.

Run as ``python -m tests.browser.install``; it never fails, since the browser tests are skipped without a Chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def find_chromium() -> str | None:
    """Path of a Chromium on PATH or of playwright's own; None where there is neither."""
    for name in NAMES:
        found = shutil.which(name)
        if found:
            return found
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).exists() else None


def main() -> None:
    """Say which Chromium there is; install one where there is none."""
    if find_chromium() is None:
        for command in _ways():
            print("installing Chromium:", " ".join(command[:3]), flush=True)
            try:
                subprocess.run(command, timeout=600, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            except (OSError, subprocess.SubprocessError) as error:
                print(f"  not to be had that way ({type(error).__name__})", flush=True)
            if find_chromium():
                break
    print(f"Chromium: {find_chromium() or 'none; browser tests will be skipped'}", flush=True)


def _ways() -> list[list[str]]:
    ways = []
    if shutil.which("apt-get") and os.geteuid() == 0:
        ways.append(["sh", "-c", "apt-get update && apt-get install --yes --no-install-recommends chromium"])
    return [*ways, [sys.executable, "-m", "playwright", "install", "chromium"]]


if __name__ == "__main__":
    main()
