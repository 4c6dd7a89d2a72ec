"""Captions against the volunteers' tree: what is said, what is denied, and agreement with the published scores."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from explorer.pipeline.tree import QUESTIONS, answer, said, score

SPIRAL = (
    "A face-on spiral galaxy with two prominent arms that are tightly wound. There is no bar and no evidence of "
    "tidal tails, bridges or a merger. The small bulge is bright."
)
PATH = {
    "smooth-or-featured": "featured-or-disk",
    "disk-edge-on": "no",
    "has-spiral-arms": "yes",
    "bar": "no",
    "bulge-size": "small",
    "spiral-arm-count": "2",
    "spiral-winding": "tight",
    "merging": "none",
}


def test_a_right_caption_gives_every_answer_and_a_wrong_one_few():
    assert score(SPIRAL, PATH) == 1.0
    assert score("A smooth round elliptical.", PATH) == pytest.approx(3 / 8)  # not edge-on, no bar, no merger
    assert score(SPIRAL, [{"question": q, "answer": a} for q, a in PATH.items()]) == 1.0


def test_what_is_denied_or_only_possible_is_not_said():
    assert said("No spiral arms are seen.", "(spiral )?arms?") == 0
    assert said("The arms are clear.", "(spiral )?arms?") == 1
    assert said("It lacks a bulge, arms, or a bar.", "bar") == 0
    assert answer("It could be a merger.", "merging") == "none"
    assert answer("Two galaxies merging, with tidal tails.", "merging") == "merger"
    assert answer("A barred spiral.", "bar") == "strong"
    assert answer("Perhaps nothing.", "smooth-or-featured") == ""
    with pytest.raises(ValueError, match="colour"):
        answer("x", "colour")
    with pytest.raises(ValueError, match="no question"):
        score("x", {})


def test_published_captions_are_scored_as_their_judge_did(shared_data: Path):
    folder = shared_data / "aion_search_64" / "captions"
    if not folder.is_dir():
        pytest.skip("aion_search_64 is not here")
    ours, theirs, others = [], [], []
    for file in sorted(folder.glob("*.jsonl")):
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert {n["question"] for line in lines for n in line["decision_tree"]} <= set(QUESTIONS)
        ours += [score(line["result"], line["decision_tree"]) for line in lines]
        theirs += [line["decision_tree_score"] for line in lines]
        others += [score(a["result"], b["decision_tree"]) for a, b in zip(lines, lines[9:] + lines[:9], strict=True)]
    assert np.corrcoef(ours, theirs)[0, 1] > 0.6
    assert np.mean(ours) > np.mean(others) + 0.1
