"""P0.2, P0.3 and P1.1 against scipy, specutils, direct sums and real quasars."""

from __future__ import annotations

import csv
import warnings
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import InverseVariance
from scipy.interpolate import interp1d
from specutils import Spectrum
from specutils.manipulation import FluxConservingResampler

from kernels.preprocess import spectra


def observed(n: int = 3, m: int = 400, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    wavelength = np.sort(3600 * 10 ** (np.arange(m) * 1e-3) + rng.uniform(-1, 1, m))
    flux = 2 + rng.normal(size=(n, m)).cumsum(axis=1) / 10
    return wavelength, flux, rng.uniform(0.5, 4, (n, m))


def test_linear_resampling_equals_scipy_and_propagates_variance() -> None:
    wavelength, flux, ivar = observed()
    grid = np.linspace(3500, 9500, 777)
    got, got_ivar = spectra.resample(wavelength, flux, ivar, grid)
    inside = (grid >= wavelength[0]) & (grid <= wavelength[-1])
    assert inside.any()
    assert not inside.all()
    np.testing.assert_allclose(got[:, inside], interp1d(wavelength, flux)(grid[inside]), rtol=1e-12)
    assert (got[:, ~inside] == 0).all()
    assert (got_ivar[:, ~inside] == 0).all()
    j = int(np.flatnonzero(inside)[50])
    i = int(np.searchsorted(wavelength, grid[j])) - 1
    w = (grid[j] - wavelength[i]) / (wavelength[i + 1] - wavelength[i])
    variance = (1 - w) ** 2 / ivar[:, i] + w**2 / ivar[:, i + 1]
    np.testing.assert_allclose(got_ivar[:, j], 1 / variance, rtol=1e-12)
    one = spectra.resample(wavelength, flux[1], ivar[1], grid)
    np.testing.assert_array_equal(one[0], got[1])
    np.testing.assert_array_equal(one[1], got_ivar[1])


def test_the_same_grid_gives_the_same_spectrum() -> None:
    wavelength, flux, ivar = observed()
    ivar[1, 30:40] = 0
    for how in ("linear", "conserving"):
        got, got_ivar = spectra.resample(wavelength, flux, ivar, wavelength, how)
        np.testing.assert_allclose(got_ivar, ivar, rtol=1e-9)
        np.testing.assert_allclose(got[ivar > 0], flux[ivar > 0], rtol=1e-9)


@pytest.mark.parametrize("size", [100, 1500])
def test_conserving_resampling_equals_specutils_and_keeps_the_flux(size: int) -> None:
    wavelength, flux, ivar = observed()
    grid = np.linspace(wavelength[0] + 60, wavelength[-1] - 60, size)
    got, got_ivar = spectra.resample(wavelength, flux, ivar, grid, how="conserving")
    for i in range(len(flux)):
        given = Spectrum(
            spectral_axis=wavelength * u.AA, flux=flux[i] * u.Jy, uncertainty=InverseVariance(ivar[i] * u.Jy**-2)
        )
        expected = FluxConservingResampler()(given, grid * u.AA)
        np.testing.assert_allclose(got[i, 1:-1], expected.flux.value[1:-1], rtol=1e-9)
        np.testing.assert_allclose(got_ivar[i, 1:-1], expected.uncertainty.array[1:-1], rtol=1e-9)
    old, new = spectra.edges(wavelength), spectra.edges(grid)
    shared = np.clip(np.minimum(old[1:], new[-1]) - np.maximum(old[:-1], new[0]), 0, None)
    np.testing.assert_allclose((got * np.diff(new)).sum(axis=1), (flux * shared).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("how", ["linear", "conserving"])
def test_masked_samples_are_bridged_and_stay_masked(how: str) -> None:
    wavelength = 4000.0 + np.arange(200)
    line = 3 + 0.01 * (wavelength - 4000)
    flux, ivar = line.copy(), np.ones(200)
    flux[50:60], ivar[50:60] = 1e9, 0
    ivar[:3] = 0
    grid = np.linspace(4005, 4195, 381)
    got, got_ivar = spectra.resample(wavelength, flux, ivar, grid, how)
    np.testing.assert_allclose(got, np.interp(grid, wavelength, line), rtol=1e-12)
    gap = (grid > 4049.3) & (grid < 4059.7)
    assert (got_ivar[gap] == 0).all()
    assert (got_ivar[(grid < 4048) | (grid > 4061)] > 0).all()


def test_a_mask_of_one_spectrum_does_not_touch_the_others() -> None:
    wavelength, flux, ivar = observed()
    grid = np.linspace(4000, 8000, 500)
    alone = spectra.resample(wavelength, flux[0], ivar[0], grid)
    ivar[1, 100:200] = 0
    flux[2], ivar[2] = np.nan, 0
    got = spectra.resample(wavelength, flux, ivar, grid)
    np.testing.assert_array_equal(got[0][0], alone[0])
    np.testing.assert_array_equal(got[1][0], alone[1])
    assert (got[1][2] == 0).all()
    assert np.isfinite(got[0]).all()


@pytest.mark.parametrize("how", ["std", "zscore", "median"])
def test_normalised_and_back(how: str) -> None:
    _, flux, ivar = observed()
    flux = np.abs(flux) + 1
    ivar[0, :50] = 0
    flux[0, :50] = np.nan
    got = spectra.normalise(flux, ivar, how)
    for i in range(3):
        here = ivar[i] > 0
        data = flux[i, here]
        offset = data.mean() if how == "zscore" else 0
        scale = np.median(data) if how == "median" else data.std()
        np.testing.assert_allclose(got.flux[i, here], (data - offset) / scale, rtol=1e-12)
        np.testing.assert_allclose(got.ivar[i, here], ivar[i, here] * scale**2)
        one = spectra.normalise(flux[i], ivar[i], how)
        np.testing.assert_array_equal(one.flux, got.flux[i])
    assert (got.flux[0, :50] == 0).all()
    back, back_ivar = spectra.denormalise(got)
    np.testing.assert_allclose(back[ivar > 0], flux[ivar > 0], rtol=1e-12)
    np.testing.assert_allclose(back_ivar, ivar, rtol=1e-12)


def test_a_constant_spectrum_keeps_its_scale() -> None:
    got = spectra.normalise(np.full(9, 1e-17), np.ones(9), "zscore")
    assert got.scale == 1
    assert np.abs(got.flux).max() < 1e-30
    with pytest.raises(ValueError, match="median flux of spectrum 0 is -1"):
        spectra.normalise(np.full(9, -1.0), np.ones(9), "median")


def test_lengths_are_cut_or_filled() -> None:
    flux = np.arange(12.0).reshape(2, 6)
    np.testing.assert_array_equal(spectra.fit_length(flux, 4), flux[:, :4])
    np.testing.assert_array_equal(spectra.fit_length(flux, 8), np.hstack([flux, np.zeros((2, 2))]))


# -- P1.1 --------------------


def test_galspec_is_the_papers_recipe() -> None:
    wavelength, flux, ivar = observed(4, 3000, seed=2)
    wavelength = np.linspace(3700, 9300, 3000)
    flux = np.abs(flux) + 1
    redshift = np.array([0.0, 0.3, 0.65, 0.2])
    got = spectra.galspec(wavelength, flux, ivar, redshift)
    grid = np.linspace(3850, 9000, 3688)
    assert got.flux.shape == (4, 3688)
    assert got.flux.dtype == np.float32
    for i, z in enumerate(redshift):
        expected = interp1d(wavelength, flux[i])(grid)
        window = (grid >= 5300 * (1 + z)) & (grid <= 5850 * (1 + z))
        np.testing.assert_allclose(got.flux[i], expected / np.median(expected[window]), rtol=1e-6)
        assert np.median(got.flux[i, window]) == pytest.approx(1, abs=1e-6)
    assert (got.fallback == 0).all()
    assert got.valid.all()


def test_galspec_falls_back_and_says_so() -> None:
    wavelength, flux, ivar = observed(6, 3000, seed=3)
    wavelength = np.linspace(3700, 9300, 3000)
    flux = np.abs(flux) + 1
    redshift = np.array([0.69, 0.70, 0.71, np.nan, 0.1, 0.1])
    ivar[4, (wavelength > 5800) & (wavelength < 6500)] = 0
    flux[5] *= -1
    got = spectra.galspec(wavelength, flux, ivar, redshift)
    assert got.fallback.tolist() == [0, 1, 1, 1, 1, 2]
    for i in (1, 2, 3, 4):
        assert np.median(got.flux[i, got.valid[i]]) == pytest.approx(1, abs=1e-6)
    assert np.median(np.abs(got.flux[5])) == pytest.approx(1, abs=1e-6)
    assert (got.scale > 0).all()
    short = wavelength < 6000
    part = spectra.galspec(wavelength[short], flux[0, short], ivar[0, short], 0.0)
    assert not part.valid[0, -1]
    assert part.flux[0, -1] == 0
    with pytest.raises(ValueError, match="spectrum 0 has no valid sample"):
        spectra.galspec(np.linspace(1000, 2000, 50), np.ones(50), np.ones(50), 0.1)


def test_58_of_67_real_quasars_lie_beyond_the_window(shared_data: Path) -> None:
    folder = shared_data / "boss_quasars"
    lines = list(csv.DictReader((folder / "index.csv").read_text().splitlines()))
    flags = []
    for line in lines:
        with warnings.catch_warnings(), fits.open(folder / line["file"]) as found:
            warnings.simplefilter("ignore")
            data = found[1].data
            flux, ivar = spectra.masked(data["FLUX"], data["IVAR"])
            got = spectra.galspec(10.0 ** data["LOGLAM"].astype(float), flux, ivar, float(line["z"]))
        flags.append(int(got.fallback[0]))
        assert np.isfinite(got.flux).all()
    assert len(flags) == 67
    assert sum(f > 0 for f in flags) == 58
    assert [f > 0 for f in flags] == [float(line["z"]) > 0.70 for line in lines]


def test_patches_are_735_and_go_back() -> None:
    flux = np.random.default_rng(0).normal(size=(2, 3688))
    got = spectra.patches(flux)
    assert got.shape == (2, 735, 15)
    for k in (0, 1, 400, 734):
        np.testing.assert_array_equal(got[:, k], flux[:, 5 * k : 5 * k + 15])
    back = spectra.unpatch(got, 3688)
    np.testing.assert_allclose(back[:, :3685], flux[:, :3685], rtol=1e-12)
    assert np.isnan(back[:, 3685:]).all()
    assert spectra.patches(np.zeros(7781)[:7780], 10, 0).shape == (778, 10)
    with pytest.raises(ValueError, match="overlap by 0 to 14"):
        spectra.patches(flux, 15, 15)
    with pytest.raises(ValueError, match="no patch of 15"):
        spectra.patches(np.zeros(14))
    with pytest.raises(ValueError, match="reach beyond"):
        spectra.unpatch(got, 100)


GOOD = (np.arange(4000.0, 4010.0), np.ones(10), np.ones(10))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ((GOOD[0][::-1], *GOOD[1:]), "wavelength descends: reverse it"),
        ((np.array([1, 2, 3, 3, 5, 6, 7, 8, 9, 10.0]), *GOOD[1:]), "does not ascend at sample 3"),
        ((np.where(np.arange(10) == 4, np.nan, GOOD[0]), *GOOD[1:]), "wavelength is not finite at sample 4"),
        ((GOOD[0][:9], *GOOD[1:]), "9 wavelengths for 10 samples"),
        ((GOOD[0], GOOD[1][:9], GOOD[2]), r"flux \(9,\) and ivar \(10,\)"),
        ((GOOD[0][:1], GOOD[1][:1], GOOD[2][:1]), "two or more samples"),
        ((np.empty(0),) * 3, "two or more samples"),
        ((GOOD[0], np.where(np.arange(10) == 3, np.nan, 1.0), GOOD[2]), r"flux is nan at \(3,\).*masked\(\)"),
        ((GOOD[0], np.where(np.arange(10) == 3, np.inf, 1.0), GOOD[2]), r"flux is inf at \(3,\)"),
        ((GOOD[0], GOOD[1], np.full(10, np.nan)), "ivar is nan"),
        ((GOOD[0], GOOD[1], -np.ones(10)), "ivar is -1.0"),
        ((GOOD[0], np.ones((2, 2, 10)), np.ones((2, 2, 10))), r"\(n, m\)"),
    ],
)
def test_bad_input_says_what_is_wrong(change: tuple, says: str) -> None:
    for how in ("linear", "conserving"):
        with pytest.raises(ValueError, match=says):
            spectra.resample(*change, np.linspace(4000, 4009, 5), how)
    with pytest.raises(ValueError, match=says):
        spectra.galspec(*change, 0.1)


def test_bad_requests_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="'linear' or 'conserving'"):
        spectra.resample(*GOOD, GOOD[0], "cubic")
    with pytest.raises(ValueError, match="grid descends"):
        spectra.resample(*GOOD, GOOD[0][::-1])
    with pytest.raises(ValueError, match="spectrum 1 has no valid sample"):
        spectra.normalise(np.ones((2, 5)), np.array([[1.0] * 5, [0.0] * 5]))
    with pytest.raises(ValueError, match="'std', 'zscore' or 'median'"):
        spectra.normalise(np.ones(5), np.ones(5), "max")


def test_masked_takes_what_is_not_finite_out() -> None:
    flux, ivar = spectra.masked([1, np.nan, 3, 4, np.inf], [1, 1, -2, np.nan, np.inf])
    assert flux.tolist() == [1, 0, 3, 4, 0]
    assert ivar.tolist() == [1, 0, 0, 0, 0]
    with pytest.raises(ValueError, match="one shape"):
        spectra.masked([1.0], [1.0, 2.0])
