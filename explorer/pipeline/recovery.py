"""How well each space, score and fusion finds what is known to be odd: injected, re-embedded, scored (P0.16).

Some ordinary objects are hosts. Oddities of graded strength are put into them, the survey's own encoders embed the
results, and scorers rank them as new rows. The other objects are parted in two: scorers are fitted on one part and the
other, new to them too, says what score is at which place. So an injected object stands among rows that were treated
exactly as it was, whatever a scorer does with rows that it has seen; strength 0 shows what is found by chance.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.batches import batches
from explorer.pipeline.embed import input_of
from explorer.pipeline.joint import COMPARABLE, encoders_with_both
from explorer.pipeline.outside import encoder_of
from explorer.pipeline.physical import kit_of
from explorer.pipeline.roles import values_of
from explorer.survey.progress import Progress
from explorer.survey.records import Image, Spectrum
from explorer.survey.simulate.inject import KINDS, TOUCHES, inject
from explorer.survey.store import Survey
from kernels.embedding import ENCODERS
from kernels.registry import UnknownName
from kernels.scoring import SCORERS, fusion, mismatch
from kernels.scoring.ranks import percentile, rank

if TYPE_CHECKING:
    import pandas as pd

STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0)
FITTED, YARDSTICK = 10_000, 20_000  # rows at most
LEAST = 50
COLUMNS = ("kind", "strength", "space", "score", "percent", "found", "of", "share", "low", "high")


class Altered:
    """A survey in which some rows show other pixels and fluxes; everything else is the survey's own."""

    def __init__(self, survey: Survey, images: dict[int, Image], spectra: dict[int, Spectrum]):
        self._survey, self._images, self._spectra = survey, images, spectra

    def __getattr__(self, name: str) -> Any:
        return getattr(self._survey, name)

    def __len__(self) -> int:
        return len(self._survey)

    def images(self, rows: Sequence[int] | np.ndarray, at_most: int | None = None) -> list[Image | None]:
        """Cutouts of these rows, altered ones where there are."""
        own = (
            self._survey.images(rows, at_most) if any(int(r) not in self._images for r in rows) else [None] * len(rows)
        )
        return [self._images.get(int(r), image) for r, image in zip(rows, own, strict=True)]

    def spectra(self, rows: Sequence[int] | np.ndarray) -> list[Spectrum | None]:
        """Spectra of these rows, altered ones where there are."""
        own = self._survey.spectra(rows) if any(int(r) not in self._spectra for r in rows) else [None] * len(rows)
        return [self._spectra.get(int(r), spectrum) for r, spectrum in zip(rows, own, strict=True)]


@dataclass
class _Plan:
    """Rows of the experiment, and the vectors of every altered sample: ``new[space]`` is (samples, hosts, d)."""

    hosts: np.ndarray
    fitted: np.ndarray
    yardstick: np.ndarray
    samples: list[tuple[str, float]]
    new: dict[str, np.ndarray] = field(default_factory=dict)


def recovery(
    survey: Survey,
    spaces: Sequence[str] | None = None,
    scorers: Sequence[str] | None = None,
    kinds: Sequence[str] = KINDS,
    strengths: Sequence[float] = STRENGTHS,
    hosts: int = 100,
    percent: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Recovery curves of every space, scorer and fusion.

    Parameters
    ----------
    spaces : default all image, spectrum and joint spaces whose encoder is stored in the survey.
    scorers : default those that scored the first of the spaces.
    kinds, strengths : see :mod:`explorer.survey.simulate.inject`; strength 0 is added.
    hosts : objects that each oddity is put into.
    percent : of all, from the top, that counts as found.

    Returns
    -------
    One row a (kind, strength, space, score): ``found`` of ``of`` hosts, their ``share`` and its 95 % binomial band
    ``low`` to ``high`` (Clopper & Pearson 1934). Fusions are rows of the joint space, named as their scores are.
    """
    import pandas as pd

    for kind in kinds:
        if kind not in TOUCHES:
            raise UnknownName("injection", kind, list(KINDS))
    wanted = _embeddable(survey) if spaces is None else list(spaces)
    if not wanted:
        raise ValueError(f"no image or spectrum space of {survey.name} has its encoder stored: prepare one first")
    known = [s for s in survey.scores(wanted[0]) if s in SCORERS.names()] if scorers is None else list(scorers)
    plan = _planned(survey, wanted, kinds, strengths, hosts, seed)
    steps = len(plan.samples) + len(wanted) * len(known) + 1
    _embed_samples(survey, plan, wanted, seed, progress, steps)
    rows: list[dict[str, Any]] = []
    scored: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]] = {}
    done = len(plan.samples)
    for space in wanted:
        for scorer in known:
            if progress:
                progress(done, steps, f"recovery {space} {scorer}")
            own, new = scored[space, scorer] = _scored(survey, plan, space, scorer, seed)
            rows += _told(plan, space, scorer, own, new, percent)
            done += 1
    for encoder in [e for e in encoders_with_both(survey) if {f"{e}/image", f"{e}/spectrum"} <= set(wanted)]:
        rows += _fusions(survey, plan, encoder, known, scored, percent)
    if progress:
        progress(steps, steps, "ready")
    return pd.DataFrame(rows, columns=list(COLUMNS))


def binomial_band(found: int, of: int, level: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson interval of a share.

    >>> low, high = binomial_band(0, 10)
    >>> round(low, 3), round(high, 3)
    (0.0, 0.308)
    """
    from scipy.stats import beta

    tail = (1 - level) / 2
    low = float(beta.ppf(tail, found, of - found + 1)) if found > 0 else 0.0
    high = float(beta.ppf(1 - tail, found + 1, of - found)) if found < of else 1.0
    return low, high


def _embeddable(survey: Survey) -> list[str]:
    out = []
    for space in survey.spaces:
        name, modality = space.split("/")
        parts = ("image", "spectrum") if modality == "joint" else (modality,)
        stored = all((survey.path / "encoders" / f"{name}-{m}.safetensors").is_file() for m in parts)
        whole = (survey.path / "encoders" / f"{name}-joint.safetensors").is_file()
        if name in ENCODERS.names() and modality in ("image", "spectrum", "joint") and (stored or whole):
            out.append(space)
    return out


def _planned(
    survey: Survey, spaces: list[str], kinds: Sequence[str], strengths: Sequence[float], hosts: int, seed: int
) -> _Plan:
    usable = np.logical_and.reduce([np.isfinite(survey.embedding(s)).all(axis=1) for s in spaces])
    truth = values_of(survey, "truth_kind")
    ordinary = usable & (truth == "normal") if truth is not None else usable.copy()
    if truth is None:  # no labels: what no score calls odd
        for space in spaces:
            for scorer in survey.scores(space):
                ordinary &= ~(survey.percentile(space, scorer) > 90)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(ordinary))[:hosts]
    rest = rng.permutation(np.setdiff1d(np.flatnonzero(usable), rows))
    if len(rows) < 10 or len(rest) < 2 * LEAST:
        raise ValueError(
            f"{len(rows)} ordinary objects and {len(rest)} others in {survey.name}: injection needs 10 and {2 * LEAST}"
        )
    half = min(len(rest) // 2, FITTED)
    samples = [("none", 0.0), *((kind, float(s)) for kind in kinds for s in strengths if s > 0)]
    return _Plan(np.sort(rows), rest[:half], rest[half : half + YARDSTICK], samples)


# -- embedding --------------------


def _embed_samples(
    survey: Survey, plan: _Plan, spaces: list[str], seed: int, progress: Progress | None, steps: int
) -> None:
    kit = kit_of(survey)
    images = survey.images(plan.hosts) if "image" in survey.modalities else [None] * len(plan.hosts)
    spectra = survey.spectra(plan.hosts) if "spectrum" in survey.modalities else [None] * len(plan.hosts)
    redshift = values_of(survey, "redshift")
    if kit is None:
        raise ValueError(f"{survey.name} has no images: injection needs them")
    encoders: dict[str, Any] = {}
    made: dict[str, list[np.ndarray]] = {space: [] for space in spaces}
    for i, (kind, strength) in enumerate(plan.samples):
        if progress:
            progress(i, steps, f"inject {kind} {strength:g}")
        altered = Altered(survey, {}, {})
        if kind != "none":
            pairs = [
                inject(kind, strength, image, spectrum, kit, 0.3 if redshift is None else redshift[row], seed, int(row))
                for row, image, spectrum in zip(plan.hosts, images, spectra, strict=True)
            ]
            altered._images = {int(r): p[0] for r, p in zip(plan.hosts, pairs, strict=True) if p[0] is not None}
            altered._spectra = {int(r): p[1] for r, p in zip(plan.hosts, pairs, strict=True) if p[1] is not None}
        for space in sorted(spaces, key=lambda s: s.endswith("/joint")):
            made[space].append(_vectors(altered, survey, plan.hosts, space, kind, encoders, made))
    plan.new = {space: np.stack(parts) for space, parts in made.items()}


def _vectors(
    altered: Altered, survey: Survey, rows: np.ndarray, space: str, kind: str, encoders: dict[str, Any],
    made: dict[str, list[np.ndarray]],
) -> np.ndarray:  # fmt: skip
    """(hosts, d) vectors of the altered rows in a space; what was not touched keeps its own."""
    name, modality = space.split("/")
    touched = TOUCHES.get(kind, ())
    if not touched or (modality != "joint" and modality not in touched):
        return survey.embedding(space)[rows]
    if modality == "joint" and modality not in ENCODERS.get(name).modalities:
        parts = {m: made[f"{name}/{m}"][-1] for m in ("image", "spectrum") if f"{name}/{m}" in made}
        return _joined(survey, name, parts)
    if space not in encoders:
        encoders[space] = encoder_of(survey, space)
    return _encoded(altered, encoders[space], modality, rows)


def _encoded(altered: Altered, encoder: Any, modality: str, rows: np.ndarray) -> np.ndarray:
    blocks: Iterable[Any] = batches(altered, modality, rows, **input_of(encoder))  # type: ignore[arg-type]
    return np.concatenate([np.asarray(encoder.encode(block), np.float32) for block in blocks])


def _joined(survey: Survey, name: str, parts: dict[str, np.ndarray]) -> np.ndarray:
    """Joint vectors of new rows as the survey's own were made.

    An encoder may join with statistics of the rows that it is given, such as their scatter: the joined rows of the
    survey then differ from the stored ones by a scale and an offset per column, which is undone for the new ones.
    """
    own = {m: survey.embedding(f"{name}/{m}") for m in parts}
    both = {m: np.concatenate([own[m], parts[m]]) for m in parts}
    joined = np.asarray(ENCODERS.get(name).join(both), np.float64)
    stored = survey.embedding(f"{name}/joint").astype(np.float64)
    again, new = joined[: len(stored)], joined[len(stored) :]
    here = np.isfinite(stored).all(axis=1) & np.isfinite(again).all(axis=1)
    spread = again[here].std(axis=0)
    scale = np.where(spread > 0, stored[here].std(axis=0) / np.where(spread > 0, spread, 1), 1)
    return ((new - again[here].mean(axis=0)) * scale + stored[here].mean(axis=0)).astype(np.float32)


# -- scoring --------------------


def _scored(survey: Survey, plan: _Plan, space: str, scorer: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Scores of the yardstick (m,) and of the new rows (samples, hosts), by what was fitted on the other part."""
    vectors = survey.embedding(space)
    base = vectors[np.concatenate([plan.fitted, plan.yardstick])].astype(np.float64)
    mean, spread = base.mean(axis=0), base.std(axis=0)

    def standard(rows: np.ndarray) -> np.ndarray:
        return ((rows - mean) / np.where(spread > 0, spread, 1.0)).astype(np.float32)

    told = survey.provenance(f"score:{space}:{scorer}") if scorer in survey.scores(space) else {}
    options = {k: v for k, v in told.get("parameters", {}).items() if k not in ("random_state", "progress", "device")}
    model = SCORERS.get(scorer)(**{**options, "random_state": seed}).fit(standard(vectors[plan.fitted]))
    new = plan.new[space]
    own = _numbers(model.anomaly_score(standard(vectors[plan.yardstick])))
    found = _numbers(model.anomaly_score(standard(new.reshape(-1, new.shape[-1]))))
    return own, found.reshape(new.shape[:2])


def _numbers(scores: Any) -> np.ndarray:
    scores = np.asarray(scores, dtype=np.float64)
    return np.where(np.isfinite(scores), scores, np.inf)


def _told(
    plan: _Plan, space: str, score: str, own: np.ndarray, new: np.ndarray, percent: float
) -> list[dict[str, Any]]:
    """Rows of the table: which share of the hosts stands within the top ``percent`` of the yardstick."""
    ordered = np.sort(own)
    above = len(own) - np.searchsorted(ordered, new, side="right")  # how many of the yardstick stand before it
    place = 100 * (above + 1) / (len(own) + 1)
    out = []
    for (kind, strength), places in zip(plan.samples, place, strict=True):
        found, of = int(np.count_nonzero(places <= percent)), len(places)
        low, high = binomial_band(found, of)
        values = (kind, strength, space, score, percent, found, of, found / of, low, high)
        out.append(dict(zip(COLUMNS, values, strict=True)))
    return out


def _fusions(
    survey: Survey, plan: _Plan, encoder: str, scorers: list[str],
    scored: dict[tuple[str, str], tuple[np.ndarray, np.ndarray]], percent: float,
) -> list[dict[str, Any]]:  # fmt: skip
    image, spectrum = f"{encoder}/image", f"{encoder}/spectrum"
    own, new, name = _mismatches(survey, plan, image, spectrum)
    rows = _told(plan, f"{encoder}/joint", name, own, new, percent)
    for scorer in scorers:
        three = [scored[image, scorer], scored[spectrum, scorer], (own, new)]
        yard = [percentile(rank(o)) for o, _ in three]
        fresh = [_percentile_among(o, n) for o, n in three]
        for how in fusion.FUSIONS:
            if how != "mismatch":
                base = fusion.fuse(yard[0], yard[1], yard[2], how)
                found = fusion.fuse(fresh[0].ravel(), fresh[1].ravel(), fresh[2].ravel(), how).reshape(new.shape)
                rows += _told(plan, f"{encoder}/joint", f"fusion-{how} ({scorer})", base, found, percent)
    return rows


def _mismatches(survey: Survey, plan: _Plan, image: str, spectrum: str) -> tuple[np.ndarray, np.ndarray, str]:
    """Mismatch of the yardstick and of the new rows: the cosine where the two spaces are comparable, else aligned."""
    a, b = survey.embedding(image), survey.embedding(spectrum)
    new_a, new_b = (plan.new[s].reshape(-1, plan.new[s].shape[-1]) for s in (image, spectrum))
    shape = plan.new[image].shape[:2]
    if a.shape[1] == b.shape[1] and mismatch.share_a_space(a[plan.fitted], b[plan.fitted]) >= COMPARABLE:
        own = mismatch.cosine_mismatch(a[plan.yardstick], b[plan.yardstick])
        return own, mismatch.cosine_mismatch(new_a, new_b).reshape(shape), "mismatch"
    line = mismatch.Alignment().fit(a[plan.fitted], b[plan.fitted])
    own = line.mismatch(a[plan.yardstick], b[plan.yardstick])
    return own, line.mismatch(new_a, new_b).reshape(shape), "mismatch-aligned"


def _percentile_among(own: np.ndarray, new: np.ndarray) -> np.ndarray:
    """(samples, hosts) percentile in (0, 100] of new scores among the yardstick's."""
    below = np.searchsorted(np.sort(own), new, side="right")
    return 100 * (below + 1) / (len(own) + 1)
