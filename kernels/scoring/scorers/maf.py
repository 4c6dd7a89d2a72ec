"""Negative log-likelihood under a masked autoregressive flow: improbable is rare (P0.7)."""

from __future__ import annotations

from typing import Any

import numpy as np

from kernels.scoring import _coordinates
from kernels.scoring._rows import as_rows, finite, fitting_rows, fold_of, like, spread

PRESETS: dict[str, dict[str, Any]] = {
    # the paper names the flow, neither its size nor its training: a flow on the standardised embedding itself
    "paper": {"pca": None, "clip": None},
    # the public code of the paper in its autoregressive form: PCA(100), z-score, 8 sigma, small and short
    "fmb": {
        "pca": 100, "clip": 8.0, "layers": 4, "hidden": 16, "blocks": 2, "epochs": 5, "batch": 24, "lr": 1e-4,
        "weight_decay": 1e-5, "folds": 1, "holdout": 0.0,
    },
}  # fmt: skip
LEAST = 8  # rows
CPU_DIMENSIONS = 64
STEPS = 1000  # of the optimiser, where the epochs are not given


class MAF:
    """Negative log-likelihood (nats) under a masked autoregressive flow.

    Papamakarios, Pavlakou & Murray 2017 (arXiv:1705.07057). A flow remembers the rows it was trained on, so
    ``fit_score`` trains one flow for each of ``folds`` parts on the other parts, all at once, and ``anomaly_score``
    afterwards is the mean over them. ``fit`` alone trains one flow on all rows but those held out to stop early.

    Parameters
    ----------
    layers, hidden, blocks : autoregressive layers; hidden units; residual blocks in each. More than 64 hidden units
        are used only up to 16 an input: beyond, a flow of few columns gains nothing (``hidden_`` says how many).
    pca : ``"auto"`` (at most 64 principal components on a CPU, none on a GPU), ``None`` for none, or a number.
    degrees : ``"spread"`` wires every input at any width; ``"nflows"`` is the network of that library with its
        unbounded softplus scale.
    preset : ``"paper"`` (no PCA) or ``"fmb"`` (the paper's public code: PCA 100, 8 sigma, four small layers, five
        epochs, trained on what it scores); a preset overrides the parameters that it names.
    backend : ``"torch"``, or ``"nflows"`` to train and score with nflows itself, as a reference.
    folds : parts of the cross-fit; 1 scores the training rows with the flow that saw them. ``"auto"`` is 5 up to 2,000
        rows, 3 up to 10,000 and 2 beyond.
    epochs, batch, lr, weight_decay, patience, holdout : training by Adam, stopped when the held-out share has not
        improved for ``patience`` epochs; without ``holdout`` all epochs run. ``epochs=None`` is what makes about 1,000
        steps, between 15 and 100.
    clip : standard deviations beyond which rows are drawn in, when trained on and when scored; ``None``: never when
        scored.
    precision : ``"float32"``, ``"float64"`` or ``"bfloat16"``; the last for scoring alone, and only where its ranks
        agree with those of float32 (Spearman above 0.999 on a sample; ``precision_`` says which was used).
    device : ``None`` is where the rows are: the CPU, or the GPU of a tensor.
    random_state : seed of folds, weights and batches.

    Attributes
    ----------
    coordinates_ : one a flow; the PCA and scaling that the likelihood refers to (``record()`` for provenance).
    base_, logdet_, typicality_ : (n,) float64 of the rows scored last: the two terms of the log-likelihood, and how
        far the score is from the mean of the held-out rows, either way (Nalisnick et al. 2019, arXiv:1906.02994).
    n_non_finite_ : how many finite rows among them had a score that is not finite.
    history_ : held-out loss of every epoch.
    """

    name = "maf"

    def __init__(
        self,
        layers: int = 5,
        hidden: int = 512,
        blocks: int = 2,
        pca: int | str | None = "auto",
        degrees: str = "spread",
        preset: str | None = None,
        backend: str = "torch",
        folds: int | str = "auto",
        epochs: int | None = None,
        batch: int = 256,
        lr: float = 3e-3,
        weight_decay: float = 0.0,
        patience: int = 6,
        holdout: float = 0.1,
        clip: float | None = None,
        precision: str = "float32",
        device: str | None = None,
        random_state: int | None = None,
        progress: Any = None,
    ):
        self.layers, self.hidden, self.blocks, self.pca, self.degrees = layers, hidden, blocks, pca, degrees
        self.preset, self.backend, self.folds = preset, backend, folds
        self.epochs, self.batch, self.lr, self.weight_decay = epochs, batch, lr, weight_decay
        self.patience, self.holdout, self.clip = patience, holdout, clip
        self.precision, self.device, self.random_state, self.progress = precision, device, random_state, progress

    def fit(self, X: Any) -> MAF:
        """Train one flow on the rows ``X`` (n, d); returns self."""
        rows, _ = fitting_rows(X, self.name, LEAST)
        return self._train([rows], X)

    def fit_score(self, X: Any) -> Any:
        """(n,) float64 score of the rows ``X`` (n, d), each under a flow that did not see it.

        Scores of the folds are brought to one median: two flows never agree on the constant.
        """
        rows, good = fitting_rows(X, self.name, LEAST)
        folds = self._settings()["folds"]
        if folds == "auto":
            folds = 5 if len(rows) <= 2000 else 3 if len(rows) <= 10_000 else 2
        elif not isinstance(folds, int | np.integer) or folds < 1:
            raise ValueError(f"folds={folds!r}: 'auto' or a number, at least 1")
        folds = min(folds, len(rows) // 4)
        if folds < 2:
            self._train([rows], X)
            return self.anomaly_score(X)
        fold = fold_of(len(rows), folds, self.random_state)
        self._train([rows[fold != f] for f in range(folds)], X)
        base, logdet = np.empty(len(rows)), np.empty(len(rows))
        for f in range(folds):
            base[fold == f], logdet[fold == f] = self._terms(rows[fold == f], f)
        middle = [np.median(-(base + logdet)[fold == f]) for f in range(folds)]
        offset = np.array(middle) - np.mean(middle)
        return like(self._told(base + offset[fold], logdet, good), X)

    def anomaly_score(self, Y: Any) -> Any:
        """(m,) float64 negative log-likelihood of new rows ``Y`` (m, d), the mean over the flows that were trained.

        Higher is more anomalous; NaN for a row with a NaN.
        """
        if not hasattr(self, "engine_"):
            raise RuntimeError("this MAF holds no flow yet: call fit(X) or fit_score(X) first")
        rows = as_rows(Y, self.name, self.n_features_in_)
        good = finite(rows)
        terms = [self._terms(rows[good], m) for m in range(self.engine_.members)]
        base, logdet = (np.mean([t[i] for t in terms], axis=0) for i in (0, 1))
        return like(self._told(base, logdet, good), Y)

    def _settings(self) -> dict[str, Any]:
        """The parameters with the preset's own in their place."""
        if self.preset is not None and self.preset not in PRESETS:
            raise ValueError(f"preset={self.preset!r} is unknown: choose one of {', '.join(PRESETS)} or None")
        return {**vars(self), **PRESETS.get(self.preset or "", {})}

    def _train(self, parts: list[np.ndarray], X: Any) -> MAF:
        import torch

        from kernels.scoring._flow_engine import Plan
        from kernels.scoring._flow_train import train

        told = self._settings()
        device = self._device(X)
        if self.precision not in ("float32", "float64", "bfloat16"):
            raise ValueError(f"precision={self.precision!r} is unknown: choose float32, float64 or bfloat16")
        self.n_features_in_ = parts[0].shape[1]
        pca = told["pca"]
        if pca == "auto":
            pca = CPU_DIMENSIONS if device.type == "cpu" else None
        elif pca is not None and (not isinstance(pca, int | np.integer) or pca < 1):
            raise ValueError(f"pca={pca!r}: 'auto', None or a number of components, at least 1")
        coordinates = [_coordinates.fit(part, pca, told["clip"]) for part in parts]
        narrow = min(c.width for c in coordinates)
        if any(c.width != narrow for c in coordinates):  # a column that is constant in one fold alone
            coordinates = [_coordinates.fit(part, narrow, told["clip"]) for part in parts]
        self.coordinates_ = coordinates
        names = ("epochs", "batch", "lr", "weight_decay", "patience", "holdout")
        if told["epochs"] is None:
            told["epochs"] = int(np.clip(STEPS * told["batch"] / max(map(len, parts)), 15, 100))
        plan = Plan(**{k: told[k] for k in names})
        seeds = [np.random.default_rng(s) for s in np.random.SeedSequence(self.random_state).spawn(len(parts))]
        self.dtype_ = torch.float64 if self.precision == "float64" else torch.float32
        self.device_ = device
        self.engine_ = self._engine(narrow, told, plan, seeds)
        rows = [c.apply(part) for c, part in zip(coordinates, parts, strict=True)]
        self.history_ = train(self.engine_, rows, plan, seeds, device, self.dtype_, self.progress)
        self.precision_ = self._agreed_precision(rows[0]) if self.precision == "bfloat16" else self.precision
        self.usual_ = self._usual()
        return self

    def _engine(self, width: int, told: dict[str, Any], plan: Any, seeds: list[np.random.Generator]) -> Any:
        from kernels.scoring._flow import Flow
        from kernels.scoring._flow_engine import FlowEngine

        for what in ("hidden", "layers", "blocks"):
            if told[what] < 1:
                raise ValueError(f"{what}={told[what]}: at least 1")
        self.hidden_ = min(told["hidden"], max(64, 16 * width))
        shape = (self.hidden_, told["layers"], told["blocks"])
        if self.backend == "nflows":
            from kernels.scoring._flow_nflows import NflowsEngine, build

            return NflowsEngine(build(width, *shape, seeds, self.dtype_, self.device_), plan)
        if self.backend != "torch":
            raise ValueError(f"backend={self.backend!r} is unknown: choose torch or nflows")
        scale = "softplus" if self.degrees == "nflows" else "bounded"
        flow = Flow(width, *shape, len(seeds), self.degrees, scale, True, self.dtype_, self.device_)
        return FlowEngine(flow.initialise(seeds), plan)

    def _device(self, X: Any) -> Any:
        import torch

        if self.device is not None:
            return torch.device(self.device)
        return X.device if hasattr(X, "detach") and X.device.type == "cuda" else torch.device("cpu")

    def _terms(self, rows: np.ndarray, member: int) -> tuple[np.ndarray, np.ndarray]:
        """Base and log-determinant terms (n,) of finite rows (n, d) in the units of the standardised coordinates."""
        from kernels.scoring._flow_train import score_terms

        return score_terms(self.engine_, self.coordinates_[member].apply(rows), member, self.device_, self.dtype_)

    def _agreed_precision(self, rows: np.ndarray) -> str:
        """``"bfloat16"`` where its ranks are those of float32 on a sample of coordinates (n, k), else ``"float32"``."""
        from scipy.stats import spearmanr

        from kernels.scoring._flow_train import score_terms

        if not hasattr(self.engine_, "low_precision"):
            return "float32"
        sample = rows[:4000]
        fine = np.add(*score_terms(self.engine_, sample, 0, self.device_, self.dtype_))
        self.engine_.low_precision = True
        coarse = np.add(*score_terms(self.engine_, sample, 0, self.device_, self.dtype_))
        self.precision_spearman_ = float(spearmanr(fine, coarse).statistic)
        self.engine_.low_precision = bool(self.precision_spearman_ > 0.999)
        return "bfloat16" if self.engine_.low_precision else "float32"

    def _usual(self) -> float:
        """Mean held-out loss of the epochs that were kept: the score of a typical row."""
        best = self.history_.best_epoch
        return float(np.mean([self.history_.held_out[e][m] for m, e in enumerate(best)]))

    def _told(self, base: np.ndarray, logdet: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Scores (n,) in their places; keeps the terms and the counts beside them."""
        score = spread(-(base + logdet), good)
        self.base_, self.logdet_ = np.full(len(good), np.nan), np.full(len(good), np.nan)
        self.base_[good], self.logdet_[good] = base, logdet
        self.typicality_ = np.abs(score - self.usual_)
        self.n_non_finite_ = int(np.count_nonzero(~np.isfinite(score[good])))
        return score
