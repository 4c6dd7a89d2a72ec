"""Several rankings made one, from percentiles (P0.10).

Percentiles are high for anomalous objects. Likelihoods of different spaces have different units and are never fused
themselves.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kernels.scoring.ranks import rank


def _geometric(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray) -> np.ndarray:
    return mismatch * np.sqrt(image * spectrum)


def _arithmetic(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray) -> np.ndarray:
    return (image + spectrum + mismatch) / 3


def _minimum(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray) -> np.ndarray:
    return mismatch * np.minimum(image, spectrum)


def _mismatch(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray) -> np.ndarray:
    return mismatch + 0 * (image + spectrum)  # missing where either is


def _density(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray) -> np.ndarray:
    return np.sqrt(image * spectrum) + 0 * mismatch


def _uplift(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray) -> np.ndarray:
    return _geometric(image, spectrum, mismatch) - np.maximum(image, spectrum)


FUSIONS: dict[str, Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]] = {
    "geometric": _geometric,
    "arithmetic": _arithmetic,
    "minimum": _minimum,
    "mismatch": _mismatch,
    "density": _density,
    "uplift": _uplift,
}
"""``geometric`` p_mis sqrt(p_img p_spec), the paper's; ``arithmetic`` (p_img + p_spec + p_mis) / 3; ``minimum``
p_mis min(p_img, p_spec); ``mismatch`` p_mis; ``density`` sqrt(p_img p_spec); ``uplift`` geometric - max(p_img, p_spec),
what the pair adds to the stranger of its halves."""


def fuse(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray, how: str = "geometric") -> np.ndarray:
    """Fused score (n,) float64, higher is more anomalous, within [-1, 1].

    Parameters
    ----------
    image, spectrum, mismatch : (n,) percentiles in percent, (0, 100], high for anomalous, as
        :func:`kernels.scoring.ranks.percentile` gives them; NaN where the object lacks the modality.
    how : a name of :data:`FUSIONS`.

    Returns
    -------
    (n,) float64, NaN where any of the three is. Percentiles enter as shares in (0, 1].
    """
    if how not in FUSIONS:
        raise ValueError(f"how={how!r} is unknown: choose one of {', '.join(FUSIONS)}")
    given = {"image": image, "spectrum": spectrum, "mismatch": mismatch}
    shares = {}
    for name, values in given.items():
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1 or len(array) != len(np.asarray(image)):
            raise ValueError(f"{name} has shape {array.shape}; the three are (n,) and about the same objects")
        known = array[~np.isnan(array)]
        if len(known) and (known.min() <= 0 or known.max() > 100):
            raise ValueError(
                f"{name} runs from {known.min():.4g} to {known.max():.4g}: pass percentiles in (0, 100], "
                "kernels.scoring.ranks.percentile(rank(scores))"
            )
        shares[name] = array / 100
    return FUSIONS[how](shares["image"], shares["spectrum"], shares["mismatch"])


def ablation(image: np.ndarray, spectrum: np.ndarray, mismatch: np.ndarray) -> dict[str, float]:
    """Spearman correlation of each fusion's ranking with the geometric one (P0, Figure 7b), over complete objects."""
    from scipy.stats import spearmanr

    fused = {how: fuse(image, spectrum, mismatch, how) for how in FUSIONS}
    here = ~np.isnan(fused["geometric"])
    if np.count_nonzero(here) < 3:
        raise ValueError(f"{np.count_nonzero(here)} objects have all three percentiles: a correlation needs 3")
    return {
        how: float(spearmanr(fused["geometric"][here], scores[here]).statistic)
        for how, scores in fused.items()
        if how != "geometric"
    }


def top(fused: np.ndarray, count: int = 200) -> np.ndarray:
    """Rows (at most ``count``) int64 of the best fused scores, first the most anomalous; ties by row."""
    fused = np.asarray(fused, dtype=np.float64)
    places = rank(fused, missing=np.isnan(fused))
    order = np.lexsort((np.arange(len(fused)), places))
    return order[places[order] > 0][:count].astype(np.int64)
