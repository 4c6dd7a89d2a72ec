"""What the neighbour engine does to a matrix before any product is taken.

Every metric is brought to one form. With rows ``a`` (scaled, for cosine normalised, then centred) the loss that
is made small is

===========  =============================  =====================================
metric       loss ``L``                     bound used to skip a pair
===========  =============================  =====================================
euclidean    ``|a - b|^2``                  ``a.b > w_a + w_b - L / 2``
cosine       ``1 - u.v``                    ``a.b > off + w_a + w_b - L``
inner        ``-x.y``                       ``a.b > -L``
===========  =============================  =====================================

Centring changes neither Euclidean distances nor angles between unit rows, and it makes rounding errors small
where embeddings share a large mean, as those of foundation models do.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kernels._parallel import in_threads

METRICS = ("euclidean", "cosine", "inner")
_MEANT = {
    "l2": "euclidean", "l2-squared": "euclidean", "sqeuclidean": "euclidean", "angular": "cosine", "cos": "cosine",
    "ip": "inner", "dot": "inner", "inner_product": "inner",
}  # fmt: skip
CHUNK = 8192


def as_matrix(values: Any, what: str = "X") -> np.ndarray:
    """``values`` as a 2-D numpy array of a real type; torch tensors, lists and masked float16 are taken.

    A clear :class:`ValueError` names ``what`` and its shape where it is no matrix of numbers.
    """
    if hasattr(values, "detach"):
        tensor = values.detach().cpu()
        values = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    matrix = np.asarray(values)
    if matrix.dtype.kind not in "fiub":
        raise ValueError(f"{what} holds {matrix.dtype}, not numbers: pass a float matrix of shape (n, d)")
    if matrix.ndim != 2:
        hint = " (one vector is a matrix of one row: x[None])" if matrix.ndim == 1 else ""
        raise ValueError(f"{what} has shape {matrix.shape}; expected (n, d){hint}")
    if matrix.shape[1] == 0:
        raise ValueError(f"{what} has shape {matrix.shape}: its rows have no dimensions")
    return matrix


def check_metric(metric: str) -> str:
    """``metric`` itself, or an error that lists what exists."""
    if metric not in METRICS:
        meant = _MEANT.get(str(metric).casefold(), "")
        hint = f'. You mean metric="{meant}"' if meant else ""
        raise ValueError(f"metric={metric!r} is unknown: choose one of {', '.join(METRICS)}{hint}")
    return metric


@dataclass
class Space:
    """How rows of one fitted matrix are scaled and centred, so that queries can follow.

    Attributes
    ----------
    metric : ``"euclidean"``, ``"cosine"`` or ``"inner"``.
    mean : (d,) float32 subtracted after scaling or normalising (zero for inner products).
    scale : power of two that values are divided by, so that squares neither overflow nor vanish.
    """

    metric: str
    mean: np.ndarray
    scale: float = 1.0

    @property
    def code(self) -> int:
        return METRICS.index(self.metric)

    @property
    def offset(self) -> float:
        """The constant of the bound (see the module's table)."""
        return 1.0 - float(self.mean.astype(np.float64) @ self.mean) if self.metric == "cosine" else 0.0

    @property
    def slope(self) -> float:
        return 0.5 if self.metric == "euclidean" else 1.0

    def distance(self, loss: np.ndarray) -> np.ndarray:
        """Distances in the units of the input from float64 losses (inner: minus the product)."""
        if self.metric == "euclidean":
            return np.sqrt(np.maximum(loss, 0.0)) * self.scale
        if self.metric == "inner":
            return loss * self.scale**2
        return np.clip(loss, 0.0, 2.0)

    def loss(self, distance: float) -> float:
        """The loss at a distance (the inverse of :meth:`distance`)."""
        if self.metric == "euclidean":
            return (distance / self.scale) ** 2
        return distance / self.scale**2 if self.metric == "inner" else distance


@dataclass
class Rows:
    """Prepared rows. ``a`` (n, d) float32, ``w`` (n,) float32 and ``norm`` (n,) float32 of the bound,
    ``sq`` (n,) float32 the squared length before centring for cosine (1, or 0 for a zero row)."""

    a: np.ndarray
    w: np.ndarray
    norm: np.ndarray
    sq: np.ndarray

    def __len__(self) -> int:
        return len(self.a)

    def take(self, rows: np.ndarray | slice) -> Rows:
        """The rows chosen, in that order."""
        return Rows(self.a[rows], self.w[rows], self.norm[rows], self.sq[rows])

    def join(self, more: Rows) -> Rows:
        """These rows, then ``more``."""
        mine, theirs = (vars(x).values() for x in (self, more))
        return Rows(*(np.concatenate(pair) for pair in zip(mine, theirs, strict=True)))


def finite_rows(matrix: np.ndarray) -> np.ndarray:
    """(n,) bool: rows without NaN or infinity, by chunks."""
    if matrix.dtype.kind != "f":
        return np.ones(len(matrix), bool)
    good = np.empty(len(matrix), bool)
    for start in range(0, len(matrix), CHUNK):
        part = matrix[start : start + CHUNK]
        with np.errstate(all="ignore"):
            total = part.sum(axis=1, dtype=np.float64)
        good[start : start + CHUNK] = np.isfinite(total)
        for row in np.flatnonzero(~good[start : start + CHUNK]):  # a sum may overflow where no value is infinite
            good[start + row] = bool(np.isfinite(part[row]).all())
    return good


def fit_space(matrix: np.ndarray, metric: str) -> Space:
    """Scale and mean of finite rows ``matrix`` (n, d), in float64 by chunks."""
    dim = matrix.shape[1]
    scale = 1.0
    if metric != "cosine":
        largest = max((float(np.abs(matrix[s : s + CHUNK]).max()) for s in range(0, len(matrix), CHUNK)), default=0.0)
        if largest > 0 and not 1e-6 < largest < 1e6:
            scale = float(2.0 ** np.floor(np.log2(largest)))
    space = Space(metric, np.zeros(dim, np.float32), scale)
    if metric == "inner" or not len(matrix):
        return space

    def sums(start: int) -> np.ndarray:
        return _scaled(matrix[start : start + CHUNK], space)[0].sum(axis=0, dtype=np.float64)

    total = np.sum(in_threads(partial(sums, start) for start in range(0, len(matrix), CHUNK)), axis=0)
    return Space(metric, (total / len(matrix)).astype(np.float32), scale)


def _scaled(part: np.ndarray, space: Space) -> tuple[np.ndarray, np.ndarray]:
    """Rows divided by the scale, or by their own length for cosine, and (n,) 1 or 0 for a zero row."""
    if space.metric != "cosine":
        if space.scale == 1.0:
            return part.astype(np.float32, copy=False), np.ones(len(part), np.float32)
        return (part.astype(np.float64) / space.scale).astype(np.float32), np.ones(len(part), np.float32)
    wide = part.astype(np.float64)
    largest = np.abs(wide).max(axis=1, keepdims=True)
    if (largest > 1e150).any() or ((largest < 1e-150) & (largest > 0)).any():
        wide /= np.where(largest > 0, largest, 1.0)
    length = np.sqrt(np.einsum("ij,ij->i", wide, wide))
    filled = length > 0
    wide /= np.where(filled, length, 1.0)[:, None]
    return wide.astype(np.float32), filled.astype(np.float32)


def prepare_rows(matrix: np.ndarray, space: Space) -> Rows:
    """Finite rows ``matrix`` (n, d) brought into ``space``; one float32 copy is made."""
    n, dim = matrix.shape
    rows = Rows(np.empty((n, dim), np.float32), *(np.empty(n, np.float32) for _ in range(3)))
    mean = space.mean.astype(np.float64)

    def chunk(start: int) -> None:
        part = slice(start, min(n, start + CHUNK))
        scaled, rows.sq[part] = _scaled(matrix[part], space)
        a = np.subtract(scaled, space.mean, out=rows.a[part])
        square = np.einsum("ij,ij->i", a, a, dtype=np.float64)
        rows.norm[part] = np.sqrt(square)
        if space.metric == "euclidean":
            rows.w[part] = 0.5 * square
        elif space.metric == "cosine":
            rows.w[part] = -(a @ mean)
        else:
            rows.w[part] = 0.0

    in_threads(partial(chunk, start) for start in range(0, n, CHUNK))
    return rows
