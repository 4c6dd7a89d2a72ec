"""The table of the ranking as HTML: everything that stands in it is text and numbers that are given."""

from __future__ import annotations

import math
from dataclasses import dataclass

from explorer.views._map_frame import data_url
from explorer.views._map_legend import count, number
from explorer.views._scores import heading
from explorer.views._theme import escape

CSS = """
.rk { height: 100%; display: flex; flex-direction: column; min-height: 0; }
.rk .scroll { flex: 1; min-height: 0; overflow: auto; scrollbar-width: thin; }
.rk table { width: 100%; border-collapse: collapse; font-size: 12.5px; }
.rk th { position: sticky; top: 0; z-index: 1; background: var(--ax-panel); color: var(--ax-muted); font-weight: 500;
  font-size: 11px; text-align: left; padding: 5px 8px; box-shadow: inset 0 -1px var(--ax-line); white-space: nowrap; }
.rk td { padding: 2px 8px; height: 34px; white-space: nowrap; box-shadow: inset 0 -1px var(--ax-line); }
.rk th.n, .rk td.n { text-align: right; }
.rk tr[data-do] { cursor: pointer; }
.rk tr[data-do]:hover td { background: var(--ax-raised); }
.rk tr:focus-visible { outline: 2px solid var(--ax-focus); outline-offset: -2px; }
.rk tr.dull td { color: var(--ax-faint); } .rk tr.dull .pic { opacity: .45; }
.rk tr.focus td { background: var(--ax-focus-soft); }
.rk tr.focus td:first-child { box-shadow: inset 3px 0 var(--ax-focus), inset 0 -1px var(--ax-line); }
.rk .id { max-width: 0; width: 45%; overflow: hidden; text-overflow: ellipsis; }
.rk .rank { color: var(--ax-muted); } .rk .on .rank { color: var(--ax-select); font-weight: 600; }
.rk .pic { width: 32px; padding: 1px 4px; }
.rk .pic img, .rk .pic span { display: block; width: 30px; height: 30px; border-radius: 4px;
  background: var(--ax-sunken); }
.rk .foot { display: flex; align-items: center; gap: 4px; padding: 5px 10px; border-top: 1px solid var(--ax-line);
  color: var(--ax-muted); font-size: 11.5px; }
.rk .foot > span { flex: 1; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.rk .foot button { all: unset; cursor: pointer; padding: 2px 8px; border-radius: 5px; color: var(--ax-text); }
.rk .foot button:hover { background: var(--ax-raised); }
.rk .foot button:focus-visible { outline: 2px solid var(--ax-focus); }
.rk .foot .act { border: 1px solid var(--ax-line); background: var(--ax-raised); white-space: nowrap; }
.rk .foot .act[aria-pressed=true], .rk .foot .go { border-color: var(--ax-focus); background: var(--ax-focus-soft); }
.rk th[data-do] { cursor: pointer; } .rk th[data-do]:hover, .rk th.now { color: var(--ax-text); }
.rk .spread { color: var(--ax-muted); }
.rk .foot button[disabled] { color: var(--ax-faint); opacity: .5; pointer-events: none; }
@media (max-width: 900px) { .rk .wide { display: none; } }
"""


@dataclass(frozen=True)
class Line:
    """One row of the table as text and numbers: everything that :func:`table` shows of it."""

    row: int
    rank: int
    id: str
    score: float
    percentile: float
    mark: str
    picture: bytes | None
    selected: bool
    focused: bool
    given: float | None = None
    spread: tuple[float, float] | None = None
    dull: bool = False


def table(
    lines: list[Line],
    page: int,
    pages: int,
    total: int,
    inside: bool,
    scorer: str,
    pictures: bool = True,
    spread: str = "",
    acts: str = "",
) -> str:
    """HTML of a page of the ranking. Every text is escaped; a line names its row by position, never by id.

    ``spread`` is the head of the column of rank intervals, where there are any; ``acts`` are buttons for the foot.
    """
    word, told = heading(scorer)
    head = (
        f'<th class="n">rank</th>{"<th></th>" if pictures else ""}<th>id</th>'
        f'<th class="n" title="{escape(scorer)}: {escape(told)}">{escape(word)}</th>'
        f'<th class="n" title="percentile: high is anomalous">pct</th>{spread}<th class="wide">mark</th>'
    )
    digits = decimals([line.score for line in lines])
    body = "".join(_line(line, digits, pictures, bool(spread)) for line in lines)
    where = "in the selection" if inside else "in all"
    told = f"{count(total)} {where} · page {count(page + 1)} of {count(pages)}"
    first, last = ("disabled" if page == 0 else ""), ("disabled" if page + 1 >= pages else "")
    pager = (
        f'<button data-do="page" data-to="0" {first} title="First page">«</button>'
        f'<button data-do="page" data-to="{page - 1}" {first} title="Page before">‹</button>'
        f'<button data-do="page" data-to="{page + 1}" {last} title="Next page">›</button>'
        f'<button data-do="page" data-to="{pages - 1}" {last} title="Last page">»</button>'
    )
    return (
        f'<div class="rk"><div class="scroll" data-scroll="{page}"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        f'<div class="foot"><span title="{told}">{told}</span>{acts}{pager}</div></div>'
    )


def decimals(scores: list[float]) -> int | None:
    """Decimals with which the largest of a column of scores has four digits, None where one form does not fit all.

    >>> decimals([0.625, 0.6184]), decimals([12.3, 9.0]), decimals([1e-7, 2.0]), decimals([1e7])
    (4, 2, None, None)
    """
    sizes = [abs(s) for s in scores if math.isfinite(s) and s != 0]
    if not sizes or max(sizes) >= 1000 or min(sizes) < 1e-3:
        return None
    return 4 - max(0, math.floor(math.log10(max(sizes))) + 1)


def _line(line: Line, digits: int | None, pictures: bool, spread: bool = False) -> str:
    classes = " ".join(["on"] * line.selected + ["focus"] * line.focused + ["dull"] * line.dull)
    into_view = "data-into-view" if line.focused else ""
    picture = f'<img alt="" src="{data_url(line.picture)}">' if line.picture is not None else "<span></span>"
    cell = f'<td class="pic">{picture}</td>' if pictures else ""
    known = math.isfinite(line.percentile)
    said = [line.mark] * bool(line.mark) + ([f"{line.given:g}\u2009/\u20095"] if line.given is not None else [])
    chip = "".join(f'<span class="ax-chip">{escape(words)}</span> ' for words in said)
    name = escape(line.id)
    score = "∞" if math.isinf(line.score) else number(line.score)
    if digits is not None and math.isfinite(line.score):
        score = f"{line.score:.{digits}f}"
    ends = ""
    if spread:
        ends = "–" if line.spread is None else "–".join(count(int(end)) for end in line.spread)
        ends = f'<td class="n spread">{ends}</td>'
    return (
        f'<tr class="{classes}" data-do="focus" data-row="{line.row}" tabindex="0" {into_view}>'
        f'<td class="n rank">{count(line.rank) if line.rank else "–"}</td>{cell}'
        f'<td class="id" title="{name}">{name}</td><td class="n">{score}</td>'
        f'<td class="n">{f"{line.percentile:.2f}" if known else "–"}</td>{ends}<td class="wide">{chip}</td></tr>'
    )


def act(do: str, words: str, title: str, cls: str = "", live: bool = True, pressed: bool | None = None) -> str:
    """HTML of a button in the foot, one that stays down where ``pressed`` says so."""
    down = "" if pressed is None else f' aria-pressed="{str(pressed).lower()}"'
    off = "" if live else " disabled"
    return f'<button class="act {cls}" data-do="{do}" title="{escape(title)}"{down}{off}>{escape(words)}</button>'
