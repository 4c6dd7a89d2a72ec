"""The views of neighbours and votes, without a browser."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from explorer.session.session import Session
from explorer.survey.bpt import curves
from explorer.survey.lines import Lines
from explorer.survey.store import Survey
from explorer.views import _likeness, neighbours, votes
from explorer.views._verdict_figures import Diagram, Overlay, trace
from explorer.views._verdict_markup import provenance


@pytest.fixture
def session(tiny_survey: Survey) -> Session:
    rng = np.random.default_rng(3)
    tiny_survey.put_embedding("pca/spectrum", rng.normal(size=(300, 6)).astype(np.float32), {})
    return Session(tiny_survey, "ana")


def _ids(markup: str) -> list[int]:
    return [int(r) for r in re.findall(r'data-row="(-?\d+)"', markup)]


def test_the_query_is_pinned_first_and_text_is_escaped(session: Session) -> None:
    session.focus = 5  # its id is markup
    markup, found = neighbours.render_neighbours(session, 5, neighbours.Controls(k=6))
    assert _ids(markup) == found["pca/image"].index.tolist()
    assert _ids(markup)[0] == 5
    assert "<script>" not in markup
    assert "&lt;script&gt;" in markup
    assert markup.count('class="query') == 1
    assert "of random pairs" in markup


def test_spaces_stand_side_by_side_and_agreement_is_seen(session: Session) -> None:
    markup, found = neighbours.render_neighbours(session, 4, neighbours.Controls(everywhere=True, k=60))
    assert list(found) == ["pca/image", "pca/spectrum"]
    assert markup.count('<div class="col">') == 2
    both = set(found["pca/image"].index[1:]) & set(found["pca/spectrum"].index[1:])
    assert len(re.findall(r'class="tile *shared', markup)) == 2 * len(both)


def test_the_view_follows_the_focus_but_not_its_own_clicks(session: Session) -> None:
    session.focus = 4
    view = neighbours.NeighboursView(session)
    view.panel()
    first = view.found["pca/image"].index.tolist()
    view._on_board({"do": "look", "row": str(first[1])})
    assert session.focus == first[1]
    assert view.found["pca/image"].index.tolist() == first
    assert "query ← focus" in view.board.markup
    view._on_board({"do": "follow"})
    assert view.found["pca/image"].index[0] == first[1]
    view._on_board({"do": "set", "name": "least"})
    assert view.found["pca/image"]["distance"].iloc[1] > 1
    view._on_board({"do": "select"})
    assert session.selection.order.tolist() == view.found["pca/image"].index.tolist()
    assert "least similar to" in session.selection.recipe[-1]["note"]
    view.close()


def test_what_cannot_be_compared_is_said(session: Session) -> None:
    session.focus = 19  # no image, so no vector
    view = neighbours.NeighboursView(session)
    view.panel()
    assert "no vector in the space pca/image" in view.board.markup
    view.controls.minus = "nobody"
    assert "nobody" in view.board.markup
    session.focus = -1
    view._on_focus()
    assert "Nothing to compare with" in view.board.markup
    view.close()


def test_a_file_that_is_too_large_or_strange_is_refused(session: Session, tmp_path: Path, monkeypatch) -> None:
    view = neighbours.NeighboursView(session)
    view.panel()
    view.upload._handle_msg({"name": "huge.fits", "size": 200 << 20})  # the browser tells of it and sends nothing
    assert "huge.fits has 200 MB, and the page takes 14" in view.board.markup
    assert view.screen.wanted == "neighbours"
    monkeypatch.setattr(neighbours, "MOST_BYTES", 100)
    view.upload._handle_msg({"name": "big.fits", "size": 1, "data": base64.b64encode(b"x" * 101).decode()})
    assert "ex.similar_to(file=...)" in view.board.markup
    assert view.file is None
    for broken in ({"name": "a.fits", "size": 3, "data": "%%%"}, {"name": "a.fits", "size": 0, "data": ""}):
        view.upload._handle_msg(broken)
        assert "a.fits cannot be read" in view.board.markup
    told = {"name": "../../<b>odd</b>.fits", "size": 8, "data": base64.b64encode(b"not fits").decode()}
    view.upload._handle_msg(told)
    assert view.file is not None
    assert view.file.parent == Path(view._folder.name)
    assert "<b>odd" not in view.board.markup
    assert "cannot be read" in view.board.markup
    view.close()
    assert not view.file.exists()


def test_meaning_of_distances() -> None:
    assert _likeness.meaning(0.2) == "nearer than 80 % of random pairs"
    assert _likeness.meaning(0.9) == "farther than 90 % of random pairs"


def test_a_verdict_with_its_provenance(session: Session) -> None:
    shown = votes.render_verdict(session, 8, votes.Controls(label="kind", k=4), "dark")
    found = shown.verdict
    assert len(found.neighbours) == 4
    assert (found.neighbours["object"] != session.survey.object_ids[8]).all()
    markup = provenance(found, shown.query, shown.measured, shown.colours)
    assert _ids(markup) == found.neighbours.index.tolist()
    assert [t.query for t in shown.traces] == [True] + [False] * 4
    assert all(len(t.x) for t in shown.traces)
    z = session.survey.column("z")[8]
    assert shown.traces[0].x[0] == pytest.approx(3600 / (1 + z))


def test_the_view_of_votes(session: Session) -> None:
    assert votes.VotesView.applies(session.survey)
    session.focus = 8
    view = votes.VotesView(session)
    view.panel()
    assert "of the vote of 3 neighbours" in view.board.markup
    assert len(view.figures) == 2
    assert len(view.overlay.lines.data["xs"]) == 4
    view._on_board({"do": "k", "value": "10"})
    assert len(view.shown.verdict.neighbours) == 10
    view._on_board({"do": "label", "value": "z"})
    assert "holds numbers" in view.board.markup
    view._on_board({"do": "label", "value": "mark"})
    assert "nobody can vote" in view.board.markup
    session.mark([1, 2, 3], "<i>odd</i>")
    assert "&lt;i&gt;odd" in view.board.markup
    assert "<i>odd" not in view.board.markup
    view._on_board({"do": "look", "row": "2"})
    assert session.focus == 2
    assert view.row == 8
    view.close()


def test_diagrams_draw_standard_lines_and_the_papers_own() -> None:
    diagram = Diagram("n2")
    names = [curve.name for curve, _ in diagram.lines]
    assert names == [c.name for c in curves("n2")]
    assert "paper" in names[-1]
    x = np.asarray(diagram.lines[2][1].data_source.data["x"])
    y = np.asarray(diagram.lines[2][1].data_source.data["y"])
    assert y == pytest.approx(1.05 * x + 0.45)  # Schawinski et al. 2007
    flux = {"Hα": 100.0, "[NII]6585": 50.0, "Hβ": 30.0, "[OIII]5008": 60.0}
    good = Lines(flux, dict.fromkeys(flux, 1.0), 100.0)
    traces = [trace("a", "AGN", "#fff", True, None, None, good), trace("b", "", "#000", False, None, None, None)]
    diagram.show(traces, (np.array([0.0]), np.array([0.0])), "light")
    assert diagram.dots.data["x"] == pytest.approx([np.log10(0.5)])
    assert diagram.dots.data["y"] == pytest.approx([np.log10(2)])
    assert diagram.note.text == "1 lack lines at S/N > 3"
    overlay = Overlay()
    overlay.show(traces, "dark")
    assert overlay.lines.data["xs"] == []


def test_a_spectrum_file_is_pinned_before_what_it_finds(session: Session, tmp_path: Path) -> None:
    """The tiny survey has no kept encoder: the view says so instead of inventing neighbours."""
    s = session.survey.spectrum(0)
    told = {"flux": s.flux, "loglam": np.log10(s.wavelength), "ivar": s.ivar}
    columns = [fits.Column(name, "E", array=values) for name, values in told.items()]
    path = tmp_path / "spec.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns, name="COADD")]).writeto(path)
    with pytest.raises(ValueError, match="encoder is not here"):
        neighbours.render_neighbours(session, -1, neighbours.Controls(everywhere=True), path)
