"""The page without a browser: it is laid out, it follows, it answers, and it lets go."""

from __future__ import annotations

import gc
import io
import re
import socket
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.app import Explorer, Options
from explorer.page import Page
from explorer.serve import applications, free_port, origins, serve, slug
from explorer.session.session import Session
from explorer.views import _header, status
from explorer.views._keys import HELP
from explorer.views._theme import screen_of


@pytest.fixture
def session(tiny_survey: Any) -> Session:
    return Session(tiny_survey)


@pytest.fixture
def page(session: Session) -> Page:
    return Page(session)


def test_every_view_is_on_the_page(page: Page) -> None:
    placed = {type(view).name for view in page.views}
    assert {"map", "ranking", "status"} <= placed
    assert len(page._tabs) == len(page._tab_names) >= 1
    root = page.layout.get_root()
    assert root.select_one({"type": type(page.views[0])}) is None
    assert len(list(root.references())) > 50


def test_a_view_that_fails_leaves_the_rest_standing(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from explorer.views.ranking import RankingView

    def broken(self: Any) -> None:
        raise RuntimeError("the <disk> is gone")

    monkeypatch.setattr(RankingView, "panel", broken)
    page = Page(session)
    text = "".join(str(pane.object) for pane in page.layout.select(lambda p: hasattr(p, "object")) if pane.object)
    assert "The view ranking cannot be shown" in text
    assert "the &lt;disk&gt; is gone" in text
    assert "map" in {type(view).name for view in page.views}


def test_keys_do_what_the_list_says(page: Page, session: Session) -> None:
    order = session.ranked_rows(0, 5).tolist()
    page._on_key("3")
    assert "Nothing to score" in str(page.screen.notice)
    assert page.toast.visible
    page._on_key("Escape")
    assert not page.toast.visible
    for key, row in [
        ("j", order[0]),
        ("ArrowRight", order[1]),
        ("j", order[2]),
        ("k", order[1]),
        ("ArrowLeft", order[0]),
    ]:
        page._on_key(key)
        assert session.focus == row
    page._on_key("3")
    assert session.marks["score"].tolist() == [3.0]
    page._on_key("u")
    assert session.focus == order[1]
    session.select("z > 1")
    page._on_key("Escape")
    assert not session.selection.active
    page._on_key("undo")
    assert session.selection.active
    page._on_key("redo")
    assert not session.selection.active
    page._on_key("t")
    assert page.screen.theme == "light"
    assert "ax-light" in page.layout.css_classes
    page._on_key("?")
    assert page.help.visible
    assert all(key.split(" ")[0] in page.help.markup for key in HELP)


def test_a_message_is_shown_again_when_it_comes_again(page: Page) -> None:
    for _ in range(2):
        page.screen.notice = "Exported a"
        assert page.toast.visible
        page._on_toast({"do": "dismiss"})
        assert not page.toast.visible


def test_pages_that_close_leave_nothing_behind(tiny_survey: Any) -> None:
    ex = Explorer(tiny_survey)
    listening = [len(w) for kinds in ex.session.param.watchers.values() for w in kinds.values()]
    for _ in range(3):
        ex.page()
    ex.close()
    assert [len(w) for kinds in ex.session.param.watchers.values() for w in kinds.values() if w] == listening
    gc.collect()
    pages = [o for o in gc.get_objects() if type(o) is Page and o.session is ex.session]
    assert not pages, "a closed page is not kept alive"


def test_a_second_page_does_not_hide_the_tab_that_is_open_on_the_first(session: Session) -> None:
    first = Page(session)
    first._tabs.active = first._tab_names.index("neighbours")
    second = Page(session)
    seen, hidden = (next(v for v in page.views if v.name == "neighbours") for page in (first, second))
    session.focus_on(7)
    assert seen.found[session.space].index[0] == 7
    assert hidden.found[session.space].index[0] == 7, "the screen is one: a view that is seen on a page is drawn on all"
    second.close()
    first._tabs.active = first._tab_names.index("mosaic")
    session.focus_on(8)
    assert seen.found[session.space].index[0] == 7, "nobody looks at it"
    first._tabs.active = first._tab_names.index("neighbours")
    assert seen.found[session.space].index[0] == 8
    first.close()
    assert screen_of(session).tabs == {}


def test_a_space_and_a_score_that_come_later_appear(page: Page, session: Session) -> None:
    survey = session.survey
    survey.put_embedding("late/joint", np.random.default_rng(0).normal(size=(len(survey), 4)))
    survey.put_score("pca/image", "late", np.arange(len(survey), dtype=float))
    assert "late/joint" not in page.header.board.markup
    page._refresh()
    assert "late/joint" in page.header.board.markup
    page.header._on({"do": "scorer", "value": "late"})
    assert session.scorer == "late"
    page.header._on({"do": "space", "value": "late/joint"})
    assert session.space == "late/joint"
    assert "explorer prepare" in next(v for v in page.views if type(v).name == "map").over.object


# -- header --------------------


def test_the_header_offers_what_there_is_and_escapes_it(session: Session) -> None:
    markup = _header.header(session)
    assert "&lt;b&gt;odd&lt;/b&gt;" in markup
    assert "<b>odd" not in markup
    assert re.search(r'<option value="knn" selected>knn</option>', markup)
    assert "rank(&#x27;knn&#x27;) &lt;= 100 and z &gt; 0.5" in markup, "the example can be typed as it stands"
    session.select(_header.example(session).removeprefix("words, id, RA Dec, or "))
    assert session.selection.active


def test_a_wrong_query_is_answered_in_its_own_words(page: Page, session: Session) -> None:
    page.header._on({"do": "query", "value": "zed < 1"})
    assert "zed" in page.header.wrong
    assert 'role="alert"' in page.header.board.markup
    page.header._on({"do": "query", "value": "z > 1"})
    assert page.header.wrong == ""
    assert len(session.selection) == int((session.survey.column("z") > 1).sum())
    page.header._on({"do": "scorer", "value": "nothing"})
    assert "There are: knn" in str(page.screen.notice)


# -- status line --------------------


def test_the_status_line_counts_and_tells_the_last_step(session: Session) -> None:
    words = re.sub(r"<[^>]+>", "", status.line(session, 285))
    assert "0 selected·285 shown·300 in all" in words
    session.select("z > 1")
    session.select("kind == 'lens'", mode="intersect")
    words = re.sub(r"<[^>]+>", "", status.line(session, 285))
    assert f"{len(session.selection)} selected" in words
    assert "1 step, ∩ kind == &#x27;lens&#x27;" in words


def test_buttons_of_the_status_line(session: Session) -> None:
    view = status.StatusView(session)
    view.panel()
    session.select("z > 1")
    view._on_click({"do": "mark", "value": "it's <odd>"})
    assert set(session.marks["label"]) == {"it's <odd>"}
    assert "<odd>" not in view.board.markup
    view._on_click({"do": "clear"})
    view._on_click({"do": "marked", "label": "it's <odd>", "shift": False})
    assert len(session.selection) == int((session.survey.column("z") > 1).sum())
    view._on_click({"do": "undo"})
    assert not session.selection.active
    view._on_click({"do": "mark", "value": "x"})
    assert "Nothing to mark" in str(screen_of(session).notice)


FILES = {"fits": ".fits", "csv": ".zip", "parquet": ".parquet", "votable": ".vot"}


@pytest.mark.parametrize("kind", FILES)
def test_export_hands_over_a_file_that_holds_the_selection(session: Session, kind: str) -> None:
    import base64

    view = status.StatusView(session)
    view.panel()
    session.select("rank('knn') <= 5")
    view._on_click({"do": "export", "value": kind})
    assert view.board.download["name"].endswith(FILES[kind])
    data = base64.b64decode(view.board.download["data"])
    if kind == "csv":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            data = b"".join(archive.read(name) for name in archive.namelist())
    assert all(name.encode() in data for name in session.selection.ids) or kind == "parquet"
    assert len(data) > 200


def test_export_of_nothing_says_so(session: Session) -> None:
    view = status.StatusView(session)
    view.panel()
    view._on_click({"do": "export", "value": "csv"})
    assert "nothing is selected" in str(screen_of(session).notice)
    assert not view.board.download


# -- explorer and server --------------------


def test_everything_on_the_page_is_an_attribute_or_a_method(tiny_survey: Any, tmp_path: Path) -> None:
    ex = Explorer(tiny_survey, Options(theme="light"), color_by="kind", user="ada")
    assert (ex.color_by, ex.theme, ex.space, ex.scorer) == ("kind", "light", "pca/image", "knn")
    ex.focus = "Ü-6"
    assert (ex.focus, ex.session.focus) == ("Ü-6", 6)
    ex.select("rank('knn') <= 5")
    chosen = ex.selection.ids
    ex.mark(chosen[:2], "lens", score=5)
    assert ex.marks["user"].unique().tolist() == ["ada"]
    ex.clear()
    assert ex.undo()
    assert ex.selection.ids == chosen
    assert ex.export(tmp_path / "c.fits").exists()
    found = ex.similar_to(chosen[0], k=5)
    assert found["id"].iloc[0] == chosen[0]
    with pytest.raises(LookupError, match="There are: pca/image"):
        ex.space = "aion/joint"
    with pytest.raises(TypeError, match="colour_by"):
        Explorer(tiny_survey, colour_by="kind")


def test_a_cell_shows_the_page_without_a_network(tiny_survey: Any) -> None:
    bundle, _ = Explorer(tiny_survey)._repr_mimebundle_()
    told = str(bundle.get("text/html", ""))
    assert "ax-root" in told
    assert not re.search(r"""(src|href)=["']https?://""", told)


def test_surveys_of_one_name_have_addresses_of_their_own(tiny_survey: Any) -> None:
    apps = applications([tiny_survey, tiny_survey])
    assert list(apps) == ["tiny", "tiny-2"]
    assert slug("a b/ü?") == "a-b"
    assert origins("localhost", 80) == ["127.0.0.1:80", "localhost:80"]
    assert "0.0.0.0:80" not in origins("0.0.0.0", 80)
    assert free_port("localhost") > 1023


def test_a_port_that_is_taken_is_told_with_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=f"port {port} of 127.0.0.1 is taken: .*--port 0"):
            free_port("127.0.0.1", port)
    assert free_port("127.0.0.1", port) == port
    with pytest.raises(OSError, match=r"192\.0\.2\.1 is no address of this machine .*: give localhost"):
        free_port("192.0.2.1")


def fetched(surveys: list[Any], asked: str) -> Any:
    """What a server of these surveys answers at its bare address."""
    from tornado.httpclient import AsyncHTTPClient

    server = serve(surveys, port=0, show=False, block=False)
    try:
        at = f"http://localhost:{server.port}/{asked}"
        return server.io_loop.run_sync(
            lambda: AsyncHTTPClient().fetch(at, follow_redirects=False, raise_error=False), timeout=20
        )
    finally:
        server.stop()


@pytest.mark.parametrize("asked", ["", "?page=compare", "?page=compare&theme=a%20b"])
def test_the_bare_address_leads_to_the_page_with_what_was_asked(tiny_survey: Any, asked: str) -> None:
    told = fetched([tiny_survey], asked)
    assert told.code == 302
    assert told.headers["Location"] == f"./tiny{asked}"


def test_the_bare_address_lists_several_surveys_and_fetches_nothing(tiny_survey: Any) -> None:
    told = fetched([tiny_survey, tiny_survey], '?page=compare&x="><script>')
    page = told.body.decode()
    assert told.code == 200
    assert page.count("300 rows · image, spectrum") == 2
    assert re.findall(r'href="([^"?]+)\?page=compare', page) == ["./tiny", "./tiny-2"]
    assert "<script" not in page
    assert not re.search(r"(https?:)?//", page.split("<body")[0])
