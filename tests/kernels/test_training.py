"""The training loop: schedule, exact resume, early stop, accumulation; InfoNCE in closed form."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from kernels.embedding.objectives.contrastive import found, info_nce
from kernels.embedding.training import Settings, train


def points(seed: int) -> Iterator[dict[str, np.ndarray]]:
    """A pass of nine batches of a line with noise."""
    rng = np.random.default_rng(seed)
    for _ in range(9):
        x = rng.normal(size=(16, 3)).astype(np.float32)
        yield {"x": x, "y": (x @ np.array([1.0, -2.0, 0.5])).astype(np.float32)}


def squares(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """With noise on the input, so that resuming must give back the random numbers too."""
    told = model(batch["x"] + 0.1 * torch.randn_like(batch["x"]))[:, 0]
    return {"loss": ((told - batch["y"]) ** 2).mean(), "size": told.abs().mean()}


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.1), nn.GELU(), nn.Linear(8, 1))


class Killed(Exception):
    pass


@pytest.mark.parametrize("stop", [7, 23, 40])
def test_a_run_that_was_killed_and_goes_on_gives_the_same_weights(tmp_path: Path, stop: int) -> None:
    settings = Settings(steps=45, lr=1e-2, accumulate=2, checkpoint_every=5, validate_every=10)
    checked = list(points(99))
    whole = net()
    log = train(whole, squares, points, settings, checked)

    def kill(done: int, total: int, label: str) -> None:
        if done == stop:
            raise Killed

    with pytest.raises(Killed):
        train(net(), squares, points, settings, checked, tmp_path, kill)
    torch.manual_seed(123)  # the process is another one
    again = net(seed=5)
    resumed = train(again, squares, points, settings, checked, tmp_path)
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert [r["loss"] for r in log.rows] == [r["loss"] for r in resumed.rows]
    assert resumed.steps == 45


def test_training_learns_and_writes_a_log_that_can_be_read(tmp_path: Path) -> None:
    settings = Settings(steps=200, lr=3e-2)
    log = train(net(), squares, points, settings, list(points(99)), tmp_path)
    steps, loss = log.column("loss")
    assert loss[-1] < 0.2 * loss[0]
    assert steps[-1] == 200
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(log.rows)
    assert float(rows[-1]["loss"]) == pytest.approx(loss[-1], rel=1e-4)
    picture = np.asarray(Image.open(tmp_path / "log.png").convert("RGB")).reshape(-1, 3)
    for colour in ((0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)):
        assert (picture == colour).all(axis=1).sum() > 100, "a curve is missing"


def test_the_rate_rises_then_falls_along_a_cosine() -> None:
    settings = Settings(steps=1000, lr=2.0, warmup=0.1, final=0.0)
    assert settings.rate(0) == pytest.approx(0.02)
    assert settings.rate(99) == pytest.approx(2.0)
    assert settings.rate(550) == pytest.approx(1.0)
    assert settings.rate(1000) == pytest.approx(0.0, abs=1e-12)


def test_accumulated_batches_equal_one_large_batch() -> None:
    def plain(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": ((model(batch["x"])[:, 0] - batch["y"]) ** 2).mean()}

    def pairs(seed: int) -> Iterator[dict[str, np.ndarray]]:
        held = list(points(seed))[:8]
        for a, b in zip(held[::2], held[1::2], strict=True):
            yield {k: np.concatenate([a[k], b[k]]) for k in a}

    def singles(seed: int) -> Iterator[dict[str, np.ndarray]]:
        yield from list(points(seed))[:8]

    torch.manual_seed(0)
    one, two = nn.Linear(3, 1), nn.Linear(3, 1)
    two.load_state_dict(one.state_dict())
    train(one, plain, pairs, Settings(steps=6, lr=1e-2))
    train(two, plain, singles, Settings(steps=6, lr=1e-2, accumulate=2))
    torch.testing.assert_close(one.weight, two.weight, rtol=1e-5, atol=1e-6)


def test_no_better_validation_ends_the_run_and_the_best_weights_stay() -> None:
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    worst = [{"x": b["x"], "y": -b["y"]} for b in points(99)]  # validation that training only makes worse
    log = train(model, squares, points, Settings(steps=500, lr=1e-2, validate_every=5, patience=3), worst)
    assert log.stopped_early
    assert log.steps == log.best_step + 15
    model.eval()
    with torch.no_grad():
        assert float(np.mean([float(squares(model, _tensors(b))["loss"]) for b in worst])) < 1.3 * log.best


def test_a_validation_that_is_no_number_is_not_the_best() -> None:
    calls = 0

    def objective(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        nonlocal calls
        found = squares(model, batch)
        if not model.training:
            calls += 1
            found["loss"] = found["loss"] * (math.nan if calls > 2 else 1.0)
        return found

    log = train(net(), objective, points, Settings(steps=20, lr=1e-2, validate_every=5), list(points(99))[:1])
    assert calls == 4
    assert math.isfinite(log.best)
    assert log.best_step in (5, 10)


def test_other_settings_another_model_and_a_loss_that_is_nan_are_refused(tmp_path: Path) -> None:
    train(net(), squares, points, Settings(steps=5), folder=tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(lr 0.001 there, 0.1 here\)"):
        train(net(), squares, points, Settings(steps=9, lr=0.1), folder=tmp_path)
    with pytest.raises(ValueError, match="of another model"):
        train(nn.Linear(3, 1), squares, points, Settings(steps=9), folder=tmp_path)
    assert train(net(), squares, points, Settings(steps=9), folder=tmp_path).steps == 9

    def broken(model: nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {"loss": model(batch["x"]).mean() * float("nan")}

    with pytest.raises(FloatingPointError, match="at step 0"):
        train(net(), broken, points, Settings(steps=2))
    with pytest.raises(ValueError, match="hold no batch"):
        train(net(), squares, lambda seed: iter(()), Settings(steps=2))


def test_info_nce_in_closed_form() -> None:
    one = torch.eye(4, 6)
    t = 0.5
    expected = math.log(1 + 3 * math.exp(-1 / t))  # own pair 1, the three others 0
    assert float(info_nce(one, 3 * one, t)) == pytest.approx(expected, rel=1e-6)
    alike = torch.ones(5, 3)
    assert float(info_nce(alike, alike, t)) == pytest.approx(math.log(5), rel=1e-6)
    assert float(found(one, one.flip(0))) == 0
    assert float(found(one, one)) == 1
    with pytest.raises(ValueError, match="one shape"):
        info_nce(one, one[:3])


def test_info_nce_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7, 5))
    u, v = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    s = u @ v.T / 0.2
    rows = np.mean([np.log(np.exp(s[i]).sum()) - s[i, i] for i in range(7)])
    columns = np.mean([np.log(np.exp(s[:, i]).sum()) - s[i, i] for i in range(7)])
    told = info_nce(torch.from_numpy(a), torch.from_numpy(b), torch.tensor(0.2))
    assert float(told) == pytest.approx((rows + columns) / 2)


def _tensors(batch: dict[str, np.ndarray]) -> dict[str, torch.Tensor]:
    return {k: torch.from_numpy(v) for k, v in batch.items()}
