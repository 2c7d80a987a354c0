"""The report card: every statement of the paper, checked afresh on one model and its users."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

from minivae.data.splits import StrongSplit
from minivae.data.users import Users, binary, shape_of
from minivae.errors import InputError, check_whole
from minivae.models.vae import VAE
from minivae.options import Mask
from minivae.runtime.records import Json, Record
from minivae.runtime.table import Column, Part, Table, as_markdown, numbers, words
from minivae.runtime.text import markdown
from minivae.theory.adapter import Wrapped
from minivae.theory.card import evidence, evidence_masks
from minivae.theory.card.check import Check, Verdict
from minivae.theory.card.companions import Companions, local_models
from minivae.theory.card.shown import Shown
from minivae.theory.card.subject import Subject, in_float64

STATEMENTS = {
    "Theorem 2.3": evidence.sharing_radius,
    "Lemma 2.4": evidence.smooth_encoder,
    "Theorem 2.5": evidence.compromise,
    "β-KL": evidence.information,
    "Theorem 2.6": evidence_masks.masked_distances,
    "Proposition 3.1": evidence_masks.anchor_alignment,
    "Proposition 3.2": evidence_masks.mask_shrinkage,
}
LEGEND = (
    "Slack is 1 − worst (found / allowed) over all cases: positive is room left, 0 attained, negative broken. "
    "exact: two independent computations agree within rounding or 6 standard errors. bound holds: no case broke the "
    "inequality. measured: this model on these users, no theorem fixes it. A warning says that the small picture of "
    "training with which a theorem is proved does not describe this network."
)
STYLES = {"exact": "green", "bound holds": "green", "measured": "", "FAILED": "bold red"}


class CardLine(Record, frozen=True):
    """A `Check` in card.json; a slack that is not finite is a word."""

    statement: str
    claim: str
    on: str
    verdict: Verdict
    slack: float | str | None
    value: str
    warning: str = ""


class CardResults(Record, frozen=True):
    """card.json: the checks of a model and its users, and what their columns mean."""

    model: str
    data: str
    seed: int
    legend: str
    checks: Sequence[CardLine]


@dataclass(frozen=True)
class Card:
    """All checks, in the order of the paper.

    Attributes
    ----------
    model, data : str
        What they were made on, for people.
    seed : int
        Of all draws.
    checks : tuple[Check, ...]
        One line each.
    figures : dict[str, Shown]
        Statement -> what its figure shows, see `minivae.plots.theory_figures`.
    """

    model: str
    data: str
    seed: int
    checks: tuple[Check, ...]
    figures: dict[str, Shown] = field(repr=False, default_factory=dict)

    def __repr__(self) -> str:
        kinds = ", ".join(f"{n} {verdict}" for verdict, n in Counter(c.verdict for c in self.checks).items())
        return f"Card({self.model}; {self.data}; {len(self.checks)} checks: {kinds})"

    @property
    def failed(self) -> list[Check]:
        """The broken ones; a right program on a right theory has none."""
        return [c for c in self.checks if c.verdict == "FAILED"]

    @property
    def conclusion(self) -> str:
        """The verdicts in a sentence, those that failed by name."""
        kinds = [c.verdict for c in self.checks]
        counts = (
            f"Of {len(kinds)} checks {kinds.count('exact')} are identities that agree, "
            f"{kinds.count('bound holds')} are bounds that hold, "
            f"and {kinds.count('measured')} are measured, for which no theorem fixes the value."
        )
        broken = "; ".join(f"{c.statement}, {c.claim}" for c in self.failed)
        warnings = "".join(f" Warning, {c.statement}: {c.warning}." for c in self.checks if c.warning)
        verdict = f"FAILED: {broken}." if broken else "No statement is broken on this model."
        return f"{verdict} {counts}{warnings}"

    def rows(self) -> Iterator[tuple[str, ...]]:
        """Statement (once), what was checked, on what, slack, verdict, numbers."""
        for statement, group in groupby(self.checks, lambda c: c.statement):
            for k, c in enumerate(group):
                slack = "" if c.slack is None else f"{round(c.slack, 3) + 0.0:+.3f}"
                value = f"{c.value} (warning: {c.warning})" if c.warning else c.value
                yield statement if k == 0 else "", c.claim, c.on, slack, c.verdict, value

    def table(self) -> Table:
        """All checks; printed by `rich`, shown by a notebook, or turned into Markdown, HTML or LaTeX."""
        columns = [words("statement"), words("checked"), words("on"), numbers("slack")]
        columns += [Column("verdict", style=STYLES.__getitem__, wrap=False), words("value")]
        return Table.make(columns, self.rows(), f"Report card: {self.model}, {self.data}", LEGEND)

    def parts(self) -> list[Part]:
        """Title, table and legend."""
        title = f"**Report card: {markdown(self.model)}, {markdown(self.data)}** (seed {self.seed})"
        return [title, self.table(), LEGEND]

    def markdown(self) -> str:
        """The same in Markdown."""
        return as_markdown(self.parts())

    def results(self) -> CardResults:
        """What is kept of it; the data of the figures is left out."""
        lines = [
            CardLine(c.statement, c.claim, c.on, c.verdict, _written(c.slack), c.value, c.warning) for c in self.checks
        ]
        return CardResults(self.model, self.data, self.seed, LEGEND, lines)

    def as_dict(self) -> Json:
        """For JSON; the data of the figures is left out."""
        return self.results().as_dict()


def _written(slack: float | None) -> float | str | None:
    """JSON has no number for what is not finite."""
    return slack if slack is None or np.isfinite(slack) else str(slack)


def report_card(
    model: VAE | Wrapped,
    split: StrongSplit | Users,
    *,
    keep: float = 0.5,
    mask: Mask = "normalize-then-mask",
    n_users: int = 300,
    seed: int = 0,
    label: str = "",
    companions: Companions | None = None,
) -> Card:
    """Check every statement of the paper on a model and a sample of its training users.

    Everything is drawn and computed afresh from `seed`. Nothing is trained here: an untrained model has a card too.

    Parameters
    ----------
    model : VAE | Wrapped
        A VAE of this package, or an outside one behind `minivae.theory.wrap`, in evaluation mode.
    split : StrongSplit | Users
        The training users of a split, or users (U, I) as CSR or dense binary rows.
    keep : float, default 0.5
    mask : Mask, default 'normalize-then-mask'
        The masks that Theorem 2.6 and the propositions are looked at with; those of the training, usually.
    n_users : int, default 300
        Users drawn; some checks take fewer, and say so.
    seed : int, default 0
        Of the sample and all draws.
    label : str, default ''
        What the card calls the model.
    companions : Companions, optional
        Other trainings of the network: lines that say whether local models describe it, which one network cannot show.

    Returns
    -------
    Card

    Raises
    ------
    InputError
        If there are fewer than 20 users with interactions, their columns are not the model's items, or the model is no
        VAE: its posteriors have sd = 0.

    Examples
    --------
    Another VAE gets the same card in three lines:

    >>> import minivae as mv
    >>> net = torch.nn.ModuleDict({"enc": torch.nn.Linear(9, 4), "dec": torch.nn.Linear(2, 9)}).double()
    >>> users = np.random.default_rng(0).random((40, 9)) < 0.4

    >>> wrapped = mv.theory.wrap(encode=lambda x: net["enc"](x).tanh().exp().chunk(2, -1), decode=net["dec"])
    >>> card = mv.theory.report_card(wrapped, users)
    >>> [c.claim for c in card.failed]
    []
    """
    x = _sample(split.train if isinstance(split, StrongSplit) else split, n_users, seed)
    if shape_of(x)[1] != model.n_items:
        raise InputError(
            f"the users have {shape_of(x)[1]} items but the model {model.n_items}; they do not belong together"
        )
    model = in_float64(model)
    with torch.no_grad():
        mu, sd = (t.double() for t in model.encode(x))
    if not bool((sd > 0).all()):
        raise InputError(
            f"{label or type(model).__name__} gives users points, not distributions (sd = 0), and the statements are "
            "about densities; a report card needs a VAE"
        )
    subject = Subject(model, x, mu, sd, keep, mask, seed)
    found = {statement: check(subject) for statement, check in STATEMENTS.items()}
    for statement, lines in ({} if companions is None else local_models(subject, companions)).items():
        found[statement][0].extend(lines)
    name = split.name if isinstance(split, StrongSplit) else ""
    return Card(
        model=label or type(model).__name__,
        data=f"{name or 'users'}: {shape_of(x)[0]} users × {shape_of(x)[1]} items",
        seed=seed,
        checks=tuple(c for checks, _ in found.values() for c in checks),
        figures={statement: figure for statement, (_, figure) in found.items()},
    )


def _sample(x: Users | Tensor, n_users: int, seed: int) -> sp.csr_matrix:
    """`n_users` of the users that have interactions, in random order."""
    check_whole(0, seed=seed)
    check_whole(1, n_users=n_users)
    if seed >= 1 << 63:
        raise InputError(f"seed={seed} is not possible; it must be in 0..2**63 - 1")
    x = binary(x, "x")
    some = np.flatnonzero(np.diff(x.indptr))
    if min(n_users, len(some)) < 20:
        raise InputError(f"{min(n_users, len(some))} users with interactions are too few; the checks need at least 20")
    chosen = np.random.default_rng(seed).permutation(some)[:n_users]
    return x[chosen].astype(np.float64)
