"""The legend under the map: what the colours mean, with counts in the selection and in all."""

from __future__ import annotations

import numpy as np

from explorer.session.legend import tally
from explorer.views import _shade
from explorer.views._colour import BARS, Categories, Colouring, Values
from explorer.views._theme import CATEGORIES, OTHER, escape

CSS = """
.lg { display: flex; align-items: center; gap: 2px 12px; flex-wrap: wrap; height: 100%; padding: 3px 12px;
  box-sizing: border-box; align-content: safe center; overflow: auto; scrollbar-width: thin; }
.lg .name { color: var(--ax-muted); font-size: 11px; max-width: 150px; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.lg button { all: unset; display: inline-flex; align-items: center; gap: 6px; cursor: pointer; padding: 2px 6px;
  border-radius: 6px; max-width: 210px; }
.lg button:hover { background: var(--ax-raised); } .lg button:focus-visible { outline: 2px solid var(--ax-focus); }
.lg .dot { width: 9px; height: 9px; border-radius: 50%; flex: none; }
.lg .what { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.lg .n { color: var(--ax-muted); font-size: 11.5px; white-space: nowrap; }
.lg .n b { color: var(--ax-select); font-weight: 600; }
.lg .bar { display: flex; flex-direction: column; width: min(420px, 56%); }
.lg .hist { display: flex; align-items: flex-end; height: 20px; gap: 1px; }
.lg .hist i { flex: 1; position: relative; height: 100%; }
.lg .hist i s { position: absolute; left: 0; right: 0; bottom: 0; background: var(--ax-strong-line); }
.lg .hist i s.on { background: var(--ax-select); }
.lg .ramp { height: 8px; border-radius: 3px; }
.lg .ends { color: var(--ax-muted); font-size: 11.5px; white-space: nowrap; }
"""


def number(value: float, digits: int = 4) -> str:
    """A number for a legend: so many significant digits, thin spaces between thousands."""
    if not np.isfinite(value):
        return "–"
    if abs(value) >= 1000 and abs(value) < 1e7:
        return f"{value:,.0f}".replace(",", "\u2009")
    return f"{value:.{digits}g}"


def count(value: int) -> str:
    """A whole number with thin spaces between thousands."""
    return f"{value:,}".replace(",", "\u2009")


def legend(colour: Colouring, mask: np.ndarray | None, look: tuple[str, str]) -> str:
    """HTML of the legend. ``mask`` (n,) bool is the selection or None; every text of the catalogue is escaped."""
    mode, continuous = look
    if isinstance(colour, Categories):
        return f'<div class="lg">{_name(colour.name)}{_categories(colour, mask, mode)}</div>'
    if isinstance(colour, Values):
        return f'<div class="lg">{_name(colour.name, colour.unit)}{_values(colour, mask, mode, continuous)}</div>'
    ramp = _ramp(_shade.gradient("density", mode))
    return (
        '<div class="lg"><span class="name">rows per pixel</span><span class="ends">few</span>'
        f'<span class="bar" style="width:160px">{ramp}</span><span class="ends">many</span></div>'
    )


def _name(name: str, unit: str = "") -> str:
    shown = name + (f" [{unit}]" if unit else "")
    return f'<span class="name" title="{escape(shown)}">{escape(shown)}</span>'


def _categories(colour: Categories, mask: np.ndarray | None, mode: str) -> str:
    slots = colour.others + 1
    every = colour.totals
    chosen = None if mask is None else tally(colour.slots, slots, mask)
    entries = []
    for place in range(slots):
        rest = place == colour.others
        if rest and not every[place]:
            continue
        label = (
            ("others, missing" if len(colour.labels) > colour.others else "no value") if rest else colour.labels[place]
        )
        shade = OTHER[mode] if rest else CATEGORIES[mode][place]
        n = count(int(every[place]))
        of = n if chosen is None else f"<b>{count(int(chosen[place]))}</b> / {n}"
        title = f"Select {label}: {every[place]} rows. Shift adds, Ctrl intersects, both subtract"
        entries.append(
            f'<button data-do="category" data-place="{place}" title="{escape(title)}">'
            f'<span class="dot" style="background:{shade}"></span><span class="what">{escape(label)}</span>'
            f'<span class="n">{of}</span></button>'
        )
    return "".join(entries)


def _values(colour: Values, mask: np.ndarray | None, mode: str, continuous: str) -> str:
    low, high = colour.limits
    high = high if high > low else low + 1
    every = colour.totals[:BARS]
    bars = [_bar(n, every.max(), "") for n in every]
    if mask is not None:
        chosen = tally(colour.places, BARS + 1, mask)[:BARS]
        bars = [bar + _bar(n, every.max(), "on") for bar, n in zip(bars, chosen, strict=True)]
    hist = "".join(f"<i>{bar}</i>" for bar in bars)
    missing = int(colour.totals[BARS])
    left = f'<span class="ends">{count(missing)} without</span>' if missing else ""
    return (
        f'<span class="ends">{number(low, 3)}</span><span class="bar"><span class="hist">{hist}</span>'
        f"{_ramp(_shade.gradient(continuous, mode))}</span><span class='ends'>{number(high, 3)}</span>{left}"
    )


def _bar(n: int, most: int, kind: str) -> str:
    tall = 0 if not n else max(6, round(100 * (n / most) ** 0.5))
    return f'<s class="{kind}" style="height:{tall}%"></s>'


def _ramp(colours: tuple[str, ...]) -> str:
    stops = ",".join(colours[:: max(1, len(colours) // 16)])
    return f'<span class="ramp" style="background:linear-gradient(90deg,{stops})"></span>'
