"""Notebook 02 runs whole on a small survey, and tells a verdict."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "02_which_anomaly_is_an_anomaly.ipynb"


@pytest.mark.slow
def test_notebook_02_runs_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("STUDY_OBJECTS", "220")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are committed without outputs"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in shown if out.output_type == "error"]
    pictures = [out for out in shown if "image/png" in out.get("data", {})]
    assert len(pictures) == 8, "every figure is drawn"
    printed = "".join(out["text"] for out in shown if out.output_type == "stream" and out.name == "stdout")
    assert "cannot be judged" in printed or "claim is" in printed
    assert "never aligned" in printed
