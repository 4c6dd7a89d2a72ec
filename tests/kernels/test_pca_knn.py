"""The first encoder and the first scorer against scikit-learn and scipy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.decomposition import PCA as ReferencePCA
from sklearn.neighbors import NearestNeighbors

from kernels.checks import sample_batch
from kernels.embedding.batches import Images, Spectra
from kernels.embedding.encoders.pca import PCA
from kernels.scoring import KNN
from kernels.scoring.ranks import percentile, rank


def test_pca_of_images_spans_what_scikit_learn_finds() -> None:
    batch = sample_batch("image", 60)
    encoder = PCA("image", dim=8, size=32).fit([batch])
    matrix = np.arcsinh(batch.pixels / encoder.noise_[:, None, None]).reshape(60, -1)
    reference = ReferencePCA(8, svd_solver="full").fit(matrix)
    expected = reference.transform(matrix)
    got = encoder.encode(batch)
    np.testing.assert_allclose(np.abs(got[:, 0]), np.abs(expected[:, 0]), rtol=1e-3)
    np.testing.assert_allclose(encoder.scale_[:4] ** 2, reference.explained_variance_[:4], rtol=2e-2)
    lost = [((matrix - matrix.mean(axis=0)) ** 2).sum() - (v**2).sum() for v in (got, expected)]
    assert lost[0] <= 1.01 * lost[1], "the subspace holds as much as the exact one"


def test_pca_of_spectra_ignores_masked_pixels() -> None:
    batch = sample_batch("spectrum")
    encoder = PCA("spectrum", dim=5).fit([batch])
    spoilt = batch.flux.copy()
    spoilt[:, 100:110] = 1e6
    np.testing.assert_allclose(encoder.encode(type(batch)(batch.wavelength, spoilt, batch.ivar)), encoder.encode(batch))


def test_joint_vectors_are_standardised_and_keep_missing_rows() -> None:
    rng = np.random.default_rng(0)
    image, spectrum = rng.normal(3, 9, (50, 4)).astype("f4"), rng.normal(0, 0.01, (50, 3)).astype("f4")
    spectrum[7] = np.nan
    joint = PCA.join({"image": image, "spectrum": spectrum})
    assert joint.shape == (50, 7)
    assert np.isnan(joint[7]).any()
    np.testing.assert_allclose(np.nanstd(joint, axis=0), 1, rtol=1e-5)


def test_fewer_objects_than_components() -> None:
    batch = sample_batch("image", 3)
    vectors = PCA("image", dim=64).fit([batch]).encode(batch)
    assert vectors.shape == (3, 3)


def test_a_wrong_band_count_is_named() -> None:
    encoder = PCA("image", dim=2).fit([sample_batch("image")])
    with pytest.raises(ValueError, match="3 bands and is given 1"):
        encoder.encode(Images(np.zeros((2, 1, 32, 32), np.float32)))


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("aggregate", ["mean", "max"])
def test_knn_equals_scikit_learn(metric: str, aggregate: str) -> None:
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(300, 12)), rng.normal(size=(40, 12))
    reference = NearestNeighbors(n_neighbors=10, metric=metric, algorithm="brute").fit(X)
    scorer = KNN(metric=metric, aggregate=aggregate)
    fold = np.mean if aggregate == "mean" else np.max
    np.testing.assert_allclose(scorer.fit_score(X), fold(reference.kneighbors()[0], axis=1), rtol=1e-4)
    np.testing.assert_allclose(scorer.anomaly_score(Y), fold(reference.kneighbors(Y)[0], axis=1), rtol=1e-4)


def test_knn_refuses_what_it_cannot_score() -> None:
    with pytest.raises(ValueError, match="at least 2 rows"):
        KNN().fit(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="aggregate"):
        KNN(aggregate="median").fit(np.zeros((4, 3)))  # type: ignore[arg-type]
    assert KNN(k=10).fit_score(np.eye(4)).shape == (4,), "k larger than n uses all the others"


def test_ranks_and_percentiles() -> None:
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 20, 100).astype(float)
    missing = rng.random(100) < 0.2
    places = rank(scores, missing)
    np.testing.assert_array_equal(places[~missing], rankdata(-scores[~missing], method="min"))
    assert (places[missing] == 0).all()
    shares = percentile(places)
    assert np.isnan(shares[missing]).all()
    assert shares[~missing].max() == 100
    strange = scores.copy()
    strange[5] = np.nan
    assert rank(strange)[5] == 1
    assert rank(np.array([])).size == 0


def test_a_noisy_spectrum_moves_to_the_mean_instead_of_becoming_an_outlier() -> None:
    rng = np.random.default_rng(5)
    wavelength = np.arange(3600.0, 9000.0, 2.0)
    shape = np.sin(wavelength / 700) * rng.normal(size=(400, 1))
    truth = 2 + 0.3 * shape
    noise = np.where(np.arange(400) % 4 == 0, 3.0, 0.05)[:, None] * np.ones_like(truth)
    noisy = Spectra(wavelength, (truth + rng.normal(0, noise)).astype("f4"), (1 / noise**2).astype("f4"))
    encoder = PCA("spectrum", dim=8).fit([noisy])
    vectors = encoder.encode(noisy)
    poor = np.arange(400) % 4 == 0
    assert np.median(np.linalg.norm(vectors[poor], axis=1)) < np.median(np.linalg.norm(vectors[~poor], axis=1))
    along = np.corrcoef(vectors[~poor, 0], shape[~poor, 100])[0, 1]
    assert abs(along) > 0.95, "the one thing that varies is the first component"
    masked = Spectra(wavelength, noisy.flux, np.where(np.arange(len(wavelength)) % 3, noisy.ivar, 0).astype("f4"))
    np.testing.assert_allclose(encoder.encode(masked)[~poor, 0], vectors[~poor, 0], rtol=0.1, atol=0.3)
