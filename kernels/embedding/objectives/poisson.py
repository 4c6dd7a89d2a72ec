"""Likelihoods of a Poisson process: events against a rate in time (P2.1).

An inhomogeneous process of rate λ has log L = Σ log λ(t_i) - ∫ λ dt over the observed time. ``correct`` integrates
over the good time intervals; ``parity`` does as the paper's code: from 0 to the last event, whatever was observed.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

LEVEL = 0.5
"""Events that are added to those of a band before its level is taken: a band without any has a level too."""


def log_likelihood(log_rate: Tensor, counts: Tensor, live: Tensor) -> Tensor:
    """(b,) nats of counts (b, bands, cells) under log rates (b, bands, cells), counts / s, and live s (b, cells).

    The constant Σ log(live) - log(counts!) is left out: it is the same for every rate.
    """
    expected = log_rate.exp() * live[:, None]
    return (counts * log_rate - expected).sum(dim=(1, 2))


def level(log_shape: Tensor, counts: Tensor, live: Tensor) -> Tensor:
    """(b, bands) log level of each band that goes with a relative rate: its events over ∫ s dt, see :data:`LEVEL`."""
    exposed = (log_shape.exp() * live[:, None]).sum(dim=2)
    return torch.log((counts.sum(dim=2) + LEVEL) / exposed.clamp(min=1e-12))


def shape_likelihood(log_shape: Tensor, counts: Tensor, live: Tensor) -> Tensor:
    """(b,) nats of a relative rate with the best level of each band, less those of a constant rate.

    With the level at its best the process is a multinomial over the cells: Σ c log(s / ∫ s) + const.
    """
    total = counts.sum(dim=2)
    exposed = (log_shape.exp() * live[:, None]).sum(dim=2)
    span = live.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return (counts * log_shape).sum(dim=(1, 2)) - (total * torch.log(exposed.clamp(min=1e-12) / span)).sum(dim=1)


def negative_elbo(model: nn.Module, batch: dict[str, Tensor], roughness: float = 0.02) -> dict[str, Tensor]:
    """Loss of :class:`kernels.embedding.models.ppad.Basis` as a variational autoencoder, in nats a source.

    ``batch``: ``counts`` (b, cells, bands) and ``live`` (b, cells). A part of the events, another for each source and
    step, is shown to the guess, and the whole is what must be told: latents that follow single events do not pay.
    """
    counts, live = batch["counts"], batch["live"]
    share = 0.3 + 0.7 * torch.rand(len(counts), 1, 1, device=counts.device)
    shown = torch.binomial(counts, share.expand_as(counts))
    mean, log_variance = model.guess(shown, live)
    z = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
    log_shape = model.combine(z, model.on_mesh(counts.shape[1]))
    gain = shape_likelihood(log_shape, counts.transpose(1, 2), live)
    divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(dim=1)
    rough = log_shape.diff(dim=2).abs().mean(dim=(1, 2)) * log_shape.shape[2]
    loss = (divergence - gain + roughness * rough).mean()
    return {"loss": loss, "gain": gain.mean(), "divergence": divergence.mean(), "roughness": rough.mean()}


def parity_loss(
    field: nn.Module, latents: Tensor, time: Tensor, band: Tensor, held: Tensor, cells: int = 2048
) -> dict[str, Tensor]:
    """The loss of the paper's code: -log L + 10 total variation + mean |z|².

    ``time`` (b, k) in [0, 1] ascending, ``band`` (b, k) int64, ``held`` (b, k) bool (False is padding). The integral
    runs to the last event by the trapezoid rule on ``cells`` + 1 points; variation is taken on rates, on that mesh
    and from event to event.
    """
    last = torch.where(held, time, torch.zeros_like(time)).amax(dim=1)
    grid = torch.linspace(0, 1, cells + 1, device=time.device) * last[:, None]
    rate = field(latents, grid).exp()
    integral = torch.trapezoid(rate.sum(dim=2), grid, dim=1)
    at = field(latents, time)
    chosen = at.gather(2, band[..., None])[..., 0]
    gain = torch.where(held, chosen, torch.zeros_like(chosen)).sum(dim=1) - integral
    between = (at.exp().diff(dim=1).abs() * (held[:, 1:] & held[:, :-1])[..., None]).mean(dim=2)
    steps = (held[:, 1:] & held[:, :-1]).sum(dim=1).clamp(min=1)
    variation = rate.diff(dim=1).abs().mean() + (between.sum(dim=1) / steps).mean()
    prior = (latents**2).sum(dim=1).mean()
    loss = -gain.mean() + 10 * variation + prior
    return {"loss": loss, "log_likelihood": gain.mean(), "variation": variation, "prior": prior}
