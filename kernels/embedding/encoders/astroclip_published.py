"""AstroCLIP with its published weights: Legacy images in g, r, z and spectra on DESI's grid (P0.4, P0.6)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.batches import Images, Spectra
from kernels.embedding.encoders._published import (
    DESI_GRID,
    Published,
    band_letters,
    find,
    in_desi_units,
    in_nanomaggies,
)


class AstroClipPublished(Published):
    """1,024 values of the image tower or the spectrum tower; they can be compared by their cosine.

    Images in the bands g, r, z (others are left out) of at least 144 pixels, in the units of the survey's zero points;
    or three-band pictures in [0, 255]. Spectra in Å and 1e-17 erg / s / cm² / Å, interpolated to DESI's 7,781 samples,
    across masked ones (``parity`` takes those as they are).

    File: ``astroclip.ckpt`` of ``polymathic-ai/astroclip`` (or ``model.safetensors``) in a folder ``astroclip``.
    """

    name = "astroclip-published"
    modalities: ClassVar = ("image", "spectrum")
    input_grid = DESI_GRID

    def open(self) -> tuple[Any, list[Path]]:
        """Both towers."""
        from kernels.embedding.files import load_weights
        from kernels.embedding.models.astroclip import from_state

        names = ("astroclip.ckpt", "model.safetensors", "astroclip.safetensors")
        folder = find(("astroclip",), names, "polymathic-ai/astroclip")
        file = next(folder / n for n in names if (folder / n).is_file())
        return from_state(load_weights(file)).eval().to(self._place()), [file]

    def vectors(self, part: Mapping[str, Any]) -> Any:
        """The tower's output."""
        net = self._opened()[0]
        if "image" in part:
            return net.image(self._rgb(part["image"], net.image_encoder.backbone.side))
        return net.spectrum(self._tokens(part["spectrum"]))

    def _rgb(self, batch: Images, size: int) -> Any:
        import torch

        from kernels.embedding.models.astroclip import legacy_rgb

        letters = band_letters(batch.bands)
        if letters in (["r", "g", "b"], ["red", "green", "blue"]):
            if min(batch.pixels.shape[2:]) < size:
                raise ValueError(f"AstroCLIP needs pictures of at least {size} pixels, not {batch.pixels.shape[2:]}")
            top, left = ((n - size) // 2 for n in batch.pixels.shape[2:])
            cut = np.nan_to_num(batch.pixels[:, :, top : top + size, left : left + size]) / 255
            return torch.from_numpy(cut.astype(np.float32)).transpose(2, 3).clamp(0, 1).to(self._place())
        if not {"g", "r", "z"} <= set(letters):
            raise ValueError(
                f"AstroCLIP needs the bands g, r, z (or a picture's R, G, B), and these images have "
                f"{', '.join(batch.bands) or 'bands without names'}"
            )
        at = [letters.index(b) for b in "grz"]
        flux = np.nan_to_num(in_nanomaggies(batch)[:, at]).astype(np.float32)
        return legacy_rgb(torch.from_numpy(flux).to(self._place()), size)

    def _tokens(self, batch: Spectra) -> Any:
        import torch

        from kernels.embedding.models.aion_tokenizers import check_wavelength
        from kernels.embedding.models.astroclip import spectrum_tokens

        check_wavelength(torch.from_numpy(np.asarray(batch.wavelength)), torch.from_numpy(DESI_GRID))
        good = np.isfinite(batch.flux) & ((batch.ivar > 0) | (self.mode == "parity"))
        flux = in_desi_units(np.where(good, batch.flux, 0))
        wave = np.asarray(batch.wavelength, np.float64)
        filled = [
            np.interp(DESI_GRID, wave[g], f[g], left=0, right=0) if g.any() else np.zeros(len(DESI_GRID))
            for f, g in zip(flux, good, strict=True)
        ]
        flux = np.stack(filled)
        return spectrum_tokens(torch.from_numpy(flux.astype(np.float32)).to(self._place()), how=self.mode)
