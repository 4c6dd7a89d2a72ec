"""A folder is a registry: one file, one registered thing.

``Registry("scorer", "kernels.scoring.scorers", "astro_explorer.scorers")`` lists the modules of that package
without importing any of them. A module ``self_join.py`` holds the class whose ``name`` is ``"self-join"``.
Modules whose name starts with an underscore are helpers and are not listed. Other distributions add their own
by an entry point in the group named last.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import pkgutil
from importlib.metadata import entry_points
from typing import Any


class UnknownName(LookupError):
    """A name that is not there; the message lists the names that are."""

    def __init__(self, kind: str, name: object, known: list[str], hint: str = ""):
        close = difflib.get_close_matches(str(name), known, n=1)
        guess = f" Did you mean {close[0]!r}?" if close else ""
        shown = ", ".join(known[:40]) + (f", … ({len(known)} in all)" if len(known) > 40 else "")
        listed = f"There are: {shown}." if known else f"There is no {kind} yet."
        super().__init__(f"no {kind} named {str(name)!r}.{guess} {listed}{' ' + hint if hint else ''}")
        self.kind, self.name, self.known = kind, name, known


class Registry:
    """The registered classes of one kind, looked up by name and imported only when asked for.

    Parameters
    ----------
    kind : what one of them is called in an error message, for example ``"scorer"``.
    package : dotted name of the folder that holds them.
    group : entry-point group by which other distributions add to them.
    """

    def __init__(self, kind: str, package: str, group: str):
        self.kind, self.package, self.group = kind, package, group

    def _modules(self) -> dict[str, str]:
        spec = importlib.util.find_spec(self.package)
        folders = list(spec.submodule_search_locations or []) if spec else []
        found = (m.name for m in pkgutil.iter_modules(folders) if not m.name.startswith("_"))
        return {name.replace("_", "-"): f"{self.package}.{name}" for name in found}

    def names(self) -> list[str]:
        """Sorted names of everything registered; imports none of it."""
        return sorted({*self._modules(), *(e.name for e in entry_points(group=self.group))})

    def get(self, name: str) -> Any:
        """The class registered as ``name``; :class:`UnknownName` lists what exists."""
        modules = self._modules()
        if name in modules:
            module = importlib.import_module(modules[name])
            for value in vars(module).values():
                local = isinstance(value, type) and value.__module__ == module.__name__
                if local and getattr(value, "name", None) == name:
                    return value
            raise TypeError(f"{module.__file__} registers no {self.kind}: it needs a class with name = {name!r}")
        for entry in entry_points(group=self.group):
            if entry.name == name:
                return entry.load()
        raise UnknownName(self.kind, name, self.names())
