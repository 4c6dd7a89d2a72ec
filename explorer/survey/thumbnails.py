"""Thumbnails made once, when an object enters a survey: a page of 400 of them is then read, not computed."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image as Pillow

from explorer.survey.records import Image
from kernels.layout.stretch import stretch

SIZE = 96
QUALITY = 88


def thumbnail(image: Image | bytes, bands: Sequence[str] | None = None, size: int = SIZE) -> bytes:
    """JPEG of ``image`` in the default stretch, no side above ``size`` pixels, never enlarged.

    ``image`` is an :class:`Image`, or the bytes of a PNG or JPEG file, which are decoded at a reduced size
    where the format can (JPEG). 8-bit pixels were stretched by whoever made them and keep their look; others
    get the asinh stretch between their own percentiles, bands to colours by the names in ``bands``.
    """
    rgb = _open(image, size) if isinstance(image, bytes) else to_rgb(image.pixels, bands)
    height, width = rgb.shape[:2]
    shrink = size / max(height, width)
    picture = Pillow.fromarray(rgb)
    if shrink < 1:
        shape = (max(1, round(width * shrink)), max(1, round(height * shrink)))
        picture = picture.resize(shape, Pillow.Resampling.BOX if shrink < 0.5 else Pillow.Resampling.LANCZOS)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY, subsampling=0)
    return out.getvalue()


def thumbnails(
    images: Iterable[Image | bytes | None], bands: Sequence[str] | None = None, size: int = SIZE
) -> list[bytes | None]:
    """:func:`thumbnail` of each image, None for None."""
    return [None if image is None else thumbnail(image, bands, size) for image in images]


def to_rgb(pixels: np.ndarray, bands: Sequence[str] | None = None) -> np.ndarray:
    """(h, w, 3) uint8 of (bands, h, w) pixels: 8-bit ones as they are, others in the default stretch."""
    if pixels.dtype != np.uint8:
        return stretch(pixels, bands=bands)
    if len(pixels) == 3:
        return np.ascontiguousarray(pixels.transpose(1, 2, 0))
    return np.repeat(pixels[0][..., None], 3, axis=2)


def _open(data: bytes, size: int) -> np.ndarray:
    """(h, w, 3) uint8 of a PNG or JPEG file, a JPEG no larger than it needs to be."""
    with Pillow.open(io.BytesIO(data)) as opened:
        if opened.format == "JPEG":
            opened.draft("RGB", (size, size))
        if opened.mode in ("I;16", "I", "F"):
            return stretch(np.asarray(opened, dtype=np.float32)[None])
        return np.asarray(opened.convert("RGB"))
