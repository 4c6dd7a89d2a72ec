"""The log of a training run: rows of figures that write and draw themselves."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


@dataclass
class Log:
    """What a training run told of itself.

    Attributes
    ----------
    rows : one a report: ``step``, ``seconds``, ``lr``, the means since the last report of all that the objective
        gave, and ``validation`` where it was measured.
    steps : steps that were made.
    best, best_step : lowest validation loss and when; NaN and 0 without validation.
    stopped_early : whether patience ran out.
    seconds : wall time of all steps, those before a resume included.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    steps: int = 0
    best: float = float("nan")
    best_step: int = 0
    stopped_early: bool = False
    seconds: float = 0.0

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """``(step, value)`` of one figure, where it was told."""
        told = [(row["step"], row[name]) for row in self.rows if name in row]
        return np.array([t[0] for t in told]), np.array([t[1] for t in told])

    def write(self, folder: Path) -> None:
        """``log.csv`` and ``log.png`` in ``folder``, each replaced at once."""
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        with open(folder / "log.csv.part", "w", newline="", encoding="utf-8") as out:
            table = csv.DictWriter(out, names)
            table.writeheader()
            table.writerows({k: f"{v:.6g}" for k, v in row.items()} for row in self.rows)
        os.replace(folder / "log.csv.part", folder / "log.csv")
        self.draw(folder / "log.png")

    def draw(self, path: Path, width: int = 720, height: int = 400) -> None:
        """Loss and validation over the steps as a PNG."""
        from PIL import Image, ImageDraw

        image = Image.new("RGB", (width, height), "white")
        pen = ImageDraw.Draw(image)
        curves = {name: self.column(name) for name in ("loss", "validation")}
        curves = {k: (x[np.isfinite(y)], y[np.isfinite(y)]) for k, (x, y) in curves.items()}
        curves = {k: v for k, v in curves.items() if len(v[0])}
        left, right, top, bottom = 70, width - 20, 24, height - 44
        pen.rectangle((left, top, right, bottom), outline="#888888")
        if curves:
            every = np.concatenate([y for _, y in curves.values()])
            low, high = np.percentile(every, [0, 99])
            low, high = (low, high) if high > low else (low - 0.5, low + 0.5)
            last = max(float(x[-1]) for x, _ in curves.values()) or 1.0
            for share in np.linspace(0, 1, 5):
                y, x = bottom - share * (bottom - top), left + share * (right - left)
                pen.line((left, y, right, y), fill="#e0e0e0")
                pen.text((6, y - 6), f"{low + share * (high - low):.4g}", fill="#333333")
                pen.text((x - 14, bottom + 6), f"{share * last:.0f}", fill="#333333")
            for place, (name, colour) in enumerate((("loss", "#0072b2"), ("validation", "#d55e00"))):
                if name not in curves:
                    continue
                x, y = curves[name]
                across = left + x / last * (right - left)
                up = bottom - (np.clip(y, low, high) - low) / (high - low) * (bottom - top)
                points = list(zip(across.tolist(), up.tolist(), strict=True))
                pen.line(points, fill=colour, width=2) if len(points) > 1 else pen.point(points, fill=colour)
                pen.text((left + 10 + 90 * place, 6), name, fill=colour)
        pen.text((width // 2 - 10, height - 20), "step", fill="#333333")
        part = path.with_name(path.name + ".part")
        image.save(part, "PNG")
        os.replace(part, path)
