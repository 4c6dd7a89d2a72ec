"""AION-1 with its published weights: images of HSC and Legacy, spectra, and both together (P0.5, P0.6)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

import numpy as np

from kernels.embedding.batches import Images, Spectra
from kernels.embedding.encoders._published import Published, band_letters, find, in_desi_units, in_nanomaggies

_HSC = ("HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y")
_ADAPTER = "euclid-adapter.safetensors"


class AionPublished(Published):
    """The mean over the encoder's tokens: 768 values for the base size.

    Images of HSC (bands ``HSC-G`` …, or g, r, i, z, y) or of the Legacy Survey (``DES-G`` …, or g, r, i, z) at native
    pixels, at least 96 a side, in the units of the survey's zero points; Euclid's, resized to 96, by way of an adapter
    (P0.5), which ``explorer train aion-published SURVEY`` makes, or ``euclid-adapter.safetensors`` beside the weights
    is. Spectra in Å and 1e-17 erg / s / cm² / Å. All tokens are read.

    Files: ``config.json``, ``model.safetensors``, ``codecs/image/…`` and ``codecs/spectrum/…`` of
    ``polymathic-ai/aion-base`` (also ``-large``, ``-xlarge``) in a folder ``aion-base``.
    """

    name = "aion-published"
    modalities: ClassVar = ("image", "spectrum", "joint")
    trainings: ClassVar = (("image",),)

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
        adapter = getattr(self, "_adapter", folder / _ADAPTER)
        if adapter.is_file() and "image" in nets:
            from kernels.embedding.models.euclid_adapter import EuclidAdapter

            nets["adapter"] = EuclidAdapter()
            files.append(adapter)
            load_into(nets["adapter"], load_weights(files[-1]), f"the Euclid adapter ({files[-1]})")
        return {k: net.eval().to(self._place()) for k, net in nets.items()}, files

    def load(self, path: str | Path) -> AionPublished:
        """Take an adapter of Euclid's bands, as training wrote it; returns self."""
        self._adapter = Path(path)
        self.__dict__.pop("_held", None)
        return self

    @classmethod
    def training(
        cls, parts: tuple[str, ...], sample: Mapping[str, Any], random_state: int = 0, start: Any = None
    ) -> Any:
        """The adapter alone is trained: Euclid's images through the frozen tokenizer and back (P0.5)."""
        import torch

        from kernels.embedding.files import load_into, load_weights
        from kernels.embedding.models.euclid_adapter import EuclidAdapter
        from kernels.embedding.training import Settings, Training

        if not _is_euclid(sample["image"].bands):
            raise ValueError(
                f"AION's adapter is for Euclid's VIS, Y, J, H; images in {', '.join(sample['image'].bands)} need none"
            )
        encoder = cls("image", random_state)
        tokenizer = encoder._opened()[0]["image"].requires_grad_(False)
        with torch.random.fork_rng([]):
            torch.manual_seed(random_state)
            adapter = EuclidAdapter()
        if (start or {}).get("image"):
            load_into(adapter, load_weights(start["image"]), "the Euclid adapter")
        return Training(
            model=adapter,
            objective=lambda model, batch: {
                "loss": model.loss(batch["image"].float(), lambda x: tokenizer.through(x, _HSC))
            },
            settings=Settings(steps=3000, batch=8, lr=1e-4, weight_decay=0.0, seed=random_state),
            inputs=lambda batches: {"image": _euclid(cast(Images, batches["image"]))},
            weights=lambda model: dict.fromkeys(("image", "joint"), model.state_dict()),
        )

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

        names = aion_bands(batch.bands)
        if names is None and _is_euclid(batch.bands):
            if "adapter" not in nets:
                raise ValueError(
                    "AION has no bands of Euclid: train the adapter (explorer train aion-published SURVEY), or put "
                    f"one beside the weights as {_ADAPTER}"
                )
            pixels = torch.from_numpy(_euclid(batch)).to(self._place())
            return "tok_image_hsc", nets["image"].encode(nets["adapter"](pixels), _HSC)
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


def _is_euclid(bands: Sequence[str]) -> bool:
    return [b.upper() for b in band_letters(bands)] == ["VIS", "Y", "J", "H"]


def _euclid(batch: Images) -> np.ndarray:
    """(n, 4, 96, 96) float32: nanomaggies where the survey tells its zero points, else counts x ZP / 3631 (P0.1)."""
    import torch
    import torch.nn.functional as F

    from kernels.embedding.models.euclid_adapter import to_nanomaggies

    told = np.atleast_1d(np.asarray(batch.zero_point, np.float64))
    pixels = torch.from_numpy(in_nanomaggies(batch))
    known = len(told) and np.isfinite(told).all()
    pixels = torch.nan_to_num(pixels, 0.0, 0.0, 0.0) if known else to_nanomaggies(pixels)
    if pixels.shape[2:] != (96, 96):
        pixels = F.interpolate(pixels, (96, 96), mode="bilinear", align_corners=False)
    return pixels.numpy()


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
