"""Objects a second of the large encoders beside the published packages, same random weights sizes, same batch.

The packages are peers where they can be imported (`make parity` builds an environment that holds them:
``.venv-parity/bin/python -m tests.benchmarks encoders_speed``); else the reason stands in the row. The floor is what
the encoder's own products would take at the speed of a large matrix product here: nothing of this size can be faster.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import torch

from kernels.embedding.models.aion import Aion
from kernels.embedding.models.aion_tokenizers import ImageTokenizer, SpectrumTokenizer
from kernels.embedding.models.astroclip import SpecFormer, spectrum_tokens
from kernels.embedding.models.astropt import AstroPT
from tests.benchmarks._run import Row, alternate

_BANDS = ["DES-G", "DES-R", "DES-I", "DES-Z"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options: batch, repeats, device, threads."""
    parser.add_argument("--batch", type=int, default=2, help="objects a batch")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the median counts")
    parser.add_argument("--device", default="cpu", help="cpu or cuda; on cuda in bfloat16")
    parser.add_argument(
        "--only", default="", help="comma-separated rows, such as aion_image,specformer; all by default"
    )
    parser.add_argument("--threads", type=int, default=0, help="of torch; 0 leaves its own choice")


def run(options: argparse.Namespace) -> list[Row]:
    """One row for each encoder."""
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    rows = []
    wanted = options.only.split(",") if options.only else list(_MAKERS)
    for row in wanted:
        name, what, ours, theirs = _MAKERS[row](options.batch, options.device)
        rows.append(_row(name, what, ours, theirs, options))
    return rows


def _row(name: str, what: str, ours: Callable[[], Any], theirs: Any, options: Any) -> Row:
    device = options.device

    def timed(call: Callable[[], Any]) -> Callable[[], None]:
        def once() -> None:
            with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
                call()
            if device == "cuda":
                torch.cuda.synchronize()

        return once

    product, size = _product(device)
    calls = [timed(ours), product] + ([] if isinstance(theirs, str) else [timed(theirs)])
    for call in calls:
        call()
    taken = alternate(*calls, repeat=options.repeat)  # in turn, so that all meet the same machine
    speed, peer = size / taken[1], options.batch / taken[2] if len(taken) > 2 else None
    flops = _flops(ours) / options.batch
    extra: dict[str, Any] = {"GFLOP an object": flops / 1e9, "batch": options.batch, "threads": torch.get_num_threads()}
    extra |= {"device": torch.cuda.get_device_name() if device == "cuda" else "cpu"}
    if isinstance(theirs, str):
        extra["no peer"] = theirs
    rate = options.batch / taken[0]
    return Row(f"encoders_speed.{name}", what, rate, peer, "objects/s", "more", speed / flops, extra)


def _flops(call: Callable[[], Any]) -> float:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call()
    return float(counter.get_total_flops())


def _product(device: str) -> tuple[Callable[[], None], float]:
    """A product of two large matrices, and its FLOP."""
    n = 2048 if device == "cpu" else 8192
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    a = torch.randn(n, n, device=device, dtype=kind)

    def product() -> None:
        _ = a @ a
        if device == "cuda":
            torch.cuda.synchronize()

    return product, 2.0 * n**3


def _aion(batch: int, device: str, kinds: dict[str, tuple[int, int]]) -> tuple[Callable[[], Any], Any]:
    from tests.parity.manifests import AION_BASE

    tokens = {k: torch.randint(v, (batch, n), device=device) for k, (v, n) in kinds.items()}
    ours = Aion.from_config(AION_BASE, list(kinds)).eval().to(device)
    total = sum(n for _, n in kinds.values())
    theirs: Any
    try:
        from aion.model import AION
    except ImportError as error:
        theirs = f"polymathic-aion: {error}"
    else:
        few = {**AION_BASE, "domains_in": list(kinds), "domains_out": ["tok_z"], "decoder_depth": 1}
        package = AION(config=few).eval().to(device)
        theirs = lambda: package.encode(dict(tokens), num_encoder_tokens=total).mean(1)  # noqa: E731
    return lambda: ours.vectors(tokens), theirs


def _aion_image(batch: int, device: str) -> tuple[str, str, Callable[[], Any], Any]:
    ours, theirs = _aion(batch, device, {"tok_image": (4375, 576)})
    return "aion_image", "AION base, encoder, the 576 tokens of an image", ours, theirs


def _aion_both(batch: int, device: str) -> tuple[str, str, Callable[[], Any], Any]:
    ours, theirs = _aion(batch, device, {"tok_image": (4375, 576), "tok_spectrum_desi": (1024, 273)})
    return "aion_both", "AION base, encoder, the 849 tokens of an image and a spectrum", ours, theirs


def _image_tokens(batch: int, device: str) -> tuple[str, str, Callable[[], Any], Any]:
    pixels = torch.randn(batch, 4, 96, 96, device=device)
    ours = ImageTokenizer().eval().to(device)
    theirs: Any
    try:
        from aion.codecs.image import ImageCodec
        from aion.modalities import Image
    except ImportError as error:
        theirs = f"polymathic-aion: {error}"
    else:
        package = ImageCodec(quantizer_levels=[7, 5, 5, 5, 5]).eval().to(device)
        theirs = lambda: package.encode(Image(flux=pixels.clone(), bands=_BANDS))  # noqa: E731
    return (
        "aion_image_tokens",
        "AION's image tokenizer, 4 bands of 96 x 96",
        lambda: ours.encode(pixels, _BANDS),
        theirs,
    )


def _spectrum_tokens(batch: int, device: str) -> tuple[str, str, Callable[[], Any], Any]:
    wavelength = torch.linspace(3600, 9824, 7781, device=device).expand(batch, -1).contiguous()
    flux, ivar = (torch.rand(batch, 7781, device=device) * 5 for _ in range(2))
    ours = SpectrumTokenizer().eval().to(device)
    theirs: Any
    try:
        from aion.codecs.spectrum import SpectrumCodec
        from aion.modalities import Spectrum
    except ImportError as error:
        theirs = f"polymathic-aion: {error}"
    else:
        widths = {"encoder_dims": (96, 192, 384, 512), "decoder_dims": (384, 192, 96, 2), "embedding_dim": 10}
        package = SpectrumCodec(**widths).eval().to(device)
        given = Spectrum(flux=flux, ivar=ivar, mask=ivar <= 0, wavelength=wavelength)
        theirs = lambda: package.encode(given)  # noqa: E731
    call = lambda: ours.encode(wavelength, flux, ivar)  # noqa: E731
    return "aion_spectrum_tokens", "AION's spectrum tokenizer, 7,781 samples", call, theirs


def _specformer(batch: int, device: str) -> tuple[str, str, Callable[[], Any], Any]:
    flux = torch.randn(batch, 7781, device=device)
    ours = SpecFormer().eval().to(device)
    reason = "AstroCLIP's package is not published as a distribution, and needs torch 2.0"
    return "specformer", "SpecFormer, 778 tokens", lambda: ours.vectors(spectrum_tokens(flux)), reason


def _astropt(batch: int, device: str) -> tuple[str, str, Callable[[], Any], Any]:
    patches = torch.randn(batch, 256, 768, device=device)
    where = torch.arange(256, device=device).expand(batch, -1)
    ours = AstroPT({"images": 768}, "070M").eval().to(device)
    theirs: Any
    try:
        from astropt.model import GPT, GPTConfig, ModalityConfig, ModalityRegistry
    except ImportError as error:
        theirs = f"astropt: {error}"
    else:
        kinds = [ModalityConfig("images", 768, 1, 16, True)]
        package = GPT(GPTConfig(n_chan=3, modalities=kinds), ModalityRegistry(kinds), False).eval().to(device)
        given = {"images": patches, "images_positions": where}
        theirs = lambda: package.generate_embeddings(given)["images"]  # noqa: E731
    call = lambda: ours.vectors({"images": patches}, {"images": where})["images"]  # noqa: E731
    return "astropt", "AstroPT 070M, vectors of 256 tokens", call, theirs


_MAKERS = {
    "aion_image": _aion_image,
    "aion_both": _aion_both,
    "aion_image_tokens": _image_tokens,
    "aion_spectrum_tokens": _spectrum_tokens,
    "specformer": _specformer,
    "astropt": _astropt,
}
