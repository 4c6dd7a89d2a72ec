"""Scorers: vectors to anomaly scores, where higher is more anomalous. ``scorers.names()`` lists them."""

from kernels.registry import Registry

scorers = Registry("scorer", "kernels.scoring.scorers", "astro_explorer.scorers")
