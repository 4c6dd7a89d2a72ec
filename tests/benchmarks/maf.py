"""The autoregressive flow beside nflows and zuko: training and scoring of 768 dimensions.

Rows: ``maf.train/nflows`` and ``maf.score/nflows`` (5 layers, 512 hidden units, 2 residual blocks, batch 1,024, the
same Adam), ``maf.train/zuko`` and ``maf.score/zuko`` (5 transforms, two hidden layers of 512, ours in that plain
shape). On a GPU also ``maf.train-gpu/nflows`` and ``maf.stack-gpu`` (six flows at once beside one).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from kernels.scoring._flow import Flow
from kernels.scoring._flow_engine import FlowEngine, Plan
from tests.benchmarks._run import Row, alternate

SHAPE = "768 dimensions, 5 layers, hidden 512"
PLAN = Plan(lr=1e-4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--batch", type=int, default=1024, help="rows a step")
    parser.add_argument("--chunks", type=int, default=4, help="batches scored at once")
    parser.add_argument("--repeat", type=int, default=15, help="timed steps of each; the median is told")


def run(options: argparse.Namespace) -> list[Row]:
    torch.manual_seed(0)
    x = torch.randn(options.batch, 768)
    many = torch.randn(options.chunks * options.batch, 768)
    rows = _beside("nflows", _nflows(), _ours(residual=True), x, many, options)
    try:
        peer = _zuko()
    except ImportError:
        print("zuko is not installed: its rows are left out")
    else:
        rows += _beside("zuko", peer, _ours(residual=False), x, many, options)
    if torch.cuda.is_available():
        rows += _gpu(x, options)
    return rows


def _ours(residual: bool, members: int = 1, device: str = "cpu") -> FlowEngine:
    # the plain shape of two hidden layers is a first map and one more
    flow = Flow(768, 512, 5, 2 if residual else 1, members=members, residual=residual, device=device)
    return FlowEngine(flow.initialise([np.random.default_rng(i) for i in range(members)]), PLAN)


def _nflows() -> Any:
    from nflows.flows import MaskedAutoregressiveFlow

    flow = MaskedAutoregressiveFlow(768, 512, 5, 2)
    return flow, flow.log_prob


def _zuko() -> Any:
    import zuko

    flow = zuko.flows.MAF(768, transforms=5, hidden_features=(512, 512))
    return flow, lambda x: flow().log_prob(x)


def _trainer(flow: Any, log_prob: Callable, x: torch.Tensor) -> Callable[[], None]:
    optimiser = torch.optim.Adam(flow.parameters(), lr=PLAN.lr, fused=True)

    def step() -> None:
        optimiser.zero_grad()
        (-log_prob(x).mean()).backward()
        torch.nn.utils.clip_grad_norm_(flow.parameters(), PLAN.clip_norm)
        optimiser.step()

    return step


def _beside(
    peer: str, theirs: Any, ours: FlowEngine, x: torch.Tensor, many: torch.Tensor, options: argparse.Namespace
) -> list[Row]:
    flow, log_prob = theirs
    major, many_major = x.T[None].contiguous(), many.T.contiguous()

    def scored() -> None:
        with torch.no_grad():
            for part in many.split(options.batch):
                log_prob(part)

    train = _trainer(flow, log_prob, x)
    ours.step(major)
    train()
    mine, other = alternate(lambda: ours.step(major), train, repeat=options.repeat)
    ours.terms(0, many_major)
    scored()
    fast, slow = alternate(lambda: ours.terms(0, many_major), scored, repeat=options.repeat)
    n, m = len(x), len(many)
    extra = {"threads": torch.get_num_threads(), "batch": options.batch}
    made = [
        Row(f"maf.train/{peer}", f"training, {SHAPE}", n / mine, n / other, "rows/s", "more", extra=extra),
        Row(f"maf.score/{peer}", f"scoring, {SHAPE}", m / fast, m / slow, "rows/s", "more", extra=extra),
    ]
    return made


def _gpu(x: torch.Tensor, options: argparse.Namespace) -> list[Row]:
    x = x.cuda()
    flow, log_prob = _nflows()
    train = _trainer(flow.cuda(), log_prob, x)
    one, six = _ours(True, device="cuda"), _ours(True, 6, "cuda")
    major = x.T[None].contiguous()
    stacked = major.expand(6, -1, -1).contiguous()

    def timed(call: Callable[[], None]) -> Callable[[], None]:
        def whole() -> None:
            for _ in range(20):
                call()
            torch.cuda.synchronize()

        whole()
        return whole

    calls = (timed(lambda: one.step(major)), timed(train), timed(lambda: six.step(stacked)))
    mine, other, together = (t / 20 for t in alternate(*calls, repeat=options.repeat))
    card = torch.cuda.get_device_name()
    return [
        Row("maf.train-gpu/nflows", f"training on {card}, {SHAPE}", len(x) / mine, len(x) / other, "rows/s", "more"),
        Row("maf.stack-gpu", "a step of six stacked flows, beside a step of one", together, mine, "s"),
    ]
