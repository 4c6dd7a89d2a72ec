"""Principal components of pixels and of spectra: the linear baseline that every other encoder must beat.

Halko, Martinsson & Tropp 2011, SIAM Review 53, 217 (the randomised decomposition, as in scikit-learn); Tipping & Bishop
1999, J. R. Stat. Soc. B 61, 611 (coefficients of noisy, incomplete data).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kernels.embedding.batches import Batch, Images, Spectra
from kernels.preprocess.images import clean, resize


class PCA:
    """Vectors of principal components of one modality, fitted on the survey itself.

    Images are resized to ``size`` pixels a side and compressed as ``arcsinh(pixels / noise)`` with one noise level a
    band. Spectra are averaged in cells of about 8 Å and divided by the root mean square of their signal; the components
    come from the better half by S/N, and the vector of a spectrum is the most probable one given its noise and the
    scatter of the components (Tipping & Bishop 1999), so that a noisy spectrum moves towards the mean instead of
    becoming an outlier, and masked pixels say nothing.

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
    residual_ : mean squared residual a pixel, beside the noise, that the components leave.
    """

    name = "pca"
    modalities = ("image", "spectrum")
    fit_rows = 4096

    def __init__(self, modality: str, dim: int = 32, size: int = 64, random_state: int = 0):
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
        parts = [self._matrix(b) for b in held]
        matrix, weight = (np.concatenate(p) for p in zip(*parts, strict=True))
        if self.modality == "spectrum":
            signal_to_noise = np.median(weight, axis=1)
            better = signal_to_noise >= np.median(signal_to_noise)
            matrix, weight = matrix[better], weight[better]
        good = weight > 0
        self.mean_ = (np.sum(matrix * good, axis=0) / np.maximum(good.sum(axis=0), 1)).astype(np.float32)
        matrix = (matrix - self.mean_) * good
        rank = max(1, min(self.dim, *matrix.shape))
        _, singular, rows = randomized_svd(matrix, rank, n_iter=4, random_state=self.random_state)
        self.components_ = rows.astype(np.float32)
        self.scale_ = (singular / np.sqrt(max(len(matrix) - 1, 1))).astype(np.float32)
        left = matrix - (matrix @ self.components_.T) @ self.components_
        self.residual_ = np.array([np.sum(left**2) / max(good.sum(), 1)], dtype=np.float32)
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, dim) float32 components of each object."""
        matrix, weight = self._matrix(batch)
        if matrix.shape[1] != len(self.mean_):
            raise ValueError(f"pca was fitted on {len(self.mean_)} samples and is given {matrix.shape[1]}")
        centred = (matrix - self.mean_) * (weight > 0)
        if self.modality == "image":
            return (centred @ self.components_.T).astype(np.float32)
        return self._most_probable(centred, weight)

    def _most_probable(self, centred: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Maximum a posteriori coefficients: solve (P W Pᵀ + S⁻²) c = P W x for every object."""
        d = len(self.components_)
        noise = np.divide(1.0, weight, out=np.zeros_like(weight), where=weight > 0) + float(self.residual_[0])
        inverse = np.where(weight > 0, 1.0 / np.maximum(noise, 1e-12), 0.0).astype(np.float32)
        products = (self.components_[:, None, :] * self.components_[None]).reshape(d * d, -1)
        normal = (inverse @ products.T).reshape(-1, d, d) + np.diag(1.0 / np.maximum(self.scale_, 1e-6) ** 2)
        right = (inverse * centred) @ self.components_.T
        return np.linalg.solve(normal, right[..., None].astype(normal.dtype))[..., 0].astype(np.float32)

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """(n, Σ dim) joint vectors: each modality standardised along each component, then side by side."""
        return np.concatenate([_standardised(v) for v in vectors.values()], axis=1)

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays, as they are saved."""
        names = ["components_", "mean_", "scale_", "residual_"] + (["noise_"] if self.modality == "image" else [])
        return {name: getattr(self, name) for name in names}

    def load_state(self, state: dict[str, np.ndarray]) -> PCA:
        """Take back what :meth:`state` gave; returns self."""
        for name, value in state.items():
            setattr(self, name, value)
        return self

    def _matrix(self, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """``(values, weight)``, both (n, pixels) float32; weight is the inverse variance, 0 without data."""
        if isinstance(batch, Spectra):
            return _scaled_spectra(batch)
        if not isinstance(batch, Images):
            raise ValueError(f"pca takes images and spectra, not {type(batch).__name__}")
        pixels = resize(clean(batch.pixels), self.size, antialias=True)
        if pixels.shape[1] != len(self.noise_):
            raise ValueError(f"pca was fitted on {len(self.noise_)} bands and is given {pixels.shape[1]}")
        flat = np.arcsinh(pixels / self.noise_[:, None, None]).reshape(len(pixels), -1)
        return flat, np.ones_like(flat)


def _noise(batches: list[Batch]) -> np.ndarray:
    """(bands,) float32: the typical image's scatter, by half the 16-84 % range of its pixels."""
    images = [b.pixels for b in batches if isinstance(b, Images)]
    spread = [np.nanpercentile(p, 84, axis=(2, 3)) - np.nanpercentile(p, 16, axis=(2, 3)) for p in images]
    typical = np.nanmedian(np.concatenate(spread), axis=0) / 2
    return np.where(np.isfinite(typical) & (typical > 0), typical, 1.0).astype(np.float32)


_MOST = 1e12
"""Largest inverse variance of a scaled cell: beyond a signal-to-noise of a million nothing is gained."""
CELL = 8.0
"""Width in Å of the cells that spectra are averaged in."""


def _scaled_spectra(batch: Spectra) -> tuple[np.ndarray, np.ndarray]:
    """Spectra averaged in cells and divided by the root mean square of their signal, with inverse variances.

    Samples whose inverse variance is below a tenth of the spectrum's median (sky lines, edges) count as masked.
    """
    ivar = np.where(np.isfinite(batch.flux) & np.isfinite(batch.ivar), batch.ivar, 0.0).astype(np.float64)
    flux = np.where(ivar > 0, batch.flux, 0.0).astype(np.float64)  # squares of fluxes in cgs leave float32
    width = max(1, round(CELL / float(np.median(np.diff(batch.wavelength)))))
    cells = max(1, flux.shape[1] // width)
    kept = slice(0, cells * width) if flux.shape[1] >= width else slice(None)
    shape = (len(flux), cells, -1)
    weight = ivar[:, kept].reshape(shape).sum(axis=2)
    total = (flux * ivar)[:, kept].reshape(shape).sum(axis=2)
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    shown = np.where(weight > 0, weight, np.nan)
    shown[~(weight > 0).any(axis=1)] = 0
    weight = np.where(weight >= 0.1 * np.nanmedian(shown, axis=1, keepdims=True), weight, 0)
    good = weight > 0
    count = np.maximum(good.sum(axis=1, keepdims=True), 1)
    power = (mean**2 * good).sum(axis=1, keepdims=True) / count
    noise = np.divide(1.0, weight, out=np.zeros_like(weight), where=good).sum(axis=1, keepdims=True) / count
    signal = np.maximum(power - noise, 0.02 * power)
    signal = np.where(signal > 0, signal, 1.0)
    scaled = np.clip(mean / np.sqrt(signal), -8, 8) * good
    return scaled.astype(np.float32), np.minimum(weight * signal, _MOST).astype(np.float32)


def _standardised(vectors: np.ndarray) -> np.ndarray:
    spread = np.nanstd(vectors, axis=0)
    return ((vectors - np.nanmean(vectors, axis=0)) / np.where(spread > 0, spread, 1.0)).astype(np.float32)
