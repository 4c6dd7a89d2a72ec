"""The simulated galaxies obey the physics that their labels promise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest

from explorer.survey.simulate import cosmology, galaxies, lensing, lines, measure, photometry, rarities, spectra
from explorer.survey.simulate.parameters import Galaxies, derive, draw, stream, take
from explorer.survey.simulate.recipe import load

RECIPE = load("euclid-desi")
KEY = RECIPE.key(5)


@lru_cache(maxsize=2)
def physics(blocks: int = 4) -> Galaxies:
    parts = [galaxies.physics(RECIPE, KEY, b)[0] for b in range(blocks)]
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def of_class(name: str, n: int = 12) -> Galaxies:
    """``n`` galaxies that are all of one class."""
    rng = stream(1, 2, 3)
    truth = np.full(n, name, dtype=object)
    g = derive(rarities.plant(draw(RECIPE, n, rng), truth, rng), RECIPE.image.bands, rng)
    g["exposure_u"] = np.zeros(n)
    return g


@lru_cache(maxsize=2)
def clean(n: int = 48) -> tuple[Galaxies, np.ndarray]:
    g = take(physics(), slice(0, n))
    return g, spectra.noiseless(g, RECIPE.spectrum)


def test_line_ratios_lie_in_the_region_of_their_class() -> None:
    g = physics()
    lit = g["bpt"] != "normal"
    x = np.log10(g["line_luminosity"][lit, lines.INDEX["[NII]6585"]] / g["line_luminosity"][lit, lines.INDEX["Hα"]])
    y = np.log10(g["line_luminosity"][lit, lines.INDEX["[OIII]5008"]] / g["line_luminosity"][lit, lines.INDEX["Hβ"]])
    # Kauffmann et al. (2003), Kewley et al. (2001), Schawinski et al. (2007), written out afresh
    below_kauffmann = (x < 0.05) & (y < 0.61 / (x - 0.05) + 1.3)
    below_kewley = (x < 0.47) & (y < 0.61 / (x - 0.47) + 1.19)
    seyfert_side = y > 1.05 * x + 0.45
    kind = g["bpt"][lit]
    assert {"star-forming", "composite", "Seyfert", "LINER"} == set(kind)
    assert below_kauffmann[kind == "star-forming"].all()
    assert (~below_kauffmann & below_kewley)[kind == "composite"].all()
    assert (~below_kewley & seyfert_side)[kind == "Seyfert"].all()
    assert (~below_kewley & ~seyfert_side)[kind == "LINER"].all()
    assert (lines.classify(x, y) == kind).all()


def test_balmer_decrement_is_case_b_behind_the_dust() -> None:
    g = physics()
    lit = g["bpt"] != "normal"
    ha, hb = (g["line_flux"][lit, lines.INDEX[k]] for k in ("Hα", "Hβ"))
    # E(B-V) = A_V / 4.05; k(Hα) = 3.325, k(Hβ) = 4.598 of Calzetti et al. (2000)
    expected = 2.86 * 10 ** (0.4 * g["av_gas"][lit] / 4.05 * (4.598 - 3.325))
    np.testing.assert_allclose(ha / hb, expected, rtol=0.02)


def test_star_formation_follows_mass() -> None:
    g = physics()
    late, early = ~g["quiescent"], g["quiescent"]
    rate = g["logsfr"] - g["logmass"]
    assert np.median(rate[late]) > np.median(rate[early]) + 1.2
    assert np.corrcoef(g["logmass"][late], g["metallicity"][late])[0, 1] > 0.4
    colour = -2.5 * np.log10(g["flux"][:, 0] / g["flux"][:, 3])
    low = g["z"] < 0.4
    assert np.median(colour[low & early]) > np.median(colour[low & late]) + 0.1


def test_halpha_lies_at_its_redshifted_wavelength() -> None:
    g, flux = clean()
    dark = dict(g)
    dark["line_flux"] = np.zeros_like(g["line_flux"])
    only = dict(g)
    only["line_flux"] = np.zeros_like(g["line_flux"])
    only["line_flux"][:, lines.INDEX["Hα"]] = g["line_flux"][:, lines.INDEX["Hα"]]
    wavelength = RECIPE.spectrum.wavelength()
    line = spectra.noiseless(only, RECIPE.spectrum).astype(float) - spectra.noiseless(dark, RECIPE.spectrum)
    inside = (g["bpt"] != "normal") & ((1 + g["z"]) * 6564.61 < 9780) & (g["class"] != "lens")
    assert inside.sum() > 8
    bulge, disk, _ = spectra.fibre_shares(g, RECIPE.spectrum)
    share = np.where(np.isin(g["bpt"], ("Seyfert", "LINER")), bulge, disk)
    for i in np.flatnonzero(inside):
        centre = (line[i] * wavelength).sum() / line[i].sum()
        assert abs(centre - 6564.61 * (1 + g["z"][i])) < 0.15
        whole = g["line_flux"][i, lines.INDEX["Hα"]] * share[i] / 1e-17
        assert line[i].sum() * 0.8 == pytest.approx(whole, rel=0.01)
    assert (flux >= 0).all()


def test_spectrum_agrees_with_the_image_band() -> None:
    """Light of the noiseless spectrum through VIS = the band's flux times the fibre's share, to 3 %."""
    g, flux = clean()
    seen = photometry.of_spectrum(RECIPE.spectrum.wavelength(), flux.astype(float) * 1e-17, RECIPE.image.bands[0])
    expected = g["flux"][:, 0] * spectra.fibre_fraction(g, RECIPE.spectrum)
    plain = (g["class"] != "lens") & (g["class"] != "broad-line-agn")
    np.testing.assert_allclose(seen[plain] / expected[plain], 1.0, atol=0.03)


@pytest.mark.parametrize("name", ["euclid-desi", "simulated-sdss"])
def test_noise_is_what_ivar_says(name: str) -> None:
    recipe = load(name)
    g = take(galaxies.physics(recipe, recipe.key(0), 0)[1], slice(0, 12))
    g["class"] = np.full(12, "normal", dtype=object)
    flux = spectra.noiseless(g, recipe.spectrum)
    seen, ivar = spectra.observe(flux, g, recipe.spectrum, 3, np.arange(12))
    chi2 = (seen - flux) ** 2 * ivar
    used = ivar > 0
    assert 0.98 < used.mean() < 1
    for i in range(12):
        assert chi2[i][used[i]].mean() == pytest.approx(1.0, abs=0.09)
    for arm in np.array_split(np.arange(recipe.spectrum.n), 8):
        assert chi2[:, arm][used[:, arm]].mean() == pytest.approx(1.0, abs=0.06)
    at = np.searchsorted(recipe.spectrum.wavelength(), 5578.9)
    assert (ivar[:, at - 2 : at + 3].min(axis=1) < 0.4 * np.median(ivar[:, at - 60 : at - 30], axis=1)).all()


def test_sky_residuals_exceed_their_ivar() -> None:
    g = of_class("sky-residual")
    flux = spectra.noiseless(g, RECIPE.spectrum)
    seen, ivar = spectra.observe(flux, g, RECIPE.spectrum, 3, np.arange(12))
    assert np.median(((seen - flux) ** 2 * ivar).mean(axis=1)) > 1.3


def test_lenses_hold_a_second_set_of_lines_behind_them() -> None:
    g = of_class("lens")
    assert (g["z_source"] > g["z"] + 0.3).all()
    wavelength = RECIPE.spectrum.wavelength()
    without = {**g, "class": np.full(12, "normal", dtype=object)}
    source = spectra.noiseless(g, RECIPE.spectrum).astype(float) - spectra.noiseless(without, RECIPE.spectrum)
    for i in range(12):
        centre = 3729.0 * (1 + g["z_source"][i])
        near = np.abs(wavelength - centre) < 25
        assert source[i][near].max() > 2 * np.median(source[i][near])
        top = wavelength[near][np.argmax(source[i][near])]
        assert abs(top - centre) < 6
    assert ((g["einstein_radius"] > 0.7) & (g["einstein_radius"] < 2.1)).all()


def test_deflection_obeys_poisson() -> None:
    """∇·α = 2 κ, by finite differences."""
    rng, h = np.random.default_rng(0), 1e-4
    x, y = rng.uniform(0.3, 2, (2, 200)) * rng.choice([-1, 1], (2, 200))
    for theta, q in ((1.2, 0.7), (0.9, 0.95)):
        ax = (lensing.deflection(x + h, y, theta, q)[0] - lensing.deflection(x - h, y, theta, q)[0]) / (2 * h)
        ay = (lensing.deflection(x, y + h, theta, q)[1] - lensing.deflection(x, y - h, theta, q)[1]) / (2 * h)
        np.testing.assert_allclose(ax + ay, theta / np.sqrt(q * x**2 + y**2 / q), rtol=1e-5)


def test_distances_agree_with_astropy() -> None:
    from astropy.cosmology import FlatLambdaCDM

    z = np.array([0.01, 0.1, 0.5, 1.0, 2.5])
    reference = FlatLambdaCDM(70, 0.3)
    np.testing.assert_allclose(
        cosmology.luminosity_distance(z) / cosmology.MPC, reference.luminosity_distance(z).value, rtol=1e-4
    )
    np.testing.assert_allclose(cosmology.kpc_per_arcsec(z), reference.kpc_proper_per_arcmin(z).value / 60, rtol=1e-4)
    np.testing.assert_allclose(cosmology.age(z), reference.age(z).value, rtol=3e-3)


def test_rates_match_the_recipe() -> None:
    for name in ("euclid-desi", "euclid-desi-check", "simulated-xray"):
        recipe, n = load(name), 60_000
        truth = rarities.classes(recipe, n, np.random.default_rng(3))
        for kind, rate in recipe.rates.items():
            found = (truth == kind).sum()
            assert abs(found - rate * n) < 4.5 * np.sqrt(n * rate), f"{name}: {kind}"
    assert (rarities.kind(truth)[np.isin(truth, ["AGN"])] == "normal").all()


def test_redshifts_of_the_confused() -> None:
    wrong, swapped, fine = [], [], []
    for block in range(8):
        g, seen, _ = galaxies.physics(RECIPE, KEY, block)
        table = galaxies.catalogue(RECIPE, g, seen, KEY, block)
        off = np.abs(table["z"] - table["z_true"]) / (1 + table["z_true"])
        wrong += list(off[table["truth"] == "wrong-redshift"])
        same = table["truth"] == "swapped-spectrum"
        swapped += list(np.abs(seen["z"] - table["z"])[same])
        assert (seen["z"][same] != g["z"][same]).all()
        fine += list(off[~np.isin(table["truth"], ["wrong-redshift", "swapped-spectrum"])])
    assert len(wrong) > 3
    assert len(swapped) > 3
    assert min(wrong) > 0.02
    assert max(swapped) < 1e-3
    assert max(fine) < 1e-3


def test_measured_lines_recover_what_was_injected() -> None:
    recipe = load("simulated-sdss")
    g = take(galaxies.physics(recipe, recipe.key(0), 1)[1], slice(0, 48))
    flux = spectra.noiseless(g, recipe.spectrum)
    seen, ivar = spectra.observe(flux, g, recipe.spectrum, 9, np.arange(48))
    bulge, disk, _ = spectra.fibre_shares(g, recipe.spectrum)
    share = np.where(np.isin(g["bpt"], ("Seyfert", "LINER")), bulge, disk)
    plain = np.isin(g["class"], ("normal", "cosmic-ray", "wrong-redshift"))
    pulls, agree = [], []
    wavelength = recipe.spectrum.wavelength()
    table = measure.lines_of_block(wavelength, seen, ivar, g["z"])
    for i in np.flatnonzero(plain & (g["z"] < 0.36)):
        found = table[i]
        if found["h_alpha_flux"] is None:
            continue
        true = g["line_flux"][i, lines.INDEX["Hα"]] * share[i] / 1e-17
        error = np.hypot(found["h_alpha_flux_err"], 0.06 * true)  # 6 %: the step of the fitted widths
        pulls.append((found["h_alpha_flux"] - true) / error)
        if found["bpt"] != "normal":
            agree.append(found["bpt"] == g["bpt"][i])
    assert len(pulls) > 20
    assert abs(np.median(pulls)) < 0.6
    assert np.percentile(np.abs(pulls), 80) < 2.5
    assert np.mean(agree) > 0.8
