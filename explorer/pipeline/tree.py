"""Captions held against the decision tree that volunteers went through for the same galaxy (P4.5).

Each question of the tree is answered from the caption by rules on its words, and the caption's score is the share of
the volunteers' answers that it gives too. What a caption denies ("no spiral arms") does not count as said.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

QUESTIONS: dict[str, dict[str, str]] = {
    "smooth-or-featured": {
        "artifact": r"artifacts?|artefacts?|diffraction spikes?|saturat\w+|bleed\w*|"
        r"(bright|foreground) star dominat\w+",
        "featured-or-disk": r"spirals?|dis[kc]s?|edge-on|(spiral|bright|blue) arms?|barred|irregular|clump\w*|"
        r"lenticular|S[ab]\w?\b|rings?",
        "smooth": r"ellipticals?|smooth|featureless|early-type|spheroid\w*|de vaucouleurs",
    },
    "how-rounded": {
        "cigar-shaped": r"cigar\w*|highly (elongated|flattened)|edge-on|needle\w*|spindle\w*|E[67]\b|"
        r"strongly elongated",
        "in-between": r"oval|elongat\w*|ellipsoid\w*|flatten\w*|E[2-5]\b|lenticular|elliptical (shape|outline|profile)",
        "round": r"round\w*|circular\w*|spherical\w*|E[01]\b|symmetric\w*|isotropic",
    },
    "disk-edge-on": {"yes": r"edge-on|edge on|highly inclined|viewed from the side|i ?[≈~] ?[89]\d", "no": ""},
    "edge-on-bulge": {"boxy": r"boxy|peanut|x-shape\w*", "rounded": r"bulge|central concentration", "none": ""},
    "has-spiral-arms": {
        "yes": r"(spiral )?arms?|spiral (structure|pattern|features?)|grand[- ]design|flocculent",
        "no": "",
    },
    "bar": {
        "weak": r"(weak|small|short|faint|hint of a|possible|tentative) (central )?(stellar )?bar",
        "strong": r"bars?|barred|SB[abcd]\w*",
        "no": "",
    },
    "bulge-size": {
        "none": r"bulgeless|without a bulge",
        "dominant": r"dominant (central )?bulge|bulge[- ]dominated",
        "large": r"(large|massive|big|very bright) (\w+ )?(bulge|core)",
        "small": r"(small|compact|modest|tiny|weak|minor|faint) (\w+ )?(bulge|nucleus|core)|pseudo-?bulge|late-type",
        "moderate": r"bulge|(bright|prominent|concentrated) (\w+ )?(core|nucleus|centre|center)",
    },
    "spiral-arm-count": {
        "2": r"two[- ](\w+ )?(spiral )?arm\w*|two (main|prominent|principal|dominant|major)|"
        r"grand[- ]design|pair of arms|m ?= ?2",
        "3": r"three[- ](\w+ )?(spiral )?arm\w*",
        "4": r"four[- ](\w+ )?(spiral )?arm\w*",
        "more-than-4": r"(multiple|many|several|numerous)[- ](\w+ )?arm\w*|multi-?arm\w*|flocculent",
        "cant-tell": "",
    },
    "spiral-winding": {
        "tight": r"tight\w*|S[AB]?ab?\b|early-type spiral",
        "loose": r"loose\w*|open (\w+ )?arms?|S[AB]?[cd]+\b|late-type",
        "medium": r"moderate\w* (tight\w*|wound|open)|S[AB]?bc?\b|intermediate|wound",
    },
    "merging": {
        "merger": r"merg(er|ing|ers)|collid\w*|collision|double nucle\w*|two nucle\w*|tidal (tails?|bridges?)|"
        r"interacting (pair|galax\w+|system)",
        "major-disturbance": r"strongly disturbed|major disturbance|severely distorted",
        "minor-disturbance": r"disturb\w*|distort\w*|warp\w*|asymmetr\w*|tidal",
        "none": "",
    },
}  # fmt: skip
"""Question → answer → words that give it; '' is the answer of a caption that gives no other."""
_DENIED = re.compile(
    r"\b(no|not|non|without|lacks?|lacking|absence|absent|neither|nor|never|rather than|unlikely|rules? out|ruled out|"
    r"isn['’]?t|aren['’]?t|free of|devoid|little|minimal|against|instead of|than|unlike|excludes?)\b",
    re.IGNORECASE,
)
_HEDGED = re.compile(r"\b(could|might|may|if|possibl[ey]|perhaps|potential(ly)?|would|suggestive|candidates?)\b", re.I)
_SENTENCE = re.compile(r"[.;:\n•]|\b(?:but|although|however|while|though|yet|whereas)\b", re.IGNORECASE)
REACH = 90
"""Letters after a denial that it still covers, within its sentence."""


@lru_cache(maxsize=128)
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-])(?:{words})(?!\w)", re.IGNORECASE)


def said(caption: str, words: str, hedged: bool = True) -> float:
    """How often a caption says what the pattern ``words`` stands for, without denying it just before.

    What stands among "could", "may" and the like counts half where ``hedged``, else not at all.
    """
    count = 0.0
    for sentence in _SENTENCE.split(re.sub(r"[*_#`]", "", caption)):
        doubt = bool(_HEDGED.search(sentence))
        for found in _pattern(words).finditer(sentence):
            before = sentence[max(0, found.start() - REACH) : found.start()]
            if not _DENIED.search(before):
                count += 1.0 if not doubt else 0.5 if hedged else 0.0
    return count


def answer(caption: str, question: str) -> str:
    """The tree's answer that a caption gives to a question; '' where it gives none.

    The first question goes by what is said more often; the others by the first answer in their order that is said.
    """
    if question not in QUESTIONS:
        raise ValueError(f"question {question!r} is not of the tree: {', '.join(QUESTIONS)}")
    sure = question in ("merging", "bar")  # of which captions like to say that they could be
    counts = {a: said(caption, words, not sure) for a, words in QUESTIONS[question].items() if words}
    silent = next((a for a, words in QUESTIONS[question].items() if not words), "")
    if not any(counts.values()):
        return silent
    if question in ("smooth-or-featured", "how-rounded"):
        return max(counts, key=lambda a: counts[a])
    return next(a for a, n in counts.items() if n)


def score(caption: str, path: Sequence[Mapping[str, str]] | Mapping[str, str]) -> float:
    """Share of the volunteers' answers that a caption gives too.

    ``path`` is question → answer, or the list of ``{"question": …, "answer": …}`` of the published files.
    """
    asked = dict(path) if isinstance(path, Mapping) else {n["question"]: n["answer"] for n in path}
    if not asked:
        raise ValueError("the path of the volunteers holds no question")
    return sum(answer(caption, q) == a for q, a in asked.items()) / len(asked)
