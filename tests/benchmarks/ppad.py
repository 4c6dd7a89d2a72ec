"""PPAD on simulated X-ray sources it was not trained on, and on a real list (P2.1, P2.4).

Held-out events: each source's events are split at random, the rate is fitted to 70 % and judged by the log-likelihood
of the rest. Peers: a constant rate, 16 equal bins, and bins whose number is chosen for each source on a part of the
70 %. Hardness is read from the latents by ridge regression in five folds, variability by a forest in five folds beside
Gregory and Loredo's odds from the same events.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np

from explorer.survey.resources import data_path
from explorer.survey.simulate.stream import simulate
from explorer.survey.simulate.variability import KINDS, gregory_loredo
from kernels.embedding.batches import Events, XSpectra
from kernels.embedding.encoders.ppad import PPAD, rate
from kernels.embedding.encoders.xspec_autoencoder import XspecAutoencoder
from kernels.preprocess.events import BANDS, keep, live_time
from kernels.preprocess.xray import bin_edges, rate_from_channels
from tests.benchmarks._run import Row

SHARE = 0.7
CELLS = 4096


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options: how many sources, which recipe and seed, whose weights, where the real data lie."""
    parser.add_argument("--sources", type=int, default=1500, help="simulated sources")
    parser.add_argument("--fast", type=int, default=150, help="sources that pulse every 100 to 1,000 s")
    parser.add_argument("--recipe", default="simulated-xray")
    parser.add_argument("--source-seed", type=int, default=0, help="seed of the survey; training used another")
    parser.add_argument("--weights", type=Path, default=None, help="weights; by default those that ship")
    parser.add_argument("--events-file", type=Path, default=None, help="Chandra event list with x and y")


def run(options: argparse.Namespace) -> list[Row]:
    """All figures."""
    encoder = PPAD().load(options.weights or data_path("weights") / PPAD.weights["events"])
    records = [r for block in simulate(options.recipe, options.sources, options.source_seed) for r in block]
    lists: list[Any] = [r.events for r in records]
    kind = np.array([r.values["variability_truth"] for r in records])
    start = time.perf_counter()
    events = Events.of([e.time for e in lists], [e.energy for e in lists], [e.gti for e in lists])
    latents = encoder.encode(events)
    seconds = time.perf_counter() - start
    rows = [Row("ppad.speed", f"latents of {len(lists)} sources", len(lists) / seconds, None, "sources/s", "more")]
    rows += held_out(encoder, events, kind, options.source_seed)
    rows += held_out(encoder, *fast(options.fast, options.source_seed), options.source_seed)
    rows += hardness(latents, records) + variable(latents, events, kind)
    rows += xspectra([r.xspectrum for r in records], records)
    if options.events_file:
        rows += real(encoder, options.events_file)
    return rows


def thin(events: Events, share: float, seed: int) -> tuple[Events, Events]:
    """The same sources with a random part of their events, and with the others."""
    first = np.random.default_rng(seed).random(len(events.time)) < share
    parts = []
    for chosen in (first, ~first):
        count = np.add.reduceat(np.append(chosen, False).astype(np.int64), events.offsets[:-1])
        count[np.diff(events.offsets) == 0] = 0
        offsets = np.concatenate([[0], np.cumsum(count)])
        parts.append(Events(events.time[chosen], events.energy[chosen], offsets, events.gti, events.spans))
    return parts[0], parts[1]


def fast(n: int, seed: int) -> tuple[Events, np.ndarray]:
    """Sources of 100 to 3,000 photons that pulse every 100 to 1,000 s (the survey's own are slower), and their kind."""
    rng = np.random.default_rng([seed, 100])
    times, energies, gtis = [], [], []
    for _ in range(n):
        span = float(rng.choice([15e3, 30e3, 50e3, 95e3]))
        period, depth = 100 * 10 ** rng.uniform(0, 1), rng.uniform(0.55, 0.95)
        count, start = round(100 * 30 ** rng.uniform(0, 1)), rng.uniform(0, 1)
        at = rng.uniform(0, span, 8 * count)
        bright = 1 + depth * np.sin(2 * np.pi * (at / period + start))
        times.append(np.sort(at[rng.uniform(0, 2, len(at)) < bright][:count]))
        energies.append(rng.choice([0.9, 1.6, 4.0], len(times[-1])))
        gtis.append(np.array([[0.0, span]]))
    return Events.of(times, energies, gtis), np.full(n, "pulsation-100-s")


def held_out(encoder: PPAD, events: Events, kind: np.ndarray, seed: int) -> list[Row]:
    """Gain in nats a source over a constant rate on the events that were left out, by kind of light curve."""
    shown, rest = thin(events, SHARE, seed)
    latents = encoder.encode(shown)
    gain = np.full((len(events), 3), np.nan)
    for i in range(len(events)):
        if np.isfinite(latents[i]).all():
            gain[i] = _gains(encoder, shown.take([i]), rest.take([i]), latents[i], seed + i)
    rng = np.random.default_rng(0)
    rows = []
    for name in dict.fromkeys([*KINDS, *kind.tolist()]):
        here = gain[(kind == name) & np.isfinite(gain[:, 0])]
        if not len(here):
            continue
        again = here[rng.integers(0, len(here), (1000, len(here)))].mean(axis=1)
        over = here[:, 0] - here[:, 1:].max(axis=1)
        spread = np.percentile(over[rng.integers(0, len(here), (1000, len(here)))].mean(axis=1), [2.5, 97.5])
        for k, peer in ((1, "16 bins"), (2, "chosen bins")):
            extra: dict[str, Any] = {"sources": len(here), "low": float(np.percentile(again[:, 0], 2.5))}
            extra |= {"high": float(np.percentile(again[:, 0], 97.5)), "above_constant": float((here[:, 0] > 0).mean())}
            extra |= {"above_peer": float((here[:, 0] > here[:, k]).mean())}
            extra |= {"over_both_low": float(spread[0]), "over_both_high": float(spread[1])}
            what = f"held-out nats a source over a constant rate, {name}"
            rows.append(
                Row(f"ppad.held-out-{name}/{peer}", what, here[:, 0].mean(), here[:, k].mean(), "nats", "more",
                    extra=extra)
            )  # fmt: skip
    return rows


def _gains(encoder: PPAD, shown: Events, rest: Events, latent: np.ndarray, seed: int) -> np.ndarray:
    """(3,) nats of the events left out over a constant rate: PPAD, 16 bins, chosen bins. Level by band is the same."""
    fit, kept = keep(shown), keep(rest)
    total = np.bincount(fit.band, minlength=len(BANDS) - 1) + 0.5
    more = (1 - SHARE) / SHARE
    live = np.diff(live_time(rest, kept, np.linspace(0, 1, CELLS + 1))[0])
    middle = kept.start[0] + (np.arange(CELLS) + 0.5) / CELLS * kept.span[0]
    constant = total * more / live.sum()

    def nats(at_events: np.ndarray, integral: float) -> float:
        return float(np.log(np.maximum(at_events, 1e-300)).sum() - integral)

    flat = nats(constant[kept.band], float(total.sum() * more))
    at = kept.start[0] + kept.time * kept.span[0]
    ours = rate(encoder, shown, latent, at)[np.arange(len(at)), kept.band] * more
    whole = (rate(encoder, shown, latent, middle) * live[:, None]).sum() * more
    out = [nats(ours, float(whole)) - flat]
    for bins in (16, _best_number(fit.time, live, seed)):
        shape = _binned(fit.time, live, bins)
        cell = np.minimum((kept.time * bins).astype(int), bins - 1)
        out.append(nats(constant[kept.band] * shape[cell], float(total.sum() * more)) - flat)
    return np.array(out)


def _binned(time: np.ndarray, live: np.ndarray, bins: int) -> np.ndarray:
    """(bins,) rate over its mean; each bin as if one more event had been seen at the mean rate, its level renormed."""
    exposed = live.reshape(bins, -1).sum(axis=1)
    expected = exposed / exposed.sum() * len(time)
    counts = np.bincount(np.minimum((time * bins).astype(int), bins - 1), minlength=bins)
    shape = (counts + 1) / (expected + 1)
    return shape / max((shape * exposed).sum() / exposed.sum(), 1e-12)


def _best_number(time: np.ndarray, live: np.ndarray, seed: int) -> int:
    """The number of bins (1 to 256) whose rate from three quarters of the events tells the last quarter best."""
    first = np.random.default_rng(seed).random(len(time)) < 0.75
    told = {}
    for bins in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        shape = _binned(time[first], live, bins)
        told[bins] = np.log(shape[np.minimum((time[~first] * bins).astype(int), bins - 1)]).sum()
    return max(told, key=lambda bins: told[bins])


def hardness(latents: np.ndarray, records: list[Any]) -> list[Row]:
    """R2 of hardness ratios from the latents, sources of at least 200 counts."""
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows = []
    for name in ("hard_hs", "hard_hm", "hard_ms"):
        truth = np.array([np.nan if r.values[name] is None else r.values[name] for r in records], float)
        some = (np.array([r.values["counts_b"] for r in records]) >= 200) & np.isfinite(truth)
        some &= np.isfinite(latents).all(axis=1)
        told = cross_val_predict(make_pipeline(StandardScaler(), Ridge(1.0)), latents[some], truth[some], cv=5)
        what = f"R2 of {name} from latents, ridge, {some.sum()} sources of 200 counts or more"
        rows.append(Row(f"ppad.{name}", what, float(r2_score(truth[some], told)), None, "R2", "more", floor=0.8))
    return rows


def variable(latents: np.ndarray, events: Events, kind: np.ndarray) -> list[Row]:
    """AUC of "not constant" from the latents, beside Gregory and Loredo's log odds on the same events."""
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    some = np.isfinite(latents).all(axis=1)
    odds = np.empty(len(events))
    for i in range(len(events)):
        time_, energy, gti = events.source(i)
        inside = (energy >= BANDS[0]) & (energy < BANDS[-1])
        odds[i] = gregory_loredo(time_[inside], gti)[1]
    truth = kind[some] != "constant"
    forest = ExtraTreesClassifier(400, min_samples_leaf=3, random_state=0)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    told = cross_val_predict(forest, latents[some], truth, cv=folds, method="predict_proba")[:, 1]
    floor = np.maximum(odds[some], -1e3)
    rng = np.random.default_rng(0)
    apart = []
    for _ in range(500):
        pick = rng.integers(0, len(truth), len(truth))
        apart.append(roc_auc_score(truth[pick], told[pick]) - roc_auc_score(truth[pick], floor[pick]))
    low, high = np.percentile(apart, [2.5, 97.5])
    extra: dict[str, Any] = {"sources": len(truth), "low": float(low), "high": float(high)}
    for name in KINDS[1:]:
        pair = (kind[some] == name) | ~truth
        extra[f"{name}_ours"] = float(roc_auc_score(truth[pair], told[pair]))
        extra[f"{name}_gl"] = float(roc_auc_score(truth[pair], floor[pair]))
    ours, peer = float(roc_auc_score(truth, told)), float(roc_auc_score(truth, floor))
    what = "AUC of variable against constant: latents beside Gregory-Loredo odds"
    return [Row("ppad.variable/gregory-loredo", what, ours, peer, "AUC", "more", extra=extra)]


def xspectra(spectra: list[Any], records: list[Any]) -> list[Row]:
    """R2 of catalogue columns from the X-ray autoencoder and from PCA of the same 64 dimensions and the same input."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.metrics import r2_score
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    edges = bin_edges()
    rate_ = [rate_from_channels(x.energy_lo, x.energy_hi, x.counts, x.exposure, x.background, edges) for x in spectra]
    batch = XSpectra(np.array(rate_, np.float32), edges, np.array([x.exposure for x in spectra]))
    encoder = XspecAutoencoder().load(data_path("weights") / XspecAutoencoder.weights["xspectrum"])
    vectors = encoder.encode(batch)
    seen, back = encoder.reconstruct(batch)
    good = np.isfinite(vectors).all(axis=1)
    linear = PCA(encoder.dim, random_state=0).fit(seen[good])
    flat = linear.transform(seen[good])
    apart = [float(np.abs(t - seen[good]).mean()) for t in (back[good], linear.inverse_transform(flat))]
    what = "mean absolute error of reconstruction, autoencoder not fitted on these; peer: PCA fitted on them"
    rows = [Row("xspec.reconstruction/pca", what, apart[0], apart[1], "of peak", "less", extra={"n": int(good.sum())})]
    for name in ("hard_hs", "hard_ms", "powlaw_gamma", "powlaw_nh", "bb_kt"):
        truth = np.array([np.nan if r.values[name] is None else r.values[name] for r in records], float)[good]
        known = np.isfinite(truth)
        told = [
            cross_val_predict(make_pipeline(StandardScaler(), Ridge(3.0)), x[known], truth[known], cv=5)
            for x in (vectors[good], flat)
        ]
        ours, peer = (float(r2_score(truth[known], t)) for t in told)
        rows.append(Row(f"xspec.{name}/pca", f"R2 of {name}, ridge, {known.sum()} spectra", ours, peer, "R2", "more"))
    return rows


def real(encoder: PPAD, path: Path) -> list[Row]:
    """The brightest source of a real Chandra list: events inside 15 pixels, its fitted rate against a constant."""
    events, inside = region(path)
    shown, rest = thin(events, SHARE, 0)
    latent = encoder.encode(shown)[0]
    gain = _gains(encoder, shown, rest, latent, 0)
    whole = encoder.encode(events)[0]
    clock = float(1000 * 10 ** whole[-2]) if whole[-5] > 0 else 0.0
    extra: dict[str, Any] = {"events": inside, "16_bins": float(gain[1]), "chosen_bins": float(gain[2])}
    extra |= {"period_s": clock}
    what = "real M82 list, brightest source: held-out nats over a constant rate"
    return [Row("ppad.m82", what, float(gain[0]), 0.0, "nats", "more", extra=extra)]


def region(path: Path, radius: float = 15.0) -> tuple[Events, int]:
    """The events within ``radius`` sky pixels of the brightest place of a Chandra list, in keV and s."""
    from astropy.io import fits

    with fits.open(path) as hdus:
        table = next(h for h in hdus if h.header.get("EXTNAME", "").upper().startswith("EVENTS"))
        data = {name.lower(): np.asarray(table.data[name], np.float64) for name in table.columns.names}
        gti = next(h.data for h in hdus if h.header.get("EXTNAME", "").upper().startswith("GTI"))
        spans = np.stack([np.asarray(gti[n], np.float64) for n in gti.dtype.names[:2]], axis=1)
    x, y = data["x"], data["y"]
    table_2d, xs, ys = np.histogram2d(x, y, bins=[np.arange(v.min(), v.max() + 8, 8) for v in (x, y)])
    i, j = np.unravel_index(int(table_2d.argmax()), table_2d.shape)
    near = np.hypot(x - xs[i] - 4, y - ys[j] - 4) < radius
    return Events.of([data["time"][near]], [data["energy"][near] / 1e3], [spans]), int(near.sum())
