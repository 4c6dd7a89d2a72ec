"""Fields of Poisson rates: latent numbers of an X-ray source to its rate in time, band by band (P2.1).

Song, Villar, Martínez-Galarza & Dillmann 2025, arXiv 2502.01627. :class:`Field` has the paper's form. :class:`Basis`
is the small one that the project trains: functions of time, found by a network over the same encoding of time, are
weighted by a network over the latents. One evaluation of the functions serves all sources, so that latents are fitted
to thousands of sources at once.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

LATENT = 12
"""Numbers of the project's field; the paper's has 8."""
BANDS = 3
CELLS = 512


def encode_time(t: Tensor, octaves: int = 12) -> Tensor:
    """(…, 1 + 2·octaves): t in [0, 1], then sin and cos of π 2^k t for k = 0 … octaves - 1."""
    phase = t[..., None] * (math.pi * 2.0 ** torch.arange(octaves, device=t.device, dtype=t.dtype))
    return torch.cat([t[..., None], phase.sin(), phase.cos()], dim=-1)


class Residual(nn.Module):
    """``x + second(relu(first(relu(x))))``; the second map starts at zero."""

    def __init__(self, hidden: int):
        super().__init__()
        self.first, self.second = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        nn.init.kaiming_normal_(self.first.weight)
        nn.init.zeros_(self.second.weight)
        for layer in (self.first, self.second):
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(torch.relu(self.first(torch.relu(x))))


class Field(nn.Module):
    """The paper's decoder: latents (b, latent) and times (b, m) in [0, 1] to log rates (b, m, bands).

    512 wide with 5 residual blocks it has 2,645,507 parameters. Rates are per unit of the scaled time.
    """

    def __init__(self, latent: int = 8, hidden: int = 512, blocks: int = 5, bands: int = BANDS, octaves: int = 12):
        super().__init__()
        self.latent, self.octaves = latent, octaves
        self.first = nn.Linear(latent + 1 + 2 * octaves, hidden)
        self.blocks = nn.Sequential(*[Residual(hidden) for _ in range(blocks)])
        self.last = nn.Linear(hidden, bands)
        for layer in (self.first, self.last):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, latents: Tensor, t: Tensor) -> Tensor:
        z = latents[:, None].expand(-1, t.shape[1], -1)
        x = self.blocks(self.first(torch.cat([z, encode_time(t, self.octaves)], dim=-1)))
        return cast(Tensor, self.last(torch.relu(x)))


class Basis(nn.Module):
    """The project's decoder: log of the relative rate, (b, bands, m), of latents (b, latent) at times (m,) in [0, 1].

    ``functions`` of time come from a network over :func:`encode_time`; their weights, for each band, from a network
    over the latents. The level of each band is no part of it: it follows from the counts in closed form.

    The second half, :meth:`guess`, looks at counts and live time on a mesh and tells where the latents may lie: mean
    and log variance. It serves training (as the posterior of a variational autoencoder, Kingma & Welling 2014, arXiv
    1312.6114) and gives the fit of latents its start.
    """

    def __init__(
        self,
        latent: int = LATENT,
        functions: int = 128,
        hidden: int = 160,
        bands: int = BANDS,
        octaves: int = 8,
        looked: int = 128,
    ):
        super().__init__()
        self.latent, self.octaves, self.bands, self.looked = latent, octaves, bands, looked
        self.time = nn.Sequential(
            nn.Linear(1 + 2 * octaves, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(),
            nn.Linear(hidden, functions),
        )  # fmt: skip
        self.weights = nn.Sequential(
            nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU(), nn.Linear(hidden, hidden),
            nn.SiLU(), nn.Linear(hidden, (1 + bands) * functions),
        )  # fmt: skip
        self.look = nn.Sequential(
            nn.Linear(2 * looked + bands, 2 * hidden), nn.SiLU(), nn.Linear(2 * hidden, 2 * hidden), nn.SiLU(),
            nn.Linear(2 * hidden, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent),
        )  # fmt: skip
        last = cast(nn.Linear, self.weights[-1])
        nn.init.normal_(last.weight, std=0.02)
        nn.init.zeros_(last.bias)

    def forward(self, latents: Tensor, t: Tensor) -> Tensor:
        return self.combine(latents, self.time(encode_time(t, self.octaves)))

    def combine(self, latents: Tensor, functions: Tensor) -> Tensor:
        """Log relative rate (b, bands, m) from the functions (m, functions) that :attr:`time` gives."""
        w = self.weights(latents).reshape(len(latents), 1 + self.bands, -1)
        w = w[:, :1] + 0.2 * w[:, 1:]  # what all bands do, and what one does beside
        raw = w @ functions.T / math.sqrt(functions.shape[1])
        return 8.0 * torch.tanh(raw / 8.0)

    def on_mesh(self, cells: int = CELLS) -> Tensor:
        """(cells, functions) at the middle of each cell."""
        at = (torch.arange(cells, device=next(self.parameters()).device) + 0.5) / cells
        return cast(Tensor, self.time(encode_time(at, self.octaves)))

    def guess(self, counts: Tensor, live: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance (b, latent) from counts (b, cells, bands) and live time (b, cells)."""
        b, cells, _ = counts.shape
        group = cells // self.looked
        seen = counts.sum(dim=2).reshape(b, self.looked, group).sum(dim=2)
        exposed = live.reshape(b, self.looked, group).sum(dim=2)
        share = exposed / exposed.sum(dim=1, keepdim=True).clamp(min=1e-12)
        expected = share * seen.sum(dim=1, keepdim=True)
        pull = 2 * ((seen + 0.375).sqrt() - (expected + 0.375).sqrt())
        told = torch.log1p(counts.sum(dim=1))
        x = self.look(torch.cat([pull, share * self.looked, told], dim=1))
        mean, log_variance = x.chunk(2, dim=1)
        return mean, log_variance.clamp(-8, 2)
