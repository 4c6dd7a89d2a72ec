"""Alignment: its loss against closed forms and references, its splits, and what it finds in pairs that are there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from kernels.embedding.align.aligner import Aligner
from kernels.embedding.align.networks import Shared, Towers, distance_term
from kernels.embedding.align.search import grid_search, judged, pair_ranks, tune_temperature
from kernels.embedding.align.splits import by_year, components, grouped
from kernels.embedding.objectives.contrastive import info_nce


def made_pairs(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two views of six hidden numbers, each through its own map, with noise."""
    rng = np.random.default_rng(7)
    maps = rng.normal(size=(6, 10)), rng.normal(size=(6, 14))
    rng = np.random.default_rng(seed + 100)
    hidden = rng.normal(size=(n, 6))
    a, b = (np.tanh(hidden @ m) + 0.1 * rng.normal(size=(n, m.shape[1])) for m in maps)
    return a.astype(np.float32), b.astype(np.float32)


def test_info_nce_against_its_closed_form() -> None:
    """Orthogonal unit pairs: s = 1/τ on the diagonal and 0 off it, so the loss is log(1 + (n - 1) exp(-1/τ))."""
    n, temperature = 6, 0.3
    eye = torch.eye(n, dtype=torch.float64)
    expected = math.log(1 + (n - 1) * math.exp(-1 / temperature))
    assert float(info_nce(eye, 3 * eye, temperature)) == pytest.approx(expected, rel=1e-12)
    assert float(info_nce(torch.ones(n, 3).double(), torch.ones(n, 3).double())) == pytest.approx(math.log(n))


def test_distance_term_against_loops() -> None:
    rng = np.random.default_rng(0)
    z, x = rng.normal(size=(5, 3)), rng.normal(size=(5, 8))
    squares = [
        (np.linalg.norm(z[i] - z[j]) - np.linalg.norm(x[i] - x[j])) ** 2 for i in range(5) for j in range(i + 1, 5)
    ]
    assert float(distance_term(torch.from_numpy(z), torch.from_numpy(x))) == pytest.approx(np.mean(squares))
    assert float(distance_term(torch.from_numpy(x), torch.from_numpy(x))) == 0
    with pytest.raises(ValueError, match="1 and 1 rows"):
        distance_term(torch.zeros(1, 2), torch.zeros(1, 2))


@pytest.mark.parametrize("network", [Towers, Shared])
def test_gradients_of_the_whole_loss_in_float64(network: type) -> None:
    torch.manual_seed(0)
    model = network((3, 4), shared=4, hidden=5, dropout=0.0, learned=True).double()
    a, b = torch.randn(4, 3).double().requires_grad_(), torch.randn(4, 4).double().requires_grad_()
    assert torch.autograd.gradcheck(lambda x, y: model.loss(x, y, gamma=0.3)["loss"], (a, b), atol=1e-6)
    model.loss(a, b, 0.3)["loss"].backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters() if p.requires_grad)


def test_pairs_are_found_and_shuffled_ones_fall_to_chance() -> None:
    train, test = made_pairs(400), made_pairs(200, seed=1)
    order = np.random.default_rng(0).permutation(400)
    for form in ("towers", "shared"):
        options = {"form": form, "shared": 16, "hidden": 64, "epochs": 25, "dropout": 0.1, "gamma": 0.3}
        true = pair_ranks(Aligner(**options).fit(*train), *test)
        shuffled = pair_ranks(Aligner(**options).fit(train[0], train[1][order]), *test)
        assert (true <= 10).mean() > 0.4, form
        assert (shuffled <= 10).mean() < 0.13, f"{form}: chance is 10/200"


def test_a_side_that_has_seen_its_partner_finds_shuffled_pairs_too() -> None:
    """Why the two sides must be apart (P2.3a): trained on shuffled pairs, "both" still finds unseen shuffled pairs."""
    a, b = made_pairs(600)
    c, d = made_pairs(200, seed=1)
    order, other = np.random.default_rng(0).permutation(600), np.random.default_rng(1).permutation(200)
    options = {"form": "shared", "shared": 16, "hidden": 64, "epochs": 30, "dropout": 0.0}
    both = Aligner(**options, sides="both").fit(a, b[order])
    apart = Aligner(**options).fit(a, b[order])
    assert (pair_ranks(both, c, d[other]) <= 10).mean() > 0.5
    assert (pair_ranks(apart, c, d[other]) <= 10).mean() < 0.12
    with pytest.raises(ValueError, match="needs both modalities"):
        both.encode("a", c)


def test_an_ensemble_ranks_by_the_mean_similarity_and_comes_back_from_its_state() -> None:
    a, b = made_pairs(200)
    three = Aligner(shared=8, hidden=16, epochs=4, members=3).fit(a, b)
    za, zb = three.encode("a", a[:20]), three.encode("b", b[:20])
    np.testing.assert_allclose(np.linalg.norm(za, axis=1), 1, atol=1e-5)
    single = []
    for model in three.models_:
        with torch.no_grad():
            x, y = (torch.from_numpy(s(v[:20])) for s, v in zip(three.scales_, (a, b), strict=True))
            u, v = model.sides(x, y)
            single.append((u @ v.T).numpy())
    np.testing.assert_allclose(za @ zb.T, np.mean(single, axis=0), atol=1e-5)
    again = Aligner(shared=8, hidden=16, members=3).load_state(three.state())
    np.testing.assert_allclose(again.encode("a", a[:20]), za, atol=1e-6)
    odd = a[:3].copy()
    odd[1, 2] = np.nan
    assert np.isnan(three.encode("a", odd)).any(axis=1).tolist() == [False, True, False]


def test_the_same_seed_gives_the_same_space_and_bad_rows_are_named() -> None:
    a, b = made_pairs(80)
    one, two = (Aligner(shared=8, hidden=8, epochs=3, random_state=5).fit(a, b).encode("a", a) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    a[17, 0] = np.inf
    with pytest.raises(ValueError, match="row 17"):
        Aligner().fit(a, b)
    with pytest.raises(ValueError, match="80 and 79 rows"):
        Aligner().fit(b, b[1:])


def test_a_grid_search_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = made_pairs(150), made_pairs(60, seed=2)
    grid = {"shared": (4, 8), "dropout": (0.0, 0.2)}
    said: list[int] = []
    first = grid_search(train, validation, grid, {"epochs": 3}, tmp_path, lambda d, n, s: said.append(d))
    assert said == [0, 1, 2, 3, 4]
    with (tmp_path / "grid.jsonl").open("a") as file:
        file.write('{"key": "cut sh')
    monkeypatch.setattr(Aligner, "fit", lambda *_, **__: pytest.fail("trained again"))
    assert grid_search(train, validation, grid, {"epochs": 3}, tmp_path) == first
    assert first[0]["mean_log_rank"] == min(r["mean_log_rank"] for r in first)


def test_the_temperature_is_tuned_on_the_calibration_pairs() -> None:
    train, calibration = made_pairs(150), made_pairs(40, seed=3)
    options = {"epochs": 6, "shared": 8, "hidden": 32}
    best, tried = tune_temperature(train, calibration, options, (0.05, 0.5))
    ranks = {t: pair_ranks(Aligner(**options, temperature=t).fit(*train), *calibration) for t in (0.05, 0.5)}
    found = {t["temperature"]: t["median_rank"] for t in tried}
    assert best in ranks
    assert all(abs(found[t] - np.median(ranks[t])) < 8 for t in ranks), "both directions agree with the first"
    assert judged(Aligner(epochs=1).fit(*train), calibration)["median_rank"] <= 40


def test_no_source_and_no_paper_is_on_both_sides() -> None:
    rng = np.random.default_rng(0)
    keys = [{f"source {i // 2}", *(f"paper {p}" for p in rng.integers(0, 900, 2))} for i in range(1000)]
    keys = [k | {f"own {i}"} for i, k in enumerate(keys)]
    some = [{f"source {i // 2}", f"paper {i // 6}"} for i in range(1000)]
    split = grouped(some, random_state=1)
    assert sum(len(v) for v in split.values()) == 1000
    for name, rows in split.items():
        inside = set().union(*(some[i] for i in rows)) if len(rows) else set()
        outside = set().union(*(some[i] for i in range(1000) if i not in set(rows.tolist())))
        assert not inside & outside, name
    assert abs(len(split["train"]) - 690) < 12
    assert abs(len(split["test"]) - 150) < 12
    assert len(np.unique(components(keys))) < 300, "papers chain sources together"
    other = grouped(some, random_state=2)
    assert not np.array_equal(split["test"], other["test"])


def test_a_split_by_time_tests_on_what_came_later() -> None:
    some = [{f"source {i}", f"paper {i // 3}"} for i in range(300)]
    years = 2000.0 + np.arange(300) % 25
    split = by_year(some, years, 2020)
    assert (years[split["test"]] > 2020).all()
    before = np.concatenate([split[n] for n in ("train", "calibration", "validation")])
    assert (years[before] <= 2020).all()
    papers = [{k for i in rows for k in some[i] if k.startswith("paper")} for rows in (before, split["test"])]
    assert not papers[0] & papers[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_cpu_and_gpu_agree() -> None:
    a, b = (torch.from_numpy(v) for v in made_pairs(64))
    for network in (Towers, Shared):
        torch.manual_seed(0)
        model = network((10, 14), shared=8, hidden=16, dropout=0.0)
        here = model.loss(a, b, 0.3)["loss"]
        there = model.cuda().loss(a.cuda(), b.cuda(), 0.3)["loss"]
        assert float(there) == pytest.approx(float(here), rel=1e-4)
