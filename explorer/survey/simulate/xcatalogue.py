"""What an X-ray catalogue says of a source, computed from its events: the columns that the CSC has."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pyarrow as pa

from explorer.survey.records import Events
from explorer.survey.simulate import variability, xray

_NH = np.array([0.01, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0])
_GRIDS = {
    "powlaw": ("gamma", np.arange(-0.5, 5.01, 0.1)),
    "bb": ("kt", np.geomspace(0.05, 4.0, 45)),
    "brems": ("kt", np.geomspace(0.1, 40.0, 45)),
    "apec": ("kt", np.geomspace(0.1, 12.0, 45)),
}
_ABUNDANCE, _REDSHIFT = (0.1, 0.3, 0.5, 1.0, 2.0), (0.0, 0.1, 0.2, 0.4, 0.6)
_EDGES = np.concatenate([np.arange(0.5, 2.0, 0.05), np.arange(2.0, 7.01, 0.2)])


def describe() -> dict[str, tuple[pa.DataType, str, str]]:
    """Column name → (type, unit, description)."""
    f = pa.float64()
    out = {
        "exposure": (f, "s", "live time"),
        "counts_b": (pa.int32(), "", "events in 0.5-7 keV, background included"),
        "src_cnts_aper_b": (f, "", "net counts in 0.5-7 keV"),
        "photflux_aper_b": (f, "photon/cm2/s", "net photon flux in 0.5-7 keV"),
        "flux_significance_b": (f, "", "net flux in 0.5-7 keV over its error"),
        "hard_hs": (f, "", "(H - S) / (H + S) of photon fluxes, S 0.5-1.2, M 1.2-2, H 2-7 keV"),
        "hard_hm": (f, "", "(H - M) / (H + M)"),
        "hard_ms": (f, "", "(M - S) / (M + S)"),
    }
    for band in "bshm":
        out[f"var_prob_{band}"] = (f, "", f"Gregory-Loredo probability of variability, band {band}")
    out["var_index_b"] = (pa.int32(), "", "variability index 0-10 from probability and odds")
    for model, (name, _) in _GRIDS.items():
        unit = "" if name == "gamma" else "keV"
        out[f"{model}_{name}"] = (f, unit, f"best {name} of an absorbed {model} model")
        out[f"{model}_nh"] = (f, "1e22/cm2", f"its column of absorbing hydrogen ({model})")
        out[f"{model}_stat"] = (f, "", f"Cash statistic of the {model} model per degree of freedom")
    out["apec_abund"] = (f, "solar", "its abundance of metals (apec)")
    out["apec_z"] = (f, "", "its redshift (apec)")
    return out


@lru_cache(maxsize=8)
def mean_area(band: str) -> float:
    """Effective area in cm² over a band for a photon index of 1.7."""
    lo, hi = xray.BANDS[band]
    energy = xray.ENERGY
    inside = (energy >= lo) & (energy < hi)
    weight = xray.powerlaw(1.7)[inside] * np.gradient(energy)[inside]
    return float((xray.area(energy[inside]) * weight).sum() / weight.sum())


def hardness(events: Events, background: float, exposure: float) -> dict[str, float | None]:
    """CSC-like net counts, fluxes and hardness ratios; ``background`` expected events over 0.3-10 keV."""
    energy = events.energy if events.energy is not None else np.empty(0)
    net, flux = {}, {}
    for band, (lo, hi) in xray.BANDS.items():
        counts = int(((energy >= lo) & (energy < hi)).sum())
        net[band] = (counts, counts - background * background_share(band))
        flux[band] = max(net[band][1], 0.0) / mean_area(band) / exposure
    error = np.sqrt(max(net["b"][0], 1) + 0.04 * (background * background_share("b")))
    out: dict[str, float | None] = {
        "counts_b": net["b"][0],
        "src_cnts_aper_b": net["b"][1],
        "photflux_aper_b": flux["b"],
        "flux_significance_b": float(max(net["b"][1], 0.0) / error),
    }
    for name in ("hard_hs", "hard_hm", "hard_ms"):
        x, y = name[-2], name[-1]
        total = flux[x] + flux[y]
        out[name] = (flux[x] - flux[y]) / total if total > 0 else None
    return out


def background_share(band: str) -> float:
    """Share of the background's events that fall into a band."""
    lo, hi = xray.BANDS[band]
    soft = np.exp(-(lo - 0.3) / 0.5) - np.exp(-(hi - 0.3) / 0.5)
    return 0.3 * float(soft) + 0.7 * (hi - lo) / 9.0


def variation(events: Events) -> dict[str, float | int]:
    """Gregory-Loredo probabilities by band, and the index of the broad one."""
    energy = events.energy if events.energy is not None else np.empty(0)
    out: dict[str, float | int] = {}
    for band in "bshm":
        lo, hi = xray.BANDS[band]
        inside = (energy >= lo) & (energy < hi)
        probability, log_odds = variability.gregory_loredo(events.time[inside], events.gti)
        out[f"var_prob_{band}"] = probability
        if band == "b":
            out["var_index_b"] = variability.index(probability, log_odds)
    return out


@lru_cache(maxsize=1)
def _blur() -> np.ndarray:
    """(bins, energies) counts in a bin for a unit rate at an energy."""
    middle, width = (_EDGES[1:] + _EDGES[:-1]) / 2, np.diff(_EDGES)
    blur = np.exp(-0.5 * ((middle[:, None] - xray.ENERGY) / xray.resolution(xray.ENERGY)) ** 2)
    return blur / xray.resolution(xray.ENERGY) * np.gradient(xray.ENERGY) * width[:, None]


def _shares(rows: np.ndarray) -> np.ndarray:
    """log of the share of counts per bin, a fiftieth of them a flat background."""
    width = np.diff(_EDGES)
    rows = rows / rows.sum(axis=-1, keepdims=True)
    return np.log(np.maximum(0.98 * rows + 0.02 * width / width.sum(), 1e-12))


@lru_cache(maxsize=8)
def _folded(model: str) -> np.ndarray:
    """(values, nh, bins) log of the share of counts per bin that a model predicts, resolution included."""
    make = {"powlaw": xray.powerlaw, "bb": xray.blackbody, "brems": xray.bremsstrahlung, "apec": xray.plasma}[model]
    return _shares(np.stack([[_blur() @ xray.detected(make(value), nh) for nh in _NH] for value in _GRIDS[model][1]]))


@lru_cache(maxsize=512)
def _folded_plasma(i: int, j: int) -> np.ndarray:
    """(abundances, redshifts, bins) the same for a plasma of temperature ``i`` and column ``j`` of the grid."""
    kt, nh = float(_GRIDS["apec"][1][i]), float(_NH[j])
    rows = [[_blur() @ xray.detected(xray.plasma(kt, m, z), nh) for z in _REDSHIFT] for m in _ABUNDANCE]
    return _shares(np.array(rows))


def fits(events: Events) -> dict[str, float | None]:
    """Best absorbed power law, black body, bremsstrahlung and plasma by Cash's statistic; None below 10 counts.

    Abundance and redshift of the plasma are fitted at its best temperature and column.
    """
    energy = events.energy if events.energy is not None else np.empty(0)
    counts = np.histogram(energy, _EDGES)[0].astype(float)
    out: dict[str, float | None] = {}
    perfect = counts.sum() * np.log(max(counts.sum(), 1)) - (counts[counts > 0] * np.log(counts[counts > 0])).sum()
    for model, (name, values) in _GRIDS.items():
        if counts.sum() < 10:
            out |= {f"{model}_{name}": None, f"{model}_nh": None, f"{model}_stat": None}
            continue
        statistic = -(_folded(model) @ counts)
        i, j = (int(k) for k in np.unravel_index(int(np.argmin(statistic)), statistic.shape))
        least = float(statistic[i, j])
        if model == "apec":
            finer = -(_folded_plasma(i, j) @ counts)
            k, m = (int(x) for x in np.unravel_index(int(np.argmin(finer)), finer.shape))
            out |= {"apec_abund": _ABUNDANCE[k], "apec_z": _REDSHIFT[m]}
            least = min(least, float(finer[k, m]))
        out[f"{model}_{name}"], out[f"{model}_nh"] = float(values[i]), float(_NH[j])
        out[f"{model}_stat"] = float(2 * (least - perfect) / (len(counts) - 3))
    if counts.sum() < 10:
        out |= {"apec_abund": None, "apec_z": None}
    return out
