"""Line fluxes and diagnostic diagrams against drawn fluxes, published points and the SDSS pipeline."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.survey import bpt
from explorer.survey.lines import LINES, Lines, measure
from explorer.survey.records import Spectrum
from explorer.survey.simulate import populations

DRAWN = {"Hα": 300.0, "[NII]6585": 120.0, "Hβ": 90.0, "[OIII]5008": 60.0, "[SII]6718": 50.0, "[SII]6733": 40.0}


def _spectrum(noise: float, seed: int = 0, z: float = 0.05) -> Spectrum:
    """Stars of the templates with Gaussian lines of known flux, on the SDSS grid."""
    wavelength = 10 ** (3.5798 + 1e-4 * np.arange(3840))
    stars = populations.templates()[1, 8].astype(float)
    flux = 10 * np.interp(wavelength / (1 + z), populations.grid(), stars / np.median(stars))
    for name, total in DRAWN.items() | {"[NII]6550": DRAWN["[NII]6585"] / 3.05}.items():
        centre = LINES[name] * (1 + z)
        width = centre * 130 / 299_792.458
        flux += total / np.sqrt(2 * np.pi) / width * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
    rng = np.random.default_rng(seed)
    noisy = flux + rng.normal(0, noise, len(flux))
    return Spectrum(wavelength, noisy.astype(np.float32), np.full(len(flux), 1 / noise**2, np.float32))


def test_fluxes_are_those_drawn_and_errors_are_honest():
    pulls = []
    for seed in range(6):
        found = measure(_spectrum(0.5, seed), 0.05)
        for name, true in DRAWN.items():
            assert found.flux[name] == pytest.approx(true, abs=max(6 * found.error[name], 0.05 * true))
            pulls.append((found.flux[name] - true) / found.error[name])
        assert found.sigma == pytest.approx(130, rel=0.1)
        assert not found.sure("[OI]6302")
        assert found.flux["[OIII]5008"] / found.flux["[OIII]4960"] == pytest.approx(2.98)
    assert 0.6 < np.std(pulls) < 1.8
    assert found.classes() == {"n2": "star-forming", "s2": "star-forming"}
    x, error, *_ = found.place("n2")
    assert x == pytest.approx(np.log10(120 / 300), abs=4 * error)


def test_lines_off_the_grid_or_masked_are_left_out():
    s = _spectrum(0.5)
    cut = (s.wavelength < 6700) | (s.wavelength > 7000)
    found = measure(Spectrum(s.wavelength, s.flux, np.where(cut, s.ivar, 0).astype(np.float32)), 0.05)
    assert "Hα" not in found.flux
    assert found.sure("Hβ")
    assert found.place("n2") is None
    assert found.classes() == {}
    assert measure(Spectrum(s.wavelength, s.flux, np.zeros_like(s.ivar)), 0.05) == found.__class__(
        {}, {}, pytest.approx(np.nan, nan_ok=True)
    )
    with pytest.raises(ValueError, match="redshift is nan"):
        measure(s, float("nan"))


def test_a_ratio_needs_every_line_at_three_sigma():
    good = Lines({"Hα": 10, "[NII]6585": 5, "Hβ": 3, "[OIII]5008": 4}, dict.fromkeys(LINES, 0.9), 100)
    assert good.place("n2")[:2] == pytest.approx((np.log10(0.5), np.hypot(0.18, 0.09) / np.log(10)))
    weak = Lines(good.flux | {"Hβ": 2.6}, good.error, 100)
    assert weak.place("n2") is None


def test_curves_pass_through_published_points():
    y = {(c.diagram, c.name): c.y for c in bpt.CURVES}
    assert y["n2", "Kewley+ 2001"](0.0) == pytest.approx(0.61 / -0.47 + 1.19)
    assert y["n2", "Kauffmann+ 2003"](-0.5) == pytest.approx(0.61 / -0.55 + 1.30)
    assert y["s2", "Kewley+ 2001"](0.0) == pytest.approx(0.72 / -0.32 + 1.30)
    assert y["o1", "Kewley+ 2001"](-1.0) == pytest.approx(0.73 / -0.41 + 1.33)
    assert y["s2", "Kewley+ 2006"](0.0) == pytest.approx(0.76)
    assert y["o1", "Kewley+ 2006"](-1.0) == pytest.approx(0.12)
    paper = next(c for c in bpt.CURVES if not c.used)
    assert paper.y(0.0) == pytest.approx(0.77)
    assert "paper" in paper.name


def test_classes_of_each_diagram():
    assert bpt.classify([-1, -0.2, 0.1, 0.2, 0.6, np.nan], [0, 0, 1, 0.1, 0, 0]).tolist() == [
        "star-forming", "composite", "Seyfert", "LINER", "LINER", "normal"]  # fmt: skip
    assert bpt.classify([-0.5, 0.0, 0.1], [0, 1, 0.2], "s2").tolist() == ["star-forming", "Seyfert", "LINER"]
    assert bpt.classify([-2.0, -1.2, -0.5], [0, 0.9, 0.2], "o1").tolist() == ["star-forming", "Seyfert", "LINER"]
    with pytest.raises(ValueError, match="n2, s2, o1"):
        bpt.curves("he2")


def test_real_galaxies_agree_with_the_sdss_pipeline(shared_data):
    """Strong lines within a fifth or 3 sigma; the spectra of three star-forming galaxies."""
    from astropy.io import fits

    folder = shared_data / "sdss_paired_image_spectrum" / "spectra"
    names = {"Hα": "H_alpha", "[NII]6585": "[N_II] 6583", "Hβ": "H_beta", "[OIII]5008": "[O_III] 5007"}
    compared = 0
    for file in sorted(folder.glob("*.fits")):
        with fits.open(file) as hdus:
            if hdus[2].data["SUBCLASS"][0].strip() != "STARFORMING":
                continue
            data, z = hdus[1].data, float(hdus[2].data["Z"][0])
            told = hdus[3].data
            names_there = (n.strip() for n in told["LINENAME"])
            table = dict(zip(names_there, zip(told["LINEAREA"], told["LINEAREA_ERR"], strict=True), strict=True))
            found = measure(Spectrum(10 ** data["loglam"].astype(float), data["flux"], data["ivar"]), z)
        for ours, theirs in names.items():
            area, error = (float(v) for v in table[theirs])
            if area > 5 * error:
                assert found.flux[ours] == pytest.approx(area, abs=max(0.2 * area, 3 * error)), (file.name, ours)
                compared += 1
    assert compared >= 9
