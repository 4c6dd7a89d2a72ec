"""What papers would say of an X-ray source: measured properties and reasoning, with omissions, synonyms and errors.

No sentence holds a name, the word for the source's class, or a value that a catalogue column gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from explorer.survey.simulate import _xwords as words
from explorer.survey.simulate.xpapers import Paper

Grades = Sequence[tuple[float | None, tuple[str, ...]]]


@dataclass(frozen=True)
class Facts:
    """What was drawn of a source: class, light curve, model, column (1e22/cm²), rate (counts/s) and parameters."""

    kind: str
    curve: str
    model: str
    nh: float
    rate: float
    drawn: dict[str, float]
    field: str


def of_papers(facts: Facts, papers: Sequence[Paper], rng: np.random.Generator) -> str | None:
    """The summaries of ``papers`` in their order, one a paragraph; None where there are none."""
    told = [of_sample(facts, rng) if paper.sample else of_source(facts, rng) for paper in papers]
    return "\n\n".join(told) if told else None


def of_source(facts: Facts, rng: np.random.Generator) -> str:
    """A summary of a paper on this source; each statement is missing at times, and one in twenty is mistaken."""
    if rng.random() < 0.03:
        return _say(words.ABSENT, rng)
    parts = [_say(words.SETTING[_slip(facts.kind, words.SETTING, rng)], rng) if rng.random() < 0.85 else ""]
    parts.append(_say(words.MODEL[_slip(facts.model, words.MODEL, rng)], rng) if rng.random() < 0.8 else "")
    for statement, chance in _graded(facts):
        parts.append(statement(rng) if rng.random() < chance else "")
    if rng.random() < 0.75:
        parts.append(_say(words.VARIATION[_slip(facts.curve, words.VARIATION, rng)], rng))
    if rng.random() < 0.5:
        parts.append(_say(words.PURPOSE[_slip(facts.kind, words.PURPOSE, rng)], rng))
    said = [p for p in parts if p]
    return " ".join(said) if said else _say(words.ABSENT, rng)


def of_sample(facts: Facts, rng: np.random.Generator) -> str:
    """A summary of a paper on many sources: of this one it says little, or nothing."""
    parts = [_say(words.SAMPLE.get(facts.field, ("A sample of sources is presented.",)), rng)]
    if rng.random() < 0.2:
        return f"{parts[0]} {_say(words.ABSENT, rng)}"
    statements = [s for s, _ in _graded(facts)]
    for i in rng.permutation(len(statements))[: int(rng.integers(1, 4))]:
        parts.append(statements[i](rng))
    if rng.random() < 0.4:
        parts.append(_say(words.VARIATION[_slip(facts.curve, words.VARIATION, rng)], rng))
    return " ".join(parts)


def _graded(facts: Facts) -> list[tuple[Callable[[np.random.Generator], str], float]]:
    """Statements about quantities, each with the chance that a paper makes it."""
    found: list[tuple[float, Grades, float]] = [
        (facts.nh, words.NH, 0.75),
        (float(np.log10(max(facts.rate, 1e-9))), words.RATE, 0.6),
    ]
    of_drawn: tuple[tuple[str, Grades], ...] = (("gamma", words.GAMMA), ("kt", words.KT), ("mix", words.MIX))
    found += [(facts.drawn[name], grades, 0.6) for name, grades in of_drawn if name in facts.drawn]
    return [(partial(_grade, value, grades), chance) for value, grades, chance in found]


def _grade(value: float, grades: Grades, rng: np.random.Generator) -> str:
    """One of the ways to say how large a value is; one in ten papers is off by a grade."""
    limits = [limit for limit, _ in grades if limit is not None]
    at = int(np.searchsorted(limits, value, side="right"))
    if rng.random() < 0.1:
        at = int(np.clip(at + rng.choice([-1, 1]), 0, len(grades) - 1))
    return _say(grades[at][1], rng)


def _say(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(0, len(options)))]


def _slip(value: str, among: dict[str, tuple[str, ...]], rng: np.random.Generator) -> str:
    """``value``, or one time in twenty any of its kind."""
    return value if rng.random() > 0.05 else list(among)[int(rng.integers(0, len(among)))]
