"""Poisson-process autodecoder: the numbers whose rate in time tells an event list best (P2.1).

Song, Villar, Martínez-Galarza & Dillmann 2025, arXiv 2502.01627; clean room.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from kernels.embedding.batches import Batch, Events
from kernels.embedding.clock import CELLS as FINE
from kernels.embedding.clock import WIDTH, find, log_profile
from kernels.embedding.models.ppad import CELLS, LATENT, Basis
from kernels.embedding.objectives.poisson import level, negative_elbo, shape_likelihood
from kernels.embedding.training import Settings, Training
from kernels.preprocess.events import Kept, keep, live_time, mesh

CHUNK = 256
_LEVEL = np.array([[-7.0, 1.5], [-0.3, 1.0], [-0.4, 1.0]])
"""Middle and scale of log rate (counts / s), log M / S and log H / M of X-ray sources, so that latents are near 1."""
PERIOD = 1000.0
"""Period in s whose latent is 0."""


class PPAD:
    """Latents of X-ray event lists under any good time intervals, found by descent with the decoder frozen.

    The 20 numbers of a source: three for its level (log rate, log M / S, log H / M; bands 0.5-1.2, 1.2-2, 2-7 keV);
    twelve of a neural field in time; five of a clock (depth of the first harmonic, second harmonic in its frame, log10
    of the period over 1000 s, phase), all 0 where a period is not worth its price. The rate that they stand for is
    given back by :func:`rate`.

    The likelihood is that of the events in the good time intervals (the integral runs over observed time). The paper's
    own form (eight hours, integral to the last event) is :class:`kernels.embedding.ppad_parity.PPADParity`.

    A source without events, good times or energies, or with one event, has NaN for a vector; :meth:`reasons` says why.

    Parameters
    ----------
    modality : ``"events"``.
    random_state : seed of the untrained weights.
    steps : steps of the descent. ``clock`` : whether periods are looked for.
    """

    name = "ppad"
    modalities = ("events",)
    dim = 3 + LATENT + 5
    fit_rows = 1
    weights: ClassVar[dict[str, str]] = {"events": "ppad-events.safetensors"}
    trainings: ClassVar[tuple[tuple[str, ...], ...]] = (("events",),)

    def __init__(
        self,
        modality: str = "events",
        random_state: int = 0,
        device: str | None = None,
        steps: int = 60,
        clock: bool = True,
    ):
        if modality not in self.modalities:
            raise ValueError(f"the ppad encoder knows {self.modalities}, not {modality!r}")
        self.modality, self.random_state, self.device = modality, random_state, device
        self.steps, self.clock = steps, clock
        with torch.random.fork_rng([]):
            torch.manual_seed(random_state)
            self.model_ = Basis().to(device or "cpu").eval().requires_grad_(False)

    def fit(self, batches: Iterable[Batch]) -> PPAD:
        """Nothing to adapt: rates are absolute; returns self."""
        return self

    def encode(self, batch: Batch) -> np.ndarray:
        """(n, 20) float32 latents; NaN for a source that :meth:`reasons` names."""
        events = _events(batch)
        out = np.full((len(events), self.dim), np.nan, dtype=np.float32)
        for first in range(0, len(events), CHUNK):
            part = events.take(np.arange(first, min(first + CHUNK, len(events))))
            kept = keep(part)
            good = np.flatnonzero([not why for why in kept.why])
            if len(good):
                chosen = part if len(good) == len(part) else part.take(good)
                out[first + good] = self._fit(chosen, keep(chosen))
        lost = [why for why in self.reasons(events) if why]
        if lost:
            warnings.warn(f"{len(lost)} of {len(events)} sources have no vector: {lost[0]}, ...", stacklevel=2)
        return out

    def reasons(self, batch: Batch) -> list[str]:
        """(n,) why a source has no vector, "" where it has one."""
        return keep(_events(batch)).why

    def _fit(self, events: Events, kept: Kept) -> np.ndarray:
        """Latents of sources that all can be used: without a clock, then with one, and the better of the two."""
        counts, live = (torch.from_numpy(a).to(self.device or "cpu") for a in mesh(events, kept, CELLS))
        z, gain = self._descend(counts, live)
        n = len(events)
        frequency, profile = np.zeros(n), np.zeros((n, 4))
        if self.clock:
            found = find(events, kept, np.arange(n))
            some = np.flatnonzero(found.gain > found.price)
            if len(some):
                told = _clock_gain(events, kept, found.frequency, found.profile, some)
                lit = live[some] * torch.from_numpy(told[1]).to(live)
                with_clock, more = self._descend(counts[some], lit)
                prior = (found.profile[some] ** 2).sum(axis=1) / 2 / WIDTH**2
                value = told[0] + more.numpy(force=True) - prior - found.price[some]
                better = value > gain.numpy(force=True)[some]
                rows = some[better]
                z[rows] = with_clock[torch.from_numpy(better)]
                live[rows] = lit[torch.from_numpy(better)]
                frequency[rows], profile[rows] = found.frequency[rows], found.profile[rows]
        shape = self._shape(z)
        return pack(
            level(shape, counts.transpose(1, 2), live).numpy(force=True),
            z.numpy(force=True),
            frequency,
            profile,
            kept.span,
        )

    def _shape(self, z: torch.Tensor) -> torch.Tensor:
        """(n, bands, cells) log relative rate whose mean over the span is 1."""
        raw = self.model_.combine(z, self.model_.on_mesh(CELLS))
        return raw - raw.exp().mean(dim=2, keepdim=True).log()

    def _descend(self, counts: torch.Tensor, live: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """``(z, gain)``: latents (n, 12) by Adam from the better of two starts, and nats gained less their prior."""
        functions, seen = self.model_.on_mesh(CELLS), counts.transpose(1, 2).contiguous()

        def value(z: torch.Tensor) -> torch.Tensor:
            return shape_likelihood(self.model_.combine(z, functions), seen, live) - 0.5 * getattr(self, "pw", 1.0) * (
                z**2
            ).sum(dim=1)

        guess = self.model_.guess(counts, live)[0]
        nothing = torch.zeros_like(guess)
        best, most = guess, value(guess)
        for start in (nothing,):
            now = value(start)
            best, most = torch.where((now > most)[:, None], start, best), torch.maximum(now, most)
        z = best.clone()
        first, second = torch.zeros_like(z), torch.zeros_like(z)
        for step in range(1, self.steps + 1):
            with torch.enable_grad():
                z.requires_grad_(True)
                now = value(z)
                (slope,) = torch.autograd.grad(-now.sum(), z)
            z = z.detach()
            now = now.detach()
            best, most = torch.where((now > most)[:, None], z, best), torch.maximum(now, most)
            first, second = 0.9 * first + 0.1 * slope, 0.98 * second + 0.02 * slope**2
            move = (first / (1 - 0.9**step)) / ((second / (1 - 0.98**step)).sqrt() + 1e-8)
            z = z - 0.08 * (1 - 0.9 * step / self.steps) * move
        return best, most

    # -- weights --------------------

    def load(self, path: str | os.PathLike[str]) -> PPAD:
        """Take weights from a file; returns self."""
        from kernels.embedding.files import load_into, load_weights

        load_into(self.model_, load_weights(path), "ppad")
        self.model_.eval().requires_grad_(False)
        return self

    def state(self) -> dict[str, np.ndarray]:
        """The decoder's arrays, as they are saved."""
        return {k: v.numpy(force=True) for k, v in self.model_.state_dict().items()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> PPAD:
        """Take back what :meth:`state` gave; returns self."""
        self.model_.load_state_dict({k: torch.as_tensor(np.asarray(v)) for k, v in state.items()})
        return self

    @staticmethod
    def join(vectors: dict[str, np.ndarray]) -> np.ndarray:
        """There is one modality, so the joint vectors are its own."""
        return next(iter(vectors.values()))

    @classmethod
    def training(
        cls,
        parts: tuple[str, ...],
        sample: Mapping[str, Batch],
        random_state: int = 0,
        start: Mapping[str, Path] | None = None,
    ) -> Training:
        """The decoder and its guess as a variational autoencoder on binned events; see ``objectives/poisson.py``."""
        encoder = cls("events", random_state)
        if start and "events" in start:
            encoder.load(start["events"])
        return Training(
            model=encoder.model_.requires_grad_(True),
            objective=negative_elbo,
            settings=Settings(steps=6000, batch=256, lr=2e-3, weight_decay=1e-3, seed=random_state),
            inputs=_inputs,
            weights=lambda model: {"events": model.state_dict()},
        )


def rate(encoder: PPAD, events: Events, latent: np.ndarray, times: np.ndarray) -> np.ndarray:
    """(m, 3) counts / s in 0.5-1.2, 1.2-2 and 2-7 keV of one source at ``times`` (m,) s, by its latents (20,).

    ``events`` holds that one source: its good times say what the latents' clock and span mean. Outside the span the
    rate of the nearer end is given, and the clock goes on.
    """
    if len(events) != 1:
        raise ValueError(f"rate() tells the rate of one source and is given {len(events)}: events.take([row])")
    if not np.isfinite(latent).all():
        raise ValueError("the latents of this source are not finite: encoder.reasons(events) says why")
    kept = keep(events)
    log_level, z, frequency, profile = unpack(np.asarray(latent, np.float64)[None], kept.span)
    u = (np.asarray(times, np.float64) - kept.start[0]) / kept.span[0]
    at = torch.from_numpy(np.clip(u, 0, 1).astype(np.float32))
    model = encoder.model_.to("cpu")
    with torch.no_grad():
        latents = torch.from_numpy(z.astype(np.float32))
        middle = model(latents, (torch.arange(CELLS) + 0.5) / CELLS).exp().mean(dim=2, keepdim=True).log()
        shape = (model(latents, at) - middle)[0].numpy().astype(np.float64)
    return np.exp(log_level[0][None] + shape.T + log_profile(frequency, profile, u[None])[0][:, None])


def pack(
    log_level: np.ndarray, z: np.ndarray, frequency: np.ndarray, profile: np.ndarray, span: np.ndarray
) -> np.ndarray:
    """(n, 20) float32 latents from log rates (n, 3), field latents (n, 12), cycles over ``span`` s, profile (n, 4)."""
    told = np.stack(
        [
            np.log(np.exp(log_level).sum(axis=1)),
            log_level[:, 1] - log_level[:, 0],
            log_level[:, 2] - log_level[:, 1],
        ],
        axis=1,
    )
    first, second = profile[:, 0] - 1j * profile[:, 1], profile[:, 2] - 1j * profile[:, 3]
    depth, phase = np.abs(first), np.angle(first)
    turned = second * np.exp(-2j * phase)
    ticks = frequency > 0
    period = np.where(ticks, span / np.where(ticks, frequency, 1.0), PERIOD)
    clock = np.stack([depth, turned.real, turned.imag, np.log10(period / PERIOD), phase / np.pi], axis=1)
    clock = np.where(ticks[:, None], clock, 0.0)
    return np.concatenate([(told - _LEVEL[:, 0]) / _LEVEL[:, 1], z, clock], axis=1).astype(np.float32)


def unpack(latents: np.ndarray, span: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """``(log rates, field latents, cycles over the span, profile)``: the inverse of :func:`pack`."""
    told = latents[:, :3] * _LEVEL[:, 1] + _LEVEL[:, 0]
    ratio = np.stack([np.zeros(len(told)), told[:, 1], told[:, 1] + told[:, 2]], axis=1)
    log_level = told[:, :1] + ratio - np.log(np.exp(ratio).sum(axis=1, keepdims=True))
    depth, real, imaginary, period, phase = latents[:, 3 + LATENT :].T.astype(np.float64)
    first = depth * np.exp(1j * np.pi * phase)
    second = (real + 1j * imaginary) * np.exp(2j * np.pi * phase)
    profile = np.stack([first.real, -first.imag, second.real, -second.imag], axis=1)
    frequency = np.where(depth > 0, span / (PERIOD * 10.0**period), 0.0)
    return log_level, latents[:, 3 : 3 + LATENT], frequency, profile


def _clock_gain(
    events: Events, kept: Kept, frequency: np.ndarray, profile: np.ndarray, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Nats that a clock gains over a constant rate (r,), and the mean of p in each observed cell (r, 512)."""
    value = np.zeros(len(events))
    phase = 2 * np.pi * frequency[kept.source] * kept.time
    c = profile[kept.source]
    each = c[:, 0] * np.cos(phase) + c[:, 1] * np.sin(phase) + c[:, 2] * np.cos(2 * phase) + c[:, 3] * np.sin(2 * phase)
    np.add.at(value, kept.source, each)
    u = (np.arange(FINE) + 0.5) / FINE
    p = np.exp(log_profile(frequency[rows], profile[rows], u))
    chosen = events.take(rows)
    part = Kept(kept.source[:0], kept.time[:0], kept.band[:0], kept.start[rows], kept.span[rows], [])
    live = np.diff(live_time(chosen, part, np.linspace(0, 1, FINE + 1)), axis=1)
    group = (len(rows), CELLS, FINE // CELLS)
    seconds = live.reshape(group).sum(axis=2)
    lit = (p * live).reshape(group).sum(axis=2)
    mean = np.divide(lit, seconds, out=np.ones_like(lit), where=seconds > 0)
    total = np.bincount(kept.source, minlength=len(events))[rows]
    return value[rows] - total * np.log(lit.sum(axis=1) / seconds.sum(axis=1)), mean.astype(np.float32)


def _inputs(batches: Mapping[str, Batch]) -> dict[str, np.ndarray]:
    events = _events(batches["events"])
    counts, live = mesh(events, keep(events), CELLS)
    return {"counts": counts.astype(np.float16), "live": live}


def _events(batch: Any) -> Events:
    if not isinstance(batch, Events):
        raise ValueError(f"ppad encodes event lists and is given {type(batch).__name__}")
    return batch
