"""The two projectors of AION-Search: frozen image vectors and text vectors into one space (P4.2; keys as published)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Projector(nn.Module):
    """Vectors (b, inputs) to unit vectors (b, outputs): a linear map, residual blocks, a linear map.

    ``normalise_input`` brings the input to unit length first (the image side does, the text side does not).
    """

    def __init__(
        self,
        inputs: int,
        width: int,
        outputs: int = 1024,
        depth: int = 4,
        normalise_input: bool = False,
        dropout: float = 0.1,
    ):
        super().__init__()
        self.normalise_input = normalise_input
        self.fc_in = nn.Linear(inputs, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, width))
            for _ in range(depth)
        )
        self.fc_out = nn.Linear(width, outputs)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        if self.normalise_input:
            x = F.normalize(x, dim=-1, eps=1e-6)
        x = self.fc_in(x)
        for block in self.blocks:
            x = x + block(x)
        return F.normalize(self.fc_out(x), dim=-1, eps=1e-3)


class AionSearch(nn.Module):
    """Both projectors and the learned scale of their products, ln(1 / 0.07) at the start.

    Parameters
    ----------
    image, text : sizes of the vectors given; 768 (AION base) and 3,072 as published.
    width : inner width of the text side; the image side is as wide as its input.
    """

    def __init__(self, image: int = 768, text: int = 3072, width: int = 1024, outputs: int = 1024, depth: int = 4):
        super().__init__()
        self.image_projector = Projector(image, image, outputs, depth, normalise_input=True)
        self.text_projector = Projector(text, width, outputs, depth)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, image: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        """(b, image) and (b, text) to their places (b, outputs) in the shared space."""
        return self.image_projector(image), self.text_projector(text)

    @property
    def scale(self) -> Tensor:
        """What products are multiplied with before the softmax, at most 100."""
        return self.logit_scale.exp().clamp(max=100.0)
