"""AstroPT: one causal transformer over patches of images and spectra, trained to predict the next patch (P0.3).

Written from a description of what the public packages do; the names in the state dict are those of version 2
(``transformer.wte.images.c_fc.weight``), and :func:`current_names` brings those of version 1 and of the later code to
them. Modalities stand in alphabetical order, so that images come before spectra and never see them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.embedding._errors import WrongWeights
from kernels.embedding.blocks import MLP, Block, LayerNorm, Names, patchify

SIZES = {
    "001M": (4, 8, 128), "005M": (6, 8, 256), "010M": (6, 8, 384), "020M": (6, 8, 512), "070M": (12, 12, 768),
    "095M": (12, 12, 768), "300M": (24, 16, 1024), "700M": (16, 8, 2048), "2100M": (26, 32, 2560),
}  # fmt: skip
"""Published sizes: layers, heads, width. ``095M`` is the hub's name of ``070M``."""
_NAMES = Names("ln_1", "attn", "c_attn", "c_proj", "ln_2", "mlp", "c_fc", "c_proj")
_MLP_NAMES = Names(first="c_fc", second="c_proj")
Tokeniser = Literal["aim", "affine", "v1"]


@dataclass(frozen=True)
class Modality:
    """One kind of patch: its length, its weight in the loss, and what its positions are.

    ``positions`` 0: integers that look up a learned table; else vectors of that length, read by a perceptron.
    """

    size: int
    weight: float = 1.0
    positions: int = 0


class _Affine(nn.Module):
    """A single linear map, under the name that published checkpoints give it."""

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__()
        self.c_fc = nn.Linear(inputs, outputs, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_fc(x)


class _Table(nn.Module):
    def __init__(self, longest: int, width: int):
        super().__init__()
        self.wpe = nn.Embedding(longest, width)

    def forward(self, positions: Tensor) -> Tensor:
        if int(positions.max()) >= self.wpe.num_embeddings:
            raise ValueError(
                f"position {int(positions.max())} is beyond the block of {self.wpe.num_embeddings} tokens: "
                "use larger patches, fewer of them, or a model with a larger block"
            )
        return self.wpe(positions)


class AstroPT(nn.Module):
    """Patches (b, n, size) of each modality to predictions of the next patch, or to vectors.

    Parameters
    ----------
    modalities : name to :class:`Modality`, or to the length of its patches.
    size : a name in :data:`SIZES`, or ``(layers, heads, width)``.
    block : longest sequence of one modality; 1,024 as published.
    tokeniser : ``"aim"`` (a perceptron, version 2), ``"affine"``, or ``"v1"`` (ReLU, as in version 1).
    inner : width of the first layer of a ``"v1"`` tokeniser.
    bias : biases in the linear maps and normalisations; none as published.
    """

    def __init__(
        self,
        modalities: Mapping[str, Modality | int],
        size: str | tuple[int, int, int] = "070M",
        block: int = 1024,
        tokeniser: Tokeniser = "aim",
        inner: int | None = None,
        bias: bool = False,
    ):
        super().__init__()
        if isinstance(size, str):
            if size not in SIZES:
                raise ValueError(f"no AstroPT of size {size!r}: there are {', '.join(SIZES)}")
            size = SIZES[size]
        layers, heads, width = size
        kinds = {k: m if isinstance(m, Modality) else Modality(m) for k, m in modalities.items()}
        self.modalities = {k: kinds[k] for k in sorted(kinds)}
        self.width, self.block, self.tokeniser = width, block, tokeniser
        wte, wpe, head = nn.ModuleDict(), nn.ModuleDict(), nn.ModuleDict()
        for name, kind in self.modalities.items():
            wte[name], head[name] = _ends(tokeniser, kind.size, width, inner, bias)
            place = "affine" if tokeniser == "affine" else "aim"
            wpe[name] = _ends(place, kind.positions, width, None, bias)[0] if kind.positions else _Table(block, width)
        make: dict[str, Any] = {
            "causal": True,
            "activation": "gelu-tanh",
            "bias": bias,
            "norm_bias": bias,
            "names": _NAMES,
        }
        self.transformer = nn.ModuleDict(
            {
                "wte": wte,
                "wpe": wpe,
                "h": nn.ModuleList(Block(width, heads, **make) for _ in range(layers)),
                "ln_f": LayerNorm(width, bias=bias),
            }
        )
        self.lm_head = head
        self._start(layers)

    def _start(self, layers: int) -> None:
        """Normal weights of 0.02, those that end a residual branch smaller by sqrt(2 · layers)."""
        for name, p in self.named_parameters():
            if p.ndim >= 2:
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if ".h." in name and "c_proj" in name else 0.02)
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    @property
    def depth(self) -> int:
        """Number of blocks."""
        return len(self.transformer["h"])  # type: ignore[arg-type]

    def tokens(
        self, patches: Mapping[str, Tensor], positions: Mapping[str, Tensor] | None = None, layers: int | None = None
    ) -> dict[str, Tensor]:
        """(b, n, width) of each modality given, after the first ``layers`` blocks (all by default), not normalised."""
        parts = self.transformer
        given = [k for k in self.modalities if k in patches]
        if not given:
            raise ValueError(f"no patches of {', '.join(self.modalities)} among {', '.join(patches) or 'nothing'}")
        embedded, lengths = [], []
        for name in given:
            x = patches[name]
            if x.shape[-1] != self.modalities[name].size:
                raise ValueError(f"{name}: patches of {x.shape[-1]} values, not of {self.modalities[name].size}")
            where = (positions or {}).get(name)
            if where is None:
                if self.modalities[name].positions:
                    raise ValueError(f"{name}: this model needs positions of {self.modalities[name].positions} values")
                where = torch.arange(x.shape[1], device=x.device)
            embedded.append(parts["wte"][name](x) + parts["wpe"][name](where))  # type: ignore[index]
            lengths.append(x.shape[1])
        x = torch.cat(embedded, dim=1)
        for block in list(parts["h"])[:layers]:  # type: ignore[call-overload]
            x = block(x)
        return dict(zip(given, x.split(lengths, dim=1), strict=True))

    def forward(
        self, patches: Mapping[str, Tensor], positions: Mapping[str, Tensor] | None = None, shift: bool = True
    ) -> dict[str, Tensor]:
        """What the model says each patch is, from the tokens before it.

        The first modality gives n - 1 predictions, of its patches 1 to n - 1; those after it give n, the first of them
        from the last token of the modality before. ``shift=False`` gives n predictions of a token's own patch (the
        reconstruction of P0.3).
        """
        hidden = self.tokens(patches, positions)
        names = list(hidden)
        x = self.transformer["ln_f"](torch.cat(list(hidden.values()), dim=1))
        out, start = {}, 0
        for name in names:
            stop = start + hidden[name].shape[1]
            part = x[:, max(start - 1, 0) : stop - 1] if shift else x[:, start:stop]
            out[name] = self.lm_head[name](part)
            start = stop
        return out

    def loss(
        self,
        patches: Mapping[str, Tensor],
        positions: Mapping[str, Tensor] | None = None,
        weights: Mapping[str, Tensor] | None = None,
        reconstruct: Sequence[str] = (),
    ) -> Tensor:
        """Mean over modalities of weight x Huber loss (delta 1) of the predictions: a scalar.

        weights : (b, n, size) or (b, n, 1) of each modality, 0 where there are no data.
        reconstruct : modalities whose tokens predict their own patch instead of the next.
        """
        total = torch.zeros((), device=next(self.parameters()).device)
        predicted = self(patches, positions)
        own = self(patches, positions, shift=False) if reconstruct else {}
        for name, guess in predicted.items():
            guess = own[name] if name in reconstruct else guess
            skip = patches[name].shape[1] - guess.shape[1]
            error = F.huber_loss(guess, patches[name][:, skip:], reduction="none")
            if weights is not None and name in weights:
                w = weights[name][:, skip:].expand_as(error)
                mean = (error * w).sum() / w.sum().clamp(min=1e-6)
            else:
                mean = error.mean()
            total = total + self.modalities[name].weight * mean
        return total / len(predicted)

    def vectors(
        self,
        patches: Mapping[str, Tensor],
        positions: Mapping[str, Tensor] | None = None,
        keep: Mapping[str, Tensor] | None = None,
        reduction: Literal["mean", "last"] = "mean",
    ) -> dict[str, Tensor]:
        """(b, width) of each modality: its tokens after the middle block (after the last for version 1), pooled.

        keep : (b, n) bool of each modality, tokens that count (default all).
        """
        layers = self.depth if self.tokeniser == "v1" else min(self.depth // 2 + 1, self.depth)
        out = {}
        for name, x in self.tokens(patches, positions, layers).items():
            if reduction == "last":
                out[name] = x[:, -1]
            elif keep is not None and name in keep:
                weight = keep[name].to(x.dtype)[..., None]
                out[name] = (x * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
            else:
                out[name] = x.mean(dim=1)
        return out


def _ends(tokeniser: str, size: int, width: int, inner: int | None, bias: bool) -> tuple[nn.Module, nn.Module]:
    """What turns a patch into a token, and a token into a patch."""
    if tokeniser == "aim":
        into = MLP(size, 4 * width, width, "gelu-tanh", bias, names=_MLP_NAMES)
        return into, MLP(width, 4 * width, size, "gelu-tanh", bias, names=_MLP_NAMES)
    if tokeniser == "affine":
        return _Affine(size, width, bias), _Affine(width, size, bias)
    if tokeniser != "v1":
        raise ValueError(f"tokeniser {tokeniser!r} is unknown: there are aim, affine, v1")
    inner = inner or width
    into_v1 = nn.Sequential(nn.Linear(size, inner), nn.ReLU(), nn.Linear(inner, width), nn.ReLU())
    out_v1 = [nn.Linear(width, 2 * width), nn.ReLU(), nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, size)]
    return into_v1, nn.Sequential(*out_v1)


def current_names(state: Mapping[str, Tensor], modality: str = "images") -> dict[str, Tensor]:
    """The same tensors under the names of version 2, from any of the three families of names.

    Version 1 has one modality, which is called ``modality`` here.
    """
    out = {}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        if first in ("encoders", "embedders", "decoders"):
            key = {"encoders": "transformer.wte.", "embedders": "transformer.wpe.", "decoders": "lm_head."}[
                first
            ] + rest
        elif key.startswith(("transformer.wte.0.", "transformer.wte.2.")):
            key = key.replace("transformer.wte.", f"transformer.wte.{modality}.", 1)
        elif key == "transformer.wpe.weight":
            key = f"transformer.wpe.{modality}.wpe.weight"
        elif key.startswith("lm_head.") and rest[:1].isdigit():
            key = f"lm_head.{modality}.{rest}"
        if not key.endswith(".attn.bias"):  # the causal mask that old versions stored
            out[key] = value
    return out


def from_state(
    state: Mapping[str, Tensor], heads: int | None = None, weights: Mapping[str, float] | None = None
) -> AstroPT:
    """The model whose sizes these tensors have, with them in it; :class:`WrongWeights` where they are of another kind.

    heads : attention heads, which no shape tells; by default those of the published size of this width and depth.
    """
    from kernels.embedding.files import load_into

    state = current_names(state)
    try:
        width = state["transformer.ln_f.weight"].shape[0]
        layers = 1 + max(int(k.split(".")[2]) for k in state if k.startswith("transformer.h."))
        names = sorted({k.split(".")[2] for k in state if k.startswith("transformer.wte.")})
        modalities, inner, kind, block = {}, None, "aim", 1024
        for name in names:
            first = f"transformer.wte.{name}.0.weight"
            kind = "v1" if first in state else "aim" if f"transformer.wte.{name}.c_proj.weight" in state else "affine"
            first = first if kind == "v1" else f"transformer.wte.{name}.c_fc.weight"
            inner = state[first].shape[0] if kind == "v1" else None
            table = state.get(f"transformer.wpe.{name}.wpe.weight")
            block = block if table is None else table.shape[0]
            vector = 0 if table is not None else state[f"transformer.wpe.{name}.c_fc.weight"].shape[1]
            modalities[name] = Modality(state[first].shape[1], (weights or {}).get(name, 1.0), vector)
    except (KeyError, ValueError, IndexError) as error:
        raise WrongWeights(f"these are not the weights of AstroPT: {error} is not among them") from error
    if heads is None:
        known = {(d, w): h for d, h, w in SIZES.values()}
        if (layers, width) not in known:
            raise WrongWeights(f"AstroPT of {layers} layers of width {width} is no published size: say how many heads")
        heads = known[layers, width]
    bias = "transformer.ln_f.bias" in state
    model = AstroPT(modalities, (layers, heads, width), block, kind, inner, bias)  # type: ignore[arg-type]
    load_into(model, state, f"AstroPT ({layers} layers, width {width})")
    return model


def spiral(side: int) -> Tensor:
    """(side²,) int64: the raster index of each place of the inside-out spiral, the centre first.

    It is the clockwise spiral from the top left corner inwards, read backwards.
    """
    grid = torch.arange(side * side).reshape(side, side)
    rings = []
    while grid.numel():
        rings.append(grid[0])
        grid = torch.rot90(grid[1:], 1, (0, 1))
    return torch.cat(rings).flip(0) if rings else torch.zeros(0, dtype=torch.int64)


def image_patches(
    images: Tensor, patch: int = 16, standardise: bool = True, order: Literal["spiral", "raster"] = "spiral"
) -> Tensor:
    """(b, c, h, w) images to (b, n, c·p·p) patches as AstroPT reads them (rows, columns, channels within a patch).

    ``standardise`` brings each patch to mean 0 and deviation 1 (absolute flux is discarded). P0.3 reads RGB in [0, 1]
    in raster order without it, with channels first: use :func:`kernels.embedding.blocks.patchify` for that.
    """
    patches = patchify(images, patch, "hwc")
    if standardise:
        spread = patches.std(dim=-1, keepdim=True)
        patches = (patches - patches.mean(dim=-1, keepdim=True)) / (spread + 1e-8)
    if order == "raster":
        return patches
    side = math.isqrt(patches.shape[1])
    if side * side != patches.shape[1]:
        raise ValueError(f"the spiral needs a square image, not {images.shape[2]} x {images.shape[3]} pixels")
    return patches[:, spiral(side).to(patches.device)]


def spectrum_patches(flux: Tensor, length: int = 7781, patch: int = 10) -> Tensor:
    """(b, m) spectra, divided by their own deviation, cut or filled with zeros to ``length``, in patches (P0.3).

    7,781 samples give 779 patches of 10, the last one filled with zeros.
    """
    scaled = flux / flux.std(dim=-1, keepdim=True).clamp(min=1e-8)
    whole = -(-length // patch) * patch
    scaled = F.pad(scaled[:, :length], (0, max(0, whole - min(length, scaled.shape[1]))))
    return scaled.reshape(len(flux), -1, patch)


def wavelength_patches(wavelength: Tensor, patch: int = 256) -> Tensor:
    """(b, m) Å to (b, n, patch) positions of the continuous embedding: (wavelength - 3000) / 7000."""
    whole = -(-wavelength.shape[1] // patch) * patch
    return F.pad((wavelength - 3000) / 7000, (0, whole - wavelength.shape[1])).reshape(len(wavelength), -1, patch)
