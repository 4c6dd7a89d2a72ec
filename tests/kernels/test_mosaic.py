"""Sprites and resizing against Pillow's filters and plain block means."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kernels.layout.mosaic import fit, resize, sprite


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (7, 48, 48, 3), dtype=np.uint8)


def test_shrinking_by_a_factor_is_the_block_mean(images: np.ndarray) -> None:
    want = images.reshape(7, 16, 3, 16, 3, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(resize(images.astype(np.float32), 16, 16), want, rtol=1e-5)
    assert np.abs(resize(images, 16, 16) - want).max() <= 0.51


@pytest.mark.parametrize(("height", "width"), [(31, 17), (47, 40), (1, 1)])
def test_shrinking_is_pillows_box(images: np.ndarray, height: int, width: int) -> None:
    got = resize(images, height, width)
    for image, small in zip(images, got, strict=True):
        # Pillow's box takes whole pixels only, hence its reduce of a picture enlarged to a common multiple
        big = Image.fromarray(image).resize((48 * width, 48 * height), Image.Resampling.NEAREST)
        want = np.asarray(big.resize((width, height), Image.Resampling.BOX)).astype(int)
        assert np.abs(small.astype(int) - want).max() <= 1


def test_enlarging_is_pillows_bilinear(images: np.ndarray) -> None:
    got = resize(images, 100, 61)
    for image, large in zip(images, got, strict=True):
        want = np.asarray(Image.fromarray(image).resize((61, 100), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(large.astype(int) - want).max() <= 2


def test_each_cell_holds_its_image(images: np.ndarray) -> None:
    picture = sprite(images, cell=48, columns=3, fill=9)
    assert picture.shape == (3 * 48, 3 * 48, 3)
    for i, image in enumerate(images):
        top, left = 48 * (i // 3), 48 * (i % 3)
        np.testing.assert_array_equal(picture[top : top + 48, left : left + 48], image)
    assert (picture[96:, 48:] == 9).all(), "cells after the last image are empty"


def test_images_of_any_size_and_none(images: np.ndarray) -> None:
    wide, absent = images[0, :24], None
    picture = sprite([wide, absent, images[1]], cell=32, columns=3, fill=0)
    assert picture.shape == (32, 96, 3)
    np.testing.assert_array_equal(picture[8:24, :32], resize(wide, 16, 32))
    assert (picture[:8, :32] == 0).all()
    assert (picture[24:, :32] == 0).all()
    assert (picture[:, 32:64] == 0).all()
    np.testing.assert_array_equal(picture[:, 64:], resize(images[1], 32, 32))
    assert fit(np.full((2, 200, 3), 255, np.uint8), 20, 0).any(), "a thin image does not vanish"


def test_nothing_and_nonsense() -> None:
    assert sprite([], 16, 4).shape == (0, 64, 3)
    with pytest.raises(ValueError, match="at least 1"):
        sprite([], 16, 0)
    with pytest.raises(ValueError, match="0 x 5"):
        resize(np.zeros((4, 4, 3)), 0, 5)
