"""The query language: one condition per row, as ``rank('knn') <= 100 and z > 0.5``.

Columns by name (odd names in backquotes), ``and``/``or``/``not`` (also ``&``/``|``/``~``, which bind as weakly as
the words do), comparisons, chained ones too (``0.1 < z < 0.5``), ``in [...]``, arithmetic, and the functions in
``FUNCTIONS``. ``mark`` is what this person called a row, ``mark_score`` the score she gave it. A comparison with a
missing value is false. The text is read into a tree and only what is listed here is computed; nothing is evaluated.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from explorer.session import columns
from explorer.session._functions import FUNCTIONS, Scope
from explorer.session._tokens import QueryError, Source, UnknownInQuery, parse
from explorer.session.columns import Text, Whole
from kernels.registry import UnknownName

__all__ = ["FUNCTIONS", "QueryError", "Scope", "UnknownInQuery", "matches", "values"]


def matches(text: str, scope: Scope) -> np.ndarray:
    """(n,) bool, the rows for which the query holds; :class:`QueryError` where it cannot be used."""
    tree, source = parse(text)
    got = _Evaluation(source, scope).run(tree)
    if isinstance(got, bool):
        return np.full(len(scope.survey), got)
    if isinstance(got, np.ndarray) and got.dtype == bool:
        return got.copy() if not got.flags.owndata or not got.flags.writeable else got
    raise source.error(f"this is {_kind(got)} and not a condition. Compare it with something", tree)


def values(text: str, scope: Scope) -> np.ndarray | Text:
    """(n,) values of a column name or of an expression such as ``percentile('knn')`` or ``log10(flux)``."""
    if text in ("id", "object_id", *scope.survey.columns):
        found = columns.catalogue(scope.survey, text)
        return found.floats() if isinstance(found, Whole) else found
    tree, source = parse(text)
    got = _Evaluation(source, scope).run(tree)
    if isinstance(got, Whole):
        return got.floats()
    if isinstance(got, bool | int | float):
        return np.full(len(scope.survey), got)
    if isinstance(got, np.ndarray | Text):
        return got
    raise source.error(f"this is {_kind(got)} and has no value per row. Name a column", tree)


def _kind(value: Any) -> str:
    if isinstance(value, bool) or (isinstance(value, np.ndarray) and value.dtype == bool):
        return "a condition"
    if isinstance(value, Text | str) or _named(value):
        return "text"
    if isinstance(value, list):
        return "a list"
    return "a date" if isinstance(value, np.ndarray) and value.dtype.kind == "M" else "a number"


def _named(value: Any) -> bool:
    """Whether these are ids: text per row without categories, for each is another."""
    return isinstance(value, np.ndarray) and value.dtype.kind == "U"


_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_MIRROR = {ast.Lt: ast.Gt, ast.Gt: ast.Lt, ast.LtE: ast.GtE, ast.GtE: ast.LtE}


def _divided(a: Any, b: Any) -> Any:
    return np.where(np.equal(b, 0) & np.equal(a, 0), np.nan, np.divide(a, b))


_ARITHMETIC: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: np.add,
    ast.Sub: np.subtract,
    ast.Mult: np.multiply,
    ast.Div: _divided,
    ast.FloorDiv: np.floor_divide,
    ast.Mod: np.mod,
    ast.Pow: np.power,
}


class _Evaluation:
    """One walk over the tree of a query; every node that is not handled here is refused."""

    def __init__(self, source: Source, scope: Scope):
        self.source, self.scope = source, scope

    def run(self, node: ast.expr) -> Any:
        handler = getattr(self, f"_{type(node).__name__.lower()}", None)
        if handler is None:
            raise self.source.error("this has no place in a query", node)
        try:
            with np.errstate(all="ignore"):
                return handler(node)
        except QueryError:
            raise
        except UnknownName as unknown:
            raise self.source.unknown(unknown, node) from None
        except RecursionError:
            raise self.source.error("the query is nested too deeply", node) from None

    def _constant(self, node: ast.Constant) -> Any:
        return node.value

    def _list(self, node: ast.List) -> list[Any]:
        found = []
        for item in node.elts:
            sign = isinstance(item, ast.UnaryOp) and isinstance(item.op, ast.USub)
            constant = item.operand if isinstance(item, ast.UnaryOp) and sign else item
            if not isinstance(constant, ast.Constant) or (sign and not isinstance(constant.value, int | float)):
                raise self.source.error("a list holds numbers or 'text' only", item)
            found.append(-constant.value if sign else constant.value)  # type: ignore[operator]
        return found

    _tuple = _list

    def _name(self, node: ast.Name) -> Any:
        name, quoted = self.source.names.get(node.id, (node.id, False))
        if not quoted and name in ("mark", "mark_score"):
            return self.scope.mark(name)
        if name in ("id", "object_id"):
            return self.scope.survey.column(name)
        try:
            return columns.catalogue(self.scope.survey, name)
        except UnknownName as unknown:
            if quoted or name not in FUNCTIONS:
                hint = "Columns stand without quotes and text in quotes."
                raise self.source.unknown(_with_hint(unknown, hint), node) from None
            raise self.source.error(f"{name} is a function: write {FUNCTIONS[name].usage}", node) from None

    def _boolop(self, node: ast.BoolOp) -> Any:
        join = operator.and_ if isinstance(node.op, ast.And) else operator.or_
        got = self._condition(node.values[0])
        for value in node.values[1:]:
            got = join(got, self._condition(value))
        return got

    def _condition(self, node: ast.expr) -> Any:
        got = self.run(node)
        if not (isinstance(got, bool) or (isinstance(got, np.ndarray) and got.dtype == bool)):
            told = f"this is {_kind(got)}, and 'and', 'or' and 'not' join conditions. Compare it with something"
            raise self.source.error(told, node)
        return got

    def _unaryop(self, node: ast.UnaryOp) -> Any:
        if isinstance(node.op, ast.Not):
            got = self._condition(node.operand)
            return not got if isinstance(got, bool) else ~got
        if isinstance(node.operand, ast.Constant) and type(node.operand.value) is int:
            return -node.operand.value if isinstance(node.op, ast.USub) else node.operand.value
        got = self._number(node.operand)
        return -got if isinstance(node.op, ast.USub) else got

    def _number(self, node: ast.expr) -> Any:
        """A number or (n,) numbers, in float64 where 64-bit integers could overflow."""
        got = self.run(node)
        if isinstance(got, int | float) and not isinstance(got, bool):
            return float(got)
        if isinstance(got, Whole):
            return got.floats()
        if isinstance(got, np.ndarray) and got.dtype.kind in "iuf":
            return got
        raise self.source.error(f"this is {_kind(got)}, and a number is needed here", node)

    def _binop(self, node: ast.BinOp) -> Any:
        compute = _ARITHMETIC.get(type(node.op))
        if compute is None:
            raise self.source.error("this operator is not known", node)
        left, right = self._number(node.left), self._number(node.right)
        both = [v.astype(np.float64) if isinstance(v, np.ndarray) else np.float64(v) for v in (left, right)]
        whole = isinstance(right, float) and right.is_integer() and 0 < abs(right) < 2**31
        integers = isinstance(left, np.ndarray) and left.dtype.kind == "i"
        if whole and integers and isinstance(node.op, ast.Mod | ast.FloorDiv):
            return compute(left.astype(np.int64), np.int64(right))
        got = compute(*both)
        return got if isinstance(got, np.ndarray) and got.ndim else float(got)

    def _compare(self, node: ast.Compare) -> Any:
        nodes = [node.left, *node.comparators]
        items = [self.run(n) for n in nodes]
        got: Any = True
        for i, op in enumerate(node.ops):
            try:
                one = _compared(op, items[i], items[i + 1])
            except (ValueError, TypeError, OverflowError) as error:
                start, end = self.source.span(nodes[i])[0], self.source.span(nodes[i + 1])[1]
                raise QueryError(str(error), self.source.text, start, end) from None
            got = one if got is True else got & one
        return got if isinstance(got, np.ndarray) else bool(got)

    def _call(self, node: ast.Call) -> Any:
        if not isinstance(node.func, ast.Name):
            raise self.source.error("only the functions of the query language can be called", node.func)
        name = self.source.names.get(node.func.id, (node.func.id, False))[0]
        function = FUNCTIONS.get(name)
        if function is None:
            raise self.source.unknown(UnknownName("function", name, sorted(FUNCTIONS)), node.func)
        if node.keywords or not function.least <= len(node.args) <= len(function.kinds):
            raise self.source.error(f"write {function.usage}", node)
        return function.compute(self.scope, *map(self._argument, node.args, function.kinds))

    def _argument(self, node: ast.expr, kind: str) -> Any:
        if kind == "number":
            return self._number(node)
        got = self.run(node)
        if kind == "any":
            return got
        if kind == "constant" and isinstance(got, int | float) and not isinstance(got, bool):
            return float(got)
        if (kind == "text" and (isinstance(got, Text) or _named(got))) or (kind == "quoted" and isinstance(got, str)):
            return got
        wanted = {"text": "a column of text", "quoted": "text in quotes", "constant": "a plain number"}[kind]
        raise self.source.error(f"this is {_kind(got)}, and {wanted} is needed here", node)


def _with_hint(unknown: UnknownName, hint: str) -> UnknownName:
    unknown.args = (f"{unknown.args[0]} {hint}",)
    return unknown


def _compared(op: ast.cmpop, left: Any, right: Any) -> Any:
    known = [v.known for v in (left, right) if isinstance(v, Whole)]
    if known:
        left, right = (v.values if isinstance(v, Whole) else v for v in (left, right))
        return _compared(op, left, right) & np.logical_and.reduce(known)
    if isinstance(op, ast.In | ast.NotIn):
        return _isin(left, right, isinstance(op, ast.NotIn))
    compute = _COMPARE.get(type(op))
    if compute is None:
        raise ValueError("this comparison is not known. Write ==, !=, <, <=, >, >= or in")
    kinds = {_kind(left), _kind(right)}
    if kinds == {"a date", "text"} and (isinstance(left, str) or isinstance(right, str)):
        left, right = (_date(v) if isinstance(v, str) else v for v in (left, right))
    elif len(kinds) > 1 and not kinds <= {"a number", "a condition"}:
        one, other = sorted(kinds)
        raise ValueError(f"{one} cannot be compared with {other}. Text stands in quotes, numbers do not")
    elif "a list" in kinds:
        raise ValueError("a list is used with 'in', as in x in [1, 2]")
    if isinstance(left, Text) != isinstance(right, Text) and (_named(left) or _named(right)):
        left, right = (_coded(v) if _named(v) else v for v in (left, right))
    if isinstance(right, Text) and isinstance(left, str):
        op, left, right = _MIRROR.get(type(op), type(op))(), right, left
        compute = _COMPARE[type(op)]
    if isinstance(left, Text):
        if isinstance(right, Text):
            values = np.unique(np.concatenate([left.values, right.values]))
            here = (left.codes >= 0) & (right.codes >= 0)
            codes = [np.append(np.searchsorted(values, t.values), -1)[t.codes] for t in (left, right)]
            return compute(*codes) & here
        return left.where(compute(left.values, right) if len(left.values) else np.empty(0, bool))
    got = compute(left, right)
    if isinstance(op, ast.NotEq):
        for value in (left, right):
            if isinstance(value, np.ndarray) and value.dtype.kind in "fM":
                got = got & (value == value)
    return got


def _coded(names: np.ndarray) -> Text:
    values, codes = np.unique(names, return_inverse=True)
    return Text(codes.astype(np.int32), values)


def _date(text: str) -> np.datetime64:
    try:
        return np.datetime64(text)
    except ValueError:
        raise ValueError(f"{text[:40]!r} is no date. Write it as '2026-11-24' or '2026-11-24T12:00:00'") from None


def _isin(left: Any, wanted: Any, negated: bool) -> Any:
    if not isinstance(wanted, list):
        raise ValueError("after 'in' stands a list, as in x in [1, 2]")
    texts = [isinstance(v, str) for v in wanted]
    if isinstance(left, Text) or _named(left):
        if not all(texts):
            raise ValueError("this column is text: put the things in the list in quotes")
        if _named(left):
            return np.isin(left, np.asarray(wanted, dtype=str), invert=negated)
        found = np.isin(left.values, np.asarray(wanted, dtype=str)) if len(wanted) else np.zeros(len(left.values), bool)
        return left.where(~found if negated else found)
    if not isinstance(left, np.ndarray) or left.dtype.kind not in "iuf":
        raise ValueError("before 'in' stands a column of numbers or text")
    if any(texts):
        raise ValueError("this column is a number: write the list without quotes")
    whole = left.dtype.kind in "iu"
    kept = [int(v) for v in wanted if v == int(v)] if whole else [float(v) for v in wanted]
    if whole:
        limits = np.iinfo(left.dtype)
        kept = [v for v in kept if limits.min <= v <= limits.max]
    found = np.isin(left, np.asarray(kept, dtype=left.dtype))
    return (~found & (left == left)) if negated else found
