"""Table 1 and Figure 5: do the models agree on what is strange? Across models, modalities and scorers (P0.11)."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from explorer.pipeline.report.drawing import COLOURS, GREY, figure, plain
from explorer.pipeline.report.parts import Part
from explorer.pipeline.report.published import PAIRS, SOURCE, TABLE_1, shown
from kernels.scoring import transfer

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study


def pairs(study: Study) -> list[tuple[str, str]]:
    """Pairs of encoders: the paper's in its order, then the others."""
    back = {shown(e): e for e in study.encoders}
    known = [(back[a], back[b]) for a, b in PAIRS if a in back and b in back]
    have = {frozenset(p) for p in known}
    return known + [p for p in combinations(study.encoders, 2) if frozenset(p) not in have]


def make(study: Study) -> Part:
    """Both tables of transfer and the histograms."""
    models = [r for m in study.modalities for a, b in pairs(study) for r in _models(study, m, a, b)]
    within = [r for e in study.encoders for r in _modalities(study, e)]
    part = Part("Table 1 · Does one model's top stay at another's top?")
    rows = pd.DataFrame(models)
    if len(models):
        part.tables["table1_transfer_models"] = rows
        both = (rows["top 1 %"] - rows["top 1 % back"]).abs().max()
        same = "is the same both ways in every pair" if both < 1e-9 else f"differs by up to {both:.3g} points both ways"
        part.sentences.append(f"Retention at 1 % {same}; at 10 % it depends on the direction.")
        ours = f"{rows['top 1 %'].min():.1f} to {rows['top 1 %'].max():.1f} %"
        chance = rows["expected"].iloc[0]
        part.sentences.append(
            f"Here models keep {ours} of each other's top 1 % ({chance:.1f} % by chance); P0 found 3.8 to 21.6 %."
        )
    else:
        part.sentences.append(
            "The survey has the spaces of one encoder: models cannot be compared; modalities and scorers are, below. "
            "What P0 published stands in the table."
        )
        part.tables["table1_transfer_models"] = pd.DataFrame([_published(k) for k in TABLE_1])
    if within:
        part.tables["table1_transfer_modalities"] = pd.DataFrame(within)
    across = [r for s in study.spaces for r in _scorers(study, s)]
    if across:
        part.tables["table1_transfer_scorers"] = pd.DataFrame(across)
    part.figures["figure5_transfer"] = _histograms(study)
    part.captions["figure5_transfer"] = (
        f"Where the top 1 % of one ranking ({study.leading}) stands in another, by percent from the top; both "
        "directions overlaid, retention at 1 % and 10 % in the legend, forward (backward)."
    )
    return part


def _row(one: np.ndarray, other: np.ndarray) -> dict[str, Any]:
    at_1, back_1 = transfer.retention(one, other, 1), transfer.retention(other, one, 1)
    at_10, back_10 = transfer.retention(one, other, 1, 10), transfer.retention(other, one, 1, 10)
    return {
        "top 1 %": at_1.share, "top 1 % back": back_1.share, "top 10 %": at_10.share, "top 10 % back": back_10.share,
        "expected": at_1.expected, "chance low": at_1.low, "chance high": at_1.high, "taken": at_1.taken,
        "spearman": transfer.spearman(one, other), "rank-biased overlap": transfer.rank_biased_overlap(one, other),
    }  # fmt: skip


def _scores(study: Study, space: str) -> np.ndarray | None:
    return study.score(space, study.leading) if space in study.spaces else None


def _models(study: Study, modality: str, a: str, b: str) -> list[dict[str, Any]]:
    one, other = _scores(study, f"{a}/{modality}"), _scores(study, f"{b}/{modality}")
    if one is None or other is None:
        return []
    row = {"embedding": modality, "pair": f"{shown(a)} ↔ {shown(b)}", **_row(one, other)}
    told = TABLE_1.get((modality, shown(a), shown(b)))
    names = ("published top 1 %", "published top 1 % back", "published top 10 %", "published top 10 % back")
    return [row | dict(zip(names, told or (np.nan,) * 4, strict=True))]


def _published(key: tuple[str, str, str]) -> dict[str, Any]:
    names = ("published top 1 %", "published top 1 % back", "published top 10 %", "published top 10 % back")
    return {"embedding": key[0], "pair": f"{key[1]} ↔ {key[2]}", "source": SOURCE} | dict(
        zip(names, TABLE_1[key], strict=True)
    )


def _modalities(study: Study, encoder: str) -> list[dict[str, Any]]:
    out = []
    for a, b in combinations(study.modalities, 2):
        one, other = _scores(study, f"{encoder}/{a}"), _scores(study, f"{encoder}/{b}")
        if one is not None and other is not None:
            out.append({"encoder": shown(encoder), "pair": f"{a} ↔ {b}", **_row(one, other)})
    return out


def _scorers(study: Study, space: str) -> list[dict[str, Any]]:
    found = []
    for a, b in combinations(study.scorers, 2):
        row = _row(study.score(space, a), study.score(space, b))
        found.append({"space": space, "pair": f"{a} ↔ {b}", **row})
    return found


def _histograms(study: Study) -> Any:
    """Rows are modalities and columns pairs of models; with one encoder, pairs of its modalities in one row."""
    panels: list[list[tuple[str, str, str]]] = []
    if len(study.encoders) > 1:
        for modality in study.modalities:
            panels.append(
                [
                    (f"{modality}: {shown(a)} ↔ {shown(b)}", f"{a}/{modality}", f"{b}/{modality}")
                    for a, b in pairs(study)
                    if f"{a}/{modality}" in study.spaces and f"{b}/{modality}" in study.spaces
                ]
            )
    else:
        name = study.encoders[0]
        panels.append(
            [(f"{shown(name)}: {a} ↔ {b}", f"{name}/{a}", f"{name}/{b}") for a, b in combinations(study.modalities, 2)]
        )
    panels = [p for p in panels if p]
    wide = max((len(p) for p in panels), default=1)
    drawn = figure(3.7 * wide, 2.6 * max(len(panels), 1))
    for i, line in enumerate(panels):
        for j, (title, a, b) in enumerate(line):
            axes = drawn.add_subplot(len(panels), wide, i * wide + j + 1)
            one, other = study.score(a, study.leading), study.score(b, study.leading)
            edges = np.linspace(0, 100, 41)
            for k, (source, target) in enumerate(((one, other), (other, one))):
                shares = transfer.histogram(source, target, 1.0, 40)
                axes.stairs(100 * shares, edges, fill=True, alpha=0.45, color=COLOURS[k], label="→" if k == 0 else "←")
            for at in (1, 10):
                axes.axvline(at, color=GREY, lw=0.8, ls="--")
                kept = transfer.retention(one, other, 1, at).share, transfer.retention(other, one, 1, at).share
                axes.plot([], [], " ", label=f"top {at} %: {kept[0]:.1f} ({kept[1]:.1f})")
            plain(axes, title, "percent from the top of the target", "share of the source's top 1 %")
            axes.legend(fontsize=7, frameon=False)
    return drawn
