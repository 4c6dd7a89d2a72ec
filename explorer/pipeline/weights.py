"""Which weights an encoder takes for a survey: the survey's own where it was trained on it, else the shipped ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from explorer.survey.resources import data_path
from explorer.survey.store import Survey


@dataclass(frozen=True)
class Weights:
    """A file of weights: ``origin`` is ``"trained"`` (on this survey) or ``"shipped"``."""

    path: Path
    origin: str

    @property
    def sha256(self) -> str:
        """Digest of the file."""
        told = self.path.stat()
        return _digest(self.path, told.st_mtime_ns, told.st_size)


@lru_cache(maxsize=64)
def _digest(path: Path, time: int, size: int) -> str:
    from kernels.embedding.files import digest

    return digest(path)


def trained_path(survey: Survey, name: str, modality: str) -> Path:
    """Where ``explorer train`` puts the weights of one space."""
    return survey.path / "encoders" / f"{name}-{modality}.trained.safetensors"


def shipped_path(kind: Any, modality: str) -> Path | None:
    """The file in ``data/weights`` that an encoder class names for a modality, None where it names none."""
    named = getattr(kind, "weights", None)
    return data_path("weights", named[modality]) if isinstance(named, dict) and modality in named else None


def weights_for(survey: Survey, kind: Any, modality: str) -> Weights | None:
    """The weights to use; None for an encoder that needs none. ``FileNotFoundError`` where it needs some."""
    own, shipped = trained_path(survey, kind.name, modality), shipped_path(kind, modality)
    if own.exists():
        return Weights(own, "trained")
    if shipped is None:
        return None
    if not shipped.exists():
        raise FileNotFoundError(
            f"{shipped} is missing, and {kind.name} was not trained on {survey.name}: make the shipped weights "
            f"(make weights), or train on this survey (explorer train {kind.name} {survey.path})"
        )
    return Weights(shipped, "shipped")
