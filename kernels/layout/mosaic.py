"""Many small pictures as one: a sprite of equal cells, so that a page of thumbnails is one message to a browser."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from kernels.layout.stretch import NEUTRAL
from kernels.preprocess.images import overlaps


@lru_cache(maxsize=256)
def _weights(old: int, new: int) -> np.ndarray:
    """(new, old) float32 rows that sum to 1: exact overlaps of pixels when shrinking, bilinear when enlarging."""
    if new < old:
        return overlaps(old, new)
    centre = np.clip((np.arange(new) + 0.5) * (old / new) - 0.5, 0, old - 1)
    overlap = np.clip(1 - np.abs(centre[:, None] - np.arange(old)[None]), 0, None)
    return np.asarray(overlap / overlap.sum(axis=1, keepdims=True), dtype=np.float32)


def resize(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Images (..., h, w, c) at another size: area-averaged along an axis that shrinks, bilinear along one that grows.

    uint8 stays uint8 (rounded); other types come back as float32. Flux per area is kept: the mean of an image is
    unchanged when its size divides the old one.
    """
    if height < 1 or width < 1:
        raise ValueError(f"an image of {height} x {width} pixels cannot be made")
    *lead, h, w, c = images.shape
    if (h, w) == (height, width):
        return images if images.dtype == np.uint8 else images.astype(np.float32, copy=False)
    small = images.astype(np.float32).reshape(-1, h, w * c)
    if h != height:
        small = np.matmul(_weights(h, height), small)
    if w != width:
        planes = small.reshape(-1, height, w, c).transpose(0, 1, 3, 2)
        small = np.matmul(planes, _weights(w, width).T).transpose(0, 1, 3, 2)
    out = small.reshape(*lead, height, width, c)
    return np.rint(out).astype(np.uint8) if images.dtype == np.uint8 else out


def fit(image: np.ndarray, cell: int, fill: int = NEUTRAL) -> np.ndarray:
    """One image (h, w, 3) uint8 inside a square of ``cell`` pixels, whole, centred, its shape kept."""
    h, w = image.shape[:2]
    scale = cell / max(h, w)
    inside = resize(image, max(1, round(h * scale)), max(1, round(w * scale)))
    if inside.shape[:2] == (cell, cell):
        return inside
    out = np.full((cell, cell, 3), fill, dtype=np.uint8)
    top, left = (cell - inside.shape[0]) // 2, (cell - inside.shape[1]) // 2
    out[top : top + inside.shape[0], left : left + inside.shape[1]] = inside
    return out


def sprite(
    images: np.ndarray | Sequence[np.ndarray | None], cell: int, columns: int, fill: int = NEUTRAL
) -> np.ndarray:
    """(rows * cell, columns * cell, 3) uint8: image ``i`` in row ``i // columns`` and column ``i % columns``.

    ``images`` is (n, h, w, 3) uint8, or a list of (h, w, 3) of any sizes, None where there is no image; an empty
    cell is ``fill``.
    """
    if columns < 1 or cell < 1:
        raise ValueError(f"a sprite needs a cell and columns of at least 1, not {cell} and {columns}")
    n = len(images)
    rows = -(-n // columns)
    grid = np.full((rows * columns, cell, cell, 3), fill, dtype=np.uint8)
    if isinstance(images, np.ndarray) and n and images.shape[1] == images.shape[2]:
        grid[:n] = resize(images, cell, cell)
    else:
        for i, image in enumerate(images):
            if image is not None:
                grid[i] = fit(image, cell, fill)
    picture = grid.reshape(rows, columns, cell, cell, 3).transpose(0, 2, 1, 3, 4)
    return np.ascontiguousarray(picture).reshape(rows * cell, columns * cell, 3)
