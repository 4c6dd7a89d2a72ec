"""What the parts of a report share: the survey, which spaces and scorers it has, and which of them lead."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from explorer.pipeline.joint import DENSITIES, PHYSICAL, encoders_with_both
from explorer.pipeline.roles import values_of
from explorer.survey.progress import Progress
from explorer.survey.store import Survey
from kernels.scoring import SCORERS

MODALITIES = ("image", "spectrum", "joint")


@dataclass(frozen=True)
class Study:
    """A survey under study. ``minutes`` bounds what repeats work: stability and recovery."""

    survey: Survey
    scorers: tuple[str, ...]
    seed: int = 0
    minutes: float = 20.0
    hosts: int = 100
    progress: Progress | None = field(default=None, compare=False)

    @property
    def spaces(self) -> list[str]:
        """The spaces that every scorer of the study scored."""
        return [s for s in self.survey.spaces if set(self.scorers) <= set(self.survey.scores(s))]

    @property
    def encoders(self) -> list[str]:
        """Encoders in the paper's order where they are its own, then the others."""
        names = list(dict.fromkeys(s.split("/")[0] for s in self.spaces))
        first = [n for n in ("aion", "astropt", "astroclip") if n in names]
        return first + [n for n in names if n not in first]

    @property
    def modalities(self) -> list[str]:
        """Modalities of the spaces: image, spectrum, joint, then others."""
        names = list(dict.fromkeys(s.split("/")[1] for s in self.spaces))
        return [m for m in MODALITIES if m in names] + [m for m in names if m not in MODALITIES]

    @property
    def leading(self) -> str:
        """The scorer that the paper's tables are made with: a flow where there is one."""
        return next((s for s in DENSITIES if s in self.scorers), self.scorers[0])

    @property
    def both(self) -> list[str]:
        """Encoders with image, spectrum and joint spaces, in order."""
        return [e for e in self.encoders if e in encoders_with_both(self.survey)]

    def score(self, space: str, scorer: str) -> np.ndarray:
        """(n,) float64, NaN where missing."""
        return self.survey.score(space, scorer)

    def top(self, space: str, scorer: str, percent: float = 1.0) -> np.ndarray:
        """Rows of the strangest ``percent`` of those that are ranked, the first the most anomalous."""
        places = self.survey.rank(space, scorer)
        here = np.flatnonzero(places > 0)
        count = max(1, round(len(here) * percent / 100))
        return here[np.lexsort((here, places[here]))][:count]

    def fusions(self, encoder: str) -> list[str]:
        """The fusions stored for an encoder."""
        return [s for s in self.survey.scores(f"{encoder}/joint") if s.startswith("fusion-")]

    def mismatches(self, encoder: str) -> list[str]:
        """The mismatches stored for an encoder, those in units of physics last."""
        names = [s for s in self.survey.scores(f"{encoder}/joint") if s.startswith("mismatch")]
        return [s for s in names if s not in PHYSICAL] + [s for s in PHYSICAL if s in names]

    def score_columns(self) -> list[str]:
        """Names of all score columns that the study reads."""
        return [f"score:{s}:{n}" for s in self.spaces for n in self.survey.scores(s)]

    def truth(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Truth label and kind of every row, None where the survey has none."""
        label, kind = values_of(self.survey, "truth"), values_of(self.survey, "truth_kind")
        return None if label is None or kind is None else (label, kind)


def known_scorers(survey: Survey) -> list[str]:
    """Registered scorers that scored any space."""
    names = dict.fromkeys(n for s in survey.spaces for n in survey.scores(s))
    return [n for n in names if n in SCORERS.names()]
