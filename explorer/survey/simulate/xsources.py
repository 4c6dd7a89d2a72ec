"""Blocks of ``simulated-xray``: sources of the literature's classes as events, spectra, columns and words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey.records import Record
from explorer.survey.simulate import parameters, rarities, variability, xcatalogue, xpapers, xray, xtext
from explorer.survey.simulate.galaxies import source_of
from explorer.survey.simulate.parameters import stream
from explorer.survey.simulate.recipe import Recipe

CLASSES = ("AGN", "XRB", "ULX", "pulsar", "CV", "young-star", "star", "galaxy-cluster", "lensed-quasar")
_TRUTH, _SOURCE, _TEXT, _PLACE, _PAPERS = 51, 52, 53, 54, 55
# chances of constant, flare, eclipse, pulsation, dip
_VARIES = {
    "AGN": (0.90, 0.06, 0.01, 0.00, 0.03),
    "XRB": (0.45, 0.12, 0.18, 0.10, 0.15),
    "ULX": (0.72, 0.06, 0.02, 0.10, 0.10),
    "pulsar": (0.18, 0.02, 0.00, 0.80, 0.00),
    "CV": (0.30, 0.10, 0.25, 0.30, 0.05),
    "young-star": (0.48, 0.50, 0.02, 0.00, 0.00),
    "star": (0.68, 0.31, 0.01, 0.00, 0.00),
    "galaxy-cluster": (1.00, 0.00, 0.00, 0.00, 0.00),
    "lensed-quasar": (0.93, 0.04, 0.00, 0.00, 0.03),
}
# mean and scatter of log10 net counts
_COUNTS = {
    "AGN": (2.0, 0.5), "XRB": (2.6, 0.6), "ULX": (2.4, 0.4), "pulsar": (2.4, 0.4), "CV": (2.2, 0.4),
    "young-star": (1.9, 0.45), "star": (1.8, 0.4), "galaxy-cluster": (2.3, 0.4), "lensed-quasar": (2.2, 0.4),
}  # fmt: skip


def describe(recipe: Recipe) -> dict[str, tuple[pa.DataType, str, str]]:
    """Column name → (type, unit, description)."""
    f, s = pa.float64(), pa.string()
    return {
        "truth": (s, "", "class of the simulated source"),
        "truth_kind": (s, "", "rarity for the rare classes, else normal"),
        "variability_truth": (s, "", "light curve that the events were drawn from"),
        "model_truth": (s, "", "spectral model that the events were drawn from"),
        "nh_truth": (f, "1e22/cm2", "column of absorbing hydrogen that was drawn"),
        "field": (s, "", "field on the sky"),
        "ra": (f, "deg", "right ascension, ICRS"),
        "dec": (f, "deg", "declination, ICRS"),
        **xcatalogue.describe(),
        "n_papers": (pa.int32(), "", "papers that speak of the source"),
        "papers": (s, "", "these papers, in the order of the paragraphs of the text"),
        "paper_years": (s, "", "their years of publication"),
    }


def _places(recipe: Recipe, truth: np.ndarray, rng: np.random.Generator) -> parameters.Galaxies:
    """Field and position: a class is eight times likelier in the fields that list it."""
    out: parameters.Galaxies = {}
    for kind in np.unique(truth.astype(str)):
        rows = truth == kind
        liked = [f["share"] * (8.0 if kind in f.get("classes", ()) else 1.0) for f in recipe.fields]
        fields = tuple({**f, "share": s} for f, s in zip(recipe.fields, liked, strict=True))
        part = parameters.positions(fields, len(truth), rng)
        for name, values in part.items():
            out.setdefault(name, values.copy())[rows] = values[rows]
    return out


def draw_spectrum(kind: str, rng: np.random.Generator) -> tuple[str, np.ndarray, float, dict[str, float]]:
    """(model, photons per keV, nh, parameters) of a source of ``kind``."""
    normal, pick = rng.normal, rng.random()
    nh = 10 ** normal(-1.1, 0.4)
    p: dict[str, float] = {}
    if kind in ("AGN", "lensed-quasar"):
        p["gamma"] = normal(1.9 if kind == "AGN" else 1.75, 0.2)
        nh = 10 ** (normal(0.6, 0.45) if kind == "AGN" and pick < 0.4 else normal(-1.5, 0.35))
        return "powerlaw", xray.powerlaw(p["gamma"]), nh, p
    if kind in ("XRB", "ULX"):
        p["kt"] = float(np.exp(normal(np.log(1.0 if kind == "XRB" else 0.9), 0.35)))
        p["gamma"] = normal(1.7 if kind == "XRB" else 2.1, 0.3)
        disk, hard = xray.blackbody(p["kt"]), xray.powerlaw(p["gamma"])
        mix = rng.uniform(0.1, 0.9)
        photons, p["mix"] = mix * disk / disk.sum() + (1 - mix) * hard / hard.sum(), mix
        return "blackbody + powerlaw", photons, 10 ** normal(-0.8, 0.35), p
    if kind == "pulsar":
        p["gamma"], p["kt"] = normal(1.3, 0.2), float(np.exp(normal(np.log(0.14), 0.2)))
        soft, hard = xray.blackbody(p["kt"]), xray.powerlaw(p["gamma"])
        p["mix"] = mix = rng.uniform(0.2, 0.7)
        return "blackbody + powerlaw", mix * soft / soft.sum() + (1 - mix) * hard / hard.sum(), nh, p
    if kind == "CV":
        p["kt"] = float(np.exp(normal(np.log(14), 0.35)))
        return "plasma", xray.plasma(p["kt"], 1.0), nh, p
    if kind == "young-star":
        p["kt"] = float(np.exp(normal(np.log(2.2), 0.35)))
        return "plasma", xray.plasma(p["kt"], 0.3) + 0.6 * xray.plasma(0.8, 0.3), 10 ** normal(-0.55, 0.4), p
    if kind == "star":
        p["kt"] = float(np.exp(normal(np.log(0.6), 0.3)))
        return "plasma", xray.plasma(p["kt"], 0.6), 10 ** normal(-2.0, 0.3), p
    p["kt"] = float(np.exp(normal(np.log(4.5), 0.4)))
    return "plasma", xray.plasma(p["kt"], 0.35, z=rng.uniform(0.05, 0.6)), 10 ** normal(-1.4, 0.2), p


def records(recipe: Recipe, seed: int, block: int, rows: slice, catalogue_only: bool) -> list[Record]:
    """Sources ``rows`` of block ``block``; their columns need their events, so ``catalogue_only`` only drops those."""
    source, seed, n = source_of(recipe, seed, block, rows), recipe.key(seed), recipe.block
    truth = rarities.classes(recipe, n, stream(seed, _TRUTH, block))
    place = _places(recipe, truth, stream(seed, _PLACE, block))
    papers = xpapers.of_block(recipe, block, place["field"], stream(seed, _PAPERS, block))
    rare = set(recipe.options.get("rare", ()))
    out = []
    for i in range(rows.start, rows.stop):
        where = {k: v[i].item() if hasattr(v[i], "item") else v[i] for k, v in place.items()}
        values = {"truth": truth[i], "truth_kind": "rarity" if truth[i] in rare else "normal", **where}
        values |= {
            "n_papers": len(papers[i]),
            "papers": ";".join(p.name for p in papers[i]) or None,
            "paper_years": ";".join(str(p.year) for p in papers[i]) or None,
        }
        out.append(_record(recipe, seed, block * n + i, truth[i], values, papers[i], source, catalogue_only))
    return out


def _record(
    recipe: Recipe,
    seed: int,
    row: int,
    kind: str,
    values: dict[str, Any],
    papers: list[xpapers.Paper],
    source: str,
    catalogue_only: bool,
) -> Record:
    rng = stream(seed, _SOURCE, row)
    model, photons, nh, drawn = draw_spectrum(kind, rng)
    exposure = float(rng.choice([15e3, 30e3, 50e3, 95e3])) * float(recipe.options.get("exposure", 1.0))
    mean, scatter = _COUNTS[kind]
    fainter = float(recipe.options.get("brightness", 1.0))
    n = int(np.clip(rng.poisson(fainter * 10 ** rng.normal(mean, scatter)), 5, 20_000))
    curve = variability.KINDS[int(rng.choice(5, p=_VARIES[kind]))]
    background = float(recipe.options.get("background", 4e-5)) * exposure * rng.uniform(0.5, 2.0)
    gti = xray.intervals(exposure, rng)
    energies = xray.draw_energies(xray.detected(photons, nh), n, rng)
    times = variability.draw_times(curve, n, exposure, rng)
    if curve == "flare":  # flares are hotter than what they rise from
        during = np.abs(times - np.median(times)) < 0.15 * exposure
        energies = np.where(during, np.minimum(energies * 1.15, 10.0), energies)
    events = xray.assemble(times, energies, background, gti, rng)
    values = values | {"variability_truth": curve, "model_truth": model, "nh_truth": nh, "exposure": exposure}
    values |= xcatalogue.hardness(events, background, exposure)
    values |= xcatalogue.variation(events) | xcatalogue.fits(events)
    name = f"{recipe.prefix}-{row:06d}"
    facts = xtext.Facts(kind, curve, model, nh, n / exposure, drawn, str(values["field"]))
    told = xtext.of_papers(facts, papers, stream(seed, _TEXT, row))
    return Record(
        id=name,
        object_id=name,
        values=values,
        events=None if catalogue_only else events,
        xspectrum=None if catalogue_only else xray.histogram(events, background, exposure),
        text=None if catalogue_only else told,
        source=source,
    )
