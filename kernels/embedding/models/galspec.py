"""GalSpecEncoder: a transformer over overlapping patches of a spectrum, trained by hiding parts of it (P1.2, P1.10).

The paper hides 25 % of the patches at random. Patches of 15 samples overlap by 10, so nearly every hidden sample is
still seen in a neighbour: that is ``how="parity"``. By default (``"correct"``) whole stretches of the spectrum are
hidden, with every patch that touches them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kernels.embedding.blocks import LearnedPositions, Transformer, mean_pool, windows

MASKING = ("correct", "parity")


class GalSpecEncoder(nn.Module):
    """Spectra (b, samples) to tokens (b, N, dim), one for each patch: N = (samples - patch) // (patch - overlap) + 1.

    Parameters
    ----------
    samples, patch, overlap : 3,688, 15 and 10 in the paper: 735 patches.
    dim, depth, heads : 768, 6 and 6 in the paper.
    hybrid : add what convolutions over the whole spectrum say of each patch (P1.10): see :class:`ConvStem`.
    channels : width of that stem.
    """

    def __init__(
        self,
        samples: int = 3688,
        patch: int = 15,
        overlap: int = 10,
        dim: int = 768,
        depth: int = 6,
        heads: int = 6,
        hybrid: bool = False,
        channels: int = 32,
        dropout: float = 0.0,
    ):
        super().__init__()
        if not 0 <= overlap < patch <= samples:
            raise ValueError(f"samples={samples}, patch={patch}, overlap={overlap}: 0 <= overlap < patch <= samples")
        self.samples, self.patch, self.overlap, self.step = samples, patch, overlap, patch - overlap
        self.count = (samples - patch) // self.step + 1
        self.embed = nn.Linear(patch, dim)
        self.positions = LearnedPositions(self.count, dim)
        self.hidden_token = nn.Parameter(torch.randn(dim) * 0.02)
        self.stem = ConvStem(patch, self.step, channels, dim) if hybrid else None
        self.transformer = Transformer(dim, depth, heads, dropout=dropout)
        self.head = nn.Linear(dim, patch)

    def forward(self, flux: Tensor, valid: Tensor | None = None, masked: Tensor | None = None) -> Tensor:
        """Tokens (b, N, dim) of ``flux`` (b, samples) float.

        valid : (b, samples) bool, False where there are no data; those samples count as 0, and a patch without any is
            attended to by none. masked : (b, N) bool, patches that are replaced by the hidden token.
        """
        if flux.shape[1] != self.samples:
            raise ValueError(f"this GalSpecEncoder reads spectra of {self.samples} samples, not of {flux.shape[1]}")
        if valid is not None:
            flux = torch.where(valid, flux, torch.zeros_like(flux))
        tokens = self.embed(windows(flux, self.patch, self.step))
        if masked is not None:
            tokens = torch.where(masked[..., None], self.hidden_token.to(tokens.dtype), tokens)
        if self.stem is not None:
            gone = None if masked is None else hidden_samples(masked, self.samples, self.patch, self.overlap)
            tokens = tokens + self.stem(flux, valid, gone)
        return self.transformer(self.positions(tokens), self.kept(valid))

    def kept(self, valid: Tensor | None) -> Tensor | None:
        """(b, N) bool: patches with at least one valid sample; all of them for a spectrum that has none."""
        if valid is None:
            return None
        some = windows(valid.float(), self.patch, self.step).amax(dim=2) > 0
        return some | ~some.any(dim=1, keepdim=True)

    def vectors(self, flux: Tensor, valid: Tensor | None = None) -> Tensor:
        """(b, dim): the mean of the tokens of patches that have data."""
        return mean_pool(self(flux, valid), self.kept(valid))

    def reconstruct(self, flux: Tensor, valid: Tensor | None = None, masked: Tensor | None = None) -> Tensor:
        """(b, N, patch): the samples of every patch, as predicted from what is shown."""
        return self.head(self(flux, valid, masked))

    def spectrum(self, flux: Tensor, valid: Tensor | None = None, masked: Tensor | None = None) -> Tensor:
        """(b, samples): :meth:`reconstruct` with overlapping patches averaged; NaN in samples that are in no patch."""
        return merge(self.reconstruct(flux, valid, masked), self.samples, self.overlap)

    def loss(self, flux: Tensor, masked: Tensor, weight: Tensor | None = None, how: str = "correct") -> Tensor:
        """Mean squared error over what was hidden: a scalar.

        weight : (b, samples), 0 where there are no data (those are not shown either); an inverse variance, or 1.
        how : ``"correct"`` counts samples that no visible patch holds, ``"parity"`` all samples of the masked patches.
        """
        _check_how(how)
        valid = None if weight is None else weight > 0
        error = (self.reconstruct(flux, valid, masked) - windows(flux, self.patch, self.step)) ** 2
        if how == "parity":
            count = masked[..., None].expand_as(error).to(error.dtype)
        else:
            gone = hidden_samples(masked, self.samples, self.patch, self.overlap)
            count = windows(gone.to(error.dtype), self.patch, self.step)
        if weight is not None:
            count = count * windows(weight.to(error.dtype), self.patch, self.step)
            error = torch.where(count > 0, error, torch.zeros_like(error))
        return (error * count).sum() / count.sum().clamp(min=1e-6)


class ConvStem(nn.Module):
    """What residual convolutions say of each patch: (b, samples) to (b, N, dim).

    Hidden samples and samples without data are 0 in the first channel and 0 in the second, which is 1 elsewhere: the
    convolutions never see what is to be predicted.
    """

    def __init__(self, patch: int, step: int, channels: int, dim: int):
        super().__init__()
        self.patch, self.step = patch, step
        self.first = nn.Conv1d(2, channels, 7, padding=3)
        self.wide = nn.ModuleList(nn.Conv1d(channels, channels, 5, padding=2 * d, dilation=d) for d in (1, 4))
        self.out = nn.Conv1d(channels, dim, patch, stride=step)

    def forward(self, flux: Tensor, valid: Tensor | None = None, hidden: Tensor | None = None) -> Tensor:
        shown = torch.ones_like(flux) if valid is None else valid.to(flux.dtype)
        if hidden is not None:
            shown = shown * ~hidden
        x = nn.functional.gelu(self.first(torch.stack([flux * shown, shown], dim=1)))
        for layer in self.wide:
            x = x + nn.functional.gelu(layer(x))
        return self.out(x).transpose(1, 2)


def hidden_samples(masked: Tensor, samples: int, patch: int, overlap: int) -> Tensor:
    """(b, samples) bool: samples that only masked patches hold; samples in no patch are not hidden."""
    seen = _cover(~masked, samples, patch, patch - overlap)
    held = _cover(torch.ones_like(masked), samples, patch, patch - overlap)
    return held & ~seen


def _cover(patches: Tensor, samples: int, patch: int, step: int) -> Tensor:
    """(b, samples) bool: samples inside at least one of the chosen patches."""
    kernel = torch.ones(1, 1, patch, device=patches.device)
    touched = nn.functional.conv_transpose1d(patches.float()[:, None], kernel, stride=step)[:, 0] > 0.5
    return nn.functional.pad(touched, (0, samples - touched.shape[1]))


def merge(patches: Tensor, samples: int, overlap: int) -> Tensor:
    """(b, samples) from (b, N, patch): the mean where patches overlap, NaN where there is none."""
    b, n, patch = patches.shape
    at = (torch.arange(n) * (patch - overlap))[:, None] + torch.arange(patch)
    index = at.reshape(-1).to(patches.device)
    total = patches.new_zeros(b, samples).index_add(1, index, patches.reshape(b, -1))
    return total / patches.new_zeros(samples).index_add(0, index, patches.new_ones(len(index)))


def mask_patches(
    n: int,
    samples: int,
    patch: int = 15,
    overlap: int = 10,
    how: str = "correct",
    share: float = 0.25,
    span: int = 60,
    generator: torch.Generator | None = None,
) -> Tensor:
    """(n, N) bool: which patches to hide, about ``share`` of them.

    ``"parity"``: exactly ``share`` of the patches, at random (P1.2). ``"correct"``: stretches of ``span`` samples at
    random places until ``share`` of the patches touch one.
    """
    _check_how(how)
    if not 0 < share < 1:
        raise ValueError(f"share={share}: the share of hidden patches lies between 0 and 1")
    step = patch - overlap
    count = (samples - patch) // step + 1
    wanted = max(1, round(share * count))
    order = torch.rand(n, count, generator=generator)
    if how == "parity":
        return order.argsort(dim=1).argsort(dim=1) < wanted
    starts = torch.arange(count) * step
    masked = torch.zeros(n, count, dtype=torch.bool)
    for _ in range(count):
        short = masked.sum(dim=1) < wanted
        if not short.any():
            break
        begin = torch.rand(n, 1, generator=generator) * max(1, samples - span)
        touched = (starts + patch > begin) & (starts < begin + span)
        masked |= touched & short[:, None]
    return masked


def _check_how(how: str) -> None:
    if how not in MASKING:
        raise ValueError(f"masking {how!r} is unknown: there are {', '.join(MASKING)}")
