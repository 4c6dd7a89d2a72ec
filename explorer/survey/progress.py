"""How far a step has come, told to whoever asks: a bar on a terminal and in a notebook, silence elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

Progress = Callable[[int, int, str], None]
"""``progress(done, total, label)``, called as a step goes on."""


def bar() -> Progress:
    """A progress callback that draws one bar where somebody looks, and nothing before it is first called."""
    if not (sys.stderr.isatty() or "ipykernel" in sys.modules):
        return lambda done, total, label: None
    from tqdm.auto import tqdm

    drawn: list[Any] = []

    def progress(done: int, total: int, label: str) -> None:
        if not drawn:
            shown = "{desc:<34.34} {bar} {n_fmt}/{total_fmt} {elapsed}"
            drawn.append(tqdm(total=total, unit="", dynamic_ncols=True, leave=False, bar_format=shown))
        drawn[0].total, drawn[0].n = max(total, 1), done
        drawn[0].set_description_str(label, refresh=False)
        drawn[0].refresh()
        if done >= total:
            drawn.pop().close()

    return progress
