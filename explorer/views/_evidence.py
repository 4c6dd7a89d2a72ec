"""What re-ranking tools measured on an object, as a section of its card. Every text is escaped."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session import tools
from explorer.views import _spectra
from explorer.views._map_legend import number
from explorer.views._theme import escape
from kernels.search import TOOLS

if TYPE_CHECKING:
    from explorer.session.tools import Answer
    from kernels.search.evidence import Curve, Evidence

CSS = """
.tool { border-top: 1px solid var(--ax-line); padding: 6px 0 8px; }
.tool .line { display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: center; }
.tool .line b { font-weight: 600; } .tool .line .sum { margin-left: auto; }
.tool button { all: unset; cursor: pointer; padding: 1px 9px; border-radius: 11px; font-size: 11.5px;
  line-height: 19px; border: 1px solid var(--ax-line); background: var(--ax-raised); color: var(--ax-text); }
.tool button:hover { border-color: var(--ax-strong-line); }
.tool button:focus-visible { outline: 2px solid var(--ax-focus); }
.tool button[disabled] { color: var(--ax-faint); pointer-events: none; }
.tool .found { display: flex; flex-wrap: wrap; gap: 8px 16px; margin-top: 7px; align-items: flex-start; }
.tool .pics { flex: 0 0 auto; }
.tool dl { flex: 1 1 210px; margin: 0; font-size: 12px; }
.tool dl > div { display: flex; justify-content: space-between; gap: 10px; border-bottom: 1px solid var(--ax-line);
  padding: 1px 0; } .tool dt { color: var(--ax-muted); } .tool dd { margin: 0; white-space: nowrap; }
.tool svg { display: block; flex: 1 1 280px; min-width: 0; height: 132px; background: var(--ax-sunken);
  border-radius: 4px; } .tool svg path { fill: none; vector-effect: non-scaling-stroke; }
.tool svg .c0 { stroke: var(--ax-faint); stroke-width: 1; }
.tool svg .c1 { stroke: var(--ax-focus); stroke-width: 1.4; }
.tool svg .c2 { stroke: var(--ax-select); stroke-width: 1.4; stroke-dasharray: 5 3; }
.tool svg text { font: 10px var(--ax-font); fill: var(--ax-muted); }
.tool svg text.c0 { stroke: none; } .tool svg text.c1 { fill: var(--ax-focus); stroke: none; }
.tool svg text.c2 { fill: var(--ax-select); stroke: none; }
.tool .amiss { color: var(--ax-bad); overflow-wrap: anywhere; } .tool p { margin: 4px 0 0; font-size: 11.5px; }
"""
SIDE = 118  # CSS pixels of a picture


def section(session: Any, row: int, busy: str = "") -> str:
    """HTML of what tools said of a row, with buttons to ask them; '' where no tool looks at what the survey has.

    ``busy`` names the tool that is at work.
    """
    names = tools.of_survey(session.survey)
    answers = tools.evidence_of(session, row)
    parts = "".join(_tool(session, name, answers, busy) for name in names)
    return f"<h3>Measured on it</h3>{parts}" if parts else ""


def _tool(session: Any, name: str, answers: Mapping[str, Answer], busy: str) -> str:
    kind, found = TOOLS.get(name), answers.get(name)
    chosen = session.selection.active and len(session.selection)
    count = min(tools.TOP, len(session.selection) if chosen else len(session.survey))
    among = "selected" if chosen else "of the ranking"
    off = " disabled" if busy else ""
    ask = "" if found is not None else _button(name, "one", "measure this one", "Judge this object and rank by it", off)
    words = "measuring…" if busy == name else f"rank the first {count} {among} by it"
    ask += _button(name, "top", words, "Judge candidates in their order, and rank by the score", off)
    told = "" if found is None or isinstance(found, str) else (
        f'<span class="sum ax-num"><b>{number(found.score)}</b> <span class="ax-muted">{escape(kind.unit)}</span>'
        "</span>"
    )  # fmt: skip
    head = f'<div class="line"><b title="{escape(name)}">{escape(kind.title)}</b>{ask}{told}</div>'
    if isinstance(found, str):
        body = f'<p class="amiss">set aside: {escape(found)}</p>'
    else:
        body = "" if found is None else evidence(found)
    return f'<div class="tool">{head}{body}</div>'


def _button(name: str, which: str, words: str, title: str, off: str) -> str:
    return (
        f'<button data-do="measure" data-tool="{escape(name)}" data-which="{which}" title="{escape(title)}"{off}>'
        f"{escape(words)}</button>"
    )


def evidence(found: Evidence) -> str:
    """HTML of the facts, pictures and curves that a score rests on."""
    facts = "".join(f"<div><dt>{escape(f.name)}</dt><dd>{_value(f)}</dd></div>" for f in found.facts)
    plot = plotted(found.curves, found.axis) if found.curves else ""
    notes = f'<p class="ax-faint">{escape(" · ".join(found.notes))}</p>' if found.notes else ""
    return f'<div class="found">{pictures(found.pictures)}{plot}<dl>{facts}</dl></div>{notes}'


def _value(fact: Any) -> str:
    value = float(fact.value)
    if not math.isfinite(value):
        return "–"
    text = f"{value:,.0f}".replace(",", "\u202f") if abs(value) >= 10_000 else f"{value:.4g}"
    if fact.error is not None and math.isfinite(fact.error):
        text += f' <span class="ax-faint">±{fact.error:.2g}</span>'
    return text + (f' <span class="ax-faint">{escape(fact.unit)}</span>' if fact.unit else "")


def pictures(planes: Mapping[str, np.ndarray]) -> str:
    """Planes (h, w) side by side in grey, one asinh scale for all, nothing in the middle: what is negative is dark."""
    if not planes:
        return ""
    last = np.asarray(list(planes.values())[-1], np.float64)
    noise = 1.4826 * float(np.median(np.abs(last - np.median(last)))) or 1e-12
    top = max(float(np.quantile(np.abs(np.asarray(p)), 0.995)) for p in planes.values())
    limit = float(np.arcsinh(max(top, noise) / (2 * noise)))
    figures = []
    for name, plane in planes.items():
        grey = np.clip(0.35 + 0.65 * np.arcsinh(np.asarray(plane, np.float64) / (2 * noise)) / limit, 0, 1)
        figures.append(
            f'<figure style="width:{SIDE}px"><img class="crisp" alt="{escape(name)}" width="{SIDE}" '
            f'src="data:image/png;base64,{_png(grey)}"><figcaption>{escape(name)}</figcaption></figure>'
        )
    return f'<div class="pics">{"".join(figures)}</div>'


def _png(grey: np.ndarray) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray((255 * grey).astype(np.uint8)).save(out, "PNG", compress_level=1)
    return base64.b64encode(out.getvalue()).decode("ascii")


def plotted(curves: tuple[Curve, ...], axis: str, width: int = 420, height: int = 112) -> str:
    """The curves as one SVG: the first is the data, grey and averaged to the width of the plot."""
    first = curves[0]
    low, high = float(first.x[0]), float(first.x[-1])
    y = np.concatenate([np.asarray(c.y, np.float64) for c in curves[1:]] or [np.asarray(first.y, np.float64)])
    bottom, top = float(np.min(y)), float(np.max(y))
    pad = 0.25 * max(top - bottom, 1e-30)
    paths, names = [], []
    for i, curve in enumerate(curves[:3]):
        at = _spectra.decimate(np.asarray(curve.y, np.float64), width)
        x = (curve.x[at] - low) / max(high - low, 1e-30) * width
        down = np.clip((top + pad - curve.y[at]) / (top - bottom + 2 * pad), -0.05, 1.05) * height
        points = " ".join(f"{a:.1f} {b:.1f}" for a, b in zip(x, down, strict=True))
        paths.append(f'<path class="c{i}" d="M{points}"/>')
        names.append(f'<text class="c{i}" x="{8 + 52 * i}" y="12">{escape(curve.name)}</text>')
    return (
        f'<svg role="img" aria-label="{escape(axis)}"><svg width="100%" height="{height}" '
        f'viewBox="0 0 {width} {height}" preserveAspectRatio="none">{"".join(paths)}</svg>{"".join(names)}'
        f'<text x="4" y="127">{low:.0f}</text><text x="99%" y="127" text-anchor="end">{high:.0f}</text>'
        f'<text x="50%" y="127" text-anchor="middle">{escape(axis)}</text></svg>'
    )
