"""Redshifts of real spectra by retrieval (P1.10): each object from the others, its many epochs counted once."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from explorer.pipeline._study_table import Table
from explorer.pipeline.contrast import contrasts
from explorer.survey.store import Survey
from kernels.search.calibration import RedshiftErrors, redshift_errors
from kernels.search.knowledge_base import KnowledgeBase

OBSERVED = "line contrasts, observed frame"
K = 3
HEAD = [
    "space", "objects", "spectra", "sigma_NMAD", "outliers > 0.15", "bias", "inside 68 % interval",
    "sigma_NMAD of the median", "outliers of the median", "sigma_NMAD if epochs leaked",
]  # fmt: skip
_DRAWS = 200


def quasars(sources: Sequence[Path]) -> Table:
    """The table of files or folders of spectra with redshifts, read by the readers and embedded here."""
    from explorer.pipeline.prepare import prepare
    from explorer.survey.ingest import ingest

    missing = [str(path) for path in sources if not Path(path).exists()]
    if missing:
        raise ValueError(f"{missing[0]} is not there: name files or folders of spectra")
    with tempfile.TemporaryDirectory(prefix="explorer-study-") as folder:
        dest = Path(folder) / "real"
        ingest([Path(path) for path in sources], dest, progress=lambda *_: None)
        survey = Survey.open(dest)
        prepare(survey, ["pca"], [], [], progress=lambda *_: None)
        return retrieved(survey)


def retrieved(survey: Survey, column: str = "z") -> Table:
    """The redshift of each object from the ``K`` most alike spectra of others, in two spaces that know no redshift.

    Half-widths are 95 % of resamples of the objects. Beside it: the median redshift for everything, and what comes out
    where epochs of one object may vote on each other, which is no retrieval at all.
    """
    z, x = np.asarray(survey.column(column), np.float64), survey.embedding("pca/spectrum")
    good = np.isfinite(x).all(axis=1) & np.isfinite(z)
    rows, objects = np.flatnonzero(good), survey.object_ids[good].astype(str)
    grid = np.exp(np.arange(np.log(3800.0), np.log(9100.0), 0.0012))
    lines = contrasts(survey, rows, 0.0, grid, 201, 3.0)
    lines = np.nan_to_num(lines / np.linalg.norm(lines, axis=1, keepdims=True))
    table = Table(f"P1.10 redshift of real spectra by retrieval, K = {K}, each object once", HEAD)
    for space, vectors in (("pca/spectrum", x[good]), (OBSERVED, lines)):
        table.add(*_line(space, vectors, z[good], objects, survey.ids[good]))
    table.notes = ["mean ± half-width over resamples of the objects"]
    return table


def _line(space: str, x: np.ndarray, z: np.ndarray, objects: np.ndarray, ids: np.ndarray) -> list[object]:
    kb = KnowledgeBase(method="exact", space=space).fit(x, {"z": z}, ids=ids, objects=objects)
    value, low, high = kb.estimate(x, "z", k=K, objects=objects)
    found, blind = redshift_errors(value, z, objects), redshift_errors(np.full(len(z), np.median(z)), z, objects)
    leaked = KnowledgeBase(method="exact").fit(x, {"z": z}).estimate(x, "z", k=K)[0]
    draws = _resampled(value, z, objects)
    inside = float(np.mean((low <= z) & (z <= high)))
    return [
        space, found.n, len(z), _about(found.nmad, [d.nmad for d in draws]),
        _about(found.outliers, [d.outliers for d in draws]), found.bias, inside, blind.nmad, blind.outliers,
        redshift_errors(leaked, z).nmad,
    ]  # fmt: skip


def _resampled(value: np.ndarray, z: np.ndarray, objects: np.ndarray) -> list[RedshiftErrors]:
    """Errors of objects drawn with replacement."""
    names, at = np.unique(objects, return_inverse=True)
    one = np.array([np.nanmedian(value[at == i]) for i in range(len(names))])
    true = np.array([np.nanmedian(z[at == i]) for i in range(len(names))])
    rng = np.random.default_rng(0)
    draws = (rng.integers(0, len(names), len(names)) for _ in range(_DRAWS))
    return [redshift_errors(one[d], true[d]) for d in draws]


def _about(value: float, draws: list[float]) -> str:
    low, high = np.quantile(draws, [0.025, 0.975])
    return f"{value:.4f} ±{(high - low) / 2:.4f}".replace("±0.", "±.")
