"""The simulated surveys: images, spectra, X-ray events and text of the same objects, with the truth beside them.

>>> from explorer.survey.simulate import simulate
>>> block = next(simulate("euclid-desi", n=2, seed=0, catalogue_only=True))
>>> block[0].id
'SIM-000000'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Recipe", "columns", "modalities", "simulate", "write"]

if TYPE_CHECKING:
    from explorer.survey.simulate.recipe import Recipe
    from explorer.survey.simulate.stream import columns, modalities, simulate, write


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    module = "recipe" if name == "Recipe" else "stream"
    return getattr(import_module(f"{__name__}.{module}"), name)
