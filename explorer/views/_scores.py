"""What the numbers of a score are, in a word for a column's head and in a sentence for whoever points at it."""

from __future__ import annotations

_KNOWN = {
    "fusion-geometric": ("geometric", "p_mis √(p_img p_spec), percentiles as shares: 1 at most"),
    "fusion-arithmetic": ("arithmetic", "(p_img + p_spec + p_mis) / 3, percentiles as shares: 1 at most"),
    "fusion-minimum": ("minimum", "p_mis min(p_img, p_spec), percentiles as shares: 1 at most"),
    "fusion-density": ("density", "√(p_img p_spec), without the mismatch: 1 at most"),
    "fusion-uplift": ("uplift", "geometric fusion less the larger of p_img and p_spec: −1 to 1"),
    "mismatch": ("1 − cos", "between image and spectrum vectors: 0 agree, 2 oppose"),
    "mismatch-aligned": ("1 − cos", "between image and spectrum after a fitted, cross-fitted alignment"),
    "mismatch-calibrated": ("% of strangers", "share of alike strangers that it is matched worse than"),
    "mismatch-colour": ("σ", "image colours against synthetic photometry of the spectrum, in robust sigma"),
    "mismatch-template": ("σ", "spectrum against templates at the catalogue's redshift, in sigma"),
    "mismatch-redshift": ("scatter", "photometric against spectroscopic redshift, in units of the local scatter"),
    "feedback": ("expected", "the mark from 0 to 5 that your marks make expected, artefacts pushed down"),
    "lens-likeness": ("arc S/N", "of blue arcs around the galaxy once it is fitted and subtracted; – where not judged"),
    "line-width": ("km/s", "width of the strongest line less twice its error; – where not judged"),
    "maf": ("−ln L", "negative log-likelihood of a masked autoregressive flow"),
    "gmm": ("−ln L", "negative log-likelihood of a Gaussian mixture"),
    "knn": ("distance", "mean distance to the nearest neighbours"),
}


def heading(scorer: str) -> tuple[str, str]:
    """A word and a sentence for a score's numbers.

    >>> heading("fusion-geometric")[0], heading("knn matched")[0], heading("mine")
    ('geometric', 'pct of likes', ('score', 'higher is more anomalous'))
    """
    if scorer.endswith(" matched"):
        return "pct of likes", "percentile among objects alike in the matched columns"
    word, told = _KNOWN.get(scorer, ("score", ""))
    return word, f"{told}; higher is more anomalous" if told else "higher is more anomalous"
