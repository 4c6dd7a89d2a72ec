"""Mismatches in units of physics against closed forms, least squares and planted errors."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.scoring import physical
from kernels.scoring.mismatch import Alignment, aligned_mismatch, cosine_mismatch

WAVELENGTH = np.arange(4000.0, 8000.0, 10.0)


def test_a_flat_spectrum_in_frequency_has_the_same_flux_in_every_band() -> None:
    flux = 7e8 / WAVELENGTH**2 * np.ones((2, 1))  # f_lam = f_nu c / lam²: constant f_nu
    ivar = np.full(flux.shape, 4.0)
    curves = np.stack([(WAVELENGTH > 4500) & (WAVELENGTH < 5500), np.exp(-(((WAVELENGTH - 6500) / 300) ** 2))])
    found, error = physical.synthetic_photometry(WAVELENGTH, flux, ivar, curves)
    np.testing.assert_allclose(found, 7e8, rtol=1e-12)
    rng = np.random.default_rng(0)
    noisy = flux[:1] + rng.normal(0, 0.5, (4000, len(WAVELENGTH)))
    told, _ = physical.synthetic_photometry(WAVELENGTH, noisy, np.full(noisy.shape, 4.0), curves)
    np.testing.assert_allclose(told.std(axis=0), error[0], rtol=0.06)


def test_a_band_behind_a_mask_is_unknown_and_a_small_gap_is_not() -> None:
    flux, ivar = np.ones((2, len(WAVELENGTH))), np.ones((2, len(WAVELENGTH)))
    curve = ((WAVELENGTH > 5000) & (WAVELENGTH < 6000)).astype(float)
    whole, _ = physical.synthetic_photometry(WAVELENGTH, flux, ivar, curve)
    ivar[0, (WAVELENGTH > 5400) & (WAVELENGTH < 5450)] = 0
    ivar[1, (WAVELENGTH > 5000) & (WAVELENGTH < 5400)] = 0
    flux[0, (WAVELENGTH > 5400) & (WAVELENGTH < 5450)] = np.nan
    found, _ = physical.synthetic_photometry(WAVELENGTH, flux, ivar, curve)
    assert found[0, 0] == pytest.approx(whole[0, 0], rel=0.01)
    assert np.isnan(found[1, 0])
    with pytest.raises(ValueError, match="400 wavelengths"):
        physical.synthetic_photometry(WAVELENGTH, flux[:, :9], ivar[:, :9], curve)


def _galaxies(n: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flux, ivar and redshift of galaxies of two kinds with lines and a break."""
    rng = np.random.default_rng(seed)
    z = rng.uniform(0.05, 0.5, n)
    rest = WAVELENGTH / (1 + z[:, None])
    mix = rng.uniform(0, 1, (n, 1))
    lines = sum(a * np.exp(-0.5 * ((rest - c) / 8) ** 2) for c, a in ((3727, 2), (4862, 1), (5008, 3), (6564, 3)))
    flux = 1 + mix * lines + (1 - mix) * 0.8 * (rest > 4000)
    return flux + rng.normal(0, 0.1, flux.shape), np.full(flux.shape, 100.0), z


def test_a_wrong_redshift_is_found_by_templates_of_the_survey_itself() -> None:
    flux, ivar, z = _galaxies(300)
    told = z.copy()
    told[:6] = (1 + z[:6]) * 5008 / 6564 - 1 + 0.1
    templates = physical.rest_templates(WAVELENGTH, flux, ivar, told, components=4, rounds=4)
    fit = physical.template_mismatch(WAVELENGTH, flux, ivar, told, templates)
    assert np.median(fit.mismatch[:6]) > 5
    assert np.median(fit.mismatch[6:]) < -5
    assert np.unique(fit.mismatch).size == 300  # no ties: a place for every object
    assert np.median(np.abs(fit.best[6:] - z[6:])) < 0.01
    unknown = physical.template_mismatch(WAVELENGTH, flux[:9], ivar[:9] * 0, told[:9], templates)
    assert np.isnan(unknown.mismatch).all()


def test_explained_chi_square_is_that_of_least_squares() -> None:
    rng = np.random.default_rng(2)
    weight, value, shown = rng.uniform(1, 2, (5, 60)), rng.normal(size=(5, 60)), rng.normal(size=(4, 60))
    told = physical._explained(weight, weight * value, shown)
    for i in range(5):
        root = np.sqrt(weight[i])
        answer, *_ = np.linalg.lstsq((shown * root).T, value[i] * root, rcond=None)
        gain = (weight[i] * value[i] ** 2).sum() - (weight[i] * (value[i] - answer @ shown) ** 2).sum()
        assert told[i] == pytest.approx(gain, rel=2e-3)


def test_what_a_prediction_misses_is_measured_in_its_own_scatter() -> None:
    rng = np.random.default_rng(3)
    X = rng.uniform(-1, 1, (800, 3))
    noise = np.where(X[:, 0] > 0, 0.3, 0.03)
    y = X[:, 1] + rng.normal(size=800) * noise
    y[7] += 3.0
    X[11, 2] = np.nan
    told = physical.predicted_mismatch(X, y, along=X[:, 0])
    assert np.argmax(told) == 7
    assert np.isfinite(told).all()
    wide = np.median(told[X[:, 0] > 0.1])
    assert 0.5 < wide / np.median(told[X[:, 0] < -0.1]) < 2  # the noisy half is no more anomalous than the quiet one
    y[3] = np.nan
    assert np.isnan(physical.predicted_mismatch(X, y)[3])
    with pytest.raises(ValueError, match="40 rows are known"):
        physical.predicted_mismatch(X[:40], y[50:90])


def test_a_flux_that_differs_in_one_band_stands_out_and_offsets_do_not() -> None:
    rng = np.random.default_rng(4)
    true = rng.uniform(1, 100, (300, 2))
    image, spectrum = true * np.exp(rng.normal(0, 0.02, true.shape)), 0.4 * true
    image[5] *= 3
    image[9] = -1.0
    told = physical.photometric_mismatch(image, spectrum)
    assert np.nanargmax(told) == 5
    assert np.isnan(told[9])
    assert np.nanmedian(told) < 2


def test_cells_are_weighted_means() -> None:
    flux, ivar = np.array([[1.0, 3.0, 5.0, np.nan]]), np.array([[1.0, 3.0, 2.0, 9.0]])
    wavelength, mean, weight = physical.rebinned(np.arange(4.0), flux, ivar, 2)
    np.testing.assert_allclose(wavelength, [0.5, 2.5])
    np.testing.assert_allclose(mean, [[2.5, 5.0]])
    np.testing.assert_allclose(weight, [[4.0, 2.0]])


def test_an_alignment_serves_rows_that_it_was_not_fitted_on() -> None:
    rng = np.random.default_rng(5)
    hidden = rng.normal(size=(600, 4))
    a = hidden @ rng.normal(size=(4, 9)) + 0.1 * rng.normal(size=(600, 9))
    b = hidden @ rng.normal(size=(4, 7)) + 0.1 * rng.normal(size=(600, 7))
    line = Alignment(components=4).fit(a[:400], b[:400])
    partners, strangers = line.mismatch(a[400:], b[400:]), line.mismatch(a[400:], np.roll(b[400:], 1, axis=0))
    assert np.median(partners) < 0.05 < 0.5 < np.median(strangers)
    x, y = line.project(a[400:], b[400:])
    np.testing.assert_allclose(partners, cosine_mismatch(x, y))
    swapped = b.copy()
    swapped[[0, 1]] = b[[1, 0]]
    found = aligned_mismatch(a, swapped, components=4, random_state=0, match=rng.normal(size=(600, 2)))
    assert found.calibrated is not None
    assert (found.calibrated[:2] > 20).all()
    assert np.median(found.calibrated) < 2
    with pytest.raises(RuntimeError, match="no map"):
        Alignment().mismatch(a, b)
