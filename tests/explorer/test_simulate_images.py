"""Simulated cutouts: flux, noise, PSF and what artefacts do."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.survey.simulate import artefacts, galaxies, images, rarities
from explorer.survey.simulate.parameters import Galaxies, derive, draw, stream, take
from explorer.survey.simulate.recipe import load

RECIPE = load("euclid-desi")
SPEC = RECIPE.image
KEY = RECIPE.key(0)


def of_class(name: str, n: int = 6) -> Galaxies:
    rng = stream(4, 5, 6)
    truth = np.full(n, name, dtype=object)
    return derive(rarities.plant(draw(RECIPE, n, rng), truth, rng), SPEC.bands, rng)


def test_the_image_holds_the_flux_of_its_magnitudes() -> None:
    """Compact galaxies, alone: the sum over the stamp is the catalogue's flux to 4 % in every band."""
    g, _, rows = galaxies.physics(RECIPE, KEY, 0)
    small = np.flatnonzero((g["radius"] < 0.55) & (g["class"] == "normal") & (g["sersic"] < 3.5))[:24]
    g = take(g, small)
    total = images.noiseless(g, SPEC, KEY, rows[small], neighbours=False).sum(axis=(2, 3))
    assert len(small) > 10
    np.testing.assert_allclose(total / g["flux"], 1.0, atol=0.04)


def test_the_unit_of_an_image_is_that_of_its_zero_point() -> None:
    """A nanomaggy is 3.631 µJy: the same magnitudes give pixels that much smaller."""
    recipe = load("simulated-sdss")
    g, _, rows = galaxies.physics(recipe, recipe.key(0), 0)
    small = np.flatnonzero((g["radius"] < 2.5) & (g["class"] == "normal") & (g["sersic"] < 3.5))[:12]
    g = take(g, small)
    total = images.noiseless(g, recipe.image, 1, rows[small], neighbours=False).sum(axis=(2, 3))
    np.testing.assert_allclose(total * 3.631 / g["flux"], 1.0, atol=0.05)


def test_sky_noise_is_the_recipes() -> None:
    g = take(galaxies.physics(RECIPE, KEY, 0)[0], slice(0, 4))
    g["class"] = np.full(4, "normal", dtype=object)
    blank = np.zeros((4, 4, 64, 64), dtype=np.float32)
    seen = images.observe(blank, g, SPEC, KEY, np.arange(4)).astype(np.float64)
    for b, band in enumerate(SPEC.bands):
        assert np.nanstd(seen[:, b]) == pytest.approx(band.noise, rel=0.08)
        here = seen[:, b, :, 1:] * seen[:, b, :, :-1]
        correlation = np.nanmean(here) / np.nanvar(seen[:, b])
        assert (correlation > 0.5) == band.correlated
    bright = np.full((1, 4, 64, 64), 5.0, dtype=np.float32)
    seen = images.observe(bright, take(g, slice(0, 1)), SPEC, KEY, np.arange(1)).astype(np.float64)
    expected = np.hypot(SPEC.bands[0].noise, np.sqrt(5.0 / SPEC.bands[0].gain))
    assert np.nanstd(seen[0, 0]) == pytest.approx(expected, rel=0.08)


def test_point_sources_have_the_bands_psf() -> None:
    cells = images.OVER * (SPEC.size + 2 * images.MARGIN)
    scene = np.zeros((1, 4, cells, cells), dtype=np.float32)
    middle = cells // 2
    scene[:, :, middle - 1 : middle + 1, middle - 1 : middle + 1] = 0.25
    psf = images.blur(scene, SPEC)[0]
    axis = (np.arange(64) - 31.5) * SPEC.pixel_scale
    for b, band in enumerate(SPEC.bands):
        core = psf[b] * (np.hypot(axis[:, None], axis) < 1.1 * band.psf_fwhm + 0.06)
        variance = (core.sum(axis=0) * axis**2).sum() / core.sum()
        assert np.sqrt(variance) * 2.355 == pytest.approx(band.psf_fwhm, rel=0.30)
        assert psf[b].sum() == pytest.approx(1.0, abs=0.05)
    widths = [(p > p.max() / 2).sum() for p in psf]
    assert widths[0] < widths[1] <= widths[3]


def test_arcs_lie_at_the_einstein_radius() -> None:
    g = of_class("lens")
    rows = np.arange(6)
    with_arcs = images.noiseless(g, SPEC, 1, rows, neighbours=False)
    bare = images.noiseless({**g, "class": np.full(6, "normal", dtype=object)}, SPEC, 1, rows, neighbours=False)
    arcs = (with_arcs - bare)[:, 0].astype(float)
    assert arcs.min() > -1e-3
    axis = (np.arange(64) - 31.5) * SPEC.pixel_scale
    radius = np.hypot(axis[:, None], axis)
    for i in range(6):
        mean = (arcs[i] * radius).sum() / arcs[i].sum()
        assert mean == pytest.approx(g["einstein_radius"][i], rel=0.3)
        assert arcs[i].sum() > 1.8 * 10 ** (0.4 * (23.9 - g["source_mag"][i]))  # magnified


@pytest.mark.parametrize("kind", ["merger", "ring", "broad-line-agn"])
def test_rarities_show(kind: str) -> None:
    """Asymmetry of mergers, hollow rings, points in active nuclei: each beyond that of its plain twin."""
    g, rows = of_class(kind, 12), np.arange(12)
    seen = images.noiseless(g, SPEC, 1, rows, neighbours=False)[:, 0].astype(float)
    if kind == "merger":
        plain = images.noiseless({**g, "class": np.full(12, "normal", dtype=object)}, SPEC, 1, rows, False)[:, 0]
        turned = [np.abs(s - s[::-1, ::-1]).sum() / s.sum() for s in seen]
        before = [np.abs(s - s[::-1, ::-1]).sum() / s.sum() for s in plain.astype(float)]
        assert np.median(turned) > 1.5 * np.median(before)
    elif kind == "ring":
        rise = []
        for i in range(12):
            u, v = np.meshgrid(*[(np.arange(64) - 31.5) * SPEC.pixel_scale] * 2)
            c, s = np.cos(g["pa"][i]), np.sin(g["pa"][i])
            r = np.hypot(c * u + s * v, (c * v - s * u) / g["q_disk"][i])
            profile = np.array([seen[i][(r > a) & (r <= a + 0.15)].mean() for a in np.arange(0.0, 3.0, 0.15)])
            rise.append(np.max(profile[4:] / np.minimum.accumulate(profile)[3:-1]))
        assert np.median(rise) > 1.15
    else:
        share = [s[29:35, 29:35].sum() / s.sum() for s in seen]
        assert np.median(share) > 0.3


@pytest.mark.parametrize("kind", ["saturated-star", "diffraction-spike", "cosmic-ray", "ghost"])
def test_artefacts_leave_their_mark(kind: str) -> None:
    sky = np.zeros((4, 64, 64), dtype=np.float32)
    for seed in range(5):
        rng = np.random.default_rng(seed)
        seen = artefacts.before_noise(sky.copy(), kind, SPEC, rng)
        seen = artefacts.after_noise(seen, kind, SPEC, rng)
        assert np.isfinite(seen[0]).any()
        if kind == "cosmic-ray":
            assert np.nanmax(seen[0]) > 15 * SPEC.bands[0].noise
            assert not np.nanmax(np.abs(seen[1:])) > 0
        else:
            assert np.nanmax(seen) > 3 * SPEC.bands[0].noise
    same = artefacts.before_noise(sky.copy(), "normal", SPEC, np.random.default_rng(0))
    assert not same.any()


def test_masked_pixels_are_nan_in_some_stamps() -> None:
    g = take(galaxies.physics(RECIPE, KEY, 0)[0], slice(0, 100))
    g["class"] = np.full(100, "normal", dtype=object)
    seen = images.observe(np.zeros((100, 4, 64, 64), dtype=np.float32), g, SPEC, KEY, np.arange(100))
    share = np.isnan(seen).any(axis=(1, 2, 3)).mean()
    assert 0.0 < share < 0.2
    assert seen.dtype == np.float16
