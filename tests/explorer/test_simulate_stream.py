"""Blocks are reproducible, independent and complete, and writing goes on where it was stopped."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from explorer.survey.records import Record
from explorer.survey.resources import data_path
from explorer.survey.simulate import columns, modalities, simulate, write
from explorer.survey.simulate.recipe import load

RECIPES = sorted(p.stem for p in data_path("recipes").glob("*.toml"))
# small blocks keep the tests short
SMALL = replace(load("euclid-desi"), block=12)


def flat(blocks: object) -> list[Record]:
    return [record for block in blocks for record in block]  # type: ignore[attr-defined]


def same(a: Record, b: Record) -> None:
    assert (a.id, a.text) == (b.id, b.text)
    assert a.values == b.values
    np.testing.assert_array_equal(a.image.pixels, b.image.pixels)
    np.testing.assert_array_equal(a.spectrum.flux, b.spectrum.flux)
    np.testing.assert_array_equal(a.spectrum.ivar, b.spectrum.ivar)
    assert (a.events is None) == (b.events is None)
    if a.events is not None:
        np.testing.assert_array_equal(a.events.time, b.events.time)


def test_one_seed_gives_one_survey() -> None:
    first, again = flat(simulate(SMALL, 24, seed=3)), flat(simulate(SMALL, 24, seed=3))
    other = flat(simulate(SMALL, 24, seed=4))
    assert [r.id for r in first] == [f"SIM-{i:06d}" for i in range(24)]
    for a, b in zip(first, again, strict=True):
        same(a, b)
    assert not any(a.values["ra"] == b.values["ra"] for a, b in zip(first, other, strict=True))


def test_an_object_does_not_depend_on_what_else_is_made() -> None:
    whole = flat(simulate(SMALL, 36, seed=3))
    part = flat(simulate(SMALL, 31, seed=3, start=17))
    assert [r.id for r in part] == [r.id for r in whole[17:31]]
    for a, b in zip(part, whole[17:31], strict=True):
        assert a.values == b.values
        np.testing.assert_allclose(a.image.pixels, b.image.pixels, rtol=2e-3, atol=2e-5)
        np.testing.assert_allclose(a.spectrum.flux, b.spectrum.flux, rtol=1e-4, atol=1e-4)


def test_recipes_share_no_random_numbers() -> None:
    a = next(simulate("euclid-desi", 8, catalogue_only=True))
    b = next(simulate("euclid-desi-check", 8, catalogue_only=True))
    assert not {r.values["ra"] for r in a} & {r.values["ra"] for r in b}
    assert not {r.id for r in a} & {r.id for r in b}


@pytest.mark.parametrize("name", RECIPES)
def test_columns_describe_the_values(name: str) -> None:
    recipe = replace(load(name), block=8)
    types, offered = columns(recipe), modalities(recipe)
    for catalogue_only in (False, True):
        for record in flat(simulate(recipe, 8, catalogue_only=catalogue_only)):
            assert set(record.values) <= set(types)
            assert catalogue_only or set(record.values) == set(types)
            for column, value in record.values.items():
                assert type(value) in (str, int, float, type(None)), column
                if value is not None:
                    pa.scalar(value, types[column])
                assert not (isinstance(value, float) and math.isnan(value)), column
            has = {m for m in ("image", "spectrum", "events", "xspectrum", "text") if getattr(record, m) is not None}
            assert has <= (set() if catalogue_only else set(offered))
            if record.spectrum is not None:
                assert np.isfinite(record.spectrum.flux).all()
                assert (record.spectrum.ivar >= 0).all()


def test_the_default_recipe_is_shaped_like_euclid_and_desi() -> None:
    record = next(simulate(SMALL, 2))[0]
    assert record.image.pixels.shape == (4, 64, 64)
    assert record.spectrum.wavelength[[0, -1]] == pytest.approx([3600.0, 9824.0])
    assert len(record.spectrum.wavelength) == 7781
    assert modalities("euclid-desi")["image"]["bands"] == ["VIS", "Y", "J", "H"]
    sdss = next(simulate(replace(load("simulated-sdss"), block=4), 1))[0].spectrum.wavelength
    np.testing.assert_allclose(np.diff(np.log10(sdss)), 1e-4, rtol=1e-6)


def test_catalogue_only_gives_the_same_catalogue() -> None:
    full, bare = flat(simulate(SMALL, 12)), flat(simulate(SMALL, 12, catalogue_only=True))
    for a, b in zip(full, bare, strict=True):
        assert {k: v for k, v in a.values.items() if k != "counts"} == b.values
        assert b.image is None
        assert b.spectrum is None


def test_every_row_of_a_large_catalogue_is_new() -> None:
    ids, truth = [], []
    for block in simulate("euclid-desi", 2_000, catalogue_only=True):
        ids += [r.id for r in block]
        truth += [r.values["truth_kind"] for r in block]
    assert len(set(ids)) == 2_000
    assert set(truth) == {"normal", "rarity", "artefact"}


def test_the_check_recipe_is_frozen() -> None:
    """It was fixed before any encoder was trained; whoever changes it must train and measure everything again."""
    from hashlib import sha256

    text = data_path("recipes", "euclid-desi-check.toml").read_bytes().replace(b"\r\n", b"\n")
    assert sha256(text).hexdigest() == "01ba22223e8692aac58649c769f03730a5a6f628461aead940c58f962958b6bc"
    first, check = load("euclid-desi"), load("euclid-desi-check")
    assert set(first.rates) == set(check.rates)
    assert all(first.rates[k] != check.rates[k] for k in first.rates)
    for a, b in zip(first.image.bands, check.image.bands, strict=True):
        assert b.psf_fwhm > a.psf_fwhm
        assert b.noise > a.noise


class Stop(Exception):
    """The person pressed Ctrl-C."""


def test_writing_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    from explorer.survey.store import Survey

    def stop(done: int, total: int, label: str) -> None:
        if done >= 12:
            raise Stop

    with pytest.raises(Stop):
        write(SMALL, tmp_path / "s", 30, seed=2, progress=stop, workers=0)
    assert len(Survey.open(tmp_path / "s")) == 12
    told: list[tuple[int, int]] = []
    write(SMALL, tmp_path / "s", 30, seed=2, progress=lambda d, t, _: told.append((d, t)), workers=0)
    write(SMALL, tmp_path / "s", 34, seed=2, workers=0)
    survey = Survey.open(tmp_path / "s")
    survey.refresh()
    assert told[0] == (12, 30)
    assert told[-1] == (30, 30)
    expected = flat(simulate(SMALL, 34, seed=2))
    assert list(survey.ids) == [r.id for r in expected]
    np.testing.assert_allclose(survey.column("z"), [r.values["z"] for r in expected])
    np.testing.assert_allclose(survey.spectrum(33).flux, expected[33].spectrum.flux, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="choose another folder"):
        write(SMALL, tmp_path / "s", 40, seed=9, workers=0)


def test_processes_make_the_same_survey(tmp_path: Path) -> None:
    from explorer.survey.store import Survey

    write(SMALL, tmp_path / "s", 60, seed=2, workers=1)
    survey = Survey.open(tmp_path / "s")
    expected = flat(simulate(SMALL, 60, seed=2))
    assert list(survey.ids) == [r.id for r in expected]
    np.testing.assert_allclose(survey.image(59).pixels, expected[59].image.pixels, rtol=2e-3, atol=2e-5)


def test_unknown_recipes_and_wrong_ones_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="euclid-desi"):
        next(simulate("euclid", 3))
    text = data_path("recipes", "euclid-desi.toml").read_text().replace("lens = 0.005", "lense = 0.005")
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ValueError, match="lense"):
        next(simulate(tmp_path / "mine.toml", 3))
    with pytest.raises(ValueError, match="start"):
        next(simulate(SMALL, 3, start=5))
    with pytest.raises(ValueError, match="seed"):
        next(simulate(SMALL, 3, seed=-1))
