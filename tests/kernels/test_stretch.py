"""Stretches against astropy's, and what they do where there are no data."""

from __future__ import annotations

import time

import numpy as np
import pytest
from astropy.visualization import AsinhStretch, LinearStretch, make_lupton_rgb

from kernels.layout.stretch import KINDS, NEUTRAL, QUIET, band_order, default_colours, limits, stretch

EUCLID = ["VIS", "NIR_Y", "NIR_J", "NIR_H"]


@pytest.fixture
def page() -> np.ndarray:
    """Twelve galaxies of four bands with different sky and scale, (12, 4, 48, 48) float32."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:48, :48] - 23.5
    light = np.exp(-np.hypot(x, y)[None, None] / rng.uniform(2, 6, (12, 1, 1, 1)))
    bright = rng.uniform(20, 400, (12, 1, 1, 1)) * np.array([1, 1.6, 2.1, 2.6])[None, :, None, None]
    sky = np.array([3.0, -1.0, 0.0, 10.0])[None, :, None, None]
    return (bright * light + sky + rng.normal(size=(12, 4, 48, 48))).astype(np.float32)


@pytest.mark.parametrize("softening", [0.02, 0.1, 0.7])
def test_asinh_is_astropys(page: np.ndarray, softening: float) -> None:
    between = np.array([[0.0, 300.0]] * 4)
    got = stretch(page, "asinh", colours=(3, 1, 0), softening=softening, between=between, calm=0)
    for channel, band in enumerate((3, 1, 0)):
        want = AsinhStretch(softening)(np.clip(page[:, band] / 300, 0, 1).astype(float)) * 255
        # one step of the table near black is the largest difference; half a level by rounding
        tolerance = 0.5 + 255 / 4095 / softening / np.arcsinh(1 / softening)
        assert np.abs(got[..., channel] - want).max() <= tolerance


def test_linear_is_astropys(page: np.ndarray) -> None:
    got = stretch(page[:, :1], "linear", between=np.array([[-2.0, 150.0]]))
    want = LinearStretch()(np.clip((page[:, 0] + 2) / 152, 0, 1)) * 255
    assert np.abs(got[..., 0] - want).max() <= 0.6
    assert (got[..., 0] == got[..., 2]).all()


@pytest.mark.parametrize("q", [2.0, 8.0, 20.0])
def test_lupton_is_astropys(page: np.ndarray, q: float) -> None:
    # astropy's curve asinh(Q x / s) 0.1 / asinh(0.1 Q) reaches 1 at x = 1 when Q / s = sinh(10 asinh(0.1 Q))
    slope = np.sinh(10 * np.arcsinh(0.1 * q))
    low = np.array([3.0, -1.0, 0.0, 10.0])
    between = np.stack([low, low + 120], axis=1)
    got = stretch(page, "lupton", colours=(3, 1, 0), softening=1 / slope, between=between, calm=0)
    for image, rgb in zip(page, got, strict=True):
        r, g, b = ((image[i] - low[i]) / 120 for i in (3, 1, 0))
        want = make_lupton_rgb(r, g, b, stretch=q / slope, Q=q)
        assert np.abs(rgb.astype(int) - want.astype(int)).max() <= 1


def test_lupton_keeps_colour_where_asinh_bleaches_it() -> None:
    scale = np.linspace(0.05, 0.9, 30)
    pixels = np.stack([scale * 0.3, scale * 0.6, scale])[:, None, :]
    between = np.array([[0.0, 1.0]] * 3)
    shown = {kind: stretch(pixels, kind, colours=(2, 1, 0), between=between, calm=0).astype(float)[0] for kind in KINDS}
    ratio = shown["lupton"][:, 2] / shown["lupton"][:, 0]
    np.testing.assert_allclose(ratio, 0.3, atol=0.03)
    assert shown["asinh"][-1, 2] / shown["asinh"][-1, 0] > 0.6


def test_percentile_limits_are_numpys(page: np.ndarray) -> None:
    got = limits(page, 12, 99, quiet=0)
    assert got.shape == (12, 4, 2)
    want = np.percentile(page.reshape(12, 4, -1), 99, axis=2)
    np.testing.assert_allclose(got[..., 1], want, rtol=0.05)
    np.testing.assert_allclose(got[..., 0], np.percentile(page.reshape(12, 4, -1), 12, axis=2), atol=0.6)
    shared = limits(page, 12, 99, shared=True, quiet=0)
    assert shared.shape == (1, 4, 2)
    np.testing.assert_allclose(shared[0, :, 1], np.percentile(page, 99, axis=(0, 2, 3)), rtol=0.05)


def test_sky_alone_stays_dark(page: np.ndarray) -> None:
    sky = np.random.default_rng(1).normal(5, 3, (20, 1, 64, 64)).astype(np.float32)
    found = limits(sky)[:, 0]
    np.testing.assert_allclose((found[:, 1] - found[:, 0]) / QUIET, 3, rtol=0.35)
    assert np.median(stretch(sky)) < 40
    assert np.median(stretch(sky, between=limits(sky, quiet=0))) > 70, "what the floor is for"
    bright = page * 50
    np.testing.assert_array_equal(limits(bright, high=99.9)[:, 3], limits(bright, high=99.9, quiet=5)[:, 3])


def test_a_red_galaxy_is_red_and_a_blue_one_blue() -> None:
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:64, :64] - 31.5
    light = np.exp(-np.hypot(x, y) / 6)
    scale = np.array([1.0, 30.0, 0.2])[:, None, None]  # bands in units of their own
    for shares, brightest in (((40, 80, 200), 0), ((200, 80, 40), 2)):
        pixels = (light * np.array(shares)[:, None, None] + rng.normal(size=(3, 64, 64))) * scale
        core = stretch(pixels, "lupton", bands=["g", "r", "i"])[28:36, 28:36].mean(axis=(0, 1))
        assert core.argmax() == brightest
        assert core.max() > 1.3 * core.min()
    balanced = limits(pixels[None], balanced=True)[0]
    np.testing.assert_allclose(np.diff(balanced)[:, 0] / scale[:, 0, 0], np.diff(balanced)[0, 0], rtol=0.2)


def test_noise_and_a_sharper_band_leave_no_coloured_specks(page: np.ndarray) -> None:
    def speckle(rgb: np.ndarray) -> float:
        return float((rgb.astype(float).max(-1) - rgb.astype(float).min(-1))[:, :12].mean())

    assert speckle(stretch(page, bands=EUCLID)) < 0.4 * speckle(stretch(page, bands=EUCLID, calm=0))
    y, x = np.mgrid[:64, :64] - 31.5
    noise = np.random.default_rng(0).normal(size=(3, 64, 64))
    seen = [np.exp(-(np.hypot(x, y) ** 2) / 2 / s**2) / s**2 for s in (1.0, 2.2, 2.2)]
    star = 4000 * np.stack(seen) + noise
    calm, raw = (stretch(star, bands=["VIS", "Y", "H"], calm=c).astype(int)[31, 26:38] for c in (0.025, 0))
    tint = [np.abs(rgb[:, 2] - rgb[:, 0]).max() for rgb in (calm, raw)]
    assert tint[0] < 0.7 * tint[1], "a blue dot within a red ring"
    whole = stretch(star, "linear", bands=["VIS", "Y", "H"], between=np.array([[0, 6000.0]] * 3)).astype(float)
    plain = stretch(star, "linear", bands=["VIS", "Y", "H"], between=np.array([[0, 6000.0]] * 3), calm=0)
    np.testing.assert_allclose(whole.sum(-1), plain.astype(float).sum(-1), atol=6, err_msg="brightness stays")
    bytes_ = np.random.default_rng(0).integers(0, 255, (3, 32, 32), dtype=np.uint8)
    np.testing.assert_array_equal(stretch(bytes_), stretch(bytes_, calm=0))


def test_shared_limits_keep_a_faint_galaxy_faint(page: np.ndarray) -> None:
    page[0] = page[0] * 0.05
    alone, together = stretch(page, "linear"), stretch(page, "linear", shared=True)
    assert together[0].max() < 0.4 * alone[0].max()


@pytest.mark.parametrize("kind", KINDS)
def test_no_data_is_neutral(page: np.ndarray, kind: str) -> None:
    page[2, :, :5] = np.nan  # nothing in any band
    page[3, 3, 20:28, 20:28] = np.nan  # one band lost over the core
    page[4] = np.nan
    page[5, 0, 0, 0] = np.inf
    got = stretch(page, kind, bands=EUCLID)
    assert (got[2, :5] == NEUTRAL).all()
    assert (got[4] == NEUTRAL).all()
    assert not (got[2, 5:] == NEUTRAL).all()
    core = got[3, 20:28, 20:28].astype(int)
    assert core.min() > NEUTRAL, "a pixel that two bands see is drawn from them"
    between_others = (core[..., 0] >= core[..., 1:].min(-1) - 1) & (core[..., 0] <= core[..., 1:].max(-1) + 1)
    assert between_others.all(), "the lost red channel tints nothing"


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_is_its_place_in_the_batch(page: np.ndarray, kind: str) -> None:
    batch = stretch(page, kind, bands=EUCLID)
    assert batch.shape == (12, 48, 48, 3)
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(stretch(page[7], kind, bands=EUCLID), batch[7])
    half = stretch(page.astype(np.float16), kind, bands=EUCLID)
    difference = np.abs(half.astype(int) - batch.astype(int))
    assert np.quantile(difference, 0.999) <= 3, "but for pixels whose mean intensity changes sign"


def test_flat_and_two_band_images() -> None:
    assert stretch(np.full((1, 8, 8), 7.0)).max() == 0
    two = stretch(np.random.default_rng(0).normal(size=(2, 8, 8)), "linear", bands=["g", "i"])
    mean = (two[..., 0].astype(int) + two[..., 2]) / 2
    clipped = (two[..., [0, 2]] == 255).any(-1) | (two[..., [0, 2]] == 0).any(-1)
    assert (np.abs(two[..., 1] - mean) <= 1)[~clipped].all()


@pytest.mark.parametrize(
    ("bands", "want"),
    [
        (EUCLID, (3, 1, 0)),
        (["H", "VIS", "J", "Y"], (0, 3, 1)),
        (["g", "r", "i", "z", "y"], (4, 2, 0)),
        (["sdss_u", "sdss_g", "sdss_r"], (2, 1, 0)),
        (["R", "G", "B"], (0, 1, 2)),
        (["F444W", "F814W", "F150W"], (0, 2, 1)),
        (["one", "two", "three"], (2, 1, 0)),
        (["g", "i"], (1, 0)),
        (["VIS"], (0,)),
    ],
)
def test_bands_become_colours_by_name(bands: list[str], want: tuple[int, ...]) -> None:
    assert default_colours(bands) == want
    assert sorted(band_order(bands)) == list(range(len(bands)))


def test_errors_say_what_exists(page: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"no stretch named 'log'.*asinh, lupton, linear"):
        stretch(page, "log")
    with pytest.raises(ValueError, match=r"colours \(0, 9\).*4 bands.*VIS"):
        stretch(page, colours=(0, 9), bands=EUCLID)
    with pytest.raises(ValueError, match=r"percentiles.*low=90"):
        stretch(page, low=90, high=10)
    with pytest.raises(ValueError, match=r"\(48, 48\)"):
        stretch(page[0, 0])


def test_a_page_is_fast(page: np.ndarray) -> None:
    many = np.tile(page, (34, 1, 2, 2))[:400, :4, :64, :64].copy()
    took = []
    for _ in range(5):
        start = time.perf_counter()
        stretch(many, "lupton", bands=EUCLID, shared=True)
        took.append(time.perf_counter() - start)
    # 21 ms alone on two cores; the bound leaves room for a busy machine
    assert min(took) < 0.12, f"400 images of 64x64x4 took {min(took) * 1e3:.0f} ms"
