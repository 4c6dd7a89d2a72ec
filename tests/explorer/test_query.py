"""The query language: right against plain numpy and pandas, and closed against everything else."""

from __future__ import annotations

import random
import string
import time

import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from explorer.session.query import FUNCTIONS, QueryError, Scope, UnknownInQuery, matches, values
from explorer.survey.store import Survey
from kernels.registry import UnknownName


@pytest.fixture
def scope(tiny_survey: Survey) -> Scope:
    return Scope(tiny_survey, "pca/image", "knn")


def columns(survey: Survey) -> dict[str, np.ndarray]:
    return {name: survey.column(name) for name in survey.columns}


def test_conditions_equal_numpy(scope: Scope) -> None:
    c = columns(scope.survey)
    z, kind, count, flux = c["z"], c["kind"], c["count"], c["flux (nJy)"]
    rank = scope.survey.rank("pca/image", "knn")
    cases = {
        "z > 0.5": z > 0.5,
        "0.5 < z <= 1.5": (z > 0.5) & (z <= 1.5),
        "not z > 0.5": ~(z > 0.5),
        "z > 0.5 and kind == 'lens' or count == 3": ((z > 0.5) & (kind == "lens")) | (count == 3),
        "z > 0.5 & kind == 'lens' | count == 3": ((z > 0.5) & (kind == "lens")) | (count == 3),
        "~(z > 0.5)": ~(z > 0.5),
        "~quiet & count != 2": ~c["quiet"] & (count != 2),
        "kind in ['lens', 'quasar']": np.isin(kind.astype(str), ["lens", "quasar"]),
        "kind not in ('lens', 'quasar')": np.array([k is not None and k not in ("lens", "quasar") for k in kind]),
        "count in [1, 2.0, -4]": np.isin(count, [1, 2]),
        "count not in [1]": count != 1,
        "kind != 'lens'": np.array([k is not None and k != "lens" for k in kind]),
        "kind > 'h'": np.array([k is not None and k > "h" for k in kind]),
        "'h' < kind": np.array([k is not None and k > "h" for k in kind]),
        "z != 0.5": (z != 0.5) & ~np.isnan(z),
        "isnull(z)": np.isnan(z),
        "isnull(kind)": np.array([k is None for k in kind]),
        "isfinite(z)": np.isfinite(z),
        "`flux (nJy)` / 2 + 1 > 100": flux / 2 + 1 > 100,
        "`<b>odd</b>` < -250": c["<b>odd</b>"] < -250,
        "log10(`flux (nJy)`) > 4": flux > 1e4,
        "abs(z - 1) < 0.105": np.abs(z - 1) < 0.105,
        "count % 2 == 1": count % 2 == 1,
        "2 ** count >= 16": 2.0**count >= 16,
        "-z < -2": -z < -2,
        "max(z, 1) == 1": np.maximum(z, 1) == 1,
        "class == 'QSO'": c["class"] == "QSO",
        "kind == class": np.zeros(len(z), bool),
        "contains(kind, 'ens')": kind == "lens",
        "startswith(class, 'G') and endswith(class, 'Y')": c["class"] == "GALAXY",
        "rank('knn') <= 20": (rank > 0) & (rank <= 20),
        "rank() <= 20": (rank > 0) & (rank <= 20),
        "rank('knn', 'pca/image') > 200": rank > 200,
        "not rank('knn') > 0": rank == 0,
        "has('image')": scope.survey.has("image"),
        "quiet == True": c["quiet"],
        "seen >= '2026-01-15'": c["seen"] >= np.datetime64("2026-01-15"),
        "id == object_id": np.zeros(len(z), bool),
        "id != kind": np.array([k is not None for k in kind]),
        "isnull(id)": np.zeros(len(z), bool),
        "endswith(object_id, '-7')": scope.survey.object_ids == "object-7",
        "object_id in ['object-7', 'none']": scope.survey.object_ids == "object-7",
        "object_id not in ['object-7']": scope.survey.object_ids != "object-7",
        "id > '2'": scope.survey.ids > "2",
        "contains(id, '<script>')": np.arange(len(z)) == 5,
        "1 < 2": np.ones(len(z), bool),
        "z\n > 0.5\tand\n  z < 1": (z > 0.5) & (z < 1),
        "z > .5 AND NOT (z > 1.)": (z > 0.5) & ~(z > 1),
    }
    for text, expected in cases.items():
        with np.errstate(all="ignore"):
            np.testing.assert_array_equal(matches(text, scope), expected, err_msg=text)


def test_scores_are_those_of_the_survey(scope: Scope) -> None:
    survey = scope.survey
    score, percentile = survey.score("pca/image", "knn"), survey.percentile("pca/image", "knn")
    np.testing.assert_array_equal(matches("score('knn') > 0.5", scope), score > 0.5)
    np.testing.assert_array_equal(matches("percentile('knn') >= 99", scope), percentile >= 99)
    np.testing.assert_array_equal(values("percentile('knn')", scope), percentile)


def test_64_bit_integers_are_compared_exactly(scope: Scope) -> None:
    big = 2**60
    assert np.flatnonzero(matches(f"targetid == {big + 7}", scope)).tolist() == [7]
    assert np.flatnonzero(matches(f"targetid in [{big + 7}, {big + 9}, {10**30}]", scope)).tolist() == [7, 9]
    assert np.flatnonzero(matches(f"id == '{big + 7}'", scope)).tolist() == [7]
    assert matches("targetid % 2 == 0", scope).tolist() == [True, False] * 150
    assert not matches(f"targetid < -{big}", scope).any()


def test_near_agrees_with_astropy(scope: Scope) -> None:
    c = columns(scope.survey)
    sky = SkyCoord(c["ra"], c["dec"], unit="deg")
    for ra, dec, arcsec in [(150.1, 2.05, 30), (150.0, 2.0, 0.5), (150.1, 2.05, 400), (-209.9, 2.05, 30)]:
        expected = sky.separation(SkyCoord(ra, dec, unit="deg")).arcsec <= arcsec
        assert expected.any() or arcsec < 1 or ra < 0
        np.testing.assert_array_equal(matches(f"near({ra}, {dec}, {arcsec})", scope), expected)


def test_marks_stand_for_labels(scope: Scope) -> None:
    survey = scope.survey
    some = {
        survey.ids[3]: ("lens", 5.0),
        survey.ids[8]: ("dust", None),
        survey.ids[9]: ("", 2.0),
        "gone": ("lens", 1.0),
    }
    scope.marks = lambda: some
    assert np.flatnonzero(matches("mark == 'lens'", scope)).tolist() == [3]
    assert np.flatnonzero(matches("not isnull(mark)", scope)).tolist() == [3, 8]
    assert np.flatnonzero(matches("mark_score >= 2", scope)).tolist() == [3, 9]
    assert scope.asked_marks
    scope.marks = dict
    assert not matches("mark == 'lens'", scope).any()


@pytest.mark.parametrize(
    ("text", "piece", "says"),
    [
        ("zz > 0.5", "zz", "Did you mean 'z'"),
        ("Z > 0.5", "Z", "Did you mean 'z'"),
        ("z > 1 and rank('maf') < 3", "rank('maf')", "There are: knn"),
        ("rank('knn', 'aion/joint') < 3", "rank('knn', 'aion/joint')", "There are: pca/image"),
        ("has('xray')", "has('xray')", "image, spectrum"),
        ("sin(z) > 0", "sin", "There are: abs"),
        ("kind == lens", "lens", "text in quotes"),
        ("kind > 3", "kind > 3", "Text stands in quotes"),
        ("z = 0.5", "=", "Compare with =="),
        ("z", "z", "Compare it with something"),
        ("z > 1 and count", "count", "Compare it with something"),
        ("kind + 1 > 2", "kind", "a number is needed"),
        ("z > 'now'", "z > 'now'", "Text stands in quotes"),
        ("seen > 'now-ish'", "seen > 'now-ish'", "is no date"),
        ("rank > 3", "rank", "write rank('knn')"),
        ("near(ra, dec, 3)", "ra", "a plain number"),
        ("near(1, 2)", "near(1, 2)", "near(ra, dec, arcsec)"),
        ("z is None", "is", "isnull"),
        ("z in 3", "z in 3", "a list"),
        ("z in ['a']", "z in ['a']", "without quotes"),
        ("kind in [1]", "kind in [1]", "in quotes"),
        ("z in [count]", "count", "numbers or 'text' only"),
        ("z > ", "", "incomplete"),
        ("z > 0.5 0.6", "0.6", "do not fit"),
        ("(z > 1", "", "incomplete"),
        ("kind == 'lens", "'", "same quote"),
        ("3abc > 1", "3abc", "backquotes"),
        ("z.real > 0", ".", "no attributes"),
        ("z[0] > 0", "z[0]", "no place"),
        ("", "", "empty"),
    ],
)
def test_errors_quote_the_piece_and_say_what_to_do(scope: Scope, text: str, piece: str, says: str) -> None:
    with pytest.raises(QueryError) as caught:
        matches(text, scope)
    error = caught.value
    assert says in str(error)
    assert error.text[error.start : error.end] == piece or not piece
    if piece:
        assert f"at character {text.index(piece) + 1}" in str(error) or error.start == text.rindex(piece)
        assert "^" * len(piece) in str(error)


def test_unknown_names_are_both_kinds_of_error(scope: Scope) -> None:
    with pytest.raises(UnknownName) as caught:
        matches("redshift > 1", scope)
    assert isinstance(caught.value, UnknownInQuery)
    assert "z" in caught.value.known


HOSTILE = [
    "__import__('os').system('touch pwned')",
    "__import__('os')",
    "open('pwned', 'w')",
    "().__class__.__bases__[0].__subclasses__()",
    "z.__class__",
    "(lambda: 1)() == 1",
    "lambda x: x",
    "[x for x in z]",
    "{'a': 1}",
    "{1, 2}",
    "f'{z}'",
    "b'abc' == kind",
    "z if z else z",
    "(y := 3) > 2",
    "*z",
    "rank(*z)",
    "rank(**z)",
    "rank(scorer='knn')",
    "eval('1')",
    "exec('1')",
    "print(z)",
    "getattr(z, 'real')",
    "z; z",
    "import os",
    "yield z",
    "await z",
    "...",
    "None",
    "z == None",
    "'a' * 1000000000 == kind",
    "'%9999999s' % z == kind",
    "[1] * 100000000",
    "z[::1] > 1",
    "z @ z",
    "z << 3 > 1",
    "1 << 100000000",
    "z := 3",
    "\x00",
    "z > 0 # comment",
    "z > 0 \\\n and z < 1",
    "`z",
    "``",
    "`" * 99,
    "(" * 5_000 + "z" + ")" * 5_000,
    "[" * 100 + "]" * 100,
    "not " * 20_000 + "quiet",
    "-" * 20_000 + "z > 0",
    "~" * 20_000 + "quiet",
    "z" + "+z" * 5_000 + " > 0",
    "z" + "**z" * 5_000 + " > 0",
    "abs(" * 5_000 + "z" + ")" * 5_000,
    "z > " + "9" * 5_000,
    "z > 1e999999",
    "x" * 1_000_000,
    "kind == '" + "x" * 1_000_000 + "'",
    "z < z" + " < z" * 3_000,
    "9" * 90_000,
    "'" * 90_001,
    "\U0001f30c > 1",
    "ｚ > 1",
    "__builtins__ == 1",
    "rank.__globals__",
    "near.__call__(1,2,3)",
    "rank('knn').mean() > 1",
    "rank(rank) > 1",
    "id('x') == 1",
    "quiet(3)",
    "(z > 1)(2)",
    "'knn'('x')",
    "True + True > 1",
    "1 in 1",
    "kind in kind",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_is_refused_and_quickly(scope: Scope, text: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    start = time.perf_counter()
    with pytest.raises(QueryError) as caught:
        matches(text, scope)
    assert time.perf_counter() - start < 2
    assert len(str(caught.value)) < 5_000
    assert set(tmp_path.iterdir()) == before


def test_a_huge_power_is_infinite_and_not_computed_in_integers(scope: Scope) -> None:
    start = time.perf_counter()
    assert not matches("z > 9 ** 9 ** 9 ** 9", scope).any()
    assert time.perf_counter() - start < 1


def test_random_text_gives_a_mask_or_a_query_error(scope: Scope) -> None:
    rng = random.Random(3)
    pieces = [
        *FUNCTIONS,
        *scope.survey.columns,
        "and",
        "or",
        "not",
        "in",
        "(",
        ")",
        "[",
        "]",
        ",",
        "'knn'",
        "''",
        "3",
        "0",
    ]
    pieces += [
        "<",
        "==",
        "!=",
        "+",
        "-",
        "*",
        "/",
        "//",
        "%",
        "**",
        "&",
        "|",
        "~",
        "`z`",
        "mark",
        "mark_score",
        "1e300",
        "True",
    ]
    pieces += list(string.punctuation)
    held = 0
    for _ in range(6_000):
        text = " ".join(rng.choices(pieces, k=rng.randint(1, 9)))
        try:
            got = matches(text, scope)
        except QueryError:
            continue
        held += 1
        assert got.dtype == bool
        assert got.shape == (len(scope.survey),)
    assert held > 5


class Million:
    """The parts of a survey that a query reads, at a million rows."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        n = 1_000_000
        self.path, self.meta, self.spaces, self.version, self.name = "million", {}, ["pca/image"], 1, "million"
        self.columns = {"z": None, "kind": None, "count": None}
        kinds = np.array(["galaxy", "lens", "quasar"], dtype=object)
        self._data = {"z": rng.uniform(0, 2, n), "kind": kinds[rng.integers(0, 3, n)], "count": rng.integers(0, 9, n)}
        self._rank = rng.permutation(n) + 1

    def __len__(self) -> int:
        return len(self._rank)

    def column(self, name: str) -> np.ndarray:
        return self._data[name]

    def layouts(self, space: str) -> list[str]:
        return ["umap"]

    def scores(self, space: str) -> list[str]:
        return ["knn"]

    def rank(self, space: str, scorer: str) -> np.ndarray:
        return self._rank


def test_a_million_rows_in_50_ms() -> None:
    scope = Scope(Million(), "pca/image", "knn")  # type: ignore[arg-type]
    matches("kind == 'lens'", scope)
    for text in ("z > 0.5", "0.5 < z < 1", "kind == 'lens'", "rank('knn') <= 100 and z > 0.5", "count == 3 or z < 0.1"):
        times = []
        for _ in range(5):
            start = time.thread_time()  # of this thread alone: the machine may be busy
            matches(text, scope)
            times.append(time.thread_time() - start)
        assert min(times) < 0.05, (text, min(times))
