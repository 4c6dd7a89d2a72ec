"""The study of P1 on a survey of spectra: three classes, target searches, K, shares, redshifts, one command.

Published figures were measured on SDSS spectra that are not these; they are printed beside ours as the reference,
labelled so. Every figure of ours comes with a 95 % interval over seeds, each of which draws another knowledge base and
another test set, split by object.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from explorer.pipeline import _study_models as models
from explorer.pipeline._study_keep import Kept
from explorer.pipeline._study_material import OUTLIERS, Material, material
from explorer.pipeline._study_spectra_claims import FITTED, LEARNED, SCALED, claims
from explorer.pipeline._study_spectra_claims import PUBLISHED as PAPER
from explorer.pipeline._study_table import Table
from explorer.pipeline.contrast import SPACE as CONTRAST
from explorer.survey.store import Survey
from kernels.search.calibration import calibration, redshift_errors
from kernels.search.learned import LearnedWeight
from kernels.search.votes import WEIGHTINGS, shapes, vote

PUBLISHED = {"LINER": (0.8727, 0.9460, 0.9079), "lens": (0.9937, 0.9476, 0.9701), "outlier": (0.9847, 0.8377, 0.9053)}
"""Precision, recall and F1 of P1.6, on SDSS spectra."""
COUNTS = (1, 2, 5, 10, 20, 40)
KS = (1, 3, 5, 10, 20, 50)


def scores_of(predicted: np.ndarray, truth: np.ndarray, classes: Sequence[str]) -> tuple[float, np.ndarray]:
    """Accuracy, and (c, 3) precision, recall and F1 of each class (0 where nothing was predicted)."""
    from sklearn.metrics import precision_recall_fscore_support

    found = precision_recall_fscore_support(truth, predicted, labels=list(classes), zero_division=0)
    return float((predicted == truth).mean()), np.stack(found[:3], axis=1)


def three_classes(
    m: Material, seeds: Sequence[int], epochs: int, tell: Callable[[str], None], kept: Kept | None = None
) -> Table:
    """P1.5: star-forming, AGN, normal by knowledge bases and by models that are trained for it."""
    kept = kept or Kept(None)
    classes = np.unique(m.three[m.three != ""])
    networks = models.trained(m, seeds, classes, epochs, kept, tell) if epochs else {}
    got: dict[str, list[tuple[float, np.ndarray, float]]] = {}
    for seed in seeds:
        base, test = (rows[m.three[rows] != ""] for rows in m.split(seed))
        y, truth = m.three[base], m.three[test]
        answers: dict[str, np.ndarray] = {}
        for space in m.spaces:
            kb = m.base(space, base, three=m.three)
            answers[f"{space} + knowledge base"] = kb.vote(m.spaces[space][test], "three").probability
            answers[f"{space} + random forest"] = models.forest(
                m.spaces[space][base], y, m.spaces[space][test], classes, seed
            )
        pixels = kept.array(f"forest on pixels {seed}")
        if pixels is None:
            tell(f"seed {seed}: forest on pixels")
            pixels = models.forest(m.flux[base], y, m.flux[test], classes, seed)
            kept.put(f"forest on pixels {seed}", pixels)
        answers["pixels + random forest"] = pixels
        answers |= {name: networks[name, seed] for name in models.NETWORKS if epochs}
        for name, p in answers.items():
            accuracy, figures = scores_of(classes[p.argmax(axis=1)], truth, classes.tolist())
            got.setdefault(name, []).append((accuracy, figures, calibration(p, truth, classes).log_loss))
    head = ["method", "accuracy", "macro F1", *(f"{k} {c}" for c in classes for k in ("P", "R", "F1")), "log loss"]
    table = Table(f"P1.5 three classes, {len(base):,} in the base and {len(test):,} tested", head)
    for name, runs in got.items():
        cells = [[r[1][c, k] for r in runs] for c in range(len(classes)) for k in range(3)]
        table.add(name, [r[0] for r in runs], [r[1][:, 2].mean() for r in runs], *cells, [r[2] for r in runs])
    table.notes = [
        "published on other data (SDSS, 46,054 labelled): GalSpecNet above the supervised encoder above the knowledge "
        "base (order from the text; its table 2 is not in the text that we have)",
        "log loss with probabilities clipped at 1e-15: a unanimous vote that errs costs 34.5",
        f"networks trained for {epochs} epochs at most" if epochs else "networks left out (--epochs 0)",
    ]
    return table


def targets(m: Material) -> dict[str, np.ndarray]:
    """Labels of the three searches of P1.6, all over the same mixed set."""
    outlier = np.isin(m.truth, OUTLIERS)
    return {
        "LINER": m.five,
        "lens": np.where(m.truth == "lens", "lens", "other"),
        "outlier": np.where(outlier, "outlier", "other"),
    }


def searches(m: Material, seeds: Sequence[int], k: int = 3) -> Table:
    """P1.6: LINERs among five classes, lenses and outliers, in one mixed test set; the base as it is, and curated."""
    head = ["target", "space", "base", "targets in base", "tested", "P", "R", "F1"]
    table = Table(f"P1.6 target searches, K = {k}", head)
    for target, labels in targets(m).items():
        for space in m.spaces:
            for share in (0, 25):
                got, count = [], (0, 0)
                for seed in seeds:
                    base, test = m.split(seed)
                    if share:
                        base = _with_share(base, labels, target, share, seed)
                    test = test[labels[test] != ""]
                    votes = m.base(space, base, target=labels).vote(m.spaces[space][test], "target", k)
                    got.append(scores_of(votes.label, labels[test], [target])[1][0])
                    count = int((labels[base] == target).sum()), int((labels[test] == target).sum())
                called = f"{share} % targets" if share else "as observed"
                table.add(target, space, called, *count, *([g[i] for g in got] for i in range(3)))
        table.add(target, "published (SDSS)", "-", None, None, *PUBLISHED[target])
    table.notes = ["published on other data, with test sets in which targets are a larger share than here"]
    return table


def _with_share(base: np.ndarray, labels: np.ndarray, target: str, share: float, seed: int) -> np.ndarray:
    """Rows of a base in which ``share`` per cent are targets: as many entries as both kinds allow."""
    rng = np.random.default_rng(seed)
    hits, rest = base[labels[base] == target], base[(labels[base] != target) & (labels[base] != "")]
    n = min(int(len(hits) / share * 100), int(len(rest) / (100 - share) * 100))
    few = round(n * share / 100)
    return np.sort(np.concatenate([rng.choice(hits, few, replace=False), rng.choice(rest, n - few, replace=False)]))


def by_k(m: Material, seeds: Sequence[int], space: str) -> Table:
    """P1.7: K against precision, recall and F1 of each search."""
    table = Table(f"P1.7 K in {space}", ["target", "K", "P", "R", "F1"])
    for target, labels in targets(m).items():
        got: dict[int, list[np.ndarray]] = {k: [] for k in KS}
        for seed in seeds:
            base, test = m.split(seed)
            test = test[labels[test] != ""]
            kb = m.base(space, base, target=labels)
            for k in KS:
                votes = kb.vote(m.spaces[space][test], "target", k)
                got[k].append(scores_of(votes.label, labels[test], [target])[1][0])
        for k, runs in got.items():
            table.add(target, k, *([g[i] for g in runs] for i in range(3)))
    table.notes = ["published on other data: all three fall slowly with K; K = 3 chosen"]
    return table


def by_share(m: Material, seeds: Sequence[int], space: str, target: str = "lens") -> Table:
    """P1.7: share of targets in the knowledge base against precision, recall and F1."""
    labels = targets(m)[target]
    table = Table(f"P1.7 share of {target} in the base, {space}", ["share %", "P", "R", "F1"])
    for share in (1, 2, 5, 10, 20, 40):
        got = []
        for seed in seeds:
            base, test = m.split(seed)
            kept = _with_share(base, labels, target, share, seed)
            test = test[labels[test] != ""]
            votes = m.base(space, kept, target=labels).vote(m.spaces[space][test], "target")
            got.append(scores_of(votes.label, labels[test], [target])[1][0])
        table.add(share, *([g[i] for g in got] for i in range(3)))
    table.notes = ["published on other data: recall rises and precision falls with the share"]
    return table


def by_count(m: Material, seeds: Sequence[int], space: str) -> Table:
    """P1.6: recall of an outlier against how many of its subtype the knowledge base holds."""
    subtypes = [s for s in OUTLIERS if (m.truth == s).any()]
    table = Table(f"P1.6 recall against the count of a subtype in the base, {space}", ["count", *subtypes])
    labels = targets(m)["outlier"]
    for count in COUNTS:
        cells = []
        for subtype in subtypes:
            got = []
            for seed in seeds:
                base, test = m.split(seed)
                own = base[m.truth[base] == subtype]
                if len(own) < count:
                    continue
                few = np.random.default_rng(seed).choice(own, count, replace=False)
                kept = np.sort(np.concatenate([base[labels[base] != "outlier"], few]))
                asked = test[m.truth[test] == subtype]
                if len(asked):
                    votes = m.base(space, kept, target=labels).vote(m.spaces[space][asked], "target")
                    got.append(float((votes.label == "outlier").mean()))
            cells.append(got or None)
        table.add(count, *cells)
    table.notes = ["published on other data: 10 of 17 missed outliers belonged to subtypes with fewer than 10 entries"]
    return table


def learned(m: Material, seeds: Sequence[int], space: str) -> Table:
    """P1.4 and P1.10: K = 1 beside K = 3, and the learned weight beside exp(-x/tau), tau fitted on the same votes."""
    head = ["weight", "K", "log loss", "macro F1", "ECE"]
    table = Table(f"P1.10 weights of votes in {space}, three classes", head)
    classes = np.unique(m.three[m.three != ""])
    got: dict[tuple[str, int], list[tuple[float, float, float]]] = {}
    for seed in seeds:
        base, test = (rows[m.three[rows] != ""] for rows in m.split(seed))
        kb, truth = m.base(space, base, three=m.three), m.three[test]
        labels, told = kb.labels("three"), {"snr_query": m.snr[base], "snr_entry": m.snr[base]}
        for k in (1, 3, 10):
            distance, rows = kb.query(m.spaces[space][test], k)
            found = {PAPER: vote(distance, rows, labels), SCALED: vote(distance, rows, labels, tau=kb.tau("three"))}
            for only, name in (("distance", FITTED), ("all", LEARNED)):
                weight = LearnedWeight(only).fit(*kb.held_out("three", k), labels, labels, **told)
                found[name] = weight.vote(distance, rows, labels, m.snr[test], m.snr[base])
            for name, votes in found.items():
                check = calibration(votes.probability, truth, votes.classes)
                f1 = scores_of(votes.label, truth, classes.tolist())[1][:, 2].mean()
                got.setdefault((name, k), []).append((check.log_loss, float(f1), check.ece))
    for (name, k), runs in sorted(got.items(), key=lambda item: (item[0][1], item[0][0])):
        table.add(name, k, *([r[i] for r in runs] for i in range(3)))
    table.notes = ["own unit: distances divided by the median from an entry to its nearest; as published they are not"]
    return table


def weightings(m: Material, seeds: Sequence[int], space: str) -> list[Table]:
    """P1.4: moments of the four functions of the distance, and every weighting's figures at K = 3."""
    rng = np.random.default_rng(0)
    x = m.spaces[space]
    pairs = rng.integers(0, len(x), (200_000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    distance = np.linalg.norm(x[pairs[:, 0]].astype(np.float64) - x[pairs[:, 1]], axis=1)
    head = ["function", "mean", "median", "std", "skewness", "kurtosis (normal 3)", "excess"]
    first = Table(f"P1.4 distances between random pairs in {space}, and the four functions of them", head)
    for name, s in shapes(distance).items():
        first.add(name, s.mean, s.median, s.std, s.skewness, s.kurtosis, s.excess)
    first.add("x, published (SDSS)", 2.84, 2.71, 1.18, 0.44, None, -0.40)
    first.add("exp(-x), published (SDSS)", None, None, None, 1.69, 3.43, None)
    first.notes = ["the paper gives -0.40 against a normal's 0 for x and 3.43 against a normal's 3 for exp(-x)"]
    head = ["weighting", "distances", "first weight", "macro F1", "log loss", "ECE"]
    second = Table(f"P1.4 weightings at K = 3 in {space}, three classes", head)
    classes = np.unique(m.three[m.three != ""])
    got: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for seed in seeds:
        base, test = (rows[m.three[rows] != ""] for rows in m.split(seed))
        kb, truth = m.base(space, base, three=m.three), m.three[test]
        distance, rows = kb.query(m.spaces[space][test], 3)
        for weighting in WEIGHTINGS:
            for told, tau in (("as they are", 1.0), ("own unit", kb.tau("three"))):
                votes = vote(distance, rows, kb.labels("three"), weighting, tau=tau)
                check = calibration(votes.probability, truth, votes.classes)
                f1 = float(scores_of(votes.label, truth, classes.tolist())[1][:, 2].mean())
                first_weight = float(votes.weight[:, 0].mean())
                got.setdefault((weighting, told), []).append((first_weight, f1, check.log_loss, check.ece))
    for key, runs in got.items():
        second.add(*key, *([g[i] for g in runs] for i in range(4)))
    second.notes = ["first weight: the nearest neighbour's share of the vote, on average"]
    return [first, second]


def redshifts(m: Material, seeds: Sequence[int]) -> Table:
    """P1.10: redshift by retrieval, each object once."""
    head = ["space", "objects", "sigma_NMAD", "outliers > 0.15", "outliers > 0.01", "inside 68 % interval"]
    table = Table("P1.10 redshift by retrieval, K = 10", head)
    for space in m.spaces:
        if space == CONTRAST:  # made with the redshift that it would be asked for
            continue
        got, n = [], 0
        for seed in seeds:
            base, test = m.split(seed)
            kb = m.base(space, base, z=m.z)
            value, low, high = kb.estimate(m.spaces[space][test], "z")
            inside = float(((low <= m.z[test]) & (m.z[test] <= high)).mean())
            wide, fine = (redshift_errors(value, m.z[test], m.objects[test], limit) for limit in (0.15, 0.01))
            got.append((wide.nmad, wide.outliers, fine.outliers, inside))
            n = wide.n
        table.add(space, n, *([g[i] for g in got] for i in range(4)))
    return table


def study(
    survey: Survey, spaces: Sequence[str] = (), seeds: int = 5, epochs: int = 6,
    tell: Callable[[str], None] = lambda text: None, keep: Path | None = None,
) -> Iterator[Table]:  # fmt: skip
    """All tables, each as soon as it is done, the slow one last; ``epochs`` 0 leaves the networks out.

    What is done is kept in ``keep``, and taken from there by the next run on the same vectors, labels and settings.
    """
    m = material(survey, spaces)
    chosen = range(seeds)
    parts = [part for space, x in m.spaces.items() for part in (space, x)]
    kept = Kept(keep, *parts, m.three, m.five, m.truth, m.z, m.snr, seeds, epochs)

    def made(name: str, make: Callable[[], Table]) -> Table:
        tell(name)
        return kept.table(name, make)

    yield made("P1.6 searches", lambda: searches(m, chosen))
    yield made("P1.10 redshifts", lambda: redshifts(m, chosen))
    for space in m.spaces:
        for i, name in enumerate(("P1.4 distances", "P1.4 weightings")):
            yield made(f"{name} in {space}", partial(_weightings_at, m, chosen, space, i))
        for name, of in (
            ("P1.10 weights", learned), ("P1.7 K", by_k), ("P1.7 shares", by_share), ("P1.6 counts", by_count),
        ):  # fmt: skip
            yield made(f"{name} in {space}", partial(of, m, chosen, space))
    yield made("P1.5 three classes", lambda: three_classes(m, chosen, epochs, tell, kept))


def _weightings_at(m: Material, seeds: Sequence[int], space: str, which: int) -> Table:
    return weightings(m, seeds, space)[which]


def _survey(path: str | None, spaces: Sequence[str], n: int) -> Survey:
    """The survey of a study with its spaces: what is there already is not made again."""
    from explorer.pipeline._study_material import make_survey
    from explorer.pipeline.contrast import embed_contrast
    from explorer.pipeline.prepare import prepare
    from explorer.survey.locate import open as open_survey
    from explorer.survey.locate import surveys_dir
    from explorer.survey.progress import bar

    if path is None:
        survey = Survey.open(make_survey(surveys_dir() / f"simulated-sdss-search-{n}", n, progress=bar()))
    else:
        survey = open_survey(path)
    if spaces:
        return survey
    if path is None or not any(s.endswith("/spectrum") for s in survey.spaces):
        prepare(survey, ["pca", "galspec"] if path is None else ["pca"], [], [], progress=bar())
    if CONTRAST not in survey.spaces:
        embed_contrast(survey)
    return survey


def run(
    path: str | None, spaces: Sequence[str], n: int, seeds: int, epochs: int, to: Path | None,
    real: Sequence[Path] = (),
) -> int:  # fmt: skip
    """What ``explorer study spectra`` does: make or open the survey, print tables and claims, keep them in ``to``.

    ``real`` are files or folders of spectra with redshifts, such as the DR16Q quasars: their redshifts are retrieved
    from each other, every object once. Killed, it goes on where it stopped.
    """
    from explorer.pipeline._study_quasars import quasars

    if seeds < 2:
        raise ValueError(f"--seeds {seeds}: an interval needs two seeds or more")
    start, done = time.monotonic(), []

    def tell(text: str) -> None:
        print(f"  … {text} ({(time.monotonic() - start) / 60:.1f} min)", flush=True)

    def show(table: Table) -> None:
        done.append(table)
        print(f"\n{table.text()}", flush=True)
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
            (to / f"{len(done):02d}.csv").write_text(table.csv(), encoding="utf-8")

    if real:
        tell("P1.10 redshifts of real spectra")
        show(quasars(real))
    tell("the survey and its spaces")
    survey = _survey(path, spaces, n)
    for table in study(survey, spaces, seeds, epochs, tell, survey.cache_dir / "study-spectra"):
        show(table)
    lines = [claim.text() for claim in claims(done)]
    print("\nClaims", *lines, sep="\n  ", flush=True)
    if to is not None:
        (to / "claims.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return 0
