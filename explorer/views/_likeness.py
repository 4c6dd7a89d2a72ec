"""Markup of what is similar: one list, or spaces side by side, with pictures or small spectra. All text is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.survey.records import Spectrum
from explorer.views import _spectra
from explorer.views._map_frame import data_url
from explorer.views._theme import escape

if TYPE_CHECKING:
    import pandas as pd

CSS = """
.nb { height: 100%; display: flex; flex-direction: column; min-height: 0; container-type: inline-size; }
.nb .bar { display: flex; flex-wrap: wrap; gap: 5px 6px; align-items: center; padding: 7px 10px;
  border-bottom: 1px solid var(--ax-line); }
.nb .bar button { all: unset; cursor: pointer; padding: 1px 9px; border-radius: 11px; font-size: 11.5px;
  line-height: 20px; border: 1px solid var(--ax-line); background: var(--ax-raised); white-space: nowrap; }
.nb .bar button:hover { border-color: var(--ax-strong-line); }
.nb .bar button:focus-visible { outline: 2px solid var(--ax-focus); }
.nb .bar button[aria-pressed=true] { background: var(--ax-focus-soft); border-color: var(--ax-focus); }
.nb .bar button.go { border-color: var(--ax-select); color: var(--ax-select); margin-left: auto; }
.nb .bar input { all: unset; box-sizing: border-box; width: 128px; height: 22px; padding: 0 9px; font-size: 11.5px;
  border: 1px solid var(--ax-line); border-radius: 11px; background: var(--ax-sunken); }
.nb .bar input:focus { border-color: var(--ax-focus); outline: 2px solid var(--ax-focus-soft); }
.nb .bar input::placeholder { color: var(--ax-faint); }
.nb .scroll { flex: 1; min-height: 0; overflow: auto; scrollbar-width: thin; }
.nb .told { padding: 5px 10px 6px; color: var(--ax-muted); font-size: 11.5px; border-top: 1px solid var(--ax-line); }
.nb table { width: 100%; border-collapse: collapse; font-size: 12.5px; }
.nb th { position: sticky; top: 0; z-index: 2; background: var(--ax-panel); color: var(--ax-muted); font-weight: 500;
  font-size: 11px; text-align: left; padding: 4px 8px; box-shadow: inset 0 -1px var(--ax-line); white-space: nowrap; }
.nb td { padding: 2px 8px; height: 42px; white-space: nowrap; box-shadow: inset 0 -1px var(--ax-line); }
.nb th.n, .nb td.n { text-align: right; }
.nb tr[data-do] { cursor: pointer; } .nb tr[data-do]:hover td { background: var(--ax-raised); }
.nb tr:focus-visible { outline: 2px solid var(--ax-focus); outline-offset: -2px; }
.nb tr.query td { position: sticky; top: 23px; z-index: 1;
  background: color-mix(in srgb, var(--ax-focus) 14%, var(--ax-panel)); }
.nb .id { min-width: 96px; max-width: 0; width: 40%; overflow: hidden; text-overflow: ellipsis; }
.nb .short { display: none; }
@container (max-width: 640px) { .nb .words { display: none; } .nb .short { display: inline; }
  .nb .id { min-width: 118px; } }
.nb .place { color: var(--ax-muted); } .nb .on .place { color: var(--ax-select); font-weight: 600; }
.nb .pic { display: block; border-radius: 4px; background: var(--ax-sunken); object-fit: cover; }
.nb svg.spark { display: block; background: var(--ax-sunken); border-radius: 4px; }
.nb svg.spark path { fill: none; stroke: var(--ax-data); stroke-width: 1; vector-effect: non-scaling-stroke; }
.nb .query svg.spark path { stroke: var(--ax-focus); }
.nb .near { display: inline-block; width: 56px; height: 4px; border-radius: 2px; background: var(--ax-line);
  vertical-align: middle; margin-right: 7px; overflow: hidden; }
.nb .near i { display: block; height: 100%; background: var(--ax-data); }
.nb .cols { display: flex; gap: 10px; padding: 8px 10px; align-items: flex-start; }
.nb .col { flex: 1 1 0; min-width: 118px; }
.nb .col h4 { margin: 0 0 5px; font-size: 11.5px; font-weight: 600; overflow: hidden; text-overflow: ellipsis;
  white-space: nowrap; }
.nb .tile { all: unset; display: flex; gap: 7px; width: 100%; box-sizing: border-box; padding: 3px; border-radius: 5px;
  cursor: pointer; align-items: center; font-size: 11.5px; }
.nb .tile:hover { background: var(--ax-raised); } .nb .tile:focus-visible { outline: 2px solid var(--ax-focus); }
.nb .tile.query { background: var(--ax-focus-soft); margin-bottom: 4px; }
.nb .tile.shared b { color: var(--ax-good); }
.nb .tile div { min-width: 0; line-height: 1.35; } .nb .tile div > * { display: block; overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; }
.nb .tile b { font-weight: 500; } .nb .tile small { color: var(--ax-muted); font-size: 10.5px; }
"""


@dataclass(frozen=True)
class Tile:
    """One object of a list: ``distance`` 1 - cosine, ``closer`` the share of random pairs that are nearer."""

    row: int
    id: str
    distance: float
    closer: float
    query: bool
    picture: bytes | None
    spectrum: Spectrum | None
    mark: str
    selected: bool


def tiles_of(session: Any, found: pd.DataFrame, outside: Any = None) -> list[Tile]:
    """The lines of :meth:`Session.find_similar` with what is drawn of them; ``outside`` is the file's object."""
    survey = session.survey
    rows = found.index.to_numpy()
    here = rows[rows >= 0]
    pictures = dict(zip(here.tolist(), survey.thumbnails(here), strict=True)) if len(here) else {}
    bare = [r for r in here.tolist() if pictures.get(r) is None]
    spectra = dict(zip(bare, survey.spectra(np.array(bare)), strict=True)) if bare else {}
    marks = dict(zip(here.tolist(), session.labels(here), strict=True))
    out = []
    columns = (found[name].tolist() for name in ("id", "distance", "closer", "example"))
    for row, name, distance, closer, example in zip(rows.tolist(), *columns, strict=True):
        spectrum = spectra.get(row) if row >= 0 else getattr(outside, "spectrum", None)
        out.append(
            Tile(
                row, str(name), distance, closer, example, pictures.get(row), spectrum, marks.get(row, ""),
                row >= 0 and row in session.selection,
            )
        )  # fmt: skip
    return out


def spark(spectrum: Spectrum, width: int, height: int) -> str:
    """A small spectrum as SVG, smoothed, without axes."""
    flux, _ = _spectra.smooth(np.asarray(spectrum.flux), np.asarray(spectrum.ivar), 4)
    if not np.isfinite(flux).any():
        return f'<span class="pic" style="width:{width}px;height:{height}px"></span>'
    low, high = _spectra.limits(np.asarray(spectrum.flux), np.asarray(spectrum.ivar))
    at = _spectra.decimate(flux, width)
    first, last = spectrum.wavelength[0], spectrum.wavelength[-1]
    x = (spectrum.wavelength[at] - first) / (last - first) * width
    y = np.clip((high - flux[at]) / max(high - low, 1e-30), 0, 1) * (height - 2) + 1
    path, pen = [], "M"
    for px, py in zip(x, y, strict=True):
        if np.isfinite(py):
            path.append(f"{pen}{px:.1f} {py:.1f}")
        pen = "L" if np.isfinite(py) else "M"
    return (
        f'<svg class="spark" width="{width}" height="{height}" viewBox="0 0 {width} {height}" aria-hidden="true">'
        f'<path d="{"".join(path)}"/></svg>'
    )


def _look(tile: Tile, size: int, wide: int) -> str:
    if tile.picture is not None:
        return f'<img class="pic" alt="" width="{size}" height="{size}" src="{data_url(tile.picture)}">'
    if tile.spectrum is not None:
        return spark(tile.spectrum, wide, size)
    return f'<span class="pic" style="width:{size}px;height:{size}px"></span>'


def meaning(closer: float) -> str:
    """What a share of nearer random pairs says, in words.

    >>> meaning(0.0003), meaning(0.04), meaning(0.5), meaning(float("nan"))
    ('nearer than 99.97 % of random pairs', 'nearer than 96 % of random pairs', 'as far as chance', '')
    """
    if closer != closer:
        return ""
    if 0.4 <= closer <= 0.6:
        return "as far as chance"
    if closer > 0.6:
        return f"farther than {_percent(closer)} of random pairs"
    return f"nearer than {_percent(1 - closer)} of random pairs"


def _percent(share: float) -> str:
    percent = 100 * share
    return f"{percent:.0f} %" if percent < 99 else f"{min(percent, 99.99):.2f} %".replace(".00 %", " %")


def one_list(tiles: Sequence[Tile]) -> str:
    """A table of one space: the query pinned first, then what was found with its distance and what that means."""
    bare = [t.picture is None and t.spectrum is not None for t in tiles]
    width = 38 if not any(bare) else 120 if all(bare) else 76
    head = '<tr><th class="n"></th><th></th><th>id</th><th class="n">distance</th><th>which is</th><th>mark</th></tr>'
    lines, place = [], 0
    for tile in tiles:
        place += not tile.query
        told = "query" if tile.query else str(place)
        classes = " ".join(["query"] * tile.query + ["on"] * tile.selected)
        live = f'data-do="look" data-row="{tile.row}" tabindex="0"' if tile.row >= 0 else ""
        close = 0.0 if tile.closer != tile.closer else max(0.0, 1 - tile.closer)
        bar = "" if tile.query else f'<span class="near"><i style="width:{100 * close:.0f}%"></i></span>'
        chip = f'<span class="ax-chip">{escape(tile.mark)}</span>' if tile.mark else ""
        which = "" if tile.query else escape(meaning(tile.closer))
        short = "" if tile.query else escape(_short(tile.closer))
        look = _look(tile, 38, width)
        lines.append(
            f'<tr class="{classes}" {live}><td class="n place">{told}</td><td>{look}</td>'
            f'<td class="id" title="{escape(tile.id)}">{escape(tile.id)}</td><td class="n">{tile.distance:.4f}</td>'
            f'<td title="{which}">{bar}<span class="ax-muted words">{which}</span>'
            f'<span class="ax-muted short">{short}</span></td><td>{chip}</td></tr>'
        )
    return f"<table><thead>{head}</thead><tbody>{''.join(lines)}</tbody></table>"


def side_by_side(columns: dict[str, list[Tile]]) -> str:
    """Spaces as columns; an object that more than one space found is named in green."""
    seen: dict[int, int] = {}
    for tiles in columns.values():
        for tile in tiles:
            if not tile.query:
                seen[tile.row] = seen.get(tile.row, 0) + 1
    parts = []
    for space, tiles in columns.items():
        body = []
        for tile in tiles:
            often = seen.get(tile.row, 0)
            classes = " ".join(["query"] * tile.query + ["shared"] * (often > 1 and not tile.query))
            told = "query" if tile.query else f"{tile.distance:.3f} · {_short(tile.closer)}"
            where = f" · found in {often} spaces" if often > 1 and not tile.query else ""
            live = f'data-do="look" data-row="{tile.row}"' if tile.row >= 0 else "disabled"
            hint = escape(f"{tile.id}: {meaning(tile.closer)}{where}")
            body.append(
                f'<button class="tile {classes}" {live} title="{hint}">'
                f"{_look(tile, 40, 64)}<div><b>{escape(tile.id)}</b><small>{escape(told)}</small></div></button>"
            )
        parts.append(f'<div class="col"><h4 title="{escape(space)}">{escape(space)}</h4>{"".join(body)}</div>')
    return f'<div class="cols">{"".join(parts)}</div>'


def _short(closer: float) -> str:
    return "" if closer != closer else _percent(1 - closer)
