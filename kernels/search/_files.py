"""An index as a folder of plain arrays beside a JSON description: no pickle, whole or refused."""

from __future__ import annotations

import json
import os
import shutil
import uuid
import zlib
from pathlib import Path
from typing import Any

import numpy as np

FORMAT = 1


class IndexFileError(ValueError):
    """An index folder that is cut short, damaged, of another format or of other data."""


def write_index(path: Path, about: dict[str, Any], arrays: dict[str, np.ndarray], extra: Any = None) -> None:
    """Write ``arrays`` as .npy files and ``about`` as index.json into the folder ``path``, all at once.

    ``extra(folder)`` may write further files. A folder already there is replaced once the new one is whole.
    """
    path = Path(path)
    if path.exists() and not (path / "index.json").is_file():
        raise IndexFileError(f"{path} exists and is no index folder: choose another path")
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    part.mkdir(parents=True)
    try:
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array, allow_pickle=False)
        if extra is not None:
            extra(part)
        files = {f.name: [f.stat().st_size, _checksum(f)] for f in sorted(part.iterdir())}
        (part / "index.json").write_text(json.dumps({"format": FORMAT, "files": files, **about}, indent=1))
        if path.exists():
            old = part.with_name(part.name + ".old")
            os.replace(path, old)
            os.replace(part, path)
            shutil.rmtree(old)
        else:
            os.replace(part, path)
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise


def read_index(path: Path, key: str | None) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The description and the arrays of an index folder; :class:`IndexFileError` says what is wrong with it."""
    path = Path(path)
    told = path / "index.json"
    if not told.is_file():
        raise IndexFileError(f"{path} holds no index.json: it is no index, or was never finished; build it again")
    try:
        about = json.loads(told.read_text())
    except ValueError as error:
        raise IndexFileError(f"{told} is damaged ({error}): build the index again") from None
    if about.get("format") != FORMAT:
        raise IndexFileError(
            f"{path} has index format {about.get('format')}, this version reads {FORMAT}: build it again"
        )
    if key is not None and about.get("key") != key:
        raise IndexFileError(f"{path} is the index of {about.get('key')!r}, not of {key!r}: build one for this survey")
    for name, (size, checksum) in about["files"].items():
        file = path / name
        found = file.stat().st_size if file.is_file() else 0
        if found != size:
            raise IndexFileError(f"{file} has {found} bytes of {size}: the index is cut short; build it again")
        if _checksum(file) != checksum:
            raise IndexFileError(f"{file} does not match its checksum: the index is damaged; build it again")
    names = [n for n in about["files"] if n.endswith(".npy")]
    return about, {n[:-4]: np.load(path / n, allow_pickle=False) for n in names}


def _checksum(file: Path) -> int:
    value = 0
    with file.open("rb") as handle:
        while block := handle.read(1 << 22):
            value = zlib.crc32(block, value)
    return value
