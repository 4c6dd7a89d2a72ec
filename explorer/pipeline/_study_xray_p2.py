"""The tables of P2: regression, retrieval, neighbours; and what the gains of P2 and P3 are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.pipeline._study_table import Table
from explorer.pipeline._study_xray import P2, Fitted, Sources
from kernels.embedding.align import evaluate as e
from kernels.embedding.align.aligner import Aligner
from kernels.search.retrieval import ranks_of_pairs, top_k_accuracy

PLAIN = "side by side"


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


def expert_of(regression: e.Regression, how: str = "pearson") -> str:
    """The representation best on validation, by Pearson's r as in the paper or by ``"error"``, the mean absolute one.

    The plain concatenation is no candidate, as in the paper.
    """
    told = regression.validation if how == "pearson" else {k: -v for k, v in regression.held.items()}
    known = {k: v for k, v in told.items() if k != PLAIN}
    return max(known, key=lambda k: np.nan_to_num(known[k], nan=-np.inf))


def chosen(regression: e.Regression, to: str) -> str:
    """The representation that ``to`` means for one variable: ``both``, ``experts``, ``experts by error``, or a name."""
    if to.startswith("experts"):
        return expert_of(regression, "error" if to.endswith("error") else "pearson")
    return {"both": "aligned both"}.get(to, to)


def gains(
    found: dict[str, list[e.Regression]], to: str, side: str, over: str = "best"
) -> list[tuple[float, float, float]]:
    """(gain, low, high) by seed of ``to`` over the best single modality before, or over the representation ``over``."""
    out = []
    for seed in range(len(next(iter(found.values())))):
        pairs, rows = [], []
        for of_variable in found.values():
            r = of_variable[seed]
            before = r.best_of([side, "text"]) if over == "best" else chosen(r, over)
            pairs.append((r.errors[before], r.errors[chosen(r, to)]))
            rows.append(np.arange(len(r.baseline)) if r.rows is None else r.rows)
        out.append(e.average_gain(pairs, random_state=seed, rows=rows))
    return out


def losers(found: dict[str, list[e.Regression]], to: str, side: str) -> list[str]:
    """Variables whose mean error over the seeds is higher after than in the best modality before."""
    lost = []
    for variable, runs in found.items():
        after = [r.mae(chosen(r, to)) for r in runs]
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
