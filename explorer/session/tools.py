"""Re-ranking by a tool (P4.6): what it measures on each candidate orders them, and stands on the card of each.

A candidate is judged once for a session: the score of a tool covers all that it has judged so far; others have none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.roles import values_of
from explorer.session._names import scored
from kernels.registry import UnknownName
from kernels.search import TOOLS
from kernels.search.evidence import Candidate, Evidence, Unfit

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session
    from explorer.survey.progress import Progress
    from explorer.survey.store import Survey

KIND = "tool"
TOP = 200
"""Candidates that are judged unless told otherwise: a tool takes tens of milliseconds for each."""
MANY = 500
"""Candidates beyond which pictures and curves are not kept: of one that is looked at they are made again."""
_BLOCK = 32
_THREADS = max(1, min(4, os.cpu_count() or 1))
_log = logging.getLogger("explorer")

Answer = Evidence | str
"""What a tool said of one object, or why it could not."""


def of_survey(survey: Survey) -> list[str]:
    """Names of the tools that look at something which the survey has."""
    out = []
    for name in TOOLS.names():
        try:
            if TOOLS.get(name).modality in survey.modalities:
                out.append(name)
        except Exception:  # one from outside that cannot be read is left out, and told of in the log
            _log.exception("the tool %s cannot be read", name)
    return out


def prepare(session: Session, tool: str, ids: Any = (), top: int = TOP) -> dict[str, Any]:
    """The recipe of a re-ranking: which candidates a tool is to judge; nothing is computed.

    ``ids`` names them; without ids the first ``top`` of the selection in its order, else of the present ranking.
    """
    survey, kind = session.survey, TOOLS.get(tool)
    if kind.modality not in survey.modalities:
        there = ", ".join(survey.modalities) or "catalogue columns alone"
        raise ValueError(f"{tool} looks at {kind.modality} data, and {survey.name} has {there}")
    if int(top) != top or top < 1:
        raise ValueError(f"top={top!r}: let it judge one candidate or more")
    space, scorer = scored(session, None, None)
    if not space:
        raise UnknownName("space", "", [], "Run survey.prepare() first")
    if tool in survey.scores(space) and not survey.recipe(space, tool):
        raise ValueError(f"the survey has a score {tool!r} of {space} already: the tool's cannot stand beside it")
    before = survey.recipe(space, scorer) if scorer else {}
    base = str(before["from"]) if scorer == tool and "from" in before else scorer
    given: list[Any] = [ids] if isinstance(ids, str | int | np.integer) else list(ids)
    if given:
        rows = session._rows_of(given)
    elif session.selection.active:
        rows = session.selection.order[: int(top)]
    elif base:
        rows = session.ranked_rows(0, int(top), base, space, within_selection=False)
    else:
        raise ValueError(f"{survey.name} has no score and nothing is selected: name the candidates, or select some")
    if not len(rows):
        raise ValueError("no candidate: the selection is empty")
    names = list(dict.fromkeys(survey.ids_of(rows)))
    return {"space": space, "name": tool, "from": base, "tool": tool, "ids": names}


def candidates(survey: Survey, rows: Sequence[int] | np.ndarray, modality: str) -> list[Candidate]:
    """What a tool that looks at ``modality`` is given of each row."""
    rows = np.asarray(rows, np.int64)
    if modality == "image":
        meta = survey.modalities["image"]
        more: dict[str, Any] = {
            "bands": tuple(str(b) for b in meta.get("bands", [])), "pixel_scale": meta.get("pixel_scale"),
            "psf_fwhm": tuple(float(v) for v in meta.get("psf_fwhm", [])),
        }  # fmt: skip
        return [Candidate() if i is None else Candidate(i.pixels, **more) for i in survey.images(rows)]
    z = values_of(survey, "redshift")
    redshift = [None] * len(rows) if z is None or z.dtype.kind != "f" else [float(v) for v in z[rows]]
    return [
        Candidate() if s is None else Candidate(wavelength=s.wavelength, flux=s.flux, ivar=s.ivar, redshift=v)
        for s, v in zip(survey.spectra(rows), redshift, strict=True)
    ]


def judge(session: Session, recipe: dict[str, Any], progress: Progress | None = None) -> dict[str, Answer]:
    """Id → what the tool of a recipe says of it, or why it cannot; may run in another thread, and uses several.

    What was judged in this session already is not judged again. A tool that fails on one object goes on to the next.
    """
    survey, tool = session.survey, TOOLS.get(recipe["tool"])()
    known = session.evidence.get(recipe["tool"], {})
    wanted = [name for name in recipe["ids"] if name not in known]
    found: dict[str, Answer] = {name: known[name] for name in recipe["ids"] if name in known}
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="explorer-tool") as pool:
        for names in _blocks(wanted):
            given = candidates(survey, survey.rows_of(names), tool.modality)
            answers = pool.map(lambda one: _answer(tool, one), given)
            found |= {name: _kept(a, len(found)) for name, a in zip(names, answers, strict=True)}
            if progress is not None:
                progress(len(found), len(recipe["ids"]), recipe["tool"])
    return {name: found[name] for name in recipe["ids"]}


def _blocks(names: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(names), _BLOCK):
        yield names[start : start + _BLOCK]


def _kept(answer: Answer, before: int) -> Answer:
    if isinstance(answer, str) or before < MANY:
        return answer
    return replace(answer, pictures={}, curves=())


def _answer(tool: Any, one: Candidate) -> Answer:
    try:
        found = tool.judge(one)
        if not np.isfinite(found.score):
            return f"its score is {found.score}"
    except Unfit as error:
        return str(error)
    except Exception as error:  # a tool may come from outside: what it cannot do is set aside and told
        _log.exception("the tool %s failed", tool.name)
        return f"the tool failed: {type(error).__name__}: {error}"
    return found


def take(session: Session, recipe: dict[str, Any], answers: dict[str, Answer]) -> pd.DataFrame:
    """Have what a tool said among the session's own scores and rank by it.

    A selection with an order of its own, such as that of a search by words, takes the tool's; undo brings it back. One
    line for each candidate, the best first: ``id``, ``score``, ``before`` (its rank before, 0 for none) and
    ``reason``, why it was set aside; ``attrs``: ``name`` and ``unit`` of the score. ValueError where all were.
    """
    import pandas as pd

    survey, tool = session.survey, recipe["tool"]
    kept = session.evidence.setdefault(tool, {})
    kept.update(answers)
    judged = {name: a.score for name, a in answers.items() if isinstance(a, Evidence)}
    if not judged:
        name, why = next(iter(answers.items()))
        raise ValueError(f"{tool} can judge none of {len(answers)} candidates; {name}: {why}")
    whole = {name: a.score for name, a in kept.items() if isinstance(a, Evidence)}
    before = survey.rank(recipe["space"], recipe["from"]) if recipe["from"] else np.zeros(len(survey), np.int64)
    scores = np.full(len(survey), np.nan)
    scores[survey.rows_of(list(whole))] = list(whole.values())
    told = {key: recipe[key] for key in ("from", "tool")} | {"kind": KIND, "ids": list(whole)}
    session.derive(recipe["space"], recipe["name"], scores, told)
    rows = survey.rows_of(list(answers))
    table = pd.DataFrame(
        {
            "id": list(answers), "score": [judged.get(name, np.nan) for name in answers], "before": before[rows],
            "reason": [a if isinstance(a, str) else "" for a in answers.values()],
        },
        index=pd.Index(rows, name="row"),
    ).sort_values("score", ascending=False, kind="stable")  # fmt: skip
    chosen = session.selection
    if chosen.ordered and len(table) > 1 and np.isin(rows, chosen.rows).all():  # as a search by words leaves it
        order = [*table["id"], *(name for name in survey.ids_of(chosen.order) if name not in answers)]
        session.select(order, note=f"{len(table)} re-ranked by {tool}")
    table.attrs |= {"name": recipe["name"], "unit": TOOLS.get(tool).unit}
    return table


def rerank_with(
    session: Session, tool: str, ids: Iterable[str | int] | str | int = (), top: int = TOP,
    progress: Progress | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Judge candidates with a tool and rank by its score: :func:`prepare`, :func:`judge` and :func:`take` in one."""
    recipe = prepare(session, tool, ids, top)
    return take(session, recipe, judge(session, recipe, progress))


def scores(session: Session, recipe: dict[str, Any]) -> np.ndarray:
    """(n,) float64 scores that a recipe makes, as a saved exploration asks for them; NaN where nothing was judged."""
    answers = judge(session, recipe)
    session.evidence.setdefault(recipe["tool"], {}).update(answers)
    out = np.full(len(session.survey), np.nan)
    rows = session.survey.rows_of(list(answers)) if answers else np.empty(0, np.int64)
    out[rows] = [a.score if isinstance(a, Evidence) else np.nan for a in answers.values()]
    return out


def evidence_of(session: Session, row: int) -> dict[str, Answer]:
    """Tool → what it said of a row in this session."""
    survey, out = session.survey, dict[str, Answer]()
    name = survey.ids_of([row])[0]
    for tool, answers in session.evidence.items():
        found = answers.get(name)
        if isinstance(found, Evidence) and not found.pictures and not found.curves:
            kind = TOOLS.get(tool)
            found = answers[name] = _answer(kind(), candidates(survey, [row], kind.modality)[0])
        if found is not None:
            out[tool] = found
    return out
