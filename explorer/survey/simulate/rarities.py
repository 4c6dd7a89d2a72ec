"""Which objects are rare or spoilt, and what that changes in their physical parameters."""

from __future__ import annotations

import numpy as np

from explorer.survey.simulate import cosmology
from explorer.survey.simulate.parameters import Galaxies
from explorer.survey.simulate.recipe import ARTEFACTS, RARITIES, Recipe


def classes(recipe: Recipe, n: int, rng: np.random.Generator) -> np.ndarray:
    """(n,) truth class of each object, drawn at the recipe's rates; "normal" for the rest."""
    names = np.array([*recipe.classes, "normal"], dtype=object)
    edges = np.cumsum(list(recipe.rates.values()))
    return names[np.searchsorted(edges, rng.random(n), side="right")]


def kind(truth: np.ndarray) -> np.ndarray:
    """(n,) "rarity", "artefact" or "normal" of truth classes."""
    out = np.full(len(truth), "normal", dtype=object)
    out[np.isin(truth, RARITIES)] = "rarity"
    out[np.isin(truth, ARTEFACTS)] = "artefact"
    return out


def plant(g: Galaxies, truth: np.ndarray, rng: np.random.Generator) -> Galaxies:
    """``g`` of :func:`parameters.draw` with the primary parameters that each class asks for."""
    n = len(truth)
    g = dict(g)
    g["class"] = truth
    lens, merger, ring = truth == "lens", truth == "merger", truth == "ring"
    broad, psb = truth == "broad-line-agn", truth == "post-starburst"
    g["z"] = np.where(lens, rng.uniform(0.22, 0.65, n), g["z"])
    g["z"] = np.where(merger, rng.uniform(0.05, 0.35, n), g["z"])
    g["z"] = np.where(ring, rng.uniform(0.06, 0.28, n), g["z"])
    g["z"] = np.where(broad, rng.uniform(0.06, 0.80, n), g["z"])
    g["z"] = np.where(psb, rng.uniform(0.06, 0.65, n), g["z"])
    g["logmass"] = np.where(lens, rng.normal(11.4, 0.12, n), g["logmass"])
    g["logmass"] = np.where(merger | ring, rng.normal(10.6, 0.25, n), g["logmass"])
    g["logmass"] = np.where(broad | psb, rng.normal(10.7, 0.25, n), g["logmass"])
    g["quiescent"] = np.where(lens | psb, True, np.where(merger | ring, False, g["quiescent"]))
    planted = lens | merger | ring | broad | psb
    near = g["z"] < 0.5
    g["target"] = np.where(planted, np.where(near, "BGS", "LRG"), g["target"])
    g["faintest"] = np.where(planted, np.where(near, 20.6, 22.0), g["faintest"])
    sigma = rng.uniform(235, 330, n)
    z_source = np.minimum(g["z"] + rng.uniform(0.45, 1.1, n), 1.6)
    g["lens_sigma"] = np.where(lens, sigma, np.nan)
    g["z_source"] = np.where(lens, z_source, np.nan)
    theta = cosmology.einstein_radius(sigma, g["z"], z_source)
    g["einstein_radius"] = np.where(lens, np.clip(theta, 0.75, 2.0), np.nan)
    g["source_mag"] = np.where(lens, rng.uniform(23.1, 24.6, n), np.nan)  # VIS, before magnification
    return g


def catalogue_redshift(
    z: np.ndarray, z_spectrum: np.ndarray, truth: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Redshift as a catalogue gives it: that of the spectrum with its error; confused where truth says so.

    A wrong redshift takes one line for another (Hα for [O III], [O II] for Hα, …) within 0 < z < 1.7.
    """
    n = len(z)
    measured = z_spectrum + rng.normal(0, 6e-5, n) * (1 + z_spectrum)
    swaps = np.array([6564.61 / 5008.24, 5008.24 / 6564.61, 6564.61 / 3728.5, 3728.5 / 6564.61, 1.14, 0.88])
    tries = (1 + z[:, None]) * swaps[rng.permuted(np.tile(np.arange(6), (n, 1)), axis=1)] - 1
    allowed = (tries > 0.01) & (tries < 1.7) & (np.abs(tries - z[:, None]) > 0.05)
    wrong = tries[np.arange(n), np.argmax(allowed, axis=1)]
    return np.where(truth == "wrong-redshift", wrong, measured)
