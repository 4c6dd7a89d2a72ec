"""Which papers speak of which simulated source: some of one source alone, some of many sources of a field.

Shared papers stay within small groups of one block, so that sources and papers fall into many sets that have nothing
in common, and a split by both (:mod:`kernels.embedding.align.splits`) has enough of them to draw from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from explorer.survey.simulate.recipe import Recipe

YEARS = (2000, 2024)


@dataclass(frozen=True)
class Paper:
    """``name`` as the survey lists it, ``year``, and whether it is about a ``sample`` of sources."""

    name: str
    year: int
    sample: bool


def of_block(recipe: Recipe, block: int, fields: np.ndarray, rng: np.random.Generator) -> list[list[Paper]]:
    """For each source of a block, by its ``field`` (n,), the papers that speak of it; none for some sources.

    Options of the recipe: ``paper_group`` sources at most in a shared paper (6), ``paper_shared`` the chance that a
    group has one (0.75), ``paper_own`` the mean number beyond the first of papers about one source alone (0.8).
    ``parts.text`` is the share of sources that are written about.
    """
    told = recipe.options
    most, shared = int(told.get("paper_group", 6)), float(told.get("paper_shared", 0.75))
    out: list[list[Paper]] = [[] for _ in fields]
    written = rng.random(len(fields)) < recipe.parts.get("text", 0)
    number = 0

    def paper(sample: bool) -> Paper:
        nonlocal number
        number += 1
        return Paper(f"P{block:05d}-{number:03d}", int(rng.integers(YEARS[0], YEARS[1] + 1)), sample)

    for name in np.unique(fields.astype(str)):
        rows = rng.permutation(np.flatnonzero((fields == name) & written))
        while len(rows):
            group, rows = np.split(rows, [int(rng.integers(2, most + 1))])
            if len(group) > 1 and rng.random() < shared:
                common = paper(sample=True)
                for i in group:
                    out[i].append(common)
    for i in np.flatnonzero(written):
        out[i] += [paper(sample=False) for _ in range(min(1 + int(rng.poisson(float(told.get("paper_own", 0.8)))), 4))]
    return [sorted(found, key=lambda p: (p.year, p.name)) for found in out]
