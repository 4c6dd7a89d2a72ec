"""P3.1 against numpy's histogram, closed forms and a real source."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from kernels.preprocess import xray


def test_the_grid_is_the_papers() -> None:
    edges = xray.bin_edges()
    assert len(edges) == 401
    assert (edges[0], edges[-1]) == (0.5, 8.0)
    np.testing.assert_allclose(np.diff(edges), 7.5 / 400)
    ratio = xray.bin_edges(spacing="log")[1:] / xray.bin_edges(spacing="log")[:-1]
    np.testing.assert_allclose(ratio, ratio[0])


def test_events_are_counted_per_second_and_kev() -> None:
    energy = np.random.default_rng(0).lognormal(0.5, 0.7, 20_000)
    rate = xray.rate_from_events(energy, 5000.0)
    inside = np.count_nonzero((energy >= 0.5) & (energy <= 8))
    assert (rate * np.diff(xray.bin_edges()) * 5000).sum() == pytest.approx(inside)
    k = 37
    edges = xray.bin_edges()
    count = np.count_nonzero((energy >= edges[k]) & (energy < edges[k + 1]))
    assert rate[k] == pytest.approx(count / 5000 / (7.5 / 400))
    assert (xray.rate_from_events(np.empty(0), 1.0) == 0).all()


def test_channels_are_shared_among_bins_by_overlap() -> None:
    rng = np.random.default_rng(1)
    cuts = np.sort(rng.uniform(0.2, 9, 300))
    lo, hi = cuts[:-1], cuts[1:]
    counts = rng.poisson(4, (3, 299)).astype(float)
    exposure = np.array([1000.0, 2000.0, 50.0])
    edges = xray.bin_edges()
    expected = np.zeros((3, 400))
    for c in range(299):
        overlap = np.clip(np.minimum(edges[1:], hi[c]) - np.maximum(edges[:-1], lo[c]), 0, None)
        expected += counts[:, [c]] * overlap / (hi[c] - lo[c])
    rate = xray.rate_from_channels(lo, hi, counts, exposure)
    np.testing.assert_allclose(rate, expected / exposure[:, None] / np.diff(edges), rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(xray.counts_from_rate(rate, exposure), expected, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(xray.rate_from_channels(lo, hi, counts[0], 1000.0), rate[0])
    less = xray.rate_from_channels(lo, hi, counts, exposure, background=counts / 4)
    np.testing.assert_allclose(less, 0.75 * rate, rtol=1e-9, atol=1e-15)


def test_a_flat_source_stays_flat_in_any_bins() -> None:
    cuts = np.geomspace(0.3, 10, 800)
    counts = 7.0 * np.diff(cuts) * 100
    for edges in (xray.bin_edges(), xray.bin_edges(50, spacing="log")):
        rate = xray.rate_from_channels(cuts[:-1], cuts[1:], counts, 100.0, edges=edges)
        np.testing.assert_allclose(rate, 7.0, rtol=1e-9)


def test_min_max_and_back() -> None:
    rate = np.random.default_rng(2).gamma(0.5, size=(5, 400))
    rate[3] = 0.25
    got = xray.min_max(rate)
    assert got.values.dtype == np.float32
    assert (got.values.min(axis=1) == 0).all()
    assert got.values.max(axis=1).tolist() == [1, 1, 1, 0, 1]
    expected = (rate[0] - rate[0].min()) / (rate[0].max() - rate[0].min())
    np.testing.assert_allclose(got.values[0], expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(xray.undo_min_max(got), rate, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(xray.undo_min_max(xray.min_max(rate[1])), rate[1], atol=1e-6)


def test_a_real_spectrum_keeps_its_counts(shared_data: Path) -> None:
    folder = shared_data / "xray_sherpa" / "sherpatest"
    with warnings.catch_warnings(), fits.open(folder / "acisf01575_001N001_r0085_pha3.fits.gz") as found:
        warnings.simplefilter("ignore")
        counts, exposure = found["SPECTRUM"].data["COUNTS"].astype(float), found["SPECTRUM"].header["EXPOSURE"]
    with warnings.catch_warnings(), fits.open(folder / "acisf01575_001N001_r0085_rmf3.fits.gz") as found:
        warnings.simplefilter("ignore")
        bounds = found["EBOUNDS"].data
        lo, hi = bounds["E_MIN"].astype(float), bounds["E_MAX"].astype(float)
    rate = xray.rate_from_channels(lo, hi, counts, exposure)
    inside = (lo >= 0.5) & (hi <= 8)
    edge = ((lo < 0.5) & (hi > 0.5)) | ((lo < 8) & (hi > 8))
    total = xray.counts_from_rate(rate, exposure).sum()
    assert counts[inside].sum() <= total + 1e-6
    assert total <= counts[inside].sum() + counts[edge].sum() + 1e-6
    assert counts[inside].sum() > 100


LO, HI, C = np.arange(0.5, 5), np.arange(1.5, 6), np.ones(5)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: xray.rate_from_channels(LO[::-1], HI[::-1], C, 1.0), "descend: reverse"),
        (lambda: xray.rate_from_channels(LO[[0, 2, 1, 3, 4]], HI[[0, 2, 1, 3, 4]], C, 1.0), "do not ascend"),
        (lambda: xray.rate_from_channels(HI, LO, C, 1.0), "channel 0 goes from 1.5 to 0.5"),
        (lambda: xray.rate_from_channels(LO, HI, C[:4], 1.0), r"counts \(4,\)"),
        (lambda: xray.rate_from_channels(LO, HI, C * np.nan, 1.0), "counts are not finite"),
        (lambda: xray.rate_from_channels(LO, HI, C, 0.0), "EXPOSURE"),
        (lambda: xray.rate_from_channels(LO, HI, C, np.nan), "EXPOSURE"),
        (lambda: xray.rate_from_channels(LO, HI, C, 1.0, background=C[:2]), "one shape"),
        (lambda: xray.rate_from_events([1.0, np.nan], 1.0), "photon 1 is not finite"),
        (lambda: xray.rate_from_events([[1.0]], 1.0), "each photon"),
        (lambda: xray.min_max([[1.0, np.nan]]), "not finite"),
        (lambda: xray.min_max(np.empty((2, 0))), "at least one bin"),
        (lambda: xray.bin_edges(low=0), "0 < low < high"),
        (lambda: xray.bin_edges(spacing="mel"), "'linear' or 'log'"),
    ],
)
def test_bad_input_says_what_is_wrong(call, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()
