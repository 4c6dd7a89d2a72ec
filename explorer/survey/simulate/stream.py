"""A simulated survey block by block: in memory, or written to disk by a pool of processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tomllib
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from explorer.survey.progress import Progress
from explorer.survey.records import Record
from explorer.survey.resources import data_path
from explorer.survey.simulate.recipe import Recipe, load

if TYPE_CHECKING:
    from explorer.survey.writer import SurveyWriter

_LABEL = "simulate"


def _kind(recipe: Recipe) -> Any:
    if recipe.kind == "xray":
        from explorer.survey.simulate import xsources

        return xsources
    from explorer.survey.simulate import galaxies

    return galaxies


def simulate(
    recipe: str | Path | Recipe, n: int, seed: int = 0, catalogue_only: bool = False, start: int = 0
) -> Iterator[list[Record]]:
    """Objects ``start`` … ``n`` - 1 of a recipe, in lists of at most ``recipe.block`` records.

    Object i is the same whatever ``n`` and ``start`` are: a block depends on ``seed`` and its number alone, and
    noise on ``seed`` and the object. ``catalogue_only`` leaves the images, spectra, events and text out and the
    catalogue as it is, except for columns that are measured from them.
    """
    plan = load(recipe)
    if not 0 <= start <= n:
        raise ValueError(f"start is {start}; it must lie between 0 and n = {n}")
    for block in range(start // plan.block, -(-n // plan.block)):
        low = max(start - block * plan.block, 0)
        high = min(n - block * plan.block, plan.block)
        if high > low:
            yield _kind(plan).records(plan, seed, block, slice(low, high), catalogue_only)


def columns(recipe: str | Path | Recipe) -> dict[str, pa.DataType]:
    """Catalogue column name → Arrow type, in order."""
    plan = load(recipe)
    return {name: kind for name, (kind, _, _) in _kind(plan).describe(plan).items()}


def fields(recipe: str | Path | Recipe) -> dict[str, pa.Field]:
    """Catalogue column name → Arrow field whose metadata holds unit and description."""
    plan = load(recipe)
    return {
        name: pa.field(name, kind, metadata={"unit": unit, "description": description})
        for name, (kind, unit, description) in _kind(plan).describe(plan).items()
    }


def modalities(recipe: str | Path | Recipe) -> dict[str, dict[str, Any]]:
    """Modality name → what a survey stores of it."""
    plan = load(recipe)
    out: dict[str, dict[str, Any]] = {}
    if plan.image:
        out["image"] = {
            "bands": [b.name for b in plan.image.bands],
            "pixel_scale": plan.image.pixel_scale,
            "zero_point": [b.zero_point for b in plan.image.bands],
            "unit": plan.image.unit,
            "psf_fwhm": [b.psf_fwhm for b in plan.image.bands],
            "noise": [b.noise for b in plan.image.bands],
        }
    if plan.spectrum:
        out["spectrum"] = {
            "flux_unit": f"{plan.spectrum.flux_unit:g} erg/s/cm2/AA",
            "wavelength": "vacuum AA",
            "fibre": plan.spectrum.fibre,
        }
    if plan.parts.get("events") or plan.kind == "xray":
        out["events"] = {"time": "s", "energy": "keV"}
    if plan.kind == "xray":
        out["xspectrum"] = {"energy": "keV", "response": "analytic"}
    if plan.parts.get("text"):
        out["text"] = {"language": "en"}
    return out


def card_of(recipe: Recipe) -> dict[str, Any]:
    """The card in ``data/cards`` that names this recipe, or a minimal one."""
    for path in sorted(data_path("cards").glob("simulated*.toml")):
        card = tomllib.loads(path.read_text(encoding="utf-8"))
        if card.get("recipe") == recipe.name:
            return card
    return {"name": recipe.name, "title": f"Simulated survey {recipe.name}", "kind": "simulated", "recipe": recipe.name}


def write(
    recipe: str | Path | Recipe,
    dest: str | Path,
    n: int,
    seed: int = 0,
    progress: Progress | None = None,
    workers: int | None = None,
    catalogue_only: bool = False,
) -> Path:
    """Write ``n`` objects to the survey folder ``dest``; a second call goes on where the first was stopped.

    ``workers`` processes make the blocks (2 by default; 0 makes them here); the caller writes them. Returns the
    folder. ``progress(done, total, label)`` is called after each block.
    """
    from explorer.survey.writer import SurveyWriter

    plan, folder = load(recipe), Path(dest)
    card = card_of(plan) | {"seed": seed}
    offered = {} if catalogue_only else modalities(plan)
    with SurveyWriter(folder, card=card, modalities=offered, columns=fields(plan), exist_ok=True) as writer:
        missing, done = _missing(plan, writer, folder, n, seed)
        if workers is None:
            workers = min(2, os.cpu_count() or 1) if len(missing) > 2 else 0
        if progress:
            progress(done, n, _LABEL)
        for made in _made(plan, missing, seed, catalogue_only, workers):
            done += writer.append(made)
            if progress:
                progress(done, n, _LABEL)
    return folder


def _missing(
    plan: Recipe, writer: SurveyWriter, folder: Path, n: int, seed: int
) -> tuple[list[tuple[int, slice]], int]:
    """(block, rows) still to be made, and how many objects are there."""
    there: dict[int, int] = {}
    for source in writer.sources:
        words = source.split()
        if len(words) != 7 or words[0] != plan.name or words[2] != str(seed):
            raise ValueError(
                f"{folder} holds objects from {source!r}, not from recipe {plan.name!r} with seed {seed}: "
                "choose another folder"
            )
        block, stop = int(words[4]), int(words[6].split(":")[1])
        there[block] = max(there.get(block, 0), stop)
    out = []
    for block in range(-(-n // plan.block)):
        wanted, have = min(n - block * plan.block, plan.block), there.get(block, 0)
        if have < wanted:
            out.append((block, slice(have, wanted)))
    return out, sum(there.values())


def _made(
    plan: Recipe, missing: list[tuple[int, slice]], seed: int, catalogue_only: bool, workers: int
) -> Iterator[list[Record]]:
    """The missing blocks in order, never more than ``workers`` + 1 of them waiting."""
    make = _kind(plan).records
    if workers < 1:
        for block, rows in missing:
            yield make(plan, seed, block, rows, catalogue_only)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
        waiting: deque[Future[list[Record]]] = deque()
        todo = iter(missing)
        with _main_hidden():
            for block, rows in islice(todo, workers + 1):
                waiting.append(pool.submit(make, plan, seed, block, rows, catalogue_only))
        while waiting:
            made = waiting.popleft().result()
            for block, rows in islice(todo, 1):
                waiting.append(pool.submit(make, plan, seed, block, rows, catalogue_only))
            yield made


def _one_thread() -> None:
    """Two processes share the machine; their linear algebra need not."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)


@contextmanager
def _main_hidden() -> Iterator[None]:
    """Start children that do not run the caller's script again: a script without a ``__main__`` guard may call us."""
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: main.__dict__.pop(name) for name in ("__file__", "__spec__") if name in main.__dict__}
    try:
        main.__dict__["__spec__"] = None
        yield
    finally:
        main.__dict__.update(kept)
