"""The second page, COMPARE: every view whose ``place`` is ``"compare"``, as panels of one calm grid."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from typing import Any

import panel as pn

from explorer.views import VIEWS

FIRST = ("transfer", "fusion", "probes", "stability", "recovery", "confounders")  # further views follow by name
HEIGHT = 404  # px of a row of panels: two rows fill a window of 900 px

_log = logging.getLogger("explorer")

CSS = """
:host { container-type: inline-size; overflow: auto !important; scrollbar-width: thin; background: var(--ax-panel); }
.ax-panels { width: 100%; }
"""
GRID_CSS = f"""
:host {{ display: grid !important; gap: 1px; padding-bottom: 1px; grid-auto-rows: {HEIGHT}px;
  grid-template-columns: repeat(3, minmax(0, 1fr)); grid-auto-flow: dense; }}
.ax-panel {{ background: var(--ax-panel); box-shadow: 0 0 0 1px var(--ax-line); min-width: 0; min-height: 0;
  overflow: hidden; }}
.ax-wide {{ grid-column: span 2; }}
@container (max-width: 1150px) {{
  :host {{ grid-template-columns: repeat(2, minmax(0, 1fr)); }}
}}
@container (max-width: 700px) {{
  :host {{ grid-template-columns: minmax(0, 1fr); }}
  .ax-wide {{ grid-column: span 1; }}
}}
"""


def panels(survey: Any) -> list[str]:
    """Names of the views of this page that apply to a survey, in their order."""
    found = []
    for name in VIEWS.names():
        try:
            view = VIEWS.get(name)
            if getattr(view, "place", "tab") == "compare" and view.applies(survey):
                found.append(name)
        except Exception:  # a view from outside that cannot be read
            _log.exception("the view %s cannot be read", name)
    return sorted(found, key=lambda n: (FIRST.index(n) if n in FIRST else math.inf, n))


class Compare:
    """The grid. It is empty until it is first looked at, so that a page that never is costs nothing."""

    def __init__(self, survey: Any, view: Callable[[str], pn.viewable.Viewable]):
        self._survey, self._view, self._names = survey, view, list[str]()
        self._grid = pn.Column(css_classes=["ax-panels"], stylesheets=[GRID_CSS], margin=0, sizing_mode="stretch_both")
        self.layout = pn.Column(
            self._grid,
            css_classes=["ax-compare"],
            stylesheets=[CSS],
            margin=0,
            sizing_mode="stretch_both",
            visible=False,
        )

    @property
    def made(self) -> bool:
        """Whether it has been looked at."""
        return bool(self._names)

    def fill(self) -> None:
        """Lay out the views that apply and have no panel yet."""
        for name in panels(self._survey):
            if name not in self._names:
                self._names.append(name)
                wide = getattr(VIEWS.get(name), "width", 1) > 1
                panel = pn.Column(
                    self._view(name),
                    css_classes=["ax-panel", *(["ax-wide"] if wide else [])],
                    margin=0,
                    sizing_mode="stretch_both",
                )
                self._grid.append(panel)
