"""Other views of the same object, for training: turned, shifted, at lower signal-to-noise, with parts missing."""

from __future__ import annotations

import torch
from torch import Tensor

from kernels.embedding.models.small import SAMPLES


def noisier_spectrum(flux: Tensor, weight: Tensor, most: float = 1.5) -> tuple[Tensor, Tensor]:
    """The same spectra at lower signal-to-noise: noise of up to ``most`` times their own, and a span masked."""
    share = torch.rand(len(flux), 1, device=flux.device) * most
    sigma = torch.where(weight > 0, weight.clamp(min=1e-4).rsqrt(), 0.0)
    flux = flux + sigma * share * torch.randn_like(flux)
    weight = weight / (1 + share**2)
    start = torch.randint(0, SAMPLES, (len(flux), 1), device=flux.device)
    length = torch.randint(0, SAMPLES // 8, (len(flux), 1), device=flux.device)
    place = torch.arange(SAMPLES, device=flux.device)
    hidden = (place >= start) & (place < start + length)
    return flux.masked_fill(hidden, 0), weight.masked_fill(hidden, 0)


def turned(image: Tensor) -> Tensor:
    """The cutouts turned by a random multiple of 90 degrees, and mirrored half of the time, all alike."""
    if torch.rand(()) < 0.5:
        image = image.flip(-1)
    return torch.rot90(image, int(torch.randint(0, 4, ())), (-2, -1))


def noisier_image(
    image: Tensor, least: float = 0.0, most: float = 1.0, shift: int = 2, drop: float = 0.1, turn: bool = True
) -> Tensor:
    """The same cutouts turned, shifted, noisier by ``least`` to ``most`` of their noise, some without a band."""
    image = turned(image) if turn else image
    b, bands = image.shape[:2]
    move = torch.randint(-shift, shift + 1, (2,)).tolist()
    image = torch.roll(image, move, (-2, -1))
    share = least + torch.rand(b, 1, 1, 1, device=image.device) * (most - least)
    there = (image != 0).any(dim=(2, 3), keepdim=True)
    image = image + there * share * torch.randn_like(image) / torch.cosh(image.clamp(-12, 12))
    lost = torch.rand(b, bands, 1, 1, device=image.device) < drop
    lost[lost.all(dim=1, keepdim=True).expand_as(lost)] = False
    return image.masked_fill(lost, 0)
