"""The small files of a survey: ``survey.toml``, written whole or not at all, and the writer's lock."""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import socket
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


class SurveyError(RuntimeError):
    """A survey that cannot be opened or written; the message says why and what to do."""


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def user_name() -> str:
    """Who runs this process, ``unknown`` where the system does not say."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def write_atomically(path: Path, data: bytes) -> None:
    """Replace ``path`` by ``data`` so that a reader, or a kill, sees the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with open(part, "wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, path)


def _plain(value: Any) -> Any:
    """The value without nulls and numpy scalars, which TOML does not have."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value if v is not None]
    if hasattr(value, "item") and not isinstance(value, str | bytes):
        return value.item()
    return str(value) if isinstance(value, Path) else value


def write_meta(folder: Path, meta: dict[str, Any]) -> None:
    """Write ``survey.toml``."""
    import tomli_w

    write_atomically(folder / "survey.toml", tomli_w.dumps(_plain(meta)).encode())


def read_meta(folder: Path) -> dict[str, Any]:
    """Read ``survey.toml``; :class:`SurveyError` where the folder is no survey or the file is broken."""
    path = folder / "survey.toml"
    if not path.is_file():
        raise SurveyError(
            f"{folder} is no survey: it has no survey.toml. Make one with: explorer ingest SOURCE {folder}"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SurveyError(f"{path} cannot be read ({error}). Restore it from a copy, or ingest again") from error


@contextlib.contextmanager
def writer_lock(folder: Path, doing: str, wait: float = 0.0) -> Iterator[None]:
    """Hold the survey's one writer's lock; the operating system frees it when the process dies.

    Raises :class:`SurveyError` naming the holder where it is taken for longer than ``wait`` seconds.
    """
    from filelock import FileLock, Timeout

    holder = folder / "writer.json"
    lock = FileLock(folder / ".writer.lock", is_singleton=True)
    try:
        lock.acquire(timeout=wait, poll_interval=0.05)
    except Timeout:
        try:
            who = json.loads(holder.read_text())
            told = f"process {who['pid']} of {who['user']} on {who['host']} ({who['doing']}, since {who['since']})"
        except (OSError, ValueError, KeyError):
            told = "another process"
        raise SurveyError(f"{folder} is being written by {told}: wait for it to end, or stop it") from None
    try:
        if lock.lock_counter == 1:
            who = {
                "pid": os.getpid(),
                "user": user_name(),
                "host": socket.gethostname(),
                "doing": doing,
                "since": now(),
            }
            write_atomically(holder, json.dumps(who).encode())
        yield
    finally:
        if lock.lock_counter == 1:
            holder.unlink(missing_ok=True)
        lock.release()
