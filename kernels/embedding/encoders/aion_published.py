"""AION-1 with its published weights: images of HSC and Legacy, spectra, and both together (P0.5, P0.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.batches import Images, Spectra
from kernels.embedding.encoders._published import Published, band_letters, find, in_desi_units, in_nanomaggies

_HSC = ("HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y")
_ADAPTER = "euclid-adapter.safetensors"


class AionPublished(Published):
    """The mean over the encoder's tokens: 768 values for the base size.

    Images of HSC (bands ``HSC-G`` …, or g, r, i, z, y) or of the Legacy Survey (``DES-G`` …, or g, r, i, z) at native
    pixels, at least 96 a side, in the units of the survey's zero points; Euclid's by way of the adapter
    ``euclid-adapter.safetensors`` beside the weights. Spectra in Å and 1e-17 erg / s / cm² / Å. All tokens are read.

    Files: ``config.json``, ``model.safetensors``, ``codecs/image/…`` and ``codecs/spectrum/…`` of
    ``polymathic-ai/aion-base`` (also ``-large``, ``-xlarge``) in a folder ``aion-base``.
    """

    name = "aion-published"
    modalities: ClassVar = ("image", "spectrum", "joint")

    def open(self) -> tuple[Any, list[Path]]:
        """Encoder, tokenizers and adapter."""
        from kernels.embedding.files import load_into, load_weights
        from kernels.embedding.models.aion import DECODER, Aion
        from kernels.embedding.models.aion_tokenizers import ImageTokenizer, SpectrumTokenizer

        names = ("aion-base", "aion-large", "aion-xlarge", "aion")
        folder = find(names, ("model.safetensors",), "polymathic-ai/aion-base")
        kinds = ["tok_image", "tok_image_hsc", "tok_spectrum_desi", "tok_spectrum_sdss"]
        nets: dict[str, Any] = {"aion": Aion.from_config(_config(folder), kinds)}
        files = [folder / "model.safetensors"]
        state = load_weights(files[0])
        other = [k for k in state if k.startswith("encoder_embeddings.") and k.split(".")[1] not in kinds]
        load_into(nets["aion"], state, f"AION ({folder})", ignore=(*DECODER, *other))
        for part, kind in (("image", ImageTokenizer), ("spectrum", SpectrumTokenizer)):
            if self.modality in (part, "joint"):
                place = folder / "codecs" / part
                nets[part] = kind.from_config(_config(place))
                files.append(place / "model.safetensors")
                load_into(nets[part], load_weights(files[-1]), f"AION's {part} tokenizer ({place})")
        if (folder / _ADAPTER).is_file() and "image" in nets:
            from kernels.embedding.models.euclid_adapter import EuclidAdapter

            nets["adapter"] = EuclidAdapter()
            files.append(folder / _ADAPTER)
            load_into(nets["adapter"], load_weights(files[-1]), f"the Euclid adapter ({files[-1]})")
        return {k: net.eval().to(self._place()) for k, net in nets.items()}, files

    def vectors(self, part: Mapping[str, Any]) -> Any:
        """Tokens of what is given, encoded together."""
        nets = self._opened()[0]
        tokens = {}
        if "image" in part:
            kind, ids = self._image(nets, part["image"])
            tokens[kind] = ids
        if "spectrum" in part:
            kind, ids = self._spectrum(nets, part["spectrum"])
            tokens[kind] = ids
        return nets["aion"].vectors(tokens, how=self.mode)

    def _image(self, nets: Mapping[str, Any], batch: Images) -> tuple[str, Any]:
        import torch

        from kernels.embedding.models.euclid_adapter import EUCLID_BANDS, to_nanomaggies

        names = aion_bands(batch.bands)
        if names is None and [b.upper() for b in band_letters(batch.bands)] == list(EUCLID_BANDS):
            if "adapter" not in nets:
                raise ValueError(
                    f"AION has no bands of Euclid: train the adapter (kernels/embedding/models/euclid_adapter.py) "
                    f"and put it beside the weights as {_ADAPTER}"
                )
            pixels = torch.from_numpy(batch.pixels).to(self._place())
            return "tok_image_hsc", nets["image"].encode(nets["adapter"](to_nanomaggies(pixels)), _HSC)
        if names is None:
            raise ValueError(
                f"AION knows no images in the bands {', '.join(batch.bands) or '(none named)'}: it reads HSC's g, r, "
                "i, z, y and the Legacy Survey's g, r, i, z, named HSC-G … or DES-G …, or by their letters"
            )
        hsc = names[0].startswith("HSC")
        pixels = torch.from_numpy(in_nanomaggies(batch, 27.0 if hsc else 22.5)).to(self._place())
        return "tok_image_hsc" if hsc else "tok_image", nets["image"].encode(pixels, names)

    def _spectrum(self, nets: Mapping[str, Any], batch: Spectra) -> tuple[str, Any]:
        import torch

        wave = torch.from_numpy(np.ascontiguousarray(batch.wavelength, np.float32))
        flux, ivar = (torch.from_numpy(np.ascontiguousarray(a)) for a in _scaled(batch))
        place = self._place()
        kind = (
            "tok_spectrum_desi" if batch.wavelength[0] < 3650 and batch.wavelength[-1] < 9900 else "tok_spectrum_sdss"
        )
        trim = self.mode == "correct"
        return kind, nets["spectrum"].encode(wave.to(place), flux.to(place), ivar.to(place), trim=trim)


def _scaled(batch: Spectra) -> tuple[np.ndarray, np.ndarray]:
    flux = in_desi_units(batch.flux)
    ivar = batch.ivar if flux is batch.flux else batch.ivar / 1e34
    return flux.astype(np.float32), np.nan_to_num(ivar, posinf=float(np.finfo(np.float32).max)).astype(np.float32)


def aion_bands(bands: Sequence[str]) -> list[str] | None:
    """AION's names of these bands, None where it has none; letters alone are Legacy's, with y among them HSC's."""
    from kernels.embedding.models.aion_tokenizers import BANDS

    letters = band_letters(bands)
    heads = {b.upper().replace("_", "-").split("-")[0] for b in bands}
    survey = "HSC" if heads == {"HSC"} or "y" in letters else "DES"
    if not heads <= {"HSC", "DES", "LEGACY", "DECALS", "LS", *(b.upper() for b in letters)}:
        return None
    names = [f"{survey}-{b.upper()}" for b in letters]
    return names if names and all(n in BANDS for n in names) else None


def _config(folder: Path) -> Any:
    from kernels.embedding.encoders._published import NoWeights

    file = folder / "config.json"
    if not file.is_file():
        raise NoWeights(
            f"{file} is missing beside the weights: take it from the same hub repository, at the same place"
        )
    return json.loads(file.read_text())
