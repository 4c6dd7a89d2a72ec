"""What the study finds of outliers: P2.7 and P3.6 with the truth beside them, and the prior of P3.8."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from explorer.pipeline._study_table import Table
from explorer.pipeline._study_xray import Fitted, Sources
from kernels.embedding.align import evaluate as e

AT = (0.05, 0.1, 0.2, 0.4)
SCORER = "unsupervised-forest"
FUSED = "ranks of both summed"


@dataclass
class Outliers:
    """``held`` for each seed the rows that were ranked and the places of each representation among them, 1 the most
    anomalous; ``rises`` class → for each seed the shares that P2.7 tells; ``medians`` class → (median, half width,
    number) of each seed; ``top`` class names of the first 1 % of each seed."""

    tables: list[Table]
    held: list[tuple[np.ndarray, dict[str, np.ndarray]]]
    rises: dict[str, list[list[float]]] = field(default_factory=dict)
    medians: dict[str, list[tuple[float, float, int]]] = field(default_factory=dict)
    top: list[list[str]] = field(default_factory=list)

    def curves(self, rare: np.ndarray) -> dict[str, np.ndarray]:
        """Representation → (seeds, ``AT``) share of the rare sources that are found."""
        out: dict[str, list[np.ndarray]] = {}
        for rows, of in self.held:
            at = np.maximum(1, (np.array(AT) * len(rows)).round().astype(int))
            for name, place in of.items():
                out.setdefault(name, []).append(e.recovery(place, rare[rows], at))
        return {n: np.array(v) for n, v in out.items()}

    def difference(
        self, rare: np.ndarray, name: str, against: str, how: Callable[[np.ndarray], np.ndarray], draws: int = 2000
    ) -> tuple[float, float, float]:
        """(mean, low, high) of ``how`` (of places) in ``name`` less that ``against``, over the rare sources.

        A source that several seeds ranked counts once, by its mean; the 95 % interval is over sources drawn anew.
        """
        total, times = np.zeros(len(rare)), np.zeros(len(rare))
        for rows, of in self.held:
            total[rows] += how(of[name]) - how(of[against])
            times[rows] += 1
        seen = rare & (times > 0)
        if not seen.any():
            return (float("nan"),) * 3
        each = total[seen] / times[seen]
        return (float(each.mean()), *e.bootstrap(each, draws))

    def rise(self, rare: np.ndarray, name: str, against: str, share: float) -> tuple[float, float, float]:
        """(mean, low, high): by how much more of the rare sources stand in the first ``share`` of ``name``."""
        return self.difference(rare, name, against, lambda p: (p > 1 - share).astype(float))


def anomaly_scores(vectors: dict[str, np.ndarray], scorer: str, seed: int) -> dict[str, np.ndarray]:
    """Scores of each representation among its own rows."""
    from kernels.scoring import SCORERS

    out = {}
    for name, rows in vectors.items():
        scaled = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-9)
        out[name] = SCORERS.get(scorer)(random_state=seed).fit_score(scaled.astype(np.float32))
    return out


def representations(s: Sources, fitted: Fitted, which: str) -> dict[str, np.ndarray]:
    """What is ranked: text and data (or spectra) alone, both in the aligned space, both as they were."""
    side = "data" if which == "p2" else "spectra"
    after, alone = fitted.after(s, which), {"text": s.vectors["text"], side: s.vectors[side]}
    out = {**alone, "joint": after["both"]}
    if which == "p2":
        out["both sides"] = np.concatenate([after["data"], after["text"]], axis=1)
    scaled = [(v - v.mean(axis=0)) / np.maximum(v.std(axis=0), 1e-9) for v in alone.values()]
    return out | {"side by side": np.concatenate(scaled, axis=1)}


def _ranked(s: Sources, fitted: Fitted, which: str, scorer: str, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Raw scores of every representation on ``rows``, and the sum of the two single rankings."""
    vectors = {n: v[rows] for n, v in representations(s, fitted, which).items()}
    scores = anomaly_scores(vectors, scorer, fitted.seed)
    side = "data" if which == "p2" else "spectra"
    return scores | {FUSED: e.places(scores["text"]) + e.places(scores[side])}


def anomalies(s: Sources, fits: Sequence[Fitted], scorer: str = SCORER) -> Outliers:
    """P2.7 on validation and test, unseen by the aligner: what rises from one modality to the aligned space, and how
    many of the planted rare classes are found."""
    kinds = sorted(np.unique(s.kinds[s.rare]).tolist()) or sorted(np.unique(s.kinds).tolist())
    found = Outliers([], [], {k: [] for k in kinds})
    for f in fits:
        rows = np.sort(np.concatenate([f.parts["validation"], f.parts["test"]]))
        scores = _ranked(s, f, "p2", scorer, rows)
        top = max(10, round(0.05 * len(rows)))
        gain = {n: e.outlier_gain(scores["joint"], scores[n], s.kinds[rows], top) for n in ("text", "data")}
        for kind in kinds:
            first, second = (gain[n].get(kind, (0.0, 0.0)) for n in ("text", "data"))
            found.rises[kind].append([100 * v for v in (*first, *second, float((s.kinds[rows] == kind).mean()))])
        found.held.append((rows, {n: e.places(v) for n, v in scores.items()}))
    head = ["class", "risers over text", "top of text", "risers over data", "top of data", "in all"]
    table = Table(f"P2.7 {scorer}: share of a rare class among the 5 % that rise most to the aligned space, %", head)
    for kind, runs in found.rises.items():
        table.add(kind, *(list(c) for c in np.array(runs).T))
    table.notes = ["published on other data: pulsars three times as often among the risers as in one modality alone"]
    found.tables = [
        table,
        recovery_table(found.curves(s.rare), f"P2.7 rare classes found, {scorer}, validation and test"),
        class_table(s, found, "P2.7", "data"),
    ]
    return found


def recovery_table(curves: dict[str, np.ndarray], title: str) -> Table:
    """Share of the planted rare sources among the first of the ranking."""
    table = Table(title, ["representation", *(f"first {100 * a:.0f} %" for a in AT)])
    for name, runs in curves.items():
        table.add(name, *(list(100 * c) for c in runs.T))
    table.add("chance", *(f"{100 * a:.1f}" for a in AT))
    table.notes = ["joint: the aligned space; side by side: both as they were; ranks summed: two rankings, no space"]
    return table


def class_table(s: Sources, found: Outliers, paper: str, side: str) -> Table:
    """Mean place of each rare class in the rankings, 100 the most anomalous: which rare class rises, and from where."""
    names = list(found.held[0][1])
    table = Table(f"{paper} mean place of each planted rare class, 100 is the most anomalous", ["class", "n", *names])
    seen = np.unique(np.concatenate([rows for rows, _ in found.held]))
    for kind in sorted(np.unique(s.kinds[s.rare]).tolist()):
        places = [
            [
                100 * float(of[name][s.kinds[rows] == kind].mean())
                for rows, of in found.held
                if (s.kinds[rows] == kind).any()
            ]
            for name in names
        ]
        table.add(kind, int((s.kinds[seen] == kind).sum()), *places)
    table.notes = [f"n: different sources of it among those ranked; text and {side} stand alone; chance is 50"]
    return table


def outlier_tables(s: Sources, fits: Sequence[Fitted]) -> Outliers:
    """P3.6: Isolation Forest on aligned spectra and text of test: medians by class, the top 1 %; rare classes found."""
    found = Outliers([], [])
    top: list[tuple[str, str, float]] = []
    for f in fits:
        test = f.parts["test"]
        scores = _ranked(s, f, "p3", "isolation-forest", test)
        for kind, told in e.class_medians(scores["joint"], s.kinds[test]).items():
            found.medians.setdefault(kind, []).append(told)
        order = np.argsort(-scores["joint"])[: max(1, round(0.01 * len(test)))]
        top += [(str(s.ids[test[i]]), str(s.kinds[test[i]]), float(scores["joint"][i])) for i in order]
        found.top.append([str(s.kinds[test[i]]) for i in order])
        found.held.append((test, {n: e.places(v) for n, v in scores.items()}))
    table = Table(
        "P3.6 isolation forest on the aligned space of test", ["class", "median", "half 16-84 %", "n in test"]
    )
    for kind, runs in sorted(found.medians.items(), key=lambda item: -np.mean([r[0] for r in item[1]])):
        table.add(kind, *([r[i] for r in runs] for i in (0, 1)), int(np.mean([r[2] for r in runs])))
    table.notes = ["published on other data: quasars above other active nuclei, ULX with a large scatter"]
    first = Table("P3.6 the first 1 % of each seed", ["id", "class", "score"])
    for line in top:
        first.add(*line)
    first.notes = ["published: a lensed quasar and a candidate pulsating ULX among them"]
    curves = recovery_table(found.curves(s.rare), "P3.6 rare classes found, isolation forest, test")
    found.tables = [table, first, curves, class_table(s, found, "P3.6", "spectra")]
    return found


def prior_table(s: Sources, fits: Sequence[Fitted], marks: int = 120) -> Table:
    """P3.8: outliers that are noise (flux significance below 3) are marked in a sample; what is left after a prior."""
    head = ["ranking", "noise in the first 5 %, %", "rare in the first 5 %, %", "rare in the first 20 %, %"]
    table = Table(f"P3.8 physics before noise: a prior learnt from {marks} marked sources", head)
    if "flux_significance_b" not in s.targets:
        return table
    noise = s.targets["flux_significance_b"] < 3
    rows: dict[str, list[list[float]]] = {"score alone": [], "score with the prior": []}
    for f in fits:
        seen = np.sort(np.concatenate([f.parts["validation"], f.parts["test"]]))
        joint = f.after(s, "p2")["both"][seen]
        score = anomaly_scores({"joint": joint}, "isolation-forest", f.seed)["joint"]
        marked = np.random.default_rng(f.seed).permutation(len(seen))[:marks]
        if not 0 < noise[seen[marked]].sum() < len(marked):
            continue
        chance = e.artefact_chance(s.vectors["data"][seen], marked, noise[seen[marked]])
        for name, values in (("score alone", score), ("score with the prior", e.with_prior(score, chance))):
            order = np.argsort(-values)
            few, many = (order[: round(q * len(seen))] for q in (0.05, 0.2))
            rare = s.rare[seen]
            rows[name].append(
                [100 * noise[seen][few].mean(), 100 * rare[few].sum() / rare.sum(), 100 * rare[many].sum() / rare.sum()]
            )
    for name, runs in rows.items():
        if runs:
            table.add(name, *(list(c) for c in np.array(runs).T))
    table.notes = ["named in P3 as what is missing; nothing published to compare with"]
    if rows["score alone"] and not np.array(rows["score alone"])[:, 0].any():
        table.notes.append("no noise stands at the top of this ranking, so the prior has nothing to put behind")
    return table
