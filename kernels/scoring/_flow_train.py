"""Training of several flows at once, with early stopping on rows held out, and scoring in chunks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch

from kernels.scoring._flow import Flow, Work, log_prob_terms

Progress = Callable[[float], None] | None
FAR = 10.0  # standard deviations beyond which a training row is drawn in: one row must not steer the rest
TRIM = 0.02  # share of the held-out rows, the strangest, that early stopping does not listen to
CHUNK = 2048


@dataclass(frozen=True)
class Plan:
    """How to train: Adam's rate (a cosine down to a tenth), rows a step, epochs at most, and when to stop."""

    epochs: int = 100
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 0.0
    clip_norm: float = 5.0
    patience: int = 5
    holdout: float = 0.1


@dataclass
class History:
    """Held-out negative log-likelihood a row after each epoch, (epochs, members), and the epoch kept for each."""

    held_out: list[np.ndarray] = field(default_factory=list)
    best_epoch: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))


class Engine(Protocol):
    """What trains and scores: ours, or that of another library."""

    members: int

    def step(self, x: torch.Tensor) -> None:
        """One step of the optimiser on ``x`` (members, features, rows)."""

    def set_lr(self, lr: float) -> None:
        """The rate of the steps to come."""

    def terms(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Base and log-determinant terms (members, rows) float64 of ``x`` (members, features, rows)."""

    def keep(self, member: int) -> None:
        """Remember this member's parameters."""

    def restore(self) -> None:
        """Go back to what was remembered of every member."""


class FlowEngine:
    """Our flow with torch's fused Adam on one flat array; on a GPU the whole step is one CUDA graph."""

    def __init__(self, flow: Flow, plan: Plan):
        self.flow, self.plan, self.members = flow, plan, flow.members
        self.on_gpu = flow.device.type == "cuda"
        flow.grads = torch.zeros_like(flow.params)
        flow.params.grad = flow.grads
        lr: Any = torch.tensor(plan.lr, device=flow.device) if self.on_gpu else plan.lr
        self.optimiser = torch.optim.Adam(
            [flow.params], lr=lr, weight_decay=plan.weight_decay, fused=True, capturable=self.on_gpu
        )
        self.best = flow.params.clone()
        self.work: Work | None = None
        self.graph: Any = None
        self.low_precision = False

    def set_lr(self, lr: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def step(self, x: torch.Tensor) -> None:
        if self.work is None or self.work.x[0].shape != x.shape:
            self.work, self.graph = Work(self.flow, x.shape[2], backward=True), None
            if self.on_gpu:
                self.work.x[0].copy_(x)
                self.graph = self._captured()
        self.work.x[0].copy_(x)
        if self.graph is not None:
            self.graph.replay()
        else:
            self._update()

    def _update(self) -> None:
        flow, work = self.flow, self.work
        assert work is not None
        assert flow.grads is not None
        rows = work.x[0].shape[2]
        z, _ = flow.forward(work)
        z.mul_(1 / rows)
        flow.backward(work, z, torch.full((flow.members, 1), -1 / rows, dtype=flow.dtype, device=flow.device))
        norm = torch.linalg.vector_norm(flow.grads, dim=1, keepdim=True)
        ratio = self.plan.clip_norm / (norm + 1e-6)
        # a step that overflowed is skipped rather than spread over all weights
        torch.nan_to_num_(flow.grads.mul_(ratio.clamp(max=1.0)), nan=0.0, posinf=0.0, neginf=0.0)
        self.optimiser.step()

    def _captured(self) -> Any:
        """The update as one CUDA graph; parameters and the optimiser's state are put back after the warm-up."""
        before = self.flow.params.clone()
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self._update()
        torch.cuda.current_stream().wait_stream(side)
        self.flow.params.copy_(before)
        for state in self.optimiser.state.values():
            for value in state.values():
                value.zero_()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._update()
        return graph

    def terms(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        work = Work(self.flow, x.shape[2], backward=False)
        work.x[0].copy_(x)
        if self.low_precision:
            with _rounded(self.flow):
                return log_prob_terms(*self.flow.forward(work))
        return log_prob_terms(*self.flow.forward(work))

    def keep(self, member: int) -> None:
        self.best[member].copy_(self.flow.params[member])

    def restore(self) -> None:
        self.flow.params.copy_(self.best)


class _rounded:
    """Products in bfloat16 while it is entered, where the device has them: float32 stays in all else."""

    def __init__(self, flow: Flow):
        self.flow = flow

    def __enter__(self) -> None:
        self.before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")

    def __exit__(self, *_: Any) -> None:
        torch.set_float32_matmul_precision(self.before)


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
    inside = [torch.from_numpy(np.clip(r, -FAR, FAR).T.copy()).to(device, dtype) for r in rows]
    batch = min(plan.batch, *(len(f) for f in fit))
    steps = max(len(f) for f in fit) // batch
    history = History(best_epoch=np.zeros(engine.members, np.int64))
    best = np.full(engine.members, np.inf)
    for epoch in range(plan.epochs):
        engine.set_lr(plan.lr * (0.1 + 0.9 * 0.5 * (1 + np.cos(np.pi * epoch / plan.epochs))))
        orders = [_endless(f, steps * batch, g) for f, g in zip(fit, seeds, strict=True)]
        for s in range(steps):
            part = slice(s * batch, (s + 1) * batch)
            engine.step(torch.stack([x[:, order[part].to(device)] for x, order in zip(inside, orders, strict=True)]))
        now = np.array([_judge(engine, m, inside[m][:, torch.from_numpy(held[m]).to(device)]) for m in range(len(rows))])
        history.held_out.append(now)
        better = now < best - 1e-3 if plan.holdout > 0 else np.ones(engine.members, bool)
        for m in np.flatnonzero(better):
            engine.keep(int(m))
            best[m], history.best_epoch[m] = now[m], epoch
        if progress is not None:
            progress((epoch + 1) / plan.epochs)
        if epoch - history.best_epoch.max() >= plan.patience:
            break
    engine.restore()
    return history


def score_terms(
    engine: Engine, rows: np.ndarray, member: int, device: torch.device, dtype: torch.dtype
) -> tuple[np.ndarray, np.ndarray]:
    """Base and log-determinant terms (n,) float64 of rows (n, d) under one member."""
    base, logdet = np.empty(len(rows)), np.empty(len(rows))
    alone = _alone(engine, member)
    for start in range(0, len(rows), CHUNK):
        part = slice(start, start + CHUNK)
        x = torch.from_numpy(rows[part].T.copy()).to(device, dtype)[None]
        b, d = alone.terms(x)
        base[part], logdet[part] = b[0].cpu().numpy(), d[0].cpu().numpy()
    return base, logdet


def _alone(engine: Engine, member: int) -> Engine:
    """An engine that scores with one member of another."""
    if not isinstance(engine, FlowEngine):
        return engine.alone(member)  # type: ignore[attr-defined]
    if engine.members == 1:
        return engine
    flow = engine.flow
    one = object.__new__(Flow)
    one.__dict__.update(flow.__dict__)
    one.members, one.params, one.grads = 1, flow.params[member : member + 1], None
    made = object.__new__(FlowEngine)
    made.__dict__.update(engine.__dict__)
    made.flow, made.members = one, 1
    return made


def _judge(engine: Engine, member: int, held: torch.Tensor) -> float:
    """Mean negative log-likelihood of the held-out rows (d, n) but for the strangest few."""
    alone = _alone(engine, member)
    found = []
    for start in range(0, held.shape[1], CHUNK):
        base, logdet = alone.terms(held[None, :, start : start + CHUNK])
        found.append(-(base + logdet)[0].cpu().numpy())
    loss = np.sort(np.concatenate(found))
    kept = loss[: max(1, int(np.ceil(len(loss) * (1 - TRIM))))]
    return float(kept.mean()) if np.isfinite(kept).all() else np.inf


def _split(n: int, share: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows to hold out, at least one of each; with no share all rows are both."""
    order = rng.permutation(n)
    if share <= 0:
        return order, order[:20_000]
    held = min(max(1, round(n * share)), n - 1, 20_000)
    return order[held:], order[:held]


def _endless(rows: np.ndarray, count: int, rng: np.random.Generator) -> torch.Tensor:
    """``count`` of the rows, in a random order, going round again where there are fewer."""
    rounds = -(-count // len(rows))
    return torch.from_numpy(np.concatenate([rng.permutation(rows) for _ in range(rounds)])[:count])
