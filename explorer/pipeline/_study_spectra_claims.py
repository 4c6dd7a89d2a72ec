"""What P1 claims, and whether it holds on the spectra at hand: one line a claim, by which figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from explorer.pipeline._study_table import Table
from explorer.pipeline._study_xray_claims import Claim, over_seeds, verdict

PUBLISHED, SCALED = "softmax(-x), as published", "softmax(-x), own unit"
FITTED, LEARNED = "exp(-x/tau), tau fitted", "learned: distance and S/N"
KB = " + knowledge base"


def claims(tables: Sequence[Table]) -> list[Claim]:
    """The claims that the tables of a study can decide, in the order of the paper."""
    out: list[Claim] = []
    for table in tables:
        if table.title.startswith("P1.10 weights of votes in "):
            out += _of_weights(table)
    for table in tables:
        if table.title.startswith("P1.5"):
            out += _of_methods(table)
        if table.title.startswith("P1.6 target"):
            out += _of_searches(table)
    return out


def _of_weights(table: Table) -> list[Claim]:
    """K = 3 over K = 1, and the learned weight over exp(-x/τ), in log loss, paired over seeds."""
    space = table.title.removeprefix("P1.10 weights of votes in ").split(",")[0]
    rows = {(row[0], row[1]): row for row in table.rows}
    out = []
    for name in (PUBLISHED, SCALED, FITTED):
        one, three = rows[name, 1], rows[name, 3]
        f1 = f"macro F1 {np.mean(one[3]):.4f} at K = 1, {np.mean(three[3]):.4f} at K = 3"
        says = f"K = 3 beats K = 1 in log loss, {name} (P1.4), {space}"
        out.append(_gain(says, one[2], three[2], f1))
    for k in (3, 10):
        says = f"the learned weight beats exp(-x/tau) with tau fitted on the same votes, K = {k} (P1.10), {space}"
        out.append(_gain(says, rows[FITTED, k][2], rows[LEARNED, k][2], ""))
    return out


def _gain(says: str, worse: Any, better: Any, more: str) -> Claim:
    found = over_seeds(np.asarray(worse) - np.asarray(better))
    low, mean, high = found
    interval = f" [{low:.4f}, {high:.4f}]" if np.isfinite(low) else " (one seed)"
    return Claim(says, verdict(*found), f"log loss gained {mean:.4f}{interval}{'; ' if more else ''}{more}.")


def _of_methods(table: Table) -> list[Claim]:
    """The published order: GalSpecNet above the supervised encoder above the knowledge base, by macro F1."""
    rows = {row[0]: row for row in table.rows}
    bases = [name for name in rows if name.endswith(KB)]
    if "GalSpecNet" not in rows or not bases:
        return []
    best = max(bases, key=lambda name: float(np.mean(rows[name][2])))
    pairs = [("GalSpecNet", "encoder, supervised"), ("encoder, supervised", best), ("GalSpecNet", best)]
    out = []
    for first, second in pairs:
        found = over_seeds(np.asarray(rows[first][2]) - np.asarray(rows[second][2]))
        figure = (
            f"macro F1 {np.mean(rows[first][2]):.4f} and {np.mean(rows[second][2]):.4f}, difference {found[1]:+.4f}"
        )
        interval = f" [{found[0]:+.4f}, {found[2]:+.4f}]." if np.isfinite(found[0]) else " (one seed)."
        out.append(Claim(f"{first} above {second} in three classes (P1.5)", verdict(*found), figure + interval))
    return out


def _of_searches(table: Table) -> list[Claim]:
    """Whether the best search of a target reaches the published F1, which was measured on other data."""
    out = []
    for target in dict.fromkeys(row[0] for row in table.rows):
        published = next(row[-1] for row in table.rows if row[0] == target and row[2] == "-")
        ours = [row for row in table.rows if row[0] == target and row[2] != "-"]
        best = max(ours, key=lambda row: float(np.mean(row[-1])))
        found = over_seeds(np.asarray(best[-1]) - published)
        figure = f"F1 {np.mean(best[-1]):.4f} in {best[1]}, base {best[2]}, against {published} on SDSS."
        out.append(Claim(f"the search for {target} reaches the published F1 (P1.6)", verdict(*found), figure))
    return out
