"""Colours of the map against Datashader's own shading, and widening against scipy's dilation."""

from __future__ import annotations

import datashader.transfer_functions as tf
import numpy as np
import pytest
import xarray as xr
from scipy.ndimage import binary_dilation

from explorer.views import _shade
from explorer.views._theme import DENSITY, MODES, token


def channels(picture: np.ndarray) -> np.ndarray:
    """(h, w, 4) of R, G, B, A."""
    return np.ascontiguousarray(picture).view(np.uint8).reshape(*picture.shape, 4)


@pytest.fixture
def counts() -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.poisson(np.exp(rng.normal(0, 2, (40, 60)))).astype(np.uint32)


@pytest.mark.parametrize("mode", MODES)
def test_counts_are_shaded_as_datashader_does(counts: np.ndarray, mode: str) -> None:
    mine = channels(_shade.shade_counts(counts, DENSITY[mode], least=100))
    theirs = channels(tf.shade(xr.DataArray(counts, dims=("y", "x")), cmap=list(DENSITY[mode]), how="eq_hist").values)
    assert ((mine[..., 3] > 0) == (counts > 0)).all()
    seen = counts > 0
    assert np.abs(mine[seen][:, :3].astype(int) - theirs[seen][:, :3]).max() <= 4


def test_few_points_are_coloured_by_the_density_around_them() -> None:
    counts = np.zeros((80, 80), np.uint32)
    counts[20:30:2, 20:30:2] = 1  # a clump of 25
    counts[70, 70] = 2  # two on one pixel, alone
    picture = channels(_shade.shade_counts(counts, ["#000000", "#ffffff"], spread=2))
    assert picture[24, 24, 0] > picture[70, 70, 0] + 100


def test_values_run_between_the_limits_and_stop_there() -> None:
    means = np.array([[np.nan, -5.0, 0.0, 0.5, 1.0, 9.0]], dtype=np.float32)
    picture = channels(_shade.shade_values(means, (0.0, 1.0), ["#000000", "#ffffff"]))[0]
    assert picture[0].tolist() == [0, 0, 0, 0]
    assert picture[1:, 0].tolist() == [0, 0, 127, 255, 255]
    assert (picture[1:, 3] == 255).all()


def test_one_value_everywhere_has_a_colour() -> None:
    means = np.full((2, 2), 7.0)
    assert (channels(_shade.shade_values(means, (7.0, 7.0), ["#102030", "#405060"]))[..., 3] == 255).all()
    alone = _shade.shade_counts(np.array([[0, 3]], np.uint32), DENSITY["dark"])
    assert channels(alone)[0, 1, 3] > 0


@pytest.mark.parametrize("radius", [1, 2, 3, 4])
def test_a_point_grows_to_a_disc_and_nothing_wraps(radius: int) -> None:
    rng = np.random.default_rng(radius)
    picture = np.where(rng.random((50, 40)) < 0.02, np.uint32(0xFF0000FF), np.uint32(0))
    picture[0, 0] = picture[-1, -1] = 0xFF00FF00
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    grown = _shade.widen(picture, radius)
    assert ((grown != 0) == binary_dilation(picture != 0, structure=np.hypot(y, x) <= radius + 0.35)).all()
    assert (grown[picture != 0] == picture[picture != 0]).all(), "a point keeps its own colour"


def test_where_discs_meet_the_nearest_wins() -> None:
    picture = np.zeros((9, 12), np.uint32)
    picture[4, 3], picture[4, 8] = 1, 2
    grown = _shade.widen(picture, 3)
    assert grown[4].tolist() == [1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]


def test_the_selection_is_the_accent_and_nearly_opaque(counts: np.ndarray) -> None:
    picture = channels(_shade.shade_selection(counts, "dark"))
    seen = counts > 0
    accent = token("dark", "select")
    assert {tuple(p) for p in picture[seen][:, :3].tolist()} == {tuple(int(accent[i : i + 2], 16) for i in (1, 3, 5))}
    assert picture[seen][:, 3].min() >= 200
    assert not _shade.shade_selection(np.zeros((3, 3), np.uint32), "dark").any()


def test_limits_leave_out_the_tails_and_what_is_not_finite() -> None:
    values = np.concatenate([np.linspace(0, 100, 1001), [1e9, -1e9, np.nan, np.inf]])
    low, high = _shade.robust_limits(values)
    assert low == pytest.approx(2, abs=0.3)
    assert high == pytest.approx(98, abs=0.3)
    assert _shade.robust_limits(np.full(3, np.nan)) == (0.0, 1.0)
