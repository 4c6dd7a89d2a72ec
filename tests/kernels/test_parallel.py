"""The pool of threads, the lock around numba's own threads, and the cache of compiled code."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import threading
import time
from functools import partial
from operator import add
from pathlib import Path

import pytest

from kernels import _parallel
from kernels._parallel import in_threads, njit, run_parallel


@pytest.fixture(autouse=True)
def two_cores(monkeypatch):
    monkeypatch.setattr(_parallel, "cores", lambda: 2)


def test_results_come_in_order_and_calls_overlap():
    meeting = threading.Barrier(2, timeout=20)

    def call(k: int) -> int:
        meeting.wait()  # passes only when two calls run at once
        return k

    assert in_threads([partial(call, k) for k in range(2)]) == [0, 1]


def test_an_error_is_raised_after_every_call_has_ended():
    ended = []

    def slow() -> None:
        time.sleep(0.05)
        ended.append(True)

    with pytest.raises(ZeroDivisionError):
        in_threads([lambda: 1 // 0, slow, slow])
    assert len(ended) == 2
    with pytest.raises(ZeroDivisionError):
        in_threads([slow, lambda: 1 // 0])


def test_nested_calls_do_not_wait_for_the_pool():
    def outer(k: int) -> int:
        return sum(in_threads([partial(add, 10 * k, j) for j in range(3)]))

    assert in_threads([partial(outer, k) for k in range(4)]) == [3, 33, 63, 93]


def test_parallel_kernels_run_one_at_a_time():
    inside, most = [], []

    def kernel() -> None:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.01)
        inside.pop()

    threads = [threading.Thread(target=run_parallel, args=(kernel,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_makes_its_own_pool():
    script = (
        "import os; from kernels import _parallel as p; p.cores = lambda: 2\n"
        "work = [lambda: 1, lambda: 2, lambda: 3]; p.in_threads(work)\n"
        "pid = os.fork()\n"
        "if pid == 0: os._exit(0 if p.in_threads(work) == [1, 2, 3] else 1)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "0", done.stderr


def test_a_cache_is_found_where_home_cannot_be_written(monkeypatch, tmp_path):
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setattr(_parallel, "_can_write", lambda folder: False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))

    @njit
    def double(v):
        return 2 * v

    folder = Path(numba.config.CACHE_DIR)
    assert folder.parent == tmp_path
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert double(4) == 8
    assert list(folder.rglob("*.nbi"))


def test_a_cache_that_was_chosen_stays(monkeypatch, tmp_path):
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(_parallel, "_can_write", lambda folder: False)
    njit(lambda v: v)
    assert Path(numba.config.CACHE_DIR) == tmp_path


def test_importing_does_not_import_numba():
    script = "import kernels._parallel, kernels.layout, sys; print('numba' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
