"""Spectra against plain references: smoothing, stacks, limits, lines; and the view that shows them."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from explorer.session.session import Session
from explorer.survey.records import Record, Spectrum
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from explorer.views import _spectra
from explorer.views._lines import LINES, label, placed
from explorer.views._roles import pretty
from explorer.views._specfigure import line_columns
from explorer.views._specpicture import render_caption, render_spectrum, render_stack
from explorer.views.spectrum import SpectrumView

# Air wavelengths in Å of the NIST Atomic Spectra Database, by the names in LINES.
AIR = {
    "[Ne V]": [3425.87], "[O II]": [3726.03, 3728.82], "[Ne III]": [3868.76], "Hδ": [4101.73], "Hγ": [4340.47],
    "Hβ": [4861.33], "[O III]": [4363.21, 4958.91, 5006.84], "[O I]": [6300.30], "[N II]": [6548.05, 6583.45],
    "Hα": [6562.80], "[S II]": [6716.44, 6730.82], "[Ar III]": [7135.79], "[S III]": [9068.6, 9530.6],
    "Paγ": [10938.09], "Paβ": [12818.08], "Paα": [18751.0], "Ca K": [3933.66], "Ca H": [3968.47], "G band": [4304.4],
    "Mg b": [5167.32, 5172.68, 5183.60], "Na D": [5889.95, 5895.92], "Ca II": [8498.02, 8542.09, 8662.14],
}  # fmt: skip


def _vacuum(air: float) -> float:
    """Morton (2000, ApJS 130, 403, eq. 8), solved for the vacuum wavelength."""
    found = air
    for _ in range(8):
        s = (1e4 / found) ** 2
        found = air * (1 + 8.34254e-5 + 2.406147e-2 / (130 - s) + 1.5998e-4 / (38.9 - s))
    return found


@pytest.mark.parametrize("name", AIR)
def test_lines_stand_at_vacuum_wavelengths(name: str) -> None:
    ours = sorted(line.wavelength for line in LINES if line.name == name)
    np.testing.assert_allclose(ours, [_vacuum(a) for a in AIR[name]], atol=0.02)


def test_every_label_is_unique_and_collisions_lose_to_the_stronger() -> None:
    assert len({label(line) for line in LINES}) == len(LINES)
    wide = dict(placed(3600, 9800, 800))
    assert sum(wide.values()) < len(wide), "no room for all"
    at = {line.name: kept for line, kept in wide.items() if line.strength == 1}
    assert at["Hα"]
    narrow = dict(placed(6450, 6800, 800))
    assert all(narrow.values()), "zoomed in, [N II] and Hα have room"
    for kind in ("emission", "absorption"):
        shown = sorted(line.wavelength for line, kept in wide.items() if kept and line.kind == kind)
        assert (np.diff(shown) * 800 / 6200 >= 15).all()
    assert not any(line.kind == "absorption" for line, _ in placed(3600, 9800, 800, ("emission",)))


def test_line_columns_follow_frame_and_redshift() -> None:
    rest = np.array([line.wavelength for line in LINES])
    np.testing.assert_allclose(line_columns(0.5, "observed", (3600, 9800), ("emission",))["x"], rest * 1.5)
    columns = line_columns(0.5, "rest", (2400, 6500), ("emission",))
    np.testing.assert_allclose(columns["x"], rest)
    hidden = [a for a, k in zip(columns["alpha"], columns["kind"], strict=True) if k == "absorption"]
    assert set(hidden) == {0.0}


@pytest.mark.parametrize("sigma", [0.0, 0.7, 3.0])
def test_smoothing_is_the_weighted_mean(sigma: float) -> None:
    rng = np.random.default_rng(4)
    flux, ivar = rng.normal(5, 1, 90), rng.uniform(0.2, 3, 90)
    ivar[[0, 30, 31, 32, 60]] = 0
    flux[60] = np.nan
    got, weight = _spectra.smooth(flux, ivar, sigma)
    for i in range(90):
        if ivar[i] == 0:
            assert np.isnan(got[i])
            assert weight[i] == 0
            continue
        distance = np.arange(90) - i
        g = np.exp(-0.5 * (distance / sigma) ** 2) if sigma else (distance == 0).astype(float)
        g[(np.abs(distance) > np.ceil(4 * sigma)) | (ivar == 0)] = 0
        clean = np.where(ivar > 0, flux, 0)
        assert got[i] == pytest.approx((g * ivar * clean).sum() / (g * ivar).sum(), rel=1e-9)
        assert weight[i] == pytest.approx((g * ivar).sum() ** 2 / (g**2 * ivar).sum(), rel=1e-9)


def test_smoothed_errors_are_the_scatter() -> None:
    rng = np.random.default_rng(0)
    ivar = np.full(4000, 0.25)
    flux = rng.normal(10, 2, 4000)
    got, weight = _spectra.smooth(flux, ivar, 3)
    assert ((got - 10) * np.sqrt(weight))[50:-50].std() == pytest.approx(1, rel=0.1)


def test_decimation_keeps_every_columns_extremes_and_gaps() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(size=50_000)
    values[20_000:30_000] = np.nan
    values[12_345] = 90
    at = _spectra.decimate(values, 500)
    assert len(at) <= 1002
    assert (np.diff(at) > 0).all()
    assert 12_345 in at
    for column in range(0, 500, 7):
        part = slice(column * 100, column * 100 + 100)
        if np.isfinite(values[part]).all():
            kept = values[at[(at >= part.start) & (at < part.stop)]]
            assert kept.min() == values[part].min()
            assert kept.max() == values[part].max()
    assert np.isnan(values[at[(at > 21_000) & (at < 29_000)]]).all()
    assert _spectra.decimate(values[:900], 500).tolist() == list(range(900))


def test_masked_runs_reach_half_a_pixel_out() -> None:
    wavelength = np.arange(4000.0, 4020, 2)
    ivar = np.ones(10)
    ivar[[0, 4, 5, 9]] = 0
    got = _spectra.masked_runs(wavelength, ivar)
    np.testing.assert_allclose(got, [[4000, 4001], [4007, 4011], [4017, 4018]])
    assert _spectra.masked_runs(wavelength, np.ones(10)).shape == (0, 2)


def test_limits_hold_a_line_and_leave_a_cosmic_ray_out() -> None:
    rng = np.random.default_rng(3)
    x = np.arange(3000)
    flux = 5 + rng.normal(0, 0.3, 3000) + 60 * np.exp(-0.5 * ((x - 1500) / 4) ** 2)
    ivar = np.full(3000, 1 / 0.09)
    flux[700], flux[2990:] = 900, rng.normal(0, 200, 10)
    ivar[700], ivar[2990:] = 1e-5, 1 / 200**2
    low, high = _spectra.limits(flux, ivar)
    assert 60 < high < 90
    assert -15 < low < 5
    assert _spectra.limits(flux, np.zeros(3000)) == (0.0, 1.0)


def _galaxy(z: float, seed: int, mask: slice = slice(0, 0)) -> Spectrum:
    rng = np.random.default_rng(seed)
    wavelength = np.linspace(3600, 9800, 3000)
    rest = wavelength / (1 + z)
    flux = 2 + rest / 5000 + 8 * np.exp(-0.5 * ((rest - 5008.24) / 6) ** 2) + rng.normal(0, 0.05, 3000)
    ivar = np.full(3000, 400.0)
    flux[mask], ivar[mask] = 1e6, 0
    return Spectrum(wavelength, (flux * rng.uniform(1, 50)).astype(np.float32), ivar.astype(np.float32))


def test_a_stack_in_the_rest_frame_finds_the_line_and_ignores_masks() -> None:
    z = np.random.default_rng(0).uniform(0.1, 0.6, 40)
    spectra = [_galaxy(v, i, slice(100 * i % 2900, 100 * i % 2900 + 60)) for i, v in enumerate(z)]
    got = _spectra.stack(spectra, z)
    assert got["wavelength"][np.nanargmax(got["median"])] == pytest.approx(5008.24, abs=4)
    assert np.nanmax(got["high"]) < 20, "no masked pixel got in"
    seen = np.isfinite(got["median"])
    assert (got["low"][seen] <= got["median"][seen]).all()
    assert (got["count"][seen] >= 8).all()
    observed = _spectra.stack(spectra, None)
    assert np.nanmax(observed["median"]) < 0.5 * np.nanmax(got["median"]), "lines smear in the observed frame"
    assert len(_spectra.stack(spectra[:2], z[:2])["wavelength"]) == 0
    assert len(_spectra.stack(spectra, np.full(40, np.nan))["wavelength"]) == 0


def test_a_fine_grid_is_interpolated_and_a_coarse_one_averaged() -> None:
    wavelength = np.arange(4000.0, 5000, 10)
    s = Spectrum(wavelength, wavelength.astype(np.float32), np.ones(100, np.float32))
    for edges in (np.arange(4100, 4900, 2.5), np.arange(4100.0, 4900, 55)):
        centre = (edges[1:] + edges[:-1]) / 2
        np.testing.assert_allclose(_spectra._binned(s, edges), centre, atol=5.1)


def test_csv_reads_back() -> None:
    s = _galaxy(0.3, 1, slice(5, 7))
    text = _spectra.to_csv(s, "an id\nwith # lines", 0.3, "nJy")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert text.splitlines()[0] == "# id: an id with # lines"
    rows = list(csv.DictReader(lines))
    assert len(rows) == 3000
    np.testing.assert_allclose([float(r["flux"]) for r in rows], s.flux, rtol=1e-5)
    np.testing.assert_allclose([float(r["rest_wavelength"]) * 1.3 for r in rows], s.wavelength, atol=1e-3)
    assert [i for i, r in enumerate(rows) if r["masked"] == "1"] == [5, 6]
    assert "rest" not in _spectra.to_csv(s, "a", None, "")


# -- the view --------------------


@pytest.fixture
def survey(tmp_path: Any) -> Survey:
    """Twelve galaxies: z known but for the last; one without a spectrum, one all masked, one partly masked."""
    records = []
    for i in range(12):
        z = 0.1 + 0.03 * i
        s = _galaxy(z, i, slice(500, 520) if i == 3 else slice(0, 3000) if i == 2 else slice(0, 0))
        records.append(
            Record(f"g-{i}<b>", f"g-{i}", {"Z": z if i < 11 else None}, spectrum=None if i == 1 else s, source=str(i))
        )
    meta = {"spectrum": {"flux_unit": "1e-17 erg/s/cm2/AA"}}
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities=meta, columns={"Z": pa.float64()}) as writer:
        writer.append(records)
    return Survey.open(tmp_path / "s")


@pytest.fixture
def view(survey: Survey) -> Iterator[SpectrumView]:
    made = SpectrumView(Session(survey, user="me"))
    made.panel()
    yield made
    made.close()


def test_a_picture_says_why_where_there_is_nothing(survey: Survey) -> None:
    reasons = {row: render_spectrum(survey, row).reason for row in (-1, 0, 1, 2)}
    assert reasons[0] is None
    assert reasons[-1] is not None
    assert "No object in focus" in reasons[-1][0]
    assert reasons[1] is not None
    assert "has no spectrum" in reasons[1][0]
    assert "11 of the 12 rows" in reasons[1][1]
    assert reasons[2] is not None
    assert "no usable pixel" in reasons[2][0]


def test_a_picture_holds_flux_error_and_masks(survey: Survey) -> None:
    picture = render_spectrum(survey, 3, smoothing=0)
    assert picture.redshift == pytest.approx(0.19)
    assert picture.unit == "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹"
    assert picture.raw == {}, "unsmoothed, the line is the data"
    assert np.isnan(picture.shown["y"][505])
    np.testing.assert_allclose(picture.shown["high"][:100] - picture.shown["low"][:100], 2 / 20, rtol=2e-2)
    step = 6200 / 2999
    np.testing.assert_allclose(picture.masked, [[3600 + 499.5 * step, 3600 + 519.5 * step]])
    assert render_spectrum(survey, 3).raw["y"].shape == picture.shown["y"].shape


def test_a_stack_is_bounded_and_needs_no_redshift(survey: Survey) -> None:
    got = render_stack(survey, np.arange(12), sample=5)
    again = render_stack(survey, np.arange(12), sample=5)
    assert got["used"] == 5
    assert got["rest"]
    np.testing.assert_array_equal(got["median"], again["median"])
    assert render_stack(survey, np.array([10, 11, 1]))["used"] <= 2


def test_the_view_follows_focus_selection_and_frame(view: SpectrumView) -> None:
    session, figure = view.session, view.figure
    assert view.note.visible
    session.focus_on(5)
    assert not view.note.visible
    assert view.controls.z == pytest.approx(0.25)
    assert figure.plot.x_range.start == pytest.approx(3600)
    shown = figure.sources["shown"].data
    np.testing.assert_allclose(shown["rest"], shown["observed"] / 1.25, rtol=1e-6)
    session.select(np.arange(4, 11))
    stacked = figure.sources["stack"].data
    peak = stacked["x"][np.nanargmax(stacked["median"])]
    assert peak == pytest.approx(5008.24 * 1.25, abs=8), "a stack at rest is drawn at the focus's redshift"
    assert "the 7 selected" in view.caption.object
    view.controls.frame = "rest"
    assert figure.plot.x_range.end == pytest.approx(9800 / 1.25)
    np.testing.assert_allclose(figure.sources["shown"].data["x"], shown["observed"] / 1.25, rtol=1e-6)
    view.controls.show = ["emission"]
    assert len(figure.sources["stack"].data["x"]) == 0
    session.focus_on(1)
    assert view.note.visible
    assert "g-1&lt;b&gt; has no spectrum" in view.note.object
    assert not view.stage.visible


def test_lines_follow_the_redshift_and_come_back(view: SpectrumView) -> None:
    view.session.focus_on(4)
    halpha = next(i for i, line in enumerate(LINES) if line.name == "Hα")
    view.exact.value = 0.4
    assert view.figure.lines.data["x"][halpha] == pytest.approx(6564.61 * 1.4)
    assert view.slider.value == pytest.approx(0.4)
    view.reset_redshift()
    assert view.controls.z == pytest.approx(0.22)
    view.exact.value = 25.0
    assert view.controls.z == 20, "the largest redshift that can be set"
    view.session.focus_on(11)
    assert view.back.disabled, "the catalogue has none"
    assert "redshift not in the catalogue" in view.caption.object


def test_smoothing_keeps_the_range_that_was_zoomed_to(view: SpectrumView) -> None:
    view.session.focus_on(4)
    view.figure.plot.x_range.update(start=6000, end=6400)
    before = view.figure.sources["shown"].data["y"].std()
    view.controls.smoothing = 12
    assert view.figure.sources["shown"].data["y"].std() < before
    assert (view.figure.plot.x_range.start, view.figure.plot.x_range.end) == (6000, 6400)
    view.session.focus_on(6)
    assert view.figure.plot.x_range.start == pytest.approx(3600)


def test_the_download_is_the_spectrum_in_focus(view: SpectrumView) -> None:
    assert view.csv().read().startswith("# No object in focus")
    view.session.focus_on(7)
    assert view.csv().read().startswith("# id: g-7<b>\n# redshift: 0.31")
    assert view._csv.filename == "g-7_b_.csv"


def test_a_caption_escapes_the_id(survey: Survey) -> None:
    text = render_caption(render_spectrum(survey, 4), 3, 9)
    assert "g-4&lt;b&gt;" in text
    assert "<b>g-4<b>" not in text
    assert "3 of 9 selected" in text


def test_units_are_typeset() -> None:
    assert pretty("1e-17 erg / (s cm2 Angstrom)") == "10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹"
    assert pretty("10^-17 erg/cm^2/s/A") == "10⁻¹⁷ erg cm⁻² s⁻¹ Å⁻¹"
    assert pretty("adu") == "adu"
    assert pretty("<i>odd</i>") == "<i>odd</i>", "what is not understood stays as it is"


def test_real_spectra_are_drawn(shared_data: Any) -> None:
    """BOSS quasars and SDSS galaxies: their brightest part stays inside the limits."""
    from astropy.io import fits

    files = [*sorted((shared_data / "sdss_spectra_misc").glob("*.fits"))[:4]]
    files += sorted((shared_data / "boss_quasars").rglob("spec-*.fits"))[:4]
    assert files
    for path in files:
        with fits.open(path) as opened:
            table = {name.lower(): opened[1].data[name] for name in opened[1].columns.names}
        flux, ivar = (np.asarray(table[c], dtype=np.float64) for c in ("flux", "ivar"))
        low, high = _spectra.limits(flux, ivar)
        smoothed, _ = _spectra.smooth(flux, ivar, 3)
        inside = (smoothed > low) & (smoothed < high)
        assert inside[np.isfinite(smoothed)].mean() > 0.97, path.name
        assert high - low < 60 * np.nanstd(smoothed), path.name
