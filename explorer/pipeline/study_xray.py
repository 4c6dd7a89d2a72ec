"""The study of P2 and P3 on a survey of X-ray sources: ``explorer study xray SURVEY``.

Every table stands beside what the papers published, which was measured on other data. Figures are the mean over seeds
with its 95 % interval; each seed draws another split by source and paper and trains every network anew. Plain sentences
at the end say which claims of the papers hold here and which do not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline import _study_xray_p2 as p2
from explorer.pipeline import _study_xray_p3 as p3
from explorer.pipeline._study_table import Table
from explorer.pipeline._study_xray import Fitted, Sources, Tell, fit_seed, sources_of
from explorer.pipeline.align import digest
from explorer.survey.store import Survey
from kernels.embedding.align.search import SMALL_GRID, grid_search, tune_temperature


def chosen_options(s: Sources, epochs: int, folder: Path | None, search: bool, tell: Tell) -> dict[str, Any]:
    """Settings of the two towers of P3: the grid on validation, then the temperature on calibration, first seed."""
    parts = s.split(0)
    train, calibration, validation = (
        s.pairs("spectra", "text", parts[n]) for n in ("train", "calibration", "validation")
    )
    base: dict[str, Any] = {"epochs": epochs, "dropout": 0.4}
    if search:
        found = grid_search(
            train,
            validation,
            SMALL_GRID,
            base,
            folder,
            lambda d, n, t: tell(f"grid {d} of {n}: {t}") if d < n else None,
        )
        base = found[0]["options"]
    if len(calibration[0]) > 3:
        tell("temperature on the calibration split")
        base["temperature"], _ = tune_temperature(train, calibration, base, (0.05, 0.1, 0.2))
    return base


def study(
    survey: Survey,
    data: str = "events",
    spectra: str = "xspectrum",
    text: str = "text",
    seeds: int = 3,
    epochs: int = 60,
    members: int = 3,
    search: bool = True,
    tell: Tell = lambda _: None,
) -> tuple[list[Table], list[str], dict[str, Any]]:
    """(tables in the order of the papers, sentences on their claims, curves and matrix for figures)."""
    if seeds < 1:
        raise ValueError(f"seeds={seeds}: one or more")
    s = sources_of(survey, data, spectra, text)
    of = digest(survey, s.spaces["spectra"], s.spaces["text"])  # what was tried on other vectors tells nothing
    options = chosen_options(s, epochs, survey.cache_dir / "align" / f"study-{of}", search, tell)
    fits = [fit_seed(s, seed, epochs, members, options, tell) for seed in range(seeds)]
    tell("tables")
    linear, knn = p2.regressions(s, fits, "p2", "linear"), p2.regressions(s, fits, "p3", "knn")
    kind = "XRB" if (s.kinds == "XRB").any() else _rarest(s)
    anomalies, curves2 = p2.anomalies(s, fits)
    correlations, matrix = p3.correlation_tables(s, fits)
    outliers, curves3 = p3.outlier_tables(s, fits)
    retrieval2, retrieval3 = p2.retrieval_table(s, fits), p3.retrieval_table(s, fits)
    tables = [
        about(s, fits, options),
        p2.regression_table(linear),
        retrieval2,
        p2.context_table(s, fits, kind),
        *anomalies,
        retrieval3,
        p3.regression_table(knn),
        *correlations,
        *outliers,
        p3.prior_table(s, fits),
        gain_table(linear, knn),
    ]
    sentences = claims(fits, linear, knn, retrieval2, retrieval3, curves2, curves3)
    return tables, sentences, {"p2": curves2, "p3": curves3, "correlations": matrix, "variables": list(s.targets)}


def _rarest(s: Sources) -> str:
    names, count = np.unique(s.kinds, return_counts=True)
    return str(names[np.argmin(np.where(count >= 10, count, np.iinfo(int).max))])


def about(s: Sources, fits: Sequence[Fitted], options: dict[str, Any]) -> Table:
    """What the figures were measured on."""
    table = Table("sources, splits, settings", ["what", "value"])
    table.add("sources with events, spectrum and text", len(s))
    for name, space in s.spaces.items():
        table.add(name, f"{space}, {s.vectors[name].shape[1]} numbers")
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
        ("P2.4 text and data side by side, linear", linear, "data", "side by side", "-"),
        ("P3.4 aligned both, k-NN", knn, "spectra", "both", "16"),
        ("P3.4 mixture of experts, k-NN", knn, "spectra", "experts", "18"),
        ("P3.4 spectra and text side by side, k-NN", knn, "spectra", "side by side", "-"),
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


def _verdict(low: float, mean: float) -> str:
    return "holds" if low > 0 else "does not hold" if mean <= 0 else "is not decided"


def _regression_claims(linear: Any, knn: Any) -> list[str]:
    out = []
    for name, found, side, to, told in (
        ("P2.4: both beat the best single modality in linear regression", linear, "data", "both", "13 %"),
        ("P3.4: aligned and combined, k-NN gains on the best modality before", knn, "spectra", "both", "16 %"),
        ("P3.4: the mixture of experts gains more", knn, "spectra", "experts", "18 %"),
    ):
        runs = p2.gains(found, to, side)
        low, high = (100 * f(r[i] for r in runs) for f, i in ((min, 1), (max, 2)))
        mean = 100 * float(np.mean([r[0] for r in runs]))
        lost = p2.losers(found, to, side)
        words = f"; {', '.join(lost)} {'lose' if len(lost) > 1 else 'loses'}" if lost else ""
        verdict = _verdict(low, mean)
        out.append(f"{name} ({told}): {verdict} here, {mean:.1f} % on average, in [{low:.1f}, {high:.1f}]{words}.")
        if to == "both":
            plain = 100 * float(np.mean([r[0] for r in p2.gains(found, "side by side", side)]))
            more = "more" if mean > plain else "no more"
            out.append(f"  Side by side, not aligned, the two give {plain:.1f} %: alignment adds {more} than that.")
    return out


def _outlier_claims(paper: str, curves: dict[str, np.ndarray], one: str) -> str:
    """Rare classes found in the joint ranking against each modality alone, in its first 5 % and first 20 %."""
    parts = []
    for share in (0.05, 0.2):
        at = p2.AT.index(share)
        joint = 100 * float(curves["joint"][:, at].mean())
        singles = {m: 100 * float(curves[m][:, at].mean()) for m in ("text", one)}
        verdict = "holds" if joint > max(singles.values()) else "does not hold"
        alone = ", ".join(f"{m} {v:.0f} %" for m, v in singles.items())
        parts.append(f"{verdict} in the first {100 * share:.0f} % ({joint:.0f} % of them are there; {alone})")
    return f"{paper}: rare classes rise in the joint outlier ranking: {'; '.join(parts)}."


def claims(
    fits: Sequence[Fitted],
    linear: Any,
    knn: Any,
    retrieval2: Table,
    retrieval3: Table,
    curves2: dict[str, np.ndarray],
    curves3: dict[str, np.ndarray],
) -> list[str]:
    """One sentence a claim: what the paper says, whether it holds here, by which figure."""
    ten = {row[0]: float(np.mean(row[3])) for row in retrieval2.rows if not isinstance(row[3], str)}
    both = next(v for k, v in ten.items() if k.startswith("control: sees both"))
    n = len(fits[0].parts["test"])
    r = [[float(np.mean(row[i])) for i in (1, 3)] for row in retrieval3.rows[:2]]
    return [
        *_regression_claims(linear, knn),
        f"P2.5: true pairs are found far above chance (top 10 of {n}: {ten['shared network, sides apart']:.0f} % "
        f"against {1000 / n:.1f}), the control is at {ten['control: apart, trained on shuffled pairs']:.1f}. Sides "
        f"that see each other find {ten['shared network that sees both']:.0f} % (published 98.1), and {both:.0f} % "
        "of shuffled pairs too: such a figure measures nothing.",
        f"P3.3: Recall@1 % is {r[0][0]:.0f} and Recall@5 % {r[0][1]:.0f} (published 20 and 50 on other data); the "
        f"control {r[1][0]:.1f} and {r[1][1]:.1f}.",
        _outlier_claims("P2.7", curves2, "data"),
        _outlier_claims("P3.6", curves3, "spectra"),
    ]


def run(path: str | None, n: int, seeds: int, epochs: int, to: Path | None, spaces: Sequence[str] = ()) -> int:
    """What ``explorer study xray`` does: make or open the survey, print tables and sentences, keep them in ``to``."""
    from explorer.pipeline.prepare import prepare
    from explorer.survey.locate import open as open_survey
    from explorer.survey.locate import surveys_dir
    from explorer.survey.progress import bar
    from explorer.survey.simulate import write

    survey = (
        open_survey(path)
        if path
        else Survey.open(write("simulated-xray", surveys_dir() / "simulated-xray", n, progress=bar()))
    )
    chosen = {s.split("/")[1]: s for s in spaces}
    need = {"events": "photons", "xspectrum": "photons", "text": "tfidf"}
    missing = sorted({e for m, e in need.items() if m not in chosen and not _has_one(survey, m)})
    if missing:
        prepare(survey, missing, [], [])
    told: Callable[[str], None] = lambda words: print(f"  … {words}", flush=True)  # noqa: E731
    where = [chosen.get(m, m) for m in need]
    tables, sentences, _ = study(survey, where[0], where[1], where[2], seeds, epochs, tell=told)
    for i, table in enumerate(tables):
        print(f"\n{table.text()}", flush=True)
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
            (to / f"{i + 1:02d}.csv").write_text(table.csv(), encoding="utf-8")
    print("\nWhat holds here\n" + "\n".join(sentences), flush=True)
    if to is not None:
        (to / "claims.txt").write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return 0


def _has_one(survey: Survey, modality: str) -> bool:
    """Whether the survey has a space of a modality that is not an aligned one."""
    made = [s for s in survey.spaces if "aligned" not in survey.provenance(f"space:{s}")]
    return any(s.split("/")[1] == modality for s in made)
