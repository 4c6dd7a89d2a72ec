"""Thumbnails of the rows that a view shows, read beside the page and kept while they are shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from explorer.views._work import Work


class Shots:
    """Stored thumbnails for a view that draws itself anew when they have come.

    On a server :meth:`of` gives what has been read and has the rest read in a thread; ``redraw`` is called once it is
    there. Elsewhere it reads at once. Rows that are shown again are not read again.

    Parameters
    ----------
    survey : a :class:`~explorer.survey.store.Survey`.
    work : the view's background work; an error of reading comes to its ``failed``, and rows that failed are not asked
        for again until others are shown.
    redraw : draws the view.
    """

    def __init__(self, survey: Any, work: Work, redraw: Callable[[], Any]):
        self._survey, self._work, self._redraw = survey, work, redraw
        self._held: dict[int, bytes | None] = {}
        self._asked: set[int] = set()
        self._length = len(survey)

    def of(self, rows: Iterable[int]) -> list[bytes | None]:
        """JPEG of each row in their order; None where there is no image, or not yet."""
        wanted = [int(row) for row in rows]
        if "image" not in self._survey.modalities:
            return [None] * len(wanted)
        if len(self._survey) != self._length:  # rows may have moved
            self._held, self._asked, self._length = {}, set(), len(self._survey)
        self._held = {row: self._held[row] for row in wanted if row in self._held}
        if len(self._held) < len(set(wanted)):
            self._read(wanted)
        return [self._held.get(row) for row in wanted]

    def _read(self, wanted: list[int]) -> None:
        missing = [row for row in dict.fromkeys(wanted) if row not in self._held]
        if not self._work.served:
            self._held |= zip(missing, self._survey.thumbnails(missing), strict=True)
        elif not self._asked.issuperset(missing):
            self._asked = set(missing)
            self._work.run(
                "thumbnails", lambda: self._survey.thumbnails(missing), lambda files: self._came(missing, files)
            )

    def _came(self, rows: list[int], files: list[bytes | None]) -> None:
        self._asked -= set(rows)
        self._held |= zip(rows, files, strict=True)
        self._redraw()
