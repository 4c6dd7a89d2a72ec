"""One training loop for every encoder, with exact resume, and the hooks by which an encoder class is trained.

An encoder class that can be trained is :class:`Trainable`: it lists in ``trainings`` which modalities are trained
together, and gives in ``training(...)`` a :class:`Training`: model, objective, settings, and how blocks of a survey
become arrays. ``explorer train ENCODER SURVEY`` needs nothing else; it writes, for each modality that
``Training.weights`` returns, ``SURVEY/encoders/NAME-MODALITY.trained.safetensors``, which the encoder's ``load(path)``
reads again.

    class Mine:
        name, modalities = "mine", ("image", "spectrum")
        trainings = (("image",), ("spectrum",))          # two runs; (("image", "spectrum"),) would be one run on pairs

        @classmethod
        def training(cls, parts, sample, random_state=0, start=None):
            # parts: one of `trainings` · sample: {modality: Batch} of some rows, for noise levels and shapes
            # start: {modality: Path} of weights to go on from (shipped or trained before), or None for new ones
            encoder = cls(parts[0], random_state).fit([sample[parts[0]]])
            return Training(
                model=encoder.model_,
                objective=lambda model, batch: {"loss": ...},      # batch: {name: tensor}, see `inputs`; augment here
                settings=Settings(steps=2000, batch=64),
                inputs=lambda batches: {"x": ...},                 # {modality: Batch} -> {name: array (n, ...)}
                weights=lambda model: {parts[0]: model.state_dict()},
            )

``inputs`` runs in a reading thread, without randomness, and keeps rows apart: arrays of leading length n, which are
held in memory where the survey fits (as float16 where they come so). All randomness (augmentation, masks) belongs in
the objective and comes from torch's global generator, which is seeded for every step: so a run that was killed and
goes on gives the same weights, bit by bit, as one that was not.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from kernels.embedding._log import Log
from kernels.embedding.batches import Batch

__all__ = ["Log", "Settings", "Trainable", "Training", "train"]

Objective = Callable[[nn.Module, Any], dict[str, Tensor]]
Data = Callable[[int], Iterable[Any]]


@dataclass(frozen=True)
class Settings:
    """How long and how fast.

    Parameters
    ----------
    steps : updates of the weights. ``batch`` : objects a batch, for who makes the batches.
    lr : peak learning rate of AdamW, after a linear rise over ``warmup`` (share of the steps), then along half a
        cosine to ``final`` times the peak.
    weight_decay : of weights with two dimensions or more. ``clip`` : largest norm of the gradient; 0 for none.
    accumulate : batches whose gradients make one update. ``bf16`` : bfloat16 autocast.
    validate_every : steps between validations, 0 for a twentieth of the run; ``patience`` : validations without a
        better one before the run stops, 0 for never. The best weights are the ones kept.
    checkpoint_every : steps between checkpoints; 0 for a twentieth of the run.
    """

    steps: int = 1000
    batch: int = 64
    lr: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 0.05
    clip: float = 1.0
    accumulate: int = 1
    bf16: bool = False
    seed: int = 0
    validate_every: int = 0
    patience: int = 0
    final: float = 0.02
    betas: tuple[float, float] = (0.9, 0.98)
    checkpoint_every: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "batch", "accumulate"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: one or more")
        if not self.lr > 0 or not 0 <= self.warmup < 1:
            raise ValueError(f"lr={self.lr} must be above 0 and warmup={self.warmup} in [0, 1)")

    def rate(self, step: int) -> float:
        """Learning rate of update ``step`` (0 is the first)."""
        rise = max(1, round(self.warmup * self.steps))
        if step < rise:
            return self.lr * (step + 1) / rise
        along = min(1.0, (step - rise) / max(1, self.steps - rise))
        return self.lr * (self.final + (1 - self.final) * (1 + math.cos(math.pi * along)) / 2)

    @property
    def twentieth(self) -> int:
        """A twentieth of the run in steps, 1 at least."""
        return max(1, self.steps // 20)


@dataclass(frozen=True)
class Training:
    """All that :func:`train` needs to know of one encoder; see the module's text."""

    model: nn.Module
    objective: Objective
    settings: Settings
    inputs: Callable[[Mapping[str, Batch]], dict[str, np.ndarray]]
    weights: Callable[[nn.Module], dict[str, dict[str, Tensor]]]
    meta: dict[str, str] = field(default_factory=dict)


class Trainable(Protocol):
    """What an encoder class gives so that it can be trained on a survey; see the module's text."""

    name: str
    modalities: tuple[str, ...]
    trainings: ClassVar[tuple[tuple[str, ...], ...]]

    @classmethod
    def training(
        cls,
        parts: tuple[str, ...],
        sample: Mapping[str, Batch],
        random_state: int = 0,
        start: Mapping[str, Path] | None = None,
    ) -> Training:
        """Model, objective and settings for one of ``trainings``."""
        ...


def train(
    model: nn.Module,
    objective: Objective,
    data: Data,
    settings: Settings,
    validation: Sequence[Any] | Callable[[], Iterable[Any]] | None = None,
    folder: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
    device: str | torch.device | None = None,
) -> Log:
    """Minimise ``objective(model, batch)["loss"]``; ``model`` holds the best (or else the last) weights afterwards.

    Parameters
    ----------
    data : ``data(seed)`` gives the batches of one pass, the same for the same seed; pass p is asked for with
        ``settings.seed + p``. If what it gives has ``skip(k)``, a resume calls that instead of reading k batches.
    validation : batches whose mean loss (in ``eval`` mode, same random numbers each time) is watched, or a function
        that gives them.
    folder : where ``checkpoint.safetensors``, ``log.csv`` and ``log.png`` are kept. A checkpoint found there is
        gone on from; one of other settings (but for ``steps`` and the like) or of another model is refused.
    progress : called as ``progress(done, total, label)``.

    Raises ``FloatingPointError`` where the loss is not finite, naming the step; a ``KeyboardInterrupt`` writes a
    checkpoint and goes through.
    """
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model.to(place)
    run = _Run(model, objective, settings, validation, folder, place)
    run.resume()
    stream = _stream(data, settings.seed, run.passes, run.taken)
    model.train()
    try:
        while run.log.steps < settings.steps and not run.log.stopped_early:
            run.step(stream)
            if progress:
                progress(run.log.steps, settings.steps, run.label)
    except KeyboardInterrupt:
        run.save()
        raise
    finally:
        close = getattr(stream, "close", None)
        if close:
            close()
    run.save()
    if run.best:
        model.load_state_dict(run.best)
    model.eval()
    return run.log


class _Run:
    """State of one run: what a checkpoint holds."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        settings: Settings,
        validation: Any,
        folder: Path | None,
        device: torch.device,
    ):
        self.model, self.objective, self.settings, self.validation = model, objective, settings, validation
        self.folder, self.device, self.log = folder, device, Log()
        held = [p for p in model.parameters() if p.requires_grad]
        groups = [
            {"params": [p for p in held if p.ndim >= 2], "weight_decay": settings.weight_decay},
            {"params": [p for p in held if p.ndim < 2], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.lr, betas=settings.betas)
        self.passes = self.taken = self.bad = 0
        self.best: dict[str, Tensor] = {}
        self.since: list[dict[str, float]] = []
        self.label = "train"

    def step(self, stream: Iterator[tuple[int, int, Any]]) -> None:
        """One update, and what is due after it: report, validation, checkpoint."""
        started, told = time.monotonic(), self.settings
        number = self.log.steps
        for group in self.optimizer.param_groups:
            group["lr"] = told.rate(number)
        self.optimizer.zero_grad(set_to_none=True)
        figures: dict[str, float] = {}
        for part in range(told.accumulate):
            *place, batch = next(stream)
            found = self._measure(batch, number * told.accumulate + part)
            (found["loss"] / told.accumulate).backward()
            for name, value in found.items():
                figures[name] = figures.get(name, 0.0) + float(value.detach()) / told.accumulate
        if not math.isfinite(figures["loss"]):
            raise FloatingPointError(
                f"the loss is {figures['loss']} at step {number}: lower the learning rate {told.lr:g}"
            )
        if told.clip:
            nn.utils.clip_grad_norm_(self.model.parameters(), told.clip)
        self.optimizer.step()
        self.log.steps += 1
        self.passes, self.taken = place  # with the update: a checkpoint after Ctrl-C counts whole steps
        self.since.append(figures)
        self.log.seconds += time.monotonic() - started
        self._due()

    def _measure(self, batch: Any, turn: int) -> dict[str, Tensor]:
        """The objective on one batch with the random numbers of that turn, the process's own left as they were."""
        bf16 = self.settings.bf16
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16) if bf16 else nullcontext()
        with torch.random.fork_rng([self.device] if self.device.type == "cuda" else []), autocast:
            torch.manual_seed((self.settings.seed * 1_000_003 + turn) % 2**63)
            return self.objective(self.model, _moved(batch, self.device))

    def _due(self) -> None:
        told, done = self.settings, self.log.steps
        last = done == told.steps
        checked = self.validation is not None and (done % (told.validate_every or told.twentieth) == 0 or last)
        if checked or done % max(1, min(50, told.twentieth)) == 0 or last:
            mean = {k: float(np.mean([f[k] for f in self.since])) for k in self.since[0]}
            row = {"step": float(done), "seconds": self.log.seconds, "lr": told.rate(done - 1), **mean}
            self.since = []
            if checked:
                row["validation"] = self._validate()
            self.log.rows.append(row)
            more = f", validation {row['validation']:.4g}" if checked else ""
            self.label = f"loss {row['loss']:.4g}{more}"
        if done % (told.checkpoint_every or told.twentieth) == 0 and not last:
            self.save()

    def _validate(self) -> float:
        given = self.validation() if callable(self.validation) else self.validation
        self.model.eval()
        with torch.no_grad():
            losses = [float(self._measure(batch, 2**40 + i)["loss"]) for i, batch in enumerate(given or ())]
        self.model.train()
        loss = float(np.mean(losses)) if losses else float("nan")
        if math.isnan(self.log.best) or loss < self.log.best:  # a loss that is no number beats nothing
            self.log.best, self.log.best_step, self.bad = loss, self.log.steps, 0
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        else:
            self.bad += 1
            self.log.stopped_early = bool(self.settings.patience) and self.bad >= self.settings.patience
        return loss

    # -- checkpoints --------------------

    def save(self) -> None:
        """Write checkpoint and log; each file is replaced at once."""
        if self.folder is None:
            return
        from safetensors.torch import save_file

        self.folder.mkdir(parents=True, exist_ok=True)
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        for number, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{k}": torch.as_tensor(v) for k, v in state.items()}
        whole = {k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}
        told: dict[str, Any] = {"log": asdict(self.log), "settings": asdict(self.settings), "since": self.since}
        told |= {"passes": self.passes, "taken": self.taken, "bad": self.bad}
        part = self.folder / "checkpoint.safetensors.part"
        save_file(whole, part, {"run": json.dumps(told)})
        os.replace(part, self.folder / "checkpoint.safetensors")
        self.log.write(self.folder)

    def resume(self) -> bool:
        """Take up the checkpoint in the folder, if there is one."""
        path = self.folder / "checkpoint.safetensors" if self.folder else None
        if path is None or not path.exists():
            return False
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            told = json.loads(file.metadata()["run"])
            tensors = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118 (not a mapping)
        _same_settings(told["settings"], self.settings, path)
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
        for name, value in tensors.items():
            kind, rest = name.split(".", 1)
            parts[kind][rest] = value
        try:
            self.model.load_state_dict(parts["model"])
        except RuntimeError as error:
            raise ValueError(f"{path} is of another model; delete it to begin anew ({error})") from error
        self.best = {k: v.to(self.device) for k, v in parts["best"].items()}
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optimizer"].items():
            number, field_name = name.split(".", 1)
            state.setdefault(int(number), {})[field_name] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        self.log, self.since = Log(**told["log"]), told["since"]
        self.passes, self.taken, self.bad = told["passes"], told["taken"], told["bad"]
        return True


_FREE = {"steps", "patience", "validate_every", "checkpoint_every"}
"""Settings that may differ between a checkpoint and the run that goes on from it."""


def _same_settings(old: dict[str, Any], new: Settings, path: Path) -> None:
    now = json.loads(json.dumps(asdict(new)))
    other = [k for k in now if k not in _FREE and old.get(k) != now[k]]
    if other:
        said = ", ".join(f"{k} {old.get(k)} there, {now[k]} here" for k in other)
        raise ValueError(f"{path} was made with other settings ({said}); delete it to begin anew")


def _stream(data: Data, seed: int, passes: int, taken: int) -> Iterator[tuple[int, int, Any]]:
    """``(pass, batches taken of it, batch)`` without end, from where a run stood."""
    while True:
        batches = iter(data(seed + passes))
        skip = getattr(batches, "skip", None)
        if taken and skip:
            skip(taken)
        elif taken:
            for _ in zip(range(taken), batches, strict=False):
                pass
        first = taken
        for batch in batches:
            taken += 1
            yield passes, taken, batch
        if not first and not taken:
            raise ValueError("the data hold no batch: fewer objects than one batch?")
        passes, taken = passes + 1, 0


def _moved(batch: Any, device: torch.device) -> Any:
    """Tensors and arrays of a batch on the device; other things as they are."""
    if isinstance(batch, np.ndarray):
        batch = torch.from_numpy(batch)
    if isinstance(batch, Tensor):
        batch = batch.to(device, non_blocking=True)
        return batch.float() if batch.dtype == torch.float16 else batch
    if isinstance(batch, Mapping):
        return {k: _moved(v, device) for k, v in batch.items()}
    if isinstance(batch, list | tuple):
        return type(batch)(_moved(v, device) for v in batch)
    return batch
