"""What transfer.json of `minivae explain` holds."""

from collections.abc import Mapping, Sequence

from msgspec import field

from minivae.runtime.records import Record


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


class Summary(Record, frozen=True):
    """transfer.json: what is worth saying about a transfer matrix; shares are of pairs or of users."""

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
