"""Fusion ablation: the ways to make one ranking of image, spectrum and their mismatch, beside the geometric (P0.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.pipeline import joint
from explorer.pipeline.roles import values_of
from explorer.session import compare
from explorer.views._compare import ComparePanel, button, choice, mode_of
from explorer.views._map_legend import count
from explorer.views._theme import empty, escape
from kernels.scoring.fusion import FUSIONS, ablation, fuse, top

TOP = 200
PICTURED = 16
MEANT = {
    "geometric": "p_mis √(p_img p_spec), the paper's",
    "arithmetic": "(p_img + p_spec + p_mis) / 3",
    "minimum": "p_mis min(p_img, p_spec)",
    "mismatch": "p_mis alone",
    "density": "√(p_img p_spec), without the mismatch",
    "uplift": "geometric − max(p_img, p_spec)",
}


@dataclass(frozen=True)
class Line:
    """One fusion: its Spearman with the geometric, the share of its top that the geometric's top holds, what it holds.

    ``kinds`` are shares of its top 1 % by truth, where the survey has labels.
    """

    how: str
    spearman: float
    kept: float
    rows: np.ndarray
    kinds: dict[str, float]


def lines(survey: Any, encoder: str, density: str, mismatch: str) -> list[Line]:
    """All fusions of an encoder's spaces, the geometric first."""
    parts = (
        survey.percentile(f"{encoder}/image", density),
        survey.percentile(f"{encoder}/spectrum", density),
        survey.percentile(f"{encoder}/joint", mismatch),
    )
    rho = ablation(*parts)
    truth = values_of(survey, "truth_kind")
    fused = {how: fuse(*parts, how) for how in FUSIONS}
    best = top(fused["geometric"], TOP)
    out = []
    for how, scores in fused.items():
        mine = top(scores, TOP)
        first = top(scores, max(1, round(np.isfinite(scores).sum() / 100)))
        shown = np.empty(0, object) if truth is None else truth
        kinds = {k: float(np.mean(shown[first] == k)) for k in sorted({k for k in shown if k} - {"normal"})}
        kept = 100 * len(np.intersect1d(mine, best)) / max(len(mine), 1)
        out.append(Line(how, rho.get(how, 1.0), kept, mine, kinds))
    return out


def table(found: list[Line], chosen: str) -> str:
    """HTML table of the fusions; a line is clicked to see its top."""
    kinds = list(found[0].kinds)
    head = "".join(
        f'<th title="{told}">{escape(words)}</th>'
        for words, told in [
            ("Spearman", "Correlation of the ranking with the geometric one"),
            (f"of top {TOP}", f"Share of its first {TOP} that are among the geometric's first {TOP}"),
            *((k, f"Share of its top 1 % that is {escape(k)} by the truth labels") for k in kinds),
        ]
    )
    body = "".join(_row(line, line.how == chosen) for line in found)
    return f'<table class="cf fu"><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody></table>'


def _row(line: Line, now: bool) -> str:
    left, width = (50 + 50 * min(line.spearman, 0), 50 * abs(line.spearman))
    bar = f'<i><s style="left:{left:.1f}%;width:{width:.1f}%"></s></i>'
    cells = [f'<td class="bar">{bar}<b>{line.spearman:.2f}</b></td>', f"<td>{line.kept:.0f} %</td>"]
    cells += [f"<td>{100 * share:.0f} %</td>" for share in line.kinds.values()]
    told = escape(MEANT.get(line.how, ""))
    cls = "now" if now else ""
    return (
        f'<tr class="{cls}" data-do="show" data-how="{escape(line.how)}" tabindex="0" title="{told}">'
        f"<th>{escape(line.how)}</th>{''.join(cells)}</tr>"
    )


def alignment(encoder: str, told: dict[str, Any]) -> str:
    """HTML: whether the cosine of an encoder's two spaces means anything, and what is used where it does not."""
    name = escape(encoder)
    if told["comparable"]:
        return f'<div class="says">True pairs are told from shuffled ones with area <b>{told["area"]:.2f}</b>.</div>'
    measured = f" (true pairs against shuffled ones: area {told['area']:.2f}, chance is 0.5)" if told["area"] else ""
    found = (
        f"; it brings {100 * told['retrieval']:.0f} % of partners into the nearest tenth" if told["retrieval"] else ""
    )
    return (
        f'<div class="warn"><b>Image and spectrum of {name} were never aligned</b>{measured}: their cosine means '
        f"little. A fitted linear alignment, held out, is used instead{found}.</div>"
    )


class FusionView(ComparePanel):
    """Spearman of every fusion with the geometric one, what their tops hold, and the objects behind the chosen one."""

    name, title = "fusion", "Fusion ablation"
    shows = ("focus",)

    def __init__(self, session: Any):
        super().__init__(session)
        self.encoder, self.density, self.how = "", "", "geometric"

    def _encoders(self) -> list[str]:
        return joint.encoders_with_both(self.session.survey)

    def _chosen(self) -> tuple[str, list[str], str]:
        """Encoder, density scores that it may be fused from, and the one that is."""
        names, survey = self._encoders(), self.session.survey
        here = self.session.space.split("/")[0]
        encoder = next((n for n in (self.encoder, here, *names) if n in names), "")
        if not encoder:
            return "", [], ""
        there = [s for s in joint.DENSITIES if joint.density_of(survey, encoder, s)]
        return encoder, there, self.density if self.density in there else (there[0] if there else "")

    def load(self) -> Any:
        """The fusions, or None where they cannot be made yet."""
        survey = self.session.survey
        encoder, _, density = self._chosen()
        if not encoder or not density:
            return encoder, density, "", None, {}
        mismatch = joint.believed(survey, encoder)
        found = None
        if mismatch in survey.scores(f"{encoder}/joint"):
            found = lines(survey, encoder, density, mismatch)
        return encoder, density, mismatch, found, compare.believed(survey, encoder)

    def head(self) -> str:
        """Whose spaces, and of which density score."""
        encoder, there, density = self._chosen()
        names = self._encoders()
        first = (
            choice("encoder", "", {n: n for n in names}, encoder, "Whose spaces are fused") if len(names) > 1 else ""
        )
        second = choice("density", "", {s: s for s in there}, density, "Whose percentiles are fused")
        return first + (second if len(there) > 1 else "")

    def pictured(self, found: Any) -> Any:
        """The thumbnails."""
        made = found[3] or []
        return next((line.rows[:PICTURED] for line in made if line.how == self.how), [])

    def draw(self, found: Any) -> str:
        """The table, the top of the chosen fusion, and how far the mismatch can be believed."""
        encoder, density, mismatch, made, told = found
        if not encoder or not density:
            hint = "explorer prepare SURVEY on a survey with images and spectra of the same objects makes them"
            return empty("Fusion needs image, spectrum and joint spaces of one encoder, scored alike", hint)
        if made is None:
            tip = "Cosine where it means something, a fitted alignment, calibration and the fusions"
            go = button("make", f"Compute for {encoder}", tip, "go", self._busy is None)
            hint = "explorer report SURVEY computes it for every encoder"
            words = f"<b>The mismatch of image and spectrum is not scored yet</b><span>{hint}</span><span>{go}</span>"
            return f'<div class="ax-empty">{words}</div>'
        line = next(one for one in made if one.how == self.how)
        stored = f"fusion-{line.how}" if line.how != "mismatch" else mismatch
        there = stored in self.session.survey.scores(f"{encoder}/joint")
        acts = button("take", f"Select its top {len(line.rows)}", "Shift adds, Ctrl intersects", "go")
        acts += button("rank", "Rank by it", f"Rank by {stored} of {encoder}/joint", live=there)
        acts += f'<span class="ax-muted">{escape(MEANT.get(line.how, ""))}</span>'
        return (
            f'<div class="body">{table(made, self.how)}<div class="who">{acts}</div>'
            f"{self.strip(line.rows[:PICTURED])}</div>{alignment(encoder, told)}"
        )

    def do_encoder(self, data: dict[str, Any]) -> None:
        """Another encoder's spaces."""
        self.encoder = str(data["value"])
        self.refresh()

    def do_density(self, data: dict[str, Any]) -> None:
        """Another score's percentiles."""
        self.density = str(data["value"])
        self.refresh()

    def do_show(self, data: dict[str, Any]) -> None:
        """The top of another fusion."""
        self.how = str(data["how"])
        self._draw()

    def do_take(self, data: dict[str, Any]) -> None:
        """Select the top of the chosen fusion."""
        encoder, density = self.found[:2]
        line = next(one for one in self.found[3] if one.how == self.how)
        note = f"top {count(len(line.rows))} of the {self.how} fusion of {encoder} {density}"
        self.session.select(self.session.survey.ids_of(line.rows), mode_of(data), note=note)

    def do_rank(self, _: dict[str, Any]) -> None:
        """Rank by the chosen fusion."""
        encoder, _, mismatch = self.found[:3]
        with self.session.together():
            self.session.space = f"{encoder}/joint"
            self.session.scorer = mismatch if self.how == "mismatch" else f"fusion-{self.how}"

    def do_make(self, data: dict[str, Any]) -> None:
        """Compute mismatches and fusions of the encoder beside the page."""
        session = self.session
        encoder, _, density = self._chosen()

        def done(_: Any) -> None:
            session.refresh()
            self.refresh()

        self.long(
            lambda progress: joint.add(session.survey, encoder, density, with_physical=False, progress=progress), done
        )
