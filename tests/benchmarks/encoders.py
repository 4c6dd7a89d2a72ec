"""The small encoders of the three families beside PCA of the same dimension, on simulated objects never trained on.

Probes (mean R2 of ridge and LightGBM over redshift, mass and star-formation rate), recovery of each truth class at the
top of an isolation forest, the redshift gradient of the UMAP, recall@1 of a second noise realisation of the same object
among objects of one redshift, of the epochs of one real quasar among others, and objects a second. ``held`` is the
recipe of the training survey with another seed, ``check`` the second recipe, frozen before anything was trained.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kernels.embedding.batches import Images, Spectra
from tests.benchmarks._encoders_spaces import epochs, gradient, recovery
from tests.benchmarks._run import Row

HELD_SEED, CHECK_SEED, TWIN_SEED = 9001, 1, 9002
QUANTITIES = ("z_true", "logmass", "logsfr")
PARTS = ("probes", "recovery", "layout", "duplicates", "epochs", "speed")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of this benchmark."""
    parser.add_argument("--objects", type=int, default=3000, help="objects of each recipe (default 3000)")
    parser.add_argument("--twins", type=int, default=5000, help="objects within 0.01 in redshift (default 5000)")
    root = os.environ.get("EXPLORER_TEST_DATA", "../shared/data")
    parser.add_argument("--data-root", type=Path, default=Path(root), help="folder that holds boss_quasars (epochs)")
    parser.add_argument("--encoders", default="astropt,astroclip,aion", help="comma-separated")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"of {','.join(PARTS)} (default all)")


def run(options: argparse.Namespace) -> list[Row]:
    """One row a figure: ours, and PCA's of the same dimension as the peer."""
    names = options.encoders.split(",")
    parts = options.parts.split(",")
    unknown = sorted(set(parts) - set(PARTS))
    if unknown:
        raise ValueError(f"--parts {unknown[0]}: choose of {', '.join(PARTS)}")
    rows: list[Row] = []
    kept: dict[str, list[Row]] = {part: [] for part in PARTS}
    if {"probes", "recovery", "layout", "speed"} & set(parts):
        for where, recipe, seed in (("held", "euclid-desi", HELD_SEED), ("check", "euclid-desi-check", CHECK_SEED)):
            sample = drawn(recipe, options.objects, seed)
            for name in names:
                for modality in ("image", "spectrum", "joint"):
                    vectors, seconds = embedded(name, modality, sample)
                    linear = pca(modality, vectors.shape[1], sample)
                    at = f"{name}-{modality}@{where}"
                    kept["probes"] += [probes(at, vectors, linear, sample)] if "probes" in parts else []
                    kept["recovery"] += recovery(at, vectors, linear, sample.truth) if "recovery" in parts else []
                    kept["layout"] += [gradient(at, vectors, linear, sample.truth)] if "layout" in parts else []
                    kept["speed"].append(
                        Row(
                            f"encoders.speed/{at}", "objects a second", len(sample) / seconds, None, "objects/s", "more"
                        )
                    )
    for part in ("probes", "recovery", "layout", "speed"):
        rows += kept[part] if part in parts else []
    if "duplicates" in parts:
        rows += duplicates(names, options.twins)
    if "epochs" in parts:
        rows += epochs(names, options.data_root)
    return rows


@dataclass(frozen=True)
class Sample:
    """Images and spectra of the same objects with their catalogue."""

    image: Images
    spectrum: Spectra
    truth: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.image)

    def of(self, modality: str) -> Any:
        """What an encoder of that modality takes."""
        return {"image": self.image, "spectrum": self.spectrum} if modality == "joint" else getattr(self, modality)


def drawn(recipe: str, n: int, seed: int) -> Sample:
    """``n`` simulated objects in memory."""
    from explorer.survey.simulate import simulate
    from explorer.survey.simulate.recipe import load

    plan = load(recipe)
    pixels, flux, ivar, values, grid = [], [], [], [], None
    for block in simulate(recipe, n, seed):
        for record in block:
            pixels.append(record.image.pixels)
            flux.append(record.spectrum.flux)
            ivar.append(record.spectrum.ivar)
            grid = record.spectrum.wavelength
            values.append(record.values)
    truth = {k: np.array([v[k] for v in values]) for k in (*QUANTITIES, "truth")}
    images = Images(
        np.stack(pixels).astype(np.float32), tuple(b.name for b in plan.image.bands), plan.image.pixel_scale
    )
    return Sample(images, Spectra(grid, np.stack(flux), np.stack(ivar)), truth)


def encoder_of(name: str, modality: str, sample: Any) -> Any:
    """The encoder with its shipped weights, fitted to a :class:`Sample`'s (or a block's) noise, brightness and axes."""
    from explorer.pipeline.weights import shipped_path
    from kernels.embedding import ENCODERS

    kind = ENCODERS.get(name)
    given = sample.of(modality) if isinstance(sample, Sample) else sample
    return kind(modality).load(shipped_path(kind, modality)).fit([given])


def embedded(name: str, modality: str, sample: Sample) -> tuple[np.ndarray, float]:
    """``(vectors, seconds)``; joined by the family's rule where it embeds each modality alone."""
    from kernels.embedding import ENCODERS

    kind = ENCODERS.get(name)
    if modality == "joint" and "joint" not in kind.modalities:
        both = {m: embedded(name, m, sample) for m in ("image", "spectrum")}
        return kind.join({m: v for m, (v, _) in both.items()}), sum(s for _, s in both.values())
    encoder = encoder_of(name, modality, sample)
    started = time.perf_counter()
    vectors = encoder.encode(sample.of(modality))
    return vectors, time.perf_counter() - started


_PCA: dict[tuple[str, int, int], np.ndarray] = {}


def pca(modality: str, dim: int, sample: Sample) -> np.ndarray:
    """PCA of as many dimensions, fitted on the sample itself; the joint one has half of them from each modality."""
    from kernels.embedding.encoders.pca import PCA

    key = (modality, dim, id(sample))
    if key not in _PCA:
        if modality == "joint":
            _PCA[key] = PCA.join({m: pca(m, dim // 2, sample) for m in ("image", "spectrum")})
        else:
            batch = sample.of(modality)
            _PCA[key] = PCA(modality, dim).fit([batch]).encode(batch)
    return _PCA[key]


def r2(vectors: np.ndarray, truth: dict[str, np.ndarray]) -> dict[str, float]:
    """R2 of the ridge and of LightGBM for each quantity."""
    from kernels.scoring.probes import probe

    found = {q: probe(vectors, truth[q], q, bootstraps=0, explained=1) for q in QUANTITIES}
    return {f"{kind}_{q}": getattr(p, f"{kind}_r2") for q, p in found.items() for kind in ("ridge", "lgbm")}


def probes(at: str, vectors: np.ndarray, linear: np.ndarray, sample: Sample) -> Row:
    """Mean probe R2 of ours and of PCA."""
    ours, peer = r2(vectors, sample.truth), r2(linear, sample.truth)
    extra: dict[str, Any] = {"dims": vectors.shape[1], "objects": len(sample)}
    extra |= {k: round(v, 3) for k, v in ours.items()} | {f"pca_{k}": round(v, 3) for k, v in peer.items()}
    what = "mean R2 of ridge and LightGBM over redshift, mass, star-formation rate; peer: PCA of the same dimension"
    mean, other = float(np.mean(list(ours.values()))), float(np.mean(list(peer.values())))
    return Row(f"encoders.probes/{at}", what, mean, other, "R2", "more", extra=extra)


@lru_cache(maxsize=1)
def twins(n: int, low: float = 0.23, high: float = 0.24) -> tuple[Sample, Sample]:
    """Two noise realisations of the same ``n`` galaxies, all within 0.01 in redshift."""
    from explorer.survey.simulate import images, spectra
    from explorer.survey.simulate.galaxies import physics
    from explorer.survey.simulate.recipe import load

    plan = load("euclid-desi")
    target = {**plan.targets[0], "share": 1.0, "z_lo": low, "z_hi": high, "z_peak": (low + high) / 2}
    plan = replace(plan, targets=(target,), rates=dict.fromkeys(plan.rates, 0.0))
    key = plan.key(TWIN_SEED)
    made: list[list[Any]] = [[], []]
    for block in range(-(-n // plan.block)):
        g, seen, rows = physics(plan, key, block)
        cutouts, flux = images.noiseless(g, plan.image, key, rows), spectra.noiseless(seen, plan.spectrum)
        for turn, noise in enumerate((key, key + 1)):
            pixels = images.observe(cutouts, g, plan.image, noise, rows)
            made[turn].append((pixels, *spectra.observe(flux, seen, plan.spectrum, noise, rows), g["z"]))
    bands, grid = tuple(b.name for b in plan.image.bands), plan.spectrum.wavelength()
    out = []
    for parts in made:
        pixels, flux, ivar, z = (np.concatenate(p)[:n] for p in zip(*parts, strict=True))
        assert low <= z.min()
        assert z.max() <= high
        out.append(Sample(Images(pixels.astype(np.float32), bands, 0.1), Spectra(grid, flux, ivar), {"z_true": z}))
    return out[0], out[1]


def duplicates(names: list[str], n: int) -> list[Row]:
    """Recall@1 of the second realisation from the first by the cosine of vectors as they are.

    PCA is given the better of its vectors as they are and of standardised ones.
    """
    from kernels.embedding.encoders.pca import PCA

    first, second = twins(n)
    rows = []
    for modality in ("image", "spectrum"):
        a, b = first.of(modality), second.of(modality)
        raw = recall(pixels_of(a), pixels_of(b))
        peers: dict[int, tuple[float, float]] = {}
        for name in names:
            encoder = encoder_of(name, modality, first)
            u, v = encoder.encode(a), encoder.encode(b)
            if u.shape[1] not in peers:
                linear = PCA(modality, u.shape[1]).fit([a])
                told = linear.encode(a), linear.encode(b)
                peers[u.shape[1]] = recall(*told), recall(*told, standard=False)
            what = (
                f"recall@1 of a second noise realisation, {n} objects within 0.01 in redshift; peer: PCA, better of 2"
            )
            extra: dict[str, Any] = {"raw_pixels": round(raw, 4), "dims": u.shape[1], "objects": n}
            names_of = ("pca_standardised", "pca_as_it_is")
            extra |= {k: round(p, 4) for k, p in zip(names_of, peers[u.shape[1]], strict=True)}
            extra["standardised"] = round(recall(u, v), 4)
            ours, peer = recall(u, v, standard=False), max(peers[u.shape[1]])
            rows.append(Row(f"encoders.duplicates/{name}-{modality}", what, ours, peer, "recall", "more", extra=extra))
    return rows


def pixels_of(batch: Any) -> np.ndarray:
    """Raw pixels, each object's at unit length: images 32 pixels a side, spectra averaged in cells of ten samples."""
    from kernels.preprocess.images import clean, resize

    if isinstance(batch, Images):
        flat = resize(clean(batch.pixels), 32, antialias=True).reshape(len(batch), -1)
    else:
        good = batch.flux * (batch.ivar > 0)
        flat = good[:, : good.shape[1] // 10 * 10].reshape(len(batch), -1, 10).mean(axis=2)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)


def recall(first: np.ndarray, second: np.ndarray, standard: bool = True) -> float:
    """Share of the rows of ``first`` whose nearest row of ``second`` is their own; columns standardised alike."""
    from kernels.search import Neighbours

    mean = first.mean(axis=0)
    spread = np.maximum(first.std(axis=0), 1e-9) if standard else 1.0
    u, v = (((x - mean) / spread).astype(np.float32) for x in (first, second))
    _, nearest = Neighbours(metric="cosine", method="exact").fit(v).query(u, 1)
    return float((nearest[:, 0] == np.arange(len(u))).mean())
