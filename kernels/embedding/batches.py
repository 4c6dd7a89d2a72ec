"""What an encoder is given: a block of objects of one modality, as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Images:
    """``pixels`` (n, bands, height, width) float32, NaN where there are no data; ``bands`` their names.

    ``pixel_scale`` arcsec a pixel, NaN where unknown; ``zero_point`` AB magnitude of one count, per band, or empty.
    """

    pixels: np.ndarray
    bands: Sequence[str] = ()
    pixel_scale: float = float("nan")
    zero_point: Sequence[float] = ()

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True)
class Spectra:
    """Spectra of one common grid: ``wavelength`` (m,) vacuum Å ascending, ``flux`` and ``ivar`` (n, m) float32.

    ``ivar == 0`` marks a pixel without data.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    ivar: np.ndarray

    def __len__(self) -> int:
        return len(self.flux)


Batch = Images | Spectra
