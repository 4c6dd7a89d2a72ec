"""What the neighbours of one object say it is, and why they may be believed (P1.4, P1.8, P1.10)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.pipeline.roles import column_of, values_of
from explorer.session import query
from explorer.session.columns import Shared, Text, catalogue
from kernels.search.votes import DEFAULT, WEIGHTINGS, K, Votes
from kernels.search.votes import vote as vote_of

if TYPE_CHECKING:
    import pandas as pd

    from explorer.session.session import Session
    from explorer.survey.lines import Lines
    from explorer.survey.store import Survey
    from kernels.search.knowledge_base import KnowledgeBase

LEARNED = "learned"
"""The weight that was fitted on the knowledge base's own held-out votes; it knows distance and S/N."""
CHOICES = (*WEIGHTINGS, LEARNED)
LABELS = ("bpt", "bpt_class", "class", "subclass", "spectype", "kind", "type", "morphology", "truth")
MOST_CLASSES = 60
_bases, _weights = Shared(6), Shared(6)


@dataclass(frozen=True)
class Verdict:
    """The vote on one object.

    ``neighbours`` has one line each, nearest first: ``id``, ``object``, ``source``, ``label``, ``distance``,
    ``weight`` (shares that sum to one) and the metadata asked for; its index is the row in the survey, -1 where the
    entry is none. ``probability`` class → share, highest first. ``value``: (redshift, low, high) by retrieval, None
    where the knowledge base has no redshift. ``reach`` is the distance beyond which the vote abstains; ``tau`` the unit
    that distances are weighed in, the knowledge base's median to the nearest.
    """

    id: str
    row: int
    label: str
    space: str
    k: int
    weighting: str
    answer: str
    abstained: bool
    probability: dict[str, float]
    neighbours: pd.DataFrame
    reach: float
    entries: int
    value: tuple[float, float, float] | None
    tau: float


def labels_of(survey: Survey) -> list[str]:
    """Columns that a vote can be held on: text with two classes or more, the likeliest to be meant first."""
    told = str(survey.meta.get("card", {}).get("label", ""))
    order = [told.lower(), *LABELS]
    text = sorted(text_columns(survey), key=lambda n: order.index(n.lower()) if n.lower() in order else len(order))
    return [name for name in text if 2 <= _classes(survey, name) <= MOST_CLASSES]


def text_columns(survey: Survey) -> list[str]:
    """The catalogue's columns of text."""
    import pyarrow as pa

    return [n for n, kind in survey.columns.items() if pa.types.is_string(kind) or pa.types.is_large_string(kind)]


def _classes(survey: Survey, name: str) -> int:
    found = catalogue(survey, name)
    return int((found.values != "").sum()) if isinstance(found, Text) else 0


def base_of(session: Session, space: str, label: str) -> KnowledgeBase:
    """The survey itself as a knowledge base: every row with a vector, its label, redshift and S/N."""
    from kernels.search.knowledge_base import KnowledgeBase

    survey = session.survey
    values = query.values(label, session.scope())
    if not isinstance(values, Text):
        raise ValueError(
            f"{label} holds numbers: a vote is held on text. Columns of text: {', '.join(labels_of(survey))}"
        )
    named = np.array(["" if v is None else str(v) for v in values.decoded().tolist()])

    columns: dict[str, Any] = {label: named}
    for role in ("redshift", "snr_spectrum"):
        found = values_of(survey, role)
        if found is not None and found.dtype.kind == "f":
            columns[role] = found

    def build(vectors: np.ndarray) -> KnowledgeBase:
        made = survey.provenance(f"space:{space}").get("weights_sha256", "")
        return KnowledgeBase(space=space, method="auto", weights=str(made)).fit(
            vectors, columns, ids=survey.ids, objects=survey.object_ids, sources=survey.name
        )

    # marks are one person's own: those of another at the same survey have no vote
    marks = (session.user, session.log.last()) if "mark" in label else None
    # a column may be written anew under the same vectors
    digest = hashlib.blake2b(digest_size=16)
    for values in columns.values():
        digest.update(values.tobytes())
    return _bases.get((str(survey.path), space, label, marks, digest.hexdigest()), survey.embedding(space), build)


def learned_weight(kb: KnowledgeBase, label: str, k: int) -> Any:
    """The learned weight of a knowledge base for K votes, fitted once on its held-out votes."""
    from kernels.search.learned import LearnedWeight

    def build(_: np.ndarray) -> tuple[KnowledgeBase, LearnedWeight]:
        labels = kb.labels(label)
        distance, rows = kb.held_out(label, k)
        few = np.random.default_rng(0).permutation(len(labels))[:4000]
        snr = kb.columns_.get("snr_spectrum")
        told = {} if snr is None else {"snr_query": snr[few], "snr_entry": snr}
        return kb, LearnedWeight().fit(distance[few], rows[few], labels, labels[few], **told)

    # kept with its knowledge base, so that no other takes its id meanwhile
    return _weights.get((id(kb), label, k), kb.vectors_, build)[1]


def hold_vote(
    kb: KnowledgeBase, Q: np.ndarray, label: str, k: int, weighting: str, *, objects: Any = None, snr: Any = None,
    reach: float | None = None, space: str = "", weights: str = "",
) -> Votes:  # fmt: skip
    """Votes of a knowledge base on queries (m, d), by a weighting in its own unit of distance or the learned weight.

    ``space`` and ``weights`` are those of the queries: others than the knowledge base's are refused.
    """
    if weighting not in CHOICES:
        raise ValueError(f"weighting={weighting!r} is unknown: choose one of {', '.join(CHOICES)}")
    distance, rows = kb.query(Q, k, objects=objects, known=label, space=space, weights=weights)
    labels = kb.labels(label)
    if weighting == LEARNED:
        return learned_weight(kb, label, k).vote(distance, rows, labels, snr, kb.columns_.get("snr_spectrum"), reach)
    return vote_of(distance, rows, labels, weighting, tau=kb.tau(label), reach=reach)


def verdict(
    session: Session,
    row: int,
    label: str = "",
    k: int = K,
    weighting: str = DEFAULT,
    space: str = "",
    kb: KnowledgeBase | None = None,
    metadata: tuple[str, ...] = (),
) -> Verdict:
    """The vote on one row by the ``k`` nearest other objects whose ``label`` is known.

    ``kb`` is another knowledge base of the same space; without it the survey votes on itself, an object never on
    itself. ``metadata`` names further columns shown of each neighbour.
    """
    survey, space = session.survey, space or session.space
    names = labels_of(survey)
    if not label:
        if kb is None and not names:
            raise ValueError(
                f"{survey.name} has no column of classes: a vote needs labels, in the catalogue or as marks"
            )
        label = names[0] if kb is None else next((n for n in kb.columns_ if kb.columns_[n].dtype.kind == "U"), "")
    base = base_of(session, space, label) if kb is None else kb
    vector = survey.embedding(space)[row]
    if not np.isfinite(vector).all():
        raise ValueError(f"{survey.ids_of([row])[0]} has no vector in {space}: nothing is near it there")
    snr = values_of(survey, "snr_spectrum")
    reach = base.reach(label)
    votes = hold_vote(
        base, vector[None], label, k, weighting, objects=survey.object_ids[[row]],
        snr=None if snr is None else np.asarray(snr, np.float64)[[row]], reach=reach, space=space,
        weights=str(survey.provenance(f"space:{space}").get("weights_sha256", "")),
    )  # fmt: skip
    order = np.argsort(-votes.probability[0], kind="stable")
    probability = {str(votes.classes[i]): float(votes.probability[0, i]) for i in order}
    value = None
    if "redshift" in base.columns_ and np.isfinite(base.columns_["redshift"]).sum() > 20:
        found = base.estimate(vector[None], "redshift", objects=survey.object_ids[[row]])
        value = (float(found[0][0]), float(found[1][0]), float(found[2][0]))
    return Verdict(
        survey.ids_of([row])[0], row, label, space, k, weighting, str(votes.label[0]), bool(votes.abstained[0]),
        probability, _neighbours(session, base, votes, label, metadata), reach, int((base.labels(label) != "").sum()),
        value, base.tau(label),
    )  # fmt: skip


def _neighbours(
    session: Session, kb: KnowledgeBase, votes: Votes, label: str, metadata: tuple[str, ...]
) -> pd.DataFrame:
    import pandas as pd

    survey, found = session.survey, votes.rows[0]
    place = found[found >= 0]
    rows = np.full(len(place), -1, np.int64)
    here = np.flatnonzero(kb.sources_[place] == survey.name)
    if len(here):
        rows[here] = survey.rows_of(kb.ids_[place[here]].tolist())
    table: dict[str, Any] = {
        "id": kb.ids_[place], "object": kb.objects_[place], "source": kb.sources_[place],
        "label": kb.labels(label)[place], "distance": votes.distance[0][: len(place)],
        "weight": votes.weight[0][: len(place)],
    }  # fmt: skip
    told = {name: values[place] for name, values in kb.columns_.items() if name != label}
    for name in metadata:
        if name in survey.columns and (rows >= 0).all():
            told[name] = survey.column(name)[rows]
    return pd.DataFrame(table | told, index=pd.Index(rows, name="row"))


def lines_of(survey: Survey, rows: list[int]) -> list[Lines | None]:
    """Emission lines of rows, measured now at the catalogue's redshift; None without spectrum or redshift."""
    name = column_of(survey, "redshift")
    return [None if name is None else _lines(str(survey.path), survey.version, int(row), name) for row in rows]


@lru_cache(maxsize=512)
def _lines(path: str, version: int, row: int, column: str) -> Lines | None:
    from explorer.survey.lines import measure
    from explorer.survey.store import Survey

    survey = Survey.open(path)  # the one of the process: a session's own would be held by what is kept here
    z = survey.column(column)[row]
    spectrum = survey.spectrum(row)
    if spectrum is None or z is None or not np.isfinite(z) or z <= -0.9:
        return None
    return measure(spectrum, float(z))
