"""What papers would say of an X-ray source: measured properties and reasoning, with omissions and synonyms.

No sentence holds a name, the word for the source's class, or a value that a catalogue column gives.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_SETTING: dict[str, tuple[str, ...]] = {
    "AGN": (
        "The emission comes from the unresolved centre of a distant galaxy, where gas falls into a supermassive hole.",
        "A faint extragalactic counterpart with broad optical lines suggests accretion onto a massive central object.",
    ),
    "XRB": (
        "A compact object draws matter from a companion through a disk, and the state of the disk sets the spectrum.",
        "The source lies in a nearby galaxy's bulge and its brightness demands accretion from a close companion.",
    ),
    "ULX": (
        "Off the nucleus of its host, the source outshines the Eddington limit of any ordinary remnant.",
        "Its luminosity, if isotropic, calls for beaming, super-critical accretion or an unusually heavy black hole.",
    ),
    "pulsar": (
        "Rotation and a strong magnetic field power the emission; part of it comes from the hot polar caps.",
        "A spinning neutron remnant with a faint nebula explains the thermal and the non-thermal component.",
    ),
    "CV": (
        "A white dwarf accretes from a low-mass donor, and the shock above its surface sets the temperature.",
        "Orbital modulation and an iron complex point to a magnetic degenerate dwarf fed by a companion.",
    ),
    "young-star": (
        "In a region of recent birth, magnetic activity of a pre-main-sequence object heats its corona.",
        "The counterpart has an infrared excess from a disk; reconnection produces hot, eruptive plasma.",
    ),
    "star": (
        "Coronal activity of a nearby field dwarf explains the soft thermal emission.",
        "The optical counterpart is bright and has a high proper motion; its corona is cool.",
    ),
    "galaxy-cluster": (
        "The emission is extended and arises in hot gas held by a deep, dark-matter dominated potential.",
        "Diffuse gas between member galaxies, with an iron line at a moderate redshift, fills the core.",
    ),
    "lensed-quasar": (
        "Several images of one background nucleus surround a foreground galaxy, their fluxes altered by microlenses.",
        "Magnified by an intervening mass, the distant accreting nucleus is seen along more than one path.",
    ),
}
_VARIATION: dict[str, tuple[str, ...]] = {
    "constant": ("No significant change of brightness is found.", "Variability is not discussed."),
    "flare": ("A sudden rise with a slower decay is seen.", "The light curve shows an impulsive outburst."),
    "eclipse": ("The count rate falls sharply to almost nothing and recovers.", "A companion hides it for a while."),
    "pulsation": ("The rate is modulated periodically.", "A coherent period appears in the power spectrum."),
    "dip": ("Short, irregular drops of brightness occur.", "Absorbing clumps pass in front of it from time to time."),
}
_MODEL: dict[str, tuple[str, ...]] = {
    "powerlaw": ("A featureless non-thermal continuum fits the spectrum.", "The spectrum is a simple power law."),
    "blackbody + powerlaw": ("A thermal component joins a hard tail.", "Two components are needed, one thermal."),
    "plasma": ("Emission lines of an optically thin hot gas are present.", "A thermal plasma describes the spectrum."),
}


def of_source(kind: str, curve: str, model: str, nh: float, drawn: dict[str, float], rng: np.random.Generator) -> str:
    """A summary of one source; each statement is missing at times, and one in twenty is mistaken."""

    def say(options: Sequence[str]) -> str:
        return options[int(rng.integers(0, len(options)))]

    def slip(value: str, among: dict[str, tuple[str, ...]]) -> str:
        return value if rng.random() > 0.05 else list(among)[int(rng.integers(0, len(among)))]

    parts = [say(_SETTING[slip(kind, _SETTING)])] if rng.random() < 0.85 else ["Its nature is not discussed."]
    parts.append(say(_MODEL[slip(model, _MODEL)]) if rng.random() < 0.8 else "The spectrum is not discussed.")
    if rng.random() < 0.7:
        parts.append(
            say(("The line of sight is heavily absorbed.", "A large column hides the soft photons."))
            if nh > 0.8
            else say(("Absorption is low.", "Little intervening gas is required."))
        )
    if "kt" in drawn and rng.random() < 0.5:
        parts.append("The gas is very hot." if drawn["kt"] > 3 else "The thermal component is cool.")
    if rng.random() < 0.7:
        parts.append(say(_VARIATION[slip(curve, _VARIATION)]))
    return " ".join(parts)
