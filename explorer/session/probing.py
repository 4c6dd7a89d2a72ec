"""What each space knows of the catalogue's quantities (P0.12), computed once and kept beside the survey."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.survey.files import write_atomically
from explorer.survey.progress import Progress

if TYPE_CHECKING:
    from explorer.survey.store import Survey

FIGURES = {"lgbm_r2": "R²", "ridge_r2": "R² linear", "gap": "gap", "pr": "PR", "epd": "EPD", "pes": "PES", "cwp": "CWP"}
"""Figure of a :class:`kernels.scoring.probes.Probe` → how it is written."""


def probed(
    survey: Survey, columns: Sequence[str], spaces: Sequence[str] | None = None, progress: Progress | None = None
) -> list[dict[str, Any]]:
    """One line for each space and column: the figures of the probe and their errors, ``space`` and ``name``.

    What was computed before for the same vectors is read from the survey's cache. A quantity that a space cannot be
    probed for (too few objects, one value) gives a line with ``why`` in place of figures.
    """
    found, spaces = known(survey), list(survey.spaces if spaces is None else spaces)
    asked = [(space, column) for space in spaces for column in columns]
    for i, (space, column) in enumerate(asked):
        if progress:
            progress(i, len(asked), f"probe {space} for {column}")
        if _key(survey, space, column) not in found:
            found[_key(survey, space, column)] = _one(survey, space, column)
            _keep(survey, found)
    if progress:
        progress(len(asked), len(asked), "ready")
    return [found[_key(survey, space, column)] for space, column in asked]


def known(survey: Survey) -> dict[str, dict[str, Any]]:
    """Key → line of everything that was probed and is not out of date."""
    path = survey.path / "cache" / "probes.json"
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or damaged: it is a cache
        read = {}
    kept = _MEMORY.get(str(survey.path), {}) | read
    return {
        k: v for k, v in kept.items() if v.get("space") in survey.spaces and k == _key(survey, v["space"], v["name"])
    }


def lines(survey: Survey, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Those of :func:`probed` that are there already."""
    found = known(survey)
    keys = [_key(survey, space, column) for space in survey.spaces for column in columns]
    return [found[key] for key in keys if key in found]


def mean_of(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """One line a space: means over its quantities, and as errors their standard deviation (the paper's Table 2)."""
    out = []
    for space in dict.fromkeys(line["space"] for line in found):
        mine = [line for line in found if line["space"] == space and "why" not in line]
        if mine:
            line: dict[str, Any] = {"space": space, "name": f"mean of {len(mine)}"}
            for figure in FIGURES:
                values = [one[figure] for one in mine]
                line |= {figure: float(np.mean(values)), f"{figure}_error": float(np.std(values))}
            out.append(line)
    return out


_MEMORY: dict[str, dict[str, dict[str, Any]]] = {}  # of surveys that cannot be written


def _key(survey: Survey, space: str, column: str) -> str:
    made = survey.provenance(f"space:{space}").get("time", "")
    return f"{space} {made} {len(survey)} {column}"


def _one(survey: Survey, space: str, column: str) -> dict[str, Any]:
    from kernels.scoring.probes import probe

    values = np.asarray(survey.column(column), dtype=np.float64)
    try:
        found = probe(survey.embedding(space), values, column, groups=survey.object_ids)
    except ValueError as error:
        return {"space": space, "name": column, "why": str(error)}
    figures = {key: float(value) for key, value in found.row().items() if key != "name"}
    return {"space": space, "name": column, **figures}


def _keep(survey: Survey, found: dict[str, dict[str, Any]]) -> None:
    _MEMORY[str(survey.path)] = found
    with contextlib.suppress(OSError):  # a survey that may only be read: the process remembers
        write_atomically(survey.cache_dir / "probes.json", json.dumps(found).encode())
