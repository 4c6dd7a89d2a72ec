"""UMAP's graph: fuzzy memberships of nearest neighbours, their union, and the curve of the layout."""

from __future__ import annotations

from functools import lru_cache, partial

import numpy as np
from scipy import sparse

from kernels._parallel import in_threads
from kernels.layout.pca import principal_axes


def memberships(distances: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Memberships (n, k) float32 of neighbours at ``distances`` (n, k), self left out; 0 where there is none.

    ``n_neighbors`` counts the row itself, as umap-learn counts: k is one less.
    """
    from kernels.layout import _umap_kernels

    distances = np.ascontiguousarray(distances, np.float32)
    n = len(distances)
    sigmas, rhos = np.empty(n, np.float32), np.empty(n, np.float32)
    given = (distances, float(np.log2(n_neighbors)), sigmas, rhos)
    in_threads(partial(_umap_kernels.smooth_knn, s * n // 8, (s + 1) * n // 8, *given) for s in range(8))
    over = np.maximum(distances - rhos[:, None], 0)
    return np.nan_to_num(np.exp(-over / sigmas[:, None]), nan=0.0)


def union(distances: np.ndarray, rows: np.ndarray, n_neighbors: int) -> sparse.csr_matrix:
    """The fuzzy union A + A^T - A o A^T (n, n) of neighbours' memberships, indices sorted."""
    n, k = rows.shape
    weight = memberships(distances, n_neighbors)
    keep = (rows >= 0) & (weight > 0)
    heads = np.repeat(np.arange(n), k).reshape(n, k)[keep]
    one_way = sparse.csr_matrix((weight[keep], (heads, rows[keep])), shape=(n, n))
    other = one_way.T.tocsr()
    graph = (one_way + other - one_way.multiply(other)).tocsr()
    graph.sort_indices()
    return graph


def bipartite(distances: np.ndarray, rows: np.ndarray, n_neighbors: int, fitted: int) -> sparse.csr_matrix:
    """Memberships (m, fitted) of new rows in the neighbourhoods of fitted ones, for a transform."""
    m, k = rows.shape
    weight = memberships(distances, n_neighbors)
    keep = (rows >= 0) & (weight > 0)
    heads = np.repeat(np.arange(m), k).reshape(m, k)[keep]
    return sparse.csr_matrix((weight[keep], (heads, rows[keep])), shape=(m, fitted))


def rates(graph: sparse.csr_matrix, n_epochs: int) -> sparse.csr_matrix:
    """The graph with, for weights, the share of epochs that use an edge; edges never used are dropped."""
    heaviest = graph.data.max(initial=0)
    used = graph.copy()
    used.data[used.data < heaviest / max(n_epochs, 10)] = 0
    used.eliminate_zeros()
    used.data = (used.data / heaviest).astype(np.float32)
    return used


@lru_cache(maxsize=16)
def curve(min_dist: float, spread: float = 1.0) -> tuple[float, float]:
    """a and b of 1 / (1 + a d^2b) closest to 1 up to ``min_dist`` and exp(-(d - min_dist) / spread) beyond.

    Least squares on 300 distances as umap-learn has it, by Levenberg and Marquardt's steps in log a and log b
    (importing a solver would take longer than all of them).
    """
    d = np.linspace(0, spread * 3, 300)
    wanted = np.where(d < min_dist, 1.0, np.exp(-(d - min_dist) / spread))
    log_d = np.log(np.where(d > 0, d, 1.0))

    def off(at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (300,) and their derivatives (300, 2)."""
        a, b = np.exp(at)
        power = np.where(d > 0, a * np.exp(2 * b * log_d), 0.0)
        value = 1.0 / (1.0 + power)
        slope = -(value**2) * power
        return value - wanted, np.stack([slope, slope * 2 * b * log_d], axis=1)

    at, damping = np.zeros(2), 1e-3
    left, slopes = off(at)
    for _ in range(200):
        normal = slopes.T @ slopes
        step = np.linalg.solve(normal + damping * np.diag(np.diag(normal) + 1e-12), -slopes.T @ left)
        new_left, new_slopes = off(at + step)
        if new_left @ new_left <= left @ left:
            at, left, slopes, damping = at + step, new_left, new_slopes, damping * 0.1
            if np.abs(step).max() < 1e-10:
                break
        else:
            damping *= 10
            if damping > 1e12:
                break
    a, b = np.exp(at)
    return float(a), float(b)


def principal_start(matrix: np.ndarray, seed: int) -> np.ndarray:
    """First two principal components (n, 2) float32, largest value 10, with a little noise against ties."""
    if not len(matrix):
        return np.zeros((0, 2), np.float32)
    mean = matrix.mean(axis=0, dtype=np.float64)
    axes = principal_axes(matrix, mean)[0].astype(np.float32)
    return scaled_start((matrix - mean.astype(np.float32)) @ axes.T, seed)


def scaled_start(start: np.ndarray, seed: int) -> np.ndarray:
    """``start`` (n, 2) scaled to a largest absolute value of 10, plus noise of 1e-4 (all of it where it is flat)."""
    rng = np.random.default_rng(seed)
    largest = np.abs(start).max(initial=0)
    if largest <= 1e-12:
        return rng.uniform(-10, 10, start.shape).astype(np.float32)
    return (start * (10.0 / largest) + rng.normal(scale=1e-4, size=start.shape)).astype(np.float32)


def spectral_start(graph: sparse.csr_matrix, seed: int) -> np.ndarray | None:
    """Eigenvectors (n, 2) of the normalised Laplacian; None where the graph falls apart or the solver does not end."""
    from scipy.sparse import csgraph
    from scipy.sparse.linalg import ArpackError, eigsh

    n = graph.shape[0]
    if n < 5 or csgraph.connected_components(graph, directed=False)[0] > 1:
        return None
    degree = np.asarray(graph.sum(axis=0)).ravel()
    half = sparse.diags(1.0 / np.sqrt(degree))
    rng = np.random.default_rng(seed)
    try:
        values, vectors = eigsh(half @ graph @ half, k=3, which="LA", v0=rng.normal(size=n), tol=1e-4, maxiter=n * 5)
    except ArpackError:
        return None
    vectors = vectors[:, np.argsort(-values)[1:3]]
    top = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], 0)
    return scaled_start(vectors * np.sign(top), seed)
