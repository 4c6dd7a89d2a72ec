"""Cutouts of any survey: circular harmonics in rings, and the code of an autoencoder that learned to undo nuisances.

A denoising autoencoder (Vincent et al. 2008, ICML, 1096) restores the harmonics of a cutout from those of the same
cutout at another distance, centring, seeing, noise, stretch or choice of bands. That turned and mirrored images are
alike is not learned but built in (:mod:`kernels.embedding.models.rings`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kernels.embedding.batches import Images
from kernels.preprocess.images import resize

if TYPE_CHECKING:
    from torch import Tensor

CODE = 16
"""Values of the code."""
LEAST = 24
"""Pixels a side below which rings cannot be told apart."""


class DAE:
    """64 values of an image in one band or many, whatever its size, stretch, orientation and mirror image.

    48 of them are the leading principal components, in this survey, of the circular harmonics of the cutout; 16 are
    the code of the autoencoder, half whitened: the shipped one learned from simulated galaxies, ``explorer train dae``
    adapts it to the survey's own cutouts, without labels. The object sought is in the middle; what lies within half a
    side of it counts, the less the farther. Bands go from first to last in the order given.

    Parameters
    ----------
    modality : ``"image"``.
    random_state : seed of the autoencoder, before weights are loaded, and of the randomised decomposition.
    device : of torch; a GPU where there is one, by default.
    learned : scatter of the code in units of that of the components.

    Attributes
    ----------
    gain_ : (bands,) float32 typical brightness of an object's centre in each band.
    mean_ : (648,) float32 of the harmonics; ``components_`` (48, 648) float32, scaled to a scatter of 1 in all.
    code_mean_ : (16,) float32; ``turn_`` (16, 16) float32, what half whitens the code.
    """

    name = "dae"
    modalities = ("image",)
    dim = 64
    weights: ClassVar = {"image": "dae-image.safetensors"}
    trainings: ClassVar = (("image",),)
    fit_rows = 2048
    input_side = 128
    block = 64

    def __init__(self, modality: str, random_state: int = 0, device: str | None = None, learned: float = 0.5):
        if modality not in self.modalities:
            raise ValueError(f"the {self.name} encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.random_state, self.device, self.learned = modality, random_state, device, learned

    def fit(self, batches: Iterable[Images]) -> DAE:
        """Take the brightness of the bands and the components from blocks that hold a sample; returns self."""
        from sklearn.utils.extmath import randomized_svd

        self.__dict__.pop("gain_", None)
        held = [self._checked(b) for b in batches]
        if not held or not sum(len(b) for b in held):
            raise ValueError(f"{self.name} needs at least one object with image to fit on")
        self._measure_gain(held)
        given = [self._harmonics(b) for b in held]
        flat, code = np.concatenate([f for f, _ in given]), np.concatenate([c for _, c in given])
        self.mean_, self.code_mean_ = flat.mean(axis=0), code.mean(axis=0)
        rank = min(self.dim - CODE, *flat.shape)
        _, _, rows = randomized_svd(flat - self.mean_, rank, n_iter=4, random_state=self.random_state)
        self.components_ = np.zeros((self.dim - CODE, flat.shape[1]), np.float32)  # fewer objects than components
        self.components_[:rank] = rows
        self.components_ /= _scatter((flat - self.mean_) @ self.components_.T)
        power, axes = np.linalg.eigh(np.cov(code - self.code_mean_, rowvar=False, bias=True))
        turn = axes[:, ::-1] / np.maximum(power[::-1], 1e-4 * max(power[-1], 1e-12)) ** 0.25
        self.turn_ = (turn * self.learned / _scatter((code - self.code_mean_) @ turn)).astype(np.float32)
        return self

    def encode(self, batch: Images) -> np.ndarray:
        """(n, 64) float32 vectors: 48 components with a scatter of 1 in all, 16 of the code with ``learned``."""
        flat, code = self._harmonics(self._checked(batch))
        parts = (flat - self.mean_) @ self.components_.T, (code - self.code_mean_) @ self.turn_
        return np.concatenate(parts, axis=1).astype(np.float32)

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """The image's vector: there is no other modality."""
        return np.concatenate(list(vectors.values()), axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """Weights and statistics, as they are saved."""
        fitted = {n: getattr(self, n) for n in ("gain_", "mean_", "components_", "code_mean_", "turn_")}
        return {**{f"net.{k}": v.detach().cpu().numpy() for k, v in self._network().state_dict().items()}, **fitted}

    def load_state(self, state: Mapping[str, np.ndarray]) -> DAE:
        """Take back what :meth:`state` gave; returns self."""
        import torch

        self._take({k: torch.from_numpy(np.array(v)) for k, v in state.items() if k.startswith("net.")}, "the state")
        for name, value in state.items():
            if not name.startswith("net."):
                setattr(self, name, np.array(value))
        return self

    def load(self, path: str | Path) -> DAE:
        """Take the autoencoder from a file of weights; returns self."""
        from kernels.embedding.files import load_weights

        self._take(load_weights(path), str(path))
        return self

    @classmethod
    def training(
        cls,
        parts: tuple[str, ...],
        sample: Mapping[str, Images],
        random_state: int = 0,
        start: Mapping[str, Path] | None = None,
    ) -> Any:
        """The autoencoder, on six views of each cutout that are computed once."""
        import torch

        from kernels.embedding.models.rings import variants
        from kernels.embedding.training import Settings, Training

        encoder = cls("image", random_state)
        if start:
            encoder.load(start["image"])
        batch = encoder._checked(sample["image"])
        encoder._measure_gain([batch])
        gain = torch.from_numpy(encoder.gain_)

        def views(pixels: np.ndarray) -> Tensor:
            with torch.inference_mode():
                blocks = torch.from_numpy(pixels).split(cls.block)
                return torch.cat([variants(block, gain).half() for block in blocks]).clone()

        def inputs(batches: Mapping[str, Any]) -> dict[str, np.ndarray]:
            return {"views": views(encoder._checked(batches["image"])).numpy()}

        net = encoder._network()
        net.standardise(views(batch).float().flatten(0, 1))
        return Training(
            model=net,
            objective=_objective,
            settings=Settings(steps=400, batch=256, lr=2e-3, weight_decay=0.02, seed=random_state),
            inputs=inputs,
            weights=lambda model: {"image": {f"net.{k}": v.detach().cpu() for k, v in model.state_dict().items()}},
        )

    # -- inside --------------------

    def _checked(self, batch: Images) -> np.ndarray:
        """(n, bands, 128, 128) float32, NaN where there are no data; the reason where that cannot be."""
        if not isinstance(batch, Images):
            raise ValueError(f"{self.name} takes images, not {type(batch).__name__}")
        pixels = np.asarray(batch.pixels, np.float32)
        if pixels.ndim != 4:
            raise ValueError(f"images are (n, bands, height, width), not {pixels.shape}")
        side = min(pixels.shape[2:])
        if side < LEAST:
            raise ValueError(
                f"images of {pixels.shape[2]} x {pixels.shape[3]} pixels: {self.name} needs {LEAST} a side at least; "
                "cut out a larger field around the object"
            )
        gain = getattr(self, "gain_", None)
        if gain is not None and pixels.shape[1] != len(gain):
            raise ValueError(
                f"{self.name} was fitted on {len(gain)} bands and is given {pixels.shape[1]}: prepare the survey again"
            )
        if pixels.shape[2] != pixels.shape[3]:
            top, left = ((s - side) // 2 for s in pixels.shape[2:])
            pixels = pixels[:, :, top : top + side, left : left + side]
        known = np.isfinite(pixels)
        if known.all():
            return resize(pixels, self.input_side, antialias=True)
        share = resize(known.astype(np.float32), self.input_side, antialias=True)
        filled = resize(np.where(known, pixels, 0), self.input_side, antialias=True)
        return np.where(share > 0.5, filled / np.maximum(share, 0.5), np.nan).astype(np.float32)

    def _measure_gain(self, blocks: list[np.ndarray]) -> None:
        """The median over objects of each band's central brightness, 1 where a band has none."""
        import torch

        from kernels.embedding.models.rings import background, brightness

        peaks = []
        for block in blocks:
            pixels = torch.from_numpy(block[:: max(1, len(block) // 64)])
            flux = torch.nan_to_num(pixels - background(pixels))
            peaks.append(brightness(flux.flatten(0, 1)[:, None]).view(flux.shape[:2]))
        gain = torch.cat(peaks).median(dim=0).values.numpy()
        self.gain_ = np.where(np.isfinite(gain) & (gain > 1e-9), gain, 1.0).astype(np.float32)

    def _harmonics(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """``(n, features)`` weighted harmonics and ``(n, 16)`` codes."""
        import torch

        from kernels.embedding.models.rings import descriptor, planes, weights_of_rings

        net, place = self._network(), self._place()
        gain, weight = torch.from_numpy(self.gain_).to(place), weights_of_rings().to(place)
        flat, codes = [], []
        with torch.inference_mode():
            for block in torch.from_numpy(pixels).split(self.block):
                found = descriptor(planes(block.to(place), gain))
                flat.append((found * weight).flatten(1).cpu())
                codes.append(net(found).cpu())
        return torch.cat(flat).numpy(), torch.cat(codes).numpy()

    def _take(self, state: Mapping[str, Any], source: str) -> None:
        from kernels.embedding.files import load_into

        own = {k[4:]: v.float() for k, v in state.items() if k.startswith("net.")}
        load_into(self._network(), own, f"{self.name} from {source}")

    def _network(self) -> Any:
        if "net_" not in self.__dict__:
            import torch

            from kernels.embedding.models.rings import Denoiser

            with torch.random.fork_rng([]):
                torch.manual_seed(self.random_state)
                self.net_ = Denoiser(CODE).eval().to(self._place())
        return self.net_

    def _place(self) -> Any:
        import torch

        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))


def _scatter(vectors: np.ndarray) -> float:
    """Root of the total variance, 1 where there is none."""
    total = float(np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1).mean()))
    return total if total > 1e-6 else 1.0


def _objective(model: Any, batch: dict[str, Any]) -> dict[str, Any]:
    """One of the views of each cutout at random, values dropped besides, to the cutout as it is."""
    import torch
    from torch.nn.functional import dropout

    views = batch["views"]
    n, count = views.shape[:2]
    which = torch.randint(0, count, (n,), device=views.device)
    seen = dropout(views[torch.arange(n, device=views.device), which], 0.15, model.training)
    return {"loss": model.unexplained(seen, views[:, 0])}
