"""What a word on the command line may be: a number within its bounds, a port, a list of names."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable


def whole(least: int, what: str, most: float = math.inf) -> Callable[[str], int]:
    """Reads a whole number from ``least`` to ``most``; ``what`` says in an error what is wanted."""

    def read(text: str) -> int:
        try:
            found = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number: {what}") from None
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"{text}: {what}")
        return found

    return read


def number(least: float, what: str) -> Callable[[str], float]:
    """Reads a finite number of at least ``least``; ``what`` says in an error what is wanted."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number: {what}") from None
        if not (math.isfinite(found) and found >= least):
            raise argparse.ArgumentTypeError(f"{text}: {what}")
        return found

    return read


def names(text: str) -> list[str]:
    """Reads names with commas between them, one at least."""
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise argparse.ArgumentTypeError("name one at least, with commas between several")
    return found


seed = whole(0, "a seed is 0 to 4294967295", 2**32 - 1)
port = whole(0, "a port is 0 to 65535", 65535)
some = whole(1, "one or more is needed")
runs = whole(2, "two runs or more are needed to see how far a rank moves")
