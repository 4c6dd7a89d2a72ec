"""Work beside the page: what was overtaken or dropped touches nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, Queue
from typing import Any

import numpy as np
import panel as pn
import pytest

from explorer.session import words
from explorer.session.session import Session
from explorer.views import VIEWS
from explorer.views._header import Header
from explorer.views._shots import Shots
from explorer.views._work import Work


class Document:
    """Stands for a page that is served: what is to be done under its lock waits here."""

    def __init__(self) -> None:
        self.waiting: Queue[Callable[[], Any]] = Queue()

    def add_next_tick_callback(self, act: Callable[[], Any]) -> None:
        self.waiting.put(act)

    def settle(self, seconds: float) -> None:
        """Do all that comes until nothing has come for so long."""
        while True:
            try:
                act = self.waiting.get(timeout=seconds)
            except Empty:
                return
            act()

    def until(self, told: Callable[[], Any], seconds: float = 20) -> None:
        """Do what comes until ``told()`` holds."""
        while not told():
            self.waiting.get(timeout=seconds)()


@pytest.fixture
def document(monkeypatch: pytest.MonkeyPatch) -> Document:
    monkeypatch.setattr(pn.state, "_unblocked", lambda _: False)
    return Document()


def serve(work: Work, document: Document) -> None:
    work._doc = document  # type: ignore[assignment]


def test_an_error_that_was_overtaken_is_not_shown(document: Document) -> None:
    failed: list[Exception] = []
    done: list[str] = []
    work, go = Work(failed.append), threading.Event()
    serve(work, document)

    def old() -> str:
        go.wait(10)
        raise ValueError("of the object that was looked at before")

    work.run("list", old, done.append)
    work.run("list", lambda: "new", done.append)
    document.waiting.get(timeout=10)()
    go.set()
    document.settle(0.5)
    assert (done, failed) == (["new"], [])

    def wrong() -> str:
        raise ValueError("of this one")

    work.run("list", wrong, done.append)
    document.waiting.get(timeout=10)()
    assert [str(error) for error in failed] == ["of this one"]
    work.close()


def test_words_in_the_header_are_judged_beside_the_page(
    tiny_survey: Any, document: Document, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, judged_by = Session(tiny_survey), list[str]()

    def judge(survey: Any, text: str) -> words.Judged:
        judged_by.append(threading.current_thread().name)
        if text == "no such words":
            raise ValueError("no word of it occurs")
        return words.Judged(np.arange(len(survey), dtype=np.float64), "a test")

    monkeypatch.setattr(words, "judge", judge)
    header = Header(session)
    serve(header.work, document)
    header._on({"do": "query", "value": "smooth round galaxy"})
    assert not session.selection.active
    document.settle(0.5)
    assert session.focus == len(tiny_survey) - 1
    assert "by words, by a test" in str(header.screen.notice)
    header._on({"do": "query", "value": "no such words"})
    document.settle(0.5)
    assert header.wrong == "no word of it occurs"
    assert all(name.startswith("explorer-view") for name in judged_by)
    header._on({"do": "query", "value": "smooth round galaxy"})
    header._on({"do": "query", "value": "z > 1"})  # what is asked last is what counts
    document.settle(0.5)
    assert len(session.selection) == int((tiny_survey.column("z") > 1).sum())
    header.close()


def test_thumbnails_are_read_beside_the_page(tiny_survey: Any, document: Document) -> None:
    read, drawn, failed = list[tuple[str, list[int]]](), list[None](), list[Exception]()
    stored = tiny_survey.thumbnails

    def thumbnails(rows: Any) -> list[bytes | None]:
        read.append((threading.current_thread().name, list(rows)))
        if 299 in rows:
            raise OSError("the disk went away")
        return stored(rows)

    tiny_survey.thumbnails = thumbnails
    work = Work(failed.append)
    serve(work, document)
    shots = Shots(tiny_survey, work, lambda: drawn.append(None))
    assert shots.of([3, 19, 4]) == [None] * 3
    assert shots.of([3, 19, 4]) == [None] * 3, "what is being read is not asked for again"
    document.until(lambda: drawn)
    assert shots.of([4, 19, 3]) == [stored([4])[0], None, stored([3])[0]], "row 19 has no image, and is not asked for"
    assert shots.of([4, 5])[0] == stored([4])[0]
    document.until(lambda: len(drawn) == 2)
    assert [rows for _, rows in read] == [[3, 19, 4], [5]]
    assert all(name.startswith("explorer-view") for name, _ in read)
    assert len(drawn) == 2
    shots.of([299])
    document.until(lambda: failed)
    shots.of([299])
    document.settle(0.3)
    assert [str(error) for error in failed] == ["the disk went away"], "once, not in a circle"
    work.close()


@pytest.mark.parametrize("name", ["ranking", "transfer"])
def test_no_view_reads_thumbnails_on_the_loop(tiny_survey: Any, document: Document, name: str) -> None:
    tiny_survey.put_score("pca/image", "gmm", tiny_survey.score("pca/image", "knn") + 0.1, {})
    loop, stored = threading.current_thread(), tiny_survey.thumbnails

    def thumbnails(rows: Any) -> list[bytes | None]:
        assert threading.current_thread() is not loop
        return stored(rows)

    tiny_survey.thumbnails = thumbnails
    session = Session(tiny_survey)
    view = VIEWS.get(name)(session)
    serve(view.work, document)
    if name == "transfer":
        view.do_among({"value": "space:pca/image"})
        document.until(lambda: view.found is not None)
    else:
        view._draw()
    assert "data:image" not in view.board.markup
    document.until(lambda: "data:image" in view.board.markup)
    assert view.board.markup.count("data:image") == (3 if name == "transfer" else 25)
    view.close()


def test_a_thumbnail_that_comes_after_the_pointer_left_is_not_shown(tiny_survey: Any, document: Document) -> None:
    view = VIEWS.get("map")(Session(tiny_survey))
    view.panel()
    row = int(np.flatnonzero(tiny_survey.has("image"))[0])
    serve(view.work, document)
    at = {"x": float(view.xy[row, 0]), "y": float(view.xy[row, 1]), "sx": 10, "sy": 10}
    view._do_hover(at)
    document.until(lambda: "data:image" in view.over.object)
    view._do_hover(at)
    view._do_leave({})
    document.settle(0.3)
    assert "data:image" not in view.over.object
    view.close()
