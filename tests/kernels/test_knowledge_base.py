"""Knowledge bases: votes and values by retrieval, growth, files, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from kernels.search._files import IndexFileError
from kernels.search.knowledge_base import KnowledgeBase
from kernels.search.learned import LearnedWeight
from kernels.search.votes import WEIGHTINGS


def _world(n: int = 300, seed: int = 0):
    rng = np.random.default_rng(seed)
    which = rng.integers(0, 3, n)
    x = rng.normal(size=(n, 5)) + 2.5 * np.eye(5)[which]
    return x.astype(np.float32), np.array(["sf", "agn", "normal"])[which], x[:, 0] * 2 + 5


def _base(**more) -> KnowledgeBase:
    x, labels, z = _world()
    return KnowledgeBase(space="pca/spectrum", **more).fit(
        x, {"bpt": labels, "z": z}, ids=[f"r{i}" for i in range(len(x))], sources="portsmouth"
    )


def test_an_even_vote_is_that_of_scikit_learn():
    kb, (Q, _, _) = _base(), _world(80, 1)
    peer = KNeighborsClassifier(5).fit(kb.vectors_, kb.labels("bpt"))
    found = kb.vote(Q, "bpt", 5, "uniform", space="pca/spectrum")
    assert found.classes.tolist() == peer.classes_.tolist()
    assert found.probability == pytest.approx(peer.predict_proba(Q))


def test_nothing_votes_on_itself_nor_on_another_observation_of_it():
    x, labels, _ = _world(60)
    twice = np.concatenate([x, x + 1e-4])
    objects = np.tile(np.arange(60), 2)
    kb = KnowledgeBase().fit(twice, {"bpt": np.tile(labels, 2)}, objects=objects)
    distance, rows = kb.query(x, 3, objects=np.arange(60))
    assert (kb.objects_[rows] != np.arange(60).astype(str)[:, None]).all()
    assert (np.diff(distance, axis=1) >= 0).all()
    plain = kb.query(x, 2)[1]
    assert (kb.objects_[plain] == np.arange(60).astype(str)[:, None]).all()


def test_labels_missing_for_some_leave_the_others_to_vote():
    x, labels, _ = _world()
    some = labels.copy()
    some[::2] = ""
    kb = KnowledgeBase().fit(x, {"bpt": some})
    rows = kb.query(x[:50], 3, known="bpt")[1]
    assert (kb.labels("bpt")[rows] != "").all()
    reference = KnowledgeBase().fit(x[1::2], {"bpt": labels[1::2]}).vote(x[:50], "bpt")
    assert kb.vote(x[:50], "bpt").probability == pytest.approx(reference.probability)


def test_k_above_its_size_lets_all_vote():
    kb = KnowledgeBase().fit(np.eye(3), {"c": ["a", "a", "b"]})
    found = kb.vote(np.eye(3)[:1], "c", k=10)
    assert found.distance.shape == (1, 10)
    assert (found.rows >= 0).sum() == 3
    assert found.probability.sum() == pytest.approx(1)


def test_values_by_retrieval_with_an_interval_that_holds_its_level():
    kb, (Q, _, z) = _base(), _world(400, 2)
    value, low, high = kb.estimate(Q, "z", level=0.8)
    assert np.corrcoef(value, z)[0, 1] > 0.8
    assert ((low <= z) & (z <= high)).mean() == pytest.approx(0.8, abs=0.07)
    with pytest.raises(ValueError, match="text"):
        kb.estimate(Q, "bpt")


def test_reach_knows_what_is_far():
    kb = _base()
    reach = kb.reach("bpt")
    far = kb.vote(np.full((1, 5), 40.0), "bpt", reach=reach)
    near = kb.vote(kb.vectors_, "bpt", objects=kb.objects_, reach=reach)
    assert far.abstained.all()
    assert near.abstained.mean() < 0.02


def test_grown_and_merged_is_the_same_as_made_at_once():
    x, labels, _ = _world()
    whole = KnowledgeBase().fit(x, {"bpt": labels}, ids=np.arange(300).astype(str))
    grown = KnowledgeBase().fit(x[:100], {"bpt": labels[:100]}, ids=np.arange(100).astype(str))
    grown.query(x[:1])  # an index that must not survive
    grown.grow(x[100:], {"bpt": labels[100:], "note": ["new"] * 200}, ids=np.arange(100, 300).astype(str))
    assert grown.query(x[:20], 4)[1].tolist() == whole.query(x[:20], 4)[1].tolist()
    assert grown.columns_["note"].tolist() == [""] * 100 + ["new"] * 200
    assert grown.sources_.tolist() == [""] * 300
    with pytest.raises(ValueError, match="300 ids are in both"):
        whole.merge(grown)


def test_saved_and_loaded(tmp_path):
    kb = _base()
    kb.save(tmp_path / "kb")
    again = KnowledgeBase.load(tmp_path / "kb")
    assert again.space == "pca/spectrum"
    assert again.sources_[0] == "portsmouth"
    assert again.classes("bpt") == kb.classes("bpt")
    assert again.query(kb.vectors_[:5], 3)[1].tolist() == kb.query(kb.vectors_[:5], 3)[1].tolist()
    assert not list((tmp_path / "kb").glob("*.pkl"))
    with (tmp_path / "kb" / "vectors.npy").open("r+b") as f:
        f.seek(200)
        f.write(b"\0\1\2")
    with pytest.raises(IndexFileError, match="damaged"):
        KnowledgeBase.load(tmp_path / "kb")


def test_pickle_in_its_place_is_not_read(tmp_path):
    kb = _base()
    kb.save(tmp_path / "kb")
    evil = tmp_path / "kb" / "ids.npy"
    np.save(evil, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    about = json.loads((tmp_path / "kb" / "index.json").read_text())
    import zlib

    about["files"]["ids.npy"] = [evil.stat().st_size, zlib.crc32(evil.read_bytes())]
    (tmp_path / "kb" / "index.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="pickle"):
        KnowledgeBase.load(tmp_path / "kb")


def test_approximate_finds_nearly_the_same():
    x = np.random.default_rng(5).normal(size=(3000, 8)).astype(np.float32)
    columns = {"c": np.where(x[:, 0] > 0, "a", "b")}
    exact = KnowledgeBase(method="exact").fit(x, columns).query(x[:100], 10)[1]
    found = KnowledgeBase(method="hnsw").fit(x, columns).query(x[:100], 10)[1]
    assert np.mean([len(set(a) & set(b)) / 10 for a, b in zip(exact, found, strict=True)]) > 0.95


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_votes_do_not_depend_on_the_unit_of_a_space(weighting):
    """Raw distances of a wide space give the nearest everything; those of a narrow one give all the same."""
    x, labels, _ = _world()
    Q = _world(60, 1)[0]
    found = []
    for unit in (1e-3, 1.0, 1e3):
        kb = KnowledgeBase(method="exact").fit(unit * x, {"c": labels})
        found.append(kb.vote(unit * Q, "c", 5, weighting))
        assert found[-1].weight.sum(axis=1) == pytest.approx(1)
    for one in found[1:]:
        assert one.weight == pytest.approx(found[0].weight, rel=1e-3)
    raw = KnowledgeBase(method="exact").fit(1e3 * x, {"c": labels}).vote(1e3 * Q, "c", 5, weighting, tau=1.0)
    if weighting == "softmax(-x)":
        assert np.median(raw.weight[:, 0]) == pytest.approx(1), "as the paper's formula has it"
        assert np.median(found[2].weight[:, 0]) < 0.5
        d, tau = found[1].distance, KnowledgeBase(method="exact").fit(x, {"c": labels}).tau("c")
        w = np.exp(-d / tau)
        assert found[1].weight == pytest.approx(w / w.sum(axis=1, keepdims=True))
    if weighting == "softmax(exp(-x))":
        d, tau = found[1].distance, KnowledgeBase(method="exact").fit(x, {"c": labels}).tau("c")
        w = np.exp(np.exp(-d / tau))
        assert found[1].weight == pytest.approx(w / w.sum(axis=1, keepdims=True))


def test_an_interval_of_what_is_never_negative_does_not_go_below_zero():
    rng = np.random.default_rng(0)
    z = np.abs(rng.normal(0, 0.05, 400))
    x = np.stack([z + rng.normal(0, 0.03, 400), rng.normal(0, 0.1, 400)], axis=1)
    kb = KnowledgeBase(method="exact").fit(x, {"z": z, "shift": z - 0.04})
    value, low, high = kb.estimate(x, "z", objects=kb.objects_)
    assert (low >= 0).all()
    assert (low == 0).any()
    assert ((low <= value) & (value <= high)).all()
    assert ((low <= z) & (z <= high)).mean() == pytest.approx(0.68, abs=0.06)
    assert (kb.estimate(x, "shift", objects=kb.objects_)[1] < 0).any(), "what may be negative keeps its interval"


def test_one_class_has_every_vote():
    x, labels, _ = _world(80)
    kb = KnowledgeBase().fit(x, {"c": np.where(labels == "sf", "sf", "")})
    found = kb.vote(x[:5], "c")
    assert found.classes.tolist() == ["sf"]
    assert found.probability == pytest.approx(np.ones((5, 1)))
    distance, rows = kb.held_out("c", 3)
    weight = LearnedWeight().fit(distance, rows, kb.labels("c"), kb.labels("c"))
    assert weight.vote(distance, rows, kb.labels("c")).probability == pytest.approx(np.ones((80, 1)))


def test_vectors_of_other_weights_are_told_from_its_own(tmp_path):
    x, labels, _ = _world(40)
    kb = KnowledgeBase(space="pca/image", weights="aaaa1111").fit(x, {"c": labels})
    kb.save(tmp_path / "kb")
    again = KnowledgeBase.load(tmp_path / "kb")
    assert again.query(x[:2], weights="aaaa1111")[0].shape == (2, 3)
    with pytest.raises(ValueError, match=r"the queries were embedded with weights bbbb2222… and .* aaaa1111"):
        again.query(x[:2], space="pca/image", weights="bbbb2222")
    other = KnowledgeBase(space="pca/image", weights="bbbb2222").fit(x, {"c": labels}, ids=np.arange(100, 140))
    with pytest.raises(ValueError, match="cannot be compared"):
        again.merge(other)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda kb: kb.query(np.ones((1, 4))), "4 numbers.*with 5"),
        (lambda kb: kb.query(np.ones((1, 5)), space="pca/image"), "pca/image"),
        (lambda kb: kb.query(np.ones((1, 5)), 0), "k=0"),
        (lambda kb: kb.vote(np.ones((1, 5)), "class"), "'class'. It has: bpt, z"),
        (lambda kb: KnowledgeBase().fit(np.empty((0, 5)), {"bpt": []}).vote(np.ones((1, 5)), "bpt"), "empty"),
        (lambda kb: KnowledgeBase().fit(np.eye(2), {"c": ["", ""]}).vote(np.eye(2), "c"), "nobody can vote"),
        (lambda kb: KnowledgeBase().fit(np.eye(2), {"c": ["a"]}), "column c"),
        (lambda kb: KnowledgeBase().fit(np.eye(2), {}, ids=["a", "a"]), "'a' occurs 2 times"),
        (lambda kb: kb.merge(KnowledgeBase(space="pca/image").fit(np.eye(5), {}, ids=list("abcde"))), "pca/image"),
        (lambda kb: kb.merge(KnowledgeBase().fit(np.eye(4), {})), "4 numbers"),
        (lambda kb: KnowledgeBase("l2"), "metric='l2' is unknown.*You mean metric=\"euclidean\""),
    ],
)
def test_bad_input_is_named(call, told):
    with pytest.raises(ValueError, match=told):
        call(_base())


def test_vectors_that_are_not_finite_are_left_out_and_told():
    kb = KnowledgeBase().fit([[0.0, 1], [np.nan, 1], [2, 1]], {"c": ["a", "b", "a"]}, ids=["x", "y", "z"])
    assert (kb.left_out_, len(kb), kb.classes("c")) == (["y"], 2, {"a": 2})
