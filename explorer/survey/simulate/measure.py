"""Line fluxes as a survey would measure them: continuum by templates, Gaussians on what is left, BPT from those.

The continuum templates are those of the simulator, so that the fit is kinder than on real galaxies; fluxes,
errors and classes come from the noisy spectrum alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from explorer.survey.simulate import lines, populations

MEASURED = {
    "h_beta": "Hβ", "oiii_5008": "[OIII]5008", "h_alpha": "Hα", "nii_6585": "[NII]6585", "oi_6302": "[OI]6302",
    "sii_6718": "[SII]6718", "sii_6733": "[SII]6733", "oii_3729": "[OII]3727",
}  # fmt: skip
_AV = (0.0, 0.8, 2.0)
_WIDTHS = (1.0, 1.6, 2.5, 3.6)  # pixels


def describe() -> dict[str, tuple[pa.DataType, str, str]]:
    """The columns that :func:`lines_of_block` fills."""
    out = {}
    for column, name in MEASURED.items():
        out[f"{column}_flux"] = (pa.float64(), "1e-17 erg/s/cm2", f"flux of {name}, Gaussian fit")
        out[f"{column}_flux_err"] = (pa.float64(), "1e-17 erg/s/cm2", f"error of the flux of {name}")
    out["log_n2"] = (pa.float64(), "", "log [N II]6585/Hα from the measured fluxes, where all four lines have S/N > 3")
    out["log_o3"] = (pa.float64(), "", "log [O III]5008/Hβ from the measured fluxes, likewise")
    out["bpt"] = (pa.string(), "", "BPT class from the measured lines at S/N > 3; normal where none is detected")
    return out


def lines_of_block(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, z: np.ndarray) -> list[dict[str, Any]]:
    """For each spectrum (n, m) at redshift ``z``: fluxes, errors, ratios and class."""
    with threadpool_limits(1):  # matrices too small to share
        return [measure(wavelength, flux[i], ivar[i], float(z[i])) for i in range(len(flux))]


def measure(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray, z: float) -> dict[str, Any]:
    """Line fluxes (in flux units times Å) of one spectrum; None for lines that leave the grid or its mask."""
    rest = wavelength / (1 + z)
    near = near_lines(rest)
    weight = np.where(near, 0.0, ivar.astype(np.float64))
    model = continuum(rest, flux.astype(np.float64), weight)
    left = flux - model
    out: dict[str, Any] = {}
    ha = lines.WAVELENGTHS[lines.INDEX["Hα"]]
    width = _best_width(rest, left, ivar, ha if ha < rest[-1] - 20 else lines.WAVELENGTHS[lines.INDEX["[OIII]5008"]])
    for group in (("Hβ",), ("[OIII]5008",), ("[NII]6550", "Hα", "[NII]6585"), ("[OI]6302",), ("[SII]6718", "[SII]6733"),
                  ("[OII]3727", "[OII]3730")):  # fmt: skip
        out |= _fit(wavelength, rest, left, ivar, group, width, z)
    return out | _classify(out)


def near_lines(rest: np.ndarray) -> np.ndarray:
    """(m,) bool: pixels within 400 km/s of an emission line, at rest wavelengths (m,) in Å."""
    near = np.zeros(len(rest), dtype=bool)
    for centre in lines.WAVELENGTHS:
        near |= np.abs(rest - centre) < centre * 400 / 299_792.458
    return near


def continuum(rest: np.ndarray, flux: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(m,) flux of the stars: templates at three dusts by non-negative least squares; ``weight`` inverse variance."""
    from scipy.optimize import nnls

    basis = populations.templates()[2]
    position = (np.log(rest) - populations.LN_LO) / populations.STEP
    index = position.astype(int)
    part = position - index
    stars = basis[:, index] * (1 - part) + basis[:, index + 1] * part
    stars /= stars.mean(axis=1, keepdims=True)
    curve = populations.calzetti(rest)
    design = np.concatenate([stars * 10 ** (-0.4 * av * curve) for av in _AV])
    normal = (design * weight) @ design.T
    target = (design * weight) @ flux
    scale = np.sqrt(np.maximum(np.diag(normal), 1e-30))
    upper = np.linalg.cholesky(normal / scale[:, None] / scale + 1e-8 * np.eye(len(normal))).T
    answer, _ = nnls(upper, np.linalg.solve(upper.T, target / scale), maxiter=400)
    return (answer / scale) @ design


def _best_width(rest: np.ndarray, left: np.ndarray, ivar: np.ndarray, centre: float) -> float:
    """The Gaussian sigma (pixels) that explains most of the strongest line."""
    i = int(np.clip(np.searchsorted(rest, centre), 20, len(rest) - 21))
    cut = slice(i - 20, i + 21)
    x = np.arange(-20, 21) - np.interp(centre, rest[cut], np.arange(41)) + 20
    gains = []
    for width in _WIDTHS:
        shape = np.exp(-0.5 * (x / width) ** 2)
        power = (shape * left[cut] * ivar[cut]).sum()
        gains.append(max(power, 0) ** 2 / max((shape**2 * ivar[cut]).sum(), 1e-30))
    return _WIDTHS[int(np.argmax(gains))]


def _fit(
    wavelength: np.ndarray, rest: np.ndarray, left: np.ndarray, ivar: np.ndarray, group: tuple[str, ...],
    width: float, z: float,
) -> dict[str, Any]:  # fmt: skip
    """Linear fit of the group's Gaussians and a flat residual of the continuum."""
    centres = [lines.WAVELENGTHS[lines.INDEX[name]] for name in group]
    columns = {name: column for column, name in MEASURED.items()}
    wanted = [name for name in group if name in columns]
    empty = {f"{columns[n]}_flux{e}": None for n in wanted for e in ("", "_err")}
    lo, hi = np.searchsorted(rest, [centres[0] - 28, centres[-1] + 28])
    if hi - lo < 25 or rest[0] > centres[0] - 12 or rest[-1] < centres[-1] + 12:
        return empty
    cut = slice(lo, hi)
    step = np.gradient(wavelength[cut])
    axis = np.arange(hi - lo)
    shapes = [np.exp(-0.5 * ((axis - np.interp(c, rest[cut], axis)) / width) ** 2) for c in centres]
    design = np.stack([*shapes, np.ones(hi - lo)])
    normal = (design * ivar[cut]) @ design.T
    if np.linalg.cond(normal) > 1e10:
        return empty
    covariance = np.linalg.inv(normal)
    height = covariance @ ((design * ivar[cut]) @ left[cut])
    pixel = float(np.interp(centres[0], rest[cut], step))
    area = np.sqrt(2 * np.pi) * width * pixel
    out = {}
    for name in wanted:
        k = group.index(name)
        total, error = height[k] * area, np.sqrt(covariance[k, k]) * area
        if name == "[OII]3727":  # the blend of both
            total = (height[0] + height[1]) * area
            error = np.sqrt(covariance[:2, :2].sum()) * area
        out[f"{columns[name]}_flux"], out[f"{columns[name]}_flux_err"] = float(total), float(error)
    return out


def _classify(found: dict[str, Any]) -> dict[str, Any]:
    def good(name: str) -> bool:
        value, error = found.get(f"{name}_flux"), found.get(f"{name}_flux_err")
        return value is not None and error is not None and value > 3 * error > 0

    if not all(good(k) for k in ("h_beta", "oiii_5008", "h_alpha", "nii_6585")):
        return {"log_n2": None, "log_o3": None, "bpt": "normal"}
    n2 = float(np.log10(found["nii_6585_flux"] / found["h_alpha_flux"]))
    o3 = float(np.log10(found["oiii_5008_flux"] / found["h_beta_flux"]))
    return {"log_n2": n2, "log_o3": o3, "bpt": str(lines.classify(np.array([n2]), np.array([o3]))[0])}
