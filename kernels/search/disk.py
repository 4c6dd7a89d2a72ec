"""Neighbours in a Lance dataset on disk, for embeddings that do not fit in memory.

Lance keeps an IVF-PQ index beside the column. What it proposes is compared again on the full vectors, which are
read from the dataset, and its recall is measured on a sample against a scan of every row. Lance is imported when
an index is opened.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kernels.search import exact
from kernels.search._rows import Space, as_matrix, check_metric, finite_rows, fit_space, prepare_rows
from kernels.search.ann import share_found
from kernels.search.neighbours import Found

LANCE_METRIC = {"cosine": "cosine", "euclidean": "l2", "inner": "dot"}
SAMPLE, SAMPLE_K = 50, 10
SCAN = 16_384  # rows of the dataset in memory at once
LEAST_ROWS = 4096  # below this a scan is quicker than an index


class DiskNeighbours:
    """Neighbours among the vectors of one column of a Lance dataset.

    Parameters
    ----------
    path : folder of the Lance dataset.
    column : fixed-size-list column of float32, (n, d); null or NaN rows are never returned.
    metric, recall : as in :class:`kernels.search.Neighbours`.

    ``build()`` makes Lance's index (a new version of the dataset) and tunes it; without one every query is a scan.
    Rows are positions in the dataset at the version that was opened.
    """

    def __init__(self, path: str | Path, column: str, metric: str = "cosine", recall: float = 0.95):
        self.path, self.column, self.metric, self.recall = Path(path), column, check_metric(metric), recall
        self.dataset = self._open()
        field = self.dataset.schema.field(column) if column in self.dataset.schema.names else None
        if field is None or not hasattr(field.type, "list_size"):
            raise ValueError(
                f"{path} has no vector column {column!r}: name a fixed-size-list column of "
                f"{', '.join(self.dataset.schema.names)}"
            )
        self.dim_ = int(field.type.list_size)
        self.n_ = int(self.dataset.count_rows())
        self.probes, self.refine, self.recall_ = 1, 1, 1.0
        self.indexed_ = any(column in index.field_names for index in self.dataset.describe_indices())
        counts = [fragment.count_rows() for fragment in self.dataset.get_fragments()]
        self._first = dict(
            zip((f.fragment_id for f in self.dataset.get_fragments()), np.cumsum([0, *counts]), strict=False)
        )
        if self.indexed_:
            self._tune()

    def build(self, lists: int | None = None, codes: int | None = None, seed: int = 0) -> DiskNeighbours:
        """Make Lance's IVF-PQ index and tune it to ``recall``; small datasets are left to scans."""
        if self.n_ < LEAST_ROWS:
            return self
        lists = lists or int(np.clip(np.sqrt(self.n_), 2, 4096))
        codes = codes or next(m for m in range(max(1, self.dim_ // 8), 0, -1) if self.dim_ % m == 0)
        self.dataset.create_index(
            self.column,
            "IVF_PQ",
            metric=LANCE_METRIC[self.metric],
            num_partitions=lists,
            num_sub_vectors=codes,
            replace=True,
        )
        self.dataset, self.indexed_ = self._open(), True
        self._tune(seed)
        return self

    def query(self, Q: Any, k: int = 10, mask: np.ndarray | None = None) -> Found:
        """The k rows nearest to each row of ``Q`` (m, d): distances (m, k) and rows (m, k).

        With ``mask`` (n,) bool, or without an index, every row is read and the answer is exact.
        """
        matrix = as_matrix(Q, "Q")
        if matrix.shape[1] != self.dim_:
            raise ValueError(f"Q has rows of {matrix.shape[1]} numbers, column {self.column!r} of {self.dim_}")
        if mask is not None and (mask.dtype != bool or mask.shape != (self.n_,)):
            raise ValueError(f"mask is {mask.dtype} of shape {mask.shape}; expected bool of shape ({self.n_},)")
        if mask is not None or not self.indexed_:
            return self._scan(matrix, k, mask)
        good = finite_rows(matrix)
        distance, rows = np.full((len(matrix), k), np.nan), np.full((len(matrix), k), -1, np.int64)
        for i in np.flatnonzero(good):
            distance[i], rows[i] = self._probe(matrix[i : i + 1], k)
        return distance, rows

    def _open(self) -> Any:
        lance = import_module("lance")
        try:
            return lance.dataset(str(self.path))
        except Exception as error:
            raise ValueError(f"{self.path} cannot be opened as a Lance dataset: {error}") from error

    def _probe(self, q: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """One query through the index, compared again on the full vectors it brings along."""
        nearest = {
            "column": self.column, "q": q[0].astype(np.float32), "k": min(self.refine * k, self.n_),
            "nprobes": self.probes, "refine_factor": 1,
        }  # fmt: skip
        table = self.dataset.scanner(columns=[self.column], nearest=nearest, with_row_address=True).to_table()
        rows = self._positions(table["_rowaddr"].to_numpy())
        vectors = _vectors(table[self.column], self.dim_)
        distance, order = _nearest(vectors, q, k, self.metric)
        return distance[0], np.where(order[0] < 0, -1, rows[np.maximum(order[0], 0)] if len(rows) else -1)

    def _positions(self, addresses: np.ndarray) -> np.ndarray:
        fragments = (addresses >> np.uint64(32)).astype(np.int64)
        first = np.array([self._first[int(f)] for f in fragments], np.int64)
        return first + (addresses & np.uint64(0xFFFFFFFF)).astype(np.int64)

    def _scan(self, matrix: np.ndarray, k: int, mask: np.ndarray | None) -> Found:
        """Exact, reading every row once."""
        m, start = len(matrix), 0
        distance, rows = np.full((m, k), np.inf), np.full((m, k), -1, np.int64)
        for batch in self.dataset.to_batches(columns=[self.column], batch_size=SCAN):
            vectors = _vectors(batch.column(0), self.dim_)
            chosen = np.arange(len(vectors)) if mask is None else np.flatnonzero(mask[start : start + len(vectors)])
            if len(chosen):
                d, r = _nearest(vectors[chosen], matrix, k, self.metric)
                r = np.where(r < 0, -1, start + chosen[np.maximum(r, 0)])
                d = np.concatenate([distance, np.where(r < 0, np.inf, d)], axis=1)
                r = np.concatenate([rows, r], axis=1)
                order = np.lexsort((r, d), axis=1)[:, :k]
                distance, rows = np.take_along_axis(d, order, 1), np.take_along_axis(r, order, 1)
            start += len(vectors)
        return np.where(rows < 0, np.nan, distance), rows

    def _tune(self, seed: int = 0) -> None:
        """Raise probes, then the candidates compared again, until the recall asked for is measured."""
        rng = np.random.default_rng(seed)
        own = np.sort(rng.choice(self.n_, min(SAMPLE, self.n_), replace=False))
        sample = _vectors(self.dataset.take(own, columns=[self.column])[self.column], self.dim_)
        truth = self._scan(sample, SAMPLE_K + 1, None)[1]
        truth[truth == own[:, None]] = -1
        for self.probes, self.refine in ((4, 4), (16, 8), (32, 16), (64, 32), (256, 64)):
            self.recall_ = share_found(self.query(sample, SAMPLE_K + 1)[1], truth)
            if self.recall_ >= self.recall:
                break


def _vectors(column: Any, dim: int) -> np.ndarray:
    """(n, d) float32 of an Arrow fixed-size-list column, NaN where it is null."""
    column = column.combine_chunks() if hasattr(column, "combine_chunks") else column
    if hasattr(column, "chunks"):
        parts = [_vectors(chunk, dim) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.empty((0, dim), np.float32)
    flat = column.values.slice(column.offset * dim, len(column) * dim)
    out = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, dim)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    if missing.any():
        out = out.copy()
        out[missing] = np.nan
    return out


def _nearest(vectors: np.ndarray, q: np.ndarray, k: int, metric: str) -> Found:
    """Exact neighbours among a few vectors in memory."""
    good = np.flatnonzero(finite_rows(vectors))
    asked = finite_rows(q)
    space: Space = fit_space(vectors[good], metric)
    found = exact.query(space, prepare_rows(vectors[good], space), prepare_rows(q[asked], space), k)
    distance, rows = np.full((len(q), k), np.nan), np.full((len(q), k), -1, np.int64)
    distance[asked] = found[0]
    rows[asked] = np.where(found[1] < 0, -1, good[np.maximum(found[1], 0)] if len(good) else -1)
    return distance, rows
