"""Small charts as SVG: drawn by Python, coloured by the theme's variables, clickable where they carry ``data-do``.

A chart is text, so it is tested without a browser, follows a change of theme by itself and costs the page nothing.
Every text that comes in is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from explorer.views._theme import escape

CSS = """
.ch { display: block; width: 100%; height: 100%; overflow: visible; }
.ch text { font: 10.5px var(--ax-font); fill: var(--ax-muted); font-variant-numeric: tabular-nums; }
.ch .axis { stroke: var(--ax-strong-line); stroke-width: 1; fill: none; }
.ch .grid { stroke: var(--ax-line); stroke-width: 1; fill: none; }
.ch .strong { fill: var(--ax-text); }
.ch [data-do] { cursor: pointer; } .ch [data-do]:focus-visible { outline: 2px solid var(--ax-focus); }
"""

Scale = Callable[[float], float]


def linear(domain: tuple[float, float], out: tuple[float, float]) -> Scale:
    """A scale from values to pixels."""
    (low, high), (start, end) = domain, out
    size = (high - low) or 1.0
    return lambda value: start + (value - low) / size * (end - start)


def logarithmic(domain: tuple[float, float], out: tuple[float, float]) -> Scale:
    """A logarithmic scale of values above 0."""
    inner = linear((math.log10(domain[0]), math.log10(domain[1])), out)
    return lambda value: inner(math.log10(max(value, domain[0])))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round values between two ends.

    >>> ticks(0, 1), ticks(-0.23, 0.41, 3)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [-0.2, 0.0, 0.2, 0.4])
    """
    if not (math.isfinite(low) and math.isfinite(high)) or high <= low:
        return [low]
    raw = (high - low) / max(about, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= raw * 0.75)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def powers(low: float, high: float) -> list[float]:
    """Powers of ten between two ends; 1, 2 and 5 of each where there are few."""
    spans = math.log10(high / low)
    steps = (1, 2, 5) if spans < 1.5 else (1,)
    found = [m * 10.0**e for e in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1) for m in steps]
    return [v for v in found if low * 0.999 <= v <= high * 1.001]


def plain(value: float) -> str:
    """A tick's number, as short as it is exact.

    >>> plain(0.2), plain(10.0), plain(2500.0), plain(-0.0)
    ('0.2', '10', '2500', '0')
    """
    return f"{value + 0.0:.6g}".replace("-", "−")


def svg(width: float, height: float, body: str, label: str) -> str:
    """An SVG of that size, which scales to its place."""
    return (
        f'<svg class="ch" viewBox="0 0 {width:g} {height:g}" preserveAspectRatio="xMidYMin meet" role="img" '
        f'aria-label="{escape(label)}">{body}</svg>'
    )


def text(x: float, y: float, words: object, anchor: str = "start", cls: str = "", title: str = "") -> str:
    """Text at a place; ``title`` is told on hovering."""
    tip = f"<title>{escape(title)}</title>" if title else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{cls}">{escape(words)}{tip}</text>'


def shorten(words: str, most: int) -> str:
    """The words, their middle left out where they are longer than ``most`` characters.

    >>> shorten("astroclip/spectrum", 12)
    'astro…ectrum'
    """
    if len(words) <= most:
        return words
    head = (most - 1) // 2
    return words[:head] + "…" + words[len(words) - (most - 1 - head) :]


def line(x0: float, y0: float, x1: float, y1: float, cls: str = "grid", style: str = "") -> str:
    """A straight line."""
    more = f' style="{style}"' if style else ""
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" class="{cls}"{more}/>'


def rect(x: float, y: float, w: float, h: float, fill: str, attributes: str = "", title: str = "") -> str:
    """A rectangle; ``attributes`` as they stand, ``title`` is told on hovering."""
    tip = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(w, 0):.1f}" height="{max(h, 0):.1f}" fill="{fill}" {attributes}>'
        f"{tip}</rect>"
    )


def bottom_axis(scale: Scale, at: Sequence[float], y: float, top: float, name: str = "", middle: float = 0) -> str:
    """Ticks below ``y``, grid lines up to ``top``, and what is measured."""
    parts = [line(scale(t), y, scale(t), top) + text(scale(t), y + 13, plain(t), "middle") for t in at]
    return "".join(parts) + (text(middle, y + 27, name, "middle") if name else "")


def left_axis(scale: Scale, at: Sequence[float], x: float, right: float) -> str:
    """Ticks left of ``x`` and grid lines to ``right``."""
    return "".join(line(x, scale(t), right, scale(t)) + text(x - 5, scale(t) + 3.5, plain(t), "end") for t in at)


def path(x: Sequence[float], y: Sequence[float], style: str) -> str:
    """A line through points; it breaks where one is not finite."""
    pieces, pen = [], "M"
    for a, b in zip(x, y, strict=True):
        if not (math.isfinite(a) and math.isfinite(b)):
            pen = "M"
            continue
        pieces.append(f"{pen}{a:.1f},{b:.1f}")
        pen = "L"
    return f'<path d="{"".join(pieces)}" fill="none" style="{style}"/>'


def dot(x: float, y: float, colour: str, error: tuple[float, float] | None = None, hollow: bool = False) -> str:
    """A point with its error bar from one x to another."""
    bar = line(error[0], y, error[1], y, "", f"stroke:{colour};stroke-width:1.5;opacity:.7") if error else ""
    fill = "var(--ax-panel)" if hollow else colour
    return f'{bar}<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{fill}" stroke="{colour}" stroke-width="1.4"/>'


def mixed(colour: str, share: float, ground: str = "var(--ax-sunken)") -> str:
    """A theme's colour over the ground, as strong as ``share`` from 0 to 1."""
    return f"color-mix(in oklab, {colour} {100 * float(np.clip(share, 0, 1)):.1f}%, {ground})"
