"""Recovery curves of injected sources: the table that the report writes into a survey's folder, read and grouped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.pipeline import recovery
from explorer.survey.files import write_atomically
from explorer.survey.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from explorer.survey.store import Survey

FILE = "recovery.csv"


def read(survey: Survey) -> pd.DataFrame | None:
    """The newest table of :func:`explorer.pipeline.recovery.recovery` in the survey's folder, None without one."""
    import pandas as pd

    found = sorted(_files(survey), key=lambda path: path.stat().st_mtime)
    if not found:
        return None
    frame = pd.read_csv(found[-1])
    lacks = [column for column in recovery.COLUMNS if column not in frame.columns]
    if lacks:
        raise ValueError(f"{found[-1]} lacks the columns {', '.join(lacks)}: remove it and run explorer report again")
    return frame if len(frame) else None


def _files(survey: Survey) -> list[Path]:
    return [*survey.path.glob(FILE), *survey.path.glob(f"report*/{FILE}"), *survey.path.glob(f"report*/*/{FILE}")]


def possible(survey: Survey) -> bool:
    """Whether something can be injected: there are images, and a space whose encoder is stored."""
    return "image" in survey.modalities and bool(recovery._embeddable(survey))


def make(survey: Survey, hosts: int = 60, progress: Progress | None = None) -> pd.DataFrame:
    """Compute the table and write it into the survey's folder."""
    frame = recovery.recovery(survey, hosts=hosts, progress=progress)
    write_atomically(survey.path / FILE, frame.to_csv(index=False).encode())
    return frame


def groups(frame: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """What may be drawn together → its (space, score) lines: a score in every space, the fusions of an encoder."""
    keys = list(dict.fromkeys(zip(frame["space"], frame["score"], strict=True)))
    plain = [(space, score) for space, score in keys if not score.startswith(("fusion-", "mismatch"))]
    found = {
        f"{score} of every space": [k for k in plain if k[1] == score] for score in dict.fromkeys(s for _, s in plain)
    }
    for space in dict.fromkeys(space for space, _ in keys):
        fused = [k for k in keys if k[0] == space and k not in plain]
        for scorer in dict.fromkeys(_density(score) for _, score in fused if score.startswith("fusion-")):
            mine = [k for k in fused if _density(k[1]) in (scorer, "")]
            found[f"fusions of {space.split('/')[0]} {scorer}"] = mine
    return found


def labelled(frame: pd.DataFrame, lines: list[tuple[str, str]]) -> pd.DataFrame:
    """The rows of these lines with a short name in ``line``: the space, or the fusion, whichever tells them apart."""
    one_space = len({space for space, _ in lines}) == 1
    names = {(s, c): c.split(" (")[0].removeprefix("fusion-") if one_space else s for s, c in lines}
    keys = list(zip(frame["space"], frame["score"], strict=True))
    kept = frame[[key in names for key in keys]].copy()
    kept["line"] = [names[key] for key in keys if key in names]
    order = {name: place for place, name in enumerate(names.values())}
    return kept.sort_values("line", key=lambda column: column.map(order), kind="stable")


def _density(score: str) -> str:
    """``knn`` of ``fusion-geometric (knn)``, '' of a mismatch."""
    return score.partition(" (")[2].rstrip(")")
