"""How wide the strongest emission line of a spectrum is, and whether it has a broad component."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize

from kernels.search.evidence import Candidate, Curve, Evidence, Fact, Unfit, spectrum_of

C = 299_792.458
Lines = tuple[tuple[tuple[float, float], ...], ...]
GROUPS: dict[str, tuple[float, Lines]] = {
    "Hα": (6564.61, (((6564.61, 1.0),), ((6585.27, 1.0), (6549.86, 0.328)), ((6718.29, 1.0),), ((6732.67, 1.0),))),
    "Hβ": (4862.68, (((4862.68, 1.0),), ((5008.24, 1.0), (4960.30, 0.336)))),
    "Mg II": (2799.1, (((2799.1, 1.0),),)),
    "C III]": (1908.7, (((1908.7, 1.0),),)),
    "C IV": (1549.5, (((1549.5, 1.0),),)),
    "Lyα": (1215.67, (((1215.67, 1.0),),)),
}
"""A line's vacuum wavelength (Å), and the narrow lines about it: each a set of (wavelength, fixed share of flux)."""
WINDOW = 12_000.0  # km/s on either side of the line
NARROW, BROAD = (40.0, 420.0), (450.0, 5500.0)  # km/s, standard deviations of the two components
FLOOR = 0.02  # of the continuum: what its own features leave
SURE = 5.0
GAIN = 30.0  # of chi-square that a broad component has to bring


class LineWidth:
    """The full width at half maximum of the strongest emission line, less twice its error.

    Around Hα, Hβ, Mg II, C III], C IV and Lyα, as far as the redshift brings them into the spectrum, a straight
    continuum and Gaussians are fitted to 12,000 km/s on either side: narrow lines of one width and velocity (with
    [N II], [S II] and [O III], whose doublets have the ratios of Storey & Zeippen 2000), and the same with a broad
    component. The broad one is believed where it brings 30 in chi-square, has a flux of S/N over 5 and is at least
    1.6 times as wide as the narrow ones; fits are by least squares, fluxes of lines not negative, errors from the
    curvature times the reduced chi-square where that exceeds 1. The instrument's own width is part of every width.

    Without a redshift the strongest feature of emission is taken for the line. ``score`` (km/s) is 0 where no line has
    S/N over 5: a width that is sure, so that a noisy spectrum does not come first.
    """

    name = "line-width"
    title = "Has broad lines"
    modality = "spectrum"
    unit = "km/s"

    def judge(self, candidate: Candidate) -> Evidence:
        """Score one spectrum; :class:`kernels.search.evidence.Unfit` says why it cannot be."""
        wavelength, flux, ivar = spectrum_of(candidate)
        z, notes = candidate.redshift, ["widths include the instrument's"]
        groups = GROUPS
        if z is None or not np.isfinite(z) or z <= -0.9:
            z, peak = 0.0, strongest_peak(wavelength, flux, ivar)
            groups = {"strongest line": (peak, (((peak, 1.0),),))}
            notes.append("no redshift: the strongest feature is taken for the line")
        found = [
            fit for name, (centre, lines) in groups.items()
            if (fit := fit_group(name, centre, lines, wavelength / (1 + z), flux * (1 + z), ivar / (1 + z) ** 2))
        ]  # fmt: skip
        if not found:
            raise Unfit(f"none of {', '.join(groups)} lies on good samples of its spectrum at redshift {z:.4f}")
        best = max(found, key=lambda f: (f.broad is not None, f.snr))
        curves = tuple(Curve(n, best.x, y) for n, y in best.curves.items())
        if best.snr <= SURE:
            told = (*notes, f"no emission line at S/N over {SURE:g}")
            return Evidence(
                0.0, (Fact("line S/N", best.snr),), curves=curves, axis=f"rest Å about {best.name}", notes=told
            )
        wide = best.broad or best.narrow
        facts = [
            Fact(f"{best.name} FWHM, {'broad' if best.broad else 'narrow'}", wide.fwhm, wide.error, "km/s"),
            Fact("line S/N", best.snr),
        ]  # fmt: skip
        if best.broad:
            facts += [
                Fact("broad flux, S/N", wide.snr), Fact("chi-square gained by it", best.gain),
                Fact("narrow FWHM", best.narrow.fwhm, best.narrow.error, "km/s"),
                Fact("shift of the broad one", wide.shift, None, "km/s"),
            ]  # fmt: skip
        elif np.isfinite(best.gain):
            facts.append(Fact("chi-square gained by a broad one", best.gain))
        score = max(wide.fwhm - 2 * wide.error, 0.0)
        return Evidence(float(score), tuple(facts), curves=curves, axis=f"rest Å about {best.name}", notes=tuple(notes))

    @staticmethod
    def examples() -> tuple[Candidate, Candidate]:
        """Hα with a broad component of 4,000 km/s, and without."""
        rng = np.random.default_rng(2)
        x = np.arange(6000.0, 7200.0, 1.5)
        narrow = 8 * np.exp(-0.5 * ((x - 6564.61) / (6564.61 * 120 / C)) ** 2)
        broad = 4 * np.exp(-0.5 * ((x - 6564.61) / (6564.61 * 4000 / 2.3548 / C)) ** 2)
        noise, ivar = rng.normal(0, 0.3, len(x)), np.full(len(x), 1 / 0.09)
        return tuple(  # type: ignore[return-value]
            Candidate(wavelength=x, flux=5 + narrow + extra + noise, ivar=ivar, redshift=0.0) for extra in (broad, 0.0)
        )


@dataclass(frozen=True)
class Component:
    """Width of a component: ``fwhm`` and ``error`` km/s, ``shift`` km/s, ``snr`` of its flux."""

    fwhm: float
    error: float
    shift: float
    snr: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """One group of lines: S/N of all line flux, its components, what a broad one gained, and the curves."""

    name: str
    snr: float
    narrow: Component
    broad: Component | None
    gain: float
    x: np.ndarray
    curves: dict[str, np.ndarray]


class _Model:
    """A straight continuum and Gaussians on one window; fluxes follow from widths and velocities by least squares."""

    def __init__(self, centre: float, lines: Lines, x: np.ndarray, y: np.ndarray, ivar: np.ndarray):
        self.centre, self.lines, self.x, self.y = centre, lines, x, y
        level = float(np.median(y))
        self.weight = 1 / np.sqrt(1 / ivar + (FLOOR * level) ** 2)
        u = (x - centre) / (x[-1] - x[0])
        self.base = [np.ones_like(x), u]

    def columns(self, p: np.ndarray) -> np.ndarray:
        """(m, c) design at ``p``: shift and log width of the narrow lines, then of a broad one if there is."""
        narrow = [sum(s * self._line(c, p[0], np.exp(p[1])) for c, s in group) for group in self.lines]
        broad = [self._line(self.centre, p[2], np.exp(p[3]))] if len(p) == 4 else []
        return np.stack([*self.base, *narrow, *broad], axis=1)

    def _line(self, centre: float, shift: float, sigma: float) -> np.ndarray:
        """A Gaussian of unit flux, in the units of x."""
        width = centre * sigma / C
        return np.exp(-0.5 * ((self.x - centre * (1 + shift / C)) / width) ** 2) / (width * np.sqrt(2 * np.pi))

    def solve(self, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(c,) amplitudes, of lines not negative, and the (m,) weighted residuals."""
        design = self.columns(p)
        a = design * self.weight[:, None]
        scale = np.sqrt((a * a).sum(axis=0))
        scale[~(scale > 0)] = 1.0
        both = np.concatenate([a / scale, -a[:, :2] / scale[:2]], axis=1)  # the continuum may have either sign
        target = self.y * self.weight
        _, r = np.linalg.qr(np.concatenate([both, target[:, None]], axis=1))
        found, _ = optimize.nnls(r[:, :-1], r[:, -1], maxiter=300)
        amplitude = found[: design.shape[1]].copy()
        amplitude[:2] -= found[design.shape[1] :]
        amplitude /= scale
        return amplitude, (self.y - design @ amplitude) * self.weight

    def fit(self, starts: list[np.ndarray], low: list[float], high: list[float]) -> np.ndarray:
        """The best widths and velocities from the best of ``starts``."""
        best = min(starts, key=lambda p: float((self.solve(p)[1] ** 2).sum()))
        scale = [100.0, 0.3, 300.0, 0.3][: len(best)]
        found = optimize.least_squares(
            lambda p: self.solve(p)[1], np.clip(best, np.array(low) + 1e-6, np.array(high) - 1e-6), bounds=(low, high),
            x_scale=scale, diff_step=1e-3, max_nfev=25,
        )  # fmt: skip
        return np.asarray(found.x)

    def errors(self, p: np.ndarray, amplitude: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Standard errors of ``p`` and of the amplitudes, from the Jacobian of all of them together."""
        steps = np.array([2.0, 0.01, 5.0, 0.01])[: len(p)]
        columns = [self.columns(p) * self.weight[:, None]]
        for i, step in enumerate(steps):
            up, down = p.copy(), p.copy()
            up[i], down[i] = p[i] + step, p[i] - step
            slope = (self.columns(up) - self.columns(down)) @ amplitude / (2 * step)
            columns.append((slope * self.weight)[:, None])
        jac = np.concatenate(columns, axis=1)
        scale = np.sqrt((jac * jac).sum(axis=0))
        scale[~(scale > 0)] = 1.0
        cov = np.linalg.pinv((jac / scale).T @ (jac / scale), rcond=1e-10) / scale[:, None] / scale
        inflate = max(float((left**2).sum()) / max(len(left) - jac.shape[1], 1), 1.0)
        error = np.sqrt(np.maximum(np.diag(cov) * inflate, 0.0))
        return error[len(amplitude) :], error[: len(amplitude)]


def fit_group(
    name: str, centre: float, lines: Lines, wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray
) -> Fitted | None:
    """Fit one group of lines on a spectrum at rest (m,); None where the line does not lie on good samples."""
    reach = centre * WINDOW / C
    cut = (wavelength > centre - reach) & (wavelength < centre + reach)
    good = cut & (ivar > 0)
    near = np.abs(wavelength - centre) < centre * 1000 / C
    enough = good.sum() >= 40 and good.sum() > 0.6 * cut.sum() and (near & good).sum() > 0.7 * near.sum() > 0
    if not enough or wavelength[0] > centre - 0.3 * reach or wavelength[-1] < centre + 0.3 * reach:
        return None
    unit = float(np.median(np.abs(flux[good]))) or 1.0
    x, y = wavelength[good], flux[good] / unit
    inside = tuple(tuple(p for p in g if x[0] < p[0] < x[-1]) for g in lines)
    model = _Model(centre, tuple(g for g in inside if g), x, y, ivar[good] * unit**2)
    low, high = [-600.0, np.log(NARROW[0])], [600.0, np.log(NARROW[1])]
    start = [np.array([v, np.log(s)]) for s in (70, 120, 200, 320) for v in (-200.0, 0.0, 200.0)]
    p0 = model.fit(start, low, high)
    amplitude, left = model.solve(p0)
    low, high = [*low, -2000.0, np.log(BROAD[0])], [*high, 2000.0, np.log(BROAD[1])]
    p1 = model.fit([np.array([*p0, 0.0, np.log(s)]) for s in (600, 1000, 1600, 2500, 4000)], low, high)
    amplitude1, left1 = model.solve(p1)
    gain = float((left**2).sum() - (left1**2).sum())
    (_, narrow, _, broad), flux_error = model.errors(p1, amplitude1, left1)
    strength = float(amplitude1[-1] / flux_error[-1]) if flux_error[-1] > 0 else 0.0
    fwhm = 2.3548 * float(np.exp(p1[3]))
    one = Component(fwhm, float(fwhm * broad), float(p1[2]), strength)
    believed = gain > GAIN and strength > SURE and p1[3] - p1[1] > np.log(1.6) and broad < 0.5
    kept, amplitudes, error = p1, amplitude1, narrow
    if not believed:
        kept, amplitudes, error = p0, amplitude, model.errors(p0, amplitude, left)[0][1]
    width = 2.3548 * float(np.exp(kept[1]))
    snr = _snr(model, kept, amplitudes)
    thin = Component(width, float(width * error), float(kept[0]), snr)
    design = model.columns(kept)
    curves = {"data": y * unit, "fit": design @ amplitudes * unit}
    if believed:
        under = [0, 1, design.shape[1] - 1]
        curves["broad"] = design[:, under] @ amplitudes[under] * unit
    return Fitted(name, snr, thin, one if believed else None, gain, x, curves)


def _snr(model: _Model, p: np.ndarray, amplitude: np.ndarray) -> float:
    """S/N of everything that is no continuum: the root of the chi-square that the lines explain."""
    base = model.columns(p)[:, :2] * model.weight[:, None]
    target = model.y * model.weight
    alone = target - base @ np.linalg.lstsq(base, target, rcond=None)[0]
    left = model.solve(p)[1]
    inflate = max(float((left**2).sum()) / max(len(left) - 4, 1), 1.0)
    explained = max(float((alone**2).sum() - (left**2).sum()), 0.0)
    return float(np.sqrt(explained / inflate)) if (amplitude[2:] > 0).any() else 0.0


def strongest_peak(wavelength: np.ndarray, flux: np.ndarray, ivar: np.ndarray) -> float:
    """Wavelength of the most significant emission over a smooth continuum, tried at widths of 150 to 2,500 km/s."""
    from scipy import ndimage

    good = ivar > 0
    x, y, w = wavelength[good], flux[good], ivar[good]
    step = float(np.median(np.diff(x)))
    wide = max(5, round(0.08 * float(np.median(x)) / step)) | 1
    rest = y - ndimage.median_filter(y, wide, mode="nearest")
    best, at = -np.inf, float(x[len(x) // 2])
    for sigma in (150.0, 600.0, 2500.0):
        blur = max(float(np.median(x)) * sigma / C / step, 0.7)
        power = ndimage.gaussian_filter1d(rest * w, blur) / np.sqrt(
            np.maximum(ndimage.gaussian_filter1d(w, blur) / (2 * np.sqrt(np.pi) * blur), 1e-300)
        )
        i = int(np.argmax(power))
        if power[i] > best:
            best, at = float(power[i]), float(x[i])
    return at
