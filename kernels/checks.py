"""One conformance check for each kind of kernel, applied to whatever is registered.

A package that registers its own scorer or encoder can run the same check on it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kernels.embedding.batches import Columns, Events, Images, Spectra, Text, XSpectra
from kernels.search.evidence import Candidate, Evidence, Unfit


def check_scorer(kind: Any) -> None:
    """Raise AssertionError with the reason where a scorer class breaks the contract.

    Sign (an outlier scores high), dtype and shape, determinism with a seed, chunk and permutation invariance of
    ``anomaly_score``, self-exclusion in ``fit_score``, torch in and torch out, and no change of what was passed in.
    """
    import torch

    rng = np.random.default_rng(7)
    X = rng.normal(4, 1, size=(200, 6)).astype(np.float32)
    Y = np.concatenate([rng.normal(4, 1, size=(30, 6)), [[9.0, -9.0, 9.0, -9.0, 9.0, -9.0]]]).astype(np.float32)
    before = X.copy()
    parameters = vars(kind(random_state=0)).copy()
    assert all(not name.endswith("_") for name in parameters), "__init__ sets fitted state"
    scorer = kind(random_state=0).fit(X)
    assert isinstance(scorer, kind), "fit does not return self"
    scores = scorer.anomaly_score(Y)
    assert scores.shape == (31,), f"anomaly_score gives shape {scores.shape} for 31 rows"
    assert scores.dtype == np.float64, f"anomaly_score gives {scores.dtype}, not float64"
    assert np.array_equal(X, before), "fit changed the rows it was given"
    again = kind(random_state=0).fit(X).anomaly_score(Y)
    assert np.allclose(again, scores, rtol=1e-6), "the same seed gives other scores"
    parts = np.concatenate([scorer.anomaly_score(Y[:11]), scorer.anomaly_score(Y[11:])])
    assert np.allclose(parts, scores, rtol=1e-4, atol=1e-6), "scores depend on how the rows are cut into chunks"
    order = rng.permutation(31)
    assert np.allclose(scorer.anomaly_score(Y[order]), scores[order], rtol=1e-4, atol=1e-6), (
        "scores depend on row order"
    )
    own = kind(random_state=0).fit_score(X)
    assert own.shape == (200,), "fit_score does not give one score a row"
    assert own.dtype == np.float64, f"fit_score gives {own.dtype}, not float64"
    assert np.isfinite(own).all(), "fit_score of finite rows is not finite"
    outlier = np.concatenate([X, np.full((1, 6), 25.0, np.float32) * np.array([1, -1, 1, -1, 1, -1], np.float32)])
    marked = kind(random_state=0).fit_score(outlier)
    assert marked[-1] >= np.quantile(marked, 0.9), "a far outlier does not score high: higher must be more anomalous"
    tensor = scorer.anomaly_score(torch.from_numpy(Y))
    assert isinstance(tensor, torch.Tensor), "torch rows give no torch scores"
    assert tensor.dtype == torch.float64, f"torch scores are {tensor.dtype}"
    assert np.allclose(tensor.numpy(), scores, rtol=1e-5, atol=1e-8), "torch rows score otherwise than numpy rows"
    broken = Y.copy()
    broken[3, 2] = np.nan
    told = scorer.anomaly_score(broken)
    assert not np.isfinite(told[3]), "a row with a NaN must have a score that is not finite"
    assert np.allclose(np.delete(told, 3), np.delete(scores, 3), rtol=1e-4, atol=1e-6), "a NaN row changes other rows"
    for bad, why in ((X[:, :3], "another width"), (X[0], "one dimension")):
        try:
            scorer.anomaly_score(bad)
        except ValueError:
            continue
        raise AssertionError(f"rows of {why} raise no ValueError")


def sample_batch(modality: str, n: int = 48) -> Any:
    """A block of plain objects for tests: blobs of several sizes, or spectra with a line and a slope."""
    if modality == "joint":
        return {part: sample_batch(part, n) for part in ("image", "spectrum")}
    rng = np.random.default_rng(3)
    if modality == "image":
        y, x = np.mgrid[-16:16, -16:16]
        width = rng.uniform(2, 6, (n, 1, 1, 1))
        pixels = np.exp(-(x**2 + y**2) / (2 * width**2)) * rng.uniform(5, 20, (n, 3, 1, 1))
        return Images((pixels + rng.normal(size=(n, 3, 32, 32))).astype(np.float32), ("g", "r", "z"), 0.2)
    if modality == "text":
        words = ["soft", "hard", "faint", "bright", "variable", "steady", "absorbed", "thermal", "periodic", "hot"]
        return Text([" ".join(rng.choice(words, 6)) for _ in range(n)])
    if modality == "columns":
        values = np.column_stack([rng.normal(size=n), 10 ** rng.normal(0, 2, n), rng.integers(0, 5, n)])
        return Columns(values.astype(np.float64), ("hardness", "flux", "detections"))
    if modality == "events":
        return _sources(n, rng)
    if modality == "xspectrum":
        edges = np.linspace(0.5, 8.0, 401)
        middle = (edges[1:] + edges[:-1]) / 2
        shape = np.exp(-middle / rng.uniform(0.5, 3.0, (n, 1))) * middle
        counts = rng.poisson(shape / shape.sum(axis=1, keepdims=True) * rng.uniform(100, 2000, (n, 1)))
        return XSpectra((counts / (3e4 * np.diff(edges))).astype(np.float32), edges, np.full(n, 3e4))
    wavelength = np.arange(3800.0, 9000.0, 4.0)
    centre = rng.uniform(5000, 8000, (n, 1))
    flux = 1 + rng.uniform(0, 3, (n, 1)) * np.exp(-((wavelength - centre) ** 2) / 800) + wavelength / 9000
    ivar = np.full(flux.shape, 100.0, np.float32)
    ivar[:, 100:110] = 0
    return Spectra(wavelength, (flux + rng.normal(0, 0.1, flux.shape)).astype(np.float32), ivar)


def _sources(n: int, rng: np.random.Generator) -> Events:
    """Photons of n sources of several brightnesses and hardnesses, every third of which flares; one gap each."""
    times, energies, gtis = [], [], []
    for i in range(n):
        live, count = rng.uniform(1e4, 5e4), int(rng.integers(30, 300))
        gti = np.array([[0.0, 0.6 * live], [0.7 * live, 1.1 * live]]) + 1e8
        t = rng.uniform(0, live, count)
        t = np.where(
            rng.random(count) < 0.5 * (i % 3 == 0), np.minimum(0.3 * live + rng.exponential(0.05 * live), live), t
        )
        times.append(1e8 + t + 0.1 * live * (t > 0.6 * live))
        energies.append(0.5 + rng.gamma(rng.uniform(1, 3), 0.6, count))
        gtis.append(gti)
    return Events.of(times, energies, gtis)


def check_encoder(kind: Any) -> None:
    """Raise AssertionError with the reason where an encoder class breaks the contract.

    For each of its modalities: shape, dtype, finiteness with masked pixels and NaN, determinism, independence of the
    chunks, save and restore of its state, and an error for a modality that it does not know.
    """
    for modality in kind.modalities:
        batch = sample_batch(modality)
        encoder = kind(modality, random_state=0).fit([batch])
        vectors = encoder.encode(batch)
        assert vectors.ndim == 2, f"{modality}: vectors of shape {vectors.shape}"
        count = len(next(iter(batch.values()))) if isinstance(batch, Mapping) else len(batch)
        assert len(vectors) == count, f"{modality}: {len(vectors)} vectors for {count} objects"
        assert vectors.dtype == np.float32, f"{modality}: {vectors.dtype}, not float32"
        assert np.isfinite(vectors).all(), f"{modality}: vectors that are not finite"
        assert vectors.std(axis=0).max() > 0, f"{modality}: all objects have one vector"
        again = kind(modality, random_state=0).fit([batch]).encode(batch)
        assert np.allclose(vectors, again, atol=1e-4), f"{modality}: the same seed gives other vectors"
        restored = kind(modality, random_state=0).load_state(encoder.state()).encode(batch)
        assert np.allclose(vectors, restored, atol=1e-5), f"{modality}: a restored encoder gives other vectors"
        parts = np.concatenate([encoder.encode(_cut(batch, slice(0, 7))), encoder.encode(_cut(batch, slice(7, None)))])
        assert np.allclose(vectors, parts, atol=1e-3), f"{modality}: vectors depend on the chunks"
        assert np.isfinite(encoder.encode(_spoilt(batch))).all(), f"{modality}: NaN in, NaN out"
    try:
        kind("smell")
    except ValueError:
        return
    raise AssertionError("an unknown modality raises no ValueError")


def _cut(batch: Any, part: slice) -> Any:
    if isinstance(batch, Mapping):
        return {name: _cut(one, part) for name, one in batch.items()}
    if isinstance(batch, Text):
        return Text(batch.texts[part])
    if isinstance(batch, Columns):
        return Columns(batch.values[part], batch.names)
    if isinstance(batch, Images):
        return Images(batch.pixels[part], batch.bands, batch.pixel_scale, batch.zero_point)
    if isinstance(batch, Events):
        return batch.take(np.arange(len(batch))[part])
    if isinstance(batch, XSpectra):
        return XSpectra(batch.rate[part], batch.edges, batch.exposure[part])
    return Spectra(batch.wavelength, batch.flux[part], batch.ivar[part])


def _spoilt(batch: Any) -> Any:
    """The same objects with NaN in the first one; without words, where they are texts.

    An event list without photons and an X-ray spectrum without exposure are no such case: their vectors are NaN.
    """
    if isinstance(batch, Mapping):
        return {name: _spoilt(one) for name, one in batch.items()}
    if isinstance(batch, Text):
        return Text([None, *batch.texts[1:]])
    if isinstance(batch, Columns):
        return Columns(np.where(np.arange(len(batch))[:, None] == 0, np.nan, batch.values), batch.names)
    if isinstance(batch, Events):
        energy = batch.energy.copy()
        energy[1:5] = np.nan
        return Events(batch.time, energy, batch.offsets, batch.gti, batch.spans)
    if isinstance(batch, XSpectra):
        rate = batch.rate.copy()
        rate[0, 5:60] = np.nan
        return XSpectra(rate, batch.edges, batch.exposure)
    if isinstance(batch, Images):
        pixels = batch.pixels.copy()
        pixels[0, :, 3:9] = np.nan
        return Images(pixels, batch.bands, batch.pixel_scale, batch.zero_point)
    flux = batch.flux.copy()
    flux[0, 5:60] = np.nan
    return Spectra(batch.wavelength, flux, batch.ivar)


def check_tool(kind: Any) -> None:
    """Raise AssertionError with the reason where a re-ranking tool breaks the contract.

    Its name, title, unit and modality are text; parameters are stored untouched; ``examples()`` gives a likely and an
    unlikely candidate, of which the first scores higher; answers are finite, the same again, carry facts, and change
    nothing that was passed in; masked data are borne; what has no data, or another modality, raises ``Unfit``.
    """
    for name in ("name", "title", "unit", "modality"):
        assert isinstance(getattr(kind, name, None), str), f"{name} is no text"
    assert kind.modality in ("image", "spectrum"), f"modality {kind.modality!r}: a candidate has images and spectra"
    assert all(not name.endswith("_") for name in vars(kind())), "__init__ sets fitted state"
    likely, unlikely = kind.examples()
    assert isinstance(likely, Candidate), "examples() does not give candidates"
    before = [None if v is None else np.array(v) for v in (likely.pixels, likely.flux, likely.ivar)]
    answers = [kind().judge(one) for one in (likely, unlikely, likely)]
    for found in answers:
        _check_evidence(found)
    for old, new in zip(before, (likely.pixels, likely.flux, likely.ivar), strict=True):
        same = old is None or new is None or np.array_equal(old, new, equal_nan=True)
        assert same, "judge changed what it was given"
    assert answers[0].score > answers[1].score, "the likely example does not score higher than the unlikely one"
    assert answers[0].score == answers[2].score, "the same candidate scores otherwise the second time"
    _check_evidence(kind().judge(_holed(likely)))
    image = kind.modality == "image"
    other = replace(likely, pixels=None) if image else replace(likely, flux=None, wavelength=None, ivar=None)
    for bad, why in ((other, "lacks its modality"), (_empty(likely), "holds no data")):
        said = None
        try:
            kind().judge(bad)
        except Unfit as error:
            said = str(error)
        assert said is not None, f"a candidate that {why} raises no Unfit"
        assert said, "Unfit says nothing of what is amiss"


def _check_evidence(found: Any) -> None:
    assert isinstance(found, Evidence), f"judge gives {type(found).__name__}, not Evidence"
    assert np.isfinite(found.score), f"the score is {found.score}"
    assert found.facts, "a score without facts rests on nothing"
    for fact in found.facts:
        assert isinstance(fact.name, str), f"the name of a fact is {fact.name!r}"
        assert isinstance(fact.value, float | int), f"the fact {fact.name} is {fact.value!r}, not a number"
    for name, picture in found.pictures.items():
        assert picture.ndim == 2, f"the picture {name} has shape {picture.shape}"
        assert np.isfinite(picture).all(), f"the picture {name} is not finite"
    for curve in found.curves:
        assert curve.x.shape == curve.y.shape, f"the curve {curve.name} has x {curve.x.shape} and y {curve.y.shape}"


def _holed(one: Candidate) -> Candidate:
    """The same candidate with a part of its data missing."""
    if one.pixels is not None:
        pixels = np.array(one.pixels, np.float64)
        pixels[:, :3] = np.nan
        one = replace(one, pixels=pixels)
    if one.flux is not None and one.ivar is not None:
        flux, ivar = np.array(one.flux, np.float64), np.array(one.ivar, np.float64)
        flux[5:15], ivar[5:30] = np.nan, 0
        one = replace(one, flux=flux, ivar=ivar)
    return one


def _empty(one: Candidate) -> Candidate:
    """The same candidate with nothing but gaps."""
    pixels = None if one.pixels is None else np.full(np.shape(one.pixels), np.nan)
    ivar = None if one.ivar is None else np.zeros(np.shape(one.ivar))
    return replace(one, pixels=pixels, ivar=ivar)
