"""Near-duplicates removed from neighbours, and neighbours on disk."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.search import DiskNeighbours, Neighbours, distinct, near_duplicates


def turned(x: np.ndarray, degrees: float, rng: np.random.Generator) -> np.ndarray:
    """Each row of ``x`` turned by an angle in a random direction."""
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    across = rng.normal(size=x.shape)
    across -= (across * unit).sum(1, keepdims=True) * unit
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    return np.cos(np.radians(degrees)) * unit + np.sin(np.radians(degrees)) * across


def test_neighbours_are_distinct_in_angle_and_on_the_sky():
    rng = np.random.default_rng(1)
    base = rng.normal(size=(100, 16))
    X = np.vstack([base, turned(base, 0.5, rng), turned(base, 0.5, rng)])
    index = Neighbours("cosine").fit(X)
    assert (index.query(base[:5], 6)[1] % 100 == np.arange(5)[:, None]).sum() == 15
    distance, rows = distinct(index, base[:5], 6, degrees=1.2)
    for i in range(5):
        assert len({row % 100 for row in rows[i]}) == 6
    assert (np.diff(distance, axis=1) >= 0).all()
    sky = np.stack([np.tile(np.linspace(0, 300, 100), 3), np.tile(np.linspace(-80, 89.99, 100), 3)], axis=1)
    sky[100:200, 1] += 1.5 / 3600
    sky[200:, 1] += 9 / 3600
    rows = distinct(index, base[:5], 300, positions=sky, arcsec=2.0)[1]
    assert ((rows >= 0).sum(axis=1) == 200).all()  # 0..99 and 200..299, or 100..199 in place of the first
    with pytest.raises(ValueError, match="both positions"):
        distinct(index, base, 3, arcsec=1.0)


def test_groups_of_near_duplicates_are_linked_whole():
    rng = np.random.default_rng(2)
    base = rng.normal(size=(200, 16))
    X = np.vstack([base, np.repeat(base[:1], 90, axis=0), turned(base[5:8], 0.3, rng), np.full((1, 16), np.nan)])
    group = near_duplicates(X, 0.5, k=4)
    assert (group[200:290] == 0).all()
    assert group[290:].tolist() == [5, 6, 7, 293]
    assert (group[:200] == np.arange(200)).all()


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_neighbours_on_disk_agree_with_memory(tmp_path, metric):
    lance = pytest.importorskip("lance")
    import pyarrow as pa

    rng = np.random.default_rng(3)
    centres = rng.normal(size=(30, 16))
    X = (centres[rng.integers(0, 30, 5000)] + 0.4 * rng.normal(size=(5000, 16))).astype(np.float32)
    X[7, 2] = np.nan
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), 16)
    lance.write_dataset(pa.table({"v": vectors}), str(tmp_path / "d.lance"), max_rows_per_file=2000)
    Q = X[100:120] + 0.01
    want = Neighbours(metric, "exact").fit(X).query(Q, 10)
    disk = DiskNeighbours(tmp_path / "d.lance", "v", metric, recall=0.95)
    scanned = disk.query(Q, 10)
    np.testing.assert_array_equal(scanned[1], want[1])
    np.testing.assert_allclose(scanned[0], want[0], atol=1e-6)
    distance, rows = disk.build().query(Q, 10)
    assert disk.recall_ >= 0.95
    hits = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(rows.tolist(), want[1].tolist(), strict=True)])
    assert hits > 0.9
    for i in range(len(Q)):
        same = np.isin(want[1][i], rows[i])
        np.testing.assert_allclose(distance[i][np.isin(rows[i], want[1][i])], want[0][i][same], atol=1e-6)
    mask = np.arange(5000) % 3 == 0
    assert (disk.query(Q, 5, mask=mask)[1] % 3 == 0).all()
    with pytest.raises(ValueError, match="no vector column 'w'"):
        DiskNeighbours(tmp_path / "d.lance", "w")
    with pytest.raises(ValueError, match="rows of 3 numbers"):
        disk.query(np.zeros((1, 3)))
