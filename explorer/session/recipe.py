"""Recipes: how a selection was made, as steps that JSON can carry and that can be run again.

A step is a dict with a ``mode`` (``replace``, ``add``, ``intersect``, ``subtract``) and one of

- ``query``: text, with the ``space`` and ``scorer`` that stood for those it does not name, and, where it asks for
  marks, the ``user`` and the number ``marks`` of the last entry of the log that counted;
- ``polygon``: vertices, with the ``space`` and ``layout`` that they were drawn in;
- ``ids``: a list of ids, in their order;
- ``mask``: packed bits in base64 (zlib), with the number of rows ``of``; for what has no shorter description.

A ``note`` says where it came from. Bits for a recipe's beginning are kept by the session's history only.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import query
from explorer.session.maps import point_map
from explorer.session.selection import MODES, Polygon, Selection
from kernels.registry import UnknownName

if TYPE_CHECKING:
    from explorer.session.session import Session

KINDS = ("query", "polygon", "ids", "mask")
LISTED = 20_000
"""Up to so many rows a step lists ids, which stay true when rows move; beyond, it keeps bits."""

Step = dict[str, Any]


def step_of(session: Session, what: Any, mode: str, note: str = "") -> tuple[Step, Selection]:
    """The step that selects ``what``, and the rows that it selects on its own.

    ``what`` is a query, a :class:`Polygon`, ids, rows, a mask, a frame with an ``id`` column, or a selection.
    """
    if mode not in MODES:
        raise ValueError(f"no mode named {mode!r}. There are: {', '.join(MODES)}")
    step: Step = {"mode": mode, **({"note": str(note)} if note else {})}
    if isinstance(what, str):
        return _query_step(session, what, step)
    if isinstance(what, Polygon):
        named = {"space": what.space or session.space, "layout": what.layout or session.layout}
        step |= {"polygon": what.vertices.tolist(), **named}
        return step, alone(session, step)
    rows, ordered = _rows(session, what)
    return _rows_step(session, rows, step, ordered)


def _query_step(session: Session, text: str, step: Step) -> tuple[Step, Selection]:
    scope = session.scope()
    try:
        mask = query.matches(text, scope)
    except query.QueryError:
        if not _is_id(session, text):
            raise
        return _rows_step(session, session.survey.rows_of([text]), step, True)
    step |= {"query": text, "space": session.space, "scorer": session.scorer}
    if scope.asked_marks:
        step |= {"user": session.user, "marks": session.log.last()}
    return step, Selection(session.survey, mask, [step])


def _is_id(session: Session, text: str) -> bool:
    try:
        return len(session.survey.rows_of([text])) == 1
    except UnknownName:
        return False


def _rows(session: Session, what: Any) -> tuple[np.ndarray, bool]:
    """Rows of ids, rows, a mask, a frame or a selection, and whether their order was chosen."""
    if isinstance(what, Selection):
        if what.survey is not session.survey:
            return session.survey.rows_of(what.survey.ids_of(what.order)), what.ordered
        return what.order, what.ordered
    if hasattr(what, "columns") and hasattr(what, "__getitem__"):
        if "id" not in what.columns:
            raise ValueError(f"the table has no column 'id'. It has: {', '.join(map(str, what.columns))}")
        what = what["id"]
    if isinstance(what, int | np.integer) and not isinstance(what, bool):
        what = [what]
    if isinstance(what, bytes | Mapping) or not isinstance(what, Iterable):
        raise TypeError(
            f"{type(what).__name__} selects nothing: give a query, ids, rows, a mask of booleans, a Polygon or a table"
        )
    items = what if isinstance(what, np.ndarray) else list(what)
    if isinstance(items, list) and any(isinstance(i, str) for i in items):
        return session.survey.rows_of(items), True
    array = np.asarray(items)
    if array.size == 0 and array.dtype != bool:
        return np.empty(0, np.int64), True
    if array.ndim != 1:
        raise ValueError(f"rows, ids or a mask are one-dimensional, not of shape {array.shape}")
    if array.dtype == bool:
        if len(array) != len(session.survey):
            raise ValueError(
                f"the mask has {len(array)} values and the survey {session.survey.name} {len(session.survey)} rows"
            )
        return np.flatnonzero(array), False
    if array.dtype.kind in "UO":
        return session.survey.rows_of(array.tolist()), True
    if array.dtype.kind not in "iu":
        raise TypeError(f"rows are whole numbers and ids are text, not {array.dtype}")
    bad = (array < 0) | (array >= len(session.survey))
    if bad.any():
        raise ValueError(
            f"row {array[bad][0]} is outside 0…{len(session.survey) - 1}. If these are ids, write them as text"
        )
    return array.astype(np.int64), len(array) <= LISTED and bool(np.any(np.diff(array) < 0))


def _rows_step(session: Session, rows: np.ndarray, step: Step, ordered: bool) -> tuple[Step, Selection]:
    survey = session.survey
    mask = np.zeros(len(survey), bool)
    mask[rows] = True
    if len(rows) > LISTED:
        step |= {"mask": packed(mask), "of": len(survey)}
        return step, Selection(survey, mask, [step])
    rows = _unique(rows)
    step |= {"ids": survey.ids_of(rows)}
    return step, Selection(survey, mask, [step], _ordered(rows))


def _unique(rows: np.ndarray) -> np.ndarray:
    return rows[np.sort(np.unique(rows, return_index=True)[1])]


def _ordered(rows: np.ndarray) -> np.ndarray | None:
    return rows if np.any(np.diff(rows) < 0) else None


def packed(mask: np.ndarray) -> str:
    """(n,) bool as packed bits, zlib, base64."""
    return base64.b64encode(zlib.compress(np.packbits(mask).tobytes(), 1)).decode("ascii")


def unpacked(text: str, n: int) -> np.ndarray:
    """Inverse of :func:`packed`; ValueError where the text does not hold ``n`` bits."""
    size = (n + 7) // 8
    try:
        reader = zlib.decompressobj()
        data = reader.decompress(base64.b64decode(text, validate=True), size + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"the mask in this recipe is damaged ({error}). Save the selection again") from None
    if len(data) != size:
        raise ValueError(f"the mask in this recipe does not hold {n} rows. Save the selection again")
    return np.unpackbits(np.frombuffer(data, np.uint8), count=n).view(bool)


def alone(session: Session, step: Step) -> Selection:
    """The rows that a step selects, whatever stood before it."""
    survey = session.survey
    order = None
    if "query" in step:
        scope = session.scope(step.get("space"), step.get("scorer"), step.get("user"), step.get("marks"))
        mask = query.matches(step["query"], scope)
    elif "polygon" in step:
        vertices = Polygon(step["layout"], step["space"], step["polygon"]).vertices
        mask = point_map(survey, step["space"], step["layout"]).inside_mask(vertices)
    elif "ids" in step:
        rows = _unique(survey.rows_of(step["ids"]))
        mask = np.zeros(len(survey), bool)
        mask[rows] = True
        order = _ordered(rows)
    else:
        if step["of"] > len(survey):
            raise ValueError(
                f"this step was made for {step['of']} rows and the survey {survey.name} has {len(survey)}: "
                "select again by a query or by ids"
            )
        mask = np.zeros(len(survey), bool)  # rows that came later stand behind those that were there
        mask[: step["of"]] = unpacked(step["mask"], step["of"])
    return Selection(survey, mask, [step], order)


def replay(session: Session, recipe: Sequence[Step], begin: Selection | None = None) -> Selection:
    """Run the steps of a recipe; ``begin`` is what its first ``len(begin.recipe)`` steps made, where it is known."""
    selection = Selection(session.survey) if begin is None else begin
    done = 0 if begin is None else len(begin._recipe)
    for i, step in enumerate(recipe[done:], start=done):
        selection = selection.combined(step["mode"], alone(session, step), tuple(recipe[: i + 1]))
    return selection


def checked(recipe: object) -> tuple[Step, ...]:
    """The steps of a recipe that came from outside; ValueError says which one cannot be used and why."""
    if not isinstance(recipe, list | tuple):
        raise ValueError(f"a recipe is a list of steps, not {type(recipe).__name__}")
    return tuple(_checked(i, step) for i, step in enumerate(recipe, 1))


def _checked(place: int, step: object) -> Step:
    if not isinstance(step, dict):
        raise ValueError(f"step {place} of the recipe is no dictionary but {type(step).__name__}")
    found = [kind for kind in KINDS if kind in step]
    if len(found) != 1:
        raise ValueError(
            f"step {place} of the recipe needs exactly one of {', '.join(KINDS)}; it has {found or 'none'}"
        )
    if step.get("mode") not in MODES:
        raise ValueError(f"step {place} of the recipe has the mode {step.get('mode')!r}. There are: {', '.join(MODES)}")
    texts = {"query", "space", "scorer", "layout", "mask", "note", "user"} & set(step)
    wrong = [k for k in texts if not isinstance(step[k], str)]
    wrong += [k for k in ("of", "marks") if k in step and type(step[k]) is not int]
    listed = step.get("ids", [])
    if not isinstance(listed, list) or not all(isinstance(i, str) for i in listed):
        wrong.append("ids")
    needed = {"polygon": ("space", "layout"), "mask": ("of",)}.get(found[0], ())
    wrong += [k for k in needed if k not in step]
    if wrong:
        raise ValueError(f"step {place} of the recipe: {', '.join(sorted(set(wrong)))} is missing or of the wrong type")
    if "polygon" in step:
        try:
            Polygon(step["layout"], step["space"], step["polygon"])
        except (TypeError, ValueError) as error:
            raise ValueError(f"step {place} of the recipe: {error}") from None
    return json.loads(json.dumps(step))
