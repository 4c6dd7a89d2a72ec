"""Every frame of a point map equals Datashader's."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from kernels.layout import PointMap

ds = pytest.importorskip("datashader")


def layout(n: int, dtype: type, seed: int = 0) -> np.ndarray:
    """Clusters of very different density, some points repeated, some on a lattice, some not finite."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(scale=3, size=(12, 2))
    group = rng.integers(0, 12, n)
    xy = centres[group] + rng.normal(size=(n, 2)) * (10.0 ** rng.uniform(-4, 0, 12))[group, None]
    lattice = rng.random(n) < 0.2
    xy[lattice] = np.round(xy[lattice] * 4) / 4  # points that fall on pixel edges
    xy[rng.random(n) < 0.1] = xy[0]
    xy[rng.random(n) < 0.02, 0] = np.nan
    xy[rng.random(n) < 0.02, 1] = np.inf
    return xy.astype(dtype)


def reference(xy, window, shape, agg) -> np.ndarray:
    frame = pd.DataFrame({"x": xy[:, 0].copy(), "y": xy[:, 1].copy()})
    if agg is not None and getattr(agg, "column", None) is not None:
        raise TypeError("pass the columns through reference_of")
    return reference_of(frame, window, shape, ds.count() if agg is None else agg)


def reference_of(frame: pd.DataFrame, window, shape, agg) -> np.ndarray:
    canvas = ds.Canvas(shape[1], shape[0], x_range=window[:2], y_range=window[2:])
    return canvas.points(frame, "x", "y", agg).values


def windows(points: PointMap, xy: np.ndarray, count: int, seed: int = 1) -> list[tuple]:
    """From far outside to far inside, around points, with bounds on points and on the lattice."""
    rng = np.random.default_rng(seed)
    good = xy[np.isfinite(xy).all(axis=1)].astype(float)
    x0, x1, y0, y1 = points.bounds
    found = [(x0, x1, y0, y1)]
    for _ in range(count):
        x, y = good[rng.integers(len(good))]
        w, h = (x1 - x0) * 10 ** rng.uniform(-4, 0.5), (y1 - y0) * 10 ** rng.uniform(-4, 0.5)
        kind = rng.integers(4)
        if kind == 0:  # both corners are points
            x2, y2 = good[rng.integers(len(good))]
            if x2 > x and y2 > y:
                found.append((x, x2, y, y2))
                continue
        if kind == 1:  # on the lattice, pixel edges fall on points
            x, y, w, h = np.floor(x), np.floor(y), 2.0 ** rng.integers(0, 4), 2.0 ** rng.integers(0, 4)
        fx, fy = rng.random(2)
        found.append((x - fx * w, x + (1 - fx) * w, y - fy * h, y + (1 - fy) * h))
    return [tuple(float(v) for v in window) for window in found]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 300, 40_000, 150_000])
def test_counts_equal_datashader_in_any_window(n, dtype):
    xy = layout(n, dtype)
    xy[0] = 0.25, -0.5
    points = PointMap(xy)
    rng = np.random.default_rng(2)
    for window in windows(points, xy, 40):
        shape = tuple(int(v) for v in 2 ** rng.uniform(0, 9, 2))
        frame = points.draw(window, shape)
        assert frame.dtype == np.uint32
        np.testing.assert_array_equal(frame, reference(xy, window, shape, None), err_msg=f"{window} {shape}")
