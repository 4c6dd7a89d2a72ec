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


@dataclass(frozen=True)
class Text:
    """``texts`` (n,) summaries in words, None or empty where nothing is said."""

    texts: Sequence[str | None]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Events:
    """Photons of X-ray sources, one source after another.

    Source i has the photons ``offsets[i]:offsets[i + 1]`` and the good time intervals ``spans[i]:spans[i + 1]``.

    ``time`` (N,) float64 s, ascending within a source; ``energy`` (N,) float32 keV, NaN where there is none;
    ``offsets`` (n + 1,) int64; ``gti`` (K, 2) float64 s, ascending and disjoint within a source; ``spans`` (n + 1,)
    int64. :meth:`of` makes it from lists and sorts; :meth:`source` gives one back.
    """

    time: np.ndarray
    energy: np.ndarray
    offsets: np.ndarray
    gti: np.ndarray
    spans: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @classmethod
    def of(
        cls, times: Sequence[np.ndarray], energies: Sequence[np.ndarray | None], gtis: Sequence[np.ndarray]
    ) -> Events:
        """Sources given one by one: times (k,) s in any order, energies (k,) keV or None, intervals (j, 2) s."""
        order = [np.argsort(t, kind="stable") for t in times]
        time = [np.asarray(t, np.float64)[o] for t, o in zip(times, order, strict=True)]
        energy = [
            np.full(len(o), np.nan, np.float32) if e is None else np.asarray(e, np.float32)[o]
            for e, o in zip(energies, order, strict=True)
        ]
        gti = [merged(g) for g in gtis]
        return cls(
            np.concatenate([*time, np.empty(0)]),
            np.concatenate([*energy, np.empty(0, np.float32)]),
            np.concatenate([[0], np.cumsum([len(t) for t in time], dtype=np.int64)]).astype(np.int64),
            np.concatenate([*gti, np.empty((0, 2))]),
            np.concatenate([[0], np.cumsum([len(g) for g in gti], dtype=np.int64)]).astype(np.int64),
        )

    def source(self, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """``(time, energy, gti)`` of source ``i``."""
        photons, spans = slice(*self.offsets[i : i + 2]), slice(*self.spans[i : i + 2])
        return self.time[photons], self.energy[photons], self.gti[spans]

    def take(self, rows: Sequence[int] | np.ndarray) -> Events:
        """These sources, in this order."""
        return (
            Events.of(*zip(*[self.source(int(i)) for i in rows], strict=True)) if len(rows) else Events.of([], [], [])
        )


def merged(gti: np.ndarray) -> np.ndarray:
    """(j, 2) float64 intervals in order, those that overlap joined, empty and broken ones left out."""
    gti = np.asarray(gti, np.float64).reshape(-1, 2)
    gti = gti[np.isfinite(gti).all(axis=1) & (gti[:, 1] > gti[:, 0])]
    gti = gti[np.argsort(gti[:, 0], kind="stable")]
    out: list[list[float]] = []
    for start, stop in gti.tolist():
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], stop)
        else:
            out.append([start, stop])
    return np.array(out, np.float64).reshape(-1, 2)


@dataclass(frozen=True)
class XSpectra:
    """X-ray spectra on one grid: ``rate`` (n, bins) float32 counts / s / keV between ``edges`` (bins + 1,) keV.

    The grid of the paper is 400 bins over 0.5-8 keV (P3.1). ``exposure`` (n,) s gives the counts back; a spectrum
    without exposure has NaN in all bins.
    """

    rate: np.ndarray
    edges: np.ndarray
    exposure: np.ndarray

    def __len__(self) -> int:
        return len(self.rate)


@dataclass(frozen=True)
class Columns:
    """Catalogue values: ``values`` (n, c) float64, NaN where missing; ``names`` (c,) of the columns."""

    values: np.ndarray
    names: Sequence[str]

    def __len__(self) -> int:
        return len(self.values)


Batch = Images | Spectra | Text | Events | XSpectra | Columns
