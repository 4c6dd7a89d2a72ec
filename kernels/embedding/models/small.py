"""Small networks that train in minutes on a processor: the trunks of the shipped encoders, from the shared blocks.

Images are (b, bands, 64, 64) in arcsinh of the noise; spectra are ``flux`` and ``weight`` (b, 1024) in units of their
own signal (``kernels/embedding/encoders/_inputs.py``), with ``level`` (b, 1) that unit in dex about the survey's
median.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from kernels.embedding.blocks import MLP, AttentionPool, Block, LayerNorm, grid_positions, mean_pool, patchify, sincos
from kernels.embedding.objectives.masked import draw_hidden, hidden_error, visible

SIDE, SAMPLES = 64, 1024


def seen(flux: Tensor, weight: Tensor) -> Tensor:
    """(b, 2, 1024): the most probable flux of each sample given its noise and a scatter of 1, and how well it is known.

    A sample of weight w is shrunk by w / (w + 1), so that a noisy spectrum moves towards nothing instead of becoming
    an outlier.
    """
    known = weight / (weight + 1)
    return torch.stack([flux * known, known], dim=1)


class Residual(nn.Module):
    """x + conv(act(conv(x))) with batch normalisation; one or two dimensions."""

    def __init__(self, width: int, kernel: int, dims: int):
        super().__init__()
        conv, norm = (nn.Conv1d, nn.BatchNorm1d) if dims == 1 else (nn.Conv2d, nn.BatchNorm2d)
        self.inner = nn.Sequential(
            norm(width), nn.GELU(), conv(width, width, kernel, padding=kernel // 2, bias=False),
            norm(width), nn.GELU(), conv(width, width, kernel, padding=kernel // 2),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Pooled(nn.Module):
    """(b, n, width) tokens to (b, out): mean and attention pooling side by side, with ``extra`` numbers, and an MLP."""

    def __init__(self, width: int, out: int, heads: int, extra: int = 0):
        super().__init__()
        self.attention = AttentionPool(width, heads)
        self.head = nn.Sequential(nn.Linear(2 * width + extra, 2 * width), nn.GELU(), nn.Linear(2 * width, out))

    def forward(self, x: Tensor, extra: Tensor | None = None) -> Tensor:
        parts = [mean_pool(x), self.attention(x), *([] if extra is None else [extra])]
        return self.head(torch.cat(parts, dim=1))


class ImageStem(nn.Module):
    """Cutouts (b, bands, 64, 64) to (b, 64, width) tokens of an 8 x 8 raster, with their places added."""

    def __init__(self, bands: int, width: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv2d(bands, 48, 4, 4), nn.BatchNorm2d(48), nn.GELU(),
            nn.Conv2d(48, 64, 3, 2, padding=1), Residual(64, 3, 2), nn.Conv2d(64, width, 1),
        )  # fmt: skip
        self.register_buffer("places", sincos(grid_positions(8, 8), width), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image / 3).flatten(2).transpose(1, 2) + self.places


class SpectrumStem(nn.Module):
    """Spectra to (b, 64, width) tokens along the logarithm of wavelength, with their places added."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Sequential(
            nn.Conv1d(2, 64, 16, 8, padding=4), nn.BatchNorm1d(64), nn.GELU(),
            Residual(64, 5, 1), nn.Conv1d(64, width, 4, 2, padding=1),
        )  # fmt: skip
        self.register_buffer("places", sincos(torch.arange(SAMPLES // 16), width), persistent=False)

    def forward(self, flux: Tensor, weight: Tensor) -> Tensor:
        return self.conv(seen(flux, weight)).transpose(1, 2) + self.places


class ImageNet(nn.Module):
    """Cutouts to (b, out): convolutions, attention among their 64 places, pooling."""

    def __init__(self, bands: int, out: int = 64, width: int = 96, depth: int = 1, heads: int = 4):
        super().__init__()
        self.stem = ImageStem(bands, width)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(depth))
        self.pool = Pooled(width, out, heads)

    def forward(self, image: Tensor) -> Tensor:
        x = self.stem(image)
        for block in self.blocks:
            x = block(x)
        return self.pool(x)


class SpectrumNet(nn.Module):
    """Spectra with their ``level`` (b, 1) to (b, out): convolutions, attention among their 64 places, pooling."""

    def __init__(self, out: int = 64, width: int = 96, depth: int = 2, heads: int = 4):
        super().__init__()
        self.stem = SpectrumStem(width)
        self.blocks = nn.ModuleList(Block(width, heads, 2 * width) for _ in range(depth))
        self.pool = Pooled(width, out, heads, extra=1)

    def forward(self, flux: Tensor, weight: Tensor, level: Tensor) -> Tensor:
        x = self.stem(flux, weight)
        for block in self.blocks:
            x = block(x)
        return self.pool(x, level)


class Pair(nn.Module):
    """An image trunk and a spectrum trunk with one learned temperature (at least 0.02)."""

    def __init__(self, image: nn.Module, spectrum: nn.Module, start: float = 0.1):
        super().__init__()
        self.image, self.spectrum = image, spectrum
        self.log_scale = nn.Parameter(-torch.tensor(start).log())

    def temperature(self) -> Tensor:
        """The temperature, a scalar."""
        return torch.exp(-self.log_scale).clamp(min=0.02)


class Decoder(nn.Module):
    """From a summary (b, dim) the whole object: spectrum and its level, image at 32 pixels a side."""

    def __init__(self, dim: int, bands: int, spectrum: bool = True, hidden: int = 256):
        super().__init__()
        self.bands = bands
        self.trunk = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, hidden), nn.GELU())
        self.image = nn.Linear(hidden, bands * 32 * 32) if bands else None
        self.spectrum = nn.Linear(hidden, SAMPLES + 1) if spectrum else None

    def loss(self, summary: Tensor, target: dict[str, Tensor]) -> Tensor:
        """Error of all that ``target`` holds: Huber's of the image, chi-square of the spectrum and its level."""
        hidden = {
            k: torch.ones(len(summary), 64, dtype=torch.bool, device=summary.device) for k in ("image", "spectrum")
        }
        return self.hidden_loss(summary, target, hidden)["loss"]

    def hidden_loss(self, summary: Tensor, target: dict[str, Tensor], hidden: dict[str, Tensor]) -> dict[str, Tensor]:
        """Error of the patches that were hidden: ``hidden`` holds (b, 64) for image and spectrum, True where hidden."""
        x = self.trunk(summary)
        out: dict[str, Tensor] = {}
        if self.image is not None and "image" in target:
            told = self.image(x).float().reshape(-1, self.bands, 32, 32)
            small = functional.avg_pool2d(target["image"], 2).clamp(-4, 8)
            mask = hidden["image"].reshape(-1, 1, 8, 8).repeat_interleave(4, 2).repeat_interleave(4, 3)
            out["image"] = hidden_error(told, small, mask.expand_as(small))
        if self.spectrum is not None and "flux" in target:
            told = self.spectrum(x).float()
            mask = hidden["spectrum"].repeat_interleave(SAMPLES // 64, dim=1)
            flux = hidden_error(told[:, :-1], target["flux"], mask, precision(target["weight"]))
            out["spectrum"], out["level"] = flux, (told[:, -1:] - target["level"]).square().mean()
        return {"loss": torch.stack(list(out.values())).sum(), **out}


class Causal(nn.Module):
    """Patches of one modality in order through a causal transformer, and a summary of its middle (P0.3).

    Images: 64 patches of 8 x 8 pixels, from the middle outwards. Spectra: 64 patches of 16 samples, blue to red, each
    with how well its samples are known and the spectrum's level.
    """

    def __init__(self, bands: int, modality: str, width: int = 96, depth: int = 4, summary: int = 32):
        super().__init__()
        self.modality = modality
        image = modality == "image"
        size, read = (bands * 64, bands * 64) if image else (16, 33)
        self.embed = nn.Linear(read, width)
        self.blocks = nn.ModuleList(Block(width, 4, 2 * width, causal=True) for _ in range(depth))
        self.norm, self.tell = LayerNorm(width), MLP(width, 2 * width, size)
        self.pool = Pooled(width, summary, 4)
        self.decoder = Decoder(summary, bands if image else 0, not image)
        order = spiral(8) if image else torch.arange(64)
        self.register_buffer("order", order, persistent=False)
        self.register_buffer(
            "places", sincos(grid_positions(8, 8) if image else torch.arange(64), width), persistent=False
        )

    def states(self, **inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """States of the middle block and of the last (b, 64, width), and the patches (b, 64, size), in order."""
        if self.modality == "image":
            patches = patchify(inputs["image"], 8)[:, self.order]
            read = patches / 3
        else:
            both = seen(inputs["flux"], inputs["weight"]).reshape(-1, 2, 64, 16)
            level = inputs["level"][:, None].expand(-1, 64, -1)
            read = torch.cat([both[:, 0], both[:, 1], level], dim=2)
            patches = inputs["flux"].reshape(-1, 64, 16)
        x = self.embed(read) + self.places[self.order]
        middle = x
        for number, block in enumerate(self.blocks):
            x = block(x)
            middle = x if number == len(self.blocks) // 2 else middle
        return middle, x, patches

    def forward(self, **inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What each state tells of the next patch, the patches, and the summary."""
        middle, last, patches = self.states(**inputs)
        return self.tell(self.norm(last)), patches, self.pool(middle)

    def vector(self, **inputs: Tensor) -> Tensor:
        """(b, width + summary)."""
        middle, _, _ = self.states(**inputs)
        return torch.cat([mean_pool(middle), self.pool(middle)], dim=1)


class Masked(nn.Module):
    """One transformer over the visible patches of image and spectrum, a summary, and a decoder of what was hidden."""

    def __init__(self, bands: int, width: int = 96, depth: int = 3, summary: int = 32):
        super().__init__()
        self.image, self.spectrum = ImageStem(bands, width), SpectrumStem(width)
        self.level = nn.Linear(1, width)
        self.kinds = nn.Parameter(torch.randn(2, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, 4, 2 * width) for _ in range(depth))
        self.pool = Pooled(width, summary, 4)
        self.decoder = Decoder(summary, bands)

    def tokens(self, share: float, **inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Tokens of the patches that are seen, through all blocks, and which were hidden: ``share`` of each modality.

        What is hidden is 0 before the convolutions, so that no neighbour tells it. A modality that is not given is
        hidden as a whole.
        """
        first = next(iter(inputs.values()))
        b, count = len(first), round(64 * share)
        whole = torch.ones(b, 64, dtype=torch.bool, device=first.device)
        hidden, parts = {"image": whole, "spectrum": whole}, []
        if "image" in inputs:
            mask = hidden["image"] = draw_hidden(b, 64, count, first.device)
            blank = mask.reshape(b, 1, 8, 8).repeat_interleave(8, 2).repeat_interleave(8, 3)
            parts.append(visible(self.image(inputs["image"].masked_fill(blank, 0)), mask) + self.kinds[0])
        if "flux" in inputs:
            mask = hidden["spectrum"] = draw_hidden(b, 64, count, first.device)
            blank = mask.repeat_interleave(SAMPLES // 64, dim=1)
            flux, weight = inputs["flux"].masked_fill(blank, 0), inputs["weight"].masked_fill(blank, 0)
            parts.append(visible(self.spectrum(flux, weight), mask) + self.kinds[1])
            parts.append((self.level(inputs["level"]) + self.kinds[1])[:, None])
        x = torch.cat(parts, dim=1)
        for block in self.blocks:
            x = block(x)
        return x, hidden

    def forward(self, share: float, **inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The summary of what is seen, and what was hidden."""
        x, hidden = self.tokens(share, **inputs)
        return self.pool(x), hidden

    def vector(self, **inputs: Tensor) -> Tensor:
        """(b, width + summary), nothing hidden."""
        x, _ = self.tokens(0.0, **inputs)
        return torch.cat([mean_pool(x), self.pool(x)], dim=1)


def precision(weight: Tensor, floor: float = 0.05) -> Tensor:
    """1 / (1 / weight + floor), 0 without data: a good spectrum must not outweigh all others."""
    return torch.where(weight > 0, 1 / (1 / weight.clamp(min=1e-6) + floor), 0.0)


def spiral(side: int) -> Tensor:
    """(side², ) int64 raster places of a square from its middle outwards, by distance and then by angle."""
    row, column = (grid_positions(side, side).double() - (side - 1) / 2).unbind(1)
    ring = torch.maximum(row.abs(), column.abs())
    return torch.argsort(ring * 100 + torch.atan2(row, column))
