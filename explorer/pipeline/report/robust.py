"""Figure 7: do the conclusions hang on the scorer, or on the way percentiles are fused? (P0.8, P0.10)"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from explorer.pipeline.report.drawing import figure, heat
from explorer.pipeline.report.parts import Part
from explorer.pipeline.report.published import shown
from kernels.scoring import transfer

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study


def make(study: Study) -> Part:
    """Spearman of every scorer with the leading one per space, and of every fusion with the geometric one."""
    part = Part("Figure 7 · Robustness: scorers and fusions")
    others = [s for s in study.scorers if s != study.leading]
    rho = np.array(
        [
            [transfer.spearman(study.score(space, study.leading), study.score(space, s)) for s in others]
            for space in study.spaces
        ]
    ).reshape(len(study.spaces), len(others))
    fused = sorted({f for e in study.both for f in study.fusions(e)} - {"fusion-geometric"})
    fused += ["mismatch taken"] if fused else []
    ablation = np.array([[_against(study, e, f) for f in fused] for e in study.both]).reshape(
        len(study.both), len(fused)
    )
    drawn = figure(3.0 + 1.1 * len(others) + 1.1 * len(fused), 1.6 + 0.34 * max(len(study.spaces), 3))
    left, right = drawn.subplots(1, 2, width_ratios=[max(len(others), 1), max(len(fused), 1)])
    if rho.size:
        heat(left, rho, study.spaces, others, -0.2, 1, "{:.2f}")
    left.set_title(f"(a) Spearman with {study.leading}", fontsize=9.5, loc="left")
    if ablation.size:
        names = [f.removeprefix("fusion-") for f in fused]
        heat(right, ablation, [shown(e) for e in study.both], names, -0.2, 1, "{:.2f}")
        right.set_title("(b) Spearman with geometric fusion", fontsize=9.5, loc="left")
    else:
        right.set_axis_off()
    part.figures["figure7_robustness"] = drawn
    part.captions["figure7_robustness"] = (
        "(a) Each scorer's ranking against the leading one in every space. (b) Each fusion against the geometric one "
        "p_mis √(p_img p_spec). P0 found moderate to strong agreement of MAF with GMM, weak with k-NN, and fusion "
        "little dependent on its formula."
    )
    part.tables["figure7a_scorers"] = pd.DataFrame(rho, columns=others).assign(space=study.spaces)
    if ablation.size:
        part.tables["figure7b_fusions"] = pd.DataFrame(ablation, columns=fused).assign(encoder=study.both)
    for j, name in enumerate(others):
        part.sentences.append(
            f"{study.leading} and {name}: Spearman {rho[:, j].min():.2f} to {rho[:, j].max():.2f} over the spaces."
        )
    return part


def _against(study: Study, encoder: str, name: str) -> float:
    joint = f"{encoder}/joint"
    if "fusion-geometric" not in study.fusions(encoder):
        return float("nan")
    if name == "mismatch taken":
        name = str(study.survey.provenance(f"score:{joint}:fusion-geometric").get("mismatch", "mismatch-aligned"))
    if name not in study.survey.scores(joint):
        return float("nan")
    return transfer.spearman(study.score(joint, "fusion-geometric"), study.score(joint, name))
