"""How kernels use the cores: compiled functions with a cache on disk, one pool of threads, one lock.

Two forms of parallel numba exist here. A kernel compiled by :func:`njit` runs on one core without the
interpreter's lock, and :func:`in_threads` runs several of its calls at once: safe from any thread. A kernel
compiled with ``parallel=True`` starts numba's own threads; its workqueue layer (the one without libgomp or
tbb) aborts the process when two threads enter such kernels at once, so every call goes through
:func:`run_parallel`, one at a time in the process.
"""

from __future__ import annotations

import os
import tempfile
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")

numba_lock = threading.RLock()
"""Held while a ``parallel=True`` numba kernel runs; take it around a library that calls such kernels."""

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()
_inside = threading.local()


def cores() -> int:
    """Cores this process may use: its affinity, at most ``NUMBA_NUM_THREADS`` where that is set."""
    try:
        usable = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        usable = os.cpu_count() or 1
    told = os.environ.get("NUMBA_NUM_THREADS", "")
    return min(usable, int(told)) if told.isdigit() and int(told) > 0 else usable


def in_threads(calls: Iterable[Callable[[], T]]) -> list[T]:
    """Results of the calls, run at once on the process's pool; the first error is raised.

    A call made from inside the pool runs its own calls in turn, so nesting cannot deadlock.
    """
    listed = list(calls)
    if len(listed) < 2 or cores() == 1 or getattr(_inside, "pool", False):
        return [call() for call in listed]
    futures = [_executor().submit(_marked, call) for call in listed[1:]]
    try:
        first = listed[0]()  # the caller's own core works too
    finally:
        for future in futures:
            future.exception()  # every call has ended before anything is raised: they share arrays
    return [first, *(future.result() for future in futures)]


def run_parallel(kernel: Callable[..., T], *arguments: Any) -> T:
    """``kernel(*arguments)`` for a ``parallel=True`` numba kernel, one at a time in the process."""
    with numba_lock:
        return kernel(*arguments)


def njit(function: Callable[..., Any] | None = None, **options: Any) -> Any:
    """``numba.njit`` that releases the interpreter's lock and keeps what it compiled on disk.

    Importing numba waits until a module that decorates a function is imported.
    """
    if function is None:
        return lambda waiting: njit(waiting, **options)
    import numba

    if options.get("cache", True):
        _writable_cache(numba, function)
    return numba.njit(**{"cache": True, "nogil": True, **options})(function)


def _marked(call: Callable[[], T]) -> T:
    _inside.pool = True
    return call()


def _executor() -> ThreadPoolExecutor:
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max(1, cores() - 1), thread_name_prefix="kernels")
        return _pool


def _forget_pool() -> None:
    """A forked child has the pool's object but none of its threads, and may hold its lock."""
    global _pool, _pool_lock, numba_lock
    _pool, _pool_lock, numba_lock = None, threading.Lock(), threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_pool)


def _writable_cache(numba: Any, function: Callable[..., Any]) -> None:
    """Point numba's cache at a temporary folder where neither the package nor the home can be written.

    numba raises "cannot cache function: no locator available" there. ``NUMBA_CACHE_DIR`` wins where set.
    """
    if numba.config.CACHE_DIR:
        return
    beside = Path(function.__code__.co_filename).parent
    home = Path(os.path.expanduser("~"))
    cache_home = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    if any(_can_write(folder) for folder in (beside / "__pycache__", cache_home)):
        return
    owner = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "user")
    fallback = Path(tempfile.gettempdir()) / f"astro-explorer-numba-{owner}"
    fallback.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and fallback.stat().st_uid != os.getuid():  # compiled code of another person
        fallback = Path(tempfile.mkdtemp(prefix="astro-explorer-numba-"))
    numba.config.CACHE_DIR = str(fallback)


def _can_write(folder: Path) -> bool:
    """Whether the folder, or the nearest parent that exists, can be written."""
    while not folder.exists():
        if folder.parent == folder:
            return False
        folder = folder.parent
    return os.access(folder, os.W_OK | os.X_OK)
