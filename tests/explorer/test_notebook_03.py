"""Notebook 03 executed whole, on a small survey of the same recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.survey.simulate import write

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "03_ask_a_knowledge_base.ipynb"


@pytest.mark.slow
def test_notebook_03_runs_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    write("simulated-sdss", tmp_path / "surveys" / "simulated-sdss", 400)
    monkeypatch.setenv("EXPLORER_SURVEYS", str(tmp_path / "surveys"))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are committed without outputs"
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in shown if out.output_type == "error"]
    assert sum("text/html" in out.get("data", {}) for out in shown) >= 4
    text = " ".join(out.get("data", {}).get("text/plain", "") for out in shown)
    assert "sigma_NMAD" in text
    assert "['', '', '']" in text, "a vote on what is far from everything abstains"
