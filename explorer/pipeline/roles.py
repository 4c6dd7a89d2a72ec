"""Which catalogue column plays which part in a survey: redshift, brightness, size, signal to noise, field."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from explorer.survey.store import Survey

NAMES: dict[str, tuple[str, ...]] = {
    "redshift": ("redshift", "z", "z_spec", "zspec", "specz", "z_best", "z_desi", "spec_z", "z_vi", "zbest"),
    "redshift_photometric": ("z_phot", "photoz"),
    "warning": ("zwarn", "zwarning", "zwarn_noqso"),
    "magnitude": ("mag_vis", "mag_r", "mag_i", "mag_g", "r_mag", "mag", "petromag_r", "modelmag_r", "flux_vis"),
    "size": ("radius", "petror50_r", "r50", "reff", "r_eff", "half_light_radius", "size", "shape_r", "fwhm"),
    "snr_image": ("snr_image", "image_snr"),
    "snr_spectrum": ("snr_spectrum", "snr", "sn_median", "snmedian", "sn_median_all", "snr_median"),
    "field": ("field", "survey_field", "tile", "region", "healpix", "plate"),
    "truth": ("truth",),
    "truth_kind": ("truth_kind",),
}


def column_of(survey: Survey, role: str) -> str | None:
    """The column that the card gives this role (``[card] redshift = "Z"``), else the first usual name that exists."""
    lower = {name.casefold(): name for name in survey.columns}
    told = survey.meta.get("card", {}).get(role)
    for name in [told, *NAMES[role]] if isinstance(told, str) else NAMES[role]:
        if name.casefold() in lower:
            return lower[name.casefold()]
    return None


def values_of(survey: Survey, role: str) -> np.ndarray | None:
    """(n,) the column of a role: float64 with NaN for unknown where it is numeric; None where there is none."""
    name = column_of(survey, role)
    if name is None:
        return None
    column = survey.column(name)
    kind = survey.columns[name]
    return np.asarray(column, np.float64) if pa.types.is_floating(kind) or pa.types.is_integer(kind) else column


def confounding(survey: Survey) -> dict[str, np.ndarray]:
    """Role → column for all of S/N, magnitude, size, redshift and field that the survey has."""
    roles = ("snr_image", "snr_spectrum", "magnitude", "size", "redshift", "field")
    found = {role: values_of(survey, role) for role in roles}
    names = {role: column_of(survey, role) for role in roles}
    return {role if names[role] == role else f"{role} ({names[role]})": v for role, v in found.items() if v is not None}


def numbers(survey: Survey) -> list[str]:
    """The catalogue's columns of numbers."""
    return [n for n, kind in survey.columns.items() if pa.types.is_floating(kind) or pa.types.is_integer(kind)]


def quantities(survey: Survey, at_most: int = 6) -> list[str]:
    """Numeric columns that a probe may be asked for: redshift, mass, star formation… before other numbers."""
    first = [column_of(survey, "redshift"), "logmass", "logsfr", "log_mass", "log_sfr", "mass", "sfr", "metallicity"]
    numeric = [n for n, t in survey.columns.items() if pa.types.is_floating(t)]
    lower = {n.casefold(): n for n in numeric}
    return list(dict.fromkeys(lower[n.casefold()] for n in first if n and n.casefold() in lower))[:at_most]
