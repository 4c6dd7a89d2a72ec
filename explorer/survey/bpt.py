"""Diagnostic diagrams of emission lines, the curves that part their regions, and the classes (P1.8).

All three have log [O III]5008/Hβ upwards. To the right: ``n2`` log [N II]6585/Hα (Baldwin, Phillips & Terlevich 1981,
PASP 93, 5), ``s2`` log [S II](6718 + 6733)/Hα and ``o1`` log [O I]6302/Hα (Veilleux & Osterbrock 1987, ApJS 63, 295).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

CLASSES = ("star-forming", "composite", "Seyfert", "LINER", "normal")
DIAGRAMS = {"n2": "log [N II]6585 / Hα", "s2": "log [S II]6718,6733 / Hα", "o1": "log [O I]6302 / Hα"}
UPWARDS = "log [O III]5008 / Hβ"


@dataclass(frozen=True)
class Curve:
    """A curve y(x) of one diagram; ``parts`` says what lies above and below it; not ``used`` where only drawn."""

    diagram: str
    name: str
    y: Callable[[Any], np.ndarray]
    pole: float
    parts: str
    used: bool = True


def _hyperbola(a: float, pole: float, b: float) -> Callable[[Any], np.ndarray]:
    def y(x: Any) -> np.ndarray:
        x = np.asarray(x, dtype=float)
        return np.where(x < pole, a / np.minimum(x - pole, -1e-9) + b, -np.inf)

    return y


def _straight(slope: float, offset: float) -> Callable[[Any], np.ndarray]:
    return lambda x: slope * np.asarray(x, dtype=float) + offset


kewley = _hyperbola(0.61, 0.47, 1.19)
"""log [O III]/Hβ of Kewley et al. (2001) at log [N II]/Hα; -inf beyond its pole at 0.47."""
kauffmann = _hyperbola(0.61, 0.05, 1.30)
"""log [O III]/Hβ of Kauffmann et al. (2003) at log [N II]/Hα; -inf beyond its pole at 0.05."""
schawinski = _straight(1.05, 0.45)
"""log [O III]/Hβ that parts Seyferts (above) from LINERs at log [N II]/Hα, Schawinski et al. (2007)."""

_SF, _AGN = "star formation below, active nuclei above", "Seyferts above, LINERs below"
CURVES = (
    Curve("n2", "Kewley+ 2001", kewley, 0.47, _SF),
    Curve("n2", "Kauffmann+ 2003", kauffmann, 0.05, "pure star formation below, composites above"),
    Curve("n2", "Schawinski+ 2007", schawinski, np.inf, _AGN),
    Curve("n2", "the paper's own (Tang+ 2025, eq. B1)", _straight(1.18, 0.77), np.inf, _AGN, used=False),
    Curve("s2", "Kewley+ 2001", _hyperbola(0.72, 0.32, 1.30), 0.32, _SF),
    Curve("s2", "Kewley+ 2006", _straight(1.89, 0.76), np.inf, _AGN),
    Curve("o1", "Kewley+ 2001", _hyperbola(0.73, -0.59, 1.33), -0.59, _SF),
    Curve("o1", "Kewley+ 2006", _straight(1.18, 1.30), np.inf, _AGN),
)
"""Kewley et al. 2001, ApJ 556, 121, eqs 5-7; Kauffmann et al. 2003, MNRAS 346, 1055, eq. 1; Schawinski et al. 2007,
MNRAS 382, 1415, eq. 1; Kewley et al. 2006, MNRAS 372, 961, eqs 7 and 11. The paper's own line has the slope of Kewley
et al. (2006) on [O I] and is no standard on [N II]: it is drawn, and decides nothing."""


def curves(diagram: str) -> list[Curve]:
    """The curves of one diagram."""
    if diagram not in DIAGRAMS:
        raise ValueError(f"no diagram named {diagram!r}. There are: {', '.join(DIAGRAMS)}")
    return [c for c in CURVES if c.diagram == diagram]


def classify(x: Any, o3: Any, diagram: str = "n2") -> np.ndarray:
    """(n,) object: the class of log ratios in a diagram; NaN in either is "normal". Only ``n2`` knows composites."""
    x, o3 = np.asarray(x, dtype=float), np.asarray(o3, dtype=float)
    decide = [c for c in curves(diagram) if c.used]
    out = np.full(np.shape(x), "star-forming", dtype=object)
    if diagram == "n2":
        out[o3 > kauffmann(x)] = "composite"
    agn, seyfert = o3 > decide[0].y(x), o3 > decide[-1].y(x)
    out[agn & seyfert] = "Seyfert"
    out[agn & ~seyfert] = "LINER"
    out[~(np.isfinite(x) & np.isfinite(o3))] = "normal"
    return out
