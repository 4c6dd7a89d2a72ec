"""Writing observations into a survey, block by block, so that a killed writer loses at most its block."""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import lance
import pyarrow as pa

from explorer.survey import payload
from explorer.survey.files import SurveyError, now, read_meta, write_atomically, write_meta, writer_lock
from explorer.survey.records import Record
from explorer.survey.schema import FORMAT_VERSION, base_schema, catalogue_fields, safe_names, storable
from explorer.survey.thumbnails import thumbnail

_REPORT = ["file", "reason", "fix"]


class SurveyWriter:
    """Creates a survey, or adds rows to one, as a context manager that holds the writer's lock.

    Parameters
    ----------
    path : the survey's folder.
    card : what is known of the data: at least ``name`` and ``title``.
    modalities : modality name → its metadata (``bands``, ``pixel_scale`` in arcsec, ``zero_point`` in AB mag…).
    columns : catalogue column name → Arrow type, or a field whose metadata holds ``unit`` and ``description``.
    exist_ok : add to a survey that exists (its card stays); otherwise :class:`SurveyError` if there is one.

    ``names`` maps each column to the name it has in the survey (see :func:`~explorer.survey.schema.safe_names`).
    """

    def __init__(
        self,
        path: str | Path,
        *,
        card: Mapping[str, Any],
        modalities: Mapping[str, Mapping[str, Any]],
        columns: Mapping[str, pa.DataType | pa.Field],
        exist_ok: bool = True,
    ):
        self.path, self.card, self.exist_ok = Path(path), dict(card), exist_ok
        self.modalities = {k: dict(v) for k, v in modalities.items()}
        self.names = safe_names(columns)
        self.columns = {self.names[k]: v for k, v in columns.items()}
        self.sources: set[str] = set()
        self.written = 0
        self._seen: set[str] = set()
        self._aside: list[dict[str, str]] = []
        self._told: set[str] = set()
        self._stack = ExitStack()

    @property
    def dataset_path(self) -> Path:
        """Where the Lance dataset lies."""
        return self.path / "objects.lance"

    def __enter__(self) -> SurveyWriter:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SurveyError(f"{self.path} cannot be made ({error.strerror}): name a folder for the survey") from error
        self._stack.enter_context(writer_lock(self.path, "ingest"))
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def _open(self) -> None:
        new = not (self.path / "survey.toml").exists()
        if not new and not self.exist_ok:
            raise SurveyError(f"{self.path} holds a survey already: choose another folder, or pass exist_ok=True")
        if new:
            schema = base_schema(self.modalities, self.columns)
            mode = "overwrite" if self.dataset_path.exists() else "create"
            dataset = lance.write_dataset(
                schema.empty_table(), str(self.dataset_path), mode=mode, enable_stable_row_ids=True
            )
            write_meta(
                self.path,
                {
                    "format_version": FORMAT_VERSION,
                    "name": self.card.get("name", self.path.name),
                    "uid": uuid.uuid4().hex,
                    "created": now(),
                    "card": self.card,
                    "modalities": self.modalities,
                    "steps": [],
                },
            )
        else:
            dataset = lance.dataset(str(self.dataset_path))
            self._widen(dataset)
        self._schema = pa.schema([f for f in dataset.schema if not f.name.startswith(_DERIVED)])
        table = dataset.to_table(columns=["id", "source"])
        self._seen.update(table["id"].to_pylist())
        self.sources.update(s for s in table["source"].to_pylist() if s)
        self._pool = self._stack.enter_context(ThreadPoolExecutor(2))
        report = self.path / "ingest_report.csv"
        if report.exists():
            with open(report, newline="", encoding="utf-8") as lines:
                self._aside = list(csv.DictReader(lines))

    def _widen(self, dataset: lance.LanceDataset) -> None:
        """Give a survey that exists the columns and modalities that it lacks, null in the rows it has."""
        meta = read_meta(self.path)
        have = set(dataset.schema.names)
        wanted = base_schema({**meta.get("modalities", {}), **self.modalities}, self.columns)
        missing = [f for f in wanted if f.name not in have]
        for field in catalogue_fields(dataset.schema):
            asked = self.columns.get(field.name)
            kind = asked.type if isinstance(asked, pa.Field) else asked
            if kind is not None and kind != field.type:
                self.columns[field.name] = field.type
        if missing:
            dataset.add_columns(pa.schema(missing))
        if missing or set(self.modalities) - set(meta.get("modalities", {})):
            meta["modalities"] = {**self.modalities, **meta.get("modalities", {})}
            write_meta(self.path, meta)

    def append(self, records: Iterable[Record]) -> int:
        """Add the records as one fragment and one version; an id that is taken gains ``#2``, ``#3``…

        Returns the number of rows written. A record that cannot be stored is set aside with its reason.
        """
        given = list(records)
        each = self._pool.map if any(r.image is not None for r in given) else map
        rows = list(each(self._row, given))
        good = [row for row in rows if row is not None]
        if not good:
            return 0
        for row in good:
            row["id"] = self._unique(row["id"])
        arrays = [self._array(good, field) for field in self._schema]
        table = pa.table(arrays, schema=self._schema)
        lance.write_dataset(table, str(self.dataset_path), mode="append")
        came = {row["source"] for row in good if row["source"]}
        self.sources.update(came)
        mended = came - self._told  # set aside by an earlier ingest, sound now
        self._aside = [line for line in self._aside if line["file"] not in mended]
        self.written += len(good)
        return len(good)

    def _array(self, rows: list[dict[str, Any]], field: pa.Field) -> pa.Array:
        values = [row.get(field.name) for row in rows]
        try:
            return pa.array(values, type=field.type)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, UnicodeEncodeError):
            return pa.array([self._cast(row, field) for row in rows], type=field.type)

    def _cast(self, row: dict[str, Any], field: pa.Field) -> Any:
        """One value as the column's type; null, and a line in the report, where it does not fit."""
        value = row.get(field.name)
        if value is None or pa.types.is_string(field.type):
            return None if value is None else storable(str(value))
        try:
            return pa.scalar(value).cast(field.type).as_py()
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
            reason = f"column {field.name}: {value!r} is not {field.type}"
            self.set_aside(row["source"] or row["id"], reason, "The value was left empty; correct it in the table")
            return None

    def _unique(self, name: str) -> str:
        new, k = name, 1
        while new in self._seen:
            k += 1
            new = f"{name}#{k}"
        self._seen.add(new)
        return new

    def _row(self, record: Record) -> dict[str, Any] | None:
        row: dict[str, Any] = {
            "id": storable(str(record.id)),
            "object_id": storable(str(record.object_id)),
            "source": storable(record.source),
        }
        row |= {self.names.get(k, k): _scalar(v) for k, v in record.values.items()}
        row |= {f"has:{m}": getattr(record, m) is not None for m in self._present}
        try:
            if record.image is not None:
                row["image"] = payload.encode_image(record.image)
                row["thumbnail"] = thumbnail(record.image, self.modalities.get("image", {}).get("bands"))
            if record.spectrum is not None:
                row["spectrum"], row["spectrum:grid"] = payload.encode_spectrum(record.spectrum)
            if record.events is not None:
                row["events"] = payload.encode_events(record.events)
            if record.xspectrum is not None:
                row["xspectrum"], row["xspectrum:response"] = payload.encode_xspectrum(record.xspectrum)
        except Exception as error:  # decoders of pictures raise many kinds
            self.set_aside(record.source or record.id, str(error), "Replace the file, then ingest again")
            return None
        row["text"] = record.text
        return row

    @property
    def _present(self) -> list[str]:
        return [f.name[4:] for f in self._schema if f.name.startswith("has:")]

    def set_aside(self, file: object, reason: str, fix: str) -> None:
        """Note a file that could not be used; the report is written when the writer closes."""
        line = {"file": storable(str(file)), "reason": storable(" ".join(str(reason).split())), "fix": str(fix)}
        self._told.add(line["file"])
        if line not in self._aside[-1000:]:
            self._aside.append(line)

    def write_report(self) -> Path:
        """Write ``ingest_report.csv``: one line for each file set aside."""
        text = io.StringIO()
        out = csv.DictWriter(text, _REPORT, lineterminator="\n")
        out.writeheader()
        out.writerows(self._aside)
        path = self.path / "ingest_report.csv"
        write_atomically(path, text.getvalue().encode())
        return path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.write_report()
        finally:
            self._stack.close()


_DERIVED = ("space:", "score:", "rank:", "layout:")


def _scalar(value: Any) -> Any:
    """A Python value of a numpy scalar, of bytes and of masked or missing cells."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace").strip()
    if hasattr(value, "item") and getattr(value, "ndim", 0) == 0:
        value = value.item()
    if value is None or type(value).__name__ in ("MaskedConstant", "NAType", "NaTType"):
        return None
    return value
