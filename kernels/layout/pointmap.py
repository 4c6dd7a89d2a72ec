"""The point map: draw, select and look up among up to 10^8 points at a cost that does not follow their number.

>>> import numpy as np
>>> points = PointMap(np.array([[0.0, 0.0], [1.0, 1.0], [1.0, 1.0], [np.nan, 0.0]]))
>>> points.draw(window=(0, 1, 0, 1), shape=(2, 2))
array([[1, 0],
       [0, 2]], dtype=uint32)
>>> points.inside([(0.5, 0.5), (2, 0.5), (2, 2), (0.5, 2)])
array([1, 2])
>>> points.nearest(0.2, 0.1)
0
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kernels.layout import pointmap_draw as draw
from kernels.layout import pointmap_select as select
from kernels.layout.pointmap_columns import Columns, Layer, Layers
from kernels.layout.pointmap_frame import Frame
from kernels.layout.pointmap_shade import Opacity, as_palette, mix
from kernels.layout.pointmap_sort import MOST_POINTS, sort_points

Window = tuple[float, float, float, float]
How = Literal["count", "mean", "max", "category"]

_LARGEST = 1e150  # of a polygon's coordinates: products of two must not overflow


@dataclass(frozen=True)
class Representatives:
    """Cells of a window that hold points, the fullest first.

    ``rows`` (k,) int64: a point from the densest part of each cell; ``counts`` (k,) int64;
    ``boxes`` (k, 4) float64 of (x0, x1, y0, y1).
    """

    rows: NDArray
    counts: NDArray
    boxes: NDArray


class PointMap:
    """Points of a layout, sorted once, then drawn and selected by row.

    Parameters
    ----------
    xy : (n, 2) positions, float32 or float64 (other types are read as float64). A row with a NaN or infinite
        coordinate is never drawn nor selected. The array is kept, not copied: do not change it.

    Frames equal Datashader's ``Canvas(...).points`` exactly, in any window. Methods may be called from
    several threads at once. Sorted points take 12 bytes each as float32 (20 as float64), the table a third
    of a byte, a column that colours them 4 bytes and a category 1 or 2.
    """

    def __init__(self, xy: ArrayLike) -> None:
        given = np.asarray(xy)
        if given.size == 0 and given.ndim == 1:
            given = given.reshape(0, 2)
        if given.ndim != 2 or given.shape[1] != 2 or given.dtype.kind not in "fiu":
            raise ValueError(f"xy: expected numbers of shape (n, 2), got {given.dtype} of shape {given.shape}")
        if len(given) > MOST_POINTS:
            raise ValueError(f"xy: {len(given)} points; a map holds at most {MOST_POINTS}, split the survey")
        self._xy = given if given.dtype in (np.float32, np.float64) else given.astype(np.float64)
        self._points = sort_points(self._xy[:, 0], self._xy[:, 1])
        self._layers = Layers(self._xy, Layer(self._points, Columns(self._points.rows)))

    def __len__(self) -> int:
        return len(self._xy)

    @property
    def shown(self) -> int:
        """How many points have a finite position."""
        return len(self._points.rows)

    @property
    def nbytes(self) -> int:
        """Bytes held beside the positions themselves: sorted points, table, cached columns."""
        return self._layers.nbytes

    @property
    def bounds(self) -> Window:
        """Bounds (x0, x1, y0, y1) of the finite points with a margin of 2 %; (0, 1, 0, 1) without points."""
        points = self._points
        if not self.shown:
            return (0.0, 1.0, 0.0, 1.0)
        starts, ends = points.start[:-1], points.start[1:] - 1
        return (
            *_with_margin(float(points.x[starts].min()), float(points.x[ends].max())),
            *_with_margin(float(points.low[0]), float(points.high[-1])),
        )

    def draw(
        self,
        window: Window,
        shape: tuple[int, int],
        values: ArrayLike | None = None,
        how: How = "count",
        mask: ArrayLike | None = None,
        rows: ArrayLike | None = None,
        palette: ArrayLike | None = None,
        opacity: Opacity = "eq_hist",
        planes: bool = False,
    ) -> NDArray:
        """One frame of the map; row 0 is the lowest y, as in Datashader and Bokeh.

        Parameters
        ----------
        window : (x0, x1, y0, y1), bounds inclusive.
        shape : (height, width) in pixels.
        values : (n,) a column, or integer codes for ``"category"`` (negative: no category, not drawn). The
            sorted copy of a column is kept while the array lives: pass the same array again, unchanged.
        how : ``"count"`` -> (h, w) uint32; ``"mean"`` and ``"max"`` -> (h, w) float32, NaN values skipped and
            NaN where nothing is; ``"category"`` -> (h, w, 4) uint8 RGBA mixed by counts, or with ``planes``
            (k, h, w) uint32 counts per category.
        mask, rows : only these rows, as (n,) bool or as distinct positions: the selection as a second layer.
        palette : colours of the codes, ``"#rrggbb"`` or (r, g, b).
        opacity : how a pixel's count becomes its alpha.
        """
        frame = Frame.of(_window(window), _shape(shape), self._points.x.dtype)
        if how not in ("count", "mean", "max", "category"):
            raise ValueError(f"how: {how!r} is none of count, mean, max, category")
        layer = self._layers.of(mask, rows)
        if how == "count":
            return draw.count_frame(layer.points, frame, layer.keep)
        column = self._column(values, how)
        if how == "category":
            return _draw_category(layer, frame, column, palette, opacity, planes)
        ordered = layer.columns.numbers(column)
        return (draw.mean_frame if how == "mean" else draw.max_frame)(layer.points, frame, ordered)

    def inside(self, polygon: ArrayLike) -> NDArray:
        """Rows (k,) int64 ascending inside a polygon (m, 2) of m >= 3 vertices, even-odd where it crosses itself.

        The polygon closes itself. One of zero area holds nothing; a point exactly on an edge may fall on
        either side.
        """
        return select.rows_inside(self._points, len(self), self._vertices(polygon))

    def inside_mask(self, polygon: ArrayLike) -> NDArray:
        """:meth:`inside` as (n,) bool, sooner where it holds many rows."""
        return select.mask_inside(self._points, len(self), self._vertices(polygon))

    @staticmethod
    def _vertices(polygon: ArrayLike) -> NDArray:
        vertices = np.asarray(polygon, dtype=np.float64)
        if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 3:
            raise ValueError(f"polygon: expected at least 3 vertices (m, 2), got shape {vertices.shape}")
        if not (np.abs(vertices) < _LARGEST).all():
            k = int(np.flatnonzero(~(np.abs(vertices) < _LARGEST).all(axis=1))[0])
            raise ValueError(f"polygon: vertex {k} is {tuple(vertices[k].tolist())}; vertices must be finite numbers")
        return vertices

    def nearest(self, x: float, y: float) -> int:
        """Row of the point nearest to (x, y), the lowest of equally near ones; -1 on a map without points."""
        x, y = float(x), float(y)
        if not (np.isfinite(x) and np.isfinite(y)):
            raise ValueError(f"nearest: ({x!r}, {y!r}) is not a position; give finite numbers")
        return select.nearest_row(self._points, x, y)

    def visible(self, window: Window, at_most: int = 5000) -> NDArray | None:
        """Rows (k,) int64 ascending inside the window, bounds inclusive; None where they exceed ``at_most``."""
        if at_most < 0:
            raise ValueError(f"at_most: {at_most} is negative; give the largest number of rows you can use")
        return select.rows_in_window(self._points, _window(window), int(at_most))

    def representatives(self, window: Window, cells: tuple[int, int], at_most: int | None = None) -> Representatives:
        """One point for each of the fullest cells of a grid of ``cells`` = (down, across) over the window.

        The representative is the point nearest to the middle of the densest ninth-by-ninth part of its cell.
        """
        down, across = _shape(cells)
        fine = Frame.of(_window(window), (down * _FINE, across * _FINE), self._points.x.dtype)
        parts = draw.count_frame(self._points, fine).reshape(down, _FINE, across, _FINE)
        counts = parts.transpose(0, 2, 1, 3).reshape(down * across, _FINE * _FINE)
        totals = counts.sum(axis=1, dtype=np.int64)
        fullest = np.argsort(-totals, kind="stable")[: np.count_nonzero(totals)][:at_most]
        x0, x1, y0, y1 = fine.window
        width, height = (x1 - x0) / across, (y1 - y0) / down
        rows, boxes = np.empty(len(fullest), np.int64), np.empty((len(fullest), 4))
        for k, cell in enumerate(fullest):
            r, c = divmod(int(cell), across)
            boxes[k] = x0 + c * width, x0 + (c + 1) * width, y0 + r * height, y0 + (r + 1) * height
            i, j = divmod(int(counts[cell].argmax()), _FINE)
            i, j = r * _FINE + i, c * _FINE + j
            part = (*_ends(fine.x_edges, j), *_ends(fine.y_edges, i))
            rows[k] = select.nearest_row(self._points, (part[0] + part[1]) / 2, (part[2] + part[3]) / 2, part)
        return Representatives(rows, totals[fullest], boxes)

    def _column(self, values: ArrayLike | None, how: str) -> NDArray:
        if values is None:
            raise ValueError(f"values: how={how!r} needs a column of {len(self)} numbers")
        column = np.asarray(values)
        if column.shape != (len(self),) or column.dtype.kind not in "fiub":
            raise ValueError(
                f"values: expected {len(self)} numbers, one per row of the map, "
                f"got {column.dtype} of shape {column.shape}"
            )
        return column


def _draw_category(
    layer: Layer, frame: Frame, column: NDArray, palette: ArrayLike | None, opacity: Opacity, planes: bool
) -> NDArray:
    highest = layer.columns.highest(column)
    if planes and palette is None:
        categories = highest + 1
        codes = layer.columns.codes(column, categories)
        return draw.planes_frame(layer.points, frame, codes, categories)
    colours = as_palette(palette, highest)
    codes = layer.columns.codes(column, len(colours))
    if planes:
        return draw.planes_frame(layer.points, frame, codes, len(colours))
    return mix(draw.colour_frame(layer.points, frame, codes, colours), opacity)


_FINE = 9


def _ends(edges: NDArray, pixel: int) -> tuple[float, float]:
    """Lowest and highest number of a pixel."""
    below = np.asarray(-np.inf, edges.dtype)
    return float(edges[pixel]), float(np.nextafter(edges[pixel + 1], below))


def _with_margin(low: float, high: float) -> tuple[float, float]:
    room = 0.02 * (high / 2 - low / 2) * 2
    if not room > 0:
        room = max(abs(low) * 0.05, 0.5)
    largest = np.finfo(np.float64).max / 4
    return max(low - room, -largest), min(high + room, largest)


def _window(window: Window) -> Window:
    try:
        x0, x1, y0, y1 = (float(v) for v in window)
    except (TypeError, ValueError):
        raise ValueError(f"window: expected four numbers (x0, x1, y0, y1), got {window!r}") from None
    return x0, x1, y0, y1


def _shape(shape: tuple[int, int]) -> tuple[int, int]:
    try:
        height, width = (int(v) for v in shape)
    except (TypeError, ValueError):
        raise ValueError(f"shape: expected (height, width) in pixels, got {shape!r}") from None
    if height < 1 or width < 1 or height * width > 2**28:
        raise ValueError(f"shape: {height} x {width} pixels; both must be at least 1 and their product at most 2^28")
    return height, width
