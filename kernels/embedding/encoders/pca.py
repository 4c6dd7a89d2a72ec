"""Principal components of pixels and of spectra: the linear baseline that every other encoder must beat.

Halko, Martinsson & Tropp 2011, SIAM Review 53, 217 (the randomised decomposition, as in scikit-learn).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kernels.embedding.batches import Batch, Images, Spectra


class PCA:
    """Vectors of principal components of one modality, fitted on the survey itself.

    Images are resized to ``size`` pixels a side and compressed as ``arcsinh(pixels / noise)`` with one noise level a
    band; spectra are divided by their root mean square and masked pixels take the mean spectrum's value.

    Parameters
    ----------
    modality : ``"image"`` or ``"spectrum"``.
    dim : components kept; fewer where there are fewer objects or pixels.
    size : pixels a side that images are resized to.
    random_state : seed of the randomised decomposition.

    Attributes
    ----------
    components_ : (dim, pixels) float32, rows of unit length.
    mean_ : (pixels,) float32.
    scale_ : (dim,) float32, the standard deviation along each component.
    """

    name = "pca"
    modalities = ("image", "spectrum")
    fit_rows = 4096

    def __init__(self, modality: str, dim: int = 64, size: int = 64, random_state: int = 0):
        if modality not in self.modalities:
            raise ValueError(f"the pca encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.dim, self.size, self.random_state = modality, dim, size, random_state

    def fit(self, batches: Iterable[Batch]) -> PCA:
        """Find the components from blocks that together hold a sample of the survey; returns self."""
        from sklearn.utils.extmath import randomized_svd

        held = list(batches)
        if not held or not sum(len(b) for b in held):
            raise ValueError(f"pca needs at least one object with {self.modality} to fit on")
        if isinstance(held[0], Images):
            self.noise_ = _noise(held)
        matrix = np.concatenate([self._matrix(b) for b in held])
        good = np.isfinite(matrix)
        counts = good.sum(axis=0)
        np.nan_to_num(matrix, copy=False, nan=0.0)
        self.mean_ = (matrix.sum(axis=0) / np.maximum(counts, 1)).astype(np.float32)
        matrix -= self.mean_
        matrix *= good
        rank = max(1, min(self.dim, *matrix.shape))
        _, singular, rows = randomized_svd(matrix, rank, n_iter=4, random_state=self.random_state)
        self.components_ = rows.astype(np.float32)
        self.scale_ = (singular / np.sqrt(max(len(matrix) - 1, 1))).astype(np.float32)
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, dim) float32 components of each object."""
        matrix = self._matrix(batch)
        matrix = np.where(np.isfinite(matrix), matrix - self.mean_, np.float32(0))
        return (matrix @ self.components_.T).astype(np.float32)

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """(n, Σ dim) joint vectors: each modality standardised along each component, then side by side."""
        return np.concatenate([_standardised(v) for v in vectors.values()], axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays, as they are saved."""
        names = ["components_", "mean_", "scale_"] + (["noise_"] if self.modality == "image" else [])
        return {name: getattr(self, name) for name in names}

    def load_state(self, state: dict[str, np.ndarray]) -> PCA:
        """Take back what :meth:`state` gave; returns self."""
        for name, value in state.items():
            setattr(self, name, value)
        return self

    def _matrix(self, batch: Batch) -> np.ndarray:
        if isinstance(batch, Spectra):
            return _unit_spectra(batch)
        pixels = resize(batch.pixels, self.size)
        if pixels.shape[1] != len(self.noise_):
            raise ValueError(f"pca was fitted on {len(self.noise_)} bands and is given {pixels.shape[1]}")
        return np.arcsinh(pixels / self.noise_[:, None, None]).reshape(len(pixels), -1)


def resize(pixels: np.ndarray, size: int) -> np.ndarray:
    """Images (n, b, h, w) at (n, b, size, size) float32, bilinear with anti-aliasing; NaN counts as zero."""
    import torch

    pixels = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0).astype(np.float32, copy=False)
    if pixels.shape[-2:] == (size, size):
        return pixels
    tensor = torch.from_numpy(np.ascontiguousarray(pixels))
    shape = (size, size)
    made = torch.nn.functional.interpolate(tensor, shape, mode="bilinear", align_corners=False, antialias=True)
    return made.numpy()


def _noise(batches: list[Batch]) -> np.ndarray:
    """(bands,) float32: the typical image's scatter, by half the 16-84 % range of its pixels."""
    images = [b.pixels for b in batches if isinstance(b, Images)]
    spread = [np.nanpercentile(p, 84, axis=(2, 3)) - np.nanpercentile(p, 16, axis=(2, 3)) for p in images]
    typical = np.nanmedian(np.concatenate(spread), axis=0) / 2
    return np.where(np.isfinite(typical) & (typical > 0), typical, 1.0).astype(np.float32)


def _unit_spectra(batch: Spectra) -> np.ndarray:
    """(n, m) float32 of root mean square 1 over good pixels, NaN where masked."""
    good = (batch.ivar > 0) & np.isfinite(batch.flux)
    flux = np.where(good, batch.flux, 0.0).astype(np.float32)
    power = np.sqrt((flux**2).sum(axis=1) / np.maximum(good.sum(axis=1), 1))
    flux /= np.where(power > 0, power, 1.0)[:, None]
    np.clip(flux, -10, 10, out=flux)
    flux[~good] = np.nan
    return flux


def _standardised(vectors: np.ndarray) -> np.ndarray:
    spread = np.nanstd(vectors, axis=0)
    return ((vectors - np.nanmean(vectors, axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
