"""Exact neighbours on any torch device, by tiles of products with a running top k.

On a GPU the selection, not the product, is the bound: a tile whose largest product lies below every k-th value
so far is not sorted. A self-join computes each tile once and offers it, transposed, to the other side. The last
k + 8 candidates are compared again in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.search._rows import Rows, Space

SPARE = 8
CHUNK = 1 << 24  # numbers gathered at once when candidates are compared again


class Device:
    """Prepared rows on a torch device."""

    def __init__(self, space: Space, rows: Rows, device: Any, memory: int = 1 << 30):
        import torch

        self.torch, self.space, self.device = torch, space, torch.device(device)
        self.memory = memory
        self.a, self.w, self.sq = self._put(rows)
        self.step = int(np.clip(int(np.sqrt(memory / 16)), 128, 32768))

    def _put(self, rows: Rows) -> tuple[Any, Any, Any]:
        return tuple(self.torch.from_numpy(x).to(self.device) for x in (rows.a, rows.w, rows.sq))  # type: ignore[return-value]

    def query(self, q: Rows, k: int, ids: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Distances (m, k) and rows (m, k) of the rows nearest to ``q`` among ``ids``."""
        torch = self.torch
        aq, _, sq = self._put(q)
        chosen = torch.arange(len(self.a), device=self.device) if ids is None else torch.as_tensor(ids).to(self.device)
        chosen = chosen.long()
        top = _Top(torch, len(aq), min(k + SPARE, max(len(chosen), 1)), self.device)
        with self._full_precision():
            for c in range(0, len(chosen), self.step):
                part = chosen[c : c + self.step]
                block, w = self.a[part], self.w[part]
                for r in range(0, len(aq), self.step):
                    rows = slice(r, min(len(aq), r + self.step))
                    top.offer(rows, aq[rows] @ block.T - w, part)
        return self._settle(aq, sq, top.rows, k)

    def self_join(self, k: int, progress: Callable[[float], None] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Distances (n, k) and rows (n, k), each row itself left out."""
        torch, n = self.torch, len(self.a)
        top = _Top(torch, n, min(k + SPARE, max(n - 1, 1)), self.device)
        ids = torch.arange(n, device=self.device)
        cuts = [slice(i, min(n, i + self.step)) for i in range(0, n, self.step)]
        pairs = [(i, i) for i in range(len(cuts))] + [(i, j) for i in range(len(cuts)) for j in range(i)]
        with self._full_precision():
            for made, (i, j) in enumerate(pairs, 1):
                r, c = cuts[i], cuts[j]
                tile = self.a[r] @ self.a[c].T
                if i == j:
                    tile.fill_diagonal_(float("-inf"))
                else:
                    top.offer(c, (tile - self.w[r, None]).T, ids[r])
                top.offer(r, tile - self.w[c], ids[c])
                if progress is not None:
                    progress(made / len(pairs))
        return self._settle(self.a, self.sq, top.rows, k)

    def _full_precision(self) -> Any:
        """TF32 off while products are taken."""
        return _NoTF32(self.torch)

    def _settle(self, q: Any, sq: Any, rows: Any, k: int) -> tuple[np.ndarray, np.ndarray]:
        torch = self.torch
        loss = torch.full(rows.shape, float("inf"), dtype=torch.float64, device=self.device)
        step = max(1, CHUNK // (rows.shape[1] * self.a.shape[1]))
        for s in range(0, len(q), step):
            part, mine = rows[s : s + step], q[s : s + step, None].double()
            other = self.a[part.clamp(min=0)].double()
            if self.space.metric == "inner":
                value = -(mine * other).sum(-1)
            else:
                value = (mine - other).square().sum(-1)
            if self.space.metric == "cosine":
                both = sq[s : s + step, None] * self.sq[part.clamp(min=0)] > 0
                value = torch.where(both, 0.5 * value, 1.0)
            loss[s : s + step] = torch.where(part < 0, float("inf"), value)
        found, rows = loss.cpu().numpy(), rows.cpu().numpy()
        order = np.lexsort((rows, found), axis=1)[:, :k]
        found, rows = np.take_along_axis(found, order, 1), np.take_along_axis(rows, order, 1)
        distance = self.space.distance(np.where(rows < 0, np.nan, found))
        pad = ((0, 0), (0, k - rows.shape[1]))
        return np.pad(distance, pad, constant_values=np.nan), np.pad(rows, pad, constant_values=-1)


class _Top:
    """The k largest values so far of each row, and the columns that hold them."""

    def __init__(self, torch: Any, n: int, k: int, device: Any):
        self.torch, self.k = torch, k
        self.values = torch.full((n, k), float("-inf"), device=device)
        self.rows = torch.full((n, k), -1, dtype=torch.int64, device=device)

    def offer(self, r: slice, tile: Any, ids: Any) -> None:
        """Merge ``tile`` (rows, columns), whose columns are ``ids``, into the rows ``r``; skip what cannot matter."""
        torch = self.torch
        useful = (tile.amax(dim=1) > self.values[r, -1]).nonzero()[:, 0]
        if not len(useful):
            return
        whole = len(useful) == tile.shape[0]
        best, at = (tile if whole else tile[useful]).topk(min(self.k, tile.shape[1]), dim=1)
        where = useful + r.start
        values = torch.cat([self.values[where], best], 1)
        rows = torch.cat([self.rows[where], torch.where(best == float("-inf"), -1, ids[at])], 1)
        self.values[where], order = values.topk(self.k, dim=1)
        self.rows[where] = rows.gather(1, order)


class _NoTF32:
    def __init__(self, torch: Any):
        self.torch = torch

    def __enter__(self) -> None:
        self.before = self.torch.get_float32_matmul_precision()
        self.torch.set_float32_matmul_precision("highest")

    def __exit__(self, *error: object) -> None:
        self.torch.set_float32_matmul_precision(self.before)
