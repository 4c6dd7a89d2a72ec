"""What the study of P2 and P3 is made of: sources, aligners, and what the papers published."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline.align import discussed, keys_of, space_of
from explorer.survey.files import write_atomically
from explorer.survey.store import Survey
from kernels.embedding.align.aligner import Aligner
from kernels.embedding.align.splits import grouped

P2 = {  # variable: MAE from text, data, both, and the gain in per cent (table 2)
    "hard_hs": (0.40, 0.29, 0.22, 24),
    "hard_ms": (0.32, 0.27, 0.25, 7),
    "hard_hm": (0.27, 0.22, 0.17, 23),
    "var_prob_b": (0.23, 0.22, 0.21, 5),
    "flux_significance_b": (5.15, 2.43, 2.27, 7),
}
P3 = {  # variable: mean baseline; spectra, text before; spectra, text, both after; experts; gain in per cent (table 3)
    "hard_hs": (0.40, 0.20, 0.27, 0.16, 0.17, 0.12, 0.12, 40),
    "hard_ms": (0.28, 0.17, 0.22, 0.14, 0.17, 0.12, 0.12, 28),
    "hard_hm": (0.23, 0.15, 0.18, 0.11, 0.15, 0.10, 0.10, 33),
    "var_prob_b": (0.26, 0.27, 0.18, 0.26, 0.20, 0.23, 0.23, -25),
    "var_index_b": (1.77, 1.79, 1.00, 1.70, 1.19, 1.45, 1.00, 0),
    "powlaw_gamma": (0.89, 0.67, 0.65, 0.44, 0.67, 0.41, 0.41, 36),
    "powlaw_nh": (65.32, 33.08, 48.88, 26.39, 40.82, 21.63, 21.63, 35),
    "powlaw_stat": (0.47, 0.46, 0.43, 0.36, 0.52, 0.37, 0.37, 14),
    "bb_kt": (3.23, 0.32, 0.49, 0.27, 0.40, 0.28, 0.28, 13),
    "bb_nh": (58.95, 74.31, 111.48, 53.78, 101.59, 50.29, 50.29, 32),
    "bb_stat": (0.91, 0.75, 0.78, 0.65, 0.79, 0.68, 0.68, 10),
    "brems_kt": (11.76, 6.26, 6.27, 5.37, 5.35, 5.64, 5.64, 10),
    "brems_nh": (125.98, 23.31, 26.98, 15.57, 19.54, 14.12, 14.12, 39),
    "brems_stat": (0.57, 0.53, 0.50, 0.42, 0.62, 0.46, 0.46, 9),
    "apec_kt": (3.51, 1.60, 1.74, 1.23, 1.60, 1.22, 1.22, 23),
    "apec_abund": (0.72, 0.76, 0.89, 0.70, 0.78, 0.81, 0.81, -6),
    "apec_z": (0.22, 0.21, 0.21, 0.20, 0.21, 0.20, 0.21, -3),
    "apec_nh": (65.84, 35.95, 35.67, 27.77, 31.47, 24.92, 24.92, 30),
    "apec_stat": (0.73, 0.66, 0.75, 0.61, 0.78, 0.62, 0.62, 6),
    "flux_significance_b": (8.50, 7.36, 7.67, 4.06, 6.53, 4.54, 4.54, 38),
}
CLASS_COLUMNS = ("truth", "agg_master_class", "main_type", "otype", "class")
Tell = Callable[[str], None]
Pairs = tuple[np.ndarray, np.ndarray]


@dataclass
class Sources:
    """Sources that have all three modalities: ``vectors`` name → (n, d) of data, spectra and text; all arrays have n.

    ``kinds`` class of each; ``rare`` bool; ``targets`` variable → (n,); ``keys`` what parts may not be split.
    """

    vectors: dict[str, np.ndarray]
    spaces: dict[str, str]
    rows: np.ndarray
    ids: np.ndarray
    kinds: np.ndarray
    rare: np.ndarray
    targets: dict[str, np.ndarray]
    keys: list[set[str]]

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, seed: int) -> dict[str, np.ndarray]:
        """Train, calibration, validation and test, by source and paper, of P3's shares."""
        return grouped(self.keys, random_state=seed)

    def pairs(self, a: str, b: str, rows: np.ndarray) -> Pairs:
        """The vectors of two modalities."""
        return self.vectors[a][rows], self.vectors[b][rows]


def spaces_of(survey: Survey, told: str) -> list[str]:
    """The spaces that ``"ppad/events+photons/events"``, one space, or the modality of one space names."""
    return [space_of(survey, part) for part in told.split("+")]


def vectors_of(survey: Survey, told: str) -> np.ndarray:
    """(n, d) float32 of a space; of several, their components side by side, each brought to one scatter."""
    spaces = [np.asarray(survey.embedding(s), np.float32) for s in spaces_of(survey, told)]
    if len(spaces) == 1:
        return spaces[0]
    scaled = [(v - np.nanmean(v, axis=0)) / np.maximum(np.nanstd(v, axis=0), 1e-9) for v in spaces]
    return np.concatenate(scaled, axis=1).astype(np.float32)


def sources_of(
    survey: Survey,
    data: str = "events",
    spectra: str = "xspectrum",
    text: str = "text",
    within: np.ndarray | None = None,
) -> Sources:
    """Read a survey: three spaces (or modalities that have one space each, or spaces joined by ``+``), the columns of
    the papers, the classes; of the rows of the mask ``within`` alone where it is given."""
    told = {"data": data, "spectra": spectra, "text": text}
    spaces = {n: "+".join(spaces_of(survey, s)) for n, s in told.items()}
    whole = {n: vectors_of(survey, s) for n, s in spaces.items()}
    rows = np.flatnonzero(np.logical_and.reduce([np.isfinite(v).all(axis=1) for v in whole.values()]))
    rows = rows[discussed(survey, rows)]
    rows = rows if within is None else rows[within[rows]]
    if len(rows) < 100:
        raise ValueError(f"{survey.name}: {len(rows)} sources have {', '.join(spaces.values())}; a study needs 100")
    found = next((c for c in CLASS_COLUMNS if c in survey.columns), None)
    kinds = survey.column(found)[rows].astype(str) if found else np.full(len(rows), "source")
    targets = {v: np.asarray(survey.column(v), np.float64)[rows] for v in P3 if v in survey.columns}
    if not targets:
        raise ValueError(f"{survey.name} has none of the columns {', '.join(P3)} that the papers predict")
    share = {k: (kinds == k).mean() for k in np.unique(kinds).tolist()}
    rare = np.array([share[k] < 0.035 for k in kinds.tolist()])
    if "truth_kind" in survey.columns:
        rare = survey.column("truth_kind")[rows].astype(str) == "rarity"
    vectors = {n: np.asarray(v[rows], np.float32) for n, v in whole.items()}
    return Sources(vectors, spaces, rows, survey.ids[rows], kinds, rare, targets, keys_of(survey, rows))


@dataclass
class Fitted:
    """All aligners of one seed, and its split."""

    seed: int
    parts: dict[str, np.ndarray]
    p2: Aligner
    p2_both: Aligner
    p2_towers: Aligner
    p2_shuffled: Aligner
    p2_both_shuffled: Aligner
    p3: Aligner
    p3_shuffled: Aligner

    def after(self, s: Sources, which: str) -> dict[str, np.ndarray]:
        """Data (or spectra), text and both after alignment, (n, ·) of all sources."""
        aligner, side = (self.p2, "data") if which == "p2" else (self.p3, "spectra")
        a, b = s.vectors[side], s.vectors["text"]
        return {side: aligner.encode("a", a), "text": aligner.encode("b", b), "both": aligner.joint(a, b)}


def stamp(survey: Survey, spaces: Iterable[str]) -> str:
    """Short name of spaces as they were made: what was tried on other vectors tells nothing."""
    parts = sorted({part for told in spaces for part in told.split("+")})
    told = [[p, survey.provenance(f"space:{p}").get("time", "")] for p in parts]
    return hashlib.sha256(json.dumps([told, len(survey)], default=str).encode()).hexdigest()[:12]


class Keeper:
    """Fitted aligners in a folder, so that a study that was killed goes on; kept nowhere where ``folder`` is None."""

    def __init__(self, folder: Path | None):
        self.folder = folder

    def of(self, told: Mapping[str, Any], options: Mapping[str, Any], fit: Callable[[], Aligner]) -> Aligner:
        """The aligner that ``told`` names, from the folder or by ``fit``."""
        if self.folder is None:
            return fit()
        from safetensors.numpy import load_file, save

        name = hashlib.sha256(json.dumps([dict(told), dict(options)], sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder / f"{name}.safetensors"
        if path.exists():
            return Aligner(**options).load_state(load_file(path))
        made = fit()
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, save({k: np.ascontiguousarray(v) for k, v in made.state().items()}))
        return made


NETWORKS = 7
"""Aligners that one seed needs."""


def fit_seed(
    s: Sources,
    seed: int,
    epochs: int,
    members: int,
    options: Mapping[str, Any],
    tell: Tell,
    keeper: Keeper | None = None,
) -> Fitted:
    """Split and train everything that one seed needs."""
    parts, keeper = s.split(seed), keeper or Keeper(None)
    order = np.random.default_rng(seed).permutation(len(parts["train"]))

    def fit(name: str, side: str, shuffled: bool = False, **told: Any) -> Aligner:
        tell(f"seed {seed}: {name}{' on shuffled pairs' if shuffled else ''}")
        chosen = {"epochs": epochs, "random_state": seed, **told}
        a, b = s.pairs(side, "text", parts["train"])
        held = None if shuffled else s.pairs(side, "text", parts["validation"])
        key = {"side": side, "shuffled": shuffled, "seed": seed, "n": len(s)}
        return keeper.of(key, chosen, lambda: Aligner(**chosen).fit(a, b[order] if shuffled else b, held))

    shared: dict[str, Any] = {"form": "shared", "gamma": 0.3, "temperature": 0.05}
    third = {**options, "members": members}
    return Fitted(
        seed,
        parts,
        fit("shared network", "data", **shared),
        fit("shared network that sees both", "data", **shared, sides="both"),
        fit("two towers", "data", gamma=0.3),
        fit("shared network", "data", True, **shared),
        fit("shared network that sees both", "data", True, **shared, sides="both"),
        fit("two towers of spectra", "spectra", **third),
        fit("two towers of spectra", "spectra", True, **{**third, "members": 1}),
    )
