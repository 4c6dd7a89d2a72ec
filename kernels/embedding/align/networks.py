"""The networks that bring two modalities into a shared space, and the term that keeps distances.

``Towers`` is the two-tower form of P3.2, also what P2 names as its limit (P2.8): one network for each modality, so
that either can be placed, and searched with, alone. ``Projectors`` is the two-tower form of P4.2, whose towers are
residual, or whose text stays where it is. ``Shared`` is the form of P2.3: a network for each modality to the
shared width, the two outputs side by side, and a third network over them.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from kernels.embedding.models.projectors import Projector
from kernels.embedding.objectives.contrastive import info_nce

SIDES = ("apart", "both")


def tower(width: int, out: int, hidden: int, dropout: float) -> nn.Sequential:
    """Two layers, ``width`` → ``hidden`` → ``out``."""
    return nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, out))


class Pair(nn.Module):
    """What both forms have: a temperature, fixed or learned, and the loss."""

    def __init__(self, temperature: float, learned: bool):
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)), requires_grad=learned)

    @property
    def temperature(self) -> Tensor:
        """Scalar, not below 0.01 (as in Radford et al. 2021, where the scale is clipped at 100)."""
        return self.log_temperature.exp().clamp(min=0.01)

    def sides(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """The two views (n, shared) of unit length that InfoNCE compares."""
        raise NotImplementedError(type(self).__name__)

    def joint(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, shared or 2 shared) the vector of a pair."""
        raise NotImplementedError(type(self).__name__)

    def loss(self, a: Tensor, b: Tensor, gamma: float = 0.0) -> dict[str, Tensor]:
        """InfoNCE plus ``gamma`` times the distance-preserving term of both modalities (P2.3, equation 1)."""
        za, zb = self.sides(a, b)
        contrast = info_nce(za, zb, self.temperature)
        if not gamma:
            return {"loss": contrast}
        kept = self.distances(a, b, za, zb)
        return {"loss": contrast + gamma * kept, "contrast": contrast, "distance": kept}

    def distances(self, a: Tensor, b: Tensor, za: Tensor, zb: Tensor) -> Tensor:
        """The distance-preserving term, summed over the modalities."""
        return distance_term(za, a) + distance_term(zb, b)


class Towers(Pair):
    """Two towers: ``widths`` of the two modalities → ``shared``, unit length."""

    def __init__(
        self,
        widths: tuple[int, int],
        shared: int = 64,
        hidden: int = 256,
        dropout: float = 0.1,
        temperature: float = 0.05,
        learned: bool = False,
    ):
        super().__init__(temperature, learned)
        self.a, self.b = (tower(width, shared, hidden, dropout) for width in widths)

    def sides(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Each modality through its own tower."""
        return functional.normalize(self.a(a), dim=1), functional.normalize(self.b(b), dim=1)

    def joint(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, 2 shared): both sides, one beside the other (P3.7: 128 numbers an object)."""
        return torch.cat(self.sides(a, b), dim=1)


class Projectors(Towers):
    """The projectors of P4.2, ``depth`` residual blocks each, their blocks as wide as ``hidden``.

    ``onto`` 0 or 1 names a side that stays where it is, only brought to unit length: the other is projected to its
    space, so that words which no caption holds keep their places among those that do. None projects both to ``shared``.
    """

    def __init__(
        self,
        widths: tuple[int, int],
        shared: int = 64,
        hidden: int = 256,
        dropout: float = 0.1,
        temperature: float = 0.07,
        learned: bool = True,
        onto: int | None = None,
        depth: int = 2,
    ):
        Pair.__init__(self, temperature, learned)
        to = shared if onto is None else widths[onto]
        self.a, self.b = (
            nn.Identity() if i == onto else Projector(width, hidden, to, depth, dropout=dropout)
            for i, width in enumerate(widths)
        )


class Shared(Pair):
    """A third network over both modalities (P2.3, Figure 1).

    What InfoNCE compares is not said in the paper, where one network sees both (P2.3a). ``sides="apart"``, the default
    here: each side is what the third network makes of one modality with the other's place held by a learned vector, so
    neither side has seen the other, and a pair is found by what the two have in common. ``sides="both"``: the third
    network sees the pair and its output is cut in two; a side then knows its partner already, and shuffled pairs are
    found as well as true ones. It is here so that this can be shown.
    """

    def __init__(
        self,
        widths: tuple[int, int],
        shared: int = 64,
        hidden: int = 256,
        dropout: float = 0.1,
        temperature: float = 0.05,
        learned: bool = False,
        sides: str = "apart",
    ):
        super().__init__(temperature, learned)
        if sides not in SIDES:
            raise ValueError(f"sides={sides!r} is unknown: choose one of {', '.join(SIDES)}")
        self.how = sides
        self.a, self.b = (tower(width, shared, hidden, dropout) for width in widths)
        self.third = tower(2 * shared, shared if sides == "apart" else 2 * shared, hidden, dropout)
        self.absent = nn.Parameter(torch.zeros(2, shared))

    def sides(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """The two sides; see the class."""
        ga, gb = self.a(a), self.b(b)
        if self.how == "both":
            za, zb = self.third(torch.cat([ga, gb], dim=1)).chunk(2, dim=1)
        else:
            za = self.third(torch.cat([ga, self.absent[1].expand_as(gb)], dim=1))
            zb = self.third(torch.cat([self.absent[0].expand_as(ga), gb], dim=1))
        return functional.normalize(za, dim=1), functional.normalize(zb, dim=1)

    def joint(self, a: Tensor, b: Tensor) -> Tensor:
        """(n, shared) or, for ``sides="both"``, (n, 2 shared): the third network on both modalities."""
        return functional.normalize(self.third(torch.cat([self.a(a), self.b(b)], dim=1)), dim=1)

    def distances(self, a: Tensor, b: Tensor, za: Tensor, zb: Tensor) -> Tensor:
        """The term of equation 1, whose latent is the third network's output for the pair: both modalities' distances
        are to be kept in the one space."""
        z = self.joint(a, b)
        return distance_term(z, a) + distance_term(z, b)


def distance_term(latent: Tensor, original: Tensor) -> Tensor:
    """Mean squared difference of the distances of all pairs before and after, a scalar (P2.3, equation 1).

    ``latent`` (n, d) and ``original`` (n, m), row i of both being one object; n >= 2.
    """
    if len(latent) != len(original) or len(latent) < 2:
        raise ValueError(f"{len(latent)} and {len(original)} rows: the same two or more are needed")
    return functional.mse_loss(torch.pdist(latent), torch.pdist(original))
