"""The study of P2 and P3 on surveys of X-ray sources: ``explorer study xray [SURVEY] [--check SURVEY]``.

Every table stands beside what the papers published, which was measured on other data. Figures are the mean over seeds
with its 95 % interval; each seed draws another split by source and paper and trains every network anew. Encoders and
settings are chosen on validation of the first survey; the second, of another recipe, takes them as they are. Lines at
the end say which claims of the papers hold here and which do not.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline import _study_xray_outliers as outliers
from explorer.pipeline import _study_xray_p2 as p2
from explorer.pipeline import _study_xray_p3 as p3
from explorer.pipeline import _study_xray_spaces as spaces_
from explorer.pipeline._study_table import Table
from explorer.pipeline._study_xray import NETWORKS, Fitted, Keeper, Sources, Tell, fit_seed, sources_of, stamp
from explorer.pipeline._study_xray_claims import (
    HOLDS,
    NOT,
    OPEN,
    Claim,
    context_claims,
    outlier_claims,
    regression_claims,
    retrieval_claims,
    strength_claims,
)
from explorer.pipeline._study_xray_spaces import SIDES, Choice
from explorer.survey.store import Survey

FIRST, SECOND = "simulated-xray", "simulated-xray-check"


@dataclass
class Study:
    """``tables`` in the order of the papers, ``claims`` on what they say, the ``choice`` that a second survey takes,
    and ``figures``: curves and the matrix of correlations."""

    tables: list[Table]
    claims: list[Claim]
    choice: Choice
    figures: dict[str, Any] = field(default_factory=dict)


def study(
    survey: Survey,
    told: dict[str, str] | None = None,
    seeds: int = 3,
    epochs: int = 60,
    members: int = 3,
    search: bool = True,
    choice: Choice | None = None,
    tell: Tell = lambda _: None,
) -> Study:
    """Everything on one survey.

    ``told`` names spaces of ``data``, ``spectra`` and ``text``; what it leaves open is chosen on validation, as the
    settings are, unless the ``choice`` of another survey is given.
    """
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: one or more")
    folder = survey.cache_dir / "align"
    if choice is None:
        tried = [c for m in spaces_.ENCODERS for c in spaces_.candidates(m)] + list((told or {}).values())
        keeper = Keeper(folder / f"study-{stamp(survey, [c for c in tried if c in survey.spaces])}")
        spaces, table = spaces_.choose_spaces(survey, told or {}, epochs, keeper, tell)
        choice = Choice(spaces, {}, table)
    s = sources_of(survey, choice.spaces["data"], choice.spaces["spectra"], choice.spaces["text"])
    keeper = Keeper(folder / f"study-{stamp(survey, s.spaces.values())}")
    if not choice.options:
        choice.options = spaces_.choose_options(s, epochs, keeper.folder, search, tell)
    fits = [fit_seed(s, seed, epochs, members, choice.options, tell, keeper) for seed in range(seeds)]
    tell("tables")
    return _judge(s, fits, choice)


def _judge(s: Sources, fits: Sequence[Fitted], choice: Choice) -> Study:
    """Tables and claims of what was trained."""
    linear, knn = p2.regressions(s, fits, "p2", "linear"), p2.regressions(s, fits, "p3", "knn")
    kind = "XRB" if (s.kinds == "XRB").any() else _rarest(s)
    strange2, strange3 = outliers.anomalies(s, fits), outliers.outlier_tables(s, fits)
    correlations, matrix = p3.correlation_tables(s, fits)
    retrieval2, retrieval3 = p2.retrieval_table(s, fits), p3.retrieval_table(s, fits)
    context = p2.context_table(s, fits, kind)
    tables = [
        about(s, fits, choice.options),
        *([choice.table] if choice.table is not None else []),
        p2.regression_table(linear),
        retrieval2,
        context,
        *strange2.tables,
        retrieval3,
        p3.regression_table(knn),
        *correlations,
        *strange3.tables,
        outliers.prior_table(s, fits),
        gain_table(linear, knn),
    ]
    claims = [
        *regression_claims(linear, knn),
        *retrieval_claims(fits, retrieval2, retrieval3),
        *context_claims(context),
        *strength_claims(correlations[0]),
        *outlier_claims(s, strange2, strange3),
    ]
    figures = {"p2": strange2.curves(s.rare), "p3": strange3.curves(s.rare), "correlations": matrix}
    return Study(tables, claims, Choice(choice.spaces, choice.options), figures | {"variables": list(s.targets)})


def _rarest(s: Sources) -> str:
    names, count = np.unique(s.kinds, return_counts=True)
    return str(names[np.argmin(np.where(count >= 10, count, np.iinfo(int).max))])


def about(s: Sources, fits: Sequence[Fitted], options: dict[str, Any]) -> Table:
    """What the figures were measured on."""
    table = Table("sources, splits, settings", ["what", "value"])
    table.add("sources with events, spectrum and text", len(s))
    for name, space in s.spaces.items():
        table.add(name, f"{space}, {s.vectors[name].shape[1]} numbers")
    table.add("planted rare sources", f"{int(s.rare.sum())}: {', '.join(np.unique(s.kinds[s.rare]).tolist())}")
    sizes = ", ".join(f"{n} {len(r)}" for n, r in fits[0].parts.items())
    table.add("split by source and paper, first seed", sizes)
    table.add("two towers of spectra", ", ".join(f"{k} {v}" for k, v in sorted(options.items())))
    before = s.vectors["spectra"].shape[1] + s.vectors["text"].shape[1]
    after = 2 * fits[0].p3.shared
    told = f"{before} to {after} a member ({100 * (1 - after / before):.0f} % less; published 4,672 to 128, 97 %)"
    table.add("P3.7 numbers a source, before and after", told)
    return table


def gain_table(linear: Any, knn: Any) -> Table:
    """Average gain in MAE over the best modality before alignment, with the bootstrap interval over objects."""
    head = ["gain", "mean over seeds, %", "bootstrap of the first seed, %", "variables that lose", "published, %"]
    table = Table("Average gain in MAE on test against the best modality before alignment", head)
    for name, found, side, to, published in (
        ("P2.4 aligned both, linear", linear, "data", "both", "13 (24, 7, 23, 5, 7)"),
        ("P2.4 text and data side by side, linear", linear, "data", p2.PLAIN, "-"),
        ("P3.4 aligned both, k-NN", knn, "spectra", "both", "16"),
        ("P3.4 mixture of experts by Pearson's r, k-NN", knn, "spectra", "experts", "18"),
        ("P3.4 mixture of experts by error, k-NN", knn, "spectra", "experts by error", "-"),
        ("P3.4 spectra and text side by side, k-NN", knn, "spectra", p2.PLAIN, "-"),
    ):
        runs = p2.gains(found, to, side)
        mean, low, high = runs[0]
        lost = p2.losers(found, to, side)
        table.add(
            name, [100 * r[0] for r in runs], f"{100 * mean:.1f} [{100 * low:.1f}, {100 * high:.1f}]",
            f"{len(lost)} of {len(found)}: {', '.join(lost)}" if lost else "none", published,
        )  # fmt: skip
    table.notes = ["published on other data"]
    return table


# -- the command --------------------


class _Pace:
    """Tells each step with its number, the time so far, and about how long the rest takes."""

    def __init__(self, total: int):
        self.total, self.done, self.start = total, 0, time.monotonic()

    def __call__(self, words: str) -> None:
        spent = (time.monotonic() - self.start) / 60
        left = f", about {spent / self.done * max(self.total - self.done, 1):.0f} min left" if self.done > 3 else ""
        print(f"  … {self.done + 1:>3} of {self.total}, {spent:.1f} min{left}: {words}", flush=True)
        self.done = min(self.done + 1, self.total - 1)


def run(
    path: str | None,
    n: int,
    seeds: int,
    epochs: int,
    to: Path | None,
    spaces: Sequence[str] = (),
    check: str | None = None,
    alone: bool = False,
) -> int:
    """What ``explorer study xray`` does: make or open the surveys, print tables and claims, keep them in ``to``.

    ``path`` None simulates the first survey, and the second too; ``check`` names another second one; ``alone`` leaves
    the second out.
    """
    surveys = [_survey(path, FIRST, n, spaces)]
    if not alone and (check or path is None):
        surveys.append(_survey(check, SECOND, n, spaces))
    told = {side: s for side, modality in SIDES.items() for s in spaces if s.split("/")[-1] == modality}
    total = spaces_.count(seeds, NETWORKS, True, [s for s in SIDES if s not in told])
    pace = _Pace(total + (len(surveys) - 1) * (seeds * NETWORKS + 1))
    choice, done = None, []
    for survey in surveys:
        made = study(survey, told, seeds, epochs, choice=choice, tell=pace)
        choice = made.choice
        done.append((survey.name, made))
        _print(survey.name, made, None if to is None else to / survey.name)
    lines = verdicts(done)
    print("\n" + "\n".join(lines), flush=True)
    if to is not None:
        (to / "claims.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0


def _print(name: str, made: Study, to: Path | None) -> None:
    print(f"\n==== {name} " + "=" * max(2, 100 - len(name)))
    for i, table in enumerate(made.tables):
        print(f"\n{table.text()}", flush=True)
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
            (to / f"{i + 1:02d}.csv").write_text(table.csv(), encoding="utf-8")


def verdicts(done: Sequence[tuple[str, Study]]) -> list[str]:
    """Every claim with its verdict and figure on each survey."""
    out = ["What holds here, and what does not"]
    for says in dict.fromkeys(c.says for _, made in done for c in made.claims):
        out.append(f"{says}:")
        out += [f"    {name}: {c.verdict}. {c.figure}" for name, made in done for c in made.claims if c.says == says]
    for name, made in done:
        hold, fail, open_ = (sum(c.verdict == v for c in made.claims) for v in (HOLDS, NOT, OPEN))
        out.append(f"{name}: {hold} hold, {fail} do not, {open_} are not decided by these seeds")
    return out


def _survey(told: str | None, card: str, n: int, spaces: Sequence[str]) -> Survey:
    """The survey that is named, else the simulated one, with the spaces that the study needs."""
    from explorer.pipeline.prepare import prepare
    from explorer.survey.locate import open as open_survey
    from explorer.survey.locate import surveys_dir
    from explorer.survey.progress import bar
    from explorer.survey.simulate import write

    survey = open_survey(told) if told else Survey.open(write(card, surveys_dir() / card, n, progress=bar()))
    need = spaces_.missing(survey, spaces)
    if need:
        print(f"{survey.name}: embedding with {', '.join(need)}", flush=True)
        prepare(survey, need, [], [], bar())
    return survey
