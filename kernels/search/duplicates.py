"""Near-duplicates among neighbours: the same object observed or cut out twice, kept once."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.search._given import Found, like
from kernels.search._rows import as_matrix
from kernels.search.neighbours import Neighbours

ARCSEC = np.pi / (180 * 3600)


def distinct(
    index: Neighbours,
    Q: Any,
    k: int = 10,
    *,
    degrees: float | None = None,
    positions: np.ndarray | None = None,
    arcsec: float | None = None,
    mask: np.ndarray | None = None,
) -> Found:
    """The k nearest rows to each row of ``Q``, near-duplicates of a nearer one left out.

    Parameters
    ----------
    index : a fitted :class:`Neighbours`.
    degrees : rows whose vectors lie within this angle of each other count as one.
    positions : (n, 2) right ascension and declination in degrees of the fitted rows; NaN is near nothing.
    arcsec : rows within this distance on the sky count as one.
    mask : (n,) bool, as in :meth:`Neighbours.query`.

    Returns distances (m, k) and rows (m, k) as :meth:`Neighbours.query` does. The nearest of a group stays.
    """
    if (arcsec is None) != (positions is None):
        raise ValueError("sky duplicates need both positions (n, 2) in degrees and a radius in arcsec")
    if degrees is None and arcsec is None:
        raise ValueError("say what a duplicate is: degrees=, or positions= and arcsec=")
    tests = []
    if degrees is not None:
        tests.append((_directions(index), 2 * np.sin(np.radians(min(degrees, 180)) / 2)))
    if positions is not None and arcsec is not None:
        tests.append((_on_sphere(positions, index.n_), 2 * np.sin(min(arcsec * ARCSEC, np.pi) / 2)))
    asked = np.asarray(Q.detach().cpu() if hasattr(Q, "detach") else Q)
    distance, rows = np.full((len(asked), k), np.nan), np.full((len(asked), k), -1, np.int64)
    left, wanted = np.arange(len(asked)), 2 * k
    while len(left):
        d, r = (np.asarray(x) for x in index.query(asked[left], wanted, mask))
        short = []
        for i, row in enumerate(left):
            keep = _first_of_each(r[i], tests, k)
            distance[row, : len(keep)], rows[row, : len(keep)] = d[i, keep], r[i, keep]
            if len(keep) < k and r[i, -1] >= 0:
                short.append(row)
        left, wanted = np.array(short, np.int64), min(4 * wanted, index.n_ + 1)
    return like((distance, rows), Q)


def near_duplicates(X: Any, degrees: float, *, k: int = 16) -> np.ndarray:
    """(n,) int64: for each row the lowest row of its group, where a group is linked by angles up to ``degrees``.

    ``np.flatnonzero(near_duplicates(X, a) == np.arange(len(X)))`` are the rows to keep. Links are looked for among
    ``k`` neighbours, and among more for the rows whose ``k`` all lie within the angle. Rows that are not finite are
    groups of their own.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    matrix = as_matrix(X)
    index = Neighbours("cosine", "exact").fit(matrix)
    n = index.n_
    if n < 2:
        return np.arange(n)
    limit = 1 - np.cos(np.radians(degrees)) + 1e-12
    distance, rows = index.self_join(min(k, n - 1))
    links, open_rows = [_links(np.arange(n), distance, rows, limit)], np.flatnonzero(distance[:, -1] <= limit)
    while len(open_rows) and k < n:
        k *= 4
        still = []
        for start in range(0, len(open_rows), 512):
            part = open_rows[start : start + 512]
            distance, rows = index.query(matrix[part], min(k + 1, n))
            links.append(_links(part, distance, rows, limit))
            still.append(part[distance[:, -1] <= limit])
        open_rows = np.concatenate(still)
    heads, tails = np.concatenate(links, axis=1)
    graph = coo_matrix((np.ones(len(heads), bool), (heads, tails)), shape=(n, n))
    group = connected_components(graph, directed=False)[1]
    lowest = np.full(group.max() + 1, n, np.int64)
    np.minimum.at(lowest, group, np.arange(n))
    return lowest[group]


def _links(own: np.ndarray, distance: np.ndarray, rows: np.ndarray, limit: float) -> np.ndarray:
    """(2, links) rows and those within ``limit`` of them."""
    linked = (rows >= 0) & (distance <= limit)
    return np.stack([np.broadcast_to(own[:, None], rows.shape)[linked], rows[linked]])


def _first_of_each(rows: np.ndarray, tests: list[tuple[np.ndarray, float]], k: int) -> list[int]:
    """Places in ``rows`` (ascending by distance) that are no duplicate of a place kept before, at most k."""
    keep: list[int] = []
    for place, row in enumerate(rows):
        if row < 0 or len(keep) == k:
            break
        before = rows[keep]
        if not any((np.linalg.norm(at[before] - at[row], axis=1) <= chord).any() for at, chord in tests):
            keep.append(place)
    return keep


def _directions(index: Neighbours) -> np.ndarray:
    """(n, d) unit vectors of the fitted rows, NaN where there is none."""
    x = index.rows_.a + (index.space_.mean if index.metric != "inner" else 0)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    out = np.full((index.n_, index.dim_), np.nan, np.float32)
    with np.errstate(invalid="ignore", divide="ignore"):
        out[index.good_] = x / length
    return out


def _on_sphere(positions: np.ndarray, n: int) -> np.ndarray:
    """(n, 3) float64 unit vectors of right ascension and declination in degrees."""
    positions = np.asarray(positions, np.float64)
    if positions.shape != (n, 2):
        raise ValueError(f"positions has shape {positions.shape}; expected ({n}, 2): right ascension, declination")
    ra, dec = np.radians(positions).T
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
