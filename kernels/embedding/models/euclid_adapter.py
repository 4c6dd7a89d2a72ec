"""Euclid's bands to those that AION's image tokenizer knows, and back: two small U-Nets around it (P0.5).

The tokenizer between them is frozen; its rounding lets gradients pass (straight through), so that the adapters learn
what the tokenizer can carry: the loss is the error of the Euclid images that come out at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EUCLID_BANDS = ("VIS", "Y", "J", "H")
EUCLID_UNIT = (2835.34, 1916.10, 1370.25, 918.35)
"""Counts to nanomaggies-like units: x ZP / 3631 for VIS, Y, J, H (P0.1)."""
CLAMP = 100.0


class UNet(nn.Module):
    """Images (b, bands, h, w) to (b, bands out, h, w); h and w are multiples of 4.

    Two halvings, ``hidden`` channels before them, twice and four times as many after; bilinear doublings with the
    halves' own images beside; a 1 x 1 convolution at the end.
    """

    def __init__(self, inputs: int, outputs: int, hidden: int = 16):
        super().__init__()
        self.start = _pair(inputs, hidden)
        self.down1, self.down2 = _pair(hidden, 2 * hidden), _pair(2 * hidden, 4 * hidden)
        self.half1, self.half2 = nn.Conv2d(4 * hidden, 2 * hidden, 1), nn.Conv2d(2 * hidden, hidden, 1)
        self.up1, self.up2 = _pair(4 * hidden, 2 * hidden, 2 * hidden), _pair(2 * hidden, hidden, hidden)
        self.out = nn.Conv2d(hidden, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] % 4 or x.shape[3] % 4:
            raise ValueError(f"the adapter halves twice: {x.shape[2]} x {x.shape[3]} pixels do not divide by 4")
        a = self.start(x)
        b = self.down1(F.max_pool2d(a, 2))
        c = self.down2(F.max_pool2d(b, 2))
        b = self.up1(torch.cat([b, self.half1(_double(c))], dim=1))
        a = self.up2(torch.cat([a, self.half2(_double(b))], dim=1))
        return self.out(a)


class EuclidAdapter(nn.Module):
    """Euclid images (b, 4, h, w) to the bands of a tokenizer, through it, and back.

    Parameters
    ----------
    inputs, bands : bands of the images, and of what the tokenizer reads (HSC's five).
    hidden : channels of the U-Nets; 16 in the paper's code.
    """

    def __init__(self, inputs: int = 4, bands: int = 5, hidden: int = 16):
        super().__init__()
        self.inputs = inputs
        self.there = UNet(inputs, bands, hidden)
        self.back = UNet(bands, inputs, hidden)

    def forward(self, images: Tensor) -> Tensor:
        """(b, bands, h, w): what the tokenizer is to read."""
        if images.shape[1] != self.inputs:
            raise ValueError(f"the adapter reads {self.inputs} bands, not {images.shape[1]}")
        return self.there(torch.nan_to_num(images, 0.0, 0.0, 0.0).clamp(-CLAMP, CLAMP))

    def reconstruct(self, images: Tensor, tokenizer: Callable[[Tensor], Tensor], straight: bool = True) -> Tensor:
        """(b, inputs, h, w) from the images by way of ``tokenizer``, which takes and gives (b, bands, h, w).

        straight : take the tokenizer's gradient as that of the identity; False uses its own, where it has one.
        """
        middle = self(images)
        if straight:
            with torch.no_grad():
                coded = tokenizer(middle)
            coded = middle + (coded - middle).detach()
        else:
            coded = tokenizer(middle)
        return self.back(coded)

    def loss(self, images: Tensor, tokenizer: Callable[[Tensor], Tensor], straight: bool = True) -> Tensor:
        """Mean squared error of the reconstruction: a scalar. Raises FloatingPointError where it is not finite."""
        target = torch.nan_to_num(images, 0.0, 0.0, 0.0).clamp(-CLAMP, CLAMP)
        loss = F.mse_loss(self.reconstruct(images, tokenizer, straight), target)
        if not torch.isfinite(loss):
            raise FloatingPointError("the adapter's loss is not finite: look at the images' units, or lower the rate")
        return loss


def to_nanomaggies(pixels: Tensor, unit: Sequence[float] = EUCLID_UNIT) -> Tensor:
    """(b, bands, h, w) counts to x ZP / 3631, with 0 where there is no finite value (P0.1)."""
    if pixels.shape[1] != len(unit):
        raise ValueError(f"{pixels.shape[1]} bands and {len(unit)} zero points: Euclid's are VIS, Y, J, H")
    return torch.nan_to_num(pixels, 0.0, 0.0, 0.0) * (pixels.new_tensor(unit) / 3631)[:, None, None]


def _pair(before: int, after: int, middle: int | None = None) -> nn.Sequential:
    """Twice a 3 x 3 convolution, batch normalisation and ReLU."""
    steps: list[nn.Module] = []
    for a, b in ((before, middle or after), (middle or after, after)):
        steps += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU()]
    return nn.Sequential(*steps)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
