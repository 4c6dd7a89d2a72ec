"""What turns around the centre of an object: spiral arms, bars, rings and arcs, on the plane unrolled into polar form.

Arms as the logarithmic spirals into which the light of a ring after ring falls apart: Kalnajs 1975 (Colloques
internationaux du CNRS 241, 103), Puerari & Dottori 1992 (Astron. Astrophys. Suppl. 93, 469).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TURNS = 96
"""Directions in which a plane is unrolled."""
PITCH = (9.0, 50.0)
"""Degrees between an arm and a circle; what is wound tighter is taken for a ring, what is more open for a bar."""


@dataclass(frozen=True)
class Frame:
    """Where an object lies on its plane: centre (pixels), elongation (1 is round), angle of its long axis (rad)."""

    x: float
    y: float
    elongation: float
    angle: float

    def radius(self, shape: tuple[int, ...]) -> np.ndarray:
        """(h, w) radius along the long axis of the ellipse through each pixel."""
        y, x = np.indices(shape)
        along = (x - self.x) * np.cos(self.angle) + (y - self.y) * np.sin(self.angle)
        across = (y - self.y) * np.cos(self.angle) - (x - self.x) * np.sin(self.angle)
        return np.hypot(along, across * self.elongation)

    def unrolled(self, plane: np.ndarray, radii: np.ndarray) -> np.ndarray:
        """(radii, TURNS) light on ellipses with long axes of ``radii`` (k,) pixels."""
        from scipy.ndimage import map_coordinates

        turn = np.arange(TURNS) * 2 * np.pi / TURNS
        along, across = radii[:, None] * np.cos(turn), radii[:, None] * np.sin(turn) / self.elongation
        x = self.x + along * np.cos(self.angle) - across * np.sin(self.angle)
        y = self.y + along * np.sin(self.angle) + across * np.cos(self.angle)
        return map_coordinates(plane, [y, x], order=1, mode="nearest")


def arms(plane: np.ndarray, noise: float, frame: Frame, inner: float, outer: float) -> tuple[float, float, float]:
    """(strength of spiral arms, strength of a bar, how many times arms exceed the noise).

    A strength is the largest amplitude, relative to the light at the same radius, of two to four arms that wind by one
    angle between ``inner`` and ``outer`` (pixels), or of two that do not wind.
    """
    if outer < 1.6 * inner:
        return 0.0, 0.0, 0.0
    radii = np.geomspace(inner, outer, 28)
    light = frame.unrolled(plane, radii)
    profile = np.median(light, axis=1)
    bright = profile > 1.5 * noise
    if bright.sum() < 10:
        return 0.0, 0.0, 0.0
    radii, light, profile = radii[bright], light[bright], profile[bright, None]
    waves = np.fft.rfft(np.clip(light / profile - 1, -1.0, 1.5), axis=1)[:, :5] * 2 / TURNS
    scatter = noise / profile[:, 0]
    weight = 1 / (0.1**2 + scatter**2)
    weight /= weight.sum()
    pixels = np.minimum(2 * np.pi * radii / frame.elongation**0.5, TURNS)  # independent ones on each ellipse
    floor = float(np.sqrt((weight**2 * scatter**2 * 2 / pixels).sum()))
    straight = float(np.abs((weight * waves[:, 2]).sum()))
    waves = waves - (weight[:, None] * waves).sum(axis=0)  # what does not wind is no arm: a bar, or a tilted disk
    wind, found = np.log(radii), 0.0
    for m in (2, 3, 4):
        tight, open_ = (m / np.tan(np.radians(p)) for p in PITCH)
        turns = np.concatenate([-np.linspace(tight, open_, 24), np.linspace(open_, tight, 24)])
        kernel = np.exp(-1j * np.outer(turns, wind))
        found = max(found, float(np.abs(kernel @ (weight * waves[:, m])).max()))
    return found, straight, found / max(floor, 1e-12)


def without(plane: np.ndarray, frame: Frame) -> np.ndarray:
    """(h, w) what is left of a plane when the median light of each ellipse is taken away."""
    radius = frame.radius(plane.shape)
    outer = int(radius.max()) + 1
    edges = np.arange(0, outer + 1.5)
    at = np.clip(np.digitize(radius, edges) - 1, 0, outer)
    order = np.argsort(at, axis=None, kind="stable")
    parts = np.split(plane.ravel()[order], np.cumsum(np.bincount(at.ravel(), minlength=outer + 1))[:-1])
    profile = np.array([np.median(p) if len(p) else 0.0 for p in parts])
    return plane - np.interp(radius, edges[: len(profile)] + 0.5, profile)


@dataclass(frozen=True)
class Arcs:
    """Blue features around a centre that is redder: the thinnest's ``slim`` (length over thickness) and ``turn``
    (degrees of a circle that all of them fill), their ``light`` (standard deviations of the noise, all together), and
    by how many magnitudes they are ``bluer`` than what they lie around."""

    slim: float = 0.0
    turn: float = 0.0
    light: float = 0.0
    bluer: float = 0.0


def blue_arcs(
    blue: np.ndarray, red: np.ndarray, noise: tuple[float, float], frame: Frame, mine: np.ndarray, least: float = 0.25
) -> Arcs:
    """What stands out of the two planes, less their median ellipses, ``least`` magnitudes bluer than ``mine`` (h, w).

    Looked for between 4 pixels from the centre and three quarters of the way to the border.
    """
    from scipy.ndimage import find_objects, gaussian_filter, label

    left, left_red = without(blue, frame), without(red, frame)
    found, count = label(gaussian_filter(left, 0.8) > 1.8 * noise[0], structure=np.ones((3, 3)))
    host = max(float(blue[mine].sum()), 1e-9) / max(float(red[mine].sum()), 1e-9)
    y, x = np.indices(left.shape)
    away, turn = np.hypot(x - frame.x, y - frame.y), np.arctan2(y - frame.y, x - frame.x)
    slim, bluest, total, weight = 0.0, 0.0, 0.0, 0
    filled: set[int] = set()
    for number, box in enumerate(find_objects(found), 1) if count else ():
        part = found[box] == number
        at = away[box][part]
        if part.sum() < 8 or not 4.0 < np.median(at) < 0.375 * min(left.shape):
            continue
        here, there = float(left[box][part].sum()), float(left_red[box][part].sum())
        floor = 1.5 * noise[1] * np.sqrt(part.sum())
        bluer = float(np.clip(2.5 * np.log10(here / max(there, floor) / host), -3, 3))
        if bluer < least:
            continue
        sectors = set(((turn[box][part] + np.pi) * 72 / (2 * np.pi)).astype(int) % 72)
        thick = 2 * 1.4826 * float(np.median(np.abs(at - np.median(at)))) + 1.0
        slim = max(slim, float(np.radians(5.0 * len(sectors)) * np.median(at) / thick))
        filled |= sectors
        total, weight, bluest = total + here, weight + int(part.sum()), bluest + bluer * here
    if not weight:
        return Arcs()
    return Arcs(slim, 5.0 * len(filled), total / (noise[0] * weight**0.5), bluest / total)
