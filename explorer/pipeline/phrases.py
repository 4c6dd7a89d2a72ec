"""Measured shapes and catalogue values put in words: captions where no model writes any.

A trait is as sure as the weakest of the measures that it needs. The limits between "no" and "yes" of lenses and of
mergers were set on 320 simulated galaxies of a seed that no figure is given for (areas under the ROC curve 0.92 and
0.95 there); those of the other traits by looking at pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from explorer.pipeline.shapes import measure
from explorer.survey.store import Survey

TOLD: tuple[str, ...] = ("z", "redshift", "logmass", "mass", "logsfr")
"""Columns that a description speaks of, by name: redshift, and the decimal logarithms of mass and star formation."""
Limits = Mapping[str, Sequence[tuple[str, float, float]]]
FLUX: Limits = {
    "arms": [("arms", 0.04, 0.12), ("elongation", 3.0, 2.0), ("arms_excess", 5, 15), ("m20", -0.9, -1.3)],
    "merging": [
        ("nuclei", 1, 2),
        ("asymmetry", 0.08, 0.22),
        ("m20", -1.75, -1.3),
        ("arms_excess", 40, 100),
        ("gini", 0.4, 0.5),
    ],
    "lens": [
        ("arc", 2.0, 4.5),
        ("arc_blue", 0.5, 1.1),
        ("concentration", 2.2, 2.7),
        ("elongation", 2.0, 1.4),
        ("arc_light", 25, 70),
        ("arms", 0.15, 0.08),
    ],
    "ring": [("ring", 0.0, 0.1), ("asymmetry", 0.3, 0.1)],
    "edge-on": [("elongation", 2.2, 3.2)],
    "smooth": [("concentration", 2.5, 2.9), ("asymmetry", 0.2, 0.06), ("arms", 0.12, 0.05), ("elongation", 2.6, 2.0)],
    "disturbed": [("asymmetry", 0.15, 0.4)],
}
"""Trait → measures (:func:`~explorer.pipeline.shapes.measure`) with the limits of "no" and of "yes"."""
PICTURE: Limits = {
    **FLUX,
    "smooth": [("concentration", 2.1, 2.5), ("asymmetry", 0.2, 0.06), ("arms", 0.12, 0.05), ("elongation", 2.6, 2.0)],
}
"""The same of 8-bit pictures, whose stretch flattens the centre."""
WORDS: dict[str, tuple[str, str, str]] = {  # hardly, likely, surely
    "merging": (
        "with a second nucleus",
        "perhaps merging with another: two nuclei and an uneven shape",
        "merging with another: two nuclei in a disturbed, asymmetric envelope",
    ),
    "lens": (
        "with a faint curved feature beside it",
        "with a blue arc beside it, perhaps a gravitational lens",
        "with blue arcs that curve around its centre, as of a gravitational lens",
    ),
    "ring": ("with traces of a ring", "with a ring around its centre", "with a bright ring around its centre"),
    "arms": ("with hints of spiral structure", "with spiral arms", "with pronounced spiral arms"),
    "disturbed": ("", "of an uneven, clumpy shape", "of a disturbed, irregular shape"),
}


def traits(shape: Mapping[str, float], picture: bool = False) -> dict[str, float]:
    """Trait → how sure it is, 0 to 1."""
    return {
        name: float(min(np.clip((shape[m] - no) / (yes - no), 0, 1) for m, no, yes in needed))
        for name, needed in (PICTURE if picture else FLUX).items()
    }


def describe(survey: Survey, rows: Sequence[int]) -> list[tuple[str, str]]:
    """(a few sentences, the first of them alone) on each row, from its image and the columns told apart by name."""
    images = survey.images(np.asarray(rows, np.int64))
    names = [n for n in TOLD if n in survey.columns]
    values = {n: survey.column(n)[list(rows)] for n in names}
    out = []
    for i, image in enumerate(images):
        shape = None if image is None else measure(image.pixels)
        told = {n: float(v[i]) for n, v in values.items() if v[i] is not None and np.isfinite(float(v[i]))}
        sure = {} if shape is None else traits(shape, image is not None and image.pixels.dtype == np.uint8)
        first = in_words(shape, sure)
        out.append((" ".join([first, *_around(shape), *_of_catalogue(told)]), first))
    return out


def in_words(shape: Mapping[str, float] | None, sure: Mapping[str, float]) -> str:
    """One sentence on a shape, the surest of its traits first."""
    if shape is None:
        return "A faint object that barely stands out of the noise."
    if sure["edge-on"] > 0.5:
        kind = "A thin disk galaxy seen edge-on"
    elif sure["smooth"] > 0.4:
        kind = "A smooth, round elliptical galaxy" if shape["elongation"] < 1.3 else "A smooth, oval elliptical galaxy"
    elif sure["arms"] > 0.3:
        kind = "A spiral galaxy"
    else:
        kind = "A disk galaxy"
    order = sorted(WORDS, key=lambda name: -sure[name])
    said = [WORDS[n][0 if sure[n] < 0.35 else 1 if sure[n] < 0.7 else 2] for n in order if sure[n] > 0.12]
    return f"{' '.join([kind, ', '.join(s for s in said[:2] if s)]).strip()}."


def _around(shape: Mapping[str, float] | None) -> list[str]:
    return ["Several companions lie around it."] if shape is not None and shape["companions"] >= 3 else []


def _of_catalogue(told: Mapping[str, float]) -> list[str]:
    out = []
    z, mass = told.get("z", told.get("redshift")), told.get("logmass", told.get("mass"))
    if z is not None:
        out.append("It is nearby." if z < 0.15 else "It is moderately distant." if z < 0.6 else "It is distant.")
    if mass is not None:
        out.append("It is massive." if mass > 10.9 else "It is of low mass." if mass < 9.6 else "Its mass is average.")
    if "logsfr" in told and mass is not None:
        rate = told["logsfr"] - mass
        out.append("It forms stars vigorously." if rate > -9.5 else "Its stars are old." if rate < -11 else "")
    return [s for s in out if s]
