"""Reads torch's own files without running what is in them.

A pickle is a program that names functions to call. This reader knows three harmless ones (a tensor from a storage, a
parameter from a tensor, an ordered dict); every other name becomes an inert :class:`Stub` that takes anything and does
nothing, so that a checkpoint whose hyper-parameters hold whole modules gives its tensors without its packages. No
module is imported and nothing is looked up by name. Storages are bounded by the size of the file.
"""

from __future__ import annotations

import collections
import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import torch

from kernels.embedding._errors import BrokenFile

_DTYPES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
    "UntypedStorage": torch.uint8,
}  # fmt: skip
_DTYPE_NAMES = {str(d).removeprefix("torch."): d for d in _DTYPES.values()}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C


class Stub:
    """Stands for an object whose class is not known: takes every construction and state, does nothing."""

    def __new__(cls, *arguments: Any, **keywords: Any) -> Stub:
        return object.__new__(cls)

    def __init__(self, *arguments: Any, **keywords: Any):
        pass

    def __call__(self, *arguments: Any, **keywords: Any) -> Stub:
        return Stub()

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        pass

    def extend(self, values: Any) -> None:
        pass

    def add(self, value: Any) -> None:
        pass

    def __hash__(self) -> int:
        return id(self)


class _Unpickler(pickle.Unpickler):
    """``find_class`` imports nothing; ``storages`` gives a flat tensor of ``(dtype, key, count)``."""

    def __init__(self, file: BinaryIO, storages: Any, path: Path):
        super().__init__(file)
        self._storages, self._path = storages, path

    def find_class(self, module: str, name: str) -> Any:
        if module in ("torch", "torch.storage") and name in _DTYPES:
            return _DTYPES[name]
        if module == "torch" and name in _DTYPE_NAMES:
            return _DTYPE_NAMES[name]
        return {
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self._tensor_v3,
            ("torch._utils", "_rebuild_parameter"): lambda data, *_: data,
            ("torch._utils", "_rebuild_parameter_with_state"): lambda data, *_: data,
            ("torch", "Size"): tuple,
            ("collections", "OrderedDict"): collections.OrderedDict,
        }.get((module, name), Stub)

    def persistent_load(self, pid: Any) -> Any:
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
            raise BrokenFile(self._path, f"it refers to {pid!r:.80}, which is no storage", "it is no torch checkpoint")
        _, dtype, key, _, count = pid[:5]
        if not isinstance(dtype, torch.dtype) or not isinstance(count, int) or count < 0:
            raise BrokenFile(self._path, f"storage {key!r:.80} has no known type", "save its state dict as safetensors")
        return self._storages(dtype, str(key), count)

    def _tensor(self, storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor | Stub:
        if not isinstance(storage, torch.Tensor):
            return Stub()
        size, stride = tuple(size), tuple(stride)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True))
        if min((offset, *size, *stride)) < 0 or (0 not in size and last >= storage.numel()):
            raise BrokenFile(self._path, f"a tensor of {size} reaches beyond its storage", "download it again")
        return storage.as_strided(size, stride, offset)

    def _tensor_v3(self, storage: Any, offset: int, size: Any, stride: Any, grad: Any, hooks: Any, dtype: Any, *_: Any):
        typed = storage.view(dtype) if isinstance(storage, torch.Tensor) else storage
        return self._tensor(typed, offset, size, stride)


def read_pickle(path: Path) -> Any:
    """The object in a file that ``torch.save`` wrote, in either of its formats; unknown classes are :class:`Stub`."""
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        with path.open("rb") as file:
            return _read_legacy(file, path)
    except BrokenFile:
        raise
    except (zipfile.BadZipFile, EOFError, KeyError, struct.error, pickle.UnpicklingError) as error:
        raise BrokenFile(path, f"it is truncated or no torch checkpoint ({error})", "download it again") from error
    except (TypeError, ValueError, AttributeError, IndexError, RuntimeError, OverflowError, MemoryError) as error:
        raise BrokenFile(path, f"its pickle does not make sense ({error})", "download it again") from error


def _read_zip(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        found = {n.split("/", 1)[-1]: n for n in archive.namelist()}
        if "data.pkl" not in found:
            raise BrokenFile(path, "the archive holds no data.pkl", "give the file that torch.save wrote")
        if any(archive.getinfo(name).compress_type != zipfile.ZIP_STORED for name in found.values()):
            raise BrokenFile(path, "its parts are compressed, as torch never writes them", "download it again")
        if "byteorder" in found and archive.read(found["byteorder"]) != b"little":
            raise BrokenFile(path, "its numbers are big-endian", "save its state dict as safetensors")
        held: dict[str, torch.Tensor] = {}

        def storage(dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
            if key not in held:
                entry = archive.getinfo(found[f"data/{key}"])
                wanted = count * dtype.itemsize
                if entry.file_size < wanted:
                    raise BrokenFile(
                        path, f"storage {key} holds {entry.file_size} bytes of {wanted}", "download it again"
                    )
                data = bytearray(archive.read(entry))
                held[key] = torch.frombuffer(data, dtype=torch.uint8)[:wanted] if wanted else torch.empty(0)
            return held[key].view(dtype) if held[key].numel() else torch.empty(0, dtype=dtype)

        return _Unpickler(io.BytesIO(archive.read(found["data.pkl"])), storage, path).load()


def _read_legacy(file: BinaryIO, path: Path) -> Any:
    """The format before torch 1.6: five pickles one after another, then the storages."""
    size = path.stat().st_size
    held: dict[str, torch.Tensor] = {}

    def storage(dtype: torch.dtype, key: str, count: int) -> torch.Tensor:
        if key not in held:
            if count * dtype.itemsize + sum(tensor.nbytes for tensor in held.values()) > size:
                raise BrokenFile(path, f"storage {key} of {count} values is larger than the file", "download it again")
            held[key] = torch.zeros(count, dtype=dtype)
        return held[key]

    def load() -> Any:
        return _Unpickler(file, storage, path).load()

    if load() != _LEGACY_MAGIC:
        raise BrokenFile(path, "it is a pickle, but none that torch wrote", "save its state dict as safetensors")
    load(), load()
    found = load()
    for key in load():
        (count,) = struct.unpack("<q", file.read(8))
        tensor = held[str(key)]
        data = file.read(tensor.numel() * tensor.element_size())
        if count != tensor.numel() or len(data) < tensor.numel() * tensor.element_size():
            raise BrokenFile(path, f"it ends within storage {key}", "download it again")
        if count:
            tensor.copy_(torch.frombuffer(bytearray(data), dtype=tensor.dtype))
    return found
