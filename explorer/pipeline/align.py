"""``explorer align SURVEY A B``: two spaces of a survey brought into one by contrastive learning (P2.3, P3.2, P4.2).

The aligned spaces are stored beside the others: ``aligned/events``, ``aligned/text`` and ``aligned/joint`` for events
and text. Training sees the training split alone; which rows that was is kept with the weights.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline.captioned import PREFIX, embed_captions
from explorer.pipeline.endpoint import Endpoint
from explorer.survey.files import write_atomically
from explorer.survey.progress import Progress
from explorer.survey.store import Survey
from kernels.embedding.align.aligner import Aligner
from kernels.embedding.align.search import SMALL_GRID, grid_search, judged, tune_temperature
from kernels.embedding.align.splits import NAMES, by_year, grouped

FEWEST = 24
"""Pairs below which nothing can be learnt and judged."""
CAPTIONS = "captions"
"""Stands for the space of the survey's captions, which is made where it is not there (P4.2)."""


PROJECTORS = {"temperature": 0.07, "learned": True, "dropout": 0.1, "hidden": 256}


@dataclass
class Aligned:
    """What an alignment made: the spaces stored, the split, and how well pairs of each part are found."""

    spaces: dict[str, str]
    splits: dict[str, np.ndarray]
    figures: dict[str, dict[str, float]]
    options: dict[str, Any]
    searched: list[dict[str, Any]] = field(default_factory=list)


def space_of(survey: Survey, told: str) -> str:
    """``told`` itself where it is a space; for a modality's name, the survey's only space of it that is not aligned.

    Several are an error that lists them.
    """
    if told in survey.spaces:
        return told
    of = [s for s in survey.spaces if s.split("/")[1] == told and "aligned" not in survey.provenance(f"space:{s}")]
    if len(of) == 1:
        return of[0]
    listed = ", ".join(of or survey.spaces) or "none: run explorer prepare first"
    if told in survey.modalities and not of:
        encoder = {"text": "tfidf", "events": "photons", "xspectrum": "photons"}.get(told, "pca")
        raise ValueError(f"{survey.name} has no space of {told} yet: explorer prepare --encoders {encoder} makes one")
    raise ValueError(f"{survey.name}: which space is meant by {told!r}? There are: {listed}")


_EMPTY = re.compile(r"(?i)[^.]{0,80}\bnot discussed\b[^.]{0,40}\.?")


def discussed(survey: Survey, rows: np.ndarray) -> np.ndarray:
    """(m,) bool: whether a row's text says anything beyond that the source is not discussed (P2.2)."""
    texts = survey.texts(rows)
    return np.array([any(not _EMPTY.fullmatch(p.strip()) for p in (t or "").split("\n\n") if p.strip()) for t in texts])


def keys_of(survey: Survey, rows: np.ndarray) -> list[set[str]]:
    """For each row what it must not be parted from: its object, and the papers in the column ``papers``."""
    objects = survey.object_ids[rows]
    papers = survey.column("papers")[rows] if "papers" in survey.columns else [None] * len(rows)
    return [
        {f"object {o}", *(f"paper {p}" for p in (told or "").split(";") if p)}
        for o, told in zip(objects, papers, strict=True)
    ]


def first_years(survey: Survey, rows: np.ndarray) -> np.ndarray:
    """(m,) year of the first paper on each row, by the column ``paper_years``; NaN where there is none."""
    told = survey.column("paper_years")[rows] if "paper_years" in survey.columns else [None] * len(rows)
    return np.array([min(map(float, t.split(";"))) if t else np.nan for t in told])


def split(survey: Survey, rows: np.ndarray, seed: int = 0, cutoff: int | None = None) -> dict[str, np.ndarray]:
    """Split name → positions in ``rows``; by source and paper, or, with ``cutoff``, by the year of the first paper."""
    keys = keys_of(survey, rows)
    if cutoff is None:
        return grouped(keys, random_state=seed)
    return by_year(keys, first_years(survey, rows), cutoff, seed)


def captioned_options(a: str, b: str) -> dict[str, Any]:
    """Options of the projectors for captions: the text stays where it is, so that all words have a place (P4.2)."""
    return {"onto": "ab"[(a, b).index(CAPTIONS)], **PROJECTORS} if CAPTIONS in (a, b) else dict(PROJECTORS)


def align(
    survey: Survey,
    a: str,
    b: str,
    options: Mapping[str, Any] | None = None,
    tune: bool = False,
    search: bool = False,
    grid: Mapping[str, Sequence[Any]] = SMALL_GRID,
    name: str = "aligned",
    cutoff: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    exclude: np.ndarray | None = None,
    texts: str = "auto",
    endpoint: Endpoint | None = None,
) -> Aligned:
    """Align two spaces (or modalities) of a survey and store what comes of it.

    A run that was killed goes on from its last checkpoint, which lies in the survey's ``cache/`` until it is done.

    Parameters
    ----------
    a, b : spaces such as ``"ppad/events"``, or modalities of which the survey has one space; ``"captions"`` stands for
        the captions of its images, as :func:`~explorer.pipeline.captioned.embed_captions` encodes them.
    options : of :class:`~kernels.embedding.align.aligner.Aligner`.
    tune : choose the temperature on the calibration split. ``search`` : choose the ``grid`` on the validation split;
        what was tried is kept in the survey's ``cache/``, and a search that was killed goes on.
    name : encoder name of the spaces that are stored.
    cutoff : split by time: test on what was first written about after this year.
    exclude : (n,) bool rows that take no part in any split, nor in what encodes captions; they are placed all the same.
    texts, endpoint : what encodes captions.
    """
    started = time.monotonic()
    if CAPTIONS in (a, b):
        made = embed_captions(survey, texts, endpoint, exclude, progress)
        a, b = (made if s == CAPTIONS else s for s in (a, b))
    a, b = space_of(survey, a), space_of(survey, b)
    sides = [s.split("/")[1] for s in (a, b)]
    if sides[0] == sides[1]:
        raise ValueError(f"{a} and {b} are of one modality: align two different ones")
    whole = [survey.embedding(s) for s in (a, b)]
    rows = np.flatnonzero(np.logical_and.reduce([np.isfinite(v).all(axis=1) for v in whole]))
    if exclude is not None:
        rows = rows[~exclude[rows]]
    if "text" in sides and not any(s.startswith(PREFIX) for s in (a, b)):
        rows = rows[discussed(survey, rows)]
    if len(rows) < FEWEST:
        raise ValueError(f"{survey.name}: {len(rows)} rows have both {a} and {b}; {FEWEST} are needed to align them")
    pairs = [v[rows] for v in whole]
    parts = split(survey, rows, seed, cutoff)
    of = {n: (pairs[0][r], pairs[1][r]) for n, r in parts.items()}
    chosen: dict[str, Any] = {"random_state": seed, **(options or {})}
    kept_out = np.flatnonzero(exclude).tolist() if exclude is not None else []
    folder = survey.cache_dir / "align" / f"{name}-{digest(survey, a, b, seed, cutoff, *kept_out)}"
    searched: list[dict[str, Any]] = []
    if tune and len(of["calibration"][0]) > 3:
        chosen["temperature"], _ = tune_temperature(of["train"], of["calibration"], chosen)
    if search:
        searched = grid_search(of["train"], of["validation"], grid, chosen, folder, progress)
        chosen = {**searched[0]["options"], "members": chosen.get("members", 1)}
    place = folder / f"fit-{hashlib.sha256(json.dumps(chosen, sort_keys=True, default=str).encode()).hexdigest()[:12]}"
    aligner = Aligner(**chosen).fit(*of["train"], validation=of["validation"], folder=place, progress=progress)
    figures = {n: judged(aligner, of[n]) | {"n": len(of[n][0])} for n in NAMES if len(of[n][0]) > 1}
    spaces = _store(survey, aligner, name, (a, b), chosen, figures, started)
    ids = {n: survey.ids[rows[r]].tolist() for n, r in parts.items()}
    _keep(survey, aligner, name, (a, b), chosen, ids | {"excluded": survey.ids[kept_out].tolist()} if kept_out else ids)
    shutil.rmtree(place, ignore_errors=True)
    return Aligned(spaces, {n: rows[r] for n, r in parts.items()}, figures, chosen, searched)


def digest(survey: Survey, *of: Any) -> str:
    """Short name of two spaces, as they were made, and of what else a search depends on: its folder in the cache."""
    told = [survey.provenance(f"space:{s}").get("time", "") for s in of[:2]]
    return hashlib.sha256(json.dumps([*of, *told]).encode()).hexdigest()[:12]


def _store(
    survey: Survey,
    aligner: Aligner,
    name: str,
    of: tuple[str, str],
    chosen: dict[str, Any],
    figures: Any,
    started: float,
) -> dict[str, str]:
    given = [survey.embedding(s) for s in of]
    made: dict[str, np.ndarray] = {}
    if aligner.form != "shared" or aligner.sides == "apart":
        made |= {s.split("/")[1]: aligner.encode(side, v) for s, side, v in zip(of, "ab", given, strict=True)}
    made["joint"] = aligner.joint(*given)
    out = {}
    for modality, vectors in made.items():
        out[modality] = f"{name}/{modality}"
        told = {"rows": len(survey), "seed": aligner.random_state, "aligned": list(of), "options": chosen}
        told |= {"seconds": round(time.monotonic() - started, 2), "retrieval": figures}
        survey.put_embedding(out[modality], vectors, told)
    return out


def _files(survey: Survey, name: str) -> tuple[Path, Path]:
    folder = survey.path / "encoders"
    folder.mkdir(exist_ok=True)
    return folder / f"{name}.align.safetensors", folder / f"{name}.align.json"


def _keep(survey: Survey, aligner: Aligner, name: str, of: tuple[str, str], chosen: dict[str, Any], ids: Any) -> None:
    from safetensors.numpy import save

    weights, told = _files(survey, name)
    write_atomically(weights, save({k: np.ascontiguousarray(v) for k, v in aligner.state().items()}))
    write_atomically(told, json.dumps({"spaces": of, "options": chosen, "splits": ids}).encode())


def load_aligner(survey: Survey, name: str = "aligned") -> tuple[Aligner, tuple[str, str], dict[str, list[str]]]:
    """The aligner that made the survey's ``name`` spaces, the two spaces that it took, and the ids of each split."""
    from safetensors.numpy import load_file

    weights, told = _files(survey, name)
    if not (weights.exists() and told.exists()):
        raise ValueError(f"{survey.name} has no alignment called {name!r}: run explorer align {survey.path} A B")
    held = json.loads(told.read_text(encoding="utf-8"))
    aligner = Aligner(**held["options"]).load_state(load_file(weights))
    return aligner, tuple(held["spaces"]), held["splits"]
