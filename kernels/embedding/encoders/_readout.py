"""How the small encoders read their networks out: turned to the principal axes of a survey, components beside them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kernels.embedding.encoders.pca import PCA

SAMPLE = 512
"""Objects whose vectors tell the axes."""
SIDE = 32
"""Pixels a side of the images whose components stand beside."""


class Readout:
    """(n, raw) vectors of a network to (n, kept + beside): what a survey's sample tells of axes and units.

    The network's columns are standardised and turned to their principal axes, the leading ``kept`` of them; their total
    scatter is 1. Beside them stand the leading principal components of the inputs themselves (:class:`PCA`, ``beside``
    in all, shared among the modalities, each with a total scatter of 1): a short training finds first what is not
    linear, and this way does not lose what is. Nothing but means and covariances is taken from the sample.

    Attributes
    ----------
    centre : (raw,) float32. ``turn`` : (raw, kept) float32. ``linear`` : a PCA of each modality.
    """

    def __init__(self, kept: int, beside: int, random_state: int = 0):
        self.kept, self.beside, self.random_state = kept, beside, random_state
        self.linear: dict[str, PCA] = {}

    def fit(self, raw: np.ndarray, given: Mapping[str, list[Any]]) -> Readout:
        """Take axes from vectors of some objects and components from blocks of each modality; returns self."""
        raw = raw.astype(np.float64)
        centre, spread = raw.mean(axis=0), raw.std(axis=0)
        unit = np.where(spread > 1e-9, spread, 1.0)
        power, axes = np.linalg.eigh(np.cov((raw - centre) / unit, rowvar=False, bias=True))
        axes = axes[:, ::-1][:, : self.kept]
        axes = axes * np.where(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])] < 0, -1, 1)
        total = np.sqrt(max(power.sum(), 1e-12))
        self.centre, self.turn = centre.astype(np.float32), (axes / unit[:, None] / total).astype(np.float32)
        share = self.beside // max(1, len(given))
        self.linear = {}
        for name in sorted(given) if self.beside else ():
            found = PCA(name, share, SIDE, self.random_state).fit(given[name])
            rows = np.zeros((share, found.components_.shape[1]), np.float32)  # fewer objects than components
            rows[: len(found.components_)] = found.components_
            scale = np.full(share, 1e-3, np.float32)
            scale[: len(found.scale_)] = found.scale_
            found.components_, found.scale_ = rows, scale
            self.linear[name] = found
        return self

    def __call__(self, raw: np.ndarray, batch: Mapping[str, Any]) -> np.ndarray:
        """(n, kept + beside) float32 of vectors (n, raw) and the blocks that they are of."""
        parts = [(raw - self.centre) @ self.turn]
        for name, pca in self.linear.items():
            total = np.sqrt(np.sum(pca.scale_.astype(np.float64) ** 2))
            parts.append(pca.encode(batch[name]) / max(float(total), 1e-9))
        return np.concatenate(parts, axis=1).astype(np.float32)

    def state(self) -> dict[str, np.ndarray]:
        """The arrays, as they are saved."""
        out = {"readout.centre": self.centre, "readout.turn": self.turn}
        for name, pca in self.linear.items():
            out |= {f"readout.{name}.{key}": value for key, value in pca.state().items()}
        return out

    def load_state(self, state: Mapping[str, np.ndarray]) -> Readout:
        """Take back what :meth:`state` gave; returns self. ``ValueError`` where it was saved without."""
        if "readout.turn" not in state:
            raise ValueError("this encoder was saved before its axes were: prepare the survey again")
        self.centre, self.turn = np.array(state["readout.centre"]), np.array(state["readout.turn"])
        held: dict[str, dict[str, np.ndarray]] = {}
        for key, value in state.items():
            if key.startswith("readout.") and key.count(".") == 2:
                _, name, own = key.split(".")
                held.setdefault(name, {})[own] = np.array(value)
        self.linear = {
            name: PCA(name, len(own["components_"]), SIDE, self.random_state).load_state(own)
            for name, own in sorted(held.items())
        }
        return self
