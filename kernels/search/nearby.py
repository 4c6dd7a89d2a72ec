"""The join of a matrix with itself where only groups of rows that lie near one another are compared.

Rows are grouped around centres (Lloyd 1982, IEEE Trans. Inf. Theory 28, 129). The true neighbours of a sample of rows
tell how many of the nearest groups must be looked into for a recall that is asked for; where that would be most of
them, as for rows without structure, the exact join is quicker and is made instead.
"""

from __future__ import annotations

import numpy as np

from kernels.search import exact
from kernels.search._products import half_pays
from kernels.search._rows import Rows, Space
from kernels.search.ann import share_found
from kernels.search.exact import Progress
from kernels.search.join import Join, self_join

FEWEST = 16_384  # rows below which the exact join is a matter of a second
GROUP = 320  # rows of a group, about
MOST_GROUPS = 1024
SAMPLE = 256  # rows whose true neighbours are found
TOO_MANY = 0.4  # share of all pairs of groups from which the exact join is no slower
ROUNDS = 6  # of Lloyd's iteration, on 40 rows a group

Joined = tuple[np.ndarray, np.ndarray, float]


def nearby_join(
    space: Space,
    a: Rows,
    k: int,
    recall: float,
    memory: int = 1 << 30,
    seed: int = 0,
    progress: Progress = None,
) -> Joined:
    """The k nearest other rows of each row, with a recall of about ``recall``, and the recall measured on a sample.

    Distances (n, k) float64 ascending, rows (n, k) int64 and the share of true neighbours found; 1.0 where the join
    was exact: under 16,384 rows, for inner products, for ``recall=1``, and where groups are of no help.
    """
    n = len(a)
    if n < max(FEWEST, 8 * k) or space.metric == "inner" or recall >= 1:
        return *self_join(space, a, k, memory, progress), 1.0
    rng = np.random.default_rng(seed)
    own = np.sort(rng.choice(n, SAMPLE, replace=False))
    truth = exact.query(space, a, a.take(own), k + 1, memory=memory)[1]
    truth[truth == own[:, None]] = -1
    centres = _centres(a.a, min(n // GROUP, MOST_GROUPS), rng)
    group = _nearest(a.a, centres)
    pairs = _pairs(centres, group, own, truth, recall)
    if pairs is None:
        return *self_join(space, a, k, memory, progress), 1.0
    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(len(centres) + 1))
    found = _compare(space, a.take(order), k, ends, pairs, memory, progress)
    none = found == np.iinfo(np.int32).max
    candidates = np.empty_like(found)
    candidates[order] = np.where(none, found, order[np.where(none, 0, found)])
    distances, rows = exact.settle(space, a, a, candidates, k)
    short = np.flatnonzero(rows[:, -1] < 0)  # a small group far from all others
    if len(short):
        distances[short], rows[short] = _left(space, a, short, k, memory)
    return distances, rows, share_found(rows[own], truth)


def _centres(a: np.ndarray, groups: int, rng: np.random.Generator) -> np.ndarray:
    """(groups, d) float32 centres of rows ``a`` (n, d), found on a sample."""
    some = a[np.sort(rng.choice(len(a), min(len(a), 40 * groups), replace=False))]
    centres = some[np.sort(rng.choice(len(some), groups, replace=False))].copy()
    for _ in range(ROUNDS):
        group = _nearest(some, centres)
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        total = np.add.reduceat(some[order], starts, axis=0)
        centres[group[order][starts]] = total / np.diff(np.append(starts, len(some)))[:, None]
    return centres


def _nearest(a: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(n,) int64 the centre next to each row, the first where several are."""
    half = 0.5 * np.einsum("ij,ij->i", centres, centres)
    parts = (a[start : start + 4096] @ centres.T - half for start in range(0, len(a), 4096))
    return np.concatenate([part.argmax(axis=1) for part in parts])


def _pairs(
    centres: np.ndarray, group: np.ndarray, own: np.ndarray, truth: np.ndarray, recall: float
) -> list[tuple[int, int]] | None:
    """Pairs of groups (i, j), j <= i, that hold ``recall`` of the true neighbours; None where they are too many.

    Each group is compared with as many of its nearest groups as the sample shows to be needed: ``truth`` (m, k) are
    the neighbours of the rows ``own`` (m,), -1 where there is none.
    """
    length = np.einsum("ij,ij->i", centres, centres)
    apart = length[:, None] + length - 2 * centres @ centres.T
    np.fill_diagonal(apart, -np.inf)
    nearest = np.argsort(apart, axis=1, kind="stable")
    place = np.empty_like(nearest)
    np.put_along_axis(place, nearest, np.arange(len(centres))[None].repeat(len(centres), 0), axis=1)
    here, there = group[own][:, None], group[np.maximum(truth, 0)]
    places = np.sort(np.minimum(place[here, there], place[there, here])[truth >= 0])  # either side may look
    wanted = min(len(places) - 1, int(np.ceil((recall + (1 - recall) / 4) * len(places))))
    reach = int(places[wanted]) + 1
    near = place < reach
    near |= near.T
    if near.mean() > TOO_MANY:
        return None
    first, second = np.nonzero(np.tril(near))
    return list(zip(first.tolist(), second.tolist(), strict=True))


def _compare(
    space: Space,
    a: Rows,
    k: int,
    ends: np.ndarray,
    pairs: list[tuple[int, int]],
    memory: int,
    progress: Progress,
) -> np.ndarray:
    """Candidate rows (n, k) int32 of rows ``a`` sorted by group; group g is rows ends[g]..ends[g + 1]."""
    step = exact.tile_rows(memory)
    pieces = [list(range(ends[g], ends[g + 1], step)) for g in range(len(ends) - 1)]

    def slices(g: int) -> list[slice]:
        return [slice(s, min(s + step, ends[g + 1])) for s in pieces[g]]

    tiles = [(r, c) for i, j in pairs for r in slices(i) for c in slices(j) if c.start <= r.start]
    tiles.sort(key=lambda t: t[0] != t[1])  # the diagonal gives every row its first k-th distance
    work = sum((r.stop - r.start) * (c.stop - c.start) for r, c in tiles)
    largest = max(r.stop - r.start for r, _ in tiles)
    join = Join(space, a, k, largest, half_pays(int(np.sqrt(work)), a.a.shape[1]))
    for made, (r, c) in enumerate(tiles, 1):
        join.diagonal(r) if r == c else join.both_sides(r, c)
        if progress is not None and made % 64 == 0:
            progress(made / len(tiles))
    return join.heap_row


def _left(space: Space, a: Rows, rows: np.ndarray, k: int, memory: int) -> tuple[np.ndarray, np.ndarray]:
    """Exact neighbours of a few rows, themselves left out."""
    distance, found = exact.query(space, a, a.take(rows), k + 1, memory=memory)
    last = np.argsort(found == rows[:, None], axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distance, last, 1), np.take_along_axis(found, last, 1)
