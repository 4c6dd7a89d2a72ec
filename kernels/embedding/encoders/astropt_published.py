"""AstroPT with its published weights: pictures or cutouts in as many bands as the checkpoint knows (P0.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.encoders._published import Published, find


class AstroPTPublished(Published):
    """The mean of the image's tokens after the middle block (after the last for version 1): 768 values for 95M.

    Patches of 16 pixels, each brought to mean 0 and deviation 1, in the inside-out spiral, of the largest square that
    the image holds, at most 256 pixels; the axes of the image are swapped, as in training. The number of bands must be
    the checkpoint's, and their order the one that it was trained with.

    File: ``ckpt.pt`` (any of the published versions, read without executing it) in a folder ``astropt``.
    """

    name = "astropt-published"
    modalities: ClassVar = ("image",)
    input_side = 256
    patch = 16

    def open(self) -> tuple[Any, list[Path]]:
        """The model whose sizes the file has."""
        from kernels.embedding.files import converted_path, load_meta, load_weights
        from kernels.embedding.models.astropt import from_state

        names = ("ckpt.pt", "model.safetensors", "astropt/095M/ckpt.pt", "astropt/090M/ckpt.pt")
        folder = find(("astropt", "astroPT_v2.0", "astroPT"), names, "Smith42/astroPT_v2.0")
        file = next(folder / n for n in names if (folder / n).is_file())
        state = load_weights(file)
        told = converted_path(file) if converted_path(file).is_file() else file
        heads = json.loads(load_meta(told).get("model_args", "{}")).get("n_head")
        return from_state(state, heads).eval().to(self._place()), [file]

    def vectors(self, part: Mapping[str, Any]) -> Any:
        """Mean tokens."""
        import torch

        from kernels.embedding.models.astropt import image_patches

        net, batch = self._opened()[0], part["image"]
        name = next(n for n in net.modalities if "image" in n or len(net.modalities) == 1)
        bands, wanted = batch.pixels.shape[1], net.modalities[name].size // self.patch**2
        if bands != wanted:
            raise ValueError(
                f"this AstroPT reads {wanted} bands and the images have {bands} "
                f"({', '.join(batch.bands)}): give a checkpoint trained on these bands"
            )
        side = (
            min(*batch.pixels.shape[2:], self.input_side, self.patch * int(net.block**0.5)) // self.patch * self.patch
        )
        if side < self.patch:
            raise ValueError(
                f"AstroPT reads patches of {self.patch} pixels; these images have {batch.pixels.shape[2:]}"
            )
        top, left = ((n - side) // 2 for n in batch.pixels.shape[2:])
        cut = np.nan_to_num(batch.pixels[:, :, top : top + side, left : left + side], nan=0.0, posinf=0.0, neginf=0.0)
        pixels = torch.from_numpy(cut.astype(np.float32)).transpose(2, 3).to(self._place())
        return net.vectors({name: image_patches(pixels, self.patch)})[name]
