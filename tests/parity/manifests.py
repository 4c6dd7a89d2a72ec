"""The names and shapes of published models, as ``data/manifests/NAME.json`` holds them.

``python -m tests.parity.manifests`` writes those files anew from the published packages (`make parity` installs them).
"""

from __future__ import annotations

import json
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[2] / "data" / "manifests"
_KINDS = [
    "tok_image_hsc", "tok_mag_g", "tok_mag_r", "tok_mag_i", "tok_mag_z", "tok_mag_y", "tok_a_g", "tok_a_r", "tok_a_i",
    "tok_a_z", "tok_a_y", "tok_shape11", "tok_shape12", "tok_shape22", "tok_image", "tok_segmap", "tok_ebv",
    "tok_flux_g", "tok_flux_r", "tok_flux_i", "tok_flux_z", "tok_flux_w1", "tok_flux_w2", "tok_flux_w3", "tok_flux_w4",
    "tok_shape_r", "tok_shape_e1", "tok_shape_e2", "tok_spectrum_desi", "tok_spectrum_sdss", "tok_z", "catalog",
    "tok_xp_bp", "tok_xp_rp", "tok_flux_g_gaia", "tok_flux_bp_gaia", "tok_flux_rp_gaia", "tok_parallax", "tok_ra",
    "tok_dec",
]  # fmt: skip
AION_BASE = {
    "domains_in": _KINDS, "domains_out": _KINDS, "dim": 768, "encoder_depth": 12, "decoder_depth": 12, "num_heads": 12,
    "mlp_ratio": 4.0, "qkv_bias": False, "proj_bias": False, "mlp_bias": False, "norm_bias": False, "act_layer": "SiLU",
    "gated_mlp": True, "qk_norm": False, "num_register_tokens": 0,
}  # fmt: skip
"""The published base size, all kinds of tokens in and out."""


def read(name: str) -> dict[str, list[int]]:
    """Name to shape of a published model."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def write(name: str, found: dict[str, list[int]]) -> None:
    """One line for each tensor, sorted."""
    lines = ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(found.items()))
    (FOLDER / f"{name}.json").write_text("{\n" + lines + "\n}\n")


def main() -> None:
    """Write the manifests of the packages that are installed."""
    import aion.codecs.image
    import aion.codecs.spectrum
    import aion.model
    import astropt.model
    import torch

    from kernels.embedding.files import manifest

    FOLDER.mkdir(exist_ok=True)
    spectrum = {"encoder_dims": [96, 192, 384, 512], "decoder_dims": [384, 192, 96, 2], "embedding_dim": 10}
    write("aion-base", manifest(aion.model.AION(config=AION_BASE)))
    with torch.device("meta"):
        write("aion-image-tokenizer", manifest(aion.codecs.image.ImageCodec(quantizer_levels=[7, 5, 5, 5, 5])))
        write("aion-spectrum-tokenizer", manifest(aion.codecs.spectrum.SpectrumCodec(**spectrum)))
    kind = astropt.model.ModalityConfig("images", 768, 1, 16, True)
    config = astropt.model.GPTConfig(1024, 12, 12, 768, 3, modalities=[kind])
    write("astropt-070M", manifest(astropt.model.GPT(config, astropt.model.ModalityRegistry([kind]))))


if __name__ == "__main__":
    main()
