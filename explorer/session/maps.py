"""What is built once for a process and shared by its sessions: the point map of a layout, the index of a space."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.session.columns import Shared

if TYPE_CHECKING:
    from explorer.survey.store import Survey

_maps, _indices = Shared(8), Shared(4)


def point_map(survey: Survey, space: str, layout: str) -> Any:
    """The :class:`kernels.layout.PointMap` of a layout, built once and again when its positions change."""

    def build(xy: np.ndarray) -> Any:
        from kernels.layout import PointMap

        return PointMap(xy)

    return _maps.get((str(survey.path), space, layout), survey.layout(space, layout), build)


def neighbours(survey: Survey, space: str) -> Any:
    """The fitted cosine :class:`kernels.search.Neighbours` of a space, built once and again when its vectors change."""

    def build(vectors: np.ndarray) -> Any:
        from kernels.search import Neighbours

        return Neighbours(metric="cosine").fit(vectors)

    return _indices.get((str(survey.path), space), survey.embedding(space), build)
