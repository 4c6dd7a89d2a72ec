"""The tables of P2: regression, retrieval, neighbours, anomalies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.pipeline._study_table import Table
from explorer.pipeline._study_xray import P2, Fitted, Sources
from kernels.embedding.align import evaluate as e
from kernels.embedding.align.aligner import Aligner
from kernels.search.retrieval import ranks_of_pairs, top_k_accuracy

AT = (0.05, 0.1, 0.2, 0.4)
SCORER = "unsupervised-forest"


def regressions(s: Sources, fits: Sequence[Fitted], which: str, how: str) -> dict[str, list[e.Regression]]:
    """Variable → one regression a seed, from every representation before and after alignment."""
    side = "data" if which == "p2" else "spectra"
    wanted = [v for v in (P2 if which == "p2" else s.targets) if v in s.targets]
    out: dict[str, list[e.Regression]] = {v: [] for v in wanted}
    for fitted in fits:
        before = {n: s.vectors[n] for n in (side, "text")}
        spaces = {**before, "side by side": np.concatenate(list(before.values()), axis=1)}
        spaces |= {f"aligned {n}": v for n, v in fitted.after(s, which).items()}
        for variable in wanted:
            out[variable].append(e.regress(spaces, variable, s.targets[variable], fitted.parts, how))
    return out


def without(regression: e.Regression, name: str = "side by side") -> str:
    """The expert where the plain concatenation is no candidate, as in the paper."""
    known = {k: v for k, v in regression.validation.items() if k != name}
    return max(known, key=lambda k: np.nan_to_num(known[k], nan=-2.0))


def gains(found: dict[str, list[e.Regression]], to: str, side: str) -> list[tuple[float, float, float]]:
    """(gain, low, high) of ``to`` ("both", "experts", "side by side") over the best single modality before, by seed."""
    out = []
    for seed in range(len(next(iter(found.values())))):
        pairs = []
        for of_variable in found.values():
            r = of_variable[seed]
            after = {"both": "aligned both", "experts": without(r)}.get(to, to)
            pairs.append((r.errors[r.best_of([side, "text"])], r.errors[after]))
        out.append(e.average_gain(pairs, random_state=seed))
    return out


def losers(found: dict[str, list[e.Regression]], to: str, side: str) -> list[str]:
    """Variables whose mean error over the seeds is higher after than in the best modality before."""
    lost = []
    for variable, runs in found.items():
        after = [r.mae({"both": "aligned both", "experts": without(r)}.get(to, to)) for r in runs]
        if np.mean(after) > min(np.mean([r.mae(n) for r in runs]) for n in (side, "text")):
            lost.append(variable)
    return lost


def regression_table(found: dict[str, list[e.Regression]]) -> Table:
    """P2.4 in the layout of table 2."""
    head = [
        "variable",
        "text",
        "data",
        "both",
        "absolute",
        "%",
        "side by side",
        "mean",
        "published text/data/both",
        "%",
    ]
    table = Table("P2.4 linear regression, MAE on test", head)
    for variable, runs in found.items():
        text, data, both = ([r.mae(n) for r in runs] for n in ("text", "data", "aligned both"))
        best = np.minimum(text, data)
        change = [100 * (1 - b / a) for a, b in zip(best, both, strict=True)]
        plain = [r.mae("side by side") for r in runs]
        told = P2[variable]
        published = f"{told[0]:.2f} / {told[1]:.2f} / {told[2]:.2f}"
        table.add(
            variable, text, data, both, list(best - both), change, plain, [float(r.baseline.mean()) for r in runs],
            published, f"{told[3]}",
        )  # fmt: skip
    table.notes = [
        "published on other data (Chandra sources and papers in words); % is the gain of both over the best single one",
        "side by side: text and data as they were, joined; what alignment adds must show beyond it",
    ]
    return table


def pair_ranks(aligner: Aligner, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Ranks of true pairs from either side, (2 n,), as P2.5 counts both."""
    za, zb = aligner.encode_pairs(a, b)
    return np.concatenate([ranks_of_pairs(za @ zb.T), ranks_of_pairs(zb @ za.T)])


def retrieval_table(s: Sources, fits: Sequence[Fitted]) -> Table:
    """P2.5: top 1, 5, 10 on test by 2-norm, and the control with shuffled pairs (P2.3a)."""
    table = Table("P2.5 retrieval of the true pair on test, by 2-norm, %", ["form", "top 1", "top 5", "top 10", "N"])
    rows: dict[str, list[np.ndarray]] = {}
    for f in fits:
        test = f.parts["test"]
        a, b = s.pairs("data", "text", test)
        mixed = b[np.random.default_rng(f.seed).permutation(len(b))]
        for name, ranks in (
            ("shared network, sides apart", pair_ranks(f.p2, a, b)),
            ("two towers (P2.8)", pair_ranks(f.p2_towers, a, b)),
            ("shared network that sees both", pair_ranks(f.p2_both, a, b)),
            ("control: apart, trained on shuffled pairs", pair_ranks(f.p2_shuffled, a, b)),
            ("control: sees both, trained and tested on shuffled pairs", pair_ranks(f.p2_both_shuffled, a, mixed)),
        ):
            rows.setdefault(name, []).append(ranks)
    sizes = [len(f.parts["test"]) for f in fits]
    for name, runs in rows.items():
        table.add(name, *([100 * top_k_accuracy(r, k) for r in runs] for k in (1, 5, 10)), int(np.mean(sizes)))
    table.add("chance, k / N", *([100 * k / n for n in sizes] for k in (1, 5, 10)), int(np.mean(sizes)))
    table.add("published (validation, other data)", "93.3", "97.5", "98.1", "-")
    table.notes = [
        "the paper's network sees both modalities and it does not say what the two sides of InfoNCE are: a side that "
        "has seen its partner finds shuffled pairs as well, so that its retrieval measures nothing"
    ]
    return table


def context_table(s: Sources, fits: Sequence[Fitted], kind: str) -> Table:
    """P2.6: the ten nearest of every test source of a class, before and after; means over them."""
    head = ["representation", "n context", "mu HR", "sigma HR", "published n", "mu", "sigma"]
    table = Table(f"P2.6 ten nearest neighbours of each test source of class {kind}, hard_hs", head)
    published = {
        "aligned, data to text": ("6", "-0.025", "0.330"),
        "text before": ("10", "0.084", "0.649"),
        "data before": ("2", "-0.051", "0.318"),
    }
    hardness = s.targets["hard_hs"]
    for name, told in {**published, "aligned, text to data": ("-", "-", "-"), "aligned both": ("-", "-", "-")}.items():
        runs = []
        for f in fits:
            test, after = f.parts["test"], f.after(s, "p2")
            queries, candidates = {
                "aligned, data to text": (after["data"], after["text"]),
                "aligned, text to data": (after["text"], after["data"]),
                "aligned both": (after["both"], after["both"]),
                "text before": (s.vectors["text"],) * 2,
                "data before": (s.vectors["data"],) * 2,
            }[name]
            own = [
                e.neighbour_context(queries[test], candidates[test], int(i), s.kinds[test], hardness[test])
                for i in np.flatnonzero(s.kinds[test] == kind)
            ]
            runs.append(np.mean([(c.matches, c.mean, c.spread) for c in own], axis=0) if own else np.full(3, np.nan))
        table.add(name, *(list(column) for column in np.array(runs).T), *told)
    table.notes = ["published for one X-ray binary; here the mean over all of the class in test"]
    return table


def anomaly_scores(vectors: dict[str, np.ndarray], scorer: str, seed: int) -> dict[str, np.ndarray]:
    """Scores of each representation among its own rows."""
    from kernels.scoring import SCORERS

    out = {}
    for name, rows in vectors.items():
        scaled = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-9)
        out[name] = SCORERS.get(scorer)(random_state=seed).fit_score(scaled.astype(np.float32))
    return out


def anomalies(s: Sources, fits: Sequence[Fitted], scorer: str = SCORER) -> tuple[list[Table], dict[str, np.ndarray]]:
    """P2.7 on validation and test (unseen by the aligner): what rises from one modality to the aligned space, and how
    many of the planted rare classes are found; with the curves representation → (seeds, places)."""
    kinds = sorted(np.unique(s.kinds[s.rare]).tolist()) or sorted(np.unique(s.kinds).tolist())
    rises: dict[str, list[list[float]]] = {k: [] for k in kinds}
    curves: dict[str, list[np.ndarray]] = {}
    for f in fits:
        rows = np.sort(np.concatenate([f.parts["validation"], f.parts["test"]]))
        after = f.after(s, "p2")
        vectors = {"text": s.vectors["text"], "data": s.vectors["data"], "joint": after["both"]}
        vectors["both sides"] = np.concatenate([after["data"], after["text"]], axis=1)
        scores = anomaly_scores({n: v[rows] for n, v in vectors.items()}, scorer, f.seed)
        top = max(10, round(0.05 * len(rows)))
        gain = {n: e.outlier_gain(scores["joint"], scores[n], s.kinds[rows], top) for n in ("text", "data")}
        for kind in kinds:
            first, second = (gain[n].get(kind, (0.0, 0.0)) for n in ("text", "data"))
            rises[kind].append([100 * v for v in (*first, *second, float((s.kinds[rows] == kind).mean()))])
        for name, values in scores.items():
            at = np.maximum(1, (np.array(AT) * len(rows)).round().astype(int))
            curves.setdefault(name, []).append(e.recovery(values, s.rare[rows], at))
    head = ["class", "risers over text", "top of text", "risers over data", "top of data", "in all"]
    table = Table(f"P2.7 {scorer}: share of a rare class among the 5 % that rise most to the aligned space, %", head)
    for kind, runs in rises.items():
        table.add(kind, *(list(c) for c in np.array(runs).T))
    table.notes = ["published on other data: pulsars three times as often among the risers as in one modality alone"]
    found = {n: np.array(v) for n, v in curves.items()}
    return [table, recovery_table(found, f"P2.7 rare classes found, {scorer}, validation and test")], found


def recovery_table(curves: dict[str, np.ndarray], title: str) -> Table:
    """Share of the planted rare sources among the first of the ranking."""
    table = Table(title, ["representation", *(f"first {100 * a:.0f} %" for a in AT)])
    for name, runs in curves.items():
        table.add(name, *(list(100 * c) for c in runs.T))
    table.add("chance", *(f"{100 * a:.1f}" for a in AT))
    return table
