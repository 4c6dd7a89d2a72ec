"""Work off the event loop: a view says what to compute and what to do with the result.

On a server the computing happens in a thread and the result comes back under the document's lock; in each lane only
the newest request counts, so that a fast wheel never queues frames. In a cell, in a script and in tests there is no
loop to hold up, and everything happens at once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import panel as pn

T = TypeVar("T")
_log = logging.getLogger("explorer")
_pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="explorer-view")
_slow = ThreadPoolExecutor(max_workers=1, thread_name_prefix="explorer-job")  # minutes long: one at a time


class Work:
    """The background work of one view on one page."""

    def __init__(self, failed: Callable[[Exception], None]):
        self._failed, self._doc, self._newest, self._closed = failed, None, dict[str, int](), False

    def attach(self) -> None:
        """Remember the document that is being served, if one is: call it when the view is laid out."""
        doc = pn.state.curdoc
        self._doc = doc if doc is not None and doc.session_context is not None else None

    @property
    def served(self) -> bool:
        """Whether results come from a thread."""
        return self._doc is not None

    def close(self) -> None:
        """Drop what still runs."""
        self._closed, self._doc = True, None

    def deliver(self, act: Callable[[], Any]) -> None:
        """Do ``act`` where it may touch what is on the page: now, or soon under the document's lock."""
        doc = self._doc
        if doc is None or pn.state._unblocked(doc):
            act()
        else:
            doc.add_next_tick_callback(lambda: None if self._closed else act())

    def drop(self, lane: str) -> None:
        """Want nothing more of what was asked for in a lane."""
        self._newest[lane] = self._newest.get(lane, 0) + 1

    def run(self, lane: str, job: Callable[[], T], done: Callable[[T], Any], slow: bool = False) -> None:
        """Compute ``job()`` and hand its result to ``done``, unless a newer request in the lane overtook it.

        A ``slow`` one, which may take minutes, waits for others of its kind and never for a frame, nor a frame for it.
        """
        ticket = self._newest[lane] = self._newest.get(lane, 0) + 1

        def current() -> bool:
            return not self._closed and self._newest[lane] == ticket

        def work() -> None:
            if not current():
                return
            try:
                result = job()
            except Exception as error:
                _log.exception("a view failed")
                trouble = error
                self.deliver(lambda: self._failed(trouble) if current() else None)
                return
            if current():
                self.deliver(lambda: done(result) if current() else None)

        if self._doc is None:
            work()
        else:
            (_slow if slow else _pool).submit(work)
