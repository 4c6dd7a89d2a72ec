"""Is the paper's claim true here? Artefacts and physical rarities at the top of every ranking, by truth labels.

P0: "unimodal density tails are frequently dominated by instrumental artefacts, whereas multimodal fusion increases the
prevalence of physically coherent candidates".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from explorer.pipeline.report.drawing import COLOURS, GREY, figure, plain
from explorer.pipeline.report.parts import Part
from explorer.pipeline.report.published import shown

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study

PAIR_ERRORS = ("wrong-redshift", "swapped-spectrum")
GROUPS = ("artefact", "physical rarity", "pair error", "normal")
ENOUGH = 100  # objects at the top, below which no difference is no verdict
SURE = 0.05  # p-value below which two shares differ


def groups(study: Study) -> np.ndarray | None:
    """(n,) artefact, physical rarity, pair error (wrong redshift or spectrum) or normal; None without labels."""
    told = study.truth()
    if told is None:
        return None
    label, kind = told
    out = np.full(len(label), "normal", dtype=object)
    out[kind == "artefact"] = "artefact"
    out[kind == "rarity"] = "physical rarity"
    out[np.isin(label, PAIR_ERRORS)] = "pair error"
    return out


def make(study: Study) -> Part:
    """Shares in the top 1 % per ranking, verdicts per encoder, and how far each mismatch finds pair errors."""
    part = Part("Is the paper's claim true here? Artefacts and rarities at the top")
    truth = groups(study)
    if truth is None:
        part.sentences.append(
            "This survey has no truth labels (columns truth and truth_kind), so the claim that fusion suppresses "
            "artefacts cannot be tested here. On the simulated survey it can."
        )
        return part
    rankings = [(s, n) for s in study.spaces for n in study.scorers]
    rankings += [(f"{e}/joint", n) for e in study.both for n in (*study.fusions(e), *study.mismatches(e))]
    table = pd.DataFrame([_shares(study, truth, s, n) for s, n in rankings])
    part.tables["claim_top1_shares"] = table
    base = {g: 100 * float(np.mean(truth == g)) for g in GROUPS}
    part.sentences.append("In the whole survey: " + ", ".join(f"{base[g]:.1f} % {g}" for g in GROUPS) + ".")
    for encoder in study.both:
        part.sentences += _verdict(study, truth, encoder)
    part.tables["claim_top1_classes"] = _classes(study)
    errors = [_found(study, e, n) for e in study.both for n in study.mismatches(e)]
    if errors:
        part.tables["claim_mismatches"] = pd.DataFrame(errors)
        part.sentences += _best(errors)
    part.figures["claim_top1_shares"] = _bars(study, table, base)
    part.captions["claim_top1_shares"] = (
        "What stands in the top 1 % of each ranking. Dashed: the share of artefacts in the whole survey."
    )
    return part


def _shares(study: Study, truth: np.ndarray, space: str, name: str) -> dict[str, Any]:
    from explorer.pipeline.recovery import binomial_band

    rows = study.top(space, name)
    out: dict[str, Any] = {"space": space, "score": name, "taken": len(rows)}
    for group in GROUPS:
        count = int(np.sum(truth[rows] == group))
        low, high = binomial_band(count, len(rows))
        out |= {f"{group} %": 100 * count / len(rows), f"{group} low": 100 * low, f"{group} high": 100 * high}
    return out


def _verdict(study: Study, truth: np.ndarray, encoder: str) -> list[str]:
    """Plain sentences: is the image tail artefacts; does geometric fusion lower them and raise rarities."""
    from scipy.stats import fisher_exact

    scorer = study.leading
    if "fusion-geometric" not in study.fusions(encoder):
        return []
    told = study.survey.provenance(f"score:{encoder}/joint:fusion-geometric")
    image = truth[study.top(f"{encoder}/image", str(told.get("density", scorer)))]
    fused = truth[study.top(f"{encoder}/joint", "fusion-geometric")]
    name, scorer = shown(encoder), str(told.get("density", scorer))
    counts = {g: (int(np.sum(image == g)), int(np.sum(fused == g))) for g in GROUPS}

    def moved(group: str) -> tuple[str, float]:
        a, b = counts[group]
        table = [[a, len(image) - a], [b, len(fused) - b]]
        p = float(fisher_exact(table).pvalue)
        return ("no different" if p > SURE else "more" if b / len(fused) > a / len(image) else "fewer"), p

    share = {g: tuple(100 * c / len(rows) for c, rows in zip(counts[g], (image, fused), strict=True)) for g in GROUPS}
    art, rare = moved("artefact"), moved("physical rarity")
    dominated = share["artefact"][0] > 50
    first = (
        f"{name} ({scorer}): {share['artefact'][0]:.0f} % of the image's top 1 % are artefacts: the tail is "
        f"{'' if dominated else 'not '}dominated by them."
    )
    second = (
        f"Geometric fusion holds {share['artefact'][1]:.0f} % artefacts ({art[0]}, p = {art[1]:.2g}) and "
        f"{share['physical rarity'][1]:.0f} % physical rarities against {share['physical rarity'][0]:.0f} % in the "
        f"image ({rare[0]}, p = {rare[1]:.2g})."
    )
    if art[0] == "fewer" and rare[0] == "more":
        verdict = "The paper's claim is true here: fewer artefacts and more physical rarities than the image alone."
    elif art[0] == "fewer":
        verdict = "Half of the paper's claim is true here: fewer artefacts, but no more physical rarities."
    elif rare[0] == "more":
        verdict = "Half of the paper's claim is true here: more physical rarities, but no fewer artefacts."
    elif len(fused) < ENOUGH:
        verdict = f"With {len(fused)} objects at the top the paper's claim cannot be judged here."
    else:
        verdict = (
            "The paper's claim is not true here: fusion brings neither fewer artefacts nor more physical rarities."
        )
    return [f"{first} {second} {verdict}"]


def _classes(study: Study) -> pd.DataFrame:
    """How many of each class stand in the top 1 % of image, spectrum, joint and geometric fusion, in percent of it."""
    label = study.survey.column("truth")
    names = [n for n in sorted(set(label)) if n != "normal"]
    rows = []
    rankings = [(s, study.leading) for s in study.spaces]
    rankings += [(f"{e}/joint", f) for e in study.both for f in study.fusions(e)]
    for space, score in rankings:
        top = label[study.top(space, score)]
        found = {n: 100 * float(np.sum(top == n)) / max(int(np.sum(label == n)), 1) for n in names}
        rows.append({"space": space, "score": score, **{f"{n}, % found": v for n, v in found.items()}})
    return pd.DataFrame(rows)


def _found(study: Study, encoder: str, name: str) -> dict[str, Any]:
    """Area under the curve, and shares found in the top 1 and 5 %, of wrong redshifts and swapped spectra."""
    from sklearn.metrics import roc_auc_score

    label = study.survey.column("truth")
    joint = f"{encoder}/joint"
    score = study.score(joint, name)
    one, five = study.top(joint, name, 1), study.top(joint, name, 5)
    out: dict[str, Any] = {"encoder": encoder, "mismatch": name}
    for kind in PAIR_ERRORS:
        mine = label == kind
        known = ~np.isnan(score) & (mine | (label == "normal"))
        shown_score = np.where(np.isfinite(score), score, np.finfo(np.float64).max)
        both = mine[known].any() and not mine[known].all()
        out[f"{kind} AUC"] = float(roc_auc_score(mine[known], shown_score[known])) if both else float("nan")
        out[f"{kind} in top 1 %"] = 100 * float(mine[one].sum()) / max(int(mine.sum()), 1)
        out[f"{kind} in top 5 %"] = 100 * float(mine[five].sum()) / max(int(mine.sum()), 1)
    return out


def _best(errors: list[dict[str, Any]]) -> list[str]:
    out = []
    for kind in PAIR_ERRORS:
        known = [e for e in errors if np.isfinite(e[f"{kind} AUC"])]
        if known:
            best = max(known, key=lambda e: e[f"{kind} AUC"])
            out.append(
                f"{kind}: found best by {best['mismatch']} of {best['encoder']} (AUC {best[f'{kind} AUC']:.2f}, "
                f"{best[f'{kind} in top 5 %']:.0f} % in its top 5 %)."
            )
    return out


def _bars(study: Study, table: pd.DataFrame, base: dict[str, float]) -> Any:
    chosen = table[
        (table["score"] == study.leading)
        | table["score"].str.startswith("fusion")
        | table["score"].eq("mismatch-aligned")
    ]
    drawn = figure(8.5, 1.2 + 0.27 * len(chosen))
    axes = drawn.subplots()
    left = np.zeros(len(chosen))
    for group, colour in zip(GROUPS[:3], (COLOURS[1], COLOURS[0], COLOURS[4]), strict=True):
        values = chosen[f"{group} %"].to_numpy()
        axes.barh(range(len(chosen)), values, left=left, color=colour, label=group, height=0.72)
        left += values
    axes.set_yticks(range(len(chosen)), [f"{s} {n}" for s, n in zip(chosen["space"], chosen["score"], strict=True)])
    axes.invert_yaxis()
    axes.axvline(base["artefact"], color=GREY, lw=0.9, ls="--")
    plain(axes, "", "percent of the top 1 %")
    axes.set_xlim(0, 100)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower right")
    return drawn
