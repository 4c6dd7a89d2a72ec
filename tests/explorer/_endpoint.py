"""A server in this process that answers as an OpenAI-compatible endpoint does, or errs on purpose."""

from __future__ import annotations

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from explorer.pipeline.endpoint import Endpoint


class Server(ThreadingHTTPServer):
    """Answers by ``say(body, number)`` -> (status, dict or str[, headers]); keeps what it was asked."""

    def __init__(self, say):
        self.say, self.asked, self.headers = say, [], []
        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.server.headers.append(dict(self.headers))
        status, told, *more = self.server.say(body, len(self.server.asked))
        data = (told if isinstance(told, str) else json.dumps(told)).encode()
        self.send_response(status)
        for name, value in (more[0] if more else {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        """Nothing on the terminal."""


def reply(text, tokens=(10, 5)):
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1]}
    return 200, {"choices": [{"message": {"content": text}}], "usage": usage}


def client(server, **more):
    return Endpoint(server.url, "seer", **{"wait": 0.01, "timeout": 5, "retries": 3, **more})


def word_vectors(body):
    """An embedding model of its own: each word has a direction, a text the mean of its words' directions."""
    rows = []
    for i, text in enumerate(body["input"]):
        words = [w.strip(".,:;").lower() for w in text.split()]
        seeds = [int.from_bytes(hashlib.sha256(w.encode()).digest()[:4], "big") for w in words]
        rows.append(
            {"index": i, "embedding": np.mean([np.random.default_rng(s).normal(size=48) for s in seeds], 0).tolist()}
        )
    return 200, {"data": rows, "usage": {"prompt_tokens": sum(len(t.split()) for t in body["input"])}}
