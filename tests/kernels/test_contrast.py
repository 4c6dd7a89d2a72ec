"""Line contrasts: lines fall on lines whatever the redshift, continua do not matter."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.preprocess.contrast import REST, line_contrast


def _spectra(z, slope=0.0, height=2.0):
    wavelength = np.arange(3800.0, 9200.0, 2.0)
    z = np.atleast_1d(z)
    rest = wavelength / (1 + z[:, None])
    flux = (1 + height * np.exp(-0.5 * ((rest - 5008.24) / 3) ** 2)) * (rest / 5000) ** np.reshape(slope, (-1, 1))
    return wavelength, flux, np.ones_like(flux)


def test_a_line_stands_at_its_rest_wavelength_over_any_continuum():
    z = np.array([0.02, 0.15, 0.3])
    found = line_contrast(*_spectra(z, [0.0, -2.0, 1.5]), z)
    assert REST[found.argmax(axis=1)] == pytest.approx([5008.24] * 3, abs=3.5)
    assert found.max(axis=1) == pytest.approx([np.arcsinh(5 * 2 / np.sqrt(2))] * 3, rel=0.05)
    # smoothing by a sample of 3 Å widens a line of sigma 3 Å by the square root of two
    inside = (REST > 4200) & (REST < 6000) & (np.abs(REST - 5008) > 40)
    assert np.abs(found[:, inside]).max() < 0.25


def test_scale_does_not_matter_and_gaps_are_bridged():
    wavelength, flux, ivar = _spectra([0.1])
    one = line_contrast(wavelength, flux, ivar, 0.1)
    assert line_contrast(wavelength, 1e-17 * flux, ivar, 0.1) == pytest.approx(one, abs=1e-5)
    ivar[0, 300:310], flux[0, 300:310] = 0, 1e9
    assert line_contrast(wavelength, flux, ivar, 0.1) == pytest.approx(one, abs=0.02)


def test_what_cannot_be_placed_is_missing():
    wavelength, flux, ivar = _spectra([0.1, 0.1, 0.1])
    ivar[2] = 0
    found = line_contrast(wavelength, flux, ivar, [0.1, np.nan, 0.1])
    assert np.isfinite(found).all(axis=1).tolist() == [True, False, False]
    far = line_contrast(wavelength, flux[:1], ivar[:1], 5.0)
    assert np.isnan(far).all()
    with pytest.raises(ValueError, match="odd"):
        line_contrast(wavelength, flux, ivar, 0.1, width=4)
    with pytest.raises(ValueError, match="must both be"):
        line_contrast(wavelength[:-1], flux, ivar)
