"""AstroCLIP: a vision transformer for images, SpecFormer for spectra, and a head for each into one space (P0.4).

Written from a description of what the public package does, with its names in the state dict. Two oddities of it are
numbers, not style, and are kept: the image encoder adds neither a class token nor positions, and the image head has no
residual around its perceptron while the spectrum head has one. One is an error and is offered by name only: SpecFormer
always drops the last window of a spectrum (``how="parity"``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.embedding._errors import WrongWeights
from kernels.embedding.blocks import MLP, Block, LayerNorm, Names, attend, windows

HOW = ("correct", "parity")
_SPECFORMER = Names(
    "layernorm1", "attention", "attention", "projection", "layernorm2", "mlp", "encoder", "decoder"
)  # fmt: skip
_HEAD_MLP = Names(first="encoder", second="decoder")


class ImageBackbone(nn.Module):
    """DINOv2's vision transformer as AstroCLIP runs it: images (b, 3, side, side) to (b, n, dim) normalised tokens.

    ``class_token``, ``positions`` and ``mask_token`` are in the state dict and never used. ``chunks`` is how many
    lists the blocks are stored in: ``blocks.CHUNK.NUMBER``, the number counting through all.

    Parameters
    ----------
    side, patch : pixels; 144 and 12 as published, 144 tokens. dim, depth, heads : 1,024, 24, 16 as published.
    """

    def __init__(
        self,
        side: int = 144,
        patch: int = 12,
        dim: int = 1024,
        depth: int = 24,
        heads: int = 16,
        chunks: int = 4,
        channels: int = 3,
        positions: int | None = None,
    ):
        super().__init__()
        if side % patch or (chunks and depth % chunks):
            raise ValueError(
                f"side={side}, patch={patch}, depth={depth}, chunks={chunks}: the first of each pair is a multiple"
            )
        self.side, self.channels = side, channels
        count = (side // patch) ** 2
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, positions or count + 1, dim))
        self.mask_token = nn.Parameter(torch.zeros(1, dim))
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(channels, dim, patch, stride=patch)
        made = [Block(dim, heads, eps=1e-6, scale=1e-5) for _ in range(depth)]
        if chunks:
            size = depth // chunks
            lists = [
                nn.ModuleList([nn.Identity()] * (i * size) + made[i * size : (i + 1) * size]) for i in range(chunks)
            ]
            self.blocks = nn.ModuleList(lists)
        else:
            self.blocks = nn.ModuleList(made)
        self.norm = LayerNorm(dim, 1e-6)

    def forward(self, images: Tensor) -> Tensor:
        if images.shape[1:] != (self.channels, self.side, self.side):
            raise ValueError(
                f"AstroCLIP reads images of {self.channels} x {self.side} x {self.side}, not of "
                f"{' x '.join(map(str, images.shape[1:]))}: crop or resize them first"
            )
        x = self.patch_embed.proj(images).flatten(2).transpose(1, 2)  # type: ignore[operator]
        for block in self.blocks:
            for step in block if isinstance(block, nn.ModuleList) else [block]:
                x = step(x)
        return self.norm(x)


class SpecFormer(nn.Module):
    """A transformer over windows of a spectrum: prepared tokens (b, n, size) to (b, n, dim) normalised tokens.

    Parameters
    ----------
    size : samples in a window plus two; 22 as published. longest : learned positions, 800.
    dim, depth, heads : 768, 6, 6 as published.
    """

    def __init__(self, size: int = 22, dim: int = 768, depth: int = 6, heads: int = 6, longest: int = 800):
        super().__init__()
        self.size, self.longest = size, longest
        self.data_embed = nn.Linear(size, dim)
        self.position_embed = nn.Embedding(longest, dim)
        self.blocks = nn.ModuleList(Block(dim, heads, names=_SPECFORMER) for _ in range(depth))
        self.final_layernorm = LayerNorm(dim)
        self.head = nn.Linear(dim, size)

    def forward(self, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
        if tokens.shape[1] > self.longest or tokens.shape[2] != self.size:
            raise ValueError(
                f"SpecFormer reads at most {self.longest} tokens of {self.size} values, "
                f"not {tokens.shape[1]} of {tokens.shape[2]}"
            )
        x = self.data_embed(tokens) + self.position_embed.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, keep)
        return self.final_layernorm(x)

    def reconstruct(self, tokens: Tensor) -> Tensor:
        """(b, n, size): every token as predicted from those shown."""
        return self.head(self(tokens))

    def masked_loss(self, tokens: Tensor, chunks: int = 6, length: int = 50, generator: Any = None) -> Tensor:
        """Mean squared error where ``chunks`` stretches of ``length`` tokens are put to zero: a scalar.

        The error is summed over the hidden tokens and divided by their share of all, as in the public training; the
        statistics token is never hidden.
        """
        b, n, _ = tokens.shape
        start = 1 + torch.rand(b, chunks, 1, generator=generator) * max(n - length - 1, 1)
        place = torch.arange(n)
        hidden = ((place >= start.floor()) & (place < start.floor() + length)).any(dim=1).to(tokens.device)
        shown = tokens.masked_fill(hidden[..., None], 0.0)
        error = ((self.reconstruct(shown) - tokens) ** 2).mean(dim=2)
        share = hidden.float().mean().clamp(min=1e-6)
        return (error * hidden).mean() / share

    def vectors(self, tokens: Tensor) -> Tensor:
        """(b, dim): the mean of the tokens, without the one of the statistics."""
        return self(tokens)[:, 1:].mean(dim=1)


def spectrum_tokens(flux: Tensor, size: int = 20, step: int = 10, how: str = "correct") -> Tensor:
    """(b, m) fluxes to (b, n + 1, size + 2) tokens of SpecFormer.

    Each spectrum is brought to mean 0 and deviation 1 (a deviation below 0.2 counts as 0.2) and cut into windows, which
    stand in the columns from 2; the first token holds (mean - 2) / 2 and (deviation - 2) / 8. Windows that the samples
    do not fill are left out; the public code always leaves out the last one (``how="parity"``). 7,781 samples make 778
    tokens either way, 7,700 make 770, or 769 by ``parity``.
    """
    if how not in HOW:
        raise ValueError(f"how={how!r} is unknown: there are {', '.join(HOW)}")
    mean = flux.mean(dim=1, keepdim=True)
    spread = flux.std(dim=1, keepdim=True).clamp(min=0.2)
    scaled = (flux - mean) / spread
    cut = windows(scaled, size, step)
    if how == "parity":
        started = -(-(flux.shape[1] - size + step) // step)  # windows begun, the short one at the end included
        cut = cut[:, : started - 1]
    first = F.pad(torch.cat([(mean - 2) / 2, (spread - 2) / 8], dim=1), (0, size))[:, None]
    return torch.cat([first, F.pad(cut, (2, 0))], dim=1)


class CrossAttentionHead(nn.Module):
    """One learned query attends to (b, n, inputs) tokens: (b, dim), normalised; names of ``nn.MultiheadAttention``."""

    def __init__(self, dim: int = 1024, inputs: int = 1024, heads: int = 4, dropout: float = 0.1):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, dim))
        self.multihead_attn = nn.MultiheadAttention(dim, heads, kdim=inputs, vdim=inputs, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.layernorm = nn.LayerNorm(dim)

    def forward(self, x: Tensor) -> Tensor:
        m = self.multihead_attn
        if m.in_proj_weight is not None:
            wq, wk, wv = m.in_proj_weight.chunk(3)
        else:
            wq, wk, wv = m.q_proj_weight, m.k_proj_weight, m.v_proj_weight
        bq, bk, bv = m.in_proj_bias.chunk(3)
        q = F.linear(self.query.expand(len(x), -1, -1), wq, bq)
        pooled = m.out_proj(attend(q, F.linear(x, wk, bk), F.linear(x, wv, bv), m.num_heads))
        return self.layernorm(self.dropout(pooled))[:, 0]


class Tower(nn.Module):
    """A backbone, its cross-attention head and a perceptron: input to (b, dim), not normalised.

    residual : whether the perceptron is added to its input (spectra) or not (images).
    """

    def __init__(self, backbone: nn.Module, inputs: int, dim: int, heads: int, residual: bool, dropout: float = 0.1):
        super().__init__()
        self.backbone, self.residual = backbone, residual
        self.cross_attention = CrossAttentionHead(dim, inputs, heads, dropout)
        self.mlp = MLP(dim, 4 * dim, names=_HEAD_MLP, dropout=dropout)

    def forward(self, x: Tensor) -> Tensor:
        pooled = self.cross_attention(self.backbone(x))
        return pooled + self.mlp(pooled) if self.residual else self.mlp(pooled)


class AstroClip(nn.Module):
    """Both towers: :meth:`image` takes (b, 3, side, side) in [0, 1], :meth:`spectrum` :func:`spectrum_tokens`' tokens.

    Outputs are (b, dim) and not normalised: normalise them for cosines.
    """

    def __init__(
        self, image: ImageBackbone | None = None, spectrum: SpecFormer | None = None, dim: int = 1024, heads: int = 4
    ):
        super().__init__()
        image = image or ImageBackbone()
        spectrum = spectrum or SpecFormer()
        self.image_encoder = Tower(image, image.norm.weight.shape[0], dim, heads, residual=False)
        self.spectrum_encoder = Tower(spectrum, spectrum.final_layernorm.weight.shape[0], dim, heads, residual=True)

    def image(self, images: Tensor) -> Tensor:
        return self.image_encoder(images)

    def spectrum(self, tokens: Tensor) -> Tensor:
        return self.spectrum_encoder(tokens)


def from_state(state: Mapping[str, Tensor], heads: tuple[int, int] = (16, 6)) -> AstroClip:
    """The model whose sizes these tensors have, with them in it; ``heads`` of the image and the spectrum backbone."""
    from kernels.embedding.files import load_into

    state = {k: v for k, v in state.items() if not k.startswith(("criterion", "logit_scale"))}
    part = {k.removeprefix("image_encoder.backbone."): v for k, v in state.items()}
    other = {k.removeprefix("spectrum_encoder.backbone."): v for k, v in state.items()}
    try:
        weight = part["patch_embed.proj.weight"]
        numbers = [k.split(".") for k in part if k.startswith("blocks.") and k.endswith("norm1.weight")]
        chunks = 1 + max(int(n[1]) for n in numbers) if numbers[0][2].isdigit() else 0
        places, patch = part["pos_embed"].shape[1], weight.shape[2]
        side = patch * round((places - 1) ** 0.5)
        image = ImageBackbone(side, patch, weight.shape[0], len(numbers), heads[0], chunks, weight.shape[1], places)
        depth = sum(k.startswith("blocks.") and k.endswith("layernorm1.weight") for k in other)
        size, longest = other["data_embed.weight"].shape[1], other["position_embed.weight"].shape[0]
        spectrum = SpecFormer(size, other["data_embed.weight"].shape[0], depth, heads[1], longest)
        dim = state["image_encoder.cross_attention.query"].shape[2]
    except (KeyError, IndexError, ValueError) as error:
        raise WrongWeights(f"these are not the weights of AstroCLIP: {error} is not among them") from error
    model = AstroClip(image, spectrum, dim)
    load_into(model, state, f"AstroCLIP (image width {weight.shape[0]}, {len(numbers)} blocks)")
    return model


def legacy_rgb(flux: Tensor, size: int = 144) -> Tensor:
    """(b, 3, h, w) nanomaggies in g, r, z to (b, 3, size, size) RGB in [0, 1], as the Legacy viewer makes it.

    g is shown blue (x 6.0), r green (x 3.4), z red (x 2.2); the axes of the image are swapped, as AstroCLIP was
    trained; then the centre is cut out.
    """
    if flux.shape[1] != 3:
        raise ValueError(f"AstroCLIP needs the three bands g, r, z, not {flux.shape[1]}")
    if min(flux.shape[2:]) < size:
        raise ValueError(f"AstroCLIP needs images of at least {size} pixels, not {flux.shape[2]} x {flux.shape[3]}")
    scaled = flux * flux.new_tensor([6.0, 3.4, 2.2])[:, None, None] + 0.03
    intensity = scaled.clamp(min=0).mean(dim=1, keepdim=True)
    q = 20.0
    gain = torch.where(
        intensity > 0, torch.arcsinh(q * intensity) / q**0.5 / intensity.clamp(min=1e-12), torch.zeros_like(intensity)
    )
    rgb = (scaled * gain).clamp(0, 1).flip(1).transpose(2, 3)
    top, left = (rgb.shape[2] - size) // 2, (rgb.shape[3] - size) // 2
    return rgb[:, :, top : top + size, left : left + size]
