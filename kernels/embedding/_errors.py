"""What can be wrong with a file of weights."""

from __future__ import annotations

from pathlib import Path


class BrokenFile(ValueError):
    """A file that cannot be read: the message names it, what is wrong, and what to do."""

    def __init__(self, path: Path, reason: str, fix: str):
        super().__init__(f"{path}: {reason}; {fix}")
        self.path, self.reason, self.fix = path, reason, fix


class WrongWeights(ValueError):
    """Weights of another model: the message names what is missing, of another shape, and left over."""
