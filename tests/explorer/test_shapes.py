"""Measured shapes on pixels whose shape is known, and the words that are made of them."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.pipeline import phrases, shapes

NOISE = 0.01
Y, X = np.mgrid[-32:32, -32:32].astype(float)
R, PHI = np.hypot(X, Y), np.arctan2(Y, X)


def noisy(light: np.ndarray, seed: int = 1) -> np.ndarray:
    return light + np.random.default_rng(seed).normal(0, NOISE, light.shape)


def spiral(strength: float, pitch: float = 20.0, arms: int = 2) -> np.ndarray:
    wave = np.cos(arms * (PHI - np.log(np.maximum(R, 0.5)) / np.tan(np.radians(pitch))))
    return 3 * np.exp(-R / 7) * (1 + strength * wave) + 2 * np.exp(-R / 1.5)


ROUND = noisy(5 * np.exp(-R / 3))
THIN = noisy(5 * np.exp(-np.hypot(X / 4, Y) / 2))
PAIR = noisy(sum(np.exp(-((X - d) ** 2 + Y**2) / 24) for d in (-6, 6)) * np.where(X > 0, 0.6, 1))
RING = noisy(np.exp(-((R - 12) ** 2) / 6) + 0.8 * np.exp(-R / 2))


def test_shapes_of_known_pixels():
    told = {n: shapes.measure(p) for n, p in {"round": ROUND, "thin": THIN, "pair": PAIR, "ring": RING}.items()}
    assert told["round"]["elongation"] == pytest.approx(1, abs=0.1)
    assert told["round"]["asymmetry"] < 0.05
    assert told["thin"]["elongation"] == pytest.approx(4, rel=0.25)
    assert told["pair"]["nuclei"] == 2
    assert told["pair"]["asymmetry"] > told["round"]["asymmetry"] + 0.05
    assert told["pair"]["m20"] > told["round"]["m20"] + 0.3
    assert told["ring"]["ring"] > 0.1
    assert told["round"]["ring"] == 0
    assert shapes.measure(noisy(np.zeros(X.shape))) is None


def test_concentration_is_that_of_an_exponential_disk():
    """r80 / r20 of an exponential profile is 3.63, so 5 log10 of it 2.80 (Conselice 2014)."""
    wide = noisy(500 * np.exp(-R / 4.5))
    assert shapes.measure(wide)["concentration"] == pytest.approx(2.8, abs=0.15)


@pytest.mark.parametrize("arms", [2, 3])
def test_arms_are_measured_and_a_bar_or_a_tilt_is_none(arms):
    strong, weak = (shapes.measure(noisy(spiral(s, arms=arms))) for s in (0.5, 0.15))
    smooth = shapes.measure(noisy(spiral(0.0)))
    assert strong["arms"] > 2 * weak["arms"] > 3 * smooth["arms"]
    turned = shapes.measure(np.rot90(noisy(spiral(0.5, arms=arms))))
    assert turned["arms"] == pytest.approx(strong["arms"], rel=0.1)
    tilted = shapes.measure(noisy(5 * np.exp(-np.hypot(X, Y * 1.8) / 6)))
    assert tilted["arms"] < 0.5 * weak["arms"]
    barred = 3 * np.exp(-R / 7) * (1 + 0.5 * np.cos(2 * PHI)) + 2 * np.exp(-R / 1.5)
    told = shapes.measure(noisy(barred))
    assert told["bar"] > 2 * told["arms"]


def lensed(colour: float, turn: float = 1.2) -> np.ndarray:
    """Two bands, blue and red, of a round galaxy with a feature 14 pixels out that is ``colour`` magnitudes bluer."""
    host = 5 * np.exp(-R / 3)
    arc = 0.3 * np.exp(-((R - 14) ** 2) / 3) * (np.abs(PHI - 0.6) < turn / 2)
    return np.stack([noisy(host + arc, 1), noisy(host + arc * 10 ** (-0.4 * colour), 2)])


def test_a_blue_arc_is_told_from_a_red_one_and_from_a_blob():
    arc, red = shapes.measure(lensed(1.5)), shapes.measure(lensed(0.0))
    assert arc["arc"] > 2.5
    assert arc["arc_turn"] == pytest.approx(np.degrees(1.2), abs=25)
    assert 0.9 < arc["arc_blue"] < 2.5
    assert red["arc"] == 0
    blob = shapes.measure(lensed(1.5, turn=0.25))
    assert blob["arc"] < 0.6 * arc["arc"]
    assert shapes.measure(lensed(1.5)[0])["arc"] == 0, "one band has no colour"


def test_words_say_what_was_measured():
    def words(pixels: np.ndarray) -> str:
        shape = shapes.measure(pixels)
        return phrases.in_words(shape, phrases.traits(shape) if shape else {})

    assert "elliptical" in words(noisy(60 * np.exp(-3.67 * ((R + 0.3) / 5) ** 0.5)))
    assert "edge-on" in words(THIN)
    assert "merging" in words(PAIR)
    assert "spiral arms" in words(noisy(spiral(0.5)))
    assert "gravitational lens" in words(lensed(1.5))
    assert "ring" in words(RING)
    assert words(noisy(np.zeros(X.shape))).startswith("A faint object")
