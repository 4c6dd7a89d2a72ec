"""A page of the mosaic without a browser: which rows stand on it, in which order, and their pictures as bytes."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow

from explorer.session import ranking, similar
from explorer.survey.records import Image
from kernels.layout.mosaic import sprite
from kernels.layout.stretch import HIGH, LOW, SOFTENING, default_colours, limits, stretch

if TYPE_CHECKING:
    from explorer.session.selection import Selection
    from explorer.survey.store import Survey

SORTS = ("rank", "nearest to focus", "random")
NEAREST = 2000  # rows that a walk by nearness reaches
CELL = 128  # pixels of a tile that is stretched from the cutout, at most


@dataclass(frozen=True)
class Look:
    """How cutouts become pictures. The default is how thumbnails are stored, and then nothing is computed.

    ``colours`` are positions of one to three bands, None for those that their names suggest; ``white`` is the
    percentile that becomes white; ``shared`` takes it over all cutouts of the page, not of each.
    """

    kind: str = "asinh"
    softening: float = SOFTENING
    white: float = HIGH
    shared: bool = False
    colours: tuple[int, ...] | None = None

    @property
    def stored(self) -> bool:
        """Whether the stored thumbnails look like this."""
        return self == Look()


@dataclass(frozen=True)
class Pictures:
    """Pictures of a page as one block of bytes.

    ``kind`` is ``"packed"``: JPEG files one after another, picture i at ``at[i]:at[i + 1]``, none where that is empty;
    or ``"sprite"``: one JPEG of square cells of ``cell`` pixels in ``columns``, those in ``absent`` left grey.
    """

    kind: str
    data: bytes
    at: tuple[int, ...] = ()
    cell: int = 0
    columns: int = 1
    absent: tuple[int, ...] = ()


def render_order(
    survey: Survey, selection: Selection, space: str, scorer: str, sort: str = "rank", focus: int = -1, seed: int = 0
) -> np.ndarray:
    """(m,) int64 rows of the whole mosaic in order: those of the selection, or all where nothing was selected by.

    ``nearest to focus`` puts the focus first and reaches :data:`NEAREST` rows by cosine distance in ``space``; a
    focus without a vector there raises ValueError.
    """
    if sort not in SORTS:
        raise ValueError(f"no order named {sort!r}. There are: {', '.join(SORTS)}.")
    rows = selection.rows if selection.active else None
    total = len(survey) if rows is None else len(rows)
    if sort == "random":
        shuffled = np.random.default_rng(seed).permutation(total)
        return shuffled if rows is None else rows[shuffled]
    if sort == "nearest to focus" and 0 <= focus < len(survey) and space:
        mask = selection.mask if selection.active else None
        found = similar.find(
            survey, space, np.array([focus]), np.empty(0, np.int64), max(1, min(NEAREST, total) - 1), mask
        )
        return np.asarray(found.index, dtype=np.int64)
    if selection.active and selection.ordered:
        return selection.order
    return np.asarray(ranking.page(survey, space, scorer, rows, None, 0, total), dtype=np.int64)


def render_pictures(survey: Survey, rows: np.ndarray, look: Look, pixels: int = CELL) -> Pictures:
    """The pictures of these rows, stored ones where ``look`` is the default, else stretched from the cutouts.

    ``pixels`` is the size at which a tile is shown; a sprite's cells are no larger than the largest cutout, and not
    much larger than that or than :data:`CELL`.
    """
    if look.stored:
        files = survey.thumbnails(rows)
        at = np.cumsum([0, *(len(f) if f else 0 for f in files)])
        return Pictures("packed", b"".join(f or b"" for f in files), tuple(int(a) for a in at))
    wanted = max(16, min(CELL, pixels))
    images = survey.images(rows, at_most=wanted)
    pictures = render_stretched(images, look, survey.modalities["image"].get("bands"))
    largest = max((max(p.shape[:2]) for p in pictures if p is not None), default=1)
    cell = largest if largest <= 1.5 * wanted else wanted  # a little too large costs less than to resize
    columns = max(1, math.isqrt(max(len(rows) - 1, 0)) + 1)
    whole = _stacked(pictures)
    picture = sprite(pictures if whole is None else whole, cell, columns)
    out = io.BytesIO()
    Pillow.fromarray(picture).save(out, "JPEG", quality=88, subsampling=0)
    absent = tuple(i for i, p in enumerate(pictures) if p is None)
    return Pictures("sprite", out.getvalue(), cell=cell, columns=columns, absent=absent)


def _stacked(pictures: Sequence[np.ndarray | None]) -> np.ndarray | None:
    shapes = {p.shape if p is not None else None for p in pictures}
    return np.stack([p for p in pictures if p is not None]) if len(shapes) == 1 and None not in shapes else None


def render_stretched(
    images: Sequence[Image | None], look: Look, bands: Sequence[str] | None
) -> list[np.ndarray | None]:
    """(h, w, 3) uint8 of each cutout, None for None; cutouts of one shape are stretched together."""
    groups: dict[tuple[int, ...], list[int]] = {}
    for i, image in enumerate(images):
        if image is not None:
            groups.setdefault(image.pixels.shape, []).append(i)
    together = {b: _pooled(images, b, look.white) for b in {s[0] for s in groups}} if look.shared else {}
    out: list[np.ndarray | None] = [None] * len(images)
    for shape, members in groups.items():
        block = np.stack([images[i].pixels for i in members])  # type: ignore[union-attr]
        names = list(bands) if bands is not None and len(bands) == shape[0] else None
        colours = look.colours if look.colours and max(look.colours) < shape[0] else None
        shown = stretch(
            block,
            look.kind,
            bands=names,
            colours=colours or default_colours(names or [str(i) for i in range(shape[0])]),
            softening=look.softening,
            high=look.white,
            between=together.get(shape[0]),
        )
        for i, picture in zip(members, shown, strict=True):
            out[i] = picture
    return out


def _pooled(images: Sequence[Image | None], bands: int, white: float) -> np.ndarray:
    """(1, bands, 2) limits over all cutouts that have this number of bands, from some 200,000 pixels of each."""
    flat = [i.pixels.reshape(bands, -1) for i in images if i is not None and len(i.pixels) == bands]
    step = sum(f.shape[1] for f in flat) // 200_000 | 1
    balanced = not any(i is not None and i.pixels.dtype == np.uint8 for i in images)
    pool = np.concatenate([f[:, ::step].astype(np.float32) for f in flat], axis=1)
    return limits(pool[None, :, None, :], LOW, white, balanced=balanced)


def score_text(score: float) -> str:
    """A score as it stands on a tile: three digits, '' where there is none.

    >>> score_text(0.61839), score_text(float("inf")), score_text(float("nan")), score_text(-12.0)
    ('0.618', '∞', '', '−12.0')
    """
    if score != score:
        return ""
    return "∞" if math.isinf(score) else f"{score:#.3g}".rstrip(".").replace("-", "−")


def render_tiles(session: Any, rows: np.ndarray) -> list[dict[str, Any]]:
    """What is written on each tile: ``id``, ``rank`` (None where there is none), ``pct``, ``score``, ``mark``.

    Plain text: the component writes it as text, never as markup.
    """
    table = session.ranking_of(rows)
    ranks = [None if missing else int(r) for r, missing in zip(table["rank"], table["rank"].isna(), strict=True)]
    return [
        {"id": i, "rank": r, "pct": None if p != p else round(float(p), 2), "score": score_text(s), "mark": m}
        for i, r, p, s, m in zip(table["id"], ranks, table["percentile"], table["score"], table["mark"], strict=True)
    ]
