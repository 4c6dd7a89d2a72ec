"""Approximate candidates from FAISS, tuned until a recall measured against exact answers is reached.

FAISS is imported when the first such index is built. It only proposes: what it returns is compared again on full
vectors by :func:`kernels.search.exact.settle`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from kernels.search._rows import Rows, Space

FACTORS = (1, 2, 4, 8)  # candidates asked for, as multiples of k


class Faiss:
    """HNSW, IVF-Flat or IVF-PQ over prepared rows: L2 on centred (cosine: unit) rows, or inner products.

    Attributes
    ----------
    effort : nprobe of an IVF, efSearch of an HNSW.
    factor : candidates per neighbour asked for.
    """

    def __init__(self, method: str, space: Space, rows: Rows, seed: int = 0):
        self.name, self.space, self.seed = method, space, seed
        self.effort, self.factor = (64 if method == "hnsw" else 4), 1
        self.index = self._build(rows)

    def _build(self, rows: Rows) -> Any:
        faiss = _faiss()
        n, dim = rows.a.shape
        kind = faiss.METRIC_INNER_PRODUCT if self.space.metric == "inner" else faiss.METRIC_L2
        if self.name == "hnsw":
            index = faiss.IndexHNSWFlat(dim, 32, kind)
            index.hnsw.efConstruction = 200
        else:
            lists = int(np.clip(2 ** np.round(np.log2(max(2 * np.sqrt(n), 1))), 1, max(1, n // 39)))
            coarse = faiss.IndexFlat(dim, kind)
            if self.name == "ivf":
                index = faiss.IndexIVFFlat(coarse, dim, lists, kind)
            else:
                index = faiss.IndexIVFPQ(coarse, dim, lists, _codes(dim), 8, kind)
            index.cp.seed = 1 + self.seed
            index.cp.max_points_per_centroid, index.cp.niter = 64, 10
            rng = np.random.default_rng(self.seed)
            wanted = max(64 * lists, 10_000)
            train = rows.a if n <= wanted else rows.a[np.sort(rng.choice(n, wanted, replace=False))]
            index.train(train)
        index.add(rows.a)
        return index

    def add(self, rows: Rows) -> None:
        """Append further rows; the lists stay as they were trained."""
        self.index.add(rows.a)

    def candidates(self, q: Rows, k: int, alive: np.ndarray | None) -> np.ndarray:
        """Candidate rows (m, factor * k), -1 where there are fewer; ``alive`` (n,) bool restricts them."""
        faiss = _faiss()
        chosen = None
        if alive is not None:
            chosen = faiss.IDSelectorBitmap(np.packbits(alive, bitorder="little"))
        wanted = min(self.factor * k, int(self.index.ntotal))
        if self.name == "hnsw":
            how = faiss.SearchParametersHNSW(sel=chosen, efSearch=max(self.effort, wanted))
        else:
            how = faiss.IVFPQSearchParameters if self.name == "ivfpq" else faiss.SearchParametersIVF
            how = how(sel=chosen, nprobe=min(self.effort, int(self.index.nlist)))
        return self.index.search(q.a, wanted, params=how)[1]

    def tune(self, q: Rows, truth: np.ndarray, answer: Any, recall: float) -> float:
        """Raise the effort until ``answer(candidates)`` finds ``truth`` (m, k) in a share ``recall``; that share.

        ``truth`` rows of -1 are not counted.
        """
        most = 4096 if self.name == "hnsw" else int(self.index.nlist)
        factors = FACTORS if self.name == "ivfpq" else (2,) if self.name == "hnsw" else (1,)
        found = 0.0
        for self.factor in factors:
            self.effort, best = (32 if self.name == "hnsw" else 1), -1.0
            while True:
                found = share_found(answer(q, truth.shape[1]), truth)
                if found >= recall:
                    return found
                stuck = found < best + 1e-3 and self.factor < factors[-1]  # the codes, not the lists, are the limit
                if stuck or self.effort >= most:
                    break
                best, self.effort = found, min(2 * self.effort, most)
        return found

    def write(self, path: Path) -> None:
        """The FAISS index as one file."""
        faiss = _faiss()
        faiss.write_index(self.index, str(path))

    @classmethod
    def read(cls, path: Path, method: str, space: Space, effort: int, factor: int, seed: int) -> Faiss:
        """The backend of a FAISS index in one file, tuned as it was."""
        faiss = _faiss()
        self = cls.__new__(cls)
        self.name, self.space, self.seed, self.effort, self.factor = method, space, seed, effort, factor
        self.index = faiss.read_index(str(path))
        return self


def _faiss() -> Any:
    """The library, imported when first needed: it brings its own OpenMP."""
    return import_module("faiss")


def _codes(dim: int) -> int:
    """Bytes of a product code: about a quarter of the dimensions, and a divisor of them."""
    return max(m for m in range(1, min(dim, 256) + 1) if dim % m == 0 and m <= max(dim // 4, 1))


def share_found(rows: np.ndarray, truth: np.ndarray) -> float:
    """Recall: the share of true neighbours ``truth`` (m, k) that are among ``rows`` (m, k)."""
    known = truth >= 0
    hit = (truth[:, :, None] == rows[:, None, :]).any(axis=2) & known
    return float(hit.sum() / max(known.sum(), 1))
