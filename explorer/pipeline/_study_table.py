"""Tables of a study: figures over seeds with their interval, as text and as CSV."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class Table:
    """A titled table. A cell is text, a number, or a list of numbers, one a seed, shown as mean ± 95 % interval."""

    title: str
    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, *cells: Any) -> None:
        """One more row."""
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.title}: {len(cells)} cells for {len(self.columns)} columns")
        self.rows.append(list(cells))

    def text(self) -> str:
        """The table for a terminal."""
        body = [[shown(cell) for cell in row] for row in self.rows]
        widths = [max(len(line[i]) for line in [self.columns, *body]) for i in range(len(self.columns))]
        lines = [self.title, "  ".join(c.ljust(w) for c, w in zip(self.columns, widths, strict=True)).rstrip()]
        lines += ["  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in body]
        return "\n".join([*lines, *(f"  {note}" for note in self.notes)])

    def csv(self) -> str:
        """The table as CSV: numbers in full, seeds as mean and half-width in one cell."""
        out = io.StringIO()
        writer = csv.writer(out)
        writer.writerow(self.columns)
        writer.writerows([[shown(cell, 6) for cell in row] for row in self.rows])
        return out.getvalue()


def shown(cell: Any, digits: int = 4) -> str:
    """A cell as text: ``0.9027 ±.0031`` for figures of several seeds, - where there is none."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int | np.integer):
        return f"{cell:,}"
    values = np.atleast_1d(np.asarray(cell, np.float64))
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{values.mean():.{digits}f} ±{half_width(values):.{digits}f}".replace("±0.", "±.")


def half_width(values: np.ndarray) -> float:
    """Half of the 95 % interval of the mean over seeds, by Student's t."""
    from scipy.stats import t

    return float(t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))
