"""A folder is a registry, and everything registered passes the check of its kind."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from kernels.checks import check_encoder, check_scorer, check_tool
from kernels.embedding import ENCODERS
from kernels.registry import Registry, UnknownName
from kernels.scoring import SCORERS
from kernels.search import TOOLS
from kernels.search.evidence import Candidate, Evidence, Fact


@pytest.mark.parametrize("name", SCORERS.names())
def test_every_scorer_conforms(name: str) -> None:
    assert SCORERS.get(name).name == name
    check_scorer(SCORERS.get(name))


@pytest.mark.parametrize("name", ENCODERS.names())
def test_every_encoder_conforms(name: str) -> None:
    assert ENCODERS.get(name).name == name
    if getattr(ENCODERS.get(name), "published", False):
        pytest.skip("it needs published weights: tests/kernels/embedding/test_published.py checks it on stand-ins")
    check_encoder(ENCODERS.get(name))


@pytest.mark.parametrize("name", TOOLS.names())
def test_every_tool_conforms(name: str) -> None:
    assert TOOLS.get(name).name == name
    check_tool(TOOLS.get(name))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    package = tmp_path / "registered_things"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "_helper.py").touch()
    (package / "red_apple.py").write_text("class Apple:\n    name = 'red-apple'\n")
    (package / "empty.py").write_text("raise RuntimeError('listing must not import')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield Registry("thing", "registered_things", "no.such.group")
    for name in [m for m in sys.modules if m.startswith("registered_things")]:
        del sys.modules[name]


def test_one_new_file_registers_itself(folder: Registry) -> None:
    assert folder.names() == ["empty", "red-apple"]
    assert "registered_things.empty" not in sys.modules
    assert folder.get("red-apple").__name__ == "Apple"


def test_an_unknown_name_lists_what_exists_and_guesses(folder: Registry) -> None:
    with pytest.raises(UnknownName, match=r"no thing named 'red-aple'\. Did you mean 'red-apple'\? There are: empty"):
        folder.get("red-aple")


class Upside:
    """A scorer with the wrong sign."""

    def __init__(self, random_state: int | None = None):
        self.random_state = random_state

    def fit(self, X: np.ndarray) -> Upside:
        self.centre_ = X.mean(axis=0)
        return self

    def anomaly_score(self, Y: np.ndarray) -> np.ndarray:
        return -np.linalg.norm(Y - self.centre_, axis=1).astype(np.float64)

    def fit_score(self, X: np.ndarray) -> np.ndarray:
        return self.fit(X).anomaly_score(X)


def test_the_check_catches_a_wrong_sign() -> None:
    with pytest.raises(AssertionError, match="higher must be more anomalous"):
        check_scorer(Upside)


class Brightness:
    """A tool that prefers the unlikely example, and judges what it does not have."""

    name, title, unit, modality = "brightness", "Is bright", "counts", "image"

    def judge(self, candidate: Candidate) -> Evidence:
        mean = 0.0 if candidate.pixels is None else float(np.nanmean(candidate.pixels))
        return Evidence(mean, (Fact("mean", mean),))

    @staticmethod
    def examples() -> tuple[Candidate, Candidate]:
        return Candidate(np.zeros((1, 16, 16))), Candidate(np.ones((1, 16, 16)))


def test_the_check_catches_a_tool_that_prefers_the_unlikely() -> None:
    with pytest.raises(AssertionError, match="does not score higher"):
        check_tool(Brightness)
    Brightness.examples = staticmethod(lambda: (Candidate(np.ones((1, 16, 16))), Candidate(np.zeros((1, 16, 16)))))  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="raises no Unfit"):
        check_tool(Brightness)
