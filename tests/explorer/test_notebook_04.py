"""Notebook 04 runs whole, and what its text says is what its tables show."""

from __future__ import annotations

from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).resolve().parents[2] / "notebooks" / "04_sources_and_papers.ipynb"


@pytest.mark.slow
def test_notebook_04_runs_whole(tmp_path: Path) -> None:
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.get("outputs") for cell in notebook.cells), "notebooks are committed without outputs"
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert not [out for out in shown if out.output_type == "error"]
    printed = "".join(out["text"] for out in shown if out.output_type == "stream" and out.name == "stdout")
    control = float(printed.split("Recall@5% ")[1].split()[0])
    assert control < 0.2, "shuffled pairs are at chance"
    lines = [line for line in printed.splitlines() if "median hard_hs" in line]
    hard, _ = (float(line.split("median hard_hs ")[1].split(",")[0]) for line in lines)
    usual = float(printed.split("in the survey: ")[1].split(",")[0])
    assert hard > usual + 0.1, "words about absorption find hard sources"
