"""What the study of spectra is made of: a survey with its rarities raised, labels, spectra, and splits by object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from explorer.pipeline._study_models import LENGTH
from explorer.survey.progress import Progress
from explorer.survey.store import Survey
from kernels.search.knowledge_base import KnowledgeBase

THREE = {"star-forming": "star-forming", "Seyfert": "AGN", "LINER": "AGN", "normal": "normal"}
OUTLIERS = ("broad-line-agn", "post-starburst", "sky-residual")


def make_survey(path: Path, n: int, seed: int = 0, progress: Progress | None = None) -> Path:
    """Write ``n`` spectra of ``simulated-sdss`` with its rarities raised to some per cent each, and no images."""
    from explorer.survey.simulate import write
    from explorer.survey.simulate.recipe import load

    rates = {"lens": 0.05, **dict.fromkeys(OUTLIERS, 0.02)}
    recipe = replace(load("simulated-sdss"), name="simulated-sdss-search", image=None, rates=rates)
    return write(recipe, path, n, seed=seed, progress=progress)


@dataclass
class Material:
    """What a study is made of: labels are text, "" where unknown; every array has n entries."""

    spaces: dict[str, np.ndarray]
    flux: np.ndarray
    three: np.ndarray
    five: np.ndarray
    truth: np.ndarray
    snr: np.ndarray
    z: np.ndarray
    objects: np.ndarray

    def split(self, seed: int, share: float = 0.6) -> tuple[np.ndarray, np.ndarray]:
        """Rows of knowledge base and test set: an object is in one of them only."""
        names, at = np.unique(self.objects, return_inverse=True)
        chosen = np.random.default_rng(seed).permutation(len(names)) < share * len(names)
        return np.flatnonzero(chosen[at]), np.flatnonzero(~chosen[at])

    def base(self, space: str, rows: np.ndarray, **columns: np.ndarray) -> KnowledgeBase:
        """A knowledge base of some rows."""
        told = {name: values[rows] for name, values in columns.items()}
        kb = KnowledgeBase(space=space, method="exact")
        return kb.fit(self.spaces[space][rows], told, ids=rows.astype(str), objects=self.objects[rows])


def material(survey: Survey, spaces: Sequence[str] = ()) -> Material:
    """Read a survey's spectrum spaces, its spectra as P1.1 has them, and its labels.

    ``bpt`` is the class by measured lines; where the survey has a second opinion (``bpt_truth``) only rows on which
    both agree have a class, as in P1.5. ``truth`` names lenses and outliers.
    """
    from explorer.pipeline.batches import common_grid, spectrum_batch
    from kernels.preprocess.spectra import galspec

    named = list(spaces) or [s for s in survey.spaces if s.endswith("/spectrum")]
    if not named:
        raise ValueError(f"{survey.name} has no space of spectra: explorer prepare {survey.path} first")
    for column in ("bpt", "z"):
        if column not in survey.columns:
            raise ValueError(f"{survey.name} has no column {column!r}, which the study takes its classes from")
    vectors = {s: survey.embedding(s) for s in named}
    rows = np.flatnonzero(np.logical_and.reduce([np.isfinite(v).all(axis=1) for v in vectors.values()]))
    bpt = survey.column("bpt")[rows].astype(str)
    truth = survey.column("truth")[rows].astype(str) if "truth" in survey.columns else np.full(len(rows), "normal")
    agreed = bpt
    if "bpt_truth" in survey.columns:
        agreed = np.where(bpt == survey.column("bpt_truth")[rows].astype(str), bpt, "")
    three = np.array([THREE.get(c, "") for c in agreed.tolist()])
    three = np.where(truth == "normal", three, "")
    z = np.asarray(survey.column("z"), np.float64)[rows]
    grid, flux = common_grid(survey), np.zeros((len(rows), LENGTH), np.float32)
    for start in range(0, len(rows), 512):
        part = slice(start, start + 512)
        batch = spectrum_batch(survey, rows[part], grid)
        made = galspec(grid, batch.flux, batch.ivar, z[part]).flux
        flux[part] = np.nan_to_num(made).reshape(len(made), LENGTH, -1).mean(axis=2)
    snr = survey.column("snr_spectrum")[rows] if "snr_spectrum" in survey.columns else np.full(len(rows), np.nan)
    here = {s: np.asarray(v[rows], np.float32) for s, v in vectors.items()}
    objects = survey.object_ids[rows].astype(str)
    return Material(here, flux, three, agreed, truth, np.asarray(snr, np.float64), z, objects)
