"""What floats over the map: the card beside the pointer, and the corner that names the layout."""

from __future__ import annotations

import math
from typing import Any

from explorer.views._map_frame import data_url
from explorer.views._theme import empty, escape

OVER_CSS = """
:host { position: absolute; inset: 0; width: 100% !important; height: 100% !important; pointer-events: none;
  overflow: hidden; z-index: 3; }
:host > div { height: 100%; }
.tip { position: absolute; display: flex; gap: 9px; align-items: center; padding: 6px 10px 6px 6px;
  width: max-content; max-width: 250px; background: var(--ax-panel); border: 1px solid var(--ax-strong-line);
  border-radius: 8px; box-shadow: var(--ax-shadow); }
.tip img { width: 72px; height: 72px; border-radius: 5px; flex: none; background: var(--ax-sunken); }
.tip .id { font-weight: 600; overflow-wrap: anywhere; }
.tip > div { min-width: 0; padding-left: 4px; }
.wait { position: absolute; inset: 0; opacity: .55; }
.lost { position: absolute; left: 0; right: 0; bottom: 18px; text-align: center; color: var(--ax-muted); }
.lost span { background: var(--ax-panel); border: 1px solid var(--ax-line); border-radius: 12px; padding: 4px 12px; }
"""
CORNER_CSS = """
:host { position: absolute; top: 8px; left: 10px; z-index: 4; width: auto !important; }
.corner { display: flex; gap: 8px; align-items: center; color: var(--ax-muted); font-size: 11.5px; }
.corner button { all: unset; cursor: pointer; padding: 2px 8px; border-radius: 9px; border: 1px solid var(--ax-line);
  background: var(--ax-panel); color: var(--ax-muted); font-size: 11px; }
.corner button:hover { color: var(--ax-text); border-color: var(--ax-strong-line); }
.corner .quality { color: var(--ax-faint); font-size: 11px; cursor: help; }
.corner button:focus-visible { outline: 2px solid var(--ax-focus); }
"""


def corner(space: str, layout: str, thumbnails: str, survey: Any) -> str:
    """HTML of the map's corner: which layout it is, how far to trust it, and whether thumbnails lie on it."""
    if not layout:
        return ""
    told = f"<span>{escape(space)} · {escape(layout)}</span>{_quality(space, layout, survey)}"
    title = "Thumbnails on the map: auto shows them when few rows are in view"
    button = f'<button data-do="thumbnails" title="{title}">thumbnails {thumbnails}</button>'
    return f'<div class="corner">{told}{button if "image" in survey.modalities else ""}</div>'


def _quality(space: str, layout: str, survey: Any) -> str:
    """What is recorded of a layout's quality, in a few words with their meaning as a tooltip; '' where nothing is."""
    if space not in survey.spaces or layout not in survey.layouts(space):
        return ""
    quality = survey.provenance(f"layout:{space}:{layout}").get("quality") or {}
    trust, recall = (float(quality.get(name, "nan")) for name in ("trustworthiness", "neighbour_recall"))
    if not (math.isfinite(trust) and math.isfinite(recall)):
        return ""
    title = (
        f"Trustworthiness {trust:.3f}: 1 where rows that lie close on the map are close in the space. "
        f"Neighbour recall {recall:.3f}: the share of a row's {quality['k']} neighbours in the space that are its "
        f"neighbours on the map. Among {quality['sample']:,} rows"
    )
    return f'<span class="quality" title="{escape(title)}">trust {trust:.2f} · recall {recall:.2f}</span>'


def nothing_yet(survey: Any) -> str:
    """HTML for a survey that has no map: why, and what to do."""
    if not len(survey):
        return empty("This survey is empty", "Fill it with explorer ingest: files, or a folder of them")
    if not survey.spaces and not {"image", "spectrum"} & set(survey.modalities):
        hint = "Ingest images, spectra or embeddings of these objects, then run explorer prepare"
        return empty("A catalogue alone has no map", hint)
    return empty("No map yet", "Run explorer prepare on this survey: the map appears here when it is ready")


def lost() -> str:
    """HTML for a window in which nothing lies."""
    return '<div class="lost" role="status"><span>No rows here: ↺ goes back to the whole map</span></div>'


def hover_card(name: str, told: str, picture: bytes | None, at: tuple[float, float], shape: tuple[int, int]) -> str:
    """HTML of the card beside the pointer at ``at`` (x, y) on a canvas ``(height, width)``; its text is escaped."""
    x, y = at
    across = f"right:{shape[1] - x + 14:.0f}px" if x > shape[1] - 280 else f"left:{x + 16:.0f}px"
    down = f"bottom:{shape[0] - y + 10:.0f}px" if y > shape[0] - 120 else f"top:{y + 14:.0f}px"
    image = f'<img alt="" src="{data_url(picture)}">' if picture is not None else ""
    value = f'<div class="ax-muted">{escape(told)}</div>' if told else ""
    return (
        f'<div class="tip" style="{across};{down}">{image}<div><div class="id">{escape(name)}</div>{value}</div></div>'
    )
