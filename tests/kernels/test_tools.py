"""Re-ranking tools against closed forms: a planted arc, a planted broad line, and what must not be taken for them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from kernels.search import TOOLS
from kernels.search.evidence import Candidate, Evidence, Unfit
from kernels.search.tools.lens_likeness import fit_galaxy
from kernels.search.tools.line_width import C, strongest_peak

SCALE, NOISE = 0.1, 0.03


def _fact(found: Evidence, name: str) -> float:
    return next(f.value for f in found.facts if name in f.name)


def _plane(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A round de Vaucouleurs-like galaxy with noise, and the radius and angle of its pixels."""
    y, x = (np.mgrid[:64, :64] - 31.5) * SCALE
    r = np.hypot(x, y)
    galaxy = 2.0 * np.exp(-4.67 * ((np.sqrt(r**2 + 0.004) / 0.9) ** (1 / 2.5) - 1))
    return galaxy + np.random.default_rng(seed).normal(0, NOISE, r.shape), r, np.arctan2(y, x)


def _arc(r: np.ndarray, phi: np.ndarray, radius: float, half: float, at: float = 0.0) -> np.ndarray:
    away = np.abs((phi - at + np.pi) % (2 * np.pi) - np.pi)
    return np.exp(-0.5 * ((r - radius) / 0.12) ** 2) * (away < half)


def _judged(*planes: np.ndarray) -> Evidence:
    bands = ("VIS", "H")[: len(planes)]
    return TOOLS.get("lens-likeness")().judge(Candidate(np.stack(planes), bands, (0.17, 0.17)[: len(planes)], SCALE))


def _lensed(plane: np.ndarray, arc: np.ndarray) -> Evidence:
    """A red galaxy with light that is blue: in the second band it is fainter, the galaxy brighter."""
    quiet = plane - np.random.default_rng(0).normal(0, NOISE, plane.shape)
    return _judged(plane + arc, 3 * quiet + 0.5 * arc + np.random.default_rng(1).normal(0, NOISE, plane.shape))


def test_a_planted_arc_is_found_where_it_was_put() -> None:
    plane, r, phi = _plane()
    for radius in (1.0, 1.7, 2.4):
        found = _lensed(plane, 0.4 * _arc(r, phi, radius, 0.6))
        assert _fact(found, "arc radius") == pytest.approx(radius, abs=0.15)
        assert _fact(found, "arc S/N") > 8
        assert found.score > 4 * _lensed(plane, 0 * plane).score


def test_a_tangential_arc_counts_and_the_same_light_elsewhere_does_not() -> None:
    plane, r, phi = _plane()
    arc = 0.4 * _arc(r, phi, 1.6, 0.6)
    radial = 0.4 * np.exp(-0.5 * (1.6 * phi / 0.12) ** 2) * (np.abs(r - 1.6) < 0.96)
    y, x = (np.mgrid[:64, :64] - 31.5) * SCALE
    blob = np.exp(-0.5 * ((x - 1.6) ** 2 + y**2) / 0.16**2)
    blob *= arc.sum() / blob.sum()
    planted = {"arc": arc, "radial": radial, "blob": blob}
    scores = {name: _lensed(plane, extra).score for name, extra in planted.items()}
    assert scores["arc"] > 3 * scores["radial"]
    assert scores["arc"] > 3 * scores["blob"]


def test_a_blue_arc_counts_for_more_than_one_of_the_galaxy_s_own_colour() -> None:
    plane, r, phi = _plane()
    arc = 0.4 * _arc(r, phi, 1.6, 0.6)
    red = ndimage.gaussian_filter(3 * (plane + arc), 0.1)
    blue, same, alone = _lensed(plane, arc), _judged(plane + arc, red), _judged(plane + arc)
    assert _fact(blue, "bluer") > 3 > abs(_fact(same, "bluer"))
    assert blue.score > 1.5 * same.score
    assert "one band: colour is not judged" in alone.notes


def test_what_one_band_alone_shows_and_what_outshines_the_galaxy_count_little() -> None:
    """A cosmic ray is in one exposure; a spike or a ghost is brighter than any arc."""
    plane, r, phi = _plane()
    arc = 0.4 * _arc(r, phi, 1.6, 0.6)
    quiet = plane - np.random.default_rng(0).normal(0, NOISE, plane.shape)
    other = 3 * quiet + np.random.default_rng(1).normal(0, NOISE, plane.shape)
    real, ray, bright = _lensed(plane, arc), _judged(plane + arc, other), _lensed(plane, 300 * arc)
    assert _fact(real, "other bands") > 2 > _fact(ray, "other bands")
    assert ray.score < 0.5 * real.score
    assert _fact(bright, "over the galaxy's core") > 0.5 > _fact(real, "over the galaxy's core")
    assert bright.score < 0.2 * _fact(bright, "arc S/N"), "by the square of that"
    assert real.score > _fact(real, "arc S/N")


def test_a_counterpart_on_the_other_side_adds() -> None:
    plane, r, phi = _plane()
    one = 0.4 * _arc(r, phi, 1.6, 0.6)
    both = one + 0.8 * _arc(r, phi, 1.4, 0.5, at=np.pi)
    alone, paired = _lensed(plane, one), _lensed(plane, both)
    assert _fact(paired, "counterpart") > 8 > _fact(alone, "counterpart")


def test_the_galaxy_is_fitted_with_and_without_an_arc() -> None:
    y, x = np.mgrid[:64, :64].astype(float)
    dx, dy = x - 32.3, y - 31.1
    u, v = np.cos(0.7) * dx + np.sin(0.7) * dy, np.cos(0.7) * dy - np.sin(0.7) * dx
    r = np.sqrt(u * u * 0.6 + v * v / 0.6)
    b = 2 * 1.5 - 1 / 3 + 0.009876 / 1.5
    light = ndimage.gaussian_filter(np.exp(-b * ((np.sqrt(r * r + 0.04) / 7.0) ** (1 / 1.5) - 1)), 1.0, truncate=3.0)
    noise = np.random.default_rng(0).normal(0, 0.02, light.shape)
    for extra in (0.0, 0.3 * _arc(np.hypot(dx, dy) * SCALE, np.arctan2(dy, dx), 1.8, 0.8)):
        found = fit_galaxy(light + noise + extra, 0.02, np.ones(light.shape, bool), 1.0)
        assert (found.size, found.index, found.axis_ratio) == pytest.approx((7.0, 1.5, 0.6), rel=0.06)
        assert np.sin(found.angle - 0.7) == pytest.approx(0, abs=0.05)
        assert (found.x, found.y) == pytest.approx((32.3, 31.1), abs=0.1)
        assert 0 < found.size_error < 0.3


def test_coarse_pixels_have_a_core_too() -> None:
    plane, _, _ = _plane()
    coarse = plane[:64, :64].reshape(16, 4, 16, 4).mean(axis=(1, 3))
    found = TOOLS.get("lens-likeness")().judge(Candidate(np.stack([coarse, coarse]), ("g", "z"), (1.2, 1.1), 0.4))
    assert all(np.isfinite(f.value) for f in found.facts)


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (Candidate(np.zeros((1, 64, 64)), pixel_scale=0.1), "nothing stands out"),
        (Candidate(np.ones((1, 8, 8)), pixel_scale=0.1), "16 x 16"),
        (Candidate(np.ones((1, 64, 64))), "pixel scale is None"),
        (Candidate(np.ones((1, 20, 20)), pixel_scale=0.02), "0.4 arcsec wide"),
        (Candidate(np.full((2, 64, 64), np.nan), pixel_scale=0.1), "band 1 .*no data"),
        (Candidate(), "no image"),
    ],
)
def test_an_image_that_cannot_be_judged_says_why(one: Candidate, told: str) -> None:
    with pytest.raises(Unfit, match=told):
        TOOLS.get("lens-likeness")().judge(one)


def _spectrum(fwhm: float, narrow: float = 300.0, z: float = 0.1, seed: int = 0, share: float = 0.5) -> Candidate:
    x = np.arange(4000.0, 9000.0, 1.2)
    at = 6564.61 * (1 + z)

    def line(width: float, height: float) -> np.ndarray:
        return height * np.exp(-0.5 * ((x - at) / (at * width / 2.3548 / C)) ** 2)

    noise = np.random.default_rng(seed).normal(0, 0.25, len(x))
    flux = 4 + line(narrow, 6.0) + (line(fwhm, 6 * share) if fwhm else 0) + noise
    return Candidate(wavelength=x, flux=flux, ivar=np.full(len(x), 16.0), redshift=z)


@pytest.mark.parametrize("fwhm", [2000.0, 4500.0, 8000.0])
def test_a_broad_line_s_width_comes_back_with_an_error_that_holds(fwhm: float) -> None:
    pulls = []
    for seed in range(6):
        found = TOOLS.get("line-width")().judge(_spectrum(fwhm, seed=seed))
        fact = found.facts[0]
        assert "broad" in fact.name
        assert fact.value == pytest.approx(fwhm, rel=0.1)
        assert found.score == pytest.approx(fact.value - 2 * fact.error)
        pulls.append((fact.value - fwhm) / fact.error)
        assert _fact(found, "narrow FWHM") == pytest.approx(300, rel=0.1)
    assert 0.2 < np.std(pulls) < 2.5
    assert abs(np.mean(pulls)) < 1.5


def test_a_narrow_line_has_no_broad_component_and_its_own_width() -> None:
    for seed in range(6):
        found = TOOLS.get("line-width")().judge(_spectrum(0.0, 350.0, seed=seed))
        assert "narrow" in found.facts[0].name
        assert found.facts[0].value == pytest.approx(350, rel=0.06)


def test_doublets_about_a_line_are_not_taken_for_its_width() -> None:
    one = _spectrum(0.0)
    x, z = one.wavelength, 0.1
    extra = np.zeros_like(x)
    for centre, height in ((6585.27, 3.0), (6549.86, 0.98), (6718.29, 1.5), (6732.67, 1.2)):
        s = centre * (1 + z) * 300 / 2.3548 / C
        extra += height * np.exp(-0.5 * ((x - centre * (1 + z)) / s) ** 2)
    found = TOOLS.get("line-width")().judge(replace(one, flux=one.flux + extra))
    assert "narrow" in found.facts[0].name
    assert found.facts[0].value == pytest.approx(300, rel=0.06)


def test_noise_has_no_width() -> None:
    one = _spectrum(0.0)
    flat = replace(one, flux=4 + np.random.default_rng(9).normal(0, 0.25, len(one.flux)))
    found = TOOLS.get("line-width")().judge(flat)
    assert found.score == 0
    assert "no emission line" in found.notes[-1]


def test_without_a_redshift_the_strongest_feature_is_the_line() -> None:
    one = _spectrum(4000.0)
    assert strongest_peak(one.wavelength, one.flux, one.ivar) == pytest.approx(6564.61 * 1.1, abs=25)
    found = TOOLS.get("line-width")().judge(replace(one, redshift=None))
    assert found.facts[0].value == pytest.approx(4000, rel=0.15)
    assert any("no redshift" in note for note in found.notes)


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (Candidate(), "no spectrum"),
        (replace(_spectrum(0.0), ivar=np.zeros(4167)), "0 good samples"),
        (replace(_spectrum(0.0), redshift=7.5), "at redshift 7.5"),
        (replace(_spectrum(0.0), flux=np.ones(5)), "must agree"),
    ],
)
def test_a_spectrum_that_cannot_be_judged_says_why(one: Candidate, told: str) -> None:
    with pytest.raises(Unfit, match=told):
        TOOLS.get("line-width")().judge(one)
