"""What an encoder's space shows beside PCA's: rarities at the top, redshift in the UMAP, epochs of one real quasar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tests.benchmarks._run import Row

SHARES = (0.005, 0.01, 0.02, 0.05, 0.1)
"""Shares of all objects at which recovery is told."""


def recovery(at: str, vectors: np.ndarray, linear: np.ndarray, truth: dict[str, np.ndarray]) -> list[Row]:
    """Share of all planted objects within the top of an isolation forest, at several budgets, class by class."""
    names = truth["truth"]
    planted = names != "normal"
    ours, peer = places(vectors), places(linear)
    rows = []
    for share in SHARES:
        budget = max(1, round(share * len(names)))
        u, v = ours < budget, peer < budget
        extra: dict[str, Any] = {}
        worse = []
        for name in np.unique(names[planted]):
            here = names == name
            extra[str(name)] = f"{u[here].mean():.2f} ({v[here].mean():.2f}) of {here.sum()}"
            worse += [str(name)] if u[here].mean() < v[here].mean() else []
        extra["worse"] = ", ".join(worse) or "none"
        what = f"share of rarities and artefacts in the top {share:.1%} of an isolation forest; peer: PCA; ours (PCA's)"
        found, other = float(u[planted].mean()), float(v[planted].mean())
        rows.append(Row(f"encoders.recovery/{at}/{share:.1%}", what, found, other, "share", "more", extra=extra))
    return rows


def places(vectors: np.ndarray) -> np.ndarray:
    """(n,) int64 place of each object by the score of an isolation forest on standardised columns, 0 the highest."""
    from kernels.scoring import SCORERS

    standard = (vectors - vectors.mean(axis=0)) / np.maximum(vectors.std(axis=0), 1e-9)
    scores = SCORERS.get("isolation-forest")(random_state=0).fit_score(standard.astype(np.float32))
    return np.argsort(np.argsort(-scores, kind="stable"))


def gradient(at: str, vectors: np.ndarray, linear: np.ndarray, truth: dict[str, np.ndarray]) -> Row:
    """How much of the redshift a place in the UMAP tells."""
    found, other = (told_by_place(x, truth["z_true"]) for x in (vectors, linear))
    what = "R2 of redshift from the place in the 2-D UMAP, 10 neighbours, 5 folds; peer: PCA of the same dimension"
    return Row(f"encoders.layout/{at}", what, found, other, "R2", "more", extra={"objects": len(vectors)})


def told_by_place(vectors: np.ndarray, value: np.ndarray) -> float:
    """R2 of a quantity (n,) from the neighbours in the UMAP of standardised columns, whatever the quantity is."""
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.neighbors import KNeighborsRegressor

    from kernels.layout import UMAP

    known = np.isfinite(value)
    standard = (vectors - vectors.mean(axis=0)) / np.maximum(vectors.std(axis=0), 1e-9)
    place = UMAP(random_state=0).fit_transform(standard.astype(np.float32))[known]
    folds = KFold(5, shuffle=True, random_state=0)
    told = cross_val_predict(KNeighborsRegressor(10), place, value[known], cv=folds)
    return float(1 - ((told - value[known]) ** 2).sum() / ((value[known] - value[known].mean()) ** 2).sum())


def epochs(names: list[str], root: Path) -> list[Row]:
    """Recall@1 of the epochs of the quasar RM017 among themselves and other quasars of SDSS; none without the data."""
    from kernels.embedding.batches import Spectra
    from kernels.embedding.encoders.pca import PCA
    from kernels.preprocess.spectra import GRID_P1
    from tests.benchmarks.encoders import encoder_of
    from tests.benchmarks.reconstruction import read

    own = sorted((root / "sdss_qso_epochs_rm017").rglob("spec-*.fits"))
    others = sorted((root / "boss_quasars").rglob("spec-*.fits"))
    if not own or not others:
        return []
    flux, ivar = read([*own, *others])
    some = (ivar > 0).any(axis=1)
    same = (np.arange(len(flux)) < len(own))[some]
    batch = Spectra(GRID_P1, flux[some], ivar[some])
    raw = share_of_own(batch.flux[:, ::4], same)
    rows = []
    for name in names:
        vectors = encoder_of(name, "spectrum", batch).encode(batch)
        linear = PCA("spectrum", vectors.shape[1]).fit([batch]).encode(batch)
        what = f"recall@1 of {same.sum()} epochs of RM017 among {len(same)} real quasar spectra; peer: PCA"
        extra: dict[str, Any] = {"raw_pixels": round(raw, 4), "dims": vectors.shape[1]}
        found, other = share_of_own(vectors, same), share_of_own(linear, same)
        rows.append(Row(f"encoders.epochs/{name}-spectrum", what, found, other, "recall", "more", extra=extra))
    return rows


def share_of_own(vectors: np.ndarray, same: np.ndarray) -> float:
    """Share of the rows of ``same`` whose nearest other row, columns standardised, is of ``same`` too."""
    unit = (vectors - vectors.mean(axis=0)) / np.maximum(vectors.std(axis=0), 1e-9)
    square = (unit.astype(np.float64) ** 2).sum(axis=1)
    away = square[:, None] + square - 2 * unit @ unit.T.astype(np.float64)
    np.fill_diagonal(away, np.inf)
    return float(same[away.argmin(axis=1)][same].mean())
