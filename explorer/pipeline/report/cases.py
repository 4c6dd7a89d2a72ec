"""Figures 3, 4 and 6: what stands at the top, and what each space calls similar to it (P0.14, P0.15)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from explorer.pipeline.report.drawing import COLOURS, GREY, INK, bare, figure, plain, thumbnail
from explorer.pipeline.report.parts import Part
from explorer.pipeline.report.published import shown
from explorer.pipeline.roles import values_of
from kernels.search import Neighbours

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study

CASES, NEIGHBOURS = 8, 6


def candidates(study: Study) -> list[tuple[int, str]]:
    """(row, where it was found): the first of every ranking by turns, no object twice."""
    lists = [(f"{s} {study.leading}", study.top(s, study.leading)) for s in study.spaces]
    for encoder in study.both:
        if "fusion-geometric" in study.fusions(encoder):
            lists.append((f"{encoder} fusion-geometric", study.top(f"{encoder}/joint", "fusion-geometric")))
    found: dict[int, str] = {}
    for place in range(CASES):
        for name, rows in lists:
            if place < len(rows) and len(found) < CASES:
                found.setdefault(int(rows[place]), f"{name}, rank {place + 1}")
    return list(found.items())


def _named(study: Study, row: int) -> str:
    redshift, truth = values_of(study.survey, "redshift"), study.truth()
    told = [study.survey.ids_of([row])[0]]
    if redshift is not None and np.isfinite(redshift[row]):
        told.append(f"z = {redshift[row]:.3f}")
    if truth is not None:
        told.append(str(truth[0][row]))
    return " · ".join(told)


def make(study: Study) -> Part:
    """Figure 3: cards of candidates. Figure 4: one neighbour search in a row. Figure 6: the same in every space."""
    part = Part("Figures 3, 4 and 6 · Cases, and what is similar to them")
    found = candidates(study)
    if not found:
        part.sentences.append("No score ranks anything yet.")
        return part
    part.figures["figure3_cases"] = _cards(study, found)
    part.captions["figure3_cases"] = (
        "Image and spectrum of the first of each ranking, by turns; none was chosen by eye."
    )
    part.tables["figure3_cases"] = pd.DataFrame(
        [{"id": study.survey.ids_of([r])[0], "found by": w, "what": _named(study, r)} for r, w in found]
    )
    query = _query(study, found)
    one = next((s for s in study.spaces if s.endswith("/joint")), study.spaces[0])
    part.figures["figure4_similar"] = _neighbours(study, query, [one])
    part.captions["figure4_similar"] = f"{_named(study, query)}, and its nearest neighbours in {one}."
    part.figures["figure6_similar"] = _neighbours(study, query, study.spaces)
    part.captions["figure6_similar"] = "The same object's neighbours in every space, side by side."
    truth = study.truth()
    if truth is not None:
        for space in study.spaces:
            near = _nearest(study, query, space)
            alike = int(sum(truth[0][r] == truth[0][query] for r in near))
            part.sentences.append(f"{space}: {alike} of {len(near)} neighbours are {truth[0][query]} too.")
    return part


def _query(study: Study, found: list[tuple[int, str]]) -> int:
    """An active nucleus high in a ranking where truth tells one (the paper's case), else the first candidate."""
    truth = study.truth()
    if truth is not None:
        spectra = [s for s in study.spaces if s.endswith("/spectrum")] or study.spaces
        places = study.survey.rank(spectra[0], study.leading)
        rows = np.flatnonzero((truth[0] == "broad-line-agn") & (places > 0))
        if len(rows):
            return int(rows[np.argmin(places[rows])])
    return found[0][0]


def _cards(study: Study, found: list[tuple[int, str]]) -> Any:
    drawn = figure(10.5, 1.75 * len(found))
    grid = drawn.subplots(len(found), 2, width_ratios=[1, 4.2], squeeze=False)
    pictures = study.survey.thumbnails([r for r, _ in found])
    for (row, where), picture, axes in zip(found, pictures, grid, strict=True):
        axes[0].imshow(thumbnail(picture))
        bare(axes[0])
        _spectrum(study, axes[1], row)
        axes[1].set_title(f"{_named(study, row)}   ({where})", fontsize=8.5, loc="left", color=INK)
    return drawn


def _spectrum(study: Study, axes: Any, row: int, width: int = 8) -> None:
    found = study.survey.spectrum(row)
    plain(axes)
    if found is None or not (found.ivar > 0).any():
        axes.text(0.5, 0.5, "no spectrum", transform=axes.transAxes, ha="center", color=GREY, fontsize=8)
        return
    from kernels.scoring.physical import rebinned

    wide = max(1, min(width, len(found.wavelength) // 200))
    wavelength, flux, ivar = rebinned(found.wavelength, found.flux[None], found.ivar[None], wide)
    shown_flux = np.where(ivar[0] > 0, flux[0], np.nan)
    axes.plot(wavelength, shown_flux, lw=0.6, color=COLOURS[0])
    low, high = np.nanpercentile(shown_flux, [0.5, 99.7])
    axes.set_ylim(low - 0.1 * (high - low), high + 0.15 * (high - low))
    axes.set_xlabel("wavelength (Å)", fontsize=7.5, color=GREY)


def _nearest(study: Study, query: int, space: str, k: int = NEIGHBOURS) -> list[int]:
    vectors = study.survey.embedding(space)
    here = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    if not np.isfinite(vectors[query]).all():
        return []
    rows = vectors[here].astype(np.float32)
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    rows = (rows - mean) / np.where(spread > 0, spread, 1)
    engine = Neighbours(metric="cosine", method="exact").fit(rows)
    _, near = engine.query(rows[here == query], min(k + 1, len(here)))
    return [int(here[i]) for i in near[0] if here[i] != query][:k]


def _neighbours(study: Study, query: int, spaces: list[str]) -> Any:
    drawn = figure(1.25 * (NEIGHBOURS + 1), 1.5 * len(spaces))
    grid = drawn.subplots(len(spaces), NEIGHBOURS + 1, squeeze=False)
    redshift, truth = values_of(study.survey, "redshift"), study.truth()
    for space, line in zip(spaces, grid, strict=True):
        rows = [query, *_nearest(study, query, space)]
        for axes in line:
            axes.set_axis_off()
        for row, picture, axes in zip(rows, study.survey.thumbnails(rows), line, strict=False):
            axes.set_axis_on()
            axes.imshow(thumbnail(picture))
            told = [] if redshift is None or not np.isfinite(redshift[row]) else [f"z {redshift[row]:.2f}"]
            told += [str(truth[0][row])] if truth is not None else []
            bare(axes)
            axes.set_xlabel("\n".join(told), fontsize=6.5, color=INK)
        encoder, modality = space.split("/")
        line[0].set_ylabel(f"{shown(encoder)}\n{modality}", fontsize=8, color=INK)
    return drawn
