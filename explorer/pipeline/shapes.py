"""What pixels and catalogue say of an object, measured and put in words: captions where no model writes any.

Segmentation, moments and Gini index by photutils; concentration and asymmetry after Conselice 2014 (Annu. Rev. Astron.
Astrophys. 52, 291).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from explorer.survey.store import Survey

LEAST = 3.0  # standard deviations above the sky from which pixels belong to an object
FEWEST = 12  # pixels of an object
CONCENTRATED, CONCENTRATED_8_BIT = 2.65, 2.3  # of smooth galaxies; the stretch of an 8-bit picture flattens them
LARGEST = 96  # pixels a side; larger pictures are averaged down to it before they are described
TOLD: tuple[str, ...] = ("z", "redshift", "logmass", "mass", "logsfr")
"""Columns that a description speaks of, by name: redshift, and the decimal logarithms of mass and star formation."""


def measure(pixels: np.ndarray) -> dict[str, float] | None:
    """Shape of the object at the centre of one plane (h, w); None where nothing stands out of the noise there.

    ``elongation`` (1 is round), ``concentration`` 5 log10(r80 / r20), ``asymmetry`` under half a turn, less that of the
    sky, ``gini``, ``nuclei`` (peaks above a third of the brightest), ``radius`` that holds half the light (pixels),
    ``companions`` (other objects on the plane), ``ring`` (how far the profile rises again outside its deepest
    gap, as a share of its peak; 0 where it does not).
    """
    from photutils.morphology import gini
    from photutils.segmentation import SourceCatalog, detect_sources

    from kernels.preprocess.images import clean

    plane = clean(np.asarray(pixels, np.float32)[None, None])[0, 0].astype(np.float64)
    sky, noise = _sky(plane)
    plane -= sky
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # photutils tells that nothing was found; None says so here
        found = detect_sources(plane, LEAST * noise, n_pixels=FEWEST)
    if found is None:
        return None
    height, width = plane.shape
    middle = found.data[height // 2 - 3 : height // 2 + 4, width // 2 - 3 : width // 2 + 4]
    labels = middle[middle > 0]
    if not len(labels):
        return None
    label = int(np.bincount(labels).argmax())
    mine = found.data == label
    one = SourceCatalog(plane, found).select_label(label)
    radii, growth = _growth(np.where(mine, plane, 0.0), plane)
    r20, r50, r80 = (float(np.interp(share, growth, radii)) for share in (0.2, 0.5, 0.8))
    peaks = _peaks(plane, mine, noise)
    return {
        "elongation": float(one.elongation),
        "concentration": 5 * float(np.log10(max(r80, 0.5) / max(r20, 0.25))),
        "asymmetry": _asymmetry(plane, mine, noise),
        "gini": float(gini(plane, mask=~mine)),
        "nuclei": float(peaks),
        "radius": r50,
        "companions": float(found.n_labels - 1),
        "ring": _ring(plane, mine, noise, float(one.elongation), float(one.orientation.to_value("rad"))),
    }


def describe(survey: Survey, rows: Sequence[int]) -> list[str]:
    """A few sentences on each row, from its image and the columns that are told apart by name (z, mass, rate)."""
    images = survey.images(np.asarray(rows, np.int64))
    names = [n for n in TOLD if n in survey.columns]
    values = {n: survey.column(n)[list(rows)] for n in names}
    out = []
    for i, image in enumerate(images):
        shape = None if image is None else measure(_clearest(image.pixels))
        told = {n: float(v[i]) for n, v in values.items() if v[i] is not None and np.isfinite(float(v[i]))}
        stretched = image is not None and image.pixels.dtype == np.uint8
        limit = CONCENTRATED_8_BIT if stretched else CONCENTRATED
        out.append(" ".join([*_of_shape(shape, limit), *_of_catalogue(told)]))
    return out


def _of_shape(s: dict[str, float] | None, concentrated: float) -> list[str]:
    if s is None:
        return ["A faint object that barely stands out of the noise."]
    if s["concentration"] > concentrated and s["asymmetry"] < 0.1 and s["elongation"] < 2.2:
        kind = "A smooth, centrally concentrated galaxy, round or elliptical" if s["elongation"] < 1.6 else (
            "A smooth, elongated galaxy with a bright centre, elliptical or lenticular"
        )  # fmt: skip
    elif s["elongation"] > 2.5:
        kind = "A thin disk galaxy seen edge-on"
    elif s["asymmetry"] > 0.3:
        kind = "A disturbed, asymmetric galaxy, clumpy or irregular"
    else:
        kind = "A disk galaxy with structure, perhaps with spiral arms"
    told = [f"{kind}."]
    if s["nuclei"] >= 2 and s["asymmetry"] > 0.15:
        told.append("Two nuclei or more lie within it: perhaps merging or interacting.")
    if s["ring"] > 0:
        told.append("A bright ring encircles the centre.")
    if s["companions"] >= 3:
        told.append("Several companions lie around it.")
    return told


def _of_catalogue(told: Mapping[str, float]) -> list[str]:
    out = []
    z, mass = told.get("z", told.get("redshift")), told.get("logmass", told.get("mass"))
    if z is not None:
        out.append("It is nearby." if z < 0.15 else "It is moderately distant." if z < 0.6 else "It is distant.")
    if mass is not None:
        out.append("It is massive." if mass > 10.9 else "It is of low mass." if mass < 9.6 else "Its mass is average.")
    if "logsfr" in told and mass is not None:
        rate = told["logsfr"] - mass
        out.append("It forms stars vigorously." if rate > -9.5 else "Its stars are old." if rate < -11 else "")
    return [s for s in out if s]


def _sky(plane: np.ndarray) -> tuple[float, float]:
    """Level and scatter of the border of a plane, robust to what lies there."""
    edge = np.concatenate([plane[:4].ravel(), plane[-4:].ravel(), plane[:, :4].ravel(), plane[:, -4:].ravel()])
    middle = float(np.median(edge))
    return middle, max(1.4826 * float(np.median(np.abs(edge - middle))), 1e-12)


def _growth(light: np.ndarray, plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radii and the share of the object's light within them, around its brightest smoothed pixel."""
    from scipy.ndimage import center_of_mass

    y, x = np.indices(plane.shape)
    cy, cx = center_of_mass(np.maximum(light, 0))
    radius = np.hypot(y - cy, x - cx).ravel()
    order = np.argsort(radius)
    total = np.cumsum(np.maximum(light, 0).ravel()[order])
    return radius[order], total / max(total[-1], 1e-30)


def _asymmetry(plane: np.ndarray, mine: np.ndarray, noise: float) -> float:
    from scipy.ndimage import center_of_mass, shift

    cy, cx = center_of_mass(np.maximum(np.where(mine, plane, 0.0), 0))
    middle = (np.array(plane.shape) - 1) / 2
    centred = shift(np.where(mine, plane, 0.0), middle - (cy, cx), order=1)
    apart = float(np.abs(centred - centred[::-1, ::-1]).sum())
    of_noise = 1.128 * noise * float(mine.sum())  # mean of |a - b| of two pixels of noise
    return max(0.0, apart - of_noise) / max(2 * float(np.abs(centred).sum()), 1e-30)


def _peaks(plane: np.ndarray, mine: np.ndarray, noise: float) -> int:
    from scipy.ndimage import gaussian_filter, maximum_filter

    smooth = gaussian_filter(plane, 1.2)
    top = float(smooth[mine].max())
    return int(((maximum_filter(smooth, 7) == smooth) & mine & (smooth > max(top / 3, 5 * noise))).sum())


def _ring(plane: np.ndarray, mine: np.ndarray, noise: float, elongation: float, angle: float) -> float:
    """How far the median profile over ellipses rises again outside its deepest gap, as a share of its peak; else 0."""
    from scipy.ndimage import center_of_mass, median

    cy, cx = center_of_mass(np.maximum(np.where(mine, plane, 0.0), 0))
    y, x = np.indices(plane.shape)
    along = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
    across = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
    ring = np.hypot(along, across * elongation).astype(int)
    outer = min(plane.shape) // 2 - 1
    count = np.bincount(ring.ravel(), minlength=outer + 1)[: outer + 1]
    profile = np.asarray(median(plane, ring, np.arange(outer + 1)))  # a companion does not lift it
    error = 1.25 * noise / np.sqrt(np.maximum(count, 1))
    if len(profile) < 5:
        return 0.0
    ahead = np.maximum.accumulate(profile[::-1])[::-1]
    low = int(np.argmax(ahead - profile))
    at = low + int(np.argmax(profile[low:]))
    rise = profile[at] - profile[low]
    clear = at > low and rise > 5 * np.hypot(error[at], error[low])
    return float(rise / max(profile.max(), 1e-30)) if clear and rise > 0.04 * profile.max() else 0.0


def _clearest(pixels: np.ndarray) -> np.ndarray:
    """The plane (h, w) of an image (bands, h, w) that stands out of its noise the most; the first where none does."""
    from kernels.preprocess.images import clean, resize

    planes = clean(np.asarray(pixels, np.float32)[None])
    if max(planes.shape[2:]) > LARGEST:  # else noise counts as companions, and blocks of JPEG as nuclei
        planes = resize(planes, LARGEST, antialias=True)
    planes = planes[0].astype(np.float64)
    told = [_sky(plane) for plane in planes]
    return planes[int(np.argmax([(np.percentile(p, 99.5) - m) / s for p, (m, s) in zip(planes, told, strict=True)]))]
