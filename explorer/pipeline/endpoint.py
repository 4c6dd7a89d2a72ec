"""A client for chat and embedding endpoints that speak the OpenAI form, local servers included (P4.1, P4.4).

Nothing is sent anywhere but to the address that the person names. An answer is kept on disk by its content, so that a
run that stopped goes on without asking again. A key is read from the environment, sent, and neither stored nor shown.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from explorer.pipeline import _transport as transport
from explorer.pipeline._transport import Busy, EndpointError, Final, Unreached
from explorer.survey.files import write_atomically

__all__ = ["Answer", "Endpoint", "EndpointError", "Spent", "checked"]

RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
Progress = Callable[[int, int, str], None] | None


@dataclass(frozen=True)
class Answer:
    """What came back: ``value`` (text, or what the JSON schema asked for), its tokens, and whether it was kept."""

    value: Any
    tokens_in: int = 0
    tokens_out: int = 0
    kept: bool = False


@dataclass
class Spent:
    """What a client has used: questions asked, answers taken from the disk, retries, tokens, and their cost."""

    asked: int = 0
    kept: int = 0
    retries: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float = 0.0


@dataclass
class Endpoint:
    """One model behind one address.

    Parameters
    ----------
    base_url : for example ``http://localhost:11434/v1`` (Ollama) or ``https://api.openai.com/v1``.
    model : its name there.
    key_from : environment variable that holds the key; '' sends none.
    cache : folder of kept answers; None keeps none.
    workers : questions under way at once. ``per_minute`` : questions a minute at most, 0 without a limit.
    timeout, retries : seconds for an answer; further tries when it is late, busy (429) or broken (5xx).
    price : currency units for a million tokens (in, out), for ``spent.cost``; answers that had to be asked for again
        count too.
    most_cost : a limit on ``spent.cost``; beyond it nothing more is asked.

    A key that is refused, and a server that several questions in a row could not reach, end it: what is still to be
    asked fails at once, with the same reason.
    """

    base_url: str = field(repr=False)  # it may hold a password
    model: str
    key_from: str = "EXPLORER_API_KEY"
    cache: Path | None = None
    workers: int = 4
    per_minute: float = 0.0
    timeout: float = 60.0
    retries: int = 4
    price: tuple[float, float] = (0.0, 0.0)
    most_cost: float = float("inf")
    wait: float = 1.0
    spent: Spent = field(default_factory=Spent)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")) or not urlsplit(self.base_url).hostname:
            raise ValueError(f"base_url={self.address!r}: an address that begins with http:// or https://")
        self._lock, self._next, self._unreached, self._ended = threading.Lock(), 0.0, 0, ""
        self._under_way: dict[str, threading.Lock] = {}

    @property
    def address(self) -> str:
        """``base_url`` as it may be shown: without a user, a password and what follows a question mark."""
        return transport.shown(self.base_url)

    # -- what is asked --------------------

    def chat(
        self, prompt: str, images: Sequence[bytes] = (), schema: dict[str, Any] | None = None, sample: int = 0
    ) -> Answer:
        """The answer to one question with PNG ``images``; with a JSON ``schema``, a value that fulfils it.

        ``sample`` numbers repeated questions, which are kept apart.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": _content(prompt, images)}],
        }
        if schema is not None:
            named = {"name": "answer", "schema": schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": named}

        def read(told: dict[str, Any]) -> Any:
            text = told["choices"][0]["message"].get("content")
            if not isinstance(text, str) or not text.strip():
                refusal = told["choices"][0]["message"].get("refusal") or "no text"
                raise EndpointError(f"{self.model} gave no answer ({str(refusal)[:200]})")
            return text.strip() if schema is None else checked(text, schema)

        return self._ask("chat/completions", body, read, sample)

    def embed(self, texts: Sequence[str], batch: int = 64, progress: Progress = None) -> np.ndarray:
        """(n, d) float32 vectors of texts; every block is kept when it came."""
        blocks = [list(texts[s : s + batch]) for s in range(0, len(texts), batch)]
        if not blocks:
            raise ValueError("no texts to embed")

        def one(block: list[str]) -> np.ndarray:
            def read(told: dict[str, Any]) -> Any:
                rows = sorted(told["data"], key=lambda row: row["index"])
                if len(rows) != len(block):
                    raise EndpointError(f"{self.model} gave {len(rows)} vectors for {len(block)} texts")
                if [row["index"] for row in rows] != list(range(len(block))):
                    raise EndpointError(f"{self.model} gave a vector twice and left one out")
                vectors = np.asarray([row["embedding"] for row in rows], np.float64)
                if vectors.ndim != 2 or not np.isfinite(vectors).all():
                    raise EndpointError(f"{self.model} gave vectors that are not finite, or not of one width")
                return vectors.tolist()

            return np.asarray(self._ask("embeddings", {"model": self.model, "input": block}, read, 0).value, np.float32)

        found = self.each(one, blocks, progress, "texts embedded")
        for error in (f for f in found if isinstance(f, Exception)):
            raise error
        widths = {f.shape[1] for f in found}
        if len(widths) > 1:
            raise EndpointError(f"{self.model} gave vectors of several widths: {sorted(widths)}")
        return np.concatenate(found)

    def each(
        self, ask: Callable[[Any], Any], items: Iterable[Any], progress: Progress = None, label: str = ""
    ) -> list[Any]:
        """``ask(item)`` for each item, ``workers`` at once; an item that failed has its EndpointError in its place."""
        listed = list(items)
        done = 0

        def one(item: Any) -> Any:
            nonlocal done
            try:
                return ask(item)
            except EndpointError as error:
                return error
            finally:
                with self._lock:
                    done += 1
                    at = done
                if progress:
                    progress(at, len(listed), label)

        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            return list(pool.map(one, listed))

    # -- how it is asked --------------------

    def _ask(self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Any], sample: int) -> Answer:
        name = hashlib.sha256(json.dumps([self.address, path, body, sample], sort_keys=True).encode()).hexdigest()
        place = self.cache / name[:2] / f"{name}.json" if self.cache else None
        if place is None:
            return self._try(path, body, read, None)
        with self._lock:
            mine = self._under_way.setdefault(name, threading.Lock())
        with mine:  # who asks the same at the same time takes the answer of the first
            if place.exists():
                with self._lock:
                    self.spent.kept += 1
                return Answer(json.loads(place.read_text(encoding="utf-8"))["value"], kept=True)
            return self._try(path, body, read, place)

    def _try(
        self, path: str, body: dict[str, Any], read: Callable[[dict[str, Any]], Any], place: Path | None
    ) -> Answer:
        last: Exception = EndpointError("not asked")
        wait = 0.0
        for attempt in range(self.retries + 1):
            if attempt:
                with self._lock:
                    self.spent.retries += 1
                time.sleep(max(wait, self.wait * 2 ** (attempt - 1)))
            try:
                wait = 0.0
                told = self._post(path, body)
                into, out = self._count(told)
                value = read(told)
            except Final as error:
                raise EndpointError(str(error)) from None
            except (EndpointError, LookupError, TypeError, ValueError, AttributeError) as error:
                last = error  # malformed or not what was asked: it may be better the next time
                wait = getattr(error, "wait", 0.0)
                continue
            with self._lock:
                self.spent.asked += 1
            if place is not None:
                place.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(place, json.dumps({"model": self.model, "value": value}).encode())
            return Answer(value, into, out)
        told_last = str(last) if isinstance(last, EndpointError) else f"an answer of another form ({last!r:.200})"
        message = f"{self.address} did not answer after {self.retries + 1} tries: {told_last}"
        if isinstance(last, Unreached):
            self._count_unreached(message)
        raise EndpointError(message)

    def _count(self, told: dict[str, Any]) -> tuple[int, int]:
        """Tokens (in, out) of an answer, added to what is spent; 0 where the endpoint does not tell them as numbers."""
        usage = told.get("usage")
        usage = usage if isinstance(usage, dict) else {}
        given = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
        into, out = (int(n) if isinstance(n, int | float) and 0 <= n < 1e12 else 0 for n in given)
        with self._lock:
            self._unreached = 0
            self.spent.tokens_in += into
            self.spent.tokens_out += out
            self.spent.cost += (into * self.price[0] + out * self.price[1]) / 1e6
        return into, out

    def _count_unreached(self, message: str) -> None:
        with self._lock:
            self._unreached += 1
            if self._unreached > max(2, self.workers):
                self._ended = f"given up after {self._unreached} questions in a row: {message}"

    def _key(self) -> str:
        key = os.environ.get(self.key_from, "").strip() if self.key_from else ""
        if key and not (key.isascii() and key.isprintable()):
            raise Final(f"the key in ${self.key_from} holds letters that no key has: copy it anew")
        return key

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._take_turn()
        key, named = self._key(), f"{self.address}/{path}"
        status, wait, text = transport.post(self.base_url, path, body, key, self.timeout)
        if status in RETRIED:
            raise Busy(f"status {status}", wait)
        if status in (401, 403):
            said = f"{named} refuses the key in ${self.key_from or '(none)'}: set the right one (status {status})"
            with self._lock:
                self._ended = said
            raise Final(said)
        if status != 200:
            raise Final(f"{named} answers with status {status}: {text[:300]}")
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ValueError("the answer is no JSON object")
        return told

    def _take_turn(self) -> None:
        with self._lock:
            if self._ended:
                raise Final(self._ended)
            if self.spent.cost > self.most_cost:
                raise Final(
                    f"the limit of {self.most_cost:g} is spent ({self.spent.cost:.4g}): raise most_cost to go on"
                )
            now = time.monotonic()
            at = max(now, self._next)
            if self.per_minute > 0:
                self._next = at + 60 / self.per_minute
        time.sleep(max(0.0, at - now))


def _content(prompt: str, images: Sequence[bytes]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": prompt}]
    for image in images:
        data = base64.b64encode(image).decode("ascii")
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}})
    return parts


def checked(text: str, schema: dict[str, Any]) -> Any:
    """The JSON value in ``text`` (alone, in a code fence, or between other words) where it fulfils ``schema``."""
    from jsonschema import ValidationError, validate

    decoder = json.JSONDecoder()
    for start in [i for i, letter in enumerate(text) if letter in "{["] or [0]:
        try:
            value, _ = decoder.raw_decode(text[start:])
            validate(value, schema)
            return value
        except (json.JSONDecodeError, ValidationError):
            continue
    raise EndpointError(f"the answer holds no JSON of the form asked for: {text[:120]!r}")
