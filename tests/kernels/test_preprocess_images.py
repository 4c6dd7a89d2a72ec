"""P0.1 against astropy's units, torch's interpolation and scipy's ranks."""

from __future__ import annotations

import astropy.units as u
import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from kernels.preprocess import images

BANDS = ["VIS", "NISP_Y", "NISP-J", "euclid-H"]


def cutouts(n: int = 3, size: int = 21, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(size=(n, 4, size, size)).astype(np.float32)


@pytest.mark.parametrize("unit", ["nJy", "nanomaggies"])
def test_flux_is_what_astropy_says(unit: str) -> None:
    pixels, zero_point = cutouts(), np.random.default_rng(1).uniform(22, 31, (3, 4))
    magnitude = -2.5 * np.log10(pixels.astype(float)) + zero_point[..., None, None]
    expected = (magnitude * u.ABmag).to_value(u.nJy)
    if unit == "nanomaggies":
        expected /= (22.5 * u.ABmag).to_value(u.nJy)
    np.testing.assert_allclose(images.to_flux(pixels, BANDS, zero_point, unit), expected, rtol=2e-6)
    np.testing.assert_allclose(images.to_flux(pixels[0], 4, zero_point[0], unit), expected[0], rtol=2e-6)
    same = images.to_flux(pixels, zero_point=23.9, unit=unit) / pixels
    np.testing.assert_allclose(same, 1000 if unit == "nJy" else 10**-0.56, rtol=1e-6)


def test_parity_is_the_published_formula_and_shifts_the_colour() -> None:
    pixels = cutouts()
    constants = np.array([2835.34, 1916.10, 1370.25, 918.35])
    got = images.to_flux(pixels, BANDS, mode="parity")
    np.testing.assert_allclose(got, pixels * (constants / 3631)[:, None, None], rtol=2e-6)
    adu, flux = pixels[0, :, 0, 0], got[0, :, 0, 0]
    colour = -2.5 * np.log10(flux[0] / flux[3]) + 2.5 * np.log10(adu[0] / adu[3])
    assert abs(colour) == pytest.approx(1.224, abs=1e-3)


@pytest.mark.parametrize("mode", ["correct", "parity"])
def test_flux_back_to_adu(mode: str) -> None:
    pixels = cutouts()
    flux = images.to_flux(pixels, BANDS, 25.0, mode=mode)
    np.testing.assert_allclose(images.from_flux(flux, BANDS, 25.0, mode=mode), pixels, rtol=1e-6)


def test_invalid_pixels_become_zero_and_only_they() -> None:
    pixels = cutouts()
    bad = np.random.default_rng(2).random(pixels.shape) < 0.1
    dirty = pixels.copy()
    dirty[bad] = np.random.default_rng(3).choice([np.nan, np.inf, -np.inf], bad.sum())
    np.testing.assert_array_equal(images.clean(dirty), np.where(bad, 0, pixels))
    assert np.isnan(images.to_flux(dirty, 4, 23.9)[np.isnan(dirty)]).all()


@pytest.mark.parametrize("size", [(96, 96), (21, 21), (7, 40), (1, 1), (144, 10), (22, 21)])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, ">f8", np.uint8])
def test_resize_equals_torch(size: tuple[int, int], dtype: object) -> None:
    pixels = (cutouts() * 20).astype(dtype)
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(pixels.astype(np.float64)), size, mode="bilinear", align_corners=False
    ).numpy()
    got = images.resize(pixels, size)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(images.resize(pixels[0, 0], size), expected[0, 0], rtol=1e-5, atol=1e-5)


def test_a_hole_stays_where_it_was() -> None:
    pixels = np.ones((1, 10, 10), np.float32)
    pixels[0, 4, 4] = np.nan
    got = images.resize(pixels, 20)[0]
    hole = np.argwhere(np.isnan(got))
    assert 4 <= len(hole) <= 16
    assert hole.min() >= 6
    assert hole.max() <= 11
    np.testing.assert_array_equal(images.resize(pixels, 10), pixels)


@pytest.mark.parametrize("levels", [2, 5, 10**6])
def test_rank_equalised_pixels_equal_scipy(levels: int) -> None:
    rng = np.random.default_rng(levels)
    pixels = rng.integers(0, levels, (3, 2, 9, 11)).astype(np.float32)
    pixels[0, 0, :3, 0] = [np.nan, np.inf, -np.inf]
    pixels[1, 1] = np.nan
    expected = np.full(pixels.shape, np.nan)
    for i in range(3):
        for b in range(2):
            here = np.isfinite(pixels[i, b])
            expected[i, b, here] = (rankdata(pixels[i, b, here]) - 0.5) / max(here.sum(), 1)
    np.testing.assert_allclose(images.rank_equalise(pixels), expected, rtol=1e-6)


def test_rank_equalised_pixels_know_no_stretch() -> None:
    pixels = cutouts()
    np.testing.assert_array_equal(images.rank_equalise(pixels), images.rank_equalise(np.log(pixels) * 7 - 3))


def test_prepare_is_clean_then_flux_then_size() -> None:
    pixels = cutouts()
    pixels[0, 1, 3:5, 3] = np.nan
    pixels[1, 2, 0, 0] = np.inf
    expected = torch.nn.functional.interpolate(
        torch.from_numpy(np.where(np.isfinite(pixels), pixels, 0) * np.float32(1000)), 32, mode="bilinear"
    ).numpy()
    np.testing.assert_allclose(images.prepare(pixels, 32, BANDS, 23.9), expected, rtol=1e-5, atol=1e-3)


def test_bands_are_stacked_in_order_and_a_missing_one_is_nan() -> None:
    planes = {"H": np.ones((3, 4)), "VIS": np.zeros((3, 4), ">i2"), "Y": None}
    got = images.stack(planes, ["VIS", "Y", "H"])
    assert got.dtype == np.float32
    assert np.isnan(got[1]).all()
    assert (got[0] == 0).all()
    assert (got[2] == 1).all()
    with pytest.raises(ValueError, match="one shape"):
        images.stack({"H": np.ones((3, 4)), "VIS": np.ones((4, 3))}, ["VIS", "H"])
    with pytest.raises(ValueError, match="none of the bands VIS"):
        images.stack({"g": np.ones((3, 4))}, ["VIS"])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: images.to_flux(np.ones((4, 0, 3)), 4, 23.9), "no empty axis"),
        (lambda: images.to_flux(np.ones((3, 3)), 4, 23.9), "bands, height, width"),
        (lambda: images.to_flux(np.ones((4, 3, 3)), BANDS), "pass zero_point"),
        (lambda: images.to_flux(np.ones((4, 3, 3)), BANDS, [23.9] * 3), "one for each of the 4 bands"),
        (lambda: images.to_flux(np.ones((3, 3, 3)), BANDS, 23.9), "3 bands and 4 are named"),
        (lambda: images.to_flux(np.ones((4, 3, 3)), BANDS, [23.9, np.nan, 1, 2]), "band NISP_Y is not finite"),
        (lambda: images.to_flux(np.ones((2, 4, 3, 3)), BANDS, np.ones((3, 4))), "zero points of 3 cutouts"),
        (lambda: images.to_flux(np.ones((1, 3, 3)), ["g"], mode="parity"), "VIS, Y, J, H"),
        (lambda: images.to_flux(np.ones((1, 3, 3)), 1, mode="parity"), "needs the bands' names"),
        (lambda: images.to_flux(np.ones((1, 3, 3)), 1, 23.9, "Jy"), "nJy, nanomaggies"),
        (lambda: images.to_flux(np.ones((1, 3, 3)), 1, 23.9, mode="vega"), "'correct' or 'parity'"),
        (lambda: images.resize(np.ones((3, 3)), 0), "at least one pixel"),
        (lambda: images.clean(np.array([["a"]])), "numbers"),
    ],
)
def test_bad_input_says_what_is_wrong(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
