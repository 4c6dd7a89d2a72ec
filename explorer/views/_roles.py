"""What a view says of a row by the columns that play a part: redshift, position, units."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.roles import column_of
from explorer.session.columns import position_columns
from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.survey.store import Survey


def redshift_column(survey: Survey) -> str | None:
    """The column of redshifts: measured ones, else photometric ones, which place lines well enough to look at."""
    return column_of(survey, "redshift") or column_of(survey, "redshift_photometric")


def redshift_of(survey: Survey, row: int) -> float | None:
    """The catalogue's redshift of a row, None where there is none or it is not a number above -1."""
    name = redshift_column(survey)
    if name is None:
        return None
    value = number(survey.column(name)[row])
    return value if value is not None and value > -1 else None


def position_of(survey: Survey, row: int) -> tuple[float, float] | None:
    """(ra, dec) of a row in degrees, None where unknown."""
    try:
        ra, dec = (number(survey.column(c)[row]) for c in position_columns(survey))
    except UnknownName:
        return None
    return (ra, dec) if ra is not None and dec is not None and abs(dec) <= 90 else None


def number(value: Any) -> float | None:
    """A finite float, or None."""
    try:
        out = float(value)
    except (TypeError, ValueError):
        return None
    return out if np.isfinite(out) else None


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def unit_of(survey: Survey, modality: str) -> str:
    """The unit of a modality as a person writes it, '' where the survey does not say."""
    meta = survey.modalities[modality]
    return pretty(str(meta.get("flux_unit", meta.get("unit", ""))))


def pretty(unit: str) -> str:
    """A unit in FITS or plain notation as it is typeset; text that it cannot read stays as it is.

    >>> pretty("1e-17 erg/s/cm2/AA"), pretty("1E-17 erg/cm^2/s/Ang"), pretty("10**-17 erg s**-1"), pretty("nJy")
    ('10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹', '10⁻¹⁷ erg cm⁻² s⁻¹ Å⁻¹', '10⁻¹⁷ erg s⁻¹', 'nJy')
    >>> pretty("1e-17 erg / (s cm2 Angstrom)"), pretty("what the camera gave!")
    ('10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹', 'what the camera gave!')
    """
    text = re.sub(r"\b1e([+-]?\d+)\b", lambda m: f"10^{int(m[1])}", unit.strip(), flags=re.IGNORECASE)
    text = re.sub(r"/\s*\(([^()]*)\)", lambda m: "/" + "/".join(m[1].replace("*", " ").split()), text)
    text = re.sub(r"\b(Angstroms?|Ang|AA|A)(?![A-Za-z])", "Å", text)
    out = []
    for i, part in enumerate(text.split("/")):
        for word in re.split(r"[\s·]+|(?<=[A-Za-zÅ\d])\*(?!\*)|(?<!\*)\*(?=[A-Za-z])", part.strip()):
            found = re.fullmatch(r"([A-Za-zÅµ]+|10)(?:\^|\*\*)?\(?([+-]?\d+)?\)?", word)
            if found is None:
                return unit.strip()
            power = int(found[2] or 1) * (-1 if i and not found[1].startswith("10") else 1)
            out.append(found[1] + ("" if power == 1 else str(power).translate(_RAISED)))
    return " ".join(out)
