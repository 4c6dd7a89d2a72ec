"""What paper P0 published, on other data: Euclid Q1 images matched with DESI spectra, 39,850 objects, no truth labels.

"Benchmarking foundation models for unsupervised discovery in large multimodal astrophysical datasets". Shown beside
ours for orientation, never as a target.
"""

from __future__ import annotations

SOURCE = "published on other data: Euclid Q1 × DESI, 39,850 objects (P0)"
PAIRS = (("AION", "AstroPT"), ("AstroPT", "AstroCLIP"), ("AstroCLIP", "AION"))

# Table 1: percent of the source's top 1 % within the target's top 1 % and 10 %; forward (backward)
TABLE_1: dict[tuple[str, str, str], tuple[float, float, float, float]] = {
    ("image", "AION", "AstroPT"): (21.6, 21.6, 47.2, 64.3),
    ("image", "AstroPT", "AstroCLIP"): (16.8, 16.8, 43.0, 58.0),
    ("image", "AstroCLIP", "AION"): (7.3, 7.3, 32.9, 23.4),
    ("spectrum", "AION", "AstroPT"): (9.3, 9.3, 79.1, 55.8),
    ("spectrum", "AstroPT", "AstroCLIP"): (14.6, 14.6, 41.5, 44.5),
    ("spectrum", "AstroCLIP", "AION"): (3.8, 3.8, 33.9, 10.1),
    ("joint", "AION", "AstroPT"): (19.1, 19.1, 58.5, 31.7),
    ("joint", "AstroPT", "AstroCLIP"): (11.6, 11.6, 35.7, 38.9),
    ("joint", "AstroCLIP", "AION"): (5.3, 5.3, 23.1, 25.4),
}

# Table 2: R2, PR, PES, CWP and gap, each mean and standard deviation over parameters
METRICS = ("R2", "PR", "PES", "CWP", "gap")
TABLE_2: dict[tuple[str, str], tuple[tuple[float, float], ...]] = {
    ("AION", "image"): ((0.10, 0.15), (0.15, 0.08), (1.47, 2.12), (0.008, 0.018), (0.09, 0.29)),
    ("AION", "joint"): ((0.10, 0.20), (0.15, 0.09), (1.60, 2.21), (0.003, 0.034), (-0.00, 0.05)),
    ("AION", "spectrum"): ((0.40, 0.33), (0.11, 0.06), (6.29, 7.16), (0.030, 0.022), (0.04, 0.12)),
    ("AstroPT", "image"): ((0.27, 0.30), (0.10, 0.05), (4.89, 6.44), (0.019, 0.026), (0.20, 0.68)),
    ("AstroPT", "joint"): ((0.41, 0.29), (0.05, 0.03), (13.04, 14.68), (0.016, 0.009), (0.15, 0.54)),
    ("AstroPT", "spectrum"): ((0.38, 0.30), (0.08, 0.05), (8.34, 9.77), (0.022, 0.012), (0.14, 0.53)),
    ("AstroCLIP", "image"): ((0.40, 0.24), (0.08, 0.04), (7.63, 7.20), (0.024, 0.016), (0.03, 0.09)),
    ("AstroCLIP", "joint"): ((0.49, 0.25), (0.09, 0.05), (7.77, 6.21), (0.038, 0.017), (0.02, 0.04)),
    ("AstroCLIP", "spectrum"): ((0.44, 0.29), (0.08, 0.04), (10.69, 12.64), (0.024, 0.011), (0.02, 0.02)),
}  # fmt: skip


def shown(encoder: str) -> str:
    """The name that the paper gives an encoder; its own where the paper has none."""
    return {"aion": "AION", "astropt": "AstroPT", "astroclip": "AstroCLIP"}.get(encoder, encoder)
