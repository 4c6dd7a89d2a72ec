"""Parts that every encoder of the project is built from: blocks, positions, pooling, patches.

A published checkpoint names the parts of its transformer block in its own way. :class:`Names` carries those names, so
that one :class:`Block` serves all families and a state dict fits without renaming.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Names:
    """What the parts of a pre-norm block are called in a state dict."""

    norm1: str = "norm1"
    attention: str = "attn"
    qkv: str = "qkv"
    projection: str = "proj"
    norm2: str = "norm2"
    mlp: str = "mlp"
    first: str = "fc1"
    second: str = "fc2"
    gate: str = "fc3"


class LayerNorm(nn.Module):
    """Normalises the last axis to mean 0 and variance 1, times ``weight`` (dim,), plus ``bias`` (dim,) if there is one.

    ``bias``: ``True`` learned, ``False`` none, ``"buffer"`` zeros that are in the state dict and never learned.
    """

    def __init__(self, dim: int, eps: float = 1e-5, bias: bool | Literal["buffer"] = True):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias: Tensor | None
        if bias == "buffer":
            self.register_buffer("bias", torch.zeros(dim))
        else:
            self.register_parameter("bias", nn.Parameter(torch.zeros(dim)) if bias else None)

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


def attend(
    q: Tensor, k: Tensor, v: Tensor, heads: int, causal: bool = False, keep: Tensor | None = None, dropout: float = 0.0
) -> Tensor:
    """Scaled dot-product attention of (b, n, d) queries over (b, m, d) keys and values, in ``heads`` heads; (b, n, d).

    ``keep`` (b, m) bool: False marks keys that nobody attends to (padding, masked patches).
    """
    (b, n, d), m = q.shape, k.shape[1]
    q, k, v = (t.reshape(b, -1, heads, d // heads).transpose(1, 2) for t in (q, k, v))
    mask = None if keep is None else keep[:, None, None, :].expand(b, 1, n, m)
    if mask is not None and causal:
        mask = mask & torch.ones(n, m, dtype=torch.bool, device=q.device).tril()
    out = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=causal and mask is None)
    return out.transpose(1, 2).reshape(b, n, d)


class Attention(nn.Module):
    """Self-attention with one fused projection whose rows are queries, keys, values in that order; (b, n, d) both ways.

    ``qk_norm`` makes a normalisation of queries and keys over each head's ``d / heads`` values, or is None.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        causal: bool = False,
        bias: bool = True,
        projection_bias: bool | None = None,
        qk_norm: Callable[[int], nn.Module] | None = None,
        dropout: float = 0.0,
        names: Names = Names(),
    ):
        super().__init__()
        if dim % heads:
            raise ValueError(f"width {dim} does not divide into {heads} heads")
        self.heads, self.causal, self.dropout, self._names = heads, causal, dropout, names
        self.add_module(names.qkv, nn.Linear(dim, 3 * dim, bias=bias))
        self.add_module(
            names.projection, nn.Linear(dim, dim, bias=bias if projection_bias is None else projection_bias)
        )
        self.q_norm = qk_norm(dim // heads) if qk_norm else None
        self.k_norm = qk_norm(dim // heads) if qk_norm else None

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        q, k, v = getattr(self, self._names.qkv)(x).chunk(3, dim=-1)
        if self.q_norm is not None and self.k_norm is not None:
            split = (*q.shape[:-1], self.heads, -1)
            q = self.q_norm(q.reshape(split)).flatten(-2)
            k = self.k_norm(k.reshape(split)).flatten(-2)
        out = attend(q, k, v, self.heads, self.causal, keep, self.dropout if self.training else 0.0)
        return getattr(self, self._names.projection)(out)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu-tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


class MLP(nn.Module):
    """Two linear maps with an activation between: (…, dim) to (…, out or dim).

    ``gated`` adds a third map beside the first: ``second(act(first(x)) * gate(x))`` (Shazeer 2020, arXiv 2002.05202).
    """

    def __init__(
        self,
        dim: int,
        hidden: int,
        out: int | None = None,
        activation: str = "gelu",
        bias: bool = True,
        gated: bool = False,
        dropout: float = 0.0,
        names: Names = Names(),
    ):
        super().__init__()
        self.activation, self.gated, self._names = activation, gated, names
        self.drop = nn.Dropout(dropout)
        self.add_module(names.first, nn.Linear(dim, hidden, bias=bias))
        self.add_module(names.second, nn.Linear(hidden, out or dim, bias=bias))
        if gated:
            self.add_module(names.gate, nn.Linear(dim, hidden, bias=bias))

    def forward(self, x: Tensor) -> Tensor:
        hidden = ACTIVATIONS[self.activation](getattr(self, self._names.first)(x))
        if self.gated:
            hidden = hidden * getattr(self, self._names.gate)(x)
        return getattr(self, self._names.second)(self.drop(hidden))


class Scale(nn.Module):
    """LayerScale (Touvron et al. 2021, arXiv 2103.17239): a learned factor ``gamma`` (dim,) for each channel."""

    def __init__(self, dim: int, start: float = 1e-5):
        super().__init__()
        self.gamma = nn.Parameter(torch.full((dim,), start))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma


class Block(nn.Module):
    """Pre-norm transformer block, (b, n, d) to (b, n, d): ``x + attention(norm(x))``, then ``x + mlp(norm(x))``.

    Parameters
    ----------
    hidden : width of the MLP, ``4 * dim`` by default.
    bias : biases of the linear maps; ``norm_bias`` of the normalisations, see :class:`LayerNorm`.
    scale : start of a LayerScale on both branches (``ls1``, ``ls2``); None for none.
    names : what the parts are called in the state dict.
    """

    def __init__(
        self,
        dim: int,
        heads: int,
        hidden: int | None = None,
        causal: bool = False,
        activation: str = "gelu",
        gated: bool = False,
        bias: bool = True,
        norm_bias: bool | Literal["buffer"] = True,
        eps: float = 1e-5,
        qk_norm: bool = False,
        scale: float | None = None,
        dropout: float = 0.0,
        names: Names = Names(),
    ):
        super().__init__()
        self._names = names
        qk = (lambda d: LayerNorm(d, eps, norm_bias)) if qk_norm else None
        self.add_module(names.norm1, LayerNorm(dim, eps, norm_bias))
        self.add_module(names.attention, Attention(dim, heads, causal, bias, qk_norm=qk, dropout=dropout, names=names))
        self.add_module(names.norm2, LayerNorm(dim, eps, norm_bias))
        self.add_module(names.mlp, MLP(dim, hidden or 4 * dim, None, activation, bias, gated, dropout, names))
        self.ls1: nn.Module = nn.Identity() if scale is None else Scale(dim, scale)
        self.ls2: nn.Module = nn.Identity() if scale is None else Scale(dim, scale)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        n = self._names
        x = x + self.ls1(getattr(self, n.attention)(getattr(self, n.norm1)(x), keep))
        return x + self.ls2(getattr(self, n.mlp)(getattr(self, n.norm2)(x)))


class Transformer(nn.Module):
    """``depth`` blocks and a last normalisation: (b, n, d) to (b, n, d). Keywords go to :class:`Block`."""

    def __init__(self, dim: int, depth: int, heads: int, **block: Any):
        super().__init__()
        self.blocks = nn.ModuleList(Block(dim, heads, **block) for _ in range(depth))
        self.norm = LayerNorm(dim, block.get("eps", 1e-5), block.get("norm_bias", True))

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        for block in self.blocks:
            x = block(x, keep)
        return self.norm(x)


def sincos(positions: Tensor, dim: int, temperature: float = 10_000.0) -> Tensor:
    """Fixed positions (Vaswani et al. 2017): (n, axes) or (n,) coordinates to (n, dim) float32.

    Each axis takes ``dim / axes`` values: sines, then cosines, of the coordinate times ``temperature ** -(k / K)``.
    """
    positions = positions.float().reshape(len(positions), -1)
    axes = positions.shape[1]
    if dim % (2 * axes):
        raise ValueError(f"width {dim} does not divide into a sine and a cosine for each of {axes} axes")
    k = dim // (2 * axes)
    rates = temperature ** -(torch.arange(k, dtype=torch.float32, device=positions.device) / k)
    phase = positions[:, :, None] * rates
    return torch.cat([phase.sin(), phase.cos()], dim=2).reshape(len(positions), dim)


def grid_positions(height: int, width: int) -> Tensor:
    """(height · width, 2) int64 rows and columns of a grid in raster order."""
    return torch.cartesian_prod(torch.arange(height), torch.arange(width)).reshape(-1, 2)


class LearnedPositions(nn.Module):
    """Adds a learned vector for each place in the sequence: (b, n, d) to (b, n, d), n at most ``longest``."""

    def __init__(self, longest: int, dim: int, std: float = 0.02):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(longest, dim) * std)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] > len(self.weight):
            raise ValueError(
                f"{x.shape[1]} tokens, but there are positions for {len(self.weight)}: give a longer table"
            )
        return x + self.weight[: x.shape[1]]


class AttentionPool(nn.Module):
    """One learned query attends to (b, n, d) tokens; (b, d) out, normalised. ``keep`` (b, n) as in :func:`attend`."""

    def __init__(self, dim: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.kv = nn.Linear(dim, 2 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm = LayerNorm(dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        k, v = self.kv(x).chunk(2, dim=-1)
        return self.norm(self.proj(attend(self.query.expand(len(x), 1, -1), k, v, self.heads, keep=keep)))[:, 0]


def mean_pool(x: Tensor, keep: Tensor | None = None) -> Tensor:
    """(b, n, d) tokens to their (b, d) mean, over the kept ones where ``keep`` (b, n) is given."""
    if keep is None:
        return x.mean(dim=1)
    weight = keep.to(x.dtype)[..., None]
    return (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


def patchify(images: Tensor, patch: int, order: Literal["chw", "hwc"] = "chw") -> Tensor:
    """(b, c, h, w) images to (b, (h/p)·(w/p), c·p·p) patches in raster order.

    ``order`` says how a patch is laid out: channel, row, column (``"chw"``) or row, column, channel (``"hwc"``).
    """
    b, c, h, w = images.shape
    if h % patch or w % patch:
        raise ValueError(f"an image of {h} x {w} pixels does not divide into patches of {patch}")
    cells = images.reshape(b, c, h // patch, patch, w // patch, patch)
    axes = (0, 2, 4, 1, 3, 5) if order == "chw" else (0, 2, 4, 3, 5, 1)
    return cells.permute(axes).reshape(b, (h // patch) * (w // patch), c * patch * patch)


def unpatchify(patches: Tensor, patch: int, channels: int, order: Literal["chw", "hwc"] = "chw") -> Tensor:
    """Inverse of :func:`patchify` for a square image: (b, n, c·p·p) to (b, c, √n·p, √n·p)."""
    b, n, _ = patches.shape
    side = math.isqrt(n)
    if side * side != n:
        raise ValueError(f"{n} patches make no square image")
    if order == "chw":
        cells = patches.reshape(b, side, side, channels, patch, patch).permute(0, 3, 1, 4, 2, 5)
    else:
        cells = patches.reshape(b, side, side, patch, patch, channels).permute(0, 5, 1, 3, 2, 4)
    return cells.reshape(b, channels, side * patch, side * patch)


def windows(x: Tensor, size: int, step: int) -> Tensor:
    """(b, m) samples to (b, (m - size) // step + 1, size) overlapping windows; samples that fill none are left out."""
    if x.shape[1] < size:
        raise ValueError(f"{x.shape[1]} samples are fewer than one window of {size}")
    return x.unfold(1, size, step)


def init_weights(module: nn.Module, std: float = 0.02) -> None:
    """Linear and embedding weights from a truncated normal of ``std``, biases 0: use with ``model.apply``."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)


def parameter_count(module: nn.Module) -> int:
    """Number of learned values."""
    return sum(p.numel() for p in module.parameters())
