"""Notebook 01: executed whole without a screen, and used by hand in a real JupyterLab page without a network."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from explorer.survey.simulate import write
from tests.browser.conftest import LOCAL

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "01_from_survey_to_candidates.ipynb"
READ_BACK = "print('READ', len(ex.selection.ids), len(ex.selection.rows), ex.selection.to_table(['z']).shape)"


@pytest.fixture(scope="module")
def surveys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of surveys that holds a small ``simulated``."""
    root = tmp_path_factory.mktemp("surveys")
    write("euclid-desi", root / "simulated", 600, seed=2)
    return root


@pytest.mark.slow
def test_notebook_01_runs_whole(surveys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("EXPLORER_SURVEYS", str(surveys))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are committed without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert sum("text/html" in out.get("data", {}) for out in shown) >= 5, "tables and the explorer are shown"
    assert not [out for out in shown if out.output_type == "error"]


@pytest.fixture
def lab(surveys: Path, tmp_path: Path) -> Iterator[str]:
    """Address of a JupyterLab that has the first cells of notebook 01, then one that reads the selection back."""
    notebook = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    upto = next(i for i, c in enumerate(cells) if "Explorer(survey)" in "".join(c["source"]))
    after = {**cells[upto], "id": "read-back", "source": [READ_BACK]}
    notebook["cells"] = [*cells[: upto + 1], after]
    (tmp_path / "first.ipynb").write_text(json.dumps(notebook), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}", "--allow-root"]
    command += ["--IdentityProvider.token=", "--ServerApp.password=", f"--ServerApp.root_dir={tmp_path}"]
    command += ["--LabApp.news_url=None", "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    environment = {**os.environ, "EXPLORER_SURVEYS": str(surveys), "JUPYTER_CONFIG_DIR": str(tmp_path / "config")}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://localhost:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{address}/api", timeout=5).close()
                break
            except OSError:
                assert server.poll() is None, "JupyterLab did not start"
                time.sleep(0.25)
        yield address
    finally:
        server.terminate()
        server.wait(20)


def _run_cell(page: Any, number: int) -> None:
    """Run one code cell and wait until its number stands beside it."""
    cell = page.locator(".jp-CodeCell").nth(number)
    cell.locator(".cm-content").first.click()
    page.keyboard.press("Control+Enter")
    prompt = cell.locator(".jp-InputArea-prompt").first
    ends = time.monotonic() + 240
    while not re.search(r"\[\d+\]", prompt.inner_text()):
        assert time.monotonic() < ends, f"cell {number} did not end: {prompt.inner_text()!r}"
        page.wait_for_timeout(200)


@pytest.mark.browser
@pytest.mark.slow
def test_the_explorer_works_in_jupyterlab_without_a_network(lab: str, chromium: Any) -> None:
    context = chromium.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    context.route("**/*", lambda route: route.continue_() if LOCAL.match(route.request.url) else route.abort())
    page.goto(f"{lab}/lab/tree/first.ipynb")
    page.locator(".jp-CodeCell").nth(3).wait_for(timeout=90_000)
    page.wait_for_timeout(2000)
    for number in range(3):
        _run_cell(page, number)
    figure = page.locator(".bk-Figure").first
    figure.wait_for(timeout=60_000)
    page.locator(".rk table").wait_for(timeout=60_000)
    figure.scroll_into_view_if_needed()
    page.wait_for_timeout(2500)
    box = figure.bounding_box()
    x, y, w, h = box["x"], box["y"], box["width"], box["height"]
    corners = [(0.03, 0.12), (0.85, 0.12), (0.85, 0.97), (0.03, 0.97), (0.03, 0.15)]
    page.mouse.move(x + corners[0][0] * w, y + corners[0][1] * h)
    page.mouse.down()
    for across, down in corners[1:]:
        page.mouse.move(x + across * w, y + down * h, steps=8)
    page.mouse.up()
    selected = page.locator('[data-part="selected"]')
    ends = time.monotonic() + 20
    while int(re.sub(r"\D", "", selected.inner_text()) or 0) == 0:
        assert time.monotonic() < ends, "the lasso selects nothing"
        page.wait_for_timeout(100)
    page.wait_for_timeout(1000)
    count = int(re.sub(r"\D", "", selected.inner_text()))
    _run_cell(page, 3)
    output = page.locator(".jp-CodeCell").nth(3).locator(".jp-OutputArea-output").inner_text()
    assert output.split() == ["READ", str(count), str(count), f"({count},", "2)"], output
    context.close()
