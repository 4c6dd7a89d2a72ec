"""What a part of the report is, and how it is kept so that a second run skips what stands."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.survey.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from explorer.pipeline.report.study import Study

VERSION = 1
"""Part of every digest: raise it when what a part computes changes."""


@dataclass
class Part:
    """Sentences, tables and figures under one heading. Tables become CSV files and figures PNG files of their name."""

    title: str
    sentences: list[str] = field(default_factory=list)
    tables: dict[str, pd.DataFrame] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    captions: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Piece:
    """One resumable part: ``make(study)`` computes it, ``columns(study)`` names the survey's columns it stands on."""

    name: str
    make: Callable[[Study], Part]
    columns: Callable[[Study], list[str]]
    options: Callable[[Study], Any] = lambda study: None


def digest(piece: Piece, study: Study) -> str:
    """SHA-256 of what a part depends on: columns and when they were made, rows, options, seed, version."""
    survey = study.survey
    inputs = {c: survey.provenance(c).get("time", "") for c in sorted(piece.columns(study)) if c in survey.schema.names}
    told = [VERSION, piece.name, survey.meta.get("uid"), len(survey), study.seed, inputs, piece.options(study)]
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


class Kept:
    """The parts in a report's folder."""

    def __init__(self, out: Path):
        self.out = out
        self.folder = out / "parts"
        self.folder.mkdir(parents=True, exist_ok=True)

    def stands(self, name: str, wanted: str) -> bool:
        """Whether the part was made of the same inputs and all its files are there."""
        told = self.read(name)
        files = told.get("tables", []) + told.get("figures", [])
        return told.get("digest") == wanted and all((self.out / f).is_file() for f in files)

    def read(self, name: str) -> dict[str, Any]:
        """What is kept of a part; empty where there is nothing or it cannot be read."""
        path = self.folder / f"{name}.json"
        if not path.is_file():
            return {}
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError):
            return {}  # cut short by a crash of another kind: made anew

    def write(self, name: str, wanted: str, part: Part, seconds: float) -> None:
        """Write tables, figures and, last, the note that they stand."""
        for table, frame in part.tables.items():
            write_atomically(self.out / f"{table}.csv", frame.to_csv(index=False).encode())
        for figure, drawn in part.figures.items():
            drawn.savefig(self.out / f"{figure}.png", dpi=110, facecolor="white", bbox_inches="tight")
        note = {
            "digest": wanted,
            "title": part.title,
            "sentences": part.sentences,
            "tables": [f"{t}.csv" for t in part.tables],
            "figures": [f"{f}.png" for f in part.figures],
            "captions": part.captions,
            "seconds": round(seconds, 1),
        }
        write_atomically(self.folder / f"{name}.json", json.dumps(note, indent=1).encode())
