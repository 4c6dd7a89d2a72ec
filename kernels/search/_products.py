"""Tiles of products in the cheapest precision that still decides exactly.

bfloat16 halves the time of a product on CPUs that have it, and its error is known: with ``e`` what a row loses
in the conversion, ``|a.b - a'.b'| <= |e_a||b| + |a'||e_b|``, and the rounding of the result is relative. The
bounds are lowered by that much and every pair that passes is computed again, so nothing is lost.
"""

from __future__ import annotations

import sys
import time
from functools import lru_cache
from typing import Any

import numpy as np

from kernels.search._rows import Rows

UNIT = 2.0**-24
CHUNK = 8192


def margin(rows: Rows, others: Rows, offset: float) -> np.ndarray:
    """(n,) how far a float32 product and its bound may be off: Higham & Mary (2019), sqrt(d) u with a factor 4."""
    product = (4 * np.sqrt(rows.a.shape[1]) + 8) * UNIT * rows.norm.astype(np.float64) * others.norm.max(initial=0)
    return product + 8 * UNIT * (np.abs(rows.w) + np.abs(others.w).max(initial=0) + abs(offset))


class Products:
    """Products of blocks of one matrix with blocks of itself.

    Attributes
    ----------
    margin : (n,) float64, the error of a row's products beside the relative one.
    delta : relative error of a product as stored.
    slack : (n,) float32, what a product may be off from another of the same row.
    """

    def __init__(self, a: Rows, offset: float, step: int, half: bool):
        self.a, self.half = a, half
        self.margin = margin(a, a, offset)
        self.delta = 0.0
        n = len(a)
        largest = float(a.norm.max(initial=0))
        if half:
            self._to_half(n, largest, min(step, n))
        else:
            self._out: Any = np.empty(min(step, n) ** 2, np.float32)
        self.slack = (2 * self.margin + self.delta * a.norm * largest).astype(np.float32)

    def _to_half(self, n: int, largest: float, step: int) -> None:
        import torch

        self.short = torch.empty(self.a.a.shape, dtype=torch.bfloat16)
        lost = np.empty(n)
        for start in range(0, n, CHUNK):
            full = torch.from_numpy(self.a.a[start : start + CHUNK])
            self.short[start : start + CHUNK] = full
            off = full - self.short[start : start + CHUNK].float()
            lost[start : start + CHUNK] = off.norm(dim=1).numpy() * (1 + 1e-4)
        self.margin += lost * largest + (self.a.norm + lost) * lost.max(initial=0)
        self.delta = 2.0**-8
        self._out = torch.empty(step * step, dtype=torch.bfloat16)

    def tile(self, r: slice, c: slice) -> np.ndarray:
        """Products (rows, columns), float32 or bfloat16 seen as uint16, valid until the next call."""
        m, width = r.stop - r.start, c.stop - c.start
        out = self._out[: m * width].reshape(m, width)  # contiguous, so that one compiled kernel reads them all
        if not self.half:
            return np.matmul(self.a.a[r], self.a.a[c].T, out=out)
        import torch

        torch.mm(self.short[r], self.short[c].T, out=out)
        return out.view(torch.uint16).numpy()


def half_pays(n: int, dim: int) -> bool:
    """Whether a self-join of n rows should take bfloat16: large enough, and faster on this machine."""
    least = 2e11 if "torch" in sys.modules else 1e12  # importing torch costs two seconds
    return float(n) * n * dim > least and _half_is_faster()


@lru_cache(maxsize=1)
def _half_is_faster() -> bool:
    try:
        import torch
    except ImportError:
        return False
    a = torch.ones((1024, 768))
    short = a.bfloat16()

    def best(call: Any) -> float:
        times = []
        for _ in range(4):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        return min(times)

    full = a.numpy()
    return best(lambda: torch.mm(short, short.T)) < 0.75 * best(lambda: full @ full.T)
