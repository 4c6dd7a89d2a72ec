"""Conformance of what registers itself in the explorer: a reader, whoever wrote it, keeps to its contract."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey import payload
from explorer.survey._reading import Aside, Item, ReadError, Scan
from explorer.survey.records import MODALITIES, Record

_AT_MOST = 200


def check_reader(reader: type | Any, source: Path, foreign: Path | None = None) -> list[Record]:
    """Check a reader on ``source``, a file or folder that is its own; returns the records it gave (200 at most).

    ``foreign`` is a file that it must not claim. AssertionError says which rule is broken:

    - ``name`` is text, ``modalities`` is a tuple of known ones
    - ``sniff`` gives a number from 0 to 1, above 0 for ``source``, 0 for ``foreign``, and changes nothing
    - ``scan(source, files=None)`` gives items with distinct keys, Arrow types for the columns, metadata for
      modalities that it declares
    - ``read`` gives records whose ids are text, whose ``source`` belongs to the item, whose values are plain and
      fit the types, and whose payload survives the store's encoding; the same again when read again
    """
    made = reader() if isinstance(reader, type) else reader
    assert isinstance(made.name, str), "a reader's name is text"
    assert made.name, "a reader has a name"
    assert isinstance(made.modalities, tuple), f"{made.name}: modalities is a tuple"
    assert set(made.modalities) <= set(MODALITIES), f"{made.name}: unknown modality in {made.modalities}"
    sure = made.sniff(source)
    assert 0 < sure <= 1, f"{made.name} does not claim {source}: sniff gave {sure}"
    if foreign is not None:
        assert made.sniff(foreign) == 0, f"{made.name} claims {foreign}, which is not its own"
    scan = made.scan(source)
    _check_scan(made, scan)
    if scan.items:
        part = made.scan(source, [scan.items[0].path])
        assert {i.path for i in part.items} <= {scan.items[0].path}, f"{made.name}: scan(source, files) reads others"
    records: list[Record] = []
    for item in scan.items:
        records += _check_item(made, item, scan)
        if len(records) >= _AT_MOST:
            break
    assert records or scan.aside, f"{made.name} found nothing in {source} and set nothing aside"
    return records


def _check_scan(reader: Any, scan: Any) -> None:
    assert isinstance(scan, Scan), "scan gives a Scan"
    keys = [source for item in scan.items for source in item.sources()]
    assert len(keys) == len(set(keys)), f"{reader.name}: two items promise the same record"
    for name, kind in scan.columns.items():
        assert isinstance(name, str), name
        assert isinstance(kind, pa.DataType), f"{reader.name}: column {name!r} has type {kind!r}, no Arrow type"
    assert set(scan.modalities) <= set(reader.modalities), f"{reader.name}: undeclared {set(scan.modalities)}"
    for line in scan.aside:
        assert isinstance(line, Aside)
        assert line.file, "what is set aside names its file"
        assert line.reason, "what is set aside says why"


def _check_item(reader: Any, item: Item, scan: Scan) -> list[Record]:
    try:
        entries = list(reader.read(item, scan))
    except ReadError as raised:
        refused: ReadError | None = raised
    else:
        refused = None
    if refused is not None:
        assert refused.reason, "a ReadError says why"
        assert refused.fix, "a ReadError says what to do"
        return []
    records = [entry for entry in entries if isinstance(entry, Record)]
    assert len(records) + sum(isinstance(e, Aside) for e in entries) == len(entries), "read gives Records and Asides"
    promised = set(item.sources())
    for record in records:
        _check_record(reader, record, promised, scan)
    again = [entry for entry in reader.read(item, scan) if isinstance(entry, Record)]
    assert [r.id for r in again] == [r.id for r in records], f"{reader.name}: {item.source} differs when read again"
    return records


def _check_record(reader: Any, record: Record, promised: set[str], scan: Scan) -> None:
    where = f"{reader.name}: {record.source}"
    assert isinstance(record.id, str), f"{where}: id is {type(record.id).__name__}, not text"
    assert record.id, f"{where}: an empty id"
    assert isinstance(record.object_id, str), f"{where}: object_id is no text"
    assert record.source in promised, f"{where}: its item promises {sorted(promised)[:3]}"
    for name, value in record.values.items():
        assert value is None or name in scan.columns, f"{where}: column {name!r} is not in the scan"
        assert value is None or isinstance(value, (str, bool, int, float)), f"{where}: {name} is {type(value)}"
        if value is not None:
            pa.scalar(value, type=scan.columns[name])
    given = [m for m in MODALITIES if getattr(record, m) is not None]
    assert set(given) <= set(reader.modalities), f"{where}: gives {given}, which it does not declare"
    if record.image is not None:
        payload.decode_image(payload.encode_image(record.image))
    if record.spectrum is not None:
        data, grid = payload.encode_spectrum(record.spectrum)
        back = payload.decode_spectrum(data, grid)
        np.testing.assert_allclose(back.wavelength, record.spectrum.wavelength, rtol=1e-6)
        assert np.isfinite(record.spectrum.flux).all(), f"{where}: a flux is not finite; give it 0 and ivar 0"
        assert (record.spectrum.ivar >= 0).all(), f"{where}: a negative inverse variance"
    if record.events is not None:
        assert np.all(np.diff(record.events.time) >= 0), f"{where}: event times do not ascend"
        payload.decode_events(payload.encode_events(record.events))
    if record.xspectrum is not None:
        x = record.xspectrum
        assert np.all(x.energy_hi > x.energy_lo), f"{where}: an energy bin is empty"
        payload.decode_xspectrum(*payload.encode_xspectrum(x))


def check_view(view: type, survey: Any) -> None:
    """Check a view on a survey that has a space, a layout and a score. AssertionError says which rule is broken:

    - ``name`` and ``title`` are text; ``applies`` says yes or no and changes nothing
    - ``panel()`` gives something that Panel shows, and building its models works
    - it follows selection, focus, stretch, colour and undo without an error, and leaves the session as it was told
    - text of the catalogue never becomes markup: no ``<script>`` of an id or a column reaches the page as an element
    - ``close()`` lets go of the session and its screen: no watcher stays, and later changes reach nothing
    """
    import json

    from panel.viewable import Viewable

    from explorer.session.session import Session
    from explorer.views._theme import screen_of

    assert isinstance(view.name, str), "a view's name is text"  # type: ignore[attr-defined]
    assert isinstance(view.title, str), "a view's title is text"  # type: ignore[attr-defined]
    assert view.applies(survey) in (True, False), "applies() says True or False"  # type: ignore[attr-defined]
    session = Session(survey)
    screen = screen_of(session)
    before = _watchers(session), _watchers(screen)
    made = view(session)
    shown = made.panel()
    assert isinstance(shown, Viewable), f"panel() gives a Panel object, not {type(shown).__name__}"
    root = shown.get_root()

    rows = np.arange(0, len(survey), 3)
    strange = [int(row) for row, name in enumerate(survey.ids) if "<" in name]
    session.select(rows)
    for row in [0, *strange, len(survey) - 1]:
        session.focus_on(row)
    session.stretch = "linear"
    for column in [name for name in survey.columns if "<" in name]:
        session.color_by = column
    screen.theme = "light"
    assert session.selection.rows.tolist() == rows.tolist(), "a view changes the selection only when it is used"
    assert screen.notice is None, f"the view reported {screen.notice!r}"
    told = json.dumps([_texts(model) for model in root.references()])
    for plain in ("<script>alert", "<b>odd</b>"):
        assert plain not in told, f"{plain!r} of the catalogue reaches the page as markup"
    session.undo()
    session.focus_on(None)

    made.close()
    left = [*(_watchers(session) - before[0]).elements(), *(_watchers(screen) - before[1]).elements()]
    assert not left, f"close() left {len(left)} watchers on the session and its screen, of {left}"
    session.select(rows[:1])


def _watchers(owner: Any) -> Counter[str]:
    """How many listen to each parameter."""
    return Counter({name: len(found) for kinds in owner.param.watchers.values() for name, found in kinds.items()})


def _texts(model: Any) -> list[str]:
    """What a model hands to the browser as markup."""
    import html

    values = model.properties_with_values(include_defaults=False)
    found = [value for name, value in values.items() if isinstance(value, str) and name not in ("esm", "css", "code")]
    pane = type(model).__name__ == "HTML"  # Panel's pane sends its markup escaped once more
    return [html.unescape(text) if pane else text for text in found]
