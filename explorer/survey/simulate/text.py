"""Summaries in words, as an abstract would put them: from the physics, with omissions, without name or label."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from explorer.survey.simulate.parameters import Galaxies


def _say(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(0, len(options)))]


def _grade(value: float, edges: Sequence[float], words: Sequence[str]) -> str:
    return words[int(np.searchsorted(edges, value))]


def of_galaxy(g: Galaxies, i: int, rng: np.random.Generator) -> str:
    """A few sentences on galaxy ``i``; each is left out at times, and no number or class is given."""
    mass = _grade(g["logmass"][i], (9.6, 10.4, 11.1), ("low-mass", "intermediate-mass", "massive", "very massive"))
    distance = _grade(g["z"][i], (0.15, 0.4, 0.8), ("nearby", "moderately distant", "distant", "very distant"))
    parts = [_say(rng, (f"A {distance}, {mass} galaxy.", f"This is a {mass} system, {distance}."))]
    parts += [about(g, i, rng) for about in (_shape, _stars, _gas, _dust) if rng.random() < 0.75]
    parts.append(_special(g, i, rng))
    return " ".join(s for s in parts if s)


def _shape(g: Galaxies, i: int, rng: np.random.Generator) -> str:
    if g["quiescent"][i] or g["bulge_fraction"][i] > 0.5:
        return _say(rng, ("The light is smooth and centrally concentrated.", "It has a featureless, round profile."))
    if g["irregular"][i]:
        return _say(rng, ("Its appearance is clumpy and irregular.", "Bright knots are scattered over an uneven disk."))
    if g["q_disk"][i] < 0.3:
        return _say(rng, ("The disk is seen edge-on.", "A thin, highly inclined disk."))
    arms = {2: "two clear arms", 3: "three arms", 4: "many arms", 0: "ragged, broken arms"}[int(g["arms"][i])]
    bar = " and a bar" if g["bar"][i] > 0 else ""
    return _say(rng, (f"The disk shows {arms}{bar}.", f"A spiral with {arms}{bar}."))


def _stars(g: Galaxies, i: int, rng: np.random.Generator) -> str:
    rate = g["logsfr"][i] - g["logmass"][i]
    return _grade(rate, (-11.3, -10.4, -9.4), (
        "Its stars are old and little gas is being turned into new ones.",
        "Star formation is fading.",
        "It forms stars steadily.",
        _say(rng, ("It forms stars vigorously.", "A burst of star formation is under way.")),
    ))  # fmt: skip


def _gas(g: Galaxies, i: int, rng: np.random.Generator) -> str:
    kind = g["bpt"][i]
    if kind == "normal":
        return "No emission lines stand out."
    words = {
        "star-forming": ("The lines are those of gas lit by young stars.", "Balmer emission is strong."),
        "composite": ("Its line ratios suggest more than hot stars alone.", "The excitation is somewhat raised."),
        "Seyfert": ("Doubly ionised oxygen outshines the Balmer lines.", "Highly ionised gas surrounds the centre."),
        "LINER": ("Weak lines of low ionisation are seen.", "Neutral oxygen and sulphur are strong for its hydrogen."),
    }
    return _say(rng, words[kind])


def _dust(g: Galaxies, i: int, rng: np.random.Generator) -> str:
    words = ("Little dust is present.", "Dust reddens it moderately.", "It is heavily reddened by dust.")
    return _grade(g["av"][i], (0.25, 0.9), words)


def _special(g: Galaxies, i: int, rng: np.random.Generator) -> str:
    words = {
        "lens": ("Blue arcs curve around it.", "A background object is distorted into arcs about its centre."),
        "merger": ("Two nuclei share a common envelope with tails.", "Tidal debris points to a recent encounter."),
        "ring": ("A bright annulus encircles the centre.", "Young stars lie in a ring."),
        "broad-line-agn": ("The permitted lines are thousands of km/s wide.", "A bright point dominates the centre."),
        "post-starburst": ("Balmer absorption is strong and emission absent.", "Its last burst ended recently."),
    }
    told = words.get(str(g["class"][i]))
    return _say(rng, told) if told and rng.random() < 0.8 else ""
