"""Embeddings that people already have, joined to a survey by id: npy, npz, Parquet, HDF5, safetensors.

Nothing is unpickled: arrays of Python objects are refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from explorer.survey._reading import ReadError, native, plain
from explorer.survey._tables import ID_NAMES

if TYPE_CHECKING:
    from explorer.survey.store import Survey

SUFFIXES = (".npy", ".npz", ".parquet", ".pq", ".hdf5", ".h5", ".safetensors")
_VECTORS = ("embeddings", "embedding", "features", "vectors", "latents", "representation", "x", "z")
_IDS = ("ids", *ID_NAMES, "names", "object_ids", "targetids")
_NO_PICKLE = "Save it as numbers: numpy.save of a float array, ids as text or whole numbers beside it."


@dataclass(frozen=True)
class Joined:
    """How a join went: rows of the survey with a vector, and ids of the file that the survey does not have."""

    space: str
    rows: int
    of: int
    unknown: int
    by: str

    def __str__(self) -> str:
        left = f"; {self.unknown} vectors name no row of it" if self.unknown else ""
        return f"{self.space}: {self.rows} of {self.of} rows, matched by {self.by}{left}"


def load(path: str | Path) -> tuple[np.ndarray, list[str] | None]:
    """``(vectors (n, d) float32, ids or None)`` of a file of embeddings.

    Ids come from an array or a column of the file, else from a file beside it: ``<stem>_ids`` or ``ids`` with
    ending ``.npy``, ``.txt`` or ``.csv``. Whole numbers become text, digit for digit.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            vectors, ids = _array(path, np.load(path, allow_pickle=False)), None
        elif suffix in (".parquet", ".pq"):
            vectors, ids = _from_parquet(path)
        else:
            vectors, ids = _from_arrays(path, _arrays(path, suffix))
        if ids is None:
            ids = _ids_beside(path)
    except ReadError:
        raise
    except ValueError as error:
        if "allow_pickle" in str(error):
            raise ReadError(path, "it holds Python objects, which are not loaded, or no arrays", _NO_PICKLE) from error
        raise ReadError(path, str(error), "Write it again.") from error
    except Exception as error:  # each library raises its own kinds
        raise ReadError(path, f"it cannot be read ({error})", "Write it again.") from error
    if ids is not None and len(ids) != len(vectors):
        raise ReadError(path, f"{len(vectors)} vectors but {len(ids)} ids", "Write one id for each vector.")
    return vectors, ids


def join(
    survey: Survey, path: str | Path, space: str, ids: Sequence[object] | None = None, column: str | None = None
) -> Joined:
    """Put the vectors of ``path`` into ``survey`` as ``space`` (``encoder/modality``), matched by id.

    Ids are compared with the row ids, the object ids (every row of an object gets its vector) or, where named,
    a catalogue ``column``; whichever matches most. Without ids the file must have one vector for each row, in
    the survey's order. Rows without a vector stay null.
    """
    path = Path(path)
    vectors, found = load(path)
    names = [str(plain(i)) for i in ids] if ids is not None else found
    out = np.full((len(survey), vectors.shape[1]), np.nan, dtype=np.float32)
    if names is None:
        if len(vectors) != len(survey):
            raise ReadError(
                path,
                f"it has {len(vectors)} vectors and no ids, the survey {len(survey)} rows",
                "Give ids=…, or put a file of ids beside it.",
            )
        out[:] = vectors
        rows, unknown, by = len(survey), 0, "order"
    else:
        rows, unknown, by = _match(survey, names, vectors, out, column)
        if rows == 0:
            raise ReadError(
                path,
                f"none of its {len(names)} ids (first {names[0]!r}) is an id of survey {survey.name} "
                f"(first {str(survey.ids[0])!r})",
                "Name the column to match with column=…",
            )
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    survey.put_embedding(
        space, out, {"file": path.name, "sha256": digest, "matched_by": by, "rows": rows, "of": len(out)}
    )
    return Joined(space, rows, len(survey), unknown, by)


def _match(
    survey: Survey, names: Sequence[str], vectors: np.ndarray, out: np.ndarray, column: str | None
) -> tuple[int, int, str]:
    at: dict[str, int] = {}
    for k, name in enumerate(names):
        at.setdefault(name, k)
    keys: dict[str, Any] = {"id": survey.ids, "object_id": survey.object_ids}
    if column is not None:
        keys = {column: survey.column(column)}
    best: tuple[int, str, np.ndarray] = (-1, "", np.empty(0, dtype=np.int64))
    for by, values in keys.items():
        rows = np.array([at.get(str(v), -1) for v in _spelt(survey, by, values)], dtype=np.int64)
        if (hits := int((rows >= 0).sum())) > best[0]:
            best = (hits, by, rows)
    hits, by, rows = best
    has = rows >= 0
    out[has] = vectors[rows[has]]
    return hits, len(at) - len(set(rows[has].tolist())), by


def _spelt(survey: Survey, name: str, values: np.ndarray) -> Iterable[Any]:
    """The values as an id is written: integers of which some are missing have no decimal point."""
    if values.dtype.kind == "f" and pa.types.is_integer(survey.columns[name]):
        return (int(v) if v == v else None for v in values.tolist())
    return values


def _array(path: Path, array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu" or array.ndim != 2 or 0 in array.shape:
        raise ReadError(path, f"embeddings are (n, d) numbers, not {array.shape} of {array.dtype}", _NO_PICKLE)
    vectors = np.ascontiguousarray(native(array), dtype=np.float32)
    if not np.isfinite(vectors).all(axis=1).any():
        raise ReadError(path, "no vector is finite", "Leave it out, or embed again.")
    return vectors


def _arrays(path: Path, suffix: str) -> dict[str, np.ndarray]:
    if suffix == ".npz":
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    if suffix == ".safetensors":
        from safetensors.numpy import load_file

        return dict(load_file(path))
    if suffix in (".hdf5", ".h5"):
        import h5py

        with h5py.File(path, "r") as file:
            found = {k: v for k, v in file.items() if hasattr(v, "shape") and v.ndim in (1, 2)}
            if any(h5py.check_string_dtype(v.dtype) is None and v.dtype.kind == "O" for v in found.values()):
                raise ReadError(path, "it holds Python objects, which are not loaded", _NO_PICKLE)
            return {name: dataset[()] for name, dataset in found.items()}
    raise ReadError(path, f"no reader of embeddings for {suffix}", f"Use one of {', '.join(SUFFIXES)}.")


def _pick(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    lower = {name.lower(): name for name in reversed(list(names))}
    return next((lower[name] for name in wanted if name in lower), None)


def _from_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, list[str] | None]:
    tables = [name for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind in "fiu"]
    chosen = _pick(tables, _VECTORS) or (tables[0] if len(tables) == 1 else None)
    if chosen is None:
        raise ReadError(
            path, f"which array is it? It holds {', '.join(map(repr, arrays)) or 'none'}", "Name it 'embeddings'."
        )
    vectors = _array(path, arrays[chosen])
    named = _pick([n for n, a in arrays.items() if a.ndim == 1 and len(a) == len(vectors)], _IDS)
    return vectors, None if named is None else _text(arrays[named])


def _text(values: Any) -> list[str]:
    array = np.asarray(values)
    if array.dtype.kind == "f":
        raise ValueError("its ids are floating-point numbers, which lose digits; store them as text or int64")
    return [str(plain(v)) for v in array.tolist()]


def _from_parquet(path: Path) -> tuple[np.ndarray, list[str] | None]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    named = _pick(table.schema.names, _IDS)
    ids = None if named is None else [str(v) for v in table[named].to_pylist()]
    lists = [f.name for f in table.schema if vector_type(f.type)]
    chosen = _pick(lists, _VECTORS) or (lists[0] if len(lists) == 1 else None)
    if chosen is not None:
        column = table[chosen].combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        flat = column.flatten().to_numpy(zero_copy_only=False)
        if column.null_count or len(column) == 0 or len(flat) % len(column):
            raise ReadError(path, f"the vectors of {chosen!r} differ in length or are missing", "Drop those rows.")
        lengths = {len(v) for v in column.to_pylist()[:: max(1, len(column) // 100)]}
        if lengths != {len(flat) // len(column)}:
            raise ReadError(path, f"the vectors of {chosen!r} differ in length", "Write vectors of one length.")
        return _array(path, flat.reshape(len(column), -1)), ids
    numbers = [f.name for f in table.schema if f.name != named and pa.types.is_floating(f.type)]
    if len(numbers) < 2:
        raise ReadError(path, "no column of vectors, and fewer than two of numbers", "Name one 'embedding'.")
    return _array(path, np.stack([table[n].to_numpy() for n in numbers], axis=1)), ids


def vector_type(kind: Any) -> bool:
    """Whether an Arrow type is a list of floating-point numbers."""
    import pyarrow as pa

    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and pa.types.is_floating(kind.value_type))


def ids_file(path: Path) -> Path | None:
    """The file of ids beside a file of embeddings, or None."""
    base = re.sub(r"[_-]?(embeddings?|features|vectors)$", "", path.stem)
    stems = [f"{path.stem}_ids", f"{base}_ids", "ids"]
    choices = [path.with_name(name + end) for name in stems for end in (".npy", ".txt", ".csv")]
    return next((choice for choice in choices if choice.is_file()), None)


def _ids_beside(path: Path) -> list[str] | None:
    beside = ids_file(path)
    if beside is None:
        return None
    if beside.suffix == ".npy":
        return _text(np.load(beside, allow_pickle=False))
    if beside.suffix == ".csv":
        from explorer.survey._tables import id_column, load_table

        table, _ = load_table(beside)
        column = _pick(table.column_names, _IDS) or id_column(table) or table.column_names[0]
        return [str(v) for v in table[column].to_pylist()]
    return [line.strip() for line in beside.read_text(encoding="utf-8").splitlines() if line.strip()]
