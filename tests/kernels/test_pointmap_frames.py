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


def reference(xy, window, shape, agg=None, **columns) -> np.ndarray:
    frame = pd.DataFrame({"x": xy[:, 0].copy(), "y": xy[:, 1].copy(), **columns})
    canvas = ds.Canvas(shape[1], shape[0], x_range=window[:2], y_range=window[2:])
    return canvas.points(frame, "x", "y", agg or ds.count()).values


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
        shape = int(2 ** rng.uniform(0, 9)), int(2 ** rng.uniform(0, 9))
        frame = points.draw(window, shape)
        assert frame.dtype == np.uint32
        np.testing.assert_array_equal(frame, reference(xy, window, shape), err_msg=f"{window} {shape}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("offset", [0.0, 1e6, -3e4])
def test_counts_where_floats_are_coarse(dtype, offset):
    """Windows a few representable numbers wide, bounds between numbers, across zero, far beyond the data."""
    rng = np.random.default_rng(3)
    xy = (offset + rng.normal(size=(3000, 2)) * 10.0 ** rng.uniform(-9, 1, (3000, 1))).astype(dtype)
    xy[::50] = offset
    xy[1::50] = -0.0
    points = PointMap(xy)
    for width in (1e-12, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, 3.0, 1e3, 1e30):
        for shift in (0.0, 0.5, 0.37):
            x0 = offset - shift * width
            window = (x0, x0 + width, offset - width, offset + width / 3)
            if window[0] == window[1] or window[2] == window[3]:
                continue
            for shape in ((1, 1), (5, 64), (333, 10)):
                np.testing.assert_array_equal(points.draw(window, shape), reference(xy, window, shape), f"{window}")


def test_points_on_the_bounds():
    steps = np.arange(11, dtype=np.float64)
    xy = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    points = PointMap(xy)
    frame = points.draw((0, 10, 0, 10), (10, 10))
    assert frame[0, 0] == 1
    assert frame[9, 0] == frame[0, 9] == 2  # the last pixel takes its upper edge too
    assert frame[9, 9] == 4
    assert points.draw((10, 11, 10, 11), (3, 3)).sum() == 1
    for shape in ((10, 10), (3, 7), (110, 1)):
        np.testing.assert_array_equal(points.draw((0, 10, 0, 10), shape), reference(xy, (0.0, 10.0, 0.0, 10.0), shape))


@pytest.mark.parametrize("n", [2000, 120_000])
def test_means_and_maxima(n):
    xy = layout(n, np.float32, seed=4)
    rng = np.random.default_rng(5)
    points = PointMap(xy)
    smooth = rng.normal(size=n) * 10.0 ** rng.uniform(-3, 3, n)
    holed = np.where(rng.random(n) < 0.3, np.nan, np.abs(smooth)).astype(np.float32)
    whole = rng.integers(-5, 100, n)
    for k, window in enumerate(windows(points, xy, 9)):
        shape = [(64, 64), (300, 200), (7, 500)][k % 3]
        for values in (holed, whole):
            v = values.astype(np.float64)
            mean = points.draw(window, shape, values, "mean")
            assert mean.dtype == np.float32
            np.testing.assert_allclose(mean, reference(xy, window, shape, ds.mean("v"), v=v), rtol=3e-7, atol=1e-6)
            np.testing.assert_array_equal(
                points.draw(window, shape, values, "max"),
                reference(xy, window, shape, ds.max("v"), v=v).astype(np.float32),
            )
        mean = points.draw(window, shape, smooth, "mean")
        expected = reference(xy, window, shape, ds.mean("v"), v=smooth)
        largest = reference(xy, window, shape, ds.max("v"), v=np.abs(smooth))
        assert (np.isnan(mean) == np.isnan(expected)).all()
        assert np.nanmax(np.abs(mean - expected) / largest, initial=0) < 1e-6


PALETTE = ["#e41a1c", "#377eb8", "#4daf4a", "#984ea3", "#ff7f00"]


@pytest.mark.parametrize("n", [2000, 120_000])
def test_categories_are_mixed_as_datashader_mixes_them(n):
    import datashader.transfer_functions as tf
    import xarray as xr

    xy = layout(n, np.float32, seed=6)
    points = PointMap(xy)
    codes = np.random.default_rng(7).choice(6, n, p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05]) - 1
    some = codes >= 0  # Datashader counts a row without category into the last one: leave such rows out
    names = pd.Series(np.array(list("abcde"))[codes[some]], dtype=pd.CategoricalDtype(list("abcde")))
    for k, window in enumerate(windows(points, xy, 6)):
        shape = [(64, 48), (300, 200)][k % 2]
        counts = reference(xy[some], window, shape, ds.count_cat("c"), c=names)
        planes = points.draw(window, shape, codes, "category", palette=PALETTE, planes=True)
        np.testing.assert_array_equal(planes, counts.transpose(2, 0, 1))
        for opacity in ("log", "linear", "cbrt", "eq_hist"):
            ours = points.draw(window, shape, codes, "category", palette=PALETTE, opacity=opacity)
            assert ours.dtype == np.uint8
            if not counts.any():
                assert not ours.any()
                continue
            cube = xr.DataArray(counts, dims=["y", "x", "c"], coords={"c": list("abcde")})
            peer = tf.shade(cube, color_key=PALETTE, how=opacity, rescale_discrete_levels=False, color_baseline=0)
            peer = np.ascontiguousarray(peer.values).view(np.uint8).reshape(*shape, 4)
            shown = ours[..., 3] > 0
            np.testing.assert_array_equal(shown, counts.sum(axis=2) > 0)
            assert np.abs(ours[shown].astype(int) - peer[shown].astype(int))[:, :3].max() <= 1
            if counts.sum(axis=2)[shown].min() != counts.sum(axis=2).max():
                assert np.abs(ours[shown].astype(int) - peer[shown].astype(int))[:, 3].max() <= 3


@pytest.mark.parametrize("form", [np.uint8, np.int64, np.float32, bool])
def test_codes_of_any_type(form):
    codes = np.array([0, 1, 1, 0]).astype(form)
    frame = PointMap([(0, 0), (1, 0), (1, 1), (0, 1)]).draw((0, 1, 0, 1), (1, 2), codes, "category", planes=True)
    np.testing.assert_array_equal(frame, [[[2, 0]], [[0, 2]]])
    if form is np.float32:
        codes[0] = np.nan
        frame = PointMap([(0, 0), (1, 0), (1, 1), (0, 1)]).draw((0, 1, 0, 1), (1, 2), codes, "category", planes=True)
        np.testing.assert_array_equal(frame, [[[1, 0]], [[0, 2]]])


def test_a_category_of_many_colours_and_dense_pixels():
    n, k = 50_000, 700
    rng = np.random.default_rng(9)
    xy = rng.random((n, 2), dtype=np.float32) * [1, 1e-3]
    codes = rng.integers(0, k, n)
    colours = rng.integers(0, 256, (k, 3))
    frame = PointMap(xy).draw((0, 1, 0, 1), (2, 3), codes, "category", palette=colours)
    column = np.minimum((xy[:, 0].astype(float) * 3).astype(int), 2)
    for c in range(3):
        np.testing.assert_array_equal(frame[0, c, :3], colours[codes[column == c]].mean(axis=0).astype(int))


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.6, 1.0])
def test_a_selection_as_a_second_layer(share):
    n = 100_000
    xy = layout(n, np.float32, seed=10)
    rng = np.random.default_rng(11)
    points = PointMap(xy)
    values, codes = rng.normal(size=n), rng.integers(0, 5, n)
    mask = rng.random(n) < share
    names = pd.Series(np.array(list("abcde"))[codes], dtype=pd.CategoricalDtype(list("abcde")))
    for window in windows(points, xy, 4):
        shape = (90, 70)
        expected = reference(xy[mask], window, shape)
        np.testing.assert_array_equal(points.draw(window, shape, mask=mask), expected)
        np.testing.assert_array_equal(points.draw(window, shape, rows=np.flatnonzero(mask)), expected)
        np.testing.assert_array_equal(
            points.draw(window, shape, values, "max", mask=mask),
            reference(xy[mask], window, shape, ds.max("v"), v=values[mask]).astype(np.float32),
        )
        planes = points.draw(window, shape, codes, "category", mask=mask, planes=True, palette=PALETTE)
        counts = reference(xy[mask], window, shape, ds.count_cat("c"), c=names[mask].array)
        np.testing.assert_array_equal(planes, counts.transpose(2, 0, 1))
        rgba = points.draw(window, shape, codes, "category", mask=mask, palette=PALETTE)
        np.testing.assert_array_equal(rgba[..., 3] > 0, expected > 0)


def test_columns_are_sorted_once_and_seen_when_changed():
    xy = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)
    points = PointMap(xy)
    values = pd.Series(np.arange(1000.0))
    window, before = points.bounds, points.nbytes
    first = points.draw(window, (3, 3), values, "max")
    held = points.nbytes
    assert held == before + 4000
    np.testing.assert_array_equal(points.draw(window, (3, 3), values, "max"), first)
    assert points.nbytes == held
    plain = np.arange(1000.0)
    points.draw(window, (3, 3), plain, "max")
    plain *= 2
    np.testing.assert_array_equal(points.draw(window, (3, 3), plain, "max"), 2 * first)


def test_a_read_only_layout_is_drawn():
    xy = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    xy.flags.writeable = False
    values = np.arange(100, dtype=np.float32)
    values.flags.writeable = False
    points = PointMap(xy)
    assert points.draw(points.bounds, (9, 9)).sum() == 100
    assert np.nanmax(points.draw(points.bounds, (9, 9), values, "max")) == 99


def test_a_mask_changed_in_place_is_seen():
    xy = np.random.default_rng(0).normal(size=(1000, 2))
    points = PointMap(xy)
    mask = np.zeros(1000, bool)
    mask[:10] = True
    assert points.draw(points.bounds, (20, 20), mask=mask).sum() == 10
    mask[[3, 500]] = False, True
    assert points.draw(points.bounds, (20, 20), mask=mask).sum() == 10
    window = (xy[500, 0], xy[500, 0] + 1e-9, xy[500, 1], xy[500, 1] + 1e-9)
    assert points.draw(window, (2, 2), mask=mask).sum() == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"window": (0, 0, 0, 1)}, "x from 0.0 to 0.0"),
        ({"window": (0, 1, 3, 3)}, "y from 3.0 to 3.0"),
        ({"window": (1, 0, 0, 1)}, "the lower one first"),
        ({"window": (0, np.nan, 0, 1)}, "finite bounds"),
        ({"window": (0, np.inf, 0, 1)}, "finite bounds"),
        ({"window": (0, 1)}, "four numbers"),
        ({"shape": (0, 5)}, "at least 1"),
        ({"shape": 5}, "height, width"),
        ({"how": "median"}, "count, mean, max, category"),
        ({"how": "mean"}, "needs a column of 4"),
        ({"how": "mean", "values": [1, 2]}, "one per row"),
        ({"how": "mean", "values": ["a"] * 4}, "one per row"),
        ({"how": "category", "values": [0, 1, 2, 0]}, "one colour per code"),
        ({"how": "category", "values": [0, 1, 2, 0], "palette": PALETTE[:2]}, "code 2 has no colour"),
        ({"how": "category", "values": [0, 1, 2, 0], "palette": ["red"] * 3}, "#rrggbb"),
        ({"how": "category", "values": [0, 1, 2, 0], "palette": PALETTE, "opacity": "sqrt"}, "eq_hist, log, cbrt"),
        ({"mask": [True]}, "one per row of the map"),
        ({"mask": [1, 0, 1, 0]}, "pass positions as rows"),
        ({"rows": [4]}, "position 4"),
        ({"rows": [-1]}, "position -1"),
    ],
)
def test_wrong_requests_say_so(arguments, says):
    points = PointMap(np.random.default_rng(0).normal(size=(4, 2)))
    with pytest.raises(ValueError, match=says):
        points.draw(**{"window": (0, 1, 0, 1), "shape": (4, 4), **arguments})
