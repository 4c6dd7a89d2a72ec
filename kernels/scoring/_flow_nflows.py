"""nflows (Durkan et al. 2020, doi:10.5281/zenodo.4296287) as the reference: its weights in our flow, and its own
flow as a backend."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch

from kernels.scoring._flow import LOG_2PI, Flow
from kernels.scoring._flow_engine import CHUNK, Plan
from kernels.scoring._flow_masks import Linear


def build(
    features: int,
    hidden: int,
    layers: int,
    blocks: int,
    seeds: list[np.random.Generator],
    dtype: torch.dtype = torch.float32,
    device: Any = "cpu",
) -> list[Any]:
    """One ``nflows.flows.MaskedAutoregressiveFlow`` of that shape for each generator of ``seeds``."""
    try:
        from nflows.flows import MaskedAutoregressiveFlow
    except ImportError as error:
        raise ImportError("backend='nflows' needs the package nflows: pip install nflows") from error
    made = []
    with torch.random.fork_rng(devices=[]):  # nflows draws from torch's global generator
        for rng in seeds:
            torch.manual_seed(int(rng.integers(2**31)))
            made.append(MaskedAutoregressiveFlow(features, hidden, layers, blocks).to(device, dtype))
    return made


def from_nflows(flow: Any, dtype: torch.dtype = torch.float32, device: str = "cpu", step: int | None = None) -> Flow:
    """A :class:`Flow` with ``degrees="nflows"`` that holds the weights of an nflows ``MaskedAutoregressiveFlow``.

    Its permutations must be reversals and its blocks without batch normalisation or dropout in training.
    """
    nets = [t.autoregressive_net for t in flow._transform._transforms if hasattr(t, "autoregressive_net")]
    if not nets:
        raise ValueError(f"{type(flow).__name__} holds no masked autoregressive layer: pass a MaskedAutoregressiveFlow")
    first = nets[0]
    hidden, features = first.initial_layer.weight.shape
    ours = Flow(
        features,
        hidden,
        len(nets),
        len(first.blocks),
        degrees="nflows",
        scale="softplus",
        residual=first.use_residual_blocks,
        dtype=dtype,
        device=device,
        step=step,
    )
    order = np.argsort(first.initial_layer.degrees.numpy(), kind="stable")
    for i, net in enumerate(nets):
        made = ours.layers[i]
        inputs = np.arange(features)[::-1] if i % 2 == 0 else np.arange(features)
        _put(ours, made.first, net.initial_layer, order, inputs)
        maps = [m for b in net.blocks for m in (b.linear_layers if ours.residual else [b.linear])]
        for linear, source in zip(made.inner, maps, strict=True):
            _put(ours, linear, source, order, order)
        rows = np.concatenate(
            [np.concatenate([2 * inputs[f0:f1], 2 * inputs[f0:f1] + 1]) for f0, f1 in made.chunks]
        )  # nflows interleaves scale and shift
        _put(ours, made.out, net.final_layer, rows, order)
    return ours


def _put(flow: Flow, linear: Linear, source: Any, rows: np.ndarray, columns: np.ndarray) -> None:
    dense = (source.weight * source.mask).detach().double().numpy()[rows][:, columns]
    for s in linear.steps:
        part = torch.from_numpy(dense[s.r0 : s.r1, s.c0 : s.c1].copy())
        flow.weight(s, flow.params)[0].copy_(part)
    flow.bias(linear, flow.params)[0, :, 0].copy_(source.bias.detach()[torch.from_numpy(rows.copy())])


class NflowsEngine:
    """Trains and scores with nflows itself; one flow a member."""

    def __init__(self, flows: list[Any], plan: Plan):
        self.flows, self.plan, self.members = flows, plan, len(flows)
        self.parameters = [list(f.parameters()) for f in flows]
        self.optimiser = torch.optim.Adam(
            [p for ps in self.parameters for p in ps], lr=plan.lr, weight_decay=plan.weight_decay, fused=True
        )
        self.best = [copy.deepcopy(f.state_dict()) for f in flows]

    def set_lr(self, lr: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = lr

    def step(self, x: torch.Tensor) -> None:
        self.optimiser.zero_grad()
        for flow, rows, parameters in zip(self.flows, x, self.parameters, strict=True):
            loss = -flow.log_prob(rows.T).mean()
            if torch.isfinite(loss):
                loss.backward()
                torch.nn.utils.clip_grad_norm_(parameters, self.plan.clip_norm)
        self.optimiser.step()

    def terms(self, member: int, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        base, logdet = [], []
        with torch.no_grad():
            for rows in x.T.split(CHUNK):
                z, d = self.flows[member]._transform(rows)
                base.append(-0.5 * (z.double() ** 2).sum(dim=1) - 0.5 * z.shape[1] * LOG_2PI)
                logdet.append(d.double())
        return torch.cat(base), torch.cat(logdet)

    def keep(self, member: int) -> None:
        self.best[member] = copy.deepcopy(self.flows[member].state_dict())

    def restore(self) -> None:
        for flow, state in zip(self.flows, self.best, strict=True):
            flow.load_state_dict(state)
