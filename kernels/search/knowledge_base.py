"""A knowledge base: vectors with what is known of them, linked by id to the catalogue they came from (P1.3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kernels.search import _files
from kernels.search._rows import as_matrix, check_metric
from kernels.search.calibration import conformal_factor, weighted_quantile
from kernels.search.neighbours import METHODS, Found, Neighbours
from kernels.search.votes import DEFAULT, K, Votes, text_labels, vote, weights

Columns = dict[str, np.ndarray]
_KIND = "knowledge base"


class KnowledgeBase:
    """Vectors of one space, their metadata, and the votes of the nearest of them.

    Parameters
    ----------
    metric : exact L2 by default, as in P1.3; see :class:`kernels.search.Neighbours`.
    method : ``"exact"``, ``"auto"``, ``"hnsw"``, … of the neighbour engine; the engine says its measured recall.
    recall : the recall that an approximate method is tuned to.
    space : name of the space of the vectors, as ``galspec/spectrum``; queries that name another are refused.
    seed : of approximate methods and of the sample that distances are judged on.
    weights : digest of the encoder's weights, so that vectors of a space of the same name that another encoder made
        are told from these; "" where it is not known.

    Attributes
    ----------
    vectors_ : (n, d) float32. ``ids_``, ``objects_``, ``sources_`` : (n,) text: the row, the thing observed (several
    rows may share it: it never votes on itself), and the catalogue they came from.
    columns_ : name → (n,) float64 (NaN unknown) or text ("" unknown).

    >>> kb = KnowledgeBase().fit(np.eye(3), {"class": ["a", "b", ""]}, ids=["x", "y", "z"])
    >>> kb.vote(np.eye(3)[:1], "class", k=1).label.tolist()
    ['a']
    """

    def __init__(
        self,
        metric: str = "euclidean",
        method: str = "auto",
        recall: float = 0.99,
        *,
        space: str = "",
        seed: int = 0,
        weights: str = "",
    ):
        check_metric(metric)
        if method not in METHODS:
            raise ValueError(f"method={method!r} is unknown: choose one of {', '.join(METHODS)}")
        self.metric, self.method, self.recall, self.space, self.seed = metric, method, recall, space, seed
        self.weights = weights

    def fit(
        self, X: Any, columns: Mapping[str, Any], ids: Any = None, objects: Any = None, sources: Any = ""
    ) -> KnowledgeBase:
        """Take vectors ``X`` (n, d) with ``columns`` of n values each. Rows that are not finite are left out.

        ``ids`` are the rows' places by default, ``objects`` the ids, ``sources`` one name for all or one for each.
        """
        matrix = as_matrix(X).astype(np.float32)
        n = len(matrix)
        names = text_labels(np.arange(n).astype(str) if ids is None else ids)
        things = names if objects is None else text_labels(objects)
        where = np.full(n, sources) if isinstance(sources, str) else text_labels(sources)
        table = {str(name): _column(str(name), values, n) for name, values in columns.items()}
        for what, values in (("ids", names), ("objects", things), ("sources", where)):
            if len(values) != n:
                raise ValueError(f"{len(values)} {what} for {n} vectors: give one for each")
        names_seen, count = np.unique(names, return_counts=True)
        if (count > 1).any():
            raise ValueError(f"the id {str(names_seen[count > 1][0])!r} occurs {count.max()} times: ids are unique")
        good = np.isfinite(matrix).all(axis=1)
        self.left_out_ = names[~good].tolist()
        self.vectors_, self.ids_, self.objects_, self.sources_ = matrix[good], names[good], things[good], where[good]
        self.columns_ = {name: values[good] for name, values in table.items()}
        self._forget()
        return self

    def _forget(self) -> None:
        self._indices: dict[str, tuple[np.ndarray, Neighbours]] = {}
        self._held_out: dict[tuple[str, int], Found] = {}

    def __len__(self) -> int:
        return len(self.vectors_)

    def __repr__(self) -> str:
        return f"<KnowledgeBase of {len(self):,} in {self.space or 'an unnamed space'}: {', '.join(self.columns_)}>"

    @property
    def dim(self) -> int:
        """Numbers in a vector."""
        return self.vectors_.shape[1]

    def classes(self, column: str) -> dict[str, int]:
        """Classes of a column and how many entries have each, unknown left out."""
        labels = self.labels(column)
        found, count = np.unique(labels[labels != ""], return_counts=True)
        return dict(zip(found.tolist(), count.tolist(), strict=True))

    def labels(self, column: str) -> np.ndarray:
        """(n,) a column as text, "" where unknown."""
        return text_labels(self._of(column))

    # -- growing --------------------

    def grow(
        self, X: Any, columns: Mapping[str, Any], ids: Any, objects: Any = None, sources: Any = ""
    ) -> KnowledgeBase:
        """Add entries; columns that either side lacks are unknown there. An id that is there already is refused."""
        more = self._empty()
        return self.merge(more.fit(X, columns, ids, objects, sources))

    def merge(self, other: KnowledgeBase) -> KnowledgeBase:
        """Take the entries of another knowledge base of the same space in; returns self."""
        if len(self) and len(other) and self.dim != other.dim:
            raise ValueError(f"vectors of {other.dim} numbers cannot join those of {self.dim}: use one space")
        if self.space and other.space and self.space != other.space:
            raise ValueError(f"entries of the space {other.space} cannot join those of {self.space}")
        self._same_weights(other.weights, "the entries that should join it")
        both = np.intersect1d(self.ids_, other.ids_)
        if len(both):
            raise ValueError(f"{len(both)} ids are in both, {str(both[0])!r} first: an entry is kept once")
        n, m = len(self), len(other)
        for name in {*self.columns_, *other.columns_}:
            a, b = self.columns_.get(name), other.columns_.get(name)
            if a is not None and b is not None and a.dtype.kind != b.dtype.kind:
                a, b = text_labels(a), text_labels(b)
            self.columns_[name] = np.concatenate(
                [_unknown(b, n) if a is None else a, _unknown(a, m) if b is None else b]
            )
        self.vectors_ = np.concatenate([self.vectors_, other.vectors_]) if n else other.vectors_
        for name in ("ids_", "objects_", "sources_"):
            setattr(self, name, np.concatenate([getattr(self, name), getattr(other, name)]))
        self.space, self.weights = self.space or other.space, self.weights or other.weights
        self._forget()
        return self

    def _empty(self) -> KnowledgeBase:
        """One like it, not fitted."""
        return KnowledgeBase(
            self.metric, self.method, self.recall, space=self.space, seed=self.seed, weights=self.weights
        )

    def _same_weights(self, weights: str, what: str) -> None:
        if weights and self.weights and weights != self.weights:
            raise ValueError(
                f"{what} were embedded with weights {weights[:12]}… and the knowledge base with {self.weights[:12]}…: "
                "their vectors cannot be compared, embed both with one encoder"
            )

    def subset(self, rows: Any) -> KnowledgeBase:
        """A knowledge base of some entries: a (n,) mask or places."""
        out = self._empty()
        columns = {name: values[rows] for name, values in self.columns_.items()}
        return out.fit(self.vectors_[rows], columns, self.ids_[rows], self.objects_[rows], self.sources_[rows])

    # -- asking --------------------

    def query(
        self, Q: Any, k: int = K, *, objects: Any = None, known: str = "", space: str = "", weights: str = ""
    ) -> Found:
        """The k nearest entries of each query (m, d): distances (m, k) and rows (m, k), NaN and -1 beyond the last.

        Entries of the same thing as the query (``objects`` (m,) text) are left out. With ``known`` only entries where
        that column is known are searched. ``space`` and ``weights`` of the queries are checked where they are told.
        """
        if int(k) != k or k < 1:
            raise ValueError(f"k={k!r}: ask for one neighbour or more")
        if not len(self):
            raise ValueError("the knowledge base is empty: fit it on labelled vectors, or grow it")
        matrix = as_matrix(Q, "Q")
        if matrix.shape[1] != self.dim or (space and self.space and space != self.space):
            raise ValueError(
                f"the queries are of {space or 'a space'} with {matrix.shape[1]} numbers, the knowledge base is of "
                f"{self.space or 'a space'} with {self.dim}: embed the queries with the encoder of the knowledge base"
            )
        self._same_weights(weights, "the queries")
        rows, index = self._index(known)
        own = None if objects is None else text_labels(objects)
        spare = 0 if own is None else self._most_alike(rows)
        distance, found = index.query(matrix, min(k + spare, len(rows)))
        found = np.where(found >= 0, rows[np.maximum(found, 0)], -1)
        if own is not None:
            same = (self.objects_[np.maximum(found, 0)] == own[:, None]) & (found >= 0)
            order = np.argsort(same, axis=1, kind="stable")
            distance = np.take_along_axis(np.where(same, np.nan, distance), order, 1)
            found = np.take_along_axis(np.where(same, -1, found), order, 1)
        return _wide(distance[:, :k], k, np.nan), _wide(found[:, :k], k, -1)

    def held_out(self, column: str, k: int = K) -> Found:
        """Each entry's k nearest entries of other things where ``column`` is known: votes to learn weights from."""
        if (column, k) not in self._held_out:
            self._held_out[column, k] = self.query(self.vectors_, k, objects=self.objects_, known=column)
        return self._held_out[column, k]

    def tau(self, column: str) -> float:
        """The scale of distances: the median from an entry to its nearest of another thing; 1 where that is 0."""
        values = self._of(column)
        known = np.isfinite(values) if values.dtype.kind == "f" else values != ""
        nearest = self.held_out(column, 1)[0][known, 0]
        found = float(np.nanmedian(nearest)) if np.isfinite(nearest).any() else 0.0
        return found if found > 0 else 1.0

    def reach(self, column: str, share: float = 0.995) -> float:
        """The distance within which a share of the entries have a labelled neighbour: beyond it nothing is near."""
        nearest = self.held_out(column, 1)[0][:, 0]
        return float(np.nanquantile(nearest, share)) if np.isfinite(nearest).any() else float("inf")

    def vote(
        self,
        Q: Any,
        column: str,
        k: int = K,
        weighting: str = DEFAULT,
        *,
        objects: Any = None,
        tau: float | None = None,
        smoothing: float = 0.0,
        reach: float | None = None,
        space: str = "",
    ) -> Votes:
        """Verdicts on the queries by the k nearest entries whose ``column`` is known (P1.4); all vote if fewer.

        Distances are divided by ``tau``, the knowledge base's own scale unless told (:meth:`tau`): of the raw distances
        of a wide space every weighting but the even one gives the nearest all the weight, or all the same. P1.4 takes
        them raw: ``tau=1``.
        """
        distance, rows = self.query(Q, k, objects=objects, known=column, space=space)
        tau = self.tau(column) if tau is None else tau
        return vote(distance, rows, self.labels(column), weighting, tau=tau, smoothing=smoothing, reach=reach)

    def estimate(
        self, Q: Any, column: str, k: int = 10, level: float = 0.68, *, objects: Any = None, space: str = ""
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(value, low, high), each (m,): a number such as the redshift by retrieval, with an interval (P1.10).

        The weighted median of the k nearest entries (softmax(-x/τ), τ the median distance to the nearest). The
        interval is half the neighbours' 16-84 % range, widened by the factor that makes it hold a share ``level`` of
        the knowledge base's own held-out values (:func:`kernels.search.calibration.conformal_factor`). It ends at 0
        where no entry is below: a redshift, a mass or a rate is not negative.
        """
        values = self._of(column)
        if values.dtype.kind != "f":
            raise ValueError(f"{column} holds text: a value is estimated from numbers; vote on text instead")
        held = self.held_out(column, k)
        tau = self.tau(column)
        own, spread = _answer(*held, values, tau)
        floor = max(1e-3 * float(np.nanmedian(np.abs(values))), 0.2 * float(np.nanmedian(spread)), 1e-9)
        factor = conformal_factor(own - values, np.maximum(spread, floor), level)
        found, spread = _answer(*self.query(Q, k, objects=objects, known=column, space=space), values, tau)
        half = factor * np.maximum(spread, floor)
        low = found - half
        return found, np.maximum(low, 0.0) if np.nanmin(values) >= 0 else low, found + half

    def _of(self, column: str) -> np.ndarray:
        if column not in self.columns_:
            raise ValueError(
                f"the knowledge base has no column {column!r}. It has: {', '.join(self.columns_) or 'none'}"
            )
        return self.columns_[column]

    def _index(self, known: str) -> tuple[np.ndarray, Neighbours]:
        if known not in self._indices:
            if known:
                values = self._of(known)
                rows = np.flatnonzero(np.isfinite(values) if values.dtype.kind == "f" else values != "")
                if not len(rows):
                    raise ValueError(f"no entry of the knowledge base has a known {known}: nobody can vote on it")
            else:
                rows = np.arange(len(self))
            index = Neighbours(self.metric, self.method, self.recall, seed=self.seed).fit(self.vectors_[rows])
            self._indices[known] = rows, index
        return self._indices[known]

    def _most_alike(self, rows: np.ndarray) -> int:
        """The largest number of entries that share one thing."""
        return int(np.unique(self.objects_[rows], return_counts=True)[1].max())

    # -- keeping --------------------

    def save(self, path: str | Path) -> None:
        """Write a folder of plain arrays and ``index.json``; a knowledge base there is replaced once all is written."""
        arrays = {"vectors": self.vectors_, "ids": self.ids_, "objects": self.objects_, "sources": self.sources_}
        arrays |= {f"column{i}": values for i, values in enumerate(self.columns_.values())}
        about = {
            "key": _KIND, "metric": self.metric, "method": self.method, "recall": self.recall, "space": self.space,
            "seed": self.seed, "weights": self.weights, "n": len(self), "columns": list(self.columns_),
        }  # fmt: skip
        _files.write_index(Path(path), about, arrays)

    @classmethod
    def load(cls, path: str | Path) -> KnowledgeBase:
        """Read what :meth:`save` wrote; damage is named. Nothing in the files is executed."""
        about, arrays = _files.read_index(Path(path), _KIND)
        told = {key: about[key] for key in ("space", "seed", "weights") if key in about}
        out = cls(about["metric"], about["method"], about["recall"], **told)
        columns = {name: arrays[f"column{i}"] for i, name in enumerate(about["columns"])}
        return out.fit(arrays["vectors"], columns, arrays["ids"], arrays["objects"], arrays["sources"])


def _column(name: str, values: Any, n: int) -> np.ndarray:
    """(n,) float64 where the values are numbers, else text."""
    array = np.asarray(values)
    if array.shape != (n,):
        raise ValueError(f"the column {name} has shape {array.shape} for {n} vectors: give one value for each")
    if array.dtype.kind in "fiu":
        return array.astype(np.float64)
    return text_labels(array)


def _unknown(like: np.ndarray | None, n: int) -> np.ndarray:
    return np.full(n, np.nan) if like is not None and like.dtype.kind == "f" else np.full(n, "")


def _wide(values: np.ndarray, k: int, fill: float) -> np.ndarray:
    return np.pad(values, ((0, 0), (0, k - values.shape[1])), constant_values=fill)


def _answer(distance: np.ndarray, rows: np.ndarray, values: np.ndarray, tau: float) -> tuple[np.ndarray, np.ndarray]:
    """Weighted median (m,) and half the 16-84 % range (m,) of the neighbours' values."""
    near = np.where(rows >= 0, values[np.maximum(rows, 0)], np.nan)
    w = weights(np.where(np.isfinite(near), distance, np.nan), "softmax(-x)", tau)
    low, middle, high = (weighted_quantile(near, w, share) for share in (0.16, 0.5, 0.84))
    return middle, (high - low) / 2
