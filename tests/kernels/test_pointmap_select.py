"""Lassos, nearest points, visible rows and representatives against direct computations."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import shapely

from kernels.layout import PointMap
from tests.kernels.test_pointmap_frames import layout


def even_odd(xy: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    """Rows whose ray to the right crosses the polygon an odd number of times."""
    x, y = xy[:, 0].astype(float), xy[:, 1].astype(float)
    inside = np.zeros(len(xy), bool)
    for (xi, yi), (xj, yj) in zip(polygon, np.roll(polygon, 1, axis=0), strict=True):
        with np.errstate(divide="ignore", invalid="ignore"):
            crosses = ((yi > y) != (yj > y)) & (x < (xj - xi) * (y - yi) / (yj - yi) + xi)
        inside ^= crosses
    return np.flatnonzero(inside & np.isfinite(xy).all(axis=1))


def star(rng: np.random.Generator, centre: np.ndarray, size: float, vertices: int) -> np.ndarray:
    """A simple polygon, concave."""
    angle = np.sort(rng.random(vertices)) * 2 * np.pi
    radius = size * rng.uniform(0.2, 1, vertices)
    return centre + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)


@pytest.fixture(scope="module")
def cloud() -> tuple[np.ndarray, PointMap]:
    xy = layout(60_000, np.float32, seed=3)
    return xy, PointMap(xy)


@pytest.mark.parametrize("vertices", [3, 4, 7, 60, 1000])
def test_concave_polygons(cloud, vertices):
    xy, points = cloud
    rng = np.random.default_rng(vertices)
    good = xy[np.isfinite(xy).all(axis=1)].astype(float)
    for _ in range(8):
        polygon = star(rng, good[rng.integers(len(good))] + 0.01, 10 ** rng.uniform(-3, 1), vertices)
        rows = points.inside(polygon)
        assert rows.dtype == np.int64
        np.testing.assert_array_equal(rows, even_odd(xy, polygon))
        if shapely.Polygon(polygon).is_valid:
            np.testing.assert_array_equal(rows, np.flatnonzero(shapely.contains_xy(shapely.Polygon(polygon), xy)))


@pytest.mark.parametrize("vertices", [4, 5, 20, 300])
def test_self_crossing_polygons(cloud, vertices):
    xy, points = cloud
    rng = np.random.default_rng(vertices)
    for _ in range(6):
        polygon = rng.normal(scale=4, size=(vertices, 2))
        polygon[::3] = np.round(polygon[::3])  # horizontal and upright edges, vertices on the lattice's lines
        polygon += [1e-3, 1.7e-3]
        np.testing.assert_array_equal(points.inside(polygon), even_odd(xy, polygon))


@pytest.mark.parametrize("count", [300, 20_000])
def test_edges_along_the_axes(count):
    """Rectangles, combs and stairs: a horizontal edge parts inside from outside within one strip."""
    rng = np.random.default_rng(count)
    xy = rng.uniform(-1, 1, (count, 2)).astype(np.float32)
    points = PointMap(xy)
    for _ in range(40):
        corners = np.repeat(rng.uniform(-1.1, 1.1, (rng.integers(2, 9), 2)), 2, axis=0)
        stairs = np.stack([corners[:, 0], np.roll(corners[:, 1], 1)], axis=1)
        np.testing.assert_array_equal(points.inside(stairs), even_odd(xy, stairs))


def test_polygon_with_ten_thousand_vertices(cloud):
    xy, points = cloud
    rng = np.random.default_rng(5)
    crossing = rng.normal(scale=3, size=(10_000, 2))
    some = xy[:2000]
    np.testing.assert_array_equal(PointMap(some).inside(crossing), even_odd(some, crossing))
    smooth = star(rng, np.zeros(2), 4.0, 10_000)
    rows = points.inside(smooth)
    np.testing.assert_array_equal(rows, np.flatnonzero(shapely.contains_xy(shapely.Polygon(smooth), xy)))
    assert 1000 < len(rows) < 59_000


def test_polygons_that_hold_nothing_or_everything(cloud):
    xy, points = cloud
    x0, x1, y0, y1 = points.bounds
    assert len(points.inside([(0, 0), (1, 1), (2, 2)])) == 0
    assert len(points.inside([(0, 0), (1, 1.3), (0, 0)])) == 0
    assert len(points.inside([(0, 0.25), (2, 0.25), (4, 0.25)])) == 0
    assert len(points.inside([(x1 + 1, y1 + 1), (x1 + 2, y1 + 1), (x1 + 1, y1 + 2)])) == 0
    assert len(points.inside([(x0 - 9, y0), (x0 - 5, y0), (x0 - 5, y1), (x0 - 9, y1)])) == 0
    everything = points.inside([(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
    np.testing.assert_array_equal(everything, np.flatnonzero(np.isfinite(xy).all(axis=1)))
    assert 20_000 < len(everything) == points.shown < len(points)


@pytest.mark.parametrize(
    ("polygon", "says"),
    [
        ([(0, 0), (1, 1)], "at least 3 vertices"),
        ([], "at least 3 vertices"),
        ([(0, 0), (1, np.nan), (1, 0)], "vertex 1"),
        ([(0, 0), (1, 1), (np.inf, 0)], "vertex 2"),
    ],
)
def test_wrong_polygons_say_so(cloud, polygon, says):
    with pytest.raises(ValueError, match=says):
        cloud[1].inside(polygon)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nearest_is_the_nearest(dtype: type):
    xy = layout(5000, dtype, seed=4)
    points = PointMap(xy)
    rng = np.random.default_rng(6)
    x0, x1, y0, y1 = points.bounds
    for scale in (0.5, 1, 20):
        for x, y in rng.uniform(-scale, scale, (60, 2)) * [x1 - x0, y1 - y0]:
            with np.errstate(invalid="ignore"):
                distance = (xy[:, 0].astype(float) - x) ** 2 + (xy[:, 1].astype(float) - y) ** 2
            assert points.nearest(x, y) == np.nanargmin(np.where(np.isfinite(distance), distance, np.nan))
    repeated = np.flatnonzero((xy == xy[0]).all(axis=1))
    assert len(repeated) > 100
    assert points.nearest(*xy[0]) == repeated[0]
    with pytest.raises(ValueError, match="not a position"):
        points.nearest(np.nan, 0)


def test_visible_rows(cloud):
    xy, points = cloud
    window = (-2.0, 1.0, -1.5, 0.25)
    x, y = xy.T
    expected = np.flatnonzero((x >= -2) & (x <= 1) & (y >= -1.5) & (y <= 0.25))
    np.testing.assert_array_equal(points.visible(window, at_most=len(expected)), expected)
    assert points.visible(window, at_most=len(expected) - 1) is None
    np.testing.assert_array_equal(points.visible((90, 91, 90, 91)), [])


def test_representatives_come_from_the_fullest_cells(cloud):
    xy, points = cloud
    window = points.bounds
    found = points.representatives(window, (6, 9))
    frame = points.draw(window, (6, 9))
    np.testing.assert_array_equal(found.counts, np.sort(frame[frame > 0])[::-1])
    for row, count, (x0, x1, y0, y1) in zip(found.rows, found.counts, found.boxes, strict=True):
        x, y = xy[row]
        assert x0 <= x <= x1
        assert y0 <= y <= y1
        assert points.draw(window, (6, 9)).ravel()[_cell(window, (6, 9), x, y)] == count
    few = points.representatives(window, (6, 9), at_most=4)
    np.testing.assert_array_equal(few.rows, found.rows[:4])


def _cell(window, cells, x, y) -> int:
    x0, x1, y0, y1 = window
    return int((y - y0) / (y1 - y0) * cells[0]) * cells[1] + int((x - x0) / (x1 - x0) * cells[1])


@pytest.mark.parametrize("xy", [np.empty((0, 2)), np.full((5, 2), np.nan), []])
def test_maps_without_points(xy):
    points = PointMap(xy)
    assert points.shown == 0
    assert points.bounds == (0, 1, 0, 1)
    assert points.draw(points.bounds, (3, 4)).sum() == 0
    assert points.nearest(0, 0) == -1
    assert len(points.inside([(0, 0), (1, 0), (1, 1)])) == 0
    np.testing.assert_array_equal(points.visible(points.bounds), [])
    assert len(points.representatives(points.bounds, (2, 2)).rows) == 0


@pytest.mark.parametrize("count", [1, 2, 5000])
def test_equal_points(count):
    points = PointMap(np.full((count, 2), [3.5, -2.0], np.float32))
    x0, x1, y0, y1 = points.bounds
    assert x0 < 3.5 < x1
    assert y0 < -2 < y1
    assert points.draw(points.bounds, (7, 5)).max() == count
    assert points.nearest(100, 100) == 0
    np.testing.assert_array_equal(points.inside([(3, -3), (4, -3), (4, -1), (3, -1)]), np.arange(count))


@pytest.mark.parametrize("xy", [np.zeros(4), np.zeros((4, 3)), np.array([["a", "b"]]), np.zeros((2, 2), complex)])
def test_positions_of_another_form_say_so(xy):
    with pytest.raises(ValueError, match="xy: expected numbers"):
        PointMap(xy)


def test_outliers_do_not_hide_the_rest():
    rng = np.random.default_rng(8)
    xy = rng.normal(size=(30_000, 2)).astype(np.float32)
    xy[7] = 1e30, -1e30
    points = PointMap(xy)
    window = (-1.0, 1.0, -1.0, 1.0)
    assert points.draw(window, (50, 50)).sum() == ((np.abs(xy) <= 1).all(axis=1)).sum()
    assert points.draw(points.bounds, (50, 50)).sum() == 30_000
    polygon = np.array([(-1.0, -0.5), (1.2, -1.1), (0.3, 0.2), (0.9, 1.4)])
    np.testing.assert_array_equal(points.inside(polygon), even_odd(xy, polygon))


THREADS = """
import sys, threading
import numpy as np
import kernels._parallel as parallel
from kernels._parallel import run_parallel
from kernels.layout import PointMap
import numba

parallel.cores = lambda: 2
xy = np.random.default_rng(0).normal(size=(200_000, 2)).astype(np.float32)
points = PointMap(xy)
window, polygon = points.bounds, [(-1, -1), (1, -0.5), (0, 1.2)]
frame, rows = points.draw(window, (300, 300)), points.inside(polygon)

@numba.njit(parallel=True)
def total(values):
    out = 0
    for i in numba.prange(len(values)):
        out += values[i]
    return out

values = np.arange(100_000)
expected = run_parallel(total, values)
assert numba.threading_layer() == "workqueue", numba.threading_layer()
wrong = []
def work():
    for _ in range(25):
        if not (points.draw(window, (300, 300)) == frame).all() or not (points.inside(polygon) == rows).all():
            wrong.append("map")
        if run_parallel(total, values) != expected:
            wrong.append("total")
threads = [threading.Thread(target=work) for _ in range(2)]
[t.start() for t in threads]
[t.join() for t in threads]
print("wrong" if wrong else "agree")
"""


def test_two_threads_at_once_under_workqueue():
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "agree"


@pytest.mark.parametrize("n", [0, 1, 63, 64, 5_000, 130_000])
def test_the_mask_of_a_polygon_is_that_of_its_rows(n: int) -> None:
    rng = np.random.default_rng(n)
    xy = rng.normal(size=(n, 2)).astype(np.float32)
    xy[rng.random(n) < 0.1] = np.nan
    points = PointMap(xy)
    for star in (np.array([(0, 2), (1.2, -1.6), (-1.9, 0.6), (1.9, 0.6), (-1.2, -1.6)]), np.full((3, 2), 9.0)):
        mask = points.inside_mask(star)
        assert mask.dtype == bool
        assert mask.shape == (n,)
        assert np.flatnonzero(mask).tolist() == points.inside(star).tolist()


def test_large_selections_draw_what_small_maps_of_them_draw() -> None:
    """Beyond one point in 100 a selection is drawn from the whole map; a map of its rows is the reference."""
    rng = np.random.default_rng(3)
    xy, values = rng.normal(size=(40_000, 2)).astype(np.float32), rng.normal(size=40_000)
    codes = rng.integers(-1, 5, 40_000)
    points, mask, window = PointMap(xy), rng.random(40_000) < 0.6, (-1.0, 1.5, -2.0, 1.0)
    rows, own = np.flatnonzero(mask), PointMap(xy[mask])
    for how, column in (("count", None), ("mean", values), ("max", values), ("category", codes)):
        taken = None if column is None else column[mask]
        colours = {"palette": ["#ff0000", "#00ff00", "#0000ff", "#888888", "#123456"]} if how == "category" else {}
        expected = own.draw(window, (50, 60), values=taken, how=how, **colours)
        for chosen in ({"mask": mask}, {"rows": rows}):
            found = points.draw(window, (50, 60), values=column, how=how, **chosen, **colours)
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
