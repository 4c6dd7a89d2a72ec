"""One set of physical parameters per galaxy, from which image, spectrum, events, text and catalogue all follow.

``draw`` gives the primary parameters of a block, ``rarities.plant`` changes those of rare objects, ``derive``
works out everything else. All arrays are of length n, one entry per galaxy, and are called by column name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from explorer.survey.simulate import cosmology, lines, photometry, populations
from explorer.survey.simulate.recipe import Band, Recipe

Galaxies = dict[str, np.ndarray]
_BINS = np.array([0.01, 0.09, 0.5])  # Gyr spanned by the three youngest templates
MILD = ("normal", "wrong-redshift", "swapped-spectrum")


def stream(seed: int, *key: int) -> np.random.Generator:
    """The random numbers of one purpose: ``key`` is (purpose, block or object)."""
    return np.random.Generator(np.random.SFC64(np.random.SeedSequence([seed, *key])))


def take(galaxies: Galaxies, rows: np.ndarray | slice) -> Galaxies:
    """The galaxies at ``rows``."""
    return {name: values[rows] for name, values in galaxies.items()}


def draw(recipe: Recipe, n: int, rng: np.random.Generator) -> Galaxies:
    """Primary parameters of ``n`` galaxies: programme, redshift, mass, quiescence, position."""
    targets = recipe.targets
    share = np.array([t["share"] for t in targets])
    which = np.searchsorted(np.cumsum(share / share.sum()), rng.random(n), side="right")
    which = np.minimum(which, len(targets) - 1)

    def of(key: str) -> np.ndarray:
        return np.array([t[key] for t in targets])[which]

    names, lo, hi = of("name"), of("z_lo"), of("z_hi")
    mode = np.clip((of("z_peak") - lo) / (hi - lo), 0.05, 0.95)
    z = lo + (hi - lo) * rng.beta(1 + 4 * mode, 1 + 4 * (1 - mode))
    red, blue = names == "LRG", names == "ELG"
    mean = np.where(red, 11.15, np.where(blue, 10.15, 9.75 + 2.6 * z / (z + 0.35) * 0.85))
    logmass = np.clip(mean + rng.normal(0, np.where(red, 0.22, np.where(blue, 0.35, 0.45))), 8.2, 12.0)
    chance = 1 / (1 + np.exp(-(logmass - 10.75 - 0.25 * z) / 0.28))
    chance = np.where(red, 0.9, np.where(blue, 0.0, chance * 0.75))
    g: Galaxies = {
        "target": names,
        "z": z,
        "logmass": logmass,
        "quiescent": rng.random(n) < chance,
        "faintest": of("faintest"),
        "class": np.full(n, "normal", dtype=object),
    }
    g |= positions(recipe.fields, n, rng)
    return g


def positions(fields: tuple[dict[str, Any], ...], n: int, rng: np.random.Generator) -> Galaxies:
    """Field, ra and dec (degrees), uniform on the caps that ``fields`` of a recipe name."""
    share = np.array([f["share"] for f in fields])
    which = np.searchsorted(np.cumsum(share / share.sum()), rng.random(n), side="right")
    which = np.minimum(which, len(share) - 1)
    radius = np.radians([f["radius"] for f in fields])[which] * np.sqrt(rng.random(n))
    angle = rng.uniform(0, 2 * np.pi, n)
    dec0 = np.radians([f["dec"] for f in fields])[which]
    ra0 = np.radians([f["ra"] for f in fields])[which]
    dec = np.arcsin(np.sin(dec0) * np.cos(radius) + np.cos(dec0) * np.sin(radius) * np.cos(angle))
    y = np.sin(angle) * np.sin(radius) * np.cos(dec0)
    ra = ra0 + np.arctan2(y, np.cos(radius) - np.sin(dec0) * np.sin(dec))
    names = np.array([f["name"] for f in fields])[which]
    return {"field": names, "ra": np.degrees(ra) % 360, "dec": np.degrees(dec)}


def derive(g: Galaxies, bands: tuple[Band, ...], rng: np.random.Generator) -> Galaxies:
    """Everything that follows from the primary parameters; ``bands`` are those of the image."""
    n = len(g["z"])
    g = dict(g)
    psb = g["class"] == "post-starburst"
    g["logsfr"] = _main_sequence(g["logmass"], g["z"]) + rng.normal(0, 0.27, n)
    g["logsfr"] += np.where(g["target"] == "ELG", 0.3, 0.0)
    dead = g["logmass"] - 11.9 + rng.normal(0, 0.35, n)
    g["logsfr"] = np.where(g["quiescent"], np.minimum(dead, g["logsfr"] - 1.0), g["logsfr"])
    g["logsfr"] = np.where(psb, g["logmass"] - 12.3, g["logsfr"])
    fundamental = g["logmass"] - 0.32 * (g["logsfr"] - _main_sequence(g["logmass"], 0 * g["z"]))
    oh = 8.82 - 0.75 * np.exp(-(fundamental - 8.4) / 1.15) + rng.normal(0, 0.06, n)
    g["metallicity"] = np.where(g["quiescent"], np.maximum(oh, 8.62), oh)
    cos_i = rng.random(n)
    g["q_disk"] = np.sqrt(cos_i**2 * (1 - 0.17**2) + 0.17**2)
    dusty = 0.28 + 0.55 * np.clip(g["logmass"] - 9.4, 0, 1.6) * (0.6 + 0.9 * (1 - cos_i))
    av = dusty * np.exp(rng.normal(0, 0.35, n))
    g["av"] = np.where(g["quiescent"], 0.12 * np.exp(rng.normal(0, 0.5, n)), av)
    _structure(g, rng)
    _mixture(g, psb, rng)
    _excitation(g, rng)
    _light(g, bands)
    _reach_limit(g, rng)
    _sizes(g, rng)
    g["sigma_star"] = np.clip(
        np.where(g["bulge_fraction"] > 0.4, 190, 120) * 10 ** (0.28 * (g["logmass"] - 10.8)), 70, 320
    )
    agn = np.isin(g["bpt"], ("Seyfert", "LINER"))
    g["sigma_gas"] = np.clip(g["sigma_star"] * np.where(agn, 1.0, 0.75), 55, 280) * rng.uniform(0.85, 1.2, n)
    g["fibre_u"] = rng.normal(0, 0.09, n)
    return g


def _main_sequence(logmass: np.ndarray, z: np.ndarray) -> np.ndarray:
    """log SFR (solar masses a year) of the star-forming sequence."""
    return 0.75 * (logmass - 10.5) - 0.06 * np.maximum(logmass - 10.7, 0) + 0.22 + 2.5 * np.log10(1 + z)


def _structure(g: Galaxies, rng: np.random.Generator) -> None:
    n, late = len(g["z"]), ~g["quiescent"]
    early = rng.beta(5.0, 1.6, n)
    small = np.clip(0.04 + 0.17 * (g["logmass"] - 9.7) + rng.normal(0, 0.09, n), 0.0, 0.6)
    g["bulge_fraction"] = np.where(late, small, early)
    g["sersic"] = np.where(late, rng.uniform(1.2, 3.0, n), np.clip(rng.normal(4.0, 0.9, n), 2.2, 6.0))
    g["q_bulge"] = np.where(late, g["q_disk"] + (1 - g["q_disk"]) * 0.7, rng.beta(4.5, 1.5, n) * 0.55 + 0.45)
    g["q_disk"] = np.where(late, g["q_disk"], np.maximum(g["q_disk"], g["q_bulge"] * 0.8))
    g["pa"] = rng.uniform(0, np.pi, n)
    grand = rng.random(n)
    g["arms"] = np.where(grand < 0.45, 2, np.where(grand < 0.62, 3, np.where(grand < 0.72, 4, 0)))
    irregular = rng.random(n) < np.clip(0.55 - 0.35 * (g["logmass"] - 9.3) + 0.25 * (g["z"] - 0.4), 0.03, 0.9)
    g["irregular"] = irregular & late & (g["class"] != "ring")
    ringed = g["class"] == "ring"
    g["q_disk"] = np.where(ringed, np.maximum(g["q_disk"], 0.45), g["q_disk"])
    g["bulge_fraction"] = np.where(ringed, np.clip(g["bulge_fraction"], 0.15, 0.4), g["bulge_fraction"])
    g["arms"] = np.where(late & ~g["irregular"], g["arms"], 0)
    g["arm_strength"] = np.where(late, np.clip(rng.normal(0.72, 0.2, n), 0.15, 1.0), 0.0)
    g["arm_strength"] = g["arm_strength"] * np.where(irregular, 0.7, 1.0)
    g["pitch"] = np.radians(np.clip(rng.normal(20, 6, n), 9, 38))
    g["spin"] = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    g["bar"] = np.where(late & ~irregular & (rng.random(n) < 0.36), rng.uniform(0.08, 0.3, n), 0.0)
    g["clumpiness"] = np.where(late, np.clip(rng.normal(0.85, 0.2, n) + 0.35 * irregular, 0.3, 1.6), 0.0)
    g["lopsided"] = np.where(irregular & late, np.abs(rng.normal(0, 0.28, n)), rng.uniform(0, 0.06, n))


def _mixture(g: Galaxies, psb: np.ndarray, rng: np.random.Generator) -> None:
    """Solar masses per template for bulge, old disk and young disk: arrays (n, templates)."""
    n = len(g["z"])
    mass, sfr = 10 ** g["logmass"], 10 ** g["logsfr"]
    young = sfr[:, None] * _BINS * 1e9 * 10 ** rng.normal(0, [0.04, 0.15, 0.22], (n, 3))
    young *= np.minimum(1.0, 0.55 * mass / young.sum(axis=1))[:, None]
    burst = mass * 10 ** rng.uniform(-1.15, -0.55, n)
    young = np.where(psb[:, None], np.stack([0 * mass, 0.002 * burst, burst], axis=1), young)
    old = np.where(g["quiescent"][:, None], np.array([0.004, 0.10, 0.896]), np.array([0.09, 0.30, 0.61])) * np.exp(
        rng.normal(0, 0.25, (n, 3))
    )
    ripe = np.clip((cosmology.age(g["z"]) - 2.6) / 7.5, 0.05, 1.0)
    moved = old[:, 2] * (1 - ripe)
    old = old + np.stack([0.06 * moved, 0.94 * moved, -moved], axis=1)
    old /= old.sum(axis=1, keepdims=True)
    rest = np.maximum(mass - young.sum(axis=1), 0.0)
    in_bulge = np.minimum(g["bulge_fraction"] * mass, 0.97 * rest)
    aged = old * np.array([0.4, 0.9, 1.15])
    aged = np.where(psb[:, None], old, aged / aged.sum(axis=1, keepdims=True))
    bulge = np.concatenate([np.zeros((n, 3)), aged * in_bulge[:, None]], axis=1)
    disk = np.concatenate([np.zeros((n, 3)), old * (rest - in_bulge)[:, None]], axis=1)
    disk[:, 2] += 0.6 * young[:, 2] * ~psb
    spread = np.zeros((n, 6))
    spread[:, :3] = young * np.array([1.0, 1.0, 0.4])
    share = np.where(psb, 0.8, 0.0)[:, None] * young
    bulge[:, :3] += share
    spread[:, :3] = np.where(psb[:, None], young - share, spread[:, :3])
    rich = np.clip(0.5 + 1.1 * (g["metallicity"] - 8.6), 0.05, 1.0)
    both = np.stack([1 - rich, rich], axis=1)
    for name, part in (("w_bulge", bulge), ("w_disk", disk), ("w_young", spread)):
        g[name] = (part[:, :, None] * both[:, None, :]).reshape(n, populations.N_TEMPLATES)


def _excitation(g: Galaxies, rng: np.random.Generator) -> None:
    """BPT class, line luminosities (n, lines) in erg/s without dust, and the nucleus."""
    n, u, late = len(g["z"]), rng.random(n := len(g["z"])), ~g["quiescent"]
    heavy = np.clip((g["logmass"] - 9.9) / 1.2, 0, 1)
    seyfert = 0.10 * heavy * late + 0.012 * ~late
    composite = 0.22 * heavy * late
    liner = 0.035 * heavy * late + 0.42 * ~late
    kind = np.full(n, "star-forming", dtype=object)
    kind[~late] = "normal"
    kind[u < seyfert + composite + liner] = "LINER"
    kind[u < seyfert + composite] = "composite"
    kind[u < seyfert] = "Seyfert"
    elg = g["target"] == "ELG"
    kind[elg & (u > 0.04)] = "star-forming"
    kind[(g["class"] == "broad-line-agn")] = "Seyfert"
    kind[(g["class"] == "post-starburst")] = "normal"
    shape, g["log_n2"], g["log_o3"] = lines.ratios(kind, g["metallicity"], rng)
    g["log_n2"] = np.where(kind == "normal", np.nan, g["log_n2"])
    g["log_o3"] = np.where(kind == "normal", np.nan, g["log_o3"])
    ha = g["logsfr"] + 41.27  # Kennicutt & Evans (2012)
    from_nucleus = np.where(kind == "Seyfert", rng.normal(40.9, 0.45, n) + 0.45 * (g["logmass"] - 10.7), -9)
    weak = rng.normal(39.7, 0.3, n) + 0.9 * (g["logmass"] - 10.8)
    ha = np.where(kind == "LINER", np.maximum(weak, np.where(late, ha - 0.1, -9)), ha)
    ha = np.where(kind == "Seyfert", np.log10(10**ha + 10**from_nucleus), ha)
    ha = np.where(kind == "normal", -9.0, ha)
    g["bpt"], g["loglha"] = kind, np.where(kind == "normal", np.nan, ha)
    g["line_luminosity"] = shape * np.where(ha > 0, 10.0**ha, 0.0)[:, None]
    broad = g["class"] == "broad-line-agn"
    quiet = np.where(kind == "Seyfert", rng.beta(1.2, 18, n), 0.0)
    g["agn_fraction"] = np.where(broad, rng.uniform(0.35, 0.8, n), quiet)
    g["agn_slope"] = rng.normal(-1.5, 0.2, n)
    g["broad_fwhm"] = np.where(broad, np.exp(rng.normal(np.log(4200), 0.35, n)).clip(1900, 9000), 0.0)
    g["broad_ew"] = np.where(broad, np.exp(rng.normal(np.log(260), 0.25, n)), 0.0)


def _light(g: Galaxies, bands: tuple[Band, ...]) -> None:
    """Fluxes of the parts in every band (n, bands) µJy, and line fluxes at Earth."""
    z, area = g["z"], 4 * np.pi * cosmology.luminosity_distance(g["z"]) ** 2
    g["av_gas"] = g["av"] / 0.44 * 0.8
    g["line_flux"] = lines.dim(g["line_luminosity"], g["av_gas"]) / area[:, None]
    for part, dust in (("bulge", 0.35), ("disk", 0.8), ("young", 1.0)):
        g["f_" + part] = photometry.stellar(g["w_" + part], z, g["av"] * dust, bands)
    shine = photometry.of_lines(g["line_flux"], lines.WAVELENGTHS * (1 + z[:, None]), bands)
    nuclear = np.isin(g["bpt"], ("Seyfert", "LINER"))
    g["f_young"] = g["f_young"] + shine * ~nuclear[:, None]
    g["f_bulge"] = g["f_bulge"] + shine * nuclear[:, None]
    host = g["f_bulge"] + g["f_disk"] + g["f_young"]
    pivot = np.array([np.sqrt(b.lo * b.hi) for b in bands])
    share = g["agn_fraction"] / (1 - g["agn_fraction"])
    # f_λ ∝ λ^slope, so f_ν ∝ λ^(slope + 2)
    g["f_point"] = (share * host[:, 0])[:, None] * (pivot / pivot[0]) ** (g["agn_slope"][:, None] + 2)
    g["flux"] = host + g["f_point"]


def _reach_limit(g: Galaxies, rng: np.random.Generator) -> None:
    """Make galaxies fainter than their programme's limit heavier until the programme would take them."""
    limit = g["faintest"] - rng.exponential(0.35, len(g["z"]))
    excess = np.maximum(photometry.to_mag(g["flux"][:, 0]) - limit, 0.0) * 0.4
    grow = 10.0**excess
    g["logmass"], g["logsfr"] = g["logmass"] + excess, g["logsfr"] + excess
    g["loglha"] = g["loglha"] + excess
    for name in ("line_luminosity", "line_flux", "flux"):
        g[name] = g[name] * grow[:, None]
    for part in ("bulge", "disk", "young", "point"):
        g["f_" + part] = g["f_" + part] * grow[:, None]
        if part != "point":
            g["w_" + part] = g["w_" + part] * grow[:, None]


def _sizes(g: Galaxies, rng: np.random.Generator) -> None:
    """Half-light radii in arcsec along the major axis, after van der Wel et al. (2014)."""
    n, relative = len(g["z"]), g["logmass"] - np.log10(5e10)
    late = 6.2 * 10 ** (0.22 * relative) * (1 + g["z"]) ** -0.75
    early = np.maximum(4.6 * 10 ** (0.70 * relative) * (1 + g["z"]) ** -1.3, 0.8)
    scale = cosmology.kpc_per_arcsec(g["z"])
    scatter = 10 ** rng.normal(0, 0.15, n)
    size = np.where(g["quiescent"], early, late) / scale * scatter
    g["r_disk"] = np.clip(size * np.where(g["quiescent"], 1.5, 1.05), 0.08, 6.0)
    g["r_bulge"] = np.clip(np.where(g["quiescent"], size * 0.9, size * rng.uniform(0.10, 0.22, n)), 0.05, 4.0)
    g["radius"] = np.clip(size, 0.08, 6.0)
    shown_whole = np.isin(g["class"], ("ring", "merger"))
    g["r_disk"] = np.where(shown_whole, np.clip(g["r_disk"], 0.5, 1.35), g["r_disk"])
    g["radius"] = np.where(shown_whole, np.clip(g["radius"], 0.5, 1.3), g["radius"])
