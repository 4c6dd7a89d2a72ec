"""AstroCLIP as the published code runs it: SpecFormer always drops the last window of a spectrum (P0.4)."""

from __future__ import annotations

from kernels.embedding.encoders.astroclip_published import AstroClipPublished


class AstroClipPublishedParity(AstroClipPublished):
    """The numbers of the public package. On DESI's 7,781 samples they are those of ``astroclip-published``."""

    name = "astroclip-published-parity"
    mode = "parity"
