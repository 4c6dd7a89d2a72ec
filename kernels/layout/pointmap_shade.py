"""Categories as colours: pixels that hold several mix them by count, dense pixels are the more opaque.

The mixing and the four ways to opacity are those of Datashader's ``shade`` with a ``color_key``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels._parallel import cores, in_threads, njit

Opacity = Literal["eq_hist", "log", "cbrt", "linear"]


def as_palette(palette: ArrayLike | None, highest: int) -> NDArray:
    """Colours (k, 3) uint8 from ``#rrggbb`` strings or triples, checked to cover the codes up to ``highest``."""
    if palette is None:
        raise ValueError('palette: how="category" needs one colour per code, as "#rrggbb" or (r, g, b) of 0..255')
    given = list(palette)  # type: ignore[arg-type]
    try:
        colours = np.array([_rgb(colour) for colour in given]).reshape(-1, 3)
    except (TypeError, ValueError) as error:
        raise ValueError(f'palette: {error}; write colours as "#rrggbb" or (r, g, b) of 0..255') from None
    if len(colours) == 0 or len(colours) > 65534:
        raise ValueError(f"palette: {len(colours)} colours; give between 1 and 65534, one per code")
    if colours.min() < 0 or colours.max() > 255:
        raise ValueError("palette: a component lies outside 0..255; divide or multiply the colours")
    if highest >= len(colours):
        raise ValueError(
            f"values: code {highest} has no colour, the palette has {len(colours)}; "
            "add colours or write -1 for rows without a category"
        )
    return colours.astype(np.uint8)


def _rgb(colour: object) -> tuple[int, int, int]:
    if isinstance(colour, str):
        text = colour.removeprefix("#")
        if len(text) != 6:
            raise ValueError(f"{colour!r} is not a colour")
        return int(text[:2], 16), int(text[2:4], 16), int(text[4:], 16)
    red, green, blue = (int(part) for part in colour)  # type: ignore[attr-defined]
    return red, green, blue


def mix(sums: NDArray, opacity: Opacity = "eq_hist", min_alpha: int = 40) -> NDArray:
    """RGBA (h, w, 4) uint8 of the sums of red, green, blue and the count (h, w, 4) uint32 or uint64."""
    count = sums[..., 3]
    out = np.zeros((*count.shape, 4), np.uint8)
    if opacity not in ("eq_hist", *_SCALES):
        raise ValueError(f"opacity: {opacity!r} is none of eq_hist, {', '.join(_SCALES)}")
    lowest, highest = _extent(sums.reshape(-1, 4))
    if highest == 0:
        return out
    if highest - lowest < _TABLE:
        # The opacity of every count that can occur; only eq_hist asks how often each does.
        times = np.bincount((count[count > 0] - lowest).astype(np.int64)) if opacity == "eq_hist" else None
        table = alpha(np.arange(highest - lowest + 1, dtype=np.float64), times, opacity, min_alpha)
        bands = np.linspace(0, len(count), cores() + 1).astype(int)
        in_threads([partial(_mix, sums[a:b], lowest, table, out[a:b]) for a, b in pairwise(bands)])
        return out
    shown = count > 0
    filled = sums[shown]
    out[shown, :3] = filled[:, :3] // filled[:, 3:]
    values, place, times = np.unique(filled[:, 3], return_inverse=True, return_counts=True)
    out[shown, 3] = alpha((values - lowest).astype(np.float64), times, opacity, min_alpha)[place]
    return out


_TABLE = 1 << 20


def alpha(above: NDArray, times: NDArray | None, opacity: str, min_alpha: int = 40) -> NDArray:
    """Opacity (k,) uint8 of ascending counts above the smallest one, ``min_alpha`` for it, 255 for the largest.

    ``times`` is how many pixels have each count, for ``"eq_hist"`` (the place of a count among all pixels).
    """
    if opacity == "eq_hist" and times is not None:
        scaled = np.cumsum(times) / np.sum(times)
    else:
        scaled = _SCALES[opacity](above)
    low, high = scaled[0], scaled[-1]
    if low == high:
        return np.full(len(above), 255, np.uint8)
    return np.interp(scaled, [low, high], [min_alpha, 255]).astype(np.uint8)


_SCALES: dict[str, Callable[[NDArray], NDArray]] = {"log": np.log1p, "cbrt": np.cbrt, "linear": np.asarray}


@njit
def _extent(sums):
    """Smallest positive count and the largest; (0, 0) where all are zero."""
    lowest, highest = np.int64(0), np.int64(0)
    for i in range(len(sums)):
        n = np.int64(sums[i, 3])
        highest = max(highest, n)
        if n > 0 and (n < lowest or lowest == 0):
            lowest = n
    return lowest, highest


@njit
def _mix(sums, lowest, table, out):
    for i in range(sums.shape[0]):
        for j in range(sums.shape[1]):
            n = sums[i, j, 3]
            if n > 0:
                for lane in range(3):
                    out[i, j, lane] = sums[i, j, lane] // n
                out[i, j, 3] = table[np.int64(n) - lowest]
