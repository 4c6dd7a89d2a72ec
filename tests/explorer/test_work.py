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
from explorer.views._header import Header
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
