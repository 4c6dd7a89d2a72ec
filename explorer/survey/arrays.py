"""Columns of a dataset to arrays and back."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def combined(column: pa.ChunkedArray) -> pa.Array:
    """The chunks of a column as one array."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def frozen(array: np.ndarray) -> np.ndarray:
    """The same array, read-only from here on."""
    if array.flags.writeable:
        array.flags.writeable = False
    return array


def values(column: pa.Array) -> np.ndarray:
    """(n,) a column as numpy has it: float64 where integers are missing, False where booleans are."""
    if pa.types.is_boolean(column.type):
        return frozen(column.fill_null(False).to_numpy(zero_copy_only=False))
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and column.null_count == 0):
        return frozen(column.to_numpy(zero_copy_only=False))
    if pa.types.is_integer(column.type):
        return frozen(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    return frozen(column.to_numpy(zero_copy_only=False))


def names(column: pa.Array) -> np.ndarray:
    """(n,) str of a column of text without gaps."""
    return frozen(column.to_numpy(zero_copy_only=False).astype(str))


def places(column: pa.Array) -> np.ndarray:
    """(n,) int64 of a column of ranks; 0 where missing."""
    return frozen(column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64))


def matrix(column: pa.FixedSizeListArray) -> np.ndarray:
    """(n, d) float32 of a column of lists; NaN in rows that are missing."""
    width = column.type.list_size
    flat = np.asarray(column.values)[column.offset * width : (column.offset + len(column)) * width]
    matrix = flat.reshape(-1, width).astype(np.float32, copy=False)
    if column.null_count:
        matrix = matrix.copy()
        matrix[np.asarray(column.is_null())] = np.nan
    return frozen(matrix)


def fixed(matrix: np.ndarray) -> pa.FixedSizeListArray:
    """A fixed-size-list column of float32 with nulls in place of rows that hold a NaN."""
    matrix = np.ascontiguousarray(matrix, dtype=np.float32)
    missing = ~np.isfinite(matrix).all(axis=1)
    return pa.FixedSizeListArray.from_arrays(
        pa.array(matrix.ravel()), matrix.shape[1], mask=pa.array(missing) if missing.any() else None
    )
