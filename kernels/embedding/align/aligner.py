"""An aligner: two modalities' vectors in, their places in one space out; an ensemble where more than one is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from kernels.embedding.align.networks import Pair, Projectors, Shared, Towers
from kernels.embedding.training import Log, Settings, train

Progress = Callable[[int, int, str], None]
FORMS = ("towers", "shared", "projectors")


class Aligner:
    """Contrastive alignment of two modalities of the same objects.

    Both inputs are standardised along each component and then scaled to a mean distance of 1 between objects, so that
    the distance-preserving term compares like with like. All outputs have unit length, so that the order by 2-norm
    (P2.5) and by cosine (P3.2) is one.

    Parameters
    ----------
    form : ``"towers"`` (P3.2, P2.8), ``"shared"`` (P2.3) or ``"projectors"`` (P4.2).
    shared, hidden, dropout : width of the shared space and of the hidden layers, and share of units dropped.
    temperature : of InfoNCE; ``learned`` makes it the start of a parameter.
    gamma : weight of the distance-preserving term.
    epochs, batch, lr : passes over the pairs, pairs a batch, peak learning rate of Adam.
    members : networks of the ensemble, each from its own seed; similarity is the mean of theirs.
    sides : what the two sides are in the shared form; see :class:`~kernels.embedding.align.networks.Shared`.
    onto : ``"a"`` or ``"b"``: with projectors, the side whose space the other is projected to; ``""`` for neither.
    random_state : seed of weights, batches and dropout.
    device : torch's name of one; None takes a GPU where there is one.

    Attributes
    ----------
    models_ : list of the fitted networks.
    logs_ : list of their training logs.
    """

    def __init__(
        self,
        form: str = "towers",
        shared: int = 64,
        hidden: int = 256,
        dropout: float = 0.3,
        temperature: float = 0.05,
        learned: bool = False,
        gamma: float = 0.0,
        epochs: int = 60,
        batch: int = 128,
        lr: float = 1e-3,
        members: int = 1,
        sides: str = "apart",
        onto: str = "",
        random_state: int = 0,
        device: str | None = None,
    ):
        self.form, self.shared, self.hidden, self.dropout = form, shared, hidden, dropout
        self.temperature, self.learned, self.gamma = temperature, learned, gamma
        self.epochs, self.batch, self.lr, self.members = epochs, batch, lr, members
        self.sides, self.onto, self.random_state, self.device = sides, onto, random_state, device

    def fit(
        self,
        a: np.ndarray,
        b: np.ndarray,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        folder: Path | None = None,
        progress: Progress | None = None,
    ) -> Aligner:
        """Train on pairs ``a`` (n, p), ``b`` (n, q), row i of both being one object; returns self.

        With ``validation`` pairs, the weights of the lowest validation loss are kept. ``folder`` holds a checkpoint
        for each member, from which a run that was killed goes on.
        """
        a, b = _rows(a), _rows(b)
        if self.form not in FORMS:
            raise ValueError(f"form={self.form!r} is unknown: choose one of {', '.join(FORMS)}")
        if len(a) != len(b) or len(a) < 4:
            raise ValueError(f"{len(a)} and {len(b)} rows: pairs of the same four objects or more are needed")
        self.scales_ = [_Scale.of(a), _Scale.of(b)]
        x, y = (torch.from_numpy(s(v)) for s, v in zip(self.scales_, (a, b), strict=True))
        held = None
        if validation is not None and len(validation[0]) > 1:
            held = [tuple(torch.from_numpy(s(_rows(v))) for s, v in zip(self.scales_, validation, strict=True))]
        self.models_: list[Pair] = []
        self.logs_: list[Log] = []
        with _one_thread():
            for member in range(self.members):
                told = (lambda d, n, s, m=member: progress(m * n + d, self.members * n, s)) if progress else None
                place = folder / f"member-{member}" if folder else None
                self.models_.append(self._train(x, y, held, member, place, told))
        return self

    def _train(self, x: Any, y: Any, held: Any, member: int, folder: Path | None, progress: Any) -> Pair:
        seed = self.random_state * 1009 + member
        size = min(self.batch, len(x))
        steps = max(1, self.epochs * (len(x) // size))
        every = max(1, steps // min(self.epochs, 40))
        settings = Settings(
            steps=steps, batch=size, lr=self.lr, weight_decay=0.0, seed=seed, validate_every=every, patience=12
        )

        def passes(turn: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            order = np.random.default_rng(turn).permutation(len(x))
            for start in range(0, len(x) - size + 1, size):
                rows = torch.from_numpy(order[start : start + size])
                yield x[rows], y[rows]

        def objective(model: nn.Module, pair: Any) -> dict[str, torch.Tensor]:
            return model.loss(*pair, self.gamma)  # type: ignore[operator]

        model = self._network(x.shape[1], y.shape[1], seed)
        self.logs_.append(train(model, objective, passes, settings, held, folder, progress, self.device))
        return model.cpu().eval()  # type: ignore[return-value]

    def _network(self, p: int, q: int, seed: int) -> nn.Module:
        kinds: dict[str, tuple[Callable[..., nn.Module], dict[str, Any]]] = {
            "towers": (Towers, {}),
            "shared": (Shared, {"sides": self.sides}),
            "projectors": (Projectors, {"onto": "ab".index(self.onto) if self.onto else None}),
        }
        kind, more = kinds[self.form]
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            return kind((p, q), self.shared, self.hidden, self.dropout, self.temperature, self.learned, **more)

    # -- places in the shared space --------------------

    def encode(self, side: str, vectors: np.ndarray) -> np.ndarray:
        """(n, members · shared) float32 of unit length: one modality alone, ``side`` being ``"a"`` or ``"b"``.

        Rows with a NaN stay NaN. The shared form with ``sides="both"`` cannot place one modality alone (P2.8).
        """
        if side not in ("a", "b"):
            raise ValueError(f"side={side!r}: 'a' is the first modality that was fitted, 'b' the second")
        if self.form == "shared" and self.sides == "both":
            raise ValueError("sides='both' needs both modalities of an object: use encode_pairs, or form='towers'")
        which = "ab".index(side)
        return self._over(lambda m, u: m.sides(*self._with_other(u, which))[which], {side: vectors})

    def encode_pairs(self, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The two sides of pairs, each (n, members · shared)."""
        return (
            self._over(lambda m, u, v: m.sides(u, v)[0], {"a": a, "b": b}),
            self._over(lambda m, u, v: m.sides(u, v)[1], {"a": a, "b": b}),
        )

    def joint(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(n, ·) float32 vectors of pairs; NaN where either modality is missing."""
        return self._over(lambda m, u, v: m.joint(u, v), {"a": a, "b": b})

    def _with_other(self, given: torch.Tensor, which: int) -> tuple[torch.Tensor, torch.Tensor]:
        width = len(self.scales_[1 - which].mean)
        other = torch.zeros(len(given), width)
        return (given, other) if which == 0 else (other, given)

    @torch.no_grad()
    def _over(self, take: Callable[..., torch.Tensor], given: dict[str, np.ndarray]) -> np.ndarray:
        arrays = [np.asarray(v, np.float32) for v in given.values()]
        whole = np.logical_and.reduce([np.isfinite(v).all(axis=1) for v in arrays])
        scales = [self.scales_["ab".index(side)] for side in given]
        scaled = [torch.from_numpy(s(v[whole])) for s, v in zip(scales, arrays, strict=True)]
        parts = [take(model, *scaled).numpy() for model in self.models_]
        found = np.concatenate(parts, axis=1) / np.sqrt(len(parts))
        out = np.full((len(whole), found.shape[1]), np.nan, dtype=np.float32)
        out[whole] = found
        return out

    # -- keeping --------------------

    def state(self) -> dict[str, np.ndarray]:
        """The fitted arrays."""
        out = {f"scale.{i}.{k}": v for i, s in enumerate(self.scales_) for k, v in vars(s).items()}
        for i, model in enumerate(self.models_):
            out |= {f"model.{i}.{k}": v.numpy() for k, v in model.state_dict().items()}
        return out

    def load_state(self, state: dict[str, np.ndarray]) -> Aligner:
        """Take back what :meth:`state` gave, with the parameters that it was fitted with; returns self."""
        self.scales_ = [_Scale(*(np.asarray(state[f"scale.{i}.{k}"]) for k in ("mean", "unit"))) for i in (0, 1)]
        self.models_ = []
        p, q = (len(s.mean) for s in self.scales_)
        for i in range(self.members):
            model = self._network(p, q, 0)
            mine = {k.split(".", 2)[2]: torch.from_numpy(np.array(v)) for k, v in state.items() if _of(k, i)}
            model.load_state_dict(mine)
            self.models_.append(model.eval())  # type: ignore[arg-type]
        return self


@contextmanager
def _one_thread() -> Iterator[None]:
    """Layers this small are slower on several threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _of(key: str, member: int) -> bool:
    return key.startswith(f"model.{member}.")


class _Scale:
    """Standardises each component, then divides by the mean distance of two objects."""

    def __init__(self, mean: np.ndarray, unit: np.ndarray):
        self.mean, self.unit = mean, unit

    @classmethod
    def of(cls, rows: np.ndarray) -> _Scale:
        spread = rows.std(axis=0)
        unit = np.where(spread > 1e-12, spread, 1.0)
        some = ((rows - rows.mean(axis=0)) / unit)[np.random.default_rng(0).permutation(len(rows))[:512]]
        distance = np.sqrt(((some[:, None] - some[None]) ** 2).sum(axis=2)).sum() / max(len(some) * (len(some) - 1), 1)
        return cls(rows.mean(axis=0).astype(np.float32), (unit * max(distance, 1e-6)).astype(np.float32))

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        return ((rows - self.mean) / self.unit).astype(np.float32)


def _rows(values: np.ndarray) -> np.ndarray:
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 2:
        raise ValueError(f"vectors have the shape {rows.shape}: (n, d) is needed")
    bad = ~np.isfinite(rows).all(axis=1)
    if bad.any():
        raise ValueError(f"row {int(np.argmax(bad))} is not finite: give only objects that have both modalities")
    return rows
