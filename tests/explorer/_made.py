"""Small files of every layout that readers know, made from arrays that the tests keep."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from astropy.io import fits
from PIL import Image as Pillow


def png(path: Path, seed: int = 0, size: int = 24) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 255, (size, size), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Pillow.fromarray(pixels).save(path)
    return pixels


def png_bytes(seed: int = 0) -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save(out, "PNG")
    return out.getvalue()


def fits_cutout(path: Path, seed: int = 0, bands: tuple[str, ...] = ("VIS", "Y"), nan: bool = False) -> np.ndarray:
    pixels = np.random.default_rng(seed).normal(size=(len(bands), 20, 22)).astype(">f4")
    if nan:
        pixels[:] = np.nan
    units: list = [fits.PrimaryHDU()]
    for name, plane in zip(bands, pixels, strict=True):
        unit = fits.ImageHDU(plane, name=name)
        unit.header["MAGZERO"] = 24.5
        unit.header["BUNIT"] = "adu"
        unit.header["CTYPE1"], unit.header["CTYPE2"] = "RA---TAN", "DEC--TAN"
        unit.header["CRVAL1"], unit.header["CRVAL2"] = 52.0, -28.0
        unit.header["CRPIX1"], unit.header["CRPIX2"] = 11.5, 10.5
        unit.header["CDELT1"], unit.header["CDELT2"] = -0.1 / 3600, 0.1 / 3600
        units.append(unit)
    units.append(fits.ImageHDU(np.ones((20, 22), np.float32), name="WEIGHT"))
    fits.HDUList(units).writeto(path)
    return pixels


def sdss(path: Path, upper: bool = False, n: int = 200, ra: float = 150.0, descending: bool = False, **result) -> dict:
    """A spec file; unnamed units and upper-case columns with ``upper``."""
    rng = np.random.default_rng(zlib.crc32(path.name.encode()))
    loglam = np.linspace(3.58, 3.96, n)
    loglam = loglam[::-1] if descending else loglam
    flux, ivar = rng.normal(10, 1, n).astype("f4"), rng.uniform(0.5, 2, n).astype("f4")
    mask = np.zeros(n, "i4")
    if n:
        mask[3] = 1 << 23  # BRIGHTSKY
        mask[5] = 1 << 16  # NEARBADPIXEL, harmless
        ivar[7] = 0
    case = str.upper if upper else str.lower
    arrays = {"flux": flux, "loglam": loglam.astype("f4"), "ivar": ivar, "and_mask": mask}
    coadd = fits.BinTableHDU.from_columns(
        [fits.Column(case(k), format={"f4": "E", "i4": "J"}[v.dtype.str[1:]], array=v) for k, v in arrays.items()]
    )
    told = {"CLASS": "GALAXY", "SUBCLASS": "", "Z": 0.1, "ZWARNING": 4, "PLUG_RA": ra, "PLUG_DEC": 2.0} | result
    columns = [fits.Column("BESTOBJID", format="K", array=[1237650795683184714])]
    for name, value in told.items():
        kind = "20A" if isinstance(value, str) else ("J" if isinstance(value, int) else "D")
        columns.append(fits.Column(name, format=kind, array=[value]))
    result_unit = fits.BinTableHDU.from_columns(columns)
    if not upper:
        coadd.name, result_unit.name = "COADD", "SPECOBJ"
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([fits.PrimaryHDU(), coadd, result_unit]).writeto(path)
    return arrays


def desi(path: Path, targets: list[int], places: bool = True, seed: int = 1) -> dict[str, np.ndarray]:
    """A coadd of three arms on DESI's grid."""
    rng = np.random.default_rng(seed)
    columns = [fits.Column("TARGETID", format="K", array=np.array(targets))]
    if places:
        columns += [
            fits.Column(f"TARGET_{c}", format="D", array=rng.uniform(0, 80, len(targets))) for c in ("RA", "DEC")
        ]
    fibermap = fits.BinTableHDU.from_columns(columns, name="FIBERMAP")
    units, made = [fits.PrimaryHDU(), fibermap], {}
    for arm, (start, n) in {"B": (0, 2751), "R": (2700, 2326), "Z": (4900, 2881)}.items():
        wave = 3600.0 + 0.8 * (start + np.arange(n))
        flux = rng.normal(1, 1, (len(targets), n)).astype("f4")
        ivar = rng.uniform(0.1, 2, (len(targets), n)).astype("f4")
        mask = (rng.random((len(targets), n)) < 0.02).astype(np.uint32)
        for name, array in (("WAVELENGTH", wave), ("FLUX", flux), ("IVAR", ivar), ("MASK", mask)):
            units.append(fits.ImageHDU(array, name=f"{arm}_{name}"))
        made |= {f"{arm}_wave": wave, f"{arm}_flux": flux, f"{arm}_ivar": np.where(mask, 0, ivar)}
    fits.HDUList(units).writeto(path)
    return made


def euclid_desi(path: Path) -> dict[str, np.ndarray]:
    """Three rows of the dataset: whole, without NISP-H and errors of 0, without spectrum."""
    rng = np.random.default_rng(3)
    images = rng.normal(size=(3, 4, 12, 12)).astype(np.float32)
    wave = np.linspace(3600, 9824, 50)
    flux = rng.normal(size=(3, 50)).astype(np.float32)
    error = np.full((3, 50), 0.5, np.float32)
    error[1, :4] = 0
    rows = []
    for k in range(3):
        rows.append(
            {
                "targetid": 39627600000000000 + k,
                "redshift": 0.1 * (k + 1),
                "RGB_image": {"bytes": png_bytes(k), "path": None},
                **{
                    name: images[k, b].tolist() if not (k == 1 and b == 3) else None
                    for b, name in enumerate(["VIS_image", "NISP_Y_image", "NISP_J_image", "NISP_H_image"])
                },
                "spectrum": None
                if k == 2
                else {"flux": flux[k].tolist(), "wavelength": wave.tolist(), "error": error[k].tolist()},
                "sed_data": {"flux_detection_total": 1.5 * k} if k else None,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=2)
    return {"images": images, "wave": wave, "flux": flux, "error": error}


def multimodal(path: Path) -> dict[str, np.ndarray]:
    """An HDF5 file with padded spectra and images, DESI's boolean ZWARN."""
    rng = np.random.default_rng(4)
    wave = np.tile(np.r_[np.linspace(3600, 9824, 40), np.zeros(10)], (3, 1)).astype("f4")
    flux, mask = rng.normal(size=(3, 50)).astype("f4"), np.zeros((3, 50), bool)
    mask[:, 2] = True
    images = rng.normal(size=(3, 2, 10, 10)).astype("f4")
    with h5py.File(path, "w") as file:
        file["object_id"] = np.array([39627600000000001, 39627600000000002, 39627600000000003])
        file["spectrum_flux"], file["spectrum_lambda"], file["spectrum_mask"] = flux, wave, mask
        file["spectrum_ivar"] = np.ones((3, 50), "f4")
        file["image_array"] = images
        file["image_band"] = np.array([[b"g", b"r"]] * 3)
        file["image_scale"] = np.full((3, 2), 0.262)
        file["Z"], file["ZWARN"] = np.array([0.1, 0.2, 0.3]), np.array([True, False, True])
        file["ra"], file["dec"] = np.array([1.0, 2.0, 3.0]), np.array([1.0, 2.0, 3.0])
    return {"wave": wave, "flux": flux, "images": images}


def pha(folder: Path, rmf: bool = True) -> dict[str, np.ndarray]:
    """A source with background, ARF and RMF; the background has four times the area and half the exposure."""
    rng = np.random.default_rng(5)
    counts, back = rng.poisson(5, 64).astype("i2"), rng.poisson(2, 64).astype("i2")

    def spectrum(name: str, values: np.ndarray, **header) -> None:
        unit = fits.BinTableHDU.from_columns(
            [
                fits.Column("CHANNEL", format="J", array=np.arange(1, 65)),
                fits.Column("COUNTS", format="I", array=values),
            ],
            name="SPECTRUM",
        )
        unit.header.update(header | {"HDUCLASS": "OGIP", "TELESCOP": "OTHER", "INSTRUME": "X"})
        fits.HDUList([fits.PrimaryHDU(), unit]).writeto(folder / name)

    told = {"BACKFILE": "bkg.pi", "ANCRFILE": "src.arf", "RESPFILE": "src.rmf" if rmf else "none"}
    spectrum("src.pi", counts, EXPOSURE=1000.0, BACKSCAL=0.1, HDUCLAS2="TOTAL", OBJECT="Q", **told)
    spectrum("bkg.pi", back, EXPOSURE=500.0, BACKSCAL=0.4, HDUCLAS2="BKG")
    lo = 0.1 + 0.1 * np.arange(64)
    ebounds = fits.BinTableHDU.from_columns(
        [
            fits.Column("CHANNEL", format="J", array=np.arange(1, 65)),
            fits.Column("E_MIN", format="E", unit="keV", array=lo),
            fits.Column("E_MAX", format="E", unit="keV", array=lo + 0.1),
        ],
        name="EBOUNDS",
    )
    fits.HDUList([fits.PrimaryHDU(), ebounds]).writeto(folder / "src.rmf")
    arf = fits.BinTableHDU.from_columns(
        [
            fits.Column("ENERG_LO", format="E", array=lo),
            fits.Column("ENERG_HI", format="E", array=lo + 0.1),
            fits.Column("SPECRESP", format="E", array=100 + 10 * np.arange(64)),
        ],
        name="SPECRESP",
    )
    fits.HDUList([fits.PrimaryHDU(), arf]).writeto(folder / "src.arf")
    return {"counts": counts, "back": back, "lo": lo}


def events(path: Path, energy: bool = True) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(6)
    time, ev = rng.uniform(0, 100, 300), rng.uniform(500, 8000, 300)
    columns = [fits.Column("time", format="D", array=time), fits.Column("pi", format="J", array=np.arange(300))]
    if energy:
        columns.append(fits.Column("energy", format="E", unit="eV", array=ev))
    gti = [fits.Column("START", format="D", array=[0, 60.0]), fits.Column("STOP", format="D", array=[50.0, 100.0])]
    units = [
        fits.BinTableHDU.from_columns(columns, name="EVENTS"),
        fits.BinTableHDU.from_columns(gti, name="GTI"),
    ]
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(path)
    return {"time": time, "ev": ev}


def wcs_spectrum(path: Path) -> np.ndarray:
    flux = np.random.default_rng(7).normal(5, 1, 300).astype("f4")
    unit = fits.PrimaryHDU(flux)
    unit.header.update({"CRVAL1": 4000.0, "CDELT1": 2.0, "CRPIX1": 1.0, "CTYPE1": "WAVE", "CUNIT1": "Angstrom"})
    unit.writeto(path)
    return flux
