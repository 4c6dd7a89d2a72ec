"""Batches to the arrays that the small encoders read: images by arcsinh of the noise, spectra in logarithmic cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kernels.embedding.batches import Images, Spectra
from kernels.preprocess.images import clean, resize

CELLS = 1024
FIRST, LAST = 3600.0, 9824.0
"""Range of the cells in Å; DESI's, and nearly all of SDSS's lies within."""
EDGES = np.geomspace(FIRST, LAST, CELLS + 1)
"""(1025,) edges of the cells: 294 km/s each, so that a redshift is a shift."""
LEAST_COVER = 0.1
"""Share of the cells that a spectrum must reach into."""
MOST_WEIGHT = 400.0
"""Largest weight of a cell: an error of a twentieth of the signal."""


def noise_of(batches: Sequence[Images]) -> np.ndarray:
    """(bands,) float32: the typical image's scatter, by half the 16-84 % range of its pixels; 1 where there is none."""
    spread = []
    for batch in batches:
        some = batch.pixels[:: max(1, len(batch) // 64)]
        flat = np.where(np.isfinite(some), some, np.nan).reshape(*some.shape[:2], -1)
        empty = ~np.isfinite(flat).any(axis=2)
        flat[empty] = 0
        here = np.diff(np.nanpercentile(flat, [16, 84], axis=2), axis=0)[0] / 2
        spread.append(np.where(empty, np.nan, here))
    stacked = np.concatenate(spread)
    stacked[:, np.isnan(stacked).all(axis=0)] = 1
    typical = np.nanmedian(stacked, axis=0)
    return np.where(typical > 0, typical, 1.0).astype(np.float32)


def slots(given: Sequence[str], count: int, known: Sequence[str], encoder: str) -> list[int]:
    """Places in ``known`` of ``count`` bands named ``given``: by name, or in order where no name is known.

    Bands that the encoder does not know are left out (place -1) where others are known. ``ValueError`` where no name
    is known and there are more bands than places.
    """
    if given and len(given) != count:
        raise ValueError(f"{count} bands of pixels and {len(given)} names ({', '.join(given)}): name each band once")
    table = {_plain(name): place for place, name in enumerate(known)}
    found = [table.get(_plain(name), -1) for name in given]
    if any(place >= 0 for place in found):
        return found
    if count > len(known):
        told = f" ({', '.join(given)})" if given else ""
        raise ValueError(
            f"{encoder} was trained on {len(known)} bands ({', '.join(known)}) and is given {count}{told}, none of "
            f"which it knows: train it on this survey (explorer train {encoder} SURVEY)"
        )
    return list(range(count))


def _plain(name: str) -> str:
    return name.upper().replace("EUCLID", "").replace("NISP", "").replace("NIR", "").strip("-_ ")


def image_input(batch: Images, noise: np.ndarray, size: int, known: Sequence[str], encoder: str) -> np.ndarray:
    """(n, len(known), size, size) float16 of arcsinh(pixels / noise); bands that are missing are 0 throughout."""
    count = batch.pixels.shape[1]
    if count != len(noise):
        raise ValueError(f"{encoder} was fitted on {len(noise)} bands and is given {count} ({', '.join(batch.bands)})")
    places = slots(batch.bands, count, known, encoder)
    pixels = clean(batch.pixels)
    if pixels.shape[-2:] != (size, size):
        pixels = resize(pixels, size, antialias=True)
    out = np.zeros((len(pixels), len(known), size, size), np.float16)
    for band, place in enumerate(places):
        if place >= 0:
            out[:, place] = np.arcsinh(pixels[:, band] / noise[band])
    return out


def spectrum_input(batch: Spectra) -> dict[str, np.ndarray]:
    """Spectra in the cells of :data:`EDGES`, in units of each one's own signal.

    ``flux`` (n, 1024) float16, clipped at ±20; ``weight`` (n, 1024) float16, its inverse variance, 0 without data, at
    most 400; ``signal`` (n,) float32, log10 of the unit (root of the weighted mean square less the noise) in the
    batch's units of flux. Samples whose ivar is below a tenth of the spectrum's median (sky lines, edges) say nothing.
    """
    ivar = np.where(np.isfinite(batch.flux) & np.isfinite(batch.ivar), batch.ivar, 0.0).astype(np.float64)
    flux = np.where(ivar > 0, batch.flux, 0.0).astype(np.float64)
    top = np.abs(flux).max(initial=0.0) or 1.0  # fluxes in cgs are 1e-17: squares of float32 would vanish
    flux, ivar = flux / top, ivar * top**2
    weight, total = _in_cells(batch.wavelength, ivar), _in_cells(batch.wavelength, flux * ivar)
    mean = np.divide(total, weight, out=np.zeros_like(total), where=weight > 0)
    shown = np.where(weight > 0, weight, np.nan)
    shown[~(weight > 0).any(axis=1)] = 0
    weight = np.where(weight >= 0.1 * np.nanmedian(shown, axis=1, keepdims=True), weight, 0.0)
    power, sum_weight = (weight * mean**2).sum(axis=1), np.maximum(weight.sum(axis=1), 1e-300)
    signal = np.maximum(power - (weight > 0).sum(axis=1), 0.02 * power) / sum_weight
    unit = np.sqrt(np.where(signal > 0, signal, 1.0))[:, None]
    scaled = np.clip(mean / unit, -20, 20) * (weight > 0)
    return {
        "flux": scaled.astype(np.float16),
        "weight": np.minimum(weight * unit**2, MOST_WEIGHT).astype(np.float16),
        "signal": np.log10(unit[:, 0] * top).astype(np.float32),
    }


def _in_cells(wavelength: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n, cells) sums of ``values`` (n, m), a sample on an edge shared by the overlap."""
    wavelength = np.asarray(wavelength, dtype=np.float64)
    if len(wavelength) < 2 or not (np.diff(wavelength) > 0).all():
        raise ValueError("wavelengths must ascend in Å: sort the spectra, flux and ivar with them")
    middle = (wavelength[1:] + wavelength[:-1]) / 2
    edges = np.concatenate([[1.5 * wavelength[0] - 0.5 * wavelength[1]], middle])
    edges = np.append(edges, 1.5 * wavelength[-1] - 0.5 * wavelength[-2])
    covered = ((EDGES[1:] > edges[0]) & (EDGES[:-1] < edges[-1])).mean()
    if covered < LEAST_COVER:
        raise ValueError(
            f"spectra from {wavelength[0]:.6g} to {wavelength[-1]:.6g} reach {100 * covered:.0f} % of the cells from "
            f"{FIRST:.0f} to {LAST:.0f} Å: are the wavelengths in Å (nm x 10, micrometre x 10,000)?"
        )
    sums = np.concatenate([np.zeros((len(values), 1)), np.cumsum(values, axis=1)], axis=1)
    at = np.interp(EDGES, edges, np.arange(len(edges)))
    low = np.minimum(at.astype(np.int64), len(edges) - 2)
    share = at - low
    cumulative = sums[:, low] + share * (sums[:, low + 1] - sums[:, low])
    return np.maximum(np.diff(cumulative, axis=1), 0.0) if (values >= 0).all() else np.diff(cumulative, axis=1)
