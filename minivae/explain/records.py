"""What transfer.json, lds.json, far.json and removal.json of `minivae explain` hold."""

from collections.abc import Mapping, Sequence

from msgspec import field

from minivae.runtime.records import MeanInterval, Record


class CommonItems(Record, frozen=True):
    """Pairs of users by how many items both have: mean T and cosine, share with T > 0; None without pairs."""

    common: str = field(name="common items")
    pairs: int
    transfer: float | None
    cosine: float | None
    helped: float | None


class Segment(Record, frozen=True):
    """A grouping: mean T to the group of a row from that of a column, and all that a user gets and gives, in nats."""

    names: Sequence[str]
    users: Sequence[int]
    between: Sequence[Sequence[float | None]]
    inflow: Sequence[float | None]
    outflow: Sequence[float | None]


class Helper(Record, frozen=True):
    """A user who helped another: the number of items, of those in common, T in nats, the rarest common items."""

    user: str
    items: int
    common: int
    transfer: float
    titles: Sequence[str]


class Example(Record, frozen=True):
    """A user with the rarest items, the effect of the own steps, that of all others, and the best helpers."""

    user: str
    items: int
    titles: Sequence[str]
    own_effect: float = field(name="own effect")
    inflow: float
    helpers: Sequence[Helper]


class FarPair(Record, frozen=True):
    """Two users without a common item, the cosine of their gradients, and the rarest items of each."""

    users: Sequence[str]
    cosine: float
    titles: Sequence[Sequence[str]]


class RadiusStage(Record, frozen=True):
    """The numbers of Theorem 2.3 at one moment, medians over pairs u ≠ v, and shares of the pairs.

    `closed` is the share with Δ ≥ ‖g_u‖, whose radius is 0; `helped` that with ⟨g_u, g_v⟩ > 0. `epoch` is None for a
    model whose training is not known.
    """

    epoch: int | None
    norm: float = field(name="norm of the gradient")
    mismatch: float = field(name="content mismatch")
    lipschitz: float = field(name="Lipschitz constant seen on the pair")
    distance: float
    closed: float = field(name="pairs of radius 0")
    certified: float = field(name="pairs certified")
    helped: float = field(name="pairs helped")


class Summary(Record, frozen=True):
    """transfer.json: what is worth saying about a transfer matrix; shares are of pairs or of users."""

    data: str
    users: int
    epochs: Sequence[int] = field(name="epochs of the snapshots")
    helping_pairs: float = field(name="share of pairs that help")
    over_own_effect: float = field(name="inflow over own effect, median")
    helped: float = field(name="users helped by all others together")
    test_helped: float = field(name="test users helped")
    spearman: float = field(name="Spearman of outflow and activity")
    by_common_items: Sequence[CommonItems] = field(name="by common items")
    segments: Mapping[str, Segment]
    examples: Sequence[Example]
    far: Sequence[FarPair] = field(name="far but related")
    radius: Sequence[RadiusStage] = field(name="sharing radius")


class Score(Record, frozen=True):
    """The LDS of a score with its 95 % interval, mean over users, and the share of users whose own is above 0."""

    lds: float
    low: float
    high: float
    above: float = field(name="users above 0")


Scores = Mapping[str, Mapping[str, Score]]
"""Outcome -> name of a score, or "ceiling" -> how well it orders the losses after retraining."""


class LdsResults(Record, frozen=True):
    """lds.json: scores against retraining on halves of the users, and what the table was made with."""

    data: str
    training_users: int = field(name="training users")
    receivers: int
    subsets: int
    trained_twice: int = field(name="trained twice")
    config: Mapping[str, str | int | float]
    scores: Scores


class CosineDifference(Record, frozen=True):
    """Mean cosine of gradients of related and of unrelated pairs, and related minus unrelated.

    `low` and `high` are its 95 % interval over seeds, None with one seed; `seeds` has the difference of every seed.
    """

    related: float
    unrelated: float
    difference: float
    low: float | None
    high: float | None
    seeds: Sequence[float]


Variants = Mapping[str, Mapping[str, CosineDifference]]
"""Way of training -> moment ("along training", "epoch 1", …, "end") -> related against unrelated pairs."""


class FarResults(Record, frozen=True):
    """far.json: users who are far but related, beside unrelated ones, for several ways of training."""

    data: str
    pairs: int
    variants: Variants


class RemovalResults(Record, frozen=True):
    """removal.json: held-out loss of each receiver, in nats, without the best helpers and without as many others.

    `difference` is without helpers minus without others, over the receivers; `missed` is the share of receivers whose
    loss is higher without the helpers.
    """

    data: str
    receivers: int
    left_out: int = field(name="left out")
    without_helpers: Sequence[float] = field(name="loss without helpers")
    without_others: Sequence[float] = field(name="loss without others")
    difference: MeanInterval
    missed: float = field(name="receivers who miss the helpers more")
