"""PPAD: likelihoods against closed forms, rates that integrate to the counts, clocks found, bad input named."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from explorer.survey.resources import data_path
from kernels.checks import check_encoder, sample_batch
from kernels.embedding.batches import Events
from kernels.embedding.clock import find
from kernels.embedding.encoders.ppad import PPAD, pack, rate, unpack
from kernels.embedding.models.ppad import Basis, Field
from kernels.embedding.objectives.poisson import level, log_likelihood, parity_loss, shape_likelihood
from kernels.embedding.ppad_parity import PPADParity, eight_hours
from kernels.preprocess.events import keep, mesh

RNG = np.random.default_rng(0)


def _source(times: np.ndarray, gti: list[tuple[float, float]], energy: float | None = 1.5) -> Events:
    return Events.of([times], [None if energy is None else np.full(len(times), energy)], [np.array(gti)])


def test_the_contract() -> None:
    check_encoder(PPAD)


def test_mesh_counts_what_a_loop_counts() -> None:
    events = sample_batch("events", 7)
    kept = keep(events)
    counts, live = mesh(events, kept, 512)
    for i in range(7):
        time, energy, gti = events.source(i)
        inside = np.zeros(len(time), bool)
        for start, stop in gti:
            inside |= (time >= start) & (time <= stop)
        inside &= (energy >= 0.5) & (energy < 7)
        edges = np.linspace(gti[0, 0], gti[-1, 1], 513)
        by_hand = [np.histogram(time[inside & (energy >= lo) & (energy < hi)], edges)[0] for lo, hi in
                   ((0.5, 1.2), (1.2, 2.0), (2.0, 7.0))]  # fmt: skip
        assert np.abs(counts[i].T - np.array(by_hand)).sum() <= 2  # an event on an edge may fall on either side
        assert live[i].sum() == pytest.approx((gti[:, 1] - gti[:, 0]).sum(), rel=1e-5)
        middle = (edges[1:] + edges[:-1]) / 2
        outside = (middle > gti[0, 1] + 1e3) & (middle < gti[1, 0] - 1e3)
        assert live[i][outside].max(initial=0) == 0


def test_likelihood_of_a_constant_rate_has_a_closed_form() -> None:
    counts = torch.from_numpy(RNG.poisson(2.0, (3, 3, 16))).double()
    live = torch.full((3, 16), 10.0, dtype=torch.float64)
    flat = torch.zeros(3, 3, 16, dtype=torch.float64)
    total = counts.sum(dim=2)
    best = level(flat, counts, live)
    assert torch.allclose(best, torch.log((total + 0.5) / 160.0))
    told = log_likelihood(best[..., None] + flat, counts, live)
    assert torch.allclose(told, (total * best - (total + 0.5)).sum(dim=1))
    assert torch.allclose(shape_likelihood(flat + 3.0, counts, live), torch.zeros(3, dtype=torch.float64), atol=1e-9)


def test_shape_likelihood_is_the_likelihood_with_the_best_level_and_has_its_gradient() -> None:
    counts = torch.from_numpy(RNG.poisson(2.0, (2, 3, 8)) + 1).double()
    live = torch.from_numpy(RNG.uniform(1, 5, (2, 8)))
    shape = torch.from_numpy(RNG.normal(size=(2, 3, 8))).requires_grad_(True)

    def best(s: torch.Tensor) -> torch.Tensor:
        exposed = (s.exp() * live[:, None]).sum(dim=2)
        return log_likelihood(s + torch.log(counts.sum(dim=2) / exposed)[..., None], counts, live)

    over = best(shape) - best(torch.zeros_like(shape))
    assert torch.allclose(shape_likelihood(shape, counts, live), over)
    assert torch.autograd.gradcheck(lambda s: shape_likelihood(s, counts, live), shape)


def test_the_papers_decoder_has_its_parameters_and_its_loss_a_closed_form() -> None:
    assert sum(p.numel() for p in Field().parameters()) == 2_645_507
    field = Field(hidden=16, blocks=1)
    torch.nn.init.zeros_(field.last.weight)
    torch.nn.init.constant_(field.last.bias, 1.0)
    time = torch.tensor([[0.1, 0.3, 0.5, 0.0]])
    held = torch.tensor([[True, True, True, False]])
    told = parity_loss(field, torch.full((1, 8), 0.5), time, torch.tensor([[0, 1, 2, 0]]), held)
    assert told["log_likelihood"].item() == pytest.approx(3 * 1.0 - 3 * np.e * 0.5, rel=1e-5)
    assert told["variation"].item() == pytest.approx(0, abs=1e-6)
    assert told["loss"].item() == pytest.approx(-(3 - 1.5 * np.e) + 8 * 0.25, rel=1e-5)


def test_packed_latents_come_back() -> None:
    levels, z = RNG.normal(-7, 1, (5, 3)), RNG.normal(size=(5, Basis().latent))
    frequency, profile = np.array([0.0, 3.5, 12.0, 100.0, 7.0]), RNG.normal(0, 0.5, (5, 4))
    span = np.full(5, 3e4)
    back = unpack(pack(levels, z, frequency, profile, span).astype(float), span)
    assert np.allclose(back[0], levels, atol=1e-5)
    assert np.allclose(back[1], z, atol=1e-5)
    assert np.allclose(back[2], frequency, rtol=1e-5)
    assert np.allclose(back[3][1:], profile[1:], atol=1e-5)


@pytest.mark.parametrize("period", [100.0, 731.0, 6000.0])
def test_a_clock_of_100_s_or_longer_is_found(period: float) -> None:
    rng = np.random.default_rng(3)
    t = np.sort(rng.uniform(0, 4e4, 3000))
    t = t[rng.random(3000) < 0.5 * (1 + 0.8 * np.sin(2 * np.pi * t / period))]
    events = _source(t, [(0.0, 4e4)])
    found = find(events, keep(events), np.arange(1))
    assert found.gain[0] > found.price[0]
    assert 4e4 / found.frequency[0] == pytest.approx(period, rel=0.004)
    flat = _source(np.sort(rng.uniform(0, 4e4, 1500)), [(0.0, 4e4)])
    none = find(flat, keep(flat), np.arange(1))
    assert none.gain[0] < none.price[0]


def _shipped() -> PPAD:
    path = data_path("weights") / PPAD.weights["events"]
    if not path.exists():
        pytest.skip("the weights of ppad are not there: make weights")
    return PPAD().load(path)


def test_rates_integrate_to_the_counts_and_tell_held_out_events() -> None:
    rng = np.random.default_rng(5)
    live, gains = 3e4, []
    for _ in range(6):
        start = rng.uniform(0.2, 0.7) * live
        t = np.concatenate([rng.uniform(0, live, 120), start + rng.exponential(0.07 * live, 180)])
        t = np.sort(t[t < live])
        first = rng.random(len(t)) < 0.7
        events = _source(t[first], [(0.0, live)])
        encoder = _shipped()
        latent = encoder.encode(events)[0]
        middle = (np.arange(4000) + 0.5) / 4000 * live
        told = rate(encoder, events, latent, middle).sum(axis=1) * live / 4000
        assert told.sum() == pytest.approx(first.sum(), rel=0.03)
        at = rate(encoder, events, latent, t[~first])[:, 1]
        gains.append(np.log(at / (first.sum() / live)).sum())
    assert np.mean(gains) > 10  # nats over a constant rate, for about 90 events left out


def test_bad_lists_are_named_and_do_not_touch_the_others() -> None:
    good = np.sort(RNG.uniform(0, 1e4, 50))
    gti = np.array([[0.0, 1e4]])
    events = Events.of(
        [np.empty(0), good[:1], good, good, good[::-1], good],
        [np.empty(0), np.ones(1), None, np.ones(50), np.ones(50), np.ones(50)],
        [gti, gti, gti, np.empty((0, 2)), gti, gti[::-1] + 5e4],
    )
    encoder = PPAD()
    why = encoder.reasons(events)
    assert why[0] == "no events"
    assert "1 events in 0.5-7 keV" in why[1]
    assert "no energies" in why[2]
    assert why[3] == "no good time interval"
    assert why[4] == ""
    assert "0 events" in why[5]
    with pytest.warns(UserWarning, match="5 of 6 sources have no vector: no events"):
        vectors = encoder.encode(events)
    assert np.isfinite(vectors).all(axis=1).tolist() == [False, False, False, False, True, False]
    with pytest.raises(ValueError, match="not finite"):
        rate(encoder, events.take([0]), vectors[0], good)
    with pytest.raises(ValueError, match="one source and is given 6"):
        rate(encoder, events, vectors[4], good)
    with pytest.raises(ValueError, match="is given Images"):
        encoder.encode(sample_batch("image", 2))


def test_parity_cuts_at_eight_hours_and_learns() -> None:
    rng = np.random.default_rng(1)
    times = [np.sort(rng.uniform(0, s, 60)) for s in (2e4, 4e4, 5e4)]
    events = Events.of(times, [rng.uniform(0.5, 6, 60)] * 3, [np.array([[0.0, 5e4]])] * 3)
    data = eight_hours(events)
    assert data.rows.tolist() == [1, 2]
    assert data.held.sum(axis=1).tolist() == [int((t - t[0] <= 28_800).sum()) for t in times[1:]]
    small = PPADParity(hidden=16, blocks=1, epochs=30, batch=2, lr=3e-3, steps=20, cells=64)
    before = PPADParity(hidden=16, blocks=1, steps=0, cells=64).rate(np.zeros((1, 8)), np.array([1e3]))
    latents = small.fit(events).encode(events)
    assert np.isnan(latents[0]).all()
    assert np.isfinite(latents[1:]).all()
    told = small.rate(latents[1:], np.linspace(0, 28_800, 200)).sum(axis=2).mean(axis=1) * 28_800
    assert not np.allclose(before, small.rate(np.zeros((1, 8)), np.array([1e3])))
    assert 15 < told.mean() < 90  # about 40 events in eight hours
    with pytest.raises(ValueError, match="eight hours"):
        PPADParity(hidden=16, blocks=1).fit(events.take([0]))
