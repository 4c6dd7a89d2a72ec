"""Columns of a dataset to arrays and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    import pandas as pd

LARGEST = 2**53
"""Up to here float64 holds every integer."""


def combined(column: pa.ChunkedArray) -> pa.Array:
    """The chunks of a column as one array."""
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def frozen(array: np.ndarray) -> np.ndarray:
    """The same array, read-only from here on."""
    if array.flags.writeable:
        array.flags.writeable = False
    return array


def values(column: pa.Array) -> np.ndarray:
    """(n,) a column as numpy has it: float64 where integers are missing, False where booleans are.

    Integers that float64 would round, such as ids of Gaia or DESI, stay exact: where some are missing they are
    objects, int and None.
    """
    if pa.types.is_boolean(column.type):
        return frozen(column.fill_null(False).to_numpy(zero_copy_only=False))
    if pa.types.is_floating(column.type) or (pa.types.is_integer(column.type) and column.null_count == 0):
        return frozen(column.to_numpy(zero_copy_only=False))
    if pa.types.is_integer(column.type) and not gapped(column):
        return frozen(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
    if pa.types.is_integer(column.type):
        return frozen(np.array(column.to_pylist(), dtype=object))
    return frozen(column.to_numpy(zero_copy_only=False))


def gapped(column: pa.Array | pa.ChunkedArray) -> bool:
    """Whether these are integers of which some are missing and some are beyond what float64 holds exactly."""
    if not pa.types.is_integer(column.type) or not column.null_count:
        return False
    ends = pc.min_max(column).as_py().values()
    return any(end is not None and abs(end) > LARGEST for end in ends)


def frame(table: pa.Table) -> pd.DataFrame:
    """The table for pandas; integers of which some are missing stay integers where float64 would round them."""
    import pandas as pd

    out = table.to_pandas()
    for name in table.column_names:
        column = table[name]
        if gapped(column):
            kind = "UInt64" if pa.types.is_unsigned_integer(column.type) else "Int64"
            out[name] = pd.array(column.to_pylist(), dtype=kind)
    return out


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
