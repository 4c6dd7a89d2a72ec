"""A small real survey that the tests of every room above the store share."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from explorer.survey.records import Image, Record, Spectrum
from explorer.survey.store import Survey
from explorer.survey.writer import SurveyWriter

ROWS, BIG = 300, 2**60
COLUMNS = {
    "z": pa.float64(),
    "kind": pa.string(),
    "targetid": pa.int64(),
    "quiet": pa.bool_(),
    "count": pa.int32(),
    "class": pa.string(),
    "flux (nJy)": pa.float32(),
    "<b>odd</b>": pa.float64(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "seen": pa.timestamp("us"),
}
KINDS = ("galaxy", "lens", "quasar", None)


def _record(i: int) -> Record:
    rng = np.random.default_rng(i)
    values = {
        "z": None if i % 10 == 9 else i / 100,
        "kind": KINDS[i % 4],
        "targetid": BIG + i,
        "quiet": i % 3 == 0,
        "count": i % 7,
        "class": "GALAXY" if i % 2 else "QSO",
        "flux (nJy)": float(i) ** 2,
        "<b>odd</b>": -float(i),
        "ra": 150 + i / 1000,
        "dec": 2 + i / 2000,
        "seen": datetime(2026, 1, 1 + i % 28),
    }
    name = "<script>alert(1)</script>" if i == 5 else "Ü-6" if i == 6 else str(BIG + i)
    wavelength = 3600 + 2.0 * np.arange(200)
    flux = (1 + 0.1 * rng.normal(size=200)).astype(np.float32)
    image = None if i % 20 == 19 else Image(rng.normal(1, 1, (2, 16, 16)).astype(np.float32))
    return Record(
        name,
        f"object-{i // 2}",
        values,
        image=image,
        spectrum=Spectrum(wavelength, flux, np.full(200, 100, np.float32)),
        source=f"file-{i}",
    )


@pytest.fixture(scope="session")
def _tiny_master(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny") / "tiny"
    modalities = {
        "image": {"bands": ["VIS", "H"], "pixel_scale": 0.1, "zero_point": [23.9, 23.9], "unit": "nJy"},
        "spectrum": {"flux_unit": "1e-17 erg/s/cm2/A"},
    }
    card = {"name": "tiny", "title": "A tiny survey", "licence": "CC0-1.0"}
    with SurveyWriter(folder, card=card, modalities=modalities, columns=COLUMNS) as writer:
        writer.append([_record(i) for i in range(ROWS)])
    survey = Survey.open(folder)
    rng = np.random.default_rng(7)
    missing = ~survey.has("image")
    vectors = rng.normal(size=(ROWS, 8)).astype(np.float32)
    vectors[missing] = np.nan
    survey.put_embedding("pca/image", vectors, {"encoder": "pca", "seed": 7})
    xy = rng.uniform(-1, 1, (ROWS, 2)).astype(np.float32)
    xy[missing] = np.nan
    survey.put_layout("pca/image", "umap", xy, {"n_neighbors": 15})
    scores = np.round(rng.normal(size=ROWS), 2)
    scores[missing] = np.nan
    survey.put_score("pca/image", "knn", scores, {"k": 10})
    return folder


@pytest.fixture
def tiny_survey(_tiny_master: Path, tmp_path: Path) -> Survey:
    """300 rows: two-band 16x16 images (every twentieth missing), spectra, ``pca/image`` with umap and knn.

    Ids are numbers above 2^53 as text but for one with markup and one with an umlaut; columns have odd names.
    """
    folder = tmp_path / "tiny"
    shutil.copytree(_tiny_master, folder)
    return Survey.open(folder)


@pytest.fixture
def serve():
    """Starts servers that answer as an endpoint does: ``serve(say)``, see :mod:`tests.explorer._endpoint`."""
    from tests.explorer._endpoint import Server

    servers = []

    def start(say):
        servers.append(Server(say))
        return servers[-1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
