"""Text to numbers of a vocabulary, as BERT's uncased models do it (Devlin et al. 2018, arXiv:1810.04805).

Small letters without accents; punctuation stands alone; a word that the vocabulary lacks is cut, from the left, into
the longest pieces that it has, of which all but the first begin with ``##``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

LONGEST = 100
"""Letters of a word; longer ones are unknown."""


class WordPiece:
    """Splits texts by a vocabulary, one piece a line of ``path``."""

    def __init__(self, path: Path):
        pieces = path.read_text(encoding="utf-8").splitlines()
        self.numbers = {piece: i for i, piece in enumerate(pieces)}
        missing = [p for p in ("[PAD]", "[UNK]", "[CLS]", "[SEP]") if p not in self.numbers]
        if missing:
            raise ValueError(f"{path} is no vocabulary of BERT: it lacks {', '.join(missing)}")
        self.pad, self.unknown, self.first, self.last = (self.numbers[p] for p in ("[PAD]", "[UNK]", "[CLS]", "[SEP]"))

    def __call__(self, text: str, most: int = 256) -> list[int]:
        """Numbers of the pieces, between those of the first and the last mark; at most ``most`` in all."""
        found = [number for word in words(text) for number in self._cut(word)]
        return [self.first, *found[: most - 2], self.last]

    def _cut(self, word: str) -> Sequence[int]:
        if len(word) > LONGEST:
            return [self.unknown]
        out, start = [], 0
        while start < len(word):
            mark = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if mark + word[start:e] in self.numbers), start)
            if end == start:
                return [self.unknown]
            out.append(self.numbers[mark + word[start:end]])
            start = end
        return out


def words(text: str) -> list[str]:
    """Words and marks of punctuation, in small letters and without accents.

    >>> words("Blue arcs, z=0.5; Schön!")
    ['blue', 'arcs', ',', 'z', '=', '0', '.', '5', ';', 'schon', '!']
    """
    letters = []
    for letter in unicodedata.normalize("NFD", text.lower()):
        kind = unicodedata.category(letter)
        if letter in "\t\n\r" or kind == "Zs":
            letters.append(" ")
        elif letter in "\x00\ufffd" or kind.startswith("C") or kind == "Mn":
            continue
        elif _alone(letter, kind):
            letters += [" ", letter, " "]
        else:
            letters.append(letter)
    return "".join(letters).split()


def _alone(letter: str, kind: str) -> bool:
    """Punctuation, every other mark of ASCII, and Chinese characters."""
    code = ord(letter)
    marks = 33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
    chinese = 0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2CEAF
    return marks or chinese or 0xF900 <= code <= 0xFAFF or kind.startswith("P")
