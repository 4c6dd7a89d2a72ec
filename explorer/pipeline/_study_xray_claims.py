"""What the papers claim, and whether it holds on the survey at hand: one line a claim, by which figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from explorer.pipeline import _study_xray_p2 as p2
from explorer.pipeline._study_table import Table, half_width
from explorer.pipeline._study_xray import Fitted, Sources
from explorer.pipeline._study_xray_outliers import AT, FUSED, Outliers
from kernels.embedding.align.evaluate import Regression

HOLDS, NOT, OPEN = "holds", "does not hold", "is not decided"
Found = dict[str, list[Regression]]


@dataclass(frozen=True)
class Claim:
    """``says`` what is claimed, with its paper; ``verdict`` one of three; ``figure`` what it is read from."""

    says: str
    verdict: str
    figure: str

    def text(self) -> str:
        """One line."""
        return f"{self.says}: {self.verdict}. {self.figure}"


def verdict(low: float, mean: float, high: float) -> str:
    """Of "is above 0": holds where the interval lies above it, does not where the mean or all of it lies below."""
    return HOLDS if low > 0 else NOT if mean <= 0 or high < 0 else OPEN


def over_seeds(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """(low, mean, high) of the 95 % interval of the mean over seeds; no interval for one seed."""
    mean = float(np.mean(values))
    half = half_width(np.asarray(values, float)) if len(values) > 1 else float("nan")
    return mean - half, mean, mean + half


def _told(low: float, mean: float, high: float, unit: str = " %") -> str:
    return f"{mean:.1f}{unit} [{low:.1f}, {high:.1f}]" if np.isfinite(low) else f"{mean:.1f}{unit} (one seed)"


def gain_claim(says: str, found: Found, to: str, side: str, over: str = "best") -> Claim:
    """A claim of a gain in error: mean over seeds, within the widest bootstrap interval; losing variables by name."""
    runs = p2.gains(found, to, side, over)
    low, high = (100 * f(r[i] for r in runs) for f, i in ((min, 1), (max, 2)))
    mean = 100 * float(np.mean([r[0] for r in runs]))
    lost = p2.losers(found, to, side) if over == "best" else []
    words = f"; {len(lost)} of {len(found)} variables lose: {', '.join(lost)}" if lost else ""
    words = words or ("; no variable loses" if over == "best" else "")
    return Claim(says, verdict(low, mean, high), f"{_told(low, mean, high)}{words}.")


def regression_claims(linear: Found, knn: Found) -> list[Claim]:
    """P2.4 and P3.4."""
    alone = "P3.4 variability is told by the text alone better than by the aligned space"
    variable: Found = {v: knn[v] for v in ("var_prob_b", "var_index_b") if v in knn}
    return [
        gain_claim(
            "P2.4 text and data aligned gain on the better of the two alone (linear; published 13 %)",
            linear,
            "both",
            "data",
        ),
        gain_claim("P2.4 aligned they gain on the two side by side (linear)", linear, "both", "data", p2.PLAIN),
        gain_claim(
            "P3.4 spectra and text aligned gain on the better of the two alone (k-NN; published 16 %)",
            knn,
            "both",
            "spectra",
        ),
        gain_claim("P3.4 aligned they gain on the two side by side (k-NN)", knn, "both", "spectra", p2.PLAIN),
        gain_claim(
            "P3.4 experts chosen by Pearson's r gain on the better of the two alone (published 18 %)",
            knn,
            "experts",
            "spectra",
        ),
        gain_claim("P3.4 experts by Pearson's r gain on the aligned space", knn, "experts", "spectra", "both"),
        gain_claim(
            "P3.4 experts chosen by their error on validation gain on the better of the two alone",
            knn,
            "experts by error",
            "spectra",
        ),
        gain_claim("P3.4 experts by error gain on the aligned space", knn, "experts by error", "spectra", "both"),
        *([gain_claim(alone, variable, "text", "spectra", "both")] if variable else []),
    ]


def retrieval_claims(fits: Sequence[Fitted], retrieval2: Table, retrieval3: Table) -> list[Claim]:
    """P2.5, P2.3a, P3.3: above chance, controls at chance, and the published figures."""
    ten = {row[0]: np.atleast_1d(row[3]).astype(float) for row in retrieval2.rows if not isinstance(row[3], str)}
    chance = ten["chance, k / N"]
    rows = {row[0]: row for row in retrieval3.rows if not isinstance(row[1], str)}
    towers, control, lucky = (next(v for k, v in rows.items() if k.startswith(w)) for w in ("two", "control", "chance"))
    apart = over_seeds(ten["shared network, sides apart"] - chance)
    both = float(next(v for k, v in ten.items() if k.startswith("control: sees both")).mean())
    out = [
        Claim(
            "P2.5 true pairs are found above chance (top 10; published 98.1 %)",
            verdict(*apart) if len(fits) > 1 else (HOLDS if apart[1] > 0 else NOT),
            f"{ten['shared network, sides apart'].mean():.0f} % against {chance.mean():.1f} %; sides that see each "
            f"other reach {ten['shared network that sees both'].mean():.0f} %, but find {both:.0f} % of shuffled pairs "
            "too: such a figure measures nothing.",
        ),
        _at_chance("P2.5", ten["control: apart, trained on shuffled pairs"], chance, "top 10"),
    ]
    for name, at, published in (("Recall@1 %", 1, 20.0), ("Recall@5 %", 3, 50.0)):
        found, free = (np.atleast_1d(row[at]).astype(float) for row in (towers, lucky))
        says = f"P3.3 {name} of texts from spectra reaches the published {published:.0f} %"
        low, mean, high = over_seeds(found)
        told = OPEN if low <= published <= high else HOLDS if mean >= published else NOT
        out.append(
            Claim(says, told, f"{_told(low, mean, high)}, {mean / free.mean():.0f} times chance ({free.mean():.1f}).")
        )
    return [*out, _at_chance("P3.3", np.atleast_1d(control[3]).astype(float), np.atleast_1d(lucky[3]), "Recall@5 %")]


def _at_chance(paper: str, control: np.ndarray, chance: np.ndarray, what: str) -> Claim:
    """At chance: the interval over seeds holds it, or, for one seed, within a factor of two."""
    low, mean, high = over_seeds(control)
    free = float(np.mean(chance))
    inside = low <= free <= high if len(control) > 1 else 0.4 * free < mean < 2 * free
    says = f"{paper} a network trained on shuffled pairs is at chance ({what})"
    return Claim(says, HOLDS if inside else NOT, f"{_told(low, mean, high)}; chance {free:.1f} %.")


def context_claims(context: Table) -> list[Claim]:
    """P2.6: the aligned neighbours share the class more often than those of the data, and are alike in hardness."""
    rows = {row[0]: row for row in context.rows}
    own, before, text = (rows[n] for n in ("aligned, data to text", "data before", "text before"))
    more = over_seeds(np.subtract(own[1], before[1]))
    tight = over_seeds(np.subtract(text[3], rows["aligned, text to data"][3]))
    told = "published {} {}, here {:.1f} {}"
    return [
        Claim(
            "P2.6 texts near the data are of its class more often than its neighbours before (published 6 against 2)",
            _one(more),
            f"{np.mean(own[1]):.1f} against {np.mean(before[1]):.1f} of ten.",
        ),
        Claim(
            "P2.6 data near a text scatter less in hardness than the texts near it before",
            _one(tight),
            told.format("sigma", ".330 against .649", np.mean(rows["aligned, text to data"][3]), "")
            + f"against {np.mean(text[3]):.2f}.",
        ),
    ]


def _one(interval: tuple[float, float, float]) -> str:
    """The verdict, by the sign alone where one seed gives no interval."""
    low, mean, high = interval
    return verdict(low, mean, high) if np.isfinite(low) else (HOLDS if mean > 0 else NOT)


def strength_claims(correlations: Table) -> list[Claim]:
    """P3.5: mean |rho| of the aligned space above that of spectra, and that above that of text."""
    rho = {row[0]: np.atleast_1d(row[2]).astype(float) for row in correlations.rows}
    both, spectra, text = (rho[n] for n in ("aligned both", "spectra", "text"))
    control = float(next(v for k, v in rho.items() if k.startswith("control")).mean())
    return [
        Claim(
            "P3.5 the aligned space is correlated with the variables more than spectra (published .55 against .43)",
            _one(over_seeds(both - spectra)),
            f"mean |rho| {both.mean():.2f} against {spectra.mean():.2f}; {control:.2f} by chance.",
        ),
        Claim(
            "P3.5 spectra are correlated with them more than text (published .43 against .30)",
            _one(over_seeds(spectra - text)),
            f"{spectra.mean():.2f} against {text.mean():.2f}.",
        ),
    ]


def rare_claim(paper: str, s: Sources, found: Outliers, name: str, what: str, side: str, share: float = 0.2) -> Claim:
    """The planted rare classes rise in a joint ranking against each modality alone; intervals over sources."""
    told, verdicts = [], []
    curves = found.curves(s.rare)
    for single in ("text", side):
        mean, low, high = (100 * v for v in found.rise(s.rare, name, single, share))
        place = [100 * v for v in found.difference(s.rare, name, single, lambda p: p)]
        verdicts.append(verdict(low, mean, high))
        told.append(
            f"{mean:+.0f} [{low:+.0f}, {high:+.0f}] on {single}, mean place {place[0]:+.1f} "
            f"[{place[1]:+.1f}, {place[2]:+.1f}]"
        )
    best = NOT if NOT in verdicts else OPEN if OPEN in verdicts else HOLDS
    held = 100 * float(curves[name][:, AT.index(share)].mean())
    figure = f"{held:.0f} % of them in its first {100 * share:.0f} %: {'; '.join(told)}."
    return Claim(f"{paper} rare classes rise in {what} against each modality alone", best, figure)


def outlier_claims(s: Sources, p2_found: Outliers, p3_found: Outliers) -> list[Claim]:
    """P2.7, P3.6, and the planted rare classes."""
    out = []
    if "pulsar" in p2_found.rises:
        runs = np.array(p2_found.rises["pulsar"])
        for i, name in enumerate(("text", "data")):
            risers, top, base = runs[:, 2 * i], runs[:, 2 * i + 1], runs[:, 4]
            thrice = _one(over_seeds(risers - 3 * top))
            out.append(
                Claim(
                    f"P2.7 pulsars are three times as often among the risers over {name} as at its top",
                    thrice,
                    f"{risers.mean():.1f} % of the risers, {top.mean():.1f} % of the top, {base.mean():.1f} % of all.",
                )
            )
    for paper, found, side in (("P2.7", p2_found, "data"), ("P3.6", p3_found, "spectra")):
        out.append(rare_claim(paper, s, found, "joint", "the aligned space", side))
        out.append(rare_claim(paper, s, found, FUSED, "the sum of both rankings", side))
    return out + _class_claims(p3_found)


def _class_claims(found: Outliers) -> list[Claim]:
    """P3.6: quasars above other active nuclei, ULX with a large scatter, both in the first 1 %."""
    out, medians = [], found.medians
    if {"lensed-quasar", "AGN"} <= set(medians):
        pairs = [(q[0], a[0]) for q, a in zip(medians["lensed-quasar"], medians["AGN"], strict=False)]
        low, mean, high = over_seeds([q - a for q, a in pairs])
        q, a = np.mean(pairs, axis=0)
        says = "P3.6 quasars (here the lensed ones) have a higher median score than other active nuclei"
        out.append(Claim(says, _one((low, mean, high)), f"{q:.4f} against {a:.4f}."))
    if "ULX" in medians:
        width = {k: float(np.mean([r[1] for r in runs])) for k, runs in medians.items()}
        place = sorted(width, key=lambda k: -width[k]).index("ULX") + 1
        told = f"half width {width['ULX']:.4f}, the {place}. widest of {len(width)} classes."
        out.append(Claim("P3.6 ULX scatter most in their score", HOLDS if place == 1 else NOT, told))
    wanted = {"lensed-quasar", "ULX"}
    top = [kind for seed in found.top for kind in seed]
    have = [k for k in top if k in wanted]
    told = f"{len(have)} of {len(top)} over {len(found.top)} seeds{': ' + ', '.join(sorted(have)) if have else ''}."
    out.append(
        Claim("P3.6 a lensed quasar and a ULX stand in the first 1 %", HOLDS if wanted <= set(have) else NOT, told)
    )
    return out
