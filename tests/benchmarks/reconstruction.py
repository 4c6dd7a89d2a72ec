"""Hidden stretches of real quasar spectra told from the rest (P1.2), beside gappy PCA and interpolation.

Each BOSS spectrum has contiguous good stretches hidden; what is told for them is judged by the ivar-weighted squared
error a sample. Gappy PCA has as many components as the encoder has dimensions and was fitted on the same spectra, its
coefficients are the most probable ones given noise and scatter (Tipping & Bishop 1999). Interpolation is a straight
line across the gap, between weighted means of 24 samples on either side or between the two samples at its edges, or the
mean of a random walk seen through the noise, whose step was chosen on simulated spectra.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.linalg import solveh_banded

from explorer.pipeline._shipped_galspec import GALAXIES, QUASARS, SIMULATION, wide_spectra
from explorer.survey.resources import data_path
from kernels.embedding.batches import Spectra
from kernels.embedding.encoders.galspec import GalSpec, inputs, prepared
from kernels.embedding.spectral_basis import Basis, line_across, most_probable, trust
from tests.benchmarks._run import Row

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options: the data's root, the weights, lengths of the stretches."""
    root = os.environ.get("EXPLORER_TEST_DATA", "../shared/data")
    parser.add_argument("--data-root", type=Path, default=Path(root), help="folder that holds boss_quasars")
    parser.add_argument("--galspec-weights", type=Path, default=None, help="by default those that ship")
    parser.add_argument("--pca-galaxies", type=int, default=GALAXIES, help="of the training set of gappy PCA")
    parser.add_argument("--pca-quasars", type=int, default=QUASARS)
    parser.add_argument("--spans", type=int, nargs="+", default=[40, 80, 160], help="lengths in samples of 1.4 Å")


def run(options: argparse.Namespace) -> list[Row]:
    """All figures."""
    encoder = GalSpec().load(options.galspec_weights or data_path("weights") / GalSpec.weights["spectrum"])
    files = sorted((options.data_root / "boss_quasars").rglob("spec-*.fits"))
    flux, ivar = read(files)
    basis = components(encoder.dim, options.pca_galaxies, options.pca_quasars)
    rows = [row for span in options.spans for row in compared(encoder, basis, flux, ivar, span)]
    epochs = sorted((options.data_root / "sdss_qso_epochs_rm017").rglob("spec-*.fits"))
    return rows + (near_duplicates(encoder, files, epochs) if epochs else [])


def components(k: int, galaxies: int, others: int) -> Basis:
    """Principal components of the spectra that the shipped encoder was trained on."""
    batch = wide_spectra(galaxies, others, SIMULATION)
    parts = [
        inputs(Spectra(batch.wavelength, batch.flux[i : i + 512], batch.ivar[i : i + 512]))
        for i in range(0, len(batch), 512)
    ]
    flux, weight = (np.concatenate([p[name] for p in parts]) for name in ("flux", "weight"))
    return Basis(flux.shape[1], k).fit(flux, weight)


def read(files: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """(n, 3688) flux and ivar of SDSS spectra in units of their median."""
    told = [prepared(spectrum(path)) for path in files]
    return np.concatenate([t[0] for t in told]), np.concatenate([t[1] for t in told])


def spectrum(path: Path) -> Spectra:
    """One SDSS file as a block of one."""
    from astropy.io import fits

    with fits.open(path) as hdus:
        data = hdus[1].data
        have = {name.lower(): name for name in data.dtype.names}
        columns = [np.asarray(data[have[n]], np.float64) for n in ("loglam", "flux", "ivar", "and_mask")]
    loglam, flux, ivar, mask = columns
    return Spectra(10**loglam, flux[None], np.where(mask == 0, ivar, 0.0)[None])


def hidden_stretches(ivar: np.ndarray, span: int, seed: int, share: float = 0.2) -> np.ndarray:
    """(n, m) bool: stretches of ``span`` samples that are good throughout, apart, until ``share`` is hidden."""
    rng = np.random.default_rng(seed)
    hidden = np.zeros(ivar.shape, bool)
    for row in range(len(ivar)):
        good = np.convolve(ivar[row] > 0, np.ones(span), "valid") > span - 0.5
        starts = rng.permutation(np.flatnonzero(good))
        for start in starts:
            if hidden[row].sum() >= share * ivar.shape[1]:
                break
            around = slice(max(0, start - 2 * span), start + 3 * span)
            if not hidden[row, around].any():
                hidden[row, start : start + span] = True
    return hidden


def compared(encoder: GalSpec, basis: Basis, flux: np.ndarray, ivar: np.ndarray, span: int) -> list[Row]:
    """Weighted error a sample of the encoder and its peers on the same stretches, with a bootstrap over spectra."""
    hidden = hidden_stretches(ivar, span, span)
    shown = np.where(hidden, 0.0, ivar).astype(np.float32)
    flux_, shown_ = torch.from_numpy(flux), torch.from_numpy(shown)
    edge = np.stack([np.interp(np.arange(flux.shape[1]), np.flatnonzero(w > 0), f[w > 0]) if (w > 0).any() else f
                     for f, w in zip(flux, shown, strict=True)])  # fmt: skip
    told = {
        "ours": encoder.fill(flux, ivar, hidden),
        "gappy PCA": most_probable(basis, flux_, shown_).numpy(),
        "line": line_across(flux_, trust(shown_), shown_ > 0).numpy(),
        "edge samples": edge,
        "random walk": np.stack([random_walk(f, w) for f, w in zip(flux, shown, strict=True)]),
    }
    count = hidden.sum(axis=1)
    error = {k: (np.where(hidden, (v - flux) ** 2 * ivar, 0)).sum(axis=1) for k, v in told.items()}
    some = count > 0
    rng = np.random.default_rng(0)
    pick = rng.integers(0, some.sum(), (2000, some.sum()))
    rows = []
    for peer in ("gappy PCA", "line", "edge samples", "random walk"):
        apart = (error["ours"] - error[peer])[some]
        spread = np.percentile(apart[pick].sum(axis=1) / count[some][pick].sum(axis=1), [2.5, 97.5])
        extra: dict[str, Any] = {"spectra": int(some.sum()), "samples": int(count.sum())}
        extra |= {"low": float(spread[0]), "high": float(spread[1]), "better_in": float((apart < 0).mean())}
        what = f"ivar-weighted squared error a sample, stretches of {span} samples hidden in real BOSS quasars"
        ours, other = (float(error[k].sum() / count.sum()) for k in ("ours", peer))
        rows.append(Row(f"reconstruction.{span}/{peer}", what, ours, other, "chi2/n", "less", 1.0, extra))
    return rows


def random_walk(flux: np.ndarray, ivar: np.ndarray, step: float = 3e-4) -> np.ndarray:
    """(m,) mean of a walk of variance ``step`` a sample, given noisy samples; those of ivar 0 are not looked at."""
    stiff = np.full(len(flux), 2 / step)
    stiff[[0, -1]] = 1 / step
    bands = np.stack([np.full(len(flux), -1 / step), stiff + ivar + 1e-9])
    return solveh_banded(bands, ivar.astype(np.float64) * flux)


def near_duplicates(encoder: GalSpec, files: list[Path], epochs: list[Path]) -> list[Row]:
    """Share of RM017's epochs whose nearest neighbour, among its epochs and all BOSS quasars, is another epoch."""
    paths = [*epochs, *files]
    vectors = np.concatenate([encoder.encode(spectrum(p)) for p in paths])
    same = np.arange(len(paths)) < len(epochs)
    unit = (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)
    away = ((unit[:, None] - unit[None]) ** 2).sum(axis=2)
    np.fill_diagonal(away, np.inf)
    flux = read(paths)[0]
    raw = ((flux[:, None, ::4] - flux[None, :, ::4]) ** 2).sum(axis=2)
    np.fill_diagonal(raw, np.inf)
    ours, pixels = (float(same[a.argmin(axis=1)][same].mean()) for a in (away, raw))
    what = f"recall@1 of {len(epochs)} epochs of RM017 among {len(paths)} real quasar spectra; peer: raw samples"
    return [Row("reconstruction.rm017/pixels", what, ours, pixels, "recall", "more")]
