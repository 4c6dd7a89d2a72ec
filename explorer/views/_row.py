"""What views of the row in focus have in common: drawn beside the page, anew when the focus or the survey changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from explorer.views._board import Board
from explorer.views._theme import failure, screen_of, skeleton
from explorer.views._work import Work

if TYPE_CHECKING:
    import panel as pn

    from explorer.session.session import Session
    from explorer.survey.store import Survey


class RowView:
    """A tab on the row in focus: subclasses say in :meth:`draw` what is drawn, and in :meth:`do` what a click does."""

    name = title = ""
    place = "tab"
    modality = ""
    css = ""

    def __init__(self, session: Session):
        self.session, self.screen = session, screen_of(session)
        self.work = Work(self._failed)
        self.board = Board(self._on_click, self.css, sizing_mode="stretch_both", margin=0, markup=skeleton())
        self._watcher: Any = session.param.watch(lambda *_: self.draw(), ["focus", "version"])

    @classmethod
    def applies(cls, survey: Survey) -> bool:
        """Whether the survey has the modality."""
        return cls.modality in survey.modalities

    def panel(self) -> pn.viewable.Viewable:
        """The view."""
        self.work.attach()
        self.draw()
        return self.board

    def close(self) -> None:
        """Stop listening to the session."""
        self.work.close()
        if self._watcher is not None:
            self.session.param.unwatch(self._watcher)
            self._watcher = None

    def draw(self) -> None:
        """Have the row in focus drawn."""
        raise NotImplementedError

    def do(self, data: dict[str, Any]) -> None:
        """What a click asks for; nothing by default."""

    def _show(self, markup: str) -> None:
        self.board.markup = markup

    def _failed(self, error: Exception) -> None:
        self._show(failure(error, f"{self.title} cannot be shown"))

    def _on_click(self, data: dict[str, Any]) -> None:
        try:
            self.do(data)
        except Exception as error:  # what a person asked is answered on the page
            self.screen.notice = error
