"""Outliers that are interesting before outliers that are artefacts: a score with a prior learnt from marks (P3.8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from explorer.survey.store import Survey
from kernels.embedding.align.evaluate import artefact_chance, with_prior

FEWEST = 4


def put_prior(
    survey: Survey,
    space: str,
    scorer: str,
    artefacts: Sequence[str],
    real: Sequence[str],
    features: str | None = None,
    weight: float = 1.0,
) -> str:
    """Store the score ``SCORER-real`` of a space: the place in its ranking times the chance of being real.

    The chance is learnt, from the vectors of ``features`` (the space itself, where None), on the ids that a person
    marked, or flags name, as ``artefacts`` and as ``real``. Returns the name of the score.
    """
    vectors = survey.embedding(features or space)
    score = survey.score(space, scorer)
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1) & ~np.isnan(score))
    at = {int(r): i for i, r in enumerate(rows)}
    said: list[tuple[int, bool]] = []
    for ids, bad in ((artefacts, True), (real, False)):
        said += [(at[int(r)], bad) for r in survey.rows_of(ids) if int(r) in at]
    marked, kinds = np.array([i for i, _ in said], int), np.array([k for _, k in said], bool)
    if min(kinds.sum(), (~kinds).sum()) < FEWEST:
        raise ValueError(
            f"{int(kinds.sum())} artefacts and {int((~kinds).sum())} real objects of {space} are marked: "
            f"{FEWEST} of each are needed"
        )
    chance = artefact_chance(vectors[rows], marked, kinds)
    order = np.where(np.isfinite(score[rows]), score[rows], np.inf)
    out = np.full(len(survey), np.nan)
    out[rows] = with_prior(order, chance, weight)
    name = f"{scorer}-real"
    told: dict[str, Any] = {"rows": len(survey), "features": features or space, "weight": weight}
    survey.put_score(space, name, out, told | {"marked": [int(kinds.sum()), int((~kinds).sum())]})
    return name
