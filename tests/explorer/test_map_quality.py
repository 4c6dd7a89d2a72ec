"""How far a layout can be trusted is recorded when it is made, and told in the map's corner."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.manifold import trustworthiness

from explorer.pipeline.prepare import prepare
from explorer.survey.records import Record
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter
from explorer.views._map_overlay import corner


@pytest.fixture
def survey(tmp_path: Path) -> Survey:
    vectors = np.random.default_rng(0).normal(size=(300, 6)).astype(np.float32)
    with SurveyWriter(tmp_path / "s", card={"name": "s"}, modalities={}, columns={"z": pa.float64()}) as writer:
        writer.append(Record(f"R{i}", f"R{i}", {"z": float(i)}) for i in range(300))
    made = Survey.open(tmp_path / "s")
    made.put_embedding("made/catalogue", vectors)
    return made


def test_prepare_records_the_quality_and_the_corner_tells_it(survey: Survey) -> None:
    prepare(survey, encoders=(), scorers=(), layouts=("pca",))
    quality = survey.provenance("layout:made/catalogue:pca")["quality"]
    assert quality["sample"] == 300
    told = corner("made/catalogue", "pca", "auto", survey)
    trust, recall = (float(v) for v in re.search(r"trust ([\d.]+) · recall ([\d.]+)<", told).groups())  # type: ignore[union-attr]
    vectors, xy = survey.embedding("made/catalogue"), survey.layout("made/catalogue", "pca")
    expected = trustworthiness(vectors, xy, n_neighbors=quality["k"], metric="cosine")
    assert trust == pytest.approx(expected, abs=0.02)
    assert 0 < recall < 1
    assert "Among 300 rows" in told


@pytest.mark.parametrize("quality", [None, {}, {"trustworthiness": float("nan"), "neighbour_recall": float("nan")}])
def test_nothing_is_told_where_nothing_is_known(survey: Survey, quality: Any) -> None:
    told = {} if quality is None else {"quality": quality}
    survey.put_layout("made/catalogue", "given", np.zeros((300, 2), np.float32), told)
    assert "trust" not in corner("made/catalogue", "given", "auto", survey)
    assert "trust" not in corner("made/catalogue", "another", "auto", survey)
