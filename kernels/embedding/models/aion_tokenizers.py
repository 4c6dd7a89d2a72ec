"""AION's tokenizers: images, spectra and scalars to ids, and back; names and numbers of the published ones.

An image is cut to 96 pixels, brought to nanomaggies and a logarithm-like scale, spread over nine bands of two surveys,
and coded by convolutions into 24 x 24 tokens of 4,375 values (finite scalar quantisation, arXiv 2309.15505). A spectrum
is interpolated to 8,704 pixels of 0.8 Å from 3,500 Å and coded into 272 tokens of 10 bits (lookup-free quantisation,
arXiv 2310.05737) after one for its level. Bands are named as in ``BANDS``; wavelengths are in Å.

Unlike the public package, nothing here changes what it is given, and an image below 96 pixels is an error, not an image
of fewer tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kernels.embedding.models._aion_parts import ConvNextDecoder, ConvNextEncoder, MagVit
from kernels.embedding.models._quantizers import Bins, Bits, FiniteScalar, Grid, Quantiles

BANDS = {
    "HSC-G": 80.0, "HSC-R": 110.0, "HSC-I": 200.0, "HSC-Z": 330.0, "HSC-Y": 500.0,
    "DES-G": 6.0, "DES-R": 15.0, "DES-I": 20.0, "DES-Z": 25.0,
}  # fmt: skip
"""The nine bands in their order, and the largest flux of a pixel, in units of zero point 27 (HSC) or 22.5 (DES)."""
CROP = 96
HSC_SCALE = 10 ** ((27.0 - 22.5) / 2.5)
"""Counts at HSC's zero point of 27 in a nanomaggy."""


class ImageTokenizer(nn.Module):
    """Images (b, bands, h, w), h and w at least 96, to ids (b, 576), and back.

    Parameters
    ----------
    levels : of the five quantised channels; 7, 5, 5, 5, 5 as published, 4,375 codes.
    hidden, projection, stages, units : 512, 54, 2 and 4 as published.
    """

    def __init__(
        self,
        levels: Sequence[int] = (7, 5, 5, 5, 5),
        hidden: int = 512,
        projection: int = 54,
        stages: int = 2,
        units: int = 4,
        squash: float = 0.01,
        factor: float = 10.0,
    ):
        super().__init__()
        self.squash, self.factor = squash, factor
        self._quantizer = FiniteScalar(levels)
        self.subsample_in = nn.Linear(len(BANDS), projection)
        self.subsample_out = nn.Linear(projection, len(BANDS))
        self.pre_quant_proj = nn.Conv2d(hidden, len(levels), 1)
        self.post_quant_proj = nn.Conv2d(len(levels), hidden, 1)
        self.model = MagVit(projection, hidden, stages, units)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> ImageTokenizer:
        """The tokenizer that a published ``codecs/image/config.json`` describes."""
        if config.get("embedding_dim", len(config["quantizer_levels"])) != len(config["quantizer_levels"]):
            raise ValueError(f"embedding_dim {config['embedding_dim']} is not the number of quantizer_levels")
        return cls(
            config["quantizer_levels"], config.get("hidden_dims", 512), config.get("multisurvey_projection_dims", 54),
            config.get("n_compressions", 2), config.get("num_consecutive", 4),
            config.get("range_compression_factor", 0.01), config.get("mult_factor", 10.0),
        )  # fmt: skip

    def prepare(self, pixels: Tensor, bands: Sequence[str]) -> tuple[Tensor, Tensor]:
        """(b, 9, 96, 96) compressed nanomaggies with zeros in bands that are not there, and (9,) bool which are.

        ``pixels`` are in units of the survey's zero point (HSC 27, DES and Legacy 22.5); NaN counts as 0.
        """
        check_bands(pixels, bands)
        height, width = pixels.shape[2:]
        top, left = (height - CROP) // 2, (width - CROP) // 2
        cut = torch.nan_to_num(pixels[:, :, top : top + CROP, left : left + CROP], 0.0, 0.0, 0.0)
        most = torch.tensor([BANDS[b] for b in bands], dtype=cut.dtype, device=cut.device)[:, None, None]
        cut = cut.clamp(-most, most)
        if bands[0].startswith("HSC"):
            cut = cut / HSC_SCALE
        cut = torch.arcsinh(cut / self.squash) * self.squash * self.factor
        order = list(BANDS)
        at = [order.index(b) for b in bands]
        padded = cut.new_zeros(len(cut), len(BANDS), CROP, CROP)
        padded[:, at] = cut
        present = torch.zeros(len(BANDS), dtype=torch.bool, device=cut.device)
        present[at] = True
        return padded, present

    def latent(self, pixels: Tensor, bands: Sequence[str]) -> Tensor:
        """(b, channels, 24, 24) before quantisation."""
        padded, present = self.prepare(pixels, bands)
        scale = math.sqrt(len(BANDS) / int(present.sum()))
        spread = scale * self.subsample_in(padded.movedim(1, -1)).movedim(-1, 1)
        return self.pre_quant_proj(self.model.encode(spread))

    def encode(self, pixels: Tensor, bands: Sequence[str]) -> Tensor:
        """(b, 576) int64 ids, in raster order."""
        return self._quantizer.ids(self.latent(pixels, bands).flatten(2))

    def decode(self, ids: Tensor, bands: Sequence[str]) -> Tensor:
        """(b, bands, 96, 96) pixels in the survey's own units, from (b, 576) ids."""
        side = math.isqrt(ids.shape[1])
        return self._pixels(self._quantizer.values(ids).unflatten(2, (side, side)), bands)

    def through(self, pixels: Tensor, bands: Sequence[str]) -> Tensor:
        """:meth:`decode` of :meth:`encode`, with gradients: the quantiser rounds and lets gradients pass (P0.5)."""
        return self._pixels(self._quantizer.round(self.latent(pixels, bands)), bands)

    def _pixels(self, latent: Tensor, bands: Sequence[str]) -> Tensor:
        out = self.subsample_out(self.model.decode(self.post_quant_proj(latent)).movedim(1, -1)).movedim(-1, 1)
        order = list(BANDS)
        picked = out[:, [order.index(b) for b in bands]]
        flux = torch.sinh(picked / self.factor / self.squash) * self.squash
        return flux * HSC_SCALE if bands[0].startswith("HSC") else flux


def check_bands(pixels: Tensor, bands: Sequence[str]) -> None:
    """Raise ValueError unless these are bands of AION, one for each channel, of one survey, on 96 pixels or more."""
    unknown = [b for b in bands if b not in BANDS]
    if unknown or not bands:
        raise ValueError(
            f"AION knows no band {', '.join(unknown) or '(none given)'}: it reads {', '.join(BANDS)}. Images of "
            "another instrument need an adapter trained for it (kernels/embedding/models/euclid_adapter.py)"
        )
    if len({b.split("-")[0] for b in bands}) > 1 or len(set(bands)) < len(bands):
        raise ValueError(
            f"bands {', '.join(bands)} are of two surveys, or one is named twice: give one survey's, each once"
        )
    if pixels.ndim != 4 or pixels.shape[1] != len(bands):
        raise ValueError(f"images of shape {tuple(pixels.shape)} have not the {len(bands)} bands {', '.join(bands)}")
    if min(pixels.shape[2:]) < CROP:
        raise ValueError(
            f"AION's image tokenizer reads {CROP} x {CROP} pixels, and these images have {pixels.shape[2]} x "
            f"{pixels.shape[3]}: cut larger ones, or pad them first"
        )


class SpectrumTokenizer(nn.Module):
    """Spectra to ids (b, 273): one of the level, then 272 of the shape; and back.

    Parameters
    ----------
    depths, widths : blocks and channels of the four stages; the last width is the latent one.
    back_depths, back_widths : of the decoder.
    codes : values of a token, a power of two; also bins of the level.
    """

    def __init__(
        self,
        depths: Sequence[int] = (3, 3, 9, 3),
        widths: Sequence[int] = (96, 192, 384, 512),
        back_depths: Sequence[int] = (3, 3, 9, 3),
        back_widths: Sequence[int] = (384, 192, 96, 2),
        start: float = 3500.0,
        step: float = 0.8,
        pixels: int = 8704,
        clip_ivar: float | None = 100.0,
        clip_flux: float | None = None,
        scaling: float = 0.2,
        level: tuple[float, float] = (-1.0, 5.0),
        codes: int = 1024,
    ):
        super().__init__()
        self.clip_ivar, self.clip_flux, self.scaling = clip_ivar, clip_flux, scaling
        bits = int(math.log2(codes))
        self.encoder = ConvNextEncoder(2, depths, widths)
        self.decoder = ConvNextDecoder(widths[-1], back_depths, back_widths)
        self.normalization_quantizer = Bins(codes, level)
        self._quantizer = nn.Module()
        self._quantizer._quantizer = Bits(bits)
        self.latent_grid = Grid(start, step, pixels)
        self.pre_quant_norm = nn.LayerNorm(widths[-1])
        self.quant_conv = nn.Conv1d(widths[-1], bits, 1)
        self.post_quant_conv = nn.Conv1d(bits, widths[-1], 1)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> SpectrumTokenizer:
        """The tokenizer that a published ``codecs/spectrum/config.json`` describes."""
        names = {
            "encoder_depths": "depths", "encoder_dims": "widths", "decoder_depths": "back_depths",
            "decoder_dims": "back_widths", "lambda_min": "start", "resolution": "step", "num_pixels": "pixels",
            "clip_ivar": "clip_ivar", "clip_flux": "clip_flux", "input_scaling": "scaling",
            "normalization_range": "level", "codebook_size": "codes",
        }  # fmt: skip
        return cls(**{ours: config[theirs] for theirs, ours in names.items() if theirs in config})

    @property
    def grid(self) -> Tensor:
        """(pixels,) Å of the latent grid."""
        return self.latent_grid._wavelength[0]  # type: ignore[index, return-value]

    def encode(
        self, wavelength: Tensor, flux: Tensor, ivar: Tensor, mask: Tensor | None = None, trim: bool = False
    ) -> Tensor:
        """(b, 273) int64 ids of spectra (b, m) on ``wavelength`` (m,) or (b, m) Å; ``mask`` True where bad.

        Without a mask, pixels of ivar 0 are bad. Values that are not finite count as 0. ``trim`` takes the bad pixels
        at both ends as being outside of the spectrum, as where many spectra share a grid that is longer than each.
        """
        check_wavelength(wavelength, self.grid)
        bad = (ivar <= 0) | ~torch.isfinite(ivar) | ~torch.isfinite(flux) if mask is None else mask
        flux, ivar = torch.nan_to_num(flux), torch.nan_to_num(ivar)
        flux = flux if self.clip_flux is None else flux.clamp(-self.clip_flux, self.clip_flux)
        ivar = ivar if self.clip_ivar is None else ivar.clamp(0, self.clip_ivar)
        level = (flux * ~bad).sum(dim=1) / ((~bad).sum(dim=1) + 1.0)
        token = self.normalization_quantizer.ids(torch.log10(level.clamp(min=0.1) + 1.0))
        n = self._unit(token)
        scaled = torch.stack([(flux / n - 1.0) * self.scaling, ivar.clamp(min=0).sqrt() / n * self.scaling], dim=1)
        x = torch.arcsinh(interpolate(wavelength, scaled, self.grid))
        if trim:
            x = x * self._covered(wavelength, ~bad)[:, None]
        h = self.pre_quant_norm(self.encoder(x).movedim(1, -1)).movedim(-1, 1)
        ids = self._quantizer._quantizer.ids(self.quant_conv(h))  # type: ignore[operator, union-attr]
        return torch.cat([token[:, None], ids], dim=1)

    def _covered(self, wavelength: Tensor, good: Tensor) -> Tensor:
        """(b, pixels) bool: the grid between the first and the last good sample of each spectrum."""
        wave = wavelength.expand(len(good), -1)
        first = torch.where(good, wave, torch.inf).amin(dim=1, keepdim=True)
        last = torch.where(good, wave, -torch.inf).amax(dim=1, keepdim=True)
        return (self.grid >= first) & (self.grid <= last)

    def decode(self, ids: Tensor) -> Tensor:
        """(b, pixels) flux on :attr:`grid` from (b, 273) ids."""
        bits = self._quantizer._quantizer.values(ids[:, 1:])  # type: ignore[operator, union-attr]
        return (self.decoder(self.post_quant_conv(bits))[:, 0] + 1.0) * self._unit(ids[:, 0])

    def _unit(self, token: Tensor) -> Tensor:
        return (10 ** self.normalization_quantizer.values(token)[:, None] - 1.0).clamp(min=0.1)


def check_wavelength(wavelength: Tensor, grid: Tensor) -> None:
    """Raise ValueError unless wavelengths (m,) or (b, m) ascend strictly, are in Å, and meet the grid."""
    flat = wavelength[None] if wavelength.ndim == 1 else wavelength
    if not torch.isfinite(flat).all() or not (flat.diff(dim=1) > 0).all():
        raise ValueError(
            "wavelengths do not ascend strictly (descending, repeated or padded with zeros): sort them, and cut padding"
        )
    low, high = float(flat.min()), float(flat.max())
    if high < 2500:
        unit = "µm" if high < 100 else "nm"
        raise ValueError(f"wavelengths from {low:.5g} to {high:.5g} look like {unit}: give Å")
    if high < float(grid[0]) or low > float(grid[-1]):
        raise ValueError(
            f"wavelengths from {low:.0f} to {high:.0f} Å lie outside the grid of "
            f"{float(grid[0]):.0f} to {float(grid[-1]):.0f} Å"
        )


def interpolate(wavelength: Tensor, values: Tensor, grid: Tensor) -> Tensor:
    """(b, c, m) values at wavelengths (m,) or (b, m) to (b, c, g) on the grid (g,), linearly; 0 outside."""
    x = wavelength.expand(len(values), -1).contiguous() if wavelength.ndim == 1 else wavelength.contiguous()
    new = grid.to(x.dtype).expand(len(x), -1).contiguous()
    left = (torch.searchsorted(x, new) - 1).clamp(0, x.shape[1] - 2)
    x0, x1 = x.gather(1, left), x.gather(1, left + 1)
    at = left[:, None].expand(-1, values.shape[1], -1)
    y0, y1 = values.gather(2, at), values.gather(2, at + 1)
    slope = (y0 - y1) / (x0 - x1)[:, None]
    inside = (new >= x[:, :1]) & (new <= x[:, -1:])
    return torch.where(inside[:, None], y0 + (new - x0)[:, None] * slope, torch.zeros_like(y0)).to(values.dtype)


class ScalarTokenizer(nn.Module):
    """Numbers (b,) to ids (b, 1) by bins of equal population, or of equal width for the redshift.

    Parameters
    ----------
    codes : bins. how : ``"reservoir"`` bins from quantiles of a sample, ``"log"`` those of its natural logarithm,
        ``"grid"`` 0 to 1 in equal steps. lowest : of the logarithm.
    """

    def __init__(self, codes: int = 1024, how: str = "reservoir", lowest: float = -3.0, reservoir: int = 0):
        super().__init__()
        if how not in ("reservoir", "log", "grid"):
            raise ValueError(f"how={how!r} is unknown: there are reservoir, log, grid")
        self.how, self.lowest = how, lowest
        self._quantizer: nn.Module = Bins(codes, (0.0, 1.0)) if how == "grid" else Quantiles(codes, reservoir)

    def fit(self, values: Tensor) -> ScalarTokenizer:
        """Bins from a sample of values; returns self."""
        assert isinstance(self._quantizer, Quantiles), "a grid needs no sample"
        self._quantizer.fit(self._scaled(values))
        return self

    def _scaled(self, values: Tensor) -> Tensor:
        return values.clamp(min=math.exp(self.lowest)).log() if self.how == "log" else values

    def encode(self, values: Tensor) -> Tensor:
        return self._quantizer.ids(self._scaled(values))[:, None]  # type: ignore[operator]

    def decode(self, ids: Tensor) -> Tensor:
        values = self._quantizer.values(ids[:, 0])  # type: ignore[operator]
        return values.exp() if self.how == "log" else values
