"""``explorer.open``: the survey in a folder, or the prepared survey of a card."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.survey import cards
from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.survey.store import Survey


def surveys_dir() -> Path:
    """Folder of a person's surveys: ``EXPLORER_SURVEYS``, else ``surveys`` in the user's data folder."""
    told = os.environ.get("EXPLORER_SURVEYS")
    if told:
        return Path(told).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("astro-explorer", appauthor=False)) / "surveys"


def here() -> list[str]:
    """Names of the surveys in :func:`surveys_dir`."""
    root = surveys_dir()
    return sorted(p.name for p in root.iterdir() if (p / "survey.toml").is_file()) if root.is_dir() else []


def open(name_or_path: str | Path) -> Survey:
    """Open a survey.

    ``name_or_path`` is a folder that holds ``survey.toml``, the name of a survey in :func:`surveys_dir`, or the
    name of a card; a simulated card that was not made yet is made, with its progress shown.
    """
    from explorer.survey.store import Survey

    path = Path(name_or_path).expanduser()
    if (path / "survey.toml").is_file():
        return Survey.open(path)
    name = str(name_or_path)
    if "/" not in name and "\\" not in name:
        kept = surveys_dir() / name
        if (kept / "survey.toml").is_file():
            return Survey.open(kept)
        if name in cards.names():
            return _of_card(cards.load(name), kept)
    if path.exists():
        raise UnknownName(
            "survey", name, here(), f"{path} is no survey: make one of it with: explorer ingest {path} DEST"
        )
    known = sorted({*cards.names(), *here()})
    raise UnknownName("survey", name, known, "Name a card, or the folder of a survey.")


def _of_card(card: cards.Card, path: Path) -> Any:
    if card.kind != "simulated":
        raise LookupError(f"{card.title} is not on this machine: fetch it with: explorer get {card.name}")
    from explorer.survey.progress import bar
    from explorer.survey.simulate import write
    from explorer.survey.store import Survey

    n, seed = int(card.extra.get("n", 5000)), int(card.extra.get("seed", 0))
    write(card.extra["recipe"], path, n, seed=seed, progress=bar())
    return Survey.open(path)
