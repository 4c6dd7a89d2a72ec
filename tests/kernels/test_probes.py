"""Probes: figures against their definitions, and embeddings whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("lightgbm")

from kernels.scoring.probes import participation, probe, shap_shares, summary


def _embedding(n: int = 1500, d: int = 20) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d))


def test_a_linear_quantity_in_one_dimension() -> None:
    x = _embedding()
    y = x[:, 3] + 0.1 * np.random.default_rng(1).normal(size=len(x))
    found = probe(x, y, "redshift", n_estimators=60)
    assert found.ridge_r2 > 0.98
    assert found.lgbm_r2 > 0.95
    assert found.gap < 0.01
    assert found.importance.argmax() == 3
    assert found.epd < 3
    assert found.pes == pytest.approx(found.lgbm_r2 / (found.pr + 1e-3))
    assert found.cwp == pytest.approx(found.lgbm_r2 * found.pr)
    assert found.epd == pytest.approx(found.pr * 20)
    assert (found.trained, found.tested) == (1200, 300)
    assert 0 < found.errors["lgbm_r2"] < 0.05
    assert found.row()["ridge_r2_error"] == found.errors["ridge_r2"]


def test_what_is_not_linear_shows_in_the_gap_and_many_dimensions_in_the_ratio() -> None:
    x = _embedding()
    product = probe(x, x[:, 0] ** 2, n_estimators=60)
    assert product.gap > 0.8
    spread = probe(x, x.sum(axis=1), n_estimators=60)
    assert spread.epd > 15 > product.epd
    assert spread.pr90 > 0.7
    table = summary([product, spread])
    assert table["pr"] == pytest.approx((np.mean([product.pr, spread.pr]), np.std([product.pr, spread.pr])))


def test_participation_ratio() -> None:
    assert participation(np.array([1.0, 0, 0, 0])) == 0.25
    assert participation(np.ones(7)) == pytest.approx(1)


def test_shap_values_are_those_of_the_shap_package() -> None:
    shap = pytest.importorskip("shap")
    from lightgbm import LGBMRegressor

    x = _embedding(300, 5)
    model = LGBMRegressor(n_estimators=20, verbose=-1).fit(x, x[:, 0] * x[:, 1])
    expected = np.abs(shap.TreeExplainer(model).shap_values(x[:50]))
    np.testing.assert_allclose(shap_shares(model, x[:50]), expected / expected.sum(axis=1, keepdims=True), atol=1e-6)


def test_groups_do_not_leak_and_bad_input_is_said() -> None:
    x = np.repeat(_embedding(300, 10), 2, axis=0)
    y = np.repeat(np.random.default_rng(2).normal(size=300), 2)
    leaking = probe(x, y, n_estimators=60, min_child_samples=2)
    honest = probe(x, y, groups=np.arange(600) // 2, n_estimators=60, min_child_samples=2)
    assert honest.lgbm_r2 < 0.15 < leaking.lgbm_r2
    y[:580] = np.nan
    with pytest.raises(ValueError, match="20 objects have an embedding and mass"):
        probe(x, y, "mass")
    with pytest.raises(ValueError, match="nothing to predict"):
        probe(x, np.ones(600))
    with pytest.raises(ValueError, match="600 rows"):
        probe(x, np.ones(3))
