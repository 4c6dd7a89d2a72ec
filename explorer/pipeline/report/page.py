"""The report as one HTML page that holds its pictures: nothing is fetched, every text is escaped."""

from __future__ import annotations

import base64
import csv
import math
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.pipeline.report.parts import Kept
from explorer.pipeline.report.published import SOURCE
from explorer.survey.files import now, write_atomically

if TYPE_CHECKING:
    from explorer.pipeline.report.study import Study

SHOWN = 40  # rows of a table; the CSV has all

STYLE = """
:root { color-scheme: light dark; --ink: #1f2937; --faint: #6b7280; --line: #e5e7eb; --paper: #fff; --soft: #f6f7f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e5e7eb; --faint: #9ca3af; --line: #374151; --paper: #111418;
  --soft: #1a1f26; } }
body { font: 15px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); margin: 0 auto;
  padding: 24px; max-width: 1180px; }
h1 { font-size: 26px; margin: 8px 0; } h2 { font-size: 19px; margin: 40px 0 8px; border-top: 1px solid var(--line);
  padding-top: 18px; }
p, li { max-width: 82ch; } .faint, figcaption, caption { color: var(--faint); font-size: 13px; }
nav { columns: 2; font-size: 14px; } nav a, a { color: inherit; }
.scroll { overflow-x: auto; margin: 12px 0 20px; } table { border-collapse: collapse; font-size: 12.5px; }
caption { text-align: left; padding: 4px 0; caption-side: top; }
th { text-align: left; background: var(--soft); font-weight: 600; } th, td { padding: 3px 9px; white-space: nowrap;
  border-bottom: 1px solid var(--line); } td.n { text-align: right; font-variant-numeric: tabular-nums; }
th.p, td.p { color: var(--faint); font-style: italic; }
figure { margin: 14px 0 22px; } figure img { max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
"""


@dataclass(frozen=True)
class Ran:
    """What a run did: steps on the survey, parts made anew, seconds in all."""

    steps: list[str]
    parts: list[str]
    seconds: float


def write(study: Study, kept: Kept, names: list[str], ran: Ran) -> Path:
    """Write ``index.html`` from the parts that stand; returns its path."""
    told = [(name, kept.read(name)) for name in names]
    told = [(name, part) for name, part in told if part]
    links = "".join(f'<li><a href="#{escape(n)}">{escape(p["title"])}</a></li>' for n, p in told)
    body = "".join(_section(kept.out, name, part) for name, part in told)
    survey = study.survey
    intro = (
        f"<p>{len(survey):,} objects of <b>{escape(survey.name)}</b>; spaces: {escape(', '.join(study.spaces))}; "
        f"scorers: {escape(', '.join(study.scorers))}; tables lead with <b>{escape(study.leading)}</b>; "
        f"seed {study.seed}. Made {escape(now())}.</p>"
        f'<p class="faint">Columns and lines in <i>italics</i> are {escape(SOURCE)}. They stand here for orientation; '
        "nothing here was tuned to them.</p>"
    )
    title = f"Discovery study of {survey.name}"
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><style>{STYLE}</style></head><body>'
        f"<h1>{escape(title)}</h1>{intro}<nav><ol>{links}</ol></nav>{body}{_ran(study, told, ran)}</body></html>"
    )
    path = kept.out / "index.html"
    write_atomically(path, html.encode())
    return path


def _section(out: Path, name: str, part: dict[str, Any]) -> str:
    lines = "".join(f"<p>{escape(s)}</p>" for s in part.get("sentences", []))
    figures = "".join(_figure(out / f, part.get("captions", {}).get(Path(f).stem, "")) for f in part.get("figures", []))
    tables = "".join(_table(out / t) for t in part.get("tables", []))
    return f'<section id="{escape(name)}"><h2>{escape(part["title"])}</h2>{lines}{figures}{tables}</section>'


def _figure(path: Path, caption: str) -> str:
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    return (
        f'<figure><img alt="{escape(caption or path.stem)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)} <span>({escape(path.name)})</span></figcaption></figure>"
    )


def _table(path: Path) -> str:
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    if len(rows) < 2:
        return ""
    head, body = rows[0], rows[1:]
    marks = [" p" if name.startswith(("published", "source")) else "" for name in head]
    top = "".join(f'<th class="{m.strip()}">{escape(h)}</th>' for h, m in zip(head, marks, strict=True))
    named = [name == "id" or name.endswith(("_id", " id")) for name in head]
    lines = "".join(
        "<tr>" + "".join(_cell(v, m, n) for v, m, n in zip(row, marks, named, strict=True)) + "</tr>"
        for row in body[:SHOWN]
    )
    more = f", the first {SHOWN} of {len(body)} rows" if len(body) > SHOWN else ""
    return (
        f'<div class="scroll"><table><caption>{escape(path.name)}{more}</caption><thead><tr>{top}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _cell(value: str, mark: str, named: bool = False) -> str:
    """A cell; an id (``named``) keeps its digits, whatever it looks like."""
    try:
        number = None if named else float(value)
    except ValueError:
        number = None
    if number is None:
        return f'<td class="{mark.strip()}">{escape(value) or "–"}</td>'
    if not math.isfinite(number):
        told = "–" if math.isnan(number) else "∞" if number > 0 else "−∞"
    else:
        told = f"{number:,.0f}" if number == int(number) and abs(number) >= 100 else f"{number:.3g}"
    return f'<td class="n{mark}">{told}</td>'


def _ran(study: Study, told: list[tuple[str, dict[str, Any]]], ran: Ran) -> str:
    survey = study.survey
    columns = [f"score:{s}:{n}" for s in study.spaces for n in survey.scores(s)]
    spent = sorted(((float(survey.provenance(c).get("seconds", 0)), c) for c in columns), reverse=True)
    scores = "".join(f"<tr><td>{escape(c)}</td><td class='n'>{t:.1f}</td></tr>" for t, c in spent)
    parts = "".join(f"<tr><td>{escape(n)}</td><td class='n'>{p.get('seconds', 0):.1f}</td></tr>" for n, p in told)
    total = sum(t for t, _ in spent) + sum(float(p.get("seconds", 0)) for _, p in told)
    return (
        f'<section id="ran"><h2>What ran</h2><p>This run took {ran.seconds:.0f} s: {len(ran.steps)} steps on the '
        f"survey and {len(ran.parts)} of {len(told)} parts; the rest stood. All scores and parts together took "
        f"{total / 60:.1f} minutes when they were made.</p>"
        f'<div class="scroll"><table><thead><tr><th>part</th><th>seconds</th></tr></thead><tbody>{parts}</tbody>'
        "</table></div><div class='scroll'><table><thead><tr><th>score</th><th>seconds</th></tr></thead>"
        f"<tbody>{scores}</tbody></table></div></section>"
    )
