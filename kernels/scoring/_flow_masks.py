"""Which weights of an autoregressive network exist: degrees, staircases and how they are packed.

A unit of degree m sees the inputs of degree at most m; the parameters of input i see the units of degree below i
(Germain et al. 2015, MADE, arXiv:1502.03509). With units sorted by degree a mask is a staircase, and a layer becomes
a few dense products on its steps: about half the arithmetic of the full matrix.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

DEGREES = ("spread", "nflows")


def hidden_degrees(hidden: int, features: int, kind: str) -> np.ndarray:
    """(hidden,) int ascending degrees of the hidden units, between 1 and ``features`` - 1.

    ``"spread"`` lays them evenly over the whole range, so that at any width every input conditions something.
    ``"nflows"`` is that library's rule, ``arange(hidden) % (features - 1) + 1``, here sorted: where ``hidden`` is
    less than ``features`` - 1 it wires the first ``hidden`` inputs alone.
    """
    if kind not in DEGREES:
        raise ValueError(f"degrees={kind!r} is unknown: choose one of {', '.join(DEGREES)}")
    if features == 1:
        return np.zeros(hidden, dtype=np.int64)
    if kind == "nflows":
        return np.sort(np.arange(hidden) % (features - 1) + 1)
    if hidden == 1:
        return np.array([(features + 1) // 2])
    return np.round(np.linspace(1, features - 1, hidden)).astype(np.int64)


@dataclass(frozen=True)
class Step:
    """One step of a staircase: rows ``r0:r1`` see columns ``c0:c1``; within ``p0:p1`` only where ``mask`` is 1.

    ``at`` is where its (r1 - r0) x (c1 - c0) weights start in the packed parameters. ``mask`` is
    (r1 - r0, p1 - p0) float32, ``None`` where all of it is 1.
    """

    r0: int
    r1: int
    c0: int
    c1: int
    p0: int
    p1: int
    mask: np.ndarray | None
    at: int

    @property
    def size(self) -> int:
        return (self.r1 - self.r0) * (self.c1 - self.c0)


@dataclass(frozen=True)
class Linear:
    """A masked linear map: its steps, and where its bias (``rows`` numbers) starts in the packed parameters."""

    steps: tuple[Step, ...]
    rows: int
    columns: int
    bias: int


@dataclass(frozen=True)
class Layer:
    """One autoregressive layer: the map into the hidden units, the maps among them, the map to scale and shift.

    Rows of ``out`` come in chunks, one a step: first the log-scales of features f0:f1, then their shifts.
    ``chunks`` holds those (f0, f1).
    """

    first: Linear
    inner: tuple[Linear, ...]
    out: Linear
    chunks: tuple[tuple[int, int], ...]


class Packer:
    """Gives every weight its place in one flat vector of parameters."""

    def __init__(self) -> None:
        self.size = 0

    def take(self, count: int) -> int:
        start, self.size = self.size, self.size + count
        return start

    def linear(self, rows: np.ndarray, columns: np.ndarray, strict: bool, step: int, twice: bool = False) -> Linear:
        """A map from units of degree ``columns`` to units of degree ``rows``, both sorted either way.

        ``strict`` asks for a lower degree instead of at most the same; ``twice`` doubles every step's rows.
        """
        steps, made = [], 0
        for start, stop in _cuts(len(rows), step):
            degrees = np.tile(rows[start:stop], 2 if twice else 1)
            mask = columns[None, :] < degrees[:, None] if strict else columns[None, :] <= degrees[:, None]
            c0, c1 = _span(np.any(mask, axis=0))
            p0, p1 = _span(np.any(mask, axis=0) & ~np.all(mask, axis=0))
            part = mask[:, p0:p1].astype(np.float32) if p1 > p0 else None
            at = self.take(len(degrees) * (c1 - c0))
            steps.append(Step(made, made + len(degrees), c0, c1, p0, p1, part, at))
            made += len(degrees)
        return Linear(tuple(steps), made, len(columns), self.take(made))


def layer(packer: Packer, features: int, degrees: np.ndarray, inner: int, step: int, reverse: bool) -> Layer:
    """The maps of one layer over ``features`` inputs; ``reverse`` counts their degrees from the last to the first."""
    inputs = np.arange(features, 0, -1) if reverse else np.arange(1, features + 1)
    first = packer.linear(degrees, inputs, False, step)
    between = tuple(packer.linear(degrees, degrees, False, step) for _ in range(inner))
    out = packer.linear(inputs, degrees, True, step, twice=True)
    return Layer(first, between, out, tuple(_cuts(features, step)))


def _cuts(n: int, step: int) -> list[tuple[int, int]]:
    count = max(1, round(n / step))
    return [(i * n // count, (i + 1) * n // count) for i in range(count)]


def _span(which: Any) -> tuple[int, int]:
    found = np.flatnonzero(which)
    return (int(found[0]), int(found[-1]) + 1) if len(found) else (0, 0)
