"""Markup of a verdict: the answer, its probabilities, and the neighbours that it rests on. All text is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.survey.bpt import DIAGRAMS
from explorer.views._theme import escape

if TYPE_CHECKING:
    from explorer.session.verdict import Verdict
    from explorer.survey.lines import Lines

CSS = """
.vt { container-type: inline-size; padding: 8px 12px 4px; }
.vt .bar { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; margin-bottom: 9px; }
.vt label { display: flex; align-items: center; height: 26px; border: 1px solid var(--ax-line); border-radius: 6px;
  background: var(--ax-raised); padding-left: 8px; gap: 2px; color: var(--ax-muted); font-size: 11px; }
.vt label:focus-within { outline: 2px solid var(--ax-focus); }
.vt select { all: unset; font: 12.5px/24px var(--ax-font); color: var(--ax-text); padding: 0 8px 0 5px;
  cursor: pointer; max-width: 170px; text-overflow: ellipsis; overflow: hidden; white-space: nowrap; }
.vt select option { background: var(--ax-panel); color: var(--ax-text); }
.vt .top { display: flex; flex-wrap: wrap; gap: 10px 26px; align-items: flex-start; }
.vt .answer { font-size: 20px; font-weight: 600; line-height: 1.2; }
.vt .answer small { display: block; font-size: 11.5px; font-weight: 400; color: var(--ax-muted); margin-top: 3px;
  max-width: 270px; }
.vt .answer.none { color: var(--ax-muted); }
.vt .shares { flex: 1 1 220px; display: grid; grid-template-columns: max-content 1fr max-content; gap: 3px 9px;
  align-items: center; font-size: 12px; max-width: 420px; }
.vt .shares i { display: block; height: 7px; border-radius: 3px; min-width: 1px; }
.vt .shares span.b { background: var(--ax-raised); border-radius: 3px; overflow: hidden; }
.vt h3 { margin: 12px 0 4px; font-size: 11px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: var(--ax-muted); }
.vt .wide { overflow-x: auto; scrollbar-width: thin; }
.vt table { border-collapse: collapse; width: 100%; font-size: 12px; white-space: nowrap; }
.vt th { text-align: left; color: var(--ax-muted); font-weight: 500; font-size: 11px; padding: 3px 9px 3px 0;
  border-bottom: 1px solid var(--ax-line); }
.vt td { padding: 3px 9px 3px 0; border-bottom: 1px solid var(--ax-line); }
.vt th.n, .vt td.n { text-align: right; }
.vt tr[data-do] { cursor: pointer; } .vt tr[data-do]:hover td { background: var(--ax-raised); }
.vt tr:focus-visible { outline: 2px solid var(--ax-focus); }
.vt tr.query td { background: var(--ax-focus-soft); font-weight: 600; }
.vt .dot { display: inline-block; width: 8px; height: 8px; border-radius: 50%; margin-right: 6px; }
.vt .id { max-width: 170px; overflow: hidden; text-overflow: ellipsis; }
"""


def controls(labels: list[str], label: str, ks: tuple[int, ...], k: int, weightings: tuple[str, ...], now: str) -> str:
    """The three choices: what is voted on, by how many, and how votes are weighed."""

    def choice(name: str, title: str, options: list[Any], value: Any, hint: str) -> str:
        inner = "".join(
            f'<option value="{escape(o)}"{" selected" if o == value else ""}>{escape(o)}</option>' for o in options
        )
        return f'<label title="{escape(hint)}">{title}<select data-do="{name}">{inner}</select></label>'

    return (
        '<div class="bar">'
        + choice("label", "vote on", labels, label, "a column of classes; rows without one cast no vote")
        + choice("k", "K", list(ks), k, "neighbours that vote")
        + choice("weighting", "weight", list(weightings), now, "how a vote counts by its distance; learned knows S/N")
        + "</div>"
    )


def answer(found: Verdict, colours: dict[str, str]) -> str:
    """The verdict in large letters, the probabilities as bars, and the redshift by retrieval."""
    if found.abstained:
        near = found.neighbours["distance"].min() if len(found.neighbours) else float("nan")
        head = (
            '<div class="answer none">no verdict<small>nothing with a label is near: the nearest lies at '
            f"{near:.3g}, and 99.5 % of the knowledge base has a neighbour within {found.reach:.3g}</small></div>"
        )
    else:
        top = next(iter(found.probability.values()))
        head = (
            f'<div class="answer">{escape(found.answer)}<small>{top:.1%} of the vote of {len(found.neighbours)} '
            f"neighbours among {found.entries:,} labelled in {escape(found.space)}</small></div>"
        )
    shown = [(name, p) for name, p in found.probability.items() if p >= 0.0005][:6]
    bars = "".join(
        f'<span>{escape(name)}</span><span class="b"><i style="width:{100 * p:.1f}%;'
        f'background:{colours.get(name, "var(--ax-faint)")}"></i></span><span class="ax-num">{p:.1%}</span>'
        for name, p in shown
    )
    value = ""
    if found.value is not None:
        z, low, high = found.value
        value = f'<div class="ax-muted">redshift by retrieval {z:.4f}, 68 % in {low:.4f} … {high:.4f}</div>'
    return f'<div class="top">{head}<div class="shares">{bars}</div></div>{value}'


def provenance(
    found: Verdict, query: dict[str, Any], measured: dict[int, Lines | None], colours: dict[str, str]
) -> str:
    """One line for the query and one for each neighbour: label, distance, weight, metadata, line ratios with errors."""
    table = found.neighbours
    more = [c for c in table.columns if c not in ("id", "object", "source", "label", "distance", "weight")]
    unit = f"share of the vote; distances count in units of {found.tau:.3g}, the median to the nearest"
    head = "".join(
        f'<th class="{kind}" title="{escape(title)}">{escape(name)}</th>'
        for name, kind, title in [
            ("id", "", ""), (found.label, "", "the label that votes"), ("distance", "n", "L2 in the space"),
            ("weight", "n", unit), *((_NAMES.get(m, m), "n", m) for m in more),
            *((_short(d), "n", f"{title}, lines at S/N > 3") for d, title in DIAGRAMS.items()),
            ("log [O III]/Hβ", "n", "lines at S/N > 3"), ("source", "", "catalogue that the entry came from"),
        ]
    )  # fmt: skip
    cells = [query["id"], query.get("label", ""), None, None, *(query.get(m) for m in more)]
    lines = [_line(cells, found.row, measured.get(found.row), query.get("source", ""), "query", "var(--ax-focus)")]
    for row, entry in zip(table.index.tolist(), table.to_dict("records"), strict=True):
        cells = [entry["id"], entry["label"], entry["distance"], f"{entry['weight']:.1%}", *(entry[m] for m in more)]
        colour = colours.get(entry["label"], "var(--ax-faint)")
        lines.append(_line(cells, row, measured.get(row), entry["source"], "", colour))
    return f'<h3>What it rests on</h3><div class="wide"><table><tr>{head}</tr>{"".join(lines)}</table></div>'


_NAMES = {"redshift": "z", "snr_spectrum": "S/N"}


def _short(diagram: str) -> str:
    return {"n2": "log [N II]/Hα", "s2": "log [S II]/Hα", "o1": "log [O I]/Hα"}[diagram]


def _line(cells: list[Any], row: int, lines: Lines | None, source: str, kind: str, colour: str) -> str:
    places = [None if lines is None else lines.place(d) for d in DIAGRAMS]
    upward = None if lines is None else lines.ratio(("[OIII]5008",), "Hβ")
    ratios = [None if p is None else (p[0], p[1]) for p in places] + [upward]
    live = f'data-do="look" data-row="{row}" tabindex="0"' if row >= 0 and not kind else ""
    dot = f'<span class="dot" style="background:{colour}"></span>'
    name, label, *numbers = cells
    out = f'<td class="id" title="{escape(name)}">{dot}{escape(name)}</td><td>{escape(label or "–")}</td>'
    out += "".join(f'<td class="n">{_number(v)}</td>' for v in numbers)
    out += "".join(f'<td class="n">{_ratio(r)}</td>' for r in ratios)
    return f'<tr class="{kind}" {live}>{out}<td>{escape(source)}</td></tr>'


def _number(value: Any) -> str:
    if value is None or value != value:
        return "–"
    return f"{value:.4g}" if isinstance(value, float) else escape(value)


def _ratio(value: tuple[float, float] | None) -> str:
    return "–" if value is None else f"{value[0]:+.2f} <span class='ax-faint'>±{value[1]:.2f}</span>"
