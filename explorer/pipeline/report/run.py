"""``explorer report``: scores that are missing, every part that does not stand, one page."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline import joint
from explorer.pipeline.prepare import Step, _standard, _told, prepare, todo
from explorer.pipeline.report import cases, claim, maps, page, probed, robust, transfer, trust
from explorer.pipeline.report.parts import Kept, Piece, digest
from explorer.pipeline.report.study import Study
from explorer.survey.progress import Progress, bar
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS
from kernels.scoring import SCORERS as SCORING

SCORERS = ("maf", "gmm", "knn", "isolation-forest", "unsupervised-forest")
SETTINGS: dict[str, dict[str, Any]] = {"maf": {"hidden": 128}}
"""What differs from a scorer's defaults where the report makes its scores: a narrower flow, at a tenth of the cost."""


def _scores(study: Study) -> list[str]:
    return study.score_columns()


def _spaces(study: Study) -> list[str]:
    return [f"space:{s}" for s in study.spaces]


def _layouts(study: Study) -> list[str]:
    told = [f"layout:{s}:{n}" for s, n in maps.mapped(study)]
    return _spaces(study) + told + [f"score:{e}/joint:mismatch" for e in study.both]


PIECES = (
    Piece("claim", claim.make, _scores, lambda s: s.leading),
    Piece("table1", transfer.make, _scores, lambda s: (s.leading, s.spaces)),
    Piece("figure7", robust.make, _scores, lambda s: s.leading),
    Piece("maps", maps.make, _layouts, lambda s: s.encoders),
    Piece("cases", cases.make, lambda s: _scores(s) + _spaces(s), lambda s: s.leading),
    Piece("table2", probed.make, _spaces, lambda s: (probed.wanted(s), probed.ROWS)),
    Piece("confounders", trust.confounded, _scores, lambda s: s.leading),
    Piece("stability", trust.steady, _scores, lambda s: (s.minutes, trust.RUNS)),
    Piece("recovery", trust.recovered, lambda s: _spaces(s), lambda s: (s.hosts, trust.quick(s))),
)


def _adjusted(survey: Survey, scorers: list[str], progress: Progress, seed: int) -> list[str]:
    """Scores with the settings of the report, where a space lacks them; returns what was made."""
    steps = [Step("score", space, name) for name in scorers for space in survey.spaces]
    waiting = todo(survey, steps)
    for i, step in enumerate(waiting):
        progress(i, len(waiting), f"score {step.space} {step.what}")
        started = time.monotonic()
        rows, vectors = _standard(survey, step.space)
        scorer = SCORING.get(step.what)(**SETTINGS[step.what], random_state=seed)
        scores = np.full(len(survey), np.nan)
        scores[rows] = scorer.fit_score(vectors)
        given = {k: v for k, v in vars(scorer).items() if not k.endswith("_") and k != "progress"}
        more = {"parameters": given, "input": "standardised", "dims": vectors.shape[1]}
        survey.put_score(step.space, step.what, scores, _told(survey, seed, started, **more))
    return [f"score {s.space} {s.what}" for s in waiting]


def report(
    survey: Survey,
    out: str | Path | None = None,
    scorers: Sequence[str] = SCORERS,
    encoders: Sequence[str] = (),
    seed: int = 0,
    minutes: float = 20.0,
    hosts: int = 100,
    progress: Progress | None = None,
) -> Path:
    """The study of paper P0 on a survey: tables (CSV), figures (PNG) and ``index.html``, which holds all of them.

    Resumable: scores are steps of the survey, and a part of the report is skipped where the columns it stands on are
    those that it was made of.

    Parameters
    ----------
    out : folder, default ``report`` in the survey's folder.
    scorers : made where a space lacks them; the first of maf, gmm, knn… leads the tables.
    encoders : embedded first where they are not there; default: the spaces that the survey has, or ``pca`` with none.
    minutes : allowed for what is repeated (half of it for rank intervals).
    hosts : objects that each injected oddity is put into.

    Returns
    -------
    The path of the page.
    """
    started = time.monotonic()
    told: Progress = bar() if progress is None else progress
    scorers = [scorers] if isinstance(scorers, str) else list(scorers)
    for registry, names in ((SCORING, scorers), (ENCODERS, encoders)):
        for name in names:
            registry.get(name)
    folder = Path(out).expanduser() if out else survey.path / "report"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = list(encoders) or ([] if survey.spaces else ["pca"])
    plain = [s for s in scorers if s not in SETTINGS]
    done = [f"{s.kind} {s.space} {s.what}".strip() for s in prepare(survey, wanted, plain, ("umap",), told, seed)]
    done += _adjusted(survey, [s for s in scorers if s in SETTINGS], told, seed)
    for encoder in joint.encoders_with_both(survey):
        done += [f"compare {encoder} {n}" for n in joint.add(survey, encoder, progress=told, seed=seed)]
    study = Study(survey, tuple(scorers), seed, minutes, hosts)
    if not study.spaces:
        raise ValueError(f"no space of {survey.name} has all of the scores {', '.join(scorers)}")
    kept, fresh = Kept(folder), []
    for i, piece in enumerate(PIECES):
        told(i, len(PIECES), f"report {piece.name}")
        wanted_digest = digest(piece, study)
        if kept.stands(piece.name, wanted_digest):
            continue
        begun = time.monotonic()
        part = piece.make(replace(study, progress=told))
        kept.write(piece.name, wanted_digest, part, time.monotonic() - begun)
        fresh.append(piece.name)
    ran = page.Ran(done, fresh, time.monotonic() - started)
    path = page.write(study, kept, [p.name for p in PIECES], ran)
    told(len(PIECES), len(PIECES), "ready")
    return path
