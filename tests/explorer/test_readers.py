"""Readers against the arrays that their files were made of, and the contract that every reader keeps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from explorer.checks import check_reader
from explorer.survey._plan import READERS
from explorer.survey.records import ReadError, Record
from tests.explorer import _made


def _table(folder: Path) -> Path:
    path = folder / "catalogue.csv"
    path.write_text("name,ra,mag\nA,1.5,20\nB,2.5,\n")
    return path


def _embeddings(folder: Path) -> Path:
    path = folder / "clip_embeddings.npz"
    np.savez(path, embeddings=np.eye(5, 4), ids=np.array([2**60 + k for k in range(5)]))
    return path


MAKE = {
    "desi": lambda folder: _made.desi(folder / "coadd-x.fits", [39627600000000001, 39627600000000002]) and folder,
    "embeddings": _embeddings,
    "euclid-desi": lambda folder: _made.euclid_desi(folder / "train-0.parquet") and folder,
    "events": lambda folder: _made.events(folder / "a.evt") and folder,
    "images": lambda folder: (_made.png(folder / "a.png"), _made.fits_cutout(folder / "b.fits")) and folder,
    "multimodal-universe": lambda folder: _made.multimodal(folder / "001-of-001.hdf5") and folder,
    "pha": lambda folder: _made.pha(folder) and folder,
    "sdss": lambda folder: _made.sdss(folder / "spec-1-2-3.fits") and folder,
    "spectra": lambda folder: _made.wcs_spectrum(folder / "s.fits").any() and folder,
    "table": _table,
}


@pytest.mark.parametrize("name", READERS.names())
def test_every_reader_keeps_the_contract(name: str, tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.doc"
    foreign.write_bytes(b"not data")
    source = tmp_path / "own"
    source.mkdir()
    assert check_reader(READERS.get(name), MAKE[name](source), foreign)


def test_check_reader_finds_a_reader_that_breaks_its_promise(tmp_path: Path) -> None:
    _made.png(tmp_path / "a.png")

    class Liar(READERS.get("images")):
        def read(self, item, scan):
            yield Record("a", "a", {"undeclared": 1}, source=item.source)

    with pytest.raises(AssertionError, match="undeclared"):
        check_reader(Liar, tmp_path)


def _read(name: str, source: Path) -> list[Record]:
    reader = READERS.get(name)()
    scan = reader.scan(source)
    return [entry for item in scan.items for entry in reader.read(item, scan)]


@pytest.mark.parametrize("upper", [False, True])
def test_sdss_layouts_give_flux_mask_and_result(tmp_path: Path, upper: bool) -> None:
    made = _made.sdss(tmp_path / "spec-0266-51602-0013.fits", upper, SUBCLASS="AGN")
    (record,) = _read("sdss", tmp_path)
    assert record.id == "spec-0266-51602-0013"
    assert record.spectrum is not None
    np.testing.assert_allclose(record.spectrum.wavelength, 10.0 ** made["loglam"].astype(float))
    np.testing.assert_array_equal(record.spectrum.flux, made["flux"])
    assert (record.spectrum.ivar == 0).nonzero()[0].tolist() == [3, 7], "BRIGHTSKY and ivar 0, not NEARBADPIXEL"
    told = record.values
    assert (told["class"], told["subclass"], told["z"], told["zwarning"]) == ("GALAXY", "AGN", 0.1, 4)
    assert told["bestobjid"] == "1237650795683184714"
    assert (told["ra"], told["dec"]) == (150.0, 2.0)


def test_descending_wavelengths_are_turned_and_length_zero_is_refused(tmp_path: Path) -> None:
    made = _made.sdss(tmp_path / "spec-1.fits", descending=True)
    (record,) = _read("sdss", tmp_path)
    np.testing.assert_array_equal(record.spectrum.flux, made["flux"][::-1])
    assert np.all(np.diff(record.spectrum.wavelength) > 0)
    _made.sdss(tmp_path / "none" / "spec-2.fits", n=0)
    with pytest.raises(ReadError, match="length 0"):
        _read("sdss", tmp_path / "none")


def test_desi_arms_merge_as_a_loop_over_pixels_says(tmp_path: Path) -> None:
    made = _made.desi(tmp_path / "coadd-a.fits", [2**60 + 1, 2**60 + 3], places=False)
    first, second = _read("desi", tmp_path)
    assert (first.id, second.object_id) == (str(2**60 + 1), str(2**60 + 3))
    assert first.values.get("ra") is None
    assert len(second.spectrum.wavelength) == 7781
    weight, total = np.zeros(7781), np.zeros(7781)
    for arm in "BRZ":
        for k, lam in enumerate(made[f"{arm}_wave"]):
            pixel = round((lam - 3600) / 0.8)
            weight[pixel] += made[f"{arm}_ivar"][1, k]
            total[pixel] += made[f"{arm}_ivar"][1, k] * made[f"{arm}_flux"][1, k]
    seen = weight > 0
    np.testing.assert_allclose(second.spectrum.ivar, weight, rtol=1e-5)
    np.testing.assert_allclose(second.spectrum.flux[seen], (total[seen] / weight[seen]), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second.spectrum.wavelength[[0, -1]], [3600.0, 9824.0])


def test_fits_cutouts_keep_bands_zero_point_scale_and_place(tmp_path: Path) -> None:
    made = _made.fits_cutout(tmp_path / "EUCL-1.fits")
    reader = READERS.get("images")()
    scan = reader.scan(tmp_path)
    (record,) = reader.read(scan.items[0], scan)
    np.testing.assert_array_equal(record.image.pixels, made)
    assert record.image.pixels.dtype == np.float32
    meta = scan.modalities["image"]
    assert (meta["bands"], meta["zero_point"], meta["unit"]) == (["VIS", "Y"], [24.5, 24.5], "adu")
    assert meta["pixel_scale"] == pytest.approx(0.1)
    assert record.values["ra"] == pytest.approx(52.0, abs=1e-4)
    assert record.values["dec"] == pytest.approx(-28.0, abs=1e-4)


def test_euclid_desi_survives_missing_bands_zero_errors_and_no_object_id(tmp_path: Path) -> None:
    made = _made.euclid_desi(tmp_path / "train.parquet")
    whole, partial, alone = _read("euclid-desi", tmp_path)
    assert [r.id for r in (whole, partial, alone)] == [str(39627600000000000 + k) for k in range(3)]
    np.testing.assert_array_equal(whole.image.pixels, made["images"][0])
    assert np.isnan(partial.image.pixels[3]).all()
    np.testing.assert_array_equal(partial.image.pixels[:3], made["images"][1, :3])
    np.testing.assert_allclose(partial.spectrum.ivar, np.r_[np.zeros(4), np.full(46, 4.0)])
    assert alone.spectrum is None
    assert whole.values["z"] == pytest.approx(0.1)
    assert alone.values["flux_detection_total"] == 3.0


def test_multimodal_universe_drops_padding_and_turns_the_warning(tmp_path: Path) -> None:
    made = _made.multimodal(tmp_path / "x.hdf5")
    records = _read("multimodal-universe", tmp_path)
    assert [r.values["zwarning"] for r in records] == [0, 1, 0], "True in ZWARN is a good redshift there"
    assert records[0].id == "39627600000000001"
    assert len(records[1].spectrum.wavelength) == 40
    np.testing.assert_array_equal(records[1].spectrum.flux, made["flux"][1, :40])
    assert records[1].spectrum.ivar[2] == 0
    np.testing.assert_array_equal(records[2].image.pixels, made["images"][2])


def test_pha_scales_its_background_and_reads_its_responses(tmp_path: Path) -> None:
    made = _made.pha(tmp_path)
    (record,) = _read("pha", tmp_path)
    x = record.xspectrum
    np.testing.assert_array_equal(x.counts, made["counts"])
    np.testing.assert_allclose(x.background, made["back"] * (0.1 / 0.4) * (1000 / 500))
    np.testing.assert_allclose(x.energy_lo, made["lo"], rtol=1e-6)
    np.testing.assert_allclose(x.area, 100 + 10 * np.arange(64), rtol=1e-4)
    assert (x.exposure, record.values["energy_scale"], len(x.response)) == (1000.0, "rmf", 16)


def test_pha_without_response_or_known_gain_says_what_to_bring(tmp_path: Path) -> None:
    _made.pha(tmp_path, rmf=False)
    with pytest.raises(ReadError, match="Put its RMF beside it"):
        _read("pha", tmp_path)


def test_event_lists_are_sorted_in_kev_with_and_without_energy(tmp_path: Path) -> None:
    made = _made.events(tmp_path / "a.fits")
    _made.events(tmp_path / "b.fits", energy=False)
    a, b = _read("events", tmp_path)
    order = np.argsort(made["time"])
    np.testing.assert_array_equal(a.events.time, made["time"][order])
    np.testing.assert_allclose(a.events.energy, made["ev"][order] / 1000, rtol=1e-6)
    assert b.events.energy is None
    assert a.values["exposure"] == 90.0


def test_plain_spectra_are_read_through_their_wcs(tmp_path: Path) -> None:
    flux = _made.wcs_spectrum(tmp_path / "s.fits")
    (record,) = _read("spectra", tmp_path)
    np.testing.assert_allclose(record.spectrum.flux, flux)
    np.testing.assert_allclose(record.spectrum.wavelength, 4000 + 2.0 * np.arange(300))


def test_wide_whole_numbers_stay_text_digit_for_digit(tmp_path: Path) -> None:
    from astropy.table import Table

    from explorer.survey._tables import load_table

    big = [2**63 - 1, 2**53 + 1, 7]
    table = Table({"TARGETID": big, "mag": np.array([1, 2, np.nan], dtype=">f4"), "RAJ2000": np.array([1.0, 2, 3])})
    made = {"a.fits": "fits", "a.vot": "votable", "a.parquet": "parquet", "a.csv": "ascii.csv", "a.ecsv": "ascii.ecsv"}
    for name, form in made.items():
        table.write(tmp_path / name, format=form)
        loaded, notes = load_table(tmp_path / name)
        assert loaded["TARGETID"].to_pylist() == [str(b) for b in big], name
        assert loaded["mag"].to_pylist() == [1.0, 2.0, None], name
        assert "ra" in loaded.column_names, name
        assert notes == [], name


def test_a_column_of_numbers_and_text_becomes_text_and_is_told(tmp_path: Path) -> None:
    from explorer.survey._tables import load_table

    path = tmp_path / "m.csv"
    path.write_text("id,x,plate,flag\n1,2.5,0266,True\n2,faint,0267,false\n3,7,0268,\n")
    table, notes = load_table(path)
    assert table["x"].to_pylist() == ["2.5", "faint", "7"]
    assert table["plate"].to_pylist() == ["0266", "0267", "0268"], "leading zeros are kept"
    assert table["flag"].to_pylist() == [True, False, None]
    assert len(notes) == 1
    assert "'x'" in notes[0]


@pytest.mark.parametrize(
    ("text", "columns", "notes"),
    [
        ("a;b\n1;2,5\n", {"a": [1], "b": ["2,5"]}, 0),
        ("\ufeffid\tv\n7\t1\n", {"id": ["7"], "v": [1]}, 0),
        ("# by hand\nid,v\n7,1\n", {"id": ["7"], "v": [1]}, 0),
        ("# ra,mag\n1.5,20\n", {"ra": [1.5], "mag": [20]}, 0),
        ("id,v\n1,2\n3\n4,5,6\n8,9\n", {"id": ["1", "8"], "v": [2, 9]}, 1),
        ('id,v\r\n"a\nb",2\r\n', {"id": ["a\nb"], "v": [2]}, 0),
        ("id,id,\n1,2,3\n", {"id": ["1"], "id_2": ["2"], "column3": [3]}, 0),
    ],
)
def test_tables_as_people_write_them(tmp_path: Path, text: str, columns: dict[str, list], notes: int) -> None:
    from explorer.survey._tables import load_table

    (tmp_path / "t.csv").write_bytes(text.encode())
    table, told = load_table(tmp_path / "t.csv")
    assert table.to_pydict() == columns
    assert len(told) == notes
