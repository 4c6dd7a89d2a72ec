"""The sentences of which summaries of X-ray sources are made; each list holds ways to say one thing.

None holds a name, the word for a source's class, or a number.
"""

from __future__ import annotations

SETTING: dict[str, tuple[str, ...]] = {
    "AGN": (
        "The emission comes from the unresolved centre of a distant galaxy, where gas falls into a supermassive hole.",
        "A faint extragalactic counterpart with broad optical lines suggests accretion onto a massive central object.",
        "The nucleus of its host dominates, and the source is taken to be fed by a giant black hole.",
    ),
    "XRB": (
        "A compact object draws matter from a companion through a disk, and the state of the disk sets the spectrum.",
        "The source lies in a nearby galaxy's bulge and its brightness demands accretion from a close companion.",
        "Matter is transferred from a donor, and the inner accretion disk of a stellar remnant is seen.",
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
        "It belongs to an association that still forms, and its activity is that of youth.",
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
PURPOSE: dict[str, tuple[str, ...]] = {
    "AGN": ("This constrains how obscured accretion builds up the cosmic background.", "The torus model is tested."),
    "XRB": ("The luminosity function of accreting remnants is tested.", "State transitions of the disk are tested."),
    "ULX": ("The nature of the accretor, beamed or massive, is what the data are asked.", "Funnel models are tested."),
    "pulsar": ("Cooling curves and polar-cap heating are compared with it.", "Spin-down models are tested."),
    "CV": ("The mass of the degenerate dwarf follows from the shock.", "Magnetic braking is tested with it."),
    "young-star": ("Dynamo saturation at early ages is tested.", "Its irradiation of a disk is estimated."),
    "star": ("The relation of activity and rotation is tested.", "Coronal abundances are compared."),
    "galaxy-cluster": ("The mass within the core is derived.", "Cooling and feedback of the gas are tested."),
    "lensed-quasar": ("The size of the corona follows from microlensing.", "Time delays are sought."),
}
VARIATION: dict[str, tuple[str, ...]] = {
    "constant": (
        "No significant change of brightness is found.",
        "Variability is not discussed.",
        "The light curve is steady.",
        "The count rate is consistent with a constant.",
    ),
    "flare": (
        "A sudden rise with a slower decay is seen.",
        "The light curve shows an impulsive outburst.",
        "An eruption is caught during the exposure.",
        "The source brightened many times over and faded again.",
    ),
    "eclipse": (
        "The count rate falls sharply to almost nothing and recovers.",
        "A companion hides it for a while.",
        "Ingress and egress of an occultation are timed.",
    ),
    "pulsation": (
        "The rate is modulated periodically.",
        "A coherent period appears in the power spectrum.",
        "Folding the arrival times reveals a regular pulse.",
        "A rotational modulation of large pulsed fraction is detected.",
    ),
    "dip": (
        "Short, irregular drops of brightness occur.",
        "Absorbing clumps pass in front of it from time to time.",
        "Intermittent dimming episodes are reported.",
    ),
}
MODEL: dict[str, tuple[str, ...]] = {
    "powerlaw": (
        "A featureless non-thermal continuum fits the spectrum.",
        "The spectrum is a simple power law.",
        "No thermal component is needed beside the non-thermal one.",
    ),
    "blackbody + powerlaw": (
        "A thermal component joins a hard tail.",
        "Two components are needed, one thermal.",
        "The fit requires a blackbody beside the power law.",
    ),
    "plasma": (
        "Emission lines of an optically thin hot gas are present.",
        "A thermal plasma describes the spectrum.",
        "A collisionally ionised gas model is preferred.",
    ),
}
# (upper limit of the value, ways to say it); the last one has no limit
NH = (
    (0.03, ("Absorption is negligible.", "Hardly any intervening gas is seen.", "The sight line is clear.")),
    (0.15, ("Absorption is low.", "Little intervening gas is required.", "The column is small.")),
    (0.8, ("A moderate column is fitted.", "Some soft photons are lost to intervening gas.")),
    (3.0, ("The line of sight is heavily absorbed.", "A large column hides the soft photons.")),
    (None, ("It is buried behind an extreme column.", "Only the hardest photons escape the obscuring gas.")),
)
GAMMA = (
    (1.4, ("The continuum is very flat.", "The photon index is unusually small, so hard photons abound.")),
    (1.75, ("The slope is rather flat.", "A hard slope is fitted.")),
    (2.05, ("The slope is typical of accreting sources.", "An ordinary slope is fitted.")),
    (None, ("The slope is steep.", "A soft, steep continuum is fitted.")),
)
KT = (
    (0.25, ("The thermal component is very cool.", "Its temperature is that of a hot surface.")),
    (0.75, ("The gas is cool.", "A low temperature is fitted.")),
    (1.6, ("The temperature is moderate.", "The thermal part is neither cool nor hot.")),
    (4.5, ("The plasma is hot.", "A high temperature is fitted.")),
    (None, ("The gas is very hot.", "The temperature is extreme, near the limit of the band.")),
)
RATE = (  # log10 of counts a second
    (-3.0, ("The source is barely detected.", "Few photons were collected.", "It is very faint.")),
    (-2.5, ("The source is faint.", "The photons are few but sufficient.")),
    (-2.0, ("It is of average brightness in its field.", "A moderate number of photons is available.")),
    (-1.5, ("The source is bright.", "The spectrum has good statistics.")),
    (None, ("It is among the brightest of its field.", "The statistics are excellent and pile-up was considered.")),
)
MIX = (
    (0.35, ("The hard tail carries most of the photons.", "The non-thermal part dominates.")),
    (0.65, ("Both components contribute alike.",)),
    (None, ("The thermal part dominates.", "The hard tail is weak.")),
)
ABSENT = ("Not discussed.", "The source is listed in a table but not discussed.")
SAMPLE: dict[str, tuple[str, ...]] = {
    "star-forming region": (
        "A census of sources in a region of recent birth.",
        "The population of a nearby nursery is studied.",
    ),
    "nearby galaxy": ("The point sources of a nearby galaxy are catalogued.", "A survey of a spiral neighbour's disk."),
    "deep field": ("Sources of a deep extragalactic exposure are characterised.", "A deep survey is presented."),
}
