"""Splits in which no source and no paper is on both sides (P2, P3): sets that share anything stay together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

NAMES = ("train", "calibration", "validation", "test")
SHARES = (0.69, 0.01, 0.15, 0.15)
"""Of P3 (section 2.1)."""


def components(keys: Sequence[Iterable[str]]) -> np.ndarray:
    """(n,) int64 number of the set that each row belongs to; rows that share a key, or a chain of keys, are one set.

    ``keys`` holds for each row the names of what it must not be parted from: its object, its papers.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    number: dict[str, int] = {}
    rows, columns = [], []
    for i, names in enumerate(keys):
        for name in names:
            rows.append(i)
            columns.append(len(keys) + number.setdefault(name, len(number)))
    size = len(keys) + len(number)
    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(size, size))
    return connected_components(graph, directed=False)[1][: len(keys)].astype(np.int64)


def grouped(
    keys: Sequence[Iterable[str]], shares: Sequence[float] = SHARES, random_state: int = 0
) -> dict[str, np.ndarray]:
    """Split name → int64 rows, ascending: whole sets of :func:`components`, in random order, until a share is full."""
    if len(shares) != len(NAMES) or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f"shares={tuple(shares)}: give {len(NAMES)} of 0 or more that sum to 1, for {', '.join(NAMES)}"
        )
    group = components(keys)
    sizes = np.bincount(group) if len(group) else np.zeros(0, int)
    order = np.random.default_rng(random_state).permutation(len(sizes))
    placed = np.empty(len(sizes), dtype=int)
    target, have = np.array(shares) * len(group), np.zeros(len(NAMES))
    for g in order:  # the split that lacks most of what it should have
        lacking = np.where(target > 0, (target - have) / np.maximum(target, 1e-9), -np.inf)
        placed[g] = int(np.argmax(lacking))
        have[placed[g]] += sizes[g]
    return {name: np.flatnonzero(placed[group] == i) for i, name in enumerate(NAMES)}


def by_year(
    keys: Sequence[Iterable[str]], years: np.ndarray, cutoff: int, random_state: int = 0
) -> dict[str, np.ndarray]:
    """Train, calibration and validation on what was first written about up to ``cutoff``; test on what came after.

    ``years`` (n,) year of the first paper on each row, NaN where unknown (then not in test). A set that has a later
    row on which a test depends is kept out of training whole, so that no source and no paper is on both sides (P3.6).
    """
    years = np.asarray(years, dtype=np.float64)
    group = components(keys)
    late = np.isin(group, group[years > cutoff])
    rows = np.flatnonzero(~late)
    early = grouped([keys[i] for i in rows.tolist()], (0.82, 0.01, 0.17, 0.0), random_state)
    out = {name: rows[part] for name, part in early.items()}
    return out | {"test": np.flatnonzero(late & (years > cutoff))}
