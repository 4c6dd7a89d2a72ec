"""Names and types of the columns in a survey's dataset.

Catalogue columns keep the names they came with. Everything else has a colon in its name, which no catalogue
column may have: ``has:image``, ``spectrum:grid``, ``space:pca/image``, ``score:pca/image:knn``,
``rank:pca/image:knn``, ``layout:pca/image:umap``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

from explorer.survey.records import MODALITIES

FORMAT_VERSION = 1
PAYLOAD = {
    "image": [("image", pa.large_binary()), ("thumbnail", pa.binary())],
    "spectrum": [("spectrum", pa.large_binary()), ("spectrum:grid", pa.string())],
    "events": [("events", pa.large_binary())],
    "xspectrum": [("xspectrum", pa.large_binary()), ("xspectrum:response", pa.string())],
    "text": [("text", pa.string())],
}
BASE = [("id", pa.string()), ("object_id", pa.string()), ("source", pa.string())]
_LANCE = ("_rowid", "_rowaddr", "_rowoffset", "_row_created_at_version", "_row_last_updated_at_version")
RESERVED = {name for name, _ in BASE} | {name for pairs in PAYLOAD.values() for name, _ in pairs}


def safe_names(names: Iterable[str]) -> dict[str, str]:
    """Catalogue column name → the name it has in the survey, where its own is reserved or not allowed.

    Dots, colons, backticks and control characters become underscores; a reserved or repeated name gains one.
    """
    taken, safe = {*RESERVED, *_LANCE}, {}
    for name in names:
        new = re.sub(r"[.:`\x00-\x1f\x7f]", "_", storable(str(name)).strip()) or "unnamed"
        while new in taken:
            new += "_"
        taken.add(new)
        safe[name] = new
    return safe


def storable(text: str) -> str:
    """The text as UTF-8 can hold it: bytes of a file name that are no text are written as ``\\udce9``."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def base_schema(modalities: Iterable[str], columns: Mapping[str, pa.DataType | pa.Field]) -> pa.Schema:
    """The schema of a survey with these modalities and catalogue columns (already safe names)."""
    unknown = set(modalities) - set(MODALITIES)
    if unknown:
        raise ValueError(f"no modality named {sorted(unknown)}; there are {', '.join(MODALITIES)}")
    present = [m for m in MODALITIES if m in set(modalities)]
    fields = [pa.field(name, kind) for name, kind in BASE]
    fields += [
        kind.with_name(name) if isinstance(kind, pa.Field) else pa.field(name, kind) for name, kind in columns.items()
    ]
    fields += [pa.field(f"has:{m}", pa.bool_()) for m in present]
    fields += [pa.field(name, kind) for m in present for name, kind in PAYLOAD[m]]
    return pa.schema(fields)


def catalogue_fields(schema: pa.Schema) -> list[pa.Field]:
    """The fields that a catalogue gave, in order; ``id`` and ``object_id`` are not among them."""
    return [f for f in schema if ":" not in f.name and f.name not in RESERVED]


def derived(schema: pa.Schema, kind: str) -> list[tuple[str, ...]]:
    """What follows ``kind:`` in the column names: ``[("pca/image", "knn"), …]`` for ``"score"``."""
    return [tuple(f.name.split(":")[1:]) for f in schema if f.name.startswith(kind + ":")]


def provenance(field: pa.Field) -> dict[str, Any]:
    """What is recorded of the step that made a column; empty for a catalogue column."""
    told = (field.metadata or {}).get(b"provenance")
    return json.loads(told) if told else {}
