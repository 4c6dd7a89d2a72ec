"""The form every benchmark has: rows of figures, printed as a table and written as JSON.

A benchmark is one module ``tests/benchmarks/NAME.py`` with

* ``run(options) -> list[Row]`` and
* optionally ``add_arguments(parser)``, whose options it finds as attributes of ``options``.

Peers run in the same process, or in turn with ours; a figure is the median of several runs
(:func:`alternate`, :func:`median_seconds`).
"""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import tests.benchmarks as folder


@dataclass
class Row:
    """One figure of a benchmark.

    Parameters
    ----------
    id : stable name, ``benchmark.what/peer`` where there is a peer.
    what : one line that says what was measured, on how much.
    ours, peer : the figures, in ``unit``; ``None`` where there is none.
    unit : ``"s"``, ``"ms"``, ``"rows/s"``, ...
    better : whether a smaller or a larger figure is the better one; fixes the sense of ``ratio``.
    floor : the physical or promised bound for ``ours`` in ``unit`` (bytes over bandwidth, a budget).
    extra : a flat object of further figures.
    """

    id: str
    what: str
    ours: float
    peer: float | None = None
    unit: str = "s"
    better: Literal["less", "more"] = "less"
    floor: float | None = None
    extra: dict[str, float | int | str | bool | None] = field(default_factory=dict)

    @property
    def ratio(self) -> float | None:
        """How many times better ours is than the peer (above 1: ours is better)."""
        if self.peer is None or self.ours is None:
            return None
        over, under = (self.peer, self.ours) if self.better == "less" else (self.ours, self.peer)
        return over / under if under else None

    def to_json(self) -> dict[str, Any]:
        """The object written for this row, ``ratio`` included."""
        flat = asdict(self)
        flat.pop("better")
        return {**{k: flat[k] for k in ("id", "what", "ours", "peer", "unit")}, "ratio": self.ratio} | {
            "floor": self.floor,
            "extra": self.extra,
        }


def median_seconds(call: Callable[[], Any], repeat: int = 3) -> float:
    """Median wall seconds of ``repeat`` calls."""
    return statistics.median(_seconds(call) for _ in range(repeat))


def alternate(*calls: Callable[[], Any], repeat: int = 3) -> list[float]:
    """Median wall seconds of each call, run in turn ``repeat`` times so that all meet the same machine."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(repeat):
        for call, times in zip(calls, taken, strict=True):
            times.append(_seconds(call))
    return [statistics.median(times) for times in taken]


def _seconds(call: Callable[[], Any]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def names() -> list[str]:
    """The benchmarks that exist, without importing any."""
    return sorted(m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks named on the command line; the exit status is 0 when all ran."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    first_option = next((i for i, word in enumerate(given) if word.startswith("-")), len(given))
    asked, options = given[:first_option], given[first_option:]  # names first: later words may be values
    known = names()
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        usage="%(prog)s [NAME ...] [--json [FILE]] [options of NAME]",
        description=f"Measure ours beside the peers. NAME is of: {', '.join(known)}; none or 'all' runs all.",
        add_help=False,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--json",
        nargs="?",
        const=Path("-"),
        type=Path,
        metavar="FILE",
        help="also write the rows as a list of objects; without FILE to standard output, the table to the error",
    )
    parser.add_argument("-h", "--help", action="store_true", help="this text, with the options of each NAME")
    told, rest = parser.parse_known_args(options)
    wanted = known if asked in ([], ["all"]) else asked
    unknown = [name for name in wanted if name not in known]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; there are: {', '.join(known)}")

    modules = {name: importlib.import_module(f"{folder.__name__}.{name}") for name in wanted}
    parsers = {name: _parser_of(name, module) for name, module in modules.items()}
    if told.help:
        parser.print_help()
        for own in parsers.values():
            print()
            own.print_help()
        return 0
    parsed = {name: own.parse_known_args(rest) for name, own in parsers.items()}
    stray = set(rest).intersection(*(set(unused) for _, unused in parsed.values()))
    if stray:
        parser.error(f"no benchmark of {', '.join(wanted)} has the option {' '.join(sorted(stray))}")

    to_stdout = told.json == Path("-")
    rows: list[Row] = []
    failed = []
    for name, module in modules.items():
        print(f"# {name}", file=sys.stderr, flush=True)
        try:
            found = module.run(parsed[name][0])
        except Exception as error:
            if len(modules) == 1:
                raise
            failed.append(f"{name}: {type(error).__name__}: {error}")
            continue
        print(table(found), file=sys.stderr if to_stdout else sys.stdout, flush=True)
        rows += found
    if to_stdout:
        print(json.dumps([row.to_json() for row in rows], indent=1))
    elif told.json:
        told.json.parent.mkdir(parents=True, exist_ok=True)
        told.json.write_text(json.dumps([row.to_json() for row in rows], indent=1) + "\n")
    for line in failed:
        print(f"failed {line}", file=sys.stderr)
    return 1 if failed else 0


def _parser_of(name: str, module: ModuleType) -> argparse.ArgumentParser:
    first = (module.__doc__ or "").strip().splitlines()[:1]
    parser = argparse.ArgumentParser(prog=name, description="".join(first), add_help=False, allow_abbrev=False)
    if hasattr(module, "add_arguments"):
        module.add_arguments(parser)
    return parser


def table(rows: Sequence[Row]) -> str:
    """The rows as text, one line each, the extras below their row."""
    head = ("id", "ours", "peer", "unit", "ratio", "floor", "what")
    body = [(r.id, _figure(r.ours), _figure(r.peer), r.unit, _figure(r.ratio), _figure(r.floor), r.what) for r in rows]
    widths = [max(len(line[i]) for line in [head, *body]) for i in range(len(head))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(head, widths, strict=True)).rstrip()]
    for row, cells in zip(rows, body, strict=True):
        lines.append("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())
        if row.extra:
            figures = (f"{k} {_figure(v) if isinstance(v, float) else v}" for k, v in row.extra.items())
            lines.append("    " + " · ".join(figures))
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"
