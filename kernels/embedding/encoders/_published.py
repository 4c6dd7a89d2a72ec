"""Published checkpoints as encoders: where their files are looked for, and what the adapters share.

A checkpoint is a folder with the layout of its hub repository, for example ``aion-base/config.json``. It is looked for
in the folders named by ``EXPLORER_WEIGHTS`` (several are separated as in ``PATH``), then in ``astro-explorer/weights``
of the user's data folder, then among what the hub's own tool has already fetched. The network is used only where
``EXPLORER_WEIGHTS`` holds the word ``hub``, and only where ``huggingface_hub`` is installed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.batches import Images, Spectra

VARIABLE = "EXPLORER_WEIGHTS"
DESI_GRID = np.linspace(3600.0, 9824.0, 7781)
"""(7781,) Å: what the published encoders of spectra were trained on."""


class NoWeights(FileNotFoundError):
    """The published files are not there: the message says which file to put where."""


def folders() -> list[Path]:
    """Where published checkpoints are looked for, in order."""
    named = [p for p in os.environ.get(VARIABLE, "").split(os.pathsep) if p and p != "hub"]
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return [*(Path(p).expanduser() for p in named), data / "astro-explorer" / "weights"]


def find(names: Sequence[str], files: Sequence[str], repository: str) -> Path:
    """The folder of a checkpoint that holds one of ``files``; :class:`NoWeights` says what was looked for where.

    names : folder names that it may have. repository : its name on the hub.
    """
    places = [folder / name for folder in folders() for name in names]
    places += [f for f in folders() if f.name in names]  # EXPLORER_WEIGHTS may name the checkpoint's own folder
    cache = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface") / "hub"
    places += sorted((cache / f"models--{repository.replace('/', '--')}" / "snapshots").glob("*"))
    for place in places:
        if any((place / file).is_file() for file in files):
            return place
    if "hub" in os.environ.get(VARIABLE, "").split(os.pathsep):
        return _from_hub(repository)
    first = folders()[0] / names[0] / files[0]
    raise NoWeights(
        f"the published weights are not here: put the files of {repository} (huggingface.co/{repository}) into "
        f"{first.parent}, so that {first} exists, or name their folder in {VARIABLE}; "
        f"{VARIABLE}=hub fetches them where there is a network"
    )


def _from_hub(repository: str) -> Path:
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise NoWeights(
            f"{VARIABLE}=hub needs huggingface_hub: pip install huggingface_hub, or fetch by hand"
        ) from error
    try:
        return Path(snapshot_download(repository))
    except Exception as error:  # every failure of a network, of access and of a name arrives here
        raise NoWeights(f"{repository} could not be fetched from the hub ({error}): fetch it by hand") from error


class Published:
    """An encoder with the weights of others: nothing is fitted, and what was used is told in :meth:`provenance`.

    Parameters
    ----------
    modality : one of ``modalities``.
    random_state : not used; every encoder takes one.
    device : of torch; a GPU where there is one, by default.
    """

    name: ClassVar[str]
    modalities: ClassVar[tuple[str, ...]]
    published = True
    mode: ClassVar[str] = "correct"
    fit_rows = 64
    input_side = 160
    input_grid: ClassVar[np.ndarray | None] = None
    block = 16

    def __init__(self, modality: str, random_state: int = 0, device: str | None = None):
        if modality not in self.modalities:
            raise ValueError(f"the {self.name} encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.random_state, self.device = modality, random_state, device

    def open(self) -> tuple[Any, list[Path]]:
        """``(network or networks in eval mode, the files they came from)``."""
        raise NotImplementedError

    def vectors(self, part: Mapping[str, Any]) -> Any:
        """(n, dim) tensor of one block: ``{modality: Batch}`` of the same objects."""
        raise NotImplementedError

    def fit(self, batches: Iterable[Any]) -> Published:
        """Look for the weights, so that an error comes first, and try one object; returns self."""
        self._opened()
        tried = 0
        for batch in batches:
            parts = self._both(batch)
            full = np.flatnonzero(~np.logical_or.reduce([_empty(p) for p in parts.values()]))
            if len(full):
                self.encode(_part(parts, slice(full[0], full[0] + 1)))
                return self
            tried += len(next(iter(parts.values())))
        reach = "" if self.input_grid is None else f" from {self.input_grid[0]:.0f} to {self.input_grid[-1]:.0f} Å"
        raise ValueError(
            f"{self.name}: none of {tried} objects has a valid pixel{reach}: are ivar and mask right, and the units?"
        )

    def encode(self, batch: Any) -> np.ndarray:
        """(n, dim) float32 vectors; NaN for an object without a valid pixel, which then lacks the modality."""
        import torch

        parts = self._both(batch)
        count = len(next(iter(parts.values())))
        empty = np.logical_or.reduce([_empty(p) for p in parts.values()])
        out = None
        with torch.inference_mode():
            for start in range(0, count, self.block):
                got = self.vectors(_part(parts, slice(start, min(start + self.block, count))))
                out = np.full((count, got.shape[1]), np.nan, np.float32) if out is None else out
                out[start : start + len(got)] = got.float().cpu().numpy()
        if out is None:
            raise ValueError(f"{self.name} was given no object")
        out[empty] = np.nan
        return out

    def provenance(self) -> dict[str, Any]:
        """Files and digests of the weights, and whether the published code was corrected or repeated."""
        from kernels.embedding.files import digest

        _, files = self._opened()
        if "_told" not in self.__dict__:
            # it travels with exports: no folder of this machine
            self._told = {f"{f.parent.name}/{f.name}": digest(f) for f in files}
        return {"weights": self._told, "how": self.mode, **self.notes()}

    def notes(self) -> dict[str, Any]:
        """What else the adapter did."""
        return {}

    def state(self) -> dict[str, np.ndarray]:
        """A digest of the weights, which stay where they are: they are too large to be copied into a survey."""
        told = "".join(sorted(self.provenance()["weights"].values()))
        return {"weights_sha256": np.frombuffer(hashlib.sha256(told.encode()).digest(), np.uint8).copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> Published:
        """Take the weights from where they are, and refuse them where they are not those of ``state``; returns self."""
        if not np.array_equal(self.state()["weights_sha256"], np.asarray(state["weights_sha256"])):
            files = ", ".join(map(str, self._opened()[1]))
            raise ValueError(
                f"{self.name}: {files} are not the weights that made this space: put those back, or embed again"
            )
        return self

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """(n, dim): the mean of the vectors."""
        return np.mean(list(vectors.values()), axis=0).astype(np.float32)

    def _opened(self) -> tuple[Any, list[Path]]:
        if "_held" not in self.__dict__:
            self._held = self.open()
        return self._held

    def _place(self) -> Any:
        import torch

        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))

    def _both(self, batch: Any) -> dict[str, Any]:
        parts = dict(batch) if isinstance(batch, Mapping) else {self.modality: batch}
        for name, part in parts.items():
            if not isinstance(part, Images if name == "image" else Spectra):
                raise ValueError(f"{self.name} takes images and spectra, not {type(part).__name__}")
        return parts


def _part(parts: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    return {
        k: Images(b.pixels[rows], b.bands, b.pixel_scale, b.zero_point)
        if isinstance(b, Images)
        else Spectra(b.wavelength, b.flux[rows], b.ivar[rows])
        for k, b in parts.items()
    }


def _empty(batch: Images | Spectra) -> np.ndarray:
    """(n,) bool: objects without a single valid pixel."""
    if isinstance(batch, Images):
        return ~np.isfinite(batch.pixels).any(axis=(1, 2, 3))
    return ~((batch.ivar > 0) & np.isfinite(batch.flux)).any(axis=1)


def in_nanomaggies(batch: Images, zero_point: float = 22.5) -> np.ndarray:
    """(n, bands, h, w) float32 pixels in units of ``zero_point`` AB; unchanged where the survey tells none."""
    told = np.atleast_1d(np.asarray(batch.zero_point, np.float64))
    if not len(told) or not np.isfinite(told).all():
        return batch.pixels
    factor = 10 ** ((zero_point - np.broadcast_to(told, batch.pixels.shape[1])) / 2.5)
    return (batch.pixels * factor[:, None, None]).astype(np.float32)


def in_desi_units(flux: np.ndarray) -> np.ndarray:
    """The same spectra in 1e-17 erg / s / cm² / Å where they are in erg / s / cm² / Å (values far below 1e-10)."""
    finite = flux[np.isfinite(flux) & (flux != 0)]
    return flux * 1e17 if len(finite) and np.median(np.abs(finite)) < 1e-10 else flux


def band_letters(bands: Sequence[str]) -> list[str]:
    """Lower-case last parts of band names: ``DES-G`` and ``legacy_g`` are ``g``."""
    return [b.replace("_", "-").split("-")[-1].split(" ")[-1].lower() for b in bands]
