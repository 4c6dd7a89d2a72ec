"""What the pixels of an object say of its shape, in numbers: captions are made of them where no model writes any.

Segmentation, moments and Gini index by photutils; concentration and asymmetry after Conselice 2014 (Annu. Rev. Astron.
Astrophys. 52, 291), M20 after Lotz, Primack & Madau 2004 (Astron. J. 128, 163).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from explorer.pipeline import _polar
from explorer.pipeline._polar import Frame

LEAST = 3.0  # standard deviations above the sky from which pixels belong to an object
FEWEST = 12  # pixels of an object
LARGEST = 96  # pixels a side; larger pictures are averaged down to it before they are described


def measure(pixels: np.ndarray) -> dict[str, float] | None:
    """Shape of the object at the centre of an image (bands, h, w) or a plane (h, w); None where nothing stands out.

    Of the plane that stands out of its noise the most:

    ``elongation`` (1 is round), ``concentration`` 5 log10(r80 / r20), ``asymmetry`` under half a turn, less that of the
    sky, ``outskirts`` the same outside the radius that holds half the light, ``gini``, ``m20``, ``nuclei`` (peaks above
    a third of the brightest), ``radius`` that holds half the light (pixels), ``companions`` (other objects on the
    plane), ``second`` (light of the nearest bright one, as a share of the object's, falling with its distance),
    ``ring`` (how far the profile rises again outside its deepest gap, as a share of its peak; 0 where it does not),
    ``arms``, ``bar``, ``arms_excess`` (:func:`~explorer.pipeline._polar.arms`), ``arc``, ``arc_turn``, ``arc_light``
    and ``arc_blue`` (:class:`~explorer.pipeline._polar.Arcs`; 0 where there is none, or one plane alone).
    """
    planes, at = _planes(pixels)
    plane = planes[at]
    sky, noise = _sky(plane)
    plane = plane - sky
    found = _segments(plane, noise)
    if found is None:
        return None
    height, width = plane.shape
    middle = found.data[height // 2 - 3 : height // 2 + 4, width // 2 - 3 : width // 2 + 4]
    labels = middle[middle > 0]
    if not len(labels):
        return None
    mine = found.data == int(np.bincount(labels).argmax())
    told, frame = _whole(plane, found, mine, noise)
    peak = _brightest(plane, mine, frame)
    inner, outer = max(2.0, 0.35 * told["radius"]), min(2.6 * told["radius"] + 2, min(plane.shape) / 2 - 1)
    arms, bar, excess = _polar.arms(np.where(mine | (found.data == 0), plane, 0.0), noise, peak, inner, outer)
    told |= {"arms": arms, "bar": bar, "arms_excess": excess, "ring": _ring(plane, noise, frame)}
    arcs = _arcs(planes, mine, peak, np.asarray(pixels).dtype == np.uint8)
    return told | {"arc": arcs.slim, "arc_turn": arcs.turn, "arc_light": arcs.light, "arc_blue": arcs.bluer}


def _arcs(planes: np.ndarray, mine: np.ndarray, frame: Frame, picture: bool) -> _polar.Arcs:
    """Of the bluest and the reddest band: the first and the last, and the other way round in an 8-bit picture."""
    if len(planes) < 2:
        return _polar.Arcs()
    told = [_sky(p) for p in (planes[-1], planes[0])]
    red, blue = (p - level for p, (level, _) in zip((planes[-1], planes[0]), told, strict=True))
    noise = (told[1][1], told[0][1])
    if picture:
        red, blue, noise = blue, red, noise[::-1]
    return _polar.blue_arcs(blue, red, noise, _brightest(red, mine, frame), mine)


def _whole(plane: np.ndarray, found: Any, mine: np.ndarray, noise: float) -> tuple[dict[str, float], Frame]:
    from photutils.morphology import gini
    from photutils.segmentation import SourceCatalog

    data = found.data
    label = int(data[mine][0])
    one = SourceCatalog(plane, found).select_label(label)
    light = np.maximum(np.where(mine, plane, 0.0), 0)
    y, x = np.indices(plane.shape)
    total = max(float(light.sum()), 1e-30)
    cx, cy = float((light * x).sum() / total), float((light * y).sum() / total)
    radii, growth = _growth(light, np.hypot(x - cx, y - cy))
    r20, r50, r80 = (float(np.interp(share, growth, radii)) for share in (0.2, 0.5, 0.8))
    frame = Frame(cx, cy, float(one.elongation), float(one.orientation.to_value("rad")))
    asymmetry, outskirts = _asymmetry(plane, mine, noise, frame, r50)
    told = {
        "elongation": frame.elongation,
        "concentration": 5 * float(np.log10(max(r80, 0.5) / max(r20, 0.25))),
        "asymmetry": asymmetry,
        "outskirts": outskirts,
        "gini": float(gini(plane, mask=~mine)),
        "m20": _m20(light, frame),
        "nuclei": float(_peaks(plane, mine, noise)),
        "radius": r50,
        "companions": float(found.n_labels - 1),
        "second": _second(plane, data, label, total, frame, r50),
    }
    return told, frame


def _segments(plane: np.ndarray, noise: float) -> Any:
    from photutils.segmentation import detect_sources

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # photutils tells that nothing was found; None says so here
        return detect_sources(plane, LEAST * noise, n_pixels=FEWEST)


def _planes(pixels: np.ndarray) -> tuple[np.ndarray, int]:
    """Planes (bands, h, w) float64, averaged down where they are large, and which stands out of its noise the most."""
    from kernels.preprocess.images import clean, resize

    given = np.asarray(pixels, np.float32)
    planes = clean(given[None] if given.ndim == 3 else given[None, None])
    if max(planes.shape[2:]) > LARGEST:  # else noise counts as companions, and blocks of JPEG as nuclei
        planes = resize(planes, LARGEST, antialias=True)
    planes = planes[0].astype(np.float64)
    told = [_sky(plane) for plane in planes]
    return planes, int(np.argmax([(np.percentile(p, 99.5) - m) / s for p, (m, s) in zip(planes, told, strict=True)]))


def _sky(plane: np.ndarray) -> tuple[float, float]:
    """Level and scatter of the border of a plane, robust to what lies there."""
    edge = np.concatenate([plane[:4].ravel(), plane[-4:].ravel(), plane[:, :4].ravel(), plane[:, -4:].ravel()])
    middle = float(np.median(edge))
    return middle, max(1.4826 * float(np.median(np.abs(edge - middle))), 1e-12)


def _growth(light: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radii and the share of the object's light within them."""
    order = np.argsort(radius, axis=None)
    total = np.cumsum(light.ravel()[order])
    return radius.ravel()[order], total / max(total[-1], 1e-30)


def _m20(light: np.ndarray, frame: Frame) -> float:
    """Log10 of the second moment of the brightest fifth of the light over that of all."""
    y, x = np.indices(light.shape)
    moment = light * ((x - frame.x) ** 2 + (y - frame.y) ** 2)
    order = np.argsort(-light, axis=None)
    bright = np.cumsum(light.ravel()[order]) <= 0.2 * light.sum()
    return float(np.log10(max(moment.ravel()[order][bright].sum(), 1e-30) / max(moment.sum(), 1e-30)))


def _asymmetry(plane: np.ndarray, mine: np.ndarray, noise: float, frame: Frame, r50: float) -> tuple[float, float]:
    from scipy.ndimage import shift

    middle = (np.array(plane.shape) - 1) / 2
    centred = shift(np.where(mine, plane, 0.0), middle - (frame.y, frame.x), order=1)
    apart = np.abs(centred - centred[::-1, ::-1])
    y, x = np.indices(plane.shape)
    far = np.hypot(y - middle[0], x - middle[1]) > r50
    here = np.abs(centred) > 0
    out = []
    for part in (np.ones(plane.shape, bool), far):
        of_noise = 1.128 * noise * float((here & part).sum())  # mean of |a - b| of two pixels of noise
        below = max(2 * float(np.abs(centred[part]).sum()), 1e-30)
        out.append(max(0.0, float(apart[part].sum()) - of_noise) / below)
    return out[0], out[1]


def _second(plane: np.ndarray, labels: np.ndarray, label: int, total: float, frame: Frame, r50: float) -> float:
    """The largest of: light of another object as a share of this one's, times (3 r50 / distance)², at most 1."""
    from scipy.ndimage import center_of_mass, sum_labels

    others = [n for n in np.unique(labels) if n not in (0, label)]
    if not others:
        return 0.0
    light = np.asarray(sum_labels(plane, labels, others))
    places = np.array(center_of_mass(np.maximum(plane, 0), labels, others))
    away = np.hypot(places[:, 0] - frame.y, places[:, 1] - frame.x)
    return float((np.clip(light / total, 0, 1) * np.minimum(1, (3 * r50 / np.maximum(away, 1)) ** 2)).max())


def _brightest(plane: np.ndarray, mine: np.ndarray, frame: Frame) -> Frame:
    """The same frame, around the brightest smoothed pixel: where arms and arcs turn around."""
    from scipy.ndimage import gaussian_filter

    smooth = np.where(mine, gaussian_filter(plane, 1.0), -np.inf)
    y, x = (int(i) for i in np.unravel_index(int(np.argmax(smooth)), plane.shape))
    near = plane[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].clip(0)
    dy, dx = np.indices(near.shape)
    total = max(float(near.sum()), 1e-30)
    cy, cx = max(y - 2, 0) + float((near * dy).sum()) / total, max(x - 2, 0) + float((near * dx).sum()) / total
    return Frame(cx, cy, frame.elongation, frame.angle)


def _peaks(plane: np.ndarray, mine: np.ndarray, noise: float) -> int:
    from scipy.ndimage import gaussian_filter, maximum_filter

    smooth = gaussian_filter(plane, 1.2)
    top = float(smooth[mine].max())
    return int(((maximum_filter(smooth, 7) == smooth) & mine & (smooth > max(top / 3, 5 * noise))).sum())


def _ring(plane: np.ndarray, noise: float, frame: Frame) -> float:
    """How far the median profile over ellipses rises again outside its deepest gap, as a share of its peak; else 0."""
    from scipy.ndimage import median

    ring = frame.radius(plane.shape).astype(int)
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
