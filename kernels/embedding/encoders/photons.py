"""Photons in plain numbers: the baseline that an encoder of events or of X-ray spectra must beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kernels.embedding.batches import Batch, Events, XSpectra

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
CELLS = (4, 16, 64)
PERIODS = 48


class Photons:
    """Energy quantiles and a timing summary of event lists; principal components of X-ray spectra.

    Events (P3 and P2 compute such numbers for their tables): log counts and log rate, the shares in 0.5-1.2, 1.2-2 and
    2-7 keV, quantiles of log energy, and of the light curve in live time its excess variance at 4, 16 and 64 cells,
    the highest and the lowest of 16 cells, and the strongest power among 48 periods. Without energies their places
    hold those of the typical source. No event: NaN.

    Spectra: square roots of the min-max normalised rates of P3.1 (a square root makes Poisson noise even), 400 bins
    averaged by fives, then principal components. No exposure: NaN.

    Parameters
    ----------
    modality : ``"events"`` or ``"xspectrum"``.
    dim : components kept of spectra.
    random_state : seed of the randomised decomposition.
    device : unused.
    """

    name = "photons"
    modalities = ("events", "xspectrum")
    fit_rows = 20_000

    def __init__(self, modality: str, dim: int = 24, random_state: int = 0, device: str | None = None):
        if modality not in self.modalities:
            raise ValueError(f"the photons encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.dim, self.random_state, self.device = modality, dim, random_state, device

    def fit(self, batches: Iterable[Batch]) -> Photons:
        """Centre and scale of each number, and the components of spectra; returns self."""
        from sklearn.utils.extmath import randomized_svd

        rows = np.concatenate([self._numbers(b) for b in batches])
        rows = rows[~np.isnan(rows).all(axis=1)]
        if not len(rows):
            raise ValueError(f"photons needs at least one object with {self.modality} to fit on")
        some = np.isfinite(rows).any(axis=0)
        self.mean_ = np.where(some, np.nanmean(np.where(some, rows, 0.0), axis=0), 0.0).astype(np.float32)
        if self.modality == "events":
            spread = np.nanstd(np.where(some, rows, 0.0), axis=0)
            self.components_ = np.diag(1 / np.where(spread > 1e-9, spread, 1)).astype(np.float32)
            return self
        rank = max(1, min(self.dim, *rows.shape))
        centred = np.nan_to_num(rows - self.mean_)
        self.components_ = randomized_svd(centred, rank, random_state=self.random_state)[2].astype(np.float32)
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, dim) float32; NaN rows for sources without photons or exposure."""
        rows = self._numbers(batch)
        empty = np.isnan(rows).all(axis=1)
        out = np.nan_to_num(rows - self.mean_) @ self.components_.T
        out[empty] = np.nan
        return out.astype(np.float32)

    def _numbers(self, batch: Batch) -> np.ndarray:
        if isinstance(batch, Events):
            return np.array([_of_source(*batch.source(i)) for i in range(len(batch))]).reshape(len(batch), -1)
        if not isinstance(batch, XSpectra):
            raise ValueError(f"photons is given {type(batch).__name__}, not events or X-ray spectra")
        rate = np.where(np.isfinite(batch.rate), batch.rate, 0.0).astype(np.float64)
        by = 5 if rate.shape[1] % 5 == 0 else 1
        rate = rate.reshape(len(rate), -1, by).mean(axis=2)
        low, high = rate.min(axis=1, keepdims=True), rate.max(axis=1, keepdims=True)
        shape = np.sqrt((rate - low) / np.where(high > low, high - low, 1))
        shape[~(np.asarray(batch.exposure) > 0)] = np.nan
        return shape

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """(n, Σ dim): each modality standardised along each component, then side by side."""
        parts = []
        for v in vectors.values():
            spread = np.nanstd(v, axis=0)
            parts.append((v - np.nanmean(v, axis=0)) / np.where(spread > 0, spread, 1))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays, as they are saved."""
        return {"mean_": self.mean_, "components_": self.components_}

    def load_state(self, state: dict[str, np.ndarray]) -> Photons:
        """Take back what :meth:`state` gave; returns self."""
        self.mean_, self.components_ = np.asarray(state["mean_"]), np.asarray(state["components_"])
        return self


WIDTH = 2 + 3 + len(QUANTILES) + len(CELLS) + 3
"""Numbers of an event list."""


def _of_source(time: np.ndarray, energy: np.ndarray, gti: np.ndarray) -> np.ndarray:
    """(WIDTH,) the numbers of one source; NaN all where it has no photon or no good time."""
    spans = gti[:, 1] - gti[:, 0] if len(gti) else np.empty(0)
    if not len(time) or not spans.sum() > 0:
        return np.full(WIDTH, np.nan)
    at = np.clip(np.searchsorted(gti[:, 0], time, side="right") - 1, 0, None)
    inside = (time >= gti[0, 0]) & (time <= gti[at, 1])
    time, energy, at = time[inside], energy[inside], at[inside]
    if not len(time):
        return np.full(WIDTH, np.nan)
    live, n = float(spans.sum()), len(time)
    phase = ((np.cumsum(spans) - spans)[at] + time - gti[at, 0]) / live  # place in live time, 0 to 1
    known = energy[np.isfinite(energy)].astype(np.float64)
    if len(known):
        bands = [np.mean((known >= lo) & (known < hi)) for lo, hi in ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))]
        hard = [*bands, *np.quantile(np.log10(np.maximum(known, 1e-3)), QUANTILES)]
    else:
        hard = [np.nan] * (3 + len(QUANTILES))
    excess, counts = [], np.empty(0)
    for cells in CELLS:
        counts = np.histogram(phase, cells, (0, 1))[0]
        excess.append(np.arcsinh((counts.var() - n / cells) / np.sqrt(n)))
    of16 = np.histogram(phase, 16, (0, 1))[0]
    turns = np.exp(2j * np.pi * phase[:, None] * np.geomspace(3, 45, PERIODS))
    power = np.log1p((np.abs(turns.sum(axis=0)) ** 2 / n).max())
    extremes = [np.log10((of16.max() + 1) * 16 / (n + 16)), np.log10((of16.min() + 1) * 16 / (n + 16))]
    return np.array([np.log10(n), np.log10(n / live), *hard, *excess, *extremes, power])
