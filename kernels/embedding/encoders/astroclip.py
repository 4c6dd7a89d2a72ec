"""A small encoder of the contrastive family: the image and the spectrum of one object find each other (P0.4).

After AstroCLIP (Parker et al. 2024, arXiv:2310.03024), with pairs within a modality besides (Mu et al. 2022, SLIP,
arXiv:2112.12750), at a size that trains in minutes on a processor.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.encoders._learned import Learned, unit


class AstroCLIP(Learned):
    """64 values of unit length; image and spectrum of one object lie near each other, so that their cosine tells.

    The joint vector is the mean of the two, as in the paper's code (P0.6). Trained on pairs with a learned
    temperature: image with spectrum, and spectrum with the same spectrum at lower signal-to-noise.
    """

    name = "astroclip"
    dim = 64
    weights: ClassVar = {"image": "astroclip-image.safetensors", "spectrum": "astroclip-spectrum.safetensors"}
    trainings: ClassVar = (("image", "spectrum"),)

    def build(self, bands: int) -> Any:
        """The trunk of this modality."""
        from kernels.embedding.models.small import ImageNet, SpectrumNet

        return ImageNet(bands, self.dim) if self.modality == "image" else SpectrumNet(self.dim)

    def vectors(self, net: Any, inputs: dict[str, Any]) -> Any:
        """(n, 64) of unit length."""
        from torch.nn.functional import normalize

        if self.modality == "image":
            return normalize(net(inputs["image"]).float(), dim=1)
        return normalize(net(inputs["flux"], inputs["weight"], inputs["level"]).float(), dim=1)

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """(n, 64): the mean of the image's and the spectrum's vector."""
        return np.mean([unit(v) for v in vectors.values()], axis=0).astype(np.float32)

    @classmethod
    def training(
        cls, parts: tuple[str, ...], sample: Mapping[str, Any], random_state: int = 0, start: Any = None
    ) -> Any:
        """Both trunks at once, on pairs."""
        from kernels.embedding.models.small import Pair
        from kernels.embedding.training import Settings, Training

        first: Mapping[str, Path] = start or {}
        image = cls.for_training(("image",), "image", {"image": sample["image"]}, random_state, first)
        spectrum = cls.for_training(("spectrum",), "spectrum", {"spectrum": sample["spectrum"]}, random_state, first)
        spectrum.noise_, spectrum.bands_ = image.noise_, image.bands_

        def weights(model: Any) -> dict[str, dict[str, Any]]:
            return {
                "image": cls.weights_of(model.image, image.bands_),
                "spectrum": cls.weights_of(model.spectrum, image.bands_),
            }

        return Training(
            model=Pair(image.net_, spectrum.net_),
            objective=_objective,
            settings=Settings(steps=1200, batch=96, lr=2e-3, bf16=True, seed=random_state),
            inputs=spectrum.inputs,
            weights=weights,
        )


def _objective(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    from kernels.embedding.models._views import noisier_image, noisier_spectrum
    from kernels.embedding.objectives.contrastive import found, info_nce

    tau = model.temperature()
    image = model.image(noisier_image(batch["image"])).float()
    first, second = (
        model.spectrum(*noisier_spectrum(batch["flux"], batch["weight"]), batch["level"]).float() for _ in range(2)
    )
    across, within = info_nce(image, first, tau), info_nce(first, second, tau)
    return {"loss": across + 0.5 * within, "across": across, "within": within, "found": found(image, first)}
