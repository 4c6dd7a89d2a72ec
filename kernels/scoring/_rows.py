"""What every scorer does to the rows it is given: numbers, two dimensions, one policy for what is not finite.

Rows that hold a NaN or an infinity are left out of ``fit`` and get the score NaN; a finite row whose score overflows
gets infinity and is counted. :func:`kernels.scoring.ranks.rank` puts both first.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def as_rows(X: Any, scorer: str, width: int | None = None) -> np.ndarray:
    """``X`` as an (n, d) array of float32, or of float64 where it came as that or as integers.

    Parameters
    ----------
    X : (n, d) numpy or torch array of any real type.
    scorer : name used in the errors.
    width : columns that the scorer was fitted on, where it was.
    """
    if hasattr(X, "detach"):
        tensor = X.detach().cpu()
        X = (tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor).numpy()
    rows = np.asarray(X)
    if rows.dtype.kind not in "fiub":
        raise ValueError(f"{scorer} takes numbers and is given {rows.dtype}: pass a float matrix of shape (n, d)")
    if rows.ndim != 2 or rows.shape[1] == 0:
        hint = " (one vector is a matrix of one row: x[None])" if rows.ndim == 1 else ""
        raise ValueError(f"{scorer} takes (n, d) rows and is given shape {rows.shape}{hint}")
    if width is not None and rows.shape[1] != width:
        raise ValueError(
            f"{scorer} was fitted on {width} columns and is given {rows.shape[1]}: score embeddings of the same space"
        )
    kept = rows.dtype.kind == "f" and rows.dtype.itemsize <= 4
    return rows.astype(np.float32 if kept else np.float64, copy=False)


def finite(rows: np.ndarray) -> np.ndarray:
    """(n,) bool: rows without NaN or infinity."""
    return np.isfinite(rows).all(axis=1)


def fitting_rows(X: Any, scorer: str, least: int) -> tuple[np.ndarray, np.ndarray]:
    """The finite rows of ``X`` (m, d) and (n,) bool where they are; ValueError where fewer than ``least``."""
    rows = as_rows(X, scorer)
    good = finite(rows)
    usable = int(np.count_nonzero(good))
    if usable < least:
        lost = len(rows) - usable
        also = f" ({lost} of {len(rows)} rows hold NaN or infinity)" if lost else ""
        raise ValueError(f"{scorer} needs at least {least} rows and is given {usable}{also}: pass more rows")
    return (rows if usable == len(rows) else rows[good]), good


def spread(scores: np.ndarray, good: np.ndarray) -> np.ndarray:
    """(n,) float64: ``scores`` of the good rows in their places, NaN elsewhere; a NaN among them is made infinite."""
    scores = np.asarray(scores, dtype=np.float64)
    out = np.full(len(good), np.nan)
    out[good] = np.where(np.isnan(scores), np.inf, scores)
    return out


def like(values: np.ndarray, X: Any) -> Any:
    """``values`` as a torch tensor on the device of ``X`` where ``X`` is one."""
    if hasattr(X, "detach"):
        import torch

        # a device without float64 (Apple's) cannot hold a score
        return torch.from_numpy(values) if X.device.type == "mps" else torch.from_numpy(values).to(X.device)
    return values


def fold_of(n: int, folds: int, random_state: int | None) -> np.ndarray:
    """(n,) int: a random fold for every row, sizes equal to within one."""
    order = np.random.default_rng(random_state).permutation(n)
    fold = np.empty(n, dtype=np.int64)
    fold[order] = np.arange(n) % folds
    return fold
