"""Fusion and mismatch against their formulas and against pairs whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.scoring import fusion, mismatch
from kernels.scoring.ranks import percentile, rank


def _percentiles(n: int = 50) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [percentile(rank(rng.random(n))) for _ in range(3)]


def test_every_fusion_is_its_formula() -> None:
    i, s, m = _percentiles()
    p, q, r = i / 100, s / 100, m / 100
    expected = {
        "geometric": r * np.sqrt(p * q),
        "arithmetic": (p + q + r) / 3,
        "minimum": r * np.minimum(p, q),
        "mismatch": r,
        "density": np.sqrt(p * q),
        "uplift": r * np.sqrt(p * q) - np.maximum(p, q),
    }
    assert set(expected) == set(fusion.FUSIONS)
    for how, values in expected.items():
        np.testing.assert_allclose(fusion.fuse(i, s, m, how), values)


def test_a_missing_modality_is_missing_in_every_fusion() -> None:
    i, s, m = _percentiles()
    s[3] = np.nan
    for how in fusion.FUSIONS:
        fused = fusion.fuse(i, s, m, how)
        assert np.flatnonzero(np.isnan(fused)).tolist() == [3]
        assert 3 not in fusion.top(fused, 50)
    best = fusion.top(fusion.fuse(i, s, m), 5)
    assert best[0] == np.nanargmax(fusion.fuse(i, s, m))


def test_scores_are_not_taken_for_percentiles() -> None:
    i, s, m = _percentiles()
    with pytest.raises(ValueError, match="image runs from"):
        fusion.fuse(-i, s, m)
    with pytest.raises(ValueError, match="uplift"):
        fusion.fuse(i, s, m, "harmonic")
    with pytest.raises(ValueError, match="the same objects"):
        fusion.fuse(i, s[:3], m)


def test_ablation_orders_the_alternatives() -> None:
    found = fusion.ablation(*_percentiles(2000))
    assert found["minimum"] > found["arithmetic"] > found["mismatch"] > 0.4


def _two_views(n: int = 600, noise: float = 0.3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two spaces of unlike dimension that see the same five hidden numbers; the last 20 objects are swapped."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(n, 5))
    other = hidden.copy()
    other[-20:] = np.roll(hidden[-20:], 1, axis=0)
    a = hidden @ rng.normal(size=(5, 12)) + noise * rng.normal(size=(n, 12))
    b = other @ rng.normal(size=(5, 9)) + noise * rng.normal(size=(n, 9))
    return a, b, np.arange(n) >= n - 20


def test_cosine_mismatch() -> None:
    a = np.array([[1.0, 0], [1, 0], [1, 0], [0, 0], [np.nan, 1]])
    b = np.array([[2.0, 0], [0, 3], [-1, 0], [1, 0], [1, 1]])
    np.testing.assert_allclose(mismatch.cosine_mismatch(a, b), [0, 1, 2, np.nan, np.nan])
    with pytest.raises(ValueError, match="aligned_mismatch"):
        mismatch.cosine_mismatch(a, np.ones((5, 3)))


def test_spaces_that_were_never_aligned_are_known() -> None:
    a, b, _ = _two_views()
    assert mismatch.share_a_space(a, a + 0.1 * np.random.default_rng(1).normal(size=a.shape)) > 0.95
    assert mismatch.share_a_space(a[:, :9], b) == pytest.approx(0.5, abs=0.15)
    assert mismatch.share_a_space(a, b) == 0.5


def test_a_fitted_alignment_finds_swapped_partners() -> None:
    from sklearn.metrics import roc_auc_score

    a, b, swapped = _two_views()
    a[5] = np.nan
    found = mismatch.aligned_mismatch(a, b, components=5, random_state=0)
    assert np.isnan(found.mismatch[5])
    here = ~np.isnan(found.mismatch)
    assert roc_auc_score(swapped[here], found.mismatch[here]) > 0.95
    assert found.retrieval > 0.9
    shuffled = mismatch.aligned_mismatch(a, np.random.default_rng(2).permutation(b), random_state=0)
    assert shuffled.retrieval < 0.25, "held out, an alignment of strangers retrieves nothing"


def test_groups_stay_in_one_fold() -> None:
    a, b, _ = _two_views(100)
    groups = np.arange(100) // 2
    folds = mismatch._folds(np.arange(100), 5, groups, 0)
    assert (folds[::2] == folds[1::2]).all()
    assert len(np.unique(folds)) == 5
    with pytest.raises(ValueError, match="one group"):
        mismatch.aligned_mismatch(a, b, groups=np.zeros(100))


def test_calibration_among_objects_like_it() -> None:
    # the mismatch grows with redshift; a swapped object at low redshift is unusual there, and not by its plain value
    rng = np.random.default_rng(0)
    n = 800
    z = rng.random(n)
    a = rng.normal(size=(n, 16))
    b = a + (0.1 + 3 * z[:, None]) * rng.normal(size=(n, 16))
    odd = np.flatnonzero(z < 0.1)[:30]
    b[odd] = rng.normal(size=(30, 16))
    plain = mismatch.cosine_mismatch(a, b)
    told = mismatch.calibrated(plain, a, b, z, pairs=100)
    assert 35 < told[odd].mean() < 65, "a stranger is like the strangers"
    assert np.median(np.delete(told, odd)[np.delete(z, odd) < 0.1]) < 2, "partners agree better than strangers do"
    z[3] = np.nan
    assert np.isnan(mismatch.calibrated(plain, a, b, z)[3])


def test_physical_mismatch_is_in_robust_sigma() -> None:
    rng = np.random.default_rng(0)
    colour = rng.normal(size=(1000, 2))
    other = colour + [0.3, -0.2] + 0.1 * rng.normal(size=(1000, 2))
    other[0, 0] += 1.0
    other[1] = np.nan
    found = mismatch.residual_mismatch(colour, other)
    assert found.shape == (1000,)
    assert np.isnan(found[1])
    assert np.nanargmax(found) == 0
    assert found[0] == pytest.approx(10 / np.sqrt(2), abs=1.5)
    assert mismatch.residual_mismatch(colour[:, 0], other[:, 0], np.full(1000, 0.1)).shape == (1000,)
