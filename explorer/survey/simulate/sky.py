"""The night sky as a spectrograph sees it: airglow lines, and the noise of a blank fibre."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from explorer.survey.simulate.recipe import SpectrumSpec

# air Å and variance of the line against that of the continuum: OH bands after Osterbrock et al. (1996)
_AIRGLOW = (
    (4358.3, 3.0), (5460.7, 0.4), (5577.3, 110.0), (5890.0, 4.0), (5895.9, 2.5), (6300.3, 18.0), (6363.8, 5.0),
    (6257.9, 1.5), (6287.4, 2.0), (6498.7, 1.8), (6533.0, 2.5), (6553.6, 2.0), (6577.2, 1.3), (6863.9, 6.0),
    (6871.1, 2.0), (6889.3, 2.0), (6900.8, 1.5), (6923.2, 4.0), (6939.5, 2.5), (6948.9, 1.5), (6978.4, 1.5),
    (7240.9, 4.0), (7244.9, 9.0), (7276.4, 16.0), (7284.4, 5.0), (7303.7, 4.0), (7316.3, 8.0), (7329.1, 7.0),
    (7340.9, 8.0), (7358.7, 3.0), (7369.3, 5.0), (7392.2, 3.0), (7401.9, 2.0), (7712.0, 3.0), (7715.0, 3.0),
    (7750.6, 14.0), (7759.9, 4.0), (7780.5, 5.0), (7794.1, 16.0), (7808.5, 7.0), (7821.5, 12.0), (7841.3, 9.0),
    (7853.3, 6.0), (7870.7, 3.0), (7889.0, 4.0), (7913.7, 15.0), (7921.0, 7.0), (7949.2, 7.0), (7964.6, 14.0),
    (7993.3, 14.0), (8014.1, 5.0), (8025.8, 8.0), (8052.0, 4.0), (8062.0, 3.0), (8281.9, 5.0), (8288.6, 8.0),
    (8298.4, 10.0), (8310.7, 6.0), (8344.6, 18.0), (8352.8, 8.0), (8382.4, 9.0), (8399.2, 22.0), (8415.2, 9.0),
    (8430.2, 24.0), (8452.3, 15.0), (8465.4, 9.0), (8493.4, 9.0), (8504.6, 6.0), (8538.7, 3.0), (8548.7, 2.0),
    (8760.0, 3.0), (8767.9, 16.0), (8778.3, 14.0), (8791.2, 12.0), (8810.6, 4.0), (8827.1, 34.0), (8836.0, 12.0),
    (8849.9, 18.0), (8867.6, 18.0), (8885.9, 38.0), (8903.1, 15.0), (8919.6, 32.0), (8943.4, 16.0),
    (8957.9, 18.0), (8988.4, 12.0), (9001.3, 9.0), (9038.1, 5.0), (9049.8, 4.0), (9102.0, 2.0), (9216.5, 2.0),
    (9306.0, 10.0), (9313.2, 38.0), (9323.9, 30.0), (9337.9, 20.0), (9375.9, 70.0), (9397.0, 25.0),
    (9419.7, 30.0), (9439.7, 130.0), (9458.5, 45.0), (9476.8, 60.0), (9502.8, 60.0), (9519.4, 25.0),
    (9552.5, 22.0), (9567.6, 22.0), (9589.0, 8.0), (9605.6, 14.0), (9620.6, 6.0), (9701.0, 8.0), (9720.0, 10.0),
    (9739.0, 7.0), (9771.0, 6.0), (9791.4, 28.0), (9803.9, 26.0),
)  # fmt: skip


def to_vacuum(air: np.ndarray) -> np.ndarray:
    """Vacuum wavelength (Å) of one in air, Morton (2000)."""
    s2 = (1e4 / air) ** 2
    return air * (1 + 8.34254e-5 + 2.406147e-2 / (130 - s2) + 1.5998e-4 / (38.9 - s2))


@lru_cache(maxsize=8)
def airglow(spec: SpectrumSpec) -> np.ndarray:
    """(n,) variance of airglow against that of the continuum of the sky, at the resolution of the arm."""
    wavelength = spec.wavelength()
    out = np.zeros(spec.n)
    for centre, strength in zip(to_vacuum(np.array([w for w, _ in _AIRGLOW])), [s for _, s in _AIRGLOW], strict=True):
        width = 0.75 if spec.grid == "linear" else centre / 1900 / 2.355
        core = np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
        halo = 0.01 / (1 + ((wavelength - centre) / (4 * width)) ** 2)
        out += strength * (core + halo) * spec.airglow
    city = np.exp(-0.5 * ((wavelength - 4_368) / 16) ** 2) * 1.3 + np.exp(-0.5 * ((wavelength - 8_660) / 18) ** 2)
    return out + city * spec.airglow


@lru_cache(maxsize=8)
def blank_ivar(spec: SpectrumSpec) -> np.ndarray:
    """(n,) inverse variance of a fibre that sees only sky; arms that overlap add up."""
    wavelength, total = spec.wavelength(), np.zeros(spec.n)
    for lo, hi, anchors in spec.arms:
        at, sigma = np.array(anchors, dtype=float).T
        inside = (wavelength >= lo - 1e-6) & (wavelength <= hi + 1e-6)
        continuum = np.exp(np.interp(wavelength, at, np.log(sigma))) * spec.sigma_scale
        total += np.where(inside, 1 / (continuum**2 * (1 + airglow(spec))), 0.0)
    return total


@lru_cache(maxsize=8)
def continuum_variance(spec: SpectrumSpec) -> np.ndarray:
    """(n,) variance of the sky without its lines: the scale of an object's own photon noise."""
    return 1 / np.maximum(blank_ivar(spec) * (1 + airglow(spec)), 1e-12)
