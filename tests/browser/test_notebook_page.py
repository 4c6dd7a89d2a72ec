"""A real JupyterLab in a browser that reaches nothing but this machine: the page appears, works, and is read back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
import shapely

from tests.browser.conftest import LOCAL

pytestmark = [pytest.mark.browser, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[str]:
    """A JupyterLab that serves ``tmp_path``: its address with the token."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    flags = {
        "ServerApp.port": port,
        "ServerApp.token": "here",
        "ServerApp.root_dir": str(tmp_path),
        "ServerApp.open_browser": False,
        "ServerApp.allow_root": True,
        "ServerApp.ip": "localhost",
        "LabApp.news_url": None,
        "LabApp.check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
    }
    command = [sys.executable, "-m", "jupyterlab", *(f"--{name}={value}" for name, value in flags.items())]
    places = {f"JUPYTER_{name}_DIR": str(tmp_path / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    env = {**os.environ, **places, "JUPYTER_PREFER_ENV_PATH": "1", "PYTHONPATH": str(ROOT)}
    env["IPYTHONDIR"] = str(tmp_path / "ipython")
    log = (tmp_path / "lab.log").open("w")
    server = subprocess.Popen(command, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://localhost:{port}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, (tmp_path / "lab.log").read_text()[-2000:]
                time.sleep(0.2)
        yield f"http://localhost:{port}/lab/tree/{{}}?token=here&reset"
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def notebook(folder: Path, survey: Path) -> None:
    cells = [
        f"import explorer\nex = explorer.Explorer({str(survey)!r})\nex",
        "import json\nchosen = ex.selection\nprint('READ', json.dumps([chosen.ids, chosen.rows.tolist(),"
        " len(chosen.to_table()), chosen.recipe[-1]['polygon']]))",
        "_ = ex.select(\"rank('knn') <= 9\")",
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    nb.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(nb, folder / "look.ipynb")


def run_cell(page: Any, index: int) -> None:
    page.locator(".jp-Notebook .jp-CodeCell .jp-InputArea-editor").nth(index).click()
    page.keyboard.press("Control+Enter")


def test_the_page_appears_works_and_is_read_back(chromium: Any, lab: str, tiny_survey: Any, tmp_path: Path) -> None:
    notebook(tmp_path, tiny_survey.path)
    page = chromium.new_page(viewport={"width": 1500, "height": 1400})
    strangers: list[str] = []
    page.route("**/*", lambda route: route.continue_() if LOCAL.match(route.request.url) else route.abort())
    page.on("request", lambda r: None if LOCAL.match(r.url) else strangers.append(r.url))
    page.goto(lab.format("look.ipynb"))
    page.locator(".jp-Notebook .jp-CodeCell").first.wait_for(timeout=90_000)
    page.wait_for_timeout(2000)
    run_cell(page, 0)
    page.locator(".rk table").wait_for(timeout=120_000)
    page.wait_for_timeout(2500)

    box = page.locator(".bk-Figure").first.bounding_box()
    corners = np.array([(0.2, 0.2), (0.8, 0.25), (0.45, 0.5), (0.8, 0.8), (0.25, 0.75)])
    pixels = corners * (box["width"] - 40, box["height"]) + (box["x"], box["y"])
    page.mouse.move(*pixels[0])
    page.mouse.down()
    for x, y in pixels[1:]:
        page.mouse.move(x, y, steps=4)
    page.mouse.up()
    selected = page.locator('[data-part="selected"]')
    for _ in range(100):
        if not selected.inner_text().startswith("0"):
            break
        page.wait_for_timeout(100)
    shown = int("".join(c for c in selected.inner_text() if c.isdigit()))
    assert shown > 0, "the lasso reaches the session and the status line"

    run_cell(page, 1)
    output = page.locator(".jp-OutputArea-output", has_text="READ ").last
    output.wait_for(timeout=20_000)
    ids, rows, lines, polygon = json.loads(output.inner_text().split("READ ", 1)[1])
    xy = tiny_survey.layout("pca/image", "umap")
    expected = np.flatnonzero(shapely.contains_xy(shapely.Polygon(polygon), xy[:, 0], xy[:, 1]))
    assert rows == expected.tolist()
    assert ids == tiny_survey.ids[expected].tolist()
    assert lines == shown == len(rows)

    run_cell(page, 2)
    for _ in range(100):
        if page.locator(".rk tbody tr").count() in (9, 10):
            break
        page.wait_for_timeout(100)
    assert page.locator(".rk tbody tr").count() in (9, 10), "a cell moves the page"
    if os.environ.get("EXPLORER_TEST_PICTURES"):
        page.screenshot(path=os.path.join(os.environ["EXPLORER_TEST_PICTURES"], "jupyterlab.png"))
    assert not strangers, f"requests left this machine: {strangers[:5]}"
    page.close()
