"""Where the light of a galaxy lies: Sérsic bulges, exponential disks with arms, bars, rings and knots.

Shapes are painted on a grid of half pixels, in batches, and each sums to the share of its flux on the grid.
Arms follow logarithmic spirals; their raggedness and the star-forming knots come from a bank of random fields
sampled in (azimuth along the spiral, ln radius), where a blob stays round at every radius.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import gammainc

from explorer.survey.simulate.parameters import Galaxies

_BANK, _CELLS, _PERIOD = 12, 512, 6.5


def coordinates(cells: int, step: float) -> np.ndarray:
    """(cells,) arcsec offsets of cell centres from the middle of the grid."""
    return ((np.arange(cells) - (cells - 1) / 2) * step).astype(np.float32)


@lru_cache(maxsize=4)
def textures(slope: float = -1.35, seed: int = 77) -> np.ndarray:
    """(bank, cells, cells) float32 periodic random fields of zero mean and unit variance; power ∝ k^(2 slope)."""
    rng = np.random.default_rng(seed)
    k = np.hypot(np.fft.fftfreq(_CELLS)[:, None], np.fft.rfftfreq(_CELLS)) * _CELLS
    amplitude = np.where(k > 2.5, np.maximum(k, 1.0) ** slope, 0.0) * np.exp(-((k / 150) ** 2))
    white = rng.standard_normal((_BANK, _CELLS, _CELLS))
    field = np.fft.irfft2(np.fft.rfft2(white) * amplitude, s=(_CELLS, _CELLS))
    return (field / field.std(axis=(1, 2), keepdims=True)).astype(np.float32)


def plane(
    cells: int, step: float, x0: np.ndarray, y0: np.ndarray, q: np.ndarray, pa: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates (n, cells, cells) in the plane of each object, arcsec along and across (stretched by 1/q)."""
    axis = coordinates(cells, step)
    dx = axis[None, None, :] - x0[:, None, None].astype(np.float32)
    dy = axis[None, :, None] - y0[:, None, None].astype(np.float32)
    c, s = (f(pa).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    return c * dx + s * dy, (c * dy - s * dx) / q.astype(np.float32)[:, None, None]


def _normalise(light: np.ndarray, share: np.ndarray) -> np.ndarray:
    total = light.sum(axis=(1, 2), keepdims=True)
    return light * (share[:, None, None].astype(np.float32) / np.maximum(total, 1e-20))


def on_grid(radius: np.ndarray, index: np.ndarray, half: float) -> np.ndarray:
    """Share of a Sérsic profile's light within ``half`` (arcsec) of its centre."""
    b = 2 * index - 1 / 3 + 0.009876 / index
    return gammainc(2 * index, b * (1.06 * half / radius) ** (1 / index))


def sersic(
    u: np.ndarray, v: np.ndarray, radius: np.ndarray, index: np.ndarray, half: float, soft: float = 0.03
) -> np.ndarray:
    """(n, cells, cells) Sérsic profiles at plane coordinates ``u``, ``v``; ``soft`` rounds the cusp (arcsec)."""
    b = (2 * index - 1 / 3 + 0.009876 / index).astype(np.float32)[:, None, None]
    r2 = (u * u + v * v + soft**2) / (radius.astype(np.float32) ** 2)[:, None, None]
    light = np.exp(-b * r2 ** (0.5 / index).astype(np.float32)[:, None, None])
    return _normalise(light, on_grid(radius, index, half))


def _lookup(bank: np.ndarray, which: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Values of fields ``which`` (n,) at cell coordinates ``a``, ``b`` (n, …), periodic."""
    i = a.astype(np.int32) & (_CELLS - 1)
    j = b.astype(np.int32) & (_CELLS - 1)
    return bank.reshape(-1)[(which[:, None, None].astype(np.int64) * _CELLS + i) * _CELLS + j]


def disks(g: Galaxies, u: np.ndarray, v: np.ndarray, half: float) -> tuple[np.ndarray, np.ndarray]:
    """Old and young light (n, cells, cells) of disks at plane coordinates ``u``, ``v``.

    The old disk is smooth with soft arms; the young one lies in the arms and breaks into knots.
    """

    def column(name: str) -> np.ndarray:
        return g[name].astype(np.float32)[:, None, None]

    scale = column("r_disk") / np.float32(1.678)
    shifted = u - column("lopsided") * scale * 0.8
    r = np.sqrt(shifted**2 + v**2 + np.float32(0.0004))
    ln = np.log(r / scale)
    phi = np.arctan2(v, shifted)
    wind = phi * column("spin") - ln / np.tan(column("pitch"))
    bank, which = textures(), g["texture"]
    turn = np.float32(_CELLS / (2 * np.pi))
    along = wind * turn + column("shift_a")
    ragged = _lookup(bank, which, along, ln * np.float32(_CELLS / _PERIOD) * 0.55 + column("shift_b"))
    plain = phi * turn + column("shift_b")
    knots = _lookup(bank, (which + 5) % _BANK, plain, ln * turn + column("shift_a"))
    patches = _patches(g, u, v, column)
    m = column("arms")
    phase = m * wind + 1.15 * ragged + column("shift_a")
    grand = (0.5 + 0.5 * np.cos(phase)) ** 2 * 2.67
    flocculent = np.exp(0.85 * ragged - 0.36)
    spiral = np.where(m > 0, 0.62 * grand * np.exp(0.35 * ragged) + 0.38 * flocculent, flocculent)
    spiral = np.where(column("irregular") > 0, np.exp(0.8 * patches - 0.32), spiral)
    strength = column("arm_strength") * np.clip(r / (0.55 * scale), 0, 1)
    fall, clumpy = np.exp(-r / scale), column("clumpiness")
    old = fall * (1 + 0.55 * strength * (spiral - 1)) * np.exp(0.10 * clumpy * patches)
    grain = 0.85 * knots + (0.25 + 0.4 * column("irregular")) * patches
    lumps = np.exp(clumpy * grain - 0.30 * clumpy**2)
    hollow = 1 - 0.75 * np.exp(-((r / (0.8 * scale)) ** 2)) * np.minimum(4 * column("bulge_fraction"), 1)
    outer = np.exp(-r / (1.12 * scale))
    young = outer * hollow * (1 - strength + strength * spiral**1.35) * lumps
    ring = column("ring_radius") * scale
    in_ring = np.exp(-0.5 * ((r - ring) / np.maximum(0.16 * ring, 0.06)) ** 2) * (column("ring_radius") > 0)
    bare = np.where(column("ring_radius") > 0, np.float32(0.06), np.float32(1.0))
    old = old * (0.2 + 0.8 * bare) + 1.1 * in_ring * np.exp(-ring / scale)
    young = young * bare + in_ring * lumps**0.7
    share = on_grid(g["r_disk"], np.ones(len(u)), half)
    return _normalise(np.maximum(old, 0), share), _normalise(np.maximum(young, 0), share)


def _patches(g: Galaxies, u: np.ndarray, v: np.ndarray, column: object) -> np.ndarray:
    """A random field in the plane itself, in units of the disk's scale: clumps of irregulars."""
    zoom = (_CELLS / 22.0 / (g["r_disk"] / 1.678)).astype(np.float32)[:, None, None]
    a = u * zoom + g["shift_b"].astype(np.float32)[:, None, None] + 4 * _CELLS
    b = v * zoom + g["shift_a"].astype(np.float32)[:, None, None] + 4 * _CELLS
    return _lookup(textures(-1.15, 78), (g["texture"] + 3) % _BANK, a, b)


def bars(g: Galaxies, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(n, cells, cells) bars: flat, elongated three to one, at ``bar_angle`` in the plane of the disk."""
    c = np.cos(g["bar_angle"]).astype(np.float32)[:, None, None]
    s = np.sin(g["bar_angle"]).astype(np.float32)[:, None, None]
    length = (0.75 * g["r_disk"] / 1.678 * 1.4).astype(np.float32)[:, None, None]
    along, across = (c * u + s * v) / length, (c * v - s * u) / (0.3 * length)
    light = np.exp(-((along**2 + across**2 + 1e-4) ** 1.1))
    return _normalise(light, np.ones(len(u)))


def dust_lane(g: Galaxies, u: np.ndarray, v: np.ndarray, depth: float) -> np.ndarray:
    """(n, cells, cells) transmission of the lane across disks seen edge-on; ``depth`` per magnitude of A_V."""
    height = (v * g["q_disk"].astype(np.float32)[:, None, None]).astype(np.float32)
    edge = np.clip((0.42 - g["q_disk"]) / 0.2, 0, 1) * np.minimum(g["av"], 2.0) * depth
    thick = (0.055 * g["r_disk"] + 0.03).astype(np.float32)[:, None, None]
    offset = (0.03 * g["r_disk"]).astype(np.float32)[:, None, None]
    along = np.exp(-((u / (1.6 * g["r_disk"].astype(np.float32)[:, None, None])) ** 2))
    tau = edge.astype(np.float32)[:, None, None] * along * np.exp(-0.5 * ((height - offset) / thick) ** 2)
    return np.exp(-tau)


def tail(
    axis: np.ndarray,
    x0: float,
    y0: float,
    reach: float,
    turn: float,
    angle: float,
    width: float,
    rng: np.random.Generator,
) -> np.ndarray:
    """(cells, cells) a tidal tail that leaves (x0, y0) at ``angle`` and bends by ``turn`` radians; lumpy, sums to 1."""
    t = np.linspace(0.06, 1.0, 48, dtype=np.float32)
    direction = angle + turn * t
    step = np.diff(t, prepend=np.float32(0)) * reach
    x, y = x0 + np.cumsum(step * np.cos(direction)), y0 + np.cumsum(step * np.sin(direction))
    spread = width * (0.55 + 0.9 * t)
    lumps = np.convolve(rng.normal(0, 1.3, len(t) + 4), np.full(5, 0.3), mode="valid")
    weight = np.exp(-1.9 * t + lumps) / spread
    gx = np.exp(-0.5 * ((axis[None, :] - x[:, None]) / spread[:, None]) ** 2)
    gy = np.exp(-0.5 * ((axis[None, :] - y[:, None]) / spread[:, None]) ** 2)
    light = np.einsum("t,ty,tx->yx", weight.astype(np.float32), gy, gx)
    return light / light.sum()
