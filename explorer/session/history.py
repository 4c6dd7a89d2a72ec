"""Undo and redo: the recipes of past selections, and the bits of the latest few."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from explorer.session.selection import Selection

Recipe = tuple[dict[str, Any], ...]


class History:
    """A bounded line of recipes with a place on it.

    Parameters
    ----------
    limit : how many recipes are kept; the oldest go first.
    quick : for how many of them the selection itself is kept too (one bit a row), for the present version only.
    """

    def __init__(self, limit: int = 200, quick: int = 8):
        self.limit, self.quick = limit, quick
        self._recipes: list[Recipe] = [()]
        self._at = 0
        self._bits: dict[int, tuple[object, Selection]] = {}

    def __len__(self) -> int:
        return len(self._recipes)

    @property
    def can_undo(self) -> bool:
        """Whether something came before."""
        return self._at > 0

    @property
    def can_redo(self) -> bool:
        """Whether something was undone."""
        return self._at < len(self._recipes) - 1

    def push(self, selection: Selection, version: object) -> None:
        """Add a selection after the present place; what was undone is forgotten."""
        for recipe in self._recipes[self._at + 1 :]:
            self._bits.pop(id(recipe), None)
        del self._recipes[self._at + 1 :]
        self._recipes.append(selection._recipe)
        self._remember(selection._recipe, selection, version)
        while len(self._recipes) > self.limit:
            self._bits.pop(id(self._recipes.pop(0)), None)
        self._at = len(self._recipes) - 1

    def move(self, by: int, version: object, replay: Callable[[Recipe], Selection]) -> Selection | None:
        """The selection one place back (-1) or forward (+1), None where the line ends.

        ``replay`` makes it again where its bits are not kept or belong to another version; where that fails the
        place stays.
        """
        to = self._at + by
        if not 0 <= to < len(self._recipes):
            return None
        recipe = self._recipes[to]
        kept = self._bits.get(id(recipe))
        selection = kept[1].light() if kept and kept[0] == version else replay(recipe)
        self._at = to
        self._remember(recipe, selection, version)
        return selection

    def _remember(self, recipe: Recipe, selection: Selection, version: object) -> None:
        self._bits.pop(id(recipe), None)
        self._bits[id(recipe)] = (version, selection.light())
        while len(self._bits) > self.quick:
            self._bits.pop(next(iter(self._bits)))
