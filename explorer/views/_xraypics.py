"""Pictures of X-ray sources as SVG: light curve, energy-time plane, spectrum with its model."""

from __future__ import annotations

import numpy as np

from explorer.session.photons import Grouped, LightCurve
from explorer.views import _charts as charts
from explorer.views._theme import escape

CSS = (
    charts.CSS
    + """
.xr { height: 100%; display: flex; flex-direction: column; padding: 8px 12px 10px; box-sizing: border-box;
  min-height: 0; }
.xr .says { font-size: 12px; color: var(--ax-muted); padding: 0 2px 6px; }
.xr .says b { color: var(--ax-text); font-weight: 600; }
.xr .says i { font-style: normal; color: var(--ax-faint); margin: 0 7px; }
.xr .pic { flex: 1; min-height: 0; } .xr .pic .ch { height: 100%; }
.xr .keys { display: flex; gap: 14px; flex-wrap: wrap; font-size: 11px; color: var(--ax-muted); padding-top: 4px; }
.xr .keys s { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 5px;
  vertical-align: middle; }
.xr .pick { display: flex; gap: 5px; flex-wrap: wrap; padding: 0 0 6px; }
.xr .pick button { all: unset; cursor: pointer; height: 22px; line-height: 21px; padding: 0 9px; border-radius: 5px;
  border: 1px solid var(--ax-line); background: var(--ax-raised); color: var(--ax-text); font-size: 11.5px; }
.xr .pick button[aria-pressed=true] { background: var(--ax-focus-soft); border-color: var(--ax-focus); }
.xr .pick button:focus-visible { outline: 2px solid var(--ax-focus); }
.xr .gap { fill: var(--ax-faint); opacity: .16; }
.xr .count { fill: none; stroke: var(--ax-muted); stroke-width: 1; }
.xr .bars { stroke: var(--ax-faint); stroke-width: 1; opacity: .8; }
.xr .blocks { fill: none; stroke: var(--ax-focus); stroke-width: 2.2; stroke-linejoin: round; }
.xr .model { fill: none; stroke: var(--ax-model); stroke-width: 1.8; stroke-linejoin: round; }
.xr .back { fill: none; stroke: var(--ax-faint); stroke-width: 1; stroke-dasharray: 3 3; }
.xr .dots { stroke: var(--ax-data); stroke-width: 2.4; stroke-linecap: round; opacity: .8; }
"""
)
WIDTH, HEIGHT = 760.0, 420.0
LEFT, RIGHT = 56.0, 748.0
MOST_DOTS = 5000
LOW, HIGH = 0.3, 10.0  # keV of the energy-time plane


def says(*parts: str) -> str:
    """The line over a picture; parts are HTML."""
    return f'<div class="says">{"<i>·</i>".join(p for p in parts if p)}</div>'


def keys(*named: tuple[str, str]) -> str:
    """Legend: (colour variable, words)."""
    shown = "".join(f'<span><s style="background:var(--ax-{c})"></s>{escape(w)}</span>' for c, w in named)
    return f'<div class="keys">{shown}</div>'


def light_curve(curve: LightCurve, rate: tuple[np.ndarray, np.ndarray] | None = None) -> str:
    """SVG: counts/s with Poisson errors, blocks over them, gaps shaded; below, each photon's time and energy.

    ``rate`` is (times, counts/s) of a model that is drawn over the events.
    """
    end = float(curve.gti[-1, 1])
    x = charts.linear((0, end), (LEFT, RIGHT))
    shown = curve.counts / curve.live
    error = np.sqrt(curve.counts + 0.75) / curve.live
    heights = [shown.max(initial=0), curve.blocks[:, 2].max(initial=0)]
    if len(curve.live):
        heights.append(np.percentile(shown + error, 98))
    if rate is not None:
        heights.append(float(np.percentile(rate[1], 99)))
    plane = curve.energy is not None
    base = 218.0 if plane else 380.0
    y = charts.linear((0, 1.08 * max(max(heights), 1e-9)), (base, 14))
    parts = [_gaps(curve, x, 14, 380.0)]
    most = 1.08 * max(heights)
    power = int(np.floor(np.log10(max(most, 1e-9)))) if most < 0.1 else 0
    scale = 10.0**-power
    parts += [charts.left_axis(lambda v: y(v / scale), charts.ticks(0, most * scale, 4), LEFT, RIGHT)]
    unit = "counts / s" if not power else f"counts / {10**-power:,} s"
    parts.append(charts.text(LEFT + 4, 11, unit))
    middle = (curve.start + curve.stop) / 2
    bars = "".join(
        f"M{x(t):.1f} {y(max(r - e, 0)):.1f}V{y(r + e):.1f}" for t, r, e in zip(middle, shown, error, strict=True)
    )
    parts.append(f'<path class="bars" d="{bars}"/>')
    steps = "".join(
        f"M{x(a):.1f} {y(r):.1f}H{x(b):.1f}" for a, b, r in zip(curve.start, curve.stop, shown, strict=True)
    )
    parts.append(f'<path class="count" d="{steps}"/>')
    if rate is not None:
        line = "L".join(f"{x(t):.1f} {y(min(r, most)):.1f}" for t, r in zip(*rate, strict=True))
        parts.append(f'<path class="model" d="M{line}"/>')
    parts.append(f'<path class="blocks" data-blocks="{len(curve.blocks)}" d="{_stairs(curve.blocks, x, y)}"/>')
    if plane:
        parts += _plane(curve, x)
    parts += _time_axis(end, x, 380.0)
    return charts.svg(WIDTH, HEIGHT, "".join(parts), "light curve and energies of the events")


def _stairs(blocks: np.ndarray, x: charts.Scale, y: charts.Scale) -> str:
    points = [f"{x(a):.1f} {y(r):.1f}H{x(b):.1f}" for a, b, r in blocks]
    return "M" + "L".join(points) if points else ""


def _gaps(curve: LightCurve, x: charts.Scale, top: float, base: float) -> str:
    holes = zip(curve.gti[:-1, 1], curve.gti[1:, 0], strict=True)
    return "".join(
        f'<rect class="gap" x="{x(a):.1f}" y="{top}" width="{max(x(b) - x(a), 0.5):.1f}" height="{base - top}"/>'
        for a, b in holes
    )


def _plane(curve: LightCurve, x: charts.Scale) -> list[str]:
    """Each photon at its time and energy, 0.3 to 10 keV; how many lie outside is told."""
    assert curve.energy is not None
    known = np.isfinite(curve.energy) & (curve.energy >= LOW) & (curve.energy <= HIGH)
    time, energy, lost = curve.time[known], curve.energy[known], int((~known).sum())
    if len(time) > MOST_DOTS:
        some = np.sort(np.random.default_rng(0).choice(len(time), MOST_DOTS, replace=False))
        time, energy = time[some], energy[some]
    y = charts.logarithmic((LOW, HIGH), (372, 240))
    dots = "".join(f"M{x(t):.1f} {y(e):.1f}h0" for t, e in zip(time, energy, strict=True))
    told = "energy (keV)" + (f" · {lost:,} outside {LOW:g}-{HIGH:g} keV" if lost else "")
    return [
        charts.left_axis(lambda v: y(v), [0.5, 1.0, 2.0, 5.0, 10.0], LEFT, RIGHT),
        charts.text(LEFT + 4, 233, told),
        f'<path class="dots" d="{dots}"/>',
    ]


def _time_axis(end: float, x: charts.Scale, base: float) -> list[str]:
    unit, size = ("ks", 1000.0) if end > 3000 else ("s", 1.0)
    marks = [charts.text(x(v * size), base + 16, charts.plain(v), "middle") for v in charts.ticks(0, end / size, 8)]
    return [
        charts.line(LEFT, base, RIGHT, base, "axis"),
        *marks,
        charts.text(RIGHT, base + 32, f"time ({unit})", "end"),
    ]


def spectrum(found: Grouped) -> str:
    """SVG: counts / s / keV with Poisson errors in groups of channels, the folded model, the background; below, what
    is left in units of the error."""
    width = found.hi - found.lo
    time = found.exposure if found.exposure > 0 else 1.0
    rate, error = found.counts / width / time, np.sqrt(found.counts + 0.75) / width / time
    back = found.background / width / time
    positive = np.concatenate([rate[rate > 0], (rate - error)[rate - error > 0]])
    high = float((rate + error).max(initial=1e-9)) * 1.4
    low = max(float(positive.min(initial=high / 1e3)) / 1.6, high / 1e5)
    x = charts.logarithmic((0.5, 8.0), (LEFT, RIGHT))
    base = 285.0 if found.model is not None else 380.0
    y = charts.logarithmic((low, high), (base, 14))

    def put(v: float) -> float:
        return min(y(max(v, low)), base)

    unit = "counts / s / keV" if found.exposure > 0 else "counts / keV"
    parts = [charts.left_axis(y, charts.powers(low, high), LEFT, RIGHT), charts.text(LEFT + 4, 11, unit)]
    middle = np.sqrt(found.lo * found.hi)
    bars = "".join(
        f"M{x(m):.1f} {put(r - e):.1f}V{put(r + e):.1f}M{x(a):.1f} {put(r):.1f}H{x(b):.1f}"
        for m, a, b, r, e in zip(middle, found.lo, found.hi, rate, error, strict=True)
    )
    if (back > low).any():
        parts.append(f'<path class="back" d="{_step(found, back, x, put)}"/>')
    parts.append(f'<path class="count" d="{bars}"/>')
    if found.model is not None:
        model = found.model / width / time
        parts.append(f'<path class="model" d="{_step(found, model, x, put)}"/>')
        parts += _residuals(found, middle, x)
    marks = [charts.text(x(v), 396, charts.plain(v), "middle") for v in (0.5, 1, 2, 3, 5, 8)]
    parts += [charts.line(LEFT, 380, RIGHT, 380, "axis"), *marks, charts.text(RIGHT, 412, "energy (keV)", "end")]
    return charts.svg(WIDTH, HEIGHT, "".join(parts), "X-ray spectrum with its folded model")


def _step(found: Grouped, values: np.ndarray, x: charts.Scale, put: charts.Scale) -> str:
    return "M" + "L".join(
        f"{x(a):.1f} {put(v):.1f}H{x(b):.1f}" for a, b, v in zip(found.lo, found.hi, values, strict=True)
    )


def _residuals(found: Grouped, middle: np.ndarray, x: charts.Scale) -> list[str]:
    assert found.model is not None
    left = (found.counts - found.model) / np.sqrt(np.maximum(found.model, 1.0))
    y = charts.linear((-4, 4), (376, 306))
    clipped = np.clip(left, -4, 4)
    bars = "".join(
        f"M{x(m):.1f} {y(max(v - 1, -4)):.1f}V{y(min(v + 1, 4)):.1f}M{x(a):.1f} {y(v):.1f}H{x(b):.1f}"
        for m, a, b, v in zip(middle, found.lo, found.hi, clipped, strict=True)
    )
    return [
        charts.left_axis(y, [-3.0, 0.0, 3.0], LEFT, RIGHT),
        charts.text(LEFT + 4, 302, "(counts − model) / σ"),
        charts.line(LEFT, y(0), RIGHT, y(0), "axis"),
        f'<path class="count" d="{bars}"/>',
    ]
