"""AION-1 as the published scripts run it: only the first 256 tokens are read, and masked ends count (P0.6)."""

from __future__ import annotations

from kernels.embedding.encoders.aion_published import AionPublished


class AionPublishedParity(AionPublished):
    """The numbers of the public package with its defaults: the joint vector is that of the image alone."""

    name = "aion-published-parity"
    mode = "parity"
