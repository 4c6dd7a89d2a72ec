"""What people said of objects: an append-only log in ``marks.sqlite``, by user, with time, and with undo.

Nothing is ever changed or removed: to take a mark back adds a line that says so. Every call opens the file, so
that threads, processes and forks can share it; a write is on the disk when the call returns.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explorer.survey.files import now

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ["id", "object_id", "label", "score", "note", "user", "time", "entry"]
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay", "apfs", "hfs", "ntfs3", "bcachefs"}
_SCHEMA = """
CREATE TABLE IF NOT EXISTS log (
    entry INTEGER PRIMARY KEY AUTOINCREMENT,
    batch INTEGER NOT NULL,
    time TEXT NOT NULL,
    user TEXT NOT NULL,
    id TEXT,
    object_id TEXT,
    label TEXT NOT NULL DEFAULT '',
    score REAL,
    note TEXT NOT NULL DEFAULT '',
    undoes INTEGER
);
CREATE INDEX IF NOT EXISTS log_user_id ON log (user, id);
CREATE INDEX IF NOT EXISTS log_undoes ON log (undoes) WHERE undoes IS NOT NULL;
PRAGMA user_version = 1;
"""
_CURRENT = """
SELECT id, object_id, label, score, note, user, time, entry FROM log WHERE entry IN (
    SELECT max(entry) FROM log
    WHERE id IS NOT NULL AND entry <= :last{restricted}
    AND batch NOT IN (SELECT undoes FROM log WHERE undoes IS NOT NULL AND entry <= :last)
    GROUP BY user, id
) AND (label <> '' OR score IS NOT NULL OR note <> '') ORDER BY entry
"""


class MarksError(RuntimeError):
    """Marks that cannot be read or written; the message says why and what to do."""


class Marks:
    """The log of marks in the folder of a survey.

    One user has at most one current mark of a row: a ``label``, a ``score`` from 0 to 5, a ``note``. A later one
    takes its place, :meth:`undo` brings the earlier one back.
    """

    def __init__(self, folder: str | Path):
        self.path = Path(folder) / "marks.sqlite"
        self._read: tuple[tuple[int, str | None], pd.DataFrame] | None = None

    def add(
        self,
        user: str,
        ids: Sequence[str],
        object_ids: Sequence[str],
        label: str | None = None,
        score: float | None = None,
        note: str | None = None,
    ) -> int:
        """Mark rows, as one step of :meth:`undo`; what is None stays as this user had it. Returns the last entry.

        A label, score and note that are all empty (``""``) take the mark away.
        """
        checked_user(user)
        _checked_score(score)
        with self._connect(write=True) as db:
            db.execute("BEGIN IMMEDIATE")
            batch = self._last(db) + 1
            partly = None in (label, score, note)
            held = {row[0]: row[2:5] for row in self._current(db, user, None, ids)} if partly else {}
            lines = []
            for one, thing in zip(ids, object_ids, strict=True):
                old_label, old_score, old_note = held.get(one, ("", None, ""))
                kept_score = old_score if score is None and label != "" else score
                line = (old_label if label is None else label, kept_score, old_note if note is None else note)
                lines.append((batch, now(), user, one, thing, *line))
            db.executemany(
                "INSERT INTO log (batch, time, user, id, object_id, label, score, note) VALUES (?,?,?,?,?,?,?,?)", lines
            )
            last = self._last(db)
            db.execute("COMMIT")
        return last

    def remove(self, user: str, ids: Sequence[str], object_ids: Sequence[str]) -> int:
        """Take this user's marks of these rows away; the log keeps them."""
        return self.add(user, ids, object_ids, "", None, "")

    def undo(self, user: str) -> list[str]:
        """Take back this user's latest step that still stands; the ids that it touched, none where there is none."""
        if not self.path.exists():
            return []
        with self._connect(write=True) as db:
            db.execute("BEGIN IMMEDIATE")
            (batch,) = db.execute(
                "SELECT max(batch) FROM log WHERE user = ? AND undoes IS NULL "
                "AND batch NOT IN (SELECT undoes FROM log WHERE undoes IS NOT NULL)",
                (user,),
            ).fetchone()
            touched = []
            if batch is not None:
                touched = [i for (i,) in db.execute("SELECT id FROM log WHERE batch = ? ORDER BY entry", (batch,))]
                line = (self._last(db) + 1, now(), user, batch)
                db.execute("INSERT INTO log (batch, time, user, undoes) VALUES (?,?,?,?)", line)
            db.execute("COMMIT")
        return touched

    def last(self) -> int:
        """Number of the last entry, 0 where nothing was ever marked; it grows with every change by anybody."""
        if not self.path.exists():
            return 0
        with self._connect() as db:
            return self._last(db)

    def current(self, user: str | None = None, last: int | None = None) -> pd.DataFrame:
        """The marks that stand, of one user or of everybody, now or as of the entry ``last``."""
        import pandas as pd

        if not self.path.exists():
            return pd.DataFrame({c: [] for c in COLUMNS})
        with self._connect() as db:
            last = self._last(db) if last is None else last
            if self._read is not None and self._read[0] == (last, user):
                return self._read[1].copy()
            frame = pd.DataFrame(self._current(db, user, last), columns=COLUMNS)
        frame["score"] = frame["score"].astype(float)
        self._read = ((last, user), frame)
        return frame.copy()

    def log(self) -> list[dict[str, Any]]:
        """Every entry that was ever made, oldest first."""
        if not self.path.exists():
            return []
        with self._connect() as db:
            rows = db.execute("SELECT * FROM log ORDER BY entry")
            names = [d[0] for d in rows.description]
            return [dict(zip(names, row, strict=True)) for row in rows]

    # -- inside --------------------

    @staticmethod
    def _last(db: sqlite3.Connection) -> int:
        return db.execute("SELECT coalesce(max(entry), 0) FROM log").fetchone()[0]

    @staticmethod
    def _current(
        db: sqlite3.Connection, user: str | None, last: int | None, ids: Sequence[str] | None = None
    ) -> list[tuple[Any, ...]]:
        told = {"user": user, "last": 2**62 if last is None else last, "ids": json.dumps(list(ids or ()))}
        restricted = "" if user is None else " AND user = :user"
        restricted += "" if ids is None else " AND id IN (SELECT value FROM json_each(:ids))"
        return db.execute(_CURRENT.format(restricted=restricted), told).fetchall()

    @contextlib.contextmanager
    def _connect(self, write: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            db = self._open(write)
        except sqlite3.Error as error:
            raise self._explained(error, write) from error
        try:
            yield db
        except sqlite3.Error as error:
            raise self._explained(error, write) from error
        finally:
            db.close()

    def _explained(self, error: sqlite3.Error, write: bool) -> MarksError:
        if write and not os.access(self.path if self.path.exists() else self.path.parent, os.W_OK):
            return MarksError(f"{self.path} cannot be written: the survey is read-only for you. Copy it to mark")
        return MarksError(f"{self.path}: {error}. Nothing was lost; see that the disk has room, then try again")

    def _open(self, write: bool) -> sqlite3.Connection:
        if not write and not os.access(self.path.parent, os.W_OK):
            return self._open_read_only()
        db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            mode = "WAL" if on_local_disk(self.path.parent) else "DELETE"
            db.execute("PRAGMA busy_timeout = 30000")
            if db.execute("PRAGMA journal_mode").fetchone()[0].upper() != mode:
                with contextlib.suppress(sqlite3.OperationalError):
                    db.execute(f"PRAGMA journal_mode = {mode}")
            db.execute("PRAGMA synchronous = FULL")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:
                db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        except BaseException:
            db.close()
            raise
        return db

    def _open_read_only(self) -> sqlite3.Connection:
        uri = self.path.resolve().as_uri()
        db = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=30, isolation_level=None)
        try:
            db.execute("SELECT 1 FROM log LIMIT 1")
        except sqlite3.OperationalError:  # WAL needs a file beside it, which a read-only folder cannot have
            db.close()
            db = sqlite3.connect(f"{uri}?immutable=1", uri=True, isolation_level=None)
        return db


def checked_user(user: str) -> str:
    """A user's name that can stand in the log; ValueError for an empty, long or unprintable one."""
    if not isinstance(user, str) or not user.strip() or len(user) > 200 or not user.isprintable():
        raise ValueError(f"{str(user)[:40]!r} is no user's name: give 1 to 200 printable characters")
    return user


def _checked_score(score: float | None) -> None:
    if score is not None and not 0 <= score <= 5:
        raise ValueError(f"a score is a number from 0 to 5, not {score!r}")


def on_local_disk(folder: Path, mounts: str = "/proc/mounts") -> bool:
    """Whether the folder lies on a disk of this machine, as far as the system tells; False where it does not."""
    try:
        lines = Path(mounts).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    path, best, kind = str(folder.resolve()), "", ""
    for line in lines:
        parts = line.split()
        if len(parts) < 3:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), parts[1])
        if (path == place or path.startswith(place.rstrip("/") + "/")) and len(place) >= len(best):
            best, kind = place, parts[2]
    return kind in _LOCAL
