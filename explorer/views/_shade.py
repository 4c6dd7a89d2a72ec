"""From aggregates on a pixel grid to colours, by the rules of Datashader's ``shade`` and ``spread``.

Every picture that leaves here is ``(h, w)`` uint32 as Bokeh's ``image_rgba`` takes it (bytes R, G, B, A), first row
at the bottom, transparent where there is no point.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from explorer.views._theme import DENSITY, token


@lru_cache(maxsize=16)
def gradient(name: str, mode: str) -> tuple[str, ...]:
    """Colours of a map, low to high: ``"density"``, ``"cividis"`` or ``"viridis"``.

    The maps of continuous values lose the end that the canvas of the theme would swallow.
    """
    if name == "density":
        return DENSITY[mode]
    from bokeh import palettes

    full = getattr(palettes, f"{name.capitalize()}256")
    low, high = (45, 255) if mode == "dark" else (0, 220)
    return tuple(full[round(i)] for i in np.linspace(low, high, 64))


@lru_cache(maxsize=16)
def table(colours: tuple[str, ...]) -> np.ndarray:
    """(256, 3) uint8, the colours joined by straight lines in RGB."""
    stops = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in colours], dtype=np.float64)
    at, places = np.linspace(0, 1, 256), np.linspace(0, 1, len(stops))
    made = np.stack([np.interp(at, places, stops[:, k]) for k in range(3)], axis=1)
    return np.round(made).astype(np.uint8)


def spread_of(visible: int, pixels: int) -> int:
    """How far to widen a point, in pixels, so that few points on a large canvas are seen and many are not smeared."""
    share = visible / max(pixels, 1)
    return 4 if share < 0.0006 else 3 if share < 0.003 else 2 if share < 0.02 else 1 if share < 0.12 else 0


@lru_cache(maxsize=8)
def disc(radius: int) -> tuple[tuple[int, int], ...]:
    """Offsets (dy, dx) within ``radius`` + 0.5 pixels, the nearest first, without the centre."""
    steps = range(-radius, radius + 1)
    found = [(dy * dy + dx * dx, dy, dx) for dy in steps for dx in steps]
    return tuple((dy, dx) for apart, dy, dx in sorted(found) if 0 < apart <= (radius + 0.35) ** 2)


def widen(picture: np.ndarray, radius: int) -> np.ndarray:
    """Each pixel grown to a disc; where discs meet, a pixel takes the nearest colour."""
    if radius <= 0:
        return picture
    height, width = picture.shape
    grown = picture.copy()
    for dy, dx in disc(radius):
        to = grown[max(dy, 0) : height + min(dy, 0), max(dx, 0) : width + min(dx, 0)]
        source = picture[max(-dy, 0) : height + min(-dy, 0), max(-dx, 0) : width + min(-dx, 0)]
        np.copyto(to, source, where=to == 0)
    return grown


def equalised(levels: np.ndarray) -> np.ndarray:
    """Positive whole numbers (k,) by their place in their own distribution, 0 … 1: Datashader's ``eq_hist``."""
    top = int(levels.max())
    if top >= 65536:
        levels = (levels.astype(np.float64) * (65535 / top)).astype(np.int64)
    share = np.bincount(levels).cumsum() / len(levels)
    places = share[levels]
    low, high = places.min(), places.max()
    return (places - low) / (high - low) if high > low else np.full(len(levels), 0.5)


def _packed(seen: np.ndarray, colours: np.ndarray, opacity: np.ndarray | int) -> np.ndarray:
    """(h, w) uint32 with ``colours`` (k, 3) and ``opacity`` (k,) on the ``k`` pixels that are ``seen`` (h, w)."""
    rgba = np.zeros((*seen.shape, 4), np.uint8)
    rgba[seen, :3] = colours
    rgba[seen, 3] = opacity
    return rgba.view(np.uint32)[..., 0]


def shade_counts(counts: np.ndarray, colours: Sequence[str], spread: int = 0, least: int = 170) -> np.ndarray:
    """Counts ``(h, w)`` in a gradient, equalised by histogram; ``least`` is the alpha of the thinnest pixel.

    Where points are so few that they are widened, the colour tells the density around them and not the accident of
    two on one pixel.
    """
    seen = counts > 0
    if not seen.any():
        return np.zeros(counts.shape, np.uint32)
    level = counts[seen] if spread == 0 else _smoothed(counts, 3 + 2 * spread)[seen]
    place = equalised(level)
    opacity = (least + place * (255 - least)).astype(np.uint8)
    return widen(_packed(seen, table(tuple(colours))[(place * 255).astype(np.uint8)], opacity), spread)


def _smoothed(counts: np.ndarray, sigma: float) -> np.ndarray:
    """Counts smoothed by a Gaussian, as whole numbers 0 … 4095 of the densest pixel."""
    from scipy.ndimage import gaussian_filter

    dense = gaussian_filter(counts.astype(np.float32), sigma, truncate=2.5, mode="constant")
    return (dense * (4095 / dense.max())).astype(np.uint32)


def shade_values(means: np.ndarray, limits: tuple[float, float], colours: Sequence[str], spread: int = 0) -> np.ndarray:
    """Mean values ``(h, w)``, NaN where there is no point, in a gradient between two limits; beyond, the ends."""
    low, high = limits if limits[1] > limits[0] else (limits[0] - 0.5, limits[0] + 0.5)
    seen = ~np.isnan(means)
    place = np.clip((means[seen].astype(np.float64) - low) / (high - low) * 255, 0, 255)
    return widen(_packed(seen, table(tuple(colours))[place.astype(np.uint8)], 255), spread)


def shade_categories(rgba: np.ndarray, spread: int = 0) -> np.ndarray:
    """Mixed colours ``(h, w, 4)`` uint8, with the thinnest pixel made opaque enough to be seen."""
    made = np.array(rgba, dtype=np.uint8)
    least = 160 if spread == 0 else 230
    opacity = made[..., 3]
    np.maximum(opacity, least, out=opacity, where=opacity > 0)
    return widen(made.view(np.uint32)[..., 0], spread)


def shade_selection(counts: np.ndarray, mode: str, spread: int = 0) -> np.ndarray:
    """Counts of the selected rows ``(h, w)`` in the accent colour, as opaque as it takes to lie on top of the rest."""
    seen = counts > 0
    if not seen.any():
        return np.zeros(counts.shape, np.uint32)
    opacity = (205 + 50 * equalised(counts[seen])).astype(np.uint8) if spread == 0 else 225
    return widen(_packed(seen, table((token(mode, "select"),) * 2)[0], opacity), spread)


def robust_limits(values: np.ndarray) -> tuple[float, float]:
    """The 2nd and 98th percentile of the finite values, (0, 1) where there is none: stable while zooming."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return 0.0, 1.0
    if len(finite) > 200_000:
        finite = finite[:: len(finite) // 100_000]
    low, high = np.percentile(finite, [2, 98])
    return float(low), float(high)
