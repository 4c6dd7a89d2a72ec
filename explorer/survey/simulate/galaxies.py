"""Blocks of the galaxy surveys: physics, catalogue and modalities of the same objects become records."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from explorer.survey.records import Events, Image, Record, Spectrum
from explorer.survey.simulate import images, measure, parameters, photometry, rarities, spectra, text, xray
from explorer.survey.simulate.parameters import Galaxies, stream, take
from explorer.survey.simulate.recipe import Band, ImageSpec, Recipe

_DRAW, _TRUTH, _DERIVE, _OTHER, _CATALOGUE, _EVENTS, _TEXT = 1, 2, 3, 4, 5, 41, 42
# the filters that tie spectrum and catalogue where a recipe has no image
_BANDS = (
    Band("g", 4000.0, 5500.0, 1.3, 0.0, 1.0, 23.9),
    Band("r", 5620.0, 6980.0, 1.2, 0.0, 1.0, 23.9),
    Band("i", 6910.0, 8250.0, 1.2, 0.0, 1.0, 23.9),
)
F, S, I = pa.float64(), pa.string(), pa.int32()  # noqa: E741
Columns = dict[str, tuple[pa.DataType, str, str]]


def bands_of(recipe: Recipe) -> tuple[Band, ...]:
    """The filters in which magnitudes are given."""
    return recipe.image.bands if recipe.image else _BANDS


def describe(recipe: Recipe) -> Columns:
    """Column name → (type, unit, description), in the order of the catalogue."""
    out: Columns = {
        "truth": (S, "", "what was simulated: normal, a rarity or an artefact"),
        "truth_kind": (S, "", "normal, rarity or artefact"),
        "field": (S, "", "field on the sky"),
        "target": (S, "", "spectroscopic programme"),
        "ra": (F, "deg", "right ascension, ICRS"),
        "dec": (F, "deg", "declination, ICRS"),
        "z": (F, "", "redshift as catalogued, from the spectrum"),
        "zwarn": (I, "", "0 where the catalogued redshift was thought safe, else 4"),
        "z_true": (F, "", "redshift of the galaxy in the image"),
        "logmass": (F, "log(Msun)", "stellar mass"),
        "logsfr": (F, "log(Msun/yr)", "star-formation rate"),
        "av": (F, "mag", "dust in front of the young stars"),
        "metallicity": (F, "12+log(O/H)", "abundance of oxygen"),
        "agn_fraction": (F, "", "share of the nucleus in the light of the first band"),
        "bulge_fraction": (F, "", "share of the bulge in the mass"),
        "axis_ratio": (F, "", "minor over major axis"),
        "radius": (F, "arcsec", "half-light radius along the major axis, as measured"),
        "sigma_star": (F, "km/s", "velocity dispersion of the stars"),
    }
    out |= {
        f"mag_{b.name.lower()}": (F, "mag(AB)", f"total magnitude in {b.name}, as measured") for b in bands_of(recipe)
    }
    out |= {
        "snr_image": (F, "", "S/N within the half-light radius in the first band"),
        "snr_spectrum": (F, "", "median S/N per pixel of the continuum"),
        "fibre_fraction": (F, "", "share of the light in the first band that the fibre takes"),
        "bpt_truth": (S, "", "BPT class that the lines were drawn from; normal: no lines"),
        "log_n2_truth": (F, "", "log [N II]6585/Hα as drawn"),
        "log_o3_truth": (F, "", "log [O III]5008/Hβ as drawn"),
        "z_source": (F, "", "redshift of the source behind a lens"),
        "einstein_radius": (F, "arcsec", "Einstein radius of a lens"),
    }
    if not recipe.image:
        out.pop("snr_image")
    if recipe.options.get("measure_lines"):
        out |= measure.describe()
    else:  # what was drawn stands in for a measurement
        out = {k.removesuffix("_truth"): v for k, v in out.items()}
    if recipe.parts.get("events"):
        out["counts"] = (I, "", "X-ray events, source and background")
    return out


def physics(recipe: Recipe, seed: int, block: int) -> tuple[Galaxies, Galaxies, np.ndarray]:
    """(galaxies in the images, galaxies in the spectra, rows): whole block ``block``; ``seed`` from ``Recipe.key``.

    The two differ where a spectrum was swapped. Every array has ``recipe.block`` entries.
    """
    n = recipe.block
    truth = rarities.classes(recipe, n, stream(seed, _TRUTH, block))
    first = parameters.draw(recipe, n, stream(seed, _DRAW, block))
    g = rarities.plant(first, truth, stream(seed, _TRUTH, block, 1))
    rng = stream(seed, _DERIVE, block)
    g = parameters.derive(g, bands_of(recipe), rng)
    g["exposure_u"] = rng.normal(size=n)
    seen = dict(g)
    swapped = truth == "swapped-spectrum"
    if swapped.any():
        rng = stream(seed, _OTHER, block)
        normal = np.full(n, "normal", dtype=object)
        other = rarities.plant(parameters.draw(recipe, n, rng), normal, rng)
        other = parameters.derive(other, bands_of(recipe), rng)
        other["exposure_u"] = g["exposure_u"]
        for name, values in seen.items():
            values = values.copy()
            values[swapped] = other[name][swapped]
            seen[name] = values
        seen["class"] = truth
    return g, seen, block * n + np.arange(n)


def catalogue(recipe: Recipe, g: Galaxies, seen: Galaxies, seed: int, block: int) -> dict[str, np.ndarray]:
    """Catalogue columns of a block except those measured from its spectra and events; NaN where undefined."""
    rng, n, truth = stream(seed, _CATALOGUE, block), len(g["z"]), g["class"]
    out: dict[str, np.ndarray] = {"truth": truth, "truth_kind": rarities.kind(truth)}
    out |= {k: g[k] for k in ("field", "target", "ra", "dec")}
    out["z"] = rarities.catalogue_redshift(g["z"], seen["z"], truth, rng)
    shared = ("logmass", "logsfr", "av", "metallicity", "agn_fraction", "bulge_fraction", "sigma_star")
    out |= {"z_true": g["z"], **{k: g[k] for k in shared}}
    out["axis_ratio"] = np.where(g["bulge_fraction"] > 0.5, g["q_bulge"], g["q_disk"])
    out["radius"] = g["radius"] * np.exp(rng.normal(0, 0.05, n))
    area = np.pi * g["radius"] ** 2 * out["axis_ratio"]
    for b, band in enumerate(bands_of(recipe)):
        side = recipe.image.pixel_scale if recipe.image else 0.4
        unit = float(recipe.image.scale()[b]) if recipe.image else 1.0
        pixels = 4 * (area + 2.3 * band.psf_fwhm**2) / side**2
        flux, sky = g["flux"][:, b] * unit, max(band.noise, 0.003) ** 2
        measured = flux + np.sqrt(pixels * sky + flux / band.gain) * rng.normal(size=n)
        out[f"mag_{band.name.lower()}"] = photometry.to_mag(measured / unit)
        if b == 0:
            out["snr_image"] = 0.5 * flux / np.sqrt(pixels / 4 * sky + 0.5 * flux / band.gain)
    told = "_truth" if recipe.options.get("measure_lines") else ""
    out |= {k + told: g[k] for k in ("bpt", "log_n2", "log_o3")}
    out |= {k: g[k] for k in ("z_source", "einstein_radius")}
    if recipe.spectrum:
        out["snr_spectrum"] = spectra.expected_snr(seen, recipe.spectrum)
        out["fibre_fraction"] = spectra.fibre_fraction(seen, recipe.spectrum)
        sure = out["snr_spectrum"] / 0.9 + spectra.line_significance(seen, recipe.spectrum) / 7
        doubt = 1 / (1 + np.exp(np.clip((sure - 1.0) / 0.18, -60, 60)))
        doubt = np.maximum(doubt, np.select([truth == "wrong-redshift", truth == "sky-residual"], [0.2, 0.12], 0.004))
        out["zwarn"] = np.where(rng.random(n) < doubt, 4, 0)
    return out


def source_of(recipe: Recipe, seed: int, block: int, rows: slice) -> str:
    """What a record says of where it came from; a killed generation goes on by it."""
    return f"{recipe.name} seed {seed} block {block} rows {rows.start}:{rows.stop}"


def records(recipe: Recipe, seed: int, block: int, rows: slice, catalogue_only: bool) -> list[Record]:
    """Objects ``rows`` of block ``block``."""
    source, seed = source_of(recipe, seed, block, rows), recipe.key(seed)
    g, seen, number = physics(recipe, seed, block)
    table = catalogue(recipe, g, seen, seed, block)
    names = [k for k in describe(recipe) if k in table]
    part = [number[rows], *(table[k][rows] for k in names)]
    if not catalogue_only:
        return _with_modalities(recipe, take(g, rows), take(seen, rows), seed, part[0], names, part[1:], source)
    return [
        Record(id=(name := f"{recipe.prefix}-{i:06d}"), object_id=name, values=_values(names, cells), source=source)
        for i, *cells in zip(*(p.tolist() for p in part), strict=True)
    ]


def _values(names: list[str], cells: list[Any]) -> dict[str, Any]:
    """Cells by name; NaN, which no catalogue should hold, becomes None."""
    return {k: (None if v != v else v) for k, v in zip(names, cells, strict=True)}


def _with_modalities(
    recipe: Recipe, g: Galaxies, seen: Galaxies, seed: int, rows: np.ndarray, names: list[str],
    cells: list[np.ndarray], source: str,
) -> list[Record]:  # fmt: skip
    pixels = _cutouts(recipe.image, g, seed, rows) if recipe.image else None
    grid = flux = ivar = None
    extra: list[dict[str, Any]] = [{} for _ in rows]
    if recipe.spectrum:
        grid = recipe.spectrum.wavelength()
        clean = spectra.noiseless(seen, recipe.spectrum)
        flux, ivar = spectra.observe(clean, seen, recipe.spectrum, seed, rows)
        if recipe.options.get("measure_lines"):
            extra = measure.lines_of_block(grid, flux, ivar, seen["z"])
    out = []
    for i, row in enumerate(rows):
        values = _values(names, [c[i] if not hasattr(c[i], "item") else c[i].item() for c in cells]) | extra[i]
        events = _events(recipe, g, i, seed, int(row))
        if recipe.parts.get("events"):
            values["counts"] = None if events is None else len(events.time)
        name = f"{recipe.prefix}-{int(row):06d}"
        rng = stream(seed, _TEXT, int(row))
        told = text.of_galaxy(g, i, rng) if rng.random() < recipe.parts.get("text", 0.0) else None
        out.append(
            Record(
                id=name,
                object_id=name,
                values=values,
                image=None if pixels is None else Image(pixels[i]),
                spectrum=None if flux is None or ivar is None or grid is None else Spectrum(grid, flux[i], ivar[i]),
                events=events,
                text=told,
                source=source,
            )
        )
    return out


def _cutouts(spec: ImageSpec, g: Galaxies, seed: int, rows: np.ndarray) -> np.ndarray:
    return images.observe(images.noiseless(g, spec, seed, rows), g, spec, seed, rows)


def _events(recipe: Recipe, g: Galaxies, i: int, seed: int, row: int) -> Events | None:
    """X-ray events of object ``i``: active nuclei were observed five times as often as the rest."""
    share = recipe.parts.get("events", 0.0)
    rng = stream(seed, _EVENTS, row)
    active = g["bpt"][i] == "Seyfert"
    if rng.random() >= share * (5.0 if active else 0.8):
        return None
    return xray.galaxy_events(g, i, active, rng)
