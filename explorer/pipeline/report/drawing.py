"""How the report's figures look: one palette that colour-blind readers can part, light paper, few lines."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#6B6B6B", "#9A6324", "#4B0082")
GREY, LIGHT, INK = "#6b7280", "#e5e7eb", "#1f2937"


def figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches, that no window and no global state knows."""
    return Figure(figsize=(width, height), layout="constrained")


def plain(axes: Any, title: str = "", x: str = "", y: str = "") -> None:
    """Titles and quiet axes."""
    axes.set_title(title, fontsize=9.5, color=INK, loc="left")
    axes.set_xlabel(x, fontsize=8.5, color=GREY)
    axes.set_ylabel(y, fontsize=8.5, color=GREY)
    axes.tick_params(labelsize=8, colors=GREY, length=2.5)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(LIGHT)


def bare(axes: Any, title: str = "") -> None:
    """A panel that holds a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(LIGHT)
    axes.set_title(title, fontsize=8.5, color=INK, loc="left")


def heat(axes: Any, values: np.ndarray, rows: list[str], columns: list[str], low: float, high: float, form: str) -> Any:
    """A matrix with its numbers written in; NaN stays white."""
    shown = axes.imshow(values, vmin=low, vmax=high, cmap="cividis", aspect="auto")
    axes.set_xticks(range(len(columns)), columns, rotation=35, ha="right", fontsize=8)
    axes.set_yticks(range(len(rows)), rows, fontsize=8)
    axes.tick_params(length=0, colors=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    for i in range(values.shape[0]):
        for j in range(values.shape[1]):
            if np.isfinite(values[i, j]):
                dark = (values[i, j] - low) / max(high - low, 1e-12) < 0.55
                axes.text(j, i, form.format(values[i, j]), ha="center", va="center", fontsize=7.5,
                          color="white" if dark else "black")  # fmt: skip
    return shown


def thumbnail(data: bytes | None) -> np.ndarray:
    """(h, w, 3) uint8 of a stored thumbnail; grey where there is none."""
    if data is None:
        return np.full((64, 64, 3), 40, np.uint8)
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
