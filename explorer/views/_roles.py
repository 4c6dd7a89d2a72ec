"""Which catalogue column plays which part, by what the card says and by the names that surveys use."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session.columns import position_columns
from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.survey.store import Survey

REDSHIFT = (
    "redshift",
    "z",
    "z_spec",
    "zspec",
    "specz",
    "z_best",
    "z_desi",
    "spec_z",
    "z_vi",
    "zbest",
    "z_phot",
    "photoz",
)
WARNING = ("zwarn", "zwarning", "zwarn_noqso")


def column_of(survey: Survey, role: str, names: Iterable[str]) -> str | None:
    """The column that the card gives this role (``[card] redshift = "Z"``), else the first name that exists."""
    lower = {name.casefold(): name for name in survey.columns}
    told = survey.meta.get("card", {}).get(role)
    for name in [told, *names] if isinstance(told, str) else names:
        if name.casefold() in lower:
            return lower[name.casefold()]
    return None


def redshift_of(survey: Survey, row: int) -> float | None:
    """The catalogue's redshift of a row, None where there is none or it is not a number above -1."""
    name = column_of(survey, "redshift", REDSHIFT)
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
