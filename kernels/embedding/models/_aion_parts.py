"""Convolutional halves of AION's tokenizers: a MagViT-like autoencoder of images, a 1-D ConvNeXt V2 of spectra.

Yu et al. 2023 (arXiv 2310.05737), Cao et al. 2020 (arXiv 2012.13375, the global context), Woo et al. 2023
(arXiv 2301.00808). Names are those of the published state dicts.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class SameConv(nn.Module):
    def __init__(self, before: int, after: int, size: int):
        super().__init__()
        self.conv = nn.Conv2d(before, after, size, padding=size // 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class GlobalContext(nn.Module):
    """Gates (b, c, 1, 1) of the channels, from an attention-weighted mean over the image."""

    def __init__(self, dim: int):
        super().__init__()
        self.to_k = nn.Conv2d(dim, 1, 1)
        inner = max(16, dim // 2)
        self.net = nn.Sequential(nn.Conv2d(dim, inner, 1), nn.LeakyReLU(0.1), nn.Conv2d(inner, dim, 1), nn.Sigmoid())
        nn.init.zeros_(self.net[2].weight)  # type: ignore[arg-type]
        nn.init.constant_(self.net[2].bias, -10)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        weight = self.to_k(x).flatten(2).softmax(dim=-1)
        context = (x.flatten(2) * weight).sum(dim=2)
        return self.net(context[..., None, None]) * x


class ResidualUnit(nn.Module):
    def __init__(self, dim: int, size: int = 3):
        super().__init__()
        self.net = nn.Sequential(
            SameConv(dim, dim, size), nn.ELU(), nn.Conv2d(dim, dim, 1), nn.ELU(), GlobalContext(dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) + x


class Halve(nn.Module):
    def __init__(self, before: int, after: int):
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Double(nn.Module):
    def __init__(self, before: int, after: int):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(before, after * 4, 1), nn.SiLU(), nn.PixelShuffle(2))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Axes(nn.Module):
    """Moves one axis of the input."""

    def __init__(self, source: int, target: int):
        super().__init__()
        self.source, self.target = source, target

    def forward(self, x: Tensor) -> Tensor:
        return x.movedim(self.source, self.target)


class MagVit(nn.Module):
    """(b, bands, h, w) to (b, hidden, h / 2^stages, w / 2^stages), and back."""

    def __init__(self, bands: int, hidden: int, stages: int = 2, units: int = 4):
        super().__init__()
        dim = hidden // 2**stages
        self.conv_in = SameConv(bands, dim, 7)
        self.conv_out = SameConv(dim, bands, 3)
        down: list[nn.Module] = [ResidualUnit(dim)]
        up: list[nn.Module] = [ResidualUnit(dim)]
        for _ in range(stages):
            down += [Halve(dim, 2 * dim), nn.Sequential(*(ResidualUnit(2 * dim) for _ in range(units)))]
            up += [Double(2 * dim, dim), nn.Sequential(*(ResidualUnit(2 * dim) for _ in range(units)))]
            dim *= 2
        down += [SameConv(dim, dim, 7), nn.Sequential(*(ResidualUnit(dim) for _ in range(units)))]
        up += [SameConv(dim, dim, 3), nn.Sequential(*(ResidualUnit(dim) for _ in range(units)))]
        down.append(nn.Sequential(Axes(1, -1), nn.LayerNorm(dim), Axes(-1, 1)))
        self.encoder_layers = nn.ModuleList(down)
        self.decoder_layers = nn.ModuleList(up[::-1])

    def encode(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        for layer in self.encoder_layers:
            x = layer(x)
        return x

    def decode(self, x: Tensor) -> Tensor:
        for layer in self.decoder_layers:
            x = layer(x)
        return self.conv_out(x)


class ChannelNorm(nn.Module):
    """Normalises the channels of (b, c, n)."""

    def __init__(self, dim: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim))

    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x.movedim(1, -1), self.weight.shape, self.weight, self.bias, 1e-6).movedim(-1, 1)


class ResponseNorm(nn.Module):
    """Global response normalisation of (b, n, c)."""

    def __init__(self, dim: int):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, dim))
        self.beta = nn.Parameter(torch.zeros(1, 1, dim))

    def forward(self, x: Tensor) -> Tensor:
        size = x.norm(dim=1, keepdim=True)
        return self.gamma * (x * (size / (size.mean(dim=-1, keepdim=True) + 1e-6))) + self.beta + x


class ConvNextBlock(nn.Module):
    def __init__(self, dim: int):
        super().__init__()
        self.dwconv = nn.Conv1d(dim, dim, 7, padding=3, groups=dim)
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.pwconv1 = nn.Linear(dim, 4 * dim)
        self.grn = ResponseNorm(4 * dim)
        self.pwconv2 = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.dwconv(x).movedim(1, -1))
        return x + self.pwconv2(self.grn(F.gelu(self.pwconv1(y)))).movedim(-1, 1)


class ConvNextEncoder(nn.Module):
    """(b, channels, n) to (b, widths[-1], n / 32): stride 4, then 2 before each further stage."""

    def __init__(self, channels: int, depths: Sequence[int], widths: Sequence[int]):
        super().__init__()
        stem = nn.Sequential(nn.Conv1d(channels, widths[0], 4, stride=4), ChannelNorm(widths[0]))
        further = [nn.Sequential(ChannelNorm(a), nn.Conv1d(a, b, 2, stride=2)) for a, b in itertools.pairwise(widths)]
        self.downsample_layers = nn.ModuleList([stem, *further])
        self.stages = _stages(depths, widths)
        self.norm = ChannelNorm(widths[-1])

    def forward(self, x: Tensor) -> Tensor:
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        return self.norm(x)


class ConvNextDecoder(nn.Module):
    """(b, channels, n) to (b, widths[-1], 32 n): strides 2, 2, 2 and last 4."""

    def __init__(self, channels: int, depths: Sequence[int], widths: Sequence[int]):
        super().__init__()
        stem = nn.Sequential(nn.ConvTranspose1d(channels, widths[0], 2, stride=2), ChannelNorm(widths[0]))
        strides = [2] * (len(widths) - 2) + [4]
        further = [
            nn.Sequential(ChannelNorm(a), nn.ConvTranspose1d(a, b, s, stride=s))
            for a, b, s in zip(widths[:-1], widths[1:], strides, strict=True)
        ]
        self.upsample_layers = nn.ModuleList([stem, *further])
        self.stages = _stages(depths, widths)

    def forward(self, x: Tensor) -> Tensor:
        for up, stage in zip(self.upsample_layers, self.stages, strict=True):
            x = stage(up(x))
        return x


def _stages(depths: Sequence[int], widths: Sequence[int]) -> nn.ModuleList:
    if len(depths) != len(widths):
        raise ValueError(f"depths {tuple(depths)} and widths {tuple(widths)} are not of one length")
    return nn.ModuleList(
        nn.Sequential(*(ConvNextBlock(w) for _ in range(d))) for d, w in zip(depths, widths, strict=True)
    )
