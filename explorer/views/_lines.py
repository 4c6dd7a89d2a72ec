"""Spectral lines of galaxies and quasars at vacuum wavelengths.

Wavelengths: NIST Atomic Spectra Database (Kramida et al., https://doi.org/10.18434/T4W30F); where it lists air
wavelengths they were turned into vacuum ones by Morton (2000, ApJS 130, 403, eq. 8), and the tests do it again.
Blends that a spectrograph of R ~ 2000 does not resolve carry their mean: C IV and Mg II as in Vanden Berk et al.
(2001, AJ 122, 549, table 2, laboratory column), the G band at the centre of the CH band head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal["emission", "absorption"]


@dataclass(frozen=True)
class Line:
    """``wavelength`` in vacuum Å at rest; ``strength`` 1 (looked for first) to 3 orders labels that collide."""

    name: str
    wavelength: float
    kind: Kind
    strength: int


LINES: tuple[Line, ...] = (
    Line("Lyβ", 1025.72, "emission", 3),
    Line("O VI", 1033.82, "emission", 3),
    Line("Lyα", 1215.67, "emission", 1),
    Line("N V", 1240.14, "emission", 2),
    Line("Si IV + O IV]", 1399.41, "emission", 2),
    Line("C IV", 1549.06, "emission", 1),
    Line("He II", 1640.42, "emission", 3),
    Line("C III]", 1908.73, "emission", 1),
    Line("C II]", 2326.44, "emission", 3),
    Line("Mg II", 2798.75, "emission", 1),
    Line("[Ne V]", 3426.85, "emission", 3),
    Line("[O II]", 3727.09, "emission", 1),
    Line("[O II]", 3729.88, "emission", 1),
    Line("[Ne III]", 3869.86, "emission", 2),
    Line("Hδ", 4102.89, "emission", 2),
    Line("Hγ", 4341.68, "emission", 1),
    Line("[O III]", 4364.44, "emission", 3),
    Line("He II", 4687.02, "emission", 3),
    Line("Hβ", 4862.68, "emission", 1),
    Line("[O III]", 4960.30, "emission", 2),
    Line("[O III]", 5008.24, "emission", 1),
    Line("He I", 5877.25, "emission", 3),
    Line("[O I]", 6302.05, "emission", 2),
    Line("[N II]", 6549.86, "emission", 3),
    Line("Hα", 6564.61, "emission", 1),
    Line("[N II]", 6585.27, "emission", 2),
    Line("[S II]", 6718.29, "emission", 1),
    Line("[S II]", 6732.67, "emission", 2),
    Line("[Ar III]", 7137.76, "emission", 3),
    Line("[S III]", 9071.09, "emission", 3),
    Line("[S III]", 9533.21, "emission", 2),
    Line("He I", 10833.31, "emission", 2),
    Line("Paγ", 10941.08, "emission", 3),
    Line("Paβ", 12821.58, "emission", 1),
    Line("Paα", 18756.13, "emission", 1),
    Line("Ca K", 3934.78, "absorption", 1),
    Line("Ca H", 3969.59, "absorption", 1),
    Line("G band", 4305.61, "absorption", 2),
    Line("Mg b", 5168.76, "absorption", 3),
    Line("Mg b", 5174.13, "absorption", 1),
    Line("Mg b", 5185.05, "absorption", 3),
    Line("Na D", 5891.58, "absorption", 1),
    Line("Na D", 5897.56, "absorption", 3),
    Line("Ca II", 8500.35, "absorption", 2),
    Line("Ca II", 8544.44, "absorption", 1),
    Line("Ca II", 8664.52, "absorption", 2),
)


CLOSE, EDGE = 2500.0, 14.0  # Å; pixels that a label, left of its line, needs


def label(line: Line) -> str:
    """Name and vacuum wavelength to the nearest Å, ``[O III] 5008``; Greek lines by name alone."""
    return line.name if line.name[-1] in "αβγδ" else f"{line.name} {line.wavelength:.0f}"


def placed(
    low: float, high: float, pixels: float, kinds: tuple[str, ...] = ("emission", "absorption"), spacing: float = 15
) -> list[tuple[Line, bool]]:
    """The lines of these kinds between two rest wavelengths in Å, and whether each has room for its label.

    ``pixels`` is the width on the screen and ``spacing`` what a (vertical) label needs. Emission is labelled at the
    top and absorption at the bottom, so only lines of one kind collide; the strongest is labelled first, and those of
    strength 3 only in a window narrower than :data:`CLOSE` Å.
    """
    inside = [line for line in LINES if low <= line.wavelength <= high and line.kind in kinds]
    scale = pixels / max(high - low, 1e-9)
    taken: list[Line] = []
    for line in sorted(inside, key=lambda x: (x.strength, x.wavelength)):
        if (line.strength > 2 and high - low > CLOSE) or (line.wavelength - low) * scale < EDGE:
            continue
        if all(
            abs(line.wavelength - other.wavelength) * scale >= spacing for other in taken if other.kind == line.kind
        ):
            taken.append(line)
    kept = set(taken)
    return [(line, line in kept) for line in sorted(inside, key=lambda x: x.wavelength)]
