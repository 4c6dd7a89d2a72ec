"""What the literature says of a source, for people with a network: names by SIMBAD, papers by ADS, summaries (P2.2).

Nothing here runs unless it is called. ``astroquery`` (extra ``literature``) and an ADS token in ``ADS_DEV_KEY`` are
needed for the first two; a model behind an endpoint of the person's own choice for the third.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

NOTHING = "Not discussed"


@dataclass(frozen=True)
class Paper:
    """A paper of ADS: ``bibcode``, ``year``, ``title``, ``abstract``."""

    bibcode: str
    year: int
    title: str
    abstract: str


class Chat(Protocol):
    """What answers a prompt: :class:`explorer.pipeline.endpoint.Endpoint` does."""

    def chat(self, prompt: str) -> Any:
        """The answer, its text in ``value``."""
        ...


def names(ra: float, dec: float, arcsec: float = 3.0) -> tuple[list[str], str]:
    """(all names of the nearest object of SIMBAD within ``arcsec``, its type); ([], "") where there is none."""
    if not (0 <= ra < 360 and -90 <= dec <= 90):
        raise ValueError(f"ra={ra}, dec={dec}: degrees of ICRS are needed")
    simbad = _astroquery("simbad").Simbad
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    client = simbad()
    client.add_votable_fields("otype")
    found = client.query_region(SkyCoord(ra, dec, unit="deg"), radius=arcsec * u.arcsec)
    if found is None or not len(found):
        return [], ""
    columns = {name.lower(): name for name in found.colnames}
    main, kind = str(found[columns["main_id"]][0]), str(found[columns["otype"]][0])
    listed = client.query_objectids(main)
    every = [] if listed is None else [str(v) for v in listed[listed.colnames[0]]]
    return list(dict.fromkeys([main, *every])), kind


def papers(of: Sequence[str], most: int = 20) -> list[Paper]:
    """Papers of ADS whose full text names the source by any of its names, the most cited first."""
    if not of:
        return []
    token = os.environ.get("ADS_DEV_KEY")
    if not token:
        raise ValueError("ADS needs a token: make one on its site and set the environment variable ADS_DEV_KEY")
    ads = _astroquery("nasa_ads").ADS
    ads.TOKEN, ads.NROWS, ads.SORT = token, most, "citation_count desc"
    ads.ADS_FIELDS = ["bibcode", "title", "abstract", "year"]
    quoted = " OR ".join('full:"{}"'.format(name.replace('"', " ")) for name in of)
    found = ads.query_simple(quoted)
    return [
        Paper(str(row["bibcode"]), int(row["year"]), _first(row["title"]), _first(row["abstract"]))
        for row in (found if found is not None else ())
    ]


def prompt(of: Sequence[str], kind: str, text: str) -> str:
    """The question of P2.2 in our words: X-ray properties and what they are used for, without naming the source."""
    return (
        f"Below is a text from the astronomical literature. It may speak of a source known as {', '.join(of)}, of type "
        f"{kind or 'unknown'}.\nIf the text neither mentions this source nor had it as its target, answer with exactly "
        f"'{NOTHING}.' and nothing else.\nOtherwise answer in two short paragraphs, and write neither the name of the "
        "source nor that of a target:\nA) what was measured of it in X-rays: how it varies (bursts, periods, eclipses "
        "or dips), its spectrum (models, hardness, absorbing column), with values where they are measured in X-rays;\n"
        "B) which hypotheses these properties are used to test, and how.\nSay 'not discussed' of what the text leaves "
        f"out; add nothing of your own.\n\nTEXT\n{text}"
    )


def summary(chat: Chat, of: Sequence[str], kind: str, text: str) -> str | None:
    """What a model says of a source by one text; None where it is not discussed. A name that slips in is taken out."""
    if not text.strip():
        return None
    told = str(chat.chat(prompt(of, kind, text)).value).strip()
    if told.strip("'\". ").lower() == NOTHING.lower():
        return None
    for name in sorted(of, key=len, reverse=True):
        told = told.replace(name, "the source")
    return told


def _first(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value[0]) if value is not None and len(value) else ""


def _astroquery(module: str) -> Any:
    import importlib

    try:
        return importlib.import_module(f"astroquery.{module}")
    except ImportError as error:
        raise ValueError("SIMBAD and ADS need astroquery: pip install 'astro-explorer[literature]'") from error
