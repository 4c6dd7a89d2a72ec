"""Injected oddities: how much light, where, and what stays as it was."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.survey.records import Image, Spectrum
from explorer.survey.simulate.inject import KINDS, TOUCHES, inject, instrument
from explorer.survey.simulate.recipe import load

GRID = np.arange(3600.0, 9824.0, 0.8)
KIT = instrument({"bands": ["VIS", "Y", "J", "H"], "pixel_scale": 0.1, "psf_fwhm": [0.2, 0.5, 0.5, 0.5]}, 64, 4)


def _galaxy(dtype: str = "f4") -> tuple[Image, Spectrum]:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-31.5:32, -31.5:32]
    light = 0.2 * np.exp(-np.hypot(x, y) / 5)[None] * np.array([1, 1.3, 1.6, 1.8])[:, None, None]
    pixels = (light + rng.normal(0, 0.003, (4, 64, 64))).astype(dtype)
    return Image(pixels), Spectrum(GRID, np.full(len(GRID), 2.0, "f4"), np.full(len(GRID), 25.0, "f4"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_light_added_is_the_strength_times_the_objects_own(kind: str) -> None:
    image, spectrum = _galaxy()
    inner = np.hypot(*np.mgrid[-31.5:32, -31.5:32]) <= 16
    own = image.pixels[0][inner].sum()
    added = {}
    for strength in (0.1, 1.0):
        changed, told = inject(kind, strength, image, spectrum, KIT, 0.3, seed=4)
        added[strength] = changed.pixels - image.pixels
        assert added[strength][0].sum() == pytest.approx(strength * own, rel=0.05)
        assert (told.flux is spectrum.flux) == ("spectrum" not in TOUCHES[kind])
    np.testing.assert_allclose(added[1.0], 10 * added[0.1], rtol=1e-3, atol=1e-4)  # one shape at every strength
    again, _ = inject(kind, 1.0, image, spectrum, KIT, 0.3, seed=4)
    np.testing.assert_array_equal(again.pixels, image.pixels + added[1.0])


def test_nothing_is_added_at_strength_zero_and_masks_stay() -> None:
    image, spectrum = _galaxy("f2")
    assert inject("lens", 0, image, spectrum, KIT) == (image, spectrum)
    pixels = image.pixels.copy()
    pixels[:, 10:14] = np.nan
    ivar = spectrum.ivar.copy()
    ivar[100:200] = 0
    kit = instrument({}, 64, 4, load("euclid-desi"))
    changed, told = inject("broad-line", 1.0, Image(pixels), Spectrum(GRID, spectrum.flux, ivar), kit)
    assert changed.pixels.dtype == np.float16
    np.testing.assert_array_equal(np.isnan(changed.pixels), np.isnan(pixels))
    assert (told.ivar[100:200] == 0).all()
    assert np.isfinite(told.flux).all()


def test_a_broad_line_is_broad_and_at_the_redshift_and_a_lens_has_lines_behind_it() -> None:
    image, spectrum = _galaxy()
    _, told = inject("broad-line", 1.0, image, spectrum, KIT, 0.2)
    added = told.flux - spectrum.flux
    centre = 6564.6 * 1.2
    away = np.abs(GRID - centre - 700) < 100
    assert added[np.abs(GRID - centre) < 20].mean() > 1.5 * added[away].mean()
    half = added > (added[np.abs(GRID - centre) < 5].max() + added[away].mean()) / 2
    width = GRID[half & (np.abs(GRID - centre) < 400)]
    assert np.ptp(width) / centre * 299_792 > 1500  # km/s
    _, told = inject("lens", 1.0, image, spectrum, KIT, 0.2)
    added = told.flux - spectrum.flux
    spikes = GRID[added > 5 * np.median(added)]
    assert len(spikes)
    assert all(abs(spikes - line * 1.2).min() > 5 for line in (3728.5, 5008.2))  # none at the lens itself


def test_images_of_eight_bits_and_unknown_instruments_can_carry_them() -> None:
    pixels = np.clip(_galaxy()[0].pixels[:3, :, :50] * 800, 0, 255).astype(np.uint8)
    kit = instrument({}, 64, 3)
    changed, none = inject("cosmic-ray", 1.0, Image(pixels), None, kit)
    assert changed.pixels.dtype == np.uint8
    assert changed.pixels.shape == (3, 64, 50)
    assert none is None
    assert (changed.pixels[0] > pixels[0]).sum() > 3
    np.testing.assert_array_equal(changed.pixels[1], pixels[1])


def test_what_cannot_be_injected_is_said() -> None:
    image, spectrum = _galaxy()
    with pytest.raises(ValueError, match="'ufo' is unknown: choose one of lens"):
        inject("ufo", 1, image, spectrum, KIT)
    with pytest.raises(ValueError, match="strength=-1"):
        inject("lens", -1, image, spectrum, KIT)
