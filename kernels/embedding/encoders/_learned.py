"""What the small learned encoders share: weights in and out, statistics of a survey, blocks of objects to vectors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kernels.embedding.batches import Images, Spectra
from kernels.embedding.encoders._inputs import image_input, noise_of, spectrum_input
from kernels.embedding.encoders._readout import SAMPLE, Readout

BANDS = ("VIS", "Y", "J", "H")
"""Bands of the shipped weights, blue to red."""
Given = Any  # a Batch, or {modality: Batch} for the joint space


class Learned:
    """An encoder of images and spectra with a network; the survey's noise and brightness are all it fits.

    Images: arcsinh(pixels / noise) at 64 pixels a side, noise being one level a band of this survey. Bands go by name
    to the bands that the weights know; one that is missing is 0, and of bands none of which is known as many as there
    are places are taken in order. Spectra: averages in 1,024 logarithmic cells from 3,600 to 9,824 Å in units of their
    own signal, shrunk by their noise; the unit itself goes in as dex about the survey's median.

    Parameters
    ----------
    modality : one of ``modalities``.
    random_state : seed of the weights, before any are loaded.
    device : of torch; a GPU where there is one, by default.

    Attributes
    ----------
    noise_ : (bands,) float32. ``level_`` : (1,) float32, log10 of the median unit.
    net_ : the network. ``bands_`` : names of the bands that it knows.
    readout_ : axes of the vectors in this survey, where the family has ``kept``; see :class:`Readout`.
    """

    name: ClassVar[str]
    modalities: ClassVar[tuple[str, ...]] = ("image", "spectrum")
    weights: ClassVar[dict[str, str]]
    trainings: ClassVar[tuple[tuple[str, ...], ...]]
    fit_rows = 1024
    size = 64
    block = 256
    mode = "correct"
    kept: ClassVar[int] = 0
    """Axes of the network's vectors that are kept; 0 takes the vectors as they are."""
    beside: ClassVar[int] = 0
    """Principal components of the inputs that stand beside them."""

    def __init__(self, modality: str, random_state: int = 0, device: str | None = None):
        if modality not in self.modalities:
            raise ValueError(f"the {self.name} encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.random_state, self.device = modality, random_state, device

    # -- what a family gives --------------------

    def build(self, bands: int) -> Any:
        """A new network for this modality."""
        raise NotImplementedError

    def vectors(self, net: Any, inputs: dict[str, Any]) -> Any:
        """(n, dim) tensor of one block of inputs."""
        raise NotImplementedError

    # -- the contract --------------------

    def fit(self, batches: Iterable[Given]) -> Learned:
        """Take noise, brightness and axes of the survey from blocks that hold a sample of it; returns self."""
        held = self._measure(batches)
        if self.kept:
            raw, seen = [], 0
            for block in held:
                raw.append(self._raw(block))
                seen += len(raw[-1])
                if seen >= SAMPLE:
                    break
            given = {name: [b[name] for b in held] for name in held[0]}
            readout = Readout(self.kept, self.beside, self.random_state)
            self.readout_ = readout.fit(np.concatenate(raw)[:SAMPLE], given)
        return self

    def _measure(self, batches: Iterable[Given]) -> list[Mapping[str, Any]]:
        """Take noise and brightness; returns the blocks by modality."""
        held = [b if isinstance(b, Mapping) else {self.modality: b} for b in batches]
        if not held or not sum(len(next(iter(b.values()))) for b in held):
            raise ValueError(f"{self.name} needs at least one object with {self.modality} to fit on")
        self._network()
        images = [b["image"] for b in held if "image" in b]
        spectra = [b["spectrum"] for b in held if "spectrum" in b]
        self.noise_ = noise_of(images) if images else np.ones(1, np.float32)
        signal = np.concatenate([spectrum_input(s)["signal"] for s in spectra]) if spectra else np.zeros(1, np.float32)
        self.level_ = np.array([np.median(signal)], np.float32)
        return held

    def encode(self, batch: Given) -> np.ndarray:
        """(n, dim) float32 vectors of each object."""
        block = batch if isinstance(batch, Mapping) else {self.modality: batch}
        raw = self._raw(block)
        return self.readout_(raw, block) if self.kept else raw

    def _raw(self, block: Mapping[str, Any]) -> np.ndarray:
        """(n, width) float32: the network's own vectors."""
        import torch

        net, place = self._network(), self._place()
        inputs = self.inputs(block)
        count = len(next(iter(inputs.values())))
        fast = torch.autocast("cuda", dtype=torch.bfloat16) if place.type == "cuda" else nullcontext()
        out = []
        with torch.inference_mode(), fast:
            for start in range(0, count, self.block):
                part = {k: torch.from_numpy(v[start : start + self.block]) for k, v in inputs.items()}
                if place.type == "cuda":
                    part = {k: v.pin_memory().to(place, non_blocking=True) for k, v in part.items()}
                out.append(self.vectors(net, {k: v.float() for k, v in part.items()}).float().cpu())
        return torch.cat(out).numpy().astype(np.float32, copy=False)

    def inputs(self, batches: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Blocks as arrays: ``image``; ``flux``, ``weight`` and ``level``."""
        out: dict[str, np.ndarray] = {}
        for batch in batches.values():
            if isinstance(batch, Images):
                out["image"] = image_input(batch, self.noise_, self.size, self.bands_, self.name)
            elif isinstance(batch, Spectra):
                told = spectrum_input(batch)
                level = np.clip(told["signal"] - self.level_, -3, 3)[:, None].astype(np.float32)
                out |= {"flux": told["flux"], "weight": told["weight"], "level": level}
            else:
                raise ValueError(f"{self.name} takes images and spectra, not {type(batch).__name__}")
        return out

    def state(self) -> dict[str, np.ndarray]:
        """Weights and statistics, as they are saved."""
        net = {f"net.{k}": v.detach().cpu().numpy() for k, v in self._network().state_dict().items()}
        axes = self.readout_.state() if self.kept else {}
        return {**net, **axes, "noise_": self.noise_, "level_": self.level_, "bands_": _letters(self.bands_)}

    def load_state(self, state: Mapping[str, np.ndarray]) -> Learned:
        """Take back what :meth:`state` gave; returns self."""
        import torch

        self._take({k: torch.from_numpy(np.array(v)) for k, v in state.items()}, "the saved state")
        self.noise_, self.level_ = np.array(state["noise_"]), np.array(state["level_"])
        if self.kept:
            self.readout_ = Readout(self.kept, self.beside, self.random_state).load_state(state)
        return self

    def load(self, path: str | Path) -> Learned:
        """Take the weights of a file, as :meth:`weights_of` gives them; returns self."""
        from kernels.embedding.files import load_weights

        self._take(load_weights(path), str(path))
        return self

    @staticmethod
    def weights_of(net: Any, bands: tuple[str, ...]) -> dict[str, Any]:
        """Tensors of a weights file: the network's, and the names of its bands."""
        import torch

        net_part = {f"net.{k}": v.detach().cpu() for k, v in net.state_dict().items()}
        return {**net_part, "bands_": torch.from_numpy(_letters(bands))}

    # -- inside --------------------

    @classmethod
    def for_training(
        cls, parts: tuple[str, ...], modality: str, sample: Mapping[str, Any], random_state: int, start: Any
    ) -> Any:
        """An encoder whose network is new, or goes on from ``start`` where that was made for this survey's bands."""
        encoder = cls(modality, random_state)
        path = (start or {}).get(parts[0])
        if path:
            encoder.load(path)
        images = sample.get("image")
        if images is not None:
            names = tuple(images.bands) or tuple(f"band {i}" for i in range(images.pixels.shape[1]))
            known = getattr(encoder, "bands_", BANDS)
            if names != known and not set(names) <= set(known):
                encoder.bands_ = names
                encoder.__dict__.pop("net_", None)
        encoder._measure([sample[modality] if modality in sample else dict(sample)])
        return encoder

    def _take(self, state: Mapping[str, Any], source: str) -> None:
        from kernels.embedding.files import load_into

        if "bands_" not in state:
            raise ValueError(f"{source} holds no weights of {self.name}: no bands are named in it")
        self.bands_ = tuple(bytes(state["bands_"].numpy().tolist()).decode().split("\n"))
        self.__dict__.pop("net_", None)
        net = self._network()
        held = {k[4:]: v for k, v in state.items() if k.startswith("net.")}
        for name, own in net.state_dict().items():
            if own.ndim == 0 and name in held and held[name].numel() == 1:  # numpy writes one number as a list of one
                held[name] = held[name].reshape(())
        load_into(net, held, f"{self.name} from {source}")

    def _network(self) -> Any:
        if "net_" not in self.__dict__:
            import torch

            self.bands_ = getattr(self, "bands_", BANDS)
            with torch.random.fork_rng([]):
                torch.manual_seed(self.random_state)
                self.net_ = self.build(len(self.bands_)).eval().to(self._place())
        return self.net_

    def _place(self) -> Any:
        import torch

        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def unit(vectors: np.ndarray) -> np.ndarray:
    """(n, d) rows at unit length."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _letters(names: tuple[str, ...]) -> np.ndarray:
    return np.frombuffer("\n".join(names).encode(), np.uint8).copy()
