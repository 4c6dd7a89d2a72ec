"""Encoders: images, spectra and events to vectors. ``ENCODERS.names()`` lists them."""

from kernels.registry import Registry

ENCODERS = Registry("encoder", "kernels.embedding.encoders", "astro_explorer.encoders")
