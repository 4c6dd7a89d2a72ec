"""A transformer autoencoder of X-ray spectra: 400 bins to 64 numbers and back (P3.1)."""

from __future__ import annotations

from torch import Tensor, nn

from kernels.embedding.blocks import LearnedPositions, Transformer


class XrayAutoencoder(nn.Module):
    """Spectra (b, bins), min-max normalised count rates, to ``latent`` numbers and back.

    The paper gives the input (0.5-8 keV in 400 bins), the latent size (64) and the loss (mean absolute error), not the
    inner sizes: patches of ``patch`` bins are tokens; a linear map of all tokens gives the latent vector, another gives
    the tokens of the decoder.

    Parameters
    ----------
    bins, latent : 400 and 64 in the paper.
    patch : bins in a token; divides ``bins``.
    dim, depth, heads : width, blocks a side, and heads of the transformers.
    """

    def __init__(
        self,
        bins: int = 400,
        latent: int = 64,
        patch: int = 10,
        dim: int = 128,
        depth: int = 3,
        heads: int = 4,
        dropout: float = 0.0,
    ):
        super().__init__()
        if bins % patch:
            raise ValueError(f"{bins} bins do not divide into patches of {patch}")
        self.bins, self.patch, tokens = bins, patch, bins // patch
        self.embed = nn.Linear(patch, dim)
        self.positions = LearnedPositions(tokens, dim)
        self.encoder = Transformer(dim, depth, heads, dropout=dropout)
        self.to_latent = nn.Linear(tokens * dim, latent)
        self.from_latent = nn.Linear(latent, tokens * dim)
        self.decoder = Transformer(dim, depth, heads, dropout=dropout)
        self.out = nn.Linear(dim, patch)

    def encode(self, spectra: Tensor) -> Tensor:
        """(b, bins) to (b, latent)."""
        if spectra.shape[1] != self.bins:
            raise ValueError(f"this autoencoder reads spectra of {self.bins} bins, not of {spectra.shape[1]}")
        tokens = self.embed(spectra.reshape(len(spectra), -1, self.patch))
        return self.to_latent(self.encoder(self.positions(tokens)).flatten(1))

    def decode(self, latent: Tensor) -> Tensor:
        """(b, latent) to (b, bins)."""
        tokens = self.from_latent(latent).unflatten(1, (self.bins // self.patch, -1))
        return self.out(self.decoder(tokens)).flatten(1)

    def forward(self, spectra: Tensor) -> Tensor:
        return self.decode(self.encode(spectra))

    def loss(self, spectra: Tensor) -> Tensor:
        """Mean absolute error of the reconstruction: a scalar."""
        return (self(spectra) - spectra).abs().mean()
