"""The baselines of photons and of catalogue columns keep the contract and say what they should."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.checks import check_encoder
from kernels.embedding import ENCODERS
from kernels.embedding.batches import Columns, Events, XSpectra

COLUMNS, PHOTONS = ENCODERS.get("columns"), ENCODERS.get("photons")


@pytest.mark.parametrize("kind", [COLUMNS, PHOTONS])
def test_contract(kind: type) -> None:
    check_encoder(kind)


def test_columns_are_robust_and_free_of_units() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(5, 2, 500)
    flux = 10 ** rng.normal(-14, 1, 500)
    values = np.column_stack([x, flux, np.full(500, 3.0)])
    encoder = COLUMNS().fit([Columns(values, ("x", "flux", "same"))])
    assert encoder.names_ == ["x", "flux"]
    assert encoder.log_.tolist() == [False, True]
    vectors = encoder.encode(Columns(values, ("x", "flux", "same")))
    expected = np.arcsinh((x - np.median(x)) / (np.subtract(*np.percentile(x, [75, 25])) / 1.349))
    np.testing.assert_allclose(vectors[:, 0], expected, rtol=1e-5)
    other = COLUMNS().fit([Columns(values * [1000, 1e6, 1], ("x", "flux", "same"))])
    np.testing.assert_allclose(
        other.encode(Columns(values * [1000, 1e6, 1], ("x", "flux", "same"))), vectors, atol=1e-4
    )
    assert encoder.encode(Columns(np.array([[np.nan, -1.0]]), ("x", "flux"))).tolist() == [[0.0, 0.0]]
    with pytest.raises(ValueError, match="flux, which the table lacks"):
        encoder.encode(Columns(values[:, :1], ("x",)))
    with pytest.raises(ValueError, match="none of the columns same varies"):
        COLUMNS().fit([Columns(values[:, 2:], ("same",))])


def events(times: list[np.ndarray], energies: list[np.ndarray | None], gti: np.ndarray) -> Events:
    return Events.of(times, energies, [gti] * len(times))


def test_photons_tell_hard_from_soft_and_flaring_from_steady() -> None:
    rng = np.random.default_rng(1)
    gti = np.array([[0.0, 1000.0], [3000.0, 4000.0]])

    def clock(t: np.ndarray) -> np.ndarray:
        return np.where(t < 1000, t, t + 2000)

    steady = [clock(np.sort(rng.uniform(0, 2000, 200))) for _ in range(6)]
    flare = [clock(np.sort(np.concatenate([rng.uniform(0, 2000, 80), rng.normal(500, 20, 120)]))) for _ in range(6)]
    soft, hard = [rng.normal(0.9, 0.1, 200) for _ in range(6)], [rng.normal(4, 0.5, 200) for _ in range(6)]
    batch = events(steady + flare, soft[:3] + hard[:3] + soft[3:] + hard[3:], gti)
    vectors = PHOTONS("events").fit([batch]).encode(batch)
    assert vectors.shape[1] == 16
    centre = vectors[:, 7]  # the median energy
    assert centre[[3, 4, 5, 9, 10, 11]].min() > centre[[0, 1, 2, 6, 7, 8]].max()
    varies = vectors[:, 11]  # excess variance of 16 cells
    assert varies[6:].min() > varies[:6].max(), "gaps between good times are no variation"


def test_sources_without_photons_energies_or_exposure() -> None:
    gti = np.array([[0.0, 100.0]])
    some = np.linspace(1, 99, 40)
    batch = events(
        [some, np.empty(0), some, np.array([5.0]), some + 500],
        [np.full(40, 2.0), np.empty(0), None, np.array([1.0]), np.full(40, 1.0)],
        gti,
    )
    vectors = PHOTONS("events").fit([batch]).encode(batch)
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, False, False, True]
    edges = np.linspace(0.5, 8, 401)
    rate = np.abs(np.random.default_rng(0).normal(size=(3, 400))).astype(np.float32)
    spectra = XSpectra(rate, edges, np.array([1e4, 0.0, 2e4]))
    found = PHOTONS("xspectrum", dim=2).fit([spectra]).encode(spectra)
    assert np.isnan(found).all(axis=1).tolist() == [False, True, False]
