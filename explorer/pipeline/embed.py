"""The step that makes a space: an encoder with its weights, over all rows, going on within the step after a stop."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline.batches import batches, rows_with
from explorer.pipeline.train import free_memory
from explorer.pipeline.weights import Weights, weights_for
from explorer.survey.files import write_atomically
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS

PART = 4096
"""Rows whose vectors are kept as one file in ``cache/`` until the space is whole."""

Told = Callable[[int, int], None]


def whole(survey: Survey, name: str, modality: str) -> bool:
    """Whether a joint space is encoded from both modalities at once, not joined from two spaces."""
    return modality == "joint" and "joint" in ENCODERS.get(name).modalities


def rows_of_space(survey: Survey, name: str, modality: str) -> np.ndarray:
    """Rows that a space can have vectors for."""
    if modality != "joint":
        return rows_with(survey, modality)
    parts = [m for m in ENCODERS.get(name).modalities if m != "joint" and m in survey.modalities]
    return np.flatnonzero(np.logical_and.reduce([survey.has(m) for m in parts]))


def embed(survey: Survey, space: str, seed: int, progress: Told | None = None) -> tuple[np.ndarray, dict[str, Any]]:
    """``(vectors, provenance)`` of a space: (n, d) float32, NaN for rows without the modality.

    Vectors that a stopped run has made lie in the survey's ``cache/`` and are taken up, as long as the rows, the seed
    and the weights are the same.
    """
    name, modality = space.split("/")
    kind = ENCODERS.get(name)
    if modality == "joint" and not whole(survey, name, modality):
        return _joined(survey, kind, name)
    rows = rows_of_space(survey, name, modality)
    weights = weights_for(survey, kind, modality)
    partial = _partial(survey, space, seed, weights)
    encoder, fitted_on = _fitted(survey, kind, modality, rows, seed, weights, partial)
    vectors = _vectors(survey, encoder, modality, rows, partial, progress)
    missing = int((~np.isfinite(vectors[rows]).all(axis=1)).sum())
    told = {
        "weights_sha256": save_encoder(survey, space, encoder),
        "fitted_on": fitted_on,
        "embedded": len(rows) - missing,
        "skipped": {f"no {modality}": len(survey) - len(rows), "no vector": missing},
    }
    if weights is not None:
        told["weights"] = {"origin": weights.origin, "file": weights.path.name, "file_sha256": weights.sha256}
        told["mode"] = getattr(kind, "mode", "correct")
    if hasattr(encoder, "provenance"):
        told["published"] = encoder.provenance()
    return vectors, told


def clear(survey: Survey) -> None:
    """Delete what stopped runs left in the cache."""
    shutil.rmtree(survey.cache_dir / "embed", ignore_errors=True)


def _joined(survey: Survey, kind: Any, name: str) -> tuple[np.ndarray, dict[str, Any]]:
    own = [m for m in kind.modalities if f"{name}/{m}" in survey.spaces]
    parts = {m: survey.embedding(f"{name}/{m}") for m in own}
    made = {m: identity(survey.provenance(f"space:{name}/{m}")) for m in own}
    vectors = kind.join(parts)
    count = int(np.isfinite(vectors).all(axis=1).sum())
    return vectors, {"parts": sorted(own), "made_from": made, "embedded": count, "skipped": len(survey) - count}


def identity(told: dict[str, Any]) -> Any:
    """What a space was made with, so that what was made of it can tell whether it still stands; None if unknown."""
    return told.get("weights_sha256") or told.get("made_from")


def current(survey: Survey, space: str) -> bool:
    """Whether a space that is there was made with the weights that would be taken now."""
    name, modality = space.split("/")
    told = survey.provenance(f"space:{space}")
    if name not in ENCODERS.names():
        return True
    kind = ENCODERS.get(name)
    if modality == "joint" and not whole(survey, name, modality):
        made = told.get("made_from")
        own = [m for m in kind.modalities if f"{name}/{m}" in survey.spaces]
        if made is not None and made != {m: identity(survey.provenance(f"space:{name}/{m}")) for m in own}:
            return False
        return all(current(survey, f"{name}/{m}") for m in own)
    try:
        weights = weights_for(survey, kind, modality)
    except FileNotFoundError:
        return True
    return weights is None or told.get("weights", {}).get("file_sha256") == weights.sha256


def _partial(survey: Survey, space: str, seed: int, weights: Weights | None) -> Path:
    """Folder of the vectors made so far by a run with these rows, seed and weights."""
    told = [space, seed, len(survey), survey.meta.get("uid"), weights.sha256 if weights else None]
    key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    return survey.cache_dir / "embed" / f"{space.replace('/', '-')}-{key}"


def _fitted(
    survey: Survey, kind: Any, modality: str, rows: np.ndarray, seed: int, weights: Weights | None, partial: Path
) -> tuple[Any, int]:
    """``(encoder, rows it was fitted on)``: as a stopped run had it, or fitted now."""
    from safetensors.numpy import load, save

    encoder = kind(modality, random_state=seed)
    sample = np.sort(np.random.default_rng(seed).choice(rows, min(len(rows), encoder.fit_rows), replace=False))
    kept = partial / "encoder.safetensors"
    if kept.exists():
        return encoder.load_state(load(kept.read_bytes())), len(sample)
    if weights is not None:
        encoder.load(weights.path)
    encoder.fit(batches(survey, modality, sample, **input_of(encoder)))
    if len(rows) > PART:
        partial.mkdir(parents=True, exist_ok=True)
        write_atomically(kept, save({k: np.ascontiguousarray(v) for k, v in encoder.state().items()}))
    return encoder, len(sample)


def _vectors(
    survey: Survey, encoder: Any, modality: str, rows: np.ndarray, partial: Path, progress: Told | None
) -> np.ndarray:
    size = block_rows(survey, modality, rows)
    parts: list[np.ndarray] = []
    for start in range(0, len(rows), PART):
        file = partial / f"{start:012d}.npy"
        if file.exists():
            parts.append(np.load(file, allow_pickle=False))
        else:
            done: list[np.ndarray] = []
            for batch in batches(survey, modality, rows[start : start + PART], block=size, **input_of(encoder)):
                done.append(np.asarray(encoder.encode(batch), np.float32))
                if progress:
                    progress(start + sum(map(len, done)), len(rows))
            parts.append(np.concatenate(done))
            if len(rows) > PART:
                _keep(file, parts[-1])
    vectors = np.full((len(survey), parts[0].shape[1]), np.nan, dtype=np.float32)
    vectors[rows] = np.concatenate(parts)
    return vectors


def input_of(encoder: Any) -> dict[str, Any]:
    """The side of images and the wavelengths of spectra that an encoder asks for, as keywords of :func:`batches`."""
    return {"size": getattr(encoder, "input_side", 64), "grid": getattr(encoder, "input_grid", None)}


def _keep(file: Path, vectors: np.ndarray) -> None:
    import io

    out = io.BytesIO()
    np.save(out, vectors, allow_pickle=False)
    write_atomically(file, out.getvalue())


def block_rows(survey: Survey, modality: str, rows: np.ndarray) -> int:
    """Rows of a block whose arrays, and ten copies of them on the way, take a sixteenth of the free memory."""
    parts = ("image", "spectrum") if modality == "joint" else (modality,)
    row = 1024
    if "image" in parts:
        image = next((i for i in survey.images(rows[:1], at_most=64) if i is not None), None)
        row += 4 * image.pixels.size if image is not None else 0
    if "spectrum" in parts:
        spectrum = next((s for s in survey.spectra(rows[:1]) if s is not None), None)
        row += 16 * len(spectrum.wavelength) if spectrum is not None else 0
    return int(np.clip(free_memory() // 16 // (10 * row), 16, 512))


def save_encoder(survey: Survey, space: str, encoder: Any) -> str:
    """Write the fitted arrays to ``encoders/NAME-MODALITY.safetensors`` in the survey; returns their SHA-256."""
    from safetensors.numpy import save

    folder = survey.path / "encoders"
    folder.mkdir(exist_ok=True)
    data = save({k: np.ascontiguousarray(v) for k, v in encoder.state().items()})
    write_atomically(folder / f"{space.replace('/', '-')}.safetensors", data)
    return hashlib.sha256(data).hexdigest()
