"""Cutouts: galaxies and their neighbours painted in every band, seen through the PSF, with a detector's noise."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from explorer.survey.simulate import artefacts, shapes
from explorer.survey.simulate.companions import add_lens, add_merger, add_neighbours
from explorer.survey.simulate.parameters import Galaxies, stream, take
from explorer.survey.simulate.recipe import Band, ImageSpec

OVER = 2  # cells a side of a pixel; blur() adds them in pairs
MARGIN = 4  # pixels painted beyond each edge
_PURPOSE_LOOK, _PURPOSE_NOISE, _PURPOSE_FIELD = 21, 22, 23
_CHUNK = 32


def looks(g: Galaxies, seed: int, rows: np.ndarray) -> Galaxies:
    """``g`` with what only the image needs: centring, texture, angle of the bar, radius of the ring."""
    draws = np.array([stream(seed, _PURPOSE_LOOK, int(row)).random(8) for row in rows])
    g = dict(g)
    g["x0"], g["y0"] = (draws[:, 0] - 0.5) * 0.08, (draws[:, 1] - 0.5) * 0.08
    g["texture"] = (draws[:, 2] * 12).astype(int)
    g["shift_a"], g["shift_b"] = draws[:, 3] * 512 + 2048, draws[:, 4] * 512 + 2048
    g["bar_angle"] = draws[:, 5] * np.pi
    g["ring_radius"] = np.where(g["class"] == "ring", 1.7 + 1.1 * draws[:, 6], 0.0)
    return g


def noiseless(g: Galaxies, spec: ImageSpec, seed: int, rows: np.ndarray, neighbours: bool = True) -> np.ndarray:
    """(n, bands, size, size) float32 cutouts in the spec's unit without noise or artefacts."""
    g = looks(g, seed, rows)
    out = np.empty((len(rows), len(spec.bands), spec.size, spec.size), dtype=np.float32)
    for start in range(0, len(rows), _CHUNK):
        part = slice(start, start + _CHUNK)
        scene = paint(take(g, part), spec)
        for i, row in enumerate(rows[part]):
            rng = stream(seed, _PURPOSE_FIELD, int(row))
            add_lens(scene[i], g, start + i, spec.bands, spec.pixel_scale / OVER, rng)
            add_merger(scene[i], g, start + i, spec.pixel_scale / OVER, rng)
            if neighbours:
                add_neighbours(scene[i], spec, spec.pixel_scale / OVER, rng)
        out[part] = blur(scene, spec)
    out *= spec.scale().astype(np.float32)[:, None, None]
    return out


def paint(g: Galaxies, spec: ImageSpec) -> np.ndarray:
    """(n, bands, cells, cells) float32 µJy: the galaxies alone, before the PSF."""
    step = spec.pixel_scale / OVER
    cells = OVER * (spec.size + 2 * MARGIN)
    half = cells * step / 2
    n = len(g["z"])
    scene = np.zeros((n, len(spec.bands), cells, cells), dtype=np.float32)
    u, v = shapes.plane(cells, step, g["x0"], g["y0"], g["q_bulge"], g["pa"])
    bulge = shapes.sersic(u, v, g["r_bulge"], g["sersic"], half)
    _pour(scene, bulge, g["f_bulge"])
    late = np.flatnonzero((g["bulge_fraction"] < 0.9) & ((g["arm_strength"] > 0) | (g["ring_radius"] > 0)))
    plain = np.setdiff1d(np.arange(n), late)
    if len(plain):
        s = take(g, plain)
        u, v = shapes.plane(cells, step, s["x0"], s["y0"], s["q_disk"], s["pa"])
        disk = shapes.sersic(u, v, s["r_disk"], np.ones(len(plain)), half)
        scene[plain] += _light(disk, s["f_disk"] + s["f_young"])
    if len(late):
        s = take(g, late)
        u, v = shapes.plane(cells, step, s["x0"], s["y0"], s["q_disk"], s["pa"])
        old, young = shapes.disks(s, u, v, half)
        barred = s["bar"][:, None]
        added = _light(old, s["f_disk"] * (1 - barred)) + _light(young, s["f_young"])
        has = np.flatnonzero(s["bar"] > 0)
        if len(has):
            added[has] += _light(shapes.bars(take(s, has), u[has], v[has]), (s["f_disk"] * barred)[has])
        edge = np.flatnonzero(s["q_disk"] < 0.42)
        if len(edge):
            for b, band in enumerate(spec.bands):
                depth = 0.9 * (7000 / np.sqrt(band.lo * band.hi)) ** 1.3
                before = added[edge, b]
                after = before * shapes.dust_lane(take(s, edge), u[edge], v[edge], depth)
                kept = after.sum(axis=(1, 2)) / before.sum(axis=(1, 2))  # magnitudes hold the dust already
                added[edge, b] = after / kept[:, None, None]
        scene[late] += added
    _points(scene, g, step)
    return scene


def _light(shape: np.ndarray, flux: np.ndarray) -> np.ndarray:
    return shape[:, None] * flux.astype(np.float32)[:, :, None, None]


def _pour(scene: np.ndarray, shape: np.ndarray, flux: np.ndarray) -> None:
    for b in range(scene.shape[1]):
        scene[:, b] += shape * flux[:, b].astype(np.float32)[:, None, None]


def _points(scene: np.ndarray, g: Galaxies, step: float) -> None:
    """Nuclei, spread over the four cells around their place."""
    middle = (scene.shape[-1] - 1) / 2
    for i in np.flatnonzero(g["agn_fraction"] > 0):
        x, y = middle + g["x0"][i] / step, middle + g["y0"][i] / step
        a, b = int(x), int(y)
        s, t = x - a, y - b
        weight = np.array([[(1 - t) * (1 - s), (1 - t) * s], [t * (1 - s), t * s]], dtype=np.float32)
        scene[i, :, b : b + 2, a : a + 2] += g["f_point"][i].astype(np.float32)[:, None, None] * weight


@lru_cache(maxsize=32)
def _psf(band: Band, cells: int, step: float) -> np.ndarray:
    """Transform of a band's PSF on the grid: a core, a Moffat skirt with 12 % of the light, sum 1."""
    axis = np.fft.fftfreq(cells) * cells * step
    r2 = axis[:, None] ** 2 + axis[None, :] ** 2
    sigma = band.psf_fwhm / 2.3548
    core = np.exp(-0.5 * r2 / sigma**2)
    skirt = (1 + r2 / (1.6 * band.psf_fwhm) ** 2) ** -2.2
    psf = 0.88 * core / core.sum() + 0.12 * skirt / skirt.sum()
    return fft.rfft2(psf).real.astype(np.float32)


def blur(scene: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """(n, bands, size, size): the scene through each band's PSF, binned to pixels and cut to the stamp."""
    cells, step = scene.shape[-1], spec.pixel_scale / OVER
    psf = np.stack([_psf(band, cells, step) for band in spec.bands])
    seen = fft.irfft2(fft.rfft2(scene) * psf, s=(cells, cells))
    cut = seen[:, :, OVER * MARGIN : -OVER * MARGIN, OVER * MARGIN : -OVER * MARGIN]
    rows = cut[:, :, 0::OVER] + cut[:, :, 1::OVER]
    return rows[..., 0::OVER] + rows[..., 1::OVER]


def _unit_noise(rng: np.random.Generator, size: int, correlated: bool) -> np.ndarray:
    """(size, size) noise of unit variance; ``correlated`` as after resampling from pixels three times as wide."""
    if not correlated:
        return rng.standard_normal((size, size), dtype=np.float32)
    white = rng.standard_normal((size + 4, size + 4), dtype=np.float32)
    kernel = np.array([1, 2, 3, 2, 1], dtype=np.float32) / np.sqrt(np.float32(19))
    rows = sum(k * white[i : i + size] for i, k in enumerate(kernel))
    return np.asarray(sum(k * rows[:, i : i + size] for i, k in enumerate(kernel)))


def observe(clean: np.ndarray, g: Galaxies, spec: ImageSpec, seed: int, rows: np.ndarray) -> np.ndarray:
    """(n, bands, size, size) float16: artefacts, sky and photon noise, and NaN where the mask is."""
    out = np.empty(clean.shape, dtype=np.float16)
    for i, row in enumerate(rows):
        rng = stream(seed, _PURPOSE_NOISE, int(row))
        seen = artefacts.before_noise(clean[i].copy(), g["class"][i], spec, rng)
        for b, band in enumerate(spec.bands):
            sigma = np.sqrt(band.noise**2 + np.maximum(seen[b], 0) / band.gain)
            seen[b] += sigma * _unit_noise(rng, spec.size, band.correlated)
        seen = artefacts.after_noise(seen, g["class"][i], spec, rng)
        out[i] = np.clip(seen, -6e4, 6e4)
    return out
