"""A small encoder of the autoregressive family: patches in order, each state tells the next (P0.3).

After AstroPT (Smith et al. 2024, arXiv:2405.14930): a causal transformer over patches, images from the middle outwards
in a spiral, vectors from the middle of the network; a summary reconstructs the whole besides (P0.3: spectra by
full-sequence reconstruction).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.encoders._learned import Learned, unit


class AstroPT(Learned):
    """128 values: the mean of the middle block's states over all patches (96) and the summary (32), on their own axes.

    Those are the principal axes of the two, standardised, in this survey: see :class:`Readout`. The joint vector is the
    sum of the two at unit length, at unit length (P0.6).
    """

    name = "astropt"
    dim = 128
    kept = 128
    weights: ClassVar = {"image": "astropt-image.safetensors", "spectrum": "astropt-spectrum.safetensors"}
    trainings: ClassVar = (("image",), ("spectrum",))

    def build(self, bands: int) -> Any:
        """The causal transformer of this modality."""
        from kernels.embedding.models.small import Causal

        return Causal(bands, self.modality)

    def vectors(self, net: Any, inputs: dict[str, Any]) -> Any:
        """(n, 128) as the network gives them."""
        return net.vector(**inputs)

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """(n, 128): the sum of the image's and the spectrum's unit vectors, at unit length."""
        return unit(np.sum([unit(v) for v in vectors.values()], axis=0)).astype(np.float32)

    @classmethod
    def training(
        cls, parts: tuple[str, ...], sample: Mapping[str, Any], random_state: int = 0, start: Any = None
    ) -> Any:
        """One modality: the next patch, and the whole from the summary."""
        from kernels.embedding.training import Settings, Training

        encoder = cls.for_training(parts, parts[0], sample, random_state, start)
        return Training(
            model=encoder.net_,
            objective=_objective,
            settings=Settings(steps=1200, batch=64, lr=2e-3, bf16=True, seed=random_state),
            inputs=encoder.inputs,
            weights=lambda model: {parts[0]: cls.weights_of(model, encoder.bands_)},
        )


def _objective(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    from kernels.embedding.models._views import turned
    from kernels.embedding.models.small import precision
    from kernels.embedding.objectives.autoregressive import next_patch

    if "image" in batch:
        batch = {"image": turned(batch["image"])}
    told, patches, summary = model(**batch)
    if "image" in batch:
        step, weight = next_patch(told.float(), patches), None
    else:
        weight = precision(batch["weight"]).reshape(patches.shape)
        step = next_patch(told.float(), patches, weight)
    whole = model.decoder.loss(summary, batch)
    return {"loss": step + whole, "next": step, "whole": whole}
