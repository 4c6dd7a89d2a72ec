"""AstroPT against the published package, which is run and never read: the same names, predictions, loss and vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from kernels.embedding import files
from kernels.embedding.models import astropt
from kernels.embedding.models.astropt import AstroPT, Modality
from tests.parity.conftest import farthest, reference, shuffle
from tests.parity.manifests import read


def _theirs(modalities: list[dict[str, Any]], **config: Any) -> Any:
    model = reference("astropt.model")
    kinds = [model.ModalityConfig(**m) for m in modalities]
    return model.GPT(model.GPTConfig(modalities=kinds, **config), model.ModalityRegistry(kinds)).eval()


@pytest.mark.parametrize("tokeniser", ["aim", "affine"])
@pytest.mark.parametrize("table", [True, False], ids=["positions", "wavelengths"])
def test_predictions_loss_and_vectors_agree(tokeniser: str, table: bool) -> None:
    theirs = _theirs(
        [{"name": "spectra", "input_size": 10, "pos_input_size": 1 if table else 10, "patch_size": 10,
          "embed_pos": table, "loss_weight": 0.5},
         {"name": "images", "input_size": 12, "pos_input_size": 1, "patch_size": 2, "embed_pos": True}],
        block_size=64, n_layer=5, n_head=2, n_embd=16, tokeniser=tokeniser)  # fmt: skip
    shuffle(theirs, spread=0.3)
    ours = astropt.from_state(theirs.state_dict(), heads=2, weights={"spectra": 0.5}).eval()
    patches = {"images": torch.randn(2, 9, 12), "spectra": torch.randn(2, 7, 10)}
    places = {"images": torch.arange(9).expand(2, -1)}
    places["spectra"] = torch.arange(7).expand(2, -1) if table else torch.randn(2, 7, 10)
    given = patches | {f"{k}_positions": v for k, v in places.items()}
    with torch.no_grad():
        targets = {"images": patches["images"][:, 1:], "spectra": patches["spectra"]}
        predicted, loss = theirs(given, targets=targets)
        got = ours(patches, places)
        for name in patches:
            assert farthest(got[name], predicted[name]) < 1e-5
        assert abs(float(ours.loss(patches, places)) - float(loss)) < 1e-6
        for reduction in ("mean", "last"):
            vectors = theirs.generate_embeddings(given, reduction=reduction)
            mine = ours.vectors(patches, places, reduction=reduction)
            for name in patches:
                assert farthest(mine[name], vectors[name]) < 1e-5


def test_the_manifest_is_that_of_the_package() -> None:
    image = {"name": "images", "input_size": 768, "pos_input_size": 1, "patch_size": 16, "embed_pos": True}
    with torch.device("meta"):
        ours = files.manifest(AstroPT({"images": Modality(768)}, "070M"))
    theirs = files.manifest(_theirs([image], block_size=1024, n_layer=12, n_head=12, n_embd=768, n_chan=3))
    assert ours == theirs == read("astropt-070M")


def test_a_checkpoint_with_the_packages_own_classes_is_read_without_them(tmp_path: Path) -> None:
    theirs = _theirs([{"name": "images", "input_size": 12, "pos_input_size": 1, "patch_size": 2, "embed_pos": True}],
                     block_size=16, n_layer=2, n_head=2, n_embd=8)  # fmt: skip
    path = tmp_path / "ckpt.pt"
    torch.save({"model": theirs.state_dict(), "modality_registry": theirs.modality_registry, "iter_num": 3,
                "best_val_loss": np.float64(0.5), "config": {"n_head": 2}}, path)  # fmt: skip
    assert b"astropt.model" in path.read_bytes()
    found = files.load_weights(path)
    assert files.manifest(found) == files.manifest(theirs)
    assert all(torch.equal(v, found[k]) for k, v in theirs.state_dict().items())
    assert files.load_meta(files.converted_path(path))["config"] == '{"n_head": 2}'
