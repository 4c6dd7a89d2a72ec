"""AION: counts of the published encoder and tokenizers, no silent truncation, no change of what is given, bad input."""

from __future__ import annotations

import pytest
import torch

from kernels.embedding.blocks import parameter_count
from kernels.embedding.models.aion import TOKENS, Aion, TokenBudget
from kernels.embedding.models.aion_tokenizers import (
    BANDS,
    HSC_SCALE,
    ImageTokenizer,
    ScalarTokenizer,
    SpectrumTokenizer,
    interpolate,
)

HSC = ("HSC-G", "HSC-R", "HSC-I", "HSC-Z", "HSC-Y")
DES = ("DES-G", "DES-R", "DES-Z")


def _small(**more: object) -> Aion:
    torch.manual_seed(0)
    return Aion(("tok_image", "tok_spectrum_desi", "tok_z"), (2, 32, 4), **more).eval()  # type: ignore[arg-type]


def _tokens(n: int = 2) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return {"tok_image": torch.randint(4375, (n, 576)), "tok_spectrum_desi": torch.randint(1024, (n, 273))}


def _image_tokenizer() -> ImageTokenizer:
    torch.manual_seed(0)
    return ImageTokenizer(hidden=32, units=1).eval()


def _spectrum_tokenizer() -> SpectrumTokenizer:
    torch.manual_seed(0)
    return SpectrumTokenizer((1, 1, 1, 1), (8, 8, 16, 16), (1, 1, 1, 1), (16, 8, 8, 2)).eval()


def test_the_published_counts() -> None:
    with torch.device("meta"):
        model = Aion(list(TOKENS))
        image = ImageTokenizer()
    assert len(TOKENS) == 40
    assert round(parameter_count(model.encoder) / 1e6, 2) == 84.95
    assert round(parameter_count(model.encoder_embeddings) / 1e6, 1) == 38.5
    assert round(parameter_count(image) / 1e6, 2) == 70.06
    keys = set(model.state_dict())
    assert {
        "encoder.11.mlp.fc3.weight",
        "encoder.0.norm1.bias",
        "encoder_embeddings.tok_z.mod_emb",
        "encoder_embeddings.tok_image.pos_emb",
        "decoder_proj_context.bias",
        "encoder_norm.bias",
    } <= keys
    assert not any(k.endswith("attn.qkv.bias") for k in keys)


def test_an_image_with_a_spectrum_is_not_the_image_alone() -> None:
    model, tokens = _small(), _tokens()
    alone = model.vectors({"tok_image": tokens["tok_image"]})
    both = model.vectors(tokens)
    assert not torch.allclose(alone, both, atol=1e-3)
    cut = model.vectors(tokens, how="parity")
    assert torch.equal(cut, model.vectors({"tok_image": tokens["tok_image"]}, how="parity")), "what parity repeats"


def test_no_token_is_cut_off_in_silence() -> None:
    model, tokens = _small(), _tokens()
    with pytest.raises(
        TokenBudget, match="256 tokens holds not all of 576 of tok_image \\+ 273 of tok_spectrum_desi: give 849"
    ):
        model(tokens, budget=256)
    assert model(tokens).shape == (2, 849, 32)
    assert torch.equal(model(tokens, budget=849), model(tokens, budget=900))
    assert model(tokens, how="parity").shape == (2, 256, 32)
    assert model(tokens, budget=600, how="parity").shape == (2, 600, 32)


def test_masked_tokens_and_registers() -> None:
    model, tokens = _small(registers=3, qk_norm=True), _tokens()
    assert model(tokens).shape == (2, 852, 32)
    keep = {"tok_image": torch.rand(2, 576) > 0.4}
    other = {**tokens, "tok_image": torch.where(keep["tok_image"], tokens["tok_image"], 7)}
    a, b = model(tokens, keep=keep), model(other, keep=keep)
    assert torch.allclose(a, b, atol=1e-5)
    assert not torch.allclose(a, model(tokens), atol=1e-3)


def test_tokens_of_another_kind_are_named() -> None:
    model, tokens = _small(), _tokens()
    with pytest.raises(ValueError, match="tokens of tok_ra: this AION reads tok_image, tok_spectrum_desi, tok_z"):
        model({"tok_ra": torch.zeros(1, 1, dtype=torch.long)})
    with pytest.raises(ValueError, match=r"tok_image: tokens of shape \(2, 500\), not \(n, 576\)"):
        model({"tok_image": tokens["tok_image"][:, :500]})
    with pytest.raises(ValueError, match="token 5000 is outside the vocabulary of 4375"):
        model({"tok_image": tokens["tok_image"].clamp(min=5000)})
    with pytest.raises(ValueError, match="no AION of size 'tiny'"):
        Aion(size="tiny")
    with pytest.raises(ValueError, match="no kind of tokens named 'tok_smell'"):
        Aion(["tok_smell"])
    with pytest.raises(ValueError, match="how='half'"):
        model(tokens, how="half")


def test_a_published_configuration_makes_its_encoder() -> None:
    config = {
        "domains_in": ["tok_image", "tok_z"],
        "domains_out": ["tok_z"],
        "dim": 32,
        "encoder_depth": 2,
        "decoder_depth": 1,
        "num_heads": 4,
        "mlp_ratio": 4.0,
        "qkv_bias": False,
        "proj_bias": False,
        "mlp_bias": False,
        "norm_bias": False,
        "act_layer": "SiLU",
        "gated_mlp": True,
        "qk_norm": True,
    }
    model = Aion.from_config({"config": config})
    assert model.kinds == ["tok_image", "tok_z"]
    assert model.encoder[0].attn.q_norm is not None
    assert model.encoder[0].mlp.fc1.weight.shape == (85, 32)
    assert Aion.from_config(config, ["tok_z"]).kinds == ["tok_z"]
    with pytest.raises(ValueError, match="biases in some"):
        Aion.from_config({**config, "qkv_bias": True})


@pytest.mark.parametrize("bands", [HSC, DES, ("DES-Z",)])
def test_images_to_tokens_and_back_without_changing_them(bands: tuple[str, ...]) -> None:
    tokenizer = _image_tokenizer()
    pixels = torch.randn(2, len(bands), 101, 110) * 30
    pixels[0, 0, 50, 50] = float("nan")
    before = pixels.clone()
    with torch.no_grad():
        ids = tokenizer.encode(pixels, bands)
        assert torch.equal(torch.nan_to_num(pixels), torch.nan_to_num(before)), "the images were changed in place"
        assert torch.equal(ids, tokenizer.encode(pixels, bands))
        back = tokenizer.decode(ids, bands)
        assert torch.allclose(back, tokenizer.through(pixels, bands), rtol=1e-4, atol=1e-4)
    assert ids.shape == (2, 576)
    assert 0 <= int(ids.min()) <= int(ids.max()) < 4375
    assert back.shape == (2, len(bands), 96, 96)


def test_units_bands_and_order_of_images() -> None:
    tokenizer = _image_tokenizer()
    pixels = torch.randn(1, 5, 96, 96) * 60
    got, present = tokenizer.prepare(pixels, HSC)
    assert present.tolist() == [True] * 5 + [False] * 4
    limits = torch.tensor([80.0, 110, 200, 330, 500])[:, None, None]
    wanted = torch.arcsinh(pixels.clamp(-limits, limits) / HSC_SCALE / 0.01) * 0.1
    assert torch.allclose(got[:, :5], wanted, atol=1e-5)
    assert pytest.approx(63.0957, abs=1e-3) == HSC_SCALE
    swapped = [HSC[i] for i in (2, 0, 1, 4, 3)]
    assert torch.equal(got, tokenizer.prepare(pixels[:, [2, 0, 1, 4, 3]], swapped)[0]), "the order is that of the names"
    des = tokenizer.prepare(pixels[:, :1], ("DES-R",))[0]
    assert list(BANDS)[6] == "DES-R"
    assert torch.allclose(des[:, 6], torch.arcsinh(pixels[:, 0].clamp(-15, 15) / 0.01) * 0.1, atol=1e-5)
    assert (des[:, [0, 5, 7]] == 0).all()


@pytest.mark.parametrize(
    ("shape", "bands", "message"),
    [((1, 3, 64, 96), DES, "reads 96 x 96 pixels, and these images have 64 x 96"),
     ((1, 4, 96, 96), DES, "have not the 3 bands DES-G, DES-R, DES-Z"),
     ((1, 2, 96, 96), ("EUCLID-VIS", "DES-G"), "knows no band EUCLID-VIS: it reads HSC-G.*adapter"),
     ((1, 2, 96, 96), ("DES-G", "HSC-R"), "of two surveys"), ((1, 2, 96, 96), ("DES-G", "DES-G"), "named twice"),
     ((1, 1, 96, 96), (), "none given")],
)  # fmt: skip
def test_images_that_do_not_fit_are_named(shape: tuple[int, ...], bands: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _image_tokenizer().encode(torch.zeros(shape), bands)


def test_spectra_to_tokens_and_back() -> None:
    tokenizer = _spectrum_tokenizer()
    wavelength = torch.linspace(3600, 9824, 7781)
    flux, ivar = torch.rand(3, 7781) * 5 + 2, torch.rand(3, 7781) * 4
    ivar[:, 100:300] = 0
    spoilt = flux.clone()
    spoilt[:, 100:300] = float("nan")
    flux[:, 100:300] = 0
    with torch.no_grad():
        ids = tokenizer.encode(wavelength, flux, ivar)
        assert torch.equal(ids, tokenizer.encode(wavelength, spoilt, ivar)), "masked values were read"
        back = tokenizer.decode(ids)
    assert ids.shape == (3, 273)
    assert back.shape == (3, 8704)
    good = ivar > 0
    level = torch.log10((flux * good).sum(1) / (good.sum(1) + 1) + 1)
    buckets = torch.linspace(-1, 5, 1024)
    assert torch.equal(ids[:, 0], torch.searchsorted(buckets, level))
    twice = tokenizer.encode(wavelength.expand(3, -1), flux, ivar)
    assert torch.equal(ids, twice)


def test_bad_ends_can_count_as_being_outside() -> None:
    tokenizer = _spectrum_tokenizer()
    grid = torch.arange(3600.0, 9000.0, 2.0)
    flux, ivar = torch.rand(2, 2200) * 5 + 2, torch.ones(2, 2200)
    short = tokenizer.encode(grid[200:-300], flux, ivar)
    longer = torch.nn.functional.pad(flux, (200, 300), value=3.0), torch.nn.functional.pad(ivar, (200, 300))
    with torch.no_grad():
        assert torch.equal(short, tokenizer.encode(grid, *longer, trim=True))
        assert not torch.equal(short, tokenizer.encode(grid, *longer))


def test_interpolation_is_numpys() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    x = np.sort(rng.uniform(3400, 6000, 200))
    y = rng.normal(size=(2, 3, 200))
    grid = np.arange(3500.0, 6200, 0.8)
    got = interpolate(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(grid))
    for i in range(2):
        for j in range(3):
            assert np.allclose(got[i, j], np.interp(grid, x, y[i, j], left=0, right=0))


@pytest.mark.parametrize(
    ("wavelength", "message"),
    [(torch.linspace(360, 982, 50), r"from 360 to 982 look like nm: give Å"),
     (torch.linspace(0.36, 0.98, 50), "look like µm"), (torch.linspace(9800, 3600, 50), "do not ascend strictly"),
     (torch.cat([torch.linspace(3600, 9800, 40), torch.zeros(10)]), "padded with zeros"),
     (torch.linspace(11000, 17000, 50), "outside the grid of 3500 to 10462 Å")],
)  # fmt: skip
def test_wavelengths_that_do_not_fit_are_named(wavelength: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _spectrum_tokenizer().encode(wavelength, torch.ones(1, 50), torch.ones(1, 50))


def test_scalars_to_tokens_and_back() -> None:
    values = torch.randn(5000).exp()
    for how in ("reservoir", "log"):
        tokenizer = ScalarTokenizer(64, how).fit(values)
        ids = tokenizer.encode(values)
        assert ids.shape == (5000, 1)
        assert torch.bincount(ids[:, 0]).float().std() < 12, "bins are of equal population"
        assert torch.quantile((tokenizer.decode(ids) - values).abs() / values, 0.9) < 0.15
    z = ScalarTokenizer(1024, "grid")
    assert torch.allclose(
        z.decode(z.encode(torch.tensor([0.0, 0.25, 1.0, 3.0]))), torch.tensor([0, 0.25, 1, 1]), atol=1e-3
    )
    with pytest.raises(ValueError, match="how='twice'"):
        ScalarTokenizer(how="twice")
