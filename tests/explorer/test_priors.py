"""A prior learnt from marks moves artefacts down a stored ranking, and leaves the rest in order."""

from __future__ import annotations

import numpy as np
import pytest

from explorer.pipeline.priors import put_prior
from explorer.survey.store import Survey


def test_marked_artefacts_sink(tiny_survey: Survey) -> None:
    vectors = np.array(tiny_survey.embedding("pca/image"))
    rows = np.flatnonzero(np.isfinite(vectors).all(axis=1))
    artefact = vectors[:, 0] > 0.9
    scores = np.array(tiny_survey.score("pca/image", "knn"))
    scores[artefact] += 5
    tiny_survey.put_score("pca/image", "knn", scores, {})
    rng = np.random.default_rng(0)
    seen = rng.permutation(rows)[:80]
    bad, good = ([str(i) for i in tiny_survey.ids[seen[artefact[seen] == k]]] for k in (True, False))
    assert put_prior(tiny_survey, "pca/image", "knn", bad, good) == "knn-real"
    before, after = (tiny_survey.rank("pca/image", s) for s in ("knn", "knn-real"))
    first = [np.mean(artefact[rows][(r[rows] <= 25)]) for r in (before, after)]
    assert first[0] > 0.9
    assert first[1] < 0.5
    assert (after[np.isnan(tiny_survey.embedding("pca/image")).any(axis=1)] == 0).all()
    with pytest.raises(ValueError, match="4 of each are needed"):
        put_prior(tiny_survey, "pca/image", "knn", bad[:2], good)
