"""A set of rows, and the recipe by which it was made."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session
    from explorer.survey.store import Survey

MODES = ("replace", "add", "intersect", "subtract")


@dataclass(frozen=True, eq=False)
class Polygon:
    """A closed polygon drawn in a layout: ``vertices`` (m, 2) in the layout's coordinates.

    An empty ``layout`` or ``space`` stands for the session's own.
    """

    layout: str
    space: str
    vertices: np.ndarray

    def __post_init__(self) -> None:
        vertices = np.asarray(self.vertices, dtype=np.float64)
        if vertices.ndim != 2 or vertices.shape[1] != 2 or len(vertices) < 3:
            raise ValueError(f"a polygon needs three or more vertices (x, y), not an array of shape {vertices.shape}")
        if not np.isfinite(vertices).all():
            raise ValueError("a vertex of the polygon is not finite: draw it again")
        object.__setattr__(self, "vertices", vertices)


class Selection:
    """An immutable set of rows, kept as one bit a row.

    ``rows``, ``ids`` and ``to_table()`` stand in one order, that of the rows; ``order`` gives the rows in the order
    in which they were chosen (a list of ids, the nearest first), where there was one.
    """

    __slots__ = ("_bits", "_count", "_ids", "_order", "_recipe", "_rows", "_survey", "_total")

    def __init__(
        self,
        survey: Survey,
        mask: np.ndarray | None = None,
        recipe: Sequence[dict[str, Any]] = (),
        order: np.ndarray | None = None,
        *,
        bits: np.ndarray | None = None,
    ):
        total = len(survey)
        if bits is None:
            mask = np.zeros(total, bool) if mask is None else mask
            if mask.shape != (total,) or mask.dtype != bool:
                raise ValueError(f"a mask of {total} booleans is needed, not {mask.dtype} of shape {mask.shape}")
            bits = np.packbits(mask)
        bits.flags.writeable = False
        self._survey, self._bits, self._total = survey, bits, total
        self._count = int(np.bitwise_count(bits).sum())
        self._recipe: tuple[dict[str, Any], ...] = tuple(recipe)
        self._order = order
        self._rows: np.ndarray | None = None
        self._ids: list[str] | None = None

    def __len__(self) -> int:
        return self._count

    def __bool__(self) -> bool:
        return self._count > 0

    def __contains__(self, row: int) -> bool:
        return 0 <= row < self._total and bool(self._bits[row >> 3] >> (7 - (row & 7)) & 1)

    def __repr__(self) -> str:
        return f"<Selection: {len(self):,} of {self._total:,} rows of {self._survey.name!r}>"

    @property
    def survey(self) -> Survey:
        """The survey that it selects from."""
        return self._survey

    @property
    def total(self) -> int:
        """Rows in the survey that it selects from."""
        return self._total

    @property
    def active(self) -> bool:
        """Whether something was selected by; False after ``clear()``, True for a query that nothing matched."""
        return bool(self._recipe)

    @property
    def mask(self) -> np.ndarray:
        """(n,) bool over the survey's rows."""
        return np.unpackbits(self._bits, count=self._total).view(bool)

    @property
    def rows(self) -> np.ndarray:
        """(m,) int64, ascending, read-only."""
        if self._rows is None:
            self._rows = np.flatnonzero(self.mask)
            self._rows.flags.writeable = False
        return self._rows

    @property
    def order(self) -> np.ndarray:
        """(m,) int64, the rows in the order in which they were chosen; ``rows`` where they had none."""
        return self.rows if self._order is None else self._order

    @property
    def ordered(self) -> bool:
        """Whether ``order`` differs from ``rows`` by a choice that somebody made."""
        return self._order is not None

    @property
    def ids(self) -> list[str]:
        """The ids of ``rows``."""
        if self._ids is None:
            self._ids = self._survey.ids_of(self.rows)
        return list(self._ids)

    @property
    def recipe(self) -> list[dict[str, Any]]:
        """The steps that made it, ready for JSON; see :mod:`explorer.session.recipe`."""
        return [copy.deepcopy(step) for step in self._recipe]

    def to_table(self, columns: Sequence[str] | None = None, ordered: bool = False) -> pd.DataFrame:
        """The catalogue of the selected rows (some columns of it), ``id`` first; ``ordered`` as in ``order``."""
        return self._survey.table(self.order if ordered else self.rows, columns)

    def light(self) -> Selection:
        """The same selection without what can be computed again."""
        return Selection(self._survey, None, self._recipe, self._order, bits=self._bits)

    def combined(self, mode: str, other: Selection, recipe: Sequence[dict[str, Any]]) -> Selection:
        """This selection joined with ``other`` in one of ``MODES``, with the recipe given."""
        if mode == "replace":
            return Selection(self._survey, None, recipe, other._order, bits=other._bits)
        if mode not in MODES:
            raise ValueError(f"no mode named {mode!r}. There are: {', '.join(MODES)}")
        if mode == "add":
            bits = self._bits | other._bits
        elif mode == "intersect":
            bits = self._bits & other._bits
        else:
            bits = self._bits & ~other._bits
        joined = Selection(self._survey, None, recipe, bits=bits)
        if self._order is not None or (mode == "add" and not len(self) and other._order is not None):
            both = np.concatenate([self.order, other.order]) if mode == "add" else self.order
            kept = both[joined.mask[both]]
            first = np.sort(np.unique(kept, return_index=True)[1])
            joined._order = kept[first]
        return joined

    @staticmethod
    def replay(session: Session, recipe: Sequence[dict[str, Any]]) -> Selection:
        """The selection that a recipe makes of the session's survey as it is now."""
        from explorer.session.recipe import replay

        return replay(session, recipe)
