"""AstroPT: the published counts and names, what a token may see, and the order of patches."""

from __future__ import annotations

import pytest
import torch

from kernels.embedding import files
from kernels.embedding.blocks import parameter_count
from kernels.embedding.models import astropt
from kernels.embedding.models.astropt import AstroPT, Modality


def _small(**more: object) -> AstroPT:
    torch.manual_seed(0)
    return AstroPT({"spectra": Modality(10, 0.5), "images": 12}, (3, 2, 16), block=32, **more).eval()  # type: ignore[arg-type]


def _patches(n: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"images": torch.randn(n, 9, 12), "spectra": torch.randn(n, 7, 10)}


def test_the_published_sizes() -> None:
    with torch.device("meta"):
        assert round(parameter_count(AstroPT({"images": 768})) / 1e6, 2) == 95.18
        assert round(parameter_count(AstroPT({"images": 768}, "001M")) / 1e6, 2) == 1.84
    with pytest.raises(ValueError, match=r"no AstroPT of size '9M'.*001M"):
        AstroPT({"images": 768}, "9M")
    assert astropt.spectrum_patches(torch.randn(1, 7781)).shape == (1, 779, 10)
    assert astropt.image_patches(torch.randn(1, 3, 256, 256)).shape == (1, 256, 768)


def test_images_never_see_the_spectrum_and_no_token_sees_what_comes_after() -> None:
    model, patches = _small(), _patches()
    moved = patches | {"spectra": patches["spectra"] + 1}
    assert torch.equal(model.vectors(patches)["images"], model.vectors(moved)["images"])
    other = patches | {"images": patches["images"] + 1}
    assert not torch.allclose(model.vectors(patches)["spectra"], model.vectors(other)["spectra"])
    late = {k: v.clone() for k, v in patches.items()}
    late["images"][:, 5:] += 1
    before, after = model(patches), model(late)
    assert {k: v.shape[1] for k, v in before.items()} == {"images": 8, "spectra": 7}
    assert torch.equal(before["images"][:, :5], after["images"][:, :5])
    assert not torch.allclose(before["images"][:, 5:], after["images"][:, 5:])


def test_the_loss_is_the_weighted_huber_loss_of_the_next_patch() -> None:
    model, patches = _small(), _patches()
    guess = model(patches)

    def huber(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        d = (a - b).abs()
        return torch.where(d < 1, d**2 / 2, d - 0.5).mean()

    image, spectrum = huber(guess["images"], patches["images"][:, 1:]), huber(guess["spectra"], patches["spectra"])
    assert torch.allclose(model.loss(patches), (image + 0.5 * spectrum) / 2)
    own = huber(model(patches, shift=False)["spectra"], patches["spectra"])
    assert torch.allclose(model.loss(patches, reconstruct=["spectra"]), (image + 0.5 * own) / 2)
    weights = {"images": torch.zeros(2, 9, 1)}
    assert torch.allclose(model.loss(patches, weights=weights), 0.25 * spectrum)


def test_vectors_are_the_mean_after_the_middle_block() -> None:
    model, patches = _small(), _patches()
    seen = []
    list(model.transformer["h"])[1].register_forward_hook(lambda *a: seen.append(a[2]))  # type: ignore[call-overload]
    got = model.vectors(patches)
    assert len(seen) == 1
    assert torch.allclose(got["images"], seen[0][:, :9].mean(1), atol=1e-6)
    assert torch.allclose(got["spectra"], seen[0][:, 9:].mean(1), atol=1e-6)
    keep = {"images": torch.arange(9).expand(2, 9) < 4}
    assert torch.allclose(model.vectors(patches, keep=keep)["images"], seen[0][:, :4].mean(1), atol=1e-6)


@pytest.mark.parametrize("tokeniser", ["aim", "affine", "v1"])
@pytest.mark.parametrize("family", ["v2", "main", "v1"])
def test_all_families_of_names_are_read(tokeniser: str, family: str) -> None:
    torch.manual_seed(0)
    sizes = {"images": 12} if family == "v1" else {"images": 12, "spectra": Modality(10, positions=4)}
    model = AstroPT(sizes, (3, 2, 16), 32, tokeniser, inner=20).eval()  # type: ignore[arg-type]
    state = model.state_dict()
    if family == "main":
        new = {"transformer.wte.": "encoders.", "transformer.wpe.": "embedders.", "lm_head.": "decoders."}
        for old, now in new.items():
            state = {k.replace(old, now, 1) if k.startswith(old) else k: v for k, v in state.items()}
    if family == "v1":
        if tokeniser != "v1":
            pytest.skip("version 1 has its own tokeniser")
        state = {k.replace("images.wpe.", "", 1).replace("images.", "", 1): v for k, v in state.items()}
        assert {"transformer.wte.0.weight", "transformer.wpe.weight", "lm_head.4.bias"} <= set(state)
    read = astropt.from_state(dict(state), heads=2).eval()
    assert files.manifest(read) == files.manifest(model)
    patches = {"images": torch.randn(1, 9, 12)}
    assert torch.equal(read(patches)["images"], model(patches)["images"])


def test_weights_of_something_else_are_named() -> None:
    with pytest.raises(files.WrongWeights, match="not the weights of AstroPT"):
        astropt.from_state({"blocks.0.weight": torch.zeros(2)})
    state = dict(_small().state_dict())
    with pytest.raises(files.WrongWeights, match="no published size"):
        astropt.from_state(state)
    del state["transformer.h.1.mlp.c_fc.weight"]
    with pytest.raises(files.WrongWeights, match=r"1 of \d+ missing \(transformer.h.1.mlp.c_fc.weight\)"):
        astropt.from_state(state, heads=2)


def test_bad_input_is_named() -> None:
    model = _small()
    with pytest.raises(ValueError, match="images: patches of 11 values, not of 12"):
        model({"images": torch.zeros(1, 3, 11)})
    with pytest.raises(ValueError, match="no patches of images, spectra among sound"):
        model({"sound": torch.zeros(1, 3, 11)})
    with pytest.raises(ValueError, match="position 39 is beyond the block of 32 tokens"):
        model({"images": torch.zeros(1, 40, 12)})
    with pytest.raises(ValueError, match="needs a square image, not 32 x 48"):
        astropt.image_patches(torch.zeros(1, 1, 32, 48))


def test_the_spiral_starts_in_the_centre_and_steps_to_neighbours() -> None:
    assert astropt.spiral(3).tolist() == [4, 3, 6, 7, 8, 5, 2, 1, 0]
    for side in (4, 5, 14):
        order = astropt.spiral(side)
        assert sorted(order.tolist()) == list(range(side * side))
        rows, columns = order // side, order % side
        assert ((rows.diff().abs() + columns.diff().abs()) == 1).all()
        assert abs(int(rows[0]) - (side - 1) / 2) <= 0.5
        assert abs(int(columns[0]) - (side - 1) / 2) <= 0.5


def test_patches_are_standardised_and_spectra_scaled() -> None:
    images = torch.randn(2, 3, 32, 32) * 5 + 3
    patches = astropt.image_patches(images)
    assert torch.allclose(patches.mean(-1), torch.zeros(2, 4), atol=1e-5)
    assert torch.allclose(patches.std(-1), torch.ones(2, 4), atol=1e-4)
    raw = astropt.image_patches(images, standardise=False, order="raster")
    assert torch.equal(raw[0, 1], images[0, :, :16, 16:].permute(1, 2, 0).reshape(-1))
    flux = torch.randn(2, 23) * 4
    cut = astropt.spectrum_patches(flux, length=20, patch=6)
    assert cut.shape == (2, 4, 6)
    assert torch.allclose(cut.reshape(2, -1)[:, :20], (flux / flux.std(-1, keepdim=True))[:, :20])
    assert (cut.reshape(2, -1)[:, 20:] == 0).all()
    assert torch.allclose(astropt.wavelength_patches(torch.tensor([[3000.0, 10000.0]]), 4)[0, 0],
                          torch.tensor([0.0, 1.0, 0.0, 0.0]))  # fmt: skip
