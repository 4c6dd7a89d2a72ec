"""The parts of an object's card as HTML. Every text of a catalogue passes through ``escape``."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from PIL import Image as Pillow

from explorer.survey.records import Image, Spectrum
from explorer.views import _spectra
from explorer.views._lines import LINES
from explorer.views._theme import escape
from kernels.layout.stretch import default_colours, stretch

if TYPE_CHECKING:
    from explorer.survey.store import Survey

PICTURE = 148  # CSS pixels of a cutout's longer side, at least
STEPS = (0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600)  # lengths of the bar in arcsec
_SHORT = {"Hα", "Hβ", "Lyα", "C IV", "Mg II", "[O III]", "[O II]", "Ca K", "Na D", "C III]"}


def images(image: Image, meta: dict[str, Any], kind: str) -> str:
    """Colour (for three or more bands) and every band at native pixels, with a bar in arcsec and north and east.

    ``meta`` is what the survey knows of its images: ``bands``, ``pixel_scale`` in arcsec, and ``north``: the angle
    in degrees from the image's up to north, counter-clockwise. A part that is not known is not drawn.
    """
    count, height, width = image.pixels.shape
    told = meta.get("bands", [])
    names = [str(b) for b in told] if len(told) == count else [f"band {i + 1}" for i in range(count)]
    shown: list[tuple[str, np.ndarray]] = []
    photo = image.pixels.dtype == np.uint8 and count == 3
    if count >= 2:
        order = default_colours(names)
        colour = " ".join(names[i] for i in order) if not photo else "colour"
        rgb = np.ascontiguousarray(image.pixels.transpose(1, 2, 0)) if photo and kind == "asinh" else None
        shown.append((colour, stretch(image.pixels, kind, bands=names) if rgb is None else rgb))
    for i, name in enumerate(names if not photo else []):
        if image.pixels.dtype == np.uint8 and kind == "asinh":
            plane = np.repeat(image.pixels[i][..., None], 3, axis=2)
        else:
            plane = stretch(image.pixels[i : i + 1], kind)
        shown.append((name, plane))
    zoom = max(1, round(PICTURE / max(height, width)))
    size = (width * zoom, height * zoom) if max(height, width) <= 2 * PICTURE else None
    scale = meta.get("pixel_scale")
    figures = "".join(_picture(name, rgb, size, scale, meta.get("north")) for name, rgb in shown)
    row = " row" if 3 <= len(shown) <= 6 else ""
    pixels = f"{width} × {height} pixels" + (f" of {scale:g}″" if scale else "")
    lost = float(np.mean(~np.isfinite(image.pixels))) if image.pixels.dtype != np.uint8 else 0.0
    gaps = f", {lost:.1%} without data" if lost else ""
    under = f'<p class="ax-faint under">{pixels}, {escape(kind)} stretch{gaps}</p>'
    return f'<div class="look"><div class="pics{row}">{figures}</div>{under}</div>'


def _picture(name: str, rgb: np.ndarray, size: tuple[int, int] | None, scale: float | None, north: float | None) -> str:
    height, width = rgb.shape[:2]
    if size is None:  # a large cutout: shown smaller, its pixels stay in the file
        shrink = 2 * PICTURE / max(height, width)
        size = (round(width * shrink), round(height * shrink))
    out = io.BytesIO()
    Pillow.fromarray(rgb).save(out, "PNG", compress_level=1)
    source = base64.b64encode(out.getvalue()).decode("ascii")
    bar = _bar(width * scale, size[0]) if scale else ""
    arrows = _compass(north) if north is not None else ""
    crisp = "crisp" if size[0] >= width else ""
    return (
        f'<figure style="width:{size[0]}px"><img class="{crisp}" alt="{escape(name)}" width="{size[0]}" '
        f'height="{size[1]}" src="data:image/png;base64,{source}">{bar}{arrows}'
        f"<figcaption>{escape(name)}</figcaption></figure>"
    )


def _bar(arcsec: float, pixels: int) -> str:
    """The longest round length that is no more than 40 % of a picture ``arcsec`` wide."""
    length = max((s for s in STEPS if s <= 0.4 * arcsec), default=STEPS[0])
    told = f"{length:g}″" if length < 60 else f"{length / 60:g}′"
    return f'<span class="scale" style="width:{length / arcsec * pixels:.1f}px"><i>{told}</i></span>'


def _compass(north: float) -> str:
    """Arrows to north and east: east is a quarter turn counter-clockwise from north, as on the sky."""
    parts = []
    for name, angle in (("N", north), ("E", north + 90)):
        x, y = -math.sin(math.radians(angle)), -math.cos(math.radians(angle))
        parts.append(
            f'<line x1="22" y1="22" x2="{22 + 12 * x:.1f}" y2="{22 + 12 * y:.1f}"/>'
            f'<text x="{22 + 18 * x:.1f}" y="{25 + 18 * y:.1f}">{name}</text>'
        )
    return f'<svg class="compass" width="44" height="44" aria-label="north and east">{"".join(parts)}</svg>'


def spectrum(found: Spectrum, redshift: float | None, unit: str, width: int = 560, height: int = 100) -> str:
    """A small spectrum as SVG: smoothed flux, the best known lines at ``redshift``, ends of the axis in Å."""
    flux, _ = _spectra.smooth(np.asarray(found.flux), np.asarray(found.ivar), 3)
    if not np.isfinite(flux).any():
        return '<p class="ax-muted">Every pixel of the spectrum is masked.</p>'
    low, high = _spectra.limits(np.asarray(found.flux), np.asarray(found.ivar))
    first, last = float(found.wavelength[0]), float(found.wavelength[-1])
    at = _spectra.decimate(flux, width // 2)
    x = (found.wavelength[at] - first) / (last - first) * width
    y = np.clip((high - flux[at]) / (high - low), -0.1, 1.1) * height
    path, pen = [], "M"
    for px, py in zip(x, y, strict=True):
        if np.isfinite(py):
            path.append(f"{pen}{px:.1f} {py:.1f}")
        pen = "L" if np.isfinite(py) else "M"
    marks, taken = [], -99.0
    for line in sorted(LINES, key=lambda v: v.wavelength) if redshift is not None else ():
        percent = (line.wavelength * (1 + (redshift or 0)) - first) / (last - first) * 100
        if line.strength == 1 and line.name in _SHORT and 1 < percent < 99 and percent - taken > 5:
            taken = percent
            marks.append(f'<line x1="{percent:.2f}%" y1="12" x2="{percent:.2f}%" y2="100"/>')
            marks.append(f'<text x="{percent:.2f}%" y="10">{escape(line.name)}</text>')
    told = f"flux in {escape(unit)}" if unit else "flux"
    return (
        '<svg class="spec" role="img" aria-label="spectrum">'
        f'<g class="marks">{"".join(marks)}</g><svg y="2" width="100%" height="98" viewBox="0 0 {width} {height}" '
        f'preserveAspectRatio="none"><path d="{"".join(path)}"/></svg>'
        f'<text x="4" y="114">{first:.0f} Å</text><text x="99.5%" y="114" text-anchor="end">{last:.0f} Å</text>'
        f'<text x="50%" y="114" text-anchor="middle">{told}</text></svg>'
    )


def value(given: Any) -> str:
    """A catalogue's value for a person: six significant digits, whole numbers whole, – for none. Escaped."""
    if given is None or (isinstance(given, float | np.floating) and math.isnan(given)):
        return "–"
    if isinstance(given, bool | np.bool_):
        return "yes" if given else "no"
    if isinstance(given, float | np.floating):
        return f"{given:.7g}"
    return escape(given)


def catalogue(survey: Survey, row: int) -> str:
    """All catalogue values of a row, with units."""
    table = survey.table(np.array([row]), list(survey.columns))
    items = []
    for name in survey.columns:
        unit = f' <span class="ax-faint">{escape(survey.units[name])}</span>' if name in survey.units else ""
        items.append(f"<div><dt>{escape(name)}</dt><dd>{value(table[name].iloc[0])}{unit}</dd></div>")
    return f'<dl class="cat">{"".join(items)}</dl>' if items else '<p class="ax-muted">No catalogue columns.</p>'


def scores(survey: Survey, row: int, space: str, scorer: str) -> str:
    """Every score of a row: space, score, rank of how many, percentile; the one that ranks the page stands out."""
    lines = []
    for where in survey.spaces:
        for name in survey.scores(where):
            place = int(survey.rank(where, name)[row])
            percent, score = float(survey.percentile(where, name)[row]), float(survey.score(where, name)[row])
            ranked = int(np.count_nonzero(survey.rank(where, name)))
            here = ' class="now"' if (where, name) == (space, scorer) else ""
            if place == 0:
                told = '<td class="ax-num">–</td><td class="ax-faint">no score</td><td class="ax-num">–</td>'
            else:
                told = (
                    f'<td class="ax-num"><b>{place:,}</b> <span class="ax-faint">of {ranked:,}</span></td>'
                    f'<td><span class="bar"><i style="width:{percent:.0f}%"></i></span>{percent:.2f}</td>'
                    f'<td class="ax-num">{score:.4g}</td>'
                )
            lines.append(f"<tr{here}><td>{escape(where)}</td><td>{escape(name)}</td>{told}</tr>")
    if not lines:
        return '<p class="ax-muted">No score yet: run survey.prepare().</p>'
    names = (("space", ""), ("score", ""), ("rank", "ax-num"), ("percentile", ""), ("value", "ax-num"))
    head = "<tr>" + "".join(f'<th class="{kind}">{name}</th>' for name, kind in names) + "</tr>"
    return f'<table class="scores"><thead>{head}</thead><tbody>{"".join(lines)}</tbody></table>'


def links(ra: float, dec: float) -> list[tuple[str, str]]:
    """(name, address) of what others know at a position in degrees; nothing is fetched until one is clicked."""
    place, sign = f"{ra:.6f}", "%2B" if dec >= 0 else "-"
    north = f"{sign}{abs(dec):.6f}"
    simbad = "https://simbad.cds.unistra.fr/simbad/sim-coo?CooFrame=ICRS&Radius=10&Radius.unit=arcsec&Coord="
    ned = "https://ned.ipac.caltech.edu/conesearch?search_type=Near%20Position%20Search&in_csys=Equatorial"
    legacy = "https://www.legacysurvey.org/viewer?layer=ls-dr10&zoom=16"
    return [
        ("SIMBAD", f"{simbad}{place}d{north}d"),
        ("NED", f"{ned}&in_equinox=J2000&ra={place}d&dec={north}d&radius=0.17"),
        ("Legacy Surveys", f"{legacy}&ra={place}&dec={dec:.6f}&mark={place},{dec:.6f}"),
        ("ESASky", f"https://sky.esa.int/?target={quote(f'{ra:.6f} {dec:.6f}')}&fov=0.03&cooframe=J2000&sci=true"),
    ]


def sexagesimal(ra: float, dec: float) -> str:
    """``12h34m56.78s +01°23′45.6″`` of a position in degrees.

    >>> sexagesimal(189.2, -0.5)
    '12h36m48.00s −00°30′00.0″'
    """
    hundredths = round(ra % 360 / 15 * 3600 * 100) % (24 * 3600 * 100)
    tenths = round(abs(dec) * 3600 * 10)
    h, m, s = hundredths // 360000, hundredths // 6000 % 60, hundredths % 6000 / 100
    d, a, b = tenths // 36000, tenths // 600 % 60, tenths % 600 / 10
    return f"{h:02d}h{m:02d}m{s:05.2f}s {'−' if dec < 0 else '+'}{d:02d}°{a:02d}′{b:04.1f}″"


def flags(found: Spectrum | None, image: Image | None, warning: tuple[str, float] | None) -> str:
    """Chips that say how far to trust the data: the redshift's warning, masked share, signal to noise, lost pixels.

    ``warning`` is the name and value of the warning column, which is 0 where nothing is wrong (SDSS, DESI).
    """
    chips: list[tuple[str, str]] = []
    if warning is not None:
        chips.append((f"{warning[0]} = {warning[1]:g}", "bad" if warning[1] else "good"))
    if found is not None:
        good = (found.ivar > 0) & np.isfinite(found.flux)
        masked = 1 - float(good.mean())
        told = f"{masked:.1%} of the spectrum masked" if masked else "no pixel masked"
        chips.append((told, "bad" if masked > 0.2 else "good"))
        if good.any():
            ratio = float(np.median(np.abs(found.flux[good]) * np.sqrt(found.ivar[good])))
            chips.append((f"S/N {ratio:.1f} per pixel", "bad" if ratio < 1 else "good"))
    if image is not None and image.pixels.dtype != np.uint8:
        lost = float(np.mean(~np.isfinite(image.pixels)))
        chips.append((f"{lost:.1%} of the image lost" if lost else "no pixel lost", "bad" if lost > 0.05 else "good"))
        flat = [i for i, plane in enumerate(image.pixels) if not _spread(plane) > 0]
        if flat:
            chips.append((f"{len(flat)} of {len(image.pixels)} bands empty", "bad"))
    if not chips:
        return '<span class="ax-faint">no quality flags are known</span>'
    return "".join(f'<span class="ax-chip {kind}">{escape(text)}</span>' for text, kind in chips)


def buttons(labels: Sequence[str], mine: tuple[str, float | None] | None) -> str:
    """The labels in use, a field for a new one, and the scores 0 to 5; what this user gave is pressed."""
    label, score = mine if mine is not None else ("", None)
    known = list(dict.fromkeys([*([label] if label else []), *labels]))[:8]
    chips = "".join(
        f'<button data-do="label" data-label="{escape(name)}" aria-pressed="{str(name == label).lower()}">'
        f"{escape(name)}</button>"
        for name in known
    )
    marks = "".join(
        f'<button data-do="score" data-score="{i}" aria-pressed="{str(score == i).lower()}" '
        f'title="score {i} (key {i})">{i}</button>'
        for i in range(6)
    )
    away = '<button data-do="unmark" class="away" title="take the mark away">×</button>' if mine is not None else ""
    field = '<input data-do="new" placeholder="new label…" aria-label="new label" maxlength="60">'
    five = f'<span class="five" role="group" aria-label="score">{marks}</span>'
    return f'<div class="marking">{chips}{field}{five}{away}</div>'


def _spread(plane: np.ndarray) -> float:
    seen = plane[np.isfinite(plane)]
    return float(seen.max() - seen.min()) if seen.size else 0.0
