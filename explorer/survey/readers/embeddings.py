"""Embeddings alone, without the survey that they are of: rows are their ids, the vectors become a space.

Beside images, spectra or a table they are joined to those rows instead; see :mod:`explorer.survey.embeddings`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from explorer.survey._reading import FileReader, Item, Scan, stem
from explorer.survey.embeddings import SUFFIXES, ids_file, load, vector_type
from explorer.survey.records import ReadError, Record

_TELLING = re.compile(r"embed|feature|latent|vector|represent|encod", re.IGNORECASE)
_CHUNK = 20_000


class Embeddings(FileReader):
    """npy, npz, Parquet, HDF5 and safetensors files of (n, d) vectors with ids."""

    name = "embeddings"
    modalities = ()

    def recognise(self, path: Path) -> float:
        suffix = path.suffix.lower()
        if suffix not in SUFFIXES:
            return 0.0
        if suffix in (".parquet", ".pq"):
            return 0.6 if _has_vectors(path) else 0.0
        told = bool(_TELLING.search(path.stem)) or (ids_file(path) not in (None, path))
        if suffix == ".npz":
            return 0.5 if told else 0.3
        return (0.7 if suffix == ".safetensors" else 0.5) if told else 0.0

    def look(self, path: Path, source: str, scan: Scan) -> None:
        vectors, ids = load(path)
        beside = ids_file(path)
        if beside is not None:
            scan.companions.add(beside)
        if scan.spaces.setdefault(space_of(path), path) != path:
            why = f"its space {space_of(path)} was given by {scan.spaces[space_of(path)].name} already"
            raise ReadError(source, why, "Rename it: the name makes the space.")
        scan.memo[path] = ids
        if ids is not None:
            for start in range(0, len(vectors), _CHUNK):
                scan.items.append(Item(source, path, range(start, min(start + _CHUNK, len(vectors)))))

    def read(self, item: Item, scan: Scan) -> Iterator[Record]:
        ids = scan.memo.get(item.path)
        if ids is None or item.rows is None:
            raise ReadError(item.source, "the vectors have no ids", "Put a file of ids beside it.")
        for row in item.rows:
            yield Record(ids[row], ids[row], {}, source=f"{item.source}#{row}")


def _has_vectors(path: Path) -> bool:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError):
        return False
    return any(vector_type(field.type) for field in schema)


def space_of(path: Path) -> str:
    """Name of the space of a file: its own name as encoder, the modality that it mentions or ``joint``.

    >>> space_of(Path("aion_image_embeddings.npy"))
    'aion/image'
    """
    name = stem(path).lower()
    modality = next(
        (m for key, m in (("image", "image"), ("spec", "spectrum"), ("text", "text")) if key in name), "joint"
    )
    encoder = re.sub(r"(image|spectrum|spectra|spec|text|joint|embeddings?|features?|vectors?)s?", "", name)
    encoder = re.sub(r"[^a-z0-9]+", "-", encoder).strip("-")
    return f"{encoder or 'given'}/{modality}"
