"""Known oddities put into objects that are there already, real or simulated, at graded strength (P0.16).

One measure of strength serves all kinds, so that their recovery curves share an axis: the light that is added over
the light that was there, in the first band of the image (within a quarter of the stamp's side) and in the median of
the spectrum. Units therefore do not matter. The shapes are the simulator's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from explorer.survey.records import Image, Spectrum
from explorer.survey.simulate import artefacts, companions, images, sky, spectra
from explorer.survey.simulate.parameters import Galaxies, stream
from explorer.survey.simulate.recipe import Band, ImageSpec, Recipe, SpectrumSpec

TOUCHES = {
    "lens": ("image", "spectrum"),
    "second-nucleus": ("image",),
    "broad-line": ("image", "spectrum"),
    "diffraction-spike": ("image",),
    "cosmic-ray": ("image",),
}
"""Kind → the modalities that it changes: a lens adds arcs and a second set of lines, a nucleus a point and lines."""
KINDS = tuple(TOUCHES)
ARTEFACTS = ("diffraction-spike", "cosmic-ray")
_PURPOSE = 61
_PIVOT, _LIGHT = 7035.0, 2.99792458e18  # Å, Å/s: as in spectra.nucleus and spectra.lensed
_STEP = 0.8  # Å of the grid on which added light is painted
_EDGES = {
    "u": (3300, 4000), "g": (4000, 5500), "r": (5620, 6980), "i": (6910, 8250), "z": (8200, 9300), "y": (9300, 10800),
    "vis": (5500, 9000), "j": (11680, 15670), "h": (15220, 20210), "k": (19500, 23500), "nisp_y": (9500, 12120),
}  # fmt: skip


@dataclass(frozen=True)
class Instrument:
    """What must be known of a survey's camera and spectrograph to paint into its data.

    ``noisy`` says whether the camera's gain is known, so that added light brings its own photon noise; ``spectrograph``
    is None where the noise of its sky is not known, and added light is then free of noise.
    """

    camera: ImageSpec
    noisy: bool
    spectrograph: SpectrumSpec | None = None


def instrument(told: dict[str, Any], size: int, bands: int, recipe: Recipe | None = None) -> Instrument:
    """The instrument of a survey: of its recipe where it was simulated, else from what ``told`` says of its images.

    ``told`` may hold ``bands``, ``pixel_scale`` (arcsec), ``psf_fwhm`` (arcsec) and ``noise`` per band. Unknown: a
    stamp of 6.4 arcsec, a PSF of 2.5 pixels, bands in order between 4000 and 9000 Å.
    """
    if recipe is not None and recipe.image is not None and len(recipe.image.bands) == bands:
        return Instrument(replace(recipe.image, size=size), True, recipe.spectrum)
    scale = float(told.get("pixel_scale") or 6.4 / size)
    names = [str(b) for b in told.get("bands", ())]
    names = names if len(names) == bands else [f"band {i + 1}" for i in range(bands)]
    cuts = np.linspace(4000.0, 9000.0, bands + 1)
    psf, noise = _each(told.get("psf_fwhm"), bands, 2.5 * scale), _each(told.get("noise"), bands, 0.0)
    made = []
    for i, name in enumerate(names):
        lo, hi = _EDGES.get(name.casefold(), (cuts[i], cuts[i + 1]))
        made.append(Band(name, float(lo), float(hi), psf[i], noise[i], np.inf, 23.9))
    return Instrument(ImageSpec(size, scale, str(told.get("unit", "")), tuple(made)), False)


def _each(value: Any, count: int, default: float) -> list[float]:
    values = [float(v) for v in np.atleast_1d(value if value is not None else default)]
    return values * count if len(values) == 1 else (values + [default] * count)[:count]


def inject(
    kind: str,
    strength: float,
    image: Image | None,
    spectrum: Spectrum | None,
    kit: Instrument,
    redshift: float = 0.3,
    seed: int = 0,
    number: int = 0,
) -> tuple[Image | None, Spectrum | None]:
    """The object's image and spectrum with one oddity added.

    Parameters
    ----------
    kind : one of :data:`KINDS`.
    strength : light added over the object's own, at least 0; 0 changes nothing.
    kit : of :func:`instrument`.
    redshift : of the object; the source of a lens lies behind it, broad lines are at it.
    seed, number : of the random shape: object ``number`` has the same shape at every strength.

    Masked pixels stay masked. Images of 8 bits are clipped at 255.
    """
    if kind not in TOUCHES:
        raise ValueError(f"kind={kind!r} is unknown: choose one of {', '.join(KINDS)}")
    if not (np.isfinite(strength) and strength >= 0):
        raise ValueError(f"strength={strength}: light added over light there, 0 or more")
    redshift = float(redshift) if np.isfinite(redshift) and redshift > 0 else 0.3
    rng = stream(seed, _PURPOSE, number, KINDS.index(kind))
    if strength == 0:
        return image, spectrum
    z_source = min(redshift + rng.uniform(0.45, 1.1), 3.0)
    if image is not None and "image" in TOUCHES[kind]:
        image = Image(_into_image(image.pixels, kind, strength, kit, rng))
    if spectrum is not None and "spectrum" in TOUCHES[kind]:
        spectrum = _into_spectrum(spectrum, kind, strength, kit, redshift, z_source, rng)
    return image, spectrum


# -- images --------------------


def _into_image(
    pixels: np.ndarray, kind: str, strength: float, kit: Instrument, rng: np.random.Generator
) -> np.ndarray:
    here = pixels.astype(np.float32)
    height, width = here.shape[1:]
    side = max(height, width)
    camera = replace(kit.camera, size=side)
    noise = _noise(here)
    camera = replace(camera, bands=tuple(replace(b, noise=float(n)) for b, n in zip(camera.bands, noise, strict=True)))
    own = _own_flux(here, noise)
    light = _SHAPES[kind](camera, own / own[0], rng)
    top, left = (side - height) // 2, (side - width) // 2
    light = light[:, top : top + height, left : left + width]
    total = float(light[0].sum())
    added = light * np.float32(strength * own[0] / total) if total > 0 else np.zeros_like(here)
    if kit.noisy and kind != "cosmic-ray":
        gain = np.array([b.gain for b in camera.bands], dtype=np.float32)[:, None, None]
        added = added + rng.standard_normal(added.shape, dtype=np.float32) * np.sqrt(np.maximum(added, 0) / gain)
    seen = here + added
    if pixels.dtype == np.uint8:
        return np.clip(np.rint(seen), 0, 255).astype(np.uint8)
    most = float(np.finfo(pixels.dtype).max) * 0.9
    return np.clip(seen, -most, most).astype(pixels.dtype)  # NaN stays NaN


def _noise(pixels: np.ndarray) -> np.ndarray:
    """(bands,) scatter of the darker half of the pixels about their median: the sky's, whatever the object is."""
    out = np.empty(len(pixels))
    for b, plane in enumerate(pixels):
        seen = plane[np.isfinite(plane)]
        middle = np.median(seen) if len(seen) else 0.0
        dark = seen[seen <= middle]
        out[b] = 1.4826 * np.median(middle - dark) if len(dark) else 0.0
    return np.where(out > 0, out, max(float(out.max()), 1e-6))


def _own_flux(pixels: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """(bands,) light of the object above the sky, within a quarter of the side; at least five times its noise."""
    _, height, width = pixels.shape
    y, x = np.mgrid[:height, :width]
    inside = np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) <= max(min(height, width) / 4, 1.0)
    rim = ~(np.hypot(x - (width - 1) / 2, y - (height - 1) / 2) <= 0.45 * min(height, width))
    out = np.empty(len(pixels))
    for b, plane in enumerate(pixels):
        seen = plane[rim & np.isfinite(plane)]
        level = np.median(seen) if len(seen) else 0.0
        out[b] = np.nansum(np.where(inside, plane - level, 0))
    return np.maximum(out, 5 * noise * np.sqrt(inside.sum()))


def _scene(camera: ImageSpec) -> tuple[np.ndarray, float]:
    cells = images.OVER * (camera.size + 2 * images.MARGIN)
    return np.zeros((len(camera.bands), cells, cells), np.float32), camera.pixel_scale / images.OVER


def _arcs(camera: ImageSpec, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scene, step = _scene(camera)
    reach = camera.size * camera.pixel_scale / 2
    lens: Galaxies = {
        "class": np.array(["lens"], dtype=object),
        "x0": np.zeros(1),
        "y0": np.zeros(1),
        "q_bulge": rng.uniform(0.6, 0.95, 1),
        "pa": rng.uniform(0, np.pi, 1),
        "einstein_radius": np.minimum(rng.uniform(0.75, 1.8, 1), 0.7 * reach),
        "source_mag": np.full(1, 23.9),
    }
    companions.add_lens(scene, lens, 0, camera.bands, step, rng)
    return images.blur(scene[None], camera)[0]


def _second(camera: ImageSpec, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scene, step = _scene(camera)
    reach = camera.size * camera.pixel_scale / 2
    apart, way = min(rng.uniform(0.35, 1.2), 0.6 * reach), rng.uniform(0, 2 * np.pi)
    axis = companions.shapes.coordinates(scene.shape[-1], step)
    place = apart * np.cos(way), apart * np.sin(way)
    companions.stamp(scene, axis, step, *place, rng.uniform(0.08, 0.2), 1.3, rng.uniform(0.55, 0.95), way, colour)
    return images.blur(scene[None], camera)[0]


def _point(camera: ImageSpec, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    scene = _scene(camera)[0]
    pivot = np.array([np.sqrt(b.lo * b.hi) for b in camera.bands])
    blue = (pivot / pivot[0]) ** (rng.normal(-1.5, 0.2) + 2)  # f_λ ∝ λ^slope, as parameters._light
    middle = scene.shape[-1] // 2
    scene[:, middle - 1 : middle + 1, middle - 1 : middle + 1] = blue.astype(np.float32)[:, None, None] / 4
    return images.blur(scene[None], camera)[0]


def _spike(camera: ImageSpec, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bare = replace(camera, bands=tuple(replace(b, zero_point=23.9) for b in camera.bands))
    light = np.zeros((len(camera.bands), camera.size, camera.size), np.float32)
    return artefacts.before_noise(light, "diffraction-spike", bare, rng)


def _ray(camera: ImageSpec, colour: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = np.zeros((len(camera.bands), camera.size, camera.size), np.float32)
    artefacts.track(light[0], camera, rng)
    return light


_SHAPES: dict[str, Callable[[ImageSpec, np.ndarray, np.random.Generator], np.ndarray]] = {
    "lens": _arcs,
    "second-nucleus": _second,
    "broad-line": _point,
    "diffraction-spike": _spike,
    "cosmic-ray": _ray,
}


# -- spectra --------------------


def _into_spectrum(
    spectrum: Spectrum, kind: str, strength: float, kit: Instrument, z: float, z_source: float,
    rng: np.random.Generator,
) -> Spectrum:  # fmt: skip
    good = (spectrum.ivar > 0) & np.isfinite(spectrum.flux)
    if not good.any():
        return spectrum
    own = max(float(np.median(spectrum.flux[good])), 1e-3 * float(np.std(spectrum.flux[good])))
    grid = np.arange(spectrum.wavelength[0], spectrum.wavelength[-1] + _STEP, _STEP)
    spec = SpectrumSpec("linear", float(grid[0]), _STEP, len(grid), 1.0, 1.5, 1.1, 1.0, 1.0, ())
    micro = strength * own * _PIVOT**2 / (1e-29 * _LIGHT)  # the µJy whose f_λ at the pivot is that level
    g: Galaxies = {"z": np.array([z])}
    if kind == "lens":  # spectra.lensed magnifies six times and takes 0.45 into the fibre
        g |= {"source_mag": np.array([23.9 - 2.5 * np.log10(micro / (6.0 * 0.45))]), "z_source": np.array([z_source])}
        added = spectra.lensed(g, 0, grid, spec)
    else:
        g |= {
            "f_point": np.array([[micro]]),
            "agn_slope": rng.normal(-1.5, 0.2, 1),
            "broad_fwhm": np.exp(rng.normal(np.log(4200), 0.35, 1)).clip(1900, 9000),
            "broad_ew": np.exp(rng.normal(np.log(260), 0.25, 1)),
        }
        added = spectra.nucleus(g, 0, grid, spec, 1.0)
    added = np.interp(spectrum.wavelength, grid, added)
    ivar = spectrum.ivar.astype(np.float64)
    if kit.spectrograph is not None and kit.spectrograph.n == len(ivar):
        own_photons = sky.continuum_variance(kit.spectrograph) / kit.spectrograph.sky_level * np.maximum(added, 0)
        added = added + rng.standard_normal(len(added)) * np.sqrt(own_photons)
        ivar = np.where(ivar > 0, 1 / (1 / np.where(ivar > 0, ivar, 1.0) + own_photons), 0.0)
    flux = (spectrum.flux.astype(np.float64) + added).astype(spectrum.flux.dtype)
    return Spectrum(spectrum.wavelength, flux, ivar.astype(spectrum.ivar.dtype))
