"""The explorer from a cell: its names are few, and one that does not exist is refused with those that do."""

from __future__ import annotations

import pytest

from explorer.app import Explorer
from explorer.survey.store import Survey
from kernels.registry import UnknownName


def test_a_mistyped_control_is_refused(tiny_survey: Survey) -> None:
    ex = Explorer(tiny_survey)
    ex.scorer = "knn"
    with pytest.raises(UnknownName, match=r"no control named 'score'\. Did you mean 'scorer'\?"):
        ex.score = "knn"
    with pytest.raises(UnknownName, match="stretch"):
        ex.strech = "linear"


def test_options_by_name_reach_the_session(tiny_survey: Survey) -> None:
    ex = Explorer(tiny_survey, color_by="z", theme="light")
    assert (ex.color_by, ex.theme) == ("z", "light")
    with pytest.raises(TypeError):
        Explorer(tiny_survey, colour="z")
