"""What the shipped GalSpecEncoder is trained on: simulated galaxies and quasars through one spectrograph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from explorer.survey.progress import Progress
from explorer.survey.simulate import spectra
from explorer.survey.simulate.galaxies import physics
from explorer.survey.simulate.quasars import quasars
from explorer.survey.simulate.recipe import load
from kernels.embedding.batches import Spectra

if TYPE_CHECKING:
    from explorer.survey.store import Survey

GALAXIES, QUASARS, SIMULATION = 2560, 3072, 4712
STEPS, BATCH = 600, 32


def wide_spectra(galaxies: int, others: int, seed: int, recipe: str = "simulated-sdss") -> Spectra:
    """Noisy spectra on the spectrograph's grid: so many galaxies, then so many quasars.

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


def make_galspec(survey: Survey, seed: int, steps: int | None, progress: Progress) -> None:
    """Train on :func:`wide_spectra` and write the weights into ``survey``, whose own objects are not read.

    The run's log and checkpoint are kept beside, as ``explorer train`` keeps them.
    """
    import torch

    from explorer.pipeline.weights import trained_path
    from kernels.embedding.encoders.galspec import GalSpec, hidden_spans, inputs
    from kernels.embedding.files import save_weights
    from kernels.embedding.training import Settings, train

    batch = wide_spectra(GALAXIES, QUASARS, SIMULATION)
    parts = [
        inputs(Spectra(batch.wavelength, batch.flux[i : i + 512], batch.ivar[i : i + 512]))
        for i in range(0, len(batch), 512)
    ]
    held = {name: np.concatenate([p[name] for p in parts]) for name in ("flux", "weight")}
    order = np.random.default_rng(seed).permutation(len(batch))
    apart, rest = order[:128], order[128:]

    def cut(rows: np.ndarray) -> dict[str, torch.Tensor]:
        return {k: torch.from_numpy(v[rows]).float() for k, v in held.items()}

    def data(turn: int) -> Iterator[dict[str, torch.Tensor]]:
        mixed = np.random.default_rng(turn).permutation(rest)
        for low in range(0, len(mixed) - BATCH + 1, BATCH):
            yield cut(mixed[low : low + BATCH])

    encoder = GalSpec(random_state=seed)
    settings = Settings(steps=steps or STEPS, batch=BATCH, lr=1.5e-3, seed=seed)
    watched = [cut(apart[i : i + BATCH]) for i in range(0, len(apart), BATCH)]
    folder = survey.path / "encoders" / "galspec-spectrum.training"
    log = train(encoder.model_, hidden_spans, data, settings, watched, folder, progress)
    meta = {
        "encoder": "galspec",
        "recipe": "simulated-sdss + quasars",
        "rows": str(len(rest)),
        "simulation": str(SIMULATION),
        "steps": str(log.steps),
        "best_step": str(log.best_step),
        "validation": f"{log.best:.6g}",
        "seed": str(seed),
        "seconds": f"{log.seconds:.0f}",
        "modality": "spectrum",
    }
    save_weights(trained_path(survey, "galspec", "spectrum"), encoder.model_.state_dict(), meta)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
