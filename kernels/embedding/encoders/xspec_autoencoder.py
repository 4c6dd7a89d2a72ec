"""Transformer autoencoder of X-ray spectra: 400 bins of count rate to 64 numbers (P3.1)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from kernels.embedding.batches import Batch, XSpectra
from kernels.embedding.models.xray_autoencoder import XrayAutoencoder
from kernels.embedding.training import Settings, Training
from kernels.preprocess.xray import BINS, HIGH, LOW, bin_edges

SIZES = {"dim": 64, "depth": 2, "heads": 4, "patch": 10}
SMOOTH = 3.0
"""Standard deviation in bins of 19 eV that ``correct`` smooths spectra by: a CCD's own resolution."""
CHUNK = 512


class XspecAutoencoder:
    """Vectors of X-ray spectra from a transformer autoencoder trained on the mean absolute error.

    ``how="correct"`` smooths the count rates by the detector's resolution before the min-max normalisation: in a
    spectrum of 100 counts most of the 400 bins are empty, their median is 0, and an autoencoder of the mean absolute
    error answers with nothing. ``how="parity"`` takes the bins as they are, as the paper says.

    A bin whose rate is not finite counts as empty; a spectrum without exposure or counts has NaN for a vector, and
    :meth:`reasons` says why.

    Parameters
    ----------
    modality : ``"xspectrum"``.
    random_state : seed of the untrained weights.
    """

    name = "xspec-autoencoder"
    modalities = ("xspectrum",)
    dim = 64
    fit_rows = 1
    weights: ClassVar[dict[str, str]] = {"xspectrum": "xspec-autoencoder-xspectrum.safetensors"}
    trainings: ClassVar[tuple[tuple[str, ...], ...]] = (("xspectrum",),)

    def __init__(
        self, modality: str = "xspectrum", random_state: int = 0, device: str | None = None, how: str = "correct"
    ):
        if modality not in self.modalities:
            raise ValueError(f"the xspec-autoencoder knows {self.modalities}, not {modality!r}")
        if how not in ("correct", "parity"):
            raise ValueError(f"how={how!r} is unknown: choose 'correct' or 'parity'")
        self.modality, self.random_state, self.device, self.how = modality, random_state, device, how
        with torch.random.fork_rng([]):
            torch.manual_seed(random_state)
            self.model_ = XrayAutoencoder(BINS, self.dim, **SIZES).to(device or "cpu").eval()

    def fit(self, batches: Iterable[Batch]) -> XspecAutoencoder:
        """Nothing to adapt: each spectrum has its own scale; returns self."""
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, 64) float32; NaN for a spectrum that :meth:`reasons` names."""
        counts, why = _counts(batch)
        good = np.flatnonzero([not w for w in why])
        out = np.full((len(counts), self.dim), np.nan, dtype=np.float32)
        for low in range(0, len(good), CHUNK):
            rows = good[low : low + CHUNK]
            with torch.no_grad():
                x = scaled(torch.from_numpy(counts[rows]).to(self.device or "cpu"), self.how)
                out[rows] = self.model_.encode(x).numpy(force=True)
        lost = [w for w in why if w]
        if lost:
            warnings.warn(f"{len(lost)} of {len(why)} spectra have no vector: {lost[0]}, ...", stacklevel=2)
        return out

    def reconstruct(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """``(given, told)``, both (n, 400) float32 in about [0, 1]: what the network saw, and what it made of it."""
        counts, _ = _counts(batch)
        with torch.no_grad():
            x = scaled(torch.from_numpy(counts).to(self.device or "cpu"), self.how)
            return x.numpy(force=True), self.model_(x).numpy(force=True)

    def reasons(self, batch: Batch) -> list[str]:
        """(n,) why a spectrum has no vector, "" where it has one."""
        return _counts(batch)[1]

    # -- weights --------------------

    def load(self, path: str | os.PathLike[str]) -> XspecAutoencoder:
        """Take weights from a file; returns self."""
        from kernels.embedding.files import load_into, load_weights

        load_into(self.model_, load_weights(path), self.name)
        self.model_.eval()
        return self

    def state(self) -> dict[str, np.ndarray]:
        """The network's arrays, as they are saved."""
        return {k: v.numpy(force=True) for k, v in self.model_.state_dict().items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> XspecAutoencoder:
        """Take back what :meth:`state` gave; returns self."""
        self.model_.load_state_dict({k: torch.as_tensor(np.asarray(v)) for k, v in state.items()})
        return self

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """There is one modality, so the joint vectors are its own."""
        return next(iter(vectors.values()))

    @classmethod
    def training(
        cls,
        parts: tuple[str, ...],
        sample: Mapping[str, Batch],
        random_state: int = 0,
        start: Mapping[str, Path] | None = None,
    ) -> Training:
        """Mean absolute error of the spectrum from a part of its counts."""
        encoder = cls("xspectrum", random_state)
        if start and "xspectrum" in start:
            encoder.load(start["xspectrum"])
        return Training(
            model=encoder.model_,
            objective=denoising,
            settings=Settings(steps=3000, batch=128, lr=1e-3, seed=random_state),
            inputs=lambda batches: {"counts": _counts(batches["xspectrum"])[0].astype(np.float16)},
            weights=lambda model: {"xspectrum": model.state_dict()},
        )


def scaled(counts: Tensor, how: str = "correct") -> Tensor:
    """(b, bins) counts to rates between 0 (lowest bin) and 1 (highest); 0 where all are equal. See ``how`` above."""
    if how == "correct":
        reach = int(4 * SMOOTH)
        at = torch.arange(-reach, reach + 1, device=counts.device, dtype=counts.dtype)
        kernel = torch.exp(-0.5 * (at / SMOOTH) ** 2)
        padded = nn.functional.pad(counts[:, None], (reach, reach), mode="replicate")
        counts = nn.functional.conv1d(padded, (kernel / kernel.sum())[None, None])[:, 0]
    low, high = counts.amin(dim=1, keepdim=True), counts.amax(dim=1, keepdim=True)
    return torch.where(high > low, (counts - low) / (high - low).clamp(min=1e-12), torch.zeros_like(counts))


def denoising(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Mean absolute error between the whole spectrum and what the network makes of a random part of its counts."""
    whole = batch["counts"].clamp(min=0)
    share = 0.4 + 0.6 * torch.rand(len(whole), 1, device=whole.device)
    part = torch.binomial(whole.round(), share.expand_as(whole))
    seen = torch.where(torch.rand(len(whole), 1, device=whole.device) < 0.5, batch["counts"], part)
    return {"loss": (model(scaled(seen)) - scaled(batch["counts"])).abs().mean()}


def _counts(batch: Any) -> tuple[np.ndarray, list[str]]:
    """Net counts in the 400 bins, (n, 400) float32, and why a spectrum cannot be used."""
    if not isinstance(batch, XSpectra):
        raise ValueError(f"the xspec-autoencoder encodes X-ray spectra and is given {type(batch).__name__}")
    if len(batch.edges) != BINS + 1 or not np.allclose(batch.edges, bin_edges(), atol=1e-6):
        raise ValueError(
            f"these spectra lie on {len(batch.edges) - 1} bins over {batch.edges[0]:g}-{batch.edges[-1]:g} keV; the "
            f"autoencoder reads {BINS} bins over {LOW:g}-{HIGH:g} keV: kernels.preprocess.xray makes them"
        )
    exposed = np.isfinite(batch.exposure) & (batch.exposure > 0)
    known = np.isfinite(batch.rate)
    seconds = np.where(exposed, batch.exposure, 0.0)[:, None]
    counts = np.where(known, batch.rate, 0.0) * seconds * np.diff(batch.edges)
    why = [
        "no exposure" if not exposed[i] else "no finite rate" if not known[i].any() else
        "no counts in 0.5-8 keV" if not np.abs(counts[i]).sum() > 0 else ""
        for i in range(len(counts))
    ]  # fmt: skip
    return counts.astype(np.float32), why
