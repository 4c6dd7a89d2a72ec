"""Categories as colours: pixels that hold several mix them by count, dense pixels are the more opaque.

The mixing and the four ways to opacity are those of Datashader's ``shade`` with a ``color_key``.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

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
    """RGBA (h, w, 4) uint8 of the sums of red, green, blue and the count (h, w, 4) uint64."""
    count = sums[..., 3]
    out = np.zeros((*count.shape, 4), np.uint8)
    shown = count > 0
    if not shown.any():
        return out
    filled = sums[shown]
    out[shown, :3] = filled[:, :3] // filled[:, 3:]
    out[shown, 3] = alpha(filled[:, 3], opacity, min_alpha)
    return out


def alpha(count: NDArray, opacity: Opacity, min_alpha: int = 40) -> NDArray:
    """Opacity (k,) uint8 from ``min_alpha`` at the smallest of the positive counts (k,) to 255 at the largest."""
    above = (count - count.min()).astype(np.float64)
    if opacity == "eq_hist":
        scaled = _equalised(above)
    elif opacity in ("log", "cbrt", "linear"):
        scaled = {"log": np.log1p, "cbrt": np.cbrt, "linear": np.asarray}[opacity](above)
    else:
        raise ValueError(f"opacity: {opacity!r} is none of eq_hist, log, cbrt, linear")
    low, high = scaled.min(), scaled.max()
    if low == high:
        return np.full(len(count), 255, np.uint8)
    return np.interp(scaled, [low, high], [min_alpha, 255]).astype(np.uint8)


def _equalised(values: NDArray, bins: int = 256 * 256) -> NDArray:
    """Histogram equalisation: each value's place in the distribution of the values."""
    if len(values) == 0:
        return values
    if values.max() < bins:  # counts: the exact distribution
        whole = values.astype(np.int64)
        heights = np.bincount(whole)
        return np.cumsum(heights)[whole] / len(values)
    heights, edges = np.histogram(values, bins=bins)
    places = np.cumsum(heights) / len(values)
    return np.interp(values, 0.5 * (edges[1:] + edges[:-1]), places)
