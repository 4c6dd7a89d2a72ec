"""From files to a survey: choose readers, stream their records into a store, report what was set aside.

Ingest goes on where a killed one stopped: every row says which file it came from.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from explorer.survey._labels import Labels
from explorer.survey._plan import Part, Plan, Unit, case_joined, make_plan
from explorer.survey._reading import Aside, ReadError, aside, plain
from explorer.survey._spectra import position_name
from explorer.survey.progress import Progress, bar
from explorer.survey.records import Image, Record

if TYPE_CHECKING:
    from explorer.survey.store import Survey

_BATCH_ROWS, _BATCH_BYTES = 1024, 64 << 20
_BATCH_PLAIN = 20_000
_SAME_PLACE = 1.0
"""Rows within this many arcsec of each other, where nothing else names the object, are of one object."""


@dataclass
class Report:
    """What an ingest did: rows in the survey, rows added now, files set aside, files by reader."""

    path: Path
    rows: int = 0
    added: int = 0
    aside: list[Aside] = field(default_factory=list)
    readers: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def __str__(self) -> str:
        by = ", ".join(f"{n} by {name}" for name, n in sorted(self.readers.items()))
        rate = f"{self.added / self.seconds:.0f}/s" if self.seconds > 0 else "at once"
        aside = f"; {len(self.aside)} lines in {self.path / 'ingest_report.csv'}" if self.aside else ""
        return f"{self.rows} rows in {self.path} ({self.added} added, {rate}; files: {by or 'none'}){aside}"


def ingest(
    source: str | Path | Sequence[str | Path],
    dest: str | Path,
    reader: str | None = None,
    progress: Progress | None = None,
    card: Mapping[str, Any] | None = None,
) -> Report:
    """Read ``source``, a folder, a file or several, into the survey at ``dest``; resumes, reports, loses nothing.

    ``reader`` names the only reader to use; otherwise each file goes to the reader that is surest of it, and all
    become one survey with the union of their columns. Tables beside images or spectra label them. ``card`` is
    what is known of the data; its ``columns`` table maps names of ours to names of theirs.
    ``progress(done, total, label)`` is called as rows are written; a terminal gets a bar.
    """
    from explorer.survey.store import Survey, SurveyWriter

    began = time.perf_counter()
    told = [source] if isinstance(source, (str, Path)) else list(source)
    dest = Path(dest)
    if any(dest.resolve() == Path(s).expanduser().resolve() for s in told):
        raise ValueError(f"{dest} is the source as well: name another folder for the survey")
    plan = make_plan([Path(s).expanduser() for s in told], reader)
    join = _Join(plan, dict((card or {}).get("columns", {})))
    about = {"name": dest.name, "title": dest.name, **(card or {})}
    report = Report(dest, readers=plan.readers, aside=list(plan.aside))
    tell = bar() if progress is None else progress
    modalities = {name: dict(meta) for name, meta in plan.modalities.items()}
    with SurveyWriter(dest, card=about, modalities=modalities, columns=join.fields(), exist_ok=True) as writer:
        done = set(writer.sources)
        sky = _Sky()
        sky.remember(writer.dataset_path)
        for line in plan.aside:
            writer.set_aside(line.file, line.reason, line.fix)
        seen, total = 0, plan.rows
        for batch in _batches(_records(plan, done, join, sky)):
            good: list[Record] = []
            for entry in batch:
                if isinstance(entry, Aside):
                    report.aside.append(entry)
                    writer.set_aside(entry.file, entry.reason, entry.fix)
                elif isinstance(entry, Record):
                    good.append(entry)
                else:
                    seen += entry - 1
                seen += 1
            report.added += writer.append(good) if good else 0
            tell(min(seen, total), total, "ingest")
        for line in join.unused(plan.labels):
            report.aside.append(line)
            writer.set_aside(line.file, line.reason, line.fix)
        survey = Survey.open(dest)
        for line in _join_spaces(survey, plan):
            report.aside.append(line)
            writer.set_aside(line.file, line.reason, line.fix)
    report.rows, report.seconds = len(survey), time.perf_counter() - began
    return report


def _join_spaces(survey: Survey, plan: Plan) -> Iterator[Aside]:
    """Store the embeddings found beside the rows, again where the rows are more now; yields what could not be."""
    from explorer.survey.embeddings import join as join_space

    for space, path in plan.spaces.items():
        told = survey.provenance(f"space:{space}") if space in survey.spaces else {}
        if told and "file" not in told:
            yield Aside(path.name, f"the survey has a space {space} of its own", "Rename it: the name makes the space.")
        elif len(survey) and told.get("of") != len(survey):
            try:
                join_space(survey, path, space)
            except ReadError as error:
                yield Aside(path.name, error.reason, error.fix)


def _batches(entries: Iterable[Record | Aside | int]) -> Iterator[list[Record | Aside | int]]:
    batch: list[Record | Aside | int] = []
    rows = size = 0
    for entry in entries:
        batch.append(entry)
        weight = _weight(entry) if isinstance(entry, Record) else 0
        rows, size = rows + (weight > 0), size + weight
        if rows >= _BATCH_ROWS or size >= _BATCH_BYTES or len(batch) >= _BATCH_PLAIN:
            yield batch
            batch, rows, size = [], 0, 0
    if batch:
        yield batch


def _weight(record: Record) -> int:
    """Bytes of a record's payload, roughly."""
    image = record.image
    out = image.pixels.nbytes if isinstance(image, Image) else len(image or b"")
    out += 0 if record.spectrum is None else 8 * len(record.spectrum.flux)
    out += 0 if record.events is None else 16 * len(record.events.time)
    out += 0 if record.xspectrum is None else 40 * len(record.xspectrum.counts)
    return out


def _records(plan: Plan, done: set[str], join: _Join, sky: _Sky) -> Iterator[Record | Aside | int]:
    """Records in order; an :class:`Aside` for what cannot be used; the number of rows that are there already."""
    for unit in plan.units:
        wanted = [s for s in unit.sources() if s not in done]
        if not wanted:
            yield len(unit.sources())
            continue
        for entry in _read(unit):
            if isinstance(entry, Record):
                if entry.source in done:
                    yield 1
                    continue
                entry = sky.named(join.record(entry, unit))
            yield entry


def _read(unit: Unit) -> Iterator[Record | Aside]:
    if len(unit.parts) == 1:
        yield from _read_part(unit.parts[0])
        return
    merged: Record | None = None
    for part in unit.parts:
        for entry in _read_part(part):
            if isinstance(entry, Aside):
                yield entry
            elif merged is None:
                merged = replace(entry, source=unit.source)
            else:
                merged = _merged(merged, entry)
    if merged is not None:
        yield merged


def _read_part(part: Part) -> Iterator[Record | Aside]:
    """Entries of an item; whatever it raises becomes the reason why it is set aside."""
    source = part.item.source
    try:
        for entry in part.reader.read(part.item, part.scan):
            if isinstance(entry, Record) and part.item.rows is None:
                entry = replace(entry, source=source)
            yield entry
    except Exception as error:  # one broken file must not stop the others
        yield aside(source, error)


def _merged(a: Record, b: Record) -> Record:
    values = dict(b.values) | {k: v for k, v in a.values.items() if v is not None}
    return replace(
        a,
        values=values,
        image=a.image if a.image is not None else b.image,
        spectrum=a.spectrum or b.spectrum,
        events=a.events or b.events,
        xspectrum=a.xspectrum or b.xspectrum,
        text=a.text or b.text,
    )


class _Join:
    """Adds to each record what the label tables and the card say of it."""

    def __init__(self, plan: Plan, mapping: Mapping[str, str]):
        self.columns: dict[str, Any] = {}
        self._rename = {theirs: ours for ours, theirs in mapping.items()}
        for name, kind in plan.columns.items():
            self.columns[self._rename.get(name, name)] = kind
        self._units = plan.column_units
        self._names: list[dict[str, str]] = []
        for labels in plan.labels:
            extra = {self._rename.get(n, n): t for n, t in labels.columns.items()}
            placed = case_joined(self.columns, extra, labels.path.stem)
            self.columns.update(dict(placed.values()))
            self._names.append({n: placed[self._rename.get(n, n)][0] for n in labels.columns})
        self._labels = plan.labels
        self._retyped = any(
            plan.columns[name] != kind
            for scan in {id(p.scan): p.scan for unit in plan.units for p in unit.parts}.values()
            for name, kind in scan.columns.items()
        )
        self._text = {name for name, kind in self.columns.items() if kind == pa.string()}

    def fields(self) -> dict[str, pa.Field]:
        """The survey's columns as fields that carry their unit."""
        units = {"ra": "deg", "dec": "deg"} | {self._rename.get(n, n): u for n, u in self._units.items()}
        return {
            name: pa.field(name, kind, metadata={"unit": units[name]} if units.get(name) else None)
            for name, kind in self.columns.items()
        }

    def record(self, record: Record, unit: Unit) -> Record:
        """The record with its labels; a cell of a table wins over the file's own value, unless it is empty."""
        if not self._labels and not self._rename and not self._retyped:
            return record
        values = {self._rename.get(name, name): value for name, value in record.values.items()}
        row_id, object_id = record.id, record.object_id
        at = int(record.source.rpartition("#")[2]) if unit.parts[0].item.rows is not None else None
        for labels, names in zip(self._labels, self._names, strict=True):
            for part in unit.parts:
                row = labels.row_of(part.item.path, at, (object_id, row_id, record.object_id, record.id))
                if row is None:
                    continue
                values |= {names[name]: plain(value) for name, value in labels.values(row).items()}
                if labels.by_file:
                    own, other = labels.ids(row)
                    row_id, object_id = own or row_id, other or (own or object_id if own else object_id)
                break
        for name in self._text & values.keys():
            values[name] = None if values[name] is None else str(values[name])
        return replace(record, id=row_id, object_id=object_id, values=values)

    def unused(self, tables: Sequence[Labels]) -> list[Aside]:
        """Tables joined by object of which no row was used."""
        return [
            Aside(
                t.path.name, f"none of its {t.table.num_rows} rows names an object of this survey", "Ingest it alone."
            )
            for t in tables
            if t.by_id and not t.by_file and not t.used
        ]


class _Sky:
    """Names the object of a row by its place: rows within an arcsecond are of one object."""

    def __init__(self) -> None:
        self._cells: dict[tuple[int, int], list[tuple[float, float, str]]] = {}

    def remember(self, dataset_path: Path) -> None:
        """Know the objects of a survey that exists."""
        import lance

        dataset = lance.dataset(str(dataset_path))
        if not {"ra", "dec"} <= set(dataset.schema.names):
            return
        table = dataset.to_table(columns=["object_id", "ra", "dec"])
        for name, ra, dec in zip(*(table[c].to_pylist() for c in ("object_id", "ra", "dec")), strict=True):
            if _place(ra, dec) is not None and self._find(ra, dec) is None:
                self._add(ra, dec, name)

    def named(self, record: Record) -> Record:
        """The record with an ``object_id``: its own, else that of its place, else its id."""
        if record.object_id:
            return record
        place = _place(record.values.get("ra"), record.values.get("dec"))
        if place is None:
            return replace(record, object_id=record.id)
        ra, dec = place
        name = self._find(ra, dec)
        if name is None:
            name = position_name(ra, dec)
            self._add(ra, dec, name)
        return replace(record, object_id=name)

    def _cell(self, ra: float, dec: float) -> tuple[int, int]:
        step = 2.0 * _SAME_PLACE / 3600.0
        row = int(np.floor(dec / step))
        return row, int(np.floor((ra % 360.0) * max(np.cos(np.radians(row * step)), 1e-6) / step))

    def _add(self, ra: float, dec: float, name: str) -> None:
        self._cells.setdefault(self._cell(ra, dec), []).append((ra, dec, name))

    def _find(self, ra: float, dec: float) -> str | None:
        step = 2.0 * _SAME_PLACE / 3600.0
        for down in (-1, 0, 1):
            row, column = self._cell(ra, dec + down * step)
            for right in (-1, 0, 1):
                for ra0, dec0, name in self._cells.get((row, column + right), ()):
                    dx = ((ra - ra0 + 180.0) % 360.0 - 180.0) * np.cos(np.radians(dec))
                    if np.hypot(dx, dec - dec0) * 3600.0 <= _SAME_PLACE:
                        return name
        return None


def _place(ra: Any, dec: Any) -> tuple[float, float] | None:
    if not (isinstance(ra, (int, float)) and isinstance(dec, (int, float))):
        return None
    return (float(ra), float(dec)) if np.isfinite(ra) and np.isfinite(dec) and abs(dec) <= 90 else None
