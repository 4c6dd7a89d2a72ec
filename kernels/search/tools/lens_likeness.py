"""How much an object looks like a strong lens: the galaxy is fitted and taken away, arcs are looked for in the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, optimize

from kernels.layout.stretch import band_order
from kernels.search.evidence import Candidate, Evidence, Fact, Unfit, image_of

NEAR, FAR = 0.5, 3.0  # arcsec from the centre between which arcs are looked for
LENGTHS = (40.0, 70.0, 110.0)  # degrees of arc
SHARE = 0.3  # of an arc may be fainter than what counts as its brightness
CONTRAST = 0.5  # of an arc's surface brightness to that of the galaxy's core; brighter ones are no arcs
WIDTH = 0.15  # arcsec, the standard deviation of an arc across, where the PSF is sharper
STEP_R, STEP_PHI = 0.1, 3.0  # arcsec and degrees of the map in polar coordinates


class LensLikeness:
    r"""Arc-like, tangential, blue light around a galaxy, after the galaxy is fitted and subtracted.

    1. A Sérsic profile seen through the PSF is fitted to the sharpest band with a loss that arcs hardly sway, and what
       is left of it on average over each ellipse is taken away too.
    2. What remains, in units of its own scatter on each ellipse (so that spiral arms and a poor fit raise the noise),
       is looked at in polar coordinates: an arc of length L is as bright as 70 % of it are at least, less the
       brighter of its two flanks inside and outside, and less where its brightest part exceeds three times that. A
       blob is too short and too uneven for it; a radial feature has bright flanks.
    3. Colour: the band less the reddest one, both at the coarser PSF and scaled so that the galaxy's core vanishes
       (RingFinder, Gavazzi et al. 2014, A&A 564, A112). An arc counts by :math:`1 + \tanh` of its S/N there, over 3;
       with one band there is no colour, and the evidence says so.
    4. What is no light from the sky: an arc counts in full where the other bands show it at S/N 2 together (a cosmic
       ray is in one exposure), and where it is at most half as bright as the galaxy's core (spikes, ghosts and
       companions outshine it, and count by the square of that).

    ``score`` is the S/N of the best arc and half that of its counterpart on the other side, times these weights.
    """

    name = "lens-likeness"
    title = "Looks like a strong lens"
    modality = "image"
    unit = "arc S/N"

    def judge(self, candidate: Candidate) -> Evidence:
        """Score an image of a galaxy (bands, height, width); :class:`kernels.search.evidence.Unfit` says why not."""
        pixels = image_of(candidate)
        scale = candidate.pixel_scale
        if scale is None or not 0 < scale < 2:
            raise Unfit(f"its pixel scale is {scale}: arcs are looked for at {NEAR:g} to {FAR:g} arcsec")
        height, width = pixels.shape[1:]
        if min(height, width) * scale / 2 < 2 * NEAR:
            raise Unfit(f"its image is {min(height, width) * scale:.2g} arcsec wide: {4 * NEAR:g} are needed")
        sharp, red = _bands(candidate, len(pixels))
        psf = _psf(candidate, len(pixels), scale)
        plane, noise, good = _ready(pixels[sharp])
        galaxy = fit_galaxy(plane, noise, good, psf[sharp])
        rest = np.where(good, plane - galaxy.model, 0.0)
        blur = max(WIDTH / scale, 0.6)
        radius = galaxy.radius(plane.shape) * scale
        smooth = ndimage.gaussian_filter(rest, blur)
        core = max(float(galaxy.model[radius <= max(0.3, float(radius.min()))].mean()), noise)
        maps = {"left": _on_its_ellipse(smooth, radius, noise, blur), "contrast": smooth / core}
        if red is not None:
            maps["colour"] = _bluer(pixels[sharp], pixels[red], psf[sharp], psf[red], radius, noise)
            others = [i for i in range(len(pixels)) if i != sharp]
            seen = [_elsewhere(pixels[i], psf[i], galaxy.model, psf[sharp], radius, blur) for i in others]
            maps["others"] = np.sum(seen, axis=0) / np.sqrt(len(seen))
        found = _arc(maps, galaxy, scale, min(FAR, min(height, width) * scale / 2 - STEP_R))
        facts = [
            Fact("arc S/N", found.snr), Fact("arc radius", found.radius, STEP_R, "arcsec"),
            Fact("arc length", found.length, None, "degrees"), Fact("counterpart, weighted S/N", found.other),
        ]  # fmt: skip
        if red is not None:
            facts += [
                Fact("bluer than the galaxy, S/N", found.of["colour"]),
                Fact("the arc in other bands, S/N", found.of["others"]),
            ]
        facts += [
            Fact("arc over the galaxy's core", found.of["contrast"]),
            Fact("fitted half-light radius", galaxy.size * scale, galaxy.size_error * scale, "arcsec"),
            Fact("Sérsic index", galaxy.index), Fact("axis ratio", galaxy.axis_ratio),
        ]  # fmt: skip
        bands = candidate.bands
        told = bands[sharp] if len(bands) == len(pixels) else f"band {sharp + 1}"
        notes = [f"fitted in {told}", *([] if red is not None else ["one band: colour is not judged"])]
        score = found.weight * found.snr + 0.5 * max(found.other, 0.0)
        shown = {"image": plane, "model": galaxy.model, "residual": rest}
        return Evidence(
            float(score), tuple(facts), {n: v.astype(np.float32) for n, v in shown.items()}, notes=tuple(notes)
        )

    @staticmethod
    def examples() -> tuple[Candidate, Candidate]:
        """A galaxy with a blue arc, and the same galaxy without one."""
        rng = np.random.default_rng(5)
        y, x = np.mgrid[-32:32, -32:32] * 0.1
        r, phi = np.hypot(x, y), np.arctan2(y, x)
        galaxy = 3.0 * np.exp(-3.67 * ((np.hypot(x, y / 0.8) / 0.9 + 1e-3) ** 0.5 - 1))
        arc = np.exp(-0.5 * ((r - 1.4) / 0.15) ** 2) * (np.abs(phi - 0.6) < 0.7)
        noise = rng.normal(0, 0.05, (2, 64, 64))
        plain = np.stack([galaxy, 2 * galaxy]) + noise
        lensed = plain + np.stack([arc, 0.4 * arc])
        return (
            Candidate(lensed, ("VIS", "H"), (0.17, 0.17), 0.1),
            Candidate(plain, ("VIS", "H"), (0.17, 0.17), 0.1),
        )


@dataclass(frozen=True, eq=False)
class Galaxy:
    """A fitted Sérsic profile in pixels: centre, half-light radius along the mean axis, index, axis ratio, angle."""

    x: float
    y: float
    size: float
    size_error: float
    index: float
    axis_ratio: float
    angle: float
    model: np.ndarray

    def radius(self, shape: tuple[int, ...]) -> np.ndarray:
        """(h, w) elliptical radius of every pixel, pixels; circularised."""
        y, x = np.mgrid[: shape[0], : shape[1]]
        return _elliptical(x - self.x, y - self.y, self.axis_ratio, self.angle)


def fit_galaxy(plane: np.ndarray, noise: float, good: np.ndarray, psf: float) -> Galaxy:
    """Fit a Sérsic profile (1963) blurred by a Gaussian of standard deviation ``psf`` pixels to ``plane`` (h, w).

    Least squares with a soft-L1 loss, so that arcs and neighbours pull little; ``good`` (h, w) masks. The half-light
    radius is that of an ellipse, the square root of the product of its axes.
    """
    height, width = plane.shape
    y, x = np.mgrid[:height, :width].astype(np.float64)
    cx, cy = (width - 1) / 2, (height - 1) / 2
    core = plane[int(cy) - 1 : int(cy) + 3, int(cx) - 1 : int(cx) + 3].mean()
    if not core > 3 * noise / 4:
        raise Unfit("nothing stands out of the noise in its middle")
    sigma = np.sqrt(noise**2 + (0.04 * plane) ** 2)
    weight = np.where(good, 1 / sigma, 0.0)
    moments = _moments(np.where(good, plane, 0.0), noise, x - cx, y - cy)

    def model(p: np.ndarray) -> np.ndarray:
        r = _elliptical(x - cx - p[0], y - cy - p[1], 0.15 + 0.85 / (1 + np.exp(-p[5])), p[6])
        n, size = np.exp(p[4]), np.exp(p[3])
        b = 2 * n - 1 / 3 + 0.009876 / n
        light = np.exp(np.clip(p[2] - b * ((np.sqrt(r * r + 0.04) / size) ** (1 / n) - 1), -60, 30))
        return ndimage.gaussian_filter(light, psf, truncate=3.0) if psf > 0.3 else light

    size, q, angle = moments
    start = np.array([0.0, 0.0, np.log(max(core, noise) / 6), np.log(size), np.log(1.5), _logit(q), angle])
    low = np.array([-2.5, -2.5, -40, np.log(0.4), np.log(0.4), -5.0, angle - 2.0])
    high = np.array([2.5, 2.5, 40, np.log(1.5 * max(height, width)), np.log(6.5), 6.0, angle + 2.0])
    found = optimize.least_squares(
        lambda p: ((plane - model(p)) * weight).ravel(), np.clip(start, low + 1e-6, high - 1e-6), bounds=(low, high),
        loss="soft_l1", f_scale=2.0, max_nfev=30, x_scale=[0.3, 0.3, 0.3, 0.2, 0.2, 0.5, 0.3],
    )  # fmt: skip
    p = found.x
    spread = np.linalg.pinv(found.jac.T @ found.jac)[3, 3]
    size = float(np.exp(p[3]))
    return Galaxy(
        cx + p[0], cy + p[1], size, float(size * np.sqrt(max(spread, 0.0))), float(np.exp(p[4])),
        float(0.15 + 0.85 / (1 + np.exp(-p[5]))), float(p[6]), model(p),
    )  # fmt: skip


def _elliptical(dx: np.ndarray, dy: np.ndarray, q: float, angle: float) -> np.ndarray:
    u, v = np.cos(angle) * dx + np.sin(angle) * dy, np.cos(angle) * dy - np.sin(angle) * dx
    return np.sqrt(u * u * q + v * v / q)


def _logit(q: float) -> float:
    share = np.clip((q - 0.15) / 0.85, 0.02, 0.98)
    return float(np.log(share / (1 - share)))


def _moments(plane: np.ndarray, noise: float, dx: np.ndarray, dy: np.ndarray) -> tuple[float, float, float]:
    """Half-light radius, axis ratio and angle of what stands out in the inner half, from second moments."""
    light = np.where((np.hypot(dx, dy) < 0.5 * dx.max()) & (plane > 2 * noise), plane, 0.0)
    total = light.sum()
    if not total > 0:
        return 3.0, 0.8, 0.0
    xx, yy, xy = ((light * a).sum() / total for a in (dx * dx, dy * dy, dx * dy))
    values, vectors = np.linalg.eigh([[xx, xy], [xy, yy]])
    q = float(np.sqrt(max(values[0], 1e-3) / max(values[1], 1e-3)))
    return float(max(0.8, 0.8 * (values[0] * values[1]) ** 0.25)), q, float(np.arctan2(vectors[1, 1], vectors[0, 1]))


def _bands(candidate: Candidate, count: int) -> tuple[int, int | None]:
    """The band that arcs are looked for in (the sharpest, else the bluest) and the reddest other one."""
    order = band_order(list(candidate.bands)) if len(candidate.bands) == count else list(range(count))
    sharp = order[0]
    if len(candidate.psf_fwhm) == count:
        sharp = min(order, key=lambda i: candidate.psf_fwhm[i])
    if count == 1:
        return sharp, None
    return sharp, order[-1] if order[-1] != sharp else order[0]


def _psf(candidate: Candidate, count: int, scale: float) -> list[float]:
    """Standard deviation of each band's PSF, pixels; that of 1.2 pixels where it is not known."""
    if len(candidate.psf_fwhm) == count:
        return [max(float(f), 1e-3) / 2.3548 / scale for f in candidate.psf_fwhm]
    return [1.2] * count


def _ready(plane: np.ndarray) -> tuple[np.ndarray, float, np.ndarray]:
    """A plane less its sky with gaps at 0, the noise of one pixel, and where there is data."""
    good = np.isfinite(plane)
    edge = np.ones(plane.shape, bool)
    k = max(2, round(0.08 * min(plane.shape)))
    edge[k:-k, k:-k] = False
    border = plane[edge & good] if (edge & good).sum() > 20 else plane[good]
    sky = float(np.median(border))
    steps = np.diff(np.where(good, plane, np.nan), axis=1)
    steps = steps[np.isfinite(steps)]
    quiet = np.abs(steps - np.median(steps)) if len(steps) else np.array([0.0])
    noise = float(1.4826 * np.quantile(quiet, 0.5) / np.sqrt(2))
    if not noise > 0:
        spread = np.abs(border - sky)
        noise = float(1.4826 * np.median(spread)) or 1e-3 * float(np.ptp(plane[good])) or 1.0
    return np.where(good, plane - sky, 0.0), noise, good


def _on_its_ellipse(values: np.ndarray, radius: np.ndarray, noise: float, blur: float) -> np.ndarray:
    """(h, w) values less their median over each ellipse, in units of their scatter there (at least the sky's)."""
    rings = np.minimum((radius / max(2 * STEP_R, 1e-6)).astype(int), 40)
    least = noise / max(2 * np.sqrt(np.pi) * blur, 1.0)
    count = int(rings.max()) + 1
    middle, spread = np.zeros(count), np.full(count, least)
    for ring in range(count):
        inside = values[rings == ring]
        if len(inside) < 6:
            continue
        middle[ring] = np.median(inside)
        low = np.quantile(inside, [0.16, 0.5])
        spread[ring] = max(least, 1.4826 * np.median(np.abs(inside - middle[ring])), low[1] - low[0])
    middle = np.minimum(middle, ndimage.median_filter(middle, 7, mode="nearest") + 1.5 * spread)  # a ring may stay
    return (values - middle[rings]) / spread[rings]


def _bluer(
    sharp: np.ndarray, red: np.ndarray, psf: float, psf_red: float, radius: np.ndarray, noise: float
) -> np.ndarray:
    """(h, w) the sharp band less the scaled red one at one PSF, in units of its scatter on each ellipse."""
    a, _, good = _ready(sharp)
    b, _, good_b = _ready(red)
    coarse = np.hypot(max(psf, psf_red), 1.0)
    a = ndimage.gaussian_filter(a, np.sqrt(max(coarse**2 - psf**2, 0.01)))
    b = ndimage.gaussian_filter(b, np.sqrt(max(coarse**2 - psf_red**2, 0.01)))
    core = (radius < 0.6) & good & good_b
    under = float((b[core] ** 2).sum())
    ratio = float((a[core] * b[core]).sum()) / under if under > 0 else 0.0
    return _on_its_ellipse(np.where(good & good_b, a - ratio * b, 0.0), radius, noise, coarse)


def _elsewhere(
    plane: np.ndarray, psf: float, model: np.ndarray, psf_model: float, radius: np.ndarray, blur: float
) -> np.ndarray:
    """(h, w) what another band has beside the galaxy, scaled to it, in units of its scatter on each ellipse."""
    light, noise, good = _ready(plane)
    galaxy = ndimage.gaussian_filter(model, np.sqrt(max(psf**2 - psf_model**2, 0.01)))
    under = float((galaxy[good] ** 2).sum())
    ratio = float((light[good] * galaxy[good]).sum()) / under if under > 0 else 0.0
    blur = max(blur, 0.5 * psf)
    rest = ndimage.gaussian_filter(np.where(good, light - ratio * galaxy, 0.0), blur)
    return _on_its_ellipse(rest, radius, noise, blur)


@dataclass(frozen=True)
class Arc:
    """The best arc: its S/N and what that counts, radius (arcsec), length (degrees), the weighted S/N of its
    counterpart, and the means of the maps along it."""

    snr: float
    weight: float
    radius: float
    length: float
    other: float
    of: dict[str, float]


def _arc(maps: dict[str, np.ndarray], galaxy: Galaxy, scale: float, far: float) -> Arc:
    """Look for the arc that counts most, in polar coordinates around the galaxy, on the map ``left``."""
    r = np.arange(NEAR - 0.4, far + 0.4, STEP_R)
    phi = np.radians(np.arange(0.0, 360.0, STEP_PHI))
    at = np.stack([
        galaxy.y + np.sin(phi)[None] * r[:, None] / scale, galaxy.x + np.cos(phi)[None] * r[:, None] / scale
    ])  # fmt: skip
    seen = {name: ndimage.map_coordinates(one, at, order=1, mode="constant") for name, one in maps.items()}
    wanted = (r >= NEAR - 1e-9) & (r <= far + 1e-9)
    best = Arc(0.0, 0.0, float(NEAR), LENGTHS[0], 0.0, dict.fromkeys(maps, 0.0))
    for length in LENGTHS:
        size = round(length / STEP_PHI) | 1
        along = {name: ndimage.uniform_filter1d(one, size, axis=1, mode="wrap") for name, one in seen.items()}
        span = np.maximum(np.radians(length) * r[:, None] / (2 * WIDTH), 1.0)
        snr = _strength(seen["left"], along["left"], size) * np.sqrt(span)
        weight = _weight(along)
        counts = np.where(wanted[:, None], snr * weight, -np.inf)
        i, j = np.unravel_index(int(np.argmax(counts)), counts.shape)
        if counts[i, j] > best.snr * best.weight:
            away = np.abs((np.arange(len(phi)) - j + len(phi) // 2) % len(phi) - len(phi) // 2) * STEP_PHI
            other = max(float(counts[:, away > 90 + length / 4].max()), 0.0)
            there = {name: float(one[i, j]) for name, one in along.items()}
            best = Arc(float(snr[i, j]), float(weight[i, j]), float(r[i]), length, other, there)
    return best


def _strength(polar: np.ndarray, mean: np.ndarray, size: int) -> np.ndarray:
    """(radii, angles) S/N per beam of an arc of ``size`` angles about each place: see :class:`LensLikeness`."""
    around = np.pad(polar, ((0, 0), (size // 2, size // 2)), mode="wrap")
    view = np.lib.stride_tricks.sliding_window_view(around, size, axis=1)
    level = np.partition(view, int(SHARE * size), axis=2)[..., int(SHARE * size)]
    flank = round(0.4 / STEP_R)
    flanks = np.maximum(np.roll(mean, flank, 0), np.roll(mean, -flank, 0))
    peak = ndimage.maximum_filter1d(polar, size, axis=1, mode="wrap")
    even = np.clip(3 * level / np.maximum(peak, 1e-9), 0, 1)  # the wings of a bright blob are long, and uneven
    return even * np.minimum(level, level - np.maximum(flanks, 0))


def _weight(along: dict[str, np.ndarray]) -> np.ndarray:
    """(radii, angles) what an arc counts by its colour, by other bands, and by how it compares with the core."""
    weight = np.minimum(1.0, (CONTRAST / np.maximum(along["contrast"], 1e-9)) ** 2)
    if "colour" not in along:
        return weight
    return weight * (1 + np.tanh(along["colour"] / 3)) * np.clip(along["others"] / 2, 0.1, 1.0)
