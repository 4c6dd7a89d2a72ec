"""What no paper prints: what a score follows besides strangeness, how far its ranks move, what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from explorer.pipeline.report.claim import GROUPS, groups
from explorer.pipeline.report.drawing import COLOURS, GREY, figure, heat, plain
from explorer.pipeline.report.parts import Part
from explorer.pipeline.roles import confounding
from explorer.survey import intervals
from kernels.scoring import confounders, transfer
from kernels.scoring.ranks import rank

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study

MATCHED = ("snr_image", "magnitude", "redshift")  # roles in which likes are ranked among likes
RUNS = 5
KINDS_A_ROW = 5


def rankings(study: Study) -> list[tuple[str, str]]:
    """(space, score) of every density score, fusion and mismatch."""
    out = [(s, n) for s in study.spaces for n in study.scorers]
    return out + [(f"{e}/joint", n) for e in study.both for n in (*study.fusions(e), *study.mismatches(e))]


def confounded(study: Study) -> Part:
    """Spearman of every score with S/N, magnitude, size, redshift and field; a ranking among likes beside the plain."""
    part = Part("Confounders · Is a ranking only one of brightness?")
    columns = confounding(study.survey)
    if not columns:
        part.sentences.append("The catalogue has no S/N, magnitude, size, redshift or field column.")
        return part
    names, values = list(columns), []
    for space, score in rankings(study):
        told = {c.name: c.correlation for c in confounders.confounders(study.score(space, score), columns)}
        values.append([told.get(n, np.nan) for n in names])
    table = np.array(values)
    lines = [f"{s} {n}" for s, n in rankings(study)]
    frame = pd.DataFrame(table, columns=names)
    frame.insert(0, "score", [n for _, n in rankings(study)])
    frame.insert(0, "space", [s for s, _ in rankings(study)])
    part.tables["confounders"] = frame
    drawn = figure(3.5 + 1.0 * len(names), 1.6 + 0.24 * len(lines))
    heat(drawn.subplots(), np.abs(table), lines, names, 0, 1, "{:.2f}")
    part.figures["confounders"] = drawn
    part.captions["confounders"] = (
        "Absolute Spearman correlation (for field: the share of ranks' scatter between fields)."
    )
    worst = np.unravel_index(np.nanargmax(np.abs(table)), table.shape)
    part.sentences.append(
        f"The strongest: {lines[worst[0]]} follows {names[worst[1]]} with Spearman {table[worst]:+.2f}."
    )
    chosen = {n: c for n, c in columns.items() if n.split(" ")[0] in MATCHED}
    if chosen:
        part.tables["confounders_matched"] = pd.DataFrame(
            [_matched(study, s, study.leading, chosen) for s in study.spaces]
            + [_matched(study, f"{e}/joint", f, chosen) for e in study.both for f in study.fusions(e)]
        )
        part.sentences.append(
            f"Ranked among objects alike in {', '.join(chosen)}, the top 1 % changes as the second table says."
        )
    return part


def _matched(study: Study, space: str, name: str, columns: dict[str, np.ndarray]) -> dict[str, Any]:
    score = study.score(space, name)
    among = confounders.matched_percentile(score, columns, bins=6)
    known = ~np.isnan(among)
    tie = rank(score, missing=~known).astype(np.float64)  # bins tie at their tops: the plain rank parts them
    likes = np.where(known, among - 1e-9 * tie, np.nan)
    row: dict[str, Any] = {"space": space, "score": name, "objects": int(known.sum())}
    plain_score = np.where(known, score, np.nan)
    row["top 1 % kept, %"] = transfer.retention(plain_score, likes, 1).share
    row["spearman with plain"] = transfer.spearman(plain_score, likes)
    truth = groups(study)
    if truth is not None:
        inside = np.flatnonzero(known)
        for told, values in (("plain", plain_score), ("matched", likes)):
            top = inside[transfer.top_rows(values[inside], 1)]
            for group in GROUPS[:2]:
                row[f"{group} %, {told}"] = 100 * float(np.mean(truth[top] == group))
    return row


def steady(study: Study) -> Part:
    """Rank intervals of every score that can be made again within the time allowed, cheapest first."""
    from explorer.pipeline import stability

    part = Part("Stability · How far can a rank be trusted?")
    survey = study.survey
    costs = {
        (s, n): float(survey.provenance(f"score:{s}:{n}").get("seconds", 0)) * RUNS
        for s in study.spaces
        for n in study.scorers
    }
    left, skipped, rows = 60 * study.minutes / 2, [], []
    for (space, name), cost in sorted(costs.items(), key=lambda item: item[1]):
        if not intervals.known(survey, space, name):
            if cost > left:
                skipped.append(f"{space} {name}")
                continue
            left -= cost
            stability.measure(survey, space, name, runs=RUNS, seed=study.seed)
        rows.append(_interval_row(study, space, name))
    part.tables["stability"] = pd.DataFrame(rows)
    if skipped:
        part.sentences.append(
            f"Not made again, as {RUNS} runs would pass the {study.minutes / 2:.0f} minutes allowed: "
            f"{', '.join(skipped)}."
        )
    if rows:
        sure = min(rows, key=lambda r: r["surely in top 1 %, %"])
        part.sentences.append(
            f"Least sure: {sure['space']} {sure['score']}, of whose top 1 % {sure['surely in top 1 %, %']:.0f} % stay "
            f"there in 90 % of {sure['runs']} runs."
        )
        part.figures["stability"] = _intervals(study, rows)
        part.captions["stability"] = (
            "Rank intervals (90 %) of the first 40 objects of each ranking; logarithmic places."
        )
    return part


def _interval_row(study: Study, space: str, name: str) -> dict[str, Any]:
    found = intervals.of(study.survey, space, name)
    told = intervals.provenance(study.survey, space, name)
    assert found is not None
    top = study.top(space, name)
    within = found[top, intervals.HIGH] <= len(top)
    return {
        "space": space,
        "score": name,
        "runs": told.get("runs"),
        "spearman between runs": told.get("spearman"),
        "top 1 % kept between runs, %": told.get("retention"),
        "surely in top 1 %, %": 100 * float(np.mean(within)),
        "median width of top 100": float(np.nanmedian(found[top[:100], 2] - found[top[:100], 0])),
    }


def _intervals(study: Study, rows: list[dict[str, Any]]) -> Any:
    wide = min(3, len(rows))
    tall = -(-len(rows) // wide)
    drawn = figure(3.7 * wide, 2.4 * tall)
    for i, row in enumerate(rows):
        axes = drawn.add_subplot(tall, wide, i + 1)
        found = intervals.of(study.survey, row["space"], row["score"])
        assert found is not None
        top = study.top(row["space"], row["score"])[:40]
        at = np.arange(1, len(top) + 1)
        axes.vlines(at, np.maximum(found[top, 0], 1), np.maximum(found[top, 2], 1), color=COLOURS[0], lw=1.4)
        axes.plot(at, at, color=GREY, lw=0.8, ls="--")
        axes.set_yscale("log")
        plain(axes, f"{row['space']} {row['score']}", "place", "places over the runs")
    return drawn


def quick(study: Study) -> list[str]:
    """The scorers of recovery curves: the leading one and two that cost little."""
    return [study.leading, *(s for s in ("knn", "isolation-forest") if s in study.scorers and s != study.leading)]


def recovered(study: Study) -> Part:
    """Recovery curves of every space, of the leading scorer, two quick ones and their fusions."""
    from explorer.pipeline.recovery import KINDS, STRENGTHS, _embeddable, recovery

    part = Part("Recovery · What is injected, and what is found")
    spaces = [s for s in _embeddable(study.survey) if s in study.spaces]
    if not spaces:
        part.sentences.append("No encoder of these spaces is stored in the survey: nothing can be embedded again.")
        return part
    try:
        table = recovery(
            study.survey, spaces, quick(study), hosts=study.hosts, seed=study.seed, progress=study.progress
        )
    except ValueError as error:  # too few objects, or no images: the rest of the report stands without
        part.sentences.append(f"Not measured: {error}.")
        return part
    part.tables["recovery"] = table
    part.sentences.append(
        f"{study.hosts} ordinary objects carry each oddity; found means in the top 1 %. Strength is the light added "
        "over the object's own. At strength 0, "
        f"{100 * table[table.kind == 'none'].share.mean():.1f} % are found: chance is 1 %."
    )
    for kind in KINDS:
        some = table[(table.kind == kind) & (table.strength == max(STRENGTHS))]
        if len(some):
            best = some.sort_values("share", ascending=False).to_dict("records")[0]
            part.sentences.append(
                f"{kind} at strength {best['strength']:g}: best found by {best['space']} {best['score']}, "
                f"{100 * best['share']:.0f} % ({100 * best['low']:.0f} to {100 * best['high']:.0f})."
            )
    part.figures["recovery"] = _curves(study, table)
    part.captions["recovery"] = (
        f"Share found in the top 1 %, {study.leading}, with 95 % binomial bands; dotted: chance."
    )
    return part


def _curves(study: Study, table: pd.DataFrame) -> Any:
    kinds = [k for k in table.kind.unique() if k != "none"]
    encoders = [e for e in study.encoders if table.space.str.startswith(f"{e}/").any()]
    drawn = figure(2.7 * len(kinds), 2.5 * len(encoders))
    grid = drawn.subplots(len(encoders), len(kinds), squeeze=False, sharey=True)
    for encoder, line in zip(encoders, grid, strict=True):
        mine = table[table.space.str.startswith(f"{encoder}/")]
        fused = f"fusion-geometric ({study.leading})"
        shown = [(f"{encoder}/{m}", study.leading, m) for m in ("image", "spectrum", "joint")]
        shown += [(f"{encoder}/joint", fused, "fusion"), (f"{encoder}/joint", "mismatch-aligned", "mismatch")]
        shown += [(f"{encoder}/joint", "mismatch", "mismatch")]
        for kind, axes in zip(kinds, line, strict=True):
            for i, (space, score, label) in enumerate(shown):
                curve = mine[(mine.space == space) & (mine.score == score) & (mine.kind == kind)].sort_values(
                    "strength"
                )
                if len(curve):
                    axes.plot(
                        curve.strength, 100 * curve.share, "o-", ms=3, lw=1.2, color=COLOURS[min(i, 4)], label=label
                    )
                    axes.fill_between(
                        curve.strength, 100 * curve.low, 100 * curve.high, color=COLOURS[min(i, 4)], alpha=0.12, lw=0
                    )
            axes.axhline(1, color=GREY, lw=0.8, ls=":")
            axes.set_xscale("log")
            axes.set_ylim(-3, 103)
            plain(axes, f"{encoder}: {kind}", "strength", "found (%)")
        line[0].legend(fontsize=7, frameon=False)
    return drawn
