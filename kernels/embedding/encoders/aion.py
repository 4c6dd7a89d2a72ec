"""A small encoder of the masked family: hidden patches of image and spectrum are told from those seen (P0.5).

After AION-1 (Parker et al. 2025, arXiv:2510.17960) and 4M (Mizrahi et al. 2023, arXiv:2312.06647): one transformer for
all modalities, a random part of whose patches it sees. Here the decoder sees one summary alone, so that it must hold
what the hidden patches need.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.encoders._learned import Learned, unit


class AION(Learned):
    """128 values of image, of spectrum, or of both seen together.

    64 are the leading axes, in this survey, of the mean of the tokens (96) and the summary (32); 64 the leading
    principal components of what the network reads, 32 of each modality in the joint space: see :class:`Readout`.
    """

    name = "aion"
    dim = 128
    fit_rows = 2048
    kept, beside = 64, 64
    modalities: ClassVar = ("image", "spectrum", "joint")
    weights: ClassVar = dict.fromkeys(("image", "spectrum", "joint"), "aion.safetensors")
    trainings: ClassVar = (("image", "spectrum"),)

    def build(self, bands: int) -> Any:
        """The one network of all modalities."""
        from kernels.embedding.models.small import Masked

        return Masked(bands)

    def vectors(self, net: Any, inputs: dict[str, Any]) -> Any:
        """(n, 128) as the network gives them, nothing hidden."""
        return net.vector(**inputs)

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """(n, 128): the mean of two unit vectors, for who has no pairs; the joint space is encoded from both."""
        return np.mean([unit(v) for v in vectors.values()], axis=0).astype(np.float32)

    @classmethod
    def training(
        cls, parts: tuple[str, ...], sample: Mapping[str, Any], random_state: int = 0, start: Any = None
    ) -> Any:
        """All modalities at once, on pairs."""
        from kernels.embedding.training import Settings, Training

        encoder = cls.for_training(parts, "joint", sample, random_state, start)
        return Training(
            model=encoder.net_,
            objective=_objective,
            settings=Settings(steps=1200, batch=64, lr=2e-3, bf16=True, seed=random_state),
            inputs=encoder.inputs,
            weights=lambda model: dict.fromkeys(cls.modalities, cls.weights_of(model, encoder.bands_)),
        )


def _objective(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    import torch

    from kernels.embedding.models._views import noisier_spectrum, turned

    image, target = turned(batch["image"]), dict(batch)
    target["image"] = image
    flux, weight = noisier_spectrum(batch["flux"], batch["weight"], most=0.7)
    seen = {"image": image, "flux": flux, "weight": weight, "level": batch["level"]}
    drawn = float(torch.rand(()))
    if drawn < 0.35:
        seen = {"image": image}
    elif drawn < 0.7:
        seen.pop("image")
    summary, hidden = model(share=0.2 + 0.6 * float(torch.rand(())), **seen)
    return model.decoder.hidden_loss(summary, target, hidden)
