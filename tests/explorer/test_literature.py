"""Clients of SIMBAD and ADS against stand-ins of astroquery; prompts and summaries against a stand-in of a model."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest
from astropy.table import Table

from explorer.pipeline import literature


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> dict:
    asked: dict = {}

    class Simbad:
        def add_votable_fields(self, *names: str) -> None:
            asked["fields"] = names

        def query_region(self, place, radius):  # type: ignore[no-untyped-def]
            asked["place"] = (place.ra.deg, place.dec.deg, radius.to_value("arcsec"))
            return Table({"main_id": ["M 82 X-1"], "otype": ["ULX"]}) if place.dec.deg > 0 else None

        def query_objectids(self, name: str) -> Table:
            return Table({"id": ["M 82 X-1", "2CXO J095550.1+694046"]})

    class ADS:
        @staticmethod
        def query_simple(text: str):  # type: ignore[no-untyped-def]
            asked["query"] = text
            return [{"bibcode": "2014Natur.514..202B", "year": "2014", "title": ["A pulsar"], "abstract": None}]

    for name, content in (("simbad", {"Simbad": Simbad}), ("nasa_ads", {"ADS": ADS})):
        module = ModuleType(f"astroquery.{name}")
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, f"astroquery.{name}", module)
    monkeypatch.setitem(sys.modules, "astroquery", ModuleType("astroquery"))
    return asked


def test_names_and_papers_of_a_position(services: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    found, kind = literature.names(148.96, 69.68)
    assert found == ["M 82 X-1", "2CXO J095550.1+694046"]
    assert kind == "ULX"
    assert services["place"] == pytest.approx((148.96, 69.68, 3.0))
    assert literature.names(10.0, -20.0) == ([], "")
    monkeypatch.delenv("ADS_DEV_KEY", raising=False)
    with pytest.raises(ValueError, match="ADS_DEV_KEY"):
        literature.papers(found)
    monkeypatch.setenv("ADS_DEV_KEY", "x")
    paper = literature.papers(found)[0]
    assert (paper.bibcode, paper.year, paper.title, paper.abstract) == ("2014Natur.514..202B", 2014, "A pulsar", "")
    assert services["query"] == 'full:"M 82 X-1" OR full:"2CXO J095550.1+694046"'
    with pytest.raises(ValueError, match="degrees of ICRS"):
        literature.names(400.0, 0.0)


def test_without_astroquery_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "astroquery", None)
    with pytest.raises(ValueError, match=r"astro-explorer\[literature\]"):
        literature.names(1.0, 2.0)


def test_a_summary_names_nothing_and_may_be_none() -> None:
    said: list[str] = []

    def model(answer: str) -> SimpleNamespace:
        return SimpleNamespace(chat=lambda text: said.append(text) or SimpleNamespace(value=answer))

    names = ["M 82 X-1", "M 82"]
    told = literature.summary(model("A) M 82 X-1 shows a period."), names, "ULX", "some text")
    assert told == "A) the source shows a period."
    assert "M 82 X-1" in said[0]
    assert "some text" in said[0]
    assert literature.summary(model("'Not discussed.'"), names, "ULX", "some text") is None
    assert literature.summary(model("never asked"), names, "ULX", "  ") is None
    assert len(said) == 2
