"""The coordinates a density is measured in: standardised columns, principal components, clipping.

A likelihood depends on them, so they are kept beside the score (:meth:`Coordinates.record`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

CHUNK = 16384


@dataclass(frozen=True)
class Coordinates:
    """A linear map fitted on training rows: subtract ``mean`` (d,), multiply by ``matrix`` (d, k), clip at ``clip``.

    Outputs have mean 0 and standard deviation 1 on the training rows. ``kept`` is the share of the standardised
    variance that the k outputs hold.
    """

    mean: np.ndarray
    matrix: np.ndarray
    clip: float | None
    kept: float

    @property
    def width(self) -> int:
        return self.matrix.shape[1]

    def apply(self, rows: np.ndarray) -> np.ndarray:
        """(n, k) float64 of finite rows (n, d)."""
        out = np.empty((len(rows), self.width))
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(rows), CHUNK):
                part = rows[start : start + CHUNK].astype(np.float64)
                out[start : start + CHUNK] = (part - self.mean) @ self.matrix
        return out if self.clip is None else np.clip(out, -self.clip, self.clip)

    def record(self) -> dict[str, Any]:
        """What a score's provenance says of its coordinates."""
        return {
            "columns": len(self.mean),
            "dimensions": self.width,
            "variance_kept": round(self.kept, 6),
            "clip_sigma": self.clip,
        }


def fit(rows: np.ndarray, dims: int | None = None, clip: float | None = None) -> Coordinates:
    """Coordinates fitted on finite rows (n, d).

    Every column is standardised; a constant one is left out. With ``dims`` less than the columns, their leading
    ``dims`` principal components are taken, each scaled to variance 1; components that hold nothing but rounding are
    left out (fewer rows than columns).
    """
    n, d = rows.shape
    mean = rows.mean(axis=0, dtype=np.float64)
    scale = np.zeros(d)
    for start in range(0, n, CHUNK):
        scale += ((rows[start : start + CHUNK] - mean) ** 2).sum(axis=0)
    scale = np.sqrt(scale / n)
    moving = scale > 1e-7 * np.maximum(np.abs(mean), 1e-30)
    if not moving.any():
        raise ValueError(f"all {d} columns are constant over {n} rows: there is no density to measure")
    columns = np.flatnonzero(moving)
    if dims is None or dims >= len(columns):
        matrix = np.zeros((d, len(columns)))
        matrix[columns, np.arange(len(columns))] = 1 / scale[columns]
        return Coordinates(mean, matrix, clip, 1.0)
    covariance = np.zeros((len(columns), len(columns)))
    for start in range(0, n, CHUNK):
        part = (rows[start : start + CHUNK][:, columns] - mean[columns]) / scale[columns]
        covariance += part.T @ part
    values, vectors = np.linalg.eigh(covariance / n)
    values, vectors = values[::-1][:dims], vectors[:, ::-1][:, :dims]
    held = values > 1e-10 * values[0]
    values, vectors = values[held], vectors[:, held]
    # the sign of an eigenvector is arbitrary: the largest entry is made positive
    vectors = vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(len(values))])
    matrix = np.zeros((d, len(values)))
    matrix[columns] = vectors / scale[columns, None] / np.sqrt(values)
    return Coordinates(mean, matrix, clip, float(values.sum() / len(columns)))
