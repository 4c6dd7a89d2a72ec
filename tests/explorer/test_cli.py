"""The command line as a person meets it: one sentence for what is wrong, and the demo from nothing to a page."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

import explorer
from explorer.cli import main


@pytest.fixture
def cutouts(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "cutouts"
    folder.mkdir()
    for i in range(12):
        Pillow.fromarray(rng.integers(0, 255, (20, 20), dtype=np.uint8)).save(folder / f"{2**60 + i}.png")
    (folder / "broken.png").write_bytes(b"")
    return folder


def test_from_files_to_a_prepared_survey(cutouts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dest = tmp_path / "survey"
    assert main(["ingest", str(cutouts), str(dest)]) == 0
    assert "12" in capsys.readouterr().out
    assert "broken.png" in (dest / "ingest_report.csv").read_text()
    assert main(["prepare", str(dest), "--scorers", "knn", "--layouts", "pca"]) == 0
    assert "3 steps done" in capsys.readouterr().out
    survey = explorer.open(dest)
    assert survey.spaces == ["pca/image"]
    assert str(2**60 + 3) in survey.ids
    assert main(["prepare", str(dest), "--scorers", "knn", "--layouts", "pca"]) == 0
    assert "0 steps done" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["prepare", "nowhere"], "no survey named 'nowhere'"),
        (["serve", "nowhere", "--no-show"], "no survey named 'nowhere'"),
        (["get", "no-such-card"], "no-such-card"),
        (["ingest", "no/such/folder", "dest"], "no/such/folder"),
    ],
)
def test_an_error_is_one_sentence(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EXPLORER_SURVEYS", str(tmp_path / "surveys"))
    assert main(arguments) == 1
    out = capsys.readouterr()
    assert told in out.err
    assert "Traceback" not in out.err + out.out
    assert out.err.count("\n") <= 2


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    environment = {**os.environ, "EXPLORER_SURVEYS": str(tmp_path), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "explorer.cli", "demo", "-n", "200", "--no-show", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process, tmp_path
    process.terminate()
    process.communicate(timeout=20)


@pytest.mark.slow
def test_the_demo_goes_from_nothing_to_a_page_and_the_rest_fills_in(
    demo: tuple[subprocess.Popen[str], Path],
) -> None:
    process, folder = demo
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("http"):
            break
    address = lines[-1].split()[0]
    assert any(re.match(r"first space ready after [\d.]+ s", line) for line in lines), lines
    with urllib.request.urlopen(address, timeout=60) as page:
        assert page.status == 200
    survey = explorer.Survey.open(folder / "simulated")
    assert len(survey) == 200
    assert "umap" in survey.layouts("pca/image")
    ends = time.monotonic() + 120
    while "pca/joint" not in survey.spaces or not survey.layouts("pca/joint"):
        assert time.monotonic() < ends, f"the rest does not fill in: {survey.spaces}"
        time.sleep(0.3)
        survey.refresh()


def test_a_file_that_may_not_be_touched_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def denied(_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / "lock"))

    monkeypatch.setattr(explorer, "open", denied)
    assert main(["prepare", "s"]) == 1
    told = capsys.readouterr().err
    assert f"{tmp_path / 'lock'}: Permission denied. Ask for access to it, or work on a copy" in told
