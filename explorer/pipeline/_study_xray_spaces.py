"""Which encoders the study stands on, and with which settings: both chosen on validation, and told with their figures.

A second recipe takes the choice of the first, so that nothing of it was tuned there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline._study_table import Table
from explorer.pipeline._study_xray import P2, Keeper, Sources, Tell, sources_of, vectors_of
from explorer.survey.store import Survey
from kernels.embedding.align import evaluate as e
from kernels.embedding.align.aligner import Aligner
from kernels.embedding.align.search import SMALL_GRID, grid_search, judged, tune_temperature

ENCODERS = {"events": ("photons", "ppad"), "xspectrum": ("photons", "xspec-autoencoder"), "text": ("tfidf",)}
"""What each modality is encoded with: what is computed from the photons, and the learned encoders that ship."""
SIDES = {"data": "events", "spectra": "xspectrum", "text": "text"}
TEMPERATURES = (0.05, 0.1, 0.2)


@dataclass
class Choice:
    """``spaces`` of data, spectra and text; ``options`` of the two towers of spectra; ``table`` of what was tried."""

    spaces: dict[str, str]
    options: dict[str, Any]
    table: Table | None = None
    searched: list[dict[str, Any]] = field(default_factory=list)


def candidates(modality: str) -> list[str]:
    """The spaces of a modality, each encoder alone and all side by side."""
    alone = [f"{name}/{modality}" for name in ENCODERS[modality]]
    return [*alone, "+".join(alone)] if len(alone) > 1 else alone


def choose_spaces(
    survey: Survey, told: dict[str, str], epochs: int, keeper: Keeper, tell: Tell
) -> tuple[dict[str, str], Table]:
    """For every side that ``told`` leaves open the candidate whose pairs two towers find best on validation of the
    first seed (mean log rank); and what each gave, with its error of the variables of P2 before any alignment."""
    head = ["side", "space", "numbers", "median rank", "R@5%", "linear, % of the mean's error", "k-NN, %", "chosen"]
    table = Table("P2.1, P3.1 encoders, each judged on validation of the first seed", head)
    spaces = dict(told)
    for side, modality in SIDES.items():
        tried: list[tuple[float, list[Any]]] = []
        listed = [told[side]] if side in told else candidates(modality)
        if side == "text":
            spaces[side] = listed[0]
            continue
        whole = np.logical_and.reduce([np.isfinite(vectors_of(survey, c)).all(axis=1) for c in listed])
        for space in listed:
            s = sources_of(survey, space, space, told.get("text", ENCODERS["text"][0] + "/text"), whole)
            tell(f"encoder {space}")
            found = _judged(s, space, epochs, keeper)
            errors = [[100 * x for x in _before(s, how)] for how in e.REGRESSORS]
            cells = [side, space, s.vectors["data"].shape[1], found["median_rank"], 100 * found["recall@5%"]]
            tried.append((found["mean_log_rank"], [*cells, *(float(np.mean(x)) for x in errors)]))
        if tried:
            best = min(range(len(tried)), key=lambda i: tried[i][0])
            spaces[side] = tried[best][1][1]
            for i, (_, cells) in enumerate(tried):
                table.add(*cells, ("told" if side in told else "best") if i == best else "")
    table.notes = [
        "chosen by the mean log rank of true pairs; linear and k-NN: mean error of the five variables of P2 from the "
        "space alone, in per cent of that of their mean"
    ]
    return spaces, table


def _judged(s: Sources, space: str, epochs: int, keeper: Keeper) -> dict[str, float]:
    parts = s.split(0)
    options: dict[str, Any] = {"epochs": epochs, "dropout": 0.4, "temperature": 0.1}
    pairs = {n: s.pairs("data", "text", parts[n]) for n in ("train", "validation")}
    told = {"candidate": space, "n": len(s)}
    fitted = keeper.of(told, options, lambda: Aligner(**options).fit(*pairs["train"], validation=pairs["validation"]))
    return judged(fitted, pairs["validation"])


def _before(s: Sources, how: str) -> list[float]:
    """For each variable of P2 the error on validation from the space alone over that of the mean of training."""
    parts, out = s.split(0), []
    for name in (v for v in P2 if v in s.targets):
        y = s.targets[name]
        rows = parts["validation"][np.isfinite(y[parts["validation"]])]
        error = np.abs(e.predict(s.vectors["data"], y, parts["train"], rows, how) - y[rows]).mean()
        out.append(float(error / np.abs(np.nanmean(y[parts["train"]]) - y[rows]).mean()))
    return out


def choose_options(s: Sources, epochs: int, folder: Path | None, search: bool, tell: Tell) -> dict[str, Any]:
    """Settings of the two towers of P3: the grid on validation, then the temperature on calibration, first seed."""
    parts = s.split(0)
    train, calibration, validation = (
        s.pairs("spectra", "text", parts[n]) for n in ("train", "calibration", "validation")
    )
    base: dict[str, Any] = {"epochs": epochs, "dropout": 0.4}
    if search:
        found = grid_search(
            train,
            validation,
            SMALL_GRID,
            base,
            folder,
            lambda d, n, t: tell(f"grid {d + 1} of {n}: {t}") if d < n else None,
        )
        base = found[0]["options"]
    if len(calibration[0]) > 3:
        tell("temperature on the calibration split")
        base["temperature"], _ = tune_temperature(train, calibration, base, TEMPERATURES)
    return base


def missing(survey: Survey, told: Sequence[str]) -> list[str]:
    """Encoders that the study needs and the survey lacks, where no space of a modality is told."""
    given = {s.split("/")[-1] for s in told}
    return sorted(
        {
            name
            for modality, names in ENCODERS.items()
            for name in names
            if modality not in given and modality in survey.modalities and f"{name}/{modality}" not in survey.spaces
        }
    )


def count(seeds: int, networks: int, search: bool, open_sides: Sequence[str]) -> int:
    """Steps of a study that it tells of as it goes."""
    tried = sum(len(candidates(SIDES[s])) for s in open_sides if s != "text")
    grid = int(np.prod([len(v) for v in SMALL_GRID.values()])) if search else 0
    return tried + grid + 1 + seeds * networks + 1
