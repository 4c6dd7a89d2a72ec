"""What the shipped GalSpecEncoder is trained on: simulated galaxies and quasars through one spectrograph."""

from __future__ import annotations

import numpy as np

from explorer.survey.simulate import spectra
from explorer.survey.simulate.galaxies import physics
from explorer.survey.simulate.quasars import quasars
from explorer.survey.simulate.recipe import load
from kernels.embedding.batches import Spectra


def wide_spectra(galaxies: int, others: int, seed: int, recipe: str = "simulated-sdss") -> Spectra:
    """Noisy spectra on the spectrograph's grid: so many galaxies, then so many quasars of 10 to 22 magnitudes' worth.

    The quasars have the noise of the recipe's spectrograph at signal-to-noise ratios of about 1 to 30 a sample.
    """
    plan = load(recipe)
    spec = plan.spectrum
    if spec is None:
        raise ValueError(f"the recipe {recipe} has no spectra")
    key, grid = plan.key(seed), spec.wavelength()
    flux, ivar = [np.empty((0, len(grid)), np.float32)], [np.empty((0, len(grid)), np.float32)]
    for block in range(-(-galaxies // plan.block)):
        _, seen, rows = physics(plan, key, block)
        noisy, weight = spectra.observe(spectra.noiseless(seen, spec), seen, spec, key, rows)
        flux.append(noisy)
        ivar.append(weight)
    held = [np.concatenate(a)[:galaxies] for a in (flux, ivar)]
    rng = np.random.default_rng([seed, 17])
    _, clean = quasars(others, grid, rng)
    # flux units: the sky's own noise makes a median flux of about 2 a signal-to-noise ratio of about 1
    level = np.exp(rng.uniform(np.log(1.0), np.log(60.0), others)).astype(np.float32)[:, None]
    clean = clean * level
    var = spectra.variance(clean, spec, np.ones(others))
    noisy = clean + rng.standard_normal(clean.shape, dtype=np.float32) * np.sqrt(var).astype(np.float32)
    weight = (1 / var).astype(np.float32)
    weight[rng.random(weight.shape) < 0.004] = 0
    return Spectra(grid, np.concatenate([held[0], noisy]), np.concatenate([held[1], weight]))
