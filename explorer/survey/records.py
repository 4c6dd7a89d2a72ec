"""What a reader hands to a survey, and what a survey hands back: one observation and its modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

MODALITIES = ("image", "spectrum", "events", "xspectrum", "text")


class ReadError(ValueError):
    """One file or row that cannot be used; it is set aside with its reason and the rest goes on."""

    def __init__(self, file: object, reason: str, fix: str):
        super().__init__(f"{file}: {reason}. {fix}")
        self.file, self.reason, self.fix = str(file), reason, fix


@dataclass(frozen=True)
class Image:
    """A cutout: ``pixels`` (bands, height, width), float32, float16 or uint8; NaN where there are no data."""

    pixels: np.ndarray

    def __post_init__(self) -> None:
        if self.pixels.ndim != 3 or 0 in self.pixels.shape:
            raise ValueError(f"an image is (bands, height, width) with no empty axis, not {self.pixels.shape}")


@dataclass(frozen=True)
class Spectrum:
    """One spectrum on an ascending grid.

    ``wavelength`` (n,) float64, vacuum Å, strictly ascending; ``flux`` (n,) float32; ``ivar`` (n,) float32,
    inverse variance of the flux; ``ivar == 0`` marks a masked pixel.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.wavelength)
        if n < 2 or self.flux.shape != (n,) or self.ivar.shape != (n,):
            raise ValueError(
                f"wavelength {self.wavelength.shape}, flux {self.flux.shape} and ivar {self.ivar.shape} must be "
                "one-dimensional, of one length, and hold at least two samples"
            )
        if not np.all(np.diff(self.wavelength) > 0):
            raise ValueError("wavelength must ascend strictly")


@dataclass(frozen=True)
class Events:
    """Photons of one X-ray source: ``time`` (n,) s ascending; ``energy`` (n,) keV or None; ``gti`` (k, 2) s."""

    time: np.ndarray
    energy: np.ndarray | None
    gti: np.ndarray


@dataclass(frozen=True)
class XSpectrum:
    """Counts per channel of one X-ray source.

    ``energy_lo``, ``energy_hi`` (n,) keV; ``counts`` (n,); ``background`` (n,) counts already scaled to the
    source's area and exposure (zeros where there is none); ``area`` (n,) effective area in cm² (NaN where no
    ARF was given); ``exposure`` s; ``response`` digest of the redistribution matrix, empty where none was given.
    """

    energy_lo: np.ndarray
    energy_hi: np.ndarray
    counts: np.ndarray
    background: np.ndarray
    area: np.ndarray
    exposure: float
    response: str = ""


@dataclass(frozen=True)
class Record:
    """One observation: a row of a survey.

    ``id`` is unique in the survey; ``object_id`` names the thing observed and may be shared by several rows.
    ``image`` may also be the bytes of an 8-bit PNG or JPEG file, kept as they are. ``source`` is the file (and
    row, where a file holds several) that it came from: a killed ingest goes on by it.
    """

    id: str
    object_id: str
    values: Mapping[str, Any] = field(default_factory=dict)
    image: Image | bytes | None = None
    spectrum: Spectrum | None = None
    events: Events | None = None
    xspectrum: XSpectrum | None = None
    text: str | None = None
    source: str = ""
