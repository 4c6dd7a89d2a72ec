"""Writing the selected objects to a file that says where they come from.

========================  =====================================================================================
``.fits``, ``.fit``       a binary table, HISTORY cards, and a second table PROVENANCE with the whole as JSON
``.vot``, ``.votable``    VOTable with an INFO element named ``provenance``
``.xml``                  the same
``.csv``                  plain columns, and beside it ``NAME.csv.provenance.json``
``.ecsv``                 as astropy reads it, with ``meta["provenance"]``
``.parquet``              with the key ``provenance`` in the file's metadata
========================  =====================================================================================

Ids are text in each of them. A file appears whole or not at all.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.survey import intervals

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session

Provenance = dict[str, Any]
_NOTHING = 2**63 - 1  # stands for a missing integer where floating point cannot


def export(table: pd.DataFrame, path: str | Path, provenance: Provenance, overwrite: bool = False) -> Path:
    """Write ``table`` in the format that the name's ending says, with its provenance; returns the path.

    FileExistsError where something is there and ``overwrite`` is False; ValueError for an ending that is not known.
    """
    path = Path(path).expanduser()
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise ValueError(f"{path.name!r} ends in no format that can be written. There are: {', '.join(_WRITERS)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent}: make it first, or export elsewhere")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} is there already: choose another name, or pass overwrite=True")
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        write(table, part, provenance)
        if path.suffix.lower() == ".csv":
            os.replace(_beside(part), _beside(path))
        os.replace(part, path)
    finally:
        for left in (part, _beside(part)):
            left.unlink(missing_ok=True)
    return path


def table_of(session: Session, everything: bool = False) -> pd.DataFrame:
    """Ids, the catalogue, every rank, score and percentile and the user's marks of the selection, in its order."""
    import pandas as pd

    survey = session.survey
    if not everything and not session.selection.active:
        raise ValueError("nothing is selected: select rows first, or pass everything=True")
    rows = np.arange(len(survey)) if everything else session.selection.order
    catalogue = survey.table(rows)
    table: dict[str, Any] = {"id": catalogue["id"], "object_id": survey.object_ids[rows]}
    table |= {str(name): catalogue[name] for name in catalogue.columns[1:]}

    def put(name: str, values: Any) -> None:
        name = re.sub(r"\W", "_", name)
        while name in table:
            name += "_"
        table[name] = values

    for space in survey.spaces:
        for scorer in survey.scores(space):
            places = survey.rank(space, scorer)[rows]
            put(f"rank {space} {scorer}", pd.arrays.IntegerArray(places.astype(np.int64), places == 0))
            put(f"score {space} {scorer}", survey.score(space, scorer)[rows])
            put(f"percentile {space} {scorer}", survey.percentile(space, scorer)[rows])
            ends = intervals.of(survey, space, scorer)
            if ends is not None:
                put(f"rank low {space} {scorer}", ends[rows, intervals.LOW])
                put(f"rank high {space} {scorer}", ends[rows, intervals.HIGH])
    mine = session.log.current(session.user).set_index("id")
    for name, column in (("mark", "label"), ("mark score", "score"), ("mark note", "note")):
        put(name, catalogue["id"].map(mine[column].to_dict()) if len(mine) else np.full(len(rows), None))
    return pd.DataFrame(table, index=catalogue.index)


def read_provenance(path: str | Path) -> Provenance:
    """The provenance that :func:`export` wrote with a file."""
    path = Path(path)
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise ValueError(f"{path.name!r} ends in no format that can be read. There are: {', '.join(_READERS)}")
    return json.loads(read(path))


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".provenance.json")


def _dump(provenance: Provenance) -> str:
    return json.dumps(provenance, ensure_ascii=True, default=str)


def _plain(table: pd.DataFrame, text: Callable[[list[str]], Any]) -> dict[str, Any]:
    """Columns as arrays that FITS and VOTable know: numbers, booleans, ``text(list of str)``; no text is ''."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for name in table.columns:
        series = table[name]
        kind = getattr(series.dtype, "kind", "O")
        if kind in "iufb" and isinstance(series.dtype, np.dtype):
            columns[name] = series.to_numpy()
        elif kind in "iu" and _gapped(series):
            columns[name] = np.ma.MaskedArray(
                series.fillna(0).to_numpy(np.int64), series.isna().to_numpy(), fill_value=_NOTHING
            )
        elif kind in "ifb":
            columns[name] = series.to_numpy(dtype=np.float64, na_value=np.nan)
        else:
            columns[name] = text(["" if v is None or v is pd.NA or v != v else _text(v) for v in series.tolist()])
    return columns


def _gapped(series: pd.Series) -> bool:
    """Whether these are 64-bit integers of which some are missing, and float64 would round some."""
    largest = series.abs().max()
    return bool(series.isna().any() and series.notna().any() and 2**53 < largest < _NOTHING)


def _text(value: Any) -> str:
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return value if isinstance(value, str) else json.dumps(value, default=_listed)


def _listed(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _utf8(values: list[str]) -> np.ndarray:
    data = [v.encode("utf-8") for v in values]
    return np.asarray(data, dtype=f"S{max([len(d) for d in data] + [1])}")


def _write_fits(table: pd.DataFrame, path: Path, provenance: Provenance) -> None:
    from astropy.io import fits
    from astropy.io.fits.verify import VerifyWarning
    from astropy.table import Table

    columns = _plain(table, _utf8)
    names = _ascii_names(columns)
    with warnings.catch_warnings():  # odd column names are kept: the standard only advises against them
        warnings.simplefilter("ignore", VerifyWarning)
        objects = fits.table_to_hdu(Table(dict(zip(names, columns.values(), strict=True))))
    renamed = {new: old for new, old in zip(names, columns, strict=True) if new != old}
    provenance = {**provenance, "renamed": renamed} if renamed else provenance
    objects.name = "OBJECTS"
    for line in _summary(provenance):
        objects.header.add_history(line)
    told = fits.table_to_hdu(Table({"json": _utf8([_dump(provenance)])}))
    told.name = "PROVENANCE"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", VerifyWarning)
        fits.HDUList([fits.PrimaryHDU(), objects, told]).writeto(path, overwrite=True, checksum=True)


def _ascii_names(names: Iterable[str]) -> list[str]:
    """The names with what a FITS header cannot hold replaced by an underscore, all different."""
    made: list[str] = []
    for name in names:
        new = re.sub(r"[^ -~]", "_", name).strip() or "_"
        while new in made:
            new += "_"
        made.append(new)
    return made


def _summary(provenance: Provenance) -> list[str]:
    """Lines of printable ASCII for a FITS header."""
    said = [f"{k}: {provenance[k]}" for k in ("survey", "survey_version", "selected", "user", "time")]
    said += [f"query: {text}" for text in provenance.get("queries", [])]
    said += ["The whole provenance is JSON in the table PROVENANCE."]
    plain = (line.encode("ascii", "backslashreplace").decode() for line in said)
    return ["".join(c if c.isprintable() else " " for c in line)[:2000] for line in plain]


def _read_fits(path: Path) -> str:
    from astropy.io import fits

    with fits.open(path) as found:
        return str(found["PROVENANCE"].data["json"][0])


def _votable(table: pd.DataFrame, path: Path, provenance: Provenance) -> None:
    from astropy.io.votable import from_table
    from astropy.io.votable.exceptions import W03
    from astropy.io.votable.tree import Info
    from astropy.table import Table

    columns = _plain(table, lambda values: np.asarray([_xml(v) for v in values], dtype=str))
    with warnings.catch_warnings():  # an XML ID is made from each name, which itself is kept
        warnings.simplefilter("ignore", W03)
        file = from_table(Table(columns))
    file.resources[0].infos.append(Info(name="provenance", value=_dump(provenance)))
    file.to_xml(str(path))


def _xml(value: str) -> str:
    bad = [c for c in value if ord(c) < 32 and c not in "\t\n\r"]
    if bad:
        raise ValueError(
            f"{value[:60]!r} holds a control character, which VOTable has no way to write: export to .parquet"
        )
    return value


def _read_votable(path: Path) -> str:
    from astropy.io.votable import parse

    return next(info.value for info in parse(str(path)).resources[0].infos if info.name == "provenance")


def _write_csv(table: pd.DataFrame, path: Path, provenance: Provenance) -> None:
    table.to_csv(path, index=False)
    _beside(path).write_text(_dump(provenance), encoding="utf-8")


def _write_ecsv(table: pd.DataFrame, path: Path, provenance: Provenance) -> None:
    from astropy.table import Table

    out = Table(_plain(table, lambda values: np.asarray(values, dtype=str)), meta={"provenance": _dump(provenance)})
    out.write(path, format="ascii.ecsv", overwrite=True)


def _read_ecsv(path: Path) -> str:
    from astropy.table import Table

    return Table.read(path, format="ascii.ecsv").meta["provenance"]


def _write_parquet(table: pd.DataFrame, path: Path, provenance: Provenance) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table, preserve_index=False)
    metadata = {**(arrow.schema.metadata or {}), b"provenance": _dump(provenance).encode()}
    pq.write_table(arrow.replace_schema_metadata(metadata), path)


def _read_parquet(path: Path) -> str:
    import pyarrow.parquet as pq

    return pq.read_schema(path).metadata[b"provenance"].decode()


_WRITERS: dict[str, Callable[[pd.DataFrame, Path, Provenance], None]] = {
    ".fits": _write_fits,
    ".fit": _write_fits,
    ".vot": _votable,
    ".votable": _votable,
    ".xml": _votable,
    ".csv": _write_csv,
    ".ecsv": _write_ecsv,
    ".parquet": _write_parquet,
}
_READERS: dict[str, Callable[[Path], str]] = {
    ".fits": _read_fits,
    ".fit": _read_fits,
    ".vot": _read_votable,
    ".votable": _read_votable,
    ".xml": _read_votable,
    ".csv": lambda path: _beside(path).read_text(encoding="utf-8"),
    ".ecsv": _read_ecsv,
    ".parquet": _read_parquet,
}
