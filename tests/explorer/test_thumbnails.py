"""Thumbnails that are made at ingest."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from explorer.survey.records import Image
from explorer.survey.thumbnails import SIZE, thumbnail, thumbnails, to_rgb
from kernels.layout.stretch import stretch


def _file(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(pixels).save(out, kind, **options)
    return out.getvalue()


def _read(data: bytes | None) -> np.ndarray:
    assert data is not None
    assert data.startswith(b"\xff\xd8\xff"), "a thumbnail is a JPEG"
    return np.asarray(Pillow.open(io.BytesIO(data)).convert("RGB")).astype(int)


def _scene(size: int, bands: int = 1) -> np.ndarray:
    y, x = np.mgrid[:size, :size] - size / 2 + 0.5
    light = 300 * np.exp(-np.hypot(x, y) / (size / 8))
    noise = np.random.default_rng(2).normal(size=(bands, size, size))
    return (light * np.linspace(1, 2, bands)[:, None, None] + noise).astype(np.float32)


def test_a_small_cutout_keeps_its_pixels_in_the_default_stretch() -> None:
    image = Image(_scene(64, 4))
    got = _read(thumbnail(image, ["VIS", "Y", "J", "H"]))
    assert got.shape == (64, 64, 3)
    want = stretch(image.pixels, bands=["VIS", "Y", "J", "H"]).astype(int)
    assert np.abs(got - want).mean() < 4, "only JPEG lies between them"


@pytest.mark.parametrize("shape", [(423, 423), (400, 200), (97, 96)])
def test_a_large_one_is_reduced_and_keeps_its_shape(shape: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (3, *shape), dtype=np.uint8)
    got = _read(thumbnail(Image(pixels)))
    assert max(got.shape) == SIZE
    assert got.shape[1] / got.shape[0] == pytest.approx(shape[1] / shape[0], rel=0.02)
    assert got.mean() == pytest.approx(pixels.mean(), abs=2), "the mean light stays"


def test_eight_bit_pixels_keep_the_look_they_came_with() -> None:
    ramp = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    for data in (_file(ramp, "PNG"), Image(ramp[None])):
        assert np.abs(_read(thumbnail(data))[..., 0] - ramp).max() <= 6
    colour = np.stack([ramp, ramp.T, 255 - ramp], axis=-1)
    assert np.abs(_read(thumbnail(_file(colour, "JPEG", quality=98))) - colour).mean() < 3
    np.testing.assert_array_equal(to_rgb(colour.transpose(2, 0, 1)), colour)


def test_a_large_jpeg_is_read_small() -> None:
    colour = np.repeat(np.repeat(np.random.default_rng(0).integers(0, 255, (30, 30, 3), dtype=np.uint8), 40, 0), 40, 1)
    assert _read(thumbnail(_file(colour, "JPEG"))).shape == (SIZE, SIZE, 3)


def test_sixteen_bit_and_transparent_files() -> None:
    deep = (_scene(80)[0] * 50 + 1000).clip(0, 65535).astype(np.uint16)
    got = _read(thumbnail(_file(deep, "PNG")))
    assert got[40, 40].min() > 200
    assert np.median(got) < 90
    clear = np.zeros((20, 20, 4), np.uint8)
    assert _read(thumbnail(_file(clear, "PNG"))).shape == (20, 20, 3)


def test_no_data_and_no_image() -> None:
    grey = _read(thumbnail(Image(np.full((2, 30, 30), np.nan, np.float32))))
    assert grey.std() < 1
    assert 20 < grey.mean() < 120, "neither sky nor object"
    assert [t is None for t in thumbnails([None, Image(_scene(16)), None])] == [True, False, True]
