"""A masked autoregressive flow whose forward and backward passes are written out on its staircase blocks.

Papamakarios, Pavlakou & Murray 2017 (arXiv:1705.07057): ``z_i = x_i exp(s_i) + t_i`` with ``s_i`` and ``t_i``
functions of the inputs before ``i``; the order is reversed from layer to layer. The network of a layer is that of
nflows (residual) or plain. Several flows of one shape (members) live side by side in one (members, parameters) array.

Arrays are feature-major, (members, features, rows), so that every block reads and writes whole stretches of memory.
A reversed order is a matter of masks alone: no array is ever flipped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from copy import copy
from typing import Any

import numpy as np
import torch

from kernels.scoring._flow_masks import Layer, Linear, Packer, hidden_degrees, layer

LOG_2PI = math.log(2 * math.pi)
SCALES = ("bounded", "softplus")
BOUND = 3.0  # |log-scale| of one layer stays below this: 20 times up or down
FLOOR = 1e-3  # nflows adds this to a softplus scale


class Flow:
    """A stack of ``members`` flows of one shape.

    Parameters
    ----------
    features, hidden : width of the input and of the hidden layers.
    layers : autoregressive layers.
    blocks : residual blocks of two maps in each layer, or hidden maps of a plain network.
    degrees : ``"spread"`` or ``"nflows"`` (:func:`kernels.scoring._flow_masks.hidden_degrees`).
    scale : ``"bounded"`` (exp of 3 tanh(a / 3): finite far out) or ``"softplus"`` (that of nflows: unbounded).
    residual : residual blocks, or a plain chain of ReLU layers.
    step : rows of one block; ``None`` chooses 128 on a CPU and the whole matrix elsewhere.
    """

    def __init__(
        self,
        features: int,
        hidden: int = 512,
        layers: int = 5,
        blocks: int = 2,
        members: int = 1,
        degrees: str = "spread",
        scale: str = "bounded",
        residual: bool = True,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
        step: int | None = None,
    ):
        if scale not in SCALES:
            raise ValueError(f"scale={scale!r} is unknown: choose one of {', '.join(SCALES)}")
        self.features, self.hidden, self.members, self.blocks = features, hidden, members, blocks
        self.scale, self.residual, self.dtype, self.device = scale, residual, dtype, torch.device(device)
        if step is None:
            step = 128 if self.device.type == "cpu" else max(features, hidden)
        packer = Packer()
        self.degrees = hidden_degrees(hidden, features, degrees)
        inner = 2 * blocks if residual else blocks
        self.layers: list[Layer] = [
            layer(packer, features, self.degrees, inner, step, reverse=(i % 2 == 0)) for i in range(layers)
        ]
        self.params = torch.zeros(members, packer.size, dtype=dtype, device=self.device)
        self.grads: torch.Tensor | None = None
        self.rounded: torch.Tensor | None = None  # the parameters in bfloat16, where products are to be made in it
        self._masks: dict[int, torch.Tensor] = {
            s.at: torch.from_numpy(s.mask).to(self.device, dtype)
            for _, linear in self.linears()
            for s in linear.steps
            if s.mask is not None
        }

    def linears(self) -> Iterator[tuple[str, Linear]]:
        """Every map in order, with what it is: ``first``, ``inner``, ``last`` of a residual block, or ``out``."""
        for made in self.layers:
            yield "first", made.first
            for i, linear in enumerate(made.inner):
                yield ("last" if self.residual and i % 2 else "inner"), linear
            yield "out", made.out

    def initialise(self, generators: list[np.random.Generator]) -> Flow:
        """Draw the weights of each member with its own generator.

        Uniform within 1 / sqrt(units seen), as torch does for dense maps; near zero at the end of a residual block
        and of the layer, so that a flow starts close to the identity.
        """
        for member, rng in enumerate(generators):
            flat = np.zeros(self.params.shape[1])
            for what, linear in self.linears():
                for s in linear.steps:
                    shape = (s.r1 - s.r0, s.c1 - s.c0)
                    kept = np.ones(shape)
                    if s.mask is not None:
                        kept[:, s.p0 - s.c0 : s.p1 - s.c0] = s.mask
                    seen = np.maximum(kept.sum(axis=1, keepdims=True), 1)
                    limit = 1e-3 if what in ("last", "out") else 1 / np.sqrt(seen)
                    flat[s.at : s.at + s.size] = (rng.uniform(-1, 1, shape) * kept * limit).ravel()
                if what in ("first", "inner"):
                    limit = 1 / math.sqrt(max(linear.columns, 1))
                    flat[linear.bias : linear.bias + linear.rows] = rng.uniform(-limit, limit, linear.rows)
            self.params[member] = torch.from_numpy(flat).to(self.device, self.dtype)
        return self

    def member(self, i: int) -> Flow:
        """A view of one member: its parameters and gradients are those of this flow."""
        one = copy(self)
        one.members, one.params = 1, self.params[i : i + 1]
        one.grads = None if self.grads is None else self.grads[i : i + 1]
        one.rounded = None if self.rounded is None else self.rounded[i : i + 1]
        return one

    def weight(self, step: Any, of: torch.Tensor) -> torch.Tensor:
        """View (members, rows, columns) of one step's weights in ``of`` (parameters or gradients)."""
        shape = (len(of), step.r1 - step.r0, step.c1 - step.c0)
        return of[:, step.at : step.at + step.size].view(shape)

    def bias(self, linear: Linear, of: torch.Tensor) -> torch.Tensor:
        """View (members, rows, 1) of a map's bias in ``of``."""
        return of[:, linear.bias : linear.bias + linear.rows, None]

    def apply(self, linear: Linear, x: torch.Tensor, out: torch.Tensor, add: bool = False) -> None:
        """``out = W x + b``, or added to ``out``; step by step, in place."""
        bias = self.bias(linear, self.params)
        if add:
            out.add_(bias)
        for s in linear.steps:
            rows = out[:, s.r0 : s.r1]
            self._product(s, rows if add else bias[:, s.r0 : s.r1], x, rows)

    def _product(self, s: Any, given: torch.Tensor, x: torch.Tensor, out: torch.Tensor) -> None:
        """``out = given + W x`` for one step; ``given`` is ``out`` itself or a bias (members, rows, 1)."""
        given = given.expand_as(out)
        if s.c0 == s.c1:
            if given.data_ptr() != out.data_ptr():
                out.copy_(given)
        elif self.rounded is None:
            torch.baddbmm(given, self.weight(s, self.params), x[:, s.c0 : s.c1], out=out)
        else:
            torch.add(given, torch.bmm(self.weight(s, self.rounded), x[:, s.c0 : s.c1].bfloat16()), out=out)

    def pull(self, linear: Linear, g: torch.Tensor, x: torch.Tensor, gx: torch.Tensor, add: bool = False) -> None:
        """Gradients of :meth:`apply`: of the parameters into ``grads``, of the input into ``gx`` (``add``: onto it)."""
        if not add:
            gx.zero_()
        for s in linear.steps:
            self._pull_step(s, g[:, s.r0 : s.r1], x, gx)
        assert self.grads is not None
        self.bias(linear, self.grads).copy_(g.sum(dim=-1, keepdim=True))

    def _pull_step(self, s: Any, g: torch.Tensor, x: torch.Tensor, gx: torch.Tensor) -> None:
        assert self.grads is not None
        if s.c0 == s.c1:
            return
        made = self.weight(s, self.grads)
        torch.bmm(g, x[:, s.c0 : s.c1].transpose(1, 2), out=made)
        if s.mask is not None:
            made[:, :, s.p0 - s.c0 : s.p1 - s.c0].mul_(self._masks[s.at])
        seen = gx[:, s.c0 : s.c1]
        torch.baddbmm(seen, self.weight(s, self.params).transpose(1, 2), g, out=seen)

    def forward(self, work: Work) -> tuple[torch.Tensor, torch.Tensor]:
        """``z`` (members, features, rows) and log-determinant (members, rows) of the rows in ``work.x[0]``."""
        work.logdet.zero_()
        for i, made in enumerate(self.layers):
            self._forward_layer(i, made, work)
        return work.x[-1], work.logdet

    def _forward_layer(self, i: int, made: Layer, work: Work) -> None:
        x, h, kept = work.x[i], work.h[i], work.kept[i]
        self.apply(made.first, x, h)
        if self.residual:
            for b in range(self.blocks):
                seen, within = kept[2 * b], kept[2 * b + 1]
                torch.clamp_min(h, 0, out=seen)
                self.apply(made.inner[2 * b], seen, within)
                within.clamp_min_(0)
                self.apply(made.inner[2 * b + 1], within, h, add=True)
        else:
            h.clamp_min_(0)
            for linear, out in zip(made.inner, kept, strict=True):
                self.apply(linear, h, out)
                h = out.clamp_min_(0)
        bias = self.bias(made.out, self.params)
        for s, (f0, f1) in zip(made.out.steps, made.chunks, strict=True):
            out = work.out[:, : s.r1 - s.r0]
            self._product(s, bias[:, s.r0 : s.r1], h, out)
            raw, shift = out[:, : f1 - f0], out[:, f1 - f0 :]
            self._transform(raw, shift, x[:, f0:f1], i, f0, f1, work)

    def _transform(
        self, raw: torch.Tensor, shift: torch.Tensor, x: torch.Tensor, i: int, f0: int, f1: int, work: Work
    ) -> None:
        u, e, z = work.u[i][:, f0:f1], work.e[i][:, f0:f1], work.x[i + 1][:, f0:f1]
        if self.scale == "bounded":
            torch.mul(raw, 1 / BOUND, out=u)
            u.tanh_()
            torch.mul(u, BOUND, out=e)
            work.logdet.add_(e.sum(dim=1))
            e.exp_()
        else:
            torch.sigmoid(raw, out=u)
            e.copy_(torch.nn.functional.softplus(raw)).add_(FLOOR)
            work.logdet.add_(e.log().sum(dim=1))
        torch.addcmul(shift, x, e, out=z)

    def backward(self, work: Work, gz: torch.Tensor, glogdet: torch.Tensor) -> torch.Tensor:
        """Gradient of the input (members, features, rows), and of the parameters into ``grads``.

        ``gz`` (members, features, rows) and ``glogdet`` (members, 1 or rows) are those of what :meth:`forward` gave.
        ``gz`` is overwritten.
        """
        if self.grads is None:
            self.grads = torch.zeros_like(self.params)
        g = gz
        for i in reversed(range(len(self.layers))):
            g = self._backward_layer(i, self.layers[i], work, g, glogdet[:, None])
        return g

    def _backward_layer(self, i: int, made: Layer, work: Work, g: torch.Tensor, glogdet: torch.Tensor) -> torch.Tensor:
        assert self.grads is not None
        x, kept = work.x[i], work.kept[i]
        h = work.h[i] if self.residual or not kept else kept[-1]
        gh, spare = work.gh, work.spare
        gh.zero_()
        bias = self.bias(made.out, self.grads)
        for s, (f0, f1) in zip(made.out.steps, made.chunks, strict=True):
            both = work.out[:, : s.r1 - s.r0]
            graw, gshift = both[:, : f1 - f0], both[:, f1 - f0 :]
            part, u, e = g[:, f0:f1], work.u[i][:, f0:f1], work.e[i][:, f0:f1]
            gshift.copy_(part)
            torch.mul(part, x[:, f0:f1], out=graw)
            if self.scale == "bounded":  # d e / d raw = e (1 - u^2), d log e / d raw = 1 - u^2
                graw.mul_(e).add_(glogdet)
                graw.addcmul_(graw * u, u, value=-1)
            else:  # d e / d raw = sigmoid(raw), d log e / d raw = sigmoid(raw) / e
                graw.add_(glogdet / e).mul_(u)
            bias[:, s.r0 : s.r1].copy_(both.sum(dim=-1, keepdim=True))
            self._pull_step(s, both, h, gh)
            part.mul_(e)
        if self.residual:
            for b in reversed(range(self.blocks)):
                seen, within = kept[2 * b], kept[2 * b + 1]
                self.pull(made.inner[2 * b + 1], gh, within, spare)
                _stop(spare, within)
                self.pull(made.inner[2 * b], spare, seen, work.spare2)
                gh.add_(_stop(work.spare2, seen))
        else:
            for b in reversed(range(self.blocks)):
                _stop(gh, kept[b])
                below = kept[b - 1] if b else work.h[i]
                self.pull(made.inner[b], gh, below, spare)
                gh.copy_(spare)
            _stop(gh, work.h[i])
        self.pull(made.first, gh, x, g, add=True)
        return g


def _stop(g: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
    """Gradient through a ReLU whose output was ``seen``, in place."""
    return torch.ops.aten.threshold_backward.grad_input(g, seen, 0, grad_input=g)


class Work:
    """Arrays that one pass over ``rows`` rows writes, made once: for a backward pass every layer has its own."""

    def __init__(self, flow: Flow, rows: int, backward: bool):
        def new(width: int) -> torch.Tensor:
            return torch.empty(flow.members, width, rows, dtype=flow.dtype, device=flow.device)

        def each(count: int, width: int) -> list[torch.Tensor]:
            return [new(width) for _ in range(count)] if backward else [new(width)] * count

        depth = len(flow.layers)
        held = 2 * flow.blocks if flow.residual else flow.blocks
        flips = [new(flow.features), new(flow.features)]
        self.x = [new(flow.features) if backward else flips[i % 2] for i in range(depth + 1)]
        self.u, self.e = each(depth, flow.features), each(depth, flow.features)
        self.h = each(depth, flow.hidden)
        shared = [new(flow.hidden) for _ in range(held)]
        self.kept = [[new(flow.hidden) for _ in range(held)] if backward else shared for _ in range(depth)]
        self.out = new(max(s.r1 - s.r0 for s in flow.layers[0].out.steps))
        self.logdet = torch.empty(flow.members, rows, dtype=flow.dtype, device=flow.device)
        if backward:
            self.gh, self.spare, self.spare2 = new(flow.hidden), new(flow.hidden), new(flow.hidden)


def log_prob_terms(z: torch.Tensor, logdet: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Base and log-determinant terms (members, rows) float64 of the log-likelihood, whose sum it is."""
    base = -0.5 * (z.double() ** 2).sum(dim=1) - 0.5 * z.shape[1] * LOG_2PI
    return base, logdet.double()


class FlowFunction(torch.autograd.Function):
    """The flow under torch's autograd: ``z, logdet = FlowFunction.apply(flow, params, x)`` with ``params`` those of
    ``flow`` and ``x`` (members, features, rows). Differentiable once."""

    @staticmethod
    def forward(ctx: Any, flow: Flow, params: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.flow, ctx.work = flow, Work(flow, x.shape[2], backward=True)
        ctx.work.x[0].copy_(x)
        z, logdet = flow.forward(ctx.work)
        return z.clone(), logdet.clone()

    @staticmethod
    def backward(ctx: Any, *given: torch.Tensor) -> tuple[None, torch.Tensor, torch.Tensor]:
        gz, glogdet = given
        gx = ctx.flow.backward(ctx.work, gz.clone(), glogdet)
        return None, ctx.flow.grads.clone(), gx
