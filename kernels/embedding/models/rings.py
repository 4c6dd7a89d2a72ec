"""Cutouts to circular harmonics in rings: what stays of an image when it is turned, and how to denoise it.

The mean of an image times exp(-i m θ) over a ring of radius r is its m-th circular harmonic there. Its modulus does not
change when the image is turned, nor when it is mirrored: m = 0 is the profile (a ring galaxy has a bump), m = 2 tells
discs seen from the side and bars, odd m a second nucleus or a tail. Radii are logarithmic, so that another distance
is a shift (Sheng & Arsenault 1986, J. Opt. Soc. Am. A 3, 771: the Fourier-Mellin descriptor).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

SIDE = 128
"""Pixels a side that cutouts are brought to."""
RINGS, FIRST, LAST = 24, 0.02, 0.48
"""Number of rings, radius of the first and of the last one in sides of the image."""
HARMONICS = 9
"""Harmonics 0 to 8."""
CHANNELS = 3
"""Light, its fine structure, and colour."""
SOFT = 3.0
"""Brightness of the centre in units of where arcsinh turns from linear to logarithmic."""
_INNER = SIDE // 4
"""Radius in pixels up to which rings are measured at full resolution; beyond it, at half."""


@lru_cache(maxsize=64)
def harmonics(zoom: float = 1.0, dx: float = 0.0, dy: float = 0.0) -> tuple[Tensor, Tensor]:
    """Weights of the central ``SIDE/2`` pixels, and of the whole at half resolution: (pixels, rings x 17) float32.

    ``zoom`` multiplies all radii; ``dx`` and ``dy`` move the centre, in sides of the image. Rings are hats in log r, at
    least 0.8 pixels wide; the columns of a ring are cos mθ (m = 0..8), then sin mθ (m = 1..8), over the sum of the hat.
    """
    radius = np.geomspace(FIRST, LAST, RINGS) * SIDE
    inner = radius < 0.9 * _INNER
    step = np.log(radius[1] / radius[0])
    out = []
    for rings, cell in ((radius[inner], 1.0), (radius[~inner], 2.0)):
        axis = (np.arange(SIDE // 2) - (SIDE // 2 - 1) / 2) * cell
        x, y = axis[None, :] - dx * SIDE, axis[:, None] - dy * SIDE
        rho, theta = np.hypot(x, y).ravel() / zoom, np.arctan2(y, x).ravel()
        width = np.maximum(step * rings, 0.8 * cell)
        hat = np.clip(1 - np.abs(rho[:, None] - rings) / width, 0, None)
        hat /= np.maximum(hat.sum(axis=0), 1e-9)
        m = np.arange(HARMONICS)
        waves = np.concatenate([np.cos(theta[:, None] * m), np.sin(theta[:, None] * m[1:])], axis=1)
        out.append(torch.from_numpy((hat[:, :, None] * waves[:, None, :]).reshape(len(rho), -1).astype(np.float32)))
    return out[0], out[1]


def planes(pixels: Tensor, gain: Tensor) -> Tensor:
    """Light, fine structure and colour of cutouts (n, bands, 128, 128), NaN where there are no data: (n, 3, 128, 128).

    Each band loses its background and is divided by ``gain`` (bands,), its typical brightness in the survey. Light is
    the mean of the bands that have data; colour the bands' mean weighted from -1 (first) to 1 (last), 0 of one band.
    Both are arcsinh-stretched in units of the central brightness.
    """
    bands = pixels.shape[1]
    known = torch.isfinite(pixels)
    level = background(pixels)
    flux = torch.where(known, (pixels - level) / gain.view(1, -1, 1, 1), 0.0)
    count = known.sum(dim=1, keepdim=True).clamp(min=1)
    light = flux.sum(dim=1, keepdim=True) / count
    peak = brightness(light)
    stretched = torch.asinh(SOFT * light / peak) / np.arcsinh(SOFT)
    fine = 1.5 * (stretched - _smooth(stretched))
    if bands == 1:
        return torch.cat([stretched, fine, torch.zeros_like(light)], dim=1)
    there = (known.flatten(2).any(dim=2)).float()
    ramp = torch.linspace(-1, 1, bands, device=pixels.device) * there
    ramp = (ramp - there * ramp.sum(dim=1, keepdim=True) / there.sum(dim=1, keepdim=True).clamp(min=1))[..., None, None]
    colour = functional.avg_pool2d((flux * ramp).mean(dim=1, keepdim=True), 3, 1, 1)
    colour = 1.2 * torch.asinh(SOFT * colour / peak) / np.arcsinh(SOFT)
    return torch.cat([stretched, fine, colour], dim=1)


def background(pixels: Tensor) -> Tensor:
    """(n, bands, 1, 1): the lower of the medians of the outer eighth and of the whole, in cells of 4 x 4 pixels."""
    known = torch.isfinite(pixels).float()
    share = functional.avg_pool2d(known, 4)
    cells = functional.avg_pool2d(torch.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0), 4) / share
    edge = torch.ones(cells.shape[-2:], dtype=torch.bool, device=pixels.device)
    edge[4:-4, 4:-4] = False
    border, whole = (c.nanmedian(dim=-1).values for c in (cells[..., edge], cells.flatten(2)))
    low = torch.fmin(border, whole)
    return torch.nan_to_num(low)[..., None, None]


def brightness(light: Tensor) -> Tensor:
    """(n, 1, 1, 1): mean of the five brightest of the 13 x 13 central cells of 2 x 2 pixels, above 0."""
    cells = functional.avg_pool2d(light, 2)
    k = cells.shape[-1] // 2
    peak = cells[:, 0, k - 6 : k + 7, k - 6 : k + 7].flatten(1).topk(5, dim=1).values.mean(dim=1)
    other = light.abs().amax(dim=(1, 2, 3))
    return torch.where(peak > 1e-3 * other, peak, other.clamp(min=1e-12)).view(-1, 1, 1, 1)


def _smooth(plane: Tensor) -> Tensor:
    return functional.avg_pool2d(functional.avg_pool2d(plane, 5, 1, 2, count_include_pad=False), 3, 1, 1)


def descriptor(maps: Tensor, zoom: float = 1.0, dx: float = 0.0, dy: float = 0.0) -> Tensor:
    """(n, channels, 24, 9) roots of the harmonics' moduli of planes (n, channels, 128, 128); m = 0 keeps its sign."""
    inner, outer = (basis.to(maps.device) for basis in harmonics(zoom, dx, dy))
    k = SIDE // 4
    near = maps[..., k:-k, k:-k].flatten(2) @ inner
    far = functional.avg_pool2d(maps, 2).flatten(2) @ outer
    waves = torch.cat([near, far], dim=2).unflatten(2, (RINGS, 2 * HARMONICS - 1))
    mean, cos, sin = waves[..., :1], waves[..., 1:HARMONICS], waves[..., HARMONICS:]
    power = torch.hypot(cos, sin).clamp(min=1e-6).sqrt()
    return torch.cat([mean.sign() * mean.abs().sqrt(), power], dim=3)


def weights_of_rings() -> Tensor:
    """(3, 24, 1): what the channels count, and less for rings beyond a fifth of the side, where neighbours are."""
    radius = torch.from_numpy(np.geomspace(FIRST, LAST, RINGS).astype(np.float32))
    taper = 1 / (1 + (radius / 0.2) ** 2)
    return torch.tensor([1.0, 0.7, 0.6])[:, None, None] * taper[None, :, None]


VARIANTS = 6
"""Ways in which one galaxy is seen for training, the first being as it is."""


def variants(pixels: Tensor, gain: Tensor, count: int = VARIANTS) -> Tensor:
    """(n, count, 3, 24, 9): the descriptors of one cutout under another distance, centring, seeing, noise and stretch.

    The same ``count`` ways for every object, so that they are computed once: zoom 0.8 to 1.25, centre off by up to
    2.5 % of the side, blurred or not, noise up to 6 % of the central brightness, gamma 0.75 to 1.3, gains of the bands
    20 % apart, a band left out, 8 bits.
    """
    rng = np.random.default_rng(17)
    noise = torch.Generator().manual_seed(17)
    out = [descriptor(planes(pixels, gain))]
    bands = pixels.shape[1]
    for way in range(1, count):
        draw = rng.uniform(-1, 1, 5)
        other = gain * torch.from_numpy(np.exp(0.15 * rng.normal(size=bands)).astype(np.float32))
        seen = pixels if way % 2 else functional.avg_pool2d(pixels, 3, 1, 1, count_include_pad=False)
        if bands > 2 and way == 3:
            seen = seen.clone()
            seen[:, 1] = torch.nan
        maps = planes(seen, other)
        grain = torch.randn(maps.shape[1:], generator=noise) * (0.03 * (1 + draw[3]))
        gamma = float(np.exp(0.27 * draw[4]))
        light = maps[:, :1] + grain[:1] * (0.7 if way % 2 else 0.3)
        light = light.sign() * light.abs() ** gamma
        if way % 4 == 2:
            light = (light * 255).round() / 255
        fine = 1.5 * (light - _smooth(light))
        maps = torch.cat([light, fine, maps[:, 2:]], dim=1)
        out.append(descriptor(maps, float(np.exp(0.22 * draw[0])), 0.025 * float(draw[1]), 0.025 * float(draw[2])))
    return torch.stack(out, dim=1)


class Denoiser(nn.Module):
    """Denoising autoencoder of descriptors (n, 3, 24, 9) with ``dim`` values in the middle, two layers a side.

    Attributes ``mean`` and ``scale`` (648,) standardise what goes in; what comes out is the clean descriptor less
    ``mean``, times the rings' weights.
    """

    def __init__(self, dim: int = 16, width: int = 384):
        super().__init__()
        size = CHANNELS * RINGS * HARMONICS
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.encoder = nn.Sequential(
            nn.Linear(size, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, dim)
        )
        self.decoder = nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Linear(width, size))

    def standardise(self, given: Tensor) -> None:
        """Take mean and scatter of descriptors (n, 3, 24, 9)."""
        flat = given.flatten(1)
        self.mean.copy_(flat.mean(dim=0))
        self.scale.copy_(flat.std(dim=0).clamp(min=1e-3))

    def forward(self, given: Tensor) -> Tensor:
        """(n, dim) vectors."""
        return self.encoder(((given.flatten(1) - self.mean) / self.scale).clamp(-6, 6))

    def unexplained(self, views: Tensor, clean: Tensor) -> Tensor:
        """Share of the clean descriptors' variance in the batch that is not restored from the views: a scalar."""
        wanted = (clean.flatten(1) - self.mean) * weights_of_rings().expand(-1, -1, HARMONICS).flatten().to(clean)
        left = (self.decoder(self(views)) - wanted).square().sum(dim=1).mean()
        return left / (wanted - wanted.mean(dim=0)).square().sum(dim=1).mean().clamp(min=1e-6)
