"""Dataset cards: TOML files in ``data/cards`` that say where a survey is published and how its columns map.

A card has ``title``, ``kind`` and, unless it is simulated, ``citation``, ``licence`` and ``address``. ``columns``
maps names of ours to names of theirs. What else it must have depends on its kind:

- ``simulated``: ``recipe``, a file of ``data/recipes``
- ``files``: ``[[files]]`` with ``url`` and, where published, ``sha256`` or ``md5``
- ``zenodo``: ``record``, and ``[[files]]`` with ``name``; the archive publishes the MD5 sums
- ``huggingface``: ``dataset``, and ``pattern`` of the files; the hub publishes the SHA-256 sums
- ``sparcl``: ``releases`` and ``constraints`` of the SPARCL client
- ``tap``: ``service`` and ``query`` with ``{low}`` and ``{high}``, degrees of right ascension
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from explorer.survey.resources import data_path
from kernels.registry import UnknownName

NEEDS: dict[str, tuple[str, ...]] = {
    "simulated": ("recipe",),
    "files": ("files",),
    "zenodo": ("record", "files"),
    "huggingface": ("dataset", "pattern"),
    "sparcl": ("releases", "constraints"),
    "tap": ("service", "query"),
}
_PUBLISHED = ("citation", "licence", "address")


class CardError(ValueError):
    """A card that cannot be used; the message names the file, the key and the fix."""


@dataclass(frozen=True)
class Card:
    """One dataset, described. ``extra`` holds what belongs to its kind."""

    name: str
    title: str
    kind: str
    citation: str = ""
    licence: str = ""
    address: str = ""
    description: str = ""
    reader: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def about(self) -> dict[str, Any]:
        """What a survey keeps of its card."""
        told = {"name": self.name, "title": self.title, "kind": self.kind, "columns": dict(self.columns)}
        more = {key: getattr(self, key) for key in (*_PUBLISHED, "description")}
        return told | {key: value for key, value in more.items() if value}


def names() -> list[str]:
    """Names of the cards that there are."""
    return sorted(path.stem for path in data_path("cards").glob("*.toml"))


def load(name: str) -> Card:
    """The card of that name; :class:`~kernels.registry.UnknownName` lists those that exist."""
    path = data_path("cards", f"{name}.toml")
    if name not in names():
        raise UnknownName("card", name, names())
    return read(path)


def read(path: Path) -> Card:
    """The card in a TOML file, checked."""
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CardError(f"card {path.name}: it is not TOML ({error}); correct that line") from error
    kind = told.get("kind")
    if kind not in NEEDS:
        raise CardError(f"card {path.name}: kind is {kind!r}; choose one of {', '.join(NEEDS)}")
    needed = ("title", *(() if kind == "simulated" else _PUBLISHED), *NEEDS[kind])
    if missing := [key for key in needed if not told.get(key)]:
        raise CardError(f"card {path.name}: {', '.join(missing)} missing; a card of kind {kind} needs it")
    columns = told.get("columns", {})
    if not isinstance(columns, dict) or not all(isinstance(v, str) for v in columns.values()):
        raise CardError(f"card {path.name}: columns must map our names to theirs, text to text")
    own = {"title", "kind", *_PUBLISHED, "description", "reader", "columns"}
    return Card(
        name=path.stem,
        title=told["title"],
        kind=kind,
        citation=told.get("citation", ""),
        licence=told.get("licence", ""),
        address=told.get("address", ""),
        description=told.get("description", "").strip(),
        reader=told.get("reader", ""),
        columns=columns,
        extra={key: value for key, value in told.items() if key not in own},
    )
