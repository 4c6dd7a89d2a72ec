"""Emission lines: vacuum wavelengths, ratios along the BPT branches, dust."""

from __future__ import annotations

import numpy as np

from explorer.survey.bpt import CLASSES, classify, kauffmann, kewley, schawinski
from explorer.survey.simulate.populations import calzetti

__all__ = ["CLASSES", "classify", "kauffmann", "kewley", "schawinski"]  # drawn from here, parted by the same curves

# name, vacuum Å
LINES: tuple[tuple[str, float], ...] = (
    ("[NeV]3427", 3426.85), ("[OII]3727", 3727.09), ("[OII]3730", 3729.88), ("[NeIII]3870", 3869.86),
    ("H8", 3890.16), ("[NeIII]3969", 3968.59), ("Hε", 3971.20), ("Hδ", 4102.89), ("Hγ", 4341.68),
    ("[OIII]4364", 4364.44), ("HeII4687", 4687.02), ("Hβ", 4862.68), ("[OIII]4960", 4960.30),
    ("[OIII]5008", 5008.24), ("HeI5877", 5877.25), ("[OI]6302", 6302.05), ("[OI]6366", 6365.54),
    ("[NII]6550", 6549.86), ("Hα", 6564.61), ("[NII]6585", 6585.27), ("[SII]6718", 6718.29),
    ("[SII]6733", 6732.67), ("[ArIII]7138", 7137.77), ("[SIII]9071", 9071.1), ("[SIII]9533", 9533.2),
    ("HeI10833", 10833.3), ("Paγ", 10941.1), ("Paβ", 12821.6),
)  # fmt: skip
NAMES = tuple(name for name, _ in LINES)
WAVELENGTHS = np.array([w for _, w in LINES])
INDEX = {name: i for i, name in enumerate(NAMES)}
BROAD = {"Hα": 1.0, "Hβ": 0.30, "Hγ": 0.13, "Hδ": 0.06, "HeI5877": 0.06, "MgII2800": 0.33}
MGII = 2799.1


def draw_ratios(kind: np.ndarray, oh: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(log [NII]/Hα, log [OIII]/Hβ) inside the region of each ``kind``; star formation follows 12 + log O/H.

    N2 of Pettini & Pagel (2004), the locus of Kewley et al. (2013); other classes are drawn and kept 0.02 dex
    inside their borders.
    """
    n, tries = len(kind), 24
    n2_sf = np.clip((oh - 8.90) / 0.57, -1.9, -0.18)[:, None] + rng.normal(0, 0.05, (n, tries))
    n2_sf = np.minimum(n2_sf, -0.13)
    o3_sf = 0.61 / (n2_sf - 0.08) + 1.03 + rng.normal(0, 0.09, (n, tries))
    comp = rng.normal(-0.13, 0.09, (n, tries)), rng.normal(0.05, 0.22, (n, tries))
    seyfert = rng.normal(-0.02, 0.13, (n, tries)), rng.normal(0.85, 0.17, (n, tries))
    liner = rng.normal(0.12, 0.12, (n, tries)), rng.normal(0.30, 0.14, (n, tries))
    pick = np.select([kind == c for c in CLASSES[:4]], range(4), default=3)
    n2 = np.choose(pick[:, None], [n2_sf, comp[0], seyfert[0], liner[0]])
    o3 = np.choose(pick[:, None], [o3_sf, comp[1], seyfert[1], liner[1]])
    edge = 0.02
    sf = o3 < kauffmann(n2) - edge
    agn = o3 > np.maximum(kewley(n2), -9) + edge
    inside = [
        sf,
        (o3 > np.maximum(kauffmann(n2), -9) + edge) & (o3 < kewley(n2) - edge),
        agn & (o3 > schawinski(n2) + edge),
        agn & (o3 < schawinski(n2) - edge),
    ]
    first = np.argmax(np.choose(pick[:, None], inside), axis=1)
    rows = np.arange(n)
    found = np.choose(pick[:, None], inside)[rows, first]
    safe_n2, safe_o3 = np.array([-0.5, -0.12, 0.0, 0.15]), np.array([-0.2, -0.0, 0.85, 0.25])
    return np.where(found, n2[rows, first], safe_n2[pick]), np.where(found, o3[rows, first], safe_o3[pick])


def ratios(kind: np.ndarray, oh: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n, lines) fluxes without dust where Hα = 1, and the drawn log [NII]/Hα and log [OIII]/Hβ.

    Case B: Hα/Hβ = 2.86 (Osterbrock & Ferland 2006); doublets at their quantum ratios 1 : 2.98 and 1 : 3.05.
    """
    n = len(kind)
    n2, o3 = draw_ratios(kind, oh, rng)
    agn = np.isin(kind, ("Seyfert", "LINER"))
    out = np.zeros((n, len(LINES)))
    hb = 1 / 2.86
    balmer = {"Hα": 2.86, "Hβ": 1.0, "Hγ": 0.468, "Hδ": 0.259, "Hε": 0.159, "H8": 0.105}
    balmer |= {"Paβ": 0.162, "Paγ": 0.090, "HeI5877": 0.11, "HeI10833": 0.20}
    for name, value in balmer.items():
        out[:, INDEX[name]] = value * hb
    o3_flux, n2_flux = 10**o3 * hb, 10**n2
    out[:, INDEX["[OIII]5008"]], out[:, INDEX["[OIII]4960"]] = o3_flux, o3_flux / 2.98
    out[:, INDEX["[NII]6585"]], out[:, INDEX["[NII]6550"]] = n2_flux, n2_flux / 3.05
    s2 = np.where(agn, rng.normal(-0.12, 0.10, n), np.clip(-0.42 - 0.15 * (o3 - 0.2), -0.8, -0.3))
    s2 = 10 ** (s2 + rng.normal(0, 0.05, n))
    density = rng.uniform(1.05, 1.44, n)
    out[:, INDEX["[SII]6718"]] = s2 * density / (1 + density)
    out[:, INDEX["[SII]6733"]] = s2 / (1 + density)
    o1 = np.select([kind == "Seyfert", kind == "LINER"], [-0.95, -0.55], -1.55) + rng.normal(0, 0.10, n)
    out[:, INDEX["[OI]6302"]], out[:, INDEX["[OI]6366"]] = 10**o1, 10**o1 / 3.0
    r = np.where(agn, rng.normal(0.45, 0.12, n), np.clip(0.45 - 0.9 * (oh - 8.55), -0.25, 0.5))
    o2 = 10 ** (r + rng.normal(0, 0.07, n)) * hb
    split = rng.uniform(1.1, 1.45, n)  # 3730 / 3727
    out[:, INDEX["[OII]3730"]], out[:, INDEX["[OII]3727"]] = o2 * split / (1 + split), o2 / (1 + split)
    neon = o3_flux * rng.uniform(0.07, 0.10, n)
    out[:, INDEX["[NeIII]3870"]], out[:, INDEX["[NeIII]3969"]] = neon, 0.31 * neon
    out[:, INDEX["[OIII]4364"]] = o3_flux * np.clip(0.02 * 10 ** (-1.2 * (oh - 8.1)), 0.001, 0.02)
    out[:, INDEX["HeII4687"]] = np.where(kind == "Seyfert", 0.22, 0.01) * hb
    out[:, INDEX["[NeV]3427"]] = np.where(kind == "Seyfert", 0.25, 0.0) * hb
    out[:, INDEX["[ArIII]7138"]] = 0.04
    out[:, INDEX["[SIII]9533"]], out[:, INDEX["[SIII]9071"]] = 0.22, 0.22 / 2.44
    return out, n2, o3


def dim(flux: np.ndarray, av: np.ndarray) -> np.ndarray:
    """``flux`` (n, lines) behind ``av`` (n,) magnitudes, by the same curve as the stars."""
    return flux * 10 ** (-0.4 * av[:, None] * calzetti(WAVELENGTHS))
