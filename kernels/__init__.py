"""Embedding, scoring, search and layout kernels: arrays in, arrays out, on CPU or GPU.

This package knows nothing of surveys, catalogues or widgets. Import what you need from its rooms:
:mod:`kernels.preprocess`, :mod:`kernels.embedding`, :mod:`kernels.scoring`, :mod:`kernels.search`,
:mod:`kernels.layout`.
"""
