"""GalSpecEncoder: optical spectra by what is missing from them (P1.2, P1.10)."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from kernels.embedding.batches import Batch, Spectra
from kernels.embedding.models.galspec import GalSpecEncoder, hidden_samples, mask_patches
from kernels.embedding.spectral_basis import FLOOR, interpolated, trust
from kernels.embedding.training import Settings, Training
from kernels.preprocess.spectra import GRID_P1, masked, resample

SMALL: dict[str, Any] = {
    "patch": 32, "overlap": 12, "dim": 64, "depth": 3, "heads": 4, "hybrid": True, "channels": 16,
}  # fmt: skip
PAPER: dict[str, Any] = {"patch": 15, "overlap": 10, "dim": 768, "depth": 6, "heads": 6}
SPANS = (20, 160)
"""Shortest and longest stretch that training hides, samples of 1.4 Å."""
CHUNK = 64


class GalSpec:
    """Vectors of spectra from a transformer that was trained to fill in hidden stretches.

    ``how="correct"`` hides contiguous stretches with every patch that touches them, and the network tells what lies
    above or below an interpolation across the gap: nothing, before it is trained; small, with a convolutional stem
    (P1.10). ``how="parity"`` is the paper's: 768 wide, 6 layers, patches of 15 overlapping by 10, hidden at random; its
    weights are not shipped.

    Spectra are brought to the paper's 3,688 samples over 3,850-9,000 Å and divided by the median of their valid
    samples (the flagged fallback of P1.1: an encoder is told no redshift). A spectrum without a valid sample there has
    NaN for a vector, and :meth:`reasons` says why.

    Parameters
    ----------
    modality : ``"spectrum"``.
    random_state : seed of the untrained weights.
    """

    name = "galspec"
    modalities = ("spectrum",)
    fit_rows = 1
    dim = 64
    weights: ClassVar[dict[str, str]] = {"spectrum": "galspec-spectrum.safetensors"}
    trainings: ClassVar[tuple[tuple[str, ...], ...]] = (("spectrum",),)

    def __init__(
        self, modality: str = "spectrum", random_state: int = 0, device: str | None = None, how: str = "correct"
    ):
        if modality not in self.modalities:
            raise ValueError(f"the galspec encoder knows {self.modalities}, not {modality!r}")
        if how not in ("correct", "parity"):
            raise ValueError(f"how={how!r} is unknown: choose 'correct' or 'parity'")
        self.modality, self.random_state, self.device, self.how = modality, random_state, device, how
        sizes = SMALL if how == "correct" else PAPER
        self.dim = sizes["dim"]
        with torch.random.fork_rng([]):
            torch.manual_seed(random_state)
            self.model_ = GalSpecEncoder(**sizes)
        if how == "correct":  # a correction to the interpolation, which is none as long as nothing was learned
            nn.init.zeros_(self.model_.head.weight)
            nn.init.zeros_(self.model_.head.bias)
        self.model_.to(device or "cpu").eval()

    def fit(self, batches: Iterable[Batch]) -> GalSpec:
        """Nothing to adapt: each spectrum has its own scale; returns self."""
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, dim) float32: the mean token of each spectrum; NaN for one that :meth:`reasons` names."""
        flux, ivar, _ = prepared(batch)
        good = np.flatnonzero((ivar > 0).any(axis=1))
        out = np.full((len(flux), self.dim), np.nan, dtype=np.float32)
        for low in range(0, len(good), CHUNK):
            rows = good[low : low + CHUNK]
            with torch.no_grad():
                told = self._to(flux[rows]), self._to(ivar[rows]) > 0
                out[rows] = self.model_.vectors(*told).numpy(force=True)
        lost = [w for w in self.reasons(batch) if w] if len(good) < len(flux) else []
        if lost:
            warnings.warn(f"{len(lost)} of {len(flux)} spectra have no vector: {lost[0]}, ...", stacklevel=2)
        return out

    def reasons(self, batch: Batch) -> list[str]:
        """(n,) why a spectrum has no vector, "" where it has one."""
        some = np.count_nonzero(prepared(batch)[1] > 0, axis=1)
        return ["" if s else f"no valid sample between {GRID_P1[0]:.0f} and {GRID_P1[-1]:.0f} Å" for s in some]

    def fill(self, flux: np.ndarray, ivar: np.ndarray, hidden: np.ndarray) -> np.ndarray:
        """(n, 3688) float32: the flux told for every sample from those that are not ``hidden``; see :func:`prepared`.

        ``hidden`` (n, 3688) bool: what must not be looked at. Every patch that touches it is masked.
        """
        out = []
        for low in range(0, len(flux), CHUNK):
            part = slice(low, low + CHUNK)
            with torch.no_grad():
                gone = torch.from_numpy(hidden[part]).to(self.device or "cpu")
                out.append(told(self.model_, self._to(flux[part]), self._to(ivar[part]), gone).numpy(force=True))
        return np.concatenate(out)

    def _to(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, np.float32)).to(self.device or "cpu")

    # -- weights --------------------

    def load(self, path: str | os.PathLike[str]) -> GalSpec:
        """Take weights from a file; returns self."""
        from kernels.embedding.files import load_into, load_weights

        load_into(self.model_, load_weights(path), self.name)
        self.model_.eval()
        return self

    def state(self) -> dict[str, np.ndarray]:
        """The network's arrays, as they are saved."""
        return {k: v.numpy(force=True) for k, v in self.model_.state_dict().items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> GalSpec:
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
        """Hidden stretches told from the rest, weighted by the noise."""
        encoder = cls("spectrum", random_state)
        if start and "spectrum" in start:
            encoder.load(start["spectrum"])
        return Training(
            model=encoder.model_,
            objective=hidden_spans,
            settings=Settings(steps=2000, batch=32, lr=1.5e-3, seed=random_state),
            inputs=lambda batches: inputs(batches["spectrum"]),
            weights=lambda model: {"spectrum": model.state_dict()},
        )


def prepared(batch: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """``(flux, ivar, scale)``: (n, 3688) float32 twice, in units of scale (n,), the median of the valid samples.

    Where the median is lost in the noise, the unit is three tenths of the median error. Sample values are kept within
    -10 and 60 of it; ``ValueError`` where the batch's grid has nothing between 3,850 and 9,000 Å.
    """
    if not isinstance(batch, Spectra):
        raise ValueError(f"galspec encodes spectra and is given {type(batch).__name__}")
    reach = np.sort(batch.wavelength[[0, -1]])
    if not (reach[0] < GRID_P1[-1] and reach[1] > GRID_P1[0]):
        raise ValueError(
            f"these spectra reach from {reach[0]:g} to {reach[1]:g}, galspec reads {GRID_P1[0]:.0f}-{GRID_P1[-1]:.0f} "
            "Å: are the wavelengths in nm or µm? Convert them to Å"
        )
    flux, ivar = resample(batch.wavelength, *masked(batch.flux, batch.ivar), GRID_P1)
    good = ivar > 0
    empty = ~good.any(axis=1)
    shown, error = np.where(good, flux, np.nan), np.where(good, 1 / np.sqrt(np.where(good, ivar, 1.0)), np.nan)
    shown[empty], error[empty] = 1.0, 1.0
    scale = np.maximum(np.abs(np.nanmedian(shown, axis=1)), 0.3 * np.nanmedian(error, axis=1))
    scale = np.where(scale > 0, scale, 1.0)[:, None]
    scaled = np.where(good, np.clip(flux / scale, -10, 60), 0.0)
    return scaled.astype(np.float32), np.minimum(ivar * scale**2, 1e8).astype(np.float32), scale[:, 0]


def inputs(batch: Batch) -> dict[str, np.ndarray]:
    """What training reads of a block: flux, and weight with :data:`FLOOR` beside the noise, both float16."""
    flux, ivar, _ = prepared(batch)
    weight = np.divide(1.0, 1.0 / np.maximum(ivar, 1e-12) + FLOOR**2, out=np.zeros_like(ivar), where=ivar > 0)
    return {"flux": flux.astype(np.float16), "weight": weight.astype(np.float16)}


def told(model: nn.Module, flux: Tensor, ivar: Tensor, hidden: Tensor) -> Tensor:
    """(b, m) flux from what is not hidden: the interpolation across each gap, and what the network puts on it."""
    valid = ivar > 0
    weight = trust(ivar)
    body = cast(GalSpecEncoder, model)
    touched = hidden.float().unfold(1, body.patch, body.step).amax(dim=2) > 0
    gone = hidden | hidden_samples(touched, body.samples, body.patch, body.overlap)
    more = body.spectrum(torch.where(gone, torch.zeros_like(flux), flux), valid, touched)
    return interpolated(flux, weight, valid & ~hidden) + torch.nan_to_num(more)  # samples beside the gap are seen


def hidden_spans(model: nn.Module, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weighted squared error over hidden stretches of random length: the loss, and that of the interpolation alone."""
    flux, weight = batch["flux"], batch["weight"]
    body = cast(GalSpecEncoder, model)
    span = int(torch.randint(SPANS[0], SPANS[1], (1,)))
    patches = mask_patches(len(flux), body.samples, body.patch, body.overlap, "correct", 0.25, span).to(flux.device)
    gone = hidden_samples(patches, body.samples, body.patch, body.overlap)
    valid = weight > 0
    plain = interpolated(flux, weight, valid & ~gone)
    more = body.spectrum(torch.where(gone, torch.zeros_like(flux), flux), valid, patches)
    count = weight * gone
    error = (plain + torch.nan_to_num(more) - flux) ** 2
    norm = count.sum().clamp(min=1e-6)
    return {"loss": (error * count).sum() / norm, "plain": (((plain - flux) ** 2) * count).sum() / norm}
