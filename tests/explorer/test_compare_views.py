"""The page COMPARE without a browser: what its panels say, what a click selects, and what they do where nothing is."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from explorer import compare as page_of
from explorer.app import Explorer
from explorer.page import Page
from explorer.pipeline import recovery as step
from explorer.session import compare, probing, recovered
from explorer.session.session import Session
from explorer.views import VIEWS, _charts
from explorer.views._compare import ComparePanel, button, choice, mode_of
from kernels.registry import UnknownName
from kernels.scoring.fusion import FUSIONS, ablation
from kernels.scoring.transfer import retention

NASTY = "<img onerror=1>"


@pytest.fixture
def survey(tiny_survey: Any) -> Any:
    """Three spaces of one encoder, two scores each; the spectra lack nothing, the images every twentieth."""
    rng = np.random.default_rng(0)
    z = np.nan_to_num(tiny_survey.column("z"))
    hidden = rng.normal(size=(300, 4))
    for modality in ("image", "spectrum", "joint"):
        vectors = np.concatenate([hidden + 0.5 * rng.normal(size=(300, 4)), z[:, None]], axis=1).astype(np.float32)
        if modality != "spectrum":
            vectors[~tiny_survey.has("image")] = np.nan
        tiny_survey.put_embedding(f"duo/{modality}", vectors)
        for scorer in ("knn", "gmm"):
            tiny_survey.put_score(f"duo/{modality}", scorer, np.linalg.norm(vectors[:, :4], axis=1) + rng.random(300))
    return tiny_survey


@pytest.fixture
def session(survey: Any) -> Session:
    made = Session(survey, "ann")
    made.space = "duo/image"
    return made


def shown(name: str, session: Session) -> ComparePanel:
    view = VIEWS.get(name)(session)
    view.panel()
    assert view.trouble is None, view.trouble
    return view


def test_the_page_is_built_when_it_is_first_turned_to(session: Session) -> None:
    page = Page(session)
    before = {type(view).name for view in page.views}
    assert not before & set(page_of.FIRST)
    page._on_key("c")
    assert page.at == "compare"
    assert "ax-at-compare" in page.layout.css_classes
    assert page.compare.layout.visible
    assert set(page_of.FIRST) <= {type(view).name for view in page.views}
    assert 'data-to="compare" aria-pressed="true"' in page.header.board.markup
    count = len(page.views)
    page._on_key("c")
    page.header._on({"do": "turn", "to": "compare"})
    assert page.at == "compare"
    assert len(page.views) == count, "what was built is kept"
    with pytest.raises(UnknownName):
        page.turn("elsewhere")
    page.close()
    assert not page.views


def test_a_cell_of_a_notebook_opens_it(survey: Any) -> None:
    ex = Explorer(survey)
    ex.compare()
    assert ex._pages[-1].at == "compare"
    ex.page()
    assert ex._pages[-1].at == "explore"
    ex.close()


@pytest.mark.parametrize("name", page_of.FIRST)
def test_a_panel_says_what_to_do_where_nothing_is(name: str, tmp_path: Any) -> None:
    from explorer.survey.store import Survey
    from explorer.survey.writer import SurveyWriter
    from tests.explorer.conftest import COLUMNS, _record

    with SurveyWriter(tmp_path / "bare", card={"name": "bare"}, modalities={}, columns=COLUMNS) as writer:
        writer.append([replace(_record(1), image=None, spectrum=None)])
    view = shown(name, Session(Survey.open(tmp_path / "bare")))
    assert "ax-empty" in view.board.markup
    assert "ax-error" not in view.board.markup


# -- transfer --------------------


def test_a_cell_selects_what_two_rankings_agree_on(session: Session) -> None:
    view = shown("transfer", session)
    view.do_cut({"value": "5.0"})
    view._on_click({"do": "cell", "i": "1", "j": "2", "shift": False, "ctrl": False})
    survey, (a, b) = session.survey, (("duo/image", "knn"), ("duo/spectrum", "knn"))
    assert view.pair == (a, b)
    one, other = survey.score(*a), survey.score(*b)
    told = retention(one, other, 5)
    assert len(session.selection) == told.kept > 0
    assert f"<b>{told.share:.1f} %</b>" in view.board.markup
    both = np.flatnonzero(np.isfinite(one) & np.isfinite(other))
    best = [set(both[np.argsort(-s[both])[: told.taken]]) for s in (one, other)]
    assert set(session.selection.rows) == best[0] & best[1]
    assert "top 5 % of duo/image knn and of duo/spectrum knn" in session.selection.recipe[-1]["note"]
    view._on_click({"do": "tops", "which": "first", "shift": True, "ctrl": False})
    assert set(session.selection.rows) == best[0]
    assert 'data-part="chosen-1-2"' in view.board.markup
    assert f'data-row="{view.found[4].both[0]}"' in view.board.markup, "their thumbnails are shown"


def test_a_bar_selects_its_objects_and_all_bars_are_the_top(session: Session) -> None:
    view = shown("transfer", session)
    view.do_cut({"value": "10.0"})
    rows: list[int] = []
    for place in range(20):
        view._on_click({"do": "bin", "way": "1", "bin": str(place)})
        rows += session.selection.rows.tolist()
    assert len(rows) == len(set(rows)) == round(0.1 * 285)


def test_rankings_by_score_by_space_and_all(session: Session) -> None:
    view = shown("transfer", session)
    assert [key[0] for key in view.found[0]] == ["pca/image", "duo/image", "duo/spectrum", "duo/joint"]
    view.do_among({"value": "space:duo/joint"})
    assert view.found[0] == [("duo/joint", "knn"), ("duo/joint", "gmm")]
    view.do_among({"value": "all:"})
    assert len(view.found[0]) == 7
    view.do_shown({"value": "Spearman"})
    assert view.board.markup.count('data-do="cell"') == 49
    view._on_click({"do": "cell", "i": "2", "j": "2"})
    assert "its own top" in view.board.markup
    session.select("rank('knn') <= 3")
    session.scorer = "gmm"
    assert view.trouble is None


def test_many_rankings_are_drawn_without_numbers(session: Session) -> None:
    for i in range(14):
        session.survey.put_score("duo/joint", f"s{i}", np.random.default_rng(i).random(300))
    session.refresh()
    view = shown("transfer", session)
    view.do_among({"value": "all:"})
    assert view.board.markup.count('data-do="cell"') == 21**2
    assert "duo/joint" in re.findall(r"<svg.*?</svg>", view.board.markup)[0]


# -- fusion --------------------


def test_fusion_needs_a_mismatch_and_then_compares(session: Session) -> None:
    view = shown("fusion", session)
    assert "is not scored yet" in view.board.markup
    assert "explorer report SURVEY" in view.board.markup
    view._on_click({"do": "make"})
    assert view.trouble is None
    survey = session.survey
    assert "fusion-geometric" in survey.scores("duo/joint")
    parts = (survey.percentile(f"duo/{m}", "gmm") for m in ("image", "spectrum"))
    rho = ablation(*parts, survey.percentile("duo/joint", compare_mismatch(survey)))
    for how in FUSIONS:
        assert f'data-how="{how}"' in view.board.markup
    assert f"<b>{rho['arithmetic']:.2f}</b>" in view.board.markup
    before, rows = view.board.markup, view.pictured(view.found)
    session.focus_on(int(np.setdiff1d(np.arange(300), rows)[0]))
    assert view.board.markup is before, "nothing of it is in focus: it is not sent again"
    session.focus_on(int(rows[0]))
    assert view.board.markup.count('class="focus" data-do="focus"') == 1
    view._on_click({"do": "show", "how": "density"})
    view._on_click({"do": "take"})
    assert len(session.selection) == 200
    view._on_click({"do": "rank"})
    assert (session.space, session.scorer) == ("duo/joint", "fusion-density")


def compare_mismatch(survey: Any) -> str:
    from explorer.pipeline.joint import believed

    return believed(survey, "duo")


def test_spaces_that_were_never_aligned_are_said_to_be(session: Session) -> None:
    told = {"comparable": False, "area": 0.52, "retrieval": 0.4, "calibrated": True}
    from explorer.views.fusion import alignment

    markup = alignment(NASTY, told)
    assert "were never aligned" in markup
    assert "0.52" in markup
    assert "<img" not in markup
    assert "never aligned" not in alignment("duo", told | {"comparable": True})


# -- probes, recovery, confounders --------------------


def test_probes_are_computed_once_and_kept(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    view = shown("probes", session)
    view.columns = ["z"]
    view.refresh()
    assert "What do the spaces know?" in view.board.markup
    view._on_click({"do": "probe"})
    assert view.trouble is None
    lines = {line["space"]: line for line in probing.lines(session.survey, ["z"])}
    assert lines["duo/spectrum"]["lgbm_r2"] > 0.9 > lines["pca/image"]["lgbm_r2"]
    assert lines["duo/spectrum"]["lgbm_r2_error"] > 0
    assert "R² " in view.board.markup
    monkeypatch.setattr(probing, "_one", lambda *_: pytest.fail("computed again"))
    probing.probed(session.survey, ["z"])
    mean = probing.mean_of([{"space": "a", **dict.fromkeys(probing.FIGURES, v)} for v in (1.0, 3.0)])
    assert (mean[0]["pr"], mean[0]["pr_error"]) == (2.0, 1.0)


def test_a_quantity_that_cannot_be_probed_says_why(session: Session) -> None:
    session.survey.put_embedding("flat/image", np.full((300, 2), np.nan, np.float32))
    line = probing.probed(session.survey, ["z"], ["flat/image"])[0]
    assert "a probe needs" in line["why"]


def test_recovery_is_read_from_the_folder_and_drawn(session: Session) -> None:
    import pandas as pd

    view = shown("recovery", session)
    assert "What would be found?" in view.board.markup or "Nothing can be injected" in view.board.markup
    lines = [
        (kind, strength, space, score, 1.0, 5, 10, share, share / 2, min(1.0, share * 1.2))
        for kind, strength, share in [("none", 0.0, 0.01), ("lens", 0.1, 0.2), ("lens", 1.0, 0.8)]
        for space, score in [
            ("duo/image", "knn"),
            ("duo/joint", "knn"),
            ("duo/joint", "mismatch"),
            ("duo/joint", "fusion-geometric (knn)"),
        ]
    ]
    pd.DataFrame(lines, columns=list(step.COLUMNS)).to_csv(session.survey.path / "recovery.csv", index=False)
    view.refresh()
    assert view.board.markup.count("<circle") == 4
    assert "lens at 1: 80 % found (40 to 96)" in view.board.markup
    view.do_among({"value": "fusions of duo knn"})
    assert "geometric</span>" in view.board.markup
    assert "mismatch</span>" in view.board.markup
    before = view.board.markup
    view.screen.theme = "light" if view.screen.theme == "dark" else "dark"
    assert view.board.markup != before, "the lines take the theme's colours"
    (session.survey.path / "recovery.csv").write_text("kind,share\nlens,1\n")
    view.refresh()
    assert "lacks the columns" in view.board.markup
    assert recovered.possible(session.survey) in (True, False)


def test_confounders_are_shown_and_ranked_away(session: Session) -> None:
    view = shown("confounders", session)
    view._on_click({"do": "add", "value": "<b>odd</b>"})
    assert "&lt;b&gt;odd" in view.board.markup
    assert "<b>odd</b>" not in view.board.markup
    view._on_click({"do": "match", "column": "z"})
    view._on_click({"do": "rank"})
    assert session.scorer == "knn matched"
    assert "knn matched follows" in view.board.markup
    assert session.survey.recipe("duo/image", "knn matched")["columns"] == ["z"]


# -- what they share --------------------


def test_long_work_tells_how_far_it_is_and_can_be_stopped(session: Session) -> None:
    view = shown("stability", session)
    seen: list[str] = []

    def job(progress: Any) -> str:
        progress(1, 4, "a quarter")
        seen.append(view.board.markup)
        view._on_click({"do": "stop"})
        progress(2, 4, "half")
        return "not reached"

    done: list[str] = []
    view.long(job, done.append)
    assert "a quarter" in seen[0]
    assert "width:25%" in seen[0]
    assert done == []
    assert "busy" not in view.board.markup
    view.long(lambda progress: "whole", done.append)
    assert done == ["whole"]


def test_an_error_is_told_and_the_panel_stays(session: Session) -> None:
    view = shown("transfer", session)
    view._on_click({"do": "cut", "value": "much"})
    assert isinstance(view.screen.notice, ValueError)
    assert 'data-do="cell"' in view.board.markup


def test_texts_are_escaped() -> None:
    assert "<img" not in choice("a", NASTY, {NASTY: NASTY}, NASTY, NASTY)
    assert "<img" not in button("a", NASTY, NASTY, row=NASTY)
    assert "<img" not in _charts.text(0, 0, NASTY, title=NASTY)
    assert [mode_of({"shift": s, "ctrl": c}) for s, c in [(0, 0), (1, 0), (0, 1), (1, 1)]] == [
        "replace",
        "add",
        "intersect",
        "subtract",
    ]


def test_scales_and_ticks() -> None:
    assert _charts.linear((0, 10), (100, 200))(5) == 150
    assert _charts.logarithmic((1, 100), (0, 10))(10) == pytest.approx(5)
    assert _charts.ticks(3, 3) == [3]
    assert _charts.powers(1, 1000) == [1, 10, 100, 1000]
    assert "nan" not in _charts.path([0, 1, 2], [0, float("nan"), 1], "")


def test_tops_of_rankings_that_share_nothing_are_empty(session: Session) -> None:
    nothing = np.full(300, np.nan)
    nothing[np.flatnonzero(~session.survey.has("image"))] = 1.0
    session.survey.put_embedding("other/image", np.where(np.isnan(nothing), np.nan, 1.0)[:, None])
    session.survey.put_score("other/image", "knn", nothing)
    found = compare.tops(session.survey, ("duo/image", "knn"), ("other/image", "knn"))
    assert (len(found.both), found.objects) == (0, 0)


def test_a_panel_is_sent_again_only_where_the_focus_is_on_it(session: Session) -> None:
    view = shown("transfer", session)
    view.do_cut({"value": "10.0"})
    rows = view.pictured(view.found)
    away = int(np.setdiff1d(np.arange(300), rows)[0])
    before = view.board.markup
    session.focus_on(away)
    assert view.board.markup is before
    session.focus_on(int(rows[0]))
    assert view.board.markup.count('class="focus" data-do="focus"') == 1
    session.focus_on(away)
    assert 'class="focus" data-do="focus"' not in view.board.markup


def test_nine_spaces_and_five_scores_are_one_matrix(session: Session) -> None:
    rng = np.random.default_rng(0)
    for encoder in ("a", "b", "c"):
        for modality in ("image", "spectrum", "joint"):
            session.survey.put_embedding(f"{encoder}/{modality}", rng.normal(size=(300, 3)))
            for scorer in ("maf", "knn", "gmm", "isolation-forest", "unsupervised-forest"):
                session.survey.put_score(f"{encoder}/{modality}", scorer, rng.random(300))
    session.refresh()
    view = shown("transfer", session)
    view.do_among({"value": "score:maf"})
    assert view.board.markup.count('data-do="cell"') == 81
    view.do_among({"value": "all:"})
    assert view.board.markup.count('data-do="cell"') == (45 + 7) ** 2
    assert len(view.board.markup) < 2_000_000, "far from what a websocket takes"
    for name in ("fusion", "probes", "stability", "recovery", "confounders"):
        assert "ax-error" not in shown(name, session).board.markup


@pytest.mark.parametrize("wide", [[1, 0, 1, 0, 1, 0, 1], [1, 0], [0], [1], [0, 0], [1, 1, 1], [0] * 5, [1, 0, 0, 0, 0]])
def test_no_cell_of_the_grid_stays_empty(wide: list[int]) -> None:
    classes = page_of.spans([bool(w) for w in wide])
    three = [3 if "ax-three" in c else 2 if {"ax-wide", "ax-two"} & set(c) else 1 for c in classes]
    two = [2 if {"ax-wide", "ax-row"} & set(c) else 1 for c in classes]
    for widths, columns in ((three, 3), (two, 2)):
        rows: list[int] = []  # as a browser packs them: each into the first row with room
        for width in widths:
            at = next((i for i, used in enumerate(rows) if used + width <= columns), None)
            if at is None:
                rows.append(width)
            else:
                rows[at] += width
        assert set(rows) == {columns}, (columns, widths)
