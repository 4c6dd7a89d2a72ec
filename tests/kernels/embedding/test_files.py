"""Weights on disk: nothing in a file is ever run, and a wrong file is named with what is wrong in it."""

from __future__ import annotations

import argparse
import collections
import os
import pickle
import sys
import types
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from kernels.embedding import files
from kernels.embedding._unpickle import Stub, read_pickle


class Harmful:
    """Unpickling it would make a file."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    base = torch.randn(6, 4)
    return collections.OrderedDict(
        a=base, b=base.t(), c=base[2:4, 1:3], half=torch.randn(3).half(), brain=torch.randn(3).bfloat16(),
        ids=torch.arange(5), flag=torch.tensor([True, False]), one=torch.tensor(2.5, dtype=torch.float64),
        none=torch.zeros(0, 3), parameter=torch.nn.Parameter(torch.randn(2, 2)),
    )  # fmt: skip


def _same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert set(found) == set(wanted)
    for k, v in wanted.items():
        assert found[k].dtype == v.dtype, k
        assert torch.equal(found[k], v.detach()), k


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("key", [None, "state_dict", "model"])
def test_what_torch_wrote_is_read_as_torch_reads_it(tmp_path: Path, new: bool, key: str | None) -> None:
    path = tmp_path / "model.pt"
    torch.save({key: _state(), "config": {"width": 4}} if key else _state(), path, _use_new_zipfile_serialization=new)
    _same(files.load_weights(path), _state())
    assert files.converted_path(path).is_file()
    _same(files.load_weights(path), _state())
    meta = files.load_meta(files.converted_path(path))
    assert meta["source_sha256"] == files.digest(path)
    assert meta.get("config") == ('{"width": 4}' if key else None)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_pickle_that_would_run_code_does_not(tmp_path: Path, new: bool) -> None:
    path, trace = tmp_path / "bad.ckpt", tmp_path / "ran"
    torch.save({"state_dict": _state(), "hook": Harmful(trace)}, path, _use_new_zipfile_serialization=new)
    _same(files.load_weights(path), _state())
    assert not trace.exists()
    assert isinstance(read_pickle(path)["hook"], Stub)
    torch.load(path, weights_only=False)
    assert trace.exists(), "the file does nothing: the test proves nothing"


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("os", "system"), ("torch.serialization", "load"), ("torch._utils", "sys.modules"),
     ("kernels.embedding.files", "load_weights"), ("numpy", "load"), ("builtins", "getattr")],
)  # fmt: skip
def test_no_name_but_the_few_known_is_looked_up(tmp_path: Path, module: str, name: str) -> None:
    path = tmp_path / "x.pt"
    program = b"\x80\x04" + f"c{module}\n{name}\n".encode() + b"(X\x01\x00\x00\x001tR."
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", program)
    assert isinstance(read_pickle(path), Stub)


class Stored:
    """Is pickled as a reference to a storage of 16 kB."""


class References(pickle.Pickler):
    def persistent_id(self, thing: Any) -> Any:
        return ("storage", torch.FloatStorage, str(id(thing)), "cpu", 4000, None) if isinstance(thing, Stored) else None


def test_a_small_file_does_not_become_a_large_one(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/data.pkl", b"0" * 10_000_000)
    with pytest.raises(files.BrokenFile, match=r"bomb\.pt: its parts are compressed"):
        files.load_weights(path)
    with (tmp_path / "old.pt").open("wb") as file:
        for part in (0x1950A86A20F9469CFC6C, 1001, {}):
            pickle.dump(part, file, protocol=2)
        References(file, protocol=2).dump([Stored(), Stored()])
        file.write(b"0" * 20_000)
    with pytest.raises(files.BrokenFile, match=r"old\.pt: storage .* is larger than the file"):
        files.load_weights(tmp_path / "old.pt")


def test_lightning_checkpoints_with_whole_modules_in_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hyper-parameters hold a module and a class that are not here when the file is read."""
    path = tmp_path / "lightning.ckpt"
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    gone = types.ModuleType("a_package_that_goes")
    gone.Backbone = type("Backbone", (torch.nn.Sequential,), {"__module__": gone.__name__})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, gone.__name__, gone)
    inner = gone.Backbone(module)
    hyper = {"encoder": inner, "options": argparse.Namespace(a=1), "lr": 0.1, "names": {"x"}, "d": {1: module}}
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": hyper, "epoch": 3}, path)
    monkeypatch.delitem(sys.modules, gone.__name__)
    with pytest.raises(ModuleNotFoundError):
        torch.load(path, weights_only=False)
    _same(files.load_weights(path), module.state_dict())
    assert files.load_meta(files.converted_path(path))["epoch"] == "3"


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_a_truncated_file_is_named(tmp_path: Path, kind: str, share: float) -> None:
    path = tmp_path / ("w.safetensors" if kind == "safetensors" else "w.pt")
    state = {"a": torch.randn(40, 40), "b": torch.randn(30)}
    if kind == "safetensors":
        files.save_weights(path, state)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(files.BrokenFile, match=r"w\.(pt|safetensors): .*(again|no safetensors|torch)"):
        files.load_weights(path)
    assert not files.converted_path(path).exists()


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing\.pt"):
        files.load_weights(tmp_path / "nothing.pt")
    page = tmp_path / "page.pt"
    page.write_text("<html>404 not found</html>")
    with pytest.raises(files.BrokenFile, match=r"page\.pt"):
        files.load_weights(page)
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(files.BrokenFile, match="none that torch wrote"):
        files.load_weights(plain)
    empty = tmp_path / "empty.pt"
    torch.save({"optimizer": {}, "epoch": 3}, empty)
    with pytest.raises(files.BrokenFile, match=r"no state dict in it .*optimizer, epoch"):
        files.load_weights(empty)


def test_a_tensor_that_reaches_beyond_its_storage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "far.pt"
    torch.save({"a": torch.arange(8.0)}, path)
    with zipfile.ZipFile(path) as archive:
        held = {n: archive.read(n) for n in archive.namelist()}
    name = next(n for n in held if n.endswith("data.pkl"))
    assert held[name].count(b"K\x08\x85") == 1, "the size (8,) of the tensor"
    held[name] = held[name].replace(b"K\x08\x85", b"K\x7f\x85")
    with zipfile.ZipFile(path, "w") as archive:
        for n, data in held.items():
            archive.writestr(n, data)
    with pytest.raises(files.BrokenFile, match="beyond its storage"):
        files.load_weights(path)


def test_save_and_load_with_text_and_compiled_names(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    files.save_weights(path, {f"module._orig_mod.{k}": v for k, v in _state().items()}, {"seed": "3"})
    _same(files.load_weights(path), _state())
    assert files.load_meta(path) == {"seed": "3"}
    assert [p.name for p in tmp_path.iterdir()] == ["w.safetensors"]


def test_weights_of_another_model_are_named() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    state = dict(model.state_dict())
    files.check_manifest(state, files.manifest(model), "mine")
    state["0.weight"] = torch.zeros(4, 3)
    state["extra"] = state.pop("1.bias")
    with pytest.raises(files.WrongWeights) as told:
        files.load_into(model, state, "mine")
    text = str(told.value)
    for part in ("weights of mine", "1 of 4 missing (1.bias)", "0.weight is 4 x 3, not 2 x 3", "1 left over (extra)"):
        assert part in text
    good = {k: v + 1 for k, v in model.state_dict().items()}
    files.load_into(model, good | {"decoder.x": torch.zeros(1)}, "mine", ignore=["decoder."])
    _same(dict(model.state_dict()), good)
