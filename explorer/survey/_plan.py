"""What an ingest will do: which reader takes which file, which files share a row, which tables label them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from explorer.survey._fits import is_fits, outline
from explorer.survey._labels import Labels, read_labels
from explorer.survey._reading import Aside, Item, ReadError, Scan, files_under, natural, relative, stem
from explorer.survey._tables import SUFFIXES, suffix_of, units_of
from explorer.survey.readers.table import widen
from kernels.registry import Registry

READERS = Registry("reader", "explorer.survey.readers", "astro_explorer.readers")
_DOCUMENTS = {"source.txt", "readme", "readme.md", "readme.txt", "readme.rst", "license", "license.txt", "license.md"}
_CORRECT = "Correct the table where that is not meant."
_SILENT = (".txt", ".md", ".rst", ".toml", ".py", ".sha256", ".sum", ".log", ".adql", ".html")


@dataclass(frozen=True)
class Part:
    """An item with the reader that reads it and the scan it belongs to."""

    reader: Any
    item: Item
    scan: Scan


@dataclass
class Unit:
    """One item, or several that make one row (an image and a spectrum of the same observation)."""

    parts: list[Part]

    @property
    def source(self) -> str:
        """The key by which a killed ingest knows that the unit was done."""
        return " + ".join(part.item.source for part in self.parts)

    def sources(self) -> list[str]:
        """The ``source`` of each record that the unit gives."""
        return self.parts[0].item.sources() if len(self.parts) == 1 else [self.source]


@dataclass
class Plan:
    """Units in the order in which they will be read, and what was found beside them."""

    units: list[Unit] = field(default_factory=list)
    labels: list[Labels] = field(default_factory=list)
    columns: dict[str, Any] = field(default_factory=dict)
    modalities: dict[str, dict[str, Any]] = field(default_factory=dict)
    aside: list[Aside] = field(default_factory=list)
    spaces: dict[str, Path] = field(default_factory=dict)
    column_units: dict[str, str] = field(default_factory=dict)
    readers: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """How many rows the units promise."""
        return sum(len(unit.sources()) for unit in self.units)


def make_plan(sources: Sequence[Path], reader: str | None = None) -> Plan:
    """Look at the sources and decide; ``reader`` names the only reader to use."""
    plan = Plan()
    for source in sources:
        if not source.exists():
            raise FileNotFoundError(f"{source} does not exist: name a folder or a file to ingest")
        if (source / "survey.toml").is_file():
            raise ReadError(source, "it is a survey already", f"See it with: explorer serve {source}")
        prefix = f"{source.name}/" if len(sources) > 1 else ""
        _plan_source(plan, source, reader, prefix)
    if not plan.units and not plan.spaces:
        raise ReadError(", ".join(map(str, sources)), _nothing(sources, plan), "Name a folder that holds some.")
    taken: dict[str, int] = {}
    for unit in plan.units:  # two sources of one name
        first = unit.sources()[0] if unit.sources() else unit.source
        taken[first] = taken.get(first, 0) + 1
    if repeated := [name for name, n in taken.items() if n > 1]:
        raise ReadError(repeated[0], "two sources hold a file of this name", "Ingest their common folder instead.")
    return plan


def _nothing(sources: Sequence[Path], plan: Plan) -> str:
    seen = sum(len(files_under(source)) for source in sources)
    first = f"; first set aside: {plan.aside[0].file} ({plan.aside[0].reason})" if plan.aside else ""
    return (
        f"nothing usable among {seen} files. Looked for: PNG, JPEG and FITS images, SDSS, BOSS and DESI spectra, "
        "PHA spectra and event lists, Parquet and HDF5 with images or spectra, tables (CSV, FITS, VOTable, "
        f"Parquet), embeddings (npy, npz, safetensors){first}"
    )


def _plan_source(plan: Plan, source: Path, only: str | None, prefix: str) -> None:
    root = source if source.is_dir() else source.parent
    files = files_under(source)
    chosen = _choose(files, only)
    scans = {name: (reader, _scan(reader, source, mine)) for name, (reader, mine) in chosen.items() if name != "table"}
    companions = {path for _, scan in scans.values() for path in scan.companions}
    parts = [Part(r, item, scan) for name, (r, scan) in scans.items() if name != "embeddings" for item in scan.items]
    tables = [path for path in chosen.get("table", (None, []))[1] if path not in companions]
    if parts:
        _label(plan, tables, sorted({part.item.path for part in parts}), root, prefix)
    elif tables:
        reader = chosen["table"][0]
        scan = _scan(reader, source, tables)
        scans["table"] = (reader, scan)
        parts = [Part(reader, item, scan) for item in scan.items]
        plan.aside += [Aside(prefix + file, note, _CORRECT) for file, note in scan.memo.get("notes", [])]
    elif "embeddings" in scans:  # nothing else to join them to
        reader, scan = scans["embeddings"]
        parts = [Part(reader, item, scan) for item in scan.items]
    for name, (_, scan) in scans.items():
        _merge(plan, scan, prefix)
        if scan.items:
            plan.readers[name] = plan.readers.get(name, 0) + len({item.path for item in scan.items})
    units = _pair(parts, plan.labels)
    units.sort(key=lambda unit: (natural(unit.source), unit.sources()[0]))
    plan.units += [_prefixed(unit, prefix) for unit in units]
    claimed = {path for _, mine in chosen.values() for path in mine} | companions
    plan.aside += [Aside(prefix + relative(p, root), *why_not(p)) for p in files if p not in claimed and _matters(p)]


def _prefixed(unit: Unit, prefix: str) -> Unit:
    if not prefix:
        return unit
    return Unit([Part(p.reader, Item(prefix + p.item.source, p.item.path, p.item.rows), p.scan) for p in unit.parts])


def _choose(files: Sequence[Path], only: str | None) -> dict[str, tuple[Any, list[Path]]]:
    """Reader name → (reader, its files): each file goes to the reader that is surest of it."""
    names = [only] if only else READERS.names()
    readers = {name: READERS.get(name)() for name in names}
    if only and only != "table":
        readers["table"] = READERS.get("table")()
    out: dict[str, tuple[Any, list[Path]]] = {}
    for path in files:
        if not path.is_file():
            continue
        sure = {name: _sure(reader, path) for name, reader in readers.items()}
        best = max(sure, key=lambda name: (sure[name], name))
        if sure[best] > 0:
            out.setdefault(best, (readers[best], []))[1].append(path)
    return out


def _sure(reader: Any, path: Path) -> float:
    try:
        return getattr(reader, "recognise", reader.sniff)(path)
    except Exception:  # libraries raise many kinds on broken files; another reader, or the report, says more
        return 0.0


def _scan(reader: Any, source: Path, files: list[Path]) -> Scan:
    return reader.scan(source, files)


def _merge(plan: Plan, scan: Scan, prefix: str) -> None:
    for name, kind in scan.columns.items():
        plan.columns[name] = widen(plan.columns.get(name), kind)
    for name, meta in scan.modalities.items():
        for key, value in meta.items():
            plan.modalities.setdefault(name, {}).setdefault(key, value)
    plan.aside += [Aside(prefix + a.file, a.reason, a.fix) for a in scan.aside]
    for space, path in scan.spaces.items():
        if plan.spaces.setdefault(space, path) != path:
            why = f"its space {space} was given by {plan.spaces[space].name} already"
            plan.aside.append(Aside(prefix + relative(path, scan.root), why, "Rename it: the name makes the space."))
    plan.column_units.update({name: unit for name, unit in scan.column_units.items() if unit})


def _label(plan: Plan, tables: Sequence[Path], files: list[Path], root: Path, prefix: str) -> None:
    for path in tables:
        name = prefix + relative(path, root)
        try:
            labels = read_labels(path, files)
        except ReadError as error:
            plan.aside.append(Aside(name, error.reason, error.fix))
            continue
        if labels is None:
            fix = "Give it a column with file names or object ids, or ingest it alone with reader='table'."
            plan.aside.append(Aside(name, "no column of the table names a file or an object here", fix))
            continue
        plan.labels.append(labels)
        for column, unit in units_of(labels.table).items():
            plan.column_units.setdefault(column, unit)
        plan.aside += [Aside(name, note, _CORRECT) for note in labels.notes]
        for missing in labels.unknown[:1000]:
            plan.aside.append(
                Aside(missing, f"{name} names it, but no such file is there", "Fetch it, or drop the line.")
            )
        if len(labels.unknown) > 1000:
            more = f"it names {len(labels.unknown) - 1000} more files that are not there"
            plan.aside.append(Aside(name, more, "Fetch them, or drop the lines."))


def _pair(parts: Sequence[Part], labels: Sequence[Labels]) -> list[Unit]:
    """Parts that share a row: those that a table names together, else an image and a spectrum of one file name."""
    single: dict[Path, Part] = {}
    counts: dict[Path, int] = {}
    for part in parts:
        counts[part.item.path] = counts.get(part.item.path, 0) + 1
        single[part.item.path] = part
    single = {path: part for path, part in single.items() if counts[path] == 1 and part.item.rows is None}
    groups = [[single[p] for p in group if p in single] for table in labels for group in table.groups]
    if not groups:
        by_stem: dict[str, list[Part]] = {}
        for path, part in single.items():
            by_stem.setdefault(stem(path), []).append(part)
        groups = [group for group in by_stem.values() if len(group) > 1]
    units: list[Unit] = []
    taken: set[Path] = set()
    for group in groups:
        kinds = [part.reader.modalities for part in group]
        apart = len(set(kinds)) == len(kinds) and not any(part.item.path in taken for part in group)
        if len(group) > 1 and apart:
            units.append(Unit(group))
            taken.update(part.item.path for part in group)
    return units + [Unit([part]) for part in parts if part.item.path not in taken]


def _matters(path: Path) -> bool:
    """Whether a file that no reader knows is worth a line in the report: documents are not."""
    return (
        path.name.lower() not in _DOCUMENTS
        and path.suffix.lower() not in _SILENT
        and "license" not in path.name.lower()
    )


def why_not(path: Path) -> tuple[str, str]:
    """``(reason, fix)`` of a file that no reader takes."""
    if not path.exists():
        return "it is a link to nothing", "Restore what it points to, or remove it."
    if not path.is_file():
        return "it is neither a file nor a folder", "Remove it."
    try:
        path.open("rb").close()
    except OSError as error:
        return f"it may not be read ({error.strerror})", "Give yourself the right to read it."
    if path.stat().st_size == 0:
        return "the file is empty", "Fetch it again."
    suffix = suffix_of(path)
    if suffix in (".fits", ".fit", ".fts"):
        if not is_fits(path):
            with path.open("rb") as handle:
                return (
                    f"it is named {suffix} but its content is no FITS: it starts with {handle.read(16)!r}",
                    "Fetch it again.",
                )
        if (found := outline(path)) is not None and found.problem:
            return f"the FITS file is damaged: {found.problem}", "Fetch it again."
        return "no reader knows this FITS layout", "Name one with reader=…, or write a reader."
    if suffix in SUFFIXES:
        return "the table cannot be recognised", "Write it as CSV or Parquet."
    return f"no reader knows {suffix or 'files without an ending'}", "Convert it, or write a reader for it."


def case_joined(columns: Mapping[str, Any], extra: Mapping[str, Any], suffix: str) -> dict[str, tuple[str, Any]]:
    """Extra column → (name, type) in the survey: one that exists in another case is that column.

    Where the types cannot be told as one number the extra column keeps its own place under ``name_<suffix>``.
    """
    lower = {name.lower(): name for name in columns}
    out: dict[str, tuple[str, Any]] = {}
    for name, kind in extra.items():
        same = lower.get(name.lower())
        if same is None:
            out[name] = (name, kind)
        elif columns[same] == kind or {columns[same], kind} <= {pa.int64(), pa.float64()}:
            out[name] = (same, widen(columns[same], kind))
        else:
            out[name] = (f"{name}_{suffix}", kind)
    return out
