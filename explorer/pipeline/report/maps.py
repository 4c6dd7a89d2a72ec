"""Figures 2 and 8: maps of the joint spaces by redshift, mosaics over them, and how well pairs agree (P0.13)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.report.drawing import COLOURS, GREY, bare, figure, plain, thumbnail
from explorer.pipeline.report.parts import Part
from explorer.pipeline.report.published import shown
from explorer.pipeline.roles import column_of, values_of
from kernels.layout.mosaic import sprite

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study


def mapped(study: Study) -> list[tuple[str, str]]:
    """(space, layout) that is drawn of every encoder: its joint space, else its first."""
    out = []
    for encoder in study.encoders:
        spaces = [s for s in (f"{encoder}/joint", *study.spaces) if s.startswith(f"{encoder}/")]
        space = next((s for s in spaces if s in study.spaces and study.survey.layouts(s)), None)
        if space:
            names = study.survey.layouts(space)
            out.append((space, "umap" if "umap" in names else names[0]))
    return out


def make(study: Study) -> Part:
    """Figure 2 with its three columns, and Figure 8: the mosaics, larger."""
    part = Part("Figures 2 and 8 · Shapes of the spaces")
    found = mapped(study)
    if not found:
        part.sentences.append("No space has a layout: run explorer prepare with --layouts umap.")
        return part
    drawn = figure(11.5, 3.5 * len(found))
    grid = drawn.subplots(len(found), 3, squeeze=False)
    for line, (space, layout) in zip(grid, found, strict=True):
        _map(study, drawn, line[0], space, layout)
        line[1].imshow(mosaic(study, space, layout, 14, 40))
        bare(line[1], "one object a cell")
        _cosines(study, line[2], space.split("/")[0])
    part.figures["figure2_maps"] = drawn
    part.captions["figure2_maps"] = (
        "Left: layout coloured by redshift. Middle: thumbnails sampled over it. Right: cosine of image and spectrum "
        "vectors of the same object (matched) and of shuffled pairs; a cosine that does not part the two means little."
    )
    large = figure(8.0, 8.2 * len(found))
    for axes, (space, layout) in zip(np.ravel(large.subplots(len(found), 1, squeeze=False)), found, strict=True):
        axes.imshow(mosaic(study, space, layout, 26, 44))
        bare(axes, f"{space} · {layout}")
    part.figures["figure8_mosaics"] = large
    part.captions["figure8_mosaics"] = (
        "Thumbnails over the same layouts, larger: the object nearest each cell's middle."
    )
    for encoder in study.both:
        if "mismatch" not in study.mismatches(encoder):  # its two spaces are of different lengths: there is no cosine
            continue
        told = study.survey.provenance(f"score:{encoder}/joint:mismatch")
        if told and not told.get("comparable"):
            area = 100 * float(told.get("partners_told_apart", 0.5))
            part.sentences.append(
                f"{shown(encoder)}: image and spectrum spaces were never aligned (a matched pair beats a shuffled one "
                f"in {area:.0f} % of cases; 50 % is chance): its cosine means little; fusions take the aligned one."
            )
    return part


def _map(study: Study, drawn: Any, axes: Any, space: str, layout: str) -> None:
    xy = study.survey.layout(space, layout)
    redshift = values_of(study.survey, "redshift")
    here = np.flatnonzero(np.isfinite(xy).all(axis=1))
    here = np.random.default_rng(study.seed).permutation(here)
    size = float(np.clip(4000 / max(len(here), 1), 0.4, 6))
    if redshift is None:
        axes.scatter(*xy[here].T, s=size, lw=0, color=COLOURS[0])
    else:
        low, high = np.nanpercentile(redshift[here], [2, 98])
        dots = axes.scatter(*xy[here].T, s=size, lw=0, c=redshift[here], cmap="cividis", vmin=low, vmax=high)
        bar = drawn.colorbar(dots, ax=axes, shrink=0.8, pad=0.01)
        bar.set_label(str(column_of(study.survey, "redshift")), fontsize=8, color=GREY)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
    bare(axes, f"{shown(space.split('/')[0])} · {space}")
    axes.set_aspect("equal", adjustable="datalim")


def mosaic(study: Study, space: str, layout: str, cells: int, pixels: int) -> np.ndarray:
    """(cells * pixels, cells * pixels, 3) thumbnails: in each cell of the layout the object nearest its middle."""
    survey = study.survey
    xy = survey.layout(space, layout)
    here = np.flatnonzero(np.isfinite(xy).all(axis=1))
    low, high = np.percentile(xy[here], [0.5, 99.5], axis=0)
    unit = (xy[here] - low) / np.where(high > low, high - low, 1)
    inside = ((unit >= 0) & (unit < 1)).all(axis=1)
    here, unit = here[inside], unit[inside]
    column = np.minimum((unit * cells).astype(int), cells - 1)
    flat = (cells - 1 - column[:, 1]) * cells + column[:, 0]  # up on the map is up in the picture
    away = ((unit * cells - column - 0.5) ** 2).sum(axis=1)
    first = np.lexsort((away, flat))
    taken, where = np.unique(flat[first], return_index=True)
    rows = here[first[where]]
    pictures: list[np.ndarray | None] = [None] * (cells * cells)
    for cell, data in zip(taken, survey.thumbnails(rows), strict=True):
        pictures[int(cell)] = thumbnail(data) if data is not None else None
    return sprite(pictures, pixels, cells, fill=255)


def _cosines(study: Study, axes: Any, encoder: str) -> None:
    from kernels.scoring.mismatch import cosine_mismatch

    spaces = f"{encoder}/image", f"{encoder}/spectrum"
    if not set(spaces) <= set(study.survey.spaces):
        axes.set_axis_off()
        return
    a, b = (study.survey.embedding(s) for s in spaces)
    if a.shape[1] != b.shape[1]:
        axes.text(
            0.5, 0.5, f"{a.shape[1]} and {b.shape[1]} dimensions:\nno cosine", ha="center", fontsize=9, color=GREY
        )
        axes.set_axis_off()
        return
    here = np.flatnonzero(np.isfinite(a).all(axis=1) & np.isfinite(b).all(axis=1))
    shuffled = np.random.default_rng(study.seed).permutation(here)
    bins = np.linspace(-1, 1, 81)
    for values, name, colour in (
        (1 - cosine_mismatch(a[here], b[here]), "matched", COLOURS[0]),
        (1 - cosine_mismatch(a[here], b[shuffled]), "shuffled", COLOURS[1]),
    ):
        axes.hist(values, bins, density=True, alpha=0.5, color=colour, label=name)
    plain(axes, f"{shown(encoder)}: image–spectrum cosine", "cosine", "density")
    axes.legend(fontsize=8, frameon=False)
