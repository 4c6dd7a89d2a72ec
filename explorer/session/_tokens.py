"""From the text of a query to an expression that Python's own parser reads, and back to positions in the text.

Nothing but the pieces listed here gets through: no attribute, subscript, brace, lambda or assignment has a token.
Column names that Python could not read (in backquotes, reserved words, other alphabets) become placeholders.
"""

from __future__ import annotations

import ast
import keyword
import re
from bisect import bisect_right
from dataclasses import dataclass, field

from kernels.registry import UnknownName

MAX_LENGTH, MAX_NESTING, MAX_OPERATORS = 100_000, 60, 1_000

_TOKEN = re.compile(
    r"""(?P<space>\s+)
      | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
      | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | (?P<quoted>`[^`]*`)
      | (?P<name>[^\W\d]\w*)
      | (?P<operator>==|!=|<=|>=|&&|\|\||\*\*|//|<>|[-+*/%<>&|~(),\[\]])""",
    re.VERBOSE | re.DOTALL,
)
_REWRITTEN = {"&": "and", "|": "or", "~": "not", "&&": "and", "||": "or"}
_WORDS = {"and", "or", "not", "in", "True", "False"}
_SPELLED = {"true": "True", "false": "False", "AND": "and", "OR": "or", "NOT": "not", "IN": "in"}
_ADVICE = {
    "=": "Compare with ==",
    "!": "Write 'not', or != to compare",
    ".": "There are no attributes or methods here: write functions such as abs(x), and odd column names in backquotes",
    "`": "A backquoted column name ends with another backquote",
    "'": "Text ends with the same quote that it starts with",
    '"': "Text ends with the same quote that it starts with",
    "^": "Powers are written **",
    ";": "Write one condition; join several with 'and'",
    ":": "Ranges are written 1 <= x < 2",
}


class QueryError(ValueError):
    """A query that cannot be used: the message quotes the piece at fault, its position, and what to write instead."""

    def __init__(self, message: str, text: str = "", start: int = 0, end: int | None = None):
        self.text, self.start = text, start
        self.end = min(len(text), start + 1 if end is None else end)
        super().__init__(message + _shown(text, self.start, self.end))


class UnknownInQuery(QueryError, UnknownName):
    """A name in a query that is not there; the message lists the names that are."""

    def __init__(self, unknown: UnknownName, text: str, start: int, end: int):
        QueryError.__init__(self, str(unknown), text, start, end)
        self.kind, self.name, self.known = unknown.kind, unknown.name, unknown.known


def _shown(text: str, start: int, end: int) -> str:
    """Two lines: the text around the fault and carets below it."""
    if not text:
        return ""
    left, right = max(0, start - 30), min(len(text), start + 50)
    before, after = "…" if left else "", "…" if right < len(text) else ""
    line = "".join(c if c.isprintable() else " " for c in text[left:right])
    carets = "^" * max(1, min(end, right) - start)
    return f" (at character {start + 1})\n    {before}{line}{after}\n    {' ' * (len(before) + start - left)}{carets}"


@dataclass
class Source:
    """A query read into pieces.

    ``python`` is what Python's parser gets, one line of ASCII; ``names`` maps each placeholder in it to
    ``(column, quoted)``.
    """

    text: str
    python: str = ""
    names: dict[str, tuple[str, bool]] = field(default_factory=dict)
    _starts: list[int] = field(default_factory=list)
    _spans: list[tuple[int, int]] = field(default_factory=list)

    def add(self, piece: str, start: int, end: int) -> None:
        """Append a piece that stands for ``text[start:end]``."""
        self._starts.append(len(self.python))
        self._spans.append((start, end))
        self.python += piece + " "

    def span(self, node: ast.AST) -> tuple[int, int]:
        """``(start, end)`` in the text of a node of the parsed expression."""
        first = getattr(node, "col_offset", 0)
        last = max(first, (getattr(node, "end_col_offset", None) or first + 1) - 1)
        return self._at(first)[0], self._at(last)[1]

    def _at(self, offset: int) -> tuple[int, int]:
        return self._spans[max(0, bisect_right(self._starts, offset) - 1)]

    def error(self, message: str, node: ast.AST) -> QueryError:
        """A :class:`QueryError` about the text of ``node``."""
        return QueryError(message, self.text, *self.span(node))

    def unknown(self, unknown: UnknownName, node: ast.AST) -> UnknownInQuery:
        """An :class:`UnknownInQuery` about the text of ``node``."""
        return UnknownInQuery(unknown, self.text, *self.span(node))


def read(text: str) -> Source:
    """Read the text of a query into pieces; :class:`QueryError` at the first that has no place in one."""
    if not isinstance(text, str):
        raise QueryError(f"a query is text, not {type(text).__name__}")
    if len(text) > MAX_LENGTH:
        raise QueryError(f"a query has at most {MAX_LENGTH} characters, this one {len(text)}: select by a list of ids")
    source, at, depth, operators = Source(text), 0, 0, 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            raise _refused(text, at)
        kind, piece, start, at = found.lastgroup, found.group(), at, found.end()
        if kind == "space":
            continue
        if kind == "operator":
            depth += (piece in "([") - (piece in ")]")
            operators += piece not in "()[],"
            if depth > MAX_NESTING or operators > MAX_OPERATORS:
                told = f"more than {MAX_NESTING} brackets deep" if depth > MAX_NESTING else "too long"
                raise QueryError(f"the query is {told}. Use 'in [...]', or select in several steps", text, start, at)
            if piece == "<>":
                raise QueryError("'<>' is not known. Write !=", text, start, at)
        source.add(_piece(source, str(kind), piece, start, at), start, at)
    if not source.python:
        raise QueryError("the query is empty. Write a condition such as z > 0.5")
    return source


def _piece(source: Source, kind: str, piece: str, start: int, end: int) -> str:
    if kind == "operator":
        return _REWRITTEN.get(piece, piece)
    if kind == "number":
        if len(piece) > 40:
            raise QueryError("the number is too long", source.text, start, end)
        whole = piece.isdigit()
        value = int(piece) if whole else float(piece)
        if value == float("inf"):
            raise QueryError("the number is too large", source.text, start, end)
        return repr(value)
    if kind == "text":
        return ascii(_unescaped(piece[1:-1]))
    if kind == "name":
        word = _SPELLED.get(piece, piece)
        if word in _WORDS:
            return word
        if piece == "is":
            raise QueryError("'is' is not known. Write isnull(x), or == to compare", source.text, start, end)
        if piece.isascii() and not keyword.iskeyword(piece) and not piece.startswith("_"):
            return piece
    column = piece[1:-1] if kind == "quoted" else piece
    placeholder = f"_{len(source.names)}_"
    source.names[placeholder] = (column, kind == "quoted")
    return placeholder


def _unescaped(body: str) -> str:
    """The text between quotes: a backslash keeps the next character as it is."""
    return re.sub(r"\\(.)", r"\1", body, flags=re.DOTALL)


def _refused(text: str, at: int) -> QueryError:
    character = text[at]
    if character.isdigit():
        end = at + len(re.match(r"[\w.]+", text[at:])[0])  # type: ignore[index]
        return QueryError(
            f"{text[at:end][:40]!r} is no number. Put names that start with a digit in backquotes", text, at, end
        )
    advice = _ADVICE.get(character, "A query has names, numbers, 'text', comparisons, and/or/not and functions")
    return QueryError(f"{character!r} has no place in a query. {advice}", text, at)


def parse(text: str) -> tuple[ast.expr, Source]:
    """The expression tree of a query, not yet checked against what is allowed, and its source."""
    source = read(text)
    try:
        tree = ast.parse(source.python.rstrip(), mode="eval").body
    except SyntaxError as error:
        offset = max(0, (error.offset or 1) - 1)
        start, end = source._at(offset)
        if offset >= len(source.python.rstrip()):
            start, end = len(text), len(text) + 1
        raise QueryError("the query is incomplete or two pieces do not fit together", text, start, end) from None
    except (ValueError, MemoryError, RecursionError, OverflowError):
        raise QueryError("the query is nested too deeply", text) from None
    _check_depth(tree, text)
    return tree, source


def _check_depth(tree: ast.AST, text: str, limit: int = 120) -> None:
    level: list[ast.AST] = [tree]
    for _ in range(limit):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return
    raise QueryError("the query is nested too deeply. Use 'in [...]', or select in several steps", text)
