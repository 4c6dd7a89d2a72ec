"""Table 2: what the spaces know of redshift, mass and star formation, and in how many dimensions (P0.12)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from explorer.pipeline.report.parts import Part
from explorer.pipeline.report.published import METRICS, TABLE_2, shown
from explorer.pipeline.roles import quantities
from kernels._parallel import in_threads
from kernels.scoring import probes

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study

ROWS = 6_000  # objects at most: beyond, a probe's figures move by less than its bootstrap error
PARAMETERS = 4
_OURS = {"R2": "lgbm_r2", "PR": "pr", "PES": "pes", "CWP": "cwp", "gap": "gap"}


def wanted(study: Study) -> list[str]:
    """The quantities that are probed."""
    return quantities(study.survey, PARAMETERS)


def make(study: Study) -> Part:
    """Mean and standard deviation over quantities, beside the published ones, and every probe by itself."""
    part = Part("Table 2 · What the spaces know of physical quantities")
    names = wanted(study)
    if not names:
        part.sentences.append("The catalogue has no redshift, mass or star-formation rate to probe for.")
        return part
    try:
        import lightgbm  # noqa: F401
    except ImportError:
        part.sentences.append("Probes need LightGBM: pip install 'astro-explorer[probes]'.")
        return part
    every, summed = [], []
    for space in study.spaces:
        made = in_threads(partial(_probe, study, space, name) for name in names)
        found = [p for p in made if p is not None]
        every += [{"space": space, **p.row()} for p in found]
        if found:
            summed.append(_summary(space, found))
    part.tables["table2_probes"] = pd.DataFrame(summed)
    part.tables["table2_probes_each"] = pd.DataFrame(every)
    best = max(summed, key=lambda r: r["R2"], default=None)
    if best:
        part.sentences.append(
            f"Mean and standard deviation over {', '.join(names)}. Best known by {best['space']}: R² {best['R2']:.2f} "
            f"with LightGBM, of which {best['gap']:+.2f} is not linear. At most {ROWS:,} objects a probe."
        )
    return part


def _probe(study: Study, space: str, name: str) -> probes.Probe | None:
    survey = study.survey
    vectors, values = survey.embedding(space), np.asarray(survey.column(name), dtype=np.float64)
    known = np.flatnonzero(np.isfinite(vectors).all(axis=1) & np.isfinite(values))
    if len(known) < probes.LEAST or np.ptp(values[known]) == 0:
        return None
    rows = np.sort(np.random.default_rng(study.seed).permutation(known)[:ROWS])
    return probes.probe(
        vectors[rows],
        values[rows],
        name,
        groups=survey.object_ids[rows],
        explained=1000,
        random_state=study.seed,
        n_jobs=1,
        n_estimators=60,
    )


def _summary(space: str, found: list[probes.Probe]) -> dict[str, Any]:
    told = probes.summary(found)
    encoder, modality = space.split("/")
    row: dict[str, Any] = {"space": space, "quantities": len(found)}
    published = dict(zip(METRICS, TABLE_2.get((shown(encoder), modality), ()), strict=False))
    for metric in METRICS:
        row[metric], row[f"{metric} ±"] = told[_OURS[metric]]
        if published:
            row[f"published {metric}"], row[f"published {metric} ±"] = published[metric]
    return row
