"""An object that is not in a survey, from a file of a person's own, embedded as the survey's objects were."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pipeline.batches import common_grid, image_batch, spectrum_batch
from explorer.survey.records import Image, Spectrum
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS

SIZE = 64
"""Pixels a side that unequal images are brought to, as when a survey is embedded."""
LARGEST = 64 << 20
"""Bytes of a file at most: one object, not a survey."""


@dataclass(frozen=True)
class Outside:
    """One object from a file: ``vectors`` by space, what it is called, what it holds, and what was done to it."""

    name: str
    vectors: dict[str, np.ndarray]
    image: Image | None
    spectrum: Spectrum | None
    notes: tuple[str, ...]


def embed_file(survey: Survey, path: str | Path, spaces: Sequence[str] = ()) -> Outside:
    """Read the first object of a file with the survey's readers and embed it in the spaces that its data allow.

    ``spaces`` limits where; by default every space whose encoder was kept beside the survey. ValueError says what is
    wrong with the file, or why no space takes it.
    """
    path = Path(path)
    with tempfile.TemporaryDirectory(prefix="explorer-file-") as folder:
        one = _survey_of(path, Path(folder) / "one")
        image = one.image(0) if "image" in one.modalities and one.has("image")[0] else None
        spectrum = one.spectrum(0) if "spectrum" in one.modalities and one.has("spectrum")[0] else None
        notes = [f"the first of {len(one)} objects in the file"] if len(one) > 1 else []
        given = _Given(survey, image, spectrum)
        vectors: dict[str, np.ndarray] = {}
        reasons: list[str] = []
        for space in spaces or survey.spaces:
            try:
                vectors[space] = _embedded(survey, space, given, notes)
            except ValueError as error:
                reasons.append(f"{space}: {error}")
        if not vectors:
            raise ValueError(f"{path.name} cannot be embedded. {'; '.join(reasons) or 'The survey has no space'}")
        return Outside(path.name, vectors, image, spectrum, tuple(dict.fromkeys(notes)))


def encoder_of(survey: Survey, space: str) -> Any:
    """The encoder of a space with the arrays that were kept when the survey was embedded."""
    name, modality = space.split("/", 1)
    file = survey.path / "encoders" / f"{name}-{modality}.safetensors"
    if name not in ENCODERS.names() or not file.is_file():
        raise ValueError(f"its encoder is not here ({file.name}): its vectors came from elsewhere")
    from safetensors.numpy import load_file

    return ENCODERS.get(name)(modality).load_state(load_file(file))


def _survey_of(path: Path, dest: Path) -> Survey:
    from explorer.survey.ingest import ingest
    from explorer.survey.records import ReadError

    if not path.is_file():
        raise ValueError(f"{path} is no file: name a FITS, PNG or JPEG file of one object")
    size = path.stat().st_size
    if size > LARGEST:
        raise ValueError(
            f"{path.name} has {size / 2**20:.0f} MB and an example at most {LARGEST >> 20}: make a survey of it with "
            "explorer ingest, or cut one object out"
        )
    try:
        report = ingest([path], dest, progress=lambda *_: None)
    except ReadError as error:
        raise ValueError(f"{path.name} cannot be read: {error.reason}. {error.fix}") from None
    if not report.rows:
        why = report.aside[0] if report.aside else None
        raise ValueError(
            f"{path.name} cannot be read: {why.reason}. {why.fix}" if why else f"{path.name} holds no object"
        )
    return Survey(dest)


@dataclass(frozen=True)
class _Given:
    """One object that answers as a survey of one row would, in the survey's own bands."""

    survey: Survey
    image: Image | None
    spectrum: Spectrum | None

    @property
    def modalities(self) -> dict[str, dict[str, Any]]:
        return self.survey.modalities

    def images(self, rows: np.ndarray, at_most: int | None = None) -> list[Image | None]:
        return [self.image]

    def spectra(self, rows: np.ndarray) -> list[Spectrum | None]:
        return [self.spectrum]


def _embedded(survey: Survey, space: str, given: _Given, notes: list[str]) -> np.ndarray:
    """(d,) float32 vector of the object in a space; ValueError says why there is none."""
    name, modality = space.split("/", 1)
    if modality == "joint":
        return _joint(survey, name, given, notes)
    if modality not in ("image", "spectrum"):
        raise ValueError(f"a file's {modality} cannot be embedded; images and spectra can")
    if getattr(given, modality) is None:
        raise ValueError(f"the file holds no {modality}")
    return _encoded(encoder_of(survey, space), _batch(survey, modality, given, notes))


def _encoded(encoder: Any, batch: Any) -> np.ndarray:
    vector = np.asarray(encoder.encode(batch), np.float32)[0]
    if not np.isfinite(vector).all():
        raise ValueError("its vector is not finite: it has no usable data")
    return vector


def _batch(survey: Survey, modality: str, given: _Given, notes: list[str]) -> Any:
    """The object as a block of one, on the survey's grid or in its bands."""
    rows = np.zeros(1, np.int64)
    batch: Any
    if modality == "spectrum":
        batch = spectrum_batch(given, rows, common_grid(survey))  # type: ignore[arg-type]
        if not (batch.ivar > 0).any():
            raise ValueError("the spectrum has no good sample inside the survey's wavelengths")
        share = float((batch.ivar > 0).mean())
        if share < 0.9:
            notes.append(f"the spectrum covers {share:.0%} of the survey's wavelengths")
    else:
        _check_pixels(survey, given.image)
        batch = image_batch(given, rows, SIZE)  # type: ignore[arg-type]
    return batch


def _check_pixels(survey: Survey, image: Image | None) -> None:
    assert image is not None
    there = survey.image(int(np.flatnonzero(survey.has("image"))[0]))
    ours, theirs = (i.pixels for i in (there, image) if i is not None)
    if (ours.dtype == np.uint8) != (theirs.dtype == np.uint8):
        kinds = "fluxes (FITS)", "display values (PNG, JPEG)"
        raise ValueError(
            f"its pixels are {kinds[theirs.dtype == np.uint8]} and the survey's are {kinds[ours.dtype == np.uint8]}: "
            "give the same kind of file"
        )
    if len(ours) != len(theirs):
        raise ValueError(f"the image has {len(theirs)} bands and the survey's have {len(ours)}: give the same bands")


def _joint(survey: Survey, name: str, given: _Given, notes: list[str]) -> np.ndarray:
    kind = ENCODERS.get(name) if name in ENCODERS.names() else None
    if kind is None or not hasattr(kind, "join"):
        raise ValueError("its encoder is not here: its vectors came from elsewhere")
    if "joint" in kind.modalities:  # embeds both at once
        lacks = [m for m in ("image", "spectrum") if getattr(given, m) is None]
        if lacks:
            raise ValueError(f"the file holds no {lacks[0]}")
        both_batches = {m: _batch(survey, m, given, notes) for m in ("image", "spectrum")}
        return _encoded(encoder_of(survey, f"{name}/joint"), both_batches)
    parts = [m for m in kind.modalities if f"{name}/{m}" in survey.spaces]
    own = {m: _embedded(survey, f"{name}/{m}", given, notes) for m in parts}
    both = {m: np.concatenate([survey.embedding(f"{name}/{m}"), vector[None]]) for m, vector in own.items()}
    return np.asarray(kind.join(both), np.float32)[-1]
