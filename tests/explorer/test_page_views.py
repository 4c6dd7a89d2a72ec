"""Every registered view keeps to the contract of a view."""

from __future__ import annotations

from typing import Any

import panel as pn
import pytest

from explorer.checks import check_view
from explorer.views import VIEWS
from explorer.views._theme import screen_of


@pytest.mark.parametrize("name", VIEWS.names())
def test_a_view_keeps_to_its_contract(name: str, tiny_survey: Any) -> None:
    check_view(VIEWS.get(name), tiny_survey)


class Leaky:
    """A view that never lets go."""

    name = title = "leaky"

    def __init__(self, session: Any):
        session.param.watch(lambda _: None, ["selection"])
        screen_of(session)

    applies = classmethod(lambda cls, survey: True)

    def panel(self) -> Any:
        return pn.pane.HTML("")

    def close(self) -> None:
        pass


class Trusting(Leaky):
    """A view that believes the catalogue."""

    name = title = "trusting"

    def __init__(self, session: Any):
        self.session, self.pane = session, pn.pane.HTML("")
        self.watcher = session.param.watch(self.follow, ["focus"])

    def panel(self) -> Any:
        return self.pane

    def follow(self, event: Any) -> None:
        if event.new >= 0:
            self.pane.object = f"{self.pane.object} <b>{self.session.survey.ids_of([event.new])[0]}</b>"

    def close(self) -> None:
        self.session.param.unwatch(self.watcher)


def test_the_check_finds_a_leak_and_markup(tiny_survey: Any) -> None:
    with pytest.raises(AssertionError, match="left 1 watchers"):
        check_view(Leaky, tiny_survey)
    with pytest.raises(AssertionError, match="reaches the page as markup"):
        check_view(Trusting, tiny_survey)
