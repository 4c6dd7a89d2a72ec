"""One question sent to an endpoint and one answer taken: in its time, of a bounded size, without its secrets."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit

LONGEST_WAIT = 60.0
"""Seconds that a busy endpoint may ask us to wait (Retry-After); a longer wait counts as this one."""
LARGEST = 64 << 20
"""Bytes of an answer at most."""


class EndpointError(RuntimeError):
    """An endpoint that is down, slow, refuses, or answers what it was not asked; the message says what to do."""


class Unreached(EndpointError):
    """No answer came at all."""


class Busy(EndpointError):
    """The endpoint asks to be left alone for ``wait`` seconds."""

    def __init__(self, message: str, wait: float):
        super().__init__(message)
        self.wait = wait


class Final(RuntimeError):
    """What another try would not mend."""


def shown(address: str) -> str:
    """An address as it may be shown: without a user, a password and what follows a question mark.

    >>> shown("http://anna:secret@host:8000/v1/?token=1")
    'http://host:8000/v1'
    """
    return re.sub(r"^(\w+://)?[^/]*@", r"\1", re.split(r"[?#]", address)[0]).rstrip("/")


def post(base_url: str, path: str, body: dict[str, Any], key: str, timeout: float) -> tuple[int, float, str]:
    """(status, seconds that it asks to wait, text) of an answer.

    :class:`Unreached` where none came within ``timeout`` seconds, or no server was there. Nothing is followed that
    sends elsewhere.
    """
    import requests
    from urllib3.exceptions import HTTPError, ReadTimeoutError

    base, mark, query = base_url.partition("?")
    until = time.monotonic() + timeout
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with requests.post(
            f"{base.rstrip('/')}/{path}{mark}{query}",
            json=body, headers=headers, timeout=timeout, allow_redirects=False, stream=True,
        ) as reply:  # fmt: skip
            asked = reply.headers.get("Retry-After", "")
            wait = min(float(asked), LONGEST_WAIT) if asked.isdigit() else 0.0
            return reply.status_code, wait, hidden(_read(reply, until, timeout), _secrets(base_url, key))
    except (requests.Timeout, ReadTimeoutError):
        raise Unreached(f"no answer within {timeout:g} s") from None
    except (requests.RequestException, HTTPError) as error:
        raise Unreached(f"cannot be reached ({type(error).__name__}): is the server running?") from None


def _read(reply: Any, until: float, timeout: float) -> str:
    """The body of a reply; a server that sends it drop by drop is late too."""
    held = bytearray()
    once = getattr(reply.raw, "read1", None)  # what has come so far; other reads wait until a block is full
    parts: Iterable[bytes] = iter(lambda: once(1 << 16, decode_content=True), b"") if once else reply.iter_content(256)
    for part in parts:
        held += part
        if time.monotonic() > until:
            raise Unreached(f"no whole answer within {timeout:g} s")
        if len(held) > LARGEST:
            raise Final(f"{shown(reply.url)} answers with more than {LARGEST >> 20} MB")
    return held.decode("utf-8", "replace")


def _secrets(base_url: str, key: str) -> list[str]:
    parts = urlsplit(base_url)
    return [s for s in (key, parts.password or "", unquote(parts.password or "")) if len(s) > 3]


def hidden(text: str, secrets: Iterable[str]) -> str:
    """A text without secrets, plain or as JSON writes them, whoever put them there."""
    for secret in secrets:
        text = text.replace(secret, "***").replace(json.dumps(secret)[1:-1], "***")
    return text
