"""Emission-line fluxes of a spectrum with errors, and their place on the diagnostic diagrams (P1.8).

The light of the stars is taken away by template fitting; Gaussians are fitted to what is left by specutils and
astropy (Earl et al., https://specutils.readthedocs.io; Levenberg-Marquardt, errors from the covariance).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from explorer.survey.bpt import DIAGRAMS, classify
from explorer.survey.records import Spectrum

LINES: dict[str, float] = {
    "[OII]3727": 3727.09, "[OII]3730": 3729.88, "Hβ": 4862.68, "[OIII]4960": 4960.30, "[OIII]5008": 5008.24,
    "[OI]6302": 6302.05, "[NII]6550": 6549.86, "Hα": 6564.61, "[NII]6585": 6585.27, "[SII]6718": 6718.29,
    "[SII]6733": 6732.67,
}  # fmt: skip
"""Lines that are measured, and their wavelengths in vacuum Å."""
GROUPS = (
    ("[NII]6550", "Hα", "[NII]6585"), ("[OIII]4960", "[OIII]5008"), ("Hβ",), ("[SII]6718", "[SII]6733"),
    ("[OI]6302",), ("[OII]3727", "[OII]3730"),
)  # fmt: skip
_FIXED = {"[NII]6550": ("[NII]6585", 1 / 3.05), "[OIII]4960": ("[OIII]5008", 1 / 2.98)}
"""Ratios that quantum mechanics fixes (Storey & Zeippen 2000)."""
_C = 299_792.458
_MARGIN = 40.0  # rest Å on either side of a group
_SIGMA = 120.0  # km/s that a fit starts from
SURE = 3.0
"""S/N that a line needs to enter a ratio."""


@dataclass(frozen=True)
class Lines:
    """Fluxes and errors in the spectrum's flux unit times Å (observed); a line off the grid or masked has neither.

    ``sigma`` km/s is the Gaussian width of the strongest group, instrument included; NaN where nothing was fitted.
    """

    flux: dict[str, float]
    error: dict[str, float]
    sigma: float

    def sure(self, name: str) -> bool:
        """Whether a line was measured at S/N > 3."""
        return name in self.flux and self.flux[name] > SURE * self.error[name] > 0

    def ratio(self, over: tuple[str, ...], under: str) -> tuple[float, float] | None:
        """log10 of a ratio of fluxes and its error; None where a line is missing or its S/N is 3 or less."""
        if not all(self.sure(n) for n in (*over, under)):
            return None
        top = sum(self.flux[n] for n in over)
        share = np.sqrt(sum(self.error[n] ** 2 for n in over)) / top
        error = np.hypot(share, self.error[under] / self.flux[under]) / np.log(10)
        return float(np.log10(top / self.flux[under])), float(error)

    def place(self, diagram: str) -> tuple[float, float, float, float] | None:
        """(x, error of x, y, error of y) on a diagram of :mod:`explorer.survey.bpt`; None unless all lines are sure."""
        across = {"n2": ("[NII]6585",), "s2": ("[SII]6718", "[SII]6733"), "o1": ("[OI]6302",)}[diagram]
        x, y = self.ratio(across, "Hα"), self.ratio(("[OIII]5008",), "Hβ")
        return None if x is None or y is None else (*x, *y)

    def classes(self) -> dict[str, str]:
        """Class on each diagram on which the lines are sure."""
        placed = {d: self.place(d) for d in DIAGRAMS}
        return {d: str(classify([p[0]], [p[2]], d)[0]) for d, p in placed.items() if p is not None}


def measure(spectrum: Spectrum, z: float) -> Lines:
    """Measure the lines of one spectrum at redshift ``z``; lines that the grid or the mask cuts are left out."""
    from explorer.survey.simulate.measure import continuum, near_lines
    from explorer.survey.simulate.populations import grid

    if not np.isfinite(z) or z <= -1:
        raise ValueError(f"the redshift is {z}: lines are looked for at a finite redshift above -1")
    wavelength, flux = np.asarray(spectrum.wavelength, np.float64), np.asarray(spectrum.flux, np.float64)
    ivar = np.where(np.isfinite(flux) & np.isfinite(spectrum.ivar), spectrum.ivar, 0.0).astype(np.float64)
    rest, flux = wavelength / (1 + z), np.where(ivar > 0, flux, 0.0)
    inside = (rest > grid()[0] * 1.001) & (rest < grid()[-1] * 0.999)
    scale = _scale(flux, ivar)
    if inside.sum() < 100 or scale is None:
        return Lines({}, {}, float("nan"))
    wavelength, rest, flux, ivar = wavelength[inside], rest[inside], flux[inside] / scale, ivar[inside] * scale**2
    calm = np.where(near_lines(rest), 0.0, ivar)
    left = flux - continuum(rest, flux, calm)
    out_flux: dict[str, float] = {}
    out_error: dict[str, float] = {}
    kinematics: tuple[float, float] | None = None
    width = float("nan")
    for group in _by_strength(rest, left, ivar):
        found = _fit(wavelength, rest, left, ivar, group, z, kinematics)
        if found is not None and kinematics is None and not found[-1]:
            found = _fit(wavelength, rest, left, ivar, group, z, (0.0, _SIGMA))  # a weak line has no width of its own
        if found is None:
            continue
        values, errors, shift, sigma, sure = found
        if kinematics is None and sure:
            kinematics, width = (shift, sigma), sigma
        out_flux |= {n: v * scale for n, v in values.items()}
        out_error |= {n: e * scale for n, e in errors.items()}
    return Lines(out_flux, out_error, width)


def _scale(flux: np.ndarray, ivar: np.ndarray) -> float | None:
    good = ivar > 0
    if good.sum() < 100:
        return None
    level = float(np.median(np.abs(flux[good])))
    return level if level > 0 else None


def _window(rest: np.ndarray, group: tuple[str, ...]) -> slice:
    centres = [LINES[n] for n in group]
    low, high = np.searchsorted(rest, [centres[0] - _MARGIN, centres[-1] + _MARGIN])
    return slice(int(low), int(high))


def _by_strength(rest: np.ndarray, left: np.ndarray, ivar: np.ndarray) -> list[tuple[str, ...]]:
    """Groups in the order of their strongest line's significance: the first gives the others width and velocity."""

    def strength(group: tuple[str, ...]) -> float:
        best = 0.0
        for name in group:
            near = np.abs(rest - LINES[name]) < 6
            power = float((left * ivar)[near].sum())
            best = max(best, power / np.sqrt(max(float(ivar[near].sum()), 1e-30)))
        return best

    return sorted(GROUPS, key=strength, reverse=True)


def _fit(
    wavelength: np.ndarray, rest: np.ndarray, left: np.ndarray, ivar: np.ndarray, group: tuple[str, ...], z: float,
    kinematics: tuple[float, float] | None,
) -> tuple[dict[str, float], dict[str, float], float, float, bool] | None:  # fmt: skip
    """Fluxes, errors, velocity (km/s), width (km/s) of a group, and whether its main line is sure."""
    cut = _window(rest, group)
    good = ivar[cut] > 0
    centres = np.array([LINES[n] for n in group])
    covered = [
        bool((good & (np.abs(rest[cut] - c) < 8)).sum() >= 0.7 * (np.abs(rest[cut] - c) < 8).sum() > 0) for c in centres
    ]
    if good.sum() < 25 or not all(covered) or rest[0] > centres[0] - 12 or rest[-1] < centres[-1] + 12:
        return None
    x, y, weight = wavelength[cut][good], left[cut][good], ivar[cut][good]
    fitted = _specutils(x, y, weight, _model(group, z, x, y, kinematics))
    names = list(fitted.cov_matrix.param_names) if fitted.cov_matrix is not None else []
    if not names:
        return None
    covariance = np.asarray(fitted.cov_matrix.cov_matrix)
    lead = _lead(group)
    i = group.index(lead)
    sigma_value = float(getattr(fitted, f"stddev_{i}").value)
    flux: dict[str, float] = {}
    error: dict[str, float] = {}
    for name in group:
        source, ratio = _FIXED.get(name, (name, 1.0))
        amplitude = float(getattr(fitted, f"amplitude_{group.index(source)}").value)
        width = sigma_value * LINES[source] / LINES[lead]
        area = np.sqrt(2 * np.pi)
        flux[name] = ratio * amplitude * width * area
        gradient = np.zeros(len(names))
        if f"amplitude_{group.index(source)}" in names:
            gradient[names.index(f"amplitude_{group.index(source)}")] = width * area * ratio
        if f"stddev_{i}" in names:
            gradient[names.index(f"stddev_{i}")] = amplitude * area * ratio * LINES[source] / LINES[lead]
        error[name] = float(np.sqrt(max(gradient @ covariance @ gradient, 0.0)))
        if not np.isfinite([flux[name], error[name]]).all() or error[name] <= 0:
            return None
    mean = float(getattr(fitted, f"mean_{i}").value)
    shift = (mean / (LINES[lead] * (1 + z)) - 1) * _C
    sure = flux[lead] > 2 * SURE * error[lead]
    return flux, error, float(shift), sigma_value / mean * _C, bool(sure)


def _lead(group: tuple[str, ...]) -> str:
    return "Hα" if "Hα" in group else group[-1]


def _model(
    group: tuple[str, ...], z: float, x: np.ndarray, y: np.ndarray, kinematics: tuple[float, float] | None
) -> Any:
    """Gaussians with one velocity and one width, fixed where ``kinematics`` are known, on a straight line."""
    from astropy.modeling.models import Gaussian1D, Linear1D

    lead = _lead(group)
    i = group.index(lead)
    shift, sigma = kinematics or (0.0, _SIGMA)
    model: Any = None
    for k, name in enumerate(group):
        centre = LINES[name] * (1 + z) * (1 + shift / _C)
        near = np.abs(x - centre) < 4 * (1 + z)
        height = float(np.clip(np.max(y[near], initial=0.0), 1e-3, None))
        line = Gaussian1D(height, centre, centre * sigma / _C)
        line.amplitude.bounds = (None, None)
        if kinematics is not None:
            line.mean.fixed = line.stddev.fixed = True
        elif k == i:
            line.mean.bounds = (centre * (1 - 350 / _C), centre * (1 + 350 / _C))
            line.stddev.bounds = (centre * 60 / _C, centre * 450 / _C)
        else:
            ratio = LINES[name] / LINES[lead]
            line.mean.tied = lambda m, r=ratio: getattr(m, f"mean_{i}") * r
            line.stddev.tied = lambda m, r=ratio: getattr(m, f"stddev_{i}") * r
        if name in _FIXED:
            source, ratio = _FIXED[name]
            at = group.index(source)
            line.amplitude.tied = lambda m, r=ratio, a=at: getattr(m, f"amplitude_{a}") * r
        model = line if model is None else model + line
    return model + Linear1D(0.0, 0.0)


def _specutils(x: np.ndarray, y: np.ndarray, weight: np.ndarray, model: Any) -> Any:
    import warnings

    from astropy import units as u
    from astropy.modeling.fitting import TRFLSQFitter
    from astropy.nddata import InverseVariance
    from specutils import Spectrum as Spectrum1D
    from specutils.fitting import fit_lines

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given = Spectrum1D(
            flux=y * u.dimensionless_unscaled, spectral_axis=x * u.AA, uncertainty=InverseVariance(weight)
        )
        return fit_lines(given, model, fitter=TRFLSQFitter(calc_uncertainties=True), weights="unc")
