"""Is a ranking only one of brightness? Scores against S/N, magnitude, size, redshift and field, and free of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.roles import column_of
from explorer.session._names import scored
from explorer.session.columns import Text
from kernels.registry import UnknownName
from kernels.scoring.confounders import Confounder, confounders, matched_percentile

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session
    from explorer.survey.store import Survey

MATCHED = "matched"
ROLES = ("snr_image", "snr_spectrum", "magnitude", "size", "redshift", "field")
"""What may drive a score, as :mod:`explorer.pipeline.roles` names it."""


def columns_of(survey: Survey) -> dict[str, str]:
    """Column → its role (one of :data:`ROLES`), for those that the survey has."""
    found = {column_of(survey, role): role for role in ROLES}
    return {column: role for column, role in found.items() if column is not None}


def values_of(session: Session, name: str) -> np.ndarray:
    """(n,) float64 of a numeric column, or objects of a category; UnknownName or ValueError where it has neither."""
    values = session.values(name)
    if isinstance(values, Text):
        return values.decoded()
    if values.dtype.kind == "M":
        raise ValueError(f"column {name!r} holds dates: match by a number or a category")
    return values if values.dtype.kind in "bO" else np.asarray(values, dtype=np.float64)


def against(
    session: Session, columns: Sequence[str] | None = None, space: str | None = None, scorers: Sequence[str] = ()
) -> dict[str, list[Confounder]]:
    """Scorer → its correlation with each column (those of :func:`columns_of` where None), in the columns' order."""
    space, _ = scored(session, space, None)
    names = list(columns_of(session.survey)) if columns is None else list(columns)
    values = {name: values_of(session, name) for name in names}
    found = {}
    for scorer in scorers or session.survey.scores(space):
        told = {c.name: c for c in confounders(session.survey.score(space, scorer), values)}
        found[scorer] = [told[name] for name in names]
    return found


def table(session: Session, columns: Sequence[str] | None = None, space: str | None = None) -> pd.DataFrame:
    """:func:`against` as a frame: ``scorer``, ``column``, ``role``, ``spearman``, ``error``, ``objects``."""
    import pandas as pd

    roles = columns_of(session.survey)
    lines = [
        {
            "scorer": scorer,
            "column": c.name,
            "role": roles.get(c.name, ""),
            "spearman": c.correlation,
            "error": c.error,
            "objects": c.objects,
        }
        for scorer, found in against(session, columns, space).items()
        for c in found
    ]
    return pd.DataFrame(lines)


def recipe_of(session: Session, columns: Sequence[str], bins: int = 10) -> dict[str, Any]:
    """The recipe of the present score within bins matched in these columns; changes nothing."""
    if isinstance(columns, str) or not len(columns):
        raise ValueError("name the columns to match in, for example ['snr_image', 'z']")
    for name in columns:
        values_of(session, name)
    space, scorer = scored(session, None, None)
    if not scorer:
        raise UnknownName("score", "", [], "Run survey.prepare() first")
    before = session.survey.recipe(space, scorer)
    if before.get("kind") == MATCHED:
        scorer = str(before["from"])
    name = f"{scorer} {MATCHED}"
    return {"space": space, "name": name, "from": scorer, "columns": list(columns), "bins": int(bins)}


def scores(session: Session, recipe: dict[str, Any]) -> np.ndarray:
    """(n,) percentile of every object among its likes, which a recipe makes; may run in another thread."""
    columns = recipe.get("columns")
    if not isinstance(columns, list) or not columns or not all(isinstance(c, str) for c in columns):
        raise ValueError("the recipe of a matched score names no columns: make it again with rank_matched()")
    values = {name: values_of(session, name) for name in columns}
    return matched_percentile(session.survey.score(recipe["space"], recipe["from"]), values, int(recipe["bins"]))


def rank_matched(session: Session, columns: Sequence[str], bins: int = 10) -> str:
    """Derive the present score's ranking within matched bins, and rank by it; returns its name."""
    recipe = recipe_of(session, columns, bins)
    return take(session, recipe, scores(session, recipe))


def take(session: Session, recipe: dict[str, Any], made: np.ndarray) -> str:
    """Have the score of a recipe among the session's own and rank by it."""
    kept = {key: value for key, value in recipe.items() if key not in ("space", "name")}
    session.derive(recipe["space"], recipe["name"], made, {"kind": MATCHED, **kept})
    return str(recipe["name"])
