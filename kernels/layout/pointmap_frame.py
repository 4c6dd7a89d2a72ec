"""The pixels of a window as intervals of the coordinates, exactly as Datashader bins points.

Datashader puts x in column ``int(x * s + t)``, ``s = width / (x1 - x0)``, ``t = -x0 * s``, in float64, the
bounds inclusive and the last column taking ``x == x1``. Rounding is monotone, so each column is an interval
of x, and its lower end is a number of the coordinate's own type: :func:`thresholds` finds it by bisection.
From there on a frame only compares: in a strip the points of column c are the positions between two
thresholds, and a strip that lies in one pixel row adds the difference of the two positions at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kernels._parallel import njit


@dataclass(frozen=True)
class Frame:
    """A window (x0, x1, y0, y1) cut into ``shape`` = (height, width) pixels, for one dtype of coordinates.

    ``x_edges`` (width + 1,): column c holds ``x_edges[c] <= x < x_edges[c + 1]``; ``y_edges`` likewise.
    ``affine`` (4,) float64 is Datashader's (sx, tx, sy, ty).
    """

    window: tuple[float, float, float, float]
    shape: tuple[int, int]
    x_edges: NDArray
    y_edges: NDArray
    affine: NDArray

    @classmethod
    def of(cls, window: tuple[float, float, float, float], shape: tuple[int, int], dtype: np.dtype) -> Frame:
        x0, x1, y0, y1 = window
        height, width = shape
        sx, tx = _scale(x0, x1, width, "x")
        sy, ty = _scale(y0, y1, height, "y")
        return cls(
            window,
            shape,
            thresholds(x0, x1, width, sx, tx, dtype),
            thresholds(y0, y1, height, sy, ty, dtype),
            np.array([sx, tx, sy, ty]),
        )


def _scale(low: float, high: float, pixels: int, axis: str) -> tuple[float, float]:
    extent = high - low
    scale = pixels / extent if extent > 0 else np.inf
    shift = -low * scale
    if not (np.isfinite(extent) and np.isfinite(scale) and np.isfinite(shift) and scale > 0):
        raise ValueError(
            f"window: {axis} from {low!r} to {high!r} cannot be cut into {pixels} pixels; "
            "give finite bounds with the lower one first and some room between them"
        )
    return scale, shift


def thresholds(low: float, high: float, pixels: int, scale: float, shift: float, dtype: np.dtype) -> NDArray:
    """Lower end of each pixel and the end of the last, (pixels + 1,) of ``dtype``.

    The first is the smallest number at or above ``low``, the last the smallest above ``high``, and number c
    between them the smallest v with ``v * scale + shift >= c``.
    """
    edges = np.empty(pixels + 1, dtype)
    edges[0], edges[-1] = _at_least(low, dtype), _above(high, dtype)
    whole, lowest = (np.int32, -(2**31)) if dtype == np.float32 else (np.int64, -(2**63))
    _bisect(edges, edges.view(whole), lowest, scale, shift)
    return edges


@njit
def _bisect(edges, bits, lowest, scale, shift):
    """Fill the edges between the first and the last; ``bits`` are the same memory as whole numbers.

    ``b if b >= 0 else lowest - b`` puts the bits of floats in the order of the floats.
    """
    last = len(edges) - 1
    low, high = np.int64(bits[0]), np.int64(bits[last])
    low = low if low >= 0 else lowest - low
    high = high if high >= 0 else lowest - high
    for c in range(1, last):
        a, b = low, max(low, high)
        while a < b:
            middle = (a >> 1) + (b >> 1) + (a & b & 1)
            bits[c] = middle if middle >= 0 else lowest - middle
            if np.float64(edges[c]) * scale + shift >= c:
                b = middle
            else:
                a = middle + 1
        bits[c] = a if a >= 0 else lowest - a
        low = a  # the next edge is not below this one


def _at_least(value: float, dtype: np.dtype) -> Any:
    with np.errstate(over="ignore"):
        near = np.asarray(value).astype(dtype)[()]
    return near if float(near) >= value else np.nextafter(near, dtype.type(np.inf))


def _above(value: float, dtype: np.dtype) -> Any:
    with np.errstate(over="ignore"):
        near = np.asarray(value).astype(dtype)[()]
    return near if float(near) > value else np.nextafter(near, dtype.type(np.inf))
