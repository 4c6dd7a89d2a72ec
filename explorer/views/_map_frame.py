"""One frame of the map: what to draw for a window, and which thumbnails to lay over it. Pure functions."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.views import _shade
from explorer.views._colour import Categories, Colouring, Counts, Values
from explorer.views._theme import CATEGORIES, OTHER

Window = tuple[float, float, float, float]
"""``(x0, x1, y0, y1)`` in the coordinates of the layout."""

THUMBNAIL = 46  # pixels on the screen, with the gap to its neighbour
LARGE, LONE = 84, 60  # a thumbnail where no more than so many rows are visible
FEW = 260  # up to so many visible rows the map shows thumbnails by itself


@dataclass(frozen=True)
class Frame:
    """A drawn window: two pictures (see :mod:`explorer.views._shade`) and how many rows lie in it."""

    window: Window
    base: np.ndarray
    chosen: np.ndarray | None
    visible: int
    spread: int


def full_window(xy: np.ndarray, shape: tuple[int, int], margin: float | None = None) -> Window:
    """The window of a canvas ``(height, width)`` that holds every finite position, with square units.

    By default a few rows get a margin in which their thumbnails fit.
    """
    finite = xy[np.isfinite(xy).all(axis=1)]
    if margin is None:
        margin = 0.06 if len(finite) > LONE else 0.7 * LARGE / min(shape)
    if not len(finite):
        return (0.0, 1.0, 0.0, 1.0)
    low, high = finite.min(axis=0).astype(float), finite.max(axis=0).astype(float)
    height, width = shape
    unit = max((high[0] - low[0]) / width, (high[1] - low[1]) / height) * (1 + 2 * margin) or 1e-3
    (x, y) = (low + high) / 2
    return (x - unit * width / 2, x + unit * width / 2, y - unit * height / 2, y + unit * height / 2)


def render(
    points: Any,
    window: Window,
    shape: tuple[int, int],
    colour: Colouring,
    mask: np.ndarray | None,
    look: tuple[str, str],
) -> Frame:
    """Draw a window of a point map.

    ``shape`` is ``(height, width)`` in pixels, ``mask`` (n,) bool the selection or None, ``look`` the theme and the
    name of the map of continuous values.
    """
    counts = points.draw(window, shape)
    visible = int(counts.sum())
    spread = _shade.spread_of(visible, shape[0] * shape[1])
    if isinstance(colour, Counts):
        base = _shade.shade_counts(counts, _shade.gradient("density", look[0]), spread)
    else:
        base = _coloured(points, window, shape, colour, None, look, spread)
    chosen = None if mask is None else render_selection(points, window, shape, mask, look, spread, colour)
    return Frame(window, base, chosen, visible, spread)


def _coloured(
    points: Any,
    window: Window,
    shape: tuple[int, int],
    colour: Values | Categories,
    mask: np.ndarray | None,
    look: tuple[str, str],
    spread: int,
) -> np.ndarray:
    """Rows in the colour of a value or a category."""
    mode, continuous = look
    if isinstance(colour, Values):
        means = points.draw(window, shape, values=colour.values, how="mean", mask=mask)
        return _shade.shade_values(means, colour.limits, _shade.gradient(continuous, mode), spread)
    colours = [*CATEGORIES[mode][: colour.others], OTHER[mode]]
    rgba = points.draw(window, shape, values=colour.slots, how="category", palette=colours, mask=mask)
    return _shade.shade_categories(rgba, spread)


def render_selection(
    points: Any,
    window: Window,
    shape: tuple[int, int],
    mask: np.ndarray,
    look: tuple[str, str],
    spread: int,
    colour: Colouring = Counts(),  # noqa: B008 (frozen)
) -> np.ndarray:
    """The selected rows of a window: in the accent colour, or in the map's own colours, rimmed by it.

    A rim needs room: where points are drawn as single pixels the selection stands out by what is dimmed around it.
    """
    counts = points.draw(window, shape, mask=mask)
    few = _shade.spread_of(int(counts.sum()), shape[0] * shape[1])
    spread = min(max(spread, few - 1), spread + 1)
    if isinstance(colour, Counts):
        return _shade.shade_selection(counts, look[0], spread)
    inner = _coloured(points, window, shape, colour, mask, look, spread)
    rim = _shade.shade_selection(counts, look[0], spread + 2) if spread else inner
    return np.where(inner >> 24 > 0, inner, rim)


def thumbnail_size(visible: int) -> int:
    """Pixels of a thumbnail on the screen, with the gap to its neighbour, where so many rows are visible."""
    return LARGE if visible <= LONE else THUMBNAIL


def representatives(
    points: Any, xy: np.ndarray, window: Window, shape: tuple[int, int], most: int = 400, size: int = THUMBNAIL
) -> np.ndarray:
    """Rows to show as thumbnails, (m,) int64, so that no two overlap on a canvas ``(height, width)``.

    In each cell of half a thumbnail's size, the row nearest to the mean of its rows is asked for, the densest cell
    first; one that would touch a thumbnail that lies already is left out.
    """
    x0, x1, y0, y1 = window
    rows = points.inside(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]]))
    if not len(rows):
        return rows
    height, width = shape
    columns, lines = max(1, 2 * width // size), max(1, 2 * height // size)
    at = xy[rows].astype(np.float64)
    column = np.clip(((at[:, 0] - x0) / (x1 - x0) * columns).astype(np.int64), 0, columns - 1)
    line = np.clip(((at[:, 1] - y0) / (y1 - y0) * lines).astype(np.int64), 0, lines - 1)
    cell = line * columns + column
    count = np.bincount(cell, minlength=columns * lines)
    filled = np.maximum(count, 1)
    mean = np.stack([np.bincount(cell, at[:, k], columns * lines) / filled for k in (0, 1)], axis=1)
    apart = ((at - mean[cell]) ** 2).sum(axis=1)
    order = np.lexsort((apart, cell))
    first = order[np.r_[True, np.diff(cell[order]) > 0]]
    densest = first[np.argsort(-count[cell[first]], kind="stable")]
    pixels = (at[densest] - (x0, y0)) / ((x1 - x0) / width, (y1 - y0) / height)
    return rows[densest[_apart(pixels, most, size)]]


def _apart(pixels: np.ndarray, most: int, size: int) -> list[int]:
    """Places of positions (k, 2), taken in their order, of which no two are nearer than a thumbnail along both axes."""
    taken = np.empty((most, 2))
    kept: list[int] = []
    for place, here in enumerate(pixels):
        if len(kept) == most:
            break
        if (np.abs(taken[: len(kept)] - here).max(axis=1, initial=0) >= size).all():
            taken[len(kept)] = here
            kept.append(place)
    return kept


def data_url(picture: bytes | None) -> str:
    """JPEG bytes as an address that a page can show, or '' for none."""
    return "" if picture is None else "data:image/jpeg;base64," + base64.b64encode(picture).decode("ascii")
