"""The server: one process, one event loop; every window gets its own session, all share the surveys' arrays."""

from __future__ import annotations

import errno
import logging
import re
import socket
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bokeh.server.server import Server

    from explorer.app import Options
    from explorer.survey.store import Survey

_log = logging.getLogger("explorer")


def slug(name: str) -> str:
    """A survey's name as a piece of an address."""
    return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-") or "survey"


def applications(surveys: Sequence[Survey], options: Options | None = None) -> dict[str, Any]:
    """Address → application, one for each survey; names that would collide are numbered."""
    from explorer.app import Explorer

    found: dict[str, Any] = {}
    for survey in surveys:
        base = name = slug(survey.name)
        number = 2
        while name in found:
            name, number = f"{base}-{number}", number + 1
        found[name] = lambda survey=survey: Explorer(survey, options).page()
    return found


def free_port(address: str, port: int = 0) -> int:
    """``port``, or where it is 0 one that nothing listens on; OSError says what to change where it cannot be had."""
    try:
        family, _, _, _, where = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(where)
            return int(probe.getsockname()[1])
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            told = f"port {port} of {address} is taken: choose another with --port, or a free one with --port 0"
        elif error.errno == errno.EACCES:
            told = f"port {port} may not be used by you: choose one above 1023 with --port"
        else:
            told = f"{address} is no address of this machine ({error.strerror}): give localhost, or 0.0.0.0 for all"
        raise OSError(told) from error


def origins(address: str, port: int) -> list[str]:
    """Hosts from which a page may open its connection: this machine's own names, and ``address``."""
    return sorted({f"{name}:{port}" for name in ("localhost", "127.0.0.1", address) if name not in ("0.0.0.0", "::")})


def _timed(app: Callable[[], Any], started: float) -> Callable[[], Any]:
    """The application, which prints once how long it took until a browser had the first page."""
    told: list[float] = []

    def page() -> Any:
        import panel as pn

        def loaded() -> None:
            if not told:
                told.append(time.monotonic() - started)
                print(f"first page after {told[0]:.1f} s", flush=True)

        pn.state.onload(loaded)
        return app()

    return page


def serve(
    surveys: Sequence[Survey],
    address: str = "localhost",
    port: int = 5006,
    show: bool = True,
    started: float | None = None,
    options: Options | None = None,
    block: bool = True,
) -> Server:
    """Serve surveys to browsers, on this machine alone unless another ``address`` is given.

    ``started`` (``time.monotonic()`` of the command's beginning) makes the server print the seconds to the first
    page. With ``block`` False the caller runs the server's loop.
    """
    import panel as pn

    from explorer import front

    pn.extension(reconnect=True)
    port = free_port(address, port)
    apps = applications(surveys, options)
    titles = {name: f"{survey.name} · Astro Explorer" for name, survey in zip(apps, surveys, strict=True)}
    if started is not None:
        apps = {name: _timed(app, started) for name, app in apps.items()}
    server = pn.serve(
        apps,
        address=address,
        port=port,
        title=titles,
        show=False,
        start=False,
        threaded=False,
        verbose=False,
        websocket_origin=origins(address, port),
        extra_patterns=front.routes(list(apps), surveys),
    )
    at = f"http://{address}:{port}/{next(iter(apps)) if len(apps) == 1 else ''}"
    print(f"{at}   (stop with Ctrl+C)", flush=True)
    server.start()
    if show:
        server.io_loop.add_callback(lambda: server.show(f"/{next(iter(apps))}"))
    if block:
        server.io_loop.start()
    return server
