"""Files of weights: safetensors, and what torch wrote, read without running anything; and whose weights they are."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from kernels.embedding._errors import BrokenFile, WrongWeights
from kernels.embedding._unpickle import read_pickle

__all__ = [
    "BrokenFile", "WrongWeights", "check_manifest", "convert", "digest", "load_into", "load_meta", "load_weights",
    "manifest", "save_weights",
]  # fmt: skip

STATE_KEYS = ("state_dict", "model_state_dict", "model", "module")
"""Where published checkpoints keep their tensors."""


def load_weights(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """Name to tensor, from a safetensors file or from one that torch wrote (``.pt``, ``.ckpt``, ``.bin``).

    What torch wrote is read by :mod:`kernels.embedding._unpickle`, which never executes code, and is written once as
    ``FILE.safetensors`` beside it; the next call reads that one as long as the original is not newer. Names lose the
    ``_orig_mod.`` of compiled modules, and ``module.`` where all have it.

    Raises :class:`FileNotFoundError`, or :class:`BrokenFile` for a file that is truncated or of another kind.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}: put the file there, or give its path")
    if _is_safetensors(path):
        return _read_safetensors(path)
    beside = converted_path(path)
    if beside.is_file() and beside.stat().st_mtime >= path.stat().st_mtime:
        return _read_safetensors(beside)
    state, meta = _from_pickle(path)
    if os.access(path.parent, os.W_OK):
        save_weights(beside, state, meta)
    return state


def converted_path(path: str | os.PathLike[str]) -> Path:
    """Where the safetensors form of a file that torch wrote is kept."""
    path = Path(path)
    return path.with_name(path.name + ".safetensors")


def convert(source: str | os.PathLike[str], target: str | os.PathLike[str] | None = None) -> Path:
    """Write what torch wrote as safetensors; returns the new file's path (beside the source by default)."""
    source = Path(source)
    target = Path(target) if target else converted_path(source)
    state, meta = _from_pickle(source)
    save_weights(target, state, meta)
    return target


def load_meta(path: str | os.PathLike[str]) -> dict[str, str]:
    """The text that was saved with the weights (``save_weights(..., meta)``; the settings of a converted file)."""
    path = Path(path)
    return _header(path)[0].get("__metadata__", {}) if _is_safetensors(path) else _from_pickle(path)[1]


def save_weights(
    path: str | os.PathLike[str], state: Mapping[str, Tensor], meta: Mapping[str, str] | None = None
) -> None:
    """Write name to tensor as safetensors, whole or not at all; ``meta`` is text to keep with it."""
    from safetensors.torch import save_file

    path = Path(path)
    plain: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in state.items():
        own = tensor.detach().cpu().contiguous()
        place = own.untyped_storage().data_ptr()
        if place in seen or own.untyped_storage().nbytes() != own.numel() * own.element_size():
            own = own.clone()  # safetensors refuses two names of one storage, and parts of a storage
        seen.add(place)
        plain[name] = own
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(plain, partial, metadata={str(k): str(v) for k, v in (meta or {}).items()})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file, as provenance records it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest(source: nn.Module | Mapping[str, Tensor]) -> dict[str, list[int]]:
    """Name to shape of everything in a state dict, sorted by name: what ``data/manifests/*.json`` holds."""
    state = source.state_dict() if isinstance(source, nn.Module) else source
    return {name: list(state[name].shape) for name in sorted(state)}


def check_manifest(state: Mapping[str, Tensor], wanted: Mapping[str, Sequence[int]], name: str) -> None:
    """Raise :class:`WrongWeights` unless the names and shapes in ``state`` are those ``wanted`` (see :func:`manifest`).

    ``name`` is what the message calls the model.
    """
    missing = [k for k in wanted if k not in state]
    left = [k for k in state if k not in wanted]
    other = [
        f"{k} is {_shape(state[k].shape)}, not {_shape(wanted[k])}"
        for k in wanted
        if k in state and tuple(state[k].shape) != tuple(wanted[k])
    ]
    parts = [
        f"{len(missing)} of {len(wanted)} missing ({_some(missing)})" if missing else "",
        f"{len(other)} of another shape ({_some(other)})" if other else "",
        f"{len(left)} left over ({_some(left)})" if left else "",
    ]
    told = "; ".join(p for p in parts if p)
    if told:
        raise WrongWeights(f"these are not the weights of {name}: {told}. Give the checkpoint of this size and version")


def load_into(model: nn.Module, state: Mapping[str, Tensor], name: str, ignore: Iterable[str] = ()) -> None:
    """Copy ``state`` into ``model`` after :func:`check_manifest`; names beginning with one of ``ignore`` are left."""
    skip = tuple(ignore)
    kept = {k: v for k, v in state.items() if not (skip and k.startswith(skip))}
    own = model.state_dict()
    check_manifest(kept, {k: v.shape for k, v in own.items() if not (skip and k.startswith(skip))}, name)
    model.load_state_dict({k: v.to(own[k].dtype) for k, v in kept.items()}, strict=not skip)


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        start = file.read(9)
    return path.suffix == ".safetensors" or (len(start) == 9 and start[8:9] == b"{" and start[:2] != b"PK")


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The JSON header and where the numbers begin."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, 1 << 28):
            raise BrokenFile(path, f"it holds {size} bytes, fewer than its header", "download it again")
        try:
            header = json.loads(file.read(length))
        except ValueError as error:
            raise BrokenFile(path, f"its header is no JSON ({error})", "it is no safetensors file") from error
    if not isinstance(header, dict):
        raise BrokenFile(path, "its header is no table of tensors", "it is no safetensors file")
    return header, 8 + length


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    header, start = _header(path)
    try:
        end = max((e["data_offsets"][1] for k, e in header.items() if k != "__metadata__"), default=0)
        size = path.stat().st_size
        if start + end > size:
            raise BrokenFile(path, f"it is truncated: {start + end} bytes promised, {size} there", "download it again")
        return _plain_names(load_file(path))
    except (SafetensorError, TypeError, KeyError, IndexError) as error:
        raise BrokenFile(path, f"it cannot be read ({error})", "download it again") from error


def _from_pickle(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and the plain settings of a file that torch wrote."""
    found = read_pickle(path)
    if not isinstance(found, Mapping):
        raise BrokenFile(path, f"it holds a {type(found).__name__}, no state dict", "save model.state_dict() instead")
    inner = next((found[k] for k in STATE_KEYS if isinstance(found.get(k), Mapping)), found)
    state = {k: v for k, v in inner.items() if isinstance(k, str) and isinstance(v, Tensor)}
    if not state:
        keys = ", ".join(map(str, list(found)[:8]))
        raise BrokenFile(path, f"there is no state dict in it (it holds {keys})", "save model.state_dict() instead")
    plain = {k: v for k, v in found.items() if isinstance(k, str) and v is not inner and _is_plain(v)}
    meta = {k: json.dumps(v) for k, v in plain.items()} | {"converted_from": path.name, "source_sha256": digest(path)}
    return _plain_names(state), meta


def _is_plain(value: Any, depth: int = 4) -> bool:
    """Whether a value is text, numbers, or lists and tables of them: what may be kept as JSON."""
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(k, str) and _is_plain(v, depth - 1) for k, v in value.items())
    if isinstance(value, list | tuple):
        return depth > 0 and len(value) < 1000 and all(_is_plain(v, depth - 1) for v in value)
    return value is None or isinstance(value, str | int | float | bool)


def _plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    state = {k.replace("_orig_mod.", ""): v for k, v in state.items()}
    if state and all(k.startswith("module.") for k in state):
        state = {k.removeprefix("module."): v for k, v in state.items()}
    return state


def _shape(shape: Sequence[int] | torch.Size) -> str:
    return " x ".join(map(str, shape)) or "one number"


def _some(names: list[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (f", … {len(names) - most} more" if len(names) > most else "")
