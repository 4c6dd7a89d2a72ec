"""The second page, COMPARE: every view whose ``place`` is ``"compare"``, as panels of one calm grid."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
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
.ax-wide, .ax-two {{ grid-column: span 2; }}
.ax-three {{ grid-column: 1 / -1; }}
.scroll-button {{ display: none !important; }}
@container (max-width: 1150px) {{
  :host {{ grid-template-columns: repeat(2, minmax(0, 1fr)); }}
  .ax-two, .ax-three {{ grid-column: auto; }}
  .ax-wide, .ax-row {{ grid-column: 1 / -1; }}
}}
@container (max-width: 700px) {{
  :host {{ grid-template-columns: minmax(0, 1fr); }}
  .ax-panel {{ grid-column: auto !important; }}
}}
"""  # a Column has a button to scroll to its end: in a grid it would take a cell


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


def spans(wide: Sequence[bool]) -> list[list[str]]:
    """Classes for panels, ``wide`` ones two columns across, so that no cell stays empty at three columns or at two.

    At three columns a wide panel and a narrow one make a row; what is left over is widened: ``ax-three`` fills a row,
    ``ax-two`` two columns. At two columns ``ax-row`` fills a row.
    """
    classes = [["ax-wide"] if w else [] for w in wide]
    wides = [i for i, w in enumerate(wide) if w]
    narrow = [i for i, w in enumerate(wide) if not w]
    for i in wides[len(narrow) :]:
        classes[i].append("ax-three")
    left = (len(narrow) - len(wides)) % 3 if len(narrow) > len(wides) else 0
    if left:
        classes[narrow[-1]].append({1: "ax-three", 2: "ax-two"}[left])
    if len(narrow) % 2:
        classes[narrow[-1]].append("ax-row")
    return classes


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
                self._grid.append(
                    pn.Column(self._view(name), css_classes=["ax-panel"], margin=0, sizing_mode="stretch_both")
                )
        wide = [getattr(VIEWS.get(name), "width", 1) > 1 for name in self._names]
        for panel, classes in zip(self._grid, spans(wide), strict=True):
            panel.css_classes = ["ax-panel", *classes]
