"""What is written of the source in focus, with the words that matter; sources by words, texts by a source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.session import crossmodal
from explorer.views._row import RowView
from explorer.views._theme import empty, escape, skeleton

if TYPE_CHECKING:
    from explorer.session.session import Session
    from explorer.survey.store import Survey

MOST = 24  # sources that a search selects
SHOWN = 12  # other sources of a paper that have a button
CSS = """
.pp { height: 100%; overflow: auto; padding: 10px 14px 16px; box-sizing: border-box; scrollbar-width: thin; }
.pp h3 { margin: 14px 0 5px; font-size: 11px; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  color: var(--ax-muted); }
.pp .seek { display: flex; gap: 6px; align-items: center; }
.pp .seek input { flex: 1; min-width: 0; height: 26px; box-sizing: border-box; border: 1px solid var(--ax-line);
  border-radius: 6px; background: var(--ax-sunken); color: var(--ax-text); padding: 0 10px;
  font: 12.5px var(--ax-font); }
.pp .seek input:focus { outline: 2px solid var(--ax-focus-soft); border-color: var(--ax-focus); }
.pp .seek input::placeholder { color: var(--ax-faint); }
.pp button { all: unset; cursor: pointer; padding: 1px 9px; border-radius: 11px; font-size: 11.5px; line-height: 19px;
  border: 1px solid var(--ax-line); background: var(--ax-raised); color: var(--ax-text); }
.pp button:hover { border-color: var(--ax-strong-line); }
.pp button:focus-visible { outline: 2px solid var(--ax-focus); }
.pp .says { margin: 6px 0 0; color: var(--ax-muted); font-size: 12px; } .pp .says b { color: var(--ax-text); }
.pp .says.wrong { color: var(--ax-bad); }
.pp article { margin: 8px 0 0; padding: 7px 10px 8px; border: 1px solid var(--ax-line); border-radius: 6px;
  background: var(--ax-raised); }
.pp article p { margin: 0; line-height: 1.55; overflow-wrap: anywhere; }
.pp article .of { display: flex; gap: 8px; align-items: baseline; color: var(--ax-muted); font-size: 11px;
  margin-bottom: 3px; flex-wrap: wrap; }
.pp article .of b { color: var(--ax-text); font-weight: 600; }
.pp mark { background: color-mix(in oklab, var(--ax-data) calc(var(--w) * 1%), transparent); color: inherit;
  border-radius: 3px; padding: 0 1px; }
.pp mark.against { background: none; text-decoration: underline; text-decoration-color: var(--ax-bad);
  text-decoration-thickness: 2px; text-underline-offset: 3px; }
.pp .of { display: flex; gap: 5px; flex-wrap: wrap; }
.pp .pick { display: flex; gap: 6px; align-items: baseline; flex-wrap: wrap; margin-top: 6px; color: var(--ax-muted);
  font-size: 11.5px; }
.pp .pick button[aria-pressed=true] { background: var(--ax-focus-soft); border-color: var(--ax-focus); }
.pp .near { display: grid; grid-template-columns: auto 44px minmax(0, 1fr); gap: 3px 10px; align-items: baseline; }
.pp .near span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; color: var(--ax-muted); }
.pp .near .ax-num { color: var(--ax-text); }
"""


def highlighted(text: str, weights: dict[str, float], most: int = 14) -> str:
    """HTML of a text, escaped, whose words of the greatest weight are marked; those against are underlined."""
    single: dict[str, float] = {}
    for term, weight in weights.items():
        for word in term.split():
            single[word] = single.get(word, 0.0) + weight / len(term.split())
    chosen = sorted(single, key=lambda w: -abs(single[w]))[:most]
    largest = max((abs(single[w]) for w in chosen), default=1.0) or 1.0
    out, at = [], 0
    for found in crossmodal.WORD.finditer(text):
        word = found.group().lower()
        if word not in chosen:
            continue
        weight = single[word]
        out.append(escape(text[at : found.start()]))
        share = abs(weight) / largest
        cls = ' class="against"' if weight < 0 else ""
        out.append(f'<mark{cls} style="--w:{12 + 48 * share:.0f}">{escape(found.group())}</mark>')
        at = found.end()
    return "".join([*out, escape(text[at:])])


def render_papers(survey: Survey, row: int, name: str | None) -> str:
    """HTML of what the papers say of a row, and of the texts that its data call for."""
    if not 0 <= row < len(survey):
        return empty("No object in focus", "Click a point or a row of the ranking, or search by words above.")
    told, parts = crossmodal.paragraphs(survey, row), []
    weights = crossmodal.word_weights(survey, row, name) if told else {}
    parts.append(f"<h3>{escape(survey.ids[row])}: what is written of it</h3>")
    if not told:
        parts.append('<p class="says">Nothing is written of this source in the survey.</p>')
    parts += [_article(survey, row, p, weights) for p in told]
    if weights:
        what = "bring text and data together, underlined ones pull apart" if name else "set this text apart"
        parts.append(f'<p class="says">Marked words {what}.</p>')
    if name:
        parts.append(_near(survey, row, name))
        parts += [_through(survey, row, name, other) for other in crossmodal.alignments(survey) if other != name]
    return "".join(parts)


def _article(survey: Survey, row: int, told: crossmodal.Paragraph, weights: dict[str, float]) -> str:
    head = ""
    if told.paper:
        others = crossmodal.sources_of_paper(survey, told.paper)
        others = others[others != row]
        names = survey.ids_of(others[:SHOWN])
        buttons = "".join(
            f'<button data-do="focus" data-row="{int(r)}">{escape(n)}</button>'
            for r, n in zip(others, names, strict=False)
        )
        more = f"<span>and {len(others) - SHOWN} more</span>" if len(others) > SHOWN else ""
        all_of = (
            f'<button data-do="paper" data-paper="{escape(told.paper)}">select all {len(others) + 1}</button>'
            if len(others)
            else ""
        )
        also = f"<span>also on</span>{buttons}{more}{all_of}" if len(others) else ""
        head = f'<div class="of"><b>{escape(told.paper)}</b><span>{escape(told.year)}</span>{also}</div>'
    return f"<article>{head}<p>{highlighted(told.text, weights)}</p></article>"


def _near(survey: Survey, row: int, name: str) -> str:
    try:
        found, own = crossmodal.words_for(survey, row, 6, name), crossmodal.rank_of_own(survey, row, name)
    except ValueError as error:
        return f'<p class="says">{escape(error)}</p>'
    if own:
        told = f"Its own text stands at rank <b>{own[0]:,}</b> of {own[1]:,}."
    else:
        told = "It has no text of its own: these say what its data look like."
    lines = "".join(
        f'<button data-do="focus" data-row="{int(r)}">{escape(survey.ids[r])}</button>'
        f'<span class="ax-num">{s:.2f}</span><span>{escape((survey.text(int(r)) or "").replace(chr(10), " "))}</span>'
        for r, s in zip(found.rows, found.similarity, strict=True)
    )
    return f'<h3>Texts that its data call for</h3><div class="near">{lines}</div><p class="says">{told}</p>'


def _through(survey: Survey, row: int, first: str, second: str) -> str:
    """Sources that another alignment, of another modality or telescope, finds through the texts alone (P3.7a)."""
    try:
        found = crossmodal.through_text(survey, row, first, second, 8)
    except ValueError:  # the row has no data in the first: the paragraph above says so
        return ""
    buttons = "".join(
        f'<button data-do="focus" data-row="{int(r)}">{escape(survey.ids[r])}</button>' for r in found.rows
    )
    return (
        f"<h3>By {escape(found.space)}, through these texts</h3>"
        f'<div class="of">{buttons}</div><p class="says">Their data are written about as those of this source are.</p>'
    )


class PapersView(RowView):
    """Summaries of papers, sources found by words, texts found by a source."""

    name, title, modality, css = "papers", "Papers", "text", CSS

    def __init__(self, session: Session):
        self.said, self.body, self.chosen = "", skeleton(), ""
        super().__init__(session)

    @property
    def alignment(self) -> str | None:
        """The alignment that is searched in, None where the survey has none."""
        names = crossmodal.alignments(self.session.survey)
        liked = [n for n in (self.chosen, "aligned") if n in names]
        return [*liked, *names][0] if names else None

    def search(self, words: str) -> None:
        """Select the sources whose data are nearest to what is written, and look at the first."""
        survey, name = self.session.survey, self.alignment

        def seek() -> crossmodal.Found | str:
            if name is None:
                return "Texts and data are not aligned yet: run explorer align SURVEY events text"
            try:
                return crossmodal.by_words(survey, words, MOST, name)
            except ValueError as error:
                return str(error)

        self.said = f"searching {escape(words)} …"
        self._show(self.body)
        self.work.run("seek", seek, lambda found: self._found(found, words))

    def _found(self, found: crossmodal.Found | str, words: str) -> None:
        if isinstance(found, str):
            self.said = escape(found)
            self._show(self.body)
            return
        survey = self.session.survey
        unwritten = int((~survey.has("text")[found.rows]).sum())
        self.said = f"<b>{len(found.rows)}</b> sources by their data; of {unwritten} nothing is written."
        with self.session.together():
            self.session.select(survey.ids_of(found.rows), note=f"nearest in {found.space} to the words {words!r}")
            self.session.focus_on(int(found.rows[0]))
        self.draw()

    def draw(self) -> None:
        """What is written of the row."""
        if "text" not in self.session.survey.modalities:
            self._show(empty("This survey has no texts", "Ingest summaries in words to see them here."))
            return
        row, name = self.session.focus, self.alignment
        self.work.run("papers", lambda: render_papers(self.session.survey, row, name), self._show)

    def _show(self, markup: str) -> None:
        self.body = markup
        hint = "Search sources by words: heavily absorbed, periodic, thermal…"
        seek = (
            f'<div class="seek"><input data-do="seek" data-keep aria-label="search sources by words" '
            f'placeholder="{escape(hint)}"></div>'
            if self.alignment
            else '<p class="says">To search by words: <code>explorer align SURVEY events text</code></p>'
        )
        names = crossmodal.alignments(self.session.survey)
        if len(names) > 1:
            pressed = {n: str(n == self.alignment).lower() for n in names}
            picks = "".join(
                f'<button data-do="alignment" data-name="{escape(n)}" aria-pressed="{p}">{escape(n)}</button>'
                for n, p in pressed.items()
            )
            seek += f'<div class="pick">searched in {picks}</div>'
        said = f'<p class="says">{self.said}</p>' if self.said else ""
        self.board.markup = f'<div class="pp" data-scroll="{self.session.focus}">{seek}{said}{self.body}</div>'

    def _failed(self, error: Exception) -> None:
        self.said = ""
        super()._failed(error)

    def do(self, data: dict[str, Any]) -> None:
        """Look at a source, select those of a paper, search by words."""
        what = data.get("do")
        if what == "focus":
            self.session.focus_on(int(data["row"]))
        elif what == "paper":
            rows = crossmodal.sources_of_paper(self.session.survey, str(data["paper"]))
            self.session.select(self.session.survey.ids_of(rows), note=f"sources of paper {data['paper']}")
        elif what == "alignment":
            self.chosen = str(data["name"])
            self.draw()
        elif what == "seek" and str(data.get("value", "")).strip():
            self.search(str(data["value"]))
