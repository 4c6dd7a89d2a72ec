"""What a caller may ask of an index, and the form in which answers go back."""

from __future__ import annotations

from typing import Any

import numpy as np

Found = tuple[np.ndarray, np.ndarray]
NUMBER = (int, float, np.integer, np.floating)


def neighbours_asked(k: Any) -> int:
    """``k`` as a whole number of neighbours, at least one."""
    if not isinstance(k, NUMBER) or k < 1 or k != k // 1:  # NaN and infinity are no whole numbers either
        raise ValueError(f"k={k!r}: ask for one neighbour or more, a whole number")
    return int(k)


def recall_asked(recall: Any) -> float:
    """``recall`` as a share above 0, at most 1."""
    if not isinstance(recall, NUMBER) or not 0 < recall <= 1:
        raise ValueError(f"recall={recall!r}: give a share above 0, at most 1")
    return float(recall)


def row_mask(mask: Any, n: int) -> np.ndarray:
    """``mask`` as (n,) bool."""
    mask = mask.detach().cpu().numpy() if hasattr(mask, "detach") else np.asarray(mask)
    if mask.dtype != bool or mask.shape != (n,):
        raise ValueError(f"mask is {mask.dtype} of shape {mask.shape}; expected bool of shape ({n},)")
    return mask


def row_positions(rows: Any, n: int) -> np.ndarray:
    """``rows`` as (m,) int64 positions below n; a mask would be read as the rows 0 and 1, and is refused."""
    rows = np.atleast_1d(rows.detach().cpu().numpy() if hasattr(rows, "detach") else np.asarray(rows))
    if rows.size and rows.dtype.kind not in "iu":
        hint = ": of a mask, pass np.flatnonzero(mask)" if rows.dtype == bool else ""
        raise ValueError(f"rows are {rows.dtype} of shape {rows.shape}; expected whole numbers of shape (m,){hint}")
    bad = rows[(rows < 0) | (rows >= n)]
    if len(bad):
        raise IndexError(f"there is no row {bad[0]}: the index holds rows 0 to {n - 1}")
    return rows.astype(np.int64)


def through(positions: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """``positions[rows]``, and -1 where ``rows`` is."""
    return np.where(rows < 0, -1, positions[np.maximum(rows, 0)]) if len(positions) else rows


def like(found: Found, values: Any) -> Found:
    """Torch tensors on the device of ``values`` where that is one."""
    if not hasattr(values, "detach"):
        return found
    import torch

    return tuple(torch.from_numpy(x).to(values.device) for x in found)  # type: ignore[return-value]
