"""What trains and scores flows: our own, shared out among cores or as one CUDA graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from kernels._parallel import cores, in_threads
from kernels.scoring._flow import Flow, Work, log_prob_terms

CHUNK = 1024  # rows scored at once
SHARD = 128  # rows from which a step is cut in two, whatever the cores: sums do not depend on the machine


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


class Engine(Protocol):
    """What trains and scores: ours, or that of another library."""

    members: int

    def step(self, x: torch.Tensor) -> None:
        """One step of the optimiser on ``x`` (members, features, rows)."""

    def set_lr(self, lr: float) -> None:
        """The rate of the steps to come."""

    def terms(self, member: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Base and log-determinant terms (rows,) float64 of ``x`` (features, rows) under one member."""

    def keep(self, member: int) -> None:
        """Remember this member's parameters."""

    def restore(self) -> None:
        """Go back to what was remembered of every member."""


class FlowEngine:
    """Our flow with torch's fused Adam on one flat array of parameters.

    On a CPU every member and every half of its rows is a task of one core: threads meet once a step, not at every
    product. On a GPU all members go together and the whole step is one CUDA graph.
    """

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
        self._shape: tuple[int, ...] = ()
        self._shards: list[tuple[int, slice, Flow, Work]] = []
        self._graph: Any = None

    def set_lr(self, lr: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(lr)
            else:
                group["lr"] = lr

    def step(self, x: torch.Tensor) -> None:
        if x.shape != self._shape:
            self._prepare(x)
        if self.on_gpu:
            self._shards[0][3].x[0].copy_(x)
            self._graph.replay()
            return
        in_threads(partial(self._shard, x, *shard) for shard in self._shards)
        self._update()

    def _prepare(self, x: torch.Tensor) -> None:
        """Arrays for steps on rows of this shape."""
        self._shape = tuple(x.shape)
        rows = x.shape[2]
        if self.on_gpu:
            work = Work(self.flow, rows, backward=True)
            work.x[0].copy_(x)
            self._shards = [(0, slice(0, rows), self.flow, work)]
            self._graph = self._captured()
            return
        parts = [slice(0, rows)] if rows < 2 * SHARD else [slice(0, rows // 2), slice(rows // 2, rows)]
        self._shards = []
        for member in range(self.members):
            for i, part in enumerate(parts):
                view = self.flow.member(member)
                if i:
                    view.grads = torch.zeros_like(view.params)
                self._shards.append((member, part, view, Work(view, part.stop - part.start, backward=True)))

    def _shard(self, x: torch.Tensor, member: int, part: slice, view: Flow, work: Work) -> None:
        """Gradients of one member's share of the rows."""
        with one_thread():
            work.x[0].copy_(x[member : member + 1, :, part])
            _gradients(view, work, x.shape[2])

    def _update(self) -> None:
        """Sum the shares, limit the gradient of each member, one step of Adam."""
        flow = self.flow
        assert flow.grads is not None
        if not self.on_gpu:
            for member, _, view, _ in self._shards:
                assert view.grads is not None
                if view.grads.data_ptr() != flow.grads[member].data_ptr():
                    flow.grads[member].add_(view.grads[0])
        norm = torch.linalg.vector_norm(flow.grads, dim=1, keepdim=True)
        flow.grads.mul_((self.plan.clip_norm / (norm + 1e-6)).clamp(max=1.0))
        # a gradient that overflowed is dropped rather than spread over all weights
        torch.nan_to_num_(flow.grads, nan=0.0, posinf=0.0, neginf=0.0)
        self.optimiser.step()

    def _captured(self) -> Any:
        """The step as one CUDA graph; parameters and the optimiser's state are put back after the warm-up."""
        _, part, flow, work = self._shards[0]
        before = flow.params.clone()

        def whole() -> None:
            _gradients(flow, work, part.stop)
            self._update()

        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                whole()
        torch.cuda.current_stream().wait_stream(side)
        flow.params.copy_(before)
        for state in self.optimiser.state.values():
            for value in state.values():
                value.zero_()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            whole()
        return graph

    def terms(self, member: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        view, rows = self.flow.member(member), x.shape[1]
        base = torch.empty(rows, dtype=torch.float64, device=x.device)
        logdet = torch.empty_like(base)
        starts = list(range(0, rows, CHUNK))
        share = -(-len(starts) // (1 if self.on_gpu else cores())) or 1
        in_threads(
            partial(self._score, view, x, base, logdet, starts[i : i + share]) for i in range(0, len(starts), share)
        )
        return base, logdet

    def _score(self, view: Flow, x: torch.Tensor, base: torch.Tensor, logdet: torch.Tensor, starts: list[int]) -> None:
        work = None
        with one_thread():
            for start in starts:
                part = x[None, :, start : start + CHUNK]
                if work is None or part.shape[2] != work.logdet.shape[1]:
                    work = Work(view, part.shape[2], backward=False)
                work.x[0].copy_(part)
                b, d = log_prob_terms(*view.forward(work))
                base[start : start + CHUNK], logdet[start : start + CHUNK] = b[0], d[0]

    @property
    def low_precision(self) -> bool:
        """Whether rows are scored by products in bfloat16."""
        return self.flow.rounded is not None

    @low_precision.setter
    def low_precision(self, wanted: bool) -> None:
        self.flow.rounded = self.flow.params.bfloat16() if wanted else None

    def keep(self, member: int) -> None:
        self.best[member].copy_(self.flow.params[member])

    def restore(self) -> None:
        self.flow.params.copy_(self.best)


def _gradients(flow: Flow, work: Work, rows: int) -> None:
    """Gradients of the mean negative log-likelihood over ``rows`` rows, of which ``work`` holds some."""
    z, _ = flow.forward(work)
    z.mul_(1 / rows)
    flow.backward(work, z, torch.full((flow.members, 1), -1 / rows, dtype=flow.dtype, device=flow.device))


@contextmanager
def one_thread() -> Iterator[None]:
    """This thread's products on one core: others work on other rows at the same time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
