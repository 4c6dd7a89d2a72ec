"""Training of several flows at once, with early stopping on rows held out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from kernels.scoring._flow_engine import Engine, Plan

Progress = Callable[[float], None] | None
FAR = 10.0  # standard deviations beyond which a training row is drawn in: one row must not steer the rest
TRIM = 0.02  # share of the held-out rows, the strangest, that early stopping does not listen to
HELD = 20_000  # rows held out at most


@dataclass
class History:
    """Held-out negative log-likelihood a row after each epoch, (epochs, members), and the epoch kept for each."""

    held_out: list[np.ndarray] = field(default_factory=list)
    best_epoch: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


def train(
    engine: Engine,
    rows: list[np.ndarray],
    plan: Plan,
    seeds: list[np.random.Generator],
    device: torch.device,
    dtype: torch.dtype,
    progress: Progress = None,
) -> History:
    """Train every member on its own rows (n_i, d); the parameters of its best held-out epoch are kept."""
    fit, held = zip(*(_split(len(r), plan.holdout, g) for r, g in zip(rows, seeds, strict=True)), strict=True)
    inside = [torch.from_numpy(np.clip(r, -FAR, FAR)).to(device, dtype) for r in rows]
    judged = [x[torch.from_numpy(h).to(device)].T.contiguous() for x, h in zip(inside, held, strict=True)]
    batch = min(plan.batch, *(len(f) for f in fit))
    steps = max(len(f) for f in fit) // batch
    history = History(best_epoch=np.zeros(engine.members, np.int64))
    best = np.full(engine.members, np.inf)
    for epoch in range(plan.epochs):
        engine.set_lr(plan.lr * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * epoch / plan.epochs))))
        orders = [_endless(f, steps * batch, g).to(device) for f, g in zip(fit, seeds, strict=True)]
        for s in range(0, steps * batch, batch):
            taken = [x[order[s : s + batch]].T for x, order in zip(inside, orders, strict=True)]
            engine.step(torch.stack(taken))
        now = np.array([_judge(engine, m, x) for m, x in enumerate(judged)])
        history.held_out.append(now)
        better = now < best - 1e-3 if plan.holdout > 0 else np.ones(engine.members, bool)
        for m in np.flatnonzero(better):
            engine.keep(int(m))
            best[m], history.best_epoch[m] = now[m], epoch
        if progress is not None:
            progress((epoch + 1) / plan.epochs)
        if epoch - history.best_epoch.max() >= plan.patience:
            break
    if progress is not None:
        progress(1.0)
    engine.restore()
    return history


def score_terms(
    engine: Engine, rows: np.ndarray, member: int, device: torch.device, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Base and log-determinant terms (n,) float64 of rows (n, d) under one member."""
    base, logdet = engine.terms(member, torch.from_numpy(np.ascontiguousarray(rows.T)).to(device, dtype))
    return base.cpu().numpy(), logdet.cpu().numpy()


def _judge(engine: Engine, member: int, held: torch.Tensor) -> float:
    """Mean negative log-likelihood of the held-out rows (d, n) but for the strangest few."""
    base, logdet = engine.terms(member, held)
    loss = np.sort(-(base + logdet).cpu().numpy())
    kept = loss[: max(1, int(np.ceil(len(loss) * (1 - TRIM))))]
    return float(kept.mean()) if np.isfinite(kept).all() else np.inf


def _split(n: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to hold out, at least one of each; with no share all rows are both."""
    order = rng.permutation(n)
    if share <= 0:
        return order, order[:HELD]
    held = min(max(1, round(n * share)), n - 1, HELD)
    return order[held:], order[:held]


def _endless(rows: np.ndarray, count: int, rng: np.random.Generator) -> torch.Tensor:
    """``count`` of the rows, in a random order, going round again where there are fewer."""
    rounds = -(-count // len(rows))
    return torch.from_numpy(np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count])
