"""GalSpecNet: the convolutional network that classifies spectra (Wu et al. 2024, MNRAS 527, 1163; P1.5)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from torch import Tensor, nn


class GalSpecNet(nn.Module):
    """Spectra (b, samples) to logits (b, classes): four convolutions, then a perceptron.

    Parameters
    ----------
    samples : length of a spectrum; 2,575 in the paper, which leaves 32 x 37 = 1,184 features.
    channels : 64, 64, 32, 32 in the paper; kernels of 3, each but the last followed by a maximum over 4.
    hidden : widths of the perceptron.
    """

    def __init__(
        self,
        samples: int = 2575,
        classes: int = 3,
        channels: Sequence[int] = (64, 64, 32, 32),
        hidden: Sequence[int] = (64, 32),
        dropout: float = 0.5,
    ):
        super().__init__()
        self.samples = samples
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((1, *channels[:-1]), channels, strict=True)):
            layers += [nn.Conv1d(before, after, 3), nn.ReLU()]
            layers += [nn.MaxPool1d(4)] if i < len(channels) - 1 else []
        self.features = nn.Sequential(*layers)
        self.width = channels[-1] * flat_length(samples, len(channels))
        widths = [self.width, *hidden]
        steps: list[nn.Module] = [nn.Dropout(dropout)]
        for before, after in itertools.pairwise(widths):
            steps += [nn.Linear(before, after), nn.ReLU()]
        self.classifier = nn.Sequential(*steps, nn.Linear(widths[-1], classes))

    def forward(self, flux: Tensor) -> Tensor:
        return self.classifier(self._flat(flux))

    def vectors(self, flux: Tensor) -> Tensor:
        """(b, hidden[-1]): what the last layer sees."""
        return self.classifier[:-1](self._flat(flux))

    def _flat(self, flux: Tensor) -> Tensor:
        if flux.shape[1] != self.samples:
            raise ValueError(f"this GalSpecNet reads spectra of {self.samples} samples, not of {flux.shape[1]}")
        return self.features(flux[:, None]).flatten(1)


def flat_length(samples: int, convolutions: int = 4) -> int:
    """Positions left after the convolutions: 37 of 2,575 samples, 118 of 7,781."""
    left = samples
    for i in range(convolutions):
        left = (left - 2) // 4 if i < convolutions - 1 else left - 2
    if left < 1:
        raise ValueError(f"a spectrum of {samples} samples is too short for {convolutions} convolutions")
    return left
