"""The files of ``data/`` (cards, recipes, weights), in a checkout and in an installed wheel."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path


def data_path(*parts: str) -> Path:
    """Path of ``data/<parts>``: ``explorer/_data`` of an installed wheel, else ``data/`` of the checkout.

    >>> data_path("cards").name
    'cards'
    """
    package = Path(str(files("explorer")))
    wheel, checkout = package / "_data", package.parent / "data"
    for root in (wheel, checkout):
        if root.is_dir():
            return root.joinpath(*parts)
    raise FileNotFoundError(
        f"neither {wheel} nor {checkout} exists: the installation is incomplete, install astro-explorer again"
    )
