"""Real X-ray data: events of M82, spectra from 35 to 66,686 counts, a catalogue of 8,271 sources."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.pipeline.batches import measured_columns
from explorer.pipeline.prepare import prepare
from explorer.session import photons
from explorer.session.session import Session
from explorer.survey.ingest import ingest
from explorer.survey.store import Survey
from explorer.views.events import render_events
from explorer.views.xspectrum import render_xspectrum
from kernels.preprocess.xray import hardness_ratios


def test_hardness_of_m82_is_that_of_astropy(shared_data: Path, tmp_path: Path) -> None:
    """Counted by astropy on the file itself, in its own units."""
    from astropy import units as u
    from astropy.table import QTable

    ingest([shared_data / "xray_events"], tmp_path / "events")
    survey = Survey.open(tmp_path / "events")
    row = next(r for r in range(len(survey)) if survey.ids[r].startswith("chandra_test"))
    table = QTable.read(shared_data / "xray_events" / "chandra_test.fits", hdu=1)
    energy = table["energy"] if getattr(table["energy"], "unit", None) else table["energy"] * u.eV

    def count(lo: float, hi: float) -> int:
        return int(((energy >= lo * u.keV) & (energy < hi * u.keV)).sum())

    s, m, h = count(0.5, 1.2), count(1.2, 2.0), count(2.0, 7.0)
    assert len(table) == 4612
    found = hardness_ratios(survey.events(row).energy)
    assert found == {
        "hard_hs": pytest.approx((h - s) / (h + s)),
        "hard_hm": pytest.approx((h - m) / (h + m)),
        "hard_ms": pytest.approx((m - s) / (m + s)),
    }
    curve = photons.light_curve(survey.events(row))
    assert curve.counts.sum() + curve.outside == 4612
    shown = render_events(survey, row)
    assert f"(H − S) / (H + S) {(h - s) / (h + s):+.2f}" in shown or curve.outside
    bare = next(r for r in range(len(survey)) if survey.ids[r].startswith("chandra_noener"))
    assert "no energies in this list" in render_events(survey, bare)


def test_real_spectra_of_any_brightness_embed_and_are_drawn(shared_data: Path, tmp_path: Path) -> None:
    ingest([shared_data / "xray_sherpa"], tmp_path / "spectra", reader="pha")
    survey = Survey.open(tmp_path / "spectra")
    prepare(survey, ["photons", "xspec-autoencoder"], [], [], progress=lambda *_: None)
    has = survey.has("xspectrum")
    totals = np.array([survey.xspectrum(r).counts.sum() for r in np.flatnonzero(has)])
    assert (totals.min(), totals.max()) == (35, 66_686)
    exposure = np.array([survey.xspectrum(r).exposure for r in np.flatnonzero(has)])
    for space in ("photons/xspectrum", "xspec-autoencoder/xspectrum"):
        vectors = survey.embedding(space)[has]
        np.testing.assert_array_equal(np.isfinite(vectors).all(axis=1), exposure > 0)
    fitted = 0
    for row in np.flatnonzero(has):
        shown = render_xspectrum(survey, int(row))
        assert "<svg" in shown, survey.ids[row]
        drawn = photons.grouped(survey.xspectrum(int(row)))
        assert drawn.counts.sum() > 0
        fitted += drawn.model is not None
        assert drawn.model is not None or drawn.told
    assert fitted >= 1, "those with an ARF beside them are fitted"


def test_spectra_of_three_telescopes_embed_and_are_drawn(shared_data: Path, tmp_path: Path) -> None:
    """Chandra, Swift and XMM-Newton, with the ARF where the spectrum names one."""
    report = ingest([shared_data / "xray_bxa"], tmp_path / "bxa", reader="pha")
    survey = Survey.open(tmp_path / "bxa")
    assert report.rows == len(survey) >= 6
    prepare(survey, ["photons", "xspec-autoencoder"], [], [], progress=lambda *_: None)
    for space in ("photons/xspectrum", "xspec-autoencoder/xspectrum"):
        assert np.isfinite(survey.embedding(space)).all(), space
    told = {str(survey.ids[r]): photons.grouped(survey.xspectrum(r)) for r in range(len(survey))}
    assert told["179"].model is not None, "its ARF lies beside it"
    assert told["pn_spec"].model is None
    assert "no effective area" in told["pn_spec"].told
    assert told["pn_spec"].counts.sum() > 40_000
    for row in range(len(survey)):
        assert "<svg" in render_xspectrum(survey, row)


def test_the_chandra_sources_are_a_survey_by_their_columns_alone(shared_data: Path, tmp_path: Path) -> None:
    ingest([shared_data / "csc_umlcaxs" / "out_data" / "uniquely_classified.csv"], tmp_path / "csc")
    survey = Survey.open(tmp_path / "csc")
    assert len(survey) == 8271
    assert {"hard_hs", "hard_hm", "hard_ms", "var_prob_b", "powlaw_gamma"} <= set(measured_columns(survey))
    assert not {"ra", "dec"} & set(measured_columns(survey))
    done = prepare(survey, scorers=["isolation-forest"], layouts=["pca"], progress=lambda *_: None)
    assert [s.space for s in done] == ["columns/columns"] * 3
    session = Session(survey)
    assert session.space == "columns/columns"
    session.select("rank('isolation-forest') <= 83 and abs(hard_hs) < 0.9")
    top = survey.rank("columns/columns", "isolation-forest") <= 83
    assert len(session.selection) > 10
    gamma = survey.column("powlaw_gamma")
    far = np.abs(gamma - np.nanmedian(gamma))
    assert np.nanmedian(far[top]) > np.nanmedian(far[~top]), "the first per cent is unusual in its spectral slope"
    found = session.similar_to(str(survey.ids[0]), k=10)
    assert len(found) == 11
    name = found["id"].tolist()[1]
    assert abs(survey.column("hard_hs")[survey.rows_of([name])[0]] - survey.column("hard_hs")[0]) < 0.5
