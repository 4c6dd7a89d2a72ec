"""What a knowledge base is compared with in P1.5: a forest, GalSpecNet, and a transformer that is told the classes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

import numpy as np

from kernels._parallel import cores

if TYPE_CHECKING:
    from explorer.pipeline._study_keep import Kept
    from explorer.pipeline._study_material import Material

LENGTH = 922
"""Samples that the networks and the forest see of a spectrum: the 3,688 of P1.1 averaged by four."""
TREES = 150
NETWORKS = ("GalSpecNet", "encoder, supervised")
WORKERS = 2
"""Processes that train networks side by side, each on one core, so that a figure does not depend on their number."""


def forest(X: np.ndarray, y: np.ndarray, Q: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """(m, c) probabilities of a random forest (Breiman 2001) on ``X`` (n, d)."""
    from sklearn.ensemble import RandomForestClassifier

    model = RandomForestClassifier(TREES, random_state=seed, min_samples_leaf=2, n_jobs=cores()).fit(X, y)
    out = np.zeros((len(Q), len(classes)))
    out[:, np.searchsorted(classes, model.classes_)] = model.predict_proba(Q)
    return out


def galspecnet(classes: int) -> Any:
    """GalSpecNet (Wu et al. 2024) for spectra of ``LENGTH`` samples."""
    from kernels.embedding.models.galspecnet import GalSpecNet

    return GalSpecNet(LENGTH, classes)


def supervised(classes: int, dim: int = 64, depth: int = 3) -> Any:
    """The encoder of P1.2 in small, from random weights, with a linear layer to the classes, for ``LENGTH`` samples."""
    import torch
    from torch import nn

    from kernels.embedding.models.galspec import GalSpecEncoder

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = GalSpecEncoder(LENGTH, 15, 5, dim, depth, 4)
            self.last = nn.Linear(dim, classes)

        def forward(self, flux: torch.Tensor) -> torch.Tensor:
            return self.last(self.encoder.vectors(flux))

    return Classifier()


def network(
    make: Any, X: np.ndarray, y: np.ndarray, Q: np.ndarray, classes: np.ndarray, seed: int, epochs: int
) -> np.ndarray:
    """(m, c) probabilities of a network trained by cross-entropy on ``X`` (n, LENGTH); a tenth is kept to stop early.

    Samples are standardised by the median and spread of all of ``X`` and clipped at 10, so that one cosmic ray
    does not steer the loss.
    """
    import torch
    from torch.nn import functional as F

    from kernels.embedding.training import Settings, train

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            model = make(len(classes))
        middle, spread = np.median(X), max(float(np.subtract(*np.percentile(X, [84, 16]))) / 2, 1e-6)

        def ready(values: np.ndarray) -> torch.Tensor:
            return torch.from_numpy(np.clip((values - middle) / spread, -10, 10).astype(np.float32))

        x, target = ready(X), torch.from_numpy(np.searchsorted(classes, y))
        order = np.random.default_rng(seed).permutation(len(x))
        held, kept = order[: len(x) // 10], order[len(x) // 10 :]
        batch = min(64, len(kept))

        def data(turn: int) -> Iterator[dict[str, torch.Tensor]]:
            mixed = np.random.default_rng(turn).permutation(kept)
            for start in range(0, len(mixed) - batch + 1, batch):
                at = mixed[start : start + batch]
                yield {"x": x[at], "y": target[at]}

        def objective(model: Any, given: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            return {"loss": F.cross_entropy(model(given["x"]), given["y"])}

        steps = max(1, len(kept) // batch) * epochs
        watched = [{"x": x[held[i : i + 256]], "y": target[held[i : i + 256]]} for i in range(0, len(held), 256)]
        settings = Settings(steps, batch, 1e-3, seed=seed, validate_every=max(1, steps // 12), patience=5)
        train(model, objective, data, settings, watched or None, device="cpu")
        queries = ready(Q)
        with torch.no_grad():
            found = [F.softmax(model(queries[i : i + 256]), dim=1) for i in range(0, len(queries), 256)]
        return torch.cat(found).numpy().astype(np.float64)
    finally:
        torch.set_num_threads(threads)


def trained(
    m: Material, seeds: Sequence[int], classes: np.ndarray, epochs: int, kept: Kept, tell: Callable[[str], None]
) -> dict[tuple[str, int], np.ndarray]:
    """(network, seed) → (m, c) probabilities of the test set of that seed; each is kept as soon as it is there."""
    found: dict[tuple[str, int], np.ndarray] = {}
    for seed in seeds:
        for name in NETWORKS:
            before = kept.array(f"{name} {seed}")
            if before is not None:
                found[name, seed] = before
    wanted = [(name, seed) for seed in seeds for name in NETWORKS if (name, seed) not in found]
    if not wanted:
        return found
    with ProcessPoolExecutor(min(WORKERS, cores()), multiprocessing.get_context("spawn")) as pool:
        running: dict[Future[np.ndarray], tuple[str, int]] = {}
        for name, seed in wanted:
            base, test = (rows[m.three[rows] != ""] for rows in m.split(seed))
            given = name, m.flux[base], m.three[base], m.flux[test], classes, seed, epochs
            running[pool.submit(_train, *given)] = name, seed
        for job in as_completed(running):
            name, seed = running[job]
            found[name, seed] = job.result()
            kept.put(f"{name} {seed}", found[name, seed])
            tell(f"seed {seed}: {name}")
    return found


def _train(
    name: str, X: np.ndarray, y: np.ndarray, Q: np.ndarray, classes: np.ndarray, seed: int, epochs: int
) -> np.ndarray:
    """One network in a process of its own."""
    return network(galspecnet if name == NETWORKS[0] else supervised, X, y, Q, classes, seed, epochs)
