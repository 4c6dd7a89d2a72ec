"""PPAD as the paper's code has it: eight hours, the integral to the last event, latents in a table (P2.1).

Song, Villar, Martínez-Galarza & Dillmann 2025, arXiv 2502.01627. What it does otherwise than ``ppad``: sources observed
for less than eight hours are dropped and longer ones cut; gaps in the good times count as times without events; the
exposure after the last event is left out of the integral, so that a source that falls silent keeps its rate.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kernels.embedding.batches import Events
from kernels.embedding.models.ppad import Field
from kernels.embedding.objectives.poisson import parity_loss
from kernels.preprocess.events import BANDS

HOURS_8 = 28_800.0


@dataclass(frozen=True)
class EightHours:
    """Events of the sources ``rows`` (b,): ``time`` (b, k) in [0, 1] of eight hours, ``band``, ``held`` (b, k)."""

    rows: np.ndarray
    time: np.ndarray
    band: np.ndarray
    held: np.ndarray

    def tensors(self, some: np.ndarray | slice, device: torch.device) -> dict[str, Tensor]:
        """``time``, ``band``, ``held`` of some of the sources, cut to their longest list."""
        most = max(int(self.held[some].sum(axis=1).max()), 2)
        return {k: torch.from_numpy(getattr(self, k)[some, :most]).to(device) for k in ("time", "band", "held")}


def eight_hours(events: Events, random_state: int | None = None) -> EightHours:
    """The paper's cut: 0.5-7 keV, times from the first event, lists of eight hours at least, cut there, two events.

    ``random_state`` shifts each list by a random part of the time between its first two events, as in training.
    """
    rng = None if random_state is None else np.random.default_rng(random_state)
    rows, times, bands = [], [], []
    for i in range(len(events)):
        time, energy, _ = events.source(i)
        inside = (energy >= BANDS[0]) & (energy < BANDS[-1])
        time, band = time[inside], np.searchsorted(BANDS, energy[inside], side="right") - 1
        if len(time) < 2 or time[-1] - time[0] < HOURS_8:
            continue
        time = time - time[0]
        if rng is not None:
            time = time + rng.uniform(0, time[1])
        first = time <= HOURS_8
        if first.sum() >= 2:
            rows.append(i)
            times.append(time[first] / HOURS_8)
            bands.append(band[first])
    most = max((len(t) for t in times), default=2)
    time_, band_ = np.zeros((len(rows), most), np.float32), np.zeros((len(rows), most), np.int64)
    held = np.zeros((len(rows), most), bool)
    for j, (t, b) in enumerate(zip(times, bands, strict=True)):
        time_[j, : len(t)], band_[j, : len(t)], held[j, : len(t)] = t, b, True
    return EightHours(np.array(rows, np.int64), time_, band_, held)


class PPADParity:
    """The paper's autodecoder: ``fit`` learns decoder and latents together, ``encode`` latents with it frozen.

    Parameters
    ----------
    hidden, blocks : 512 and 5 in the paper (2,645,507 parameters).
    epochs, batch, lr : Adam; latents move ten times faster (600 epochs in three stages, 16, 1e-5 in the paper).
    steps, latent_lr : of the fit of latents with the decoder frozen (400, 0.01), from the mean of training's.
    cells : cells of the integral's mesh (2,048).
    """

    def __init__(
        self,
        hidden: int = 512,
        blocks: int = 5,
        epochs: int = 600,
        batch: int = 16,
        lr: float = 1e-5,
        steps: int = 400,
        latent_lr: float = 0.01,
        cells: int = 2048,
        random_state: int = 0,
        device: str | None = None,
    ):
        self.hidden, self.blocks, self.epochs, self.batch, self.lr = hidden, blocks, epochs, batch, lr
        self.steps, self.latent_lr, self.cells, self.random_state = steps, latent_lr, cells, random_state
        self.device = device
        with torch.random.fork_rng([]):
            torch.manual_seed(random_state)
            self.field_ = Field(hidden=hidden, blocks=blocks).to(device or "cpu")
            self.centre_ = torch.zeros(self.field_.latent, device=device or "cpu")

    def fit(self, events: Events, progress: Callable[[int, int, str], None] | None = None) -> PPADParity:
        """Decoder and a table of latents by Adam on the paper's loss; returns self.

        Raises ``ValueError`` where no source was observed for eight hours.
        """
        table = torch.nn.Parameter(self._table(eight_hours(events, self.random_state)))
        groups: list[dict[str, Any]] = [
            {"params": list(self.field_.parameters())},
            {"params": [table], "lr": 10 * self.lr},
        ]
        optimizer = torch.optim.Adam(groups, lr=self.lr)
        slower = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=50)
        rng = np.random.default_rng(self.random_state)
        for epoch in range(self.epochs):
            data = eight_hours(events, self.random_state + epoch)
            order, losses = rng.permutation(len(table)), []
            for low in range(0, len(order), self.batch):
                some = order[low : low + self.batch]
                loss = parity_loss(self.field_, table[some], **data.tensors(some, table.device), cells=self.cells)
                optimizer.zero_grad()
                loss["loss"].backward()
                torch.nn.utils.clip_grad_norm_([*self.field_.parameters(), table], 10.0)
                optimizer.step()
                losses.append(float(loss["loss"].detach()))
            slower.step(float(np.mean(losses)))
            if progress:
                progress(epoch + 1, self.epochs, f"loss {np.mean(losses):.4g}")
        self.centre_ = table.detach().mean(dim=0)
        return self

    def _table(self, data: EightHours) -> Tensor:
        if not len(data.rows):
            raise ValueError("no source has two events over eight hours or more; ppad takes any good time interval")
        with torch.random.fork_rng([]):
            torch.manual_seed(self.random_state)
            return torch.randn(len(data.rows), self.field_.latent).to(self.device or "cpu")

    def encode(self, events: Events) -> np.ndarray:
        """(n, 8) float32 latents; NaN for a source that :func:`eight_hours` leaves out."""
        data = eight_hours(events)
        out = np.full((len(events), self.field_.latent), np.nan, dtype=np.float32)
        self.field_.requires_grad_(False)
        for low in range(0, len(data.rows), self.batch):
            some = slice(low, low + self.batch)
            z = torch.nn.Parameter(self.centre_.repeat(len(data.rows[some]), 1))
            optimizer = torch.optim.Adam([z], lr=self.latent_lr)
            given = data.tensors(some, z.device)
            for _ in range(self.steps):
                loss = parity_loss(self.field_, z, **given, cells=self.cells)["loss"]
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            out[data.rows[some]] = z.detach().numpy(force=True)
        self.field_.requires_grad_(True)
        return out

    def rate(self, latents: np.ndarray, times: np.ndarray) -> np.ndarray:
        """(n, m, 3) counts / s at ``times`` (m,) s after the first event, 28,800 s at most."""
        at = torch.from_numpy((np.asarray(times) / HOURS_8).astype(np.float32)).to(self.centre_.device)
        with torch.no_grad():
            z = torch.from_numpy(np.asarray(latents, np.float32)).to(at.device)
            return (self.field_(z, at.expand(len(z), -1)).exp() / HOURS_8).numpy(force=True)
