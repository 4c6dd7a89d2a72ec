"""The catalogue's own columns as a space, for a survey that has nothing else, and as a baseline where it has more."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from kernels.embedding.batches import Batch, Columns


class ColumnVectors:
    """Each column by its median and half the width of its middle: robust, and comparable across units.

    A column whose values are all above 0 and span more than a factor of 100 between the 5th and the 95th percentile is
    taken as its logarithm. Then z = (x - median) / (interquartile range / 1.349), compressed to arcsinh(z), so that a
    broken value cannot rule the space. A missing value is the median: 0. Columns that do not vary are left out.

    Parameters
    ----------
    modality : ``"columns"``.
    random_state, device : unused; nothing is drawn.

    Attributes
    ----------
    names_ : list of the columns kept. ``centre_``, ``scale_`` (c,) float64; ``log_`` (c,) bool.
    """

    name = "columns"
    modalities = ("columns",)
    fit_rows = 100_000

    def __init__(self, modality: str = "columns", random_state: int = 0, device: str | None = None):
        if modality not in self.modalities:
            raise ValueError(f"the columns encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.random_state, self.device = modality, random_state, device

    @property
    def dim(self) -> int:
        """Width of the vectors, known after ``fit``."""
        return len(self.names_)

    def fit(self, batches: Iterable[Batch]) -> ColumnVectors:
        """Find centre and scale of every column; returns self."""
        held = [_columns(b) for b in batches]
        if not held or not sum(len(b) for b in held):
            raise ValueError("columns needs at least one row to fit on")
        values = np.concatenate([b.values for b in held]).astype(np.float64)
        self.names_, centre, scale, logs = [], [], [], []
        for name, column in zip(held[0].names, values.T, strict=True):
            good = column[np.isfinite(column)]
            if len(good) < 2 or good.min() == good.max():
                continue
            low, high = np.percentile(good, [5, 95])
            wide = bool(good.min() > 0 and high > 100 * low)
            good = np.log10(good) if wide else good
            quarter, middle, three = np.percentile(good, [25, 50, 75])
            self.names_.append(name)
            centre.append(middle)
            scale.append((three - quarter) / 1.349 if three > quarter else good.std())
            logs.append(wide)
        if not self.names_:
            raise ValueError(f"none of the columns {', '.join(held[0].names) or '(none)'} varies: nothing to compare")
        self.centre_, self.scale_, self.log_ = np.array(centre), np.array(scale), np.array(logs, bool)
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, dim) float32."""
        given = _columns(batch)
        missing = [n for n in self.names_ if n not in given.names]
        if missing:
            raise ValueError(f"columns was fitted on {', '.join(missing)}, which the table lacks")
        values = given.values[:, [given.names.index(n) for n in self.names_]].astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            values = np.where(self.log_, np.log10(np.where(values > 0, values, np.nan)), values)
        z = np.arcsinh((values - self.centre_) / self.scale_)
        return np.where(np.isfinite(z), z, 0.0).astype(np.float32)

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """There is one modality, so the joint vectors are its own."""
        return next(iter(vectors.values()))

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays, as they are saved; names as UTF-8 bytes, one a line."""
        names = np.frombuffer("\n".join(self.names_).encode(), dtype=np.uint8)
        return {"names_": names, "centre_": self.centre_, "scale_": self.scale_, "log_": self.log_.astype(np.uint8)}

    def load_state(self, state: dict[str, np.ndarray]) -> ColumnVectors:
        """Take back what :meth:`state` gave; returns self."""
        self.names_ = np.asarray(state["names_"], np.uint8).tobytes().decode().split("\n")
        self.centre_, self.scale_ = np.asarray(state["centre_"]), np.asarray(state["scale_"])
        self.log_ = np.asarray(state["log_"]).astype(bool)
        return self


def _columns(batch: Batch) -> Columns:
    if not isinstance(batch, Columns):
        raise ValueError(f"the columns encoder is given {type(batch).__name__}")
    return batch
