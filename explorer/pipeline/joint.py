"""Scores of a pair of spaces, stored beside the others: mismatches (P0.9, P0.16) and fusions (P0.10).

They stand at the space ``ENCODER/joint`` and are ranked, coloured and queried like any score:

- ``mismatch``: 1 - cosine of image and spectrum vectors, where both have one length
- ``mismatch-aligned``: the same after a fitted linear alignment, cross-fitted
- ``mismatch-calibrated``: its percentile among strangers of like redshift and S/N
- ``mismatch-colour``, ``mismatch-template``, ``mismatch-redshift``: in units of physics, where the data allow
- ``fusion-geometric`` and so on: of the percentiles of one density scorer with the mismatch

Where two spaces were never aligned their cosine means little: the provenance of ``mismatch`` says so
(``comparable`` is false) and fusions then take the aligned one.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from explorer.pipeline import physical
from explorer.pipeline.prepare import _told
from explorer.pipeline.roles import column_of, values_of
from explorer.survey.progress import Progress
from explorer.survey.store import Survey
from kernels.scoring import fusion, mismatch

COMPARABLE = 0.7  # area under the curve of true against shuffled pairs, above which a cosine is believed
DENSITIES = ("maf", "gmm", "knn", "isolation-forest", "unsupervised-forest")  # what fusions take, first that is there
FUSED = tuple(how for how in fusion.FUSIONS if how != "mismatch")
PHYSICAL = ("mismatch-colour", "mismatch-template", "mismatch-redshift")


def encoders_with_both(survey: Survey) -> list[str]:
    """Encoders whose image, spectrum and joint spaces the survey has."""
    names = dict.fromkeys(space.split("/")[0] for space in survey.spaces)
    return [n for n in names if {f"{n}/image", f"{n}/spectrum", f"{n}/joint"} <= set(survey.spaces)]


def names_for(survey: Survey, encoder: str, with_physical: bool = True) -> list[str]:
    """The scores that :func:`add` makes at ``encoder/joint``, fusions last; physical ones at the first encoder."""
    same = survey.embedding(f"{encoder}/image").shape[1] == survey.embedding(f"{encoder}/spectrum").shape[1]
    names = [*(["mismatch"] if same else []), "mismatch-aligned"]
    redshift = column_of(survey, "redshift") is not None
    if redshift:
        names.append("mismatch-calibrated")
    if with_physical and {"image", "spectrum"} <= set(survey.modalities):
        first = encoders_with_both(survey)[:1] == [encoder]
        kit = physical.kit_of(survey)
        many = kit is not None and len(kit.camera.bands) > 1
        names += ["mismatch-colour"] if first and many else []
        names += ["mismatch-template"] if first and redshift else []
        names += ["mismatch-redshift"] if redshift else []
    return names + [f"fusion-{how}" for how in FUSED]


def density_of(survey: Survey, encoder: str, wanted: str | None = None) -> str | None:
    """The density scorer that fusions of an encoder take: ``wanted`` or the first of its image and spectrum spaces."""
    both = set(survey.scores(f"{encoder}/image")) & set(survey.scores(f"{encoder}/spectrum"))
    return next((s for s in ([wanted] if wanted else DENSITIES) if s in both), None)


def add(
    survey: Survey,
    encoder: str,
    scorer: str | None = None,
    with_physical: bool = True,
    progress: Progress | None = None,
    seed: int = 0,
) -> list[str]:
    """Store the mismatches and fusions of an encoder that are not there yet; returns their names.

    Each is one atomic version. A fusion is made anew where the density score under it is newer.
    """
    if encoder not in encoders_with_both(survey):
        raise ValueError(
            f"{encoder} has not all of image, spectrum and joint spaces in {survey.name}: prepare it first"
        )
    density = density_of(survey, encoder, scorer)
    done = []
    names = names_for(survey, encoder, with_physical)
    for i, name in enumerate(names):
        if progress:
            progress(i, len(names), f"{encoder} {name}")
        if name.startswith("fusion-"):
            made = density is not None and _fuse(survey, encoder, name.removeprefix("fusion-"), density, seed)
        else:
            made = _compare(survey, encoder, name, seed)
        if made:
            done.append(name)
    if progress:
        progress(len(names), len(names), "ready")
    return done


def matched(survey: Survey) -> np.ndarray | None:
    """(n, m) what strangers must resemble when a mismatch is calibrated: ln(1 + z), log S/N; None without redshift."""
    redshift = values_of(survey, "redshift")
    if redshift is None:
        return None
    columns = [np.log1p(np.where(redshift > -0.9, redshift, np.nan))]
    for role in ("snr_spectrum", "snr_image"):
        told = values_of(survey, role)
        if told is not None:
            columns.append(np.log(np.maximum(told, 1e-2)))
    return np.stack(columns, axis=1)


def believed(survey: Survey, encoder: str) -> str:
    """The mismatch that fusions of an encoder take: the cosine where it is comparable, else the aligned one."""
    column = f"score:{encoder}/joint:mismatch"
    told = survey.provenance(column) if column in survey.schema.names else {}
    return "mismatch" if told.get("comparable") else "mismatch-aligned"


def _stands(survey: Survey, encoder: str, name: str, inputs: dict[str, str]) -> bool:
    column = f"score:{encoder}/joint:{name}"
    if column not in survey.schema.names:
        return False
    told = survey.provenance(column)
    return told.get("rows") == len(survey) and told.get("inputs") == inputs


def _made(survey: Survey, *columns: str) -> dict[str, str]:
    """Column → when it was made: what a score stands on."""
    return {c: str(survey.provenance(c).get("time", "")) for c in columns if c in survey.schema.names}


def _compare(survey: Survey, encoder: str, name: str, seed: int) -> bool:
    spaces = f"{encoder}/image", f"{encoder}/spectrum"
    inputs = _made(survey, *(f"space:{s}" for s in spaces))
    if name in ("mismatch-colour", "mismatch-template"):
        inputs = {}
    if _stands(survey, encoder, name, inputs):
        return False
    started = time.monotonic()
    try:
        scores, more = _MAKERS[name](survey, *spaces, seed)
    except ValueError as error:
        if name not in PHYSICAL:
            raise
        warnings.warn(f"{name} is left out: {error}", stacklevel=3)  # the other mismatches do without
        return False
    told = _told(survey, seed, started, inputs=inputs, **more)
    survey.put_score(f"{encoder}/joint", name, scores, told, missing=np.isnan(scores))
    return True


def _cosine(survey: Survey, image: str, spectrum: str, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    a, b = survey.embedding(image), survey.embedding(spectrum)
    area = mismatch.share_a_space(a, b, seed)
    return mismatch.cosine_mismatch(a, b), {"partners_told_apart": round(area, 4), "comparable": area >= COMPARABLE}


def _aligned(survey: Survey, image: str, spectrum: str, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    found = _alignment(survey, image, spectrum, seed, None)
    return found.mismatch, {"retrieval": round(found.retrieval, 4), "components": found.components}


def _calibrated(survey: Survey, image: str, spectrum: str, seed: int) -> tuple[np.ndarray, dict[str, Any]]:
    found = _alignment(survey, image, spectrum, seed, matched(survey))
    assert found.calibrated is not None
    roles = [column_of(survey, r) for r in ("redshift", "snr_spectrum", "snr_image")]
    return found.calibrated, {"matched_in": [r for r in roles if r]}


def _alignment(survey: Survey, image: str, spectrum: str, seed: int, match: np.ndarray | None) -> mismatch.Aligned:
    a, b = survey.embedding(image), survey.embedding(spectrum)
    return mismatch.aligned_mismatch(a, b, groups=survey.object_ids, random_state=seed, match=match)


_MAKERS: dict[str, Callable[[Survey, str, str, int], tuple[np.ndarray, dict[str, Any]]]] = {
    "mismatch": _cosine,
    "mismatch-aligned": _aligned,
    "mismatch-calibrated": _calibrated,
    "mismatch-colour": lambda s, i, j, seed: (physical.colour_mismatch(s, seed), {"unit": "robust sigma"}),
    "mismatch-template": lambda s, i, j, seed: (physical.template_mismatch(s, seed), {"unit": "sigma"}),
    "mismatch-redshift": lambda s, i, j, seed: (physical.redshift_mismatch(s, i, seed), {"unit": "local scatter"}),
}


def _fuse(survey: Survey, encoder: str, how: str, density: str, seed: int) -> bool:
    joint, apart = f"{encoder}/joint", believed(survey, encoder)
    parts = [f"score:{encoder}/{m}:{density}" for m in ("image", "spectrum")] + [f"score:{joint}:{apart}"]
    inputs = _made(survey, *parts)
    if _stands(survey, encoder, f"fusion-{how}", inputs):
        return False
    started = time.monotonic()
    image, spectrum = (survey.percentile(f"{encoder}/{m}", density) for m in ("image", "spectrum"))
    fused = fusion.fuse(image, spectrum, survey.percentile(joint, apart), how)
    told = _told(survey, seed, started, inputs=inputs, density=density, mismatch=apart, how=how)
    survey.put_score(joint, f"fusion-{how}", fused, told, missing=np.isnan(fused))
    return True
