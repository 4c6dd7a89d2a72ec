"""A recipe: everything that a simulated survey is drawn from, as read from ``data/recipes/NAME.toml``."""

from __future__ import annotations

import tomllib
import zlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from explorer.survey.resources import data_path

RARITIES = (
    "lens",
    "merger",
    "ring",
    "broad-line-agn",
    "post-starburst",
    "wrong-redshift",
    "swapped-spectrum",
)
ARTEFACTS = ("saturated-star", "diffraction-spike", "cosmic-ray", "ghost", "sky-residual")
KINDS = ("galaxies", "xray")


@dataclass(frozen=True)
class Band:
    """One filter: ``lo`` and ``hi`` half-power wavelengths (Å), ``psf_fwhm`` (arcsec), ``noise`` rms of the sky
    per pixel and ``gain`` electrons per unit of the image; ``correlated`` noise was resampled from larger pixels."""

    name: str
    lo: float
    hi: float
    psf_fwhm: float
    noise: float
    gain: float
    zero_point: float
    correlated: bool = False


@dataclass(frozen=True)
class ImageSpec:
    """Cutouts: ``size`` pixels a side, ``pixel_scale`` arcsec; AB zero point per band, flux = 10^(0.4 (zp - m))."""

    size: int
    pixel_scale: float
    unit: str
    bands: tuple[Band, ...]
    neighbours: float = 0.9
    masked: float = 0.05

    def scale(self) -> np.ndarray:
        """(bands,) the image's units in one µJy."""
        return 10 ** (0.4 * (np.array([band.zero_point for band in self.bands]) - 23.9))


@dataclass(frozen=True)
class SpectrumSpec:
    """A spectrograph: the grid, the fibre and per arm the noise of a blank fibre.

    ``arms`` holds (lo, hi, [(wavelength Å, sigma), …]) with sigma of a pixel in the flux unit; ``sky_level`` is the
    flux in the fibre at which an object's photons make as much noise as the sky's.
    """

    grid: str
    start: float
    step: float
    n: int
    flux_unit: float
    fibre: float
    seeing: float
    sigma_scale: float
    airglow: float
    arms: tuple[tuple[float, float, tuple[tuple[float, float], ...]], ...]
    masked: float = 0.003
    sky_level: float = 2.3

    def wavelength(self) -> np.ndarray:
        """(n,) vacuum wavelengths in Å."""
        axis = self.start + self.step * np.arange(self.n)
        return axis if self.grid == "linear" else 10.0**axis


@dataclass(frozen=True)
class Recipe:
    """One simulated survey. ``rates`` are chances per object; ``parts`` the share that has a modality."""

    name: str
    kind: str
    prefix: str
    block: int
    image: ImageSpec | None
    spectrum: SpectrumSpec | None
    rates: dict[str, float]
    parts: dict[str, float]
    fields: tuple[dict[str, Any], ...]
    targets: tuple[dict[str, Any], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)

    def key(self, seed: int) -> int:
        """Entropy of this recipe and ``seed``: two recipes never share random numbers."""
        if seed < 0:
            raise ValueError(f"seed is {seed}; it must not be negative")
        return (seed << 32) + zlib.crc32(self.name.encode())

    @property
    def classes(self) -> tuple[str, ...]:
        """Truth classes in the order in which their rates are stacked."""
        return tuple(self.rates)


def load(recipe: str | Path | Recipe) -> Recipe:
    """The recipe called ``recipe``, or the one in that TOML file."""
    return recipe if isinstance(recipe, Recipe) else _read(str(recipe))


@lru_cache(maxsize=32)
def _read(recipe: str) -> Recipe:
    path = Path(recipe)
    if path.suffix != ".toml":
        path = data_path("recipes", f"{recipe}.toml")
        if not path.is_file():
            known = ", ".join(sorted(p.stem for p in path.parent.glob("*.toml")))
            raise ValueError(f"no recipe {recipe!r}; there are: {known}")
    return _parse(tomllib.loads(path.read_text(encoding="utf-8")), path)


def _parse(raw: dict[str, Any], path: Path) -> Recipe:
    kind = raw.get("kind")
    if kind not in KINDS:
        raise ValueError(f"{path}: kind is {kind!r}; it must be one of {', '.join(KINDS)}")
    rates = {k: float(v) for k, v in raw.get("rates", {}).items()}
    unknown = set(rates) - {*RARITIES, *ARTEFACTS} if kind == "galaxies" else set()
    if unknown or sum(rates.values()) > 1 + 1e-9:
        raise ValueError(
            f"{path}: rates must be of {', '.join((*RARITIES, *ARTEFACTS))} and sum to at most 1; "
            f"unknown: {sorted(unknown)}, sum: {sum(rates.values()):g}"
        )
    return Recipe(
        name=raw["name"],
        kind=kind,
        prefix=raw.get("prefix", "SIM"),
        block=int(raw.get("block", 256)),
        image=_image(raw["image"]) if "image" in raw else None,
        spectrum=_spectrum(raw["spectrum"]) if "spectrum" in raw else None,
        rates=rates,
        parts={k: float(v) for k, v in raw.get("parts", {}).items()},
        fields=tuple(raw["fields"]),
        targets=tuple(raw.get("targets", ())),
        options=dict(raw.get("options", {})),
    )


def _image(raw: dict[str, Any]) -> ImageSpec:
    bands = tuple(Band(**band) for band in raw["bands"])
    return ImageSpec(**{**raw, "bands": bands})


def _spectrum(raw: dict[str, Any]) -> SpectrumSpec:
    arms = tuple((a["lo"], a["hi"], tuple((w, s) for w, s in a["sigma"])) for a in raw["arms"])
    return SpectrumSpec(**{**raw, "arms": arms})
