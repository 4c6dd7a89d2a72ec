"""What else is in a stamp: faint galaxies and stars of the field, a merging partner, a lensed source."""

from __future__ import annotations

import numpy as np

from explorer.survey.simulate import shapes
from explorer.survey.simulate.lensing import source_plane
from explorer.survey.simulate.parameters import Galaxies
from explorer.survey.simulate.recipe import Band, ImageSpec


def colours(bands: tuple[Band, ...], slope: float) -> np.ndarray:
    """Fluxes (bands,) against the first band of f_ν ∝ λ^slope, flattening towards the infrared."""
    pivot = np.array([np.sqrt(b.lo * b.hi) for b in bands])
    x = np.log(pivot / pivot[0])
    return np.exp(slope * x - 0.25 * slope * x**2)


def add_neighbours(scene: np.ndarray, spec: ImageSpec, step: float, rng: np.random.Generator) -> None:
    """Add galaxies and stars of the field to ``scene`` (bands, cells, cells): counts rise 0.32 dex a magnitude."""
    cells = scene.shape[-1]
    half = cells * step / 2
    area = (2 * half / 6.4) ** 2
    count = rng.poisson(spec.neighbours * 2.6 * area)
    axis = shapes.coordinates(cells, step)
    for _ in range(count):
        mag = 27.4 + np.log10(max(rng.random(), 1e-4)) / 0.32
        x, y = rng.uniform(-half, half, 2)
        if mag < 24.5 and np.hypot(x, y) < 0.9:
            continue
        flux = 10 ** (0.4 * (23.9 - mag))
        if mag < 25 and rng.random() < 0.10:
            radius, index, q, slope = 0.02, 1.0, 1.0, rng.normal(0.9, 0.6)
        else:
            radius = np.clip(0.26 * 10 ** (-0.09 * (mag - 24.5) + rng.normal(0, 0.18)), 0.07, 1.6)
            red = rng.random() < 0.25
            index = 3.0 if red else 1.0
            q = rng.uniform(0.55 if red else 0.22, 1.0)
            slope = rng.normal(2.1, 0.5) if red else rng.normal(0.55, 0.4)
        stamp(scene, axis, step, x, y, radius, index, q, rng.uniform(0, np.pi), flux * colours(spec.bands, slope))


def stamp(
    scene: np.ndarray, axis: np.ndarray, step: float, x: float, y: float, radius: float, index: float,
    q: float, pa: float, flux: np.ndarray,
) -> None:  # fmt: skip
    """Add one Sérsic profile, painted only as far as it reaches."""
    reach = max(0.5, 6 * radius)
    a, b = np.searchsorted(axis, (x - reach, x + reach))
    c, d = np.searchsorted(axis, (y - reach, y + reach))
    if a == b or c == d:
        return
    dx, dy = axis[None, a:b] - x, axis[c:d, None] - y
    u, v = np.cos(pa) * dx + np.sin(pa) * dy, (np.cos(pa) * dy - np.sin(pa) * dx) / q
    k = 2 * index - 1 / 3
    r = np.sqrt(u * u + v * v + 0.03**2) / radius
    light = np.exp(-k * r ** (1 / index)).astype(np.float32)
    whole = (2 * reach / step) ** 2
    inside = light.size / whole
    light /= max(float(light.sum()), 1e-20) / min(1.0, 0.3 + 0.7 * inside)
    scene[:, c:d, a:b] += flux.astype(np.float32)[:, None, None] * light


def add_merger(scene: np.ndarray, g: Galaxies, i: int, step: float, rng: np.random.Generator) -> None:
    """Turn object ``i`` into a merger: a second nucleus with its own disk, tidal tails and a faint halo."""
    if g["class"][i] != "merger":
        return
    axis = shapes.coordinates(scene.shape[-1], step)
    size = float(np.clip(g["r_disk"][i], 0.5, 1.4))
    apart = rng.uniform(0.55, 1.15) * size + 0.25
    angle, ratio = rng.uniform(0, 2 * np.pi), rng.uniform(0.35, 0.95)
    x, y = g["x0"][i] + apart * np.cos(angle), g["y0"][i] + apart * np.sin(angle)
    total = g["flux"][i]
    nucleus = 0.35 * g["f_bulge"][i] + 0.22 * (g["f_disk"][i] + g["f_young"][i])
    stamp(scene, axis, step, x, y, 0.11 * size + 0.05, 1.3, rng.uniform(0.55, 0.95), angle, nucleus * ratio)
    body = 0.5 * (g["f_disk"][i] + g["f_young"][i]) * ratio
    stamp(scene, axis, step, x, y, 0.55 * size, 1.0, rng.uniform(0.35, 0.8), rng.uniform(0, np.pi), body)
    knot = 0.10 * g["f_bulge"][i] + 0.12 * g["f_disk"][i]
    stamp(scene, axis, step, g["x0"][i], g["y0"][i], 0.10 * size + 0.04, 1.2, 0.8, angle, knot)
    spin = float(g["spin"][i])
    tails = ((x, y, angle + rng.normal(0, 0.35)), (g["x0"][i], g["y0"][i], angle + np.pi + rng.normal(0, 0.4)))
    for tail_x, tail_y, way in tails:
        light = shapes.tail(
            axis,
            tail_x,
            tail_y,
            rng.uniform(1.7, 3.4) * size + 0.5,
            spin * rng.uniform(0.9, 2.3),
            way,
            0.11 * size,
            rng,
        )
        colour = 0.6 * g["f_disk"][i] + 1.4 * g["f_young"][i]
        scene += (colour / max(colour[0], 1e-9) * total[0] * rng.uniform(0.03, 0.10)).astype(np.float32)[
            :, None, None
        ] * light
    halo = total * 0.10
    stamp(scene, axis, step, x / 2, y / 2, 1.9 * size, 1.0, 0.7, angle, halo)


def add_lens(
    scene: np.ndarray, g: Galaxies, i: int, bands: tuple[Band, ...], step: float, rng: np.random.Generator
) -> None:
    """Add the arcs of a blue, clumpy source behind object ``i`` if it is a lens."""
    if g["class"][i] != "lens":
        return
    axis = shapes.coordinates(scene.shape[-1], step)
    x, y = np.meshgrid(axis - g["x0"][i], axis - g["y0"][i])
    theta, q = float(g["einstein_radius"][i]), float(np.clip(g["q_bulge"][i], 0.6, 0.95))
    u, v = source_plane(x, y, theta, q, float(g["pa"][i]))
    off, way = theta * rng.uniform(0.08, 0.45), rng.uniform(0, 2 * np.pi)
    light = np.zeros_like(x, dtype=np.float64)
    shape_q, pa, size = rng.uniform(0.4, 0.9), rng.uniform(0, np.pi), rng.uniform(0.09, 0.2)
    for k in range(4):  # a disk and three clumps in it
        scatter = 0.0 if k == 0 else 0.9 * size
        sx, sy = off * np.cos(way) + rng.normal(0, 1) * scatter, off * np.sin(way) + rng.normal(0, 1) * scatter
        du, dv = u - sx, v - sy
        a, b = np.cos(pa) * du + np.sin(pa) * dv, (np.cos(pa) * dv - np.sin(pa) * du) / shape_q
        radius, weight = (size, 1.0) if k == 0 else (0.25 * size, 1.1)
        light += weight * np.exp(-1.678 * np.sqrt(a * a + b * b + 1e-5) / radius)
    unlensed = 2 * np.pi * shape_q * (size / 1.678) ** 2 * (1 + 3 * 1.1 * 0.25**2)
    flux = 10 ** (0.4 * (23.9 - g["source_mag"][i])) * step**2 / unlensed
    colour = colours(bands, rng.normal(0.25, 0.25))
    scene += (flux * colour).astype(np.float32)[:, None, None] * light.astype(np.float32)
