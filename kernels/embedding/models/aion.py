"""AION-1: tokens of images, spectra and scalars into one transformer (P0.3, P0.5, P0.6); the encoder half.

Written from a description of the public package and measured against it, with its names in the state dict. Where that
package is wrong, ``how="correct"`` is the default and ``how="parity"`` repeats it:

* it keeps the first 256 tokens and says nothing. An image alone has 576, so that an image with a spectrum gives the
  vector of the image. Here all tokens are read, and a budget that is too small is an error.

The tokenizers are in :mod:`kernels.embedding.models.aion_tokenizers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from kernels.embedding.blocks import Block, LayerNorm, grid_positions, sincos

HOW = ("correct", "parity")
PUBLISHED_BUDGET = 256
"""Tokens that the public package keeps unless it is told otherwise."""

_SCALARS = [
    "tok_mag_g", "tok_mag_r", "tok_mag_i", "tok_mag_z", "tok_mag_y", "tok_a_g", "tok_a_r", "tok_a_i", "tok_a_z",
    "tok_a_y", "tok_shape11", "tok_shape12", "tok_shape22", "tok_ebv", "tok_flux_g", "tok_flux_r", "tok_flux_i",
    "tok_flux_z", "tok_flux_w1", "tok_flux_w2", "tok_flux_w3", "tok_flux_w4", "tok_shape_r", "tok_shape_e1",
    "tok_shape_e2", "tok_flux_g_gaia", "tok_flux_bp_gaia", "tok_flux_rp_gaia", "tok_parallax", "tok_ra", "tok_dec",
]  # fmt: skip
TOKENS: dict[str, tuple[int, tuple[int, int]]] = {
    "tok_image": (4375, (24, 24)), "tok_image_hsc": (4375, (24, 24)), "tok_segmap": (1000, (12, 12)),
    "tok_spectrum_desi": (1024, (273, 1)), "tok_spectrum_sdss": (1024, (273, 1)),
    "tok_xp_bp": (1024, (55, 1)), "tok_xp_rp": (1024, (55, 1)), "tok_z": (1025, (1, 1)), "catalog": (3468, (512, 1)),
} | dict.fromkeys(_SCALARS, (1024, (1, 1)))  # fmt: skip
"""Kinds of tokens: vocabulary, and the grid (height, width) that they fill. ``catalog`` holds 50 of 512."""
SIZES = {"base": (12, 768, 12), "large": (24, 1024, 16), "xlarge": (24, 2048, 32)}
"""Published sizes: blocks, width, heads."""
DECODER = ("decoder.", "decoder_norm.", "decoder_embeddings.", "mask_token")
"""Names of the half that embeddings do not need."""


class TokenBudget(ValueError):
    """There are more tokens than the budget holds; what would be cut off is named."""


class TokenEmbedding(nn.Module):
    """Token ids (b, n) to vectors ``x`` and places ``where``, both (b, n, dim): the encoder reads their sum."""

    def __init__(self, vocabulary: int, grid: tuple[int, int], dim: int, sequence: bool = False):
        super().__init__()
        height, width = grid
        positions = sincos(torch.arange(height), dim) if sequence else sincos(grid_positions(width, height), dim)
        self.register_buffer("pos_emb", positions[None])
        self.mod_emb = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.token_emb = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.token_emb.weight, std=0.02)
        self.sequence = sequence

    def forward(self, ids: Tensor, name: str) -> tuple[Tensor, Tensor]:
        places = self.pos_emb.shape[1]
        if ids.ndim != 2 or not (ids.shape[1] <= places if self.sequence else ids.shape[1] == places):
            raise ValueError(f"{name}: tokens of shape {tuple(ids.shape)}, not (n, {places})")
        if ids.numel() and not 0 <= int(ids.min()) <= int(ids.max()) < self.token_emb.num_embeddings:
            raise ValueError(
                f"{name}: token {int(ids.max())} is outside the vocabulary of {self.token_emb.num_embeddings}: "
                "these are tokens of another tokenizer"
            )
        where = (self.pos_emb[:, : ids.shape[1]] + self.mod_emb).expand(len(ids), -1, -1)
        return self.token_emb(ids), where


class Aion(nn.Module):
    """The encoder: ``{kind: ids (b, n) int}`` to tokens (b, N, dim), N being all of them together.

    Parameters
    ----------
    kinds : names in :data:`TOKENS` that it can read, or a table like it.
    size : a name in :data:`SIZES`, or ``(blocks, width, heads)``.
    gated, bias, norm_bias, qk_norm, registers, activation, mlp_ratio : as in the published ``config.json``; SwiGLU
        without biases, queries and keys not normalised, no register tokens by default.
    """

    def __init__(
        self,
        kinds: Sequence[str] | Mapping[str, tuple[int, tuple[int, int]]] = ("tok_image", "tok_spectrum_desi"),
        size: str | tuple[int, int, int] = "base",
        gated: bool = True,
        bias: bool = False,
        norm_bias: bool = False,
        qk_norm: bool = False,
        registers: int = 0,
        activation: str = "silu",
        mlp_ratio: float = 4.0,
        projection_bias: bool | None = None,
    ):
        super().__init__()
        if isinstance(size, str):
            if size not in SIZES:
                raise ValueError(f"no AION of size {size!r}: there are {', '.join(SIZES)}")
            size = SIZES[size]
        depth, dim, heads = size
        table = dict(kinds) if isinstance(kinds, Mapping) else {k: _kind(k) for k in kinds}
        hidden = int(dim * mlp_ratio)
        hidden = int(2 * hidden / 3) if gated else hidden
        norm: Any = norm_bias or "buffer"
        self.dim = dim
        self.encoder_embeddings = nn.ModuleDict(
            {k: TokenEmbedding(vocabulary, grid, dim, k == "catalog") for k, (vocabulary, grid) in table.items()}
        )
        self.encoder = nn.ModuleList(
            Block(
                dim,
                heads,
                hidden,
                activation=activation,
                gated=gated,
                bias=bias,
                norm_bias=norm,
                eps=1e-6,
                qk_norm=qk_norm,
            )
            for _ in range(depth)
        )
        self.encoder_norm = LayerNorm(dim, 1e-6, norm)
        self.decoder_proj_context = nn.Linear(dim, dim)
        self.register_tokens = nn.Parameter(torch.randn(1, registers, dim) * 0.02) if registers else None

    @classmethod
    def from_config(cls, config: Mapping[str, Any], kinds: Sequence[str] | None = None) -> Aion:
        """The encoder that a published ``config.json`` describes, for all its kinds of tokens or only ``kinds``."""
        config = config.get("config", config)
        biases = {bool(config.get(k, False)) for k in ("qkv_bias", "proj_bias", "mlp_bias")}
        if len(biases) > 1:
            raise ValueError(f"this AION has biases in some of its linear maps only ({config}): it is not supported")
        names = [k for k in config["domains_in"] if kinds is None or k in kinds]
        unknown = [k for k in names if k not in TOKENS]
        if unknown:
            raise ValueError(f"this AION reads {', '.join(unknown)}, which are not known here: name the kinds to read")
        return cls(
            names,
            (int(config["encoder_depth"]), int(config["dim"]), int(config["num_heads"])),
            gated=bool(config.get("gated_mlp", False)),
            bias=biases.pop(),
            norm_bias=bool(config.get("norm_bias", True)),
            qk_norm=bool(config.get("qk_norm", False)),
            registers=int(config.get("num_register_tokens", 0)),
            activation=str(config.get("act_layer", "GELU")).lower(),
            mlp_ratio=float(config.get("mlp_ratio", 4.0)),
        )

    @property
    def kinds(self) -> list[str]:
        """What it can read."""
        return list(self.encoder_embeddings)

    def forward(
        self,
        tokens: Mapping[str, Tensor],
        budget: int | None = None,
        how: str = "correct",
        keep: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        """(b, N, dim) encoded tokens, in the order in which the kinds are given.

        budget : most tokens to read; None reads all.
        how : ``"correct"`` raises :class:`TokenBudget` where the budget is too small, ``"parity"`` cuts what is
            beyond it (256 where none is given), as the public package does.
        keep : (b, n) bool for each kind, False for tokens that nobody attends to.
        """
        if how not in HOW:
            raise ValueError(f"how={how!r} is unknown: there are {', '.join(HOW)}")
        unknown = [k for k in tokens if k not in self.encoder_embeddings]
        if unknown or not tokens:
            raise ValueError(f"tokens of {', '.join(unknown) or 'no kind'}: this AION reads {', '.join(self.kinds)}")
        counts = {k: v.shape[1] for k, v in tokens.items()}
        if how == "parity":
            budget = PUBLISHED_BUDGET if budget is None else budget
        elif budget is not None and budget < sum(counts.values()):
            told = " + ".join(f"{n} of {k}" for k, n in counts.items())
            raise TokenBudget(
                f"a budget of {budget} tokens holds not all of {told}: give {sum(counts.values())}, or none; "
                "how='parity' cuts the rest off as the public package does"
            )
        parts = [self.encoder_embeddings[k](v, k) for k, v in tokens.items()]
        x, where = (torch.cat(p, dim=1)[:, :budget] for p in zip(*parts, strict=True))
        mask = None
        if keep is not None:
            every = [keep.get(k, torch.ones_like(v, dtype=torch.bool)) for k, v in tokens.items()]
            mask = torch.cat(every, dim=1)[:, :budget]
            where = where * mask[..., None]
            x = x * mask[..., None]
        x = x + where
        if self.register_tokens is not None:
            n = self.register_tokens.shape[1]
            x = torch.cat([self.register_tokens.expand(len(x), -1, -1), x], dim=1)
            where = torch.cat([torch.zeros_like(x[:, :n]), where], dim=1)
            mask = None if mask is None else torch.cat([torch.ones_like(mask[:, :1]).expand(-1, n), mask], dim=1)
        for block in self.encoder:
            x = block(x, mask)
        return self.decoder_proj_context(self.encoder_norm(x)) + where

    def vectors(self, tokens: Mapping[str, Tensor], budget: int | None = None, how: str = "correct") -> Tensor:
        """(b, dim): the mean of the encoded tokens."""
        return self(tokens, budget, how).mean(dim=1)


def _kind(name: str) -> tuple[int, tuple[int, int]]:
    if name not in TOKENS:
        raise ValueError(f"no kind of tokens named {name!r}: there are {', '.join(sorted(TOKENS))}")
    return TOKENS[name]
