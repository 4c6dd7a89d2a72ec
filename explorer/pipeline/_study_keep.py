"""What a study found so far, in a folder: one that was stopped goes on from there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline._study_table import Table
from explorer.survey.files import write_atomically

FORMAT = 2
"""Grows when a figure is reckoned otherwise: what was kept before is made again."""


class Kept:
    """Tables and arrays of a study, by name; kept nowhere where ``folder`` is None.

    ``about`` tells what they depend on: with other vectors, labels or settings nothing of the old is taken.
    """

    def __init__(self, folder: Path | None, *about: Any):
        digest = hashlib.sha256(str(FORMAT).encode())
        for part in about:
            digest.update(part.tobytes() if isinstance(part, np.ndarray) else json.dumps(part, default=str).encode())
        self.folder = None if folder is None else folder / digest.hexdigest()[:16]

    def path(self, name: str, ending: str) -> Path | None:
        """Where something is kept."""
        if self.folder is None:
            return None
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.{ending}"

    def table(self, name: str, make: Callable[[], Table]) -> Table:
        """The table of a name, from the folder or made."""
        path = self.path(name, "json")
        if path is not None and path.is_file():
            told = json.loads(path.read_text(encoding="utf-8"))
            return Table(told["title"], told["columns"], told["rows"], told["notes"])
        made = make()
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            told = {"title": made.title, "columns": made.columns, "rows": made.rows, "notes": made.notes}
            write_atomically(path, json.dumps(told, default=_plain).encode())
        return made

    def array(self, name: str) -> np.ndarray | None:
        """The array of a name, None where it is not there yet."""
        path = self.path(name, "npy")
        return np.load(path, allow_pickle=False) if path is not None and path.is_file() else None

    def put(self, name: str, array: np.ndarray) -> None:
        """Keep an array."""
        path = self.path(name, "npy")
        if path is None:
            return
        import io

        out = io.BytesIO()
        np.save(out, array, allow_pickle=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, out.getvalue())


def _plain(value: Any) -> Any:
    """What JSON knows of a numpy number or array."""
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, np.floating):
        return float(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"a table holds {type(value).__name__}")
