"""The ranking without a browser: the right rows on the right page, and text that stays text."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from explorer.session.session import Session
from explorer.views.ranking import PAGE, Line, RankingView, place_of, table


@pytest.fixture
def session(tiny_survey: Any) -> Session:
    return Session(tiny_survey)


@pytest.fixture
def view(session: Session) -> RankingView:
    made = RankingView(session)
    made.panel()
    return made


def shown(view: RankingView) -> list[int]:
    return [int(row) for row in re.findall(r'data-do="focus" data-row="(\d+)"', view.board.markup)]


def whole_order(session: Session) -> list[int]:
    """Every row of what is ranked, by numpy's own stable sort."""
    ranks = session.survey.rank(session.space, session.scorer).astype(float)
    rows = session.selection.rows if session.selection.active else np.arange(len(ranks))
    if session.selection.ordered:
        return session.selection.order.tolist()
    return rows[np.argsort(np.where(ranks[rows] > 0, ranks[rows], np.inf), kind="stable")].tolist()


def test_pages_follow_one_another(view: RankingView, session: Session) -> None:
    order = whole_order(session)
    for page in range(len(order) // PAGE):
        view._on_click({"do": "page", "to": str(page)})
        assert shown(view) == order[page * PAGE : (page + 1) * PAGE]
    assert "page 12 of 12" in view.board.markup


@pytest.mark.parametrize("select", ["z > 1", "kind == 'lens'", None])
def test_the_place_of_a_row_is_where_it_stands(session: Session, select: str | None) -> None:
    if select:
        session.select(select)
    order = whole_order(session)
    places = [place_of(session, row) for row in range(len(session.survey))]
    assert places == [order.index(row) if row in set(order) else -1 for row in range(len(places))]


def test_the_page_turns_to_the_focus_and_marks_it(view: RankingView, session: Session) -> None:
    row = whole_order(session)[2 * PAGE + 4]
    session.focus_on(row)
    assert view.page == 2
    assert re.search(rf'class="focus" data-do="focus" data-row="{row}"', view.board.markup)
    assert view.board.markup.count("data-into-view") == 1


def test_a_selection_is_ranked_alone_and_starts_at_its_first_page(view: RankingView, session: Session) -> None:
    view._on_click({"do": "page", "to": "5"})
    session.select("kind == 'lens'")
    assert shown(view) == whole_order(session)[:PAGE]
    assert "75 in the selection · page 1 of 3" in view.board.markup


def test_what_was_found_by_example_keeps_its_order(view: RankingView, session: Session) -> None:
    chosen = [40, 3, 271, 12]
    session.select(session.survey.ids_of(chosen))
    assert shown(view) == chosen
    assert place_of(session, 271) == 2


def test_an_empty_selection_says_what_to_do(view: RankingView, session: Session) -> None:
    session.select("z > 100")
    assert "Esc clears" in view.board.markup


def test_a_click_focuses_by_row(view: RankingView, session: Session) -> None:
    view._on_click({"do": "focus", "row": "17", "shift": False, "ctrl": False})
    assert session.focus == 17


def test_marks_appear(view: RankingView, session: Session) -> None:
    session.mark([whole_order(session)[0]], "<i>lens</i>")
    assert "&lt;i&gt;lens&lt;/i&gt;" in view.board.markup
    assert "<i>lens" not in view.board.markup


def test_a_line_escapes_and_survives_what_is_missing() -> None:
    nasty = '"><script>alert(1)</script>'
    lines = [
        Line(3, 1, nasty, float("inf"), 99.5, nasty, b"jpeg", True, True),
        Line(4, 0, "b", float("nan"), float("nan"), "", None, False, False),
    ]
    markup = table(lines, 0, 1, 2, False, nasty)
    assert "<script" not in markup
    assert '""' not in markup.replace('alt=""', "").replace('class=""', "")
    assert "∞" in markup
    assert markup.count("–") == 3


def test_a_survey_without_scores_is_shown_in_its_order(session: Session, tiny_survey: Any) -> None:
    tiny_survey.scores = lambda space: []  # what a survey is before anything is scored
    session.scorer = ""
    view = RankingView(session)
    view.panel()
    assert shown(view) == list(range(PAGE))


def test_a_score_given_by_a_key_is_seen(view: RankingView, session: Session) -> None:
    row = shown(view)[1]
    session.mark([row], score=4)
    assert "4\u2009/\u20095" in view.board.markup
    session.mark([row], "lens")
    assert "lens</span> <span" in view.board.markup


def test_scores_of_a_page_stand_on_one_decimal_point() -> None:
    lines = [Line(i, i + 1, f"a{i}", score, 50.0, "", None, False, False) for i, score in enumerate((0.6254, 0.625))]
    made = table(lines, 0, 1, 2, False, "knn")
    assert "0.6254" in made
    assert "0.6250" in made


def test_without_images_there_is_no_column_of_pictures() -> None:
    lines = [Line(0, 1, "a", 0.5, 50.0, "", None, False, False)]
    assert 'class="pic"' in table(lines, 0, 1, 1, False, "knn")
    made = table(lines, 0, 1, 1, False, "knn", pictures=False)
    assert 'class="pic"' not in made
    assert made.count("<th") - made.count("<thead") == made.count("<td")
