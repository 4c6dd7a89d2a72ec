"""Readers on data that others observed, against what was measured of them independently."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from explorer.checks import check_reader
from explorer.survey._plan import READERS
from explorer.survey.ingest import ingest
from explorer.survey.store import Survey


def _index(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("name", "folder"),
    [("sdss", "sdss_spectra_misc"), ("desi", "desi_coadds"), ("pha", "xray_sherpa"), ("events", "xray_events")],
)
def test_readers_keep_the_contract_on_real_files(shared_data: Path, name: str, folder: str) -> None:
    assert check_reader(READERS.get(name), shared_data / folder)


def test_euclid_cutouts_are_one_survey_with_their_labels(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "euclid_q1_vis_mergers_dev"
    report = ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert (report.rows, report.aside, len(survey)) == (1774, [], 1774)
    told = {Path(row["file"]).stem: row for row in _index(source / "labels.csv")}
    rows = np.arange(0, 1774, 97)
    for name, ra, merger in zip(
        survey.ids[rows], survey.column("ra")[rows], survey.column("cnn_merger")[rows], strict=True
    ):
        assert ra == float(told[name]["ra"])
        assert merger == int(told[name]["cnn_merger"])
    row = int(survey.rows_of([next(iter(told))])[0])
    from PIL import Image as Pillow

    np.testing.assert_array_equal(
        survey.image(row).pixels[0], np.asarray(Pillow.open(source / "images" / f"{survey.ids[row]}.png"))
    )


def test_all_real_spectra_are_one_survey(shared_data: Path, tmp_path: Path) -> None:
    names = ("boss_quasars", "sdss_qso_epochs_rm017", "desi_coadds", "sdss_spectra_misc")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name in names:
        (mixed / name).symlink_to(shared_data / name)
    report = ingest(mixed, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert len(survey) == 67 + 78 + 16 + 6 + 1, "and the stack beside the coadds"
    assert survey.has("spectrum").all()
    assert [a.file for a in report.aside] == ["desi_coadds/emlines.ecsv"]
    sources = survey.table(columns=["plate"])
    assert len(sources) == len(survey)
    at = dict(zip(survey.ids, range(len(survey)), strict=True))
    epochs = [at[Path(r["file"]).stem] for r in _index(shared_data / names[1] / "index.csv")]
    assert len(set(survey.object_ids[epochs])) == 1, "78 epochs of one quasar are one object"
    for row in _index(shared_data / names[0] / "index.csv")[::9]:
        k = at[Path(row["file"]).stem]
        assert survey.column("z")[k] == pytest.approx(float(row["z"]))
        assert len(survey.spectrum(k).flux) == int(row["npix"])
    targets = [r["targetid"] for r in _index(shared_data / names[2] / "index.csv")]
    for target in set(targets):
        assert (survey.object_ids == target).sum() == targets.count(target), "a target observed twice is two rows"
    z = {r["targetid"]: r["z_known"] for r in _index(shared_data / names[2] / "index.csv")}
    for row in _index(shared_data / names[2] / "index.csv")[:5]:
        spectrum = survey.spectrum(int(np.flatnonzero(survey.object_ids == row["targetid"])[0]))
        red = (spectrum.wavelength > 5800) & (spectrum.wavelength < 7520)
        assert np.median(spectrum.flux[red]) == pytest.approx(float(row["med_rflux"]), rel=0.05, abs=0.03)
    known = survey.column("z_known")
    assert all(known[k] == pytest.approx(float(z[o])) for k, o in enumerate(survey.object_ids) if z.get(o))


def test_a_galaxy_with_image_and_spectrum_is_one_row(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "sdss_paired_image_spectrum"
    ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    told = _index(source / "index.csv")
    assert sorted(survey.ids) == sorted(row["bestobjid"] for row in told)
    assert survey.has("image").all()
    assert survey.has("spectrum").all()
    row = int(survey.rows_of([told[3]["bestobjid"]])[0])
    assert survey.column("z")[row] == pytest.approx(float(told[3]["z"]))
    assert len(survey.spectrum(row).flux) == int(told[3]["npix"])
    assert survey.image(row).pixels.shape == (3, 256, 256)
    # Balmer decrement of star-forming galaxies: recombination sets it at 2.86 or, with dust, above.
    forming = survey.column("subclass") == "STARFORMING"
    ratio = survey.column("flux_ha_6565") / survey.column("flux_hb_4863")
    assert forming.sum() >= 2
    assert (ratio[forming] > 2.5).all()


def test_counts_of_real_x_ray_sources(shared_data: Path, tmp_path: Path) -> None:
    ingest(shared_data / "xray_sherpa", tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    counts = dict(zip(survey.ids, survey.column("counts"), strict=True))
    published = {"3c273": 736, "9774": 4424, "q1127_src1": 66686, "acisf01575_001N001_r0085_pha3": 855}
    assert {name: counts[name] for name in published} == published
    row = int(survey.rows_of(["acisf01575_001N001_r0085_pha3"])[0])
    x = survey.xspectrum(row)
    assert x.background.sum() > 0, "the background lies in a second unit of the same file"
    assert 0.3 < x.energy_lo[np.argmax(x.counts)] < 3
    assert np.nanmax(x.area) > 100


def test_chandra_source_catalogue_tables(shared_data: Path, tmp_path: Path) -> None:
    ingest(shared_data / "csc_umlcaxs", tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert len(survey) == 8271 + 485 + 1
    assert not np.isnan(survey.column("hard_hs")[survey.column("master_class") != None]).any()  # noqa: E711
    assert survey.ids[-1].startswith("2CXO J")


def test_galaxy_zoo_pictures_stay_the_jpegs_that_they_were(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "gz1_sdss_images_dev"
    report = ingest(source, tmp_path / "s")
    survey = Survey.open(tmp_path / "s")
    assert (len(survey), report.aside) == (2414, [])
    label = survey.column("label")
    assert {name: int((label == name).sum()) for name in ("merger", "dont_know", "edge_on")} == {
        "merger": 81,
        "dont_know": 39,
        "edge_on": 699,
    }
    assert survey.ids[0] == "587722952767439450"
    assert all(thumb.startswith(b"\xff\xd8") for thumb in survey.thumbnails(np.arange(0, 2414, 200)))
