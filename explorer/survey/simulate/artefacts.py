"""What detectors and bright stars do to a cutout: spikes, saturation, cosmic rays, ghosts, dead pixels."""

from __future__ import annotations

import numpy as np

from explorer.survey.simulate.recipe import ImageSpec


def _axes(size: int, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    return axis[None, :] - np.float32(x), axis[:, None] - np.float32(y)


def star(spec: ImageSpec, x: float, y: float, mag: float, spikes: float, angle: float, colour: float) -> np.ndarray:
    """(bands, size, size) a bright star at ``x``, ``y`` pixels from the middle, with a halo and six spikes."""
    dx, dy = _axes(spec.size, x, y)
    r = np.hypot(dx, dy) * spec.pixel_scale
    out = np.empty((len(spec.bands), spec.size, spec.size), dtype=np.float32)
    for b, band in enumerate(spec.bands):
        sigma = band.psf_fwhm / 2.3548
        core = np.exp(-0.5 * (r / sigma) ** 2) / (2 * np.pi * sigma**2) * 0.85
        halo = 0.028 / (r**2 + 0.35**2) ** 1.35 + 0.0012 * np.exp(-r / 3.0)
        light = core + halo
        for k in range(3):
            a = angle + k * np.pi / 3
            across = np.abs(np.cos(a) * dy - np.sin(a) * dx) * spec.pixel_scale
            width = 0.09 + 0.22 * band.psf_fwhm + 0.004 * r
            beat = 1 + 0.25 * np.cos(r * 5.1 * 7000 / np.sqrt(band.lo * band.hi))
            light = light + spikes * 0.010 * beat * np.exp(-((across / width) ** 2)) / (r + 0.5) ** 1.5
        flux = 10 ** (0.4 * (band.zero_point - mag)) * (np.sqrt(band.lo * band.hi) / 7000) ** colour
        out[b] = light * flux * spec.pixel_scale**2
    return out


def before_noise(seen: np.ndarray, kind: str, spec: ImageSpec, rng: np.random.Generator) -> np.ndarray:
    """``seen`` (bands, size, size) with the light that stars add where ``kind`` asks for it."""
    reach = spec.size / 2
    angle = float(rng.choice([0.15, 0.62, 0.95])) + rng.normal(0, 0.05)
    if kind == "saturated-star":
        way, far = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.95) * reach
        mag = rng.uniform(14.2, 17.0)
        seen += star(spec, far * np.cos(way), far * np.sin(way), mag, 1.0, angle, rng.normal(0.6, 0.4))
        _saturate(seen, spec, rng)
    elif kind == "diffraction-spike":
        k = rng.integers(0, 6)
        a = angle + k * np.pi / 3
        far, miss = rng.uniform(1.2, 2.2) * reach, rng.uniform(-0.30, 0.30) * reach
        x, y = far * np.cos(a) - miss * np.sin(a), far * np.sin(a) + miss * np.cos(a)
        mag = rng.uniform(12.6, 15.2)
        seen += star(spec, x, y, mag, 2.6, angle, rng.normal(0.5, 0.3))
    elif kind == "ghost":
        _ghost(seen, spec, rng)
    return seen


def _saturate(seen: np.ndarray, spec: ImageSpec, rng: np.random.Generator) -> None:
    """Clip full wells and let the first band bleed along its columns."""
    wells = (9.0 * spec.scale()).astype(np.float32)
    full = float(wells[0])
    over = seen[0] > full
    rows, cols = np.nonzero(over)
    np.minimum(seen, wells[:, None, None] * np.float32(rng.uniform(0.9, 1.1)), out=seen)
    if not len(rows):
        return
    for col in np.unique(cols):
        here = rows[cols == col]
        length = int(2.2 * len(here) + rng.integers(0, 5))
        lo, hi = max(here.min() - length, 0), min(here.max() + length + 1, spec.size)
        seen[0, lo:hi, col] = np.maximum(seen[0, lo:hi, col], full * rng.uniform(0.5, 1.0))


def _ghost(seen: np.ndarray, spec: ImageSpec, rng: np.random.Generator) -> None:
    """An out-of-focus image of the pupil: a faint disk with a hole and a bright rim, mostly in one band."""
    reach = spec.size / 2
    x, y = rng.uniform(-0.75, 0.75, 2) * reach
    dx, dy = _axes(spec.size, float(x), float(y))
    stretch = rng.uniform(0.9, 1.1)
    r = np.hypot(dx * stretch, dy / stretch) / (rng.uniform(0.42, 0.8) * reach)
    rise, fall = (r - rng.uniform(0.3, 0.42)) * 28, (1 - r) * 28
    disk = 1 / ((1 + np.exp(-np.clip(rise, -60, 60))) * (1 + np.exp(-np.clip(fall, -60, 60))))
    rim = 0.5 * np.exp(-(((r - 0.95) / 0.07) ** 2))
    vanes = 1 - 0.6 * np.exp(-((np.sin(1.5 * (np.arctan2(dy, dx) - rng.uniform(0, 2))) / 0.07) ** 2))
    level = rng.uniform(4.0, 14.0) * spec.bands[0].noise
    main = int(rng.random() < 0.3) * (len(spec.bands) - 1)
    for b in range(len(spec.bands)):
        seen[b] += level * (disk + rim) * vanes * (1.0 if b == main else 0.06)


def after_noise(seen: np.ndarray, kind: str, spec: ImageSpec, rng: np.random.Generator) -> np.ndarray:
    """``seen`` with cosmic rays where ``kind`` asks for them, and NaN in a share ``spec.masked`` of stamps."""
    if kind == "cosmic-ray":
        for _ in range(1 + rng.poisson(0.7)):
            track(seen[0], spec, rng)
    if rng.random() < spec.masked:
        _holes(seen, rng)
    return seen


def track(plane: np.ndarray, spec: ImageSpec, rng: np.random.Generator) -> None:
    """A charged particle's trail: sharp, a pixel wide, straight or curling, of uneven charge."""
    size = plane.shape[0]
    length = int(rng.integers(8, 44))
    x, y = rng.uniform(0.2, 0.8, 2) * size
    way, curl = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.05) if rng.random() < 0.5 else 0.0
    charge = spec.bands[0].noise * rng.uniform(40, 260)
    for _ in range(length * 2):
        x, y, way = x + 0.5 * np.cos(way), y + 0.5 * np.sin(way), way + 0.5 * curl
        a, b = round(x), round(y)
        if not (0 <= a < size and 0 <= b < size):
            break
        plane[b, a] += charge * 0.5 * rng.gamma(3.0, 1 / 3.0)
        side = a + rng.integers(-1, 2)
        if 0 <= side < size:
            plane[b, side] += 0.12 * charge * rng.random()


def _holes(seen: np.ndarray, rng: np.random.Generator) -> None:
    """Masked pixels: a dead column or row, a cluster of hot pixels, or the edge of a detector."""
    bands, size = seen.shape[:2]
    what = rng.random()
    band = slice(None) if rng.random() < 0.3 else int(rng.integers(0, bands))
    if what < 0.45:
        at = int(rng.integers(0, size))
        seen[band, :, at : at + 1 + int(rng.random() < 0.3)] = np.nan
    elif what < 0.9:
        x, y = rng.integers(0, size - 3, 2)
        seen[band, y : y + rng.integers(1, 4), x : x + rng.integers(1, 4)] = np.nan
    else:
        depth = int(rng.integers(3, 14))
        seen[band, :, :depth] = np.nan
