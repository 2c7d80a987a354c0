"""What a Mult-VAE of a given size holds and sends; counted, not measured.

    python docs/examples/item_sharded/sizes.py

One row for each shape: users, items, processes. Weights, gradients and two moments of Adam are 16 bytes a parameter,
the histories 4 bytes an interaction; a batch has B users.
"""

from dataclasses import dataclass

BATCH, HIDDEN, LATENT, PER_USER = 500, 600, 200, 50  # the paper's network; 50 items a user are an assumption


@dataclass(frozen=True)
class Size:
    """Bytes and operations of one training.

    Attributes
    ----------
    users, items, processes : int
        U, I, R.
    """

    users: int
    items: int
    processes: int

    @property
    def parameters(self) -> int:
        """I·H twice, the layers between them, and the biases."""
        between = HIDDEN * 2 * LATENT + LATENT * HIDDEN
        return 2 * self.items * HIDDEN + between + self.items + 2 * HIDDEN + 2 * LATENT

    @property
    def histories(self) -> int:
        """Bytes of all interactions, which each process needs of its users only."""
        return 4 * PER_USER * self.users

    @property
    def copied(self) -> float:
        """Bytes in each process when every process holds the whole network (DDP): training state and logits."""
        return 16 * self.parameters + 4 * BATCH / self.processes * self.items

    @property
    def split(self) -> float:
        """Bytes in each process when the items are split."""
        return 16 * self.parameters / self.processes + 4 * BATCH * self.items / self.processes

    @property
    def sent_copied(self) -> float:
        """Bytes that each process sends in an update, DDP: a ring adds up all gradients."""
        return 2 * (self.processes - 1) / self.processes * 4 * self.parameters

    @property
    def sent_split(self) -> float:
        """The same, items split: the first hidden layer forwards, the last one backwards, four numbers a user."""
        return 2 * (self.processes - 1) / self.processes * 4 * (2 * BATCH * HIDDEN + 4 * BATCH)

    @property
    def operations(self) -> int:
        """Of an epoch: three products of the output layer, and Adam's 12 a parameter and update."""
        return 6 * self.users * HIDDEN * self.items + 12 * self.parameters * -(-self.users // BATCH)


SIZES = (
    Size(136_677, 20_108, 1),
    Size(25_000_000, 4_000, 8),
    Size(100_000_000, 10_000_000, 8),
    Size(100_000_000, 10_000_000, 64),
)


def amount(value: float, unit: str) -> str:
    """Two digits with a prefix."""
    for factor, prefix in ((1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= factor:
            return f"{float(f'{value / factor:.2g}'):g} {prefix}{unit}"
    return f"{float(f'{value / 1e3:.2g}'):g} k{unit}"


def table() -> str:
    """The table, Markdown."""
    head = ("users × items", "processes", "histories", "copied: holds", "sends", "split: holds", "sends", "an epoch")
    rows = [
        (
            f"{s.users:,} × {s.items:,}",
            str(s.processes),
            amount(s.histories, "B"),
            amount(s.copied, "B"),
            amount(s.sent_copied, "B") if s.processes > 1 else "–",
            amount(s.split, "B") if s.processes > 1 else "–",
            amount(s.sent_split, "B") if s.processes > 1 else "–",
            amount(s.operations, "FLOP"),
        )
        for s in SIZES
    ]
    rule = ("---", *["---:"] * (len(head) - 1))
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


if __name__ == "__main__":
    print(table())
