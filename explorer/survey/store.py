"""A survey on disk: one Lance dataset, read column by column and row by row.

Everything that is read is kept once per process, whoever asks; see ``Survey.open``.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lance
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from explorer.survey import arrays, payload, schema
from explorer.survey.files import SurveyError, now, read_meta, write_meta, writer_lock
from explorer.survey.records import Events, Image, Spectrum, XSpectrum
from explorer.survey.writer import SurveyWriter
from kernels.registry import UnknownName
from kernels.scoring.ranks import percentile, rank

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Survey", "SurveyError", "SurveyWriter"]

_open: dict[Path, Survey] = {}
_open_lock = threading.Lock()


class Survey:
    """A survey that lies in a folder. Use :meth:`open`: it gives every caller in the process the same object.

    Rows are positions 0…n-1 in the present version; ids are strings and stay. Arrays that are handed out are
    shared and read-only.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser().resolve()
        self.meta = read_meta(self.path)
        found = int(self.meta.get("format_version", 0))
        if found > schema.FORMAT_VERSION:
            raise SurveyError(
                f"{self.path} has format {found} and this version reads up to {schema.FORMAT_VERSION}: "
                "update astro-explorer"
            )
        try:
            self._dataset = lance.dataset(str(self.path / "objects.lance"))
        except (ValueError, OSError) as error:
            raise SurveyError(f"{self.path}/objects.lance cannot be opened ({error}). Ingest again") from error
        self._cache: dict[Any, Any] = {}
        self._lock = threading.RLock()

    @classmethod
    def open(cls, path: str | Path) -> Survey:
        """The survey in that folder, the same object for every caller of the process."""
        real = Path(path).expanduser().resolve()
        with _open_lock:
            known = _open.get(real)
            if known is None or read_meta(real).get("uid") != known.meta.get("uid"):  # a survey made anew is another
                known = _open[real] = cls(real)
            else:
                known.refresh()
            return known

    def __repr__(self) -> str:
        kinds, spaces = ", ".join(self.modalities) or "catalogue only", ", ".join(self.spaces) or "none"
        return f"<Survey {self.name!r}: {len(self)} rows, {kinds}, spaces: {spaces}>"

    # -- what there is --------------------

    @property
    def name(self) -> str:
        """The survey's name."""
        return str(self.meta.get("name", self.path.name))

    @property
    def version(self) -> int:
        """Number of the dataset's version that is read."""
        return self._dataset.version

    @property
    def schema(self) -> pa.Schema:
        """The dataset's Arrow schema."""
        return self._dataset.schema

    def __len__(self) -> int:
        return self._cached(("len", self.version), self._dataset.count_rows)

    @property
    def modalities(self) -> dict[str, dict[str, Any]]:
        """Modality → what is known of it: ``bands``, ``pixel_scale`` (arcsec), ``zero_point`` (AB mag)…"""
        return {k: v for k, v in self.meta.get("modalities", {}).items() if f"has:{k}" in self.schema.names}

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """Catalogue column → its Arrow type."""
        return {f.name: f.type for f in schema.catalogue_fields(self.schema)}

    @property
    def units(self) -> dict[str, str]:
        """Catalogue column → its unit, where one is known."""
        found = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in schema.catalogue_fields(self.schema)}
        return {k: v for k, v in found.items() if v}

    @property
    def spaces(self) -> list[str]:
        """Names of the spaces, ``encoder/modality``."""
        return [names[0] for names in schema.derived(self.schema, "space")]

    def layouts(self, space: str) -> list[str]:
        """Names of the layouts of a space."""
        return [n for s, n in schema.derived(self.schema, "layout") if s == space]

    def scores(self, space: str) -> list[str]:
        """Names of the scorers that scored a space."""
        return [n for s, n in schema.derived(self.schema, "score") if s == space]

    def provenance(self, column: str) -> dict[str, Any]:
        """What is recorded of the step that made a derived column, such as ``space:pca/image``."""
        return schema.provenance(self.schema.field(column))

    def refresh(self) -> bool:
        """Go on to the newest version on disk; True if there was a newer one."""
        with self._lock:
            if self._dataset.latest_version == self._dataset.version:
                return False
            self._dataset = lance.dataset(str(self.path / "objects.lance"))
            self.meta = read_meta(self.path)
            kept = {self._key(name) for name in self.schema.names}
            self._cache = {k: v for k, v in self._cache.items() if k[-1] in kept}
            return True

    # -- rows and ids --------------------

    @property
    def ids(self) -> np.ndarray:
        """(n,) str, the rows' ids."""
        return self._cached_column("id", arrays.names)

    @property
    def object_ids(self) -> np.ndarray:
        """(n,) str, the ids of the things observed."""
        return self._cached_column("object_id", arrays.names)

    def ids_of(self, rows: Sequence[int] | np.ndarray) -> list[str]:
        """The ids of these rows."""
        return self._arrow("id").take(pa.array(np.asarray(rows, dtype=np.int64))).to_pylist()

    def rows_of(self, ids: Iterable[object]) -> np.ndarray:
        """(m,) int64 positions of these ids, in their order; :class:`UnknownName` names the first one missing."""
        wanted, held = pa.array([str(i) for i in ids], pa.string()), self._arrow("id")
        if len(wanted) <= 20:  # a scan for each costs less than a table of all ids: a click must not wait
            found = [pc.index(held, one).as_py() for one in wanted]
            places = pa.array([None if at < 0 else at for at in found], pa.int64())
        else:
            places = pc.index_in(wanted, value_set=held)
        if places.null_count:
            missing = wanted[pc.index(places.is_null(), True).as_py()].as_py()
            raise UnknownName(
                "id",
                missing,
                self.ids_of(range(min(len(self), 3))),
                f"The survey {self.name} has {len(self)}.",
            )
        return places.to_numpy().astype(np.int64)

    def has(self, modality: str) -> np.ndarray:
        """(n,) bool, the rows that have this modality."""
        self._known("modality", modality, list(self.modalities))
        return self._cached_column(f"has:{modality}", arrays.values)

    # -- the catalogue --------------------

    def column(self, name: str) -> np.ndarray:
        """(n,) values of a catalogue column: numbers (NaN for null), booleans, or objects (str, or int, and None)."""
        if name in ("id", "object_id"):
            return self.ids if name == "id" else self.object_ids
        self._known("column", name, list(self.columns))
        return self._cached_column(name, arrays.values)

    def table(self, rows: np.ndarray | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """The catalogue of these rows (all, where None) as a frame, with ``id`` first."""
        names = list(self.columns) if columns is None else [c for c in columns if c != "id"]
        for name in names:
            self._known("column", name, ["object_id", *self.columns])
        return arrays.frame(self._take(rows, ["id", *names]))

    # -- modalities --------------------

    def images(self, rows: Sequence[int] | np.ndarray, at_most: int | None = None) -> list[Image | None]:
        """Cutouts of these rows, None where there is none; ``at_most`` lets a large JPEG be read at reduced size."""
        if "image" not in self.modalities:
            return [None] * len(rows)
        data = self._take(rows, ["image"])["image"].to_pylist()
        return [None if d is None else payload.decode_image(d, at_most) for d in data]

    def spectra(self, rows: Sequence[int] | np.ndarray) -> list[Spectrum | None]:
        """Spectra of these rows, None where there is none."""
        if "spectrum" not in self.modalities:
            return [None] * len(rows)
        got = self._take(rows, ["spectrum", "spectrum:grid"]).to_pylist()
        return [
            None if g["spectrum"] is None else payload.decode_spectrum(g["spectrum"], g["spectrum:grid"]) for g in got
        ]

    def thumbnails(self, rows: Sequence[int] | np.ndarray) -> list[bytes | None]:
        """JPEG thumbnails of these rows with the default stretch, None where there is no image."""
        if "image" not in self.modalities:
            return [None] * len(rows)
        return self._take(rows, ["thumbnail"])["thumbnail"].to_pylist()

    def image(self, row: int) -> Image | None:
        """The cutout of one row."""
        return self.images([row])[0]

    def spectrum(self, row: int) -> Spectrum | None:
        """The spectrum of one row."""
        return self.spectra([row])[0]

    def event_lists(self, rows: Sequence[int] | np.ndarray) -> list[Events | None]:
        """The X-ray events of these rows, None where there are none."""
        if "events" not in self.modalities:
            return [None] * len(rows)
        data = self._take(rows, ["events"])["events"].to_pylist()
        return [None if d is None else payload.decode_events(d) for d in data]

    def xspectra(self, rows: Sequence[int] | np.ndarray) -> list[XSpectrum | None]:
        """The X-ray spectra of these rows, None where there is none."""
        if "xspectrum" not in self.modalities:
            return [None] * len(rows)
        got = self._take(rows, ["xspectrum", "xspectrum:response"]).to_pylist()
        return [
            None if g["xspectrum"] is None else payload.decode_xspectrum(g["xspectrum"], g["xspectrum:response"])
            for g in got
        ]

    def events(self, row: int) -> Events | None:
        """The X-ray events of one row."""
        return self.event_lists([row])[0]

    def xspectrum(self, row: int) -> XSpectrum | None:
        """The X-ray spectrum of one row."""
        return self.xspectra([row])[0]

    def text(self, row: int) -> str | None:
        """The text of one row."""
        return self._one(row, "text", "text")

    def texts(self, rows: Sequence[int] | np.ndarray | None = None) -> list[str | None]:
        """The texts of these rows (all, where None), None where there is none."""
        self._known("modality", "text", list(self.modalities))
        return self._take(rows, ["text"])["text"].to_pylist()

    # -- spaces, scores, layouts --------------------

    def embedding(self, space: str) -> np.ndarray:
        """(n, d) float32 vectors of a space; NaN rows where an object lacks the modality."""
        self._known("space", space, self.spaces)
        return self._cached_column(f"space:{space}", arrays.matrix)

    def layout(self, space: str, name: str = "umap") -> np.ndarray:
        """(n, 2) float32 positions; NaN where missing."""
        self._known("layout", name, self.layouts(space))
        return self._cached_column(f"layout:{space}:{name}", arrays.matrix)

    def score(self, space: str, scorer: str) -> np.ndarray:
        """(n,) float64, higher is more anomalous; NaN where missing, infinite where the scorer gave no number."""
        self._known_score(space, scorer)
        return self._cached_column(f"score:{space}:{scorer}", arrays.values)

    def rank(self, space: str, scorer: str) -> np.ndarray:
        """(n,) int64, 1 for the most anomalous, 0 where missing."""
        self._known_score(space, scorer)
        return self._cached_column(f"rank:{space}:{scorer}", arrays.places)

    def percentile(self, space: str, scorer: str) -> np.ndarray:
        """(n,) float64 in (0, 100], high is anomalous; NaN where missing."""
        places = self.rank(space, scorer)
        key = self._key(f"rank:{space}:{scorer}")
        return self._cached(("percentile", key), lambda: arrays.frozen(percentile(places)))

    def put_embedding(self, space: str, vectors: np.ndarray, provenance: dict[str, Any] | None = None) -> None:
        """Store (n, d) vectors as a space, one atomic version; rows with a NaN are stored as missing."""
        if space.count("/") != 1 or ":" in space:
            raise ValueError(f"a space is named encoder/modality, not {space!r}")
        self._put({f"space:{space}": arrays.fixed(self._checked(vectors, 2))}, provenance, "embed")

    def put_layout(self, space: str, name: str, xy: np.ndarray, provenance: dict[str, Any] | None = None) -> None:
        """Store (n, 2) positions as a layout of a space; rows with a NaN are stored as missing."""
        self._put({f"layout:{space}:{name}": arrays.fixed(self._checked(xy, 2))}, provenance, "lay out")

    def put_score(
        self, space: str, scorer: str, scores: np.ndarray, provenance: dict[str, Any] | None = None,
        missing: np.ndarray | None = None,
    ) -> None:  # fmt: skip
        """Store (n,) scores and their ranks. Rows that the space lacks are null; other non-finite scores rank first.

        ``missing`` (n,) bool says which rows are null where it is not the space that tells, as for a mismatch that
        needs a catalogue column.
        """
        values = self._checked(scores, 1).astype(np.float64)
        if missing is None:
            missing = np.isnan(self.embedding(space)).any(axis=1) if space in self.spaces else np.isnan(values)
        strange = ~missing & ~np.isfinite(values)
        told = {**(provenance or {}), "non_finite": int(strange.sum())}
        columns = {
            f"score:{space}:{scorer}": pa.array(np.where(strange, np.inf, values), mask=missing),
            f"rank:{space}:{scorer}": pa.array(rank(values, missing).astype(np.int32), mask=missing),
        }
        self._put(columns, told, "score")

    def prepare(self, **options: Any) -> list[Any]:
        """Embed, score and lay out this survey with progress shown: :func:`explorer.prepare` of it."""
        import explorer

        return explorer.prepare(self, **options)

    # -- inside --------------------

    @property
    def cache_dir(self) -> Path:
        """Folder for what can be rebuilt; name files in it by ``version``."""
        folder = self.path / "cache"
        folder.mkdir(exist_ok=True)
        return folder

    def _checked(self, values: np.ndarray, dims: int) -> np.ndarray:
        values = np.asarray(values)
        if values.ndim != dims or len(values) != len(self):
            raise ValueError(
                f"an array of {dims} dimension(s) and {len(self)} rows is needed, not of shape {values.shape}"
            )
        return values

    def _put(self, columns: dict[str, pa.Array], told: dict[str, Any] | None, step: str) -> None:
        record = json.dumps({"step": step, "time": now(), **(told or {})}, default=str)
        fields = [pa.field(n, a.type, metadata={"provenance": record}) for n, a in columns.items()]
        table = pa.table(list(columns.values()), schema=pa.schema(fields))
        with writer_lock(self.path, step, wait=60):
            dataset = lance.dataset(str(self.path / "objects.lance"))
            if dataset.count_rows() != table.num_rows:
                raise SurveyError(f"{self.path} has gained rows while {step} ran: run prepare again")
            old = [name for name in columns if name in dataset.schema.names]
            if old:
                dataset.drop_columns(old)
            dataset.add_columns(table.to_reader())
            self.refresh()
            made = [{"column": f.name, **schema.provenance(f)} for f in self.schema if schema.provenance(f)]
            self.meta["steps"] = [s for s in self.meta.get("steps", []) if s.get("step") == "ingest"] + made
            write_meta(self.path, self.meta)

    def _known(self, kind: str, name: str, known: list[str]) -> None:
        if name not in known:
            raise UnknownName(kind, name, known, f"(survey {self.name})")

    def _known_score(self, space: str, scorer: str) -> None:
        self._known("space", space, self.spaces)
        self._known("score", scorer, self.scores(space))

    def _take(self, rows: Sequence[int] | np.ndarray | None, columns: list[str]) -> pa.Table:
        if rows is None:
            return self._dataset.to_table(columns=columns)
        wanted = np.asarray(rows, dtype=np.int64)
        if len(wanted) and not (wanted.min() >= 0 and wanted.max() < len(self)):
            raise IndexError(
                f"rows of survey {self.name} are 0 to {len(self) - 1}, not {wanted.min()} to {wanted.max()}"
            )
        return self._dataset.take(wanted.tolist(), columns=columns)

    def _one(self, row: int, modality: str, column: str) -> Any:
        if modality not in self.modalities:
            return None
        return self._take([row], [column])[column][0].as_py()

    def _key(self, name: str) -> tuple[Any, ...]:
        """Names a column's contents: a rewritten column has other metadata, a grown survey more rows."""
        field = self.schema.field(name)
        return (name, len(self), tuple(sorted((field.metadata or {}).items())))

    def _arrow(self, name: str) -> pa.Array:
        return self._cached(("arrow", self._key(name)), lambda: self._read(name))

    def _read(self, name: str) -> pa.Array:
        return arrays.combined(self._dataset.to_table(columns=[name])[name])

    def _cached_column(self, name: str, convert: Any) -> np.ndarray:
        return self._cached(("array", self._key(name)), lambda: convert(self._read(name)))

    def _cached(self, key: Any, make: Any) -> Any:
        with self._lock:
            if key not in self._cache:
                self._cache[key] = make()
            return self._cache[key]
