"""An 8-bit first pass that proves what it leaves out, so that the answer is exact at a quarter of the reading.

One query over many rows is bound by memory. Rows are read as int8; what the rounding of a row dropped is stored
(``lost``), so a product is known within ``lost_i |q| + |a_i| lost_q``. Rows whose upper bound lies below the k-th
lower bound cannot be among the k nearest; the others (a few tens, as a rule) are compared on full vectors.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from kernels._parallel import in_threads
from kernels.search._rows import Rows, Space
from kernels.search.exact import heaps, parts, settle, strips_for

FLOAT_ULPS = 16 * 2.0**-24


class Int8:
    """int8 codes of prepared rows. ``codes`` (n, d) int8, ``scale`` (n,) and ``lost`` (n,) float32."""

    name = "int8"

    def __init__(self, space: Space, rows: Rows):
        self.space = space
        self.longest = self.widest = 0.0
        self.codes = np.empty((0, rows.a.shape[1]), np.int8)
        self.scale, self.lost = np.empty(0, np.float32), np.empty(0, np.float32)
        self.add(rows)

    def add(self, rows: Rows) -> None:
        """Append the codes of further rows."""
        from kernels.search import _kernels

        n = len(rows)
        codes, scale, lost = np.empty(rows.a.shape, np.int8), np.empty(n, np.float32), np.empty(n, np.float32)
        in_threads(partial(_kernels.quantize, *part, rows.a, codes, scale, lost) for part in parts(n) if n)
        self.codes = np.concatenate([self.codes, codes]) if len(self.codes) else codes
        self.scale, self.lost = np.append(self.scale, scale), np.append(self.lost, lost)
        self.longest = max(self.longest, float(rows.norm.max(initial=0)))
        self.widest = max(self.widest, float(np.abs(rows.w).max(initial=0)))

    def query(self, rows: Rows, q: Rows, k: int, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances (m, k) and rows (m, k), exact; ``alive`` (n,) bool are the rows that may be returned."""
        answers = [self._one(rows, q.take(slice(i, i + 1)), k, alive) for i in range(len(q))]
        return np.concatenate([d for d, _ in answers]), np.concatenate([r for _, r in answers])

    def _one(self, rows: Rows, q: Rows, k: int, alive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        from kernels.search import _kernels

        n, dim = self.codes.shape
        most = float(np.abs(q.a).max())
        steps = min(32767.0, np.floor((2.0**31 - 1) / (127.0 * dim)))
        unit = most / steps if most > 0 else 1.0
        code = np.rint(q.a[0].astype(np.float64) / unit)
        q_lost = float(np.linalg.norm(q.a[0] - code * unit)) * (1 + 1e-6)
        rounding = FLOAT_ULPS * (self.longest * float(q.norm[0]) + self.widest + 1e-30)
        upper, row = np.empty(n, np.float32), np.empty(n, np.int32)  # pages that nothing is written to cost nothing
        stretches = parts(n, strips_for(n, dim))
        wide = min(k, int(np.count_nonzero(alive)))
        heap, scratch = heaps((len(stretches), wide))
        given = (
            self.codes, self.scale, self.lost, rows.w, rows.norm, alive, code.astype(np.int16), np.float32(unit),
            np.float32(q.norm[0]), np.float32(q_lost), np.float32(rounding),
        )  # fmt: skip
        found = in_threads(
            partial(_kernels.scan_codes, *part, *given, heap[s], scratch[s], upper, row)
            for s, part in enumerate(stretches)
        )
        floor = -np.partition(heap.ravel(), wide - 1)[wide - 1]
        kept = [slice(first, first + m) for (first, _), m in zip(stretches, found, strict=True)]
        near = np.concatenate([row[part][upper[part] >= floor] for part in kept])
        self.compared_ = len(near)
        return settle(self.space, q, rows, near[None].astype(np.int64), k)
