"""Encoders: images, spectra and events to vectors. ``encoders.names()`` lists them."""

from kernels.registry import Registry

encoders = Registry("encoder", "kernels.embedding.encoders", "astro_explorer.encoders")
